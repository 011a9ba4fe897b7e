import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

import cvviz.ops.anchor_coverage
from cvviz.ops.anchor_coverage import best_anchor_iou
from cvviz.ops.anchors import anchor_grid
from cvviz.ops.boxes import box_iou


def random_boxes(count, seed, extent):
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 1.4 * extent - 0.2 * extent
    side = 1 + torch.rand(count, 2, generator=generator, dtype=torch.float64) * extent
    return torch.cat([center - side / 2, center + side / 2], dim=1)


def test_doctest():
    assert doctest.testmod(cvviz.ops.anchor_coverage).failed == 0


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from([(8,), (8, 16), (4, 32)]),
    st.sampled_from([0.0, 0.5]),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_equals_the_best_of_the_whole_grid(seed, image_size, strides, offset, rounded):
    layout = {
        "strides": strides,
        "sizes": [[2.5 * stride, 3.7 * stride] for stride in strides],
        "ratios": [0.5, 1, 2.2],
        "offset": offset,
        "rounded": rounded,
    }
    boxes = random_boxes(20, seed, max(image_size))
    grid = torch.cat(anchor_grid(image_size, dtype=torch.float64, **layout))
    assert_close(best_anchor_iou(boxes, image_size, **layout), box_iou(boxes, grid).amax(dim=1))


@pytest.mark.parametrize("per_octave", [1, 2, 3])
def test_between_two_sizes_of_an_octave(per_octave):
    # Same centre and shape, and a side halfway between two neighbours on a scale of ratios: the areas differ by a
    # factor of 2 ** (1 / n), so IoU is its inverse.
    side = 32 * 2 ** (1 / (2 * per_octave))
    box = torch.tensor([[-side, -side, side, side]], dtype=torch.float64) / 2
    sizes = [[32 * 2 ** (step / per_octave) for step in range(-1, 2)]]
    iou = best_anchor_iou(box, (64, 64), strides=[8], sizes=sizes, ratios=[1], rounded=False)
    assert_close(iou, torch.tensor([2 ** (-1 / per_octave)], dtype=torch.float64))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_as_far_from_a_centre_as_can_be(scale):
    # Half a stride off on both axes: a share of (1 - 1 / 2k)^2 is common, of two boxes of k strides.
    side = 8.0 * scale
    center = 20.0
    box = torch.tensor([[center - side / 2] * 2 + [center + side / 2] * 2], dtype=torch.float64)
    shared = (1 - 1 / (2 * scale)) ** 2
    iou = best_anchor_iou(box, (64, 64), strides=[8], sizes=[[side]], ratios=[1], rounded=False)
    assert_close(iou, torch.tensor([shared / (2 - shared)], dtype=torch.float64))


def test_empty():
    assert best_anchor_iou(torch.zeros(0, 4), (8, 8), strides=[8], sizes=[[8]], ratios=[1]).shape == (0,)


def test_a_box_between_the_anchors():
    box = torch.tensor([[20.0, 20.0, 24.0, 24.0]])
    assert best_anchor_iou(box, (64, 64), strides=[32], sizes=[[16]], ratios=[1]).tolist() == [0]
    assert math.isclose(
        float(best_anchor_iou(box, (64, 64), strides=[32], sizes=[[16]], ratios=[1], offset=0.5)), 1 / 16
    )


def test_exception():
    layout = {"image_size": (8, 8), "strides": [8], "sizes": [[8]], "ratios": [1]}
    with pytest.raises(ValueError, match=r"boxes must have shape \(N, 4\), got \(2, 3\)\."):
        best_anchor_iou(torch.zeros(2, 3), **layout)
    with pytest.raises(TypeError, match=r"boxes must have a floating-point dtype, got torch.int64\."):
        best_anchor_iou(torch.zeros(2, 4).long(), **layout)
    with pytest.raises(ValueError, match=r"sizes must have one entry per stride, got 1 for 2 strides\."):
        best_anchor_iou(torch.zeros(2, 4), **layout | {"strides": [8, 16]})
