"""The only part of cvviz, besides ``app.py`` and ``pages/``, that imports Streamlit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from cvviz.concept import Concept


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
