"""The check beside every number: what it may say, and when."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cvviz.concept import Check, largest_difference, magnitude
from tests import toys
from tests.toys import CONCEPT, FROM_INPUTS, Params

INF, NAN = math.inf, math.nan
VECTORS = st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=6)


def checked(concept, params=None):
    params = params or Params()
    return concept.check(params, concept.compute(params))


def difference(actual, expected):
    return largest_difference(torch.tensor(actual), torch.tensor(expected))


class TestCheck:
    def test_matches(self):
        assert checked(CONCEPT) == Check("matches", "torch", 0.0)

    def test_differs_by_how_much(self):
        assert checked(replace(CONCEPT, reference=toys.too_large)) == Check("differs", "torch", 0.5)

    def test_tolerance_is_the_last_difference_that_matches(self):
        concept = replace(CONCEPT, reference=toys.too_large, tolerance=0.5)
        assert checked(concept).status == "matches"
        assert checked(replace(concept, tolerance=0.49)).status == "differs"

    def test_other_shape_differs(self):
        assert checked(replace(CONCEPT, reference=toys.of_nothing())) == Check("differs", "torch", INF)

    def test_nan_is_no_match(self):
        concept = replace(CONCEPT, checked=lambda result: result.values * NAN)
        assert checked(concept) == Check("differs", "torch", INF)

    def test_reference_that_raises_has_failed_and_the_log_says_why(self, caplog):
        assert checked(replace(CONCEPT, reference=toys.broken, against="skimage")) == Check("failed", "skimage")
        assert "no such operator" in caplog.text
        assert "toys" in caplog.text

    def test_reference_that_asks_for_what_is_not_there_has_failed(self):
        assert checked(replace(CONCEPT, reference=toys.of_weights())).status == "failed"

    @pytest.mark.parametrize("kind", ["computed", "simulated", "illustrative"])
    def test_without_a_reference_nothing_is_claimed(self, kind):
        assert checked(replace(CONCEPT, reference=None, kind=kind)) == Check(kind)


class TestArguments:
    def test_reference_gets_the_plain_fields_that_it_names(self):
        params = Params(gain=0.5, count=4)
        assert CONCEPT.reference_arguments(params, CONCEPT.compute(params)) == {"gain": 0.5, "count": 4}

    def test_picture_arrives_as_pixels(self):
        concept = replace(CONCEPT, reference=toys.of_picture())
        arguments = concept.reference_arguments(Params(), CONCEPT.compute(Params()))
        assert arguments["picture"] is Params().picture.pixels

    def test_inputs_are_computed_from_the_result(self):
        params = Params(gain=0.5, count=4)
        result = FROM_INPUTS.compute(params)
        assert FROM_INPUTS.reference_arguments(params, result) == {"weights": [0, 1, 2, 3], "gain": 0.5}
        assert FROM_INPUTS.reference_inputs(params, result) == {"weights": [0, 1, 2, 3], "gain": 0.5}
        assert checked(FROM_INPUTS, params).status == "matches"

    def test_dependencies_are_the_fields_themselves(self):
        # A picture is told by what it is, and not by comparing all of its pixels.
        concept = replace(CONCEPT, reference=toys.of_picture())
        assert concept.reference_inputs(Params(), CONCEPT.compute(Params())) == {"picture": Params().picture}

    def test_no_reference(self):
        concept = replace(CONCEPT, reference=None)
        result = concept.compute(Params())
        assert concept.reference_inputs(Params(), result) == {}
        with pytest.raises(ValueError, match=r"^toys has no reference\.$"):
            concept.reference_arguments(Params(), result)


class TestLargestDifference:
    @pytest.mark.parametrize(
        ("actual", "expected", "error"),
        [
            ([1.0, 2.0, 3.0], [1.0, 2.5, 2.0], 1.0),
            ([1.0], [-1.0], 2.0),
            ([INF, -INF, NAN], [INF, -INF, NAN], 0.0),
            ([NAN, 0.0], [0.0, 0.0], INF),
            ([0.0, 0.0], [NAN, 0.0], INF),
            ([INF], [1.0], INF),
            ([INF], [-INF], INF),
            ([INF], [NAN], INF),
            ([True, False], [True, True], 1.0),
            ([250, 3], [2, 3], 248),
        ],
    )
    def test_values(self, actual, expected, error):
        assert difference(actual, expected) == error

    def test_no_values_do_not_differ(self):
        assert largest_difference(torch.zeros(0, 4), torch.zeros(0, 4)) == 0

    @pytest.mark.parametrize("shape", [(3,), (1, 2), (2, 1), ()])
    def test_other_shape(self, shape):
        # Nothing is broadcast: (2, 1) against (2,) would compare every pair.
        assert largest_difference(torch.zeros(2), torch.zeros(shape)) == INF

    def test_small_integers_do_not_wrap(self):
        # 3 - 5 in uint8 is 254.
        pixels = torch.tensor([3], dtype=torch.uint8), torch.tensor([5], dtype=torch.uint8)
        assert largest_difference(*pixels) == 2

    def test_gradients_do_not_matter(self):
        assert largest_difference(torch.ones(2, requires_grad=True), torch.zeros(2)) == 1

    @settings(deadline=None)
    @given(VECTORS)
    def test_equal_to_itself(self, values):
        assert difference(values, values) == 0

    @settings(deadline=None)
    @given(VECTORS.flatmap(lambda first: st.tuples(st.just(first), st.permutations(first))))
    def test_symmetric_and_never_nan(self, pair):
        first, second = pair
        assert difference(first, second) == difference(second, first) >= 0


def test_slug_comes_from_the_file():
    assert CONCEPT.slug == "toys"


def test_magnitude():
    assert magnitude(3.4e-8) == "3e-08"
    assert magnitude(torch.tensor(0.25)) == "2e-01"
    assert magnitude(0.0) == magnitude(torch.tensor(0)) == "0"
