"""The site as a script of Streamlit's, page by page. Nothing here names a concept.

Streamlit's own test runner draws no v2 component, so that sliders, handles, search and arrow keys are left to the
browser tests.
"""

import io
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest
from streamlit.testing.v1 import AppTest

from cvviz.catalogue import Entry, entries, neighbours, suggested_path
from cvviz.concept import Claim, Evidence
from cvviz.controls import Boxes, Image, Ints, LayerStack
from cvviz.params import controls_of, to_query
from cvviz.snippets import snippet
from cvviz.ui import reading, workbench

ROOT = Path(__file__).parents[2]
ENTRIES = entries()
EVERY = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.slug)
BADGES = {verdict: f":{color}-badge[{icon} {verdict}]" for verdict, (icon, color) in reading.MARKS.items()}


def open_home(**query):
    app = AppTest.from_file(str(ROOT / "cvviz" / "ui" / "site.py"), default_timeout=120)
    app.query_params.update(query)
    return app.run()


def turn_to(app, entry, **query):
    app.query_params.clear()
    app.query_params.update(query)
    return app.switch_page(str(ROOT / "pages" / entry.section / f"{entry.slug.replace('-', '_')}.py")).run()


def open_page(entry, **query):
    # A page can be found by its address only after a run, in which the navigation is made.
    return turn_to(open_home(), entry, **query)


def params_on(app, entry):
    return app.session_state[f"view:{entry.slug}"].params


def texts(elements):
    return [element.value for element in elements]


def linked(app):
    """Slugs that the page links to, in order; the navigation is not among them."""
    return [link.proto.page for link in app.page_link]


def examples(app):
    """The pills; their key changes whenever something else has changed what is lit."""
    return next(group for group in app.button_group if "/preset" in (group.key or ""))


def labelled(buttons, label):
    (button,) = (button for button in buttons if button.label == label)
    return button


def assert_sound(app):
    """Neither an uncaught exception nor one of our own error messages is on the screen."""
    assert texts(app.exception) == []
    assert texts(app.error) == []


def with_control(kind, **attributes):
    """Concepts that show a control of that kind at their defaults, and the name of its field."""
    for entry in ENTRIES:
        params = entry.load().params
        for name, control in controls_of(params).items():
            shown = control.when is None or control.when(params())
            if (
                shown
                and isinstance(control, kind)
                and all(getattr(control, key) == attributes[key] for key in attributes)
            ):
                yield entry, name
                break


def assert_born_with_their_values(app):
    """For a moment a browser reports a new widget's default: it must be what the widget shows."""
    for widget in [*app.text_input, *app.text_area, *app.toggle]:
        assert widget.proto.default == widget.value, widget.key
    for widget in app.selectbox:
        assert widget.proto.default == widget.index, widget.key
    for widget in app.button_group:
        values = widget.value if isinstance(widget.value, list) else [widget.value] if widget.value else []
        defaults = [widget.proto.options[index].content for index in widget.proto.default]  # an icon stands apart
        assert len(values) == len(defaults), widget.key
        assert all(widget.format_func(value).endswith(text) for value, text in zip(values, defaults, strict=True))


@pytest.fixture
def alter():
    """Sets fields of a concept, which is frozen, for the length of a test."""
    kept = []

    def set_fields(concept, **values):
        for name, value in values.items():
            kept.append((concept, name, getattr(concept, name)))
            object.__setattr__(concept, name, value)

    yield set_fields
    for concept, name, value in reversed(kept):
        object.__setattr__(concept, name, value)


def failing(error):
    def fail(*_):
        raise error

    return fail


class TestHome:
    def test_a_card_for_every_concept(self):
        app = open_home()
        assert_sound(app)
        cards = [link for link in app.page_link if link.label.startswith("**")]
        assert [(card.proto.page, card.label) for card in cards] == [
            (entry.slug, f"**{entry.title}**") for entry in ENTRIES
        ]
        assert {entry.summary for entry in ENTRIES} <= set(texts(app.caption))

    def test_path_to_begin_with(self):
        path = [link.label for link in open_home().page_link if not link.label.startswith("**")]
        assert path == [f"{number}. {entry.title}" for number, entry in enumerate(suggested_path(), start=1)]

    def test_from_home_to_a_concept(self):
        app = turn_to(open_home(), ENTRIES[0])
        assert_sound(app)
        assert texts(app.title) == [ENTRIES[0].title]


@EVERY
class TestEveryConcept:
    def test_page(self, entry):
        app = open_page(entry)
        assert_sound(app)
        assert texts(app.warning) == []
        assert texts(app.title) == [entry.title]
        assert app.query_params == {}
        concept = entry.load()
        badge = f"matches {concept.against}, " if concept.reference else concept.kind
        assert any("-badge[" in text and badge in text for text in texts(app.markdown))
        assert linked(app) == [neighbour.slug for neighbour in neighbours(entry.slug) if neighbour]

    @pytest.mark.slow
    def test_presets_with_their_code(self, entry):
        concept = entry.load()
        app = open_page(entry)
        app.session_state[f"{entry.slug}/code"] = True
        for name, preset in concept.presets.items():
            examples(app).select(name).run()
            assert_sound(app)
            assert params_on(app, entry) == preset.params, name
            assert app.query_params == to_query(preset.params), name
            assert preset.look in texts(app.caption), name
            files = {"Data (.csv)", "Figure (.html)"}
            if concept.reference:
                files.add("Code (.py)")
                source = snippet(concept, preset.params, concept.compute(preset.params)).strip()
                assert source in texts(app.code), name
            assert files <= {button.label for button in app.download_button}, "a page may add its own"

    def test_files(self, entry):
        concept = entry.load()
        params = concept.params()
        result = concept.compute(params)
        table = concept.table(params, result)
        header, *rows = workbench.to_csv(concept, params, result).splitlines()
        assert header.count(",") >= len(table.columns) - 1
        assert len(rows) >= len(table)
        html = workbench.to_html(entry.slug, concept.stage(params, result))
        assert "<svg" in html or "plotly" in html

    def test_tabs(self, entry):
        claims = entry.claims()
        app = open_page(entry)
        names = [tab.label for tab in app.tabs]
        assert names == ["Theory", f"Questions ({len(entry.questions)})", f"Claims ({len(claims)})", "References"]
        assert entry.theory.strip() in texts(app.markdown)

        def turn_to_tab(name):
            app.session_state[f"{entry.slug}/reading"] = name
            assert_sound(app.run())

        turn_to_tab(names[1])
        panels = [panel.label for panel in app.expander if panel.label != "Code and data"]
        assert panels == [question.question for question in entry.questions]
        assert {question.answer for question in entry.questions} <= set(texts(app.markdown))

        turn_to_tab(names[2])
        shown = texts(app.markdown)
        assert [text for text in shown if text in BADGES.values()] == [BADGES[claim.verdict] for claim in claims]
        assert all(f"“{claim.text}”" in shown and claim.correction in shown for claim in claims)
        assert sum("Measured: " in text for text in texts(app.caption)) == len(claims)

        turn_to_tab(names[3])
        related = [slug for slug in entry.related if slug in {item.slug for item in ENTRIES}]
        assert linked(app)[: len(related)] == related
        assert all(f"[{source.text}]({source.url})" in "".join(texts(app.markdown)) for source in entry.references)

    def test_link_and_reset(self, entry):
        concept = entry.load()
        query = max((to_query(preset.params) for preset in concept.presets.values()), key=len)
        app = open_page(entry, **query)
        assert_sound(app)
        assert texts(app.warning) == []
        assert to_query(params_on(app, entry)) == app.query_params == query
        assert_born_with_their_values(app)
        app.button(key=f"{entry.slug}/reset").click().run()
        assert_sound(app)
        assert params_on(app, entry) == concept.params()
        assert app.query_params == {}

    def test_link_with_a_mistake(self, entry):
        defaults = entry.load().params()
        name = next(name for name, control in controls_of(type(defaults)).items() if control.in_url)
        app = open_page(entry, **{name: "nonsense,,"})
        assert_sound(app)
        (note,) = texts(app.warning)
        assert note.endswith("The link's value was left out.")
        assert params_on(app, entry) == defaults
        assert app.query_params == {}

    def test_failure_is_told_and_leads_back(self, entry, alter, caplog):
        concept = entry.load()
        compute, defaults = concept.compute, concept.params()
        preset = next(preset for preset in concept.presets.values() if preset.params != defaults)

        def fails_off_the_defaults(params):
            if params != defaults:
                raise RuntimeError("the bottom of it")
            return compute(params)

        alter(concept, compute=fails_off_the_defaults)
        app = open_page(entry, **to_query(preset.params))
        assert texts(app.exception) == []
        (message,) = texts(app.error)
        assert message.startswith("This view could not be drawn at these settings.")
        assert "the bottom of it" not in message
        assert list(app.table[0].value["Control"]) == [
            control.label for control in controls_of(type(defaults)).values()
        ]
        (record,) = (record for record in caplog.records if record.name == "cvviz.ui.workbench")
        assert "the bottom of it" in str(record.exc_info[1])
        assert entry.slug in record.getMessage()
        app.button(key=f"{entry.slug}/reset-failed").click().run()
        assert_sound(app)
        assert params_on(app, entry) == defaults


class TestTrouble:
    """What one page does not do to the others."""

    def test_the_rest_of_the_app_works_when_a_concept_fails(self, alter):
        broken, other = ENTRIES[:2]
        alter(broken.load(), compute=failing(RuntimeError("the bottom of it")))
        app = open_page(broken)
        assert len(app.error) == 1
        assert [tab.label for tab in app.tabs]  # its words are still there
        turn_to(app, other)
        assert_sound(app)
        assert texts(app.title) == [other.title]

    def test_settings_without_a_result_are_told_in_the_concepts_own_words(self, alter, caplog):
        entry = ENTRIES[0]
        alter(entry.load(), compute=failing(ValueError("The kernel is larger than the picture.")))
        app = open_page(entry)
        assert_sound(app)
        assert texts(app.warning) == ["The kernel is larger than the picture."]
        assert app.button(key=f"{entry.slug}/reset")
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    def test_a_page_that_cannot_start_leaves_the_navigation(self, monkeypatch, caplog):
        with monkeypatch.context() as patch:
            patch.setattr(workbench, "draw_page", failing(ImportError("no module named torch")))
            app = open_page(ENTRIES[0])
            assert texts(app.exception) == []
            (message,) = texts(app.error)
            assert message.startswith("This page could not be shown.")
            assert "no module named torch" in caplog.text
        assert_sound(turn_to(app, ENTRIES[1]))

    def test_a_reference_that_differs_or_fails_turns_the_badge_red(self, alter):
        entry = next(entry for entry in ENTRIES if entry.load().reference)
        concept = entry.load()
        checked = concept.checked
        alter(concept, checked=lambda result: checked(result) + 0.5)
        badges = [text for text in texts(open_page(entry).markdown) if text.startswith(":red-badge[")]
        assert len(badges) == 1
        assert f"differs from {concept.against}: max |Δ| 0.5" in badges[0]
        alter(concept, checked=failing(RuntimeError("no such operator")))
        badges = [text for text in texts(open_page(entry).markdown) if text.startswith(":red-badge[")]
        assert len(badges) == 1
        assert f"{concept.against} could not be run at these settings" in badges[0]

    def test_a_claim_that_its_measurement_contradicts_or_that_cannot_be_measured(self, monkeypatch):
        claim = Claim("Water is dry.", "wrong", "It is wet.", lambda: Evidence(False, "0 of 7"))
        unmeasured = replace(claim, check=failing(RuntimeError("no such operator")))
        measured = Claim("Ice floats.", "true", "It does.", lambda: Evidence(True, "9 of 9"))
        monkeypatch.setattr(Entry, "claims", lambda _: (claim, unmeasured, measured))
        reading.measure.clear()  # what was measured is kept by place
        try:
            app = open_page(ENTRIES[0])
            app.session_state[f"{ENTRIES[0].slug}/reading"] = "Claims (3)"
            app.run()
        finally:
            reading.measure.clear()
        assert texts(app.exception) == []
        assert texts(app.error) == ["The measurement does not bear this verdict out: 0 of 7"]
        assert any("The measurement could not be made" in text for text in texts(app.caption))
        assert any(text.endswith("Measured: 9 of 9") for text in texts(app.caption))


class TestWidgets:
    def test_text_that_cannot_be_read_stays_as_typed_under_a_sentence(self):
        entry, name = next(with_control((LayerStack, Ints, Boxes)))
        key, defaults = f"{entry.slug}/{name}", entry.load().params()
        app = open_page(entry)
        app.text_input(key=key).input("nonsense").run()
        (sentence,) = texts(app.error)
        assert sentence.endswith(".")
        assert app.text_input(key=key).value == "nonsense"
        assert params_on(app, entry) == defaults
        control = controls_of(type(defaults))[name]
        limit = control.limits(getattr(defaults, name))[0]
        app.text_input(key=key).input(control.encode(limit)).run()
        assert_sound(app)
        assert getattr(params_on(app, entry), name) == limit
        assert app.query_params == to_query(replace(defaults, **{name: limit}))

    def test_show_me_turns_the_page_to_the_claims_preset(self):
        entry, number, claim = next(
            (entry, number, claim)
            for entry in ENTRIES
            for number, claim in enumerate(entry.claims())
            if claim.preset and entry.load().presets[claim.preset].params != entry.load().params()
        )
        concept = entry.load()
        app = open_page(entry)
        app.session_state[f"{entry.slug}/reading"] = f"Claims ({len(entry.claims())})"
        app.run()
        app.button(key=f"{entry.slug}/claim-{number}").click().run()
        assert_sound(app)
        assert params_on(app, entry) == concept.presets[claim.preset].params
        assert examples(app).value == claim.preset

    def test_coming_back_finds_the_page_as_it_was_left(self):
        entry, other = ENTRIES[:2]
        preset = next(preset for preset in entry.load().presets.values() if to_query(preset.params))
        app = open_page(entry, **to_query(preset.params))
        turn_to(app, other)
        turn_to(app, entry)
        assert_sound(app)
        assert to_query(params_on(app, entry)) == app.query_params == to_query(preset.params)


def test_settings_without_a_result_say_why_and_keep_the_last_view():
    entry = next(item for item in entries() if item.slug == "convolution")
    app = open_page(entry, kernel="Gabor", dilation="3")  # spans 19 pixels of 12
    assert_sound(app)
    (sentence,) = texts(app.warning)
    assert sentence.startswith("The kernel spans 19 × 19 pixels and the padded input has 12 × 12: take a smaller")
    assert sentence.endswith("Below is the last view that worked.")
    assert any("matches NumPy" in text for text in texts(app.markdown))
    assert params_on(app, entry).dilation == 3, "what was set is kept"


class TestOwnPicture:
    @pytest.fixture
    def pages(self):
        """Two pages that take the visitor's picture, each with the name of its field."""
        found = list(with_control(Image, main=True))
        assert len(found) >= 2
        return found[:2]

    def upload(self, app, entry, name, data):
        app.file_uploader(key=f"{entry.slug}/{name}/upload").upload("me.png", data).run()

    def test_chosen_once_it_is_there_on_every_page(self, pages):
        (entry, name), (other, other_name) = pages
        buffer = io.BytesIO()
        PIL.Image.new("RGB", (40, 30), (200, 30, 30)).save(buffer, "png")
        app = open_page(entry)
        self.upload(app, entry, name, buffer.getvalue())
        assert_sound(app)
        picture = getattr(params_on(app, entry), name)
        assert picture.pixels.shape == (3, 30, 40)
        assert any("Your picture stays in this session" in text for text in texts(app.caption))
        turn_to(app.run(), other)  # the run before was of a fragment, which makes no navigation
        assert_sound(app)
        assert texts(app.warning) == []
        assert getattr(params_on(app, other), other_name) is picture

    def test_what_is_no_picture_is_refused_with_a_sentence(self, pages):
        (entry, name), _ = pages
        app = open_page(entry)
        self.upload(app, entry, name, b"not a picture")
        assert texts(app.exception) == []
        (sentence,) = texts(app.error)
        assert "me.png" in sentence
        assert params_on(app, entry) == entry.load().params()


class TestPresentMode:
    def test_has_a_way_out_and_nothing_beside_the_page(self):
        app = open_page(ENTRIES[0], present="true")
        assert_sound(app)
        assert len(app.sidebar) == 0
        labelled(app.button, "Leave").click().run()
        assert_sound(app)
        assert "present" not in app.query_params
        assert labelled(app.button, "Present")
        assert len(app.sidebar) > 0

    def test_is_entered_by_its_button(self):
        app = open_page(ENTRIES[0])
        labelled(app.button, "Present").click().run()
        assert_sound(app)
        assert app.query_params == {"present": "true"}
        assert labelled(app.button, "Leave")

    def test_lasts_while_settings_change_and_pages_turn(self):
        entry = ENTRIES[0]
        name, preset = next(item for item in entry.load().presets.items() if to_query(item[1].params))
        app = open_page(entry, present="true")
        assert {link.proto.query_string for link in app.page_link} == {"present=true"}
        examples(app).select(name).run()
        assert app.query_params == {"present": "true"} | to_query(preset.params)

    def test_home(self):
        assert_sound(open_home(present="true"))
