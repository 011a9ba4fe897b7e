"""Activation functions and their slopes from their formulas, and what a deep stack of them does to signals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from cvviz.ops.checks import check_positive

Activation = Literal[
    "sigmoid",
    "tanh",
    "hardtanh",
    "hardsigmoid",
    "relu",
    "leaky_relu",
    "prelu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "softplus",
]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
Init = Literal["he", "xavier", "lecun", "linear", "small", "large"]
INITS: tuple[Init, ...] = get_args(Init)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@dataclass(frozen=True, slots=True)
class Shape:
    """Parameters of the activations that have some.

    Args:
        slope: of leaky ReLU below 0.
        weight: of PReLU below 0, a learned number; torch starts at 0.25.
        alpha: depth of ELU below 0.
        beta: sharpness of softplus, positive.
    """

    slope: float = 0.01
    weight: float = 0.25
    alpha: float = 1.0
    beta: float = 1.0


def activation(x: Tensor, name: Activation, shape: Shape | None = None) -> Tensor:
    r"""Value of an activation function.

    Args:
        x: any shape, floating point.
        name: one of ``ACTIVATIONS``. ``gelu`` is exact, :math:`x\,\Phi(x)`; ``gelu_tanh`` its approximation.
        shape: parameters; torch's defaults if None.

    Returns:
        Values, shape of ``x``.

    Raises:
        ValueError: if ``name`` is unknown or the parameter beta is not positive.

    Example:
        >>> activation(torch.tensor([-2.0, 0.0, 2.0]), "leaky_relu")
        tensor([-0.0200,  0.0000,  2.0000])

    Reference:
        Hendrycks, Gimpel, "Gaussian error linear units", 2016, https://arxiv.org/abs/1606.08415; Klambauer et al.,
        "Self-normalizing neural networks", 2017, https://arxiv.org/abs/1706.02515; Misra, "Mish", 2019,
        https://arxiv.org/abs/1908.08681; Howard et al., "Searching for MobileNetV3", 2019,
        https://arxiv.org/abs/1905.02244
    """
    shape = _checked(name, shape)
    match name:
        case "sigmoid":
            return x.sigmoid()
        case "tanh":
            return x.tanh()
        case "hardtanh":
            return x.clamp(-1, 1)
        case "hardsigmoid":
            return (x / 6 + 0.5).clamp(0, 1)
        case "relu":
            return x.clamp(min=0)
        case "leaky_relu":
            return torch.where(x > 0, x, shape.slope * x)
        case "prelu":
            return torch.where(x > 0, x, shape.weight * x)
        case "elu":
            return torch.where(x > 0, x, shape.alpha * torch.expm1(x.clamp(max=0)))
        case "selu":
            return SELU_SCALE * torch.where(x > 0, x, SELU_ALPHA * torch.expm1(x.clamp(max=0)))
        case "gelu":
            return x * _normal_cdf(x)
        case "gelu_tanh":
            return 0.5 * x * (1 + _gelu_inner(x).tanh())
        case "silu":
            return x * x.sigmoid()
        case "mish":
            return x * _softplus(x, 1.0).tanh()
        case "softplus":
            return _softplus(x, shape.beta)


def activation_slope(x: Tensor, name: Activation, shape: Shape | None = None) -> Tensor:
    """Derivative of ``activation``. Where there is none, at a corner, the value that torch takes: 0 for ReLU at 0.

    Args:
        x, name, shape: as for ``activation``.

    Returns:
        Slopes, shape of ``x``.

    Raises:
        ValueError: as ``activation``.

    Example:
        >>> activation_slope(torch.tensor([-1.0, 0.0, 1.0]), "relu")
        tensor([0., 0., 1.])
    """
    shape = _checked(name, shape)
    one = torch.ones_like(x)
    match name:
        case "sigmoid":
            return x.sigmoid() * (-x).sigmoid()
        case "tanh":
            return 1 - x.tanh() ** 2
        case "hardtanh":
            return ((x > -1) & (x < 1)).to(x.dtype)
        case "hardsigmoid":
            return ((x > -3) & (x < 3)).to(x.dtype) / 6
        case "relu":
            return (x > 0).to(x.dtype)
        case "leaky_relu":
            return torch.where(x > 0, one, shape.slope * one)
        case "prelu":
            return torch.where(x > 0, one, shape.weight * one)
        case "elu":
            return torch.where(x > 0, one, shape.alpha * x.clamp(max=0).exp())
        case "selu":
            return SELU_SCALE * torch.where(x > 0, one, SELU_ALPHA * x.clamp(max=0).exp())
        case "gelu":
            return _normal_cdf(x) + x * torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        case "gelu_tanh":
            bent = _gelu_inner(x).tanh()
            inner_slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
            return 0.5 * (1 + bent) + 0.5 * x * (1 - bent**2) * inner_slope
        case "silu":
            return x.sigmoid() * (1 + x * (-x).sigmoid())
        case "mish":
            bent = _softplus(x, 1.0).tanh()
            return bent + x * (1 - bent**2) * x.sigmoid()
        case "softplus":
            return (shape.beta * x).sigmoid()


def init_std(name: Init, fan_in: int, fan_out: int) -> float:
    r"""Standard deviation of a layer's first weights.

    ``he`` is :math:`\sqrt{2/n_\text{in}}`, ``xavier`` :math:`\sqrt{2/(n_\text{in} + n_\text{out})}`, ``lecun``
    :math:`\sqrt{1/n_\text{in}}`, ``linear`` what torch's ``nn.Linear`` has, :math:`\sqrt{1/3n_\text{in}}`; ``small``
    is 0.01, as before there were rules, and ``large`` twice He's.

    Args:
        name: one of ``INITS``.
        fan_in, fan_out: numbers of inputs and outputs, at least 1.

    Raises:
        ValueError: if ``name`` is unknown or a number is less than 1.

    Example:
        >>> init_std("he", 50, 10)
        0.2

    Reference:
        Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010,
        https://proceedings.mlr.press/v9/glorot10a.html; He et al., "Delving deep into rectifiers", 2015,
        https://arxiv.org/abs/1502.01852
    """
    if fan_in < 1 or fan_out < 1:
        raise ValueError(f"fan_in and fan_out must be at least 1, got {fan_in} and {fan_out}.")
    stds = {
        "he": math.sqrt(2 / fan_in),
        "xavier": math.sqrt(2 / (fan_in + fan_out)),
        "lecun": math.sqrt(1 / fan_in),
        "linear": math.sqrt(1 / (3 * fan_in)),
        "small": 0.01,
        "large": 2 * math.sqrt(2 / fan_in),
    }
    if name not in stds:
        raise ValueError(f"name must be one of {', '.join(stds)}, got {name!r}.")
    return stds[name]


@dataclass(frozen=True, slots=True)
class Signals:
    """What runs through a stack, layer by layer.

    Args:
        before: L tensors (B, n), inputs of the activations.
        after: L tensors (B, n), their outputs.
        slopes: L tensors (B, n), of the activations.
        gradients: L tensors (B, n), of the loss with respect to ``before``.
    """

    before: tuple[Tensor, ...]
    after: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]

    @property
    def spreads(self) -> Tensor:
        """(2, L) standard deviations of the outputs and of the gradients."""
        return torch.stack([torch.stack([layer.std() for layer in part]) for part in (self.after, self.gradients)])

    def flat(self, threshold: float) -> Tensor:
        """(L,) share of the slopes whose size is below ``threshold``."""
        return torch.stack([(slope.abs() < threshold).double().mean() for slope in self.slopes])


def run_stack(
    x: Tensor, weights: Sequence[Tensor], name: Activation, gradient: Tensor, shape: Shape | None = None
) -> Signals:
    """Forward through layers ``activation(x @ weight)``, and back from a gradient of the last output.

    Args:
        x: (B, n_0).
        weights: L tensors (n_{l-1}, n_l).
        name, shape: the activation.
        gradient: (B, n_L), of the loss with respect to the last output.

    Returns:
        All signals.

    Raises:
        ValueError: if there is no layer, or as ``activation``.

    Example:
        >>> signals = run_stack(torch.ones(1, 1), [torch.tensor([[2.0]])], "relu", torch.ones(1, 1))
        >>> float(signals.after[0]), float(signals.gradients[0])
        (2.0, 1.0)
    """
    if not weights:
        raise ValueError("weights must hold at least one layer.")
    before: list[Tensor] = []
    after: list[Tensor] = []
    for weight in weights:
        before.append((after[-1] if after else x) @ weight)
        after.append(activation(before[-1], name, shape))
    slopes = [activation_slope(layer, name, shape) for layer in before]
    gradients: list[Tensor] = []
    for layer in reversed(range(len(weights))):
        arriving = gradient if layer == len(weights) - 1 else gradients[-1] @ weights[layer + 1].T
        gradients.append(arriving * slopes[layer])
    return Signals(tuple(before), tuple(after), tuple(slopes), tuple(reversed(gradients)))


def train_unit(
    x: Tensor, y: Tensor, name: Activation, *, rate: float, steps: int, shape: Shape | None = None
) -> Tensor:
    """Weight and bias of one unit ``activation(w x + b)`` under gradient descent on the mean square error.

    It starts at w = b = 0.5.

    Args:
        x, y: (B,) inputs and targets.
        name, shape: the activation.
        rate: learning rate.
        steps: at least 0.

    Returns:
        (steps + 1, 2), before the first step and after each.

    Raises:
        ValueError: as ``activation``.

    Example:
        >>> train_unit(torch.ones(1), torch.ones(1), "relu", rate=0.5, steps=1).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    weight, bias = torch.full((2,), 0.5, dtype=x.dtype).unbind()
    track = [torch.stack([weight, bias])]
    for _ in range(steps):
        before = weight * x + bias
        push = 2 * (activation(before, name, shape) - y) * activation_slope(before, name, shape)
        weight, bias = weight - rate * (push * x).mean(), bias - rate * push.mean()
        track.append(torch.stack([weight, bias]))
    return torch.stack(track)


def _checked(name: str, shape: Shape | None) -> Shape:
    if name not in ACTIVATIONS:
        raise ValueError(f"name must be one of {', '.join(ACTIVATIONS)}, got {name!r}.")
    shape = shape or Shape()
    check_positive(shape.beta, "beta")
    return shape


def _normal_cdf(x: Tensor) -> Tensor:
    # By erfc, which keeps its digits far below 0 where 1 + erf would lose them.
    return 0.5 * torch.erfc(-x / math.sqrt(2))


def _gelu_inner(x: Tensor) -> Tensor:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def _softplus(x: Tensor, beta: float) -> Tensor:
    return x.clamp(min=0) + torch.log1p(torch.exp(-(beta * x).abs())) / beta
