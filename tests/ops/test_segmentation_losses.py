import doctest
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score, precision_score, recall_score

import cvviz.ops.segmentation_losses
from cvviz.ops.segmentation_losses import (
    LOSSES,
    Options,
    bce_dice_loss,
    dice_loss,
    focal_tversky_loss,
    jaccard_loss,
    mask_counts,
    segmentation_loss,
    tversky_loss,
)

PLAIN = {"smooth_nr": 0.0, "smooth_dr": 0.0}
OPTIONS = Options(alpha=0.3, beta=0.8, gamma=1.6, smooth_nr=0.2, smooth_dr=0.5)
FUNCTIONS = (dice_loss, jaccard_loss, tversky_loss, focal_tversky_loss, bce_dice_loss)
every_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
every_loss = pytest.mark.parametrize("loss", LOSSES)


def masks(count=6, side=7, seed=0, share=0.3):
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(count, side, side, generator=generator, dtype=torch.float64)
    return p, (torch.rand(count, side, side, generator=generator) < share).double()


class TestByHand:
    p, t = torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 1.0, 0.0]])

    def test_one_hit_one_false_alarm_one_miss(self):
        # Of two predicted and two true pixels one is shared: Dice 2/4, IoU 1/3.
        assert float(dice_loss(self.p, self.t, **PLAIN)) == pytest.approx(1 / 2)
        assert float(jaccard_loss(self.p, self.t, **PLAIN)) == pytest.approx(2 / 3)

    def test_alpha_weighs_the_false_alarm_and_beta_the_miss(self):
        alarm, miss = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]])
        # One hit; the false alarm at 0.25 gives 1 / 1.25, the miss at 1 gives 1 / 2.
        assert float(tversky_loss(alarm, miss, alpha=0.25, beta=1, **PLAIN)) == pytest.approx(1 - 1 / 1.25)
        assert float(tversky_loss(miss, alarm, alpha=0.25, beta=1, **PLAIN)) == pytest.approx(1 - 1 / 2)

    def test_focal_takes_the_root_of_each_mask_before_the_mean(self):
        p, t = torch.stack([self.t, self.p]), torch.stack([self.t, self.t])
        # Losses 0 and 1/2 to the power 1/2; the root of the mean would be 1/2.
        loss = focal_tversky_loss(p, t, alpha=0.5, beta=0.5, gamma=2, **PLAIN)
        assert float(loss) == pytest.approx(math.sqrt(0.5) / 2)

    def test_squares_below_the_line(self):
        half = torch.full((1, 4), 0.5)
        # 2 * 1 over 4 * 0.25 + 2.
        assert float(dice_loss(half, self.t, squared=True, **PLAIN)) == pytest.approx(1 - 2 / 3)

    def test_where_the_smoothing_goes(self):
        nothing, two = torch.zeros(1, 4), torch.tensor([[1.0, 1.0, 0.0, 0.0]])
        assert float(dice_loss(nothing, two, smooth_nr=1, smooth_dr=1)) == pytest.approx(1 - 1 / 3)
        assert float(jaccard_loss(nothing, two, smooth_nr=1, smooth_dr=1)) == pytest.approx(1 - 1 / 3)
        assert float(tversky_loss(nothing, two, smooth_nr=1, smooth_dr=1)) == pytest.approx(1 - 1 / 2)

    @pytest.mark.parametrize("smooth", [(0.0, 0.0, math.nan), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0)])
    def test_two_empty_masks(self, smooth):
        above, below, expected = smooth
        empty = torch.zeros(2, 3, 3)
        for function in (dice_loss, jaccard_loss, tversky_loss, focal_tversky_loss):
            value = float(function(empty, empty, smooth_nr=above, smooth_dr=below))
            assert value == pytest.approx(expected, nan_ok=True)


class TestLikeOthers:
    @pytest.mark.parametrize("seed", range(5))
    def test_hard_masks_like_sklearn(self, seed):
        p, t = masks(count=1, seed=seed)
        found = (p >= 0.5).double()
        counts = mask_counts(found, t)
        true, predicted = t.flatten().numpy().astype(int), found.flatten().numpy().astype(int)
        pairs = ((counts.dice, f1_score), (counts.iou, jaccard_score), (counts.accuracy, accuracy_score))
        pairs += ((counts.precision, precision_score), (counts.recall, recall_score))
        for ours, theirs in pairs:
            assert float(ours) == pytest.approx(theirs(true, predicted))
        assert float(dice_loss(found, t, **PLAIN)) == pytest.approx(1 - f1_score(true, predicted))
        assert float(jaccard_loss(found, t, **PLAIN)) == pytest.approx(1 - jaccard_score(true, predicted))

    @pytest.mark.parametrize("seed", range(5))
    def test_soft_counts_like_sklearns_with_weights(self, seed):
        p, t = masks(count=1, seed=seed)
        flat, true = p.flatten().numpy(), t.flatten().numpy().astype(int)
        both, called = np.concatenate([true, true]), np.repeat([1, 0], len(true))
        (tn, fp), (fn, tp) = confusion_matrix(both, called, sample_weight=np.concatenate([flat, 1 - flat]))
        counts = mask_counts(p, t)
        assert [float(part) for part in (counts.tp, counts.fp, counts.fn, counts.tn)] == pytest.approx([tp, fp, fn, tn])
        expected = 1 - (tp + 0.2) / (tp + 0.3 * fp + 0.8 * fn + 0.5)
        assert float(segmentation_loss(p, t, "tversky", OPTIONS)[0]) == pytest.approx(expected)

    def test_bce_like_torch(self):
        p, t = masks(count=1)
        bce = F.binary_cross_entropy(p, t)
        assert torch.allclose(segmentation_loss(p, t, "bce")[0], bce)
        assert torch.allclose(bce_dice_loss(p, t), bce + dice_loss(p, t))


class TestLaws:
    p, t = masks()

    def test_dice_is_one_minus_f1_and_jaccard_follows_from_it(self):
        dice, jaccard = (loss(self.p, self.t, reduction="none", **PLAIN) for loss in (dice_loss, jaccard_loss))
        assert torch.allclose(dice, 1 - mask_counts(self.p, self.t).dice)
        assert torch.allclose(jaccard, 2 * dice / (1 + dice))
        assert torch.allclose(jaccard, 1 - mask_counts(self.p, self.t).iou)

    def test_tversky_is_dice_of_twice_the_smoothing_and_jaccard(self):
        halves = tversky_loss(self.p, self.t, smooth_nr=1, smooth_dr=1.5)
        assert torch.allclose(halves, dice_loss(self.p, self.t, smooth_nr=2, smooth_dr=3))
        ones = tversky_loss(self.p, self.t, alpha=1, beta=1)
        assert torch.allclose(ones, jaccard_loss(self.p, self.t))

    def test_focal_tversky_with_gamma_1_is_tversky(self):
        weights = {"alpha": 0.2, "beta": 0.6}
        focal = focal_tversky_loss(self.p, self.t, gamma=1, **weights)
        assert torch.allclose(focal, tversky_loss(self.p, self.t, **weights))

    def test_squares_change_nothing_for_masks(self):
        found = (self.p >= 0.5).double()
        assert torch.allclose(dice_loss(found, self.t, squared=True), dice_loss(found, self.t))

    @every_function
    def test_bounds_and_perfection(self, function):
        most = math.inf if function is bce_dice_loss else 1
        losses = function(self.p, self.t, reduction="none")
        assert ((losses > 0) & (losses <= most)).all()
        assert (function(self.t, self.t, reduction="none").abs() < 1e-6).all()

    def test_dice_and_jaccard_are_symmetric(self):
        for function in (dice_loss, jaccard_loss):
            assert torch.allclose(function(self.p, self.t), function(self.t, self.p))

    def test_background_does_not_count_under_overlap_losses(self):
        wide = [F.pad(mask, (0, 5, 0, 5)) for mask in (self.p, self.t)]
        for function in FUNCTIONS[:4]:
            assert torch.allclose(function(*wide), function(self.p, self.t))

    @every_function
    def test_batch_equals_loop(self, function):
        each = torch.stack([function(p, t) for p, t in zip(self.p, self.t, strict=True)])
        assert torch.allclose(function(self.p, self.t, reduction="none"), each)
        assert torch.allclose(function(self.p, self.t, reduction="sum"), each.sum())
        assert torch.allclose(
            function(self.p.view(2, 3, 7, 7), self.t.view(2, 3, 7, 7), reduction="none").flatten(), each
        )

    @every_loss
    def test_by_name(self, loss):
        values = segmentation_loss(self.p, self.t, loss, OPTIONS)
        assert values.shape == (6,)
        assert torch.equal(values[2], segmentation_loss(self.p[2], self.t[2], loss, OPTIONS))


@every_loss
def test_gradcheck(loss):
    p, t = masks(count=2, side=3)
    inside = (0.05 + 0.9 * p).requires_grad_()
    for options in (OPTIONS, Options(squared=True)):
        assert torch.autograd.gradcheck(lambda p, use=options: segmentation_loss(p, t, loss, use), inside)


def test_empty():
    nothing = torch.zeros(0, 4, 4)
    assert dice_loss(nothing, nothing, reduction="none").shape == (0,)
    assert float(dice_loss(torch.zeros(1, 0, 4), torch.zeros(1, 0, 4))) == 0  # smoothed: an empty mask, found empty
    assert math.isnan(float(mask_counts(torch.zeros(2, 2), torch.zeros(2, 2)).dice))


@every_function
class TestExceptions:
    p, t = torch.full((2, 2), 0.5), torch.ones(2, 2)

    def test_types(self, function):
        with pytest.raises(TypeError, match=r"input must have a floating-point dtype, got torch\.int64"):
            function(self.p.long(), self.t)
        with pytest.raises(TypeError, match="target must be a Tensor, got list"):
            function(self.p, [[1.0]])

    def test_shapes_and_values(self, function):
        with pytest.raises(ValueError, match=r"must have the same shape, got \(2, 2\) and \(1, 2\)"):
            function(self.p, self.t[:1])
        with pytest.raises(ValueError, match=r"input must have shape \(\*, H, W\), got \(2,\)"):
            function(self.p[0], self.t[0])
        with pytest.raises(ValueError, match=r"input must lie in \[0, 1\], got 1.5 to 1.5"):
            function(self.p + 1, self.t)
        with pytest.raises(ValueError, match=r"target must lie in \[0, 1\], got -1 to -1"):
            function(self.p, self.t - 2)

    def test_options(self, function):
        with pytest.raises(ValueError, match=r"smooth_dr must lie in \[0, inf\], got -1"):
            function(self.p, self.t, smooth_nr=-1, smooth_dr=-1)
        with pytest.raises(ValueError, match=r"smooth_nr must lie in \[0, 1\], got 2"):
            function(self.p, self.t, smooth_nr=2, smooth_dr=1)
        with pytest.raises(ValueError, match="reduction 'max' is unknown"):
            function(self.p, self.t, reduction="max")


def test_exceptions_of_single_losses():
    p, t = torch.full((2, 2), 0.5), torch.ones(2, 2)
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, inf\], got -1"):
        tversky_loss(p, t, alpha=-1)
    with pytest.raises(ValueError, match=r"beta must lie in \[0, inf\], got -0.5"):
        focal_tversky_loss(p, t, beta=-0.5)
    with pytest.raises(ValueError, match="gamma must be positive, got 0"):
        focal_tversky_loss(p, t, gamma=0)
    with pytest.raises(ValueError, match=r"loss must be one of bce, dice, .*got 'hinge'"):
        segmentation_loss(p, t, "hinge")


def test_doctest():
    assert doctest.testmod(cvviz.ops.segmentation_losses).failed == 0
