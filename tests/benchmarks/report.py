"""The table, and what it says of each target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

from tests.benchmarks.measures import Feel

MOST_RATIO = 2.5  # median key press to paint, to the bare page's
MOST_GROWTH = 3.0  # percent of the server's memory
MOST_HOME_RATIO = 1.3  # cold start to the home page, to the bare page's
LEAST_UPDATES = 8.0  # of the stage per second while a control is dragged


@dataclass(frozen=True)
class Memory:
    """Memory of both servers in MB; of a pair, the app's comes first."""

    home: tuple[float, float]
    pages: float
    before: tuple[float, float]
    after: tuple[float, float]
    presses: int
    slug: str

    def growth(self) -> tuple[float, float]:
        """Percent by which the presses made them grow."""
        app, bare = (100 * (after / before - 1) for before, after in zip(self.before, self.after, strict=True))
        return app, bare


@dataclass(frozen=True)
class Row:
    """One figure of the app and of the bare page; ``bare`` is None where it has no such thing."""

    name: str
    app: float
    bare: float | None = None
    digits: int = 0
    note: str = ""
    compared: bool = True

    def cells(self) -> tuple[str, str, str, str, str]:
        """As text."""
        bare = "-" if self.bare is None else f"{self.bare:.{self.digits}f}"
        ratio = f"{self.app / self.bare:.2f}" if self.bare and self.compared else "-"
        return self.name, f"{self.app:.{self.digits}f}", bare, ratio, self.note


def cold_rows(cold: Mapping[str, float], slug: str, rounds: int) -> list[Row]:
    """Cold starts."""
    note = f"median of {rounds}" if rounds > 1 else "once"
    return [
        Row("cold start to home painted, s", cold["home"], cold["bare"], 2, note),
        Row("cold start to a concept painted, s", cold["concept"], cold["bare"], 2, f"{note}, {slug}"),
    ]


def feel_rows(found: Feel) -> list[Row]:
    """Key presses and drag of one concept."""
    if found.failed:
        return [Row(f"{found.slug}: key press to paint p50, ms", float("nan"), None, note=found.failed)]
    app, bare = found.app, found.bare
    notes = [f"{found.control}, {len(app.times) + app.missed} presses, {app.missed} changed nothing"]
    notes += [f"{app.words} in the words alone"] if app.words else []
    notes += [f"{bare.missed} missed on the bare page"] if bare.missed else []
    drag = f"{found.asked:.0f} values per second asked for"
    if found.rare():
        drag += f"; answers, of which {found.updates:.1f} changed the stage"
    return [
        Row(f"{found.slug}: key press to paint p50, ms", app.p50(), bare.p50(), note="; ".join(notes)),
        Row(f"{found.slug}: key press to paint p95, ms", app.p95(), bare.p95()),
        Row(f"{found.slug}: stage updates per second of a drag", found.rate(), None, 1, drag),
    ]


def memory_rows(memory: Memory) -> list[Row]:
    """Memory of the servers."""
    note = f"{memory.slug}; {memory.presses} key presses"
    return [
        Row("server memory after home, MB", *memory.home),
        Row("server memory after every page, MB", memory.pages, memory.home[1]),
        Row("server memory before the key presses, MB", *memory.before, note="after all of the above"),
        Row("server memory after the key presses, MB", *memory.after, note=note),
        Row("growth over the key presses, %", *memory.growth(), digits=1, compared=False),
    ]


def table(rows: Sequence[Row]) -> str:
    """Rows in columns: figure, app, bare page, ratio, note."""
    lines = [("", "app", "bare", "ratio", ""), *(row.cells() for row in rows)]
    wide = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        f"{name:<{wide[0]}}  {app:>{wide[1]}}  {bare:>{wide[2]}}  {ratio:>{wide[3]}}  {note}".rstrip()
        for name, app, bare, ratio, note in lines
    )


def verdicts(cold: Mapping[str, float], feels: Sequence[Feel], memory: Memory | None) -> list[str]:
    """One line per target."""
    ratios = {found.slug: found.app.p50() / found.bare.p50() for found in feels}
    updates = {found.slug: found.rate() for found in feels}
    home = cold["home"] / cold["bare"]
    # What could not be measured is the worst of all.
    slow = max(ratios, key=lambda slug: (isnan(ratios[slug]), ratios[slug]))
    slack = min(updates, key=lambda slug: (not isnan(updates[slug]), updates[slug]))
    grown = memory.growth()[0] if memory else float("nan")
    over = f" over {memory.presses} key presses" if memory else ""
    return [
        verdict("key press to paint, p50", ratios[slow], MOST_RATIO, f"x the bare page's, worst: {slow}"),
        verdict("stage updates per second", updates[slack], LEAST_UPDATES, f", worst: {slack}", most=False),
        verdict("cold start to home", home, MOST_HOME_RATIO, "x the bare page's"),
        verdict("server memory growth", grown, MOST_GROWTH, f" %{over}"),
    ]


def verdict(name: str, value: float, target: float, words: str, *, most: bool = True) -> str:
    """Whether a target is met, and by what."""
    met = value <= target if most else value >= target  # never so for NaN
    found = "not measured" if isnan(value) else f"{value:.2f}"
    return f"{'met' if met else 'missed':<6}  {name} {'<=' if most else '>='} {target:g}: {found}{words}"
