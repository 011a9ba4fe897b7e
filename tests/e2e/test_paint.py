"""Masks on the stage are painted and erased by the mouse, a finger and the keyboard, and cleared."""

import pytest

from cvviz.catalogue import entries
from cvviz.controls import Mask
from cvviz.params import controls_of
from tests.e2e.stage import drag_by_finger, open_concept, settled_signature, wait_until


def with_masks():
    for entry in entries():
        for name, control in controls_of(entry.load().params).items():
            if isinstance(control, Mask):
                yield pytest.param(entry.slug, name, control, id=entry.slug)


def numbers(page):
    """What Python says of the mask: nothing that the brush draws by itself."""
    return page.locator(".st-key-numbers").inner_text()


def wait_for_numbers(page, changed):
    """Return once ``changed`` holds of the numbers."""
    wait_until(page, lambda: changed(numbers(page)), "the numbers did not follow")


def painted(page, field, control):
    """The mask that the address holds, or None."""
    text = page.evaluate("name => new URLSearchParams(location.search).get(name)", field)
    return None if text is None else control.decode(text)


def wait_for_mask(page, field, control, before=None):
    """The mask in the address, once it is there and differs from ``before``."""
    wait_until(page, lambda: painted(page, field, control) not in (None, before), "no new mask in the address")
    return painted(page, field, control)


def spot(page, control, column, row):
    """Middle of a cell on the screen."""
    box = page.locator(".paint .ground").bounding_box()
    return (
        box["x"] + box["width"] * (column + 0.5) / control.width,
        box["y"] + box["height"] * (row + 0.5) / control.height,
    )


def clear(page, field, control):
    page.locator(".tools .clear").click()
    mask = wait_for_mask(page, field, control)
    assert not any(mask)
    return mask


def cells(mask, control):
    return {(index % control.width, index // control.width) for index, cell in enumerate(mask) if cell}


@pytest.mark.parametrize(("slug", "field", "control"), list(with_masks()))
class TestPaint:
    def test_mouse_paints_while_the_stage_answers(self, page, app, slug, field, control):
        open_concept(page, f"{app.url}/{slug}")
        before = numbers(page)
        page.mouse.move(*spot(page, control, 1, 1))
        page.mouse.down()
        page.mouse.move(*spot(page, control, control.width - 2, 1), steps=6)
        wait_for_numbers(page, lambda now: now != before)
        assert painted(page, field, control) is None, "the address waits for the release"
        page.mouse.up()
        mask = wait_for_mask(page, field, control)
        stroke = {(column, row) for column in range(control.width) for row in range(3)}
        assert stroke <= cells(mask, control), "a fast stroke leaves no gaps"

    def test_right_button_erases(self, page, app, slug, field, control):
        open_concept(page, f"{app.url}/{slug}")
        empty = clear(page, field, control)
        page.mouse.click(*spot(page, control, 5, 5))
        dab = wait_for_mask(page, field, control, empty)
        assert len(cells(dab, control)) == 9
        page.mouse.click(*spot(page, control, 4, 5), button="right")
        left = cells(wait_for_mask(page, field, control, dab), control)
        assert left == {(6, 4), (6, 5), (6, 6)}

    def test_tools(self, page, app, slug, field, control):
        open_concept(page, f"{app.url}/{slug}")
        empty = clear(page, field, control)
        page.get_by_role("button", name="1 wide").click()
        page.mouse.click(*spot(page, control, 7, 9))
        one = wait_for_mask(page, field, control, empty)
        assert cells(one, control) == {(7, 9)}
        page.get_by_role("button", name="Eraser").click()
        page.mouse.click(*spot(page, control, 7, 9))
        assert not any(wait_for_mask(page, field, control, one))

    def test_keyboard(self, page, app, slug, field, control):
        open_concept(page, f"{app.url}/{slug}")
        empty = clear(page, field, control)
        page.get_by_role("button", name="1 wide").click()
        page.locator(".paint").focus()
        column, row = control.width // 2, control.height // 2
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Alt+ArrowLeft")
        page.keyboard.press(" ")
        one = wait_for_mask(page, field, control, empty)
        assert cells(one, control) == {(column - 4, row - 1)}
        page.keyboard.press("Shift+ArrowRight")
        two = wait_for_mask(page, field, control, one)
        assert cells(two, control) == {(column - 4, row - 1), (column - 3, row - 1)}
        assert f"Row {row}, column {column - 2} is painted" in page.locator(".paint").get_attribute("aria-label")

    def test_finger_paints_and_does_not_scroll(self, new_page, app, slug, field, control):
        page = new_page(390, 844, has_touch=True, is_mobile=True)
        open_concept(page, f"{app.url}/{slug}")
        page.locator(".paint .ground").scroll_into_view_if_needed()
        drag_by_finger(page, [spot(page, control, 3, row) for row in (3, 8, 13, 18)])
        mask = wait_for_mask(page, field, control)
        assert {(3, row) for row in range(3, 19)} <= cells(mask, control)

    def test_what_is_painted_can_be_discarded_and_travels_in_a_link(self, page, app, slug, field, control):
        open_concept(page, f"{app.url}/{slug}")
        before = numbers(page)
        page.mouse.click(*spot(page, control, 2, 2))
        mask = wait_for_mask(page, field, control)
        wait_for_numbers(page, lambda now: now != before)
        settled_signature(page)
        shown = numbers(page)
        open_concept(page, page.url)
        assert painted(page, field, control) == mask
        wait_for_numbers(page, lambda now: now == shown)
        page.get_by_role("button", name="Discard what is painted").click()
        page.wait_for_function("name => !location.search.includes(name)", arg=f"{field}=")
        wait_for_numbers(page, lambda now: now == before)
