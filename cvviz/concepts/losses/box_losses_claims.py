"""Sentences from interview notes, judged by measurements; see ``box_losses``."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from cvviz.concept import Claim, Evidence, magnitude
from cvviz.concepts.losses.box_losses import STEPS, Params, Result, compute
from cvviz.figures.box_losses import TITLES
from cvviz.ops.box_losses import LOSSES, box_loss_slopes, box_losses, descend
from cvviz.ops.boxes import box_iou, box_terms

ROWS = {title: row for row, title in enumerate(TITLES)}


def boxes(*rows: tuple[float, ...]) -> Tensor:
    """(N, 4) in float64."""
    return torch.tensor(rows, dtype=torch.float64)


def earlier(result: Result, one: str, other: str) -> tuple[float, float]:
    """Share of the starts of the map from which ``one`` arrives before ``other``, and after it."""
    assert result.iterations is not None
    first, second = (result.iterations[ROWS[title]].nan_to_num(STEPS + 1) for title in (one, other))
    return float((first < second).double().mean()), float((first > second).double().mean())


def missing_boxes() -> Evidence:
    """40 steps from starts that share nothing with the target."""
    draws = torch.rand(300, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    starts = torch.cat([300 * draws[:, :2], 300 * draws[:, :2] + 10 + 60 * draws[:, 2:]], dim=1)
    (target,) = boxes((150, 150, 230, 210))
    starts = starts[box_iou(starts, target[None])[:, 0] == 0]
    run = descend(starts, target, step_size=0.15, losses=("iou", "giou"), coordinates="centre", steps=40, unit=70)
    moved = (run.boxes[-1] - run.boxes[0]).abs().amax(-1)
    return Evidence(
        float(moved[0].max()) == 0 < float(moved[1].min()),
        f"{len(starts)} starts apart from the target, 40 steps: 1 − IoU moves the farthest by {moved[0].max():g} px, "
        f"1 − GIoU even the laziest by {moved[1].min():.1f} px.",
    )


def fading_pull() -> Evidence:
    """Push of GIoU and DIoU on the centre by the gap, in sides of two equal boxes; and of GIoU inside the target."""
    (target,) = boxes((0, 0, 1, 1))
    gaps = (1, 3, 10)
    rows = boxes(*((1 + gap, 0.1, 2 + gap, 1.1) for gap in gaps)).expand(2, -1, 4)
    slopes = box_loss_slopes(rows, target, losses=("giou", "diou"), coordinates="centre")[..., 0]
    inside = boxes((0.1, 0.2, 0.5, 0.6)).expand(2, 1, 4)
    nested = box_loss_slopes(inside, target, losses=("giou", "iou"))
    same = float((nested[0] - nested[1]).abs().max())
    text = "; ".join(
        f"{title} {', '.join(f'{slope:.3f}' for slope in row)}"
        for title, row in zip(("GIoU", "DIoU"), slopes.tolist(), strict=True)
    )
    return Evidence(
        bool((slopes > 0).all()) and bool((slopes[:, 0] > 10 * slopes[:, 2]).all()) and same < 1e-12,
        f"pull on the centre at gaps of 1, 3 and 10 sides: {text}. Inside the target GIoU − IoU = {same:g}.",
    )


def growth() -> Evidence:
    """Largest area on the way, by what descends."""
    most = {
        space: compute(Params(space=space, step=0.2)).walk.curves[2].max(0).values.tolist()
        for space in ("corners", "centre")
    }
    text = "; ".join(
        f"on {name} GIoU {areas[ROWS['GIoU']]:.2f} ×, DIoU {areas[ROWS['DIoU']]:.2f} ×"
        for name, areas in zip(("corners", "centre and size"), most.values(), strict=True)
    )
    corners, centre = most["corners"], most["centre"]
    return Evidence(
        corners[ROWS["GIoU"]] > corners[ROWS["DIoU"]] > 2 > centre[ROWS["GIoU"]],
        f"largest area of the first example over the target's, η = 0.2: {text}.",
    )


def who_is_first() -> Evidence:
    """GIoU against DIoU over the map of starts at two step sizes."""
    slow, fast = (earlier(compute(Params(view="map", step=step)), "DIoU", "GIoU") for step in (0.15, 0.3))
    return Evidence(
        slow[0] < slow[1] and fast[0] > fast[1],
        f"of 432 starts DIoU reaches IoU 0.9 before GIoU from {slow[0]:.0%} and after it from {slow[1]:.0%} with "
        f"η = 0.15; with η = 0.3 before it from {fast[0]:.0%}, after it from {fast[1]:.0%}.",
    )


def ratio_helps() -> Evidence:
    """CIoU against DIoU from starts of about the target's ratio, and of another."""
    target = Params().boxes[0]
    starts = {"0.8, the target's": (40.0, 50.0, 136.0, 170.0), "3": (40.0, 50.0, 160.0, 90.0)}
    maps = {name: compute(Params(view="map", boxes=(target, start))) for name, start in starts.items()}
    shares = {name: earlier(result, "CIoU", "DIoU") for name, result in maps.items()}
    text = "; ".join(f"ratio {name}: before it from {a:.0%}, after it from {b:.0%}" for name, (a, b) in shares.items())
    alike, other = shares.values()
    return Evidence(max(alike) < 0.1 and other[0] > other[1] > 0.02, f"CIoU against DIoU over 432 starts, {text}.")


def same_loss_other_iou() -> Evidence:
    """All boxes whose edges are each 30 px off."""
    (target,) = boxes((200, 150, 320, 300))
    off = target + 30 * boxes(*product((-1, 1), repeat=4))
    smooth = box_losses(off[None], target, losses=("smooth_l1",), unit=100)[0]
    iou = box_iou(off, target[None])[:, 0]
    spread = float(smooth.max() - smooth.min())
    return Evidence(
        spread < 1e-9 and float(iou.max() - iou.min()) > 0.15,
        f"16 boxes with every edge 30 px off a target of 120 × 150 px: Smooth L1 {smooth[0]:.3f} for all, "
        f"IoU from {iou.min():.2f} to {iou.max():.2f}.",
    )


def zoomed() -> Evidence:
    """Losses and slopes per pixel of the first example and of the same at a fifth."""
    target, start = boxes(*Params().boxes)
    pairs = [(start * zoom, target * zoom) for zoom in (1.0, 0.2)]
    large, small = (box_losses(box.expand(5, 1, 4), to, unit=100)[:, 0] for box, to in pairs)
    steep = [box_loss_slopes(box.expand(5, 1, 4), to)[ROWS["GIoU"]].norm() for box, to in pairs]
    same = float((large[1:] - small[1:]).abs().max())
    return Evidence(
        same < 1e-6 and abs(float(steep[1] / steep[0]) - 5) < 1e-6,
        f"zoomed to a fifth, Smooth L1 (unit 100 px) falls from {large[0]:.2f} to {small[0]:.2f}, the overlap losses "
        f"change by {magnitude(same)}; the slope of GIoU per pixel is {steep[1] / steep[0]:.1f} times as steep.",
    )


def alpha_in_the_gradient() -> Evidence:
    """Slope of CIoU by the corners with alpha constant and differentiated, by autograd."""
    target, box = boxes((200, 60, 280, 300), (120.001, 140, 360, 220))
    held = box_loss_slopes(box.expand(len(LOSSES), 1, 4), target)[ROWS["CIoU"], 0]
    free = box.clone().requires_grad_()
    iou, terms = box_iou(free[None], target[None])[0, 0], box_terms(free[None], target[None])
    v = terms.aspect[0, 0]
    loss = 1 - iou + terms.center_distance2[0, 0] / terms.diagonal2[0, 0] + v / (1 - iou + v) * v
    (through,) = torch.autograd.grad(loss, free)
    change = float((through - held).norm() / held.norm())
    alpha = float((v / (1 - iou + v)).detach())
    return Evidence(
        change > 0.05,
        f"same centre, ratios 1/3 and 3, α = {alpha:.2f}: differentiated too, the gradient changes by {change:.0%} of "
        f"its length, and it then pays α² = {alpha**2:.2f} of the slope of IoU to lose overlap.",
    )


CLAIMS = (
    Claim(
        "With 1 − IoU as the loss, a box that misses its target is never pulled in.",
        "true",
        "Its slope is exactly 0 there, not small: Adam cannot enlarge it either.",
        missing_boxes,
        "Five ways to a target",
    ),
    Claim(
        "GIoU solves IoU's vanishing gradient.",
        "true with conditions",
        "It has a slope wherever boxes are apart, one that fades with distance. Inside the target it is IoU again.",
        fading_pull,
        "Far away",
    ),
    Claim(
        "GIoU grows the box until it overlaps; DIoU moves it without growing.",
        "true with conditions",
        "GIoU grows it most, yet a longer diagonal lowers ρ²/c² too, so DIoU's box grows as well. By how much depends "
        "on the coordinates that descend: on centre and size both grow little.",
        growth,
        "GIoU grows first",
    ),
    Claim(
        "DIoU converges faster than GIoU.",
        "true with conditions",
        "It depends on start and step size: with short steps GIoU is more often first here, with long ones DIoU.",
        who_is_first,
        "Map of starts",
    ),
    Claim(
        "CIoU converges faster than DIoU.",
        "true with conditions",
        "More often than not where the ratios differ. Where they agree v is 0 and the two are one loss.",
        ratio_helps,
        "Same centre, other ratio",
    ),
    Claim(
        "A smaller Smooth L1 on the coordinates means a larger IoU.",
        "wrong",
        "It sums four errors as if they were unrelated; the same sum can be a shifted or a shrunken box.",
        same_loss_other_iou,
    ),
    Claim(
        "Overlap losses are scale-invariant, so small and large boxes train alike.",
        "misleading",
        "Their values are. Per pixel a small box's slope is steeper by the zoom. Coordinates in units of the box even "
        "that out, and do so for Smooth L1 as well.",
        zoomed,
        "Small boxes, 100 px unit",
    ),
    Claim(
        "α in CIoU is detached only to save computation.",
        "wrong",
        "Differentiated, the penalty has the slope (2α − α²)∇v + α²∇IoU: twice the pull on the ratio where α is small, "
        "and a reward for less overlap.",
        alpha_in_the_gradient,
        "Same centre, other ratio",
    ),
)
