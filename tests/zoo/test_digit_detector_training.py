import math

import pytest
import torch

from cvviz.data.digit_scenes import DigitScene
from cvviz.ops.anchors import encode_boxes
from cvviz.ops.boxes import box_iou
from cvviz.zoo import digit_detector_training as training
from cvviz.zoo.digit_detector import DigitDetector, load_digit_detector
from cvviz.zoo.digit_detector_training import HELD_OUT, average_precision, detection_loss, mixed_scene

NONE = DigitScene(torch.zeros(3, 64, 64, dtype=torch.uint8), torch.empty(0, 4), torch.empty(0, dtype=torch.int64))


def scene(*boxes, labels):
    return DigitScene(NONE.pixels, torch.tensor(boxes), torch.tensor(labels))


class TestMixedScene:
    def test_seeded_and_varied(self):
        assert torch.equal(mixed_scene(7, "train").pixels, mixed_scene(7, "train").pixels)
        counts = {len(mixed_scene(seed, "test").labels) for seed in range(30)}
        assert min(counts) <= 3
        assert max(counts) >= 10


class TestDetectionLoss:
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [0.0, 0.0, 10.0, 22.0]])

    def test_by_hand(self):
        # The digit is the first anchor, moved by nothing: no GIoU loss. The third has an IoU of 100/220 = 0.45 with it
        # and is ignored. Focal loss at p = 1/2: alpha_t (1/2)^2 ln 2 for the 10 + 10 scores of the other two anchors,
        # alpha_t 0.25 for the true class and 0.75 for the other 19; one anchor is matched.
        loss = detection_loss(
            torch.zeros(1, 3, 10), torch.zeros(1, 3, 4), self.anchors, [scene([0.0, 0.0, 10.0, 10.0], labels=[3])]
        )
        assert loss.item() == pytest.approx((0.25 + 19 * 0.75) * 0.25 * math.log(2))

    def test_a_perfect_answer_costs_nothing(self):
        truth = scene([1.0, 0.0, 11.0, 11.0], [21.0, 1.0, 29.0, 9.0], labels=[3, 8])
        logits = torch.full((1, 3, 10), -20.0)
        logits[0, 0, 3] = logits[0, 1, 8] = 20
        deltas = torch.zeros(1, 3, 4)
        deltas[0, :2] = encode_boxes(truth.boxes, self.anchors[:2])
        assert detection_loss(logits, deltas, self.anchors, [truth]).item() == pytest.approx(0, abs=1e-5)

    def test_what_an_ignored_anchor_says_is_free(self):
        truth = [scene([0.0, 0.0, 10.0, 10.0], labels=[3])]
        logits = torch.zeros(1, 3, 10)
        before = detection_loss(logits, torch.zeros(1, 3, 4), self.anchors, truth)
        logits[0, 2] = 5
        assert detection_loss(logits, torch.zeros(1, 3, 4), self.anchors, truth) == before

    def test_a_scene_without_digits(self):
        logits = torch.zeros(1, 3, 10, requires_grad=True)
        loss = detection_loss(logits, torch.zeros(1, 3, 4, requires_grad=True), self.anchors, [NONE])
        torch.autograd.backward(loss)
        assert (logits.grad > 0).all()  # every score is to fall


class TestMatching:
    def test_every_digit_has_an_anchor(self):
        anchors = DigitDetector().anchors(160, 160)
        best = torch.cat([box_iou(mixed_scene(seed, "train").boxes, anchors).amax(dim=1) for seed in range(40)])
        assert (best > 0.5).float().mean() > 0.97


class TestAveragePrecision:
    scenes = tuple(mixed_scene(seed, "test") for seed in range(8))

    def answers(self, monkeypatch, answer):
        monkeypatch.setattr(training, "detect", lambda model, pixels, **options: answer[id(pixels)])
        return average_precision(load_digit_detector(), self.scenes)

    def test_the_truth_scores_one(self, monkeypatch):
        truth = {id(it.pixels): (it.boxes, torch.ones(len(it.labels)), it.labels) for it in self.scenes}
        assert self.answers(monkeypatch, truth) == pytest.approx((1, 1))

    def test_loose_boxes_count_at_one_half_only(self, monkeypatch):
        # Twice as high from the same top: IoU 1/2, which is reached, but 0.55 is not.
        stretch = torch.tensor([0.0, 0.0, 0.0, 1.0])
        loose = {
            id(it.pixels): (
                it.boxes + stretch * (it.boxes[:, 3:] - it.boxes[:, 1:2]),
                torch.ones(len(it.labels)),
                it.labels,
            )
            for it in self.scenes[:1]
        }
        none = (torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.int64))
        monkeypatch.setattr(training, "detect", lambda model, pixels, **options: loose.get(id(pixels), none))
        every, half = average_precision(load_digit_detector(), self.scenes[:1])
        assert half > 0.9
        assert every == pytest.approx(half / 10)

    def test_nothing_found(self, monkeypatch):
        none = (torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.int64))
        assert self.answers(monkeypatch, {id(it.pixels): none for it in self.scenes}) == (0, 0)


@pytest.mark.slow
def test_the_weights_in_the_repository_are_as_good_as_their_card_says():
    every, half = average_precision(load_digit_detector(), [mixed_scene(seed, "test") for seed in range(HELD_OUT)])
    assert half >= 0.80
    assert every >= 0.50
