import doctest
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torchvision.models.detection._utils import BoxCoder, BoxLinearCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.image_list import ImageList

import cvviz.ops.anchors
from cvviz.ops.anchors import (
    IGNORED,
    NEGATIVE,
    anchor_grid,
    center_sampling,
    decode_boxes,
    encode_boxes,
    match_anchors,
)
from cvviz.ops.boxes import box_area, box_iou


def random_boxes(count, seed, dtype=torch.float32, extent=100.0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=dtype) * extent
    side = torch.rand(count, 2, generator=generator, dtype=dtype) * extent / 2 + 1
    return torch.cat([corner, corner + side], dim=1)


def torchvision_grid(image_size, strides, sizes, ratios):
    maps = [torch.zeros(1, 1, -(-image_size[0] // s), -(-image_size[1] // s)) for s in strides]
    images = ImageList(torch.zeros(1, 3, *image_size), [image_size])
    generator = AnchorGenerator(tuple(map(tuple, sizes)), (tuple(ratios),) * len(sizes))
    return generator(images, maps)[0]


def torchvision_points(boxes, image_size, strides, radius):
    """The matches of torchvision's FCOS: the part of its loss that hands them to the head."""
    levels = anchor_grid(image_size, strides=strides, sizes=[[s] for s in strides], ratios=[1])
    model = SimpleNamespace(
        center_sampling_radius=radius, head=SimpleNamespace(compute_loss=lambda targets, outputs, anchors, found: found)
    )
    (matches,) = FCOS.compute_loss(model, [{"boxes": boxes}], {}, [torch.cat(levels)], [len(each) for each in levels])
    return matches


def fcos_ranges(strides):
    return [
        (0 if place == 0 else 4 * s, math.inf if place == len(strides) - 1 else 8 * s)
        for place, s in enumerate(strides)
    ]


def test_doctest():
    assert doctest.testmod(cvviz.ops.anchors).failed == 0


class TestAnchorGrid:
    def test_centres_are_multiples_of_the_stride(self):
        (grid,) = anchor_grid((16, 24), strides=[8], sizes=[[4]], ratios=[1])
        # 2 rows of 3 cells, row by row; the first centre is the corner of the image
        assert ((grid[:, :2] + grid[:, 2:]) / 2).tolist() == [[0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8]]

    def test_offset_half_is_the_middle_of_the_cell(self):
        (grid,) = anchor_grid((8, 8), strides=[8], sizes=[[8]], ratios=[1], offset=0.5)
        assert grid.tolist() == [[0, 0, 8, 8]]

    def test_order_of_the_anchors_of_a_cell_is_ratio_then_size(self):
        (grid,) = anchor_grid((1, 1), strides=[1], sizes=[[8, 16]], ratios=[1, 4])
        sides = grid[:, 2:] - grid[:, :2]
        # ratio 4 = half the width and twice the height of the square
        assert sides.tolist() == [[8, 8], [16, 16], [4, 16], [8, 32]]

    def test_a_map_has_as_many_cells_as_strides_that_have_begun(self):
        levels = anchor_grid((17, 16), strides=[8, 16], sizes=[[8], [16]], ratios=[1])
        assert [len(level) for level in levels] == [3 * 2, 2 * 1]

    def test_rounding_is_to_the_even_half(self):
        (grid,) = anchor_grid((1, 1), strides=[1], sizes=[[5, 7]], ratios=[1])
        assert grid.tolist() == [[-2, -2, 2, 2], [-4, -4, 4, 4]]  # 2.5 -> 2, 3.5 -> 4

    def test_a_size_of_one_is_rounded_away(self):
        (grid,) = anchor_grid((1, 1), strides=[1], sizes=[[1]], ratios=[1])
        assert box_area(grid).tolist() == [0]

    def test_area_and_ratio_are_exact_unless_rounded(self):
        (grid,) = anchor_grid((1, 1), strides=[1], sizes=[[10]], ratios=[0.3, 2.7], rounded=False, dtype=torch.float64)
        width, height = (grid[:, 2:] - grid[:, :2]).unbind(1)
        assert_close(width * height, torch.full((2,), 100.0, dtype=torch.float64))
        assert_close(height / width, torch.tensor([0.3, 2.7], dtype=torch.float64))

    @pytest.mark.parametrize("image_size", [(64, 64), (96, 160), (160, 32)])
    @pytest.mark.parametrize("ratios", [(1,), (0.5, 1, 2), (0.33, 3)])
    def test_equals_torchvision(self, image_size, ratios):
        strides, sizes = [8, 16, 32], [[11, 23.5], [40, 50.3], [64, 99]]
        ours = torch.cat(anchor_grid(image_size, strides=strides, sizes=sizes, ratios=ratios))
        assert torch.equal(ours, torchvision_grid(image_size, strides, sizes, ratios))

    def test_does_not_drift_where_the_stride_does_not_divide_the_image(self):
        settings_ = {"strides": [16], "sizes": [[16]], "ratios": [1]}
        (ours,) = anchor_grid((17, 17), **settings_)
        assert ours[-1].tolist() == [8, 8, 24, 24]  # about (16, 16)
        # torchvision: 17 px on 2 cells = a stride of 8
        assert torchvision_grid((17, 17), *settings_.values())[-1].tolist() == [0, 0, 16, 16]

    def test_the_number_of_anchors_of_a_known_detector(self):
        # Faster R-CNN with FPN at 800 x 800: 3 (200^2 + 100^2 + 50^2 + 25^2 + 13^2)
        grid = anchor_grid(
            (800, 800), strides=[4, 8, 16, 32, 64], sizes=[[32 * 2**k] for k in range(5)], ratios=[0.5, 1, 2]
        )
        assert sum(map(len, grid)) == 159882

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"image_size": (0, 8)}, ValueError, r"image_size must be at least 1 by 1, got 0 by 8\."),
            (
                {"strides": [], "sizes": []},
                ValueError,
                r"strides must be one or more numbers of at least 1, got \[\]\.",
            ),
            ({"strides": [0]}, ValueError, r"strides must be one or more numbers of at least 1, got \[0\]\."),
            ({"sizes": [[8], [8]]}, ValueError, r"sizes must have one entry per stride, got 2 for 1 strides\."),
            ({"sizes": [[]]}, ValueError, r"sizes and ratios must not be empty\."),
            ({"ratios": []}, ValueError, r"sizes and ratios must not be empty\."),
            ({"sizes": [[-1]]}, ValueError, r"size must be positive, got -1\."),
            ({"ratios": [0]}, ValueError, r"ratio must be positive, got 0\."),
            ({"offset": 2}, ValueError, r"offset must lie in \[0, 1\], got 2\."),
            ({"dtype": torch.long}, TypeError, r"dtype must be a floating-point dtype, got torch.int64\."),
        ],
    )
    def test_exception(self, change, error, message):
        with pytest.raises(error, match=message):
            anchor_grid(**{"image_size": (8, 8), "strides": [8], "sizes": [[8]], "ratios": [1]} | change)


@st.composite
def coarse_iou(draw):
    """Few distinct values, so that ties and values at a threshold are common."""
    boxes, anchors = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    values = st.sampled_from((0.0, 0.25, 0.5, 0.75, 1.0))
    return torch.tensor([[draw(values) for _ in range(anchors)] for _ in range(boxes)])


class TestMatchAnchors:
    def test_thresholds_belong_to_the_upper_side(self):
        iou = torch.tensor([[0.7, 0.69, 0.3, 0.29]], dtype=torch.float64)
        assert match_anchors(iou, high=0.7, low=0.3, best_match=False).tolist() == [0, IGNORED, IGNORED, NEGATIVE]

    def test_best_match_rescues_every_anchor_of_the_highest_iou(self):
        iou = torch.tensor([[0.2, 0.4, 0.4]])
        assert match_anchors(iou, high=0.7, low=0.3, best_match=False).tolist() == [-1, -2, -2]
        assert match_anchors(iou, high=0.7, low=0.3).tolist() == [-1, 0, 0]

    def test_a_box_whose_best_anchor_prefers_another_goes_without(self):
        # The only anchor is the best of both boxes, and belongs to the one that it overlaps most.
        assert match_anchors(torch.tensor([[0.4], [0.9]]), high=0.7, low=0.3).tolist() == [1]

    def test_a_box_that_no_anchor_touches_makes_every_anchor_positive(self):
        iou = torch.tensor([[0.0, 0.0, 0.0], [0.8, 0.1, 0.0]])
        assert match_anchors(iou, high=0.7, low=0.3).tolist() == [1, 1, 0]
        assert match_anchors(iou, high=0.7, low=0.3).equal(Matcher(0.7, 0.3, True)(iou))

    @given(coarse_iou(), st.sampled_from([(0.75, 0.25), (0.5, 0.5), (1.0, 0.0), (0.6, 0.4)]), st.booleans())
    @settings(max_examples=200, deadline=None)
    def test_equals_torchvision(self, iou, thresholds, best_match):
        high, low = thresholds
        before = iou.clone()
        ours = match_anchors(iou, high=high, low=low, best_match=best_match)
        assert torch.equal(iou, before)
        assert torch.equal(ours, Matcher(high, low, best_match)(iou))

    def test_equals_torchvision_on_a_grid(self):
        anchors = torch.cat(anchor_grid((64, 64), strides=[8, 16], sizes=[[12], [30]], ratios=[0.5, 1, 2]))
        iou = box_iou(random_boxes(5, seed=0, extent=50.0), anchors)
        for best_match in (False, True):
            assert torch.equal(
                match_anchors(iou, high=0.5, low=0.4, best_match=best_match), Matcher(0.5, 0.4, best_match)(iou)
            )

    def test_empty(self):
        assert match_anchors(torch.zeros(0, 3), high=0.5, low=0.4).tolist() == [-1, -1, -1]
        assert match_anchors(torch.zeros(2, 0), high=0.5, low=0.4).shape == (0,)

    @pytest.mark.parametrize(
        ("iou", "high", "low", "error", "message"),
        [
            ([[0.5]], 0.5, 0.4, TypeError, r"iou must be a Tensor, got list\."),
            (torch.zeros(2, 3).long(), 0.5, 0.4, TypeError, r"iou must have a floating-point dtype, got torch.int64\."),
            (torch.zeros(3), 0.5, 0.4, ValueError, r"iou must have shape \(M, A\), got \(3,\)\."),
            (torch.zeros(2, 3), 1.5, 0.4, ValueError, r"high must lie in \[0, 1\], got 1.5\."),
            (torch.zeros(2, 3), 0.5, 0.6, ValueError, r"low must lie in \[0, 0.5\], got 0.6\."),
        ],
    )
    def test_exception(self, iou, high, low, error, message):
        with pytest.raises(error, match=message):
            match_anchors(iou, high=high, low=low)


CODER = pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0), (1.0, 2.0, 3.0, 4.0)])


class TestCoder:
    def test_hand_derived(self):
        box, anchor = torch.tensor([[10.0, 10.0, 20.0, 40.0]]), torch.tensor([[0.0, 0.0, 20.0, 10.0]])
        # centres (15, 25) and (10, 5): 5/20 and 20/10; sides 10, 30 on 20, 10
        expected = torch.tensor([[0.25, 2.0, math.log(1 / 2), math.log(3)]])
        assert_close(encode_boxes(box, anchor), expected)

    def test_zero_leaves_the_anchor(self):
        anchors = random_boxes(4, seed=1)
        assert_close(decode_boxes(torch.zeros(4, 4), anchors), anchors)
        assert encode_boxes(anchors, anchors).eq(0).all()

    def test_no_unit(self):
        boxes, anchors = random_boxes(4, seed=1), random_boxes(4, seed=2)
        assert_close(encode_boxes(3 * boxes + 7, 3 * anchors + 7), encode_boxes(boxes, anchors), rtol=1e-4, atol=1e-4)

    @CODER
    def test_decode_undoes_encode(self, weights):
        boxes, anchors = (random_boxes(50, seed=seed, dtype=torch.float64) for seed in (1, 2))
        assert_close(decode_boxes(encode_boxes(boxes, anchors, weights=weights), anchors, weights=weights), boxes)

    @CODER
    def test_equals_torchvision(self, weights):
        boxes, anchors = (random_boxes(50, seed=seed) for seed in (1, 2))
        coder = BoxCoder(weights)
        deltas = encode_boxes(boxes, anchors, weights=weights)
        assert_close(deltas, coder.encode_single(boxes, anchors))
        wild = 20 * deltas  # beyond the clip in both directions
        assert_close(decode_boxes(wild, anchors, weights=weights), coder.decode_single(wild, anchors))

    def test_clip_stops_growth_and_gradient(self):
        anchor = torch.tensor([[0.0, 0.0, 16.0, 16.0]], dtype=torch.float64)
        deltas = torch.tensor([[0.0, 0.0, 50.0, 0.0]], dtype=torch.float64, requires_grad=True)
        x1, _, x2, _ = decode_boxes(deltas, anchor)[0]
        assert_close(x2 - x1, torch.tensor(1000.0, dtype=torch.float64))
        (gradient,) = torch.autograd.grad(x2, deltas)
        assert gradient.tolist() == [[16, 0, 0, 0]]

    def test_gradcheck(self):
        boxes, anchors = (random_boxes(3, seed=seed, dtype=torch.float64).requires_grad_() for seed in (1, 2))
        weights = (10.0, 10.0, 5.0, 5.0)
        assert torch.autograd.gradcheck(lambda *pair: encode_boxes(*pair, weights=weights), (boxes, anchors))
        deltas = encode_boxes(boxes, anchors).detach().requires_grad_()
        assert torch.autograd.gradcheck(lambda *pair: decode_boxes(*pair, weights=weights), (deltas, anchors))

    def test_empty_and_flat(self):
        none = torch.zeros(0, 4)
        assert encode_boxes(none, none).shape == decode_boxes(none, none).shape == (0, 4)
        flat = encode_boxes(torch.tensor([[0.0, 0.0, 0.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
        assert flat[0, 2] == -math.inf

    @pytest.mark.parametrize(("function", "name"), [(encode_boxes, "boxes"), (decode_boxes, "deltas")])
    def test_exception(self, function, name):
        one = torch.ones(1, 4)
        with pytest.raises(TypeError, match=rf"{name} must be a Tensor, got list\."):
            function([[0, 0, 1, 1]], one)
        with pytest.raises(TypeError, match=r"anchors must have a floating-point dtype, got torch.int64\."):
            function(one, one.long())
        with pytest.raises(ValueError, match=rf"{name} must have shape \(N, 4\), got \(1, 3\)\."):
            function(one[:, :3], one)
        with pytest.raises(
            ValueError, match=rf"{name} and anchors must have the same shape, got \(1, 4\) and \(2, 4\)\."
        ):
            function(one, one.repeat(2, 1))
        with pytest.raises(ValueError, match=r"weight must be positive, got 0\."):
            function(one, one, weights=(1.0, 1.0, 0.0, 1.0))


class TestCenterSampling:
    def test_a_point_takes_the_smallest_of_two_boxes(self):
        boxes = torch.tensor([[0.0, 0.0, 20.0, 20.0], [6.0, 6.0, 13.0, 13.0]])
        targets = center_sampling(boxes, (24, 24), strides=[8], ranges=[(0, 64)], radius=1.0)
        hit = (targets.matches >= 0).nonzero().flatten()
        # Points 8 and 16 on each axis are inside the large box and within 8 px of its centre 10; only (8, 8) is inside
        # the small one.
        assert targets.points[hit].tolist() == [[8, 8], [16, 8], [8, 16], [16, 16]]
        assert targets.matches[hit].tolist() == [1, 0, 0, 0]
        assert targets.candidates[hit].tolist() == [2, 1, 1, 1]
        assert targets.ltrb[hit[:2]].tolist() == [[2, 2, 5, 5], [16, 8, 4, 12]]

    def test_every_bound_is_strict(self):
        def matches(box, **options):
            box = torch.tensor([box], dtype=torch.float64)
            return center_sampling(box, (1, 1), strides=[8], **{"ranges": [(0, 64)], "radius": 9.0} | options).matches

        assert matches([0.0, -4.0, 8.0, 4.0]).tolist() == [-1]  # the point (0, 0) lies on the left edge
        assert matches([-1.0, -4.0, 7.0, 4.0]).tolist() == [0]
        assert matches([-4.0, -4.0, 12.0, 4.0], radius=0.5).tolist() == [-1]  # 4 px from the centre = half a stride
        assert matches([-4.0, -4.0, 8.0, 4.0], ranges=[(0, 8)]).tolist() == [-1]  # 8 px to the right edge
        assert matches([-4.0, -4.0, 8.0, 4.0], ranges=[(8, 16)]).tolist() == [-1]  # and in neither level
        assert matches([-4.0, -4.0, 8.0, 4.0], ranges=[(7, 9)]).tolist() == [0]

    def test_centerness(self):
        box = torch.tensor([[-4.0, -9.0, 4.0, 1.0]])
        targets = center_sampling(box, (1, 1), strides=[8], ranges=[(0, 64)])
        assert_close(targets.centerness, torch.tensor([1 / 3]))  # sqrt(4/4 x 1/9)

    @given(st.integers(0, 10**6), st.sampled_from([(8, 16, 32), (4, 8), (16,)]), st.sampled_from([0.7, 1.5, 4.0]))
    @settings(max_examples=60, deadline=None)
    def test_equals_torchvision(self, seed, strides, radius):
        generator = torch.Generator().manual_seed(seed)
        corner = torch.randint(0, 50, (6, 2), generator=generator)
        side = torch.randint(1, 60, (6, 2), generator=generator)
        boxes = torch.cat([corner, corner + side], dim=1).float()
        # torchvision tells areas apart from 8 square px on: a multiple of 4 on both sides gives steps of 16. A
        # quarter, exact in float32, keeps the edges off the points.
        boxes = (boxes / 4).ceil() * 4 + 0.25
        size = (64, 96)
        ours = center_sampling(boxes, size, strides=strides, ranges=fcos_ranges(strides), radius=radius)
        assert torch.equal(ours.matches, torchvision_points(boxes, size, strides, radius))
        hit = ours.matches >= 0
        wanted = boxes[ours.matches[hit]]
        cells = ours.points[hit].repeat(1, 2)
        assert_close(ours.ltrb[hit], BoxLinearCoder(normalize_by_size=False).encode(cells, wanted))
        assert (ours.ltrb[~hit] == 0).all() and (ours.centerness[~hit] == 0).all()
        assert ((ours.centerness >= 0) & (ours.centerness <= 1)).all()
        assert torch.equal(hit, ours.candidates > 0)

    def test_levels_and_offset(self):
        targets = center_sampling(
            torch.zeros(0, 4), (16, 16), strides=[8, 16], ranges=[(0, 64), (64, math.inf)], offset=0.5
        )
        assert targets.points.tolist() == [[4, 4], [12, 4], [4, 12], [12, 12], [8, 8]]
        assert targets.levels.tolist() == [0, 0, 0, 0, 1]
        assert targets.matches.tolist() == [-1] * 5
        assert targets.candidates.tolist() == [0] * 5
        assert targets.ltrb.shape == (5, 4) and targets.centerness.tolist() == [0] * 5

    def test_a_box_without_area_is_nobodys(self):
        targets = center_sampling(torch.tensor([[8.0, 8.0, 8.0, 8.0]]), (16, 16), strides=[8], ranges=[(0, 64)])
        assert targets.matches.tolist() == [-1] * 4
        assert not targets.centerness.isnan().any()

    def test_areas_closer_than_torchvision_can_tell(self):
        boxes = torch.tensor([[1.0, 1.0, 21.1, 21.0], [1.0, 1.0, 21.0, 21.0]])  # 402 and 400 square px
        ours = center_sampling(boxes, (64, 64), strides=[16], ranges=[(0, math.inf)])
        assert ours.matches.max() == 1
        assert torchvision_points(boxes, (64, 64), [16], 1.5).max() == 0

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"boxes": torch.zeros(2, 3)}, ValueError, r"boxes must have shape \(N, 4\), got \(2, 3\)\."),
            ({"boxes": torch.zeros(2, 4).long()}, TypeError, r"boxes must have a floating-point dtype"),
            ({"image_size": (8, 0)}, ValueError, r"image_size must be at least 1 by 1, got 8 by 0\."),
            ({"strides": [8, 16]}, ValueError, r"ranges must have one entry per stride, got 1 for 2 strides\."),
            ({"radius": 0}, ValueError, r"radius must be positive, got 0\."),
            ({"offset": -1}, ValueError, r"offset must lie in \[0, 1\], got -1\."),
        ],
    )
    def test_exception(self, change, error, message):
        options = {"boxes": torch.zeros(2, 4), "image_size": (8, 8), "strides": [8], "ranges": [(0, 64)]} | change
        with pytest.raises(error, match=message):
            center_sampling(options.pop("boxes"), options.pop("image_size"), **options)
