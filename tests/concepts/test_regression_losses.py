from dataclasses import replace

import pytest
import torch

from cvviz.concepts.losses.regression_losses import CONCEPT, LINE, OUTLIER, TITLES, Params, compute
from cvviz.figures.regression_losses import LOOKS

EVERY = tuple(TITLES)


@pytest.mark.parametrize("view", ["fit", "descent", "curves"])
@pytest.mark.parametrize("points", [LINE, OUTLIER, ((2.0, 3.0), (2.0, 7.0)), ((5.0, 5.0),) * 20])
def test_every_loss_in_every_view_matches(view, points):
    params = Params(view=view, losses=EVERY, points=points, beta=0.3, delta=2.5, tau=0.8)
    result = compute(params)
    assert CONCEPT.check(params, result).status == "matches"
    assert CONCEPT.stage(params, result) is not None
    assert len(CONCEPT.table(params, result)) >= len(EVERY)


def test_the_outlier_is_found_and_moves_the_squares_most():
    params = Params(losses=("mse", "mae", "huber"))
    rows = CONCEPT.table(params, compute(params)).set_index("Loss")
    moved = rows["Moves the line there by"].abs()
    assert compute(params).outlier == len(OUTLIER) - 1
    assert moved["MSE"] > 3 * moved["Huber"] > 0
    assert moved["MAE"] < 0.1


def test_points_on_a_line_have_no_outlier():
    params = Params(points=((0.0, 1.0), (5.0, 2.0), (10.0, 3.0)))
    result = compute(params)
    assert result.outlier == -1
    assert list(CONCEPT.table(params, result).columns) == ["Loss", "Intercept", "Slope"]


def test_no_step_is_the_start_and_many_steps_near_the_best_line():
    start = compute(Params(view="descent", steps=0)).lines
    assert torch.allclose(start[:, 1], torch.zeros(3).double())
    smooth = Params(view="descent", losses=("mse",), points=LINE, steps=100, rate=0.1)
    best = compute(replace(smooth, view="fit")).lines
    assert torch.allclose(compute(smooth).lines, best, atol=1e-6)


def test_failures_shown_are_failures():
    diverging = CONCEPT.presets["The squares diverge"].params
    near, far = (compute(replace(diverging, steps=steps)).lines.abs().max(dim=1).values for steps in (12, 60))
    assert far[0] > 50 * near[0], "the squares run away"
    assert far[1] < 5, "the absolute loss does not"
    restless = replace(CONCEPT.presets["The absolute loss never rests"].params, losses=("mae",))
    moves = [compute(replace(restless, steps=steps)).lines for steps in (99, 100)]
    assert (moves[1] - moves[0]).abs().max() > 0.1


def test_lines_are_told_apart_without_colour():
    assert len({(look.dash, look.width) for look in LOOKS.values()}) == len(LOOKS)


def test_without_an_outlier_the_huber_line_is_that_of_the_squares():
    params = CONCEPT.presets["No outlier"].params
    slopes = dict(zip(params.losses, compute(params).lines[:, 1].tolist(), strict=True))
    assert slopes["huber"] == pytest.approx(slopes["mse"], abs=1e-9)
    assert [slopes["mse"], slopes["mae"]] == pytest.approx([0.713, 0.686], abs=5e-4)
