"""Pays for the heavy imports before a visitor asks for them, and keeps the garbage collector off them afterwards."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, lru_cache
from importlib import import_module

from streamlit.starlette import App

from cvviz.catalogue import entries, entry

GRACE = 3.0  # seconds in which a first visitor's home page has the processor to itself
LIBRARIES = ("torch", "torchvision", "plotly.graph_objects", "sklearn", "cv2", "cvviz.ui.workbench")
_IMPORTING = threading.Lock()  # two threads that import torch at once can each meet the other's half of it


@lru_cache(maxsize=1)
def start() -> threading.Timer:
    """Begin the warm-up soon, in a thread, once per process. A concept page that is asked for first does not wait."""
    timer = threading.Timer(GRACE, warm_up)
    timer.name, timer.daemon = "cvviz-warm-up", True
    timer.start()
    return timer


def warm_up() -> None:
    """Import the libraries and every concept, give each computation one thread, and freeze what was loaded.

    Streamlit collects garbage after every run. It does not visit frozen objects: a run takes 60 ms in place of 300.
    """
    try:
        for item in entries():
            load(item.slug)
    except Exception:
        logging.getLogger(__name__).exception("warm-up")  # the page that needs it will say what is wrong
    settle()


@cache
def load(slug: str) -> None:
    """Import what a concept's page needs, unless this has been done; after it, another thread's imports do no harm."""
    with _IMPORTING:
        for name in LIBRARIES:
            import_module(name)
        import cv2
        import torch

        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        entry(slug).load()
        entry(slug).claims()


def settle() -> None:
    """Take what is loaded by now out of the garbage collector's sight."""
    gc.collect()
    gc.freeze()


@cache
def settle_after(slug: str) -> None:
    """Settle once per process after the first visit of a page, which loads and memoises things of its own."""
    logging.getLogger(__name__).debug("settled after %s", slug)
    settle()


@asynccontextmanager
async def lifespan(_app: App) -> AsyncIterator[None]:
    """Hook of ``st.App``: start warming as the server starts."""
    start()
    yield
