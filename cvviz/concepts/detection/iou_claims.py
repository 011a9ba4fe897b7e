"""Sentences from interview notes, judged by measurements; see ``iou``."""

from __future__ import annotations

import math

import torch
import torchvision
from torch import Tensor

from cvviz.concept import Claim, Evidence, magnitude
from cvviz.concepts.detection.iou import MEASURES, corners, pull
from cvviz.ops.boxes import box_iou, box_terms, complete_box_iou


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
        f"on 500 random pairs the full formula meets torchvision's loss within {magnitude(error)}; without α it is off "
        f"by up to {off.max():.2f}, {off.mean():.2f} on average. A zoom by 10 moves it by {magnitude(zoomed)}, ρ "
        "itself tenfold.",
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
        f"{same:.1g}; DIoU ranges over {varies['DIoU']:.3f}.",
    )


def far_edge() -> Evidence:
    """Push on the edge that faces away from the target, near and far."""
    pushes = {
        (title, gap): -1000 * pull(measure, *in_a_row(gap))[1][0].item()
        for title, measure in MEASURES.values()
        for gap in (10, 100)
    }
    text = ", ".join(f"{title} {pushes[title, 10]:+.2f} and {pushes[title, 100]:+.2f}" for title in ("GIoU", "DIoU"))
    text = text.replace("-", "−")
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
