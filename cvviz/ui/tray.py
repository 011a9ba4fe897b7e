"""The image tray: the visitor's own picture, chosen once, is there on every page that takes one.

Its pixels live in the session alone: never on disk, never in a cache that another session could address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from cvviz.controls import Image
from cvviz.data.images import Picture, sample, sample_names
from cvviz.data.images import own_picture as read_picture
from cvviz.ui.text import literal

if TYPE_CHECKING:
    from cvviz.ui.state import View

FORMATS = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"]
_OWN = "tray"


def own_picture() -> Picture | None:
    """The visitor's own picture, or None."""
    picture: Picture | None = st.session_state.get(_OWN)
    return picture


def choose_picture(view: View, name: str, control: Image, value: Picture, *, error: str) -> None:
    """Draw the choice between samples and the visitor's own picture, with upload and camera."""
    own = own_picture()
    options = [*sample_names(), *(["mine"] if own else [])]
    by_name = {name: sample(name) for name in sample_names()} | ({"mine": own} if own else {})
    key = view.widget(name, value.name)

    def selected(chosen: str) -> None:
        view.put(name, by_name[chosen])

    def received(source: str) -> None:
        file = st.session_state[source]
        if file is None:
            return
        try:
            picture = read_picture(file.name, file.getvalue())
        except ValueError as problem:
            view.refuse(name, str(problem))
            return
        st.session_state[_OWN] = picture
        view.put(name, picture)

    st.selectbox(
        control.label,
        options,
        options.index(value.name),
        key=key,
        format_func=lambda name: f"Yours: {own.title}" if name == "mine" and own else sample(name).title,
        help=control.help or None,
        on_change=view.event(name, selected),
    )
    with st.popover("Your picture", icon=":material/add_photo_alternate:", width="stretch"):
        upload, camera = view.key(f"{name}/upload"), view.key(f"{name}/camera")
        st.file_uploader(
            "A photo from your device",
            FORMATS,
            key=upload,
            on_change=received,
            args=(upload,),
            help="It stays in this session: it is not stored, and no link can carry it.",
        )
        if st.toggle("Use the camera", key=view.key(f"{name}/use-camera")):
            st.camera_input("Take a photo", key=camera, on_change=received, args=(camera,))
        if error:
            st.error(literal(error), icon=":material/broken_image:")
    if value.own:
        size = f" It was {value.original_size[0]} × {value.original_size[1]} px." if value.original_size else ""
        st.caption(f"Your picture stays in this session; a link shows a sample in its place.{size}")
