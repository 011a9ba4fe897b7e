"""Search, uploads, present mode, phone width and accessibility."""

import io
import re

import numpy as np
import PIL.Image
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from cvviz.catalogue import entries, neighbours
from cvviz.controls import Image
from cvviz.params import controls_of
from tests.e2e.stage import open_concept, signature, wait_for_change

SLUGS = [entry.slug for entry in entries()]
# Rules that Streamlit's own markup breaks: the sidebar's list of pages holds its groups in <div>s.
STREAMLIT = {"list": "stSidebarNav", "listitem": "stSidebarNav"}


def takes_pictures():
    for entry in entries():
        if any(isinstance(control, Image) and control.main for control in controls_of(entry.load().params).values()):
            yield entry.slug


def photo() -> bytes:
    rows = np.linspace(0, 255, 200, dtype=np.uint8)
    pixels = np.stack([np.tile(rows, (160, 1)), np.full((160, 200), 90, np.uint8), np.tile(rows[::-1], (160, 1))], -1)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def upload(page, name, data):
    page.get_by_role("button", name="Your picture").first.click()
    page.locator("input[type=file]").first.set_input_files({"name": name, "mimeType": "image/png", "buffer": data})


class TestUploads:
    def test_a_picture_chosen_once_is_there_on_the_other_pages(self, page, app):
        first, second = list(takes_pictures())[:2]
        open_concept(page, f"{app.url}/{first}")
        before = signature(page)
        upload(page, "holiday.png", photo())
        wait_for_change(page, before)
        choice = page.locator(".st-key-controls input[role=combobox][value='Yours: holiday.png']")
        expect(choice).to_have_count(1)
        page.keyboard.press("Escape")
        title = next(entry.title for entry in entries() if entry.slug == second)
        page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
        expect(page.locator("h1")).to_have_text(title)
        expect(choice).to_have_count(1)
        assert "mine" in page.url or "image" not in page.url

    def test_a_bad_file_gets_a_sentence_and_nothing_is_lost(self, page, app):
        open_concept(page, f"{app.url}/{next(takes_pictures())}")
        before = signature(page)
        upload(page, "holiday.png", photo()[:100])
        alert = page.get_by_test_id("stAlert").first
        expect(alert).to_be_visible()
        assert re.fullmatch(r"[^\n]+\.", alert.inner_text().strip().split("\n")[-1])
        assert signature(page) == before


class TestSearch:
    def test_opens_a_concept_from_the_keyboard(self, page, app):
        page.goto(app.url)
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator(".search input")).to_be_visible()
        goal = entries()[-1]
        page.keyboard.press("/")
        page.keyboard.type(goal.title.lower())
        expect(page.locator(".search li").first).to_contain_text(goal.title)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text(goal.title)
        assert page.url.endswith(f"/{goal.slug}")

    @pytest.mark.parametrize("part", ["tags", "questions"])
    def test_finds_by_tag_and_by_the_words_of_a_question(self, page, app, part):
        goal = entries()[0]
        words = goal.tags[0] if part == "tags" else goal.questions[0].question
        page.goto(app.url)
        page.locator(".search input").fill(words)
        expect(page.locator(".search li strong").filter(has_text=re.compile(f"^{goal.title}$"))).to_have_count(1)

    def test_says_when_nothing_is_found(self, page, app):
        page.goto(app.url)
        page.locator(".search input").fill("zzzz")
        expect(page.locator(".search [role=status]")).to_contain_text("Nothing found")


class TestPresentMode:
    def test_hides_the_sidebar_enlarges_the_type_and_turns_pages_by_arrow_keys(self, page, app):
        entry = entries()[0]
        _, after = neighbours(entry.slug)
        open_concept(page, f"{app.url}/{entry.slug}")
        size = page.locator("h1").evaluate("node => parseFloat(getComputedStyle(node).fontSize)")
        page.get_by_role("button", name="Present").click()
        page.wait_for_url(re.compile("present=true"))
        expect(page.get_by_test_id("stSidebar")).to_be_hidden()
        page.wait_for_function(
            "size => parseFloat(getComputedStyle(document.querySelector('h1')).fontSize) > size", arg=size
        )
        page.locator("h1").click()
        page.keyboard.press("ArrowRight")
        expect(page.locator("h1")).to_have_text(after.title)
        assert "present=true" in page.url
        expect(page.get_by_test_id("stSidebar")).to_be_hidden()
        page.get_by_role("button", name="Leave").click()
        expect(page.get_by_test_id("stSidebar")).to_be_visible()

    def test_answers_are_hidden_until_asked(self, page, app):
        entry = entries()[0]
        open_concept(page, f"{app.url}/{entry.slug}?present=true")
        page.get_by_role("tab", name=re.compile("Questions")).click()
        question = page.get_by_text(entry.questions[0].question).first
        expect(question).to_be_visible()
        answer = page.locator(".st-key-reading details").first
        assert answer.get_attribute("open") is None


def test_the_stage_stays_in_view_down_to_the_last_control(page, app):
    open_concept(page, f"{app.url}/segmentation-losses")  # of all pages, the one with the most controls
    controls, stage = page.locator(".st-key-controls"), page.locator(".st-key-stage")
    last = page.get_by_role("button", name="Reset", exact=True)
    assert controls.bounding_box()["height"] > 1200
    box = controls.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, 600)
    page.mouse.wheel(0, 3000)
    page.wait_for_timeout(500)
    low = last.bounding_box()
    page.get_by_test_id("stMain").evaluate("(node, by) => node.scrollBy(0, by)", low["y"] + low["height"] - 890)
    expect(last).to_be_in_viewport(ratio=1)
    box = stage.bounding_box()
    assert box["y"] > 0
    assert box["y"] + box["height"] < 900


@pytest.mark.parametrize("slug", ["", *SLUGS])
class TestEveryPage:
    def test_fits_a_phone_with_the_stage_first(self, new_page, app, slug):
        page = new_page(390, 844, has_touch=True, is_mobile=True)
        if not slug:
            page.goto(app.url)
            expect(page.locator("h1")).to_be_visible()
            page.wait_for_timeout(1000)
        else:
            open_concept(page, f"{app.url}/{slug}")
            tops = [page.locator(f".st-key-{name}").bounding_box()["y"] for name in ("stage", "controls", "numbers")]
            assert tops == sorted(tops)
        main = page.get_by_test_id("stMain")
        assert main.evaluate("node => node.scrollWidth - node.clientWidth") <= 1

    def test_breaks_no_accessibility_rule(self, new_page, app, slug):
        page = new_page(color_scheme="light")
        if slug:
            open_concept(page, f"{app.url}/{slug}")
        else:
            page.goto(app.url)
            expect(page.locator("h1")).to_be_visible()
            page.wait_for_timeout(1000)
        assert violations(page) == []
        ink = page.locator("h1").evaluate("node => getComputedStyle(node).color")
        page.emulate_media(color_scheme="dark")
        expect(page.locator("h1")).not_to_have_css("color", ink)
        assert violations(page, runOnly=["color-contrast"]) == []  # nothing else depends on the scheme
        page.emulate_media(color_scheme="light")


def violations(page, **options):
    """What axe finds, less what Streamlit's own markup does."""
    return [
        (violation["id"], node["html"][:200], node["failureSummary"])
        for violation in Axe().run(page, options=options or None).response["violations"]
        for node in violation["nodes"]
        if violation["id"] not in STREAMLIT or not inside(page, node["target"][0], STREAMLIT[violation["id"]])
    ]


def inside(page, selector, test_id):
    return page.evaluate(
        "([selector, id]) => Boolean(document.querySelector(selector)?.closest(`[data-testid^=${id}]`))",
        [selector, test_id],
    )
