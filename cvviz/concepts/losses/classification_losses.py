"""Classification losses: value and slope over one logit, and pushes and steps on all the logits of an example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, cast

import pandas as pd
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, Heights, Many, Slider, Toggle
from cvviz.figures.classification_losses import BINARY, LOOKS, Settings, axis_for, formula_text, loss_figure
from cvviz.figures.logits import NAMES, logits_formula, logits_scene, logits_sentence, logits_table
from cvviz.figures.scene import Scene
from cvviz.ops import losses as ops
from cvviz.ops.loss_family import Sigmoid, Softmax, share_of_negatives, sigmoid_loss, softmax_loss

WIDEST = 24.0
VIEWS = {"curves": "One logit", "logits": "All logits"}


def shows(*names: str) -> Callable[[Params], bool]:
    """Condition that one of these losses is chosen."""
    return lambda params: not set(names).isdisjoint(params.losses)


def one_logit(params: Params) -> bool:
    """Whether one logit is looked at, and not all of them."""
    return params.view == "curves"


def all_logits(params: Params) -> bool:
    """Whether all logits are looked at."""
    return params.view == "logits"


def has_classes(params: Params) -> bool:
    """Whether the number of classes matters."""
    return one_logit(params) and softmaxes(params)


def has_label(params: Params) -> bool:
    """Whether a negative label gives other numbers than a positive one."""
    return one_logit(params) and ("prob" in params.losses or (params.alpha != "-1" and "focal" in params.losses))


softmaxes = shows(*(name for name in LOOKS if name not in BINARY))
TITLES = {name: look.title for name, look in LOOKS.items()}
WEIGHTS = {"-1": "none", "0.1": "0.1", "0.25": "0.25", "0.5": "0.5", "0.75": "0.75", "0.9": "0.9"}
LABELS = {"1": "1: output z", "0": "0: output −z"}


@dataclass(frozen=True, slots=True)
class Params:
    """Which losses, at which logits, and their parameters."""

    view: Annotated[str, Choice("View", options=VIEWS)] = "curves"
    losses: Annotated[tuple[str, ...], Many("Losses", options=TITLES)] = ("ce", "focal")
    z: Annotated[float, Slider("Logit z of the true class", -WIDEST, WIDEST, 0.1, when=one_logit)] = 1.0
    axis: Annotated[
        str, Choice("Against", options={"logit": "Logit", "probability": "Probability"}, when=one_logit)
    ] = "logit"
    log: Annotated[bool, Toggle("Logarithmic scale", when=one_logit)] = False
    truth: Annotated[str, Choice("True class", options=NAMES, when=all_logits)] = "cat"
    logits: Annotated[
        tuple[float, ...], Heights("Logits", 5, -8, 8, help="Or drag the dots on the stage.", when=all_logits)
    ] = (0.5, 2.0, 1.0, -1.0, -4.0)
    steps: Annotated[int, Slider("Steps of descent", 0, 50, 1, when=all_logits)] = 0
    rate: Annotated[float, Slider("Learning rate", 0.1, 10, log=True, when=all_logits)] = 1.0
    gamma: Annotated[float, Slider("Focusing γ", 0, 5, 0.1, when=shows("focal"))] = 2.0
    alpha: Annotated[str, Choice("Weight α, negatives 1 − α", options=WEIGHTS, when=shows("focal"))] = "-1"
    label: Annotated[str, Choice("Binary label y", options=LABELS, when=has_label)] = "1"
    classes: Annotated[str, Choice("Classes C", options=("2", "3", "10", "100", "1000"), when=has_classes)] = "2"
    temperature: Annotated[float, Slider("Temperature T of the softmax", 0.5, 5, 0.1, when=softmaxes)] = 1.0
    epsilon: Annotated[float, Slider("Smoothing ε", 0, 0.5, 0.01, when=shows("smooth", "others", "kl"))] = 0.1


@dataclass(frozen=True, slots=True)
class Curves:
    """What is known of every chosen loss over one logit.

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


@dataclass(frozen=True, slots=True)
class Logits:
    """What is known of every chosen loss of an example with C classes.

    Args:
        start: (C,) logits.
        chances: (2, C) their softmax at the temperature, and their sigmoids.
        values: (L,) losses in nats.
        slopes: (L, C) slopes with respect to the logits.
        ends: (L, C) logits after the steps of descent.
        truth: index of the true class.
    """

    start: Tensor
    chances: Tensor
    values: Tensor
    slopes: Tensor
    ends: Tensor
    truth: int


Result = Curves | Logits


def compute(params: Params) -> Result:
    """Losses and slopes over a sweep of logits and at the example; or at all its logits, and steps from there."""
    if params.view == "logits":
        return push_all(params)
    # What the sweep does not depend on is set aside, so that dragging z meets the cache.
    logits, chances, curves = sweep(replace(params, z=0.0, axis="logit", log=False))
    z = torch.tensor([params.z], dtype=torch.float64)
    logs = torch.cat([ops.log_softmax(scores_of(params, z))[0, :2], F.logsigmoid(z)])
    return Curves(
        logits,
        chances,
        curves,
        evaluate(params, z)[..., 0],
        logs,
        share_of_negatives(params.gamma, float(params.alpha)),
    )


def push_all(params: Params) -> Logits:
    """Losses and slopes at all the logits, and plain gradient descent on them."""
    start, truth = torch.tensor(params.logits, dtype=torch.float64), NAMES.index(params.truth)
    ends = start.expand(len(params.losses), -1)
    values, slopes = values_and_slopes(params, ends, truth)
    push = slopes
    for _ in range(params.steps):
        ends = ends - params.rate * push
        _, push = values_and_slopes(params, ends, truth)
    chances = torch.stack([ops.softmax(start / params.temperature), start.sigmoid()])
    return Logits(start, chances, values, slopes, ends, truth)


def values_and_slopes(params: Params, logits: Tensor, truth: int) -> tuple[Tensor, Tensor]:
    """(L,) losses, each at its own row of the (L, C) logits, and their slopes (L, C)."""
    z, index = logits.clone().requires_grad_(), torch.tensor([truth])
    y = F.one_hot(index, len(NAMES)).double()
    rows = zip(params.losses, z[:, None], strict=True)
    values = torch.cat([loss_of(name, params, row / params.temperature, index, row, y) for name, row in rows])
    return values.detach(), torch.autograd.grad(values.sum(), z)[0]


@lru_cache(maxsize=16)
def sweep(params: Params) -> tuple[Tensor, Tensor, Tensor]:
    """(G,) logits, denser near 0; the probabilities (2, G) and the losses and slopes (2, L, G) there."""
    logits = torch.cat([torch.arange(-24, -8), torch.arange(-8, 8, 0.25), torch.arange(8, 25)]).double()
    chances = torch.stack([ops.softmax(scores_of(params, logits))[:, 0], logits.sigmoid()])
    return logits, chances, evaluate(params, logits)


def evaluate(params: Params, logits: Tensor) -> Tensor:
    """(2, L, N) losses of the chosen kinds at (N,) logits of the true class, and their slopes by autograd.

    A negative's network output is -z.
    """
    z = logits.clone().requires_grad_()
    truth, x = torch.zeros(len(z), dtype=torch.int64), (z if params.label == "1" else -z)[:, None]
    y = torch.full_like(x, float(params.label))
    values = [loss_of(name, params, scores_of(params, z), truth, x, y) for name in params.losses]
    slopes = [torch.autograd.grad(value.sum(), z)[0] for value in values]
    return torch.stack([torch.stack(values).detach(), torch.stack(slopes)])


def loss_of(name: str, params: Params, scores: Tensor, truth: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(N,) losses of one kind: of a softmax over (N, C) scores, or of sigmoids of (N, K) logits ``x`` with labels."""
    if name in BINARY:
        return sigmoid_loss(x, y, cast(Sigmoid, name), gamma=params.gamma, alpha=float(params.alpha))
    return softmax_loss(scores, truth, cast(Softmax, name), epsilon=params.epsilon)


def scores_of(params: Params, z: Tensor) -> Tensor:
    """(N, C) logits over the temperature: z for the true class, the first, and 0 for every other."""
    return F.pad(z[:, None], (0, int(params.classes) - 1)) / params.temperature


def reference(
    view: str,
    losses: tuple[str, ...],
    z: float,
    truth: str,
    logits: Sequence[float],
    steps: int,
    rate: float,
    gamma: float,
    alpha: str,
    label: str,
    classes: str,
    temperature: float,
    epsilon: float,
) -> Tensor:
    """Of one logit: losses and slopes, (2, losses, logits), at the logits -24, -23, ..., 24 and, last, at z.

    Of all logits: per loss its value, its slopes, and the logits after the steps, (losses, 1 + 2 classes).
    """
    if view == "curves":
        one = torch.tensor([*range(-24, 25), z], dtype=torch.float64, requires_grad=True)
        x, y = (one if label == "1" else -one)[:, None], torch.full((len(one), 1), float(label), dtype=torch.float64)
        scores = F.pad(one[:, None], (0, int(classes) - 1)) / temperature  # the true class first, the others 0
        index = torch.zeros(len(one), dtype=torch.long)
        values = [loss_by_torch(name, scores, index, x, y, gamma, float(alpha), epsilon) for name in losses]
        slopes = [torch.autograd.grad(value.sum(), one, retain_graph=True)[0] for value in values]
        return torch.stack([torch.stack(values).detach(), torch.stack(slopes)])
    index = torch.tensor([("cat", "dog", "fox", "hen", "owl").index(truth)])
    rows = []
    for name in losses:
        x = torch.tensor([logits], dtype=torch.float64, requires_grad=True)
        y = F.one_hot(index, x.shape[1]).double()
        optimizer = torch.optim.SGD([x], lr=rate)
        first = torch.empty(0)
        for step in range(steps + 1):
            value = loss_by_torch(name, x / temperature, index, x, y, gamma, float(alpha), epsilon)
            x.grad = torch.autograd.grad(value.sum(), x)[0]
            first = first if step else torch.cat([value.detach(), x.grad[0]])
            if step < steps:
                optimizer.step()
        rows.append(torch.cat([first, x.detach()[0]]))
    return torch.stack(rows)


def loss_by_torch(
    name: str, scores: Tensor, truth: Tensor, x: Tensor, y: Tensor, gamma: float, alpha: float, epsilon: float
) -> Tensor:
    """(N,) losses: of a softmax over the scores, or summed over the sigmoids of x."""
    count = scores.shape[1]
    on = F.one_hot(truth, count).double()
    mixed, excluding = (1 - epsilon) * on + epsilon / count, on - epsilon * (on - (1 - on) / (count - 1))
    formulas: dict[str, Callable[[], Tensor]] = {
        "ce": lambda: F.cross_entropy(scores, truth, reduction="none"),
        "bce": lambda: F.binary_cross_entropy_with_logits(x, y, reduction="none").sum(1),
        "focal": lambda: sigmoid_focal_loss(x, y, alpha=alpha, gamma=gamma).sum(1),
        "smooth": lambda: F.cross_entropy(scores, truth, reduction="none", label_smoothing=epsilon),
        "others": lambda: F.cross_entropy(scores, excluding, reduction="none"),
        "kl": lambda: F.kl_div(scores.log_softmax(1), mixed, reduction="none").sum(1),
        "prob": lambda: F.binary_cross_entropy(x.float().sigmoid(), y.float(), reduction="none").double().sum(1),
        "twice": lambda: F.cross_entropy(scores.softmax(1), truth, reduction="none"),
    }
    return formulas[name]()


def checked(result: Result) -> Tensor:
    """What ``reference`` reproduces."""
    if isinstance(result, Logits):
        return torch.cat([result.values[:, None], result.slopes, result.ends], dim=1)
    return torch.cat([result.curves[..., result.logits.frac() == 0], result.example[..., None]], dim=-1)


def stage(params: Params, result: Result) -> go.Figure | Scene:
    """Losses above, their slopes below; or logits and pushes."""
    if isinstance(result, Logits):
        ends, chances = (result.ends if params.steps else None), result.chances[0]
        return logits_scene(params.losses, result.start, result.truth, chances, -result.slopes, ends, field="logits")
    families = [int(name in BINARY) for name in params.losses]
    axis = axis_for(params.axis, params.z, WIDEST)
    if params.axis == "logit":
        x, at = result.logits.expand(len(families), -1), result.logits.new_full((len(families),), params.z)
    else:
        x, at = result.probability[families], result.logs[::2].exp()[families]
    curves, points = torch.cat([x[None], result.curves]), torch.cat([at[None], result.example])  # [3, L, G], [3, L]
    return loss_figure(params.losses, curves, points, axis, log=params.log, steep=params.temperature < 1)


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    if isinstance(result, Logits):
        numbers = result.values, result.slopes, result.chances, result.truth
        return logits_sentence(params.losses, *numbers, params.steps)
    softmax, _, sigmoid = (f"{chance:.3g}" for chance in result.logs.exp().tolist())
    chances = [f"{sigmoid} (sigmoid)" if name in BINARY else f"{softmax} (softmax)" for name in params.losses]
    values = zip(params.losses, *result.example.tolist(), strict=True)
    words = ", ".join(f"{TITLES[name]} {loss:.3g} (slope {slope + 0.0:.2g})" for name, loss, slope in values)
    return f"At z = {params.z:g} the true class has probability {' or '.join(dict.fromkeys(chances))}. {words}."


def formula(params: Params, result: Result) -> str:
    """The chosen losses with the numbers of the example."""
    if isinstance(result, Logits):
        numbers = result.values, result.slopes, result.chances, result.truth
        return logits_formula(params.losses, *numbers, params.temperature)
    settings = Settings(int(params.classes), params.epsilon, params.gamma, float(params.alpha), params.label == "1")
    return formula_text(params.losses, result.example, result.logs, settings)


def table(params: Params, result: Result) -> pd.DataFrame:
    """Curves as columns: logit, both probabilities, then loss and slope of each kind; or a row for each class."""
    if isinstance(result, Logits):
        return logits_table(params.losses, result.start, result.chances, result.slopes, result.ends, params.steps)
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
        Params(losses=("ce", "bce"), z=3.0, temperature=4.0),
        "BCE is cross-entropy at T = 1. T = 4 flattens it: far to the left the slope is −1/4, not −1.",
    ),
    "α alone": Preset(
        Params(losses=("bce", "focal"), gamma=0.0, alpha="0.25"), "Alone, α quarters the rare positives.", failure=True
    ),
    "Softmax twice": Preset(
        Params(losses=("ce", "twice"), z=-7.0, classes="10"),
        "Confident and wrong, yet the slope is −0.0001, not −1. And the loss never falls below 1.46.",
        failure=True,
    ),
    "All logits: p − q": Preset(
        Params(view="logits", losses=("ce",)),
        "Each wrong class is pushed down by its own probability, the true one up by their sum. Drag the dog.",
    ),
    "One rival": Preset(
        Params(view="logits", losses=("ce", "bce"), logits=(1.0, 4.0, -3.0, -3.0, -3.0)),
        "Softmax spends its push on the rival alone; sigmoids push each class for itself, the rival hardest.",
    ),
    "All shifted": Preset(
        Params(view="logits", losses=("ce", "bce"), logits=(6.0, 4.0, 4.0, 4.0, 4.0)),
        "Right by 2, all high: cross-entropy sees differences only, five sigmoids see four false alarms.",
        failure=True,
    ),
    "Where they come to rest": Preset(
        Params(view="logits", losses=("ce", "smooth"), steps=50, rate=3.0, logits=(0.0, 0.0, 0.0, 0.0, 0.0)),
        "Play the steps: smoothing stops at a gap of ln 46 = 3.83, cross-entropy never does.",
    ),
    "Easy for the focal loss": Preset(
        Params(view="logits", losses=("bce", "focal"), logits=(2.0, -3.0, -3.0, 1.0, -3.0), steps=10),
        "The focal loss lets go of cat, dog, fox and owl, and spends itself on the one false alarm, the hen.",
    ),
    "Steps too long": Preset(
        Params(view="logits", losses=("ce", "smooth"), steps=30, rate=10.0, temperature=0.5),
        "The best gap is 1.91. The first step leaps to 32.5, the next walk back, then it hops and never settles.",
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
    checked=checked,
    against="torch and torchvision",
)
