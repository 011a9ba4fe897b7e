from dataclasses import replace

import pytest
import torch

from cvviz.ops.metric_forces import Recipe
from cvviz.ops.metric_learning import pairwise_distances
from cvviz.ops.retrieval import recall_at_1
from cvviz.zoo.embedding_digits import TRAINED_ON, UNSEEN, main_axes, pixels, raw_retrieval, train

HARD = Recipe(rule="hard", margin=0.5)
COLLAPSES = Recipe(rule="hard", margin=0.2, squared=True)


def quiet(*_):
    pass


def test_it_learns_and_orders_whole_classes_better_than_pixels():
    course = train(HARD, 16, 0, quiet, epochs=4)
    (recall, precision), (raw_recall, raw_precision) = course.retrieval[0], raw_retrieval()[0]
    assert course.loss[-1] < 0.5 * course.loss[0]
    assert recall > 0.93
    assert precision > raw_precision + 0.15
    assert raw_recall > 0.97, "pixels are hard to beat"
    assert float(course.recall[-1]) == pytest.approx(recall)
    assert not course.collapsed


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("unit", [False, True])
def test_hard_triplets_with_squares_collapse_on_a_plane_and_distances_do_not(unit, seed):
    bad = train(replace(COLLAPSES, unit=unit), 2, seed, quiet, epochs=6)
    assert bad.collapsed
    assert float(bad.loss[-1]) == pytest.approx(0.2, rel=0.01)
    assert bad.spread[-1] < 0.02
    assert bad.pushing[-1] == 1, "every triplet still has a loss"
    if not unit:
        assert not train(replace(COLLAPSES, squared=False), 2, seed, quiet, epochs=6).collapsed


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(rule="all"),
        Recipe(rule="semi"),
        Recipe(rule="random"),
        Recipe("contrastive", margin=1.0),
        Recipe("info_nce", unit=True, temperature=0.1),
    ],
    ids=lambda recipe: f"{recipe.name}-{recipe.rule}",
)
def test_every_loss_improves_on_untrained_weights(recipe):
    course = train(recipe, 16, 0, quiet, epochs=3)
    assert course.precision[-1] > course.precision[0] + 0.2
    assert course.pushing[-1] < course.pushing[0]
    assert ((course.pushing >= 0) & (course.pushing <= 1)).all()


def test_digits_never_seen_are_told_apart_less_well():
    course = train(Recipe("info_nce", unit=True, temperature=0.1), 16, 0, quiet, unseen=UNSEEN, epochs=4)
    (seen, unseen), (_, raw) = course.retrieval, raw_retrieval(UNSEEN)
    assert seen[1] > unseen[1] + 0.2
    assert unseen[0] < raw[0]


def test_seeded_and_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    first, second = (train(Recipe(rule="random"), 2, 1, quiet, epochs=1) for _ in range(2))
    other = train(Recipe(rule="random"), 2, 2, quiet, epochs=1)
    assert torch.equal(first.embeddings, second.embeddings)
    assert not torch.equal(first.embeddings, other.embeddings)
    assert torch.equal(state, torch.random.get_rng_state())


def test_tells_how_far_it_is_and_can_be_stopped():
    class StopError(Exception):
        pass

    told = []

    def progress(share, words, course):
        told.append((share, words, len(course.loss)))
        if len(told) == 3:
            raise StopError

    with pytest.raises(StopError):
        train(HARD, 2, 0, progress, epochs=8)
    assert [share for share, _, _ in told] == [0, 1 / 8, 2 / 8]
    assert [epochs for _, _, epochs in told] == [1, 2, 3]
    assert told[1][1].startswith("Epoch 1 of 8: loss 0.")


def test_shapes_and_measures():
    course = train(Recipe(unit=True), 16, 0, quiet, epochs=1)
    assert course.embeddings.shape == (2, 450, 16)
    assert torch.allclose(course.embeddings.norm(dim=2), torch.ones(2, 450))
    assert torch.equal(course.labels, pixels()[1][TRAINED_ON:])
    assert course.recall[-1] == recall_at_1(course.embeddings[-1], course.labels)
    assert course.spread.shape == course.loss.shape == (2,)


class TestMainAxes:
    def test_two_numbers_are_shown_as_they_are(self):
        places = torch.randn(3, 20, 2, generator=torch.Generator().manual_seed(0))
        shown, share = main_axes(places)
        assert torch.equal(shown, places)
        assert share == 1

    def test_more_are_turned_onto_the_widest_axes(self):
        generator = torch.Generator().manual_seed(0)
        flat = torch.randn(1, 50, 2, generator=generator, dtype=torch.float64)
        turn, _ = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))
        shown, share = main_axes(flat @ turn[:2])
        assert share == pytest.approx(1)
        first, second = (pairwise_distances(places[0]) for places in (flat, shown))
        assert torch.allclose(first, second), "a plane in space stays itself"
        assert shown[0, :, 0].var() > shown[0, :, 1].var()

    def test_one_place(self):
        shown, share = main_axes(torch.ones(2, 9, 4))
        assert not shown.any()
        assert share == 0
