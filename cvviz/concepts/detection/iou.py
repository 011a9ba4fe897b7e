"""IoU and its relatives: two boxes, every term of the four overlap measures, and the pull of each as a loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import torch
import torchvision
from torch import Tensor

from cvviz.concept import Claim, Concept, Evidence, Preset
from cvviz.controls import XYXY, Boxes, Choice, Image, Toggle
from cvviz.data.images import Picture, per_picture, sample
from cvviz.figures.iou import PREDICTION, TARGET, backdrop, overlap_scene
from cvviz.figures.scene import Handles, Scene
from cvviz.ops.boxes import box_area, box_iou, box_terms, complete_box_iou, distance_box_iou, generalized_box_iou

WIDTH, HEIGHT = 480, 360
NAMES = ("Target", "Prediction")
FLOWER, MOTORCYCLE = sample("flower"), sample("motorcycle")
MEASURES: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "iou": ("IoU", box_iou),
    "giou": ("GIoU", generalized_box_iou),
    "diou": ("DIoU", distance_box_iou),
    "ciou": ("CIoU", complete_box_iou),
}
TITLES = {key: title for key, (title, _) in MEASURES.items()}
# Name of each edge, and the way that it goes as its coordinate grows and shrinks.
EDGES = (("left", "right", "left"), ("top", "down", "up"), ("right", "right", "left"), ("bottom", "down", "up"))


@dataclass(frozen=True, slots=True)
class Params:
    """Two boxes, and how they are measured and shown."""

    boxes: Annotated[
        tuple[XYXY, XYXY],
        Boxes("Boxes", names=NAMES, width=WIDTH, height=HEIGHT, help="Drag them, pull a corner, or use arrow keys."),
    ] = ((110, 70, 350, 300), (230, 60, 360, 345))
    loss: Annotated[
        str, Choice("Terms and pull of", options=TITLES, help="Arrows: where descent on 1 − it pushes each edge.")
    ] = "iou"
    inclusive: Annotated[
        bool, Toggle("Old pixel convention (+1)", help="x2 and y2 are the last pixels inside: a width is x2 − x1 + 1.")
    ] = False
    picture: Annotated[Picture, Image("Picture")] = FLOWER


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of the two boxes.

    Attributes:
        target: (4,) corners as measured, in pixels.
        prediction: (4,) likewise.
        terms: intersection, union and the rest, in the order of ``BoxTerms``.
        covered: share of the target that the prediction covers, and share of the prediction inside the target.
        values: (4,) IoU, GIoU, DIoU, CIoU.
        slopes: (4, 4) derivative of 1 - each by x1, y1, x2, y2 of the prediction, per pixel.
        other_iou: IoU under the other pixel convention.
    """

    target: Tensor
    prediction: Tensor
    terms: tuple[float, ...]
    covered: tuple[float, float]
    values: Tensor
    slopes: Tensor
    other_iou: float


def corners(boxes: tuple[XYXY, ...], inclusive: bool) -> Tensor:
    """(N, 4) float64; under the old convention the last pixel of a box counts, so its far edges lie one further."""
    shift = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    return torch.tensor(boxes, dtype=torch.float64) + inclusive * shift


def pull(measure: Callable[[Tensor, Tensor], Tensor], prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Value of a measure for one pair of boxes, and the slope (4,) of 1 - it by the prediction's corners."""
    prediction = prediction.detach().requires_grad_()
    value = measure(prediction[None], target[None])[0, 0]
    (slope,) = torch.autograd.grad(1 - value, prediction)
    # Where terms cancel, rounding leaves something like 1e-16, which is no pull.
    return value.detach(), slope.masked_fill(slope.abs() < 1e-12, 0.0)


def compute(params: Params) -> Result:
    """Terms, values and slopes for the two boxes."""
    target, prediction = corners(params.boxes, params.inclusive)
    terms = tuple(term.item() for term in box_terms(prediction[None], target[None]))
    shares = (terms[0] / box_area(torch.stack([target, prediction]))).tolist()
    pulls = [pull(measure, prediction, target) for _, measure in MEASURES.values()]
    other_target, other_prediction = corners(params.boxes, not params.inclusive)
    return Result(
        target=target,
        prediction=prediction,
        terms=terms,
        covered=(shares[0], shares[1]),
        values=torch.stack([value for value, _ in pulls]),
        slopes=torch.stack([slope for _, slope in pulls]),
        other_iou=box_iou(other_prediction[None], other_target[None]).item(),
    )


def reference(boxes: list[list[float]], inclusive: bool) -> Tensor:
    """IoU, GIoU, DIoU and CIoU in rows: the value, and the slope of 1 - it by x1, y1, x2, y2 of the prediction."""
    target, prediction = torch.tensor(boxes, dtype=torch.float64)
    if inclusive:
        target, prediction = (box + torch.tensor([0.0, 0.0, 1.0, 1.0]) for box in (target, prediction))
    prediction.requires_grad_()
    losses = [
        1 - torchvision.ops.box_iou(prediction[None], target[None])[0, 0],
        torchvision.ops.generalized_box_iou_loss(prediction, target),
        torchvision.ops.distance_box_iou_loss(prediction, target),
        torchvision.ops.complete_box_iou_loss(prediction, target),
    ]
    slopes = [torch.autograd.grad(loss, prediction)[0] for loss in losses]
    values = 1 - torch.stack(losses).detach()
    return torch.cat([values[:, None], torch.stack(slopes)], dim=1)


@per_picture
def canvas(picture: Picture) -> Tensor:
    """The picture behind the boxes."""
    return backdrop(picture.pixels, WIDTH, HEIGHT)


def as_corners(box: Tensor) -> XYXY:
    """Corners as plain numbers."""
    x1, y1, x2, y2 = box.tolist()
    return x1, y1, x2, y2


def stage(params: Params, result: Result) -> Scene:
    """The boxes on the picture, with the terms and the pull of the chosen loss."""
    row = list(MEASURES).index(params.loss)
    slopes = result.slopes[row].tolist()
    loss = 1 - result.values[row].item()
    told = "arrows: where descent pushes each edge" if any(slopes) else "its gradient is zero"
    return overlap_scene(
        canvas(params.picture),
        target=as_corners(result.target),
        prediction=as_corners(result.prediction),
        terms=params.loss,
        slopes=slopes,
        caption=f"Loss 1 − {TITLES[params.loss]} = {loss:.3f}; {told}",
        handles=Handles(field="boxes", boxes=params.boxes, names=NAMES, colors=(TARGET, PREDICTION)),
    )


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    slopes = result.slopes[list(MEASURES).index(params.loss)].tolist()
    values = ", ".join(f"{title} {value:.3f}" for title, value in zip(TITLES.values(), result.values, strict=True))
    sizes = [f"{x2 - x1:g} × {y2 - y1:g} px" for x1, y1, x2, y2 in (result.target.tolist(), result.prediction.tolist())]
    # Descent goes against the slope: a positive slope pushes an edge to smaller coordinates.
    pushes = [f"{edge} edge {ways[slope > 0]}" for (edge, *ways), slope in zip(EDGES, slopes, strict=True) if slope]
    told = f"pushes the prediction's {', '.join(pushes)}" if pushes else "has no gradient"
    return (
        f"A target of {sizes[0]} and a prediction of {sizes[1]} share {result.terms[0]:g} px²: {values}. "
        f"The loss 1 − {TITLES[params.loss]} {told}."
    )


def formula(_: Params, result: Result) -> str:
    """The four measures with their terms filled in."""
    shared, union, enclosing, distance2, diagonal2, v = result.terms
    iou, giou, diou, ciou = result.values.tolist()
    alpha = v / (1 - iou + v) if v else 0.0
    angles = [math.degrees(math.atan2(box[2] - box[0], box[3] - box[1])) for box in (result.target, result.prediction)]
    return rf"""$$
\begin{{aligned}}
\mathrm{{IoU}} &= \frac{{I}}{{U}} = \frac{{{shared:g}}}{{{union:g}}} = {iou:.3f} \\[4pt]
\mathrm{{GIoU}} &= \mathrm{{IoU}} - \frac{{C - U}}{{C}}
  = {iou:.3f} - \frac{{{enclosing:g} - {union:g}}}{{{enclosing:g}}} = {giou:.3f} \\[4pt]
\mathrm{{DIoU}} &= \mathrm{{IoU}} - \frac{{\rho^2}}{{c^2}}
  = {iou:.3f} - \frac{{{distance2:g}}}{{{diagonal2:g}}} = {diou:.3f} \\[4pt]
\mathrm{{CIoU}} &= \mathrm{{DIoU}} - \alpha v = {diou:.3f} - {alpha:.3f} \cdot {v:.3f} = {ciou:.3f} \\[4pt]
v &= \Big(\frac{{\theta_t - \theta_p}}{{90^\circ}}\Big)^2
  = \Big(\frac{{{angles[0]:.1f}^\circ - {angles[1]:.1f}^\circ}}{{90^\circ}}\Big)^2 = {v:.3f} \\[4pt]
\alpha &= \frac{{v}}{{1 - \mathrm{{IoU}} + v}} = {alpha:.3f}, \qquad \theta = \arctan\frac{{w}}{{h}}
\end{{aligned}}
$$"""


def table(_: Params, result: Result) -> pd.DataFrame:
    """One row per measure: its value, the loss, and the slope of the loss along each corner coordinate."""
    slopes = {f"dloss/d{name} (1/px)": result.slopes[:, i].tolist() for i, name in enumerate(("x1", "y1", "x2", "y2"))}
    values = {"measure": list(TITLES.values()), "value": result.values.tolist(), "loss": (1 - result.values).tolist()}
    return pd.DataFrame(values | slopes)


BLOSSOM: XYXY = (110, 70, 350, 300)
WHEELS: tuple[XYXY, XYXY] = ((342, 194, 478, 332), (70, 182, 176, 290))

PRESETS = {
    "Half of each box": Preset(
        Params(boxes=(BLOSSOM, (230, 70, 470, 300))),
        "Each box covers half of the other, yet IoU is 1/3: of three halves in the union, one is shared.",
        failure=True,
    ),
    "Wrong wheel, IoU": Preset(
        Params(boxes=WHEELS, picture=MOTORCYCLE),
        "Drag the prediction anywhere on the left: the loss stays 1 and no edge is told where to go.",
        failure=True,
    ),
    "Wrong wheel, GIoU": Preset(
        Params(boxes=WHEELS, loss="giou", picture=MOTORCYCLE),
        "The empty grey part of C gives a pull, but look at the far edge: it is pushed away, so the box grows.",
    ),
    "Wrong wheel, DIoU": Preset(
        Params(boxes=WHEELS, loss="diou", picture=MOTORCYCLE),
        "A shorter centre line lowers the loss; so does a longer c, and the far edge is pushed away here too.",
    ),
    "Inside, off centre": Preset(
        Params(boxes=(BLOSSOM, (120, 80, 280, 195)), loss="giou"),
        "C is the target, nothing in it is empty, and GIoU is IoU: 1/3 wherever the small box lies. DIoU tells.",
        failure=True,
    ),
    "Same centre, other shape": Preset(
        Params(boxes=((110, 125, 350, 245), (170, 65, 290, 305)), loss="ciou"),
        "1/3 once more: DIoU equals IoU, and only CIoU sees the angle between the dashed diagonals.",
    ),
    "Half the side": Preset(
        Params(boxes=((110, 70, 350, 302), (170, 128, 290, 244)), loss="ciou"),
        "Same centre and shape at half the side: all four are 0.25, for v compares ratios and not sizes.",
        failure=True,
    ),
    "Touching": Preset(
        Params(boxes=((60, 90, 240, 270), (240, 90, 420, 270)), loss="giou"),
        "IoU is 0 and so is GIoU, since the boxes fill C; but only the slope of IoU is 0 as well.",
    ),
    "Small boxes, +1": Preset(
        Params(boxes=((218, 173, 242, 197), (224, 176, 248, 200)), inclusive=True),
        "Switch the old convention off: IoU falls from 0.502 to 0.488, and a match at 0.5 is lost.",
        failure=True,
    ),
}


def in_a_row(gap: float) -> Tensor:
    """(2, 4): a prediction of 100 x 100 px and its target, ``gap`` px to the right; a negative gap is an overlap."""
    return corners(((-100 - gap, 0, -gap, 100), (0, 0, 100, 100)), False)


def ciou_has_weights() -> Evidence:
    """The loss as torchvision has it, without alpha, and after a zoom."""
    draws = torch.rand(2, 500, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    prediction, target = torch.cat([100 * draws[..., :2], 100 * draws[..., :2] + 5 + 50 * draws[..., 2:]], dim=-1)
    ours = 1 - complete_box_iou(prediction, target).diagonal()
    error = (ours - torchvision.ops.complete_box_iou_loss(prediction, target)).abs().max().item()
    zoomed = (1 - complete_box_iou(10 * prediction, 10 * target).diagonal() - ours).abs().max().item()
    iou, v = box_iou(prediction, target).diagonal(), box_terms(prediction, target).aspect.diagonal()
    off = v - v * v / (1 - iou + v)
    return Evidence(
        error < 1e-6 and zoomed < 1e-6 and off.max().item() > 0.1,
        f"on 500 random pairs the full formula meets torchvision's loss within {error:.0e}; without α it is off by up "
        f"to {off.max():.2f}, {off.mean():.2f} on average. A zoom by 10 moves it by {zoomed:.0e}, ρ itself tenfold.",
    )


def ciou_is_blind_to_size() -> Evidence:
    """A box of twice the side about the same centre."""
    large, small = corners(((5, 5, 25, 25), (10, 10, 20, 20)), False)
    v = box_terms(large[None], small[None]).aspect.item()
    losses = {title: 1 - pull(measure, large, small)[0].item() for title, measure in MEASURES.values()}
    text = ", ".join(f"1 − {title} = {loss:.2f}" for title, loss in losses.items())
    return Evidence(v == 0 and math.isclose(losses["IoU"], losses["CIoU"]), f"at twice the side v = {v:g}: {text}.")


def half_is_a_third() -> Evidence:
    """Equal boxes that share a half and two thirds of each."""
    half, two_thirds = (pull(box_iou, *in_a_row(gap))[0].item() for gap in (-50, -200 / 3))
    return Evidence(
        math.isclose(half, 1 / 3) and math.isclose(two_thirds, 1 / 2),
        f"equal boxes that share 1/2 of each have IoU {half:.3f}; to reach {two_thirds:.3f} they share 2/3.",
    )


def slope_by_gap() -> Evidence:
    """Largest slope of 1 - IoU, overlapping and apart."""
    steep = {gap: pull(box_iou, *in_a_row(gap))[1].abs().max().item() for gap in (-50, -1, 1, 50)}
    text = ", ".join(f"{'overlap' if gap < 0 else 'gap'} {abs(gap)} px: {slope:.2g}" for gap, slope in steep.items())
    confirms = min(steep[-50], steep[-1]) > 1e-3 and steep[1] == steep[50] == 0
    return Evidence(confirms, f"largest slope per px of two 100-px boxes, {text}.")


def giou_of_nested() -> Evidence:
    """A box that wanders inside another of twice its side."""
    start = torch.arange(1.0, 50.0, dtype=torch.float64)
    inner, outer = torch.stack([start, start, start + 50, start + 50], dim=1), corners(((0, 0, 100, 100),), False)
    values = {title: measure(inner, outer) for title, measure in MEASURES.values()}
    same = (values["GIoU"] - values["IoU"]).abs().max().item()
    varies = {title: (value.max() - value.min()).item() for title, value in values.items()}
    return Evidence(
        max(same, varies["GIoU"]) < 1e-12 and varies["DIoU"] > 0.05,
        f"at {len(inner)} places of a box inside another, GIoU is {values['GIoU'].mean():.3f} and differs from IoU by "
        f"{same:.0e}; DIoU ranges over {varies['DIoU']:.3f}.",
    )


def far_edge() -> Evidence:
    """Push on the edge that faces away from the target, near and far."""
    pushes = {
        (title, gap): -1000 * pull(measure, *in_a_row(gap))[1][0].item()
        for title, measure in MEASURES.values()
        for gap in (10, 100)
    }
    text = ", ".join(f"{title} {pushes[title, 10]:+.2f} and {pushes[title, 100]:+.2f}" for title in ("GIoU", "DIoU"))
    return Evidence(
        max(pushes["GIoU", 10], pushes["GIoU", 100], pushes["DIoU", 100]) < 0 < pushes["DIoU", 10],
        f"push on the far edge towards the target, 10⁻³ per px, 100-px boxes with gaps of 10 and 100 px: {text}.",
    )


def plus_one() -> Evidence:
    """Both conventions on small and on large boxes."""
    pairs = [((0, 0, side, side), (off, off, side + off, side + off)) for side, off in ((10, 2), (200, 40))]
    plain, old = ([box_iou(*corners(boxes, way)[:, None]).item() for boxes in pairs] for way in (False, True))
    return Evidence(
        plain[0] < 0.5 < old[0] and old[1] - plain[1] < 0.002,
        f"10-px boxes off by 2 px: {plain[0]:.3f}, with +1 {old[0]:.3f}, across the threshold 0.5; 200-px boxes off by "
        f"40 px: {plain[1]:.4f}, with +1 {old[1]:.4f}.",
    )


CLAIMS = (
    Claim(
        "CIoU = 1 − IoU + distance + aspect ratio.",
        "true with conditions",
        "This is the loss, and both terms have weights: 1 − IoU + ρ²/c² + αv. Without c² the distance would depend on "
        "resolution; α fades the shape term while boxes hardly overlap, and no gradient flows through it.",
        ciou_has_weights,
        "Same centre, other shape",
    ),
    Claim(
        "CIoU penalises position, size and shape, each with a term of its own.",
        "wrong",
        "No term is for size. v compares ratios of width to height; a wrong size of right shape is left to IoU alone.",
        ciou_is_blind_to_size,
        "Half the side",
    ),
    Claim(
        "IoU 0.5 means that half of the object is covered.",
        "wrong",
        "The union grows as the intersection shrinks. Equal boxes need to share two thirds of each to reach 0.5.",
        half_is_a_third,
        "Half of each box",
    ),
    Claim(
        "IoU cannot serve as a loss, because it has no gradient.",
        "true with conditions",
        "It has none where the boxes share nothing. Where they overlap it has, and detectors have been trained on it.",
        slope_by_gap,
        "Wrong wheel, IoU",
    ),
    Claim(
        "GIoU always tells more than IoU.",
        "wrong",
        "Where one box lies inside the other the enclosing box is the outer box, and GIoU is IoU, value and gradient.",
        giou_of_nested,
        "Inside, off centre",
    ),
    Claim(
        "GIoU first grows a distant prediction; DIoU moves it straight to the target.",
        "true with conditions",
        "GIoU does push the far edge away. So does DIoU between distant boxes, since a longer diagonal c lowers ρ²/c² "
        "too; its far edge follows only nearby.",
        far_edge,
        "Wrong wheel, DIoU",
    ),
    Claim(
        "Whether a width is x2 − x1 or x2 − x1 + 1 makes no difference.",
        "misleading",
        "Little for large boxes. Small ones gain IoU from the +1, enough to cross a threshold.",
        plus_one,
        "Small boxes, +1",
    ),
)

CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets=PRESETS,
    table=table,
    formula=formula,
    reference=reference,
    checked=lambda result: torch.cat([result.values[:, None], result.slopes], dim=1),
    against="torchvision.ops",
    tolerance=1e-6,
    claims=CLAIMS,
)
