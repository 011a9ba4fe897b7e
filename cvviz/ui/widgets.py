"""How each kind of control is drawn. Every widget is an event that changes the view; none holds the truth itself."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st

from cvviz.controls import (
    Boxes,
    Cell,
    Choice,
    Control,
    File,
    Image,
    Ints,
    LayerStack,
    Many,
    Mask,
    Matrix,
    Points,
    Slider,
    Toggle,
)
from cvviz.params import controls_of
from cvviz.ui.components.live import live_slider
from cvviz.ui.state import View
from cvviz.ui.text import literal
from cvviz.ui.tray import choose_picture

MOST_SEGMENTS = 3  # more options, or long ones, go into a list


def draw_controls(view: View) -> None:
    """All controls of the concept that are shown at the current settings."""
    for name, control in controls_of(view.concept.params).items():
        if control.when is None or control.when(view.params):
            draw(view, name, control)


def draw(view: View, name: str, control: Control) -> None:
    """One control and, under it, the sentence about its last input if that was refused."""
    key, value, error = view.key(name), getattr(view.params, name), view.errors.get(name, "")
    match control:
        case Slider():
            live_slider(control, name, value, key=key, error=error)
            return
        case Image():
            put, refuse = partial(view.put, name), partial(view.refuse, name)
            choose_picture(control, value, key=key, error=error, put=put, refuse=refuse)
            return
        case Toggle():
            _toggle(view, name, control, key, value)
        case Many():
            _many(view, name, control, key, value)
        case Choice():
            _choice(view, name, control, key, value)
        case Matrix():
            _matrix(view, name, control, key, value, error)
        case LayerStack() | Ints() | Boxes() | Cell() | Points():
            _text(view, name, control, key, value, error)
        case Mask():
            _mask(view, name, control, key, value)
        case File():
            _file(view, name, control, key, value)
    if error:
        st.error(literal(error), icon=":material/error:")


def _keep_in_step(key: str, value: Any) -> None:
    # A preset, the reset button or a link may have changed the value behind the widget's back.
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def _toggle(view: View, name: str, control: Toggle, key: str, value: bool) -> None:
    _keep_in_step(key, value)
    change = partial(_from_session, view, name, key)
    st.toggle(control.label, key=key, help=control.help or None, on_change=change)


def _choice(view: View, name: str, control: Choice, key: str, value: str) -> None:
    _keep_in_step(key, value)
    titles = control.titles
    change = partial(_from_session, view, name, key)
    short = len(titles) <= MOST_SEGMENTS and sum(map(len, titles.values())) <= 28
    if short:
        st.segmented_control(
            control.label,
            list(titles),
            key=key,
            format_func=titles.__getitem__,
            help=control.help or None,
            on_change=change,
            required=True,
            width="stretch",
        )
    else:
        st.selectbox(
            control.label,
            list(titles),
            key=key,
            format_func=titles.__getitem__,
            help=control.help or None,
            on_change=change,
        )


def _many(view: View, name: str, control: Many, key: str, value: tuple[str, ...]) -> None:
    _keep_in_step(key, list(value))
    titles = control.titles

    def change() -> None:
        chosen = st.session_state[key]
        if chosen:
            view.put(name, tuple(option for option in titles if option in chosen))

    st.pills(
        control.label,
        list(titles),
        selection_mode="multi",
        key=key,
        format_func=titles.__getitem__,
        help=control.help or None,
        on_change=change,
    )


def _text(view: View, name: str, control: Control, key: str, value: Any, error: str) -> None:
    if not error:  # a refused text stays as it was typed
        _keep_in_step(key, control.encode(value))

    def change() -> None:
        view.take(name, st.session_state[key])

    st.text_input(control.label, key=key, help=control.help or None, on_change=change)


def _mask(view: View, name: str, control: Mask, key: str, value: bytes) -> None:
    """What is painted lies on the stage; here it is given up."""
    if control.help:
        st.caption(control.help)
    if value:
        undo = partial(view.put, name, b"")
        st.button("Discard what is painted", icon=":material/undo:", key=key, on_click=undo)


def _matrix(view: View, name: str, control: Matrix, key: str, value: Any, error: str) -> None:
    """A list of the named matrices above the numbers, which can be edited whichever is chosen."""
    known, own, typed = control.name_of(value), "Your own numbers", f"{key}/typed"
    names = [*control.named, *([] if known else [own])]
    _keep_in_step(key, known or own)
    if not error:  # a refused text stays as it was typed
        _keep_in_step(typed, control.text(value).replace("; ", "\n"))

    def choose() -> None:
        if st.session_state[key] in control.named:
            view.put(name, control.named[st.session_state[key]])

    def change() -> None:
        view.take(name, st.session_state[typed])

    st.selectbox(control.label, names, key=key, help=control.help or None, on_change=choose)
    rows = min(max(len(value), 3), control.most)
    st.text_area(f"{control.label}, row by row", key=typed, height=34 + 24 * rows, on_change=change)


def _file(view: View, name: str, control: File, key: str, value: Any) -> None:
    def change() -> None:
        file = st.session_state[key]
        if file is None:
            view.put(name, None)
            return
        try:
            parsed = control.parse(file.name, file.getvalue()) if control.parse else file.getvalue()
        except ValueError as problem:
            view.refuse(name, str(problem))
        else:
            view.put(name, parsed)

    st.file_uploader(control.label, list(control.types), key=key, help=control.help or None, on_change=change)
    if value is not None:
        st.caption("Your file stays in this session; a link does not carry it.")


def _from_session(view: View, name: str, key: str) -> None:
    view.put(name, st.session_state[key])
