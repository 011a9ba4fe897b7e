"""What is particular to non-maximum suppression: sources, steps, and the words of its examples."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from cvviz.concepts.detection.nms import CONCEPT, CROWD, END, PRESETS, Params, compute
from cvviz.data.detections import read_detections
from cvviz.data.digit_scenes import digit_scene
from cvviz.data.images import Picture, own_picture
from cvviz.figures.nms import lowered_rows, survivor_rows
from cvviz.figures.scene import Box

FILE = b"x1,y1,x2,y2,score,label\n100,100,1500,900,0.9,cat\n120,100,1500,900,0.8,cat\n1200,700,1900,990,0.7,dog"


def upload(width, height, folder):
    path = folder / "photo.png"
    Image.new("RGB", (width, height), "teal").save(path)
    return own_picture("photo.png", path.read_bytes())


class TestOwnDetections:
    def test_example_until_a_file_is_chosen(self):
        result = compute(Params(source="own"))
        assert "made-up" in result.notes[0]
        assert compute(Params(source="own", file=read_detections("a.csv", FILE))).notes == ()

    def test_boxes_are_drawn_over_the_users_picture_at_its_scale(self, tmp_path):
        picture = upload(2000, 1000, tmp_path)  # shown 512 wide
        params = Params(source="own", file=read_detections("a.csv", FILE), picture=picture)
        result = compute(params)
        assert result.view.pixels.shape == (3, 256, 512)
        assert result.view.scale == 512 / 2000
        boxes = [shape for shape in CONCEPT.stage(params, result)[1].shapes if isinstance(shape, Box)]
        assert boxes[0].xyxy == pytest.approx((25.6, 25.6, 384, 230.4))

    def test_boxes_that_do_not_fit_in_the_picture_get_a_canvas(self, tmp_path):
        picture = upload(400, 300, tmp_path)
        view = compute(Params(source="own", file=read_detections("a.csv", FILE), picture=picture)).view
        assert view.pixels.shape == (3, 267, 512)  # 1900 x 990 boxes
        assert view.pixels.unique().numel() == 1

    def test_check_holds_for_negative_coordinates_of_several_classes(self):
        # torchvision's own batched_nms fails here: see tests/ops/test_nms.py.
        file = read_detections("a.csv", b"x1,y1,x2,y2,score,label\n0,0,10,10,0.9,a\n-11,-11,-1,-1,0.8,b")
        params = Params(source="own", file=file)
        result = compute(params)
        assert len(result.view.trace.kept) == 2
        assert CONCEPT.check(params, result).status == "matches"

    @pytest.mark.parametrize("method", ["hard", "linear", "gaussian"])
    def test_annotations_without_scores(self, method):
        entries = [{"bbox": [left, 0, 10, 10]} for left in (0, 0, 3)]
        file = read_detections("a.json", json.dumps(entries).encode())
        params = Params(source="own", file=file, method=method, iou=0.5)
        assert CONCEPT.check(params, compute(params)).status == "matches"


class TestSteps:
    def test_ends_of_the_slider(self):
        assert compute(Params(step=END)).done
        start = compute(Params(step=0))
        assert (start.step, start.done) == (0, False)

    def test_beyond_the_last_step_is_the_end(self):
        last = len(compute(CROWD).view.trace.kept)
        assert not compute(replace(CROWD, step=last)).done
        assert compute(replace(CROWD, step=last + 1)).done

    def test_stage_tells_kept_suppressed_and_waiting_apart(self):
        params = replace(CROWD, step=2)
        result = compute(params)
        _, right = CONCEPT.stage(params, result)
        colors = [shape.color for shape in right.shapes if isinstance(shape, Box)]
        racing = (result.view.trace.history[2] >= 0).sum()
        assert len(set(colors)) == 4
        assert len(colors) == 2 + len(result.view.trace.lowered(1)) + racing

    def test_rows_of_a_step(self):
        rows = lowered_rows(compute(Params()).view, 1)
        assert len(rows) == 20
        assert rows["IoU with the box kept"].iloc[0] == "0.930"
        assert set(rows["Score after"]) == {"out"}
        assert survivor_rows(compute(Params()).view).index.tolist() == ["#1"]


class TestThresholdEnds:
    def test_one_suppresses_nothing_and_zero_all_that_overlaps(self):
        everything = compute(Params(iou=1.0, score=0.0))
        assert len(everything.view.trace.kept) == len(everything.view.scores)
        apart = compute(Params(iou=0.0, score=0.0)).view
        kept = apart.trace.overlaps[apart.trace.kept][:, apart.trace.kept]
        assert torch.equal(kept, torch.eye(len(kept), dtype=kept.dtype))


class TestExamplesSayWhatTheyShow:
    @pytest.mark.parametrize(
        ("name", "classes"),
        [
            ("One face", ["face"]),
            ("Nested windows", ["face", "face"]),
            ("Face and eyes", ["face", "eye", "eye"]),
            ("Eyes lost", ["face"]),
            ("One car, two names", ["car", "person", "person", "bicycle", "person", "truck"]),
        ],
    )
    def test_survivors(self, name, classes):
        view = compute(PRESETS[name].params).view
        assert [view.class_of(index) for index in view.trace.kept.tolist()] == classes

    def test_nested_overlap(self):
        trace = compute(PRESETS["Nested windows"].params).view.trace
        assert f"{trace.overlaps[trace.kept[0], trace.kept[1]]:.2f}" in PRESETS["Nested windows"].look

    def test_crowds(self):
        rider, hard, lowered = (
            compute(PRESETS[name].params).outcome.missed for name in ("Motorcycle lost", "Crowd, hard", "Crowd, soft")
        )
        assert rider == (7,)
        assert len(hard) == 3
        assert lowered == ()


def test_digits_found_and_lost_are_those_of_the_examples():
    found = [len(compute(PRESETS[name].params).outcome.found) for name in ("Digits, per class", "Digits lost")]
    assert found == [9, 7]
    assert len(compute(PRESETS["Digits lost"].params).scene.truth) == 10


def test_the_motorcycle_goes_to_its_rider():
    view = compute(PRESETS["Motorcycle lost"].params).view
    pairs = {
        (view.names[view.labels[kept]], view.names[view.labels[gone]])
        for step, kept in enumerate(view.trace.kept)
        for gone in view.trace.lowered(step)
    }
    assert ("person", "motorcycle") in pairs


def test_a_network_that_is_not_here_leaves_the_picture_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    params = Params(source="pretrained")
    result = compute(params)
    assert result.pending == "ssdlite"
    assert len(result.view.scores) == 0
    assert "download" in CONCEPT.formula(params, result)
    assert CONCEPT.check(params, result).status == "matches"


@pytest.mark.parametrize("shape", [(3, 160, 160), (3, 30, 900), (3, 2, 2)])
def test_digits_on_a_picture_of_ones_own(shape):
    scene = digit_scene(5, density=0.3)
    pixels = scene.pixels if shape == (3, 160, 160) else torch.full(shape, 200, dtype=torch.uint8)
    params = Params(source="digits", photo=True, picture=Picture("mine", "Mine", lambda: pixels), score=0.3)
    result = compute(params)
    assert CONCEPT.check(params, result).status == "matches"
    assert result.scene is None
    assert (len(result.view.trace.kept) > 0) is (shape == (3, 160, 160))
