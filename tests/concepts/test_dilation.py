"""What the contract does not try: every view at the limits of its own controls, and pictures of a few pixels."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from cvviz.concepts.convolution.dilation import CONCEPT, VIEWS, Params
from cvviz.data.images import Picture
from cvviz.params import limit_cases

LIMITS = {name: params for name, params in limit_cases(Params) if not name.startswith(("image=", "view="))}


def picture(*shape: int) -> Picture:
    pixels = torch.randint(256, (3, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Picture("mine", "Mine", lambda: pixels)


def draw(params: Params) -> pd.DataFrame:
    result = CONCEPT.compute(params)
    assert CONCEPT.check(params, result).status == "matches"
    stage = CONCEPT.stage(params, result)
    assert len(stage.scenes() if params.view == "taps" else stage) == {"taps": 3}.get(params.view, 2)
    assert CONCEPT.formula(params, result).count("&") >= 3
    return CONCEPT.table(params, result)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", LIMITS)
def test_every_view_at_every_limit(view, name):
    assert len(draw(replace(LIMITS[name], view=view))) > 0


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 40), (900, 3)])
def test_pictures_of_a_few_pixels(view, shape):
    for d in (1, 16):
        draw(Params(view=view, d=d, image=picture(*shape)))


def test_products_sum_to_the_response_on_and_off_the_picture():
    for row, column in ((0, 0), (96, 64), (159, 159)):
        params = Params(d=7, at=(row, column))
        result = CONCEPT.compute(params)
        assert draw(params)["product"].sum() == pytest.approx(float(result.response[row, column]))


def test_dilation_is_the_strided_layer_at_every_dth_pixel():
    for kernel in ("sobel-x", "ring", "box"):
        result = CONCEPT.compute(Params(d=5, kernel=kernel, image=picture(41, 33)))
        assert torch.allclose(result.kept, result.strided, rtol=0, atol=1e-9)
        assert result.response.shape == (41, 33)
        assert result.strided.shape == (9, 7)  # ceil(41 / 5), ceil(33 / 5)


def test_words_tell_of_the_holes():
    for rates, share, verdict in (((2, 2, 2), "29.0%", "holes"), ((1, 2, 5), "100.0%", "no holes")):
        params = Params(view="stack", rates=rates)
        result = CONCEPT.compute(params)
        assert share in CONCEPT.describe(params, result)
        assert rf"\text{{{verdict}}}" in CONCEPT.formula(params, result)
