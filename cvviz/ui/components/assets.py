"""Reads the scripts and styles of the components."""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).parents[3] / "assets"


def script(name: str) -> str:
    """The named file of ``assets/js``."""
    return (ASSETS / "js" / f"{name}.js").read_text(encoding="utf-8")


def style(name: str) -> str:
    """The named file of ``assets/css``."""
    return (ASSETS / "css" / f"{name}.css").read_text(encoding="utf-8")
