"""Masks on a grid of cells: discs, boxes, a mask moved and grown, and a mask with soft edges."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from cvviz.ops.checks import check_floating, check_range

Loops = list[list[tuple[int, int]]]


def disc_mask(side: int, x: float, y: float, radius: float) -> Tensor:
    """Cells whose centre lies within ``radius`` of (x, y).

    Args:
        side: rows and columns of the grid; cell i spans i to i + 1.
        x, y: centre, in cells.
        radius: in cells, not negative.

    Returns:
        (side, side) bool.

    Raises:
        ValueError: if ``radius`` is negative.

    Example:
        >>> disc_mask(4, 2, 2, 1).int().sum()  # the four cells around the middle, 0.71 away
        tensor(4)
    """
    check_range(radius, "radius", 0, math.inf)
    across, down = _offsets(side, x, y)
    return across**2 + down[:, None] ** 2 <= radius**2


def box_mask(side: int, x: float, y: float, radius: float) -> Tensor:
    """Cells whose centre lies within ``radius`` of (x, y) in both directions: a square.

    Args:
        side, x, y, radius: as for ``disc_mask``.

    Returns:
        (side, side) bool.

    Raises:
        ValueError: if ``radius`` is negative.

    Example:
        >>> box_mask(4, 2, 2, 1.5).int().sum()
        tensor(16)
    """
    check_range(radius, "radius", 0, math.inf)
    across, down = (offset.abs() <= radius for offset in _offsets(side, x, y))
    return across & down[:, None]


def boundary_distance(mask: Tensor) -> Tensor:
    """How far a mask must grow to take in each cell: 1 beside it, 0 at its border, negative inside.

    Args:
        mask: (H, W) bool.

    Returns:
        (H, W) float64, Euclidean distances of the centres in cells; inf everywhere for an empty mask, -inf for a full
        one.

    Raises:
        ValueError: if ``mask`` is not a (H, W) bool tensor.

    Example:
        >>> boundary_distance(torch.tensor([[False, True, True, True, False]]))
        tensor([[ 1.,  0., -1.,  0.,  1.]], dtype=torch.float64)
    """
    _check_mask(mask)
    cells = torch.cartesian_prod(*(torch.arange(length).double() for length in mask.shape)).view(-1, 2)
    inside = mask.flatten()
    distance = torch.full((mask.numel(),), -math.inf if inside.all() and inside.numel() else math.inf).double()
    if inside.any() and not inside.all():
        gaps = torch.cdist(cells[~inside], cells[inside])
        distance[~inside] = gaps.amin(1)
        distance[inside] = 1 - gaps.amin(0)
    return distance.view(mask.shape)


def moved_mask(distance: Tensor, dx: int, dy: int, grow: float) -> Tensor:
    """A mask grown (or shrunk) by ``grow`` cells and then moved; what comes in at a border is empty.

    Args:
        distance: (H, W) of the mask, see ``boundary_distance``.
        dx, dy: cells to the right and down.
        grow: cells; negative to shrink.

    Returns:
        (H, W) bool.

    Example:
        >>> moved_mask(boundary_distance(torch.tensor([[True, False, False]])), 1, 0, 0)
        tensor([[False,  True, False]])
    """
    grown = distance <= grow
    height, width = grown.shape
    moved = torch.zeros_like(grown)
    rows, columns = (range(max(0, step), min(length, length + step)) for step, length in ((dy, height), (dx, width)))
    if rows and columns:
        part = grown[rows.start - dy : rows.stop - dy, columns.start - dx : columns.stop - dx]
        moved[rows.start : rows.stop, columns.start : columns.stop] = part
    return moved


def blur_matrix(length: int, sigma: float) -> Tensor:
    """Matrix that blurs a signal by a Gaussian window, the signal being mirrored at its ends without their repetition.

    For a picture: ``blur_matrix(H, sigma) @ picture @ blur_matrix(W, sigma).T``.

    Args:
        length: of the signal, more than 3 sigma.
        sigma: standard deviation in samples; the window reaches 3 of them. 0 blurs nothing.

    Returns:
        (length, length) float64, rows that sum to 1.

    Raises:
        ValueError: if ``sigma`` is negative or too wide for ``length``.

    Example:
        >>> blur_matrix(4, 0.3)[0]  # what mirrors into the first sample counts twice
        tensor([0.9923, 0.0077, 0.0000, 0.0000], dtype=torch.float64)
    """
    reach = math.ceil(3 * sigma) if sigma >= 0 else -1
    if not 0 <= reach < max(length, 1):
        raise ValueError(f"sigma must lie between 0 and a third of the length {length}, got {sigma:g}.")
    steps = torch.arange(-reach, reach + 1)
    window = torch.exp(-0.5 * (steps.double() / sigma) ** 2) if reach else torch.ones(1).double()
    source = (torch.arange(length)[:, None] + steps).abs()  # [length, window]
    source = (length - 1) - ((length - 1) - source).abs()
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, source, (window / window.sum()).expand(length, -1))


def soft_mask(mask: Tensor, blur: Tensor, inside: float, outside: float) -> Tensor:
    """Probabilities: ``inside`` on the mask, ``outside`` off it, and between the two where the edge is blurred.

    Args:
        mask: (*, S, S) floating, 0 and 1.
        blur: (S, S), see ``blur_matrix``.
        inside, outside: probabilities in [0, 1].

    Returns:
        (*, S, S).

    Raises:
        TypeError: if ``mask`` is not floating-point.
        ValueError: if a probability lies outside [0, 1].

    Example:
        >>> soft_mask(torch.eye(2).double(), blur_matrix(2, 0), 0.9, 0.1)
        tensor([[0.9000, 0.1000],
                [0.1000, 0.9000]], dtype=torch.float64)
    """
    check_floating(mask, "mask")
    check_range(inside, "inside", 0, 1)
    check_range(outside, "outside", 0, 1)
    return outside + (inside - outside) * (blur @ mask @ blur.T)


def mask_outline(mask: Tensor) -> Loops:
    """Closed lines around the cells of a mask, along their edges.

    Args:
        mask: (H, W) bool; cell (row, column) spans column to column + 1 and row to row + 1.

    Returns:
        Loops of corners (x, y), clockwise around the mask and counter-clockwise around its holes. Cells that meet at a
        corner alone may share a loop.

    Raises:
        ValueError: if ``mask`` is not a (H, W) bool tensor.

    Example:
        >>> mask_outline(torch.tensor([[True]]))
        [[(0, 0), (1, 0), (1, 1), (0, 1)]]
    """
    _check_mask(mask)
    padded = pad(mask, (1, 1, 1, 1))
    inside = padded[1:-1, 1:-1]
    ways: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # Every border edge of a cell, with the cell on its right.
    for beside, start, end in (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # above
        (padded[1:-1, 2:], (1, 0), (1, 1)),  # right
        (padded[2:, 1:-1], (1, 1), (0, 1)),  # below
        (padded[1:-1, :-2], (0, 1), (0, 0)),  # left
    ):
        for y, x in (inside & ~beside).nonzero().tolist():
            ways.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    loops = []
    while ways:
        first = at = next(iter(ways))
        loop: list[tuple[int, int]] = []
        while True:
            to = ways[at].pop()
            if not ways[at]:
                del ways[at]
            loop.append(at)
            at = to
            if at == first:
                break
        loops.append(loop)
    return loops


def _check_mask(mask: Tensor) -> None:
    if mask.ndim != 2 or mask.dtype != torch.bool:
        raise ValueError(f"mask must be (H, W) bool, got {tuple(mask.shape)} {mask.dtype}.")


def _offsets(side: int, x: float, y: float) -> tuple[Tensor, Tensor]:
    """(side,) distances of the cells' centres from x and from y."""
    centers = torch.arange(side, dtype=torch.float64) + 0.5
    return centers - x, centers - y
