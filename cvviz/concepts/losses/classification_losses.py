"""Classification losses and their slopes against the logit or the probability of the true class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated

import pandas as pd
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, Many, Slider, Toggle
from cvviz.figures.classification_losses import BINARY, LOOKS, REACH, Axis, Settings, formula_text, loss_figure
from cvviz.ops import losses as ops

WIDEST = 24.0


def shows(*names: str) -> Callable[[Params], bool]:
    """Condition that one of these losses is chosen."""
    return lambda params: not set(names).isdisjoint(params.losses)


many_classes = shows(*(name for name in LOOKS if name not in BINARY))
TITLES = {name: look.title for name, look in LOOKS.items()}
WEIGHTS = {"-1": "none", "0.1": "0.1", "0.25": "0.25", "0.5": "0.5", "0.75": "0.75", "0.9": "0.9"}
LABELS = {"1": "1: output z", "0": "0: output −z"}


@dataclass(frozen=True, slots=True)
class Params:
    """Which losses, at which logit of the true class, and their parameters."""

    losses: Annotated[tuple[str, ...], Many("Losses", options=TITLES)] = ("ce", "focal")
    z: Annotated[float, Slider("Logit z of the true class", -WIDEST, WIDEST, 0.1)] = 1.0
    axis: Annotated[str, Choice("Against", options={"logit": "Logit", "probability": "Probability"})] = "logit"
    log: Annotated[bool, Toggle("Logarithmic scale")] = False
    gamma: Annotated[float, Slider("Focusing γ", 0, 5, 0.1, when=shows("focal"))] = 2.0
    alpha: Annotated[str, Choice("Weight α, negatives 1 − α", options=WEIGHTS, when=shows("focal"))] = "-1"
    label: Annotated[
        str,
        Choice(
            "Binary label y",
            options=LABELS,
            when=lambda p: "prob" in p.losses or (p.alpha != "-1" and "focal" in p.losses),
        ),
    ] = "1"
    classes: Annotated[str, Choice("Classes C", options=("2", "3", "10", "100", "1000"), when=many_classes)] = "2"
    temperature: Annotated[float, Slider("Temperature T of the softmax", 0.5, 5, 0.1, when=many_classes)] = 1.0
    epsilon: Annotated[float, Slider("Smoothing ε", 0, 0.5, 0.01, when=shows("smooth", "others", "kl"))] = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of every chosen loss.

    Args:
        logits: (G,) logits of the curves.
        probability: (2, G) of the true class there, by softmax and by sigmoid.
        curves: (2, L, G) losses in nats and their slopes with respect to z.
        example: (2, L) the same at the example.
        logs: (3,) logarithms there of the softmax probabilities, true class and one other, and of the sigmoid's.
        share: (2,) of the summed loss that comes from many easy negatives, under BCE and under the focal loss.
    """

    logits: Tensor
    probability: Tensor
    curves: Tensor
    example: Tensor
    logs: Tensor
    share: Tensor


def compute(params: Params) -> Result:
    """Losses and slopes over a sweep of logits and at the example."""
    # What the sweep does not depend on is set aside, so that dragging z meets the cache.
    logits, chances, curves = sweep(replace(params, z=0.0, axis="logit", log=False))
    z = torch.tensor([params.z], dtype=torch.float64)
    logs = torch.cat([ops.log_softmax(scores_of(params, z))[0, :2], F.logsigmoid(z)])
    return Result(logits, chances, curves, evaluate(params, z)[..., 0], logs, share_of_negatives(params))


@lru_cache(maxsize=16)
def sweep(params: Params) -> tuple[Tensor, Tensor, Tensor]:
    """(G,) logits, denser near 0; the probabilities (2, G) and the losses and slopes (2, L, G) there."""
    logits = torch.cat([torch.arange(-24, -8), torch.arange(-8, 8, 0.25), torch.arange(8, 25)]).double()
    chances = torch.stack([ops.softmax(scores_of(params, logits))[:, 0], logits.sigmoid()])
    return logits, chances, evaluate(params, logits)


def evaluate(params: Params, logits: Tensor) -> Tensor:
    """(2, L, N) losses of the chosen kinds at (N,) logits, and their slopes by autograd."""
    z = logits.clone().requires_grad_()
    values = [loss_of(name, params, z) for name in params.losses]
    slopes = [torch.autograd.grad(value.sum(), z)[0] for value in values]
    return torch.stack([torch.stack(values).detach(), torch.stack(slopes)])


def loss_of(name: str, params: Params, z: Tensor) -> Tensor:
    """(N,) losses of one kind at (N,) logits of the true class; a negative's network output is -z."""
    x, y = (z if params.label == "1" else -z), torch.full_like(z, float(params.label))
    match name:
        case "bce":
            return ops.binary_cross_entropy_with_logits(x, y, reduction="none")
        case "prob":  # in single precision, as networks compute it: that is where it fails
            return ops.binary_cross_entropy(x.float().sigmoid(), y.float(), reduction="none").double()
        case "focal":
            return ops.sigmoid_focal_loss(x, y, alpha=float(params.alpha), gamma=params.gamma)
    scores, truth = scores_of(params, z), torch.zeros(len(z), dtype=torch.int64)
    match name:
        case "smooth":
            return ops.cross_entropy(scores, truth, label_smoothing=params.epsilon, reduction="none")
        case "others":
            return ops.cross_entropy(scores, label_of(params, "excluding").expand_as(scores), reduction="none")
        case "kl":
            return ops.kl_div(
                ops.log_softmax(scores), label_of(params, "torch").expand_as(scores), reduction="none"
            ).sum(1)
    return ops.cross_entropy(ops.softmax(scores) if name == "twice" else scores, truth, reduction="none")


def scores_of(params: Params, z: Tensor) -> Tensor:
    """(N, C) logits over the temperature: z for the true class, the first, and 0 for every other."""
    return F.pad(z[:, None], (0, int(params.classes) - 1)) / params.temperature


def label_of(params: Params, convention: ops.Convention) -> Tensor:
    """(C,) smoothed label, the true class first."""
    classes, true = int(params.classes), torch.tensor(0)
    return ops.smooth_labels(true, classes, epsilon=params.epsilon, convention=convention, dtype=torch.float64)


def share_of_negatives(params: Params) -> Tensor:
    """(2,) share of 100,000 easy negatives in the loss summed over them and 10 hard positives: BCE, focal."""
    count, p, y = torch.tensor([[1e5, 10], [0.01, 0.3], [0, 1]], dtype=torch.float64).unbind()
    bce = ops.binary_cross_entropy_with_logits(p.logit(), y, reduction="none")
    focal = ops.sigmoid_focal_loss(p.logit(), y, alpha=float(params.alpha), gamma=params.gamma)
    totals = torch.stack([bce, focal]) * count  # [2, 2]
    return totals[:, 0] / totals.sum(1)


def reference(
    losses: tuple[str, ...],
    z: float,
    gamma: float,
    alpha: str,
    label: str,
    classes: str,
    temperature: float,
    epsilon: float,
) -> Tensor:
    """Losses and slopes, (2, losses, logits), at the logits -24, -23, ..., 24 and, last, at z."""
    logits = torch.tensor([*range(-24, 25), z], dtype=torch.float64, requires_grad=True)
    x, y = (logits if label == "1" else -logits), torch.full_like(logits, float(label))
    scores = F.pad(logits[:, None], (0, int(classes) - 1)) / temperature  # the true class first, the others 0
    truth = torch.zeros(len(logits), dtype=torch.long)
    on = F.one_hot(truth, int(classes)).double()
    mixed, excluding = (1 - epsilon) * on + epsilon / int(classes), on - epsilon * (on - (1 - on) / (int(classes) - 1))
    formulas: dict[str, Callable[[], Tensor]] = {
        "ce": lambda: F.cross_entropy(scores, truth, reduction="none"),
        "bce": lambda: F.binary_cross_entropy_with_logits(x, y, reduction="none"),
        "focal": lambda: sigmoid_focal_loss(x, y, alpha=float(alpha), gamma=gamma),
        "smooth": lambda: F.cross_entropy(scores, truth, reduction="none", label_smoothing=epsilon),
        "others": lambda: F.cross_entropy(scores, excluding, reduction="none"),
        "kl": lambda: F.kl_div(scores.log_softmax(1), mixed, reduction="none").sum(1),
        "prob": lambda: F.binary_cross_entropy(x.float().sigmoid(), y.float(), reduction="none").double(),
        "twice": lambda: F.cross_entropy(scores.softmax(1), truth, reduction="none"),
    }
    values = [formulas[name]() for name in losses]
    slopes = [torch.autograd.grad(value.sum(), logits, retain_graph=True)[0] for value in values]
    return torch.stack([torch.stack(values).detach(), torch.stack(slopes)])


def stage(params: Params, result: Result) -> go.Figure:
    """Losses above, their slopes below."""
    families = [int(name in BINARY) for name in params.losses]
    if params.axis == "logit":
        reach = REACH if abs(params.z) <= REACH else WIDEST
        axis = Axis("Logit z of the true class (the others: 0)", -reach, reach)
        x, at = result.logits.expand(len(families), -1), result.logits.new_full((len(families),), params.z)
    else:
        axis = Axis("Probability p of the true class", -0.01, 1.01)
        x, at = result.probability[families], result.logs[::2].exp()[families]
    curves, points = torch.cat([x[None], result.curves]), torch.cat([at[None], result.example])  # [3, L, G], [3, L]
    return loss_figure(params.losses, curves, points, axis, log=params.log, steep=params.temperature < 1)


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    softmax, _, sigmoid = (f"{chance:.3g}" for chance in result.logs.exp().tolist())
    chances = [f"{sigmoid} (sigmoid)" if name in BINARY else f"{softmax} (softmax)" for name in params.losses]
    values = zip(params.losses, *result.example.tolist(), strict=True)
    words = ", ".join(f"{TITLES[name]} {loss:.3g} (slope {slope:.2g})" for name, loss, slope in values)
    return f"At z = {params.z:g} the true class has probability {' or '.join(dict.fromkeys(chances))}. {words}."


def formula(params: Params, result: Result) -> str:
    """The chosen losses with the numbers of the example."""
    settings = Settings(int(params.classes), params.epsilon, params.gamma, float(params.alpha), params.label == "1")
    return formula_text(params.losses, result.example, result.logs, settings)


def table(params: Params, result: Result) -> pd.DataFrame:
    """Curves as columns: logit, both probabilities, then loss and slope of each kind."""
    columns = torch.cat([result.logits[None], result.probability, result.curves.flatten(0, 1)])  # [3 + 2L, G]
    names = [f"{name}_{kind}" for kind in ("loss", "slope") for name in params.losses]
    return pd.DataFrame(columns.T.numpy(), columns=["z", "p_softmax", "p_sigmoid", *names])


PRESETS = {
    "Two losses, one example": Preset(
        Params(), "Drag z: where the example is already right, the focal loss lets go long before cross-entropy does."
    ),
    "Easy example": Preset(Params(z=2.2, log=True), "Focal over cross-entropy: 1/100 at p = 0.9, 1/4 at p = 0.5."),
    "Hard example": Preset(
        Params(z=-2.8), "The focal loss is lower, its slope steeper: −1.13, not −0.94.", failure=True
    ),
    "Confident and wrong": Preset(
        Params(losses=("ce",), z=-5.6, axis="probability"),
        "Towards p = 0 the loss explodes, its slope in z stops at −1.",
    ),
    "Dead gradient": Preset(
        Params(losses=("bce", "prob"), z=-18.0, label="0", log=True),
        "From a logit of 17 float32 rounds the sigmoid to 1: the loss jumps to 100, the slope to 0.",
        failure=True,
    ),
    "Too sure": Preset(
        Params(losses=("ce", "smooth", "others"), z=6.0, classes="3", epsilon=0.2),
        "With smoothed labels the slope turns positive: lowest at z = 2.6 and 2.1, by convention, not at infinity.",
        failure=True,
    ),
    "KL and entropy": Preset(
        Params(losses=("smooth", "kl"), z=4.5, classes="10"), "Less the entropy of its label, the loss touches 0."
    ),
    "1000 classes, untrained": Preset(
        Params(losses=("ce", "bce"), z=0.0, classes="1000"), "Equal logits cost ln 1000 = 6.91; a sigmoid, ln 2."
    ),
    "Hot softmax": Preset(
        Params(losses=("ce", "bce"), z=3.0, temperature=4.0), "BCE is the same at T = 1: T = 4 flattens, slope −1/4."
    ),
    "α alone": Preset(
        Params(losses=("bce", "focal"), gamma=0.0, alpha="0.25"), "Alone, α quarters the rare positives.", failure=True
    ),
    "Softmax twice": Preset(
        Params(losses=("ce", "twice"), z=7.0, classes="10"),
        "The second softmax leaves a floor of 1.46 and no slope, without any error.",
        failure=True,
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
    checked=lambda r: torch.cat([r.curves[..., r.logits.frac() == 0], r.example[..., None]], dim=-1),
    against="torch and torchvision",
)
