"""What a test needs to know of a concept page: what its stage shows now, and what on it can be moved."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page

# Everything that answers a control, as one string: curves of a chart or pictures and shapes of scenes, and the numbers.
SIGNATURE = """() => {
  const parts = [document.querySelector(".st-key-numbers")?.innerText ?? ""]
  const stage = document.querySelector(".st-key-stage")
  if (!stage?.querySelector(".js-plotly-plot .trace path, [data-testid^=stBidi]")) return ""
  for (const path of stage.querySelectorAll(".js-plotly-plot .trace path, .js-plotly-plot .trace text"))
    parts.push(path.getAttribute("d") ?? path.textContent, path.getAttribute("transform") ?? "")
  for (const host of stage.querySelectorAll("*")) {
    const scenes = host.shadowRoot?.querySelector(".scenes")
    if (!scenes) continue
    for (const img of scenes.querySelectorAll("img")) parts.push(img.src.length, img.src.slice(-400))
    for (const layer of scenes.querySelectorAll("svg")) parts.push(layer.innerHTML)
  }
  return parts.join("|")
}"""

COUNT_CHANGES = (
    """() => {
  const signature = """
    + SIGNATURE
    + """
  let last = signature()
  window.stageChanges = 0
  const look = () => {
    const now = signature()
    if (now !== last) window.stageChanges += 1
    last = now
    window.stageWatch = requestAnimationFrame(look)
  }
  cancelAnimationFrame(window.stageWatch)
  look()
}"""
)


def signature(page: Page) -> str:
    """What the stage shows."""
    return str(page.evaluate(SIGNATURE))


def wait_for_stage(page: Page) -> None:
    """Return when the stage has been drawn and no longer changes."""
    page.wait_for_selector(".st-key-stage")
    page.wait_for_selector(".st-key-controls")
    page.wait_for_function(f"() => ({SIGNATURE})() !== ''", timeout=60_000)
    # The script that sets formulas is fetched at the first one; until it is there, its place is held.
    page.wait_for_function("() => !document.querySelector('.st-key-numbers [data-testid=stSkeleton]')", timeout=60_000)
    settled_signature(page)


def settled_signature(page: Page) -> str:
    """What the stage shows once nothing runs and it has stopped changing."""
    last, end = "", time.monotonic() + 20
    while time.monotonic() < end:
        # A drag during the very first run is answered, but its release may not reach the address.
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        now = signature(page)
        if now == last:
            break
        last = now
        page.wait_for_timeout(250)
    return last


def open_concept(page: Page, address: str) -> None:
    """Go there and wait for the stage."""
    page.goto(address)
    wait_for_stage(page)


def wait_for_change(page: Page, before: str) -> None:
    """Return when the stage differs from ``before``."""
    wait_until(page, lambda: signature(page) != before, "the stage did not change")


def wait_until(page: Page, holds: Callable[[], bool], otherwise: str, seconds: float = 10) -> None:
    """Return when ``holds`` is true. Raises AssertionError with the words of ``otherwise`` if that takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return
        page.wait_for_timeout(30)
    assert holds(), otherwise


def movable(page: Page) -> Locator:
    """What a person would drag first: a live slider's range, or a box on the stage."""
    sliders = page.locator(".live .range")
    return sliders.first if sliders.count() else page.locator(".box .body").last


def grip(target: Locator) -> tuple[float, float]:
    """Where a hand takes hold of ``target``: a slider's thumb, or the middle of a box."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    assert box
    if is_slider(target):
        share = target.evaluate("node => (node.value - node.min) / (node.max - node.min)")
        return box["x"] + 9 + (box["width"] - 18) * share, box["y"] + box["height"] / 2
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def is_slider(target: Locator) -> bool:
    """Whether ``target`` is a live slider's range."""
    return "range" in (target.get_attribute("class") or "")


def hold_and_sweep(page: Page, target: Locator, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Press on ``target``, move to and fro, and come to rest away from where it began; the button stays down.

    For at most ``seconds``, and no longer than until ``until`` is true, which is looked at every tenth step.
    """
    start, middle = grip(target)
    box = target.bounding_box()
    assert box
    page.mouse.move(start, middle)
    page.mouse.down()
    reach, center = 40.0, start
    if is_slider(target):
        reach = min(box["width"] * 0.3, 120)
        center = min(max(start, box["x"] + reach + 9), box["x"] + box["width"] - reach - 9)
    end, step = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        phase = (step % 60) / 30
        page.mouse.move(center + reach * (phase if phase < 1 else 2 - phase), middle)
        page.wait_for_timeout(16)
        step += 1
        if step % 10 == 0 and until():
            break
    page.mouse.move(max(center - reach, center + reach, key=lambda place: abs(place - start)), middle)


def drag_by_finger(page: Page, places: list[tuple[float, float]]) -> None:
    """Touch the first place, move through the others and let go. Raises AssertionError if the browser took the touch
    for scrolling.
    """
    page.evaluate("window.lostTouch = 0; document.addEventListener('pointercancel', () => { window.lostTouch += 1 })")
    client = page.context.new_cdp_session(page)
    kinds = ["touchStart", *["touchMove"] * (len(places) - 1)]
    for kind, (x, y) in zip(kinds, places, strict=True):
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        page.wait_for_timeout(100)
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.evaluate("window.lostTouch") == 0, "the browser scrolled instead"
