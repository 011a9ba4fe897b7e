"""What the contract does not try: every view at the limits of all controls, pictures of a few pixels, true words."""

from dataclasses import replace
from itertools import product

import plotly.graph_objects as go
import pytest
import torch

from cvviz.concepts.convolution.pooling import CONCEPT, PRESETS, VIEWS, Params
from cvviz.data.images import Picture
from cvviz.figures.pooling import power_figure
from cvviz.figures.pooling_shift import TITLES, digits_figure
from cvviz.params import controls_of, limit_cases

LIMITS = {name: params for name, params in limit_cases(Params) if not name.startswith(("image=", "view="))}


def picture(*shape: int) -> Picture:
    pixels = torch.randint(256, (3, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Picture("mine", "Mine", lambda: pixels)


def draw(params: Params):
    result = CONCEPT.compute(params)
    assert CONCEPT.check(params, result).status == "matches"
    CONCEPT.stage(params, result)
    assert 20 < len(CONCEPT.describe(params, result)) < 500
    assert CONCEPT.formula(params, result).count("&") >= 2
    assert len(CONCEPT.table(params, result)) > 0
    return result


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", LIMITS)
def test_every_view_at_every_limit(view, name):
    params = replace(LIMITS[name], view=view)
    draw(params)
    shown = [control.when(params) for control in controls_of(Params).values() if control.when]
    assert any(shown)
    assert not all(shown)


@pytest.mark.parametrize("pool", ["max", "average", "lp"])
@pytest.mark.parametrize(("k", "stride"), [(1, 1), (2, 5), (3, 2), (6, 4)])
def test_all_kinds_of_windows(pool, k, stride):
    for padding, counted, hang, cells in product(("none", "half"), (True, False), (True, False), ("patch", "picture")):
        draw(Params(pool=pool, k=k, stride=stride, padding=padding, counted=counted, hang=hang, cells=cells))
    for out in range(1, 17):
        draw(Params(pool=pool, windows="adaptive", out=out, gradient=True))


@pytest.mark.parametrize("shape", [(2, 2), (5, 40), (900, 17)])
def test_pictures_of_a_few_pixels(shape):
    for view, cells in product(VIEWS, ("patch", "picture")):
        draw(Params(view=view, cells=cells, image=picture(*shape)))


def test_a_window_that_does_not_fit_is_said_in_a_sentence():
    with pytest.raises(ValueError, match="A window of 6 px does not fit into 4 px"):
        CONCEPT.compute(Params(k=6, image=picture(4, 4)))


def test_what_is_not_counted_is_not_read():
    result = draw(Params(pool="average", k=3, padding="half", counted=False, at=(0, 0)))
    assert result.cells.shape == (2, 2)
    assert result.value == pytest.approx(result.cells.mean().item())


def test_numbers_of_the_presets():
    results = {name: CONCEPT.compute(preset.params) for name, preset in PRESETS.items()}
    overlap = results["Overlap, as in ResNet"]
    assert overlap.reached == 33
    assert int((overlap.gradient == 2).sum()) == 3
    zeros = results["Zeros in the average"]
    assert (round(zeros.value, 1), zeros.cells.sum().item() / 4) == (9.6, 21.5)
    assert [b - a for a, b in results["12 into 5"].spans(0)] == [3, 3, 4, 3, 3]
    lp = PRESETS["p = 1 is the sum"].params
    assert CONCEPT.compute(lp).others()["Mean"] == 88
    assert CONCEPT.compute(lp).value == pytest.approx(352)
    assert CONCEPT.compute(replace(lp, p=16.0)).value == pytest.approx(122.1, abs=0.05)
    assert results["No stride, no reduction"].output.shape == (128, 128)
    errors = results["One pixel of a real map"].errors
    at = {name: errors[list(TITLES).index(name)] for name in TITLES}
    assert [round(at[name][0, 1].item(), 2) for name in ("max", "subsample", "blur")] == [0.69, 0.92, 0.49]
    assert [round(at[name][1, 1].item(), 2) for name in ("max", "blur")] == [0.45, 0.15]
    assert round(at["max"][0, 2].item(), 2) == 1.06
    assert at["max"][1, 2] < 1e-9
    five = CONCEPT.compute(replace(PRESETS["Blur before the stride"].params, taps=5))
    assert round(five.now[1], 2) == 0.06
    dot = results["The textbook's dot"]
    assert dot.now[0] == 0
    assert dot.errors[1, 0, 2].item() == pytest.approx(2**0.5, rel=0.01)
    head = results["The head of VGG-16"].costs()[:, 0] / 1e6
    assert [round(value, 1) for value in (head[1].item(), (head[0] + head[1]).item(), head[3].item())] == [
        123.6,
        138.4,
        0.5,
    ]
    assert "1x51200 and 25088x4096" in results["Another size of input"].refusal()


def test_further_charts_are_valid():
    result = CONCEPT.compute(Params(pool="lp"))
    accuracy = [(f"Network {index}", torch.rand(9)) for index in range(6)]
    shifted = CONCEPT.compute(Params(view="shift"))
    for figure in (power_figure(result.cells, p=3.0), digits_figure(accuracy), shifted.chart()):
        go.Figure(figure.to_dict())
    assert len(shifted.standings()) == len(TITLES)
