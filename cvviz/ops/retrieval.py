"""How well nearest neighbours carry the right label: recall@1 and R-precision."""

from __future__ import annotations

import torch
from torch import Tensor

from cvviz.ops.checks import check_labels, check_rows


def recall_at_1(
    queries: Tensor, labels: Tensor, *, gallery: Tensor | None = None, gallery_labels: Tensor | None = None
) -> Tensor:
    """Share of the queries whose nearest neighbour carries their label.

    Args:
        queries: (N, D), floating point.
        labels: (N,) integers.
        gallery: (M, D) among which the neighbour is looked for; the other queries if None.
        gallery_labels: (M,) integers.

    Returns:
        Scalar in 0 to 1; NaN without queries.

    Raises:
        TypeError: if ``queries`` or ``gallery`` is not a floating-point tensor.
        ValueError: if the shapes do not fit, the gallery has no labels, or there is no neighbour to look for.

    Example:
        >>> recall_at_1(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([0, 0, 1]))
        tensor(0.6667)

    Reference:
        Jégou, Douze, Schmid, "Product quantization for nearest neighbor search", 2011,
        https://doi.org/10.1109/TPAMI.2010.57
    """
    check_rows(queries, "queries")
    check_labels(labels, len(queries))
    alone = gallery is None
    if gallery is None:
        gallery, gallery_labels = queries, labels
    check_rows(gallery, "gallery")
    if gallery_labels is None:
        raise ValueError("gallery needs gallery_labels.")
    check_labels(gallery_labels, len(gallery))
    if len(queries) and len(gallery) < 1 + alone:
        raise ValueError(f"{len(queries)} queries need a neighbour, got {len(gallery)} items to look among.")
    distances = _distances(queries, gallery)
    if alone:
        distances = distances.fill_diagonal_(float("inf"))
    if not len(queries):
        return torch.tensor(float("nan"))
    return (gallery_labels[distances.argmin(dim=1)] == labels).float().mean()


def r_precision(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Mean share of right labels among the R nearest others of each item, R being how many others carry its label.

    Recall@1 asks for one right neighbour; this asks whether all of a class come before all others.

    Args:
        embeddings: (N, D), floating point.
        labels: (N,) integers.

    Returns:
        Scalar in 0 to 1, mean over the items that share their label; NaN if none does.

    Raises:
        TypeError: if ``embeddings`` is not a floating-point tensor.
        ValueError: if the shapes do not fit.

    Example:
        >>> r_precision(torch.tensor([[0.0], [1.0], [1.5], [4.0]]), torch.tensor([0, 0, 1, 0]))  # 1/2, 1/2 and 1/2
        tensor(0.5000)

    Reference:
        Musgrave, Belongie, Lim, "A metric learning reality check", 2020, https://arxiv.org/abs/2003.08505
    """
    check_rows(embeddings, "embeddings")
    check_labels(labels, len(embeddings))
    order = _distances(embeddings, embeddings).fill_diagonal_(float("inf")).argsort(dim=1)[:, :-1]  # [N, N - 1]
    right = labels[order] == labels[:, None]
    count = right.sum(dim=1)  # R of each
    first = torch.arange(right.shape[1]) < count[:, None]
    return ((right & first).sum(dim=1)[count > 0] / count[count > 0]).mean()


def _distances(first: Tensor, second: Tensor) -> Tensor:
    """Exact differences: the shortcut by dot products loses the digits that tell near neighbours apart."""
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
