"""Pays for the heavy imports before a visitor asks for them, and keeps the garbage collector off them afterwards."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib import import_module

from streamlit.starlette import App

from cvviz.catalogue import entries

LIBRARIES = ("torch", "torchvision", "plotly.graph_objects", "sklearn", "cv2")


@lru_cache(maxsize=1)
def start() -> threading.Thread:
    """Begin the warm-up in a thread, once per process."""
    thread = threading.Thread(target=warm_up, name="cvviz-warm-up", daemon=True)
    thread.start()
    return thread


def warm_up() -> None:
    """Import the libraries and every concept, give each computation one thread, and freeze what was loaded.

    Streamlit collects garbage after every run. It does not visit frozen objects: a run takes 60 ms in place of 300.
    """
    try:
        for name in LIBRARIES:
            import_module(name)
        import cv2
        import torch

        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        for entry in entries():
            entry.load()
            entry.claims()
    except Exception:
        logging.getLogger(__name__).exception("warm-up")  # the page that needs it will say what is wrong
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def lifespan(_app: App) -> AsyncIterator[None]:
    """Hook of ``st.App``: start warming as the server starts."""
    start()
    yield
