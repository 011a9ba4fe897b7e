"""Where a metric loss pushes: the weight of every pair and the gradient by formula, and steps of descent along it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cvviz.ops.checks import check_positive
from cvviz.ops.metric_learning import (
    Rule,
    contrastive_loss,
    info_nce_loss,
    mine_triplets,
    pair_masks,
    pairwise_distances,
    triplet_hinges,
)

Name = Literal["triplet", "contrastive", "info_nce"]
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A loss on a batch of embeddings.

    Args:
        name: which.
        rule: how its triplets are chosen; of ``all``, only those with a loss count in the mean.
        margin: of the triplet and the contrastive loss, positive.
        squared: whether triplets compare squared distances.
        unit: whether embeddings are divided by their length first.
        temperature: of InfoNCE, positive, whose similarities are dot products.
    """

    name: Name = "triplet"
    rule: Rule = "hard"
    margin: float = 0.5
    squared: bool = False
    unit: bool = False
    temperature: float = 0.1


@dataclass(frozen=True, slots=True)
class Push:
    """A loss and what it does to its batch.

    Attributes:
        loss: scalar.
        slopes: (N, N) derivative by the measure of each pair, row the anchor: distance, squared distance or dot
            product, whichever the loss compares.
        gradient: (N, D) by the embeddings as they were given.
        triplets: (T, 3) those in the mean; empty for the other losses.
    """

    loss: Tensor
    slopes: Tensor
    gradient: Tensor
    triplets: Tensor


def batch_loss(
    embeddings: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    generator: torch.Generator | None = None,
    triplets: Tensor | None = None,
) -> Tensor:
    """The loss of a batch, to be differentiated.

    Args:
        embeddings: (N, D), floating point.
        labels: (N,) integers.
        recipe: the loss.
        generator: of random triplets.
        triplets: (T, 3), instead of those that the rule chooses.

    Returns:
        Scalar; 0 where nothing counts.

    Raises:
        TypeError: if ``embeddings`` is not a floating-point tensor.
        ValueError: if shapes do not fit or the recipe has something unknown or out of range.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [1.2]])
        >>> batch_loss(x, torch.tensor([0, 0, 1]), Recipe(margin=0.5))  # (0.3 + 1.3) / 2
        tensor(0.8000)
    """
    _check_name(recipe)
    z = normalize(embeddings) if recipe.unit else embeddings
    if recipe.name == "info_nce":
        return info_nce_loss(z @ z.T, labels, temperature=recipe.temperature)
    if recipe.name == "contrastive":
        return contrastive_loss(pairwise_distances(z), labels, margin=recipe.margin)
    distances = pairwise_distances(z, squared=recipe.squared)
    chosen = _chosen(distances, labels, recipe, generator, triplets)
    return triplet_hinges(distances, chosen, margin=recipe.margin).sum() / max(len(chosen), 1)


def push(
    embeddings: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    generator: torch.Generator | None = None,
    triplets: Tensor | None = None,
) -> Push:
    r"""``batch_loss`` with its gradient by formula.

    The loss depends on pairs alone. With :math:`w_{ij}` its derivative by the measure of a pair, the embeddings feel
    :math:`\sum_j (w_{ij} + w_{ji})\,\partial\,\text{measure}_{ij}/\partial z_i`; where they were divided by their
    length, what is left of that across them, divided by the length.

    Args:
        embeddings, labels, recipe, generator, triplets: as for ``batch_loss``.

    Returns:
        Loss, slopes, gradient, triplets.

    Raises:
        TypeError: as ``batch_loss``.
        ValueError: as ``batch_loss``.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [1.2]])
        >>> push(x, torch.tensor([0, 0, 1]), Recipe(margin=0.5)).gradient.T
        tensor([[-0.5000,  1.5000, -1.0000]])
    """
    _check_name(recipe)
    z = normalize(embeddings) if recipe.unit else embeddings
    chosen = torch.zeros(0, 3, dtype=torch.int64)
    if recipe.name == "info_nce":
        loss, slopes = _info_nce(z @ z.T, labels, recipe.temperature)
        gradient = (slopes + slopes.T) @ z
    else:
        distances = pairwise_distances(z, squared=recipe.squared and recipe.name == "triplet")
        if recipe.name == "contrastive":
            loss, slopes = _contrastive(distances, labels, recipe.margin)
        else:
            chosen = _chosen(distances, labels, recipe, generator, triplets)
            loss, slopes = _triplets(distances, chosen, recipe.margin)
        both = slopes + slopes.T
        # The slope of d is a unit vector, z_i - z_j over d; that of its square is twice the difference.
        pull = (
            2 * both if recipe.squared and recipe.name == "triplet" else both / distances.masked_fill(distances == 0, 1)
        )
        gradient = pull.sum(dim=1, keepdim=True) * z - pull @ z
    if recipe.unit:
        length = embeddings.norm(dim=1, keepdim=True).clamp(min=1e-12)
        gradient = (gradient - (gradient * z).sum(dim=1, keepdim=True) * z) / length
    return Push(loss, slopes, gradient, chosen)


def descend(
    embeddings: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    steps: int,
    rate: float,
    generator: torch.Generator | None = None,
    triplets: Tensor | None = None,
) -> tuple[Tensor, list[Push]]:
    """Gradient descent on the embeddings themselves, triplets being chosen anew at each step.

    Args:
        embeddings, labels, recipe, generator, triplets: as for ``batch_loss``.
        steps: how many, at least 0.
        rate: learning rate, positive.

    Returns:
        (steps + 1, N, D) embeddings before each step and after the last, and what pushes them there.

    Raises:
        TypeError: as ``batch_loss``.
        ValueError: as ``batch_loss``, or if ``steps`` is negative or ``rate`` not positive.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [1.2]])
        >>> way, pushes = descend(x, torch.tensor([0, 0, 1]), Recipe(margin=0.5), steps=1, rate=0.1)
        >>> way[1].T, pushes[1].loss
        (tensor([[0.0500, 0.8500, 1.3000]]), tensor(0.4500))
    """
    if steps < 0:
        raise ValueError(f"steps must be at least 0, got {steps}.")
    check_positive(rate, "rate")
    way, pushes = [embeddings], [push(embeddings, labels, recipe, generator=generator, triplets=triplets)]
    for _ in range(steps):
        way.append(way[-1] - rate * pushes[-1].gradient)
        pushes.append(push(way[-1], labels, recipe, generator=generator, triplets=triplets))
    return torch.stack(way), pushes


def _chosen(
    distances: Tensor, labels: Tensor, recipe: Recipe, generator: torch.Generator | None, given: Tensor | None
) -> Tensor:
    """Triplets in the mean."""
    if given is not None:
        return given
    chosen = mine_triplets(distances, labels, recipe.rule, margin=recipe.margin, generator=generator)
    if recipe.rule == "all":
        return chosen[triplet_hinges(distances.detach(), chosen, margin=recipe.margin) > 0]
    return chosen


def _triplets(distances: Tensor, chosen: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    hinges = triplet_hinges(distances, chosen, margin=margin)
    anchor, positive, negative = chosen.unbind(dim=1)
    share = (hinges > 0).to(distances.dtype) / max(len(chosen), 1)
    slopes = torch.zeros_like(distances)
    slopes.index_put_((anchor, positive), share, accumulate=True)
    slopes.index_put_((anchor, negative), -share, accumulate=True)
    return hinges.sum() / max(len(chosen), 1), slopes


def _contrastive(distances: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    count = len(labels) * (len(labels) - 1)  # each pair is met twice
    same, other = pair_masks(labels)
    slopes = (same * distances - other * (margin - distances).clamp(min=0)) / max(count, 1)
    return contrastive_loss(distances, labels, margin=margin), slopes


def _info_nce(similarities: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    same, other = pair_masks(labels)
    pairs = same & other.any(dim=1, keepdim=True)
    scale = temperature * max(int(pairs.sum()), 1)
    logits = similarities / temperature
    shares = logits.masked_fill(~other, -float("inf")).softmax(dim=1).nan_to_num()  # of each negative
    against = logits.masked_fill(~other, -float("inf")).logsumexp(dim=1, keepdim=True)
    missed = (against - logits).sigmoid() * pairs  # what each positive lacks
    slopes = (missed.sum(dim=1, keepdim=True) * shares - missed) / scale
    return info_nce_loss(similarities, labels, temperature=temperature), slopes


def _check_name(recipe: Recipe) -> None:
    if recipe.name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}, got {recipe.name!r}.")
