"""Lines that tell how far a training is."""

from __future__ import annotations

import time
from collections.abc import Callable

Report = Callable[[str], None]


class Progress:
    """Reports the mean loss since the last line, and the time left, about every ``interval`` seconds.

    Args:
        steps: how many there will be.
        report: takes a line of text.
        interval: s.
    """

    def __init__(self, steps: int, report: Report, *, interval: float = 10.0) -> None:
        self._steps, self._report, self._interval = steps, report, interval
        self._start = self._last = time.monotonic()
        self._losses: list[float] = []

    def step(self, done: int, loss: float) -> None:
        """Tell that ``done`` steps are done, the last one with this loss."""
        self._losses.append(loss)
        now = time.monotonic()
        if now - self._last >= self._interval or done in (1, self._steps):
            left = (now - self._start) / done * (self._steps - done) / 60
            mean = sum(self._losses) / len(self._losses)
            self._report(f"step {done} of {self._steps}, loss {mean:.3f}, {left:.1f} minutes left")
            self._last, self._losses = now, []
