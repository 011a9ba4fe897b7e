"""Pictures: sample photographs from installed packages, users' uploads decoded safely, and data derived from them.

Importing this module imports neither scikit-image nor scikit-learn: a sample is read from the package's folder.
"""

from __future__ import annotations

import importlib.util
import io
import math
import re
import struct
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial, wraps
from pathlib import Path, PurePosixPath
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar, cast

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps, JpegImagePlugin, UnidentifiedImageError
from torch import Tensor

MAX_BYTES = 10 * 2**20
MAX_PIXELS = 40_000_000
MAX_SIDE = 1024

_MAX_MEMORY = 192 * 2**20  # bytes that Pillow may need to load one picture
_MAX_SCANS, _MAX_TILES, _MAX_RLE_BYTES = 100, 50_000, 2**20  # each keeps the worst file near half a second
_BLOCK_SIDE = 512  # a picture is converted block by block, so that it is never in memory twice
_EXTENSIONS = {  # the first is the one that we suggest
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "WebP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
}
_READ = re.compile(rb"\x89PNG|\xff\xd8\xff|RIFF....WEBP|BM.{4}\0{4}|GIF8[79]a|II[*+]\0|MM\0[*+]", re.DOTALL)
# Formats worth naming because people do try them. Pillow's own 16-byte tests would call text that begins "Py" a PPM.
_FOREIGN = (
    ("HEIC", rb".{4}ftyp(hei|hev|mif1|msf1)"),
    ("AVIF", rb".{4}ftypavi[fs]"),
    ("SVG", rb"\s*((<\?xml|<!--|<!DOCTYPE svg).{,1000}?)?<svg\b"),
    ("PDF", rb"%PDF-"),
    ("EPS", rb"%!PS|\xc5\xd0\xd3\xc6"),
    ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    ("JPEG XL", rb"\xff\x0a|\0\0\0\x0cJXL "),
    ("Photoshop", rb"8BPS"),
    ("ICO", rb"\0\0[\1\2]\0[^\0]\0"),
    ("PPM", rb"P[1-7fF]\s"),
    ("QOI", rb"qoif"),
)
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # not FF 00 (a data byte FF), restarts or fill bytes
_DEPTH = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}  # bytes a pixel in Pillow's memory; 4 in all other modes
_DAMAGED = ("is damaged, incomplete or of an unusual kind", "save it as a new PNG in an image editor and upload that")
_TOO_LARGE = (f"has more than {MAX_PIXELS // 10**6} megapixels", "reduce it to 4000 px or less and upload that")
# The first five Pillow did raise for a million damaged files of these formats; the next four its code can raise; the
# last is what its warnings are in a program that turns warnings into errors.
_BAD_FILE = (
    *(OSError, SyntaxError, ValueError, TypeError, OverflowError),
    *(EOFError, LookupError, MemoryError, struct.error, Warning),
)
_MAX_RESULTS = 16  # kept per picture and function
_one_at_a_time = threading.Lock()  # the memory that uploads need together is the memory of one

P = ParamSpec("P")
R = TypeVar("R")


class Upload(NamedTuple):
    """A decoded upload.

    Attributes:
        pixels: ``(3, H, W)`` uint8, RGB, longest side at most ``MAX_SIDE`` px.
        original_size: (width, height) in px as displayed: after EXIF orientation, before reduction.
    """

    pixels: Tensor
    original_size: tuple[int, int]


def decode_upload(name: str, data: bytes) -> Upload:
    """Decode a picture that somebody sent: whatever the bytes are, in little time and memory, or a clear refusal.

    PNG, JPEG, WebP, BMP, GIF and TIFF, told by content. Of several frames or pages the first is taken; EXIF
    orientation is applied; transparency is laid over white; CMYK, palette, 1-bit and grey become RGB; colour profiles
    are ignored. Deep pictures are rescaled to 0..255: 16-bit values linearly from 0..65535; floats from 0..1, else
    from 0..255, else, like 32-bit integers beyond 0..65535, from their own minimum..maximum (NaN becomes black).

    Args:
        name: file name, used for its extension and in messages. May be empty or a path.
        data: content of the file.

    Returns:
        The pixels, their longest side reduced to ``MAX_SIDE`` px, and the original size.

    Raises:
        ValueError: with one sentence for the user, if the file is empty, larger than ``MAX_BYTES`` or ``MAX_PIXELS``,
            not one of the six formats, damaged, too costly to decode, or not what its extension says.
    """
    base = _base_name(name)
    label = f'"{_clip(base)}"' if base else "The file"
    if not data:
        raise _refusal(label, "is empty", "choose a file that contains a picture")
    if len(data) > MAX_BYTES:
        problem = f"has {len(data) / 2**20:.1f} MB and {MAX_BYTES // 2**20} MB is the limit"
        raise _refusal(label, problem, "make the picture smaller, or save it as JPEG, and upload that")
    with _one_at_a_time:
        image, size = _open(label, data)
        _check_extension(label, base, image)
        _check_cost(label, image, size, data)
        try:
            return _pixels(image, size)
        except _BAD_FILE:
            raise _refusal(label, *_DAMAGED) from None


def _base_name(name: str) -> str:
    return re.split(r"[\\/]", name)[-1].strip()


def _clip(name: str) -> str:
    """One printable line of at most 60 characters, the extension kept."""
    name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return name if len(name) <= 60 else f"{name[:44]}…{name[-15:]}"


def _refusal(label: str, problem: str, advice: str) -> ValueError:
    return ValueError(f"{label} {problem}: {advice}.")


def _open(label: str, data: bytes) -> tuple[ImageFile.ImageFile, tuple[int, int]]:
    """Read the header only. Returns the image, set to decode small if it is a large JPEG, and its full size."""
    try:
        # Pillow checks the size here: an error beyond 179 MP, a mere warning beyond 89. The warning may pass, because
        # no pixel is decoded before our own, lower cap; warnings.catch_warnings would not be thread-safe.
        image = Image.open(io.BytesIO(data), formats=[kind.upper() for kind in _EXTENSIONS])
        size = image.size
        image.draft("RGB", (MAX_SIDE, MAX_SIDE))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _refusal(label, *_TOO_LARGE) from None
    except UnidentifiedImageError:
        if _READ.match(data):
            raise _refusal(label, *_DAMAGED) from None
        kind = next((kind for kind, start in _FOREIGN if re.match(start, data[:2048], re.DOTALL)), None)
        problem = f"is in {kind} format, which cannot be read here" if kind else "is not a picture"
        raise _refusal(label, problem, "upload a PNG, JPEG, WebP, BMP, GIF or TIFF file") from None
    except _BAD_FILE:
        raise _refusal(label, *_DAMAGED) from None
    return image, size


def _check_extension(label: str, base: str, image: Image.Image) -> None:
    kind = {"MPO": "JPEG", "WEBP": "WebP"}.get(str(image.format), str(image.format))
    suffix = PurePosixPath(base).suffix.lower()
    # "10.15.32" and "photo.jpg (1)" have no extension: one is short, of letters and digits, with at least one letter.
    if re.fullmatch(r"\.(?=.*[a-z])[a-z0-9]{1,5}", suffix) and suffix not in _EXTENSIONS[kind]:
        advice = f"rename it so that it ends in {_EXTENSIONS[kind][0]} and upload it again"
        raise _refusal(label, f"is really a {kind} file", advice)


def _check_cost(label: str, image: ImageFile.ImageFile, size: tuple[int, int], data: bytes) -> None:
    """Refuse, before anything is decoded, what would need too many pixels, too much memory or too much time.

    The bytes a pixel were measured with Pillow 13; the limits on time stop files made to keep a server busy.
    """
    pixels, loaded = math.prod(size), math.prod(image.size) * _DEPTH.get(image.mode, 4)
    if pixels > MAX_PIXELS:
        raise _refusal(label, *_TOO_LARGE)
    memory, slow = loaded, len(image.tile) > _MAX_TILES
    if image.format == "WEBP":
        memory = 4 * loaded  # two canvases for animation, a copy as bytes, the image
    elif image.format == "TIFF":
        boxes = [tile.extents for tile in image.tile if tile.extents]
        if sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes) < pixels:
            raise _refusal(label, *_DAMAGED)  # Pillow would leave the missing strips black
        memory = 3 * loaded  # all in one strip, the image, its turned copy
    elif image.format == "BMP":
        slow |= len(data) > _MAX_RLE_BYTES and image.info.get("compression") in (1, 2)  # run lengths, read in Python
    elif isinstance(image, JpegImagePlugin.JpegImageFile) and (scans := _jpeg_scans(data)) > 1:
        blocks = [h * v for _, h, v, _ in image.layer]
        memory += 2 * pixels * sum(blocks) // max([1, *blocks])  # all coefficients as int16
        slow |= scans > _MAX_SCANS  # each scan passes over the whole picture, whatever its length
    if memory > _MAX_MEMORY or slow:
        advice = "save it as a plain JPEG, or reduce it to 2000 px, and upload that"
        raise _refusal(label, f"takes too much {'time' if slow else 'memory'} to decode", advice)


def _jpeg_scans(data: bytes) -> int:
    """Scans before the end of the first picture; segments are skipped, since thumbnails in them have scans too."""
    scans, marker = 0, _JPEG_MARKER.search(data, 2)
    while marker and marker[0] != b"\xff\xd9" and scans <= _MAX_SCANS:
        scans += marker[0] == b"\xff\xda"
        length = int.from_bytes(data[marker.end() : marker.end() + 2])
        marker = _JPEG_MARKER.search(data, marker.end() + length)
    return scans


def _pixels(image: Image.Image, size: tuple[int, int]) -> Upload:
    image.load()
    width, height = image.size
    factor = max(1, max(width, height) // MAX_SIDE)
    value_range = _value_range(image)
    canvas = Image.new("RGB", (math.ceil(width / factor), math.ceil(height / factor)))
    for left, top, block in _blocks(image, factor):
        canvas.paste(_flat(block, value_range).reduce(factor), (left // factor, top // factor))
    scale = min(1.0, MAX_SIDE / max(size))
    reduced = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    if canvas.size != reduced:
        canvas = canvas.resize(reduced, Image.Resampling.LANCZOS, box=(0, 0, width / factor, height / factor))
    orientation = _orientation(image)
    canvas.getexif()[ExifTags.Base.Orientation] = orientation
    upright = np.array(ImageOps.exif_transpose(canvas))  # (H, W, 3)
    shown = (size[1], size[0]) if orientation in (5, 6, 7, 8) else size
    return Upload(torch.from_numpy(upright).permute(2, 0, 1).contiguous(), shown)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))  # to a TIFF, load() has applied it: 1
    except _BAD_FILE:
        return 1  # metadata that cannot be read is no reason to refuse a picture that can


def _blocks(image: Image.Image, factor: int) -> Iterator[tuple[int, int, Image.Image]]:
    """The image in blocks whose sides are multiples of ``factor``, each with its left and top in px."""
    width, height = image.size
    side = factor * math.ceil(_BLOCK_SIDE / factor)
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield left, top, image.crop((left, top, min(left + side, width), min(top + side, height)))


def _value_range(image: Image.Image) -> tuple[float, float]:
    """The values that become 0 and 255, by the rule in :func:`decode_upload`; (0, 255) where nothing is rescaled."""
    if image.mode not in ("I", "F"):
        return (0.0, 65535.0) if image.mode.startswith("I;16") else (0.0, 255.0)
    low, high = math.inf, -math.inf
    for _, _, block in _blocks(image, 1):
        values = np.asarray(block, np.float64)
        finite = values[np.isfinite(values)]
        low, high = min(low, finite.min(initial=math.inf)), max(high, finite.max(initial=-math.inf))
    nominal = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    return next(((0.0, top) for top in nominal if low >= 0 and high <= top), (float(low), float(high)))


def _flat(block: Image.Image, value_range: tuple[float, float]) -> Image.Image:
    """The block as 8-bit L or RGB, without transparency."""
    if block.mode.startswith(("I", "F")):
        low, high = value_range
        values = np.asarray(block, np.float64)
        if block.mode == "F":
            values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
        scale = 255 / (high - low) if high > low else 0.0
        return Image.fromarray(np.rint((values - low) * scale).astype(np.uint8))
    if block.mode == "La":
        block = block.convert("LA")
    if block.has_transparency_data:
        block = block.convert("RGBA")
        white = Image.new("RGB", block.size, "white")
        white.paste(block, mask=block)
        return white
    return block.convert("L" if block.mode in ("1", "L") else "RGB")


@dataclass(frozen=True, eq=False)
class Picture:
    """A sample or a user's own picture. Two pictures are equal only if they are the same object.

    Args:
        name: a sample's name, or ``"mine"`` for a user's own.
        title: what the UI shows: ``"Astronaut"``, or the file name of an upload.
        load: gives the pixels, ``(3, H, W)`` uint8; called once, when they are first asked for.
        original_size: (width, height) in px of an upload before it was reduced.
        file: file name of an upload, for ``code``.
    """

    name: str
    title: str
    load: Callable[[], Tensor] = field(repr=False)
    original_size: tuple[int, int] | None = None
    file: str = field(default="", repr=False)

    @cached_property
    def pixels(self) -> Tensor:
        """Shape ``(3, H, W)``, uint8, RGB. Shared by all who read it: do not write into it."""
        return self.load()

    @property
    def own(self) -> bool:
        """Whether it is a user's own rather than a sample."""
        return self.name == "mine"

    @property
    def code(self) -> str:
        """Python expression for the pixels; for an upload it reads the file from the current folder at full size."""
        if not self.own:
            return _SAMPLE_FILES[self.name][2]
        if self.file.lower().endswith((*_EXTENSIONS["BMP"], *_EXTENSIONS["TIFF"])):  # torchvision reads neither
            array = f"torch.from_numpy(skimage.io.imread({self.file!r}))"  # (H, W) or (H, W, 3)
            return f"torch.atleast_3d({array}).permute(2, 0, 1).expand(3, -1, -1)"
        return f'torchvision.io.decode_image({self.file!r}, mode="RGB", apply_exif_orientation=True)'

    @property
    def imports(self) -> tuple[str, ...]:
        """Import statements that ``code`` needs."""
        modules = ("skimage.data", "skimage.io", "sklearn.datasets", "torch", "torchvision")
        return tuple(f"import {module}" for module in modules if f"{module}." in self.code)


_GREY, _RGB = "torch.from_numpy(skimage.data.{}()).expand(3, -1, -1)", "torch.from_numpy({}).permute(2, 0, 1)"
_SKLEARN = "torch.tensor(sklearn.datasets.load_sample_image({!r})).permute(2, 0, 1)"  # it is read-only: copied
_SAMPLE_FILES = {  # name: title, file in the installed package, code
    "astronaut": ("Astronaut", "skimage/data/astronaut.png", _RGB.format("skimage.data.astronaut()")),
    "chelsea": ("Cat", "skimage/data/chelsea.png", _RGB.format("skimage.data.chelsea()")),
    "coffee": ("Coffee cup", "skimage/data/coffee.png", _RGB.format("skimage.data.coffee()")),
    "motorcycle": (
        "Motorcycle",
        "skimage/data/motorcycle_left.png",
        _RGB.format("skimage.data.stereo_motorcycle()[0]"),
    ),
    "rocket": ("Rocket", "skimage/data/rocket.jpg", _RGB.format("skimage.data.rocket()")),
    "china": ("Temple", "sklearn/datasets/images/china.jpg", _SKLEARN.format("china.jpg")),
    "flower": ("Flower", "sklearn/datasets/images/flower.jpg", _SKLEARN.format("flower.jpg")),
    "camera": ("Cameraman (grey)", "skimage/data/camera.png", _GREY.format("camera")),
    "coins": ("Coins (grey)", "skimage/data/coins.png", _GREY.format("coins")),
    "brick": ("Brick wall (grey)", "skimage/data/brick.png", _GREY.format("brick")),
    "page": ("Printed page (grey)", "skimage/data/page.png", _GREY.format("page")),
}


def _load_sample(file: str) -> Tensor:
    package, _, path = file.partition("/")
    spec = importlib.util.find_spec(package)  # finds the folder without importing the package
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"The sample {path} is part of {package}, which is not installed.", name=package)
    with Image.open(Path(spec.origin).parent / path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).contiguous()


SAMPLES = {name: Picture(name, title, partial(_load_sample, file)) for name, (title, file, _) in _SAMPLE_FILES.items()}


def sample_names() -> tuple[str, ...]:
    """Names of the samples, in the order in which they are offered."""
    return tuple(SAMPLES)


def sample(name: str) -> Picture:
    """The sample called ``name``: one object for the whole process, read from disk when first looked at.

    Raises:
        ValueError: if there is no such sample.
    """
    if name not in SAMPLES:
        raise ValueError(f"name must be one of {', '.join(SAMPLES)}, got {name!r}.")
    return SAMPLES[name]


def own_picture(name: str, data: bytes) -> Picture:
    """A user's own picture from the name and content of the file, decoded at once by :func:`decode_upload`.

    Raises:
        ValueError: with one sentence for the user, if the file cannot be used.
    """
    upload, file = decode_upload(name, data), _base_name(name)
    return Picture("mine", _clip(file) or "Your picture", lambda: upload.pixels, upload.original_size, file)


def per_picture(fn: Callable[Concatenate[Picture, P], R]) -> Callable[Concatenate[Picture, P], R]:
    """Decorate ``fn(picture, *args)`` so that its results are kept as long as the picture, and no longer.

    What is derived from a user's picture thus dies with the session that owns it. Of each picture the 16 results used
    last are kept. The arguments must be hashable, and the result must not refer to the picture, or neither is freed.
    Threads that ask for the same result at the same time wait for one computation.
    """
    memo: weakref.WeakKeyDictionary[Picture, OrderedDict[Hashable, tuple[threading.RLock, list[R]]]]
    memo, lock = weakref.WeakKeyDictionary(), threading.Lock()

    @wraps(fn)
    def remembered(picture: Picture, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (args, tuple(sorted(kwargs.items())))
        with lock:
            results = memo.setdefault(picture, OrderedDict())
            computing, result = results.setdefault(key, (threading.RLock(), []))
            results.move_to_end(key)
            if len(results) > _MAX_RESULTS:
                results.popitem(last=False)
        with computing:
            if not result:
                result.append(fn(picture, *args, **kwargs))
            return result[0]

    return cast(Callable[Concatenate[Picture, P], R], remembered)
