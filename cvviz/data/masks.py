"""Photographs with the mask of what is to be segmented, cut from the pictures that scikit-image and scikit-learn ship.

Nobody drew these masks: a threshold at a fixed grey level of the cut makes them, so that they can be made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvviz.data.digit_scenes import _glyph
from cvviz.data.images import _load_sample
from cvviz.ops.mask_shapes import Loops, boundary_distance, mask_outline

SIDE = 32  # cells of a mask
PHOTO_SIDE = 160  # px of its photograph

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class MaskedPhoto:
    """A photograph and its mask.

    Args:
        title: what it is.
        photo: (3, PHOTO_SIDE, PHOTO_SIDE) uint8.
        mask: (SIDE, SIDE) bool.
        distance: (SIDE, SIDE) how far the mask must grow to take in each cell, see ``boundary_distance``.
        outline: closed lines around it, in cells.
    """

    title: str
    photo: Tensor
    mask: Tensor
    distance: Tensor
    outline: Loops


class _Cut(NamedTuple):
    """A square of a picture, and what in it counts as the object."""

    title: str
    file: str
    left: int
    top: int
    side: int
    rule: Literal["above", "largest", "below", "hollow", "none"]
    level: float  # grey level; for "hollow" how much darker than its surroundings


_CUTS = {
    "coins": _Cut("Four coins", "skimage/data/coins.png", 74, 103, 110, "above", 105),
    "cell": _Cut("Cell", "skimage/data/cell.png", 270, 230, 290, "above", 150),
    "horse": _Cut("Horse", "skimage/data/horse.png", 0, 0, 0, "below", 128),
    "vessels": _Cut("Blood vessels, thin", "skimage/data/retina.jpg", 400, 150, 340, "hollow", 6),
    "galaxy": _Cut("Galaxy, small", "skimage/data/hubble_deep_field.jpg", 750, 434, 90, "largest", 105),
    "sky": _Cut("Empty sky", "skimage/data/hubble_deep_field.jpg", 690, 680, 50, "none", 0),
}
DIGIT, SCAN = "digit", 3
TITLES = {name: cut.title for name, cut in _CUTS.items()} | {DIGIT: "Handwritten digit"}


@lru_cache(maxsize=len(TITLES))
def masked_photo(name: str) -> MaskedPhoto:
    """The photograph called ``name`` with its mask; made once.

    Raises:
        ValueError: if there is no such photograph.
    """
    if name not in TITLES:
        raise ValueError(f"name must be one of {', '.join(TITLES)}, got {name!r}.")
    photo, inside = _digit() if name == DIGIT else _cut(_CUTS[name])
    share = cv2.resize(inside, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    shown = np.rint(cv2.resize(photo, (PHOTO_SIDE, PHOTO_SIDE), interpolation=cv2.INTER_AREA)).astype(np.uint8)
    pixels = torch.from_numpy(shown).permute(2, 0, 1).contiguous()
    mask = torch.from_numpy(share >= 0.5)
    return MaskedPhoto(TITLES[name], pixels, mask, boundary_distance(mask), mask_outline(mask))


def _cut(cut: _Cut) -> tuple[Floats, Floats]:
    """(S, S, 3) photograph in 0 to 255, and (S, S) 1 where the object is."""
    whole = _load_sample(cut.file).permute(1, 2, 0).numpy().astype(np.float32)
    if cut.side:
        photo = whole[cut.top : cut.top + cut.side, cut.left : cut.left + cut.side]
    else:  # all of it, on a square of its own colour
        border = max(whole.shape[:2])
        rest = [border - length for length in whole.shape[:2]]
        photo = np.pad(whole, [*((gap // 2 + 12, gap - gap // 2 + 12) for gap in rest), (0, 0)], mode="edge")
    photo = np.ascontiguousarray(photo)
    smooth = cv2.GaussianBlur(photo[..., 1], (0, 0), cut.side / 150 + 0.5)
    match cut.rule:
        case "above":
            inside = smooth > cut.level
        case "largest":  # of the pieces above the level
            _, pieces, stats, _ = cv2.connectedComponentsWithStats((smooth > cut.level).astype(np.uint8))
            inside = pieces == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        case "below":
            inside = smooth < cut.level
        case "hollow":
            inside = cv2.GaussianBlur(smooth, (0, 0), cut.side / 20) - smooth > cut.level
        case _:
            inside = np.zeros(smooth.shape, dtype=bool)
    return photo, inside.astype(np.float32)


def _digit() -> tuple[Floats, Floats]:
    """A scan in the middle of an empty sheet."""
    glyph = np.asarray(_glyph(SCAN))
    side = max(glyph.shape) + 24
    ink = np.zeros((side, side), dtype=np.float32)
    top, left = ((side - length) // 2 for length in glyph.shape)
    ink[top : top + glyph.shape[0], left : left + glyph.shape[1]] = glyph
    return np.repeat((240 - 190 * ink)[..., None], 3, axis=2), (ink > 0.5).astype(np.float32)
