import doctest
import math

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from cvviz.ops import boxes as ops
from cvviz.ops.boxes import (
    box_area,
    box_iou,
    box_terms,
    complete_box_iou,
    distance_box_iou,
    generalized_box_iou,
)

PAIRS = {
    box_iou: torchvision.ops.box_iou,
    generalized_box_iou: torchvision.ops.generalized_box_iou,
    distance_box_iou: torchvision.ops.distance_box_iou,
    complete_box_iou: torchvision.ops.complete_box_iou,
}
LOSSES = {
    generalized_box_iou: torchvision.ops.generalized_box_iou_loss,
    distance_box_iou: torchvision.ops.distance_box_iou_loss,
    complete_box_iou: torchvision.ops.complete_box_iou_loss,
}
MEASURES = pytest.mark.parametrize("measure", PAIRS, ids=lambda measure: measure.__name__)
ORDERED = (box_iou, generalized_box_iou, distance_box_iou, complete_box_iou)


def box(*corners):
    return torch.tensor([corners], dtype=torch.float64)


def random_boxes(count, seed, dtype=torch.float64, extent=100.0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * extent
    side = 1 + torch.rand(count, 2, generator=generator, dtype=torch.float64) * extent / 2
    return torch.cat([corner, corner + side], dim=1).to(dtype)


def slope(measure, prediction, target):
    prediction = prediction.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((1 - measure(prediction, target)).sum(), prediction)
    return gradient


def sides(low, high):
    return st.integers(low, high).map(float)


@st.composite
def any_box(draw):
    x, y = draw(sides(-50, 50)), draw(sides(-50, 50))
    return box(x, y, x + draw(sides(1, 60)), y + draw(sides(1, 60)))


def test_doctest():
    assert doctest.testmod(ops).failed == 0


class TestHandDerived:
    @pytest.mark.parametrize(
        ("boxes1", "boxes2", "expected"),
        [
            # Quarter-size box about the same centre and of the same shape: only IoU = 1/4 is left of every measure.
            (box(0, 0, 4, 4), box(1, 1, 3, 3), (1 / 4, 1 / 4, 1 / 4, 1 / 4)),
            # The same in a corner: still C = U, but centres sqrt(2) apart in a diagonal of sqrt(32): rho^2/c^2 = 1/16.
            (box(0, 0, 4, 4), box(0, 0, 2, 2), (1 / 4, 1 / 4, 1 / 4 - 1 / 16, 1 / 4 - 1 / 16)),
            # Each covers half of the other: 2 of 6 cells. C = U, rho^2/c^2 = 1/(9 + 4).
            (box(0, 0, 2, 2), box(1, 0, 3, 2), (1 / 3, 1 / 3, 1 / 3 - 1 / 13, 1 / 3 - 1 / 13)),
            # Half over and half down: 1 of 7 cells, C = 9, rho^2/c^2 = 2/18.
            (box(0, 0, 2, 2), box(1, 1, 3, 3), (1 / 7, 1 / 7 - 2 / 9, 1 / 7 - 1 / 9, 1 / 7 - 1 / 9)),
            # Apart by one side, in a row: C = 3, U = 2, rho^2/c^2 = 4/(9 + 1).
            (box(0, 0, 1, 1), box(2, 0, 3, 1), (0, -1 / 3, -4 / 10, -4 / 10)),
            # Touching: nothing shared, C = U, rho^2/c^2 = 1/(4 + 1).
            (box(0, 0, 1, 1), box(1, 0, 2, 1), (0, 0, -1 / 5, -1 / 5)),
        ],
    )
    def test_values(self, boxes1, boxes2, expected):
        for measure, value in zip(ORDERED, expected, strict=True):
            assert_close(measure(boxes1, boxes2), torch.tensor([[value]], dtype=torch.float64), rtol=0, atol=1e-7)

    def test_equal_boxes_have_one_everywhere(self):
        for measure in ORDERED:
            assert measure(box(1, 2, 5, 9), box(1, 2, 5, 9)).item() == 1

    def test_shape_term_is_the_squared_angle_between_diagonals(self):
        # Diagonals at 45 and at 30 degrees to the vertical: 15 of 90 degrees.
        wide, narrow = box(0, 0, 1, 1), box(0, 0, 1, math.sqrt(3))
        assert box_terms(wide, narrow).aspect.item() == pytest.approx((15 / 90) ** 2)

    def test_shape_term_is_blind_to_size(self):
        assert box_terms(box(0, 0, 2, 1), box(0, 0, 20, 10)).aspect.item() == 0

    def test_terms(self):
        terms = box_terms(box(0, 0, 4, 2), box(3, 1, 5, 7))
        assert terms.intersection.item() == 1  # x 3..4, y 1..2
        assert terms.union.item() == 8 + 12 - 1
        assert terms.enclosing.item() == 5 * 7
        assert terms.center_distance2.item() == 2**2 + 3**2  # (2, 1) to (4, 4)
        assert terms.diagonal2.item() == 5**2 + 7**2

    def test_area(self):
        assert_close(box_area(torch.tensor([[0.0, 0.0, 4.0, 3.0], [1.0, 1.0, 1.0, 5.0]])), torch.tensor([12.0, 0.0]))


class TestAgainstTorchvision:
    @MEASURES
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.int64, torch.uint8])
    def test_values(self, measure, dtype):
        boxes1, boxes2 = random_boxes(40, 0, dtype), random_boxes(25, 1, dtype)
        # torchvision subtracts corners in the narrow dtype: uint8 wraps around and float16 rounds.
        wide = dtype if dtype in (torch.float32, torch.float64, torch.int64) else torch.float32
        expected = PAIRS[measure](boxes1.to(wide), boxes2.to(wide))
        assert_close(measure(boxes1, boxes2), expected, rtol=0, atol=1e-12 if dtype == torch.float64 else 1e-5)

    @MEASURES
    def test_gradients(self, measure):
        prediction, target = random_boxes(40, 2), random_boxes(25, 3)
        assert_close(slope(measure, prediction, target), slope(PAIRS[measure], prediction, target))

    @pytest.mark.parametrize("measure", LOSSES, ids=lambda measure: measure.__name__)
    def test_gradients_of_the_losses_that_networks_are_trained_with(self, measure):
        prediction, target = random_boxes(200, 4), random_boxes(200, 5)
        expected = prediction.clone().requires_grad_()
        LOSSES[measure](expected, target).sum().backward()
        actual = prediction.clone().requires_grad_()
        (1 - measure(actual, target)).diagonal().sum().backward()
        assert_close(actual.grad, expected.grad, rtol=1e-6, atol=1e-9)

    @MEASURES
    def test_degenerate_boxes(self, measure):
        line, point, square = box(0, 0, 0, 2), box(1, 1, 1, 1), box(0, 0, 2, 2)
        for boxes1, boxes2 in ((line, square), (point, square), (line, point), (line, line)):
            assert_close(measure(boxes1, boxes2), PAIRS[measure](boxes1, boxes2), equal_nan=True)

    def test_area(self):
        boxes = random_boxes(20, 6)
        assert_close(box_area(boxes), torchvision.ops.box_area(boxes))


class TestLaws:
    @settings(max_examples=200, deadline=None)
    @given(any_box(), any_box())
    def test_bounds_order_and_symmetry(self, first, second):
        iou, giou, diou, ciou = (measure(first, second).item() for measure in ORDERED)
        assert 0 <= iou <= 1
        assert -1 < giou <= iou + 1e-12
        assert -1.5 < ciou <= diou <= iou
        assert diou > -1
        for measure in ORDERED:
            assert_close(measure(first, second), measure(second, first).T)

    @MEASURES
    def test_zoom_and_shift_change_nothing(self, measure):
        boxes1, boxes2 = random_boxes(20, 7), random_boxes(20, 8)
        moved = [10 * boxes + torch.tensor([30.0, -7.0, 30.0, -7.0]) for boxes in (boxes1, boxes2)]
        assert_close(measure(*moved), measure(boxes1, boxes2), rtol=0, atol=1e-9)

    @MEASURES
    def test_zoom_divides_the_gradient(self, measure):
        prediction, target = random_boxes(20, 9), random_boxes(20, 10)
        zoomed = slope(measure, 10 * prediction, 10 * target)
        assert_close(10 * zoomed, slope(measure, prediction, target), rtol=1e-5, atol=0)

    @MEASURES
    def test_matrix_equals_pair_by_pair(self, measure):
        boxes1, boxes2 = random_boxes(5, 11), random_boxes(4, 12)
        rows = [[measure(a[None], b[None]).item() for b in boxes2] for a in boxes1]
        assert_close(measure(boxes1, boxes2), torch.tensor(rows, dtype=torch.float64))

    def test_nested_boxes_have_one_giou_and_iou(self):
        outer = box(0, 0, 10, 10)
        inner = torch.cat([box(x, 4, x + 3, 6) for x in (0, 1, 3)])
        assert_close(generalized_box_iou(inner, outer), box_iou(inner, outer))
        assert distance_box_iou(inner, outer).unique().numel() == 3

    @MEASURES
    def test_arguments_are_left_as_they_are(self, measure):
        boxes1, boxes2 = random_boxes(3, 13), random_boxes(3, 14)
        before = boxes1.clone(), boxes2.clone()
        measure(boxes1, boxes2)
        assert torch.equal(boxes1, before[0])
        assert torch.equal(boxes2, before[1])


class TestGradients:
    @pytest.mark.parametrize("measure", [box_iou, generalized_box_iou, distance_box_iou])
    def test_gradcheck(self, measure):
        boxes1, boxes2 = random_boxes(4, 15).requires_grad_(), random_boxes(3, 16).requires_grad_()
        assert torch.autograd.gradcheck(measure, (boxes1, boxes2))

    def test_gradcheck_of_terms_and_area(self):
        boxes1, boxes2 = random_boxes(4, 17).requires_grad_(), random_boxes(3, 18).requires_grad_()
        assert torch.autograd.gradcheck(lambda a, b: box_terms(a, b).aspect, (boxes1, boxes2))
        assert torch.autograd.gradcheck(box_area, (boxes1,))

    def test_no_gradient_through_alpha(self):
        prediction, target = box(0, 0, 4, 2), box(1, 0, 3, 5)
        terms = box_terms(prediction, target)
        iou = terms.intersection / terms.union
        alpha = terms.aspect / (1 - iou + terms.aspect)
        shape = slope(lambda a, b: 1 - alpha * box_terms(a, b).aspect, prediction, target)
        expected = slope(distance_box_iou, prediction, target) + shape
        assert_close(slope(complete_box_iou, prediction, target), expected)

    def test_disjoint_boxes_have_no_gradient_of_iou_but_of_its_relatives(self):
        prediction, target = box(0, 0, 10, 10), box(20, 0, 30, 10)
        assert slope(box_iou, prediction, target).abs().max() == 0
        for measure in ORDERED[1:]:
            assert slope(measure, prediction, target).abs().max() > 1e-3

    def test_enclosing_box_pushes_the_far_edge_of_a_distant_box_away(self):
        # The target lies to the right; descent goes against the gradient. GIoU: d(-U/C)/dx1 = (10 C - 10 U)/C^2.
        far, near = 0, 2
        giou = slope(generalized_box_iou, box(0, 0, 10, 10), box(20, 0, 30, 10))[0]
        assert giou[far].item() == pytest.approx((10 * 300 - 10 * 200) / 300**2)
        assert giou[near].item() == pytest.approx(-10 / 300)
        # DIoU: d(rho^2/c^2)/dx1 = (-rho c^2 + 2 rho^2 W)/c^4, positive where 2 rho W > c^2: far away, not nearby.
        diou = slope(distance_box_iou, box(0, 0, 10, 10), box(20, 0, 30, 10))[0]
        assert diou[far].item() == pytest.approx((-20 * 1000 + 2 * 20**2 * 30) / 1000**2)
        assert slope(distance_box_iou, box(0, 0, 10, 10), box(11, 0, 21, 10))[0, far].item() < 0

    def test_touching_boxes_have_no_gradient_of_iou_either(self):
        # A kink: one step closer the slope is there. Both of torchvision's routes take the flat side, as does ours.
        prediction, target = box(0, 0, 10, 10), box(10, 0, 20, 10)
        assert slope(box_iou, prediction, target).abs().max() == 0
        assert slope(box_iou, box(0, 0, 10.001, 10), target)[0, 2].item() == pytest.approx(-10 / 200, rel=1e-3)
        for measure, loss in LOSSES.items():
            expected = slope(lambda a, b, loss=loss: 1 - loss(a, b), prediction, target)
            assert_close(slope(measure, prediction, target), expected)


class TestShapes:
    @MEASURES
    @pytest.mark.parametrize(("rows", "columns"), [(0, 3), (3, 0), (0, 0)])
    def test_empty(self, measure, rows, columns):
        assert measure(random_boxes(rows, 19), random_boxes(columns, 20)).shape == (rows, columns)

    def test_empty_area(self):
        assert box_area(torch.empty(0, 4)).shape == (0,)

    def test_terms_are_pairwise(self):
        terms = box_terms(random_boxes(3, 21), random_boxes(2, 22))
        assert all(term.shape == (3, 2) for term in terms)

    def test_half_precision_does_not_overflow(self):
        # 480 x 480 = 230400, and float16 ends at 65504.
        boxes = torch.tensor([[0.0, 0.0, 480.0, 480.0]], dtype=torch.float16)
        assert box_area(boxes).item() == 230400
        assert box_iou(boxes, boxes).item() == 1

    def test_two_boxes_without_area_have_no_iou(self):
        assert box_iou(box(0, 0, 0, 2), box(1, 1, 1, 1)).isnan().all()
        assert box_iou(box(0, 0, 0, 2), box(0, 0, 2, 2)).item() == 0


class TestErrors:
    @pytest.mark.parametrize("measure", [*PAIRS, box_terms])
    def test_shapes(self, measure):
        boxes = torch.zeros(1, 4)
        with pytest.raises(ValueError, match=r"boxes1 must have shape \(N, 4\), got \(3, 5\)\."):
            measure(torch.zeros(3, 5), boxes)
        with pytest.raises(ValueError, match=r"boxes2 must have shape \(N, 4\), got \(4,\)\."):
            measure(boxes, torch.zeros(4))

    @pytest.mark.parametrize("measure", [*PAIRS, box_terms])
    def test_types(self, measure):
        with pytest.raises(TypeError, match="boxes1 must be a Tensor, got list"):
            measure([[0, 0, 1, 1]], torch.zeros(1, 4))
        with pytest.raises(TypeError, match="boxes2 must be a Tensor, got list"):
            measure(torch.zeros(1, 4), [[0, 0, 1, 1]])

    def test_area(self):
        with pytest.raises(TypeError, match="boxes must be a Tensor, got list"):
            box_area([[0, 0, 1, 1]])
        with pytest.raises(ValueError, match=r"boxes must have shape \(N, 4\), got \(2, 3\)\."):
            box_area(torch.zeros(2, 3))
