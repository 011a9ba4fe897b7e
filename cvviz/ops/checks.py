"""Argument checks shared by the ops. Every message names the argument and what it got."""

from __future__ import annotations

from torch import Tensor


def check_tensor(value: object, name: str) -> None:
    """Raise TypeError unless ``value`` is a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a Tensor, got {type(value).__name__}.")


def check_floating(value: Tensor, name: str) -> None:
    """Raise TypeError unless ``value`` is a floating-point tensor."""
    check_tensor(value, name)
    if not value.is_floating_point():
        raise TypeError(f"{name} must have a floating-point dtype, got {value.dtype}.")


def check_boxes(value: Tensor, name: str) -> None:
    """Raise unless ``value`` is a tensor of shape (N, 4)."""
    check_tensor(value, name)
    if value.ndim != 2 or value.shape[1] != 4:
        raise ValueError(f"{name} must have shape (N, 4), got {tuple(value.shape)}.")


def check_same_shape(first: Tensor, second: Tensor, names: tuple[str, str]) -> None:
    """Raise ValueError unless both tensors have one shape."""
    if first.shape != second.shape:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same shape, got {tuple(first.shape)} and {tuple(second.shape)}."
        )


def check_rows(value: Tensor, name: str) -> None:
    """Raise unless ``value`` is a floating-point tensor of shape (N, D)."""
    check_floating(value, name)
    if value.ndim != 2:
        raise ValueError(f"{name} must have shape (N, D), got {tuple(value.shape)}.")


def check_labels(labels: Tensor, count: int) -> None:
    """Raise ValueError unless ``labels`` has shape (count,)."""
    if labels.shape != (count,):
        raise ValueError(f"labels must have shape ({count},), got {tuple(labels.shape)}.")


def check_range(value: float, name: str, low: float, high: float) -> None:
    """Raise ValueError unless ``low <= value <= high`` (NaN fails)."""
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {value:g}.")


def check_positive(value: float, name: str) -> None:
    """Raise ValueError unless ``value > 0`` (NaN fails)."""
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value:g}.")
