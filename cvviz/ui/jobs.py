"""Long computations that a reader starts, watches and stops, while the rest of the page stays alive.

The work runs in a thread of its own, which never touches Streamlit. What it says lies in a ``Job``. The page looks
there twice a second, and only while it runs. When nobody has looked for a while, the reader has left and it is stopped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

import streamlit as st

from cvviz.ui.text import literal

log = logging.getLogger(__name__)

T = TypeVar("T")
State = Literal["waiting", "running", "done", "stopped", "failed"]

POLL = 0.5  # seconds between two looks at a running job
PATIENCE = 10.0  # seconds without a look after which nobody is there any more
PROCESS = threading.Semaphore(2)  # jobs that run at a time, of all visitors together
WAITING = "Waiting for another computation to finish"


class Stopped(Exception):  # noqa: N818  it is no error
    """Raised in the work when the reader has stopped it, has changed the settings, or has gone."""


class Progress(Protocol):
    """What the work reports to. Call it often: a stop takes effect here."""

    def __call__(self, fraction: float, words: str = "", value: Any = None) -> None:
        """Publish how far the work is.

        Args:
            fraction: done so far, in [0, 1].
            words: what is being done now, in a few words.
            value: what is known so far, of the kind that the work returns; None leaves the last one.

        Raises:
            Stopped: if nobody waits for the work any more. Let it pass.
        """


@dataclass(eq=False)
class Job(Generic[T]):
    """One run of a work, read by the page and written by its thread.

    Attributes:
        inputs: what it computes for.
        result: newest value, and the inputs that it belongs to: of an earlier run until this one has published.
        state: where it stands; "waiting" for its turn, "stopped" as soon as that is asked for.
        sentence: what went wrong, or why it was stopped, for the reader.
        seen: when the page last looked.
    """

    inputs: Hashable
    result: tuple[Hashable, T] | None = None
    state: State = "waiting"
    fraction: float = 0.0
    words: str = ""
    sentence: str = ""
    seconds: float = 0.0
    seen: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def alive(self) -> bool:
        """Whether there is something to wait for."""
        return self.state in ("waiting", "running")

    def turn(self, state: State) -> None:
        """Come into ``state``, for good if it is not alive. Raises Stopped where that has happened before."""
        with self.lock:
            if not self.alive:
                raise Stopped
            self.state = state

    def stop(self) -> None:
        """Give up; the work learns of it when it next reports, and whatever it still says is not heard."""
        with suppress(Stopped):
            self.turn("stopped")

    def progress(self, fraction: float, words: str = "", value: T | None = None) -> None:
        """See ``Progress``."""
        if time.monotonic() - self.seen > PATIENCE:
            self.stop()
        self.turn(self.state)
        self.fraction, self.words = min(max(fraction, 0.0), 1.0), words
        if value is not None:
            self.result = self.inputs, value

    def take_turn(self, slot: threading.Semaphore) -> None:
        """Wait for a free slot."""
        while not slot.acquire(timeout=0.2):
            self.progress(0.0, WAITING)

    def run(self, work: Callable[[Progress], T], *slots: threading.Semaphore) -> None:
        """Body of the thread: wait for all slots, work, and leave the outcome here."""
        with ExitStack() as held:
            try:
                for slot in slots:
                    self.take_turn(slot)
                    held.callback(slot.release)
                self.turn("running")
                started = time.monotonic()
                value = work(self.progress)
                self.seconds = time.monotonic() - started
                self.progress(1.0, value=value)
                self.turn("done")
            except Stopped:
                self.stop()
            except Exception as problem:
                if isinstance(problem, ValueError):
                    self.sentence = str(problem)
                else:
                    log.exception("job for %s", self.inputs)
                with suppress(Stopped):
                    self.turn("failed")


def draw_job(
    label: str, work: Callable[[Progress], T], draw: Callable[[T], None], *, key: str, inputs: Hashable
) -> None:
    """Draw a button that starts a long computation, then its progress and what it has found; see ``cvviz.ui.job``."""
    store = f"job:{key}"
    job: Job[T] | None = st.session_state.get(store)
    if job and job.alive and job.inputs != inputs:
        job.stop()
        job.sentence = "Stopped, because the settings have changed."

    def start() -> None:
        last: Job[T] | None = st.session_state.get(store)
        new = st.session_state[store] = Job(inputs, last.result if last else None)
        turn = st.session_state.setdefault("job-turn", threading.Semaphore(1))  # one at a time for a visitor
        threading.Thread(target=new.run, args=(work, turn, PROCESS), name=store, daemon=True).start()

    def stop() -> None:
        st.session_state[store].stop()

    def panel() -> None:
        # An event in here reruns this fragment alone. The inner one, which polls, exists only while there is something
        # to wait for: Streamlit ends the polling of a fragment that its parent has not drawn again.
        current: Job[T] | None = st.session_state.get(store)
        with st.container(key=key):
            if current and current.alive:
                st.button("Stop", icon=":material/stop_circle:", key=f"{key}/stop", on_click=stop)
                watched(current)
            else:
                st.button(label, icon=":material/play_circle:", key=f"{key}/start", on_click=start)
                if current:
                    draw_outcome(current, inputs)
                    draw_result(current, draw, inputs)

    def watched(current: Job[T]) -> None:
        first = True

        def look() -> None:
            nonlocal first
            if not (first or current.alive):
                st.rerun()  # nothing less ends the polling from within
            first = False
            current.seen = time.monotonic()
            st.progress(current.fraction, literal(current.words or label))
            draw_result(current, draw, inputs)

        st.fragment(look, run_every=POLL)()

    st.fragment(panel)()


def draw_outcome(job: Job[Any], inputs: Hashable) -> None:
    """How the last run ended. Of one for other inputs, only that it was stopped for that reason is of interest."""
    if job.inputs != inputs:
        if job.state == "stopped" and job.sentence:
            st.caption(job.sentence)
        return
    match job.state:
        case "done":
            st.caption(f"Done in {job.seconds:.1f} s.")
        case "stopped":
            st.caption(f"Stopped at {job.fraction:.0%}.")
        case "failed" if job.sentence:
            st.warning(literal(job.sentence), icon=":material/rule:")
        case "failed":
            st.error("This computation failed. The log says why; the page is not affected.", icon=":material/build:")


def draw_result(job: Job[T], draw: Callable[[T], None], inputs: Hashable) -> None:
    """The newest value, with a word about it where it belongs to other settings."""
    if job.result is None:
        return
    of, value = job.result
    if of != inputs:
        st.caption(":material/history: The settings have changed since this was computed.")
    try:
        draw(value)
    except Exception:
        log.exception("drawing the result of a job for %s", of)
        st.error("This result could not be drawn. The log says why; the page is not affected.", icon=":material/build:")
