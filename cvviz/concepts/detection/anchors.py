"""Anchors: the grid, its matching to digits, what it covers, and how a box is coded; anchor-free points beside."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, NamedTuple

import numpy as np
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator

from cvviz.concept import Concept, Preset
from cvviz.controls import XYXY, Boxes, Choice, Many, Seed, Slider, Toggle
from cvviz.data.digit_pair import digit_pair
from cvviz.data.digit_scenes import digit_scene
from cvviz.figures.anchors import Assignment, anchor_rows, anchors_scene, faded, name, odds, points_scene, ranked
from cvviz.figures.scene import Scene
from cvviz.ops.anchor_coverage import best_anchor_iou
from cvviz.ops.anchors import anchor_grid, center_sampling, decode_boxes, encode_boxes, match_anchors
from cvviz.ops.boxes import box_iou
from cvviz.zoo.digit_detector import DigitDetector

SIDE = 160  # px of a scene
SCENES = 100  # over which the recall is measured
OWN = "own"
STRIDES = {"4": "4 px", "8": "8 px", "16": "16 px", "32": "32 px"}
RATIOS = {"0.33": "1 : 3", "0.5": "1 : 2", "1": "1 : 1", "1.5": "3 : 2", "2": "2 : 1", "3": "3 : 1"}
Pair = tuple[XYXY, XYXY]


def _is_own(params: Params) -> bool:
    return params.family == OWN


@dataclass(frozen=True, slots=True)
class Params:
    """Digits, the anchors over them, and the rules by which both meet."""

    source: Annotated[str, Choice("Digits", options={"hand": "By hand", "scene": "Scene"})] = "hand"
    boxes: Annotated[
        Pair,
        Boxes("Boxes of the digits", names=("A", "B"), width=SIDE, height=SIDE, when=lambda p: p.source == "hand"),
    ] = ((26, 40, 60, 90), (108, 70, 117, 114))
    seed: Annotated[int, Seed(when=lambda p: p.source == "scene")] = 0
    density: Annotated[float, Slider("Crowding", 0, 1, 0.1, when=lambda p: p.source == "scene")] = 0.5
    high: Annotated[float, Slider("Positive from an IoU of", 0, 1, 0.01)] = 0.5
    low: Annotated[
        float,
        Slider("Negative below an IoU of", 0, 1, 0.01, help="Anchors between the two are ignored. At most the other."),
    ] = 0.4
    best_match: Annotated[
        bool, Toggle("Best match as well", help="Each digit also takes the anchor that fits it best, however badly.")
    ] = True
    family: Annotated[str, Choice("Anchors", options={OWN: "Set below", "detector": "Digit detector's"})] = OWN
    strides: Annotated[
        tuple[str, ...],
        Many("Levels, by stride", options=STRIDES, help="Distance of neighbouring centres.", when=_is_own),
    ] = ("8", "16")
    scale: Annotated[
        float,
        Slider(
            "Size of an anchor", 0.5, 8, 0.5, unit="strides", help="Square root of the smallest area.", when=_is_own
        ),
    ] = 2.0
    octave: Annotated[
        int, Slider("Sizes per level", 1, 3, 1, help="2 adds the size times √2, 3 those times ∛2 and ∛4.", when=_is_own)
    ] = 2
    ratios: Annotated[tuple[str, ...], Many("Height : width", options=RATIOS, when=_is_own)] = ("1", "2")
    placed: Annotated[
        str,
        Choice(
            "Centred on",
            options={"corner": "Cell corners", "middle": "Cell middles"},
            help="Corners as in torchvision, with whole px.",
            when=_is_own,
        ),
    ] = "corner"
    shown: Annotated[
        int, Slider("Anchor that is encoded", 1, 30, 1, help="Place among the positive ones, best IoU first.")
    ] = 1
    radius: Annotated[
        float, Slider("Sampling radius of points", 0.5, 8, 0.25, unit="strides", help="Anchor-free, on the right.")
    ] = 1.5
    reach: Annotated[
        float,
        Slider(
            "Farthest edge of points",
            1,
            16,
            0.5,
            unit="strides",
            help="A level takes distances from half of this up to this; the first also less, the last also more.",
        ),
    ] = 4.0


class Layout(NamedTuple):
    """Arguments of ``anchor_grid``."""

    strides: tuple[int, ...]
    sizes: tuple[tuple[float, ...], ...]
    ratios: tuple[float, ...]
    offset: float
    rounded: bool


def layout(params: Params) -> Layout:
    """The anchors that are asked for."""
    if not _is_own(params):
        model = DigitDetector  # which centres its anchors on the middles of cells
        return Layout(model.strides, model.sizes, model.ratios, offset=0.5, rounded=False)
    strides = tuple(map(int, params.strides))
    steps = [params.scale * 2 ** (step / params.octave) for step in range(params.octave)]
    sizes = tuple(tuple(stride * step for step in steps) for stride in strides)
    corner = params.placed == "corner"
    return Layout(strides, sizes, tuple(map(float, params.ratios)), 0.0 if corner else 0.5, rounded=corner)


def ground_truth(params: Params) -> tuple[Tensor, Tensor]:
    """A picture, and the boxes of the digits in it."""
    if params.source == "hand":
        return digit_pair(params.boxes, SIDE), torch.tensor(params.boxes, dtype=torch.float32)
    scene = digit_scene(params.seed, density=params.density, size=SIDE)
    return faded(scene.pixels), scene.boxes


def compute(params: Params) -> Assignment:
    """Anchors, their matches, the code of one of them, and the points."""
    pixels, truth = ground_truth(params)
    grid = layout(params)
    levels = anchor_grid((SIDE, SIDE), **grid._asdict())
    anchors = torch.cat(levels)
    iou = box_iou(truth, anchors)
    matches = match_anchors(iou, high=params.high, low=min(params.low, params.high), best_match=params.best_match)
    positive = ranked(matches, iou.amax(dim=0))
    chosen = positive[min(params.shown, len(positive)) - 1] if positive else None
    pick = [chosen] if chosen is not None else []
    anchor = anchors[pick].double()
    deltas = encode_boxes(truth[matches[pick]].double(), anchor)
    return Assignment(
        pixels=pixels,
        truth=truth,
        strides=grid.strides,
        offset=grid.offset,
        anchors=anchors,
        levels=torch.arange(len(levels)).repeat_interleave(torch.tensor(list(map(len, levels)))),
        iou=iou,
        matches=matches,
        high=params.high,
        chosen=chosen,
        deltas=deltas,
        decoded=decode_boxes(deltas, anchor),
        points=center_sampling(
            truth,
            (SIDE, SIDE),
            strides=grid.strides,
            ranges=ranges(grid.strides, params.reach),
            radius=params.radius,
            offset=grid.offset,
        ),
    )


def ranges(strides: tuple[int, ...], reach: float) -> list[tuple[float, float]]:
    """Distances of each level to the farthest edge, in px: torchvision's, with ``reach`` in place of its 8."""
    last = len(strides) - 1
    return [
        (reach * stride / 2 if level else 0.0, reach * stride if level < last else math.inf)
        for level, stride in enumerate(strides)
    ]


def inputs(params: Params, result: Assignment) -> dict[str, object]:
    """The digits, the layout in numbers, and which anchor is encoded."""
    grid = layout(params)
    return {
        "truth": result.truth.tolist(),
        "side": SIDE,
        "strides": list(grid.strides),
        "sizes": [list(sizes) for sizes in grid.sizes],
        "ratios": list(grid.ratios),
        "offset": grid.offset,
        "rounded": grid.rounded,
        "chosen": result.chosen,
    }


def reference(
    truth: list[list[float]],
    side: int,
    strides: list[int],
    sizes: list[list[float]],
    ratios: list[float],
    offset: float,
    rounded: bool,
    high: float,
    low: float,
    best_match: bool,
    chosen: int | None,
    radius: float,
    reach: float,
) -> Tensor:
    """All anchors, their matches, the code and the box of the chosen one, and the matches of all points, in a row."""
    levels = zip(strides, sizes, strict=True)
    anchors = torch.cat([grid(side, stride, some, ratios, offset, rounded) for stride, some in levels])
    boxes = torch.tensor(truth)
    matches = Matcher(high, min(low, high), best_match)(torchvision.ops.box_iou(boxes, anchors))
    parts = [anchors.flatten(), matches]
    if chosen is not None:
        coder, anchor = BoxCoder((1.0, 1.0, 1.0, 1.0)), anchors[chosen, None].double()
        code = coder.encode_single(boxes[matches[chosen], None].double(), anchor)
        parts += [code[0], coder.decode_single(code, anchor)[0]]
    for level, stride in enumerate(strides):
        low_end = reach * stride / 2 if level else 0.0
        high_end = reach * stride if stride != strides[-1] else np.inf
        parts.append(points(truth, side, stride, offset, radius, low_end, high_end))
    return torch.cat([part.double() for part in parts])


def grid(side: int, stride: int, sizes: list[float], ratios: list[float], offset: float, rounded: bool) -> Tensor:
    """Anchors of one level. Middles of cells are every second crossing of a grid twice as fine."""
    fine = 1 if rounded else 2**22  # torchvision rounds to whole px: if they are as small as this, to nothing
    generator = AnchorGenerator((tuple(fine * size for size in sizes),), (tuple(ratios),))
    generator.cell_anchors[0] /= fine
    cells, first = 2 * side // stride, round(2 * offset)
    (anchors,) = generator.grid_anchors([[cells, cells]], [[stride // 2, stride // 2]])
    level: Tensor = anchors.view(cells, cells, -1, 4)[first::2, first::2].reshape(-1, 4)
    return level


def points(
    truth: list[list[float]], side: int, stride: int, offset: float, radius: float, low: float, high: float
) -> Tensor:
    """The digit of each point of one level, -1 for none."""
    x1, y1, x2, y2 = np.array(truth).T
    place = (np.arange(side // stride) + offset) * stride
    x, y = np.tile(place, len(place))[:, None], np.repeat(place, len(place))[:, None]
    edges = np.stack([x - x1, y - y1, x2 - x, y2 - y])
    near = np.maximum(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) < radius * stride
    fits = near & (edges.min(0) > 0) & (edges.max(0) > low) & (edges.max(0) < high)
    area = np.where(fits, (x2 - x1) * (y2 - y1), np.inf)
    return torch.from_numpy(np.where(fits.any(1), area.argmin(1), -1))


def checked(result: Assignment) -> Tensor:
    """What the reference says, from the result."""
    code = [result.deltas.flatten(), result.decoded.flatten()] if result.chosen is not None else []
    parts = [result.anchors.flatten(), result.matches, *code, result.points.matches]
    return torch.cat([part.double() for part in parts])


@lru_cache(maxsize=1)
def many_digits() -> Tensor:
    """(N, 4) boxes of all digits of the first test scenes."""
    return torch.cat([digit_scene(seed, noise=0.0, size=SIDE).boxes for seed in range(SCENES)])


def coverage(params: Params) -> dict[str, Tensor]:
    """Best IoU of every digit of many scenes with any anchor: of all, and of thirds by height."""
    boxes = many_digits()
    best = best_anchor_iou(boxes, (SIDE, SIDE), **layout(params)._asdict())
    heights = boxes[:, 3] - boxes[:, 1]
    small, large = heights.quantile(torch.tensor([1 / 3, 2 / 3])).tolist()
    return {
        f"All {len(boxes)} digits": best,
        f"up to {small:g} px high": best[heights <= small],
        "between": best[(heights > small) & (heights <= large)],
        f"above {large:g} px": best[heights > large],
    }


def stage(params: Params, result: Assignment) -> tuple[Scene, Scene]:
    """Anchors beside points."""
    return anchors_scene(result, field="boxes" if params.source == "hand" else ""), points_scene(result)


def describe(_: Params, result: Assignment) -> str:
    """What the stage shows now."""
    positive, strides = len(result.positive), " and ".join(map(str, result.strides))
    lost, unseen = (
        ", ".join(name(digit) for digit, found in enumerate(counts) if not found) or "none"
        for counts in (result.per_digit, result.points_per_digit)
    )
    return (
        f"{len(result.truth)} digits under {len(result.matches):,} anchors at strides of {strides} px: {positive:,} "
        f"positive, {len(result.ignored):,} ignored, positive to negative {odds(result.negative, positive)}; digits "
        f"without an anchor: {lost}. Right: {int((result.points.matches >= 0).sum()):,} of "
        f"{len(result.points.matches):,} points are positive, {result.ambiguous} of them claimed by several digits; "
        f"digits without a point: {unseen}."
    )


def formula(params: Params, result: Assignment) -> str:
    """The code of the chosen anchor, there and back, and the distances of a point."""
    if result.chosen is None or result.digit is None:
        return "No anchor is positive: no digit is learned from, and there is no box to encode."
    (x, y, w, h), (xa, ya, wa, ha) = map(_centered, (result.truth[result.digit], result.anchors[result.chosen]))
    tx, ty, tw, th = result.deltas[0].tolist()
    iou = result.best[result.chosen].item()
    rule = rf"\ge {params.high:.2f}" if iou >= params.high else rf"< {params.high:.2f} \text{{: best match}}"
    rows = [
        rf"\mathrm{{IoU}} &= {iou:.3f} {rule}",
        rf"t_x &= \frac{{x - x_a}}{{w_a}} = \frac{{{x:.4g} - {xa:.4g}}}{{{wa:.4g}}} = {tx:.3f}",
        rf"t_y &= \frac{{y - y_a}}{{h_a}} = \frac{{{y:.4g} - {ya:.4g}}}{{{ha:.4g}}} = {ty:.3f}",
        rf"t_w &= \ln\frac{{w}}{{w_a}} = \ln\frac{{{w:.4g}}}{{{wa:.4g}}} = {tw:.3f}",
        rf"t_h &= \ln\frac{{h}}{{h_a}} = \ln\frac{{{h:.4g}}}{{{ha:.4g}}} = {th:.3f}",
        rf"x &= x_a + w_a t_x = {xa + wa * tx:.4g}, \quad w = w_a e^{{t_w}} = {wa * math.exp(tw):.4g}",
    ]
    text = rf"Anchor $a$ of digit {name(result.digit)}:" + "\n\n" + _aligned(rows)
    if result.point is None:
        return text + f"\n\nNo point is to find digit {name(result.digit)}."
    left, top, right, bottom = result.points.ltrb[result.point].tolist()
    central = result.points.centerness[result.point].item()
    across, down = (rf"\frac{{{min(pair):.4g}}}{{{max(pair):.4g}}}" for pair in ((left, right), (top, bottom)))
    rows = [
        rf"(l, t, r, b) &= ({left:.4g},\ {top:.4g},\ {right:.4g},\ {bottom:.4g}) \text{{ px}}",
        rf"\text{{centre-ness}} &= \sqrt{{{across}\cdot{down}}} = {central:.3f}",
    ]
    return text + f"\n\nIts most central point, on the right, without an anchor:\n\n{_aligned(rows)}"


def _centered(box: Tensor) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box.tolist()
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def _aligned(rows: list[str]) -> str:
    return "$$\n\\begin{aligned}\n" + "\\\\[4pt]\n".join(rows) + "\n\\end{aligned}\n$$"


SCENE = Params(source="scene", seed=45)
SLIM = Params()
LONE: XYXY = (104, 84, 117, 118)
PRESETS = {
    "Two digits": Preset(
        SLIM, "A has four anchors from 0.5 on; B is so slim that only best match finds any: drag them."
    ),
    "No best match": Preset(
        replace(SLIM, best_match=False),
        "B's best anchors, at 0.46, lie between the thresholds: they are ignored, and nothing learns to find B.",
        failure=True,
    ),
    "A scene": Preset(SCENE, "Of 2,000 anchors 35 have a digit to find: 56 of background for each of them."),
    "RPN's thresholds": Preset(
        replace(SCENE, high=0.7, low=0.3),
        "Only D and F reach 0.7: best match finds the other five, and 111 are ignored.",
    ),
    "Too large": Preset(
        replace(SCENE, scale=4.0, octave=1),
        "No digit of up to 25 px gets to 0.5 (curve below), and G has not even an anchor: its best ones fit D better.",
        failure=True,
    ),
    "Too tall": Preset(
        Params(boxes=((20, 90, 54, 140), (92, 16, 104, 136))),
        "B is ten times as high as wide: its best IoU is 0.29. Add 3 : 1, and it is 0.38; points need no ratio.",
        failure=True,
    ),
    "Between levels": Preset(
        Params(boxes=((30, 40, 66, 88), LONE), strides=("8", "32"), octave=1, best_match=False, reach=3.0),
        "A is too large for stride 8 and too small for 32, on both sides. Add 16 px, and both find it.",
        failure=True,
    ),
    "Touched by none": Preset(
        Params(boxes=((40, 20, 84, 84), (107, 108, 118, 117)), strides=("32",), scale=0.5, octave=1, ratios=("1",)),
        "B's best IoU is 0, which all 25 anchors have: best match makes every one positive, and gives it to A.",
        failure=True,
    ),
    "Two in one place": Preset(
        Params(boxes=((60, 66, 100, 94), (68, 60, 92, 100)), ratios=("0.5", "1", "2"), radius=1.0),
        "Two shapes of anchor about one centre keep both digits; the one point there goes to the smaller, B.",
        failure=True,
    ),
    "Digit detector's": Preset(
        replace(SCENE, family="detector"),
        "Sizes and ratios as digits have them: 99.7 % of them reach 0.5. The price: 172 of background for each.",
    ),
}
CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets=PRESETS,
    table=lambda _, result: anchor_rows(result),
    formula=formula,
    reference=reference,
    inputs=inputs,
    checked=checked,
    against="torchvision and numpy",
)
