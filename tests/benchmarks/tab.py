"""A browser tab on the app or on the bare page, and the one control in it that is moved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Locator, Page

PROBE = Path(__file__).with_name("probe.js")
# In order of preference: a slider of the app, a box on its stage, the slider of the bare page.
CONTROLS = {
    "slider": ".st-key-workbench .live .range",
    "box": ".st-key-stage .box",
    "bare": "[data-testid=stSlider] input[type=range]",
}
# Up and down.
ARROWS, PAGES = ("ArrowRight", "ArrowLeft"), ("PageUp", "PageDown")
THROWN_AWAY = 4  # presses before the first that counts
STRETCH = 20  # presses after which a box turns round, so that it never reaches the edge
SWEEP = 0.32  # seconds that a drag takes from one end to the other
TICK = 0.016  # seconds between two moves of the pointer
AMPLITUDE = 0.6  # share of the way that a drag covers


class Tab:
    """A page in a browser context of its own, with the probe in it."""

    def __init__(self, page: Page, url: str, rest: float) -> None:
        """``rest``: seconds after a paint until everything that a key press causes is over."""
        self.page = page
        self.url = url
        self.rest = rest
        self.kind = ""
        self.keys = ARROWS
        self._up = True
        self._stretch = 0

    def open(self, path: str = "", shows: str = "") -> float:
        """Go to a page; time of the epoch, in seconds, at which it showed ``shows``, a selector, or else its stage."""
        self.page.goto(f"{self.url}/{path}", wait_until="commit")
        milliseconds: float = self.page.evaluate("shows => bench.painted(shows)", shows)
        return milliseconds / 1000

    def take_control(self) -> bool:
        """Choose the control to move; False if the page has none."""
        for kind in CONTROLS:
            self.kind = kind
            if self.control().count():
                return True
        return False

    def control(self) -> Locator:
        """The control. Of boxes the topmost one, which no other covers."""
        found = self.page.locator(CONTROLS[self.kind]).locator("visible=true")
        return found.last if self.kind == "box" else found.first

    def press(self, limit: float = 3, patience: float = 0.6) -> tuple[Literal["stage", "words", "nothing"], float]:
        """Press an arrow key: what it changed within ``limit`` seconds, and the ms from the key to the first paint.

        Args:
            patience: seconds that the picture may come after the words, which are the answer if it does not.
        """
        self.control().focus()
        way = self.page.evaluate("bench.way()")
        self._up = way > 0 if way else self._up
        self.page.evaluate("waits => bench.arm(waits)", {"limit": 1000 * limit, "patience": 1000 * patience})
        self.page.keyboard.press(self.keys[0 if self._up else 1])
        outcome = self.page.evaluate("bench.outcome()")
        self._stretch += 1
        if self.kind == "box" and (outcome["by"] == "nothing" or self._stretch >= STRETCH):
            self._up, self._stretch = not self._up, 0
        return outcome["by"], outcome["ms"]

    def warm_up(self) -> None:
        """Presses that do not count. Where the steps of the arrow keys are too fine to be seen, take larger ones."""
        self.keys = ARROWS
        seen = self._rehearse()
        if self.kind == "slider" and seen < THROWN_AWAY / 2:
            self.keys = PAGES
            self.keys = PAGES if self._rehearse() > seen else ARROWS

    def _rehearse(self) -> int:
        # How many of a few presses change the stage.
        seen = 0
        for _ in range(THROWN_AWAY):
            seen += self.press()[0] == "stage"
            self.settle()
        return seen

    def settle(self) -> None:
        """Wait until the last input is over for the page and for the server."""
        self.page.wait_for_timeout(1000 * self.rest)
        self.page.wait_for_function("bench.idle()", timeout=20_000)

    def drag(self, seconds: float = 2) -> tuple[float, float, float]:
        """Move the control to and fro with the mouse: stages painted, answers, values asked for, each per second."""
        middle, y, reach = self._span()
        mouse = self.page.mouse
        mouse.move(middle, y)
        mouse.down()
        self.page.evaluate("bench.count()")
        start = time.perf_counter()
        while (gone := time.perf_counter() - start) < seconds:
            mouse.move(middle + reach * triangle(gone / SWEEP), y)
            time.sleep(max(0, TICK - (time.perf_counter() - start - gone)))
        updates, answers, asked = self.page.evaluate("bench.counted()")
        mouse.up()
        return updates, answers, asked

    def _span(self) -> tuple[float, float, float]:
        # Middle of the way of the pointer, its height, and how far it goes to either side.
        self.control().scroll_into_view_if_needed()
        if self.kind == "slider":
            track = self.control().bounding_box()
            assert track
            return track["x"] + track["width"] / 2, track["y"] + track["height"] / 2, AMPLITUDE * track["width"] / 2
        box = self.control().locator(".body").bounding_box()
        frame = self.control().locator("xpath=../..").bounding_box()
        assert box
        assert frame
        room = min(box["x"] - frame["x"], frame["x"] + frame["width"] - box["x"] - box["width"])
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, AMPLITUDE * room


def triangle(sweeps: float) -> float:
    """Place of a pointer, -1 to 1, that starts in the middle and goes from end to end in one sweep."""
    return 4 * abs((sweeps / 2 + 0.75) % 1 - 0.5) - 1


@contextmanager
def fresh_tab(browser: Browser, url: str, rest: float = 0) -> Iterator[Tab]:
    """A tab that knows nothing: no cache, no cookies."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(path=PROBE)
    try:
        yield Tab(context.new_page(), url, rest)
    finally:
        context.close()
