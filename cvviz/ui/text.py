"""Words of a user, shown as they are."""

from __future__ import annotations

import re


def literal(text: str) -> str:
    """``text`` with every character escaped that Markdown would read as markup, a link, an image or a formula."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>$~:&])", r"\\\1", text)
