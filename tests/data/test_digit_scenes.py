import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from cvviz.data import digit_scenes
from cvviz.data.digit_scenes import LARGEST, MOST_DIGITS, MOST_IOU, PHOTOS, digit_scene, scans
from cvviz.ops.boxes import box_iou


def overlaps(boxes):
    return box_iou(boxes, boxes).fill_diagonal_(0)


class TestDigitScene:
    @pytest.mark.parametrize("size", [64, 100, 160, 256])
    def test_cardinality(self, size):
        scene = digit_scene(3, size=size)
        count = len(scene.labels)
        assert (scene.pixels.shape, scene.pixels.dtype) == ((3, size, size), torch.uint8)
        assert (scene.boxes.shape, scene.boxes.dtype) == ((count, 4), torch.float32)
        assert scene.labels.dtype == torch.int64
        assert 1 <= count <= MOST_DIGITS

    @pytest.mark.parametrize("split", ["train", "test"])
    @pytest.mark.parametrize("density", [0.0, 0.5, 1.0])
    def test_boxes_lie_in_the_picture(self, split, density):
        for seed in range(20):
            scene = digit_scene(seed, split=split, density=density)
            assert (scene.boxes >= 0).all()
            assert (scene.boxes <= 160).all()
            assert ((scene.boxes[:, 2:] - scene.boxes[:, :2]) >= 4).all()
            assert (scene.boxes[:, 3] - scene.boxes[:, 1] <= LARGEST).all()
            assert ((scene.labels >= 0) & (scene.labels <= 9)).all()

    def test_a_seed_repeats(self):
        again = digit_scenes._scene.__wrapped__(5, "test", 0.5, 0.2, 160)
        scene = digit_scene(5)
        assert torch.equal(again.pixels, scene.pixels)
        assert torch.equal(again.boxes, scene.boxes)
        assert torch.equal(again.labels, scene.labels)
        assert not torch.equal(digit_scene(6).pixels, scene.pixels)

    def test_no_global_generator(self):
        np.random.seed(0)
        torch.manual_seed(0)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()
        digit_scene(991)
        assert np.array_equal(np.random.get_state()[1], before[0])
        assert torch.equal(torch.get_rng_state(), before[1])

    def test_a_box_is_tight(self):
        # The background is drawn first and can thus be drawn again: what differs from it is the digit.
        generator = np.random.default_rng([2, True])
        background = digit_scenes._background(generator, "test", 160)
        scene = digit_scene(2, density=0, noise=0)
        difference = (scene.pixels.permute(1, 2, 0) - torch.from_numpy(background)).abs().amax(dim=2)
        rows, columns = (difference > 15).nonzero().unbind(dim=1)
        seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (seen - scene.boxes[0]).abs().max() <= 1  # a faint pixel of the border

    def test_density_zero_is_one_digit_alone(self):
        assert all(len(digit_scene(seed, density=0).labels) == 1 for seed in range(20))

    def test_density_adds_digits_and_overlap(self):
        counts, most = [], []
        for density in (0.0, 0.25, 0.5, 0.75, 1.0):
            scenes = [digit_scene(seed, density=density) for seed in range(30)]
            counts.append(sum(len(scene.labels) for scene in scenes))
            most.append(max(float(overlaps(scene.boxes).max()) for scene in scenes))
        assert counts == sorted(counts)
        assert most == sorted(most)
        assert most[0] == 0
        assert 0.5 < most[-1] <= MOST_IOU

    def test_crowds_hold_neighbours_that_nms_takes_for_one(self):
        pairs = 0
        for seed in range(40):
            scene = digit_scene(seed, density=1)
            alike = scene.labels[:, None] == scene.labels
            pairs += int((alike & (overlaps(scene.boxes) > 0.5)).sum()) // 2
        assert pairs >= 5

    def test_noise_is_what_it_says(self):
        # sigma = NOISE * 0.2 = 10 grey levels; clipping at 0 and 255 and rounding change it little.
        difference = digit_scene(1, noise=0.2).pixels.float() - digit_scene(1, noise=0).pixels.float()
        assert difference.std().item() == pytest.approx(10, rel=0.05)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"seed": -1}, "seed must be at least 0, got -1."),
            ({"split": "val"}, 'split must be "train" or "test", got \'val\'.'),
            ({"density": 1.5}, r"density must lie in \[0, 1\], got 1.5."),
            ({"noise": -0.1}, r"noise must lie in \[0, 1\], got -0.1."),
            ({"size": 63}, "size must be at least 64 px, got 63."),
        ],
    )
    def test_exception(self, options, message):
        with pytest.raises(ValueError, match=message):
            digit_scene(options.pop("seed", 0), **options)


class TestSplits:
    def test_scans_and_photographs_are_disjoint(self):
        assert not set(scans("train")) & set(scans("test"))
        assert len(scans("train")) + len(scans("test")) == 1797
        assert not set(PHOTOS["train"]) & set(PHOTOS["test"])

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_scenes_use_only_their_own(self, split, monkeypatch):
        used, photos = set(), set()
        glyph, photo = digit_scenes._glyph, digit_scenes._photo
        monkeypatch.setattr(digit_scenes, "_glyph", lambda scan: (used.add(scan), glyph(scan))[1])
        monkeypatch.setattr(digit_scenes, "_photo", lambda name: (photos.add(name), photo(name))[1])
        for seed in range(5000, 5030):
            digit_scene(seed, split=split, density=1)
        assert used <= set(scans(split))
        assert photos == set(PHOTOS[split])

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_each_class_is_in_each_split(self, split):
        counts = torch.bincount(digit_scenes._digits()[1][list(scans(split))])
        assert len(counts) == 10
        assert (counts > 30).all()


class TestDigits:
    def test_they_are_scikit_learns(self):
        images, labels = digit_scenes._digits()
        digits = load_digits()
        assert np.array_equal(images, digits.images / 16)
        assert labels.tolist() == digits.target.tolist()

    def test_scikit_learn_is_not_imported(self):
        code = "import sys; from cvviz.data.digit_scenes import digit_scene as d; d(0); print('sklearn' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
