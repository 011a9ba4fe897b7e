"""The only part of cvviz, besides ``app.py`` and ``pages/``, that imports Streamlit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cvviz.concept import Concept


def explorer(concept: Concept[Any, Any], view: Callable[[Any, Any], None] | None = None) -> None:
    """Draw a concept's page.

    Args:
        concept: what the page is about.
        view: draws what is particular to the page, below the stage, from (params, result).
    """
    from cvviz.ui.workbench import draw_page  # torch comes with it, which the home page must not pay for

    draw_page(concept, view)
