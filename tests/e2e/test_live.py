"""Controls answer while they move, and the address follows when they are let go."""

import re

import pytest
from playwright.sync_api import expect

from cvviz.catalogue import entries
from cvviz.controls import Slider
from cvviz.params import controls_of
from tests.e2e.stage import (
    COUNT_CHANGES,
    grip,
    hold_and_sweep,
    movable,
    open_concept,
    settled_signature,
    signature,
    wait_for_change,
    wait_until,
)

SLUGS = [entry.slug for entry in entries()]


@pytest.mark.parametrize("slug", SLUGS)
def test_drag_moves_the_stage_and_release_writes_the_address(page, app, slug):
    open_concept(page, f"{app.url}/{slug}")
    page.evaluate(COUNT_CHANGES)
    hold_and_sweep(page, movable(page), seconds=15, until=lambda: page.evaluate("window.stageChanges") >= 3)
    assert page.evaluate("window.stageChanges") >= 3
    assert "?" not in page.url, "the address waits for the release"
    page.mouse.up()
    page.wait_for_url(re.compile(r"\?"))
    shown = settled_signature(page)
    open_concept(page, page.url)
    wait_until(page, lambda: signature(page) == shown, "the address does not restore the view")


def shows_a_slider(entry):
    concept = entry.load()
    sliders = [control for control in controls_of(concept.params).values() if isinstance(control, Slider)]
    return any(control.when is None or control.when(concept.params()) for control in sliders)


@pytest.fixture
def slider_page(page, app):
    """The first concept with a live slider among its default controls."""
    slug = next(entry.slug for entry in entries() if shows_a_slider(entry))
    open_concept(page, f"{app.url}/{slug}")
    page.locator(".live .range").first.wait_for()
    return page


def away_from_the_default(page):
    control = page.locator(".live .range").first
    control.focus()
    page.keyboard.press("End" if control.input_value() == control.get_attribute("min") else "Home")


def test_let_go_where_it_began_leaves_the_other_controls_alive(slider_page):
    page, control = slider_page, slider_page.locator(".live .range").first
    before, value, start = signature(page), control.input_value(), grip(control)
    hold_and_sweep(page, control, seconds=0.5)
    wait_for_change(page, before)
    page.mouse.move(*start)
    assert control.input_value() == value
    page.mouse.up()
    page.get_by_role("radiogroup", name="Examples").get_by_role("radio").nth(2).click()
    page.wait_for_url(re.compile(r"\?"))


def test_back_and_forward_walk_through_the_views(slider_page):
    page, start = slider_page, slider_page.url
    number = page.locator(".live .number").first
    first = number.input_value()
    away_from_the_default(page)
    page.wait_for_url(lambda url: url != start)
    second, address = number.input_value(), page.url
    assert second != first
    page.go_back()
    page.wait_for_url(start)
    expect(number).to_have_value(first)
    page.go_forward()
    page.wait_for_url(address)
    expect(number).to_have_value(second)


def test_arrow_keys_step_and_home_and_end_reach_the_limits(slider_page):
    page = slider_page
    control = page.locator(".live .range").first
    control.focus()
    for key, limit in (("Home", "min"), ("End", "max")):
        page.keyboard.press(key)
        assert control.input_value() == control.get_attribute(limit)
        page.wait_for_timeout(1200)
        expect(page.get_by_test_id("stAlert")).to_have_count(0)


def test_on_a_phone_the_stage_comes_along_while_a_slider_below_it_moves(new_page, app):
    page = new_page(390, 844, has_touch=True, is_mobile=True)
    open_concept(page, f"{app.url}/anchors")
    stage, control = page.locator(".st-key-stage"), page.locator(".live .range").last
    control.evaluate("node => node.scrollIntoView({ block: 'end' })")
    expect(stage).not_to_be_in_viewport()
    before, (x, y) = signature(page), grip(control)
    finger = page.context.new_cdp_session(page)

    def touch(kind, *places):
        points = [{"x": x, "y": y} for x in places]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", x)
    for step in range(1, 8):
        touch("touchMove", x - 8 * step)
    expect(stage).to_be_in_viewport(ratio=1)
    wait_for_change(page, before)
    assert grip(control)[1] == y, "the slider stays under the finger"
    touch("touchEnd")
    expect(stage).not_to_be_in_viewport()


def test_on_a_phone_a_slider_that_goes_while_it_plays_lets_the_stage_go(new_page, app):
    page = new_page(390, 844, has_touch=True, is_mobile=True)
    open_concept(page, f"{app.url}/classification-losses")
    play, other = (
        page.get_by_label("Play Logit z of the true class"),
        page.get_by_role("radio", name="All logits", exact=True),
    )
    page.locator(".live .range").first.evaluate("node => node.scrollIntoView({ block: 'end' })")
    play.click()
    following = page.locator(".st-key-stage[data-follows]")
    expect(following).to_have_count(1)
    other.evaluate("node => node.click()")  # it may lie under the stage now
    expect(play).to_have_count(0)
    expect(following).to_have_count(0)


def test_typed_number_counts_and_a_bad_one_is_refused_with_a_sentence(slider_page):
    page = slider_page
    number = page.locator(".live .number").first
    before = number.input_value()
    number.fill("123456789")
    number.press("Enter")
    error = page.locator(".live .error").first
    expect(error).to_contain_text("must lie between")
    expect(number).to_have_value("123456789")
    number.fill(before)
    number.press("Enter")
    expect(error).to_be_hidden()


def test_play_steps_by_itself_until_it_is_paused(slider_page):
    page = slider_page
    page.evaluate(COUNT_CHANGES)
    play = page.locator(".live .play").first
    play.click()
    page.wait_for_function("window.stageChanges >= 3", timeout=15_000)
    expect(play).to_have_attribute("aria-label", re.compile("^Pause"))
    play.click()
    expect(play).to_have_attribute("aria-label", re.compile("^Play"))
    page.wait_for_url(re.compile(r"\?"))


@pytest.mark.parametrize("slug", SLUGS)
def test_every_example_is_drawn_and_lit(page, app, slug):
    open_concept(page, f"{app.url}/{slug}")
    pills = page.get_by_role("radiogroup", name="Examples").get_by_role("radio")
    expect(pills.nth(3)).to_be_visible()
    for index in range(pills.count()):
        pills.nth(index).click()
        expect(pills.nth(index)).to_be_checked()
        expect(page.get_by_test_id("stAlert")).to_have_count(0)
        expect(
            page.locator(".st-key-numbers").get_by_text(re.compile("matches|computed|simulated|illustrative")).first
        ).to_be_visible()


def test_a_quick_hand_loses_no_click(page, app):
    """What the browser has not drawn yet, it reports as it was before: that must not undo the last click."""
    open_concept(page, f"{app.url}/classification-losses")
    pills = page.get_by_role("radiogroup", name="Examples").get_by_role("radio")
    last = pills.count() - 1
    for first in range(0, last, 4):
        pills.nth(first).click()
        page.wait_for_timeout(60)
        pills.nth(last - first).click()
        page.wait_for_timeout(1200)
        expect(pills.nth(last - first)).to_be_checked()


def test_reset_brings_the_defaults_back(slider_page):
    page, before = slider_page, signature(slider_page)
    away_from_the_default(page)
    wait_for_change(page, before)
    page.wait_for_url(re.compile(r"\?"))
    page.get_by_role("button", name="Reset", exact=True).click()
    page.wait_for_url(lambda url: "?" not in url)
    wait_until(page, lambda: signature(page) == before, "the stage is not as it was")
