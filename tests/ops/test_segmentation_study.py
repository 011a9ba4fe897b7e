import doctest
import math

import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score

import cvviz.ops.segmentation_study
from cvviz.ops.segmentation_losses import LOSSES, Options, segmentation_loss
from cvviz.ops.segmentation_study import judge_masks, shrinking_discs, study_mask, thresholded


def masks(count=5, side=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(count, side, side, generator=generator, dtype=torch.float64)
    return p, (torch.rand(count, side, side, generator=generator) < p).double()


def test_a_half_with_noise_is_a_half():
    noise = torch.tensor([-1e-9, 0, 1e-9, -1e-4]).double()
    assert thresholded(0.5 + noise).tolist() == [True, True, True, False]


class TestStudy:
    def test_values_are_the_losses(self):
        p, t = (part[0] for part in masks())
        study = study_mask(p, t, LOSSES, Options(alpha=0.2))
        expected = [float(segmentation_loss(p, t, name, Options(alpha=0.2))) for name in LOSSES]
        assert study.values.tolist() == pytest.approx(expected)
        assert float(study.hard_values[1]) == pytest.approx(1 - float(study.hard.dice), abs=1e-6)
        assert study.slopes().shape == (6, 8, 8)

    def test_descent(self):
        p, t = (part[0] for part in masks())
        course = study_mask(p, t, ("bce", "dice"), Options()).descent(rate=1, steps=40)
        assert course.p.shape == (41, 2, 8, 8)
        assert torch.allclose(course.p[0], p.expand(2, 8, 8))
        assert course.iou[-1].tolist() == [1, 1]
        assert (course.sure[-1] > course.sure[0]).all()

    def test_descent_on_an_empty_target(self):
        empty = torch.zeros(4, 4).double()
        course = study_mask(empty + 0.3, empty, ("bce",), Options()).descent(rate=1, steps=2)
        assert course.iou[:, 0].tolist() == [1, 1, 1]  # nothing there, nothing found
        assert course.sure.isnan().all()


class TestShrinking:
    study = shrinking_discs([0.5, 2, 6, 12], LOSSES, Options(), shift=1, blur=0.5)

    def test_shapes_and_order(self):
        assert self.study.values.shape == self.study.mass.shape == (6, 4)
        assert (self.study.share.diff() > 0).all()
        assert ((self.study.mass >= 0) & (self.study.mass <= 1)).all()

    def test_dice_rises_and_bce_falls_as_the_object_shrinks(self):
        rows = dict(zip(LOSSES, self.study.values, strict=True))
        assert (rows["dice"].diff() < 0).all()
        assert (rows["bce"].diff() > 0).all()

    def test_without_error_hard_dice_is_1(self):
        study = shrinking_discs([0.5, 3], ("dice",), Options(), shift=0)
        assert study.dice.tolist() == [1, 1]
        assert study.error.tolist() == [0, 0]

    def test_smallest_disc_is_one_pixel(self):
        assert float(shrinking_discs([0], ("dice",), Options(), side=10).share) == pytest.approx(1 / 100)

    def test_exceptions(self):
        with pytest.raises(ValueError, match="The number of radii must be positive, got 0"):
            shrinking_discs([], ("dice",), Options())
        with pytest.raises(ValueError, match=r"inside must lie in \[0, 1\]"):
            shrinking_discs([1], ("dice",), Options(), inside=2)


class TestJudgement:
    def test_dice_like_sklearn(self):
        p, t = masks()
        judged = judge_masks(p, t)
        for index in (0, 20, 48):
            at = float(judged.thresholds[index])
            scores = [f1_score(b.flatten(), (a >= at).flatten()) for a, b in zip(p.numpy(), t.numpy(), strict=True)]
            assert float(judged.dice[index]) == pytest.approx(sum(scores) / len(scores))

    def test_reliability_like_sklearn(self):
        p, t = masks(count=40)
        judged = judge_masks(p, t)
        was, said = calibration_curve(t.flatten().numpy(), p.flatten().numpy(), n_bins=10)
        assert judged.was.tolist() == pytest.approx(was.tolist())
        assert judged.said.tolist() == pytest.approx(said.tolist())
        assert judged.gap < 0.05, "the masks were drawn from these probabilities"

    def test_by_hand(self):
        p = torch.tensor([[[0.9, 0.9, 0.4, 0.0]]])
        t = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
        judged = judge_masks(p, t)
        # Said 0.9 twice and 0.4 once, so in 1/2 and 0 of the cases: (0.4 + 0.4 + 0.4) / 3; the 0 claims nothing.
        assert judged.gap == pytest.approx(0.4)
        assert (judged.right, judged.blank, judged.found) == pytest.approx((3 / 4, 3 / 4, 1))
        assert math.isnan(float(judged.was[7]))

    def test_exceptions(self):
        p, t = masks()
        with pytest.raises(ValueError, match="target must have no empty mask"):
            judge_masks(p, t * 0)
        with pytest.raises(ValueError, match="bins must be positive, got 0"):
            judge_masks(p, t, bins=0)
        with pytest.raises(ValueError, match="must have the same shape"):
            judge_masks(p, t[:1])


def test_doctest():
    assert doctest.testmod(cvviz.ops.segmentation_study).failed == 0
