"""Words of a user, shown as they are."""

from __future__ import annotations

import re

# Characters that make markup, images, formulas and HTML; what turns a bare address into a link.
MARKUP = re.compile(r"[\\`*_\[\]<>$~|#]|:(?=//)|(?<=www)\.")


def literal(text: str) -> str:
    """``text`` with everything escaped that Streamlit's Markdown would read as more than words."""
    return MARKUP.sub(lambda found: "\\" + found[0], text)
