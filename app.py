"""Entry point: ``streamlit run app.py``.

The command finds ``app`` by reading this file and serves it as an ASGI application, which starts the warm-up before the
first visitor and keeps Streamlit's legacy discovery of ``pages/`` out of the way. A launcher that executes this file as
a plain script gets the same site through ``main``.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # every rerun is a new thread; must be set before torch is imported

from pathlib import Path

import streamlit as st

from cvviz.ui import site
from cvviz.ui.warmup import lifespan

if __name__ == "__main__":
    site.main()
else:
    app = st.App(Path(__file__).parent / "cvviz" / "ui" / "site.py", lifespan=lifespan)
