"""Sentences from interview notes, judged by measurements; see ``dilation``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import conv_flop_count

from cvviz.concept import Claim, Evidence
from cvviz.concepts.convolution.dilation import footprint
from cvviz.ops.dilation import tap_offsets


def stacks(expected: dict[str, tuple[int, int]]) -> Evidence:
    """Stacks of 3 x 3 layers by their rates: extent and pixels read of one unit's gradient, against what we say."""
    found = {}
    for rates in expected:
        read = footprint(tuple(map(int, rates.split())), 3, 85)
        rows = read.sum(dim=1).nonzero()
        found[rates] = int(rows.max() - rows.min()) + 1, int(read.count_nonzero())
    text = "; ".join(
        f"{rates}: {read} of {size}² pixels ({read / size**2:.1%})" for rates, (size, read) in found.items()
    )
    return Evidence(found == expected, f"Pixels read by 3 × 3 layers of rates {text}.")


def _resolution() -> Evidence:
    picture, weights = torch.zeros(1, 1, 41, 41), torch.zeros(1, 1, 3, 3)
    found = [[F.conv2d(picture, weights, dilation=d, padding=p).shape[2] for p in (d, 0)] for d in range(1, 9)]
    padded, bare = (", ".join(map(str, rows)) for rows in zip(*found, strict=True))
    text = f"Rows of the output of 41 rows at rates 1 to 8: padded by d {padded}; not padded {bare}."
    return Evidence(found == [[41, 41 - 2 * d] for d in range(1, 9)], text)


def _gaps() -> Evidence:
    steps = [footprint((d,), 3, 41).sum(dim=0).nonzero()[:, 0].diff().tolist() for d in (1, 2, 5)]
    words = "; ".join(
        f"{' and '.join(map(str, pair))} px at rate {rate}" for rate, pair in zip((1, 2, 5), steps, strict=True)
    )
    return Evidence(steps == [[1, 1], [2, 2], [5, 5]], f"Steps between the three pixels read: {words}.")


def _centre() -> Evidence:
    read = [(p, footprint((4,), 3, 41, p).sum(dim=1).nonzero().double().mean()) for p in (0, 1, 4)]
    found = [float(rows) - (41 + 2 * p - 8) // 2 for p, rows in read]
    expected = [float(tap_offsets(3, 4, padding=p).double().mean()) for p in (0, 1, 4)]
    text = "k = 3, d = 4: the centre lies {} rows from the output's index with p = 0, {} with 1, {} with 4."
    return Evidence(found == expected == [4, 3, 0], text.format(*found))


def _cost() -> Evidence:
    picture, weights = torch.zeros(1, 8, 64, 64), torch.zeros(8, 8, 3, 3)
    outputs = [F.conv2d(picture, weights, stride=s, padding=d, dilation=d) for s, d in ((1, 1), (1, 8), (8, 1))]
    macs = [conv_flop_count([1, 8, 64, 64], [8, 8, 3, 3], list(output.shape)) // 2 for output in outputs]
    text = "8 channels, 64 × 64 pixels, 576 weights: {:,} MACs at rate 1, {:,} at rate 8, {:,} with stride 8."
    return Evidence(macs[0] == macs[1] == 64 * macs[2], text.format(*macs))


CLAIMS = (
    Claim(
        "Dilation multiplies the receptive field.",
        "misleading",
        "A layer adds (k−1)·d times the strides below it; without dilation it adds (k−1) times the strides. Growth is "
        "exponential in depth only if the rates are.",
        lambda: stacks({"2": (5, 9), "4": (9, 9), "1 1 1": (7, 49), "2 2 2": (13, 49), "1 2 4 8": (31, 961)}),
        "Rates 1, 2, 4, 8",
    ),
    Claim(
        "Dilation enlarges the receptive field without reducing spatial resolution.",
        "true with conditions",
        "With stride 1 and padding d(k−1)/2. Without padding each side loses d(k−1)/2 rows.",
        _resolution,
        "Same field, fewer values",
    ),
    Claim("Rate d puts gaps of d − 1 pixels between the taps.", "true", "Rate 1 is no gap.", _gaps, "Taps with gaps"),
    Claim(
        "The receptive field of a 3 × 3 kernel of rate d is (2d+1) × (2d+1).",
        "true with conditions",
        "For one layer with stride 1 below it. It is the extent, of which 9 pixels are read; layers add up.",
        lambda: stacks({"2": (5, 9), "4": (9, 9), "8": (17, 9), "2 2 2": (13, 49)}),
        "Rates 2, 2, 2",
    ),
    Claim(
        "To see further, stack several layers of the same rate.",
        "omission",
        "Equal rates d > 1 read one pixel in d along each axis, and neighbouring units read different pixels.",
        lambda: stacks({"2 2 2": (13, 49), "4 4 4": (25, 49), "6 12 18": (73, 169), "1 2 5": (17, 289)}),
        "Rates 2, 2, 2",
    ),
    Claim(
        "Rates without a common factor leave no holes.",
        "misleading",
        "A common factor is enough for holes, its absence is not enough against them: every rate must be at most "
        "the receptive field of the smaller ones, so the smallest must be 1.",
        lambda: stacks({"2 3 7": (25, 529), "1 2 9": (25, 441), "1 2 5": (17, 289)}),
        "Rates 2, 3, 7",
    ),
    Claim(
        "Dilation does not move the centre of the receptive field.",
        "wrong",
        "The first centre lies d(k−1)/2 − p from the output's index: at 0 only if the padding keeps the size.",
        _centre,
        "Taps off the edge",
    ),
    Claim(
        "Dilation costs nothing.",
        "true with conditions",
        "No weight more, and no MAC more than at rate 1 on the same map. Against a stride of s it is s² times the "
        "work and memory in this layer and all above it.",
        _cost,
        "Same field, fewer values",
    ),
)
