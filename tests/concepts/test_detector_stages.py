"""What the contract does not see: where the costs meet, what examples say, and the measurement of time."""

from dataclasses import replace

import plotly.graph_objects as go
import pytest

from cvviz.concepts.detection import detector_stages
from cvviz.concepts.detection.detector_stages import (
    ALONE,
    CONCEPT,
    MOST,
    ONE,
    PRESETS,
    TWO,
    YARDSTICK,
    Params,
    compute,
    describe,
    digits,
    measure,
    measured_rows,
    published,
    rows_of,
    stage,
    stage_table,
    time_table,
)
from cvviz.figures.detector_stages import accuracy_figure, second_stage_figure, time_figure
from cvviz.ops import detector_timing

SMALL = Params(one=YARDSTICK, two="fasterrcnn_mobilenet_v3_large_320_fpn", side=64, proposals=8)


def valid(figure):
    return go.Figure(figure.to_dict())


class TestCrossover:
    @pytest.mark.parametrize("one", ONE)
    @pytest.mark.parametrize("two", TWO)
    def test_costs_are_equal_there(self, one, two):
        result = compute(Params(one=one, two=two))
        cost = float(result.gmacs[1, :3].sum()) + result.crossover * float(result.gmacs[1, 3])
        assert cost == pytest.approx(float(result.totals[0]))

    @pytest.mark.parametrize(
        ("example", "proposals"),
        [
            ("Same backbone", 895),
            ("As published", 2195),
            ("Without anchors", 570),
            ("Heavy box head", 6),
            ("Small picture", 173),
        ],
    )
    def test_as_the_words_say(self, example, proposals):
        params = PRESETS[example].params
        result = compute(params)
        assert round(result.crossover) == proposals
        assert f"{proposals:,}" in describe(params, result)

    def test_never(self):
        params = PRESETS["Light against light"].params
        result = compute(params)
        assert result.crossover < 0
        assert "even without a proposal" in describe(params, result)
        names = [trace.name for trace in stage(params, result).data]
        assert "Equal cost" not in names

    @pytest.mark.parametrize(
        ("example", "share"),
        [("300 proposals", 0.035), ("Heavy box head", 0.46), ("Light against light", 0.75), ("Small picture", 0.60)],
    )
    def test_share_of_the_second_stage(self, example, share):
        params = PRESETS[example].params
        row = rows_of(params, compute(params))[1]
        assert row.gmacs[3] / row.total == pytest.approx(share, abs=0.005)


class TestStage:
    @pytest.mark.parametrize("one", ONE)
    @pytest.mark.parametrize("two", TWO)
    @pytest.mark.parametrize("proposals", [0, MOST])
    def test_every_pair(self, one, two, proposals):
        params = Params(one=one, two=two, proposals=proposals)
        result = compute(params)
        assert CONCEPT.check(params, result).status == "matches"
        figure = valid(stage(params, result))
        assert figure.layout.yaxis.range[1] >= float(result.totals.max())

    def test_table_to_read(self):
        table = stage_table(Params(), compute(Params()))
        assert list(table["GMAC, one"]) == ["21.35", "4.158", "36.49", "–"]
        assert list(table["GMAC, two"]) == ["21.35", "14.85", "12.96", "14.36"]

    def test_published(self):
        points = {point.title: point for point in published()}
        assert len(points) == len(ONE) + len(TWO)
        assert (points["FCOS, ResNet-50"].ap, round(points["FCOS, ResNet-50"].gmacs, 1)) == (39.2, 128.2)
        valid(accuracy_figure(published()))


@pytest.fixture(autouse=True)
def few_runs(monkeypatch):
    monkeypatch.setattr(detector_timing, "MOST_RUNS", 1)


class TestMeasure:
    def test_all_in_turn(self):
        news = []
        params = replace(SMALL, one="retinanet_resnet50_fpn")
        timings = measure(params, lambda *given: news.append(given))
        assert [timing.name for timing in timings] == [YARDSTICK, params.one, params.two]
        assert [timing.side for timing in timings] == [320, 64, 64]
        fractions = [fraction for fraction, _, _ in news]
        assert fractions == sorted(fractions)
        known = [len(value or ()) for _, _, value in news]
        assert sorted(set(known)) == [0, 1, 2]
        assert news[-1][1] == "Faster R-CNN 320, MobileNetV3: box"

    def test_yardstick_on_the_stage_is_measured_as_asked(self):
        timings = measure(SMALL, lambda *given: None)
        assert [(timing.name, timing.side) for timing in timings] == [(YARDSTICK, 64), (SMALL.two, 64)]
        figure = valid(time_figure(measured_rows(timings)))
        bars = [trace.x for trace in figure.data if trace.type == "bar"]
        assert [sum(row) for row in zip(*bars, strict=True)] == pytest.approx([100] * 4)
        assert list(time_table(timings).columns) == ["Step", ONE[SMALL.one], TWO[SMALL.two]]
        valid(second_stage_figure(timings[1].second_stage))

    @pytest.mark.parametrize("change", [{"side": 608}, {"proposals": 1010}])
    def test_too_much_for_a_small_server(self, change):
        with pytest.raises(ValueError, match=r"up to a side of 512 pixels and 1000 proposals"):
            measure(replace(Params(), **change), lambda *given: None)

    def test_one_at_a_time(self):
        class Gone(Exception):  # noqa: N818
            pass

        words = []

        def progress(fraction, said, value=None):
            words.append(said)
            raise Gone

        with ALONE, pytest.raises(Gone):
            measure(SMALL, progress)
        assert "Another reader" in words[0]

    def test_the_turn_is_given_back_after_a_stop(self, monkeypatch):
        def fail(*_, **__):
            raise RuntimeError

        monkeypatch.setattr(detector_stages, "time_detector", fail)
        with pytest.raises(RuntimeError):
            measure(SMALL, lambda *given: None)
        assert ALONE.acquire(blocking=False)
        ALONE.release()


def test_terms_of_a_sum_have_the_decimals_of_its_total():
    assert [digits(value, 62.0) for value in (21.35, 4.158, 36.49)] == ["21.35", "4.16", "36.49"]
    assert digits(62.0) == "62.00", "four digits, zeros as well"
    assert digits(0.5832) == "0.5832"
    assert digits(0.0) == digits(0.0, 5.0) == "0"
