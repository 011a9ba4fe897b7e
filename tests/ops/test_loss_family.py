"""Classification losses by name, and the balance of a detector's loss."""

import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from cvviz.ops.loss_family import Sigmoid, Softmax, share_of_negatives, sigmoid_loss, softmax_loss

SCORES = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]], dtype=torch.float64)
TRUTH = torch.tensor([0, 2])
TARGET = F.one_hot(TRUTH, 3).double()


class TestSoftmaxLoss:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("ce", lambda: F.cross_entropy(SCORES, TRUTH, reduction="none")),
            ("smooth", lambda: F.cross_entropy(SCORES, TRUTH, reduction="none", label_smoothing=0.3)),
            # ε shared by the two wrong classes: 0.7 on, 0.15 off
            ("others", lambda: F.cross_entropy(SCORES, 0.55 * TARGET + 0.15, reduction="none")),
            ("kl", lambda: F.kl_div(SCORES.log_softmax(1), 0.7 * TARGET + 0.1, reduction="none").sum(1)),
            ("twice", lambda: F.cross_entropy(SCORES.softmax(1), TRUTH, reduction="none")),
        ],
    )
    def test_torch(self, name, expected):
        torch.testing.assert_close(softmax_loss(SCORES, TRUTH, name, epsilon=0.3), expected())

    @pytest.mark.parametrize("name", ["smooth", "others", "kl"])
    def test_without_smoothing_all_are_cross_entropy(self, name):
        torch.testing.assert_close(softmax_loss(SCORES, TRUTH, name), softmax_loss(SCORES, TRUTH, "ce"))

    @pytest.mark.parametrize("name", get_args(Softmax))
    def test_sees_differences_only(self, name):
        shifted = softmax_loss(SCORES + 5, TRUTH, name, epsilon=0.1)
        torch.testing.assert_close(shifted, softmax_loss(SCORES, TRUTH, name, epsilon=0.1))

    @pytest.mark.parametrize("name", get_args(Softmax))
    def test_gradcheck(self, name):
        scores = SCORES.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda x: softmax_loss(x, TRUTH, name, epsilon=0.2), scores)

    def test_no_examples(self):
        assert softmax_loss(SCORES[:0], TRUTH[:0], "kl", epsilon=0.1).shape == (0,)

    def test_unknown_name(self):
        with pytest.raises(ValueError, match="name must be one of ce, smooth"):
            softmax_loss(SCORES, TRUTH, "hinge")


class TestSigmoidLoss:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("bce", lambda: F.binary_cross_entropy_with_logits(SCORES, TARGET, reduction="none")),
            ("focal", lambda: sigmoid_focal_loss(SCORES, TARGET, alpha=0.25, gamma=1.5)),
            ("prob", lambda: F.binary_cross_entropy(SCORES.float().sigmoid(), TARGET.float(), reduction="none")),
        ],
    )
    def test_torch(self, name, expected):
        ours = sigmoid_loss(SCORES, TARGET, name, gamma=1.5, alpha=0.25)
        torch.testing.assert_close(ours, expected().double().sum(1), atol=1e-6, rtol=1e-6)

    def test_each_class_for_itself(self):
        # Raising one logit by 1 changes the sum by that class's own loss alone.
        raised = SCORES + torch.tensor([0.0, 1.0, 0.0])
        alone = [sigmoid_loss(x[:, 1:2], TARGET[:, 1:2], "bce") for x in (SCORES, raised)]
        whole = [sigmoid_loss(x, TARGET, "bce") for x in (SCORES, raised)]
        torch.testing.assert_close(whole[1] - whole[0], alone[1] - alone[0])

    @pytest.mark.parametrize("name", ["bce", "focal"])
    def test_gradcheck(self, name):
        logits = SCORES.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda x: sigmoid_loss(x, TARGET, name), logits)

    def test_single_precision_is_cut(self):
        # σ(20) rounds to 1 in float32, and torch cuts the logarithm of 0 at -100
        assert sigmoid_loss(torch.tensor([[20.0]]), torch.zeros(1, 1), "prob").item() == 100

    def test_shapes_must_agree(self):
        with pytest.raises(ValueError, match="logits and target must have the same shape"):
            sigmoid_loss(SCORES, TARGET[:1], "bce")

    def test_unknown_name(self):
        with pytest.raises(ValueError, match="name must be one of bce, focal, prob"):
            sigmoid_loss(SCORES, TARGET, "hinge")


def test_names_are_told_apart():
    assert not set(get_args(Softmax)) & set(get_args(Sigmoid))


class TestShareOfNegatives:
    def test_by_hand(self):
        negatives, positives = 1e5 * -math.log(0.99), 10 * -math.log(0.3)
        assert share_of_negatives(2.0, -1)[0].item() == pytest.approx(negatives / (negatives + positives))

    def test_gamma_zero_is_bce(self):
        assert share_of_negatives(0.0, -1).diff().item() == pytest.approx(0)

    def test_alpha_raises_what_focusing_left(self):
        # α = 0.25 weighs negatives three times as much as positives
        plain, weighted = (share_of_negatives(2.0, alpha)[1].item() for alpha in (-1, 0.25))
        assert weighted / (1 - weighted) == pytest.approx(3 * plain / (1 - plain))
