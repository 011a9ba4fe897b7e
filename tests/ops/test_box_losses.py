import doctest
import math

import pytest
import torch
import torchvision
from torch.nn.functional import smooth_l1_loss
from torch.testing import assert_close

from cvviz.ops import box_losses as ops
from cvviz.ops.box_losses import (
    LOSSES,
    MEASURES,
    SMALLEST_SIDE,
    box_loss_slopes,
    box_losses,
    descend,
    first_steps,
)

SPACES = ("corners", "centre", "log")
TORCHVISION = {
    "iou": lambda boxes, targets: 1 - torchvision.ops.box_iou(boxes, targets[:1])[:, 0],
    "giou": torchvision.ops.generalized_box_iou_loss,
    "diou": torchvision.ops.distance_box_iou_loss,
    "ciou": torchvision.ops.complete_box_iou_loss,
}


def box(*corners):
    return torch.tensor(corners, dtype=torch.float64)


def random_boxes(count, seed=0):
    draws = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cat([100 * draws[:, :2], 100 * draws[:, :2] + 5 + 60 * draws[:, 2:]], dim=1)


def places_of(boxes, space):
    size, center = boxes[..., 2:] - boxes[..., :2], (boxes[..., 2:] + boxes[..., :2]) / 2
    return boxes if space == "corners" else torch.cat([center, size.log() if space == "log" else size], dim=-1)


def boxes_of(places, space):
    half = (places[..., 2:].exp() if space == "log" else places[..., 2:]) / 2
    return places if space == "corners" else torch.cat([places[..., :2] - half, places[..., :2] + half], dim=-1)


def loss_by_torchvision(name, boxes, target, *, space, unit, beta):
    if name == "smooth_l1":
        goal = places_of(target / unit, space).expand_as(boxes)
        return smooth_l1_loss(places_of(boxes / unit, space), goal, reduction="none", beta=beta).sum(-1)
    return TORCHVISION[name](boxes, target.expand_as(boxes))


def test_doctest():
    assert doctest.testmod(ops).failed == 0


class TestHandDerived:
    def test_losses_of_neighbours(self):
        # Unit boxes with a gap of 1: I = 0, U = 2, C = 3, rho^2/c^2 = 4/10, one ratio. Two coordinates are off by 2,
        # beyond beta = 1: 2 (2 - 1/2).
        values = box_losses(box(2, 0, 3, 1).expand(5, 1, 4), box(0, 0, 1, 1))[:, 0]
        assert_close(values, torch.tensor([3, 1, 1 + 1 / 3, 1.4, 1.4], dtype=torch.float64), rtol=0, atol=1e-7)

    def test_slopes_of_an_overhang(self):
        # A box twice as wide, aligned on the left: IoU = 1/w, so its slope by the right edge is -1/4 at w = 2.
        slopes = box_loss_slopes(box(-1, 0, 2, 1).expand(1, 1, 4), box(0, 0, 1, 1), losses=["iou"])[0, 0]
        assert slopes[2].item() == pytest.approx(1 / 9)  # 1 - 1/3, w = 3
        assert slopes[0].item() == pytest.approx(-1 / 9)

    def test_apart_iou_has_no_slope_and_giou_one_that_moves_and_widens(self):
        # L = 2 - U/C with U = 2, C = 3: by the near edge (1 - 0)/3 less 0; by the far edge U/C^2 - 1/C = 2/9 - 3/9.
        slopes = box_loss_slopes(box(2, 0, 3, 1).expand(2, 1, 4), box(0, 0, 1, 1), losses=["iou", "giou"])[:, 0]
        assert slopes[0].abs().max() == 0
        assert slopes[1, 0].item() == pytest.approx(1 / 3)
        assert slopes[1, 2].item() == pytest.approx(2 / 9 - 1 / 3)

    def test_touching_boxes_share_nothing_and_iou_has_no_slope(self):
        assert box_loss_slopes(box(1, 0, 2, 1).expand(1, 1, 4), box(0, 0, 1, 1), losses=["iou"]).abs().max() == 0

    def test_ratio_is_pulled_in_opposite_directions(self):
        # dv/dh = -w/h dv/dw, whatever the sizes.
        pair = box_loss_slopes(
            box(0, 0, 4, 1).expand(2, 1, 4), box(1, -1, 3, 2), losses=["ciou", "diou"], coordinates="centre"
        )[:, 0]
        by_width, by_height = (pair[0] - pair[1])[2:].tolist()
        assert by_width > 0
        assert by_height == pytest.approx(-4 * by_width)

    def test_smooth_l1_step_is_eta_times_the_error_over_beta(self):
        run = descend(
            box(3, 0, 4, 1)[None], box(0, 0, 1, 1), step_size=0.1, losses=["smooth_l1"], steps=3, unit=10, beta=0.5
        )
        # 3 px are 0.3 units, below beta: each step keeps 1 - 0.1/0.5 of it.
        assert_close(run.boxes[:, 0, 0, 0], 3 * 0.8 ** torch.arange(4, dtype=torch.float64))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("unit", "beta"), [(1.0, 1.0), (37.0, 0.3)])
class TestAgainstTorchvision:
    def test_values(self, name, space, unit, beta):
        boxes, target = random_boxes(200), box(30, 40, 90, 75)
        ours = box_losses(boxes[None], target, losses=[name], coordinates=space, unit=unit, beta=beta)[0]
        assert_close(ours, loss_by_torchvision(name, boxes, target, space=space, unit=unit, beta=beta))

    def test_slopes_by_autograd(self, name, space, unit, beta):
        boxes, target = random_boxes(200, 1), box(30, 40, 90, 75)
        places = places_of(boxes / unit, space).requires_grad_()
        values = loss_by_torchvision(name, boxes_of(places, space) * unit, target, space=space, unit=unit, beta=beta)
        (expected,) = torch.autograd.grad(values.sum(), places)
        ours = box_loss_slopes(boxes[None], target, losses=[name], coordinates=space, unit=unit, beta=beta)[0]
        assert_close(ours, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("fade", [False, True])
@pytest.mark.parametrize("space", SPACES)
def test_descent_is_that_of_torch_optim_on_torchvision(space, fade, optimizer):
    start, target, unit, steps = random_boxes(6, 2), box(30, 40, 90, 75), 45.0, 25
    way = {"coordinates": space, "optimizer": optimizer, "fade": fade, "steps": steps, "unit": unit, "beta": 0.5}
    ours = descend(start, target, step_size=0.07, **way)
    for row, name in enumerate(LOSSES):
        places = places_of(start / unit, space).clone().requires_grad_()
        walk = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]([places], lr=0.07)
        fading = torch.optim.lr_scheduler.CosineAnnealingLR(walk, T_max=steps)
        for step in range(steps):
            boxes = boxes_of(places, space) * unit
            assert_close(ours.boxes[step, row], boxes.detach(), rtol=0, atol=1e-5)
            values = loss_by_torchvision(name, boxes, target, space=space, unit=unit, beta=0.5)
            places.grad = torch.autograd.grad(values.sum(), places)[0]
            assert_close(ours.slopes[step, row], places.grad, rtol=0, atol=1e-6)
            walk.step()
            if fade:
                fading.step()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", LOSSES[:-1])
def test_gradcheck(name, space):
    """The closed form is the derivative of our own value, by finite differences; CIoU's is not, as alpha is held."""
    target = box(30, 40, 90, 75)
    places = places_of(random_boxes(1, 5)[0] / 20, space)
    slopes = box_loss_slopes(
        (boxes_of(places, space) * 20)[None, None], target, losses=[name], coordinates=space, unit=20
    )[0, 0]
    for index in range(4):
        shift = 1e-6 * torch.eye(4, dtype=torch.float64)[index]
        ends = torch.stack([places - shift, places + shift])
        low, high = box_losses((boxes_of(ends, space) * 20)[None], target, losses=[name], coordinates=space, unit=20)[0]
        assert float(slopes[index]) == pytest.approx(float((high - low) / 2e-6), abs=1e-6)


class TestLaws:
    @pytest.mark.parametrize("space", SPACES)
    def test_all_losses_at_once_are_each_by_itself(self, space):
        start, target = random_boxes(3, 3), box(30, 40, 90, 75)
        way = {"step_size": 0.05, "coordinates": space, "steps": 12, "unit": 40.0}
        together = descend(start, target, **way)
        for row, name in enumerate(LOSSES):
            alone = descend(start[1:2], target, losses=[name], **way)
            assert_close(together.boxes[:, row, 1], alone.boxes[:, 0, 0], rtol=0, atol=1e-9)

    def test_overlap_losses_take_the_same_way_at_any_zoom_in_units_of_the_target(self):
        start, target = random_boxes(4, 4), box(30, 40, 90, 75)
        way = {"step_size": 0.1, "coordinates": "centre", "steps": 15}
        small = descend(start, target, unit=50.0, **way).boxes
        large = descend(8 * start, 8 * target, unit=400.0, **way).boxes
        assert_close(large, 8 * small)

    def test_smooth_l1_is_not_scale_invariant_in_a_fixed_unit(self):
        start, target = box(0, 0, 10, 10).expand(1, 1, 4), box(4, 4, 14, 14)
        small, large = (box_losses(z * start, z * target, losses=["smooth_l1"], unit=100)[0, 0] for z in (1, 10))
        assert large / small == pytest.approx(100)  # in its square part

    def test_at_the_target_nothing_moves(self):
        # Half of each one-sided slope: the convention of autograd at a kink.
        target = box(30, 40, 90, 75)
        assert box_loss_slopes(target.expand(5, 1, 4), target).abs().max() < 1e-15

    def test_plain_descent_on_smooth_l1_never_raises_it(self):
        start, target = random_boxes(20, 6), box(30, 40, 90, 75)
        run = descend(start, target, step_size=0.2, losses=["smooth_l1"], steps=60, unit=50)
        values = torch.stack([box_losses(rows, target, losses=["smooth_l1"], unit=50)[0] for rows in run.boxes])
        assert bool((values.diff(dim=0) <= 1e-12).all())

    @pytest.mark.parametrize("space", SPACES)
    def test_sides_stay_open_however_long_the_steps(self, space):
        run = descend(random_boxes(30, 7), box(50, 50, 53, 54), step_size=1, coordinates=space, unit=100)
        assert run.boxes.isfinite().all()
        sides = run.boxes[..., 2:] - run.boxes[..., :2]
        floor = 0 if space == "log" else 100 * SMALLEST_SIDE
        assert float(sides.min()) >= floor - 1e-6 * float(run.boxes.abs().max())

    def test_fading_step_ends_where_the_last_step_is_nothing(self):
        run = descend(random_boxes(5, 8), box(30, 40, 90, 75), step_size=0.2, fade=True, steps=30, unit=50)
        moves = run.boxes.diff(dim=0).abs().amax((1, 2, 3))
        assert moves[-1] < 0.02 * moves[0]

    def test_arguments_stay_as_they_are(self):
        start, target = random_boxes(2, 9), box(30, 40, 90, 75)
        kept = start.clone()
        descend(start, target, step_size=0.3, steps=3)
        assert torch.equal(start, kept)


class TestFirstSteps:
    def test_first_true_of_each_column(self):
        there = torch.tensor([[True, False, False], [False, True, False], [True, True, False]])
        assert first_steps(there) == [0, 1, None]

    @pytest.mark.parametrize("shape", [(0, 2), (3,)])
    def test_exception(self, shape):
        with pytest.raises(ValueError, match=r"there must have shape \(S, L\) with S > 0"):
            first_steps(torch.zeros(shape, dtype=torch.bool))


class TestException:
    def test_no_boxes_at_all(self):
        assert descend(torch.zeros(0, 4), torch.tensor([0.0, 0, 1, 1]), step_size=0.1, steps=2).boxes.shape == (
            3,
            5,
            0,
            4,
        )
        assert box_losses(torch.zeros(5, 0, 4), torch.tensor([0.0, 0, 1, 1])).shape == (5, 0)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"losses": ["l2"]}, "losses must be among smooth_l1, iou, giou, diou, ciou, got 'l2'"),
            ({"coordinates": "polar"}, "coordinates must be corners, centre or log, got 'polar'"),
            ({"unit": 0.0}, "unit must be positive, got 0"),
            ({"beta": -1.0}, "beta must be positive, got -1"),
            ({"step_size": math.nan}, "step_size must be positive, got nan"),
            ({"steps": 0}, "steps must be at least 1, got 0"),
            ({"optimizer": "lion"}, "optimizer must be one of sgd, adam, got 'lion'"),
        ],
    )
    def test_settings(self, change, message):
        with pytest.raises(ValueError, match=message):
            descend(random_boxes(1), box(0, 0, 1, 1), **{"step_size": 0.1, "losses": ["iou"]} | change)

    def test_shapes(self):
        with pytest.raises(ValueError, match=r"boxes must have shape \(5, N, 4\), got \(2, 1, 4\)"):
            box_losses(torch.zeros(2, 1, 4), torch.zeros(4))
        with pytest.raises(ValueError, match=r"target must have shape \(4,\), got \(1, 4\)"):
            box_loss_slopes(torch.zeros(5, 1, 4), torch.zeros(1, 4))
        with pytest.raises(ValueError, match=r"start must have shape \(N, 4\), got \(4,\)"):
            descend(torch.zeros(4), torch.zeros(4), step_size=0.1)

    def test_types(self):
        with pytest.raises(TypeError, match="boxes must have a floating-point dtype"):
            box_losses(torch.zeros(5, 1, 4, dtype=torch.int64), torch.zeros(4))
        with pytest.raises(TypeError, match="target must have a floating-point dtype"):
            box_losses(torch.zeros(5, 1, 4), torch.zeros(4, dtype=torch.int64))
        with pytest.raises(TypeError, match="start must be a Tensor, got list"):
            descend([[0.0, 0, 1, 1]], torch.zeros(4), step_size=0.1)


def test_measures_are_those_of_boxes():
    assert list(MEASURES) == list(LOSSES[1:])
