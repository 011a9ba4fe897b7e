"""Losses on distances between embeddings, and the choice of triplets."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import softplus

from cvviz.ops.checks import check_floating, check_labels, check_positive, check_rows

Rule = Literal["all", "hard", "semi", "random"]
RULES: tuple[Rule, ...] = get_args(Rule)
EASY, SEMI, HARD = 0, 1, 2


def pair_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs of items are positives, and which are negatives, of each other.

    Args:
        labels: (N,) integers.

    Returns:
        (N, N) bool, two different items of one label; (N, N) bool, items of two labels.

    Raises:
        ValueError: if ``labels`` is not of one dimension.

    Example:
        >>> pair_masks(torch.tensor([0, 0]))[0]
        tensor([[False,  True],
                [ True, False]])
    """
    if labels.ndim != 1:
        raise ValueError(f"labels must have shape (N,), got {tuple(labels.shape)}.")
    equal = labels[:, None] == labels[None]
    return equal & ~torch.eye(len(labels), dtype=torch.bool), ~equal


def pairwise_distances(embeddings: Tensor, *, squared: bool = False) -> Tensor:
    """Euclidean distance of every two rows, or its square.

    The gradient at distance 0, where there is none, is 0: rows that are equal neither attract nor repel.

    Args:
        embeddings: (N, D), floating point.
        squared: whether to leave out the root.

    Returns:
        (N, N), symmetric, 0 on the diagonal.

    Raises:
        TypeError: if ``embeddings`` is not a floating-point tensor.
        ValueError: if it is not of two dimensions.

    Example:
        >>> pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        tensor([[0., 5.],
                [5., 0.]])
    """
    check_rows(embeddings, "embeddings")
    squares = (embeddings[:, None] - embeddings[None]).square().sum(dim=-1)  # [N, N]
    if squared:
        return squares
    nowhere = squares == 0
    return squares.masked_fill(nowhere, 1).sqrt().masked_fill(nowhere, 0)


def contrastive_loss(distances: Tensor, labels: Tensor, *, margin: float = 1.0) -> Tensor:
    r"""Mean over all pairs of :math:`\tfrac12 d^2` for one label and :math:`\tfrac12\max(0, m - d)^2` for two.

    Args:
        distances: (N, N), not squared; the part above the diagonal counts.
        labels: (N,) integers.
        margin: distance from which on different labels no longer repel each other, positive.

    Returns:
        Scalar; 0 where there is no pair.

    Raises:
        TypeError: if ``distances`` is not a floating-point tensor.
        ValueError: if the shapes do not fit or ``margin`` is not positive.

    Example:
        >>> distances = torch.tensor([[0.0, 0.4], [0.4, 0.0]])
        >>> contrastive_loss(distances, torch.tensor([0, 0])), contrastive_loss(distances, torch.tensor([0, 1]))
        (tensor(0.0800), tensor(0.1800))

    Reference:
        Hadsell, Chopra, LeCun, "Dimensionality reduction by learning an invariant mapping", 2006,
        https://doi.org/10.1109/CVPR.2006.100
    """
    _check_square(distances, labels, "distances")
    check_positive(margin, "margin")
    first, second = torch.triu_indices(len(labels), len(labels), offset=1)
    distance = distances[first, second]
    apart = torch.where(labels[first] == labels[second], distance, (margin - distance).clamp(min=0))
    return apart.square().sum() / (2 * max(len(first), 1))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    margin: float = 1.0,
    squared: bool = False,
    swap: bool = False,
) -> Tensor:
    r"""Mean of :math:`\max(0, d(a, p) - d(a, n) + m)` over rows.

    torch's function of this name adds 1e-6 to every coordinate difference inside the norm; this one does not.

    Args:
        anchor, positive, negative: (T, D), floating point.
        margin: by how much farther the negative must be, in units of the distance (or of its square), positive.
        squared: whether :math:`d` is the squared distance.
        swap: whether the negative's distance to the positive counts where it is shorter than that to the anchor.

    Returns:
        Scalar; 0 where there are no rows.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if shapes differ or are not (T, D), or ``margin`` is not positive.

    Example:
        >>> a, p, n = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 2.0]])
        >>> triplet_margin_loss(a, p, n, margin=0.5)
        tensor(1.5000)

    Reference:
        Schroff, Kalenichenko, Philbin, "FaceNet", 2015, https://arxiv.org/abs/1503.03832; for ``swap`` Balntas, Riba,
        Ponsa, Mikolajczyk, "Learning local feature descriptors with triplets", 2016,
        https://doi.org/10.5244/C.30.119
    """
    for value, name in ((anchor, "anchor"), (positive, "positive"), (negative, "negative")):
        check_rows(value, name)
    if not anchor.shape == positive.shape == negative.shape:
        shapes = ", ".join(str(tuple(value.shape)) for value in (anchor, positive, negative))
        raise ValueError(f"anchor, positive and negative must have one shape, got {shapes}.")
    check_positive(margin, "margin")

    def between(first: Tensor, second: Tensor) -> Tensor:
        squares = (first - second).square().sum(dim=1)
        nowhere = squares == 0
        return squares if squared else squares.masked_fill(nowhere, 1).sqrt().masked_fill(nowhere, 0)

    away = between(anchor, negative)
    if swap:
        away = torch.minimum(away, between(positive, negative))
    return (between(anchor, positive) - away + margin).clamp(min=0).sum() / max(len(anchor), 1)


def all_triplets(labels: Tensor) -> Tensor:
    """Every (anchor, positive, negative): two items of one label, and one of another.

    Args:
        labels: (N,) integers.

    Returns:
        (T, 3) int64 indices, in order.

    Raises:
        ValueError: if ``labels`` is not of one dimension.

    Example:
        >>> all_triplets(torch.tensor([0, 0, 1]))
        tensor([[0, 1, 2],
                [1, 0, 2]])
    """
    same, other = pair_masks(labels)
    return (same[:, :, None] & other[:, None, :]).nonzero()


def triplet_hinges(distances: Tensor, triplets: Tensor, *, margin: float = 1.0) -> Tensor:
    r""":math:`\max(0, d_{ap} - d_{an} + m)` of each triplet.

    Args:
        distances: (N, N), squared or not.
        triplets: (T, 3) indices.
        margin: positive, in units of ``distances``.

    Returns:
        (T,).

    Raises:
        ValueError: if ``triplets`` is not (T, 3) or ``margin`` is not positive.

    Example:
        >>> distances = torch.tensor([[0.0, 3.0, 2.0], [3.0, 0.0, 4.0], [2.0, 4.0, 0.0]])
        >>> triplet_hinges(distances, torch.tensor([[0, 1, 2], [1, 0, 2]]), margin=0.5)
        tensor([1.5000, 0.0000])
    """
    anchor, positive, negative = _columns(triplets)
    check_positive(margin, "margin")
    return (distances[anchor, positive] - distances[anchor, negative] + margin).clamp(min=0)


def triplet_kinds(distances: Tensor, triplets: Tensor, *, margin: float = 1.0) -> Tensor:
    """Kind of each triplet: easy (no loss), semi-hard (in order, but within the margin), hard (the negative is nearer).

    Args:
        distances, triplets, margin: as for ``triplet_hinges``.

    Returns:
        (T,) of ``EASY``, ``SEMI`` and ``HARD``, int64. A negative as near as the positive is hard.

    Raises:
        ValueError: as ``triplet_hinges``.

    Example:
        >>> distances = torch.tensor([[0.0, 2.0, 2.5], [2.0, 0.0, 4.0], [2.5, 4.0, 0.0]])
        >>> triplet_kinds(distances, torch.tensor([[0, 1, 2], [1, 0, 2]]), margin=1.0)
        tensor([1, 0])
    """
    active = triplet_hinges(distances, triplets, margin=margin) > 0
    anchor, positive, negative = _columns(triplets)
    return active.long() + (distances[anchor, negative] <= distances[anchor, positive]).long()


def mine_triplets(
    distances: Tensor, labels: Tensor, rule: Rule, *, margin: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Choose triplets from a batch. The choice is no function that is differentiated; only its distances are.

    ``all`` takes every triplet. ``hard`` takes for each anchor its farthest positive and its nearest negative. ``semi``
    takes for each anchor and positive the nearest negative that is farther away than the positive, if it lies within
    the margin; else that pair makes no triplet. ``random`` takes for each anchor one positive and one negative.

    Args:
        distances: (N, N), squared or not.
        labels: (N,) integers.
        rule: which.
        margin: of ``semi``, positive, in units of ``distances``.
        generator: of ``random``, which needs one.

    Returns:
        (T, 3) int64 indices, ordered by anchor. An item without a positive or a negative is no anchor.

    Raises:
        TypeError: if ``distances`` is not a floating-point tensor.
        ValueError: if the shapes do not fit, ``rule`` is unknown, ``margin`` is not positive, or ``random`` has no
            generator.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [4.0], [1.5], [3.0]])
        >>> mine_triplets(pairwise_distances(x), torch.tensor([0, 0, 0, 1, 1]), "hard")[0]
        tensor([0, 2, 3])

    Reference:
        Hermans, Beyer, Leibe, "In defense of the triplet loss for person re-identification", 2017,
        https://arxiv.org/abs/1703.07737; Schroff, Kalenichenko, Philbin, "FaceNet", 2015,
        https://arxiv.org/abs/1503.03832
    """
    _check_square(distances, labels, "distances")
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}.")
    check_positive(margin, "margin")
    if rule == "random" and generator is None:
        raise ValueError("rule 'random' needs a generator.")
    if rule == "all" or not len(labels):
        return all_triplets(labels)
    far, distance = float("inf"), distances.detach()
    same, other = pair_masks(labels)
    if rule == "semi":
        anchor, positive = (same & other.any(dim=1, keepdim=True)).nonzero().unbind(dim=1)
        limit = distance[anchor, positive][:, None]  # [P, 1]
        fits = other[anchor] & (distance[anchor] > limit) & (distance[anchor] < limit + margin)  # [P, N]
        negative = distance[anchor].masked_fill(~fits, far).argmin(dim=1)
        return torch.stack([anchor, positive, negative], dim=1)[fits.any(dim=1)]
    if rule == "hard":
        positive = distance.masked_fill(~same, -far).argmax(dim=1)
        negative = distance.masked_fill(~other, far).argmin(dim=1)
    else:
        draw = torch.rand(distances.shape, generator=generator, dtype=torch.float64)
        positive, negative = (draw.masked_fill(~mask, -1).argmax(dim=1) for mask in (same, other))
    anchor = torch.arange(len(labels))
    return torch.stack([anchor, positive, negative], dim=1)[same.any(dim=1) & other.any(dim=1)]


def info_nce_loss(similarities: Tensor, labels: Tensor, *, temperature: float = 0.1) -> Tensor:
    r"""Cross-entropy of finding the positive among the negatives.

    For each anchor and each of its positives the logits are :math:`s/\tau` of that positive and of all items of
    other labels; the loss is minus the log of the positive's share, averaged over all such pairs. Further positives
    stand in no denominator. With two items to a label this is the loss of SimCLR (NT-Xent), and N-pair loss with all
    negatives.

    Args:
        similarities: (N, N), cosines or dot products.
        labels: (N,) integers.
        temperature: divides the similarities, positive.

    Returns:
        Scalar; 0 where no anchor has both a positive and a negative.

    Raises:
        TypeError: if ``similarities`` is not a floating-point tensor.
        ValueError: if the shapes do not fit or ``temperature`` is not positive.

    Example:
        >>> similarities = torch.tensor([[1.0, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 1.0]])
        >>> info_nce_loss(similarities, torch.tensor([0, 0, 1]))  # one of two alike: ln 2
        tensor(0.6931)

    Reference:
        Sohn, "Improved deep metric learning with multi-class N-pair loss objective", 2016,
        https://papers.nips.cc/paper/6200-improved-deep-metric-learning-with-multi-class-n-pair-loss-objective; van den
        Oord, Li, Vinyals, "Representation learning with contrastive predictive coding", 2018,
        https://arxiv.org/abs/1807.03748
    """
    _check_square(similarities, labels, "similarities")
    check_positive(temperature, "temperature")
    same, other = pair_masks(labels)
    rows = same.any(dim=1) & other.any(dim=1)
    logits, same, other = similarities[rows] / temperature, same[rows], other[rows]
    against = logits.masked_fill(~other, -float("inf")).logsumexp(dim=1, keepdim=True)
    # -log of e^p / (e^p + e^against) is softplus(against - p).
    return softplus(against - logits)[same].sum() / same.sum().clamp(min=1)


def _columns(triplets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if triplets.ndim != 2 or triplets.shape[1] != 3:
        raise ValueError(f"triplets must have shape (T, 3), got {tuple(triplets.shape)}.")
    anchor, positive, negative = triplets.unbind(dim=1)
    return anchor, positive, negative


def _check_square(value: Tensor, labels: Tensor, name: str) -> None:
    check_floating(value, name)
    if value.ndim != 2 or value.shape[0] != value.shape[1]:
        raise ValueError(f"{name} must have shape (N, N), got {tuple(value.shape)}.")
    check_labels(labels, len(value))
