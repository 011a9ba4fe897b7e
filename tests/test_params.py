"""Params as controls, as a URL query and as test cases."""

from dataclasses import dataclass, fields, replace
from typing import Annotated

import pytest

from cvviz.controls import Ints, Slider, Toggle
from cvviz.data.images import sample
from cvviz.ops.receptive_field import Layer
from cvviz.params import controls_of, from_query, limit_cases, plain, to_query
from tests.toys import Params


@dataclass(frozen=True, slots=True)
class Bare:
    size: Annotated[int, Slider("Size", 1, 9, 1)] = 3
    rate: float = 0.1


@dataclass(frozen=True, slots=True)
class Remarked:
    size: Annotated[int, "in pixels", Slider("Size", 1, 9, 1)] = 3


@dataclass(frozen=True, slots=True)
class OnlyRemarked:
    size: Annotated[int, "in pixels"] = 3


@dataclass(frozen=True, slots=True)
class Small:
    size: Annotated[int, Slider("Size", 1, 9, 1)] = 3
    flag: Annotated[bool, Toggle("Flag")] = False
    rates: Annotated[tuple[int, ...], Ints("Rates", low=1, high=16, most=2)] = (1, 2)


class TestControlsOf:
    def test_one_for_every_field_in_its_order(self):
        assert list(controls_of(Params)) == [field.name for field in fields(Params)]
        assert controls_of(Params)["gain"] == Slider("Gain", 0, 5, 0.1)

    @pytest.mark.parametrize(("params", "name"), [(Bare, "Bare.rate"), (OnlyRemarked, "OnlyRemarked.size")])
    def test_field_without_a_control(self, params, name):
        with pytest.raises(TypeError, match=rf"^{name} must be annotated with a control\.$"):
            controls_of(params)

    def test_other_annotations_may_stand_beside_the_control(self):
        assert controls_of(Remarked) == {"size": Slider("Size", 1, 9, 1)}


class TestToQuery:
    def test_defaults_make_an_empty_address(self):
        assert to_query(Params()) == {}

    def test_only_what_differs(self):
        params = Params(gain=0.5, layers=(Layer(7, 2),), negative=True, picture=sample("coins"))
        assert to_query(params) == {"gain": "0.5", "layers": "k7s2", "negative": "true", "picture": "coins"}

    def test_a_file_stays_here(self):
        assert to_query(Params(log=7)) == {}


class TestFromQuery:
    def test_brings_back_what_to_query_wrote(self):
        params = Params(gain=0.5, count=8, shown="sum", backdrop=sample("page"))
        assert from_query(Params(), to_query(params)) == (params, [])

    def test_starts_from_base(self):
        assert from_query(Params(count=5), {"gain": "1"}) == (Params(gain=1.0, count=5), [])

    def test_what_cannot_be_read_keeps_its_value_in_base_and_says_so(self):
        params, notes = from_query(Params(gain=3.0), {"count": "99", "gain": "much", "shown": "sum"})
        assert params == Params(gain=3.0, shown="sum")
        assert notes == [
            "Gain must be a number, got “much”. The link's value was left out.",
            "Values must lie between 1 and 8, got 99. The link's value was left out.",
        ]

    def test_what_is_not_ours_is_passed_over(self):
        assert from_query(Params(), {"utm_source": "mail", "present": "true"}) == (Params(), [])

    def test_a_link_cannot_set_or_remove_a_file(self):
        assert from_query(Params(log=7), {"log": "8"}) == (Params(log=7), [])


class TestLimitCases:
    def test_each_control_at_each_end_with_the_others_at_their_defaults(self):
        cases = dict(limit_cases(Small))
        assert cases == {
            "size=1": Small(size=1),
            "size=9": Small(size=9),
            "flag=false": Small(flag=False),
            "flag=true": Small(flag=True),
            "rates=1": Small(rates=(1,)),
            "rates=16": Small(rates=(16,)),
            "rates=1 1": Small(rates=(1, 1)),
        }

    def test_a_file_is_tried_as_it_is(self):
        assert [params for name, params in limit_cases(Params) if name.startswith("log")] == [Params()]


class TestPlain:
    def test_nothing_of_ours_is_left(self):
        values = plain(replace(Params(), layers=(Layer(7, 2, 3), Layer(3))))
        assert list(values) == [field.name for field in fields(Params)]
        assert values["layers"] == [(7, 2, 3, 1), (3, 1, 0, 1)]
        assert values["picture"] is sample("astronaut").pixels
        assert (values["gain"], values["shown"], values["log"]) == (2.0, "ramp", None)

    def test_file_gives_what_was_read_from_it(self):
        assert plain(Params(log=7))["log"] == 7
