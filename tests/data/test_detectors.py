import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from cvviz.data.detectors import DETECTORS, MOST_SIDE, MOST_WINDOWS, detect, reduced
from cvviz.data.images import Picture, sample
from cvviz.ops.nms import batched_nms


def blank(height, width):
    return Picture("mine", "blank", lambda: torch.full((3, height, width), 128, dtype=torch.uint8))


class TestReduced:
    def test_small_pictures_stay_as_they_are(self):
        assert reduced(sample("astronaut")) is sample("astronaut").pixels

    def test_longest_side(self):
        assert reduced(blank(1000, 500)).shape == (3, MOST_SIDE, MOST_SIDE // 2)
        assert reduced(blank(1024, 1)).shape == (3, MOST_SIDE, 1)


class TestDetect:
    def test_faces_are_what_opencv_finds_ungrouped(self):
        found = detect(sample("astronaut"), ("face",))
        cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
        grey = cv2.cvtColor(sample("astronaut").pixels.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY)
        rects = cascade.detectMultiScale(grey, minNeighbors=0)
        expected = {(x, y, x + w, y + h) for x, y, w, h in rects.tolist()}
        assert {tuple(box) for box in found.boxes.tolist()} == expected
        assert len(found.scores) == len(rects)

    def test_score_is_the_sigmoid_of_the_level_weight(self):
        found = detect(sample("astronaut"), ("face",))
        cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
        grey = cv2.cvtColor(sample("astronaut").pixels.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY)
        _, levels, weights = cascade.detectMultiScale3(grey, minNeighbors=0, outputRejectLevels=True)
        assert set(levels.tolist()) == {25}  # all stages passed: a level tells windows apart no more
        expected = np.sort(1 / (1 + np.exp(-weights)))[::-1]
        np.testing.assert_allclose(found.scores.numpy(), expected, atol=5e-5)

    def test_face_and_two_eyes_survive_on_the_astronaut(self):
        found = detect(sample("astronaut"), ("face", "eye"))
        sure = found.scores >= 0.9
        boxes, labels = found.boxes[sure], found.labels[sure]
        kept = batched_nms(boxes, found.scores[sure], labels, 0.3)
        assert [found.names[label] for label in labels[kept]] == ["face", "eye", "eye"]
        face, *eyes = boxes[kept]
        for eye in eyes:
            assert (eye[:2] > face[:2]).all()
            assert (eye[2:] < face[2:]).all()

    def test_people_reach_below_the_detectors_own_threshold(self):
        found = detect(sample("astronaut"), ("person",))
        assert (found.scores < 0.5).any()
        assert found.scores.min() >= 0.2689  # sigmoid(-1)

    @pytest.mark.parametrize("name", DETECTORS)
    def test_order_range_and_memory(self, name):
        found = detect(sample("coffee"), (name,))
        assert (found.scores.diff() <= 0).all()
        assert ((found.scores > 0) & (found.scores < 1)).all()
        assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
        assert detect(sample("coffee"), (name,)) is found

    def test_at_most_so_many_windows(self):
        found = detect(sample("astronaut"), ("face", "eye", "person"))
        assert len(found.scores) == MOST_WINDOWS
        assert found.notes[0].endswith(f"the {MOST_WINDOWS} with the highest scores are used.")

    def test_pictures_smaller_than_the_window(self):
        # In a process of its own: without our check OpenCV writes outside its memory here, and dies now or later.
        code = (
            "import torch; from cvviz.data.detectors import *; from cvviz.data.images import Picture\n"
            "for size in ((1, 1), (100, 63), (127, 500), (128, 64), (3, 500)):\n"
            "    picture = Picture('mine', '', lambda: torch.full((3, *size), 128, dtype=torch.uint8))\n"
            "    assert len(detect(picture, tuple(DETECTORS)).scores) == 0"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
