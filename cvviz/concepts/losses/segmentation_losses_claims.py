"""Sentences from interview notes, judged by measurements; see ``segmentation_losses``."""

from __future__ import annotations

from functools import lru_cache

import torch
from sklearn.metrics import confusion_matrix, f1_score
from torch import Tensor

from cvviz.concept import Claim, Evidence, magnitude
from cvviz.concepts.losses.segmentation_losses import CONCEPT, Params, Result, compute, study_of
from cvviz.data.masks import SIDE
from cvviz.ops.segmentation_descent import logit_slopes
from cvviz.ops.segmentation_losses import (
    Loss,
    Options,
    dice_loss,
    focal_tversky_loss,
    mask_counts,
    segmentation_loss,
    tversky_loss,
)
from cvviz.zoo.faint_discs import Lesson, train


def shown(name: str) -> Result:
    """Result of a preset."""
    result: Result = compute(CONCEPT.presets[name].params)
    return result


@lru_cache(maxsize=1)
def lessons() -> tuple[Lesson, ...]:
    """Networks trained under BCE and Dice."""
    return train(("bce", "dice"), Options(), 0, lambda *_: None)


def object_of(count: int) -> Tensor:
    """(H, W) mask whose first pixels are the object."""
    return (torch.arange(SIDE * SIDE) < count).double().view(SIDE, SIDE)


def _dice() -> Evidence:
    _, study = study_of(Params())
    t, p = study.target.flatten().int().numpy(), study.p.flatten()
    found = (p >= 0.5).int().numpy()
    theirs, ours, iou = float(f1_score(t, found)), float(study.hard.dice), float(study.hard.iou)
    both, weights = [*t, *t], torch.cat([p, 1 - p]).numpy()
    (_, fp), (fn, tp) = confusion_matrix(both, [1] * len(t) + [0] * len(t), sample_weight=weights)
    soft = 2 * tp / (2 * tp + fp + fn)
    half, rare = torch.full((SIDE, SIDE), 0.5).double(), object_of(10)
    sums, squares = (
        float(dice_loss(half, rare, squared=squared, smooth_nr=0, smooth_dr=0)) for squared in (False, True)
    )
    text = (
        f"Disc on the cell: Dice {ours:.4f}, scikit-learn's F1 {theirs:.4f}, 2J/(1 + J) {2 * iou / (1 + iou):.4f}; "
        f"soft Dice {float(study.soft.dice):.4f}, from scikit-learn's weighted counts {soft:.4f}. p = 0.5 on 1 % "
        f"object: loss {sums:.3f} with sums below the line, {squares:.3f} with squares."
    )
    agree = abs(ours - theirs) + abs(ours - 2 * iou / (1 + iou)) + abs(float(study.soft.dice) - soft)
    return Evidence(agree < 1e-9 and sums - squares > 0.01, text)


def _accuracy() -> Evidence:
    study = shown("99 % right").study
    right, dice = float(study.hard.accuracy), float(study.hard.dice)
    text = f"Nothing found of an object of 1 % of the pixels: {right:.2%} of the pixels right, Dice {dice:.2f}."
    return Evidence(right > 0.99 and dice == 0, text)


def _imbalance() -> Evidence:
    bce, dice = (item.course.tolist() for item in lessons())
    text = (
        f"Networks trained on discs of 1.4 % of the pixels, mean Dice on others at 0.5: after 5 epochs {bce[4]:.2f} "
        f"under BCE and {dice[4]:.2f} under Dice, after {len(bce)} {bce[-1]:.2f} and {dice[-1]:.2f}."
    )
    return Evidence(bce[4] < 0.1 and dice[4] > 0.4 and abs(bce[-1] - dice[-1]) < 0.1, text)


def _probabilities() -> Evidence:
    bce, dice = (item.judgement for item in lessons())
    text = (
        f"Predicted probability and observed share differ on average, over test pixels of p ≥ 0.05, by {bce.gap:.3f} "
        f"under BCE and {dice.gap:.3f} under Dice."
    )
    return Evidence(dice.gap > 2 * bce.gap, text)


def _ranking() -> Evidence:
    generator = torch.Generator().manual_seed(0)
    masks = [(torch.rand(500, 8, 8, generator=generator) < share).double() for share in (0.4, 0.5)]
    counts = mask_counts(*masks)
    one_order = bool((counts.dice.argsort(stable=True) == counts.iou.argsort(stable=True)).all())
    target = object_of(100).expand(2, SIDE, SIDE)
    even = torch.stack([object_of(43), object_of(43)])
    uneven = torch.stack([object_of(100), object_of(10)])
    scores = [mask_counts(masks, target) for masks in (even, uneven)]
    (dice_even, dice_uneven), (iou_even, iou_uneven) = (
        [float(getattr(score, name).mean()) for score in scores] for name in ("dice", "iou")
    )
    text = (
        f"500 random masks: {'one order' if one_order else 'two orders'}. Means over two pictures: an even model has "
        f"Dice {dice_even:.3f} and IoU {iou_even:.3f}, an uneven one {dice_uneven:.3f} and {iou_uneven:.3f}."
    )
    return Evidence(one_order and dice_even > dice_uneven and iou_even < iou_uneven, text)


def _tversky() -> Evidence:
    _, study = study_of(Params())

    def gap(of_tversky: float, of_dice: float) -> float:
        pairs: tuple[tuple[Loss, float], ...] = (("tversky", of_tversky), ("dice", of_dice))
        values = [
            segmentation_loss(study.p, study.target, name, Options(smooth_nr=s, smooth_dr=s)) for name, s in pairs
        ]
        return float((values[0] - values[1]).abs())

    exact, same, twice = gap(0, 0), gap(10, 10), gap(10, 20)
    text = (
        f"Tversky with α = β = 0.5 less Dice: {magnitude(exact)} without smoothing, {same:.3f} with s = 10 in both, "
        f"{magnitude(twice)} with s = 20 in Dice."
    )
    return Evidence(exact < 1e-12 and twice < 1e-12 and same > 1e-3, text)


def _smoothing() -> Evidence:
    nothing = torch.zeros(SIDE, SIDE).double()
    missed = {size: float(dice_loss(nothing, object_of(size), smooth_nr=1, smooth_dr=1)) for size in (1, 10, 100)}
    pushes = [
        float(
            logit_slopes(
                torch.full((1, SIDE, SIDE), -3.0).double(), nothing, ["dice"], Options(smooth_nr=s, smooth_dr=s)
            ).sum()
        )
        for s in (1e-5, 1.0)
    ]
    text = (
        f"s = 1, object missed entirely: loss {missed[1]:.2f} at 1 pixel, {missed[10]:.2f} at 10, {missed[100]:.2f} "
        f"at 100. Empty target, p = 0.05 everywhere: sum of pushes {magnitude(pushes[0])} with s = 10⁻⁵, "
        f"{pushes[1]:.3f} with s = 1."
    )
    return Evidence(missed[1] == 0.5 and missed[100] > 0.98 and pushes[1] > 1e4 * pushes[0], text)


def _sure() -> Evidence:
    study = shown("Sure mistake").study
    wrong = [0.5, 0.1, 0.01, 0.001]
    logits = study.p.logit()
    rows: dict[str, list[float]] = {}
    names: tuple[Loss, ...] = ("bce", "dice")
    at = tuple(study.target.nonzero()[0].tolist())
    for name in names:
        slopes = []
        for p in wrong:
            moved = logits.clone()
            moved[at] = torch.tensor(p).double().logit()
            slopes.append(-float(logit_slopes(moved[None], study.target, [name])[(0, *at)]))
        rows[name] = [slope / slopes[0] for slope in slopes]
    told = {name: ", ".join(f"{share:.2f}" for share in row) for name, row in rows.items()}
    parts = f"BCE {told['bce']}; Dice {told['dice']}"
    text = f"Push on an object's pixel at p = 0.5, 0.1, 0.01, 0.001 over that at 0.5: {parts}."
    return Evidence(rows["bce"][-1] > 1.9 and rows["dice"][-1] < 0.01, text)


def _focal() -> Evidence:
    t = object_of(100)
    ratios: dict[float, list[float]] = {}
    for gamma in (4 / 3, 0.5):
        for hit in (0.95, 0.05):
            p = (0.01 + (hit - 0.01) * t).requires_grad_()
            plain, focal = tversky_loss(p, t, alpha=0.3, beta=0.7), focal_tversky_loss(p, t, gamma=gamma)
            slopes = [float(torch.autograd.grad(loss, p)[0].norm()) for loss in (plain, focal)]
            ratios.setdefault(gamma, []).append(slopes[1] / slopes[0])
    text = (
        f"Slope over plain Tversky's, on an easy picture (p = 0.95 on the object) and a hard one (0.05): γ = 4/3 "
        f"{ratios[4 / 3][0]:.2f} and {ratios[4 / 3][1]:.2f}; γ = 1/2 {ratios[0.5][0]:.2f} and {ratios[0.5][1]:.2f}."
    )
    easy_first, hard_first = ratios[4 / 3], ratios[0.5]
    return Evidence(easy_first[0] > easy_first[1] and hard_first[0] < hard_first[1], text)


CLAIMS = (
    Claim(
        "Dice loss is 1 − 2|A ∩ B| / (|A| + |B|).",
        "true with conditions",
        "For masks, where it is 1 − F1. For probabilities there are two: sums or, in V-Net, squares below the line.",
        _dice,
        "Squares",
    ),
    Claim(
        "99 % of the pixels are right, so the segmentation is good.",
        "wrong",
        "With an object of 1 % an empty mask has that. Report Dice or IoU of the object.",
        _accuracy,
        "99 % right",
    ),
    Claim(
        "Dice loss solves class imbalance.",
        "true with conditions",
        "It starts at once, where BCE first learns that all is background. With patience BCE comes as far here.",
        _imbalance,
        "Ever smaller",
    ),
    Claim(
        "A network trained with Dice loss puts out probabilities.",
        "wrong",
        "It puts out what makes Dice small: all or nothing. BCE's minimum is the probability.",
        _probabilities,
    ),
    Claim(
        "Dice and IoU rank models alike.",
        "true with conditions",
        "One mask, yes: D = 2J/(1 + J). Means over pictures can be ranked the other way, as IoU rewards the excellent.",
        _ranking,
    ),
    Claim(
        "Tversky with α = β = 0.5 is Dice.",
        "true with conditions",
        "Without smoothing; s in Tversky is 2s in Dice.",
        _tversky,
    ),
    Claim(
        "Smoothing only keeps Dice from dividing by zero.",
        "misleading",
        "It forgives small objects and is the only teacher where the target is empty. Its size is counted in pixels.",
        _smoothing,
        "Empty target",
    ),
    Claim(
        "The more wrong a pixel is, the harder a loss pulls at it.",
        "misleading",
        "Under BCE. Under the overlap losses the sigmoid's p(1 − p) stays: a sure mistake gets next to nothing.",
        _sure,
        "Sure mistake",
    ),
    Claim(
        "Focal Tversky with γ = 4/3 turns training to the hard pictures.",
        "misleading",
        "Its power is 1/γ = 3/4, whose slope grows as the loss falls: the easy ones gain. A power above 1 does it.",
        _focal,
    ),
)
