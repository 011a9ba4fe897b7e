"""What is particular to average precision: the walk, the reasons, the files, and the words of its examples."""

import json
import re
from dataclasses import replace

import pytest
import torch

from cvviz.concepts.detection.average_precision import CONCEPT, END, PAGE, PAIRED, PRESETS, compute, evaluation
from cvviz.data.coco_files import read_results, read_truth
from cvviz.data.detection_sets import PLACES, example_files
from cvviz.figures.detection_walk import (
    class_rows,
    confusion_rows,
    convention_rows,
    method_words,
    shown_rows,
    walk_rows,
    weight_rows,
)
from cvviz.figures.scene import Box, Path
from cvviz.figures.theme import GREEN, GREY, PURPLE, VERMILLION


def walk(params=PAGE, **changes):
    return compute(replace(params, **changes)).study.walk


def own(**changes):
    truth, results = example_files()
    return replace(
        PAGE, source="own", truth=read_truth("a.json", truth), results=read_results("b.json", results), **changes
    )


class TestWalk:
    def test_page(self):
        page = walk()
        assert [page.name(rank) for rank in range(9)] == list("ABCDEFGHI")
        assert page.outcomes == [1, 1, 0, 1, 0, 1, 0, 1, 0]
        kinds = [verdict.kind for verdict in page.verdicts]
        assert kinds == ["match", "match", "class", "match", "duplicate", "match", "background", "match", "place"]
        assert page.reason(2) == "object 7 is “8”: IoU 0.89"
        assert page.reason(4) == "IoU 0.64 with object 1, which A has taken"

    def test_ap_by_hand(self):
        # precision at the hits: 1, 1, 3/4, 4/6, 5/8, which is its own envelope, for six objects
        assert walk().ap("all-point") == pytest.approx((1 + 1 + 3 / 4 + 4 / 6 + 5 / 8) / 6)

    def test_steps(self):
        assert (walk(walk=0).step, walk(walk=0).done) == (0, False)
        assert (walk(walk=9).step, walk(walk=9).done) == (9, True)
        assert walk(walk=4).counts() == (3, 1)
        cut = [walk(walk=step).ap(step=step) for step in range(10)]
        assert cut == sorted(cut)

    def test_far_slider_walks_other_sources(self):
        assert compute(own(far=3)).study.walk.step == 3
        assert compute(own(far=END)).study.walk.done

    def test_table_shows_nothing_of_what_is_to_come(self):
        rows = shown_rows(walk(walk=4))
        assert rows["Counts as"].tolist() == ["TP", "TP", "FP", "TP", "", "", "", "", ""]
        assert rows.index[3] == "→ 4 D"
        assert len(walk_rows(walk(walk=4))) == 9

    def test_moving_a_box_moves_ap(self):
        places = list(PLACES)
        places[8] = (318, 32, 339, 68)  # I onto its three
        moved = walk(boxes=tuple(places))
        assert moved.outcomes[-1] == 1
        assert moved.ap() > walk().ap()


class TestStage:
    def test_colours_tell_the_verdicts(self):
        left, _ = CONCEPT.stage(PAGE, compute(PAGE))
        names = dict(zip(left.handles.names, left.handles.colors, strict=True))
        assert names["A ✓"] == GREEN
        assert names["C ✗"] == VERMILLION
        assert names["J (8)"] == GREY
        assert [shape.color for shape in left.shapes if isinstance(shape, Box)].count(PURPLE) == 1  # missed

    def test_objects_of_other_sizes_are_not_missed(self):
        params = replace(PAGE, size="large")
        left, _ = CONCEPT.stage(params, compute(params))
        assert PURPLE not in [shape.color for shape in left.shapes if isinstance(shape, Box)]

    def test_curve_starts_at_the_first_detection_that_counts(self):
        params = replace(PAGE, size="large")
        _, right = CONCEPT.stage(params, compute(params))
        (line,) = (shape for shape in right.shapes if isinstance(shape, Path) and shape.width == 2.5)
        assert len(line.points) == 8  # the first is ignored: 0/0

    @pytest.mark.parametrize(("method", "levels"), [("voc11", 11), ("coco101", 101)])
    def test_stems_at_the_levels(self, method, levels):
        params = replace(PAGE, method=method)
        _, right = CONCEPT.stage(params, compute(params))
        assert levels * 3 in [len(shape.points) for shape in right.shapes if isinstance(shape, Path)]

    def test_class_without_objects(self):
        params = replace(PAGE, digit="0")
        result = compute(params)
        assert "undefined" in CONCEPT.describe(params, result)
        assert "undefined" in CONCEPT.formula(params, result)
        assert result.study.convention_words() == ["No object of this class counts: there is no AP to compare."]


class TestTables:
    def test_weights_of_the_hits_sum_to_ap(self):
        page = walk()
        rows = walk_rows(page)
        for method in ("voc11", "all-point", "coco101"):
            assert (rows[f"weight {method}"] * rows["envelope"]).sum() == pytest.approx(page.ap(method))
        assert weight_rows(page)["VOC 11-point"].tolist()[3] == "1/11 = 0.0909"

    def test_row_that_differs_most(self):
        words = method_words(walk(digit="8", method="voc11"))
        assert words == (
            "VOC 11-point less all-point: +0.0455. The row that differs most is rank 1, J: 6/11 (levels) "
            "against 1/2 (step of recall), each times 1.000."
        )

    def test_rules(self):
        study = compute(replace(PAIRED, rule="voc")).study
        assert study.convention_words()[1] == (
            "Rank 8, H, is FP under VOC's rule (IoU 0.71 with object 5, which F has taken) and TP under COCO's "
            "(IoU 0.65 with object 6)."
        )
        assert convention_rows(study.by_rule).loc["All-point"].tolist() == ["0.5694", "0.6736"]
        sizes = compute(replace(PAGE, size="small")).study
        assert sizes.other is None
        assert convention_rows(sizes.by_rule)["VOC's matching"].tolist() == ["–"] * 3

    def test_confusions(self):
        study = compute(PAGE).study
        rows = confusion_rows(study.confusions(), study.walk.names)
        assert rows.loc["8", "called 3"] == "1"
        assert rows.loc["3", "missed"] == "1"
        assert rows.loc["nothing"].tolist() == ["3", "·", "·"]
        cut = compute(replace(PAGE, walk=2)).study
        assert cut.cut == pytest.approx(0.91)
        assert "from 0.91 on" in cut.confusion_words()

    def test_classes(self):
        study = compute(PAGE).study
        rows = class_rows(study.class_names, study.objects, study.table[:, 0])
        assert rows.index.tolist() == ["3", "8"]
        assert rows["Objects"].tolist() == [6, 2]


class TestOwnFiles:
    def test_check_and_numbers_are_those_of_the_page(self):
        params = own()
        result = compute(params)
        assert CONCEPT.check(params, result).status == "matches"
        assert torch.equal(result.study.checked.nan_to_num(), compute(PAGE).study.checked.nan_to_num())
        assert result.notes == ()

    @pytest.mark.parametrize(("left_out", "words"), [("truth", "a ground truth"), ("results", "results")])
    def test_example_until_both_are_there(self, left_out, words):
        assert words in compute(replace(own(), **{left_out: None})).notes[0]

    def test_results_of_another_set_are_named(self):
        rows = [{"image_id": 5, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 1}]
        params = replace(own(), results=read_results("b.json", json.dumps(rows).encode()))
        with pytest.raises(ValueError, match=r"“b.json”: \[0\].image_id is 5"):
            compute(params)

    def test_whole_evaluation(self):
        params = own()
        report = evaluation(params.truth, params.results)(lambda fraction, words: None)
        assert report.summary()["AP"] == pytest.approx(compute(PAGE).study.summary["AP"], abs=1e-9)
        assert report.difference < 1e-12


class TestExamplesSayWhatTheyShow:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("One list, walked", 0.674),
            ("Sure and wrong", 0.590),
            ("Same boxes, better order", 0.752),
            ("Without NMS", 0.601),
            ("One pair, two rules", 0.568),
            ("One of two eights", 0.545),
        ],
    )
    def test_ap(self, name, value):
        preset = PRESETS[name]
        assert f"{compute(preset.params).study.walk.ap():.3f}" == f"{value:.3f}"
        assert name == "One list, walked" or f"{value:.3f}" in preset.look

    def test_cut(self):
        cut = compute(PRESETS["Stop at 0.80"].params).study.walk
        numbers = {f"{cut.cut.precision[-1]:.2f}", f"{cut.ap(step=cut.step):.3f}", f"{cut.ap():.3f}"}
        assert numbers <= set(re.findall(r"\d\.\d+", PRESETS["Stop at 0.80"].look))

    def test_loose_boxes(self):
        params = PRESETS["Perfect at 0.5"].params
        overlaps = [verdict.overlap for digit in "38" for verdict in walk(params, digit=digit).verdicts]
        fits = sorted(overlap for overlap in overlaps if overlap)
        assert [round(fits[0], 2), round(fits[-1], 2)] == [0.59, 0.62]
        assert walk(params).ap() == 1
        assert walk(params).outcomes == sorted(walk(params).outcomes, reverse=True), "both FPs come last"
        assert walk(params).outcomes.count(0) == 2
        assert walk(params, iou=0.65).ap() == 0

    def test_without_nms(self):
        outcomes = walk(PRESETS["Without NMS"].params).outcomes
        assert (outcomes.count(1), outcomes.count(0)) == (5, 5)

    def test_crowd_and_sizes(self):
        crowd = walk(PRESETS["A pair as a crowd"].params)
        assert [crowd.name(rank) for rank, outcome in enumerate(crowd.outcomes) if outcome < 0] == ["F", "H"]
        large = walk(PRESETS["Only the large"].params)
        assert (large.positives, large.outcomes.count(-1), large.ap()) == (1, 8, 1)


def test_precision_is_no_number_while_everything_is_ignored():
    walk = compute(replace(PAGE, size="large", walk=1)).study.walk
    assert walk.numbers()["Precision"] != walk.numbers()["Precision"], "A lies on a small object: 0/0"
    rows = shown_rows(compute(replace(PAGE, size="large")).study.walk)
    assert rows["Precision"].tolist()[:2] == ["–", "1.000"]
