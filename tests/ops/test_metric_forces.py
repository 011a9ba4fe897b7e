from dataclasses import replace
from itertools import product

import pytest
import torch
from torch.autograd import gradcheck

from cvviz.ops.metric_forces import Recipe, batch_loss, descend, push
from cvviz.ops.metric_learning import all_triplets, contrastive_loss, info_nce_loss, pairwise_distances, triplet_hinges

LABELS = torch.tensor([0, 1, 0, 2, 1, 2, 0, 1, 3])
RECIPES = [
    Recipe(rule=rule, squared=squared, margin=0.7)
    for rule, squared in product(("all", "hard", "semi", "random"), (0, 1))
] + [Recipe("contrastive", margin=2.0), Recipe("info_nce", temperature=0.6)]


def batch(seed=0, count=9, size=3):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded():
    return torch.Generator().manual_seed(5)


def name(recipe):
    return f"{recipe.name}-{recipe.rule}-{recipe.squared}"


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("recipe", RECIPES, ids=name)
class TestEveryLoss:
    @pytest.mark.parametrize("seed", range(3))
    def test_gradient_by_formula_is_autograds(self, recipe, unit, seed):
        recipe, x = replace(recipe, unit=unit), batch(seed).requires_grad_()
        loss = batch_loss(x, LABELS, recipe, generator=seeded())
        (expected,) = torch.autograd.grad(loss, x)
        pushed = push(x.detach(), LABELS, recipe, generator=seeded())
        assert torch.allclose(pushed.loss, loss.detach(), atol=1e-12)
        assert torch.allclose(pushed.gradient, expected, atol=1e-12)

    def test_slopes_are_autograds_by_what_pairs_measure(self, recipe, unit):
        if unit or recipe.name == "triplet":
            pytest.skip("the measures are formed inside")
        x = batch()
        measured = (x @ x.T if recipe.name == "info_nce" else pairwise_distances(x)).requires_grad_()
        if recipe.name == "info_nce":
            loss = info_nce_loss(measured, LABELS, temperature=recipe.temperature)
        else:
            loss = contrastive_loss(measured, LABELS, margin=recipe.margin)
        (expected,) = torch.autograd.grad(loss, measured)
        slopes = push(x, LABELS, recipe).slopes
        assert torch.allclose(slopes + slopes.T, expected + expected.T, atol=1e-12)

    def test_gradcheck(self, recipe, unit):
        recipe = replace(recipe, unit=unit)
        assert gradcheck(lambda x: batch_loss(x, LABELS, recipe, generator=seeded()), batch().requires_grad_())

    def test_steps_are_those_of_torchs_sgd(self, recipe, unit):
        recipe, generator = replace(recipe, unit=unit), seeded()
        x = batch().requires_grad_()
        optimizer = torch.optim.SGD([x], lr=0.1)
        way, pushes = descend(batch(), LABELS, recipe, steps=4, rate=0.1, generator=seeded())
        for step in range(4):
            assert torch.allclose(way[step], x.detach(), atol=1e-10)
            optimizer.zero_grad()
            loss = batch_loss(x, LABELS, recipe, generator=generator)
            assert torch.allclose(pushes[step].loss, loss.detach(), atol=1e-10)
            torch.autograd.backward(loss)
            optimizer.step()
        assert len(pushes) == len(way) == 5

    def test_forces_sum_to_zero_but_under_dot_products(self, recipe, unit):
        if unit or recipe.name == "info_nce":
            pytest.skip("these know where 0 is")
        gradient = push(batch(), LABELS, recipe, generator=seeded()).gradient
        assert torch.allclose(gradient.sum(dim=0), torch.zeros(3).double(), atol=1e-12)

    @pytest.mark.parametrize("labels", [[], [0], [0, 0], [0, 1]], ids=str)
    def test_nothing_to_learn(self, recipe, unit, labels):
        if recipe.name == "contrastive" and len(labels) == 2:
            pytest.skip("one pair is enough")
        recipe, x = replace(recipe, unit=unit), batch(count=len(labels))
        pushed = push(x, torch.tensor(labels, dtype=torch.int64), recipe, generator=seeded())
        assert pushed.loss == 0
        assert torch.equal(pushed.gradient, torch.zeros_like(x))


def test_by_hand():
    # 0, 1 of one class and 1.2: anchor 0 has 1 - 1.2 + 0.5 = 0.3, anchor 1 has 1 - 0.2 + 0.5 = 1.3, mean 0.8.
    x = torch.tensor([[0.0], [1.0], [1.2]], dtype=torch.float64)
    pushed = push(x, torch.tensor([0, 0, 1]), Recipe(margin=0.5))
    assert float(pushed.loss) == pytest.approx(0.8)
    # On the 0: drawn right by both triplets (-1 each), off 1.2 by the first (+1): -1/2. The others likewise.
    assert pushed.gradient.flatten().tolist() == pytest.approx([-0.5, 1.5, -1.0])
    assert pushed.slopes.tolist() == [[0, 0.5, -0.5], [0.5, 0, -0.5], [0, 0, 0]]


def test_batch_all_is_the_mean_over_those_with_a_loss():
    x, recipe = batch(), Recipe(rule="all", margin=0.5)
    hinges = triplet_hinges(pairwise_distances(x), all_triplets(LABELS), margin=0.5)
    pushed = push(x, LABELS, recipe)
    assert 0 < len(pushed.triplets) < len(hinges)
    assert torch.allclose(pushed.loss, hinges[hinges > 0].mean())


def test_given_triplets_take_the_place_of_mined_ones():
    chosen = torch.tensor([[0, 2, 1]])
    pushed = push(batch(), LABELS, Recipe(margin=9.0), triplets=chosen)
    assert torch.equal(pushed.triplets, chosen)
    assert pushed.gradient[3:].abs().max() == 0
    assert torch.equal(pushed.loss, batch_loss(batch(), LABELS, Recipe(margin=9.0), triplets=chosen))


def test_on_the_unit_sphere_slopes_go_sideways_and_lengths_only_grow():
    recipe = Recipe("info_nce", unit=True, temperature=0.3)
    way, pushes = descend(batch(), LABELS, recipe, steps=20, rate=0.5)
    assert float((pushes[0].gradient * way[0]).sum(dim=1).abs().max()) < 1e-12
    assert (way.norm(dim=2).diff(dim=0) >= 0).all()


def test_longer_vectors_turn_more_slowly():
    recipe = Recipe("info_nce", unit=True, temperature=0.3)
    near, far = (push(scale * batch(), LABELS, recipe).gradient for scale in (1, 4))
    assert torch.allclose(near, 4 * far)


def test_contrastive_ignores_squared():
    plain, squared = (push(batch(), LABELS, Recipe("contrastive", squared=squared)) for squared in (False, True))
    assert torch.equal(plain.gradient, squared.gradient)


@pytest.mark.parametrize("squared", [False, True])
def test_equal_embeddings_cost_the_margin_and_have_no_slope(squared):
    x = torch.ones(len(LABELS), 2, dtype=torch.float64)
    pushed = push(x, LABELS, Recipe(margin=0.3, squared=squared))
    assert float(pushed.loss) == pytest.approx(0.3)
    assert pushed.gradient.abs().max() == 0


def test_next_to_equal_squares_have_no_force_and_distances_the_whole():
    near = 1e-6 * batch()
    plain, squared = (push(near, LABELS, Recipe(margin=0.3, squared=squared)).gradient for squared in (False, True))
    assert squared.abs().max() < 1e-5
    assert plain.norm(dim=1).max() > 0.1


def test_exceptions():
    x = batch()
    for function in (batch_loss, push):
        with pytest.raises(ValueError, match="name must be one of triplet, contrastive, info_nce, got 'centre'"):
            function(x, LABELS, Recipe("centre"))
        with pytest.raises(ValueError, match="rule must be one of"):
            function(x, LABELS, Recipe(rule="none"))
        with pytest.raises(ValueError, match="temperature must be positive"):
            function(x, LABELS, Recipe("info_nce", temperature=0))
        with pytest.raises(TypeError, match="floating-point dtype"):
            function(x.long(), LABELS, Recipe())
    with pytest.raises(ValueError, match="steps must be at least 0, got -1"):
        descend(x, LABELS, Recipe(), steps=-1, rate=0.1)
    with pytest.raises(ValueError, match="rate must be positive, got 0"):
        descend(x, LABELS, Recipe(), steps=1, rate=0)
