"""Losses of a mask from their formulas: Dice, Jaccard, Tversky, focal Tversky, BCE + Dice.

All of them are functions of three sums: of the probabilities, of the target, and of their product.
"""

# ruff: noqa: A002  (`input` is torch's name)

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from cvviz.ops.checks import check_positive, check_range
from cvviz.ops.losses import Reduction, _check_binary, _check_unit, _reduce, binary_cross_entropy

Loss = Literal["bce", "dice", "jaccard", "tversky", "focal_tversky", "bce_dice"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
SMOOTH = 1e-5


@dataclass(frozen=True, slots=True)
class Counts:
    """Pixels by prediction and target; fractions of them where the prediction is a probability.

    Args:
        tp, fp, fn, tn: (*), one number per mask.
    """

    tp: Tensor
    fp: Tensor
    fn: Tensor
    tn: Tensor

    @property
    def dice(self) -> Tensor:
        """2 TP / (2 TP + FP + FN), which is the F1 score; NaN where both masks are empty."""
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> Tensor:
        """TP / (TP + FP + FN); NaN where both masks are empty."""
        return self.tp / (self.tp + self.fp + self.fn)

    @property
    def precision(self) -> Tensor:
        """TP / (TP + FP); NaN where nothing is predicted."""
        return self.tp / (self.tp + self.fp)

    @property
    def recall(self) -> Tensor:
        """TP / (TP + FN); NaN where the target is empty."""
        return self.tp / (self.tp + self.fn)

    @property
    def accuracy(self) -> Tensor:
        """Share of the pixels that are right."""
        return (self.tp + self.tn) / (self.tp + self.fp + self.fn + self.tn)


def mask_counts(input: Tensor, target: Tensor) -> Counts:
    """Confusion counts of masks, each pixel counting as positive by its probability.

    Args:
        input: probabilities in [0, 1], or a mask of 0 and 1, shape (*, H, W).
        target: likewise, same shape.

    Returns:
        Counts of shape (*).

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if the shapes differ or have fewer than two axes, or a value lies outside [0, 1].

    Example:
        >>> import torch
        >>> mask_counts(torch.tensor([[0.9, 0.2]]), torch.tensor([[1.0, 0.0]])).dice
        tensor(0.8571)
    """
    _check_masks(input, target)
    tp, positive, true = (part.sum((-2, -1)) for part in (input * target, input, target))
    return Counts(tp, positive - tp, true - tp, input.shape[-2] * input.shape[-1] - positive - true + tp)


def dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    squared: bool = False,
    smooth_nr: float = SMOOTH,
    smooth_dr: float = SMOOTH,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Dice loss :math:`1 - \frac{2\sum p t + s_n}{\sum p + \sum t + s_d}` of each mask.

    Args:
        input: probabilities in [0, 1], shape (*, H, W). For the Dice of a batch as a whole, join its axes first.
        target: mask in [0, 1], same shape.
        squared: squares under the line, as in V-Net: the sums of p and t become those of their squares.
        smooth_nr, smooth_dr: added above and below the line (MONAI's names), 0 <= smooth_nr <= smooth_dr.
        reduction: "none", "mean" or "sum" over the masks.

    Returns:
        Shape (*) for "none", else a scalar; in [0, 1]. NaN where both masks are empty and nothing is added.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if the shapes differ or have fewer than two axes, a value is outside [0, 1], or an option is wrong.

    Example:
        >>> import torch
        >>> dice_loss(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]), smooth_nr=0, smooth_dr=0)
        tensor(0.5000)
        >>> dice_loss(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]), squared=True, smooth_nr=0, smooth_dr=0)
        tensor(0.3333)

    Reference:
        F. Milletari, N. Navab, S.-A. Ahmadi, V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image
        Segmentation, 2016, https://arxiv.org/abs/1606.04797
    """
    _check_masks(input, target)
    power = 2 if squared else 1
    whole = (input**power + target**power).sum((-2, -1))
    return _reduce(_lack(whole - 2 * (input * target).sum((-2, -1)), whole, smooth_nr, smooth_dr), reduction)


def jaccard_loss(
    input: Tensor,
    target: Tensor,
    *,
    smooth_nr: float = SMOOTH,
    smooth_dr: float = SMOOTH,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Jaccard or IoU loss :math:`1 - \frac{\sum p t + s_n}{\sum p + \sum t - \sum p t + s_d}` of each mask.

    Args:
        input, target, smooth_nr, smooth_dr, reduction: as for ``dice_loss``.

    Returns:
        Shape (*) for "none", else a scalar; in [0, 1]. With D the Dice loss it is 2D / (1 + D) if nothing is added.

    Raises:
        TypeError: as ``dice_loss``.
        ValueError: as ``dice_loss``.

    Example:
        >>> import torch
        >>> jaccard_loss(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]), smooth_nr=0, smooth_dr=0)
        tensor(0.6667)

    Reference:
        M. A. Rahman, Y. Wang, Optimizing Intersection-Over-Union in Deep Neural Networks for Image Segmentation, 2016,
        https://doi.org/10.1007/978-3-319-50835-1_22
    """
    return tversky_loss(input, target, alpha=1, beta=1, smooth_nr=smooth_nr, smooth_dr=smooth_dr, reduction=reduction)


def tversky_loss(
    input: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth_nr: float = SMOOTH,
    smooth_dr: float = SMOOTH,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Tversky loss :math:`1 - \frac{TP + s_n}{TP + \alpha FP + \beta FN + s_d}` of each mask.

    With alpha = beta = 1/2 this is the Dice loss of twice the smoothing, with 1 the Jaccard loss. As in Salehi's paper,
    MONAI and Keras ``alpha`` weighs the false positives and ``beta`` the false negatives; the paper on the focal
    Tversky loss has them the other way round.

    Args:
        input, target, smooth_nr, smooth_dr, reduction: as for ``dice_loss``.
        alpha: weight of the false positives, not negative.
        beta: weight of the false negatives, not negative.

    Returns:
        Shape (*) for "none", else a scalar; in [0, 1].

    Raises:
        TypeError: as ``dice_loss``.
        ValueError: as ``dice_loss``, and if a weight is negative.

    Example:
        >>> import torch
        >>> half, mask = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
        >>> tversky_loss(half, mask, alpha=0.3, beta=0.7, smooth_nr=0, smooth_dr=0)  # 0.5 / (0.5 + 0.15 + 0.35)
        tensor(0.5000)

    Reference:
        S. S. M. Salehi, D. Erdogmus, A. Gholipour, Tversky loss function for image segmentation using 3D fully
        convolutional deep networks, 2017, https://arxiv.org/abs/1706.05721
    """
    for value, name in ((alpha, "alpha"), (beta, "beta")):
        check_range(value, name, 0, math.inf)
    counts = mask_counts(input, target)
    wrong = alpha * counts.fp + beta * counts.fn
    return _reduce(_lack(wrong, counts.tp + wrong, smooth_nr, smooth_dr), reduction)


def focal_tversky_loss(
    input: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 4 / 3,
    smooth_nr: float = SMOOTH,
    smooth_dr: float = SMOOTH,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Tversky loss of each mask to the power :math:`1/\gamma`.

    The exponent is the paper's; libraries often write gamma itself there. The power is taken mask by mask, before any
    mean. Its slope is infinite at a loss of 0 if gamma > 1.

    Args:
        input, target, alpha, beta, smooth_nr, smooth_dr, reduction: as for ``tversky_loss``.
        gamma: positive; 1 gives the Tversky loss.

    Returns:
        Shape (*) for "none", else a scalar; in [0, 1].

    Raises:
        TypeError: as ``dice_loss``.
        ValueError: as ``tversky_loss``, and if ``gamma`` is not positive.

    Example:
        >>> import torch
        >>> half, mask = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
        >>> focal_tversky_loss(half, mask, gamma=0.5, smooth_nr=0, smooth_dr=0)  # 0.5 squared
        tensor(0.2500)

    Reference:
        N. Abraham, N. M. Khan, A Novel Focal Tversky loss function with improved Attention U-Net for lesion
        segmentation, 2018, https://arxiv.org/abs/1810.07842
    """
    check_positive(gamma, "gamma")
    smooth = {"smooth_nr": smooth_nr, "smooth_dr": smooth_dr}
    loss = tversky_loss(input, target, alpha=alpha, beta=beta, reduction="none", **smooth)
    return _reduce(loss ** (1 / gamma), reduction)


def bce_dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    squared: bool = False,
    smooth_nr: float = SMOOTH,
    smooth_dr: float = SMOOTH,
    reduction: Reduction = "mean",
) -> Tensor:
    """Binary cross-entropy, its mean over the pixels of each mask, plus the Dice loss.

    Args:
        input, target, squared, smooth_nr, smooth_dr, reduction: as for ``dice_loss``.

    Returns:
        Shape (*) for "none", else a scalar, not negative.

    Raises:
        TypeError: as ``dice_loss``.
        ValueError: as ``dice_loss``.

    Example:
        >>> import torch
        >>> bce_dice_loss(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]), smooth_nr=0, smooth_dr=0)
        tensor(1.1931)

    Reference:
        F. Isensee, P. F. Jaeger, S. A. A. Kohl, J. Petersen, K. H. Maier-Hein, nnU-Net: a self-configuring method for
        deep learning-based biomedical image segmentation, 2021, https://doi.org/10.1038/s41592-020-01008-z
    """
    dice = dice_loss(
        input, target, squared=squared, smooth_nr=smooth_nr, smooth_dr=smooth_dr, reduction="none"
    )  # which also checks the masks
    return _reduce(binary_cross_entropy(input, target, reduction="none").mean((-2, -1)) + dice, reduction)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of all losses at once; see the losses."""

    alpha: float = 0.5
    beta: float = 0.5
    gamma: float = 4 / 3
    squared: bool = False
    smooth_nr: float = SMOOTH
    smooth_dr: float = SMOOTH


def segmentation_loss(input: Tensor, target: Tensor, loss: Loss, options: Options | None = None) -> Tensor:
    """Loss of each mask by name, shape (*).

    Args:
        input, target: as for ``dice_loss``.
        loss: which one; "bce" is the mean over the pixels.
        options: those that the loss takes are used.

    Raises:
        TypeError: as ``dice_loss``.
        ValueError: as the loss, and if ``loss`` is unknown.

    Example:
        >>> import torch
        >>> segmentation_loss(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]), "bce")
        tensor(0.6931)
    """
    use = options or Options()
    smooth = {"smooth_nr": use.smooth_nr, "smooth_dr": use.smooth_dr}
    match loss:
        case "bce":
            _check_masks(input, target)
            return binary_cross_entropy(input, target, reduction="none").mean((-2, -1))
        case "dice":
            return dice_loss(input, target, squared=use.squared, reduction="none", **smooth)
        case "jaccard":
            return jaccard_loss(input, target, reduction="none", **smooth)
        case "tversky":
            return tversky_loss(input, target, alpha=use.alpha, beta=use.beta, reduction="none", **smooth)
        case "focal_tversky":
            weights = {"alpha": use.alpha, "beta": use.beta, "gamma": use.gamma}
            return focal_tversky_loss(input, target, reduction="none", **weights, **smooth)
        case "bce_dice":
            return bce_dice_loss(input, target, squared=use.squared, reduction="none", **smooth)
    raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}.")


def _lack(rest: Tensor, whole: Tensor, smooth_nr: float, smooth_dr: float) -> Tensor:
    """1 - (whole - rest + nr) / (whole + dr), never negative by rounding."""
    _check_smooth(smooth_nr, smooth_dr)
    return (rest.clamp(min=0) + (smooth_dr - smooth_nr)) / (whole + smooth_dr)


def _check_smooth(smooth_nr: float, smooth_dr: float) -> None:
    check_range(smooth_dr, "smooth_dr", 0, math.inf)
    check_range(smooth_nr, "smooth_nr", 0, smooth_dr)


def _check_masks(input: Tensor, target: Tensor) -> None:
    _check_binary(input, target, ("input", "target"))
    _check_unit(input, "input")
    if input.ndim < 2:
        raise ValueError(f"input must have shape (*, H, W), got {tuple(input.shape)}.")
