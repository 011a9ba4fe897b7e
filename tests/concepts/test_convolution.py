from dataclasses import replace

import pytest
import torch

from cvviz.concepts.convolution.convolution import CONCEPT, KERNELS, Params, compute
from cvviz.data.images import Picture, sample
from cvviz.figures.convolution import keeps_brightness, output_colors


@pytest.mark.parametrize(
    ("name", "value"),
    [("Identity", 100.0), ("Box blur", 900.0), ("Sobel x", 0.0), ("Laplacian", 0.0), ("Sharpen", 100.0)],
)
def test_kernels_on_a_flat_grey(name, value):
    # A flat region times the weights is the grey times their sum.
    flat = Picture("flat", "Flat", lambda: torch.full((3, 20, 20), 100, dtype=torch.uint8))
    result = compute(Params(kernel=KERNELS[name], padding=0, image=flat))
    assert torch.allclose(result.output, torch.tensor(value).double())


def test_identity_gives_the_input_back():
    result = compute(Params(kernel=KERNELS["Identity"]))
    assert torch.equal(result.output, result.image)


def test_the_flip_changes_only_kernels_that_half_a_turn_changes():
    for name, rows in KERNELS.items():
        kernel = torch.tensor(rows)
        result = compute(Params(kernel=rows, padding=3))
        assert torch.equal(result.output, result.other) is bool(torch.equal(kernel, kernel.flip(0, 1))), name


def test_divided_by_the_sum_unless_it_is_0():
    assert compute(Params(kernel=KERNELS["Gaussian"], normalise=True)).weight.sum() == pytest.approx(1)
    assert compute(Params(normalise=True)).weight.flatten().tolist() == [-1, 0, 1, -2, 0, 2, -1, 0, 1]


@pytest.mark.parametrize("view", ["numbers", "picture", "channels"])
@pytest.mark.parametrize("flip", [False, True])
def test_table_sums_up_to_the_output(view, flip):
    params = Params(view=view, flip=flip, stride=2, dilation=2, padding=3, kernel=KERNELS["Emboss"], at=(2, 1))
    result = compute(params)
    rows = CONCEPT.table(params, result)
    assert rows["product"].sum() == pytest.approx(float(result.output[0, 2, 1]))
    inside = rows[(rows["row"] >= 0) & (rows["column"] >= 0)]
    assert inside["input"].tolist() == [float(result.image[c, r, k]) for c, r, k in inside.iloc[:, :3].to_numpy()]


def test_formula_names_the_first_pixel_read():
    # Output 4 at padding 1 starts at row 3; the flipped kernel's first weight lies on its far end, row 5.
    assert "x_{3+m,\\,3+n}" in CONCEPT.formula(Params(), compute(Params()))
    flipped = Params(flip=True)
    assert "x_{5-m,\\,5-n}" in CONCEPT.formula(flipped, compute(flipped))


def test_kernel_larger_than_the_input_says_so():
    with pytest.raises(ValueError, match="spans 19 × 19 pixels and the padded input has 12 × 12"):
        compute(Params(kernel=((1.0,) * 7,) * 7, dilation=3))


def test_a_place_outside_is_moved_inside():
    assert compute(Params(at=(99, 2), stride=4)).at == (2, 2)


def test_a_tiny_picture_is_its_own_patch():
    tiny = Picture("tiny", "Tiny", lambda: torch.zeros(3, 4, 5, dtype=torch.uint8))
    assert compute(Params(image=tiny)).image.shape == (1, 4, 5)


def test_each_filter_has_a_slice_for_each_colour():
    params = replace(CONCEPT.presets["Three filters on colour"].params, image=sample("coffee"))
    assert compute(params).weight.shape == (3, 3, 3, 3)


def test_colours_of_an_output_tell_what_a_picture_would_clip():
    blur, edge = torch.ones(1, 3, 3) / 9, torch.tensor(KERNELS["Sobel x"])[None]
    assert keeps_brightness(blur)
    assert not keeps_brightness(edge)
    pixels = output_colors(torch.tensor([[-20.0, 128.0, 300.0]]), blur, high=300)
    assert pixels[:, 0, 1].tolist() == [128, 128, 128]
    assert pixels[2, 0, 0] > pixels[0, 0, 0], "blue below 0"
    assert pixels[0, 0, 2] > pixels[2, 0, 2], "vermillion above 255"


class TestLooks:
    def test_edges_at_the_rim(self):
        output = compute(CONCEPT.presets["An edge, number by number"].params).output[0]
        assert output[:, 0].max() == output.max() == 421
        assert output[:, -1].min() == output.min() == -555
        assert output[:, 1:-1].abs().max() < 421

    def test_padding_that_makes_edges(self):
        params = CONCEPT.presets["Zeros make an edge"].params
        for mode, edged in (("zeros", True), ("replicate", False)):
            output = compute(replace(params, mode=mode)).output[0].abs()
            sides = (output[:, 0].mean(), output[:, -1].mean())
            assert all((side > 5 * output[:, 1:-1].mean()) == edged for side in sides)
