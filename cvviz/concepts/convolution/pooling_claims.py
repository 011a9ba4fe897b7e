"""Sentences from interview notes, judged by measurements; see ``pooling``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from cvviz.concept import Claim, Evidence, magnitude
from cvviz.concepts.convolution.pooling import CAMERA, errors_of, grey
from cvviz.figures.pooling_shift import TITLES


def _picture() -> Tensor:
    return grey(CAMERA.pixels).float()[None, None] / 255  # [1, 1, 128, 128]


def _invariance() -> Evidence:
    errors = {kind: errors_of(CAMERA, "edges", kind, stride=2).tolist() for kind in TITLES}
    change, two = {kind: found[0][1] for kind, found in errors.items()}, errors["max"][1][2]
    text = (
        "Edges of the cameraman, 2 × 2, stride 2, moved by 1 px: the output changes by {:.2f} of its deviation with "
        "max, {:.2f} with average, {:.2f} with every second pixel, {:.2f} with max and blur; 1.41 is an unrelated map. "
    ).format(*(change[kind] for kind in ("max", "average", "subsample", "blur")))
    text += f"By 2 px the output of max moves by one pixel, exactly to {magnitude(two)}."
    confirms = change["max"] > 0.6 and two < 1e-9 and change["blur"] < change["max"] and change["global"] < 1e-9
    return Evidence(confirms, text)


def _blur() -> Evidence:
    found = [float(errors_of(CAMERA, "edges", "blur", stride=2, taps=taps)[1, 1]) for taps in (1, 2, 3, 5, 7)]
    text = (
        f"Not moved along after a shift by 1 px, with blurs of 1, 2, 3, 5 and 7 taps: {[round(e, 3) for e in found]}."
    )
    return Evidence(found == sorted(found, reverse=True) and found[-1] > 0.01, text)


def _reduction() -> Evidence:
    maps = torch.zeros(1, 64, 112, 112)
    shapes = [tuple(F.max_pool2d(maps, k, s, p).shape[1:]) for k, s, p in ((3, 1, 1), (3, 2, 1), (2, 2, 0))]
    text = "64 maps of 112 × 112: 3 × 3 at stride 1, 3 × 3 at stride 2, 2 × 2 at stride 2 leave {}, {}, {}."
    return Evidence(shapes == [(64, 112, 112), (64, 56, 56), (64, 56, 56)], text.format(*shapes))


def _heads() -> Evidence:
    with torch.device("meta"):
        vgg, resnet = torchvision.models.vgg16(), torchvision.models.resnet50()
    counts = [sum(w.numel() for w in part.parameters()) for part in (vgg.classifier, vgg, resnet.fc, resnet)]
    pooled = sum(w.numel() for w in nn.Linear(512, 1000, device="meta").parameters())
    text = (
        "VGG-16: {:,} of {:,} parameters are the head's, {:,} on a global average. ResNet-50 has one: {:,} of {:,}."
    ).format(*counts[:2], pooled, *counts[2:])
    return Evidence(counts == [123_642_856, 138_357_544, 2_049_000, 25_557_032] and pooled == 513_000, text)


def _gradient() -> Evidence:
    def reached(pool: object, picture: Tensor) -> Tensor:
        leaf = picture.clone().requires_grad_()
        return torch.autograd.grad(pool(leaf).sum(), leaf)[0]  # type: ignore[operator]

    picture, tied = _picture(), torch.ones(1, 1, 2, 2)
    distinct = reached(lambda x: F.max_pool2d(x, 2), picture).count_nonzero() / picture.numel()
    overlap = reached(lambda x: F.max_pool2d(x, 3, 2, 1), picture)
    average = reached(lambda x: F.avg_pool2d(x, 2), picture)
    ties = [reached(pool, tied).flatten().tolist() for pool in (lambda x: F.max_pool2d(x, 2), lambda x: x.amax((2, 3)))]
    text = (
        f"2 × 2 at stride 2: {distinct:.0%} of the cells get a gradient from max, all from average. 3 × 3 at stride 2: "
        f"one cell collects up to {overlap.max():.0f}. Four equal cells: {ties[0]} by max_pool2d, {ties[1]} by amax."
    )
    confirms = bool(distinct == 0.25 and (average == 0.25).all() and overlap.max() > 1)
    return Evidence(confirms and ties == [[1, 0, 0, 0], [0.25] * 4], text)


def _average() -> Evidence:
    maps = torch.randn(1, 3, 13, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernel = torch.full((3, 1, 3, 3), 1 / 9, dtype=torch.float64)
    conv = F.conv2d(maps, kernel, stride=2, padding=1, groups=3)
    same, apart = (
        (conv - F.avg_pool2d(maps, 3, 2, 1, count_include_pad=counted)).abs().max() for counted in (True, False)
    )
    text = (
        f"3 × 3, stride 2, padding 1: they differ by {magnitude(same)}; by {apart:.2f} if the padding is not counted."
    )
    return Evidence(bool(same < 1e-12 and apart > 0.1), text)


def _powers() -> Evidence:
    cells = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    values = [F.lp_pool2d(cells, p, 2).item() for p in (1.0, 2.0, 16.0)]
    rim = F.lp_pool2d(torch.ones(1, 1, 3, 3), 1.0, 2, 2, ceil_mode=True)[0, 0, 1, 1].item()
    signs = F.lp_pool2d(torch.tensor([[[[1.0, -1.0], [0.0, 0.0]]]]), 1.0, 2).item()
    text = (
        "lp_pool2d of 1, 2, 3, 4: {:g} at p = 1 (the mean is 2.5), {:.2f} at 2, {:.2f} at 16 (the largest is 4). With "
        "ceil_mode a window of a single 1 gives {:g}; 1 and −1 give {:g} at p = 1."
    ).format(*values, rim, signs)
    return Evidence(values[0] == 10 and 4 < values[2] < 4.1 and rim == 4 and signs == 0, text)


def _global() -> Evidence:
    picture = _picture()
    kernel = torch.randn(8, 1, 5, 5, generator=torch.Generator().manual_seed(0))

    def features(shown: Tensor, *, circular: bool) -> Tensor:
        padded = F.pad(shown, (2, 2, 2, 2), mode="circular") if circular else F.pad(shown, (2, 2, 2, 2))
        return F.conv2d(padded, kernel).relu().mean((2, 3))

    moved, cut = picture.roll(8, 3), picture[..., 8:]
    wrapped = (features(moved, circular=True) - features(picture, circular=True)).norm()
    entered = (features(cut, circular=False) - features(picture[..., :-8], circular=False)).norm()
    scale = features(picture, circular=True).norm()
    text = (
        f"Random 5 × 5 filters, ReLU, global average, moved by 8 px: without edges the features change by "
        f"{magnitude(float(wrapped / scale))}, in a frame that new columns enter by {float(entered / scale):.1%}."
    )
    return Evidence(bool(wrapped / scale < 1e-5 and entered / scale > 0.01), text)


def _padding() -> Evidence:
    maps = -torch.ones(1, 1, 4, 4)
    built_in, zeros = F.max_pool2d(maps, 3, 2, 1), F.max_pool2d(F.pad(maps, (1, 1, 1, 1)), 3, 2)
    corners = [float(pooled[0, 0, 0, 0]) for pooled in (built_in, zeros)]
    text = "A map of −1, 3 × 3 with padding 1: its corner is {:g}; padded with zeros by hand it is {:g}."
    return Evidence(corners == [-1, 0], text.format(*corners))


CLAIMS = (
    Claim(
        "Max pooling gives spatial invariance.",
        "misleading",
        "It tolerates moves that stay inside a window. A shift by one pixel changes the output of a real map three "
        "quarters as much as it changes every second pixel; only multiples of the stride move it exactly along.",
        _invariance,
        "One pixel of a real map",
    ),
    Claim(
        "Anti-aliased pooling makes a network shift-invariant.",
        "misleading",
        "A blur before the stride takes away most of what a shift breaks, not all of it: max itself makes new high "
        "frequencies, and no short blur removes them fully.",
        _blur,
        "Blur before the stride",
    ),
    Claim(
        "Max pooling does dimensionality reduction.",
        "true with conditions",
        "Its stride does, in height and width. At stride 1 nothing is reduced; channels are never touched.",
        _reduction,
        "No stride, no reduction",
    ),
    Claim(
        "Global average pooling replaces the fully connected layers.",
        "true with conditions",
        "It replaces flattening. One fully connected layer stays, with a weight per channel and class instead of per "
        "channel, place and class.",
        _heads,
        "The head of VGG-16",
    ),
    Claim(
        "Pooling has no parameters, and only the maximum gets the gradient.",
        "true with conditions",
        "So it is for max with distinct values; where windows overlap a cell adds up what each gives. Of equal values "
        "max_pool2d picks the first. An average shares its gradient out evenly.",
        _gradient,
        "Overlap, as in ResNet",
    ),
    Claim(
        "Average pooling is a convolution with a constant kernel.",
        "true with conditions",
        "A depthwise one, with weights 1/k², as long as the padding's zeros are counted.",
        _average,
        "Zeros in the average",
    ),
    Claim(
        "Lp pooling leads from the average (p = 1) to the maximum (p = ∞).",
        "misleading",
        "The power mean does (GeM). Lp pooling is a norm: p = 1 is the sum, k² times the average.",
        _powers,
        "p = 1 is the sum",
    ),
    Claim(
        "With a global average at its end a network is invariant to translation.",
        "true with conditions",
        "If all below it is equivariant (stride 1) and nothing enters or leaves the frame. Strides and edges break it.",
        _global,
    ),
    Claim(
        "Padding adds zeros.",
        "true with conditions",
        "To convolutions and averages. Max pooling is padded with −∞, or a zero would win over negative values.",
        _padding,
        "Overlap, as in ResNet",
    ),
)
