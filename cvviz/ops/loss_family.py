"""The classification losses by name, so that several can be looked at side by side."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from cvviz.ops import losses as ops
from cvviz.ops.checks import check_same_shape

Softmax = Literal["ce", "smooth", "others", "kl", "twice"]
Sigmoid = Literal["bce", "focal", "prob"]
Loss = Softmax | Sigmoid


def softmax_loss(scores: Tensor, truth: Tensor, name: Softmax, *, epsilon: float = 0.0) -> Tensor:
    """A loss of a softmax.

    Args:
        scores: (N, C) logits.
        truth: (N,) classes, int64.
        name: "ce" cross-entropy; "smooth" and "others" with ``epsilon`` shared among all classes or among the wrong
            ones; "kl" the divergence from the label of "smooth"; "twice" cross-entropy of what is a softmax already.
        epsilon: smoothing, in [0, 1].

    Returns:
        (N,) losses in nats.

    Raises:
        TypeError, ValueError: see ``cvviz.ops.losses``; and ValueError for an unknown name.

    Example:
        >>> softmax_loss(torch.zeros(1, 4), torch.tensor([2]), "ce")
        tensor([1.3863])
    """
    match name:
        case "ce":
            return ops.cross_entropy(scores, truth, reduction="none")
        case "smooth":
            return ops.cross_entropy(scores, truth, label_smoothing=epsilon, reduction="none")
        case "twice":
            return ops.cross_entropy(ops.softmax(scores), truth, reduction="none")
        case "others" | "kl":
            convention: ops.Convention = "torch" if name == "kl" else "excluding"
            label = ops.smooth_labels(
                truth, scores.shape[1], epsilon=epsilon, convention=convention, dtype=scores.dtype
            )
            if name == "others":
                return ops.cross_entropy(scores, label, reduction="none")
            return ops.kl_div(ops.log_softmax(scores), label, reduction="none").sum(dim=1)
    raise ValueError(f"name must be one of {', '.join(get_args(Softmax))}, got {name!r}.")


def sigmoid_loss(logits: Tensor, target: Tensor, name: Sigmoid, *, gamma: float = 2.0, alpha: float = -1) -> Tensor:
    """A loss of sigmoids, one per class, summed over the classes.

    Args:
        logits: (N, C).
        target: (N, C) in [0, 1], same dtype.
        name: "bce"; "focal"; "prob", which is BCE on probabilities in single precision, as it is often written.
        gamma: focusing of the focal loss, at least 0.
        alpha: its weight of positives, in [0, 1]; -1 for none.

    Returns:
        (N,) losses in nats.

    Raises:
        TypeError, ValueError: see ``cvviz.ops.losses``; and ValueError for an unknown name.

    Example:
        >>> sigmoid_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), "bce")
        tensor([1.3863])
    """
    check_same_shape(logits, target, ("logits", "target"))
    match name:
        case "bce":
            return ops.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(dim=1)
        case "focal":
            return ops.sigmoid_focal_loss(logits, target, alpha=alpha, gamma=gamma).sum(dim=1)
        case "prob":
            chances = logits.float().sigmoid()
            return ops.binary_cross_entropy(chances, target.float(), reduction="none").to(logits.dtype).sum(dim=1)
    raise ValueError(f"name must be one of {', '.join(get_args(Sigmoid))}, got {name!r}.")


def share_of_negatives(gamma: float, alpha: float) -> Tensor:
    """What easy negatives make of a detector's loss: 100,000 at p = 0.01, beside 10 hard positives at p = 0.3.

    Args:
        gamma, alpha: of the focal loss, see ``sigmoid_focal_loss``.

    Returns:
        (2,) the negatives' share of the summed BCE, and of the summed focal loss, float64.

    Raises:
        ValueError: if ``gamma`` or ``alpha`` is out of range.

    Example:
        >>> share_of_negatives(2.0, -1)
        tensor([0.9882, 0.0168], dtype=torch.float64)
    """
    count, p, y = torch.tensor([[1e5, 10], [0.01, 0.3], [0, 1]], dtype=torch.float64).unbind()
    bce = ops.binary_cross_entropy_with_logits(p.logit(), y, reduction="none")
    focal = ops.sigmoid_focal_loss(p.logit(), y, alpha=alpha, gamma=gamma)
    totals = torch.stack([bce, focal]) * count  # [2, 2]
    return totals[:, 0] / totals.sum(dim=1)
