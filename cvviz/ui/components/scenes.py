"""Pictures with shapes over them, boxes and points that are dragged, masks that are painted, windows that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import streamlit as st

from cvviz.ui.components.assets import script, style

if TYPE_CHECKING:
    from cvviz.figures.scene import Scene
    from cvviz.figures.window import Window

_SCENES = st.components.v2.component(
    "cvviz_scenes",
    html='<div class="scenes"></div>',
    css=style("scenes"),
    js="\n".join(map(script, ("points", "paint", "window", "scenes"))),
)


def show_scenes(scenes: Sequence[Scene], *, alt: str, key: str) -> None:
    """Draw the scenes side by side, wrapping where there is no room. What is dragged speaks through the ``wire``."""
    panels = [_panel(scene, alt if index == 0 else scene.caption) for index, scene in enumerate(scenes)]
    _SCENES(key=key, data={"panels": panels, "window": None})


def show_window(window: Window, *, alt: str, key: str) -> None:
    """Draw a window's sources and targets; what the pointer is over is looked up in the browser.

    A click or an arrow key says the output's place to the ``wire``.
    """
    scenes = [*window.sources, *window.targets, *window.beside]
    panels = [_panel(scene, alt if index == 0 else scene.caption) for index, scene in enumerate(scenes)]
    _SCENES(key=key, data={"panels": panels, "window": window.numbers()})


def _panel(scene: Scene, alt: str) -> dict[str, Any]:
    width, height = scene.size
    handles = scene.handles
    return {
        "src": scene.image_url(),
        "overlay": scene.overlay(),
        "width": width,
        "height": height,
        "caption": scene.caption,
        "alt": alt,
        "exact": scene.exact,
        "maxWidth": scene.max_width,
        "field": handles.field if handles else "",
        "boxes": [list(box) for box in handles.boxes] if handles else [],
        "names": list(handles.names) if handles else [],
        "colors": list(handles.colors) if handles else [],
        "points": asdict(scene.points) if scene.points else None,
        "paint": asdict(scene.paint) if scene.paint else None,
    }
