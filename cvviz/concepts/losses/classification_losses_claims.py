"""Sentences from interview notes, judged by measurements; see ``classification_losses``."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from cvviz.concept import Claim, Evidence, magnitude
from cvviz.concepts.losses.classification_losses import Params, evaluate
from cvviz.ops import losses as ops
from cvviz.ops.loss_family import share_of_negatives


def _at(z: float, *losses: str, **settings: Any) -> list[float]:
    """Losses, then their slopes, at one logit."""
    return evaluate(Params(losses=losses, **settings), torch.tensor([z], dtype=torch.float64)).flatten().tolist()


def _measure_bce() -> Evidence:
    ours, by_hand = _at(1.0, "bce")[0], math.log(1 + math.exp(-1))
    loss, cut, slope, dead = _at(-20.0, "bce", "prob", label="0")
    return Evidence(
        abs(ours - by_hand) < 1e-12 and dead == 0 and cut == 100 and slope < -0.99,
        f"At p = σ(1): {ours:.6f}, by hand {by_hand:.6f}. A negative at logit 20 has loss {loss:.4g} and slope "
        f"{-slope:.4g} from the logit, {cut:g} and {abs(dead):g} from the float32 probability.",
    )


def _measure_ce() -> Evidence:
    once, twice = _at(200.0, "ce", "twice", classes="10")[:2]
    words = (
        f"Of 10 classes, perfectly predicted: {abs(once):.3f} after one softmax, {twice:.3f} = ln(1 + 9/e) after two."
    )
    return Evidence(once < 1e-9 and abs(twice - math.log(1 + 9 / math.e)) < 1e-9, words)


def _measure_focal() -> Evidence:
    ratios = [a / b for a, b in (_at(math.log(p / (1 - p)), "bce", "focal")[:2] for p in (0.5, 0.9, 0.968))]
    x, y = torch.zeros(2), torch.tensor([1.0, 0.0])
    positive, negative = (sigmoid_focal_loss(x, y) / sigmoid_focal_loss(x, y, alpha=-1)).tolist()
    return Evidence(
        abs(ratios[1] - 100) < 1e-6 and abs(positive - 0.25) + abs(negative - 0.75) < 1e-6,
        f"γ = 2 divides the loss at p_t = 0.5, 0.9 and 0.968 by {ratios[0]:.0f}, {ratios[1]:.0f} and {ratios[2]:.0f}. "
        f"torchvision's defaults then multiply it by {positive:g} for y = 1 and {negative:g} for y = 0.",
    )


def _measure_share() -> Evidence:
    (bce, focal), (_, weighted) = (share_of_negatives(2.0, alpha).tolist() for alpha in (-1, 0.25))
    return Evidence(
        bce > 0.98 and focal < 0.02,
        "100,000 negatives at p_t = 0.99 beside 10 positives at 0.3: the negatives' share of the loss is "
        f"{bce:.3f} with BCE, {focal:.3f} with γ = 2, {weighted:.3f} with α = 0.25 as well.",
    )


def _measure_smoothing(epsilon: float, classes: int) -> Evidence:
    scores = torch.zeros(1, classes, dtype=torch.float64, requires_grad=True)
    loss = F.cross_entropy(scores, torch.tensor([0]), label_smoothing=epsilon)
    target = scores.detach().softmax(1)[0] - torch.autograd.grad(loss, scores)[0][0]  # the slopes are p - q
    less = epsilon * (classes - 1) / classes
    other = ops.smooth_labels(torch.tensor(0), classes, epsilon=less, convention="excluding", dtype=torch.float64)
    error = float((target - other).abs().max())
    return Evidence(
        float(target[0]) > 1 - epsilon + 0.01 and error < 1e-12,
        f"ε = {epsilon:g}, C = {classes}: torch aims at {target[0]:.3f} and {target[1]:.3f}, the sentence at "
        f"{1 - epsilon:.3f} and {epsilon / (classes - 1):.3f}; with ε = {less:.3f} it aims where torch does.",
    )


def _measure_kl() -> Evidence:
    scores = torch.tensor([[2.0, 1.0, 0.5, 0.0, -0.5, -1.0]], dtype=torch.float64)
    q, p = scores.softmax(1), scores.roll(2, 1).softmax(1)
    right, swapped = float(ops.kl_div(p.log(), q, reduction="sum")), float(ops.kl_div(q.log(), p, reduction="sum"))
    mean, no_log = float(ops.kl_div(p.log(), q)), float(ops.kl_div(p, q, reduction="sum"))
    gap = abs(float(ops.cross_entropy(p.log(), q) + (q * q.log()).sum()) - right)
    return Evidence(
        gap < 1e-12 and abs(6 * mean - right) < 1e-12 and abs(right - swapped) > 0.01 and no_log < 0,
        f"D(q‖p) = {right:.3f} = CE − H(q) to {magnitude(gap)}; D(p‖q) = {swapped:.3f}. With 6 classes "
        f'reduction="mean" gives {mean:.3f}, and forgetting the logarithm {no_log:.3f}.',
    )


def _measure_list() -> Evidence:
    count = sum(name.endswith("Loss") for name in dir(torch.nn))
    return Evidence(count > 4, f"torch.nn alone has {count} losses; the list has 4 and a way of choosing triplets.")


CLAIMS = (
    Claim(
        "BCE = −[y log p + (1 − y) log(1 − p)], for binary classification.",
        "true",
        "For multi-label problems too. Compute it from the logit: from a float32 probability its slope can be lost.",
        _measure_bce,
        "Dead gradient",
    ),
    Claim(
        "Cross-entropy = −Σ y_c log p_c, for multi-class classification.",
        "true",
        "torch's cross_entropy takes logits and applies the softmax itself; given probabilities, it fails silently.",
        _measure_ce,
        "Softmax twice",
    ),
    Claim(
        "Focal loss = −(1 − p_t)^γ log p_t.",
        "true with conditions",
        "The paper trains with a class weight α_t in front, as torchvision does by default, and a low initial prior.",
        _measure_focal,
        "Easy example",
    ),
    Claim(
        "The focal loss is for detection with class imbalance.",
        "true",
        "It was made for one-stage detectors, where easy background would make up nearly all of the loss.",
        _measure_share,
        "Easy example",
    ),
    Claim(
        "Label smoothing puts ε/(C − 1) on the wrong classes and 1 − ε on the right one.",
        "true with conditions",
        "That is one convention. The Inception paper and torch mix with the uniform: ε/C off, 1 − ε + ε/C on.",
        lambda: _measure_smoothing(0.1, 2),
        "Too sure",
    ),
    Claim(
        "Label smoothing of 0.2 with 3 classes gives [0.1, 0.8, 0.1].",
        "true with conditions",
        "Where ε is shared among the wrong classes. torch's label_smoothing=0.2 moves a third less.",
        lambda: _measure_smoothing(0.2, 3),
        "Too sure",
    ),
    Claim(
        "Kullback-Leibler divergence is a standard loss.",
        "true",
        'Cross-entropy less a constant. Asymmetric; torch wants log-probabilities, then the target, and "batchmean".',
        _measure_kl,
        "KL and entropy",
    ),
    Claim(
        "The standard losses are cross-entropy, binary cross-entropy, KL divergence and triplet.",
        "misleading",
        "These are common ones. MSE, L1, Huber, hinge, focal, Dice and CTC are as standard in their fields.",
        _measure_list,
    ),
)
