"""The only part of cvviz, besides ``app.py`` and ``pages/``, that imports Streamlit."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from cvviz.concept import Concept
    from cvviz.ui.jobs import Progress

T = TypeVar("T")


def explorer(concept: Concept[Any, Any], view: Callable[[Any, Any], None] | None = None) -> None:
    """Draw a concept's page.

    Args:
        concept: what the page is about.
        view: draws what is particular to the page, below the stage, from (params, result).
    """
    from cvviz.ui.workbench import draw_page  # torch comes with it, which the home page must not pay for

    draw_page(concept, view)


def chart(figure: go.Figure, *, key: str, alt: str) -> None:
    """Draw a further chart on a concept's page; ``alt`` says what it shows now."""
    from cvviz.ui.charts import draw_chart

    draw_chart(figure, key=key, alt=alt)


def job(label: str, work: Callable[[Progress], T], draw: Callable[[T], None], *, key: str, inputs: Hashable) -> None:
    """Draw a button that starts a long computation; while it runs, its progress and a button that stops it.

    The rest of the page stays alive meanwhile. One job runs at a time for each visitor; others wait for their turn.

    Args:
        label: what the button says, for example "Measure here now".
        work: computes the value in a thread of its own. It never touches Streamlit. It calls
            ``progress(fraction, words, value)`` often: this publishes how far it is (0 to 1), what is being done now,
            and, if it likes, what is known so far; and raises ``Stopped`` in it, which it lets pass, when the reader
            has pressed Stop, has changed the settings or has left. A ValueError is shown to the reader as a sentence.
        draw: draws the newest value, partial or final. The settings may have changed since the value was computed,
            so that it draws from the value alone.
        key: name of the job, unique in the app, for example "detector-stages/time".
        inputs: what the value depends on. Under other inputs it is shown as out of date, and a running job is stopped.
    """
    from cvviz.ui.jobs import draw_job

    draw_job(label, work, draw, key=key, inputs=inputs)
