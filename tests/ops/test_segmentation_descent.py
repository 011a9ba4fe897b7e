import doctest

import pytest
import torch

import cvviz.ops.segmentation_descent
from cvviz.ops.segmentation_descent import descend, logit_slopes
from cvviz.ops.segmentation_losses import LOSSES, Options, segmentation_loss

OPTIONS = (
    Options(),
    Options(alpha=0.2, beta=0.9, gamma=2.0, squared=True, smooth_nr=0.3, smooth_dr=0.7),
    Options(gamma=0.5, smooth_nr=0.0, smooth_dr=0.0),
)


def case(side=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(len(LOSSES), side, side, generator=generator, dtype=torch.float64)
    return logits, (torch.rand(side, side, generator=generator) < 0.4).double()


class TestSlopes:
    @pytest.mark.parametrize("options", OPTIONS)
    @pytest.mark.parametrize("seed", range(3))
    def test_like_autograd(self, options, seed):
        logits, target = case(seed=seed)
        logits.requires_grad_()
        losses = [
            segmentation_loss(row.sigmoid(), target, name, options) for row, name in zip(logits, LOSSES, strict=True)
        ]
        (expected,) = torch.autograd.grad(torch.stack(losses).sum(), logits)
        slopes = logit_slopes(logits.detach(), target, LOSSES, options)
        assert torch.allclose(slopes, expected, rtol=1e-9, atol=1e-14)

    def test_soft_targets_like_autograd(self):
        logits, target = case()
        target = 0.2 + 0.5 * target
        row = logits[:1].requires_grad_()
        for squared in (False, True):
            options = Options(squared=squared)
            (expected,) = torch.autograd.grad(segmentation_loss(row[0].sigmoid(), target, "dice", options), row)
            assert torch.allclose(logit_slopes(row.detach(), target, ["dice"], options), expected)

    def test_bce_by_hand(self):
        # (p - t) / N with p = 1/2 and N = 2.
        slopes = logit_slopes(torch.zeros(1, 1, 2), torch.tensor([[1.0, 0.0]]), ["bce"])
        assert slopes.flatten().tolist() == [-0.25, 0.25]

    def test_dice_has_two_values_by_the_probability(self):
        logits, target = case()
        p = logits[0].sigmoid()
        by_p = logit_slopes(logits[:1], target, ["dice"])[0] / (p * (1 - p))
        on, off = by_p[target == 1], by_p[target == 0]
        assert torch.allclose(on, on[0].expand_as(on))
        assert torch.allclose(off, off[0].expand_as(off))
        assert on[0] < 0 < off[0]

    def test_a_sure_mistake_is_starved_by_dice_and_not_by_bce(self):
        target = torch.zeros(1, 4, dtype=torch.float64)
        target[0, 0] = 1
        logits = torch.tensor([[-12.0, 0, 0, 0]]).double().expand(2, 1, 4)
        slopes = logit_slopes(logits, target, ["bce", "dice"])[:, 0, 0].abs()
        assert slopes[0] == pytest.approx(1 / 4, abs=1e-5)
        assert slopes[1] < 1e-4

    def test_an_empty_target_without_smoothing_moves_nothing(self):
        logits, _ = case()
        empty = torch.zeros(6, 6).double()
        none = Options(smooth_nr=0, smooth_dr=0)
        slopes = logit_slopes(logits, empty, LOSSES, none).abs().amax((1, 2))
        moved = dict(zip(LOSSES, slopes.tolist(), strict=True))
        assert moved.pop("bce") > 0
        assert moved.pop("bce_dice") > 0
        assert set(moved.values()) == {0}

    def test_focal_tversky_at_its_minimum_is_flat(self):
        target = torch.eye(2).double()
        surely = (target * 2000 - 1000)[None]
        assert torch.equal(logit_slopes(surely, target, ["focal_tversky"]), torch.zeros(1, 2, 2).double())

    def test_no_losses(self):
        assert logit_slopes(torch.zeros(0, 2, 2), torch.zeros(2, 2), []).shape == (0, 2, 2)

    def test_exceptions(self):
        target = torch.zeros(2, 2)
        with pytest.raises(ValueError, match=r"shapes \(1, H, W\) and \(H, W\), got \(2, 2\) and \(2, 2\)"):
            logit_slopes(target, target, ["dice"])
        with pytest.raises(ValueError, match=r"loss must be one of bce, .*got 'hinge'"):
            logit_slopes(target[None], target, ["hinge"])
        with pytest.raises(ValueError, match=r"smooth_nr must lie in \[0, 0\], got 1"):
            logit_slopes(target[None], target, ["dice"], Options(smooth_nr=1, smooth_dr=0))
        with pytest.raises(TypeError, match="logits must have a floating-point dtype"):
            logit_slopes(target[None].long(), target, ["dice"])
        with pytest.raises(TypeError, match="target must have a floating-point dtype"):
            logit_slopes(target[None], target.long(), ["dice"])


class TestDescend:
    def test_like_sgd(self):
        logits, target = case()
        start = logits[0]
        ours = descend(start, target, LOSSES, rate=0.3, steps=6, options=OPTIONS[1])
        for row, name in enumerate(LOSSES):
            theirs = start.clone().requires_grad_()
            optimizer = torch.optim.SGD([theirs], lr=0.3 * target.numel())
            for _ in range(6):
                optimizer.zero_grad()
                torch.autograd.backward(segmentation_loss(theirs.sigmoid(), target, name, OPTIONS[1]))
                optimizer.step()
            assert torch.allclose(ours[-1, row], theirs.detach(), atol=1e-9), name

    def test_no_step_is_the_start(self):
        logits, target = case()
        assert torch.equal(descend(logits[0], target, LOSSES, rate=1, steps=0), logits[0].expand(1, 6, 6, 6))

    @pytest.mark.parametrize("loss", LOSSES)
    def test_short_steps_lower_the_loss(self, loss):
        logits, target = case()
        way = descend(0.3 * logits[0], target, [loss], rate=0.02, steps=30).sigmoid()
        values = segmentation_loss(way[:, 0], target.expand(31, 6, 6), loss)
        assert (values.diff() < 0).all()


def test_doctest():
    assert doctest.testmod(cvviz.ops.segmentation_descent).failed == 0
