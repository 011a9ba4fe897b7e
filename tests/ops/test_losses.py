import doctest
import math

import pytest
import torch
import torch.nn.functional as F
from torch import tensor
from torchvision.ops import sigmoid_focal_loss as torchvision_focal_loss

from cvviz.ops import losses
from cvviz.ops.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    kl_div,
    log_softmax,
    sigmoid_focal_loss,
    smooth_labels,
    softmax,
)

REDUCTIONS = ("none", "mean", "sum")


def random(*shape, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, dtype=torch.float64, generator=generator)


def labels(*shape, high=2, seed=1):
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def distribution(*shape, seed=2):
    return random(*shape, seed=seed).softmax(1)


def slope(loss, x):
    return torch.autograd.grad(loss.sum(), x)[0]


def test_docstrings_run():
    assert doctest.testmod(losses).failed == 0
    assert doctest.testmod(losses).attempted >= 8


class TestHandDerived:
    def test_undecided_binary_costs_ln_2(self):
        half, zero, one = tensor([0.5]), tensor([0.0]), tensor([1.0])
        for loss in (binary_cross_entropy(half, one), binary_cross_entropy_with_logits(zero, one)):
            assert loss.item() == pytest.approx(math.log(2))

    def test_equal_logits_cost_ln_c(self):
        assert cross_entropy(torch.zeros(2, 1000), tensor([0, 999])).item() == pytest.approx(math.log(1000))

    def test_odds_of_three_to_one(self):
        # logits (ln 3, 0) are the probabilities (3/4, 1/4)
        scores = tensor([[math.log(3), 0.0]])
        assert cross_entropy(scores, tensor([0])).item() == pytest.approx(math.log(4 / 3))
        assert cross_entropy(scores, tensor([1])).item() == pytest.approx(math.log(4))

    def test_slope_of_cross_entropy_is_p_minus_q(self):
        scores = random(4, 3).requires_grad_()
        expected = scores.softmax(1) - F.one_hot(tensor([0, 1, 2, 0]), 3)
        torch.testing.assert_close(
            slope(cross_entropy(scores, tensor([0, 1, 2, 0]), reduction="sum"), scores), expected
        )

    @pytest.mark.parametrize(("p", "ratio"), [(0.5, 4), (0.9, 100), (0.968, 1 / 0.032**2)])
    def test_focal_loss_divides_easy_examples_by_the_square_of_their_error(self, p, ratio):
        x, one = tensor([p], dtype=torch.float64).logit(), torch.ones(1, dtype=torch.float64)
        focal = sigmoid_focal_loss(x, one, alpha=-1, gamma=2)
        assert (binary_cross_entropy_with_logits(x, one) / focal).item() == pytest.approx(ratio)

    def test_alpha_weighs_positives_and_its_rest_negatives(self):
        # at logit 0 both labels have p_t = 1/2 and so (1/2)² ln 2 before the weight
        weighted = sigmoid_focal_loss(torch.zeros(2), tensor([1.0, 0.0]), alpha=0.25, gamma=2)
        assert weighted.tolist() == pytest.approx([0.25 * math.log(2) / 4, 0.75 * math.log(2) / 4])

    def test_both_smoothing_conventions_at_three_classes(self):
        # mixing: 0.2/3 off; excluding: 0.2/2 off
        assert smooth_labels(tensor(1), 3, epsilon=0.2).tolist() == pytest.approx([0.2 / 3, 0.8 + 0.2 / 3, 0.2 / 3])
        excluding = smooth_labels(tensor(1), 3, epsilon=0.2, convention="excluding")
        assert excluding.tolist() == pytest.approx([0.1, 0.8, 0.1])

    def test_smoothed_loss_is_lowest_at_a_finite_logit(self):
        # q = (0.9, 0.1) among two classes: lowest where the odds are 9, at ln 9, and not beyond
        z = tensor([[math.log(9) - 0.1], [math.log(9)], [math.log(9) + 0.1]], dtype=torch.float64).requires_grad_()
        scores = F.pad(z, (0, 1))
        loss = cross_entropy(scores, tensor([0, 0, 0]), label_smoothing=0.2, reduction="none")
        slopes = slope(loss, z).flatten()
        assert slopes[0] < 0 < slopes[2]
        assert slopes[1].item() == pytest.approx(0, abs=1e-12)

    def test_kl_of_a_sure_target_from_a_fair_coin_is_ln_2(self):
        p, q = tensor([[0.5, 0.5]]), tensor([[1.0, 0.0]])
        assert kl_div(p.log(), q, reduction="batchmean").item() == pytest.approx(math.log(2))

    def test_second_softmax_leaves_a_floor(self):
        # probabilities (1, 0, ..., 0) read as logits: p = e / (e + 9)
        sure = F.one_hot(tensor([0]), 10).double()
        assert cross_entropy(sure, tensor([0])).item() == pytest.approx(math.log(1 + 9 / math.e))


@pytest.mark.parametrize("reduction", REDUCTIONS)
class TestAgainstTorch:
    def test_bce(self, reduction):
        p, y = random(5, 4).sigmoid(), random(5, 4, seed=3).sigmoid()
        p[0], y[1] = tensor([0.0, 1.0, 0.0, 1.0]), tensor([0.0, 0.0, 1.0, 1.0])
        expected = F.binary_cross_entropy(p, y, reduction=reduction)
        torch.testing.assert_close(binary_cross_entropy(p, y, reduction=reduction), expected)

    def test_bce_with_logits(self, reduction):
        x, y = random(5, 4, scale=30), random(5, 4, seed=3).sigmoid()
        expected = F.binary_cross_entropy_with_logits(x, y, reduction=reduction)
        torch.testing.assert_close(binary_cross_entropy_with_logits(x, y, reduction=reduction), expected)

    @pytest.mark.parametrize("gamma", [0, 0.5, 2, 5])
    @pytest.mark.parametrize("alpha", [-1, 0, 0.25, 1])
    def test_focal(self, reduction, alpha, gamma):
        x, y = random(5, 4, scale=4).requires_grad_(), labels(5, 4).double()
        ours = sigmoid_focal_loss(x, y, alpha=alpha, gamma=gamma, reduction=reduction)
        expected = torchvision_focal_loss(x, y, alpha=alpha, gamma=gamma, reduction=reduction)
        torch.testing.assert_close(ours, expected)
        torch.testing.assert_close(slope(ours, x), slope(expected, x))

    @pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
    @pytest.mark.parametrize("shape", [(4,), (6, 4), (2, 4, 3, 5)])
    def test_cross_entropy(self, reduction, epsilon, shape):
        scores = random(*shape, scale=5)
        rest = shape[:0] if len(shape) == 1 else (shape[0], *shape[2:])
        target = labels(*rest, high=4)
        soft = scores.softmax(0 if len(shape) == 1 else 1).flip(-1)
        for q in (target, soft):
            ours = cross_entropy(scores, q, label_smoothing=epsilon, reduction=reduction)
            torch.testing.assert_close(ours, F.cross_entropy(scores, q, label_smoothing=epsilon, reduction=reduction))

    @pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
    @pytest.mark.parametrize("log_target", [False, True])
    def test_kl(self, reduction, log_target):
        log_p, q = distribution(5, 4).log(), distribution(5, 4, seed=3)
        q[0] = tensor([0.0, 1.0, 0.0, 0.0])
        target = q[1:].log() if log_target else q
        log_p = log_p[1:] if log_target else log_p
        for how in (reduction, "batchmean"):
            expected = F.kl_div(log_p, target, reduction=how, log_target=log_target)
            torch.testing.assert_close(kl_div(log_p, target, reduction=how, log_target=log_target), expected)


class TestLaws:
    def test_focal_without_gamma_and_alpha_is_bce(self):
        x, y = random(50, scale=8).requires_grad_(), labels(50).double()
        focal = sigmoid_focal_loss(x, y, alpha=-1, gamma=0)
        bce = binary_cross_entropy_with_logits(x, y, reduction="none")
        torch.testing.assert_close(focal, bce)
        torch.testing.assert_close(slope(focal, x), slope(bce, x))

    def test_focal_is_never_larger_than_bce_but_its_slope_can_be(self):
        x = torch.linspace(-8, 8, 161, dtype=torch.float64).requires_grad_()
        y = torch.ones_like(x)
        focal, bce = sigmoid_focal_loss(x, y, alpha=-1), binary_cross_entropy_with_logits(x, y, reduction="none")
        assert (focal <= bce).all()
        assert slope(focal, x).min().item() == pytest.approx(-1.129, abs=1e-3)
        assert slope(bce, x).min() > -1

    def test_two_class_softmax_is_the_sigmoid(self):
        x = random(20, scale=5)
        pair = torch.stack([x, torch.zeros_like(x)], dim=1)
        bce = binary_cross_entropy_with_logits(x, torch.ones_like(x))
        torch.testing.assert_close(cross_entropy(pair, torch.zeros(20, dtype=torch.int64)), bce)

    def test_logits_and_probabilities_agree_before_saturation(self):
        x, y = random(20, scale=5), labels(20).double()
        torch.testing.assert_close(binary_cross_entropy(x.sigmoid(), y), binary_cross_entropy_with_logits(x, y))

    def test_kl_is_cross_entropy_less_entropy(self):
        scores, q = random(6, 5), distribution(6, 5)
        entropy = -(q * q.log()).sum(1).mean()
        divergence = kl_div(log_softmax(scores), q, reduction="batchmean")
        torch.testing.assert_close(divergence, cross_entropy(scores, q) - entropy)

    def test_kl_is_zero_only_at_equality_and_not_symmetric(self):
        p, q = distribution(1, 6), distribution(1, 6, seed=5)
        assert kl_div(p.log(), p, reduction="sum").item() == pytest.approx(0, abs=1e-15)
        forward, backward = kl_div(p.log(), q, reduction="sum"), kl_div(q.log(), p, reduction="sum")
        assert 0 < forward != backward > 0

    def test_mean_is_the_divergence_over_the_number_of_classes(self):
        p, q = distribution(3, 6), distribution(3, 6, seed=5)
        torch.testing.assert_close(6 * kl_div(p.log(), q), kl_div(p.log(), q, reduction="batchmean"))

    @pytest.mark.parametrize("classes", [2, 3, 10, 1000])
    def test_conventions_are_one_after_conversion(self, classes):
        target = labels(4, 2, high=classes)
        mixed = smooth_labels(target, classes, epsilon=0.1, dtype=torch.float64)
        shared = {"epsilon": 0.1 * (classes - 1) / classes, "convention": "excluding", "dtype": torch.float64}
        torch.testing.assert_close(mixed, smooth_labels(target, classes, **shared))
        torch.testing.assert_close(mixed.sum(-1), torch.ones(4, 2, dtype=torch.float64))

    def test_smoothed_rows_as_target_equal_the_option(self):
        scores, target = random(5, 7), labels(5, high=7)
        rows = smooth_labels(target, 7, epsilon=0.3, dtype=torch.float64)
        torch.testing.assert_close(cross_entropy(scores, rows), cross_entropy(scores, target, label_smoothing=0.3))

    def test_temperature_divides_the_logits(self):
        scores = random(3, 5, scale=4)
        torch.testing.assert_close(softmax(scores, temperature=2.5), (scores / 2.5).softmax(1))
        assert softmax(scores, temperature=1e6)[0].tolist() == pytest.approx([0.2] * 5, abs=1e-5)
        torch.testing.assert_close(softmax(scores, dim=0), scores.softmax(0))


class TestStability:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_logits_of_ten_thousand(self, dtype):
        scores = tensor([[1e4, 1e4, -1e4], [1e4, 0.0, 0.0]], dtype=dtype).requires_grad_()
        loss = cross_entropy(scores, tensor([0, 1]), reduction="none")
        assert loss.tolist() == pytest.approx([math.log(2), 1e4], rel=1e-6)  # a tie, and a mistake by 10,000
        assert slope(loss, scores).tolist() == [[-0.5, 0.5, 0.0], [1.0, -1.0, 0.0]]

    def test_wrong_by_a_thousand_is_linear_with_slope_one(self):
        x = tensor([1000.0, -1000.0]).requires_grad_()
        y = tensor([0.0, 1.0])
        for loss in (binary_cross_entropy_with_logits(x, y, reduction="none"), sigmoid_focal_loss(x, y, alpha=-1)):
            assert loss.tolist() == [1000, 1000]
            assert slope(loss, x).tolist() == [1, -1]

    def test_easy_examples_keep_their_digits_in_float32(self):
        # -ln σ(20) = e^-20 to nine digits; 1 - σ(20) would round to 0
        for x, y in ((20.0, 1.0), (-20.0, 0.0)):
            loss = binary_cross_entropy_with_logits(tensor([x]), tensor([y]))
            assert loss.item() == pytest.approx(math.exp(-20), rel=1e-6)

    @pytest.mark.parametrize("gamma", [0.1, 0.5, 2])
    def test_focal_slope_is_finite_where_p_rounds_to_one(self, gamma):
        x = tensor([800.0, 60.0]).requires_grad_()
        assert slope(sigmoid_focal_loss(x, torch.ones(2), gamma=gamma), x).isfinite().all()

    def test_bce_on_probabilities_dies_where_the_sigmoid_saturates(self):
        x = tensor([20.0]).requires_grad_()
        loss = binary_cross_entropy(x.sigmoid(), tensor([0.0]))
        assert loss.item() == 100
        assert slope(loss, x).tolist() == [0]
        assert slope(F.binary_cross_entropy(x.sigmoid(), tensor([0.0])), x).tolist() == [0]

    def test_smallest_float_is_cut_at_minus_100_as_in_torch(self):
        p, one = tensor([1e-45]), tensor([1.0])
        assert binary_cross_entropy(p, one).item() == F.binary_cross_entropy(p, one).item() == 100


class TestGradcheck:
    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_binary(self, reduction):
        x, y = random(4, 3).requires_grad_(), random(4, 3, seed=3).sigmoid()
        p, hard = random(4, 3, seed=4).sigmoid().requires_grad_(), labels(4, 3).double()
        check = torch.autograd.gradcheck
        assert check(lambda v: binary_cross_entropy(v, y, reduction=reduction), (p,))
        assert check(lambda v: binary_cross_entropy_with_logits(v, y, reduction=reduction), (x,))
        for alpha, gamma in ((-1, 2), (0.25, 0.5), (0.75, 0)):
            assert check(
                lambda v, a=alpha, g=gamma: sigmoid_focal_loss(v, hard, alpha=a, gamma=g, reduction=reduction), (x,)
            )

    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_of_classes(self, reduction):
        scores, target, q = random(4, 3).requires_grad_(), labels(4, high=3), distribution(4, 3).requires_grad_()
        check = torch.autograd.gradcheck
        assert check(lambda v: cross_entropy(v, target, label_smoothing=0.2, reduction=reduction), (scores,))
        assert check(lambda v, w: cross_entropy(v, w, reduction=reduction), (scores, q))
        assert check(lambda v, w: kl_div(v, w, reduction=reduction), (scores, q))
        assert check(lambda v, w: kl_div(v, w, reduction=reduction, log_target=True), (scores, random(4, 3, seed=6)))
        assert check(lambda v: softmax(v, temperature=0.7), (scores,))


class TestEmpty:
    def test_none_keeps_the_shape_sum_is_zero_and_mean_is_nan_as_in_torch(self):
        flat, scores = torch.zeros(0), torch.zeros(0, 3)
        for loss in (binary_cross_entropy, binary_cross_entropy_with_logits, sigmoid_focal_loss, kl_div):
            self.check(loss, flat, flat)
        self.check(cross_entropy, scores, torch.zeros(0, dtype=torch.int64))

    @staticmethod
    def check(loss, first, second):
        assert loss(first, second, reduction="none").shape == (0,)
        assert loss(first, second, reduction="sum") == 0
        assert loss(first, second, reduction="mean").isnan()

    def test_no_labels_make_no_rows(self):
        assert smooth_labels(torch.zeros(0, dtype=torch.int64), 4, epsilon=0.1).shape == (0, 4)

    def test_arguments_are_left_alone(self):
        p, y = tensor([0.0, 1.0, 0.5]), tensor([1.0, 0.0, 1.0])
        before = p.clone(), y.clone()
        binary_cross_entropy(p, y)
        assert torch.equal(p, before[0])
        assert torch.equal(y, before[1])


class TestRaises:
    one = torch.ones(1)

    @pytest.mark.parametrize("loss", [binary_cross_entropy, binary_cross_entropy_with_logits, sigmoid_focal_loss])
    def test_binary(self, loss):
        name = "inputs" if loss is sigmoid_focal_loss else "input"
        with pytest.raises(TypeError, match=f"{name} must be a Tensor, got float"):
            loss(1.0, self.one)
        with pytest.raises(TypeError, match=r"must have a floating-point dtype, got torch\.int64"):
            loss(self.one, tensor([1]))
        with pytest.raises(ValueError, match=r"must have the same shape, got \(1,\) and \(2,\)"):
            loss(self.one, torch.ones(2))
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got 2 to 2"):
            loss(self.one, 2 * self.one)
        with pytest.raises(ValueError, match="reduction 'average' is unknown"):
            loss(self.one, self.one, reduction="average")

    def test_probability_out_of_range(self):
        with pytest.raises(ValueError, match=r"input must lie in \[0, 1\], got -3 to 1"):
            binary_cross_entropy(tensor([-3.0, 1.0]), torch.ones(2))

    def test_focal_options(self):
        with pytest.raises(ValueError, match="targets must be 0 or 1"):
            sigmoid_focal_loss(self.one, 0.5 * self.one)
        with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\], got 2"):
            sigmoid_focal_loss(self.one, self.one, alpha=2)
        with pytest.raises(ValueError, match=r"gamma must lie in \[0, inf\], got -1"):
            sigmoid_focal_loss(self.one, self.one, gamma=-1)

    def test_cross_entropy(self):
        scores = torch.zeros(2, 3)
        with pytest.raises(TypeError, match="input must have a floating-point dtype"):
            cross_entropy(tensor([[1, 2]]), tensor([0]))
        with pytest.raises(TypeError, match="target must be a Tensor, got list"):
            cross_entropy(scores, [0, 1])
        with pytest.raises(TypeError, match=r"target must hold int64 class indices, got torch\.int32"):
            cross_entropy(scores, tensor([0, 1], dtype=torch.int32))
        with pytest.raises(ValueError, match=r"input must have an axis of classes, got shape \(\)"):
            cross_entropy(tensor(0.0), tensor(0))
        with pytest.raises(ValueError, match=r"target must have shape \(2,\), got \(3,\)"):
            cross_entropy(scores, tensor([0, 1, 2]))
        with pytest.raises(ValueError, match=r"input and target must have the same shape"):
            cross_entropy(scores, torch.zeros(2))
        with pytest.raises(ValueError, match=r"target must lie in \[0, 2\], got 0 to 3"):
            cross_entropy(scores, tensor([0, 3]))
        with pytest.raises(ValueError, match=r"label_smoothing must lie in \[0, 1\], got 1.5"):
            cross_entropy(scores, tensor([0, 1]), label_smoothing=1.5)
        with pytest.raises(ValueError, match="reduction 'batchmean' is unknown"):
            cross_entropy(scores, tensor([0, 1]), reduction="batchmean")

    def test_kl(self):
        with pytest.raises(TypeError, match="target must have a floating-point dtype"):
            kl_div(self.one, tensor([1]))
        with pytest.raises(ValueError, match=r"input and target must have the same shape"):
            kl_div(self.one, torch.ones(2))
        with pytest.raises(ValueError, match=r"target must hold probabilities, got -0\.5"):
            kl_div(self.one, -0.5 * self.one)
        with pytest.raises(ValueError, match="reduction 'all' is unknown"):
            kl_div(self.one, self.one, reduction="all")

    def test_softmax(self):
        for function in (softmax, log_softmax):
            with pytest.raises(ValueError, match="temperature must be positive, got 0"):
                function(self.one, temperature=0)
            with pytest.raises(TypeError, match="input must have a floating-point dtype"):
                function(tensor([1]))

    def test_smooth_labels(self):
        with pytest.raises(ValueError, match="num_classes must be at least 2, got 1"):
            smooth_labels(tensor([0]), 1, epsilon=0.1)
        with pytest.raises(ValueError, match=r"target must lie in \[0, 2\], got -1 to -1"):
            smooth_labels(tensor([-1]), 3, epsilon=0.1)
        with pytest.raises(TypeError, match=r"target must hold int64 class indices, got torch\.float32"):
            smooth_labels(tensor([0.0]), 3, epsilon=0.1)
        with pytest.raises(ValueError, match=r"epsilon must lie in \[0, 1\], got 2"):
            smooth_labels(tensor([0]), 3, epsilon=2)
        with pytest.raises(ValueError, match='convention must be "torch" or "excluding", got \'keras\''):
            smooth_labels(tensor([0]), 3, epsilon=0.1, convention="keras")
