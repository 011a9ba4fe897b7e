"""Metric learning: nine points that attract and repel each other, and digits embedded by a network trained here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, cast

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, Points, Seed, Slider, Toggle
from cvviz.figures.metric_learning import NAMES, arrow_scale, plane_scene
from cvviz.figures.metric_learning_words import contrastive_lines, info_nce_lines, measure_of, triplet_lines
from cvviz.figures.scene import Scene
from cvviz.ops.metric_forces import Name, Push, Recipe, descend
from cvviz.ops.metric_learning import Rule, mine_triplets, pairwise_distances
from cvviz.ops.retrieval import recall_at_1

XY = tuple[float, float]
LOSSES = {"triplet": "Triplet", "contrastive": "Contrastive", "info_nce": "InfoNCE"}
MINING = {
    "one": "One triplet of the anchor",
    "random": "A random triplet for each anchor",
    "all": "All that have a loss (batch all)",
    "semi": "Semi-hard negatives",
    "hard": "Hardest positive and negative (batch hard)",
}
SHORT = {"one": "one", "random": "random", "all": "all active", "semi": "semi-hard", "hard": "batch hard"}
LABELS = torch.arange(9) // 3
STEPS, BLOCK, CHECKED = 40, 10, 4
TANGLED: tuple[XY, ...] = (
    (-1.5, 0.6),
    (-0.3, 1.1),
    (0.2, -0.5),
    (0.9, 0.9),
    (1.5, 0.1),
    (-0.6, -0.2),
    (-1.1, -1.1),
    (0.5, -1.2),
    (0.3, 0.4),
)
HEAP: tuple[XY, ...] = ((0.0, 0.0),) * 9
APART: tuple[XY, ...] = (
    (-1.9, 0.2),
    (-0.9, 1.4),
    (-1.7, 1.4),
    (1.9, 0.2),
    (0.9, 1.4),
    (1.7, 1.4),
    (-0.9, -1.5),
    (0.9, -1.5),
    (0.0, -1.1),
)


def is_triplet(params: Params) -> bool:
    """Whether triplets are compared."""
    return params.loss == "triplet"


@dataclass(frozen=True, slots=True)
class Params:
    """The loss, the points and their steps; the last two are of the digits below."""

    loss: Annotated[str, Choice("Loss", LOSSES)] = "triplet"
    mining: Annotated[str, Choice("Which triplets count", MINING, when=is_triplet)] = "hard"
    margin: Annotated[
        float,
        Slider("Margin m", 0.05, 2.0, 0.05, help="In units of what is compared.", when=lambda p: p.loss != "info_nce"),
    ] = 0.5
    temperature: Annotated[float, Slider("Temperature τ", 0.02, 5, log=True, when=lambda p: p.loss == "info_nce")] = 0.2
    squared: Annotated[bool, Toggle("Squared distances", when=is_triplet)] = False
    unit: Annotated[bool, Toggle("Normalise to length 1", help="The loss sees the points on the unit circle.")] = False
    anchor: Annotated[str, Choice("Anchor to look at", NAMES)] = "A1"
    points: Annotated[
        tuple[XY, ...],
        Points("Points", x=(-2.4, 2.4), y=(-1.8, 1.8), step=0.05, least=9, most=9, help="A1 to C3: where they start."),
    ] = TANGLED
    steps: Annotated[int, Slider("Steps of descent", 0, STEPS, 1)] = 0
    rate: Annotated[float, Slider("Step size", 0.05, 2.0, 0.05)] = 0.3
    seed: Annotated[int, Seed(help="Of random triplets, and of the digits' network.")] = 0
    size: Annotated[str, Choice("Digits: numbers in an embedding", ("2", "16"))] = "2"
    unseen: Annotated[bool, Toggle("Digits: train without 7, 8 and 9")] = False

    @property
    def recipe(self) -> Recipe:
        """Of the loss; one triplet is chosen by hand, and at random in a batch of digits."""
        rule = "random" if self.mining == "one" else self.mining
        name, rule = cast(Name, self.loss), cast(Rule, rule)
        return Recipe(name, rule, self.margin, self.squared, self.unit, self.temperature)


@dataclass(frozen=True, slots=True)
class Result:
    """The points after the steps.

    Attributes:
        way: (S + 1, 9, 2) from the start to now.
        losses, recall: (S + 1,) on the way.
        push: of the loss, now.
        embeddings: (9, 2) what the loss sees now.
        measured: (9, 9) distances, their squares, or similarities: what the loss compares.
        triplet: anchor, positive and negative that the formula shows.
        checked: loss and gradient now, and the first steps, in a row.
    """

    way: Tensor
    losses: Tensor
    recall: Tensor
    push: Push
    embeddings: Tensor
    measured: Tensor
    triplet: tuple[int, int, int]
    checked: Tensor

    @property
    def weights(self) -> Tensor:
        """(9, 9) slope of the loss by what a pair measures, whichever of the two is the anchor."""
        return self.push.slopes + self.push.slopes.T


def compute(params: Params) -> Result:
    """Descend, and look at the last step."""
    blocks = math.ceil(params.steps / BLOCK) * BLOCK
    way, pushes, recall = walk(replace(params, steps=blocks, size="2", unseen=False, anchor=anchor_of(params)))
    way, push, recipe = way[: params.steps + 1], pushes[params.steps], params.recipe
    seen = F.normalize(way[-1]) if recipe.unit else way[-1]
    squared = recipe.squared and recipe.name == "triplet"
    measured = seen @ seen.T if recipe.name == "info_nce" else pairwise_distances(seen, squared=squared)
    start = way[: CHECKED + 1]
    return Result(
        way=way,
        losses=torch.stack([item.loss for item in pushes[: params.steps + 1]]),
        recall=recall[: params.steps + 1],
        push=push,
        embeddings=seen,
        measured=measured,
        triplet=shown_triplet(
            measured, push.triplets, NAMES.index(params.anchor), nearest_high=recipe.name == "info_nce"
        ),
        checked=torch.cat([push.loss[None], push.gradient.flatten(), start.flatten()]),
    )


def anchor_of(params: Params) -> str:
    """The anchor where the way depends on it."""
    return params.anchor if params.loss == "triplet" and params.mining == "one" else NAMES[0]


@lru_cache(maxsize=32)
def walk(params: Params) -> tuple[Tensor, list[Push], Tensor]:
    """(S + 1, 9, 2) places, what pushes there, and (S + 1,) recall@1."""
    generator = torch.Generator().manual_seed(params.seed)
    triplets = torch.tensor([one_triplet(params.anchor)]) if params.mining == "one" else None
    start = torch.tensor(params.points, dtype=torch.float64) + nudges()
    way, pushes = descend(
        start, LABELS, params.recipe, steps=params.steps, rate=params.rate, generator=generator, triplets=triplets
    )
    seen = F.normalize(way, dim=2) if params.unit else way
    return way, pushes, torch.stack([recall_at_1(places, LABELS) for places in seen])


def nudges() -> Tensor:
    """(9, 2) less than 0.001: on a grid distances tie, and rounding would decide which point is the nearest."""
    index = torch.arange(9, dtype=torch.float64)
    return torch.stack([(2.4 * index).cos(), (2.4 * index).sin()], dim=1) * (index[:, None] + 3) * 5e-5


def one_triplet(anchor: str) -> tuple[int, int, int]:
    """The anchor, the next of its class, and the one of its rank in the next class."""
    group, rank = divmod(NAMES.index(anchor), 3)
    return 3 * group + rank, 3 * group + (rank + 1) % 3, 3 * ((group + 1) % 3) + rank


def shown_triplet(measured: Tensor, chosen: Tensor, anchor: int, *, nearest_high: bool) -> tuple[int, int, int]:
    """The anchor's triplet with the largest loss of those chosen; else its farthest positive and nearest negative."""
    distances = -measured if nearest_high else measured
    own = chosen[chosen[:, 0] == anchor] if len(chosen) else chosen
    if not len(own):
        own = mine_triplets(distances, LABELS, "hard")[anchor][None]
    worst = (distances[own[:, 0], own[:, 1]] - distances[own[:, 0], own[:, 2]]).argmax()
    a, p, n = own[worst].tolist()
    return a, p, n


def reference(
    loss: str,
    mining: str,
    margin: float,
    temperature: float,
    squared: bool,
    unit: bool,
    anchor: str,
    points: Sequence[Sequence[float]],
    steps: int,
    rate: float,
    seed: int,
    now: Sequence[Sequence[float]],
) -> Tensor:
    """Loss and gradient at the points as they are now, by torch's losses and autograd; and the first steps of SGD."""
    draws = torch.Generator().manual_seed(seed)
    index = torch.arange(9, dtype=torch.float64)
    nudge = torch.stack([(2.4 * index).cos(), (2.4 * index).sin()], dim=1) * (index[:, None] + 3) * 5e-5
    place = (torch.tensor(points, dtype=torch.float64) + nudge).requires_grad_()
    optimizer, way = torch.optim.SGD([place], lr=rate), [place.detach().clone()]
    for step in range(steps):
        draw = torch.rand(9, 9, generator=draws, dtype=torch.float64).tolist()
        if step < 4:
            optimizer.zero_grad()
            torch.autograd.backward(torch_loss(place, loss, mining, margin, temperature, squared, unit, anchor, draw))
            optimizer.step()
            way.append(place.detach().clone())
    last = torch.tensor(now, dtype=torch.float64, requires_grad=True)
    draw = torch.rand(9, 9, generator=draws, dtype=torch.float64).tolist()
    value = torch_loss(last, loss, mining, margin, temperature, squared, unit, anchor, draw)
    gradient = torch.autograd.grad(value, last)[0]
    return torch.cat([value.detach()[None], gradient.flatten(), torch.stack(way).flatten()])


def torch_loss(
    x: Tensor,
    loss: str,
    mining: str,
    margin: float,
    temperature: float,
    squared: bool,
    unit: bool,
    anchor: str,
    draw: list[list[float]],
) -> Tensor:
    """One of three losses on nine points, the classes being those of each three."""
    z = F.normalize(x) if unit else x
    pairs = [(i, j) for i in range(9) for j in range(9) if i != j]
    if loss == "contrastive":
        first, second = torch.tensor(pairs).T
        sign = torch.tensor([1.0 if i // 3 == j // 3 else -1.0 for i, j in pairs])
        hinge = F.hinge_embedding_loss((z[first] - z[second]).norm(dim=1), sign, margin=margin, reduction="none")
        return 0.5 * hinge.square().mean()
    if loss == "info_nce":
        found = [(i, j) for i, j in pairs if i // 3 == j // 3]
        rows = [[i * 9 + j, *(i * 9 + n for n in range(9) if n // 3 != i // 3)] for i, j in found]
        logits = (z @ z.T / temperature).flatten()[torch.tensor(rows)]
        return F.cross_entropy(logits, torch.zeros(len(rows), dtype=torch.int64))

    def distance(one: Tensor, other: Tensor) -> Tensor:
        return (one - other).square().sum(dim=1) if squared else (one - other).norm(dim=1)

    far = torch.stack([distance(z[i].detach()[None], z.detach()) for i in range(9)]).tolist()
    chosen = picked(far, mining, margin, anchor, draw)
    if not chosen:
        return 0 * x.sum()
    a, p, n = torch.tensor(chosen).T
    return F.triplet_margin_with_distance_loss(z[a], z[p], z[n], distance_function=distance, margin=margin)


def picked(
    far: list[list[float]], mining: str, margin: float, anchor: str, draw: list[list[float]]
) -> list[tuple[int, int, int]]:
    """Triplets of nine points in three classes, by plain loops over their distances."""
    chosen = []
    for a in range(9):
        friends = [i for i in range(9) if i // 3 == a // 3 and i != a]
        others = [i for i in range(9) if i // 3 != a // 3]
        if mining == "hard":
            chosen.append((a, max(friends, key=far[a].__getitem__), min(others, key=far[a].__getitem__)))
        elif mining == "random":
            chosen.append((a, max(friends, key=draw[a].__getitem__), max(others, key=draw[a].__getitem__)))
        elif mining == "all":
            chosen += [(a, p, n) for p in friends for n in others if far[a][p] - far[a][n] + margin > 0]
        elif mining == "semi":
            for p in friends:
                fits = [n for n in others if far[a][p] < far[a][n] < far[a][p] + margin]
                chosen += [(a, p, min(fits, key=far[a].__getitem__))] if fits else []
        elif "ABC"[a // 3] + "123"[a % 3] == anchor:
            chosen.append((a, a - a % 3 + (a + 1) % 3, (a + 3) % 9))
    return chosen


def stage(params: Params, result: Result) -> Scene:
    """The plane."""
    attracts = -result.weights if params.loss == "info_nce" else result.weights
    return plane_scene(
        params.points,
        result.way,
        result.embeddings,
        result.push.gradient,
        attracts,
        anchor=NAMES.index(params.anchor),
        circles=circles(params, result),
        unit=params.unit,
        caption=f"Solid lines attract, dashed repel. Arrows: {arrow_scale(result.push.gradient):.3g} × the downhill slope"
        + (f", after {params.steps} steps from the grey points" if params.steps else ""),
    )


def circles(params: Params, result: Result) -> tuple[float, ...]:
    """Radii around the anchor: the positive's distance and where the margin ends; or the contrastive margin."""
    if params.loss == "contrastive":
        return (0.0, params.margin)
    if params.loss == "info_nce":
        return ()
    a, p, _ = result.triplet
    near = float(result.measured[a, p])
    radii = (near, near + params.margin)
    return (math.sqrt(radii[0]), math.sqrt(radii[1])) if params.squared else radii


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    how = f"{LOSSES[params.loss]} loss" + (f", {SHORT[params.mining]}" if params.loss == "triplet" else "")
    longest = float(result.push.gradient.norm(dim=1).max())
    return (
        f"Nine points in classes A, B and C under the {how}, after {params.steps} steps: loss "
        f"{float(result.push.loss):.3g}, steepest slope {longest:.3g}, recall@1 {float(result.recall[-1]):.0%}. "
        f"The pairs of {params.anchor} are drawn thick."
    )


def formula(params: Params, result: Result) -> str:
    """The loss of the anchor's worst triplet or pairs, with its numbers."""
    recipe = params.recipe
    if params.loss == "triplet":
        lines = triplet_lines(result.embeddings, recipe, result.triplet, result.push, SHORT[params.mining])
    elif params.loss == "contrastive":
        lines = contrastive_lines(result.measured, recipe, result.triplet, result.push)
    else:
        lines = info_nce_lines(result.measured, LABELS, recipe, result.triplet, result.push)
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"


def table(params: Params, result: Result) -> pd.DataFrame:
    """Where each point is, and how it is pushed."""
    columns = dict(zip(("x", "y"), result.way[-1].T.tolist(), strict=True))
    columns |= dict(zip(("seen_x", "seen_y"), result.embeddings.T.tolist(), strict=True))
    columns |= dict(zip(("slope_x", "slope_y"), result.push.gradient.T.tolist(), strict=True))
    measure = {"d": "distance", "d²": "squared_distance", "s": "similarity"}[measure_of(params.recipe)]
    columns |= {f"{measure}_to_{name}": row for name, row in zip(NAMES, result.measured.tolist(), strict=True)}
    return pd.DataFrame({"point": NAMES, **columns})


PRESETS = {
    "Batch hard": Preset(
        Params(),
        "Play the steps: each anchor is drawn to its farthest positive and away from its nearest negative.",
    ),
    "One triplet": Preset(
        Params(mining="one", points=APART),
        "A1 is pulled to A2, A2 to A1, and B1 is pushed.",
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
    inputs=lambda _, result: {"now": result.way[-1].tolist()},
    checked=lambda result: result.checked,
    against="torch's losses and autograd",
    tolerance=1e-6,
)
