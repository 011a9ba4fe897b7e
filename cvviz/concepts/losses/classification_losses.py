"""Classification losses and their slopes against the logit or the probability of the true class."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any

import pandas as pd
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss as torchvision_focal_loss

from cvviz.concept import Claim, Concept, Evidence, Preset
from cvviz.controls import Choice, Many, Slider, Toggle
from cvviz.figures.classification_losses import LOOKS, REACH, Curve, formula_lines, loss_figure, tex
from cvviz.ops import losses as ops

BINARY = {"bce", "focal", "prob"}
SMOOTHED = {"smooth", "others", "kl"}
WIDEST = 24.0
NEGATIVES, POSITIVES = (100_000, 0.99), (10, 0.3)  # how many, and the probability that each gives to its true label


def uses(*names: str) -> Any:
    """Condition that some of these losses are shown."""
    return lambda params: not set(names).isdisjoint(params.losses)


@dataclass(frozen=True, slots=True)
class Params:
    """Which losses, at which logit of the true class, and their parameters."""

    losses: Annotated[
        tuple[str, ...],
        Many("Losses", options={name: look.title for name, look in LOOKS.items()}),
    ] = ("ce", "focal")
    z: Annotated[
        float,
        Slider(
            "Logit z of the true class",
            -WIDEST,
            WIDEST,
            0.1,
            help="How far the network leans towards the truth: negative is wrong, 0 undecided between two classes.",
        ),
    ] = 1.0
    axis: Annotated[str, Choice("Against", options={"logit": "Logit", "probability": "Probability"})] = "logit"
    log: Annotated[bool, Toggle("Logarithmic scale")] = False
    gamma: Annotated[float, Slider("Focusing γ", 0, 5, 0.1, when=uses("focal"))] = 2.0
    alpha: Annotated[
        str,
        Choice(
            "Class weight α",
            options={"off": "off", "0.1": "0.1", "0.25": "0.25", "0.5": "0.5", "0.75": "0.75", "0.9": "0.9"},
            help="Positives weigh α and negatives 1 − α.",
            when=uses("focal"),
        ),
    ] = "off"
    label: Annotated[
        str,
        Choice(
            "Label y of the example",
            options={"1": "1, positive", "0": "0, negative"},
            help="For a negative the network's output is −z, so that z still points towards the truth.",
            when=lambda params: "prob" in params.losses or ("focal" in params.losses and params.alpha != "off"),
        ),
    ] = "1"
    classes: Annotated[
        str, Choice("Classes C", options=("2", "3", "10", "100", "1000"), when=lambda p: not BINARY.issuperset(p.losses))
    ] = "2"
    temperature: Annotated[
        float,
        Slider("Temperature T", 0.5, 5, 0.1, help="Of every softmax.", when=lambda p: not BINARY.issuperset(p.losses)),
    ] = 1.0
    epsilon: Annotated[float, Slider("Smoothing ε", 0, 0.5, 0.01, when=uses(*SMOOTHED))] = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of every chosen loss.

    Args:
        logits: (G,) logits of the curves.
        probability: (2, G) of the true class there, by softmax and by sigmoid.
        curves: (2, L, G) losses in nats and their slopes with respect to z.
        example: (2, L) the same at the example.
        reached: (2,) probability of the true class there, by softmax and by sigmoid.
        share: (2,) of the summed loss that comes from many easy negatives, under BCE and under the focal loss.
    """

    logits: Tensor
    probability: Tensor
    curves: Tensor
    example: Tensor
    reached: Tensor
    share: Tensor


def compute(params: Params) -> Result:
    """Losses and slopes over a sweep of logits and at the example."""
    # What the sweep does not depend on is set aside, so that dragging z meets the cache.
    logits, curves = sweep(replace(params, z=0.0, axis="logit", log=False))
    z = torch.tensor([params.z], dtype=torch.float64)
    return Result(
        logits=logits,
        probability=probability(params, logits),
        curves=curves,
        example=evaluate(params, z)[..., 0],
        reached=probability(params, z)[:, 0],
        share=share_of_negatives(params),
    )


@lru_cache(maxsize=16)
def sweep(params: Params) -> tuple[Tensor, Tensor]:
    """(G,) logits, every quarter, and the (2, L, G) losses and slopes there."""
    logits = torch.linspace(-WIDEST, WIDEST, 193, dtype=torch.float64)
    return logits, evaluate(params, logits)


def evaluate(params: Params, logits: Tensor) -> Tensor:
    """(2, L, N) losses of the chosen kinds at (N,) logits, and their slopes by autograd."""
    z = logits.clone().requires_grad_()
    rows = []
    for name in params.losses:
        loss = loss_of(name, params, z)
        (slope,) = torch.autograd.grad(loss.sum(), z)
        rows.append(torch.stack([loss.detach(), slope]))
    return torch.stack(rows, dim=1)


def loss_of(name: str, params: Params, z: Tensor) -> Tensor:
    """(N,) losses of one kind at (N,) logits of the true class."""
    if name in BINARY:
        return binary_loss(name, params, z)
    scores = scores_of(params, z)
    truth = torch.zeros(len(z), dtype=torch.int64)
    if name == "ce":
        return ops.cross_entropy(scores, truth, reduction="none")
    if name == "smooth":
        return ops.cross_entropy(scores, truth, label_smoothing=params.epsilon, reduction="none")
    if name == "twice":
        return ops.cross_entropy(ops.softmax(scores), truth, reduction="none")
    target = target_of(name, params).expand_as(scores)
    if name == "others":
        return ops.cross_entropy(scores, target, reduction="none")
    return ops.kl_div(ops.log_softmax(scores), target, reduction="none").sum(1)


def binary_loss(name: str, params: Params, z: Tensor) -> Tensor:
    """(N,) losses of one kind for a sigmoid whose output leans by z towards the label."""
    x = z if params.label == "1" else -z
    y = torch.full_like(z, float(params.label))
    if name == "bce":
        return ops.binary_cross_entropy_with_logits(x, y, reduction="none")
    if name == "focal":
        return ops.sigmoid_focal_loss(x, y, alpha=alpha_of(params), gamma=params.gamma)
    # In single precision, as networks compute it: that is where it fails.
    return ops.binary_cross_entropy(x.float().sigmoid(), y.float(), reduction="none").double()


def scores_of(params: Params, z: Tensor) -> Tensor:
    """(N, C) logits over the temperature: z for the true class, 0 for all others."""
    return F.pad(z[:, None], (0, int(params.classes) - 1)) / params.temperature


def target_of(name: str, params: Params) -> Tensor:
    """(C,) smoothed label of a loss, the true class first."""
    convention: ops.Convention = "excluding" if name == "others" else "torch"
    return ops.smooth_labels(
        torch.tensor(0), int(params.classes), epsilon=params.epsilon, convention=convention, dtype=torch.float64
    )


def alpha_of(params: Params) -> float:
    """α as torchvision takes it, -1 meaning none."""
    return -1.0 if params.alpha == "off" else float(params.alpha)


def probability(params: Params, z: Tensor) -> Tensor:
    """(2, N) probability of the true class by softmax and by sigmoid."""
    return torch.stack([ops.softmax(scores_of(params, z))[:, 0], z.sigmoid()])


def share_of_negatives(params: Params) -> Tensor:
    """(2,) share of the summed loss that 100,000 easy negatives take from 10 hard positives: BCE, focal."""
    count = torch.tensor([NEGATIVES[0], POSITIVES[0]], dtype=torch.float64)
    labels = torch.tensor([0.0, 1.0], dtype=torch.float64)
    x = torch.tensor([1 - NEGATIVES[1], POSITIVES[1]], dtype=torch.float64).logit()
    bce = ops.binary_cross_entropy_with_logits(x, labels, reduction="none")
    focal = ops.sigmoid_focal_loss(x, labels, alpha=alpha_of(params), gamma=params.gamma)
    totals = torch.stack([bce, focal]) * count  # [2, 2]
    return totals[:, 0] / totals.sum(1)


def checked(result: Result) -> Tensor:
    """Losses and slopes at every whole logit and at the example."""
    return torch.cat([result.curves[..., ::4], result.example[..., None]], dim=-1)


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
    """Losses and slopes, (2, losses, logits), at the logits -24, -23, ..., 24 and last at z."""
    logits = torch.cat([torch.linspace(-24, 24, 49), torch.tensor([z])]).double()
    logits[-1] = z
    logits.requires_grad_()
    rows = []
    for name in losses:
        if name in ("bce", "focal", "prob"):
            loss = binary(name, logits, float(label), gamma, -1 if alpha == "off" else float(alpha))
        else:
            loss = multiclass(name, logits, int(classes), temperature, epsilon)
        loss.sum().backward()
        rows.append(torch.stack([loss.detach(), logits.grad]))
        logits.grad = None
    return torch.stack(rows, dim=1)


def binary(name: str, z: Tensor, label: float, gamma: float, alpha: float) -> Tensor:
    """A loss of the sigmoid; for a negative the network's output is -z."""
    x = z if label == 1 else -z
    y = torch.full_like(z, label)
    if name == "bce":
        return F.binary_cross_entropy_with_logits(x, y, reduction="none")
    if name == "focal":
        return torchvision_focal_loss(x, y, alpha=alpha, gamma=gamma)
    return F.binary_cross_entropy(x.float().sigmoid(), y.float(), reduction="none").double()


def multiclass(name: str, z: Tensor, classes: int, temperature: float, epsilon: float) -> Tensor:
    """A loss of the softmax over (z, 0, ..., 0)."""
    scores = torch.cat([z[:, None], z.new_zeros(len(z), classes - 1)], dim=1) / temperature
    truth = torch.zeros(len(z), dtype=torch.long)
    if name == "ce":
        return F.cross_entropy(scores, truth, reduction="none")
    if name == "smooth":
        return F.cross_entropy(scores, truth, reduction="none", label_smoothing=epsilon)
    if name == "twice":
        return F.cross_entropy(scores.softmax(dim=1), truth, reduction="none")
    one_hot = F.one_hot(truth, classes).to(scores)
    if name == "others":
        target = (1 - epsilon) * one_hot + epsilon / (classes - 1) * (1 - one_hot)
        return F.cross_entropy(scores, target, reduction="none")
    target = (1 - epsilon) * one_hot + epsilon / classes
    return F.kl_div(scores.log_softmax(dim=1), target, reduction="none").sum(dim=1)


def stage(params: Params, result: Result) -> go.Figure:
    """Losses above, their slopes below."""
    curves = []
    for row, name in enumerate(params.losses):
        family = int(name in BINARY)
        against_logit = params.axis == "logit"
        x = result.logits if against_logit else result.probability[family]
        place = torch.tensor(params.z) if against_logit else result.reached[family]
        at = torch.stack([place.double(), *result.example[:, row]])
        curves.append(Curve(LOOKS[name], x, result.curves[0, row], result.curves[1, row], at))
    if params.axis == "probability":
        x_title, x_range = "Probability p of the true class", (-0.01, 1.01)
    else:
        reach = REACH if abs(params.z) <= REACH else WIDEST
        x_title, x_range = "Logit z of the true class, the others having 0", (-reach, reach)
    return loss_figure(curves, x_title=x_title, x_range=x_range, log=params.log, steep=params.temperature < 1)


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    softmax, sigmoid = (f"{float(value):.3g}" for value in result.reached)
    families = {name in BINARY for name in params.losses}
    words = softmax if families == {False} or softmax == sigmoid else sigmoid if families == {True} else ""
    reached = words or f"{softmax} by softmax and {sigmoid} by sigmoid"
    values = ", ".join(
        f"{LOOKS[name].title} {float(loss):.3g} (slope {float(slope):.3g})"
        for name, loss, slope in zip(params.losses, *result.example, strict=True)
    )
    return f"At z = {params.z:g} the true class has probability {reached}. {values}."


def table(params: Params, result: Result) -> pd.DataFrame:
    """Curves as columns: logit, both probabilities, then loss and slope of each kind."""
    columns = {"z": result.logits, "p_softmax": result.probability[0], "p_sigmoid": result.probability[1]}
    for row, name in enumerate(params.losses):
        columns |= {f"{name}_loss": result.curves[0, row], f"{name}_slope": result.curves[1, row]}
    return pd.DataFrame({name: column.numpy() for name, column in columns.items()})


def numbers(params: Params, result: Result) -> pd.DataFrame:
    """The example under each loss, in words for a table."""
    rows = []
    for row, name in enumerate(params.losses):
        loss, slope = (float(value) for value in result.example[:, row])
        plain = -math.log(float(result.reached[int(name in BINARY)]))
        ratio = f"{loss / plain:.3g}" if plain else "–"
        rows.append((LOOKS[name].title, f"{loss:.4g}", f"{slope:.4g}", ratio, f"{lowest_at(name, params):.3g}"))
    return pd.DataFrame(rows, columns=["Loss", "Value (nats)", "Slope ∂L/∂z", "Value / (−ln p)", "Lowest at z"])


def lowest_at(name: str, params: Params) -> float:
    """Logit of the true class at which a loss is lowest; infinite unless the label is smoothed."""
    if name not in SMOOTHED:
        return math.inf
    on, off = (float(value) for value in target_of(name, params)[:2])
    return params.temperature * math.log(on / off) if off else math.inf


def formula(params: Params, result: Result) -> str:
    """One line per loss with the current numbers."""
    softmax, sigmoid = (tex(float(value)) for value in result.reached)
    heads = []
    if not BINARY.issuperset(params.losses):
        others = rf"p_0 = {tex(float(log_probabilities(params)[1].exp()))}"
        heads.append(rf"p = \frac{{e^{{z/T}}}}{{e^{{z/T}} + C - 1}} = {softmax}, \quad {others}")
    if not BINARY.isdisjoint(params.losses):
        heads.append(rf"p_t = \sigma(z) = {sigmoid}")
    values = zip(params.losses, *result.example.tolist(), strict=True)
    lines = [(name, filled(name, params, loss), loss, slope) for name, loss, slope in values]
    return formula_lines(r", \quad ".join(heads), lines)


def filled(name: str, params: Params, loss: float) -> str:
    """Terms of a loss with the numbers of the example in place of the symbols, as LaTeX."""
    z = torch.tensor(params.z, dtype=torch.float64)
    log_p, log_p0 = log_probabilities(params).tolist()
    match name:
        case "ce":
            return rf"-({tex(log_p)})"
        case "bce":
            return rf"-({tex(float(F.logsigmoid(z)))})"
        case "focal":
            alpha, rest = alpha_of(params), tex(float((-z).sigmoid()))
            weight = 1 if alpha == -1 else alpha if params.label == "1" else 1 - alpha
            return rf"-{weight:g} \cdot ({rest})^{{{params.gamma:g}}} \cdot ({tex(float(F.logsigmoid(z)))})"
        case "prob":
            x = z.float()
            p = x.sigmoid() if params.label == "1" else 1 - (-x).sigmoid()
            return rf"-\max(\ln {tex(float(p))}, -100)"
        case "twice":
            first, other = math.exp(log_p), math.exp(log_p0)
            return rf"\ln(e^{{{tex(first)}}} + {int(params.classes) - 1} e^{{{tex(other)}}}) - {tex(first)}"
    target = target_of(name, params)
    if name == "kl":
        entropy = -float(target.xlogy(target).sum())
        return rf"{tex(loss + entropy)} - {tex(entropy)}"
    on = float(target[0])
    return rf"-{on:.4g} \cdot ({tex(log_p)}) - {1 - on:.4g} \cdot ({tex(log_p0)})"


def log_probabilities(params: Params) -> Tensor:
    """(2,) logarithms of the true class's probability and of one other's."""
    z = torch.tensor([params.z], dtype=torch.float64)
    return ops.log_softmax(scores_of(params, z))[0, :2]


def check_bce() -> Evidence:
    p = 0.3
    by_hand = torch.tensor([-math.log(p), -math.log(1 - p)], dtype=torch.float64)
    ours = ops.binary_cross_entropy(torch.full((2,), p).double(), torch.tensor([1.0, 0.0]).double(), reduction="none")
    x = torch.tensor(20.0, requires_grad=True)
    with_logits = F.binary_cross_entropy_with_logits(x, torch.tensor(0.0))
    on_probability = F.binary_cross_entropy(x.sigmoid(), torch.tensor(0.0))
    slopes = [float(torch.autograd.grad(loss, x)[0]) for loss in (with_logits, on_probability)]
    return Evidence(
        bool(torch.allclose(by_hand, ours)) and slopes == [1.0, 0.0] and float(on_probability) == 100,
        f"p = 0.3: {ours[0]:.4f} for y = 1 and {ours[1]:.4f} for y = 0, as by hand. A negative at logit 20 in float32: "
        f"loss {with_logits:g} and slope {slopes[0]:g} from the logit, {on_probability:g} and {slopes[1]:g} from the "
        "probability.",
    )


def check_ce() -> Evidence:
    scores, truth = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64), torch.tensor([2])
    by_hand = -float(torch.log(scores.exp() / scores.exp().sum())[0, 2])
    ours = float(ops.cross_entropy(scores, truth))
    sure = torch.tensor([[200.0] + [0.0] * 9], dtype=torch.float64)
    floor = float(F.cross_entropy(sure.softmax(1), torch.tensor([0])))
    return Evidence(
        abs(by_hand - ours) < 1e-12 and abs(floor - math.log(1 + 9 / math.e)) < 1e-12,
        f"Logits (2, -1, 0.5), class 2: {ours:.6f}, by hand {by_hand:.6f}. A perfect prediction among 10 classes costs "
        f"{floor:.3f} = ln(1 + 9/e) after a second softmax, and 0 after one.",
    )


def check_focal() -> Evidence:
    p = torch.tensor([0.5, 0.9, 0.968], dtype=torch.float64)
    ones = torch.ones_like(p)
    ce = F.binary_cross_entropy_with_logits(p.logit(), ones, reduction="none")
    ratios = ce / torchvision_focal_loss(p.logit(), ones, alpha=-1)
    label = torch.tensor([1.0, 0.0], dtype=torch.float64)
    zero = torch.zeros_like(label)
    weights = torchvision_focal_loss(zero, label) / torchvision_focal_loss(zero, label, alpha=-1)
    return Evidence(
        bool(torch.allclose(ratios, (1 - p) ** -2)) and weights.tolist() == [0.25, 0.75],
        f"γ = 2: cross-entropy is {ratios[0]:.0f}, {ratios[1]:.0f} and {ratios[2]:.0f} times the focal loss at p_t = 0.5, "
        f"0.9 and 0.968. torchvision's default multiplies this formula by {weights[0]:g} for y = 1 and {weights[1]:g} "
        "for y = 0.",
    )


def check_imbalance() -> Evidence:
    bce, focal = share_of_negatives(Params()).tolist()
    _, weighted = share_of_negatives(Params(alpha="0.25")).tolist()
    return Evidence(
        bce > 0.98 and focal < 0.02 and weighted < 0.06,
        f"100,000 negatives at p_t = 0.99 and 10 positives at 0.3: the negatives make up {bce:.3f} of the BCE, "
        f"{focal:.3f} of the focal loss with γ = 2, {weighted:.3f} with α = 0.25 as well.",
    )


def torch_target(epsilon: float, classes: int) -> Tensor:
    """(C,) label that torch's cross-entropy aims at for class 1, read off its gradient p - q."""
    scores = torch.zeros(1, classes, dtype=torch.float64, requires_grad=True)
    loss = F.cross_entropy(scores, torch.tensor([1]), label_smoothing=epsilon)
    return (scores.softmax(1) - torch.autograd.grad(loss, scores)[0])[0].detach()


def check_smoothing() -> Evidence:
    on_off = {classes: torch_target(0.1, classes)[[1, 0]].tolist() for classes in (2, 1000)}
    converted = ops.smooth_labels(torch.tensor(1), 10, epsilon=0.09, convention="excluding", dtype=torch.float64)
    error = float((converted - torch_target(0.1, 10)).abs().max())
    words = " and ".join(f"{on:.4g} on, {off:.4g} off with C = {classes}" for classes, (on, off) in on_off.items())
    return Evidence(
        abs(on_off[2][0] - 0.95) < 1e-9 and error < 1e-12,
        f"ε = 0.1 in torch: {words}. With C = 10 the sentence's convention at ε = 0.09 is torch's at 0.1 "
        f"(difference {error:.0e}).",
    )


def check_three_classes() -> Evidence:
    excluding = ops.smooth_labels(torch.tensor(1), 3, epsilon=0.2, convention="excluding")
    mixed = torch_target(0.2, 3)
    first, second = ([round(value, 3) for value in row.tolist()] for row in (excluding, mixed))
    return Evidence(first == [0.1, 0.8, 0.1] and second == [0.067, 0.867, 0.067], f"ε/(C − 1): {first}. torch: {second}.")


def check_kl() -> Evidence:
    scores = torch.tensor([[2.0, 1.0, 0.5, 0.0, -0.5, -1.0]], dtype=torch.float64)
    q, p = scores.softmax(1), scores.roll(2, 1).softmax(1)
    forward, backward = (float(F.kl_div(b.log(), a, reduction="batchmean")) for a, b in ((q, p), (p, q)))
    mean, no_log = float(F.kl_div(p.log(), q, reduction="mean")), float(F.kl_div(p, q, reduction="batchmean"))
    gap = float(F.cross_entropy(p.log(), q) + (q * q.log()).sum()) - forward
    return Evidence(
        abs(gap) < 1e-12 and abs(mean * 6 - forward) < 1e-12 and no_log < 0 and forward != backward,
        f"D(q‖p) = {forward:.3f}, D(p‖q) = {backward:.3f}; cross-entropy − entropy − D = {abs(gap):.0e}. With 6 classes "
        f'torch\'s reduction="mean" gives {mean:.3f}, six times too little, and leaving out the log {no_log:.3f}.',
    )


def check_list() -> Evidence:
    names = {name for name in dir(torch.nn) if name.endswith("Loss")}
    listed = names & {"CrossEntropyLoss", "BCELoss", "KLDivLoss", "TripletMarginLoss"}
    return Evidence(
        len(listed) == 4 and len(names) > 15,
        f"torch.nn has {len(names)} losses; the list names {len(listed)} of them. MSE, L1, Huber, hinge, CTC and the "
        "segmentation and detection losses are missing.",
    )
