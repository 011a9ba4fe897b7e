"""How each kind of control is drawn. Every widget is an event that changes the view; none holds the truth itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from cvviz.controls import (
    Boxes,
    Cell,
    Choice,
    Control,
    File,
    Heights,
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
        else:
            view.leave_out(name)
            view.leave_out(_typed(name))


def draw(view: View, name: str, control: Control) -> None:
    """One control and, under it, the sentence about its last input if that was refused."""
    value, error = getattr(view.params, name), view.errors.get(name, "")
    match control:
        case Slider():
            live_slider(control, name, value, key=view.key(name), error=error)
            return
        case Image():
            choose_picture(view, name, control, value, error=error)
            return
        case Toggle():
            _toggle(view, name, control, value)
        case Many():
            _many(view, name, control, value)
        case Choice():
            _choice(view, name, control, value)
        case Matrix():
            _matrix(view, name, control, value, error)
        case LayerStack() | Ints() | Boxes() | Cell() | Points() | Heights():
            _text(view, name, control, error)
        case Mask():
            _mask(view, name, control, value)
        case File():
            _file(view, name, control, value)
    if error:
        st.error(literal(error), icon=":material/error:")


def _toggle(view: View, name: str, control: Toggle, value: bool) -> None:
    key = view.widget(name, value)
    change = view.event(name, partial(view.put, name))
    st.toggle(control.label, value, key=key, help=control.help or None, on_change=change)


def _choice(view: View, name: str, control: Choice, value: str) -> None:
    key = view.widget(name, value)
    titles = control.titles
    change = view.event(name, partial(view.put, name))
    short = len(titles) <= MOST_SEGMENTS and sum(map(len, titles.values())) <= 28
    if short:
        st.segmented_control(
            control.label,
            list(titles),
            default=value,
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
            list(titles).index(value),
            key=key,
            format_func=titles.__getitem__,
            help=control.help or None,
            on_change=change,
        )


def _many(view: View, name: str, control: Many, value: tuple[str, ...]) -> None:
    key = view.widget(name, list(value), harmless=lambda shown: not shown)
    titles = control.titles

    def choose(chosen: list[str]) -> None:
        if chosen:
            view.put(name, tuple(option for option in titles if option in chosen))

    st.pills(
        control.label,
        list(titles),
        selection_mode="multi",
        default=value,
        key=key,
        format_func=titles.__getitem__,
        help=control.help or None,
        on_change=view.event(name, choose),
    )


def _text(view: View, name: str, control: Control, error: str) -> None:
    key = _text_key(view, name, name, control.encode, error)
    change = view.event(name, partial(view.take, name))
    st.text_input(control.label, st.session_state[key], key=key, help=control.help or None, on_change=change)


def _text_key(view: View, widget: str, name: str, encode: Callable[[Any], str], error: str) -> str:
    """Session key of a text field. A refused text stays as it was typed; one that says the value is tidied in place."""
    if error and view.key_now(widget) in st.session_state:
        return view.key_now(widget)
    value, control = getattr(view.params, name), controls_of(view.concept.params)[name]

    def says_it(text: str) -> bool:
        try:
            return bool(control.decode(text) == value)
        except ValueError:
            return False

    return view.widget(widget, encode(value), harmless=says_it)


def _mask(view: View, name: str, control: Mask, value: bytes) -> None:
    """What is painted lies on the stage; here it is given up."""
    if control.help:
        st.caption(control.help)
    if value:
        undo = partial(view.put, name, b"")
        st.button("Discard what is painted", icon=":material/undo:", key=view.key(name), on_click=undo)


def _matrix(view: View, name: str, control: Matrix, value: Any, error: str) -> None:
    """A list of the named matrices above the numbers, which can be edited whichever is chosen."""
    known, own = control.name_of(value), "Your own numbers"
    names = [*control.named, *([] if known else [own])]
    key = view.widget(name, known or own)
    typed = _text_key(view, _typed(name), name, lambda value: control.text(value).replace("; ", "\n"), error)

    def choose(chosen: str) -> None:
        if chosen in control.named:
            view.put(name, control.named[chosen])

    st.selectbox(
        control.label,
        names,
        names.index(known or own),
        key=key,
        help=control.help or None,
        on_change=view.event(name, choose),
    )
    rows = min(max(len(value), 3), control.most)
    change = view.event(_typed(name), partial(view.take, name))
    text = st.session_state[typed]
    st.text_area(f"{control.label}, row by row", text, key=typed, height=34 + 24 * rows, on_change=change)


def _typed(name: str) -> str:
    """Name of the text area below the list of named matrices."""
    return f"{name}/typed"


def _file(view: View, name: str, control: File, value: Any) -> None:
    key = view.key(name)

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
