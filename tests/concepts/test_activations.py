from dataclasses import replace

import pytest
import torch

from cvviz.concepts.losses.activations import CONCEPT, TITLES, Params, alive, compute


@pytest.mark.parametrize("name", TITLES)
@pytest.mark.parametrize("view", ["stack", "unit"])
def test_every_function_in_a_stack_and_alone(view, name):
    params = Params(view=view, name=name, depth=6, width=32, narrow=True, slope=0.2, weight=0.4, alpha=0.7, beta=2.0)
    result = compute(params)
    assert CONCEPT.check(params, result).status == "matches"
    CONCEPT.stage(params, result)
    assert "aligned" in CONCEPT.formula(params, result)


@pytest.mark.parametrize("rule", ["he", "xavier", "lecun", "linear", "small", "large"])
def test_every_rule_of_initialisation(rule):
    params = Params(view="stack", rule=rule, depth=20)
    result = compute(params)
    assert CONCEPT.check(params, result).status == "matches"
    ratio = float(result.checked[0, -1] / result.checked[0, 0])
    assert (0.2 < ratio < 5) if rule == "he" else ratio > 100 if rule == "large" else ratio < 0.1


def test_xavier_and_lecun_part_where_widths_change():
    spreads = [
        compute(Params(view="stack", name="tanh", rule=rule, narrow=True)).checked for rule in ("xavier", "lecun")
    ]
    assert not torch.allclose(*spreads)


def test_a_dead_unit_never_moves_again():
    dying = CONCEPT.presets["A unit dies"].params
    result = compute(dying)
    assert alive(dying, result) == 0
    later = compute(replace(dying, steps=59))
    assert torch.equal(result.track[-1], later.track[-1])
    leaky = CONCEPT.presets["Leaky comes back"].params
    assert alive(leaky, compute(leaky)) == 1


def test_softmax_of_large_logits_stays_finite_and_shift_changes_nothing():
    result = compute(Params(view="softmax", logits=(100, 98, -100)))
    assert torch.allclose(result.marked[1], compute(Params(view="softmax", logits=(2, 0, -100))).marked[1])
    assert float(result.marked[1].sum()) == pytest.approx(1)


class TestLooks:
    def test_smooth_functions_have_negative_slopes_at_minus_two(self):
        params = CONCEPT.presets["Three bends of ReLU"].params
        slopes = dict(zip(params.names, compute(params).marked[1].tolist(), strict=True))
        assert slopes["relu"] == 0
        assert max(slopes[name] for name in ("gelu", "silu", "mish")) < 0

    def test_weights_too_large_explode(self):
        signals = compute(CONCEPT.presets["Weights too large"].params).signals
        growth = signals.gradients[0].std() / signals.gradients[-1].std()
        assert float(growth) == pytest.approx(3200, rel=0.02)
