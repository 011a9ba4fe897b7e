"""The test set of average precision: what is in it, and that it is evaluated as pycocotools would."""

import torch

from cvviz.data.digit_scenes import digit_scene
from cvviz.ops.detection_metrics import average_precisions
from cvviz.zoo.digit_test_set import LOWEST, MOST, SCENES, digit_test_set


class TestDigitTestSet:
    def test_objects_are_those_of_the_scenes(self):
        tests = digit_test_set()
        assert len(tests.titles) == SCENES
        for image in (0, 17, SCENES - 1):
            own = tests.truth.images == image
            scene = digit_scene(image)
            assert torch.equal(tests.truth.boxes[own], scene.boxes.double())
            assert torch.equal(tests.truth.labels[own], scene.labels)
            assert torch.equal(tests.picture(image)[0], scene.pixels)

    def test_detections(self):
        found = digit_test_set().predictions
        assert found.images.bincount(minlength=SCENES).max() <= MOST
        assert found.scores.min() >= LOWEST
        assert found.scores.max() <= 1
        assert bool((found.boxes[:, 2:] > found.boxes[:, :2]).all())

    def test_every_digit_is_there_and_most_are_found(self):
        tests = digit_test_set()
        assert tests.truth.labels.bincount(minlength=10).min() >= 10
        table = average_precisions(tests.truth, tests.predictions, range(10))[:, 0]
        assert table[:, 0].min() > 0.2  # AP50 of the worst class; an untrained detector has about 0

    def test_computed_once(self):
        assert digit_test_set() is digit_test_set()
