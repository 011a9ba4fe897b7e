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

from cvviz.concept import Concept, Preset
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
    "Half covered": Preset(
        Params(),
        "Pull an edge of the prediction to the target's: its arrow does not fade out there, it flips as the "
        "edge passes.",
    ),
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
)
