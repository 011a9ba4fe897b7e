"""Events of a view, and its bond with the address, without a browser.

The wire's own state and the callbacks of real widgets are driven in ``test_site`` and in the browser tests.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from cvviz.concept import Check
from cvviz.data.images import Picture
from cvviz.ops.receptive_field import Layer
from cvviz.ui import state, tray
from cvviz.ui.state import CONTROLS, STAGE, open_view
from tests.toys import CONCEPT, FROM_INPUTS, Params

OTHER = replace(CONCEPT)  # a second concept object, as after an edit of its file
MINE = Picture("mine", "me.png", lambda: torch.zeros(3, 2, 2, dtype=torch.uint8))


class Address(dict):
    """What the address says, and how often the app wrote it."""

    writes = 0

    def from_dict(self, query):
        self.clear()
        self.update(query)
        self.writes += 1


class Session:
    """One visitor: what Streamlit would hold for them."""

    def __init__(self):
        self.session_state, self.query_params, self.reruns = {}, Address(), []
        self.streamlit = SimpleNamespace(
            session_state=self.session_state, query_params=self.query_params, rerun=self.reruns.append
        )

    def visit(self, query="", concept=CONCEPT):
        """A full run of the page at an address such as ``gain=3&count=2``."""
        self.query_params.clear()
        self.query_params.update(pair.split("=") for pair in query.split("&") if pair)
        return self.run(concept)

    def run(self, concept=CONCEPT):
        """A full run of the page at the address as it is."""
        view = open_view(concept)
        view.write_address()
        return view

    def speak(self, view, **value):
        """What the wire brings."""
        self.session_state[view.key("wire")] = {"input": value}
        view.take_live()


@pytest.fixture
def session(monkeypatch):
    session = Session()
    for module in (state, tray):
        monkeypatch.setattr(module, "st", session.streamlit)
    return session


@pytest.fixture
def view(session):
    return session.visit()


class TestEvents:
    def test_take_reads_text(self, view, session):
        view.take("layers", "7s2psame")
        assert view.params == Params(layers=(Layer(7, 2, 3),))
        assert session.reruns == [[CONTROLS, STAGE]]

    def test_take_refuses_with_the_sentence_and_keeps_what_was_set(self, view, session):
        view.take("gain", "3")
        view.take("gain", "99")
        assert view.params == Params(gain=3.0)
        assert view.errors == {"gain": "Gain must lie between 0 and 5, got 99."}
        assert session.reruns == [[CONTROLS, STAGE]] * 2  # the sentence must be shown

    def test_a_good_input_takes_back_the_sentence_of_its_own_field_alone(self, view):
        view.take("gain", "much")
        view.take("count", "many")
        view.take("gain", "1")
        assert list(view.errors) == ["count"]
        view.put("count", 2)
        assert view.errors == {}

    def test_put(self, view, session):
        view.put("negative", True)
        assert view.params == Params(negative=True)
        assert session.reruns == [[CONTROLS, STAGE]]

    def test_refuse_keeps_what_was_set(self, view, session):
        view.put("picture", MINE)
        view.refuse("picture", "“a.txt” is not a picture.")
        assert view.params == Params(picture=MINE)
        assert view.errors == {"picture": "“a.txt” is not a picture."}
        assert len(session.reruns) == 2

    def test_show_sets_everything_but_the_users_own_file(self, view):
        view.put("log", 7)
        view.put("gain", 3.0)
        view.take("count", "many")
        view.show(Params(count=8))
        assert view.params == Params(count=8, log=7)
        assert view.errors == {}

    def test_keys_of_two_concepts_do_not_meet(self, view):
        assert view.key("gain") == "toys/gain"


class TestWidget:
    """Keys of widgets, of which the browser may still show, and send, an older value."""

    def test_a_value_that_came_from_the_widget_keeps_its_key(self, view, session):
        key = view.widget("count", 1)
        session.session_state[key] = 8  # what its event brings
        assert view.widget("count", 8) == key

    def test_a_value_changed_by_something_else_gets_a_new_one(self, view, session):
        first = view.widget("count", 1)
        second = view.widget("count", 8)
        assert second != first
        assert session.session_state == {**session.session_state, first: 1, second: 8}
        assert view.widget("count", 8) == second == view.key_now("count")

    def test_what_does_no_harm_when_it_is_said_again_is_changed_in_place(self, view, session):
        key = view.widget("layers", "k7s2psame")
        assert view.widget("layers", "k7s2p3", harmless=lambda shown: shown == "k7s2psame") == key
        assert session.session_state[key] == "k7s2p3"

    def test_a_widget_that_was_not_drawn_for_a_while_starts_anew(self, view, session):
        first = view.widget("count", 1)
        del session.session_state[first]  # Streamlit forgets what is not drawn; the browser may still send it
        second = view.widget("count", 8)
        assert second != first
        assert session.session_state[second] == 8

    def test_an_older_key_is_not_heard(self, view, session):
        heard = []
        session.session_state[view.widget("count", 1)] = 3
        event = view.event("count", heard.append)
        event()
        view.widget("count", 8)
        event()
        assert heard == [3]

    def test_what_is_not_drawn_is_not_heard(self, view, session):
        heard = []
        session.session_state[view.widget("count", 1)] = 3
        event = view.event("count", heard.append)
        view.leave_out("count")
        event()
        assert heard == []


class TestLive:
    def test_only_the_stage_runs_while_a_hand_is_on_a_control(self, view, session):
        session.speak(view, field="gain", text="3", live=True, seq=1)
        assert (view.params, view.live, view.seq) == (Params(gain=3.0), True, 1)
        assert session.reruns == []  # the wire lies in the stage, which runs by itself

    def test_letting_go_runs_the_controls_too(self, view, session):
        session.speak(view, field="gain", text="3", live=True, seq=1)
        session.speak(view, field="gain", text="4", live=False, seq=2)
        assert (view.params, view.live) == (Params(gain=4.0), False)
        assert session.reruns == [[CONTROLS, STAGE]]

    def test_any_other_control_ends_what_a_lost_release_has_left_open(self, view, session):
        session.speak(view, field="gain", text="3", live=True, seq=1)
        view.put("negative", True)
        assert not view.live
        assert session.reruns == [[CONTROLS, STAGE]]

    def test_what_was_already_heard_is_not_heard_again(self, view, session):
        session.speak(view, field="gain", text="3", live=False, seq=5)
        view.show(Params())
        session.speak(view, field="gain", text="3", live=False, seq=5)
        assert view.params == Params()

    @pytest.mark.parametrize("text", ["much", "nan", "99", ""])
    def test_what_cannot_be_read_is_refused(self, view, session, text):
        session.speak(view, field="gain", text=text, live=True, seq=1)
        assert view.params == Params()
        assert list(view.errors) == ["gain"]

    @pytest.mark.parametrize("name", ["nothing", "__class__"])
    def test_a_field_that_does_not_exist_is_passed_over(self, view, session, name):
        session.speak(view, field=name, text="3", live=True, seq=1)
        assert (view.params, view.live, view.seq) == (Params(), False, 0)

    def test_silence(self, view, session):
        session.session_state[view.key("wire")] = {"input": None}
        view.take_live()
        assert view.params == Params()


class TestResult:
    @pytest.fixture
    def counted(self, session):
        """A view whose concept counts what it computes."""
        calls = []

        def compute(params):
            calls.append(params)
            return CONCEPT.compute(params)

        return session.visit(concept=replace(CONCEPT, compute=compute)), calls

    def test_is_computed_once_for_the_same_settings(self, counted):
        view, calls = counted
        assert view.result() is view.result()
        view.put("gain", 2.0)  # as it was
        view.result()
        assert len(calls) == 1

    def test_is_computed_anew_for_others(self, counted):
        view, calls = counted
        assert view.result().values.tolist() == [0, 2, 4]
        view.put("gain", 1.0)
        assert view.result().values.tolist() == [0, 1, 2]
        assert len(calls) == 2

    def test_a_failure_is_not_kept(self, counted):
        view, _ = counted
        view.put("count", -1)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                view.result()
        view.put("count", 2)
        assert view.result().values.tolist() == [0, 2]


class TestCheck:
    def counted(self, session, concept):
        """A view whose reference counts its calls."""
        calls = []

        def reference(gain, count):
            calls.append((gain, count))
            return CONCEPT.reference(gain, count)

        return session.visit(concept=replace(concept, reference=reference)), calls

    def check(self, view):
        return view.check(view.params, view.result())

    def test_runs_again_only_when_something_that_it_takes_has_changed(self, session):
        view, calls = self.counted(session, CONCEPT)
        assert self.check(view) == Check("matches", "torch", 0.0)
        for name, value in (("negative", True), ("shown", "sum"), ("picture", MINE), ("log", 3)):
            view.put(name, value)
            self.check(view)
        assert calls == [(2.0, 3)]
        view.put("gain", 1.0)
        assert self.check(view) == Check("matches", "torch", 0.0)
        assert calls == [(2.0, 3), (1.0, 3)]

    def test_runs_again_when_what_was_computed_on_the_way_has_changed(self, session):
        calls = []

        def reference(weights):
            calls.append(weights)
            return 2 * torch.tensor(weights, dtype=torch.float64)

        view = session.visit(concept=replace(FROM_INPUTS, reference=reference))
        assert self.check(view).status == "matches"
        view.put("count", 2)  # the reference does not take it, but its weights become fewer
        assert self.check(view).status == "matches"
        assert calls == [[0, 1, 2], [0, 1]]

    def test_a_failure_is_kept_until_something_changes(self, session):
        calls = []

        def reference(gain):
            calls.append(gain)
            raise RuntimeError("no such operator")

        view = session.visit(concept=replace(CONCEPT, reference=reference))
        assert [self.check(view).status for _ in range(2)] == ["failed", "failed"]
        assert calls == [2.0]

    def test_without_a_reference(self, session):
        view = session.visit(concept=replace(CONCEPT, reference=None, kind="simulated"))
        assert self.check(view) == Check("simulated")


class TestAddress:
    def test_says_what_differs_from_the_defaults(self, view, session):
        view.put("gain", 3.0)
        view.write_address()
        assert session.query_params == {"gain": "3"}
        view.show(Params())
        view.write_address()
        assert session.query_params == {}

    def test_is_written_when_the_hand_lets_go(self, view, session):
        session.speak(view, field="gain", text="3", live=True, seq=1)
        view.write_address()
        assert session.query_params == {}
        session.speak(view, field="gain", text="4", live=False, seq=2)
        view.write_address()
        assert session.query_params == {"gain": "4"}

    def test_is_written_once_for_each_view(self, view, session):
        view.put("gain", 3.0)
        for _ in range(3):
            view.write_address()
        assert session.query_params.writes == 1  # each would be an entry of the browser's history

    def test_present_mode_stays_and_what_is_not_ours_goes(self, session):
        view = session.visit("present=true&utm_source=mail")
        view.put("gain", 3.0)
        view.write_address()
        assert session.query_params == {"present": "true", "gain": "3"}


class TestOpen:
    def test_a_link(self, session):
        view = session.visit("gain=3&shown=sum")
        assert (view.params, view.notes) == (Params(gain=3.0, shown="sum"), [])

    def test_a_link_with_a_mistake_is_put_right(self, session):
        view = session.visit("gain=99&count=2")
        assert view.params == Params(count=2)
        assert view.notes == ["Gain must lie between 0 and 5, got 99. The link's value was left out."]
        assert session.query_params == {"count": "2"}

    def test_another_run_changes_nothing(self, session):
        view = session.visit("gain=3")
        view.take("count", "many")
        again = session.run()
        assert again is view
        assert (view.params, list(view.errors)) == (Params(gain=3.0), ["count"])

    def test_back_in_the_browsers_history(self, session):
        view = session.visit()
        view.put("gain", 3.0)
        view.write_address()
        view.take("count", "many")
        assert session.visit() is view  # the address that was there before
        assert (view.params, view.errors) == (Params(), {})
        assert session.visit("gain=3").params == Params(gain=3.0)

    def test_back_while_a_hand_is_on_a_control(self, session):
        view = session.visit("gain=3")
        session.speak(view, field="gain", text="4", live=True, seq=1)
        session.visit("gain=1")
        assert (view.params, view.live) == (Params(gain=1.0), False)

    def test_coming_back_by_the_navigation_finds_the_page_as_it_was_left(self, session):
        session.visit("gain=3")
        session.session_state["page"] = None  # the home page
        view = session.visit()
        assert view.params == Params(gain=3.0)
        assert session.query_params == {"gain": "3"}

    def test_what_was_said_of_a_link_is_not_said_again_on_coming_back(self, session):
        assert len(session.visit("gain=99").notes) == 1
        session.session_state["page"] = None
        assert session.visit().notes == []

    def test_coming_back_by_a_link_shows_the_link(self, session):
        session.visit("gain=3")
        session.session_state["page"] = "another"
        assert session.visit("count=2").params == Params(count=2)

    def test_a_concept_that_was_edited_starts_anew(self, session):
        old = session.visit("gain=3")
        new = session.visit("gain=3", concept=OTHER)
        assert new is not old
        assert new.concept is OTHER

    def test_own_picture_is_the_default_of_the_main_picture(self, session):
        session.session_state["tray"] = MINE
        view = session.visit()
        assert view.params == Params(picture=MINE)
        assert session.visit("gain=3").params == Params(gain=3.0, picture=MINE)

    def test_a_link_may_name_another_picture(self, session):
        session.session_state["tray"] = MINE
        assert session.visit("picture=coins").params.picture.name == "coins"

    def test_a_link_to_somebody_elses_picture_shows_the_sample(self, session):
        view = session.visit("picture=mine")
        assert view.params == Params()
        (note,) = view.notes
        assert "somebody's own picture" in note

    def test_own_picture_is_no_mistake_in_the_visitors_own_history(self, session):
        session.session_state["tray"] = MINE
        view = session.visit()
        view.put("gain", 3.0)
        view.write_address()
        assert session.visit("picture=mine").params == Params(picture=MINE)
        assert view.notes == []

    def test_own_file_is_kept_when_the_visitor_goes_back(self, session):
        view = session.visit()
        view.put("log", 7)
        view.put("gain", 3.0)
        view.write_address()
        assert session.visit().params == Params(log=7)
