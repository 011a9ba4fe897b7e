"""Precision and recall down a ranking, and the area under them by three conventions."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from cvviz.ops.checks import check_floating, check_same_shape, check_tensor

Method = Literal["voc11", "all-point", "coco101"]
METHODS: tuple[Method, ...] = get_args(Method)


class Curve(NamedTuple):
    """Precision and recall after each detection of a ranking.

    Attributes:
        recall: (..., D) share of the objects found so far; NaN where there are none.
        precision: (..., D) share of the detections so far that found one; 0 before the first that counts.
    """

    recall: Tensor
    precision: Tensor


def precision_recall(outcomes: Tensor, positives: Tensor | int) -> Curve:
    """Precision and recall after each detection.

    Args:
        outcomes: (..., D) integers by falling score: 1 found an object, 0 did not, -1 does not count.
        positives: number of objects, one for all or of the shape (...).

    Returns:
        Two tensors (..., D), float64.

    Raises:
        TypeError: if ``outcomes`` is not a tensor.
        ValueError: if it holds another value, or more hits than there are positives.

    Example:
        Hit, miss, hit, of two objects:

        >>> recall, precision = precision_recall(torch.tensor([1, 0, 1]), 2)
        >>> recall.tolist(), [round(value, 3) for value in precision.tolist()]
        ([0.5, 0.5, 1.0], [1.0, 0.5, 0.667])
    """
    check_tensor(outcomes, "outcomes")
    if outcomes.numel() and not bool(((outcomes >= -1) & (outcomes <= 1)).all()):
        raise ValueError("outcomes must be 1, 0 or -1.")
    hits = (outcomes == 1).cumsum(dim=-1)  # [..., D]
    counted = (outcomes >= 0).cumsum(dim=-1)
    total = torch.as_tensor(positives, dtype=torch.float64)[..., None]  # [..., 1]
    if outcomes.numel() and bool((hits[..., -1:] > total).any()):
        raise ValueError(f"outcomes hold more hits than the {positives} positives.")
    return Curve(recall=hits / total, precision=hits / counted.clamp(min=1).double())


def precision_envelope(precision: Tensor) -> Tensor:
    """The highest precision from each place on: what the curve still reaches at that recall or a higher one.

    Args:
        precision: (..., D), in the order of the ranking.

    Returns:
        (..., D), which never rises.

    Raises:
        TypeError: if ``precision`` is not a floating-point tensor.

    Example:
        >>> precision_envelope(torch.tensor([1.0, 0.5, 0.75]))
        tensor([1.0000, 0.7500, 0.7500])
    """
    check_floating(precision, "precision")
    if not precision.shape[-1]:
        return precision
    return precision.flip(-1).cummax(dim=-1).values.flip(-1)


def recall_weights(recall: Tensor, *, method: Method) -> Tensor:
    """How much the envelope at each place counts in AP, which is the sum of weight times envelope.

    All-point: the step of recall at this place. The sampled methods: the share of their recall levels, 0 to 1 in 10 or
    100 steps, that this place is the first to reach. Levels that no place reaches count as zero precision.

    Args:
        recall: (..., D) in [0, 1], never falling. In float64 the 101 levels are pycocotools' own. Of them 0.35 and
            nine others lie one rounding above the fraction, so that a recall of 7/20 does not reach 0.35.
        method: "voc11", "all-point" or "coco101".

    Returns:
        (..., D), summing to at most 1; NaN where recall is.

    Raises:
        TypeError: if ``recall`` is not a floating-point tensor.
        ValueError: if the method is unknown, or ``recall`` falls or leaves [0, 1].

    Example:
        One of two objects found: half by area, but six of the eleven levels 0, 0.1, ..., 0.5:

        >>> recall = torch.tensor([0.5])
        >>> recall_weights(recall, method="all-point"), recall_weights(recall, method="voc11")
        (tensor([0.5000]), tensor([0.5455]))
    """
    check_floating(recall, "recall")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    steps = recall.diff(dim=-1, prepend=torch.zeros_like(recall[..., :1]))
    if bool((steps < 0).any()) or bool((recall > 1).any()):
        raise ValueError("recall must lie in [0, 1] and never fall.")
    if method == "all-point":
        return steps
    # Eleven: the fractions themselves, which a recall of 3/10 meets. 101: multiples of 0.01, as numpy.linspace makes.
    levels = torch.arange(11).double() / 10 if method == "voc11" else torch.arange(101).double() * 0.01
    # Level 0 is reached by the first hit, not by the misses before it: the envelope is the same there.
    levels = (
        levels.to(recall).clamp(min=torch.finfo(recall.dtype).tiny).expand(*recall.shape[:-1], -1).contiguous()
    )  # [..., L]
    first = torch.searchsorted(recall.detach().contiguous(), levels)  # [..., L]; D where none reaches the level
    weights = recall.new_zeros(*recall.shape[:-1], recall.shape[-1] + 1)
    weights = weights.scatter_add(-1, first, torch.ones_like(levels))[..., :-1] / levels.shape[-1]
    return weights.masked_fill(recall.isnan(), torch.nan)


def average_precision(recall: Tensor, precision: Tensor, *, method: Method) -> Tensor:
    """Area under the envelope of precision over recall.

    Args:
        recall: (..., D) after each detection of the ranking, in [0, 1], never falling.
        precision: (..., D) likewise, not yet enveloped.
        method: "voc11" takes the mean over the recall levels 0, 0.1, ..., 1 (VOC to 2009); "all-point" the exact area
            (VOC from 2010); "coco101" the mean over 0, 0.01, ..., 1.

    Returns:
        (...,) in [0, 1]: 0 for no detections, NaN where recall is NaN because there are no objects.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if the shapes differ, the method is unknown, or ``recall`` falls or leaves [0, 1].

    Example:
        Of two objects the first is found at once and the second after one miss:

        >>> recall, precision = torch.tensor([0.5, 0.5, 1.0]), torch.tensor([1.0, 0.5, 0.75])
        >>> average_precision(recall, precision, method="all-point")
        tensor(0.8750)

    Reference:
        Everingham et al., 2010, section 4.2, https://doi.org/10.1007/s11263-009-0275-4, and Lin et al., Microsoft COCO,
        2014, https://arxiv.org/abs/1405.0312
    """
    check_floating(precision, "precision")
    check_floating(recall, "recall")
    check_same_shape(recall, precision, ("recall", "precision"))
    return (recall_weights(recall, method=method) * precision_envelope(precision)).sum(-1)
