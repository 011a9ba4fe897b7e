"""What one visitor has set on one concept page, kept in step with the address.

The view is a value, ``Params``. Every control, preset and link is an event that replaces it; the page is drawn from it.
The address holds what differs from the defaults and is written when a hand lets go, so that each entry of the browser's
history is a view to go back to.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import streamlit as st

from cvviz.concept import Check, Concept
from cvviz.controls import OWN, Image
from cvviz.params import controls_of, from_query, to_query
from cvviz.ui import tray

PRESENT = "present"
# Keys of the two fragments of a page. While a hand is on a control only the stage runs.
CONTROLS, STAGE = "controls", "stage"


@dataclass
class View:
    """The state of one concept page. Its methods up to ``show`` are events: call them in callbacks of widgets alone.

    Attributes:
        params: what is set.
        errors: field name -> sentence about the last input, which was refused.
        notes: sentences about the link that opened the view.
        live: whether a hand is still on a control.
        seq: newest request of a live control, for the pulse.
        written: what this page last knew the address to say.
        turns: name of a widget -> how many keys it has had, less one.
        last: params and result of the last computation.
        checked: what the reference last saw, and its outcome.
    """

    concept: Concept[Any, Any]
    params: Any
    errors: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    live: bool = False
    seq: int = 0
    written: dict[str, str] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    last: tuple[Any, Any] | None = None
    checked: tuple[dict[str, Any], Check] | None = None

    def key(self, name: str) -> str:
        """Session key of a widget of this page."""
        return f"{self.concept.slug}/{name}"

    def widget(self, name: str, value: Any, harmless: Callable[[Any], bool] = lambda _: False) -> str:
        """Session key of the widget that shows ``value`` for ``name``.

        A value that was changed by something else, say an example, comes with a new key. Until the browser has drawn
        it, it goes on sending the old one with whatever is done next; under the old key that would count as an input,
        and undo the change. ``harmless`` tells of what the widget shows now that this would not matter.

        Give ``value`` to the widget as its default too: for a moment after the browser has made a widget it knows
        nothing but the default, and sends that.
        """
        key = self.key_now(name)
        known = key in st.session_state  # not so on the first run, and after one that has left it out
        if known and (st.session_state[key] == value or harmless(st.session_state[key])):
            if st.session_state[key] != value:
                st.session_state[key] = value
            return key
        self.turns[name] = self.turns.get(name, -1) + 1
        key = self.key_now(name)
        st.session_state[key] = value
        return key

    def event(self, name: str, act: Callable[[Any], None]) -> Callable[[], None]:
        """``act(value)`` as the event of the widget under its present key; an older key is not heard any more."""
        key = self.key_now(name)

        def heard() -> None:
            if key == self.key_now(name):
                act(st.session_state[key])

        return heard

    def leave_out(self, name: str) -> None:
        """The widget of ``name`` is not drawn at these settings: its key is not heard any more."""
        if name in self.turns:
            self.turns[name] += 1

    def key_now(self, name: str) -> str:
        """Key that ``widget`` gave last."""
        turn = self.turns.get(name, 0)
        return self.key(f"{name}/{turn}" if turn else name)

    def take(self, name: str, text: str, *, live: bool = False) -> None:
        """Set a field from text; refuse it with a sentence if it cannot be read."""
        try:
            self._set(name, controls_of(self.concept.params)[name].decode(text))
        except ValueError as error:
            self.errors[name] = str(error)
        self._rerun(live=live)

    def put(self, name: str, value: Any) -> None:
        """Set a field."""
        self._set(name, value)
        self._rerun()

    def refuse(self, name: str, sentence: str) -> None:
        """Keep a field as it is and say why."""
        self.errors[name] = sentence
        self._rerun()

    def take_live(self) -> None:
        """Event of the wire."""
        value = st.session_state[self.key("wire")].get("input") or {}
        if value.get("seq", 0) > self.seq and value["field"] in controls_of(self.concept.params):
            self.seq = value["seq"]
            self.take(value["field"], str(value["text"]), live=bool(value["live"]))

    def show(self, params: Any) -> None:
        """Event of a preset or the reset button: set everything but the user's own files."""
        self.params = self.with_own_files(params)
        self.errors.clear()
        self._rerun()

    def _set(self, name: str, value: Any) -> None:
        self.errors.pop(name, None)
        self.params = replace(self.params, **{name: value})

    def _rerun(self, *, live: bool = False) -> None:
        # Names what runs instead of the fragment that the widget lies in. A live input comes by the wire, which lies in
        # the stage: there the default is right, and naming it would cost a second run.
        self.live = live
        if not live:
            st.rerun([CONTROLS, STAGE])

    def with_own_files(self, params: Any) -> Any:
        """``params`` with the files that the user has given."""
        controls = controls_of(self.concept.params)
        kept = {name: getattr(self.params, name) for name, control in controls.items() if not control.in_url}
        return replace(params, **kept)

    def result(self) -> Any:
        """Result at ``params``, computed once, unless it waits for something (its ``pending`` is true)."""
        if self.last is None or self.last[0] != self.params or getattr(self.last[1], "pending", ""):
            self.last = (self.params, self.concept.compute(self.params))
        return self.last[1]

    def last_result(self) -> tuple[Any, Any] | None:
        """Params and result of the last computation, or of the defaults if there was none; None if these have none."""
        if self.last is None:
            params = start_params(self.concept)
            with suppress(ValueError):
                self.last = (params, self.concept.compute(params))
        return self.last

    def check(self, params: Any, result: Any) -> Check:
        """Comparison with the reference, made anew when something that the reference takes has changed."""
        if self.concept.reference is None:
            return self.concept.check(params, result)
        seen = self.concept.reference_inputs(params, result)
        if self.checked is None or self.checked[0] != seen:
            self.checked = (seen, self.concept.check(params, result))
        return self.checked[1]

    def write_address(self) -> None:
        """Bring the address up to date, once no hand is on a control."""
        query = to_query(self.params)
        if self.live or query == self.written:
            return
        others = {name: st.query_params[name] for name in (PRESENT,) if name in st.query_params}
        st.query_params.from_dict(others | query)
        self.written = query


def open_view(concept: Concept[Any, Any]) -> View:
    """The visitor's view of a concept, brought in step with the address. Call once per full run, before drawing."""
    store = f"view:{concept.slug}"
    arrived = st.session_state.get("page") != concept.slug
    st.session_state["page"] = concept.slug
    asked = {name: st.query_params[name] for name in controls_of(concept.params) if name in st.query_params}
    view: View | None = st.session_state.get(store)
    if view is None or view.concept is not concept:
        view = st.session_state[store] = View(concept, start_params(concept))
    elif arrived and not asked:  # back by the navigation: as it was left
        view.written = {}
        view.notes.clear()
        return view
    elif asked == view.written:
        return view
    base = view.with_own_files(start_params(concept))
    mine = {name for name, value in asked.items() if value == OWN and tray.own_picture()}
    base = replace(base, **dict.fromkeys(mine, tray.own_picture()))
    view.params, view.notes = from_query(base, {name: asked[name] for name in asked if name not in mine})
    view.written = asked
    view.live = False
    view.errors.clear()
    return view


def start_params(concept: Concept[Any, Any]) -> Any:
    """Defaults of a concept, with the user's own picture where it takes one."""
    picture = tray.own_picture()
    fields = [
        name for name, control in controls_of(concept.params).items() if isinstance(control, Image) and control.main
    ]
    return replace(concept.params(), **dict.fromkeys(fields, picture)) if picture else concept.params()
