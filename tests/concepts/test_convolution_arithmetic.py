"""What the contract does not try: every view at the limits of its own controls, and that windows read what they say."""

from dataclasses import replace

import pytest
import torch

from cvviz.concepts.convolution.convolution_arithmetic import CONCEPT, VIEWS, Params, metrics
from cvviz.figures.window import Window
from cvviz.ops.receptive_field import Layer
from cvviz.params import limit_cases

LIMITS = {name: params for name, params in limit_cases(Params) if not name.startswith("view=")}
SEVERAL = {
    "positions": [Params(same=True), Params(same=True, k=4, s=3, d=2), Params(k=2, s=4, p=6, d=3)],
    "transposed": [
        Params(zeros=zeros, kernel=kernel, k=k, s=s, p=p, d=d, op=op, h=4, w=5)
        for zeros in (False, True)
        for kernel, k, s, p, d, op in (
            ("ones", 3, 2, 1, 1, 1),
            ("linear", 4, 2, 1, 1, 0),
            ("random", 2, 3, 0, 2, 2),
            ("random", 1, 4, 1, 1, 3),
            ("ones", 2, 4, 3, 1, 0),
            ("ones", 3, 1, 3, 2, 1),
        )
    ],
    "matrix": [
        Params(product=product, two=two, channels=channels, g=g, h=4, w=4, p=1, s=s)
        for product in ("rows", "columns")
        for two, channels, g, s in ((False, False, 1, 2), (True, False, 1, 1), (False, True, 2, 3), (True, True, 4, 2))
    ],
    "network": [Params(n=100, back=True), Params(n=1)],
}


def draw(params: Params) -> Window | None:
    result = CONCEPT.compute(params)
    assert CONCEPT.check(params, result).status == "matches"
    assert CONCEPT.formula(params, result).count("&") >= 2
    assert len(CONCEPT.table(params, result)) > 0
    assert 20 < len(CONCEPT.describe(params, result)) < 500
    assert all(metrics(params, result).values())
    stage = CONCEPT.stage(params, result)
    return stage if isinstance(stage, Window) else None


def assert_reads_what_it_says(window: Window) -> None:
    values, outputs = window.values[0].double(), window.outputs[0].double()
    weights = torch.ones(1, 1) if window.weights is None else window.weights[0, 0].double()
    assert (len(window.rows), len(window.columns)) == outputs.shape
    for row, down in enumerate(window.rows):
        for column, across in enumerate(window.columns):
            read = values[list(down.source)][:, list(across.source)]
            if window.weights is None:
                assert read.sum() == outputs[row, column]
            else:
                products = read * weights[list(down.kernel)][:, list(across.kernel)]
                assert float(products.sum()) == pytest.approx(float(outputs[row, column]), abs=1e-6)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", LIMITS)
def test_every_view_at_every_limit(view, name):
    draw(replace(LIMITS[name], view=view))


@pytest.mark.parametrize(("view", "params"), [(view, params) for view, cases in SEVERAL.items() for params in cases])
def test_windows_read_what_they_say(view, params):
    window = draw(replace(params, view=view))
    if window:
        assert_reads_what_it_says(window)


@pytest.mark.parametrize("name", CONCEPT.presets)
def test_presets_read_what_they_say(name):
    window = draw(CONCEPT.presets[name].params)
    if window:
        assert_reads_what_it_says(window)


def test_zeros_inserted_change_no_output():
    for params in SEVERAL["transposed"]:
        plain, stuffed = (draw(replace(params, view="transposed", zeros=zeros)) for zeros in (False, True))
        assert plain and stuffed
        assert torch.equal(plain.outputs, stuffed.outputs)
        assert stuffed.values.sum() == plain.values.numel()


def test_numbers_in_the_looks():
    def result(name):
        return CONCEPT.compute(CONCEPT.presets[name].params)

    assert result("A floored stride").pixels[-1].sum() == 0
    kept = result("Size kept")
    assert (kept.pixels[0, 0], kept.pixels[4, 4], kept.outputs[0, 0]) == (4, 9, 4)
    even = CONCEPT.presets["Even kernel"].params
    sizes = [len(CONCEPT.compute(replace(even, p=p)).outputs) for p in (1, 2)]
    assert (sizes, CONCEPT.compute(replace(even, same=True)).border) == ([7, 9], (1, 1, 2, 2))
    same = CONCEPT.presets["“Same” padding"].params
    assert CONCEPT.compute(same).border == (0, 0, 1, 1)
    assert CONCEPT.compute(replace(same, same=False, p=1)).outputs.shape == (4, 4)
    assert (result("1 × 1, stride 2").pixels == 0).sum() == 48
    assert (result("Stride 2, dilation 2").pixels == 0).sum() == 56
    assert result("Checkerboard").products[2:6, 2:6].unique().tolist() == [1, 2, 4]
    assert result("Even overlap").products[1:-1, 1:-1].unique().tolist() == [4]
    assert torch.equal(result("Interpolation").outputs[1:-1, 1:-1], torch.ones(6, 6).double())
    assert result("7 or 8?").outputs.shape == (8, 8)
    assert bool((result("7 or 8?").outputs[-1] > 0).all())
    assert result("No inverse").matrix.shape == (4, 16)
    groups, one = result("Two groups"), CONCEPT.compute(replace(CONCEPT.presets["Two groups"].params, g=1))
    assert 2 * groups.weights.numel() == one.weights.numel()
    assert groups.y.shape == one.y.shape
    alexnet = CONCEPT.presets["AlexNet at 224"].params
    assert [CONCEPT.compute(replace(alexnet, n=n)).sizes[-1] for n in (224, 227)] == [5, 6]
    unet = result("U-Net at 100")
    assert (unet.sizes[4], unet.sizes[6], unet.back[4]) == (25, 12, 24)
    assert "n &= 96 \\text{ and } 112" in CONCEPT.formula(CONCEPT.presets["U-Net at 100"].params, unet)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        (Params(h=3, k=7), "The kernel spans 7 lines and the padded input has 3: take a smaller kernel"),
        (Params(view="transposed", op=2), "Output padding must stay below the stride or the dilation: take 1 at most"),
        (Params(view="transposed", h=3, s=1, p=6), "padding must leave a line"),
        (Params(view="matrix", channels=True, g=3), "Groups must divide both channel numbers, and 3 does not divide 4"),
        (Params(view="matrix", two=True, h=16, w=16), "would have 256 columns, more than 100: take fewer rows"),
        (Params(view="network", n=4, layers=(Layer(3), Layer(3))), "Layer 2 of 2 does not fit"),
    ],
)
def test_bad_input_gets_a_sentence(params, sentence):
    with pytest.raises(ValueError, match=sentence):
        CONCEPT.compute(params)


def test_the_cell_stays_inside():
    window = draw(Params(at=(999, 2)))
    assert window is not None
    assert window.at == (3, 2)
