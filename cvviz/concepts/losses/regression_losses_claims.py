"""Sentences from interview notes, judged by measurements; see ``regression_losses``."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.roi_heads import fastrcnn_loss

from cvviz.concept import Claim, Evidence
from cvviz.concepts.losses.regression_losses import LINE, OUTLIER, descend
from cvviz.figures.regression_losses import LOOKS
from cvviz.ops.regression_losses import fit_line, regression_loss, regression_slope

OPTIONS = {"beta": 1.0, "delta": 1.0, "tau": 0.5}


def slopes_of(points: tuple[tuple[float, float], ...]) -> list[float]:
    """Slope of the best line under squares and under the absolute loss."""
    x, y = torch.tensor(points, dtype=torch.float64).unbind(dim=1)
    return [float(fit_line(x, y, loss)[1]) for loss in ("mse", "mae")]


def _outliers() -> Evidence:
    (square, absolute), (clean_square, clean_absolute) = slopes_of(OUTLIER), slopes_of(LINE)
    text = (
        f"Slope of the line with and without one outlier: squares {square:.3f} and {clean_square:.3f}, absolute "
        f"{absolute:.3f} and {clean_absolute:.3f}."
    )
    return Evidence(abs(square - clean_square) > 0.3 and abs(absolute - clean_absolute) < 0.05, text)


def _efficiency() -> Evidence:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4000, 101, generator=generator, dtype=torch.float64)
    far = noise.clone()
    far[:, :5] *= 50
    ratios = [float(item.median(dim=1).values.var() / item.mean(dim=1).var()) for item in (noise, far)]
    text = (
        f"Variance of the median over that of the mean, 4,000 samples of 101: Gaussian noise {ratios[0]:.2f} (theory "
        f"π/2 = {math.pi / 2:.2f}), five points of it fifty times as far {ratios[1]:.3f}."
    )
    return Evidence(1.4 < ratios[0] < 1.7 and ratios[1] < 0.1, text)


def _constants() -> Evidence:
    y = torch.cat([torch.zeros(99), torch.tensor([100.0])]).double()
    x = torch.zeros_like(y)
    best = {loss: float(fit_line(x, y, loss)[0]) for loss in ("mse", "mae", "smooth_l1")}
    text = "99 zeros and one 100, best constant: " + ", ".join(
        f"{LOOKS[name].title} {value:.3f}" for name, value in best.items()
    )
    confirms = abs(best["mse"] - 1) < 1e-6 and best["mae"] == 0 and abs(best["smooth_l1"] - 1 / 99) < 1e-6
    return Evidence(confirms, text + ".")


def _huber() -> Evidence:
    r, zero = torch.linspace(-4, 4, 81).double(), torch.zeros(81).double()
    gaps = {}
    for end in (0.5, 1.0, 2.0):
        huber, smooth = F.huber_loss(r, zero, delta=end), F.smooth_l1_loss(r, zero, beta=end)
        gaps[end] = float(huber / smooth)
    text = "Huber over Smooth L1 in torch at δ = β: " + ", ".join(f"{end:g}: {gap:.6g}" for end, gap in gaps.items())
    return Evidence(all(math.isclose(end, gap) for end, gap in gaps.items()), text + ".")


def _beta() -> Evidence:
    half = torch.tensor(0.5)
    values = [float(regression_loss(half, "smooth_l1", beta=beta)) for beta in (1.0, 1 / 9)]
    used = box_loss(half)
    text = (
        f"A residual of 0.5 costs {values[0]:.3f} at β = 1 and {values[1]:.3f} at β = 1/9; {FasterRCNN.__name__} of "
        f"torchvision charges {used:.3f}."
    )
    return Evidence(abs(used - values[1]) < 1e-6, text)


def box_loss(residual: Tensor) -> float:
    """What torchvision's box head charges for one coordinate that is ``residual`` off."""
    logits, labels = torch.zeros(1, 2), [torch.ones(1, dtype=torch.int64)]
    off = torch.zeros(1, 8)
    off[0, 4] = residual
    return float(fastrcnn_loss(logits, off, labels, [torch.zeros(1, 4)])[1])


def _rest() -> Evidence:
    x, y = torch.tensor(LINE, dtype=torch.float64).unbind(dim=1)
    moves = {}
    for loss in ("mae", "smooth_l1"):
        first, second = (descend(x, y, loss, OPTIONS, steps, 0.1) for steps in (400, 401))
        moves[loss] = float((second - first).abs().max())
    text = (
        f"Step 401 at a rate of 0.1 moves the line by {moves['mae']:.3f} (MAE), {moves['smooth_l1']:.1g} (Smooth L1)."
    )
    return Evidence(moves["mae"] > 0.01 and moves["smooth_l1"] < 1e-6, text)


def _derivative() -> Evidence:
    zero = torch.zeros(1, requires_grad=True)
    (torchs,) = torch.autograd.grad(F.l1_loss(zero, torch.zeros(1)), zero)
    beside = [float(regression_slope(torch.tensor(r), "mae")) for r in (-1e-6, 1e-6)]
    text = f"At 0 torch gives {float(torchs):g}; just beside it −{-beside[0]:g} and {beside[1]:g}."
    return Evidence(float(torchs) == 0 and beside == [-1, 1], text)


CLAIMS = (
    Claim(
        "MSE is sensitive to outliers.",
        "true",
        "Its pull grows with the distance, and its best constant is the mean.",
        _constants,
        "One outlier",
    ),
    Claim(
        "L1 or L2? Use L1 when there are no extreme outliers in the data, otherwise L2.",
        "wrong",
        "The other way round: the absolute loss, or Huber, when there are outliers; the squares when noise is even.",
        _outliers,
        "One outlier",
    ),
    Claim(
        "L1 is simply the better loss, being robust.",
        "true with conditions",
        "With Gaussian noise the squares need fewer samples; with a few far points the absolute loss does, by far.",
        _efficiency,
        "No outlier",
    ),
    Claim(
        "Smooth L1 and Huber loss are the same.",
        "true with conditions",
        "At β = δ = 1. Otherwise Huber is δ times Smooth L1.",
        _huber,
        "Equal at β = δ = 1",
    ),
    Claim(
        "Smooth L1 is quadratic below 1 and linear above.",
        "true with conditions",
        "Below β, which is 1 only by default; torchvision's Faster R-CNN uses 1/9, its SSD 1.",
        _beta,
        "Curves and slopes",
    ),
    Claim(
        "Descent on the absolute loss converges like any other.",
        "misleading",
        "Not at a fixed rate: its slope does not shrink, so the steps do not either.",
        _rest,
        "The absolute loss never rests",
    ),
    Claim(
        "The absolute loss cannot be used with gradients, since it has no derivative at 0.",
        "wrong",
        "It has subgradients there, and torch takes 0.",
        _derivative,
    ),
)
