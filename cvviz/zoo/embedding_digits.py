"""A small network that embeds handwritten digits under a metric loss, looked at after every epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from cvviz.ops.metric_forces import Push, Recipe, push
from cvviz.ops.metric_learning import all_triplets, pair_masks
from cvviz.ops.retrieval import r_precision, recall_at_1
from cvviz.zoo.shifted_digits import digits

EPOCHS, BATCHES, OF_EACH = 30, 22, 6  # a batch has as many scans of every digit
RATE, WIDTH = 0.01, 128
TRAINED_ON = 1347  # three quarters of the scans, in the file's order
UNSEEN = (7, 8, 9)
Retrieval = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Course:
    """How a training went, epoch by epoch, from before the first.

    Attributes:
        recipe: the loss.
        unseen: digits that it was not trained on.
        labels: (450,) of the test scans.
        embeddings: (E, 450, D) of them, divided by their length if the recipe says so.
        loss: (E,) mean over the epoch's batches; the first, of one batch before any step.
        pushing: (E,) share that still has a slope, as ``pushing_share`` counts it.
        recall, precision: (E,) recall@1 and R-precision of the test scans among themselves.
        spread: (E,) root mean squared distance of the test scans from their mean.
        retrieval: recall@1 and R-precision at the end, of the digits trained on, and of the others if there are any.
    """

    recipe: Recipe
    unseen: tuple[int, ...]
    labels: Tensor
    embeddings: Tensor
    loss: Tensor
    pushing: Tensor
    recall: Tensor
    precision: Tensor
    spread: Tensor
    retrieval: Retrieval

    @property
    def collapsed(self) -> bool:
        """Whether all scans have come to lie in one place, where every triplet costs the margin."""
        stuck = self.recipe.name == "triplet" and abs(float(self.loss[-1]) / self.recipe.margin - 1) < 0.01
        return stuck and float(self.spread[-1]) < float(self.spread[0]) / 20


def pixels() -> tuple[Tensor, Tensor]:
    """(1797, 64) pixels of the scans without their frame, of mean 0 and deviation 1, and their labels."""
    scans, labels = digits()
    flat = scans[:, 0, 4:12, 4:12].flatten(1)
    return (flat - flat.mean()) / flat.std(), labels


def retrieval_of(embeddings: Tensor, labels: Tensor, unseen: tuple[int, ...] = ()) -> Retrieval:
    """Recall@1 and R-precision among the digits trained on, and among the ``unseen`` if there are any."""
    new = torch.isin(labels, torch.tensor(unseen, dtype=labels.dtype))
    parts = [(embeddings[rows], labels[rows]) for rows in ((~new, new) if unseen else (~new,))]
    return tuple((float(recall_at_1(*part)), float(r_precision(*part))) for part in parts)


@lru_cache(maxsize=4)
def raw_retrieval(unseen: tuple[int, ...] = ()) -> Retrieval:
    """``retrieval_of`` the pixels themselves of the test scans."""
    flat, labels = pixels()
    return retrieval_of(flat[TRAINED_ON:], labels[TRAINED_ON:], unseen)


def train(
    recipe: Recipe,
    size: int,
    seed: int,
    progress: Callable[[float, str, Course], None],
    *,
    unseen: tuple[int, ...] = (),
    epochs: int = EPOCHS,
) -> Course:
    """Train by Adam, its rate falling along half a cosine, and tell of every epoch.

    Args:
        recipe: the loss; its gradient by formula enters the network.
        size: of an embedding.
        seed: of the first weights, the batches and random triplets.
        progress: told the share that is done, a few words, and the course so far; may raise to stop.
        unseen: digits left out of training.
        epochs: how many.
    """
    flat, labels = pixels()
    test, test_labels = flat[TRAINED_ON:], labels[TRAINED_ON:]
    rows = [(labels[:TRAINED_ON] == digit).nonzero()[:, 0] for digit in range(10) if digit not in unseen]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, size))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    fading = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(epochs, 1) * BATCHES)
    kept: list[Tensor] = []
    numbers: list[list[float]] = []
    for epoch in range(epochs + 1):
        met = []
        for _ in range(BATCHES if epoch else 1):
            batch = torch.cat([row[torch.randperm(len(row), generator=generator)[:OF_EACH]] for row in rows])
            embedded = network(flat[batch])
            pushed = push(embedded.detach(), labels[batch], recipe, generator=generator)
            met.append((float(pushed.loss), pushing_share(pushed, labels[batch], recipe)))
            if epoch:
                optimizer.zero_grad()
                torch.autograd.backward(embedded, pushed.gradient)
                optimizer.step()
                fading.step()
        with torch.no_grad():
            seen = normalize(network(test)) if recipe.unit else network(test)
        kept.append(seen)
        loss, pushing = torch.tensor(met).mean(dim=0).tolist()
        found = retrieval_of(seen, test_labels)
        spread = float((seen - seen.mean(dim=0)).square().sum(dim=1).mean().sqrt())
        numbers.append([loss, pushing, *found[0], spread])
        names = ("loss", "pushing", "recall", "precision", "spread")
        curves: dict[str, Any] = dict(zip(names, torch.tensor(numbers).T, strict=True))
        parts = retrieval_of(seen, test_labels, unseen) if unseen else found
        course = Course(recipe, unseen, test_labels, torch.stack(kept), retrieval=parts, **curves)
        words = f"Epoch {epoch} of {epochs}: loss {loss:.3f}, recall@1 {found[0][0]:.1%}"
        progress(epoch / max(epochs, 1), words, course)
    return course


def pushing_share(pushed: Push, labels: Tensor, recipe: Recipe) -> float:
    """How much of a batch still has a slope.

    Of one triplet for each anchor, the share with a loss; of all triplets, likewise; of anchors with a positive, the
    share with a semi-hard negative; of two labels, the share of pairs within the margin; under InfoNCE, the mean of
    what a positive's probability lacks to 1.
    """
    same, other = pair_masks(labels)
    if recipe.name == "info_nce":
        return -float(pushed.slopes[same].sum()) * recipe.temperature
    if recipe.name == "contrastive":
        return float((pushed.slopes[other] < 0).double().mean())
    if recipe.rule == "all":
        return len(pushed.triplets) / len(all_triplets(labels))
    if recipe.rule == "semi":
        return len(pushed.triplets) / int(same.sum())
    return float(pushed.slopes[same].sum())


@lru_cache(maxsize=8)  # asked for again at every change of the page
def main_axes(embeddings: Tensor) -> tuple[Tensor, float]:
    """(E, N, 2) the embeddings on two axes, and the share of the last epoch's variance that these show.

    Two numbers are shown as they are; of more, the principal axes of the last epoch, signed so that each axis's largest
    part is positive.
    """
    if embeddings.shape[2] <= 2:
        return embeddings, 1.0
    last = embeddings[-1] - embeddings[-1].mean(dim=0)
    _, sizes, axes = torch.linalg.svd(last, full_matrices=False)
    axes = axes[:2] * axes[:2].gather(1, axes[:2].abs().argmax(dim=1, keepdim=True)).sign()
    share = float(sizes[:2].square().sum() / sizes.square().sum().clamp(min=1e-30))
    return (embeddings - embeddings.mean(dim=1, keepdim=True)) @ axes.T, share
