import re
from dataclasses import replace

import plotly.graph_objects as go
import pytest
import torch
from torch.testing import assert_close

from cvviz.concepts.detection.anchors import CONCEPT, PRESETS, SCENE, SIDE, Params, compute, coverage, layout, stage
from cvviz.figures.anchors import MOST_BOXES, anchor_rows, digit_rows, odds, recall_figure, tally
from cvviz.figures.scene import Box, Dot, Path, Text
from cvviz.figures.theme import BLUE, GREY, PURPLE, VERMILLION
from cvviz.ops.anchors import IGNORED
from cvviz.zoo.digit_detector import DigitDetector

RESULTS = {name: compute(preset.params) for name, preset in PRESETS.items()}


def best(name, digit):
    return RESULTS[name].iou[digit].max().item()


def test_what_the_examples_say():
    def lost(name):
        return [digit for digit, count in enumerate(RESULTS[name].per_digit) if not count]

    two, scene, rpn = RESULTS["Two digits"], RESULTS["A scene"], RESULTS["RPN's thresholds"]
    assert two.per_digit == [4, 2]
    assert best("Two digits", 1) < 0.5
    assert best("No best match", 1) == pytest.approx(0.46, abs=0.005)
    assert lost("No best match") == [1]
    assert (RESULTS["No best match"].matches[two.matches == 1] == IGNORED).all()
    assert (len(scene.matches), len(scene.positive), odds(scene.negative, len(scene.positive))) == (2000, 35, "1 : 56")
    assert [digit for digit in range(7) if best("RPN's thresholds", digit) >= 0.7] == [3, 5]
    assert not lost("RPN's thresholds")
    assert len(rpn.ignored) == 111
    assert best("Too tall", 1) == pytest.approx(0.29, abs=0.005)
    tall = compute(replace(PRESETS["Too tall"].params, ratios=("1", "2", "3")))
    assert tall.iou[1].max().item() == pytest.approx(0.38, abs=0.005)
    assert tall.points_per_digit[1]
    detector = RESULTS["Digit detector's"]
    assert odds(detector.negative, len(detector.positive)) == "1 : 172"


def test_too_large_for_the_smallest_third():
    groups = coverage(PRESETS["Too large"].params)
    assert "up to 25 px high" in groups
    assert groups["up to 25 px high"].max() < 0.5
    result = RESULTS["Too large"]
    mine = result.iou[6] == result.iou[6].max()
    assert result.per_digit[6] == 0
    assert (result.matches[mine] == 3).all()
    assert (result.iou[3, mine] > result.iou[6, mine]).all()


def test_between_the_levels_until_the_missing_one_is_added():
    params = PRESETS["Between levels"].params
    result, whole = RESULTS["Between levels"], compute(replace(params, strides=("8", "16", "32")))
    assert result.per_digit[0] == result.points_per_digit[0] == 0
    assert whole.per_digit[0] and whole.points_per_digit[0]


def test_a_digit_that_nothing_touches_makes_all_anchors_positive():
    result = RESULTS["Touched by none"]
    assert result.iou[1].max() == 0
    assert result.per_digit == [25, 0] and len(result.matches) == 25


def test_anchors_keep_apart_what_a_point_cannot():
    result = RESULTS["Two in one place"]
    assert all(result.per_digit)
    assert result.points_per_digit == [0, 1]
    assert result.points.candidates.max() == 2


def test_the_detector_is_covered_as_its_example_says():
    every = next(iter(coverage(PRESETS["Digit detector's"].params).values()))
    assert (every >= 0.5).float().mean().item() == pytest.approx(0.997, abs=5e-4)


def test_its_anchors_are_the_networks_own():
    result = RESULTS["Digit detector's"]
    assert_close(result.anchors, DigitDetector().anchors(SIDE, SIDE))
    assert layout(replace(SCENE, family="detector", scale=8.0)) == layout(replace(SCENE, family="detector"))


def test_coverage_is_what_the_grid_reaches_in_a_scene():
    from cvviz.ops.anchor_coverage import best_anchor_iou

    result = RESULTS["A scene"]
    assert_close(best_anchor_iou(result.truth, (SIDE, SIDE), **layout(SCENE)._asdict()), result.iou.amax(1))


def test_lower_threshold_is_at_most_the_upper():
    low = compute(Params(high=0.3, low=0.4))
    assert_close(low.matches, compute(Params(high=0.3, low=0.3)).matches)
    assert len(low.ignored) == 0


def test_decoding_gives_the_digit_back():
    for result in RESULTS.values():
        assert_close(result.decoded[0], result.truth[result.digit].double())


@pytest.mark.parametrize("shown", [1, 3, 30])
def test_the_anchor_that_is_encoded(shown):
    result = compute(Params(shown=shown))
    place = min(shown, len(result.positive)) - 1
    assert result.chosen == result.positive[place]
    ranks = result.best[result.positive]
    assert (ranks.diff() <= 0).all()


def test_no_positive_anchor_at_all():
    params = Params(high=1.0, best_match=False)
    result = compute(params)
    assert result.chosen is result.digit is result.point is None
    assert "nothing" not in CONCEPT.describe(params, result)
    assert "No anchor is positive" in CONCEPT.formula(params, result)
    assert stage(params, result)[0].handles.names == ("A lost", "B lost")
    assert tally(result)["Ratio"].iloc[0] == f"0 : {result.negative:,}"


class TestScenes:
    def test_handles_where_digits_are_moved(self):
        left, right = stage(Params(), RESULTS["Two digits"])
        assert left.handles.boxes == Params().boxes and right.handles is None
        assert stage(SCENE, RESULTS["A scene"])[0].handles is None

    def test_kinds_of_anchors(self):
        left, _ = stage(Params(), RESULTS["Two digits"])
        boxes = [shape for shape in left.shapes if isinstance(shape, Box)]
        assert sum(box.color == BLUE for box in boxes) == 4
        assert [box.dash for box in boxes if box.color == PURPLE] == [True, True]
        # 2 sizes in 2 ratios are a cell of four, of which A has three
        assert sum(box.color == GREY for box in boxes) == 1
        assert sum(isinstance(shape, Dot) and shape.color == GREY for shape in left.shapes) == 10

    def test_lost_digits_are_named(self):
        _, right = stage(PRESETS["Between levels"].params, RESULTS["Between levels"])
        assert "A lost" in {shape.text for shape in right.shapes if isinstance(shape, Text)}
        assert any(isinstance(shape, Box) and shape.color == VERMILLION and shape.dash for shape in right.shapes)

    def test_four_distances_end_on_the_box(self):
        result = RESULTS["Two digits"]
        _, right = stage(Params(), result)
        ends = [shape.points[-1] for shape in right.shapes if isinstance(shape, Path) and shape.arrow]
        x1, y1, x2, y2 = result.truth[result.digit].tolist()
        assert [ends[0][0], ends[1][1], ends[2][0], ends[3][1]] == [x1, y1, x2, y2]

    def test_no_more_is_sent_than_can_be_seen(self):
        params = replace(SCENE, high=0.0, low=0.0, strides=("4", "8", "16", "32"), octave=3)
        left, right = stage(params, compute(params))
        assert sum(isinstance(shape, Box) and shape.color == BLUE for shape in left.shapes) == MOST_BOXES
        assert len(left.overlay()) + len(right.overlay()) < 120_000


def test_tables_count_alike():
    for result in RESULTS.values():
        rows, anchors, counts = digit_rows(result), anchor_rows(result), tally(result)
        assert rows["Positive anchors"].sum() == (anchors["state"] == "positive").sum() == len(result.positive)
        assert len(anchors) == len(result.positive) + len(result.ignored)
        total, positive, ignored, negative = (int(text.replace(",", "")) for text in counts.iloc[0, :4])
        assert total == positive + ignored + negative == len(result.matches)


def test_recall_falls_from_everything_to_nothing():
    figure = recall_figure(coverage(Params()), high=0.5, low=0.4)
    go.Figure(figure.to_dict())
    for trace in figure.data:
        assert trace.y[0] == 100
        assert (torch.tensor(trace.y).diff() <= 0).all()
    sizes = [len(best) for best in coverage(Params()).values()]
    assert sizes[0] == sum(sizes[1:]) == int(re.sub(r"\D", "", next(iter(coverage(Params())))))
