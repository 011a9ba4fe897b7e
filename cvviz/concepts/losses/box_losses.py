"""Box losses: one start, five losses, and the way that gradient descent takes to the target under each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any

import pandas as pd
import torch
import torchvision
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from cvviz.concept import Concept, Preset
from cvviz.controls import XYXY, Boxes, Choice, Slider, Toggle
from cvviz.figures.box_losses import LOOKS, ON_MAP, START, TARGET, TITLES, descent_scene, map_scenes
from cvviz.figures.box_losses_words import formula_text, map_formula
from cvviz.figures.scene import Handles, Scene
from cvviz.ops import box_losses as ops
from cvviz.ops.boxes import box_iou, box_terms

WIDTH, HEIGHT, CELL = 480, 360, 20
STEPS = 80
ARRIVED = 0.9  # IoU
CHECKED = 5  # steps that the reference repeats
NUDGE = (1e-4, 2e-4, -3e-4, -4e-4)  # pixels
NAMES = ("Target", "Start")
SPACES = {
    "centre": "Centre, width, height",
    "corners": "Corners x1, y1, x2, y2",
    "log": "Centre, ln width, ln height",
}
UNITS = {"target": "Side of the target, √(wh)", "fixed": "100 px for every box"}


@dataclass(frozen=True, slots=True)
class Params:
    """Target and start, and how the start descends."""

    view: Annotated[str, Choice("View", {"descent": "One start", "map": "Map of starts"})] = "descent"
    t: Annotated[int, Slider("Iteration", 0, STEPS, 1, when=lambda p: p.view == "descent")] = 20
    boxes: Annotated[
        tuple[XYXY, XYXY],
        Boxes("Boxes", names=NAMES, width=WIDTH, height=HEIGHT, help="Drag them, pull a corner, or use arrow keys."),
    ] = ((200, 150, 320, 300), (40, 50, 130, 140))
    step: Annotated[float, Slider("Step size η", 0.01, 1, log=True)] = 0.15
    fade: Annotated[bool, Toggle("Step fades to 0", help="Along half a cosine; otherwise it stays.")] = True
    space: Annotated[str, Choice("Descend on", SPACES)] = "centre"
    unit: Annotated[str, Choice("Unit of these coordinates", UNITS)] = "target"
    optimizer: Annotated[str, Choice("Optimiser", {"sgd": "Plain SGD", "adam": "Adam"})] = "sgd"
    beta: Annotated[float, Slider("β of Smooth L1", 0.05, 1, 0.05, help="In units: square below it, line above.")] = 1.0


@dataclass(frozen=True, slots=True)
class Walk:
    """The descent from one start under each loss.

    Attributes:
        target: (4,) corners in pixels.
        boxes: (STEPS + 1, 5, 4) likewise, before every step and after the last.
        losses: (STEPS + 1, 5).
        slopes: (STEPS + 1, 5, 4) by the coordinates that descend, per unit.
        curves: (3, STEPS + 1, 5) IoU; distance of the centres in sides of the target; area over the target's.
    """

    target: Tensor
    boxes: Tensor
    losses: Tensor
    slopes: Tensor
    curves: Tensor

    @property
    def reached(self) -> list[int | None]:
        """First step at which each loss has brought the box to IoU 0.9."""
        return ops.first_steps(self.curves[0] >= ARRIVED)

    @property
    def settled(self) -> list[int | None]:
        """First step from which on each box keeps it."""
        return ops.first_steps((self.curves[0] >= ARRIVED).flip(0).cummin(0).values.flip(0))


@dataclass(frozen=True, slots=True)
class Result:
    """What is known at the settings.

    Attributes:
        walk: from the start.
        iterations: (5, rows, columns) steps to IoU 0.9 from every start of the map, NaN where it is missed, or None.
        checked: (CHECKED, 5, N, 9) of the first steps of N starts: corners in units, loss, slopes.
    """

    walk: Walk
    iterations: Tensor | None
    checked: Tensor

    @property
    def shares(self) -> dict[str, float]:
        """Share of the starts of the map that arrive, by loss."""
        rows = [] if self.iterations is None else self.iterations.flatten(1).isfinite().double().mean(1).tolist()
        return dict(zip(TITLES, rows, strict=False))


def compute(params: Params) -> Result:
    """The descent from the start; in the map's view also from every other place."""
    settings = replace(params, view="descent", t=0)  # which place the slider is at does not change the way
    way, checked = walk(settings)
    if params.view == "descent":
        return Result(way, None, checked)
    target, (x1, y1, x2, y2) = params.boxes
    iterations, checked = arrivals(replace(settings, boxes=(target, (0.0, 0.0, x2 - x1, y2 - y1))))
    return Result(way, iterations, checked)


@lru_cache(maxsize=32)
def walk(params: Params) -> tuple[Walk, Tensor]:
    """The descent from the start, and what the reference repeats of it."""
    target, start = torch.tensor(params.boxes, dtype=torch.float64)
    run, losses = descent(params, start[None])
    boxes = run.boxes[:, :, 0]
    iou = box_iou(boxes.reshape(-1, 4), target[None]).view(boxes.shape[:2])
    sizes, wanted = boxes[..., 2:] - boxes[..., :2], target[2:] - target[:2]
    offset = (boxes[..., :2] + boxes[..., 2:] - target[:2] - target[2:]) / 2
    distance = offset.square().sum(-1).sqrt() / wanted.prod().sqrt()
    curves = torch.stack([iou, distance, sizes.prod(-1) / wanted.prod()])
    return Walk(target, boxes, losses[..., 0], run.slopes[:, :, 0], curves), head(run, losses, unit_of(params))


@lru_cache(maxsize=8)
def arrivals(params: Params) -> tuple[Tensor, Tensor]:
    """Steps to IoU 0.9 from every cell of the map, and what the reference repeats. The start counts by its size."""
    target, start = torch.tensor(params.boxes, dtype=torch.float64)
    centers, half = map_centers(), (start[2:] - start[:2]) / 2
    run, losses = descent(params, torch.cat([centers - half, centers + half], dim=1))
    there = box_iou(run.boxes.reshape(-1, 4), target[None]).view(losses.shape) >= ARRIVED  # [S, 5, N]
    iterations = there.int().argmax(0).double().masked_fill(~there.any(0), math.nan)
    return iterations.view(len(LOOKS), HEIGHT // CELL, WIDTH // CELL), head(run, losses, unit_of(params))


def map_centers() -> Tensor:
    """(N, 2) centres of the cells of the map in pixels, row by row."""
    y, x = torch.meshgrid(*(torch.arange(CELL / 2, most, CELL) for most in (HEIGHT, WIDTH)), indexing="ij")
    return torch.stack([x, y], dim=-1).double().view(-1, 2)


def descent(params: Params, starts: Tensor) -> tuple[ops.Run, Tensor]:
    """Boxes and slopes of (N, 4) starts under each loss, and the losses (STEPS + 1, 5, N).

    Starts are shrunk by less than 0.001 px: an edge on the target's is a kink, where rounding would decide.
    """
    target, unit = torch.tensor(params.boxes[0], dtype=torch.float64), unit_of(params)
    settings: dict[str, Any] = {"coordinates": params.space, "unit": unit, "beta": params.beta}
    way: dict[str, Any] = {"step_size": params.step, "optimizer": params.optimizer, "fade": params.fade, "steps": STEPS}
    run = ops.descend(starts + torch.tensor(NUDGE, dtype=torch.float64), target, **way, **settings)
    rows = run.boxes.movedim(1, 0)  # [5, S, N, 4]
    losses = ops.box_losses(rows.flatten(1, 2), target, **settings).view(rows.shape[:3])
    return run, losses.movedim(0, 1)


def unit_of(params: Params) -> float:
    """Pixels in the unit of the coordinates."""
    x1, y1, x2, y2 = params.boxes[0]
    return math.sqrt((x2 - x1) * (y2 - y1)) if params.unit == "target" else 100.0


def head(run: ops.Run, losses: Tensor, unit: float) -> Tensor:
    """(CHECKED, 5, N, 9): corners in units, loss and slopes of the first steps."""
    parts = [run.boxes[:CHECKED] / unit, losses[:CHECKED, ..., None], run.slopes[:CHECKED]]
    return torch.cat(parts, dim=-1)


def reference(
    view: str,
    boxes: list[list[float]],
    step: float,
    fade: bool,
    space: str,
    unit: str,
    optimizer: str,
    beta: float,
    steps: int,
    horizon: int,
) -> Tensor:
    """Descent with torch.optim on torchvision's losses: corners in units, loss and gradient before every step."""
    target, start = torch.tensor(boxes, dtype=torch.float64)
    starts = start[None]
    if view == "map":
        x, y = torch.meshgrid(torch.arange(10, 480, 20), torch.arange(10, 360, 20), indexing="xy")
        centers, half = torch.stack([x.flatten(), y.flatten()], dim=1), (start[2:] - start[:2]) / 2
        starts = torch.cat([centers - half, centers + half], dim=1)
    starts = starts + torch.tensor([1e-4, 2e-4, -3e-4, -4e-4], dtype=torch.float64)  # off the kinks
    length = (target[2:] - target[:2]).prod().sqrt() if unit == "target" else 100.0
    goal = to_space(target / length, space)
    places = to_space(starts / length, space).repeat(5, 1, 1).requires_grad_()  # [5, N, 4]
    walker = (torch.optim.Adam if optimizer == "adam" else torch.optim.SGD)([places], lr=step)
    fading = torch.optim.lr_scheduler.CosineAnnealingLR(walker, T_max=horizon)
    rows = []
    for _ in range(steps):
        corners = to_corners(places, space) * length
        targets = target.expand_as(starts)
        losses = torch.stack(
            [
                smooth_l1_loss(places[0], goal.expand_as(starts), reduction="none", beta=beta).sum(1),
                1 - torchvision.ops.box_iou(corners[1], target[None])[:, 0],
                torchvision.ops.generalized_box_iou_loss(corners[2], targets),
                torchvision.ops.distance_box_iou_loss(corners[3], targets),
                torchvision.ops.complete_box_iou_loss(corners[4], targets),
            ]
        )
        places.grad = torch.autograd.grad(losses.sum(), places)[0]
        rows.append(torch.cat([corners.detach() / length, losses.detach()[..., None], places.grad], dim=2))
        walker.step()
        with torch.no_grad():
            places.copy_(kept_open(places, space))
        if fade:
            fading.step()
    return torch.stack(rows)


def to_space(corners: Tensor, space: str) -> Tensor:
    """Corners as the coordinates that descend."""
    if space == "corners":
        return corners
    size = corners[..., 2:] - corners[..., :2]
    center = (corners[..., 2:] + corners[..., :2]) / 2
    return torch.cat([center, size.log() if space == "log" else size], dim=-1)


def to_corners(places: Tensor, space: str) -> Tensor:
    """The way back."""
    if space == "corners":
        return places
    center, size = places[..., :2], places[..., 2:]
    half = (size.exp() if space == "log" else size) / 2
    return torch.cat([center - half, center + half], dim=-1)


def kept_open(places: Tensor, space: str) -> Tensor:
    """No side shorter than a hundredth of a unit."""
    if space == "log":
        return places
    near, far = places[..., :2], places[..., 2:]
    if space == "centre":
        return torch.cat([near, far.clamp(min=0.01)], dim=-1)
    lack = (0.01 - (far - near)).clamp(min=0) / 2
    return torch.cat([near - lack, far + lack], dim=-1)


def repeated(params: Params) -> Tensor:
    """(STEPS, 5) largest distance in pixels of an edge from where torchvision and torch.optim bring it."""
    params = replace(params, view="descent")
    result = compute(params)
    theirs = reference(**CONCEPT.reference_arguments(params, result) | {"steps": STEPS})[:, :, 0, :4]
    return (theirs * unit_of(params) - result.walk.boxes[:STEPS]).abs().amax(-1)


def ratio_pull(params: Params, result: Result) -> tuple[float, Tensor, Tensor]:
    """CIoU's alpha at the iteration shown, and its pushes by width and height with alpha constant, and differentiated.

    With D = 1 - IoU + v the penalty is v^2/D, and its slope (2 alpha - alpha^2) grad v + alpha^2 grad IoU.
    """
    way, unit = result.walk, unit_of(params)
    box = way.boxes[params.t, 4].expand(3, 1, 4)
    iou, diou, held = ops.box_loss_slopes(
        box, way.target, losses=("iou", "diou", "ciou"), coordinates="centre", unit=unit
    )[:, 0, 2:]
    v, overlap = float(box_terms(box[0], way.target[None]).aspect), float(way.curves[0, params.t, 4])
    alpha = v / (1 - overlap + v) if v else 0.0
    through = held + (1 - alpha) * (held - diou) - alpha**2 * iou  # iou holds the slope of 1 - IoU
    return alpha, -held, -through


def stage(params: Params, result: Result) -> Scene | list[Scene]:
    """The five boxes on their way, or the maps."""
    colors = (TARGET, START) if result.iterations is None else ON_MAP
    handles = Handles(field="boxes", boxes=params.boxes, names=NAMES, colors=colors)
    if result.iterations is None:
        iou = result.walk.curves[0, params.t].tolist()
        told = ", ".join(f"{title} {value:.2f}" for title, value in zip(TITLES, iou, strict=True))
        caption = f"Iteration {params.t} of {STEPS}. IoU: {told}"
        way, size = result.walk, (WIDTH, HEIGHT)
        return descent_scene(way.boxes, params.t, reached=way.reached, size=size, caption=caption, handles=handles)
    x1, y1, x2, y2 = params.boxes[1]
    return map_scenes(
        result.iterations,
        steps=STEPS,
        cell=CELL,
        titles=[f"{title}: {share:.0%} arrive" for title, share in result.shares.items()],
        start=((x1 + x2) / 2, (y1 + y2) / 2),
        handles=handles,
    )


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    x1, y1, x2, y2 = params.boxes[1]
    start = f"{x2 - x1:g} × {y2 - y1:g} px"
    if result.iterations is not None:
        shares = ", ".join(f"{title} {share:.0%}" for title, share in result.shares.items())
        return (
            f"Five maps of {result.iterations[0].numel()} starts of {start}, coloured by the iterations "
            f"to IoU 0.9. Share that arrives within {STEPS}: {shares}."
        )
    iou = result.walk.curves[0, params.t].tolist()
    parts = [
        f"{title} at {value:.2f} ({'never reaches 0.9' if step is None else f'0.9 at {step}'})"
        for title, value, step in zip(TITLES, iou, result.walk.reached, strict=True)
    ]
    return f"A start of {start} descends to its target. IoU at iteration {params.t}: {', '.join(parts)}."


def formula(params: Params, result: Result) -> str:
    """All terms at the iteration shown, each loss for its own box."""
    if result.iterations is not None:
        return map_formula(params.step, STEPS, fade=params.fade, adam=params.optimizer == "adam")
    way = result.walk
    box, goal = (to_space(place / unit_of(params), params.space) for place in (way.boxes[params.t, 0], way.target))
    return formula_text(way.losses[params.t].tolist(), way.boxes[params.t], way.target, (box - goal).tolist())


def table(_: Params, result: Result) -> pd.DataFrame:
    """One row per iteration and loss, or one per start of the map."""
    if result.iterations is not None:
        frame = pd.DataFrame(result.iterations.flatten(1).T.numpy(), columns=[f"{name}_iterations" for name in LOOKS])
        frame[["centre_x_px", "centre_y_px"]] = map_centers().numpy()
        return frame
    way = result.walk
    frame = pd.DataFrame(way.boxes.flatten(0, 1).numpy(), columns=["x1", "y1", "x2", "y2"])
    frame.insert(0, "iteration", [step for step in range(STEPS + 1) for _ in LOOKS])
    frame.insert(1, "loss", list(LOOKS) * (STEPS + 1))
    frame["iou"], frame["value"] = way.curves[0].flatten().numpy(), way.losses.flatten().numpy()
    return frame


PRESETS = {
    "Five ways to a target": Preset(
        Params(),
        "Play the iterations: GIoU arrives after 22, Smooth L1 after 26, DIoU after 37, CIoU after 39, and IoU never.",
    ),
    "GIoU grows first": Preset(
        Params(space="corners", step=0.2, t=22),
        "On corners GIoU swells to 3.3 times the target and shrinks onto it. DIoU swells too, later: 2.8 times at 42.",
    ),
    "Inside the target": Preset(
        Params(boxes=((120, 60, 380, 310), (150, 80, 220, 150)), t=4),
        "C is the target, so GIoU is IoU and both boxes are one until iteration 4. DIoU and CIoU go for the centre.",
    ),
    "Same centre, other ratio": Preset(
        Params(boxes=((200, 60, 280, 300), (120, 140, 360, 220)), t=20),
        "ρ is 0 and DIoU is IoU: 43 iterations for both. αv gets CIoU there in 33; GIoU, without such a term, in 21.",
    ),
    "Around the target": Preset(
        Params(boxes=((240, 150, 320, 220), (60, 30, 440, 330)), t=80),
        "From 20 times the area no overlap loss gets anywhere: IoU 0.05 after 80. On ln sizes with η = 0.3 all arrive.",
        failure=True,
    ),
    "No fade, no rest": Preset(
        Params(boxes=((200, 150, 320, 300), (120, 100, 230, 250)), fade=False, t=80),
        "All pass 0.9, but the overlap losses are as steep at the target as before it, and rattle. Smooth L1 rests.",
        failure=True,
    ),
    "Small boxes, 100 px unit": Preset(
        Params(boxes=((230, 160, 254, 190), (198, 140, 216, 158)), unit="fixed", t=8),
        "The first example at 1/5: Smooth L1 is 0.104 at the start; the large box has 2.275 in this unit. The other "
        "losses are the same, their steps 14 times as long for the box: GIoU's swells to 5.3 times the target.",
        failure=True,
    ),
    "Far away": Preset(
        Params(boxes=((390, 280, 460, 350), (10, 10, 70, 70)), t=80),
        "ρ²/c² and U/C flatten with distance: after 80 iterations all four overlap losses are still at IoU 0.",
        failure=True,
    ),
    "Adam": Preset(
        Params(optimizer="adam", step=0.05),
        "How steep a loss is no longer counts: each coordinate first moves 6.71 px, but for IoU, which has no slope.",
    ),
    "Map of starts": Preset(
        Params(view="map"),
        "Grey starts do not arrive. IoU needs an overlap: 28 %. GIoU arrives from 98 %, DIoU and CIoU from 91 %.",
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
    inputs=lambda *_: {"steps": CHECKED, "horizon": STEPS},
    checked=lambda result: result.checked,
    against="torchvision and torch.optim",
    tolerance=1e-6,
)
