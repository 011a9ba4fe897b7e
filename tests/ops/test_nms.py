import doctest

import numpy as np
import pytest
import torch
import torchvision.ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

import cvviz.ops.nms
from cvviz.ops.boxes import box_iou
from cvviz.ops.nms import batched_nms, nms, soft_nms, trace_nms

METHODS = ("hard", "linear", "gaussian")


def random_boxes(count, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=dtype) * 60
    size = torch.rand(count, 2, generator=generator, dtype=dtype) * 40 + 1
    scores = torch.rand(count, generator=generator, dtype=dtype)
    labels = torch.randint(0, 3, (count,), generator=generator)
    return torch.cat([corner, corner + size], dim=1), scores, labels


def column(*bottoms):
    """Boxes (0, 0, 10, b): the IoU of two of them is the smaller b over the larger."""
    return torch.tensor([[0.0, 0.0, 10.0, bottom] for bottom in bottoms])


@st.composite
def crowded_integer_boxes(draw):
    """Few distinct coordinates and scores, so that equal boxes, equal scores and IoU at the threshold are common."""
    count = draw(st.integers(0, 12))
    number = st.integers(0, 4)
    rows = [[x, y, x + 1 + w, y + 1 + h] for x, y, w, h in (draw(st.tuples(*[number] * 4)) for _ in range(count))]
    scores = [draw(st.sampled_from((0.25, 0.5, 0.75))) for _ in range(count)]
    labels = [draw(st.integers(0, 2)) for _ in range(count)]
    dtype = draw(st.sampled_from((torch.float32, torch.float64)))
    boxes = torch.tensor(rows, dtype=dtype).reshape(-1, 4)
    return boxes, torch.tensor(scores, dtype=dtype), torch.tensor(labels, dtype=torch.long)


def bodla(boxes, scores, method, iou_threshold, sigma, score_threshold):
    """Algorithm of Bodla et al. 2017, section 3, in plain Python: pick the best, rescore the rest, repeat."""

    def iou(a, b):
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        shared = max(width, 0) * max(height, 0)
        return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)

    left = {i: s for i, s in enumerate(scores.tolist()) if s >= score_threshold}
    rows = boxes.tolist()
    kept = []
    while left:
        best = max(left, key=left.get)
        kept.append((best, left.pop(best)))
        for i in list(left):
            u = iou(rows[best], rows[i])
            left[i] *= np.exp(-(u**2) / sigma) if method == "gaussian" else 1 - u if u > iou_threshold else 1
            if left[i] < score_threshold or left[i] == 0:
                del left[i]
    return [i for i, _ in kept], [s for _, s in kept]


def test_doctest():
    assert doctest.testmod(cvviz.ops.nms).failed == 0


class TestHard:
    def test_a_chain_suppresses_only_through_boxes_that_are_kept(self):
        # IoU 0.8 between neighbours, 0.64 between the ends: the middle one falls to the first, so it no longer
        # threatens the third, which survives a threshold of 0.7.
        assert nms(column(10, 8, 6.4), torch.tensor([0.9, 0.8, 0.7]), 0.7).tolist() == [0, 2]

    def test_iou_equal_to_the_threshold_survives(self):
        scores = torch.tensor([0.9, 0.8])
        assert nms(column(10, 5), scores, 0.5).tolist() == [0, 1]
        assert nms(column(10, 5), scores, 0.499).tolist() == [0]

    def test_threshold_meets_float32_in_float64(self):
        # IoU 1/10 is 0.1000000015 in float32, above 0.1; torchvision's kernel suppresses here.
        boxes, scores = column(10, 1), torch.tensor([0.9, 0.8])
        assert nms(boxes, scores, 0.1).tolist() == [0] == torchvision.ops.nms(boxes, scores, 0.1).tolist()
        assert nms(boxes.double(), scores.double(), 0.1).tolist() == [0, 1]

    def test_ends_of_the_threshold(self):
        same = column(10, 10, 0.01)
        scores = torch.tensor([0.5, 0.9, 0.1])
        assert nms(same, scores, 1.0).tolist() == [1, 0, 2]  # no IoU exceeds 1
        assert nms(same, scores, 0.0).tolist() == [1]  # an IoU of 0.001 exceeds 0

    def test_equal_scores_are_ranked_by_index(self):
        assert nms(column(10, 9, 8), torch.full((3,), 0.5), 0.5).tolist() == [0]
        assert nms(column(10, 10, 10), torch.full((3,), 0.5), 1.0).tolist() == [0, 1, 2]

    def test_boxes_without_area_do_not_suppress_each_other(self):
        flat = torch.zeros(2, 4)
        assert nms(flat, torch.tensor([0.9, 0.8]), 0.0).tolist() == [0, 1]
        assert torchvision.ops.nms(flat, torch.tensor([0.9, 0.8]), 0.0).tolist() == [0, 1]

    def test_scores_may_be_logits(self):
        assert nms(column(10, 8), torch.tensor([-3.0, -1.0]), 0.5).tolist() == [1]

    @pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.5, 0.7, 1.0])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_equals_torchvision(self, threshold, dtype):
        for seed, count in enumerate((1, 2, 30, 300)):
            boxes, scores, labels = random_boxes(count, seed, dtype)
            assert torch.equal(nms(boxes, scores, threshold), torchvision.ops.nms(boxes, scores, threshold))
            expected = torchvision.ops.batched_nms(boxes, scores, labels, threshold)
            assert torch.equal(batched_nms(boxes, scores, labels, threshold), expected)

    @given(crowded_integer_boxes(), st.sampled_from((0.0, 0.2, 0.25, 1 / 3, 0.5, 0.6, 1.0)))
    @settings(max_examples=300, deadline=None)
    def test_equals_torchvision_on_ties(self, case, threshold):
        boxes, scores, labels = case
        assert torch.equal(nms(boxes, scores, threshold), torchvision.ops.nms(boxes, scores, threshold))
        expected = torchvision.ops.batched_nms(boxes, scores, labels, threshold)
        assert torch.equal(batched_nms(boxes, scores, labels, threshold), expected)

    @given(crowded_integer_boxes(), st.floats(0, 1))
    @settings(max_examples=100, deadline=None)
    def test_laws(self, case, threshold):
        boxes, scores, _ = case
        kept = nms(boxes, scores, threshold)
        among = box_iou(boxes[kept], boxes[kept]).double().fill_diagonal_(0)
        assert not (among > threshold).any()  # survivors do not overlap by more than the threshold
        gone = [i for i in range(len(boxes)) if i not in kept.tolist()]
        assert (box_iou(boxes[gone], boxes[kept]).double() > threshold).any(dim=1).all()  # each victim has a culprit
        assert torch.equal(nms(boxes[kept], scores[kept], threshold), torch.arange(len(kept)))  # idempotent


class TestBatched:
    def test_equals_a_loop_over_the_classes(self):
        boxes, scores, labels = random_boxes(80, 5)
        classes = [(labels == label).nonzero()[:, 0] for label in range(3)]
        loop = [where[nms(boxes[where], scores[where], 0.4)] for where in classes]
        assert set(torch.cat(loop).tolist()) == set(batched_nms(boxes, scores, labels, 0.4).tolist())

    def test_one_class_is_plain_nms(self):
        boxes, scores, _ = random_boxes(50, 6)
        assert torch.equal(batched_nms(boxes, scores, torch.full((50,), 7), 0.4), nms(boxes, scores, 0.4))

    def test_negative_coordinates_do_not_leak_between_classes(self):
        # torchvision shifts class 1 by max + 1 = 11 to the place of class 0, and loses it.
        boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [-11.0, -11.0, -1.0, -1.0]])
        scores, labels = torch.tensor([0.9, 0.8]), torch.tensor([0, 1])
        assert torchvision.ops.batched_nms(boxes, scores, labels, 0.5).tolist() == [0]
        assert batched_nms(boxes, scores, labels, 0.5).tolist() == [0, 1]


class TestSoft:
    def test_linear_by_hand(self):
        # IoU with the best box: 0.8, 0.4, 0.2. Above the threshold 0.3: 0.8 * 0.2 = 0.16, 0.7 * 0.6 = 0.42. The fourth
        # keeps 0.6 and is next; its IoU of 0.5 with the third halves that to 0.21, and 0.25 leaves the second alone.
        kept, scores = soft_nms(column(10, 8, 4, 2), torch.tensor([0.9, 0.8, 0.7, 0.6]), method="linear")
        assert kept.tolist() == [0, 3, 2, 1]
        assert_close(scores, torch.tensor([0.9, 0.6, 0.21, 0.16 * (1 - 0.5)]))  # third on second: IoU 4/8

    def test_gaussian_by_hand(self):
        kept, scores = soft_nms(column(10, 5), torch.tensor([0.9, 0.8]), sigma=0.5)
        assert kept.tolist() == [0, 1]
        assert_close(scores, torch.tensor([0.9, 0.8 * 0.6065307]))  # exp(-0.5^2 / 0.5) = exp(-0.5)

    def test_score_threshold_is_the_lowest_score_kept(self):
        kept, _ = soft_nms(column(10, 5), torch.tensor([0.5, 0.5]), method="linear", score_threshold=0.25)
        assert kept.tolist() == [0, 1]  # 0.5 * 0.5 = 0.25
        kept, _ = soft_nms(column(10, 5), torch.tensor([0.5, 0.5]), method="linear", score_threshold=0.2501)
        assert kept.tolist() == [0]

    def test_a_duplicate_falls_to_zero_and_out_when_linear(self):
        kept, _ = soft_nms(column(10, 10), torch.tensor([0.9, 0.8]), method="linear", score_threshold=0)
        assert kept.tolist() == [0]
        kept, scores = soft_nms(column(10, 10), torch.tensor([0.9, 0.8]), sigma=0.5, score_threshold=0)
        assert_close(scores, torch.tensor([0.9, 0.8 * 0.1353353]))  # exp(-2): a Gaussian never says never

    @pytest.mark.parametrize("method", ["linear", "gaussian"])
    @pytest.mark.parametrize("seed", range(6))
    def test_equals_the_paper(self, method, seed):
        boxes, scores, _ = random_boxes(60, seed, torch.float64)
        options = {"method": method, "iou_threshold": 0.3, "sigma": 0.4, "score_threshold": 0.05}
        kept, lowered = soft_nms(boxes, scores, **options)
        expected_kept, expected_scores = bodla(boxes, scores, **options)
        assert kept.tolist() == expected_kept
        assert_close(lowered, torch.tensor(expected_scores, dtype=torch.float64))

    @pytest.mark.parametrize("method", ["linear", "gaussian"])
    def test_classes_do_not_touch_each_other(self, method):
        boxes, scores, labels = random_boxes(60, 9, torch.float64)
        kept, lowered = soft_nms(boxes, scores, method=method, idxs=labels)
        for label in range(3):
            where = (labels == label).nonzero()[:, 0]
            alone, expected = soft_nms(boxes[where], scores[where], method=method)
            of_class = labels[kept] == label
            assert torch.equal(kept[of_class], where[alone])
            assert_close(lowered[of_class], expected)

    def test_far_apart_nothing_changes(self):
        boxes = column(10, 10, 10) + 100 * torch.arange(3)[:, None]
        kept, scores = soft_nms(boxes, torch.tensor([0.2, 0.9, 0.5]))
        assert kept.tolist() == [1, 2, 0]
        assert_close(scores, torch.tensor([0.9, 0.5, 0.2]))

    @pytest.mark.parametrize("method", ["linear", "gaussian"])
    def test_gradcheck(self, method):
        boxes, scores, _ = random_boxes(6, 3, torch.float64)

        def new_scores(boxes, scores):
            return soft_nms(boxes, scores, method=method)[1]

        assert torch.autograd.gradcheck(new_scores, (boxes.requires_grad_(), scores.requires_grad_()))


class TestTrace:
    @given(crowded_integer_boxes(), st.sampled_from((0.0, 0.25, 0.5, 1.0)))
    @settings(max_examples=100, deadline=None)
    def test_hard_keeps_what_nms_keeps(self, case, threshold):
        boxes, scores, labels = case
        assert torch.equal(trace_nms(boxes, scores, iou_threshold=threshold).kept, nms(boxes, scores, threshold))
        kept = trace_nms(boxes, scores, idxs=labels, iou_threshold=threshold).kept
        assert torch.equal(kept, batched_nms(boxes, scores, labels, threshold))

    @pytest.mark.parametrize("method", METHODS)
    def test_every_box_leaves_the_race_once(self, method):
        boxes, scores, _ = random_boxes(40, 8)
        trace = trace_nms(boxes, scores, method=method, score_threshold=0.1)
        running = trace.history >= 0
        assert torch.equal(running[0], scores >= 0.1)
        assert not running[-1].any()
        assert not (running[1:] & ~running[:-1]).any()
        assert (trace.scores.diff() <= 0).all()
        assert torch.equal(trace.history[torch.arange(len(trace.kept)), trace.kept], trace.scores)

    def test_steps_by_hand(self):
        # Step 0 keeps box 1 (0.9) and suppresses box 0, IoU 0.8; step 1 keeps box 2, which nobody overlaps.
        boxes = torch.cat([column(10, 8), torch.tensor([[20.0, 0.0, 30.0, 10.0]])])
        trace = trace_nms(boxes, torch.tensor([0.8, 0.9, 0.7]), iou_threshold=0.5)
        assert trace.kept.tolist() == [1, 2]
        assert trace.lowered(0).tolist() == [0]
        assert trace.lowered(1).tolist() == []
        assert trace.overlaps[1, 0].item() == pytest.approx(0.8)
        assert_close(trace.history, torch.tensor([[0.8, 0.9, 0.7], [-1, -1, 0.7], [-1, -1, -1]]))

    def test_classes_that_do_not_compete_have_no_overlap_that_counts(self):
        trace = trace_nms(column(10, 8), torch.tensor([0.9, 0.8]), idxs=torch.tensor([0, 1]), iou_threshold=0.5)
        assert trace.overlaps[0, 1].item() == 0
        assert trace.lowered(0).tolist() == []


class TestEmpty:
    def test_no_boxes(self):
        boxes, scores, labels = torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.long)
        assert nms(boxes, scores, 0.5).shape == batched_nms(boxes, scores, labels, 0.5).shape == (0,)
        kept, lowered = soft_nms(boxes, scores)
        assert kept.shape == lowered.shape == (0,)
        assert trace_nms(boxes, scores).history.shape == (1, 0)

    def test_all_below_the_score_threshold(self):
        kept, scores = soft_nms(column(10, 5), torch.tensor([0.2, 0.1]), score_threshold=0.5)
        assert kept.dtype == torch.long
        assert kept.shape == scores.shape == (0,)


class TestErrors:
    @pytest.mark.parametrize(
        "call",
        [
            lambda boxes, scores: nms(boxes, scores, 0.5),
            lambda boxes, scores: batched_nms(boxes, scores, torch.zeros(len(boxes)), 0.5),
            soft_nms,
            trace_nms,
        ],
    )
    def test_shapes_and_types(self, call):
        with pytest.raises(ValueError, match=r"boxes must have shape \(N, 4\), got \(2, 5\)\."):
            call(torch.zeros(2, 5), torch.zeros(2))
        with pytest.raises(ValueError, match=r"scores must have shape \(2,\), one per box, got \(3,\)\."):
            call(torch.zeros(2, 4), torch.zeros(3))
        with pytest.raises(TypeError, match=r"scores must have a floating-point dtype, got torch\.int64\."):
            call(torch.zeros(2, 4), torch.zeros(2, dtype=torch.long))
        with pytest.raises(TypeError, match=r"boxes must be a Tensor, got list\."):
            call([[0, 0, 1, 1]], torch.zeros(1))

    def test_classes(self):
        with pytest.raises(ValueError, match=r"idxs must have shape \(2,\), one per box, got \(1,\)\."):
            batched_nms(column(1, 2), torch.zeros(2), torch.zeros(1), 0.5)
        with pytest.raises(TypeError, match=r"idxs must be a Tensor, got list\."):
            soft_nms(column(1, 2), torch.zeros(2), idxs=[0, 0])

    def test_values(self):
        boxes, scores = column(1, 2), torch.zeros(2)
        with pytest.raises(ValueError, match=r"iou_threshold must lie in \[0, 1\], got 1\.5\."):
            nms(boxes, scores, 1.5)
        with pytest.raises(ValueError, match=r"scores must not contain NaN\."):
            nms(boxes, torch.tensor([0.5, torch.nan]), 0.5)
        with pytest.raises(ValueError, match=r"scores must be finite and not negative\."):
            soft_nms(boxes, torch.tensor([0.5, -0.1]))
        with pytest.raises(ValueError, match=r"sigma must be positive, got 0\."):
            soft_nms(boxes, scores, sigma=0)
        with pytest.raises(ValueError, match=r"score_threshold must lie in \[0, inf\], got -1\."):
            soft_nms(boxes, scores, score_threshold=-1)
        with pytest.raises(ValueError, match=r"method must be one of linear, gaussian, got 'hard'\."):
            soft_nms(boxes, scores, method="hard")
        with pytest.raises(ValueError, match=r"method must be one of hard, linear, gaussian, got 'cubic'\."):
            trace_nms(boxes, scores, method="cubic")
