from dataclasses import replace
from itertools import product

import pandas as pd
import pytest
import torch

from cvviz.concepts.losses.metric_learning import APART, CONCEPT, HEAP, LABELS, MIXED, NAMES, TANGLED, Params, compute
from cvviz.figures.metric_learning import LONGEST, arrow_scale, descent_figure
from cvviz.figures.metric_learning_digits import course_figure, embedding_figure, retrieval_table
from cvviz.figures.metric_learning_words import KINDS, MINING, effective_negatives, kinds_table, pairs_table
from cvviz.figures.scene import Path
from cvviz.ops.metric_learning import pair_masks, pairwise_distances
from cvviz.zoo.embedding_digits import main_axes, raw_retrieval, train

RINGS = tuple((x, x) for x in (0.5, 1.0, 1.5)) * 3  # on one ray, in threes on one place


@pytest.mark.parametrize("points", [TANGLED, APART, MIXED, HEAP, RINGS])
@pytest.mark.parametrize(
    ("loss", "mining"), [*product(["triplet"], MINING), ("contrastive", "hard"), ("info_nce", "hard")]
)
def test_every_loss_matches_wherever_the_points_are(loss, mining, points):
    for squared, unit, steps in product((False, True), (False, True), (0, 13)):
        params = Params(loss=loss, mining=mining, squared=squared, unit=unit, steps=steps, points=points, seed=3)
        result = compute(params)
        assert CONCEPT.check(params, result).status == "matches", params
        assert CONCEPT.stage(params, result).svg()
        assert "nan" not in CONCEPT.formula(params, result)


@pytest.mark.parametrize("rate", [0.05, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_matches_after_the_longest_way(rate, seed):
    for loss, mining in (("triplet", "random"), ("triplet", "semi"), ("contrastive", "hard"), ("info_nce", "hard")):
        params = Params(loss=loss, mining=mining, steps=40, rate=rate, seed=seed)
        assert CONCEPT.check(params, compute(params)).status == "matches"


def test_a_longer_way_begins_with_a_shorter():
    for mining in ("random", "hard"):
        short, long = (compute(Params(mining=mining, steps=steps)) for steps in (7, 33))
        assert torch.equal(short.way, long.way[:8])
        assert torch.equal(short.losses, long.losses[:8])


def test_one_triplet_moves_three_points():
    params = CONCEPT.presets["One triplet"].params
    result = compute(params)
    still = [NAMES[index] for index in (result.push.gradient.norm(dim=1) == 0).nonzero()[:, 0]]
    assert still == ["A3", "B2", "B3", "C1", "C2", "C3"]
    assert result.triplet == (0, 1, 3)
    other = compute(replace(params, anchor="C2"))
    assert other.push.triplets.tolist() == [[7, 8, 1]]


def test_the_anchor_changes_no_number_but_what_is_shown():
    first, second = (compute(Params(anchor=anchor, steps=5)) for anchor in ("A1", "C3"))
    assert torch.equal(first.checked, second.checked)
    assert first.triplet != second.triplet


class TestPresets:
    def test_loose_classes_rest_under_triplets_and_shrink_under_contrastive(self):
        loose, shrunk = (
            compute(CONCEPT.presets[name].params) for name in ("Zero loss, loose classes", "Contrastive keeps pulling")
        )
        assert loose.push.gradient.abs().max() == 0
        assert float(loose.measured[0, 2]) == pytest.approx(1.33, abs=0.005)
        assert (shrunk.push.slopes[pair_masks(LABELS)[1]] == 0).all()
        assert pairwise_distances(shrunk.embeddings)[0, 2] < 0.5
        widths = [
            float((pairwise_distances(points) * pair_masks(LABELS)[0]).max())
            for points in (shrunk.way[0], shrunk.way[-1])
        ]
        assert widths == pytest.approx([1.60, 0.58], abs=0.005)

    def test_semi_hard_looks_away_where_batch_hard_does_not(self):
        params = CONCEPT.presets["Semi-hard looks away"].params
        assert compute(params).recall[-1] == 0
        assert compute(replace(params, mining="hard")).recall[-1] > 0.3

    def test_a_heap_bursts_by_distances_and_stays_by_squares(self):
        stays, bursts = (compute(CONCEPT.presets[f"A heap, {name}"].params) for name in ("squared", "distances"))
        assert float(stays.push.loss) == pytest.approx(0.5, abs=1e-3)
        assert stays.way[-1].abs().max() < 0.002
        assert pairwise_distances(stays.way[-1]).max() < 0.003
        assert stays.recall[-1] == 1
        assert bursts.push.loss == 0

    def test_trapped(self):
        result = compute(CONCEPT.presets["Trapped on the circle"].params)
        nearest = result.measured.fill_diagonal_(-9).argmax(dim=1)
        wrong = [NAMES[index] for index in range(9) if LABELS[nearest[index]] != LABELS[index]]
        assert wrong == ["B3"]

    def test_in_order_after_20_steps(self):
        assert compute(Params(steps=20)).recall[-1] == 1


def test_temperature_says_how_many_negatives_push():
    for temperature, low, high in ((0.02, 1.0, 1.05), (5.0, 5.8, 6.0)):
        result = compute(Params(loss="info_nce", unit=True, temperature=temperature))
        assert low <= effective_negatives(result.measured, LABELS, temperature) <= high


def test_tables_count():
    result = compute(Params())
    kinds = kinds_table(result.measured, LABELS, result.push.triplets, 0.5)
    assert kinds["There are"].sum() == 108
    assert kinds["In the mean"].tolist() == [0, 0, 9]
    assert list(kinds.index) == list(KINDS.values())
    pairs = pairs_table(result.measured, LABELS, result.weights, 0, "d")
    assert pairs.loc["B3"].tolist() == ["other", "1.204", "−0.1111", "repel"]
    assert pairs.loc["A3", "Effect"] == "attract"
    assert list(pairs["d"]) == sorted(pairs["d"])


def test_a_similarity_that_costs_repels():
    result = compute(Params(loss="info_nce", unit=True))
    pairs = pairs_table(result.measured, LABELS, result.weights, 0, "s")
    assert set(pairs.loc[pairs["Class"] == "same", "Effect"]) == {"attract"}
    assert "attract" not in set(pairs.loc[pairs["Class"] == "other", "Effect"])


def test_arrows_stay_on_the_sheet_and_say_their_scale():
    params = Params(loss="info_nce", unit=True, temperature=0.02)
    result = compute(params)
    scale = arrow_scale(result.push.gradient)
    assert float(result.push.gradient.norm(dim=1).max()) * scale == pytest.approx(LONGEST)
    scene = CONCEPT.stage(params, result)
    assert f"arrows {scale:.2g} ×" in scene.caption
    assert any(isinstance(shape, Path) and shape.arrow for shape in scene.shapes)
    assert scene.points.labels == NAMES


def test_figures_are_valid_and_show_what_they_say():
    result = compute(Params(steps=20))
    descent_figure(result.losses, result.recall).to_json()
    course = train(Params().recipe, 16, 0, lambda *_: None, epochs=2)
    figure = embedding_figure(main_axes(course.embeddings)[0], course.labels, titles=("x", "y"))
    assert len(figure.frames) == 3
    assert figure.data[0].text[0] == str(int(course.labels[0]))
    type(figure)(figure.to_dict())  # raises where plotly knows no such property or value
    shares = {"Recall@1": course.recall, "R-precision": course.precision, "Still pushing": course.pushing}
    curves = course_figure(course.loss, course.spread, shares, raw=(0.9, 0.6), margin=0.5)
    type(curves)(curves.to_dict())
    assert [trace.name for trace in curves.data] == [*shares, "Loss", "Spread"]


def test_retrieval_table():
    raw = raw_retrieval((7, 8, 9))
    table = retrieval_table([("64 pixels", raw)], (7, 8, 9))
    assert isinstance(table, pd.DataFrame)
    assert table["64 pixels"].tolist() == [f"{number:.1%}" for pair in raw for number in pair]
    assert list(table.index)[::3] == ["Recall@1 of digits trained on", "R-precision of 7 to 9"]
    assert list(retrieval_table([("64 pixels", raw_retrieval())], ()).index) == ["Recall@1", "R-precision"]
