"""Points on a plot are dragged by the mouse and moved by the keyboard; double click and Delete add and remove."""

import re

import pytest

from cvviz.catalogue import entries, entry
from cvviz.controls import Points
from cvviz.params import controls_of
from tests.e2e.stage import drag_by_finger, open_concept, settled_signature, signature, wait_for_change, wait_until


def with_points():
    for item in entries():
        for name, control in controls_of(item.load().params).items():
            if isinstance(control, Points):
                yield pytest.param(item.slug, name, control, id=item.slug)


def places(page):
    return [
        (float(dot.get_attribute("cx")), float(dot.get_attribute("cy"))) for dot in page.locator(".dot .point").all()
    ]


def middle(locator):
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag_first(page, across, down):
    """Take hold of the first point and move until the stage answers; the button stays down."""
    before = signature(page)
    x, y = middle(page.locator(".dot .reach").first)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across, y + down, steps=5)
    wait_for_change(page, before)


@pytest.mark.parametrize(("slug", "field", "control"), list(with_points()))
class TestPoints:
    def test_drag(self, page, app, slug, field, control):
        open_concept(page, f"{app.url}/{slug}")
        first = places(page)
        drag_first(page, 30, -25)
        assert f"{field}=" not in page.url
        page.mouse.up()
        page.wait_for_function("name => location.search.includes(name)", arg=f"{field}=")
        moved = places(page)
        assert moved[0] != first[0]
        assert moved[1:] == first[1:]

    def test_finger(self, new_page, app, slug, field, control):
        page = new_page(390, 844, has_touch=True, is_mobile=True)
        open_concept(page, f"{app.url}/{slug}")
        first = places(page)
        reach = page.locator(".dot .reach").first
        reach.scroll_into_view_if_needed()
        x, y = middle(reach)
        drag_by_finger(page, [(x + 6 * step, y - 6 * step) for step in range(4)])
        page.wait_for_function("name => location.search.includes(name)", arg=f"{field}=")
        moved = places(page)
        assert moved[0] != first[0]
        assert moved[1:] == first[1:]

    def test_keyboard(self, page, app, slug, field, control):
        open_concept(page, f"{app.url}/{slug}")
        first = places(page)
        page.locator(".dot").first.focus()
        page.keyboard.press("Alt+ArrowUp")
        page.wait_for_function("name => location.search.includes(name)", arg=f"{field}=")
        settled_signature(page)
        moved = places(page)
        assert moved[0][0] == first[0][0]
        assert moved[0][1] < first[0][1], "up is up"

    def test_letters(self, page, app, slug, field, control):
        concept = entry(slug).load()
        handles = concept.stage(concept.params(), concept.compute(concept.params())).points
        if not handles.labels:
            pytest.skip("the points have no letters")
        open_concept(page, f"{app.url}/{slug}")
        assert tuple(page.locator(".dot .letter").all_text_contents()) == handles.labels
        assert page.locator(".dot").first.get_attribute("aria-label").startswith(f"Point {handles.labels[0]} at")

    def test_add_and_remove(self, page, app, slug, field, control):
        if control.least == control.most:
            pytest.skip("the points are only moved")
        open_concept(page, f"{app.url}/{slug}")
        count = len(places(page))
        box = page.locator(".editor.open").first.bounding_box()
        page.mouse.dblclick(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.12)
        page.wait_for_function("name => location.search.includes(name)", arg=f"{field}=")
        wait_until(page, lambda: len(places(page)) == count + 1, "no point was added")
        settled_signature(page)
        page.locator(".dot").last.focus()
        page.keyboard.press("Delete")
        wait_until(page, lambda: len(places(page)) == count, "the point was not removed")


class TestHeights:
    ADDRESS = "classification-losses?view=logits"

    def test_drag_goes_up_and_down_alone(self, page, app):
        open_concept(page, f"{app.url}/{self.ADDRESS}")
        first = places(page)
        drag_first(page, 40, -60)
        page.mouse.up()
        page.wait_for_url(re.compile("logits=[0-9.]+(%20|\\+)2"))
        moved = places(page)
        assert moved[0][0] == first[0][0]
        assert moved[0][1] < first[0][1]
        assert moved[1:] == first[1:]

    def test_keyboard(self, page, app):
        open_concept(page, f"{app.url}/{self.ADDRESS}")
        first = places(page)
        page.locator(".dot").nth(1).focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Alt+ArrowDown")
        page.wait_for_url(re.compile("logits="))
        settled_signature(page)
        moved = places(page)
        assert moved[1][0] == first[1][0]
        assert moved[1][1] > first[1][1], "down is down"
