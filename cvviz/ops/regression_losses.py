"""Regression losses from their formulas, with their slopes, and lines fitted under each of them."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from cvviz.ops.checks import check_positive, check_range

Loss = Literal["mse", "mae", "smooth_l1", "huber", "log_cosh", "quantile"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
MOST_STEPS = 100  # of the search for a minimum


def regression_loss(residual: Tensor, loss: Loss, *, beta: float = 1.0, delta: float = 1.0, tau: float = 0.5) -> Tensor:
    r"""Loss of each residual :math:`r = \hat y - y`.

    ``mse`` is :math:`r^2`; ``mae`` is :math:`|r|`; ``smooth_l1`` is :math:`r^2 / 2\beta` below ``beta`` and
    :math:`|r| - \beta/2` above; ``huber`` is ``delta`` times the Smooth L1 of ``beta = delta``; ``log_cosh`` is
    :math:`\ln\cosh r`; ``quantile`` is :math:`\tau\,\max(-r, 0) + (1 - \tau)\max(r, 0)`.

    Args:
        residual: prediction minus target, any shape, floating point.
        loss: which one.
        beta: where Smooth L1 turns straight, positive.
        delta: where Huber turns straight, positive.
        tau: the quantile, between 0 and 1.

    Returns:
        Losses, shape of ``residual``, not negative.

    Raises:
        ValueError: if ``loss`` is unknown, ``beta`` or ``delta`` is not positive, or ``tau`` is outside 0 to 1.

    Example:
        >>> regression_loss(torch.tensor([-3.0, 0.5]), "smooth_l1")
        tensor([2.5000, 0.1250])

    Reference:
        Huber, "Robust estimation of a location parameter", 1964, https://doi.org/10.1214/aoms/1177703732; Girshick,
        "Fast R-CNN", 2015, https://arxiv.org/abs/1504.08083; Koenker, Bassett, "Regression quantiles", 1978,
        https://doi.org/10.2307/1913643
    """
    _check(loss, beta, delta, tau)
    size = residual.abs()
    match loss:
        case "mse":
            return residual * residual
        case "mae":
            return size
        case "smooth_l1":
            return torch.where(size < beta, residual**2 / (2 * beta), size - beta / 2)
        case "huber":
            return torch.where(size < delta, residual**2 / 2, delta * (size - delta / 2))
        case "log_cosh":
            # |r| + ln(1 + exp(-2|r|)) - ln 2 does not overflow where cosh would.
            return size + torch.log1p(torch.exp(-2 * size)) - torch.log(torch.tensor(2.0, dtype=residual.dtype))
        case "quantile":
            return torch.where(residual < 0, -tau * residual, (1 - tau) * residual)


def regression_slope(
    residual: Tensor, loss: Loss, *, beta: float = 1.0, delta: float = 1.0, tau: float = 0.5
) -> Tensor:
    """Derivative of ``regression_loss`` with respect to the residual; 0 at the corners of ``mae`` and ``quantile``.

    Args:
        residual, loss, beta, delta, tau: as for ``regression_loss``.

    Returns:
        Slopes, shape of ``residual``.

    Raises:
        ValueError: as ``regression_loss``.

    Example:
        >>> regression_slope(torch.tensor([-3.0, 0.5]), "huber", delta=2.0)
        tensor([-2.0000,  0.5000])
    """
    _check(loss, beta, delta, tau)
    match loss:
        case "mse":
            return 2 * residual
        case "mae":
            return residual.sign()
        case "smooth_l1":
            return (residual / beta).clamp(-1, 1)
        case "huber":
            return residual.clamp(-delta, delta)
        case "log_cosh":
            return residual.tanh()
        case "quantile":
            return (1 - tau) * (residual > 0).to(residual.dtype) - tau * (residual < 0).to(residual.dtype)


def fit_line(x: Tensor, y: Tensor, loss: Loss, *, beta: float = 1.0, delta: float = 1.0, tau: float = 0.5) -> Tensor:
    """Line with the least mean loss.

    Least squares by its normal equations; ``mae`` and ``quantile`` exactly, for one of their best lines goes through
    two of the points; the others by Newton's steps, and where one does not descend, by a step of reweighted least
    squares, which always does. Where all x are equal the line is level.

    Args:
        x, y: (N,) float64, N at least 1.
        loss, beta, delta, tau: as for ``regression_loss``.

    Returns:
        (2,) intercept and slope.

    Raises:
        ValueError: if ``x`` and ``y`` are not of one length of at least 1, or as ``regression_loss``.

    Example:
        >>> x = torch.arange(5, dtype=torch.float64)
        >>> fit_line(x, torch.tensor([0.0, 1.0, 2.0, 3.0, 9.0]).double(), "mae").tolist()
        [0.0, 1.0]
    """
    if x.ndim != 1 or x.shape != y.shape or len(x) == 0:
        raise ValueError(f"x and y must have one shape (N,) with N >= 1, got {tuple(x.shape)} and {tuple(y.shape)}.")
    _check(loss, beta, delta, tau)
    design = torch.stack([torch.ones_like(x), x], dim=1)  # [N, 2]
    level = bool((x == x[0]).all())
    if level:
        design = design * torch.tensor([1.0, 0.0], dtype=x.dtype)
    if loss in ("mae", "quantile"):
        lines = _through_pairs(x, y)  # [L, 2]
        losses = regression_loss(lines @ design.T - y, loss, tau=tau).mean(dim=1)  # [L]
        return lines[int(losses.argmin())]
    line: Tensor = torch.linalg.pinv(design) @ y
    if loss == "mse":
        return line

    def mean_loss(candidate: Tensor) -> Tensor:
        return regression_loss(design @ candidate - y, loss, beta=beta, delta=delta).mean()

    robust = fit_line(x, y, "mae")
    if mean_loss(robust) < mean_loss(line):
        line = robust
    for _ in range(MOST_STEPS):
        residual = design @ line - y
        slope = regression_slope(residual, loss, beta=beta, delta=delta)
        weight = torch.where(residual.abs() > 1e-9, slope / residual, _curvature(residual, loss, beta, delta))
        newton = line - _solve(design, _curvature(residual, loss, beta, delta), design.T @ slope)
        reweighted = line - _solve(design, weight, design.T @ slope)
        best = min((newton, reweighted), key=mean_loss)
        gain = mean_loss(line) - mean_loss(best)
        if not gain > 0:
            break
        line = best
        if gain < 1e-14:
            break
    return line


def _solve(design: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    step: Tensor = torch.linalg.pinv(design.T @ (weight[:, None] * design), hermitian=True) @ gradient
    return step


def _curvature(residual: Tensor, loss: Loss, beta: float, delta: float) -> Tensor:
    if loss == "log_cosh":
        return 1 - residual.tanh() ** 2
    end, height = (beta, 1 / beta) if loss == "smooth_l1" else (delta, 1.0)
    return (residual.abs() < end).to(residual.dtype) * height


def _through_pairs(x: Tensor, y: Tensor) -> Tensor:
    """(L, 2) lines through every two points of different x, and the level line through each point."""
    first, second = torch.triu_indices(len(x), len(x), offset=1)
    apart = x[first] != x[second]
    first, second = first[apart], second[apart]
    slope = (y[second] - y[first]) / (x[second] - x[first])
    pairs = torch.stack([y[first] - slope * x[first], slope], dim=1)
    return torch.cat([pairs, torch.stack([y, torch.zeros_like(y)], dim=1)])


def _check(loss: str, beta: float, delta: float, tau: float) -> None:
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}.")
    check_positive(beta, "beta")
    check_positive(delta, "delta")
    check_range(tau, "tau", 0, 1)
