import math
from dataclasses import replace

import pytest
import torch

from cvviz.concepts.losses.classification_losses import PRESETS, TITLES, Params, compute, describe, formula, stage

ALL = tuple(TITLES)


def example(**settings):
    params = Params(**settings)
    return dict(zip(params.losses, compute(params).example.T.tolist(), strict=True))


def test_against_the_probability_every_plain_loss_is_one_curve():
    result = compute(Params(losses=("ce", "bce"), classes="10"))
    for family, loss in enumerate(result.curves[0]):
        torch.testing.assert_close(loss, -result.probability[family].log(), atol=1e-9, rtol=1e-9)


def test_two_classes_are_a_sigmoid():
    loss = example(losses=("ce", "bce"), z=0.7)
    assert loss["ce"] == pytest.approx(loss["bce"])


def test_kl_and_smoothed_loss_have_one_slope_and_kl_ends_at_zero():
    # z* = T ln(q_on / q_off) with q = (0.91, 0.01)
    loss = example(losses=("smooth", "kl"), classes="10", temperature=2.0, z=2 * math.log(91))
    assert loss["kl"] == pytest.approx([0, 0], abs=1e-12)
    assert loss["smooth"][1] == pytest.approx(loss["kl"][1], abs=1e-12)


def test_label_matters_only_to_alpha_and_to_rounding():
    one, zero = (example(losses=ALL, z=-20.0, label=label) for label in "10")
    assert {name for name in ALL if one[name] != pytest.approx(zero[name])} == {"prob"}
    one, zero = (example(losses=("focal",), alpha="0.25", label=label)["focal"] for label in "10")
    assert zero == pytest.approx([3 * value for value in one])


def test_easy_negatives_lose_their_share():
    assert compute(Params()).share.tolist() == pytest.approx([0.988, 0.017], abs=5e-4)
    assert compute(Params(alpha="0.25")).share[1].item() == pytest.approx(0.049, abs=5e-4)
    assert compute(Params(gamma=0.0)).share.diff().item() == pytest.approx(0)


@pytest.mark.parametrize(
    ("preset", "name", "value", "slope"),
    [
        ("Hard example", "ce", 2.859, -0.943),
        ("Hard example", "focal", 2.541, -1.129),
        ("Dead gradient", "prob", 100, 0),
        ("1000 classes, untrained", "ce", math.log(1000), -0.999),
        ("Softmax twice", "twice", 2.403, -1e-4),  # ln(1 + 9·e^(1/9)): the first gives the others 1/9 each
    ],
)
def test_presets_show_what_they_say(preset, name, value, slope):
    params = PRESETS[preset].params
    row = params.losses.index(name)
    assert compute(params).example[:, row].tolist() == pytest.approx([value, slope], abs=2e-3)


@pytest.mark.parametrize("axis", ["logit", "probability"])
@pytest.mark.parametrize("log", [False, True])
def test_example_off_the_scale_stays_at_the_edge(axis, log):
    for z, symbol in ((-24.0, "triangle-up"), (24.0, "triangle-down")):
        params = Params(losses=ALL, z=z, temperature=0.5, label="0", axis=axis, log=log)
        figure = stage(params, compute(params))
        seen = set()
        for markers, scale in zip(figure.data[-2:], (figure.layout.yaxis, figure.layout.yaxis2), strict=True):
            low, high = (10**end if log else end for end in scale.range)
            assert ((markers.y > low - 1e-9) & (markers.y < high + 1e-9)).all()
            seen |= set(markers.marker.symbol)
        assert (symbol in seen) == (log == (z > 0))


def test_formula_fills_in_the_numbers():
    params = Params(losses=("focal",), z=0.0, alpha="0.25")
    text = formula(params, compute(params))
    assert r"0.25 \cdot (0.5)^{2} \cdot 0.693 = \mathbf{0.0433}" in text
    assert r"\alpha_t" not in formula(Params(losses=("focal",)), compute(Params(losses=("focal",))))


def test_description_names_both_probabilities_only_where_they_are_used():
    mixed = Params(losses=("ce", "bce"), classes="10", z=0.0)
    assert "0.1 (softmax) or 0.5 (sigmoid)" in describe(mixed, compute(mixed))
    assert "softmax" not in describe(Params(losses=("bce",)), compute(Params(losses=("bce",))))


class TestLogits:
    def test_softmax_pushes_sum_to_zero_and_sigmoids_do_not(self):
        result = compute(PRESETS["All shifted"].params)
        assert result.slopes.sum(1).tolist()[0] == pytest.approx(0, abs=1e-12)
        assert result.slopes.sum(1)[1] > 3.9  # four false alarms of nearly 1, one truth of nearly 0

    def test_softmax_push_is_p_minus_q(self):
        params = PRESETS["All logits: p − q"].params
        result = compute(params)
        expected = result.chances[0] - torch.tensor([1.0, 0, 0, 0, 0])
        torch.testing.assert_close(result.slopes[0], expected)

    def test_smoothing_comes_to_rest_at_the_gap_that_the_example_names(self):
        result = compute(PRESETS["Where they come to rest"].params)
        plain, smoothed = (ends[0] - ends[1] for ends in result.ends)
        assert smoothed.item() == pytest.approx(math.log(46), abs=0.02)  # ln(0.92 / 0.02)
        assert plain > smoothed + 1

    def test_focal_spends_itself_on_the_false_alarm(self):
        bce, focal = compute(PRESETS["Easy for the focal loss"].params).slopes.abs()
        assert focal.argmax() == 3
        assert focal[3] / focal.sum() > bce[3] / bce.sum()

    def test_steps_too_long_leap_over_the_minimum(self):
        params = PRESETS["Steps too long"].params
        row = params.losses.index("smooth")
        ends = [compute(replace(params, steps=steps)) for steps in range(20, 31)]
        gaps = [float(result.ends[row, 0] - result.ends[row, 1:].mean()) for result in ends]
        assert max(gaps) - min(gaps) > 1
        leap, after = (compute(replace(params, steps=steps)).ends[row] for steps in (1, 2))
        assert float(leap[0] - leap[1]) == pytest.approx(32.5, abs=0.05)
        assert after[0] - after[1] < leap[0] - leap[1]

    def test_scene_points_up_for_the_truth(self):
        params = PRESETS["All logits: p − q"].params
        scene = stage(params, compute(params))
        assert scene.points.upright
        (arrow,) = [shape for shape in scene.shapes if "pushes cat" in getattr(shape, "tip", "")]
        (_, start), (_, end) = arrow.points
        assert end < start, "up is up"
