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
from cvviz.figures.metric_learning_words import (
    LOSSES,
    MINING,
    SHORT,
    caption_text,
    contrastive_lines,
    info_nce_lines,
    margin_radii,
    measure_of,
    triplet_lines,
)
from cvviz.figures.scene import Scene
from cvviz.ops.metric_forces import Name, Push, Recipe, descend
from cvviz.ops.metric_learning import Rule, mine_triplets, pairwise_distances
from cvviz.ops.retrieval import recall_at_1

XY = tuple[float, float]
LABELS = torch.arange(9) // 3
STEPS, BLOCK, CHECKED = 40, 10, 2  # most, computed at a time, repeated by the reference
PLANE = Points("Points", x=(-2.4, 2.4), y=(-1.8, 1.8), step=0.05, least=9, most=9, help="A1 to C3: where they start.")
TANGLED = PLANE.decode("-1.5,0.6;-0.3,1.1;0.2,-0.5;0.9,0.9;1.5,0.1;-0.6,-0.2;-1.1,-1.1;0.5,-1.2;0.3,0.4")
TRIO = PLANE.decode("-1,0;0.6,0.8;-2,1.4;-0.3,-0.9;2,1.4;2,0.9;2,-0.5;1.6,-1.3;2.2,-1.3")
APART = PLANE.decode("-2.2,1.5;-1.1,1.5;-1.9,0.2;2.2,1.5;1.1,1.5;1.9,0.2;-0.8,-1.6;0.8,-1.6;0,-0.9")
MIXED = PLANE.decode("-1.5,0.9;0,-1.2;1.5,0.8;-1.4,0.7;0.1,-1;1.4,1;-1.6,0.7;-0.1,-1;1.6,0.9")
HEAP = ((0.0, 0.0),) * 9


def is_triplet(params: Params) -> bool:
    """Whether triplets are compared."""
    return params.loss == "triplet"


@dataclass(frozen=True, slots=True)
class Params:
    """The loss, the points and their steps; the last two are of the digits below."""

    loss: Annotated[str, Choice("Loss", LOSSES)] = "triplet"
    mining: Annotated[str, Choice("Which triplets count", MINING, when=is_triplet)] = "hard"
    steps: Annotated[int, Slider("Steps of descent", 0, STEPS, 1)] = 0
    rate: Annotated[float, Slider("Step size", 0.05, 2.0, 0.05)] = 0.3
    margin: Annotated[
        float,
        Slider("Margin m", 0.05, 2.0, 0.05, help="In units of what is compared.", when=lambda p: p.loss != "info_nce"),
    ] = 0.5
    temperature: Annotated[float, Slider("Temperature τ", 0.02, 5, log=True, when=lambda p: p.loss == "info_nce")] = 0.2
    squared: Annotated[bool, Toggle("Squared distances", when=is_triplet)] = False
    unit: Annotated[bool, Toggle("Normalise to length 1", help="The loss sees the points on the unit circle.")] = False
    anchor: Annotated[str, Choice("Anchor to look at", NAMES)] = "A1"
    points: Annotated[tuple[XY, ...], PLANE] = TANGLED
    seed: Annotated[int, Seed(help="Of random triplets, and of the digits' network.")] = 0
    size: Annotated[str, Choice("Digits: numbers in an embedding", ("2", "16"))] = "16"
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
        checked: loss and gradient now, and the first steps, in a row; see ``in_scale``.
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
    def ends(self) -> list[tuple[float, float]]:
        """Loss and recall@1 at the start and now."""
        return [(float(self.losses[step]), float(self.recall[step])) for step in (0, -1)]

    @property
    def weights(self) -> Tensor:
        """(9, 9) slope of the loss by what a pair measures, whichever of the two is the anchor."""
        return self.push.slopes + self.push.slopes.T


def compute(params: Params) -> Result:
    """Descend, and look at the last step."""
    blocks = math.ceil(params.steps / BLOCK) * BLOCK
    way, pushes, recall = walk(replace(params, steps=blocks, size="16", unseen=False, anchor=anchor_of(params)))
    way, push, recipe = way[: params.steps + 1], pushes[params.steps], params.recipe
    seen = F.normalize(way[-1]) if recipe.unit else way[-1]
    squared = recipe.squared and recipe.name == "triplet"
    measured = seen @ seen.T if recipe.name == "info_nce" else pairwise_distances(seen, squared=squared)
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
        checked=torch.cat([in_scale(part) for part in (push.loss, push.gradient, way[: CHECKED + 1])]),
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
        if step < 2:
            optimizer.zero_grad()
            torch.autograd.backward(torch_loss(place, loss, mining, margin, temperature, squared, unit, anchor, draw))
            optimizer.step()
            way.append(place.detach().clone())
    last = torch.tensor(now, dtype=torch.float64, requires_grad=True)
    draw = torch.rand(9, 9, generator=draws, dtype=torch.float64).tolist()
    value = torch_loss(last, loss, mining, margin, temperature, squared, unit, anchor, draw)
    gradient = torch.autograd.grad(value, last)[0]
    return torch.cat([in_scale(part) for part in (value.detach(), gradient, torch.stack(way))])


def in_scale(values: Tensor) -> Tensor:
    """Values over the largest, if that is above 1, and it by its asinh: of what has run away only digits can agree."""
    largest = values.abs().max()
    return torch.cat([largest.asinh()[None], values.flatten() / largest.clamp(min=1)])


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
        circles=margin_radii(params.recipe, result.measured, result.triplet),
        unit=params.unit,
        caption=caption_text(arrow_scale(result.push.gradient), params.steps),
    )


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
        "Play the steps. A1 is drawn to A3, its farthest positive, and leaves B3, its nearest negative. Arrows add up.",
    ),
    "One triplet": Preset(
        Params(mining="one", points=TRIO),
        "A1 is pulled to A2 and off B1; A2 comes, B1 goes. The other six feel nothing: there is no centroid in it.",
    ),
    "Zero loss, loose classes": Preset(
        Params(mining="all", margin=0.3, points=APART),
        "108 triplets, all easy: no slope, though A1 and A3 are 1.33 apart. Order is asked for, not tightness.",
        failure=True,
    ),
    "Contrastive keeps pulling": Preset(
        Params(loss="contrastive", margin=0.3, points=APART, steps=40),
        "None within 0.3 of another class, so no pair repels; yet classes shrink from 1.60 wide to 0.58.",
    ),
    "Semi-hard looks away": Preset(
        Params(mining="semi", points=MIXED, steps=40),
        "Recall@1 stays 0: negatives nearer than the positive, the worst ones, are never chosen. Now try batch hard.",
        failure=True,
    ),
    "A heap, squared": Preset(
        Params(squared=True, points=HEAP, steps=40),
        "Still within 0.003, loss = margin: the slope of d² is 2d. Recall@1 is 100 %, being blind to scale.",
        failure=True,
    ),
    "A heap, distances": Preset(
        Params(points=HEAP, steps=20),
        "The same heap: the slope of d is 1 however near. It bursts, and after 20 steps every triplet is in order.",
    ),
    "InfoNCE": Preset(
        Params(loss="info_nce", unit=True, rate=1.0, steps=10),
        "Every negative repels by its softmax share: mining without choosing. Drag τ and watch how many share.",
    ),
    "Cold InfoNCE": Preset(
        Params(loss="info_nce", unit=True, temperature=0.02, anchor="B1"),
        "At τ = 0.02 one negative has the whole push, as in batch hard; at τ = 5 all six share alike.",
    ),
    "Trapped on the circle": Preset(
        Params(loss="info_nce", unit=True, steps=40, anchor="B3"),
        "On a circle nobody can pass: B3 is held far from its class. In 16 dimensions there is a way round.",
        failure=True,
    ),
    "Digits collapse": Preset(
        Params(squared=True, margin=0.2, size="2"),
        "Train below: hard triplets and squared distances in 2 dimensions. All scans fall into one point, loss 0.2.",
        failure=True,
    ),
    "Digits on a plane": Preset(
        Params(mining="semi", size="2"),
        "Train below: with semi-hard negatives 2 dimensions unfold, and what you see is all that the network says.",
    ),
    "Digits never seen": Preset(
        Params(loss="info_nce", unit=True, temperature=0.1, unseen=True),
        "Train below: on 7, 8 and 9, which it never met, it is worse than the pixels. Seven classes are too few.",
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
    inputs=lambda _, result: {"now": result.way[-1].tolist()},
    checked=lambda result: result.checked,
    against="torch's losses and autograd",
    tolerance=1e-6,
)
