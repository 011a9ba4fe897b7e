"""Scenes as SVG: whatever people write stays text, and whatever is drawn can be parsed."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest
import torch

from cvviz.figures.scene import Box, Dot, Handles, Path, Scene, Text, encode_pixels

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = """</text></title><script>alert('1')</script>"><img src=x onerror="alert(2)"> & γ"""
NOISE = torch.randint(256, (3, 24, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def parse(*shapes, **options):
    return ElementTree.fromstring(Scene(pixels=NOISE, shapes=shapes, **options).svg())


def tags(root):
    return [element.tag.removeprefix(SVG) for element in root]


def decoded(url):
    kind, _, data = url.partition(";base64,")
    with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert kind == f"data:image/{image.format.lower()}"
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


SHAPES = {
    "box": Box(xyxy=(2, 3, 20, 15), label="cat 0.93", dash=True, fill=0.2, tip="IoU 0.5"),
    "box at the edge": Box(xyxy=(0, 0, 32, 24), label="all"),
    "box without words": Box(xyxy=(2, 3, 20, 15)),
    "empty box": Box(xyxy=(5, 5, 5, 5)),
    "path": Path(points=[(0, 0), (5, 5), (9, 0)], dash=True, tip="a way"),
    "polygon": Path(points=[(0, 0), (5, 5), (9, 0)], closed=True, fill=0.3),
    "arrow": Path(points=[(0, 0), (5, 5)], arrow=True),
    "path of one point": Path(points=[(3, 3)]),
    "arrow of one point": Path(points=[(3, 3)], arrow=True),
    "arrow of no length": Path(points=[(3, 3), (3, 3)], arrow=True),
    "path without points": Path(points=[]),
    "dot": Dot(x=4, y=5, tip="centre"),
    "text": Text(x=4, y=5, text="γ < 2"),
    "text on a plate": Text(x=4, y=5, text="a & b", centered=False, plate=True),
}


class TestShapes:
    @pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
    def test_every_shape_is_well_formed(self, shape):
        root = parse(shape)
        assert not any(re.search(r"\bnan\b", value) for element in root.iter() for value in element.attrib.values())

    def test_drawn_in_order_over_the_picture_with_the_handles_on_top(self):
        handles = Handles(field="boxes", boxes=((1, 1, 9, 9),), names=("Target",), colors=("#009E73",))
        root = parse(SHAPES["dot"], SHAPES["path"], handles=handles, caption="Boxes")
        assert tags(root) == ["title", "image", "circle", "polyline", "rect", "text"]
        assert root[-2].get("stroke") == "#009E73"
        assert root[-1].text == "Target"

    def test_box_is_where_it_was_put(self):
        rect = parse(Box(xyxy=(2.5, 3, 20, 15))).find(f"{SVG}rect")
        assert [rect.get(name) for name in ("x", "y", "width", "height")] == ["2.5", "3", "17.5", "12"]

    def test_label_goes_inside_where_there_is_no_room_above(self):
        above = parse(Box(xyxy=(2, 10, 20, 15), label="cat")).find(f"{SVG}text").get("style")
        inside = parse(Box(xyxy=(2, 0, 20, 15), label="cat")).find(f"{SVG}text").get("style")
        assert "calc(-5px" in above
        assert "calc(15px" in inside

    @pytest.mark.parametrize(
        ("end", "angle"), [((9, 4), "0"), ((4, 9), "90"), ((0, 4), "180"), ((4, 0), "-90"), ((9, 9), "45")]
    )
    def test_arrow_head_points_along_the_last_line(self, end, angle):
        # y grows downwards, as SVG turns: from (4, 4) to (4, 9) is a quarter turn clockwise.
        head = parse(Path(points=[(0, 0), (4, 4), end], arrow=True)).find(f"{SVG}g")
        assert head.get("transform") == f"translate({end[0]} {end[1]}) rotate({angle})"

    def test_one_point_has_no_arrow_head(self):
        assert tags(parse(SHAPES["arrow of one point"])) == ["title", "image", "polyline"]

    def test_path_without_points_draws_nothing(self):
        assert tags(parse(SHAPES["path without points"])) == ["title", "image"]

    def test_view_box_is_the_picture(self):
        scene = Scene(pixels=NOISE)
        assert scene.size == (32, 24)
        assert ElementTree.fromstring(scene.svg()).get("viewBox") == "0 0 32 24"


class TestTextStaysText:
    @pytest.mark.parametrize(
        "shape",
        [
            Box(xyxy=(2, 3, 20, 15), label=HOSTILE, tip=HOSTILE),
            Path(points=[(0, 0), (5, 5)], tip=HOSTILE),
            Dot(x=1, y=1, tip=HOSTILE),
            Text(x=1, y=1, text=HOSTILE),
        ],
        ids=lambda shape: type(shape).__name__,
    )
    def test_of_a_shape(self, shape):
        root = parse(shape)
        words = [element.text for element in root.iter() if element.text]
        assert words == [HOSTILE] * len(words)
        assert len(words) == (2 if isinstance(shape, Box) else 1)
        assert {element.tag for element in root.iter()}.isdisjoint({f"{SVG}script", f"{SVG}img"})
        assert not any(mark in Scene(pixels=NOISE, shapes=(shape,)).overlay() for mark in ("<script", "<img"))

    def test_of_a_caption(self):
        assert parse(caption=HOSTILE).find(f"{SVG}title").text == HOSTILE

    def test_of_a_handle(self):
        handles = Handles(field="boxes", boxes=((1, 1, 9, 9),), names=(HOSTILE,), colors=("#009E73",))
        assert parse(handles=handles).find(f"{SVG}text").text == HOSTILE


class TestPixels:
    def test_exact_keeps_every_pixel_and_its_edges(self):
        scene = Scene(pixels=NOISE, exact=True)
        assert torch.equal(decoded(scene.image_url()), NOISE)
        assert "image-rendering:pixelated" in scene.svg()

    def test_photograph_goes_out_as_jpeg_and_is_smoothed(self):
        scene = Scene(pixels=torch.full((3, 24, 32), 128, dtype=torch.uint8))
        assert scene.image_url().startswith("data:image/jpeg;base64,")
        assert (decoded(scene.image_url()).int() - 128).abs().max() <= 1
        assert "pixelated" not in scene.svg()

    def test_channels_are_not_mixed_up(self):
        red = torch.tensor([200, 40, 10], dtype=torch.uint8)[:, None, None].expand(3, 4, 6)
        for exact in (True, False):
            colors = decoded(Scene(pixels=red, exact=exact).image_url()).int()
            assert colors.shape == (3, 4, 6)
            assert (colors - red).abs().max() <= 3

    def test_one_pixel(self):
        pixels = torch.tensor([1, 2, 3], dtype=torch.uint8).reshape(3, 1, 1)
        assert torch.equal(decoded(Scene(pixels=pixels, exact=True).image_url()), pixels)

    @pytest.mark.parametrize(
        "pixels",
        [
            torch.zeros(24, 32, 3, dtype=torch.uint8),
            torch.zeros(1, 24, 32, dtype=torch.uint8),
            torch.zeros(24, 32, dtype=torch.uint8),
            torch.zeros(1, 3, 24, 32, dtype=torch.uint8),
            torch.zeros(3, 24, 32),
            torch.zeros(3, 24, 32, dtype=torch.int64),
        ],
        ids=lambda pixels: f"{tuple(pixels.shape)} {pixels.dtype}",
    )
    def test_other_shapes_and_dtypes_are_refused(self, pixels):
        with pytest.raises(ValueError, match=r"^pixels must be \(3, H, W\) uint8, got \("):
            encode_pixels(pixels, "png")
