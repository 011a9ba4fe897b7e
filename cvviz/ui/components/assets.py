"""Reads the scripts and styles of the components."""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).parents[3] / "assets"


def script(*names: str) -> str:
    """The named files of ``assets/js``, one after the other: shared helpers first, the component last."""
    return "\n".join((ASSETS / "js" / f"{name}.js").read_text(encoding="utf-8") for name in names)


def style(name: str) -> str:
    """The named file of ``assets/css``."""
    return (ASSETS / "css" / f"{name}.css").read_text(encoding="utf-8")
