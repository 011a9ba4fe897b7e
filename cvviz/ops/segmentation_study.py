"""A mask under several losses: values, pushes, a descent; and the same error on objects of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cvviz.ops.checks import check_positive
from cvviz.ops.mask_shapes import blur_matrix, disc_mask, soft_mask
from cvviz.ops.segmentation_descent import descend, logit_slopes
from cvviz.ops.segmentation_losses import Counts, Loss, Options, mask_counts, segmentation_loss

THRESHOLD = 0.5 - 5e-7  # so that a 0.5 with rounding noise is 0.5


def thresholded(p: Tensor) -> Tensor:
    """Mask of probabilities at 0.5.

    Example:
        >>> thresholded(torch.tensor([0.49, 0.5, 0.51]))
        tensor([False,  True,  True])
    """
    return p >= THRESHOLD


@dataclass(frozen=True, slots=True)
class MaskStudy:
    """A mask of probabilities under L losses.

    Args:
        p: (H, W) probabilities.
        target: (H, W) 0 and 1.
        losses: names.
        options: of the losses.
        values: (L,) losses of the probabilities.
        hard_values: (L,) losses of the thresholded mask.
        soft, hard: counts of both.
    """

    p: Tensor
    target: Tensor
    losses: Sequence[Loss]
    options: Options
    values: Tensor
    hard_values: Tensor
    soft: Counts
    hard: Counts

    def slopes(self) -> Tensor:
        """(L, H, W) slopes by the logits."""
        return logit_slopes(
            self.p.logit().expand(len(self.losses), *self.p.shape), self.target, self.losses, self.options
        )

    def descent(self, *, rate: float, steps: int) -> Descent:
        """The descent of the logits under each loss; see ``descend``."""
        way = descend(self.p.logit(), self.target, self.losses, rate=rate, steps=steps, options=self.options)
        p = way.sigmoid()
        found, true = thresholded(p), self.target.bool()
        either = (found | true).sum((-2, -1))
        iou = torch.where(either == 0, 1.0, (found & true).sum((-2, -1)) / either)
        return Descent(p, iou, (p * self.target).sum((-2, -1)) / self.target.sum())


@dataclass(frozen=True, slots=True)
class Descent:
    """Masks on their way under L losses.

    Args:
        p: (S, L, H, W) probabilities before every step and after the last.
        iou: (S, L) of the thresholded masks; 1 where both are empty.
        sure: (S, L) mean probability on the object; NaN where there is none.
    """

    p: Tensor
    iou: Tensor
    sure: Tensor


def study_mask(p: Tensor, target: Tensor, losses: Sequence[Loss], options: Options) -> MaskStudy:
    """Losses and counts of a mask of probabilities and of its thresholded form.

    Args:
        p: (H, W) probabilities in [0, 1].
        target: (H, W) 0 and 1.
        losses: L names.
        options: of the losses.

    Raises:
        TypeError: as the losses.
        ValueError: as the losses.

    Example:
        >>> study_mask(torch.tensor([[0.9, 0.4]]), torch.tensor([[1.0, 1.0]]), ["dice"], Options()).hard.dice
        tensor(0.6667)
    """
    found = thresholded(p).to(p.dtype)
    values, hard_values = (
        torch.stack([segmentation_loss(mask, target, name, options) for name in losses]) for mask in (p, found)
    )
    return MaskStudy(
        p, target, losses, options, values, hard_values, mask_counts(p, target), mask_counts(found, target)
    )


@dataclass(frozen=True, slots=True)
class Shrinking:
    """Discs of R sizes against the same discs moved aside.

    Args:
        share: (R,) of the pixels that are object.
        values: (L, R) losses.
        mass: (L, R) part of the slopes' sizes by the logits that falls on the object.
        dice: (R,) Dice of the masks at a threshold of 0.5; NaN never, as the object is never empty.
        error: (R,) share of the pixels that are wrong there.
    """

    share: Tensor
    values: Tensor
    mass: Tensor
    dice: Tensor
    error: Tensor


def shrinking_discs(
    radii: Sequence[float],
    losses: Sequence[Loss],
    options: Options,
    *,
    side: int = 32,
    shift: float = 1,
    inside: float = 0.9,
    outside: float = 0.05,
    blur: float = 0,
) -> Shrinking:
    """Losses of discs whose prediction lies ``shift`` pixels beside them, whatever their size.

    Args:
        radii: in pixels, at least 0.
        losses: L names.
        options: of the losses.
        side: of the picture in pixels, which the discs are in the middle of.
        shift: to the right, in pixels.
        inside, outside: probabilities on and off the predicted disc, strictly between 0 and 1.
        blur: standard deviation of its edge in pixels.

    Returns:
        What is known of each size.

    Raises:
        ValueError: if ``radii`` is empty, or as ``soft_mask`` and the losses.

    Example:
        >>> study = shrinking_discs([1, 4], ["dice"], Options(), shift=1)
        >>> study.values[0, 0] > study.values[0, 1]  # the same pixel costs a small object more
        tensor(True)
    """
    check_positive(len(radii), "The number of radii")
    middle = side // 2 + 0.5  # on a pixel's centre, so that the smallest disc is one pixel
    true, moved = (
        torch.stack([disc_mask(side, middle + dx, middle, radius) for radius in radii]).double() for dx in (0, shift)
    )
    p = soft_mask(moved, blur_matrix(side, blur), inside, outside)
    values = torch.stack([segmentation_loss(p, true, name, options) for name in losses])
    parts = []
    for logits, target in zip(p.logit(), true, strict=True):
        size = logit_slopes(logits.expand(len(losses), side, side), target, losses, options).abs()
        parts.append((size * target).sum((-2, -1)) / size.sum((-2, -1)))
    counts = mask_counts(thresholded(p).double(), true)
    return Shrinking(true.mean((1, 2)), values, torch.stack(parts, dim=1), counts.dice, 1 - counts.accuracy)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What probabilities of masks are worth.

    Args:
        thresholds: (T,).
        dice: (T,) mean Dice of the masks by the threshold.
        right: share of the pixels that are right at 0.5.
        blank: share that would be right with nothing found.
        found: share of the object's pixels found at 0.5.
        said, was: (B,) mean probability of the pixels in each interval, and share of them that are object; NaN in one
            without pixels.
        gap: mean distance of the two over all pixels of a probability of at least 0.05; NaN if there is none.
    """

    thresholds: Tensor
    dice: Tensor
    right: float
    blank: float
    found: float
    said: Tensor
    was: Tensor
    gap: float


def judge_masks(p: Tensor, target: Tensor, *, bins: int = 10) -> Judgement:
    """Dice by the threshold, and whether what is said with probability p is so in a share p of the cases.

    Args:
        p: (N, H, W) probabilities.
        target: (N, H, W) 0 and 1, none of them empty.
        bins: intervals of equal width that the probabilities are sorted into.

    Returns:
        All of it, thresholds from 0.02 to 0.98.

    Raises:
        TypeError: if a tensor is not floating-point.
        ValueError: if the shapes differ, a value lies outside [0, 1], a target is empty, or ``bins`` is not positive.

    Example:
        >>> judge_masks(torch.tensor([[[0.9, 0.4]]]), torch.tensor([[[1.0, 0.0]]])).gap  # (0.1 + 0.4) / 2
        0.25
    """
    check_positive(bins, "bins")
    counts = mask_counts(thresholded(p).to(p.dtype), target)
    if ((counts.tp + counts.fn) == 0).any():
        raise ValueError("target must have no empty mask.")
    thresholds = torch.linspace(0.02, 0.98, 49)
    dice = torch.stack([mask_counts((p >= at).to(p.dtype), target).dice.mean() for at in thresholds])
    place = (p * bins).long().clamp(max=bins - 1).flatten()
    claimed = (p >= 0.05).to(p.dtype)
    count, said, was, weight = (
        torch.zeros(bins, dtype=p.dtype).index_add(0, place, part.flatten())
        for part in (torch.ones_like(p), p, target, claimed)
    )
    gaps = ((said - was) / count).abs().nan_to_num(0.0)
    return Judgement(
        thresholds,
        dice,
        float(counts.accuracy.mean()),
        1 - float(target.mean()),
        float(counts.tp.sum() / target.sum()),
        said / count,
        was / count,
        float((gaps * weight).sum() / weight.sum()),
    )
