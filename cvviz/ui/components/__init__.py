"""Streamlit v2 components, each wrapped in one typed function; their scripts and styles lie in ``assets/``."""

from cvviz.ui.components.browser import copy_link, page_keys
from cvviz.ui.components.live import live_slider, pulse
from cvviz.ui.components.scenes import show_scenes
from cvviz.ui.components.search import search

__all__ = ["copy_link", "live_slider", "page_keys", "pulse", "search", "show_scenes"]
