import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import nms

from cvviz.data.digit_scenes import digit_scene
from cvviz.ops.boxes import box_iou
from cvviz.zoo.digit_detector import DigitDetector, detect, load_digit_detector, raw_head
from cvviz.zoo.weights import ASSETS


@pytest.fixture(scope="module")
def model():
    return load_digit_detector()


def grown(pixels, bottom, right):
    """The picture with its last row and column repeated."""
    return F.pad(pixels.float(), (0, right, 0, bottom), mode="replicate").byte()


class TestNetwork:
    @pytest.mark.parametrize("size", [(64, 64), (160, 160), (65, 81), (100, 250)])
    def test_cardinality(self, model, size):
        logits, deltas = model(torch.rand(2, 3, *size))
        count = len(model.anchors(*size))
        assert logits.shape == (2, count, 10)
        assert deltas.shape == (2, count, 4)

    def test_anchors_of_a_scene(self, model):
        # 40 x 40 + 20 x 20 + 10 x 10 cells, each with two sizes in two ratios.
        anchors = model.anchors(160, 160)
        assert len(anchors) == (1600 + 400 + 100) * 4
        centers, sides = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2:] - anchors[:, :2]
        # The second cell of the second level, in the middle of px 8 to 16; ratio by ratio and size by size.
        cell = slice(6400 + 4, 6400 + 8)
        assert torch.allclose(centers[cell], torch.tensor([12.0, 4.0]))
        assert sides[cell].prod(dim=1).sqrt().tolist() == pytest.approx([20, 28, 20, 28])
        assert (sides[cell, 1] / sides[cell, 0]).tolist() == pytest.approx([1.2, 1.2, 2.2, 2.2])

    def test_a_batch_equals_its_pictures(self, model):
        images = torch.rand(3, 3, 96, 96)
        logits, deltas = model(images)
        for place, image in enumerate(images):
            one = model(image[None])
            assert torch.allclose(logits[place], one[0][0], atol=1e-4)
            assert torch.allclose(deltas[place], one[1][0], atol=1e-4)

    def test_before_training_every_score_is_about_the_prior(self):
        torch.manual_seed(0)
        logits, _ = DigitDetector().eval()(torch.rand(1, 3, 64, 64))
        assert logits.sigmoid().mean().item() == pytest.approx(0.01, rel=0.2)

    @pytest.mark.parametrize("shape", [(3, 160, 160), (1, 1, 160, 160), (1, 3, 63, 160)])
    def test_exception(self, model, shape):
        with pytest.raises(ValueError, match=r"images must have shape \(N, 3, H, W\) with sides of at least 64 px"):
            model(torch.rand(*shape))


class TestRawHead:
    @pytest.mark.parametrize("size", [64, 160, 171])
    def test_ranges(self, model, size):
        boxes, scores = raw_head(model, digit_scene(1, density=1, size=size).pixels)
        count = len(model.anchors(size, size))
        assert (boxes.shape, scores.shape) == ((count, 4), (count, 10))
        assert boxes.dtype == scores.dtype == torch.float32
        assert ((boxes >= 0) & (boxes <= size)).all()
        assert (boxes[:, 2:] >= boxes[:, :2]).all()
        assert ((scores >= 0) & (scores <= 1)).all()
        assert not boxes.requires_grad

    def test_every_digit_is_found_many_times(self, model):
        # What suppression is for.
        scene = digit_scene(0, density=0.3)
        boxes, scores = raw_head(model, scene.pixels)
        near = box_iou(scene.boxes, boxes[scores.amax(dim=1) > 0.3]) > 0.5
        assert (near.sum(dim=1) > 1).all()

    def test_exception(self, model):
        with pytest.raises(TypeError, match=r"pixels must be uint8, got torch.float32."):
            raw_head(model, torch.rand(3, 160, 160))
        with pytest.raises(TypeError, match=r"pixels must be a Tensor, got list."):
            raw_head(model, [])
        with pytest.raises(ValueError, match=r"sides of at least 64 px, got \(3, 32, 160\)."):
            raw_head(model, torch.zeros(3, 32, 160, dtype=torch.uint8))


class TestDetect:
    def test_easy_digits_are_found(self, model):
        found = total = 0
        for seed in range(20):
            scene = digit_scene(seed, density=0.2, noise=0.1)
            boxes, _, labels = detect(model, scene.pixels, score_threshold=0.3)
            right = (box_iou(scene.boxes, boxes) > 0.5) & (scene.labels[:, None] == labels)
            found, total = found + int(right.any(dim=1).sum()), total + len(scene.labels)
        assert found >= 0.85 * total

    @pytest.mark.parametrize("seed", [0, 1])
    def test_class_aware_is_nms_class_by_class(self, model, seed):
        pixels = digit_scene(seed, density=0.8).pixels
        boxes, scores = raw_head(model, pixels)
        expected = []
        for label in range(10):
            chosen = (scores[:, label] > 0.05) & (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
            kept = nms(boxes[chosen], scores[chosen, label], 0.5)
            expected += [(score, label) for score in scores[chosen, label][kept].tolist()]
        _, found, labels = detect(model, pixels, most=10_000)
        assert sorted(zip(found.tolist(), labels.tolist(), strict=True)) == sorted(expected)

    def test_best_first(self, model):
        boxes, scores, labels = detect(model, digit_scene(2, density=1).pixels, score_threshold=0.2)
        assert (scores.diff() <= 0).all()
        assert scores[-1] > 0.2
        assert len(boxes) == len(scores) == len(labels)
        assert labels.dtype == torch.int64

    def test_class_agnostic_leaves_no_overlap_at_all(self, model):
        pixels = digit_scene(4, density=1).pixels
        boxes, _, _ = detect(model, pixels, class_aware=False, most=10_000)
        assert (box_iou(boxes, boxes).fill_diagonal_(0) <= 0.5).all()
        assert len(boxes) < len(detect(model, pixels, most=10_000)[0])

    def test_most(self, model):
        pixels = digit_scene(2, density=1).pixels
        best = detect(model, pixels)[1][:3]
        assert torch.equal(detect(model, pixels, most=3)[1], best)
        assert len(detect(model, pixels, most=0)[0]) == 0

    def test_nothing_above_the_threshold(self, model):
        boxes, scores, labels = detect(model, digit_scene(0).pixels, score_threshold=1.0)
        assert (boxes.shape, scores.shape, labels.shape) == ((0, 4), (0,), (0,))

    @pytest.mark.parametrize("grey", [0, 127, 255])
    def test_an_empty_picture_holds_no_digit(self, model, grey):
        assert len(detect(model, torch.full((3, 160, 160), grey, dtype=torch.uint8), score_threshold=0.3)[0]) == 0

    @pytest.mark.parametrize(("bottom", "right"), [(16, 0), (5, 11), (64, 128)])
    def test_a_larger_picture_shows_the_same_digits(self, model, bottom, right):
        scene = digit_scene(0, density=0.3, noise=0.1)
        boxes, _, labels = detect(model, scene.pixels, score_threshold=0.4)
        again, _, same = detect(model, grown(scene.pixels, bottom, right), score_threshold=0.3)
        assert len(boxes) >= 3
        overlaps = box_iou(boxes, again) * (labels[:, None] == same)
        assert (overlaps.amax(dim=1) > 0.8).all()

    def test_no_box_without_area(self, model):
        # Half of the cells of the last level lie beyond a picture of 168 x 168.
        boxes, _, _ = detect(model, grown(digit_scene(3, density=1).pixels, 8, 8), score_threshold=0.01, most=10_000)
        assert (boxes[:, 2:] > boxes[:, :2]).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"score_threshold": 2}, r"score_threshold must lie in \[0, 1\], got 2."),
            ({"iou_threshold": -0.5}, r"iou_threshold must lie in \[0, 1\], got -0.5."),
            ({"most": -1}, r"most must lie in \[0, inf\], got -1."),
        ],
    )
    def test_exception(self, model, options, message):
        with pytest.raises(ValueError, match=message):
            detect(model, digit_scene(0).pixels, **options)


class TestLoading:
    def test_ready_to_predict(self, model):
        assert not model.training
        assert not any(value.requires_grad for value in model.parameters())
        assert all(value.dtype == torch.float32 for value in model.parameters())

    def test_one_for_the_process_and_the_same_when_read_again(self, model):
        assert load_digit_detector() is model
        again = load_digit_detector.__wrapped__()
        pixels = digit_scene(0).pixels
        for first, second in zip(raw_head(model, pixels), raw_head(again, pixels), strict=True):
            assert torch.equal(first, second)

    def test_the_file_is_small_and_described(self):
        assert (ASSETS / "digit-detector.safetensors").stat().st_size < 3e6
        assert (ASSETS / "digit-detector.md").exists()

    def test_scikit_learn_is_not_imported(self):
        use = "from cvviz.zoo.digit_detector import load_digit_detector as load; load()"
        code = f"import sys; {use}; print('sklearn' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
