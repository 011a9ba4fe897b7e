"""Colours that can be told from the page and from each other, and maps of numbers that keep their zero."""

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab

from cvviz.figures import theme
from cvviz.figures.theme import COLORS, DASHES, SYMBOLS, colorize, new_figure

CONFIG = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
# What a person without one kind of cone sees of linear RGB, in full severity: Gustavo M. Machado, Manuel M. Oliveira,
# Leandro A. F. Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009,
# https://www.inf.ufrgs.br/~oliveira/pubs_files/CVD_Simulation/CVD_Simulation.html
SIGHT = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def rgb(color):
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def linear(color):
    share = np.array(rgb(color)) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def contrast(color, background):
    """Contrast ratio of WCAG 2.2, 1 to 21."""
    low, high = sorted(float(linear(each) @ [0.2126, 0.7152, 0.0722]) for each in (color, background))
    return (high + 0.05) / (low + 0.05)


def lab_as_seen(color, sight):
    seen = np.clip(np.array(SIGHT[sight]) @ linear(color), 0, 1)
    encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return rgb2lab(encoded[None, None])[0, 0]


class TestPalette:
    def test_contrast_is_measured_right(self):
        assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
        assert contrast("#767676", "#FFFFFF") == pytest.approx(4.54, abs=0.005)  # the lightest grey that passes AA

    @pytest.mark.parametrize("page", ["light", "dark"])
    @pytest.mark.parametrize("color", COLORS)
    def test_reads_on_both_pages(self, color, page):
        assert contrast(color, CONFIG[page]["backgroundColor"]) >= 3

    @pytest.mark.parametrize("sight", SIGHT)
    @pytest.mark.parametrize("pair", list(itertools.combinations(COLORS, 2)), ids="-".join)
    def test_no_two_look_alike(self, pair, sight):
        # A difference of 1 is just noticed side by side; 10 is told at a glance.
        assert deltaE_ciede2000(*(lab_as_seen(color, sight) for color in pair)) > 10

    def test_every_colour_has_a_dash_and_a_marker_of_its_own(self):
        assert len(set(COLORS)) == len(set(DASHES)) == len(set(SYMBOLS))

    def test_charts_of_streamlit_have_the_same_colours(self):
        assert tuple(CONFIG["chartCategoricalColors"]) == COLORS

    def test_new_figure_has_titles_and_the_colours(self):
        figure = new_figure(x_title="p", y_title="loss (nats)")
        assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("p", "loss (nats)")
        assert figure.layout.template.layout.colorway == COLORS


def colors_of(values, **options):
    """Colour of each number, as (r, g, b)."""
    colors = colorize(torch.tensor([values]), **options)
    return [tuple(colors[:, 0, i].tolist()) for i in range(len(values))]


class TestColorize:
    def test_shape_and_dtype(self):
        colors = colorize(torch.rand(2, 5))
        assert (colors.shape, colors.dtype) == ((3, 2, 5), torch.uint8)

    def test_ends(self):
        low, middle, high = colors_of([3.0, 4.0, 5.0])
        assert (low, high) == ((0, 34, 78), (254, 232, 56))  # the ends of plotly's cividis
        assert low < middle < high

    def test_brightness_grows_with_the_number(self):
        brightness = colorize(torch.linspace(0, 1, 256)[None]).double().mean(dim=0).flatten()
        assert (brightness.diff() >= 0).all()

    def test_signed_ends_and_neutral_zero(self):
        negative, zero, positive = colors_of([-2.0, 0.0, 2.0], scale="signed")
        assert (negative, positive) == (rgb(theme.BLUE), rgb(theme.VERMILLION))
        assert min(zero) >= 245
        assert max(zero) - min(zero) <= 1

    def test_signed_zero_is_neutral_whatever_the_extremes(self):
        (zero,) = {colors_of([0.0, extreme], scale="signed")[0] for extreme in (-7.0, 0.01, 3.0)}
        assert zero == colors_of([-1.0, 0.0, 1.0], scale="signed")[1]

    def test_signed_map_of_zeros_is_neutral(self):
        assert colors_of([0.0, 0.0], scale="signed") == colors_of([-1.0, 0.0, 0.0], scale="signed")[1:]

    @pytest.mark.parametrize("value", [0.0, 7.0, -7.0])
    def test_constant_map_has_one_colour(self, value):
        assert len(set(colors_of([value] * 3))) == 1

    def test_bounds_are_the_ends_of_the_scale(self):
        ends = colors_of([0.0, 1.0])
        assert colors_of([10.0, 20.0], low=10, high=20) == ends
        assert colors_of([-99.0, 99.0], low=10, high=20) == ends  # what lies beyond has the colour of the end
        assert colors_of([15.0], low=10, high=20) == colors_of([0.0, 0.5, 1.0])[1:2]

    def test_maps_with_the_same_bounds_can_be_compared(self):
        assert colors_of([2.0, 3.0], low=0, high=9)[1] == colors_of([3.0, 8.0], low=0, high=9)[0]

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.uint8, torch.int64, torch.bool])
    def test_any_real_dtype(self, dtype):
        values = torch.tensor([[0, 1], [1, 0]])
        assert torch.equal(colorize(values.to(dtype)), colorize(values.float()))

    def test_argument_is_left_alone_and_may_need_a_gradient(self):
        values = torch.tensor([[1.0, 2.0]], requires_grad=True)
        colorize(values)
        assert values.tolist() == [[1.0, 2.0]]

    @pytest.mark.parametrize("scale", ["cividis", "signed"])
    def test_empty(self, scale):
        assert colorize(torch.zeros(0, 4), scale=scale).shape == (3, 0, 4)

    @pytest.mark.parametrize("shape", [(3,), (1, 2, 3), ()])
    def test_bad_shape(self, shape):
        with pytest.raises(ValueError, match=r"^values must have shape \(H, W\), got \("):
            colorize(torch.zeros(shape))
