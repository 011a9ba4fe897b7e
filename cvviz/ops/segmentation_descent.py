"""Where the losses of a mask push: their slopes by the logits from the formulas, and descent along them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from cvviz.ops.checks import check_floating
from cvviz.ops.segmentation_losses import LOSSES, Loss, Options, _check_smooth

FLAT = 1e-12  # a focal Tversky loss below this counts as arrived


def logit_slopes(logits: Tensor, target: Tensor, losses: Sequence[Loss], options: Options | None = None) -> Tensor:
    r"""Slopes :math:`\partial L/\partial z` of each loss by the logits of its own mask, from the formulas.

    By the probability an overlap loss has one slope on all of the object and one on all of the background (with squared
    denominators, plus a multiple of p): it knows a pixel by these two sums alone. The sigmoid multiplies by p(1 - p),
    which is next to nothing for a pixel that is surely wrong. Under BCE that factor cancels: (p - t) / N. A focal
    Tversky loss of 0, where the slope has no limit, gets 0.

    Args:
        logits: (L, H, W), one row per loss.
        target: (H, W) in [0, 1].
        losses: L names.
        options: of the losses.

    Returns:
        (L, H, W).

    Raises:
        TypeError: if a tensor is not floating-point.
        ValueError: if the shapes do not fit, a loss is unknown, or an option is wrong.

    Example:
        >>> logit_slopes(torch.zeros(1, 1, 2), torch.tensor([[1.0, 0.0]]), ["bce"])
        tensor([[[-0.2500,  0.2500]]])
    """
    use = options or Options()
    check_floating(logits, "logits")
    check_floating(target, "target")
    if logits.shape != (len(losses), *target.shape) or target.ndim != 2:
        shapes = f"{tuple(logits.shape)} and {tuple(target.shape)}"
        raise ValueError(f"logits and target must have shapes ({len(losses)}, H, W) and (H, W), got {shapes}.")
    for name in losses:
        if name not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {name!r}.")
    _check_smooth(use.smooth_nr, use.smooth_dr)
    p = logits.sigmoid()
    both, all_p, squares = (part.sum((-2, -1)).tolist() for part in (p * target, p, p * p))
    true, true_squares = float(target.sum()), float((target * target).sum())
    rows = [
        _coefficients(name, use, sums, (true, true_squares))
        for name, *sums in zip(losses, both, all_p, squares, strict=True)
    ]
    # The slope by p is on_object t + anywhere + by_p p.
    on_object, anywhere, by_p, bce = torch.tensor(rows, dtype=p.dtype).view(-1, 4).T[..., None, None]  # each [L, 1, 1]
    slopes: Tensor = (on_object * target + anywhere + by_p * p) * (p * (1 - p)) + bce / target.numel() * (p - target)
    return slopes


def descend(
    logits: Tensor,
    target: Tensor,
    losses: Sequence[Loss],
    *,
    rate: float,
    steps: int,
    options: Options | None = None,
) -> Tensor:
    """Plain gradient descent on the logit of every pixel, under each loss by itself.

    Args:
        logits: (H, W), where all of them start.
        target: (H, W) in [0, 1].
        losses: L names.
        rate: times the number of pixels: under BCE a step moves a logit by ``rate`` (t - p).
        steps: how many.
        options: of the losses.

    Returns:
        (steps + 1, L, H, W) logits before every step and after the last.

    Raises:
        TypeError: as ``logit_slopes``.
        ValueError: as ``logit_slopes``.

    Example:
        >>> descend(torch.zeros(1, 1), torch.ones(1, 1), ["bce"], rate=1, steps=1).flatten()
        tensor([0.0000, 0.5000])
    """
    places = [logits.expand(len(losses), *logits.shape)]
    for _ in range(steps):
        places.append(places[-1] - rate * target.numel() * logit_slopes(places[-1], target, losses, options))
    return torch.stack(places)


def _coefficients(
    loss: Loss, use: Options, sums: Sequence[float], true: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Slope by p: of t, of 1, of p; and the share of BCE."""
    both, all_p, squares = sums
    if loss == "bce":
        return 0.0, 0.0, 0.0, 1.0
    if loss in ("dice", "bce_dice"):
        whole = (squares + true[1] if use.squared else all_p + true[0]) + use.smooth_dr
        share = _over(_over(2 * both + use.smooth_nr, whole), whole)
        linear, by_p = (0.0, 2 * share) if use.squared else (share, 0.0)
        return -_over(2, whole), linear, by_p, float(loss == "bce_dice")
    alpha, beta = (1.0, 1.0) if loss == "jaccard" else (use.alpha, use.beta)
    wrong = alpha * (all_p - both) + beta * (true[0] - both)
    whole = both + wrong + use.smooth_dr
    share = _over(_over(both + use.smooth_nr, whole), whole)
    outer = 1.0
    if loss == "focal_tversky":
        lack = _over(wrong + use.smooth_dr - use.smooth_nr, whole)
        outer = lack ** (1 / use.gamma - 1) / use.gamma if lack > FLAT else 0.0 * lack
    return outer * ((1 - alpha - beta) * share - _over(1, whole)), outer * alpha * share, 0.0, 0.0


def _over(above: float, below: float) -> float:
    return above / below if below else math.nan
