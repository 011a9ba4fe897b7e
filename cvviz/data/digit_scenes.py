"""Scenes with handwritten digits on photographs, whose true boxes are known: what the digit detector sees.

The digits are the 1,797 scans of 8 x 8 pixels that scikit-learn ships, enlarged smoothly; the backgrounds are cut from
the sample photographs. Scans and photographs of the split "train" never appear in "test". Neither scikit-learn nor
scikit-image is imported: both are read from the packages' folders.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvviz.data.images import sample
from cvviz.ops.checks import check_range

Split = Literal["train", "test"]

MOST_DIGITS = 14
SMALLEST, LARGEST = 14.0, 56.0  # px, height of a digit's ink
MOST_IOU = 0.7  # of two digits' boxes
NOISE = 50.0  # grey levels, the largest standard deviation
PHOTOS: dict[Split, tuple[str, ...]] = {
    "train": ("astronaut", "chelsea", "china", "brick", "rocket"),
    "test": ("coffee", "flower", "camera"),
}
_LAST_TRAINING_SCAN = 1347  # three quarters; the rest of the file are test scans
_GLYPH_SCALE = 10  # px of a glyph per px of its scan: the largest digit is not enlarged a second time
_INK = 0.5  # opacity from which a pixel counts as ink
_OUTSIDE = 0.15  # of a digit's width or height may lie beyond the border
_VISIBLE = 0.55  # of a digit's ink is covered by no other
_TRIES = 30

Floats = NDArray[np.float32]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class DigitScene:
    """A scene.

    Args:
        pixels: (3, S, S) uint8, RGB.
        boxes: (N, 4) float32, x1, y1, x2, y2 in px: the extent of each digit's ink within the picture, including ink
            that a later digit covers.
        labels: (N,) int64, 0 to 9. Later digits are drawn over earlier ones.
    """

    pixels: Tensor
    boxes: Tensor
    labels: Tensor


class _Digit(NamedTuple):
    scan: int
    opacity: Floats  # (h, w), the part within the picture
    window: Box  # where that part lies
    box: Box  # of its ink


class _Canvas(NamedTuple):
    pixels: Floats  # (S, S, 3), 0 to 255
    owner: NDArray[np.int64]  # (S, S), which digit's ink shows there; -1 where none does
    digits: list[_Digit]
    colors: list[Floats]


def digit_scene(
    seed: int, *, split: Split = "test", density: float = 0.5, noise: float = 0.2, size: int = 160
) -> DigitScene:
    """The scene of one seed.

    Args:
        seed: 0 or more.
        split: which scans and photographs it is made of.
        density: in [0, 1]; from one digit to about ``MOST_DIGITS``, and from none overlapping to boxes that overlap
            with an IoU of up to ``MOST_IOU``, often of one class.
        noise: in [0, 1]; the standard deviation of the grey levels is ``NOISE`` times it.
        size: width and height in px, at least 64; fewer digits fit into a small scene.

    Returns:
        The scene; the last ones asked for are kept, so do not write into it.

    Raises:
        ValueError: if an argument is out of range or ``split`` is unknown.

    Example:
        >>> scene = digit_scene(0, density=0.0)
        >>> scene.pixels.shape, len(scene.labels)
        (torch.Size([3, 160, 160]), 1)

    Reference:
        E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, 1998, https://doi.org/10.24432/C50P49
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}.")
    if split not in get_args(Split):
        raise ValueError(f'split must be "train" or "test", got {split!r}.')
    check_range(density, "density", 0, 1)
    check_range(noise, "noise", 0, 1)
    if size < 64:
        raise ValueError(f"size must be at least 64 px, got {size}.")
    return _scene(seed, split, density, noise, size)


def scans(split: Split) -> range:
    """Places in scikit-learn's digits of the scans that a split uses."""
    return range(_LAST_TRAINING_SCAN) if split == "train" else range(_LAST_TRAINING_SCAN, len(_digits()[1]))


@lru_cache(maxsize=16)
def _scene(seed: int, split: Split, density: float, noise: float, size: int) -> DigitScene:
    generator = np.random.default_rng([seed, split == "test"])
    canvas = _Canvas(_background(generator, split, size), np.full((size, size), -1), [], [])
    for _ in range(_count(generator, density)):
        digit = _find_place(generator, canvas, split, density)
        if digit:
            _paint(canvas, digit, _color(generator, canvas, digit))
    grain = generator.standard_normal(canvas.pixels.shape, dtype=np.float32)
    pixels = np.rint((canvas.pixels + NOISE * noise * grain).clip(0, 255)).astype(np.uint8)
    return DigitScene(
        torch.from_numpy(pixels).permute(2, 0, 1).contiguous(),
        torch.tensor([digit.box for digit in canvas.digits], dtype=torch.float32),
        _digits()[1][[digit.scan for digit in canvas.digits]],
    )


def _count(generator: np.random.Generator, density: float) -> int:
    return round((1 + (MOST_DIGITS - 1) * density) * generator.uniform(1 - 0.3 * density, 1))


def _find_place(generator: np.random.Generator, canvas: _Canvas, split: Split, density: float) -> _Digit | None:
    """A digit that overlaps no other by more than the density allows; none if none was found."""
    most = MOST_IOU * density
    for _ in range(_TRIES):
        beside = bool(canvas.digits) and generator.random() < 0.6 * density
        digit = _beside(generator, canvas, split) if beside else _anywhere(generator, split, len(canvas.owner))
        if digit and all(_iou(digit.box, other.box) <= most for other in canvas.digits) and _leaves(canvas, digit):
            return digit
    return None


def _anywhere(generator: np.random.Generator, split: Split, size: int) -> _Digit | None:
    scan = int(generator.choice(scans(split)))
    height = SMALLEST * (min(LARGEST, 0.5 * size) / SMALLEST) ** generator.random() ** 0.7
    x, y = generator.uniform(0, size, 2)
    return _cut(scan, _enlarge(generator, scan, height), x, y, size)


def _beside(generator: np.random.Generator, canvas: _Canvas, split: Split) -> _Digit | None:
    """A digit of about the size of one that is there, close to it, and in half of the cases of its class."""
    other = canvas.digits[generator.integers(len(canvas.digits))]
    x1, y1, x2, y2 = other.window
    alike = generator.random() < 0.5
    scan = int(generator.choice(_of_class(split, int(_digits()[1][other.scan])) if alike else scans(split)))
    height = float(np.clip((y2 - y1) * generator.uniform(0.85, 1.15), SMALLEST, LARGEST))
    angle, distance = generator.uniform(0, 2 * np.pi), generator.uniform(0.2, 1)
    x = (x1 + x2) / 2 + distance * (x2 - x1) * np.cos(angle)
    y = (y1 + y2) / 2 + distance * (y2 - y1) * np.sin(angle) * 0.6
    return _cut(scan, _enlarge(generator, scan, height), x, y, len(canvas.owner))


def _cut(scan: int, opacity: Floats, x: float, y: float, size: int) -> _Digit | None:
    """The part within the picture of a digit with its centre at (x, y); none if too much of it lies outside."""
    rows, columns = opacity.shape
    left, top = round(x - columns / 2), round(y - rows / 2)
    x1, y1, x2, y2 = max(0, left), max(0, top), min(size, left + columns), min(size, top + rows)
    if x2 - x1 < (1 - _OUTSIDE) * columns or y2 - y1 < (1 - _OUTSIDE) * rows:
        return None
    part = opacity[y1 - top : y2 - top, x1 - left : x2 - left]
    dx1, dy1, dx2, dy2 = _extent(part)
    return _Digit(scan, part, (x1, y1, x2, y2), (x1 + dx1, y1 + dy1, x1 + dx2, y1 + dy2))


def _leaves(canvas: _Canvas, digit: _Digit) -> bool:
    """Whether enough of the ink of every digit under this one would still show."""
    x1, y1, x2, y2 = digit.window
    covered = canvas.owner[y1:y2, x1:x2][digit.opacity >= _INK]
    for place in np.unique(covered[covered >= 0]):
        ink = np.count_nonzero(canvas.digits[place].opacity >= _INK)
        left = np.count_nonzero(canvas.owner == place) - np.count_nonzero(covered == place)
        if left < _VISIBLE * ink:
            return False
    return True


def _color(generator: np.random.Generator, canvas: _Canvas, digit: _Digit) -> Floats:
    """An ink that differs in lightness from what lies under it, and in colour from the inks that it touches."""
    x1, y1, x2, y2 = digit.box
    paper = canvas.pixels[y1:y2, x1:x2].mean(axis=(0, 1))
    inks = generator.uniform(0, 255, (32, 3)).astype(np.float32)
    contrast = np.abs((inks - paper) @ np.array([0.3, 0.6, 0.1], np.float32))
    enough = contrast >= generator.uniform(45, 110)
    for other, color in zip(canvas.digits, canvas.colors, strict=True):
        if _iou(digit.box, other.box) > 0:
            enough &= np.linalg.norm(inks - color, axis=1) >= 100
    return np.asarray(inks[np.argmax(enough) if enough.any() else np.argmax(contrast)])


def _paint(canvas: _Canvas, digit: _Digit, color: Floats) -> None:
    x1, y1, x2, y2 = digit.window
    canvas.pixels[y1:y2, x1:x2] += digit.opacity[..., None] * (color - canvas.pixels[y1:y2, x1:x2])
    canvas.owner[y1:y2, x1:x2][digit.opacity >= _INK] = len(canvas.digits)
    canvas.digits.append(digit)
    canvas.colors.append(color)


def _background(generator: np.random.Generator, split: Split, size: int) -> Floats:
    """A square of a photograph, (S, S, 3), at a random scale, flattened in contrast."""
    photo = _photo(PHOTOS[split][generator.integers(len(PHOTOS[split]))])
    side = int(generator.uniform(0.35, 1) * min(photo.shape[:2]))
    top, left = (int(generator.integers(length - side + 1)) for length in photo.shape[:2])
    crop = cv2.resize(photo[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
    if generator.random() < 0.5:
        crop = crop[:, ::-1]
    mean = crop.mean(axis=(0, 1), dtype=np.float32)
    return np.asarray(mean + generator.uniform(0.35, 0.9) * (crop - mean), dtype=np.float32)


def _enlarge(generator: np.random.Generator, scan: int, height: float) -> Floats:
    """Opacity of the digit with ink of a given height, slightly wider or narrower than written."""
    glyph = _glyph(scan)
    width = height / glyph.shape[0] * glyph.shape[1] * generator.uniform(0.85, 1.15)
    shape = max(4, round(width)), round(height)
    # By area over large steps, since a glyph is always reduced: no stroke is skipped.
    return np.asarray(cv2.resize(glyph, shape, interpolation=cv2.INTER_AREA), dtype=np.float32)


@lru_cache(maxsize=2048)
def _glyph(scan: int) -> Floats:
    """Opacity of one scan, enlarged and cut to its ink."""
    padded = np.pad(_digits()[0][scan], 1)
    side = padded.shape[0] * _GLYPH_SCALE
    smooth = cv2.resize(padded, (side, side), interpolation=cv2.INTER_CUBIC)
    opacity = ((smooth - 0.4) / 0.25).clip(0, 1)  # ink has a border, a scan only shades
    x1, y1, x2, y2 = _extent(opacity)
    return np.asarray(opacity[y1:y2, x1:x2], dtype=np.float32)


def _extent(opacity: Floats) -> Box:
    rows, columns = (np.flatnonzero((opacity >= _INK).any(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _iou(box: Box, other: Box) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(0, width) * max(0, height)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (box, other)]
    return shared / (sum(areas) - shared)


@lru_cache(maxsize=8)
def _photo(name: str) -> NDArray[np.uint8]:
    return np.ascontiguousarray(sample(name).pixels.permute(1, 2, 0).numpy())


@lru_cache(maxsize=1)
def _digits() -> tuple[Floats, Tensor]:
    """All scans, (1797, 8, 8) in [0, 1], and their classes."""
    spec = importlib.util.find_spec("sklearn")  # finds the folder without importing the package
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("The digits are part of scikit-learn, which is not installed.", name="sklearn")
    table = np.loadtxt(Path(spec.origin).parent / "datasets/data/digits.csv.gz", delimiter=",", dtype=np.float32)
    return table[:, :-1].reshape(-1, 8, 8) / np.float32(16), torch.from_numpy(table[:, -1].astype(np.int64))


@lru_cache(maxsize=20)
def _of_class(split: Split, label: int) -> NDArray[np.int64]:
    return np.array([scan for scan in scans(split) if _digits()[1][scan] == label])
