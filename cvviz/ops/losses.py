"""Classification losses from their formulas, stable at any logit: BCE, cross-entropy, focal loss, KL divergence."""

# ruff: noqa: A002  (`input` is torch's name)

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from cvviz.ops.checks import check_floating, check_positive, check_range, check_same_shape, check_tensor

Reduction = Literal["none", "mean", "sum"]
Convention = Literal["torch", "excluding"]

# torch's BCELoss takes no logarithm for less than this.
LOG_FLOOR = -100.0


def log_softmax(input: Tensor, *, temperature: float = 1.0, dim: int = -1) -> Tensor:
    r"""Logarithm of the softmax of ``input / temperature``, never through the softmax itself.

    Args:
        input: logits of any shape and floating dtype.
        temperature: positive; above 1 the distribution flattens, below 1 it sharpens.
        dim: axis of the classes.

    Returns:
        Log-probabilities, shape of ``input``.

    Raises:
        TypeError: if ``input`` is not a floating-point tensor.
        ValueError: if ``temperature`` is not positive.

    Example:
        >>> log_softmax(torch.tensor([10000.0, 0.0]))
        tensor([     0., -10000.])
    """
    check_floating(input, "input")
    check_positive(temperature, "temperature")
    scaled = input / temperature
    # Without the shift float32 logits near 10,000 would keep three digits of the difference.
    shifted = scaled - scaled.detach().amax(dim, keepdim=True)
    return shifted - shifted.logsumexp(dim, keepdim=True)


def softmax(input: Tensor, *, temperature: float = 1.0, dim: int = -1) -> Tensor:
    """Probabilities proportional to ``exp(input / temperature)``.

    Args:
        input: logits of any shape and floating dtype.
        temperature: positive; above 1 the distribution flattens, below 1 it sharpens.
        dim: axis of the classes.

    Returns:
        Probabilities, shape of ``input``, that sum to 1 along ``dim``.

    Raises:
        TypeError: if ``input`` is not a floating-point tensor.
        ValueError: if ``temperature`` is not positive.

    Example:
        >>> softmax(torch.tensor([0.0, 0.0, 0.0, 0.0]))
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    return log_softmax(input, temperature=temperature, dim=dim).exp()


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    *,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Cross-entropy :math:`-[y \log p + (1 - y) \log(1 - p)]` of probabilities.

    As in torch no logarithm is less than -100, so that the loss stays finite at ``p`` = 0 and 1. The gradient is 0
    where the logarithm is cut; torch's is not, but the sigmoid that made such a ``p`` has slope 0 and kills it all the
    same. Prefer ``binary_cross_entropy_with_logits``.

    Args:
        input: probabilities ``p`` in [0, 1], any shape.
        target: labels ``y`` in [0, 1], shape and dtype of ``input``.
        reduction: "none", "mean" or "sum" over all elements.

    Returns:
        Shape of ``input`` for "none", else a scalar.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if the shapes differ, a value lies outside [0, 1], or ``reduction`` is unknown.

    Example:
        >>> binary_cross_entropy(torch.tensor([0.5, 1.0]), torch.tensor([1.0, 0.0]), reduction="none")
        tensor([  0.6931, 100.0000])

    Reference:
        PyTorch documentation, torch.nn.BCELoss, https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html
    """
    _check_binary(input, target, ("input", "target"))
    _check_unit(input, "input")
    never, surely = input <= 0, input >= 1
    # Filled before the logarithm as well: the gradient of a cut infinity would be 0 / 0.
    log_p = input.masked_fill(never, 1).log().masked_fill(never, LOG_FLOOR).clamp(min=LOG_FLOOR)
    log_1_p = (-input.masked_fill(surely, 0)).log1p().masked_fill(surely, LOG_FLOOR)
    return _reduce(-(target * log_p + (1 - target) * log_1_p), reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    *,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Cross-entropy :math:`-[y \log \sigma(x) + (1 - y) \log \sigma(-x)]` of logits; its gradient is σ(x) - y.

    Args:
        input: logits ``x`` of any shape and floating dtype.
        target: labels ``y`` in [0, 1], shape of ``input``.
        reduction: "none", "mean" or "sum" over all elements.

    Returns:
        Shape of ``input`` for "none", else a scalar.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if the shapes differ, a label lies outside [0, 1], or ``reduction`` is unknown.

    Example:
        >>> binary_cross_entropy_with_logits(torch.tensor([0.0, 200.0]), torch.tensor([1.0, 0.0]), reduction="none")
        tensor([  0.6931, 200.0000])

    Reference:
        PyTorch documentation, torch.nn.BCEWithLogitsLoss,
        https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html
    """
    _check_binary(input, target, ("input", "target"))
    # 1 - σ(x) written as σ(-x): no digits are lost on either side.
    return _reduce(-(target * logsigmoid(input) + (1 - target) * logsigmoid(-input)), reduction)


def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2,
    reduction: Reduction = "none",
) -> Tensor:
    r"""Focal loss :math:`-\alpha_t (1 - p_t)^\gamma \log p_t` of logits, p_t being the probability of the true label.

    Args:
        inputs: logits of any shape and floating dtype.
        targets: labels 0 or 1, shape of ``inputs``.
        alpha: weight of the positives in [0, 1], the negatives getting 1 - alpha; -1 for no weights.
        gamma: focusing exponent, at least 0; with 0 and no weights this is binary cross-entropy.
        reduction: "none" (the default, as in torchvision), "mean" or "sum" over all elements.

    Returns:
        Shape of ``inputs`` for "none", else a scalar.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if the shapes differ, a label is neither 0 nor 1, or an option is out of range.

    Example:
        >>> logits = torch.tensor([0.0])  # p_t = 1/2: a quarter of ln 2
        >>> sigmoid_focal_loss(logits, torch.tensor([1.0]), alpha=-1, gamma=2)
        tensor([0.1733])

    Reference:
        T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, Focal Loss for Dense Object Detection, 2017,
        https://arxiv.org/abs/1708.02002
    """
    _check_binary(inputs, targets, ("inputs", "targets"))
    if not ((targets == 0) | (targets == 1)).all():
        raise ValueError("targets must be 0 or 1.")
    if alpha != -1:
        check_range(alpha, "alpha", 0, 1)
    check_range(gamma, "gamma", 0, float("inf"))
    toward_truth = (2 * targets - 1) * inputs  # x_t in the paper: p_t = σ(x_t)
    # (1 - p_t)^γ as exp(γ log(1 - p_t)): its slope stays finite where p_t rounds to 1.
    loss = -(gamma * logsigmoid(-toward_truth)).exp() * logsigmoid(toward_truth)
    if alpha != -1:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return _reduce(loss, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    *,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Cross-entropy :math:`-\sum_c q_c \log p_c` between a target q and the softmax p of logits.

    Args:
        input: logits, shape (C,), (N, C) or (N, C, d1, ...).
        target: class indices (int64, shape of ``input`` without the C) or probabilities (floating, shape of ``input``).
        label_smoothing: ε in [0, 1]: the target becomes (1 - ε) q + ε / C.
        reduction: "none", "mean" or "sum" over the examples.

    Returns:
        One loss per example for "none", else a scalar.

    Raises:
        TypeError: if ``input`` is not a floating-point tensor or ``target`` neither int64 nor floating.
        ValueError: if the shapes do not fit, an index is out of range, or an option is.

    Example:
        >>> cross_entropy(torch.zeros(1, 1000), torch.tensor([7]))  # no idea yet: ln 1000
        tensor(6.9078)

    Reference:
        C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna, Rethinking the Inception Architecture for Computer
        Vision, 2015, https://arxiv.org/abs/1512.00567 (section 7, label smoothing)
    """
    check_floating(input, "input")
    check_tensor(target, "target")
    check_range(label_smoothing, "label_smoothing", 0, 1)
    if input.ndim == 0:
        raise ValueError("input must have an axis of classes, got shape ().")
    dim = 0 if input.ndim == 1 else 1
    log_p = log_softmax(input, dim=dim)
    if target.is_floating_point():
        check_same_shape(input, target, ("input", "target"))
        loss = -(target * log_p).sum(dim)
    else:
        _check_indices(target, input.shape[:dim] + input.shape[dim + 1 :], input.shape[dim])
        loss = -log_p.gather(dim, target.unsqueeze(dim)).squeeze(dim)  # [N, d1, ...]
    if label_smoothing > 0:
        loss = (1 - label_smoothing) * loss - label_smoothing * log_p.mean(dim)
    return _reduce(loss, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    *,
    reduction: Literal["none", "mean", "sum", "batchmean"] = "mean",
    log_target: bool = False,
) -> Tensor:
    r"""Kullback-Leibler divergence :math:`D(q \| p) = \sum_c q_c (\log q_c - \log p_c)` in torch's conventions.

    Three of them bite: the first argument holds the LOG-probabilities of the model, the second the target's
    probabilities, and the default "mean" divides by the number of elements, which is C times too much. "batchmean" is
    the divergence of the definition, averaged over the first axis.

    Args:
        input: log-probabilities of the model, any shape with the batch first.
        target: probabilities of the target, or their logarithms if ``log_target``; shape of ``input``.
        reduction: "none", "mean" (over elements), "sum" or "batchmean" (sum over the size of the first axis).
        log_target: whether ``target`` holds logarithms.

    Returns:
        The summands, shape of ``input``, for "none", else a scalar. NaN where ``input`` is -inf and the target 0.

    Raises:
        TypeError: if an argument is not a floating-point tensor.
        ValueError: if the shapes differ, a probability is negative, or ``reduction`` is unknown.

    Example:
        >>> p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
        >>> kl_div(p.log(), q, reduction="batchmean")
        tensor(0.6931)

    Reference:
        PyTorch documentation, torch.nn.KLDivLoss, https://docs.pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html
    """
    check_floating(input, "input")
    check_floating(target, "target")
    check_same_shape(input, target, ("input", "target"))
    if log_target:
        loss = target.exp() * (target - input)
    else:
        if (target < 0).any():
            raise ValueError(f"target must hold probabilities, got {float(target.min()):g}.")
        loss = target.xlogy(target) - target * input
    if reduction == "batchmean":
        return loss.sum() / (loss.shape[0] if loss.ndim else 1)
    return _reduce(loss, reduction)


def smooth_labels(
    target: Tensor,
    num_classes: int,
    *,
    epsilon: float,
    convention: Convention = "torch",
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Smoothed one-hot rows, in either of the two conventions that go by this name.

    "torch" (and the Inception paper) mixes the label with the uniform distribution: 1 - ε + ε/C on, ε/C off the true
    class. "excluding" takes ε away from the true class and shares it among the others: 1 - ε on, ε/(C - 1) off. The
    second with ε(C - 1)/C is the first with ε.

    Args:
        target: class indices, int64, any shape (*).
        num_classes: C, at least 2.
        epsilon: ε in [0, 1].
        convention: "torch" or "excluding".
        dtype: of the result; torch's default if None.

    Returns:
        Probabilities, shape (*, C), every row summing to 1.

    Raises:
        TypeError: if ``target`` is not an int64 tensor.
        ValueError: if an index, C, ε or the convention is out of range.

    Example:
        >>> smooth_labels(torch.tensor([1]), 3, epsilon=0.2)
        tensor([[0.0667, 0.8667, 0.0667]])
        >>> smooth_labels(torch.tensor([1]), 3, epsilon=0.2, convention="excluding")
        tensor([[0.1000, 0.8000, 0.1000]])

    Reference:
        C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna, Rethinking the Inception Architecture for Computer
        Vision, 2015, https://arxiv.org/abs/1512.00567 (section 7)
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}.")
    check_tensor(target, "target")
    _check_indices(target, target.shape, num_classes)
    check_range(epsilon, "epsilon", 0, 1)
    if convention not in ("torch", "excluding"):
        raise ValueError(f'convention must be "torch" or "excluding", got {convention!r}.')
    off = epsilon / (num_classes if convention == "torch" else num_classes - 1)
    on = 1 - epsilon + off if convention == "torch" else 1 - epsilon
    rows = torch.full((*target.shape, num_classes), off, dtype=dtype, device=target.device)  # [*, C]
    return rows.scatter(-1, target.unsqueeze(-1), on)


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    raise ValueError(f"reduction {reduction!r} is unknown.")


def _check_binary(first: Tensor, second: Tensor, names: tuple[str, str]) -> None:
    check_floating(first, names[0])
    check_floating(second, names[1])
    check_same_shape(first, second, names)
    _check_unit(second, names[1])


def _check_unit(value: Tensor, name: str) -> None:
    if ((value < 0) | (value > 1)).any():
        raise ValueError(f"{name} must lie in [0, 1], got {float(value.min()):g} to {float(value.max()):g}.")


def _check_indices(target: Tensor, shape: torch.Size, num_classes: int) -> None:
    if target.dtype != torch.int64:
        raise TypeError(f"target must hold int64 class indices, got {target.dtype}.")
    if target.shape != shape:
        raise ValueError(f"target must have shape {tuple(shape)}, got {tuple(target.shape)}.")
    if ((target < 0) | (target >= num_classes)).any():
        raise ValueError(f"target must lie in [0, {num_classes - 1}], got {int(target.min())} to {int(target.max())}.")
