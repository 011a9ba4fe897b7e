"""What is measured: cold starts, key presses, drags, memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import psutil
from playwright.sync_api import Browser, Error

from tests.benchmarks.tab import PAGES, Tab, fresh_tab
from tests.e2e.server import ROOT, serve

APP = ROOT / "app.py"
BARE = Path(__file__).with_name("bare.py")


@dataclass
class Keys:
    """Milliseconds from key to paint.

    Attributes:
        times: of the presses that changed something.
        words: how many of them changed the words alone.
        missed: presses that changed nothing.
    """

    times: list[float] = field(default_factory=list)
    words: int = 0
    missed: int = 0

    def press(self, tab: Tab) -> None:
        """Make one press and note it."""
        by, milliseconds = tab.press()
        self.missed += by == "nothing"
        self.words += by == "words"
        if by != "nothing":
            self.times.append(milliseconds)

    def p50(self) -> float:
        """Median, NaN without any."""
        return median(self.times) if self.times else float("nan")

    def p95(self) -> float:
        """95th percentile, NaN without any."""
        return quantiles(self.times, n=20, method="inclusive")[-1] if len(self.times) > 1 else self.p50()


@dataclass
class Feel:
    """How one concept answers the hand.

    Attributes:
        control: kind of the control that was moved.
        app: key presses on it.
        bare: key presses on the bare page in between.
        updates: of the stage, painted per second of a drag.
        answers: of the app, per second of a drag, whether or not they changed the stage.
        asked: values that the drag asked for, per second.
        failed: why there is nothing.
    """

    slug: str
    control: str = ""
    app: Keys = field(default_factory=Keys)
    bare: Keys = field(default_factory=Keys)
    updates: float = float("nan")
    answers: float = float("nan")
    asked: float = float("nan")
    failed: str = ""

    def rare(self) -> bool:
        """Whether most values of the control look alike on the stage, so that its updates say nothing of the speed."""
        return self.updates < self.answers / 2

    def rate(self) -> float:
        """Updates per second of a drag: of the stage, or where they are rare, of the numbers beside it."""
        return self.answers if self.rare() else self.updates


def cold_starts(browser: Browser, slug: str, rounds: int, folder: Path) -> dict[str, float]:
    """Median seconds from the start of a process to the paint of "bare", "home" and "concept", taken in turn."""
    starts = {"bare": (BARE, "", ""), "home": (APP, "", "h1"), "concept": (APP, slug, "")}
    times: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(rounds):
        for name, (script, path, shows) in starts.items():
            try:
                times[name].append(cold_start(browser, script, path, shows, folder))
            except Error as problem:
                print(f"{name}: {problem}", file=sys.stderr)
    return {name: median(found) if found else float("nan") for name, found in times.items()}


def cold_start(browser: Browser, script: Path, path: str, shows: str, folder: Path) -> float:
    """Seconds from the start of a process to the paint of ``path`` in a browser that has never been there."""
    start = time.time()
    with serve(script, folder / "cold.log") as server, fresh_tab(browser, server.url) as tab:
        return tab.open(path, shows) - start


def feel(app: Tab, bare: Tab, slug: str, presses: int, drags: int) -> Feel:
    """Key presses on a concept and on the bare page in turn, then drags, of which the median counts."""
    found = Feel(slug)
    app.open(slug)
    app.settle()
    if not app.take_control():
        found.failed = "no control to move"
        return found
    for tab in (app, bare):
        tab.warm_up()
    found.control = "slider in large steps" if app.keys is PAGES else app.kind
    for _ in range(presses):
        for tab, keys in ((app, found.app), (bare, found.bare)):
            keys.press(tab)
            tab.settle()
    rates = []
    for _ in range(drags):
        rates.append(app.drag())
        app.settle()
    found.updates, found.answers, found.asked = (median(rate) for rate in zip(*rates, strict=True))
    return found


def interact(tab: Tab, presses: int) -> None:
    """Press keys as fast as the page follows, with a rest now and then, as a hand does."""
    for number in range(1, presses + 1):
        tab.press(limit=1, patience=0)
        if number % 10 == 0:
            tab.settle()


def growth(tab: Tab, pid: int, presses: int) -> tuple[float, float]:
    """Memory of the server before and after ``presses``."""
    tab.warm_up()
    before = memory(pid)
    interact(tab, presses)
    return before, memory(pid)


def memory(pid: int) -> float:
    """Resident memory of a process and its children, in MB, after a moment of quiet."""
    time.sleep(1)
    process = psutil.Process(pid)
    return float(sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) / 1e6)


def attempt(slug: str, measure: Callable[[], Feel]) -> Feel:
    """The outcome of ``measure``, or why there is none: one concept that fails costs its own rows alone."""
    try:
        return measure()
    except Exception as problem:
        return Feel(slug, failed=str(problem).strip().replace("\n", " "))
