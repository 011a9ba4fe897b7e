"""Times themselves are never asserted: only what is timed, and that all of it is."""

import time

import pytest
import torch
from torchvision.models import get_model

from cvviz.ops import detector_timing
from cvviz.ops.detector_cost import stage_macs
from cvviz.ops.detector_timing import CANDIDATES, STEPS, few_scores, random_boxes, replace_outputs, time_detector

ONE = "ssdlite320_mobilenet_v3_large"
TWO = "fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.fixture(autouse=True)
def few_runs(monkeypatch):
    monkeypatch.setattr(detector_timing, "MOST_RUNS", 2)


class TestTimes:
    @pytest.mark.parametrize(("name", "absent"), [(ONE, {"proposals", "pooling", "box"}), (TWO, set())])
    def test_every_step_is_timed(self, name, absent):
        start = time.perf_counter()
        timing = time_detector(name, side=64, proposals=8)
        elapsed = time.perf_counter() - start
        assert {step for step in STEPS if timing.seconds[step] <= 0} == absent
        assert list(timing.seconds) == list(STEPS)
        assert 0 < timing.total < elapsed
        assert 1 <= timing.runs <= detector_timing.MOST_RUNS

    def test_second_stage_for_fewer_proposals(self):
        timing = time_detector(TWO, side=64, proposals=8)
        assert [count for count, _ in timing.second_stage] == [2, 4, 6, 8]
        assert timing.second_stage[-1][1] == timing.seconds["pooling"] + timing.seconds["box"]

    @pytest.mark.parametrize("proposals", [0, 1])
    def test_hardly_a_proposal(self, proposals):
        timing = time_detector(TWO, side=64, proposals=proposals)
        assert [count for count, _ in timing.second_stage] == [proposals]

    def test_one_stage_has_no_use_for_proposals(self):
        timing = time_detector(ONE, side=64, proposals=8)
        assert timing.proposals == 0
        assert timing.second_stage == ()
        assert timing.macs == stage_macs(ONE, side=64)

    @pytest.mark.parametrize("name", ["retinanet_resnet50_fpn", "fcos_resnet50_fpn"])
    def test_dense_heads(self, name):
        assert time_detector(name, side=64, classes=2).total > 0

    def test_global_generator_is_left_alone(self):
        state = torch.random.get_rng_state()
        time_detector(ONE, side=64)
        assert torch.equal(state, torch.random.get_rng_state())


class TestProgress:
    def test_grows_to_one(self, monkeypatch):
        monkeypatch.setattr(detector_timing, "MOST_RUNS", 1)  # as many as planned for
        heard = []
        time_detector(TWO, side=64, proposals=8, progress=lambda *news: heard.append(news))
        fractions = [fraction for fraction, _ in heard]
        assert fractions == sorted(fractions)
        assert fractions[-1] == pytest.approx(1)
        assert {step for _, step in heard} == {"backbone", "neck", "head", "box"}

    def test_what_it_raises_ends_the_run(self):
        heard = []

        def progress(fraction, step):
            heard.append(step)
            if step == "neck":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            time_detector(TWO, side=64, progress=progress)
        assert set(heard[:-1]) == {"backbone"}


class TestMadeUpOutputs:
    @pytest.mark.parametrize("places", [1, CANDIDATES - 1, CANDIDATES, 5000])
    @pytest.mark.parametrize("classes", [2, 91])
    def test_number_of_scores_above_the_threshold(self, places, classes):
        scores = torch.zeros(places, classes)
        of_softmax = few_scores(scores, softmax=True).softmax(1)[:, 1:]
        of_sigmoid = few_scores(scores, softmax=False).sigmoid()
        for found in (of_softmax, of_sigmoid):
            assert int((found > 0.05).sum()) == min(places, CANDIDATES)

    @pytest.mark.parametrize("count", [0, 1, 500])
    def test_boxes_lie_in_the_picture(self, count):
        boxes = random_boxes(count, 100)
        assert boxes.shape == (count, 4)
        size = boxes[:, 2:] - boxes[:, :2]
        assert ((boxes >= 0) & (boxes <= 100)).all()
        assert ((size >= 4.99) & (size <= 50.01)).all()

    def test_second_stage_gets_exactly_these_boxes(self):
        model = get_model(TWO, weights=None, weights_backbone=None).eval()
        boxes, seen = random_boxes(17, 320), []
        list(replace_outputs(model, boxes))
        model.roi_heads.box_head.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
        with torch.inference_mode():
            (found,) = model([torch.rand(3, 320, 320)])
        assert seen == [17]
        assert 1 <= len(found["boxes"]) <= 17

    def test_one_stage_detector_finds_something(self):
        model = get_model(ONE, weights=None, weights_backbone=None).eval()
        list(replace_outputs(model, random_boxes(0, 320)))
        with torch.inference_mode():
            (found,) = model([torch.rand(3, 320, 320)])
        assert CANDIDATES / 2 < len(found["boxes"]) <= CANDIDATES


def test_exceptions():
    with pytest.raises(ValueError, match=r"^side must lie in \[64, 512\], got 32\.$"):
        time_detector(ONE, side=32)
    with pytest.raises(ValueError, match=r"^proposals must lie in \[0, 1000\], got 1001\.$"):
        time_detector(TWO, side=64, proposals=1001)
    with pytest.raises(ValueError, match=r"^name must be one of ssdlite.*, got yolo\.$"):
        time_detector("yolo", side=64)
    with pytest.raises(ValueError, match=r"^classes must be at least 2, got 1\.$"):
        time_detector(ONE, side=64, classes=1)
