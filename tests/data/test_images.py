"""Uploads are decoded rightly or refused in one sentence; samples are what their code says; derived data dies."""

from __future__ import annotations

import gc
import json
import math
import re
import subprocess
import sys
import threading
import time
import warnings
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from cvviz.data import images
from cvviz.data.images import (
    MAX_BYTES,
    MAX_SIDE,
    SAMPLES,
    Picture,
    decode_upload,
    own_picture,
    per_picture,
    sample,
    sample_names,
)
from tests.data import image_corpus as corpus

ROOT = Path(__file__).parents[2]
PNG = corpus.saved(corpus.quadrants(), "PNG")
EXTRA_MB = 200


def assert_one_sentence(text: str) -> None:
    """A problem, a colon, what to do, a full stop; and nothing of the machinery."""
    assert text.endswith(".")
    assert text.isprintable()
    assert ": " in text
    assert len(text) < 300
    assert not re.search(r"Traceback|Error|PIL|0x", text)


def assert_upload(upload: images.Upload) -> None:
    """The invariant of every accepted file."""
    pixels, (width, height) = upload
    assert pixels.dtype == torch.uint8
    assert pixels.ndim == 3
    assert pixels.shape[0] == 3
    assert pixels.is_contiguous()
    assert min(pixels.shape[1:]) >= 1
    assert max(pixels.shape[1:]) == min(MAX_SIDE, max(width, height))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a fresh process made of every file of the corpus, with its CPU time and peak memory."""
    folder = tmp_path_factory.mktemp("corpus")
    corpus.write(folder)
    command = [sys.executable, corpus.__file__, str(folder)]
    run = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return dict(zip((case.name for case in corpus.CASES), json.loads(run.stdout), strict=True))


class TestCorpus:
    def test_cardinality(self) -> None:
        names = [case.name for case in corpus.CASES]
        assert len(names) == len(set(names)) > 40

    @pytest.mark.parametrize("case", corpus.CASES, ids=lambda case: case.name)
    def test_outcome(self, case: corpus.Case, results: dict[str, dict[str, Any]]) -> None:
        result = results[case.name]
        if case.refused:
            assert result.get("type") == "ValueError", result
            assert re.search(case.refused, result["error"])
            assert_one_sentence(result["error"])
            return
        assert "error" not in result, result
        assert case.shape is not None
        assert result["shape"] == [3, *case.shape]
        assert result["dtype"] == "torch.uint8"
        assert tuple(result["original_size"]) == (case.original or case.shape[::-1])
        for place, expected, found in zip(case.colours, case.colours.values(), result["colours"], strict=True):
            difference = max(abs(a - b) for a, b in zip(expected, found, strict=True))
            assert difference <= case.tolerance, f"{found} at {place}, not {expected}"

    @pytest.mark.parametrize("case", corpus.CASES, ids=lambda case: case.name)
    def test_time(self, case: corpus.Case, results: dict[str, dict[str, Any]]) -> None:
        assert results[case.name]["seconds"] <= case.seconds

    def test_memory(self, results: dict[str, dict[str, Any]]) -> None:
        """Peak memory only grows, so the last file tells the growth over all."""
        growth = {name: result["growth_mb"] for name, result in results.items()}
        assert list(growth.values())[-1] < EXTRA_MB, sorted(growth.items(), key=lambda item: -item[1])[:3]
        assert max(growth.values()) > 100, "the largest pictures did not reach the process that was measured"


class TestDecodeUpload:
    def test_feature_reduction_is_the_mean(self) -> None:
        """A checkerboard of single pixels, black and white, reduces to its mean grey, 127.5."""
        board = Image.frombytes("1", (4096, 4096), (b"\x55" * 512 + b"\xaa" * 512) * 2048)
        pixels = decode_upload("board.png", corpus.saved(board, "PNG")).pixels
        assert pixels.shape == (3, 1024, 1024)
        assert set(pixels.unique().tolist()) <= {127, 128}

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
    def test_feature_small_pictures_are_exact(self, kind: str) -> None:
        picture = corpus.noise(16, 12)
        upload = decode_upload("", corpus.saved(picture, kind))
        expected = torch.tensor(list(picture.convert("RGB").tobytes()), dtype=torch.uint8).reshape(12, 16, 3)
        assert torch.equal(upload.pixels.permute(1, 2, 0), expected)

    @pytest.mark.parametrize("scale", [1, 2, 3, 4.7])
    def test_feature_blocks_leave_no_seams(self, scale: float) -> None:
        """A ramp stays a ramp: neighbouring columns of the result differ by at most 2, and rows are equal."""
        width = int(1024 * scale)
        ramp = Image.linear_gradient("L").rotate(90).resize((width, 700), Image.Resampling.BILINEAR)
        pixels = decode_upload("", corpus.saved(ramp, "PNG")).pixels.int()
        assert pixels.diff(dim=2).abs().max() <= 2
        assert pixels.diff(dim=1).abs().max() <= 1

    def test_feature_byte_limit_is_exact(self) -> None:
        padding = bytes(MAX_BYTES - len(PNG))
        assert_upload(decode_upload("", PNG + padding))
        with pytest.raises(ValueError, match="10 MB is the limit"):
            decode_upload("", PNG + padding + b"\0")

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("", "The file is empty"),
            ("   ", "The file is empty"),
            ("folder/", "The file is empty"),
            ("/etc/secret/photo.png", '"photo.png" is empty'),
            ("C:\\Users\\me\\photo.png", '"photo.png" is empty'),
            ("фото 写真.png", '"фото 写真.png" is empty'),
            ("a\nb\x00\u202e\ud800.png", '"a\ufffdb\ufffd\ufffd\ufffd.png" is empty'),
            ("x" * 5000 + ".png", f'"{"x" * 44}…{"x" * 11}.png" is empty'),
        ],
    )
    def test_exception_shows_the_base_name(self, name: str, shown: str) -> None:
        with pytest.raises(ValueError, match=r"\.$") as error:
            decode_upload(name, b"")
        assert str(error.value).startswith(shown)
        assert_one_sentence(str(error.value))

    def test_exception_says_how_to_rename(self) -> None:
        with pytest.raises(ValueError, match=r'"a\.jpg" is really a PNG file: rename it so that it ends in \.png'):
            decode_upload("a.jpg", PNG)

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    def test_no_global_state(self) -> None:
        """Not even around a bomb of the size at which Pillow only warns."""
        before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
        with pytest.raises(ValueError, match="40 megapixels"):
            decode_upload("", corpus.png(10_000, 10_000, b""))
        assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before
        assert not ImageFile.LOAD_TRUNCATED_IMAGES

    @pytest.mark.filterwarnings("error")
    def test_warnings_as_errors(self) -> None:
        """A program that turns warnings into errors meets ValueError alone, and the same refusals of bombs."""
        with pytest.raises(ValueError, match="40 megapixels"):
            decode_upload("", corpus.png(10_000, 10_000, b""))
        for _, data in corpus.small_files():
            try:
                assert_upload(decode_upload("", data))
            except ValueError as error:
                assert_one_sentence(str(error))

    def test_pixels_without_a_limit_of_pillow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Our cap holds where another library has switched Pillow's off."""
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
        with pytest.raises(ValueError, match="40 megapixels"):
            decode_upload("", corpus.png(50_000, 50_000, b""))

    def test_threads(self) -> None:
        """Eight threads get what one gets."""
        data = corpus.saved(corpus.noise(1500, 900), "PNG")
        expected, found = decode_upload("", data).pixels, []
        threads = [threading.Thread(target=lambda: found.append(decode_upload("", data).pixels)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert all(torch.equal(pixels, expected) for pixels in found)


def check(name: str, data: bytes) -> None:
    try:
        upload = decode_upload(name, data)
    except ValueError as error:
        assert_one_sentence(str(error))
    else:
        assert_upload(upload)


SIGNATURES = [b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0\x08\0\0\0", b"RIFF"]


@pytest.mark.filterwarnings("ignore")
class TestProperties:
    @settings(max_examples=300, deadline=None)
    @given(name=st.text(max_size=80), start=st.sampled_from(SIGNATURES), rest=st.binary(max_size=300))
    def test_any_bytes(self, name: str, start: bytes, rest: bytes) -> None:
        check(name, start + rest)

    @settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data())
    def test_any_damage(self, data: st.DataObject) -> None:
        """Bytes replaced, cut out and doubled in valid files of every kind; the headers above all."""
        _, content = data.draw(st.sampled_from(corpus.small_files()))
        changed = bytearray(content)
        for _ in range(data.draw(st.integers(1, 6))):
            if not changed:
                break
            place = data.draw(st.integers(0, min(len(changed), data.draw(st.sampled_from([64, 512, 20_000]))) - 1))
            match data.draw(st.sampled_from(["set", "set", "set", "cut", "drop", "repeat"])):
                case "set":
                    changed[place] = data.draw(st.integers(0, 255))
                case "cut":
                    del changed[place:]
                case "drop":
                    del changed[place : place + data.draw(st.integers(1, 16))]
                case "repeat":
                    changed[place:place] = changed[place : place + 32]
        check("", bytes(changed))


class TestSamples:
    def test_cardinality(self) -> None:
        assert len(sample_names()) == len(set(sample_names())) >= 8
        assert sample_names() == tuple(SAMPLES)
        assert sample_names()[0] == "astronaut"

    @pytest.mark.parametrize("name", sample_names())
    def test_smoke(self, name: str) -> None:
        picture = sample(name)
        assert picture.name == name
        assert picture.title
        assert not picture.own
        assert picture.original_size is None
        assert picture.pixels.dtype == torch.uint8
        assert picture.pixels.shape[0] == 3
        assert max(picture.pixels.shape) <= MAX_SIDE
        assert picture.pixels.float().std() > 20, "not a flat picture"

    @pytest.mark.parametrize("name", sample_names())
    def test_code_gives_the_pixels(self, name: str) -> None:
        picture = sample(name)
        assert torch.equal(evaluate(picture), picture.pixels)
        assert "cvviz" not in picture.code + "".join(picture.imports)

    def test_singletons(self) -> None:
        assert all(sample(name) is sample(name) for name in sample_names())
        assert sample("chelsea").pixels is sample("chelsea").pixels

    def test_exception(self) -> None:
        with pytest.raises(ValueError, match=r"name must be one of astronaut, .*, got 'lena'\."):
            sample("lena")

    def test_import_is_cheap(self) -> None:
        """Neither the import nor a look at a sample loads the libraries that ship the photographs."""
        code = (
            "import sys, cvviz.data.images as images; images.sample('china').pixels; images.sample('coffee').pixels; "
            "sys.exit(' '.join({'skimage', 'sklearn', 'cv2', 'streamlit', 'torchvision'} & set(sys.modules)) or 0)"
        )
        run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (0, "")


def evaluate(picture: Picture) -> torch.Tensor:
    """The picture's code, run with nothing but its own imports."""
    space: dict[str, Any] = {}
    exec("\n".join(picture.imports), space)
    pixels = eval(picture.code, space)
    assert isinstance(pixels, torch.Tensor)
    return pixels


class TestOwnPicture:
    def test_smoke(self) -> None:
        picture = own_picture("holiday.png", PNG)
        assert (picture.name, picture.title, picture.own) == ("mine", "holiday.png", True)
        assert picture.original_size == (48, 32)
        assert picture.code == "torchvision.io.decode_image('holiday.png', mode=\"RGB\", apply_exif_orientation=True)"
        assert picture.imports == ("import torchvision",)
        assert "tensor" not in repr(picture)

    def test_equality_is_identity(self) -> None:
        first, second = own_picture("a.png", PNG), own_picture("a.png", PNG)
        assert first != second
        assert len({first, second}) == 2

    def test_exception(self) -> None:
        with pytest.raises(ValueError, match=r'"a\.png" is empty'):
            own_picture("a.png", b"")

    def test_no_name(self) -> None:
        assert own_picture("", PNG).title == "Your picture"

    @pytest.mark.filterwarnings("ignore")  # torchvision announces that its decoders will move to another package
    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("plain.png", PNG),
            ('it\'s "quoted" \\ {braces} 写真 ' + "long " * 30 + ".png", PNG),
            ("turned.jpg", corpus.turned(6, "JPEG", subsampling=0)),
            ("plain.webp", corpus.saved(corpus.quadrants(), "WEBP", lossless=True)),
            ("plain.gif", corpus.saved(corpus.quadrants(), "GIF")),
            ("plain.bmp", corpus.saved(corpus.quadrants(), "BMP")),
            ("grey.TIF", corpus.saved(corpus.quadrants().convert("L"), "TIFF")),
        ],
        ids=lambda value: value[:10] if isinstance(value, str) else "",
    )
    def test_code_reads_the_file(self, name: str, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """From the folder that holds it, a file of at most 1024 px gives the same pixels."""
        monkeypatch.chdir(tmp_path)
        picture = own_picture(name, data)
        Path(picture.file).write_bytes(data)
        assert torch.allclose(evaluate(picture).int(), picture.pixels.int(), atol=2)


class TestPerPicture:
    def test_computed_once(self) -> None:
        calls: list[Any] = []

        @per_picture
        def brightness(picture: Picture, power: float = 1.0) -> float:
            """Mean of a power."""
            calls.append((picture, power))
            return float(picture.pixels.double().pow(power).mean())

        first, second = own_picture("a.png", PNG), own_picture("a.png", PNG)
        assert brightness(first) == brightness(first) == brightness(second)
        assert calls == [(first, 1.0), (second, 1.0)]
        assert brightness(first, 2.0) == brightness(first, 2.0) != brightness(first)
        assert brightness(first, power=3.0) == brightness(first, power=3.0)
        assert len(calls) == 4
        assert (brightness.__name__, brightness.__doc__) == ("brightness", "Mean of a power.")

    def test_released_with_the_picture(self) -> None:
        @per_picture
        def doubled(picture: Picture) -> torch.Tensor:
            return picture.pixels.double()

        picture = own_picture("a.png", PNG)
        pixels, derived, owner = weakref.ref(picture.pixels), weakref.ref(doubled(picture)), weakref.ref(picture)
        gc.collect()
        assert derived() is doubled(picture)
        del picture
        gc.collect()
        assert (pixels(), derived(), owner()) == (None, None, None)

    def test_keeps_the_last_sixteen(self) -> None:
        calls: list[int] = []

        @per_picture
        def power(picture: Picture, exponent: int) -> int:
            calls.append(exponent)
            return 2**exponent

        picture = own_picture("a.png", PNG)
        for exponent in [*range(16), 0, 16]:  # using 0 again makes 1 the oldest
            assert power(picture, exponent) == 2**exponent
        calls.clear()
        assert [power(picture, 0), power(picture, 16), power(picture, 1)] == [1, 2**16, 2]
        assert calls == [1]

    def test_exception_is_not_kept(self) -> None:
        answers = iter([ValueError("first"), 7])

        @per_picture
        def moody(picture: Picture) -> int:
            if isinstance(answer := next(answers), Exception):
                raise answer
            return answer

        picture = own_picture("a.png", PNG)
        with pytest.raises(ValueError, match="first"):
            moody(picture)
        assert moody(picture) == moody(picture) == 7

    def test_none_is_a_result(self) -> None:
        calls: list[Picture] = []
        remembered = per_picture(calls.append)
        picture = own_picture("a.png", PNG)
        assert remembered(picture) is remembered(picture) is None
        assert calls == [picture]

    def test_threads_share_one_computation(self) -> None:
        calls: list[int] = []

        @per_picture
        def slow(picture: Picture, key: int) -> float:
            calls.append(key)
            time.sleep(0.05)
            return math.pi * key

        picture, found = own_picture("a.png", PNG), list[float]()
        threads = [threading.Thread(target=lambda k=k: found.append(slow(picture, k % 2))) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(calls) == [0, 1]
        assert sorted(found) == [0.0] * 4 + [math.pi] * 4
