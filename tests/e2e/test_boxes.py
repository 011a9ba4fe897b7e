"""Boxes on the stage are dragged by the mouse and moved by the keyboard."""

import pytest
from playwright.sync_api import expect

from cvviz.catalogue import entries
from cvviz.controls import Boxes
from cvviz.params import controls_of
from tests.e2e.stage import drag_by_finger, open_concept, settled_signature, signature, wait_for_change, wait_until


def with_boxes():
    for entry in entries():
        for name, control in controls_of(entry.load().params).items():
            if isinstance(control, Boxes):
                yield pytest.param(entry.slug, name, id=entry.slug)


def place(page):
    body = page.locator(".box .body").last
    return [float(body.get_attribute(name)) for name in ("x", "y", "width", "height")]


@pytest.mark.parametrize(("slug", "field"), list(with_boxes()))
class TestBoxes:
    def test_mouse_moves_and_a_corner_resizes(self, page, app, slug, field):
        open_concept(page, f"{app.url}/{slug}")
        x, y, width, height = place(page)
        before = signature(page)
        body = page.locator(".box .body").last.bounding_box()
        page.mouse.move(body["x"] + body["width"] / 2, body["y"] + body["height"] * 0.7)
        page.mouse.down()
        page.mouse.move(body["x"] + body["width"] / 2 - 30, body["y"] + body["height"] * 0.7 - 20, steps=5)
        wait_for_change(page, before)
        assert f"{field}=" not in page.url
        page.mouse.up()
        page.wait_for_function("name => location.search.includes(name)", arg=f"{field}=")
        moved = place(page)
        assert moved[0] < x
        assert moved[1] < y
        assert moved[2:] == [width, height], "moving keeps the size"
        corner = page.locator(".box").last.locator(".corner").nth(2).bounding_box()
        page.mouse.move(corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2)
        page.mouse.down()
        page.mouse.move(corner["x"] - 15, corner["y"] - 10, steps=5)
        page.mouse.up()
        settled_signature(page)
        resized = place(page)
        assert resized[:2] == moved[:2], "the opposite corner stays"
        assert resized[2] < width
        assert resized[3] < height

    def test_keyboard_moves_and_resizes(self, page, app, slug, field):
        open_concept(page, f"{app.url}/{slug}")
        x, y, width, height = place(page)
        page.locator(".box").last.focus()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Alt+ArrowUp")
        page.keyboard.press("Shift+ArrowLeft")
        page.wait_for_function("name => location.search.includes(name)", arg=f"{field}=")
        wait_until(page, lambda: place(page) == [x - 1, y - 10, width - 1, height], "the box is not where it was sent")

    def test_boxes_cannot_leave_the_picture(self, page, app, slug, field):
        open_concept(page, f"{app.url}/{slug}")
        body = page.locator(".box .body").last.bounding_box()
        page.mouse.move(body["x"] + body["width"] / 2, body["y"] + body["height"] * 0.7)
        page.mouse.down()
        page.mouse.move(5, 5, steps=8)
        page.mouse.up()
        page.wait_for_function("name => location.search.includes(name)", arg=f"{field}=")
        wait_until(page, lambda: place(page)[:2] == [0, 0], "the box is not in the corner")
        expect(page.get_by_test_id("stAlert")).to_have_count(0)

    def test_finger_moves(self, new_page, app, slug, field):
        page = new_page(390, 844, has_touch=True, is_mobile=True)
        open_concept(page, f"{app.url}/{slug}")
        x, y, *size = place(page)
        body = page.locator(".box .body").last
        body.scroll_into_view_if_needed()
        box = body.bounding_box()
        left, top = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.6
        drag_by_finger(page, [(left - 5 * step, top - 4 * step) for step in range(4)])
        page.wait_for_function("name => location.search.includes(name)", arg=f"{field}=")
        moved = place(page)
        assert moved[0] < x or moved[1] < y
        assert moved[2:] == size
