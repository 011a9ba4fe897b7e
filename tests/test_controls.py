"""Every control reads back what it writes, and refuses the rest with one short sentence."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvviz.controls import (
    Boxes,
    Cell,
    Choice,
    Heights,
    Image,
    Ints,
    LayerStack,
    Many,
    Mask,
    Matrix,
    Points,
    Seed,
    Slider,
    Toggle,
    layer_text,
    picture,
    shorten,
)
from cvviz.data.images import sample, sample_names
from cvviz.ops.receptive_field import Layer

CONTROLS = {
    "float": Slider("Focusing γ", 0, 5, 0.1),
    "signed": Slider("Shift", -2.5, 2.5, 0.5, unit="px"),
    "int": Slider("Classes", 2, 10, 1),
    "log": Slider("Rate", 1e-4, 1, 0.1, log=True),
    "seed": Seed(),
    "choice": Choice("Stage", {"chart": "As a chart", "scene": "As a picture"}),
    "many": Many("Classes", ("cat", "dog", "bird")),
    "toggle": Toggle("Log scale"),
    "ints": Ints("Rates", low=-2, high=16, most=3),
    "layers": LayerStack("Layers", most=4),
    "cell": Cell("Output pixel"),
    "matrix": Matrix("Kernel", {"Edge": ((-1.0, 1.0),), "Mean": ((0.5,), (0.5,))}, most=3),
    "points": Points("Points", x=(-5, 5), y=(0, 2), step=0.05, least=2, most=4),
    "heights": Heights("Logits", 2, -8, 8),
    "mask": Mask("Mask", width=6, height=5),
    "boxes": Boxes("Boxes", names=("Target", "Prediction"), width=100, height=80),
    "image": Image("Picture"),
}
FLOATS = st.floats(-1000, 1000, allow_subnormal=False).filter(lambda number: number == 0 or abs(number) > 1e-3)
EVERY = pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
# Any text, and text made of what the controls' own grammars are made of.
TEXTS = st.text() | st.text(alphabet="0123456789kspdx*.,; -+eainfmtru", max_size=30)


def round_trip(control, value):
    return control.decode(control.encode(value))


class TestSlider:
    @settings(deadline=None)
    @given(st.integers(2, 10))
    def test_whole_numbers_stay_whole(self, value):
        restored = round_trip(CONTROLS["int"], value)
        assert restored == value
        assert isinstance(restored, int)

    @settings(deadline=None)
    @given(st.integers(0, 50))
    def test_every_position_comes_back(self, position):
        restored = round_trip(CONTROLS["float"], position * 0.1)
        assert restored == pytest.approx(position * 0.1, rel=1e-5)
        assert isinstance(restored, float)

    @settings(deadline=None)
    @given(st.floats(1e-4, 1))
    def test_small_numbers_keep_their_digits_on_a_log_scale(self, value):
        assert round_trip(CONTROLS["log"], value) == pytest.approx(value, rel=1e-5)

    def test_text_has_no_rounding_noise(self):
        assert CONTROLS["float"].encode(0.1 + 0.2) == "0.3"
        assert CONTROLS["int"].encode(7.0) == "7"

    def test_ends_belong_to_the_range(self):
        assert [CONTROLS["float"].decode(text) for text in ("0", "5")] == [0, 5]

    @pytest.mark.parametrize("text", ["nan", "-nan", "inf", "-inf", "Infinity", "1e999"])
    @pytest.mark.parametrize("name", ["float", "signed", "int", "log", "seed"])
    def test_what_is_no_finite_number_is_refused(self, name, text):
        with pytest.raises(ValueError, match="must"):
            CONTROLS[name].decode(text)

    def test_whole_number_too_long_for_a_float_is_refused(self):
        # int() reads it, but math.isfinite() and other float functions raise OverflowError on it.
        with pytest.raises(ValueError, match=r"must lie between 2 and 10, got 9{39}…\.$"):
            CONTROLS["int"].decode("9" * 400)

    def test_seed_is_a_whole_number_with_a_label(self):
        assert Seed().label == "Seed"
        assert Seed().limits(0) == (0, 99)


class TestChoices:
    @pytest.mark.parametrize("name", ["chart", "scene"])
    def test_choice(self, name):
        assert round_trip(CONTROLS["choice"], name) == name

    def test_titles_of_plain_names_are_the_names(self):
        assert CONTROLS["choice"].titles["chart"] == "As a chart"
        assert CONTROLS["many"].titles == {"cat": "cat", "dog": "dog", "bird": "bird"}

    @settings(deadline=None)
    @given(st.sets(st.sampled_from(["cat", "dog", "bird"]), min_size=1))
    def test_many(self, chosen):
        value = tuple(name for name in ("cat", "dog", "bird") if name in chosen)
        assert round_trip(CONTROLS["many"], value) == value

    def test_many_are_put_in_the_order_of_the_options_each_once(self):
        assert CONTROLS["many"].decode("bird,cat,,bird") == ("cat", "bird")

    @pytest.mark.parametrize("value", [False, True])
    def test_toggle(self, value):
        assert round_trip(CONTROLS["toggle"], value) is value

    def test_toggle_reads_what_people_type(self):
        assert CONTROLS["toggle"].decode("True") is True
        assert CONTROLS["toggle"].decode("FALSE") is False


class TestInts:
    @settings(deadline=None)
    @given(st.lists(st.integers(-2, 16), min_size=1, max_size=3).map(tuple))
    def test_round_trip(self, value):
        assert round_trip(CONTROLS["ints"], value) == value

    @pytest.mark.parametrize("text", ["1 2 5", " 1,2,5 ", "1, 2;5", "1\t2\n5", "1  2  05"])
    def test_separators(self, text):
        assert CONTROLS["ints"].decode(text) == (1, 2, 5)


class TestLayerStack:
    @settings(deadline=None)
    @given(
        st.lists(
            st.builds(Layer, st.integers(1, 15), st.integers(1, 8), st.integers(0, 32), st.integers(1, 32)),
            min_size=1,
            max_size=4,
        ).map(tuple)
    )
    def test_round_trip(self, value):
        assert round_trip(CONTROLS["layers"], value) == value

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("3", (Layer(3),)),
            ("k3", (Layer(3, 1, 0, 1),)),
            ("K3S2P1", (Layer(3, 2, 1),)),
            ("k3d2p1s2", (Layer(3, 2, 1, 2),)),  # the order of the options is free
            ("3*k3s2p1", (Layer(3, 2, 1),) * 3),
            ("2x3", (Layer(3),) * 2),
            ("7s2psame", (Layer(7, 2, 3),)),  # (7 - 1) / 2 on each side
            ("3psamed4", (Layer(3, 1, 4, 4),)),  # 4 (3 - 1) / 2, with the dilation given after the padding
            ("2psame", (Layer(2),)),  # half a row cannot be padded
            (" k7s2p3,k3 ; 1 ", (Layer(7, 2, 3), Layer(3), Layer(1))),
        ],
    )
    def test_shorthand(self, text, value):
        assert CONTROLS["layers"].decode(text) == value

    @settings(deadline=None)
    @given(st.sampled_from(range(1, 16, 2)), st.integers(1, 32))
    def test_psame_keeps_the_size_and_travels_in_a_link(self, kernel_size, dilation):
        (layer,) = value = CONTROLS["layers"].decode(f"{kernel_size}psamed{dilation}")
        # n + 2p - extent + 1 = n
        assert 2 * layer.padding == layer.extent - 1
        assert round_trip(CONTROLS["layers"], value) == value

    def test_text_is_the_shortest_that_says_it_all(self):
        assert layer_text(Layer(3)) == "k3"
        assert layer_text(Layer(7, 2, 3, 4)) == "k7s2p3d4"

    def test_plain_is_kernel_stride_padding_dilation(self):
        assert CONTROLS["layers"].plain((Layer(7, 2, 3), Layer(3, dilation=4))) == [(7, 2, 3, 1), (3, 1, 0, 4)]


@st.composite
def boxes(draw, width=100, height=80):
    x1, x2 = sorted(draw(st.lists(st.integers(0, 10 * width), min_size=2, max_size=2, unique=True)))
    y1, y2 = sorted(draw(st.lists(st.integers(0, 10 * height), min_size=2, max_size=2, unique=True)))
    return x1 / 10, y1 / 10, x2 / 10, y2 / 10


class TestMatrix:
    control = CONTROLS["matrix"]

    @settings(deadline=None)
    @given(st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[FLOATS] * width), min_size=1, max_size=3)))
    def test_round_trip(self, rows):
        assert round_trip(self.control, tuple(rows)) == tuple(rows)

    @pytest.mark.parametrize("text", ["1 2; 3 4", "1,2;3,4", "1 2\n3 4", " 1, 2 ;\n 3 4 ;", "+1.0 2e0; 6/2 4."])
    def test_ways_of_typing(self, text):
        assert self.control.decode(text) == ((1, 2), (3, 4))

    def test_a_minus_as_a_page_prints_it(self):
        assert self.control.decode("−1 1") == ((-1, 1),)

    def test_a_name_stands_for_its_numbers_both_ways(self):
        assert self.control.decode("Mean") == ((0.5,), (0.5,))
        assert self.control.encode(((0.5,), (0.5,))) == "Mean"
        assert self.control.text(((0.5,), (0.5,))) == "0.5; 0.5"


class TestCell:
    @pytest.mark.parametrize("text", ["3,4", " 3 , 4 ", "3 4", "3;4"])
    def test_ways_of_typing(self, text):
        assert CONTROLS["cell"].decode(text) == (3, 4)


class TestPoints:
    control = CONTROLS["points"]

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(-100, 100), st.integers(0, 40)), min_size=2, max_size=4))
    def test_round_trip(self, places):
        points = tuple((round(0.05 * x, 9), round(0.05 * y, 9)) for x, y in places)
        assert round_trip(self.control, points) == points

    def test_snaps_to_the_step(self):
        assert self.control.decode("1.02,1;-0.01,0") == ((1.0, 1.0), (0.0, 0.0))


class TestHeights:
    control = CONTROLS["heights"]

    @settings(deadline=None)
    @given(st.tuples(st.integers(-80, 80), st.integers(-80, 80)))
    def test_round_trip(self, tenths):
        heights = tuple(round(0.1 * number, 9) for number in tenths)
        assert round_trip(self.control, heights) == heights

    def test_snaps_to_the_step_and_takes_commas_and_a_minus_sign(self):
        assert self.control.decode("1.02, −0.01") == (1.0, 0.0)


class TestMask:
    control = CONTROLS["mask"]

    @settings(deadline=None)
    @given(st.lists(st.integers(0, 1), min_size=30, max_size=30).map(bytes))
    def test_round_trip(self, cells):
        assert round_trip(self.control, cells) == cells

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 120)), max_size=12))
    def test_runs_longer_than_a_digit(self, runs):
        cells = b"".join(bytes([cell]) * length for cell, length in runs)
        control = Mask("Mask", width=len(cells), height=1)
        assert round_trip(control, cells) == cells

    def test_by_hand(self):
        # 4 empty, 2 painted, 24 empty; then all painted, after 0 empty ones.
        assert self.control.encode(bytes(4) + b"\1\1" + bytes(24)) == "42o"
        assert self.control.encode(b"\1" * 30) == "0u"
        assert Mask("Mask", width=10, height=8).encode(bytes(80)) == "zza"

    def test_nothing_painted_is_no_text(self):
        assert self.control.encode(b"") == ""
        assert self.control.decode("") == b""

    def test_plain_is_a_picture_of_letters(self):
        assert self.control.plain(bytes(4) + b"\1\1" + bytes(24))[:2] == ["....##", "......"]
        assert picture([1, 0, 0, 1], 2) == ["#.", ".#"]

    @pytest.mark.parametrize("text", ["42p", "42", "42O", "z", "42o0z", "4 2 o", "-42o", "٤2o"])
    def test_runs_that_do_not_fill_the_mask_are_refused(self, text):
        with pytest.raises(ValueError, match="Mask takes the runs of 6 × 5 cells"):
            self.control.decode(text)


class TestBoxes:
    @settings(deadline=None)
    @given(st.tuples(boxes(), boxes()))
    def test_round_trip(self, value):
        assert round_trip(CONTROLS["boxes"], value) == value

    def test_plain_is_lists(self):
        assert CONTROLS["boxes"].plain(((1.0, 2.0, 3.0, 4.0),)) == [[1.0, 2.0, 3.0, 4.0]]

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_limits_have_a_box_for_every_name(self, count):
        control = Boxes("Boxes", names=("a", "b", "c")[:count], width=100, height=80)
        for value in control.limits(None):
            assert round_trip(control, value) == value


class TestImage:
    @pytest.mark.parametrize("name", sample_names())
    def test_a_link_names_the_sample(self, name):
        assert CONTROLS["image"].encode(sample(name)) == name
        assert CONTROLS["image"].decode(name) is sample(name)

    def test_plain_is_the_pixels(self):
        assert torch.equal(CONTROLS["image"].plain(sample("coins")), sample("coins").pixels)


REFUSALS = [
    ("matrix", " ;\n", "Kernel is empty: type rows of numbers, for example 1 0 -1; 2 0 -2; 1 0 -1."),
    ("matrix", "1 a; 2 3", "Kernel takes numbers such as -1, 0.5 or 1/9, got “a”."),
    ("matrix", "1/0", "Kernel takes numbers such as -1, 0.5 or 1/9, got “1/0”."),
    ("matrix", "nan", "Kernel takes numbers such as -1, 0.5 or 1/9, got “nan”."),
    ("matrix", "1 2; 3", "Kernel needs rows of equal length, got 2, 1 numbers."),
    ("matrix", "1 2 3 4", "Kernel may be at most 3 × 3, got 1 × 4."),
    ("matrix", "1001", "Kernel takes numbers up to 1000, got 1001."),
    ("points", "1,1", "Points takes 2 to 4 points like 2,3.5, parted by “;”, got 1."),
    ("points", "1,1;2", "Points needs two numbers for each point, got “2”."),
    ("points", "1,1;9,1", "Points must lie within -5 ≤ x ≤ 5 and 0 ≤ y ≤ 2, got “9,1”."),
    ("points", "1,1;nan,1", "Points must lie within -5 ≤ x ≤ 5 and 0 ≤ y ≤ 2, got “nan,1”."),
    ("heights", "1", "Logits takes 2 numbers parted by spaces, got 1."),
    ("heights", "1 x", "Logits takes numbers such as -1 or 2.5, got “x”."),
    ("heights", "1 9", "Logits must lie between -8 and 8, got 9."),
    ("heights", "1 nan", "Logits must lie between -8 and 8, got nan."),
    ("mask", "44", "Mask takes the runs of 6 × 5 cells as digits and letters, got “44”."),
    ("cell", "3", "Output pixel takes row and column counted from 0, for example 3,4; got “3”."),
    ("cell", "-1,2", "Output pixel takes row and column counted from 0, for example 3,4; got “-1,2”."),
    ("float", "", "Focusing γ must be a number, got “”."),
    ("float", "two", "Focusing γ must be a number, got “two”."),
    ("float", "5.01", "Focusing γ must lie between 0 and 5, got 5.01."),
    ("float", "nan", "Focusing γ must lie between 0 and 5, got nan."),
    ("int", "2.5", "Classes must be a whole number, got “2.5”."),
    ("int", "11", "Classes must lie between 2 and 10, got 11."),
    ("log", "0", "Rate must lie between 0.0001 and 1, got 0."),
    ("choice", "As a chart", "Stage must be one of chart, scene, got “As a chart”."),
    ("many", "", "Classes takes some of cat, dog, bird, got “”."),
    ("many", ",,", "Classes takes some of cat, dog, bird, got “,,”."),
    ("many", "cat,cow", "Classes takes some of cat, dog, bird, got “cow”."),
    ("toggle", "yes", "Log scale must be true or false, got “yes”."),
    ("ints", " ", "Rates needs at least one whole number, for example 1 2 5."),
    ("ints", "1 2 3 4", "Rates takes at most 3 numbers, got 4."),
    ("ints", "1 2.5", "Rates takes whole numbers such as 1 2 5, got “2.5”."),
    ("ints", "1 -3", "Each number of Rates must lie between -2 and 16, got -3."),
    ("layers", "", "Layers: cannot read “”; write each layer like k3s2p1d1, for example k7s2p3 k3."),
    ("layers", "k3 conv", "Layers: cannot read “conv”; write each layer like k3s2p1d1, for example k7s2p3 k3."),
    ("layers", "k3s1s2", "Layers: “k3s1s2” gives one of s, p, d twice."),
    ("layers", "k3p1psame", "Layers: “k3p1psame” gives one of s, p, d twice."),
    ("layers", "k0", "Layers: the kernel of “k0” must lie between 1 and 15."),
    ("layers", "k16", "Layers: the kernel of “k16” must lie between 1 and 15."),
    ("layers", "k3s0", "Layers: the stride of “k3s0” must lie between 1 and 8."),
    ("layers", "k3p33", "Layers: the padding of “k3p33” must lie between 0 and 32."),
    ("layers", "k3d0", "Layers: the dilation of “k3d0” must lie between 1 and 32."),
    ("layers", "k3psamed99", "Layers: the dilation of “k3psamed99” must lie between 1 and 32."),
    ("layers", "5*k3", "Layers takes 1 to 4 layers, got 5."),
    ("layers", "0*k3", "Layers takes 1 to 4 layers, got 0."),
    ("boxes", "1,1,9,9", "Boxes takes 2 boxes like 40,40,160,160, parted by “;”."),
    ("boxes", "1,1,9,9;1,1,9", "Prediction needs four numbers x1,y1,x2,y2, got “1,1,9”."),
    ("boxes", "a,1,9,9;1,1,9,9", "Target needs four numbers x1,y1,x2,y2, got “a,1,9,9”."),
    ("boxes", "9,1,9,9;1,1,9,9", "Target needs 0 ≤ x1 < x2 ≤ 100 and 0 ≤ y1 < y2 ≤ 80."),
    ("boxes", "1,1,9,9;1,1,9,81", "Prediction needs 0 ≤ x1 < x2 ≤ 100 and 0 ≤ y1 < y2 ≤ 80."),
    ("boxes", "1,1,9,9;1,1,nan,9", "Prediction needs 0 ≤ x1 < x2 ≤ 100 and 0 ≤ y1 < y2 ≤ 80."),
    ("boxes", "1,-inf,9,9;1,1,9,9", "Target needs 0 ≤ x1 < x2 ≤ 100 and 0 ≤ y1 < y2 ≤ 80."),
    ("image", "mine", "This link was made with somebody's own picture, which no link can carry."),
]


class TestRefusals:
    @pytest.mark.parametrize(("name", "text", "sentence"), REFUSALS)
    def test_sentence(self, name, text, sentence):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            CONTROLS[name].decode(text)

    def test_unknown_picture(self):
        with pytest.raises(ValueError, match=r"must be one of astronaut, .*got .nobody.\.$"):
            CONTROLS["image"].decode("nobody")

    @EVERY
    @pytest.mark.parametrize("word", ["x" * 41, "9" * 41, "k" + "3" * 300, "1e" + "9" * 300], ids=lambda word: word[:3])
    def test_at_most_40_characters_of_the_users_words_are_quoted(self, control, word):
        before = {Boxes: "1,1,9,9;", Points: "1,1;", Heights: "1 "}.get(type(control), "")
        text = before + word
        with pytest.raises(ValueError, match=r"\.$") as refusal:
            control.decode(text)
        assert word[:39] + "…" in str(refusal.value)
        assert word[:40] not in str(refusal.value)

    @EVERY
    @settings(max_examples=200, deadline=None)
    @given(text=TEXTS)
    def test_any_text_is_read_or_refused_with_a_sentence(self, control, text):
        try:
            control.decode(text)
        except ValueError as refusal:
            sentence = str(refusal)
            assert sentence.endswith(".")
            assert sentence[0].isupper()


@EVERY
def test_limits_travel_in_a_link(control):
    values = control.limits(None)
    assert len(values) > 1
    for value in values:
        restored = round_trip(control, value)
        assert restored == value
        assert type(restored) is type(value)


def test_limits_reach_both_ends():
    assert CONTROLS["signed"].limits(0) == (-2.5, 2.5)
    assert CONTROLS["ints"].limits(()) == ((-2,), (16,), (-2, -2, -2))
    assert {len(stack) for stack in CONTROLS["layers"].limits(())} == {1, 4}
    assert CONTROLS["many"].limits(()) == (("cat",), ("dog",), ("bird",), ("cat", "dog", "bird"))


@settings(deadline=None)
@given(st.text(max_size=100))
def test_shorten(text):
    short = shorten(text)
    assert len(short) <= 40
    assert short == text if len(text) <= 40 else short == text[:39] + "…"
