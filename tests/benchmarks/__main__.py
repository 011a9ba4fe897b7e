"""Measures the app and a bare Streamlit page side by side and prints one table. It measures; it gates nothing."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from playwright.sync_api import Browser, Error, sync_playwright

from cvviz.catalogue import entries
from tests.benchmarks.measures import APP, BARE, Feel, attempt, cold_starts, feel, growth, memory
from tests.benchmarks.report import Memory, cold_rows, feel_rows, memory_rows, table, verdicts
from tests.benchmarks.tab import Tab, fresh_tab
from tests.e2e import chromium
from tests.e2e.server import serve

# Seconds after a paint until a press is over. A slider of the app says its last word 250 ms after the last key.
REST, BARE_REST = 0.45, 0.1
START = time.perf_counter()
BROWSER_OPTIONS = ["--no-sandbox", "--disable-background-networking"]


@dataclass(frozen=True)
class Amounts:
    """How often each thing is done."""

    cold: int
    presses: int
    drags: int
    memory: int


FULL = Amounts(cold=3, presses=25, drags=3, memory=300)
QUICK = Amounts(cold=1, presses=8, drags=1, memory=60)


def main() -> None:
    """Measure and print."""
    slugs, amounts = arguments()
    executable = chromium.find()
    if executable is None:
        sys.exit(chromium.MISSING)
    load = os.getloadavg()[0]
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=executable, args=BROWSER_OPTIONS)
        tell("cold starts")
        cold = cold_starts(browser, slugs[0], amounts.cold, Path(folder))
        feels, used = warm(browser, slugs, amounts, Path(folder))
        browser.close()
    rows = cold_rows(cold, slugs[0], amounts.cold) + [row for found in feels for row in feel_rows(found)]
    print(f"{os.cpu_count()} cores, load average {load:.1f} before and {os.getloadavg()[0]:.1f} after", end="\n\n")
    print(table(rows + (memory_rows(used) if used else [])), end="\n\n")
    print("\n".join(verdicts(cold, feels, used)))


def arguments() -> tuple[list[str], Amounts]:
    """What the command line asks for."""
    known = [entry.slug for entry in entries()]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--concepts", help="slugs, with commas between them; default: all", metavar="A,B")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a first impression")
    options = parser.parse_args()
    slugs = options.concepts.split(",") if options.concepts else known
    if unknown := set(slugs) - set(known):
        parser.error(f"no such concept: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return slugs, QUICK if options.quick else FULL


@dataclass(frozen=True)
class Bench:
    """Two servers that stay up, and a tab on each."""

    app: Tab
    bare: Tab
    app_pid: int
    bare_pid: int
    amounts: Amounts

    def opened(self) -> tuple[float, float, float]:
        """Memory of the app with its home page open, of the bare page, and of the app after a visit to every page."""
        self.bare.open()
        self.bare.take_control()
        self.app.open(shows="h1")
        home, bare = memory(self.app_pid), memory(self.bare_pid)
        for entry in entries():
            with suppress(Error):  # a page that does not come says so when it is measured
                self.app.open(entry.slug, "h1")
                self.app.settle()
        return home, bare, memory(self.app_pid)

    def feels(self, slugs: Sequence[str]) -> list[Feel]:
        """How each concept answers the hand."""
        found = []
        for slug in slugs:
            tell(slug)
            measure = partial(feel, self.app, self.bare, slug, self.amounts.presses, self.amounts.drags)
            found.append(attempt(slug, measure))
        return found

    def growths(self, slug: str) -> list[tuple[float, float]]:
        """Memory before and after many key presses on a concept, and on the bare page."""
        self.app.open(slug)
        self.app.settle()
        self.app.take_control()
        presses = self.amounts.memory
        return [growth(self.app, self.app_pid, presses), growth(self.bare, self.bare_pid, presses)]


@contextmanager
def benching(browser: Browser, amounts: Amounts, folder: Path) -> Iterator[Bench]:
    """Both servers, started, and a tab on each."""
    with ExitStack() as stack:
        servers = [stack.enter_context(serve(script, folder / f"{script.stem}.log")) for script in (APP, BARE)]
        rests = REST, BARE_REST
        tabs = [
            stack.enter_context(fresh_tab(browser, server.url, rest))
            for server, rest in zip(servers, rests, strict=True)
        ]
        yield Bench(tabs[0], tabs[1], servers[0].pid, servers[1].pid, amounts)


def warm(browser: Browser, slugs: Sequence[str], amounts: Amounts, folder: Path) -> tuple[list[Feel], Memory | None]:
    """Everything that is measured on servers that stay up; no memory if no concept could be moved."""
    with benching(browser, amounts, folder) as bench:
        tell("every page")
        home, bare, pages = bench.opened()
        feels = bench.feels(slugs)
        moved = next((found.slug for found in feels if not found.failed), None)
        if moved is None:
            return feels, None
        tell("memory")
        before, after = zip(*bench.growths(moved), strict=True)
        return feels, Memory((home, bare), pages, before, after, amounts.memory, moved)


def tell(what: str) -> None:
    """Say on stderr what is being measured, and at which second of the run."""
    print(f"{time.perf_counter() - START:4.0f} s  {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
