"""A window follows the pointer and the keys; the output clicked on goes into the address."""

import re

import pytest
from playwright.sync_api import expect

from cvviz.catalogue import entries
from cvviz.figures.window import Window
from tests.e2e.stage import open_concept


def with_window():
    for entry in entries():
        concept = entry.load()
        params = concept.params()
        window = concept.stage(params, concept.compute(params))
        if isinstance(window, Window):
            yield pytest.param(entry.slug, window, id=entry.slug)


def spot(layer, row, column, rows, columns):
    """Where on the page a cell's middle is."""
    box = layer.bounding_box()
    return box["x"] + box["width"] * (column + 0.5) / columns, box["y"] + box["height"] * (row + 0.5) / rows


@pytest.mark.parametrize(("slug", "window"), list(with_window()))
class TestWindow:
    def test_output_under_the_pointer_tells_its_sum_and_a_click_keeps_it(self, page, app, slug, window):
        open_concept(page, f"{app.url}/{slug}")
        target = page.locator(".marks").nth(len(window.sources))
        text = page.locator(".sum")
        first = text.inner_text()
        rows, columns = window.outputs.shape[1:]
        page.mouse.move(*spot(target, 1, 0, rows, columns))
        expect(text).to_contain_text("(1, 0)")
        number = f"{float(window.outputs[0, 1, 0]):.4g}".replace("-", "−")
        expect(text).to_contain_text(re.compile(re.escape(f"= {number}") + "$"))
        assert "?" not in page.url, "pointing leaves the address alone"
        page.mouse.move(5, 5)
        expect(text).to_have_text(first)
        page.mouse.click(*spot(target, 1, 0, rows, columns))
        page.wait_for_url(re.compile(rf"{window.field}=1(%2C|,)0"))
        page.mouse.move(5, 5)
        expect(text).to_contain_text("(1, 0)")

    def test_input_under_the_pointer_tells_who_reads_it(self, page, app, slug, window):
        open_concept(page, f"{app.url}/{slug}")
        source, (_, rows, columns) = page.locator(".marks").first, window.values.shape
        row, column = rows // 2, columns // 2
        readers = [
            sum(line.count(place) for line in (read.source for read in reads))
            for reads, place in ((window.rows, row), (window.columns, column))
        ]
        page.mouse.move(*spot(source, row, column, rows, columns))
        count = readers[0] * readers[1]
        expect(page.locator(".sum")).to_contain_text(f"read by {count or 'no'} output")

    def test_keys_step_and_play(self, page, app, slug, window):
        open_concept(page, f"{app.url}/{slug}")
        row, column = window.at
        rows, columns = window.outputs.shape[1:]
        page.locator(".marks").nth(len(window.sources)).focus()
        page.keyboard.press("ArrowUp" if row else "ArrowDown")
        row += -1 if row else 1
        page.wait_for_url(re.compile(rf"{window.field}={row}(%2C|,){column}"))
        page.get_by_label("Step forward").click()
        place = min(row * columns + column + 1, rows * columns - 1)
        expect(page.locator(".sum")).to_contain_text(f"({place // columns}, {place % columns})")
        before = page.locator(".sum").inner_text()
        page.get_by_label("Play", exact=True).click()
        expect(page.locator(".sum")).not_to_have_text(before)
        page.get_by_label("Pause", exact=True).click()
        shown = page.locator(".sum").inner_text()
        row, column = re.search(r"\((\d+), (\d+)\)", shown).groups()
        page.wait_for_url(re.compile(rf"{window.field}={row}(%2C|,){column}"))
        page.reload()
        expect(page.locator(".sum")).to_have_text(shown)
