"""The shell of every concept page: controls, stage, check, code, presets, and below them the words."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import streamlit as st

from cvviz import catalogue
from cvviz.concept import Check, Concept, magnitude
from cvviz.figures.scene import Scene
from cvviz.figures.window import Window
from cvviz.params import controls_of
from cvviz.snippets import snippet
from cvviz.ui import warmup
from cvviz.ui.charts import draw_chart
from cvviz.ui.components.live import wire
from cvviz.ui.components.scenes import show_scenes, show_window
from cvviz.ui.header import draw_header, draw_pager
from cvviz.ui.reading import draw_reading
from cvviz.ui.state import CONTROLS, STAGE, View, open_view, start_params
from cvviz.ui.text import literal
from cvviz.ui.widgets import draw_controls

log = logging.getLogger(__name__)


def draw_page(concept: Concept[Any, Any], view: Callable[[Any, Any], None] | None) -> None:
    """Draw a concept's page; see ``cvviz.ui.explorer``."""
    entry = catalogue.entry(concept.slug)
    draw_header(entry)
    current = open_view(concept)
    for note in current.notes:
        st.warning(literal(note), icon=":material/link_off:")
    with st.container(key="workbench"):
        left, right = st.columns([1, 2], gap="large")
    with left:
        controls(current)
    with right:
        stage(current, view)
    with st.container(key="reading"):
        draw_reading(entry, current)
    draw_pager(entry)
    warmup.settle_after(entry.slug)


@st.fragment(key=CONTROLS)
def controls(view: View) -> None:
    """Examples, controls and reset. Left alone while a control moves: only the stage has something new to say."""
    with st.container(key="controls"):
        draw_presets(view)
        draw_controls(view)
        st.button("Reset", icon=":material/restart_alt:", key=view.key("reset"), on_click=reset, args=(view,))


@st.fragment(key=STAGE)
def stage(view: View, extras: Callable[[Any, Any], None] | None) -> None:
    """All that runs while a control moves. The wire comes last: its data say that the rest is there."""
    try:
        if shown := result_to_show(view):
            draw_stage(view, *shown, extras)
    except Exception:
        log.exception("%s at %s", view.concept.slug, view.params)
        draw_failure(view)
    view.write_address()
    wire(view.seq, key=view.key("wire"), on_input=view.take_live)


def result_to_show(view: View) -> tuple[Any, Any] | None:
    """Params and result: the current ones; or, with a sentence, the last that had a result, if any had."""
    try:
        return view.params, view.result()
    except ValueError as problem:  # what compute says of settings that have no result
        log.info("%s at %s: %s", view.concept.slug, view.params, problem)
        last = view.last_result()
        sentence = f"{problem} Below is the last view that worked." if last else str(problem)
        st.warning(literal(sentence), icon=":material/rule:")
        return last


def draw_stage(view: View, params: Any, result: Any, extras: Callable[[Any, Any], None] | None) -> None:
    """Stage, check, formula, the page's own panels, code and downloads."""
    concept = view.concept
    alt = concept.describe(params, result)
    drawing = concept.stage(params, result)
    key = view.key("stage")
    with st.container(key="stage"):
        if isinstance(drawing, Window):
            show_window(drawing, alt=alt, key=key)
        elif isinstance(drawing, (Scene, tuple, list)):
            scenes = [drawing] if isinstance(drawing, Scene) else drawing
            show_scenes(scenes, alt=alt, key=key)
        else:
            draw_chart(drawing, key=key, alt=alt)
    with st.container(key="numbers"):
        draw_check(view.check(params, result))
        if concept.formula:
            st.markdown(concept.formula(params, result))
        if extras:
            extras(params, result)
        draw_take_home(view, params, result, drawing)


def draw_check(check: Check) -> None:
    """The badge: what was compared with what, and how far apart they are. Never more than was done."""
    match check.status:
        case "matches":
            words = f"matches {check.against}, max |Δ| {magnitude(check.error or 0)}"
            st.badge(words, icon=":material/verified:", color="green")
        case "differs":
            words = f"differs from {check.against}: max |Δ| {check.error:.2g}"
            st.badge(words, icon=":material/error:", color="red")
        case "failed":
            st.badge(f"{check.against} could not be run at these settings", icon=":material/error:", color="red")
        case _:
            st.badge(check.status, icon=":material/calculate:", color="gray")


def draw_presets(view: View) -> None:
    """Worked examples as pills; the one that is on the screen is lit, and says what to look at."""
    presets = view.concept.presets
    shown = ((name, view.with_own_files(preset.params)) for name, preset in presets.items())
    active = next((name for name, params in shown if params == view.params), None)
    key = view.widget("preset", active, harmless=lambda shown: shown is None)

    def chosen(name: str | None) -> None:
        if name:
            view.show(presets[name].params)

    st.pills(
        "Examples",
        list(presets),
        default=active,
        key=key,
        on_change=view.event("preset", chosen),
        format_func=lambda name: f":material/warning: {name}" if presets[name].failure else name,
    )
    st.caption(presets[active].look if active else "Your own settings. Choose an example to see something to look for.")


def draw_take_home(view: View, params: Any, result: Any, drawing: Any) -> None:
    """The code of the reference with the current values, and the numbers and the figure as files."""
    concept = view.concept
    panel = st.expander("Code and data", icon=":material/code:", key=view.key("code"), on_change="rerun")
    if not panel.open:
        return
    with panel:
        if concept.reference is not None:
            source = snippet(concept, params, result)
            st.caption(f"The same numbers by {concept.against} alone, at the settings above. It runs as it stands.")
            st.code(source, language="python")
        with st.container(horizontal=True):
            if concept.reference is not None:
                save("Code", f"{concept.slug}.py", "text/x-python", source)
            save("Data", f"{concept.slug}.csv", "text/csv", lambda: to_csv(concept, params, result))
            save("Figure", f"{concept.slug}.html", "text/html", lambda: to_html(concept.slug, drawing))


def save(label: str, name: str, mime: str, data: str | Callable[[], str]) -> None:
    """Download button; a callable is called when the button is clicked."""
    st.download_button(
        f"{label} (.{name.rpartition('.')[2]})", data, name, mime, icon=":material/download:", on_click="ignore"
    )


def to_csv(concept: Concept[Any, Any], params: Any, result: Any) -> str:
    """The numbers behind the stage."""
    return str(concept.table(params, result).to_csv(index=False))


def to_html(title: str, drawing: Any) -> str:
    """The stage as one HTML file."""
    if isinstance(drawing, (Scene, Window, tuple, list)):
        parts = drawing if isinstance(drawing, (tuple, list)) else [drawing]
        body = "\n".join(part.svg() for part in parts)
        return f"<!doctype html><meta charset=utf-8><title>{title}</title>\n{body}\n"
    return str(drawing.to_html(include_plotlyjs="cdn"))


def draw_failure(view: View) -> None:
    """What went wrong, without the trace, which is in the log."""
    st.error(
        "This view could not be drawn at these settings. The rest of the app is not affected: reset the page, "
        "or choose an example.",
        icon=":material/build:",
    )
    controls = controls_of(view.concept.params)
    values = [control.encode(getattr(view.params, name)) for name, control in controls.items()]
    st.table({"Control": [control.label for control in controls.values()], "Value": values})
    st.button("Reset this page", key=view.key("reset-failed"), on_click=reset, args=(view,))


def reset(view: View) -> None:
    """Event of the reset buttons."""
    view.show(start_params(view.concept))
