"""The catalogue of a folder of ``.md`` files. What the files of the app must hold is the business of the contract."""

import sys
from types import SimpleNamespace

import pytest
import yaml

from cvviz import catalogue
from cvviz.catalogue import SECTIONS, Question, Source

META = {
    "title": "Box overlap",
    "summary": "What two boxes share.",
    "icon": ":material/crop:",
    "order": 10,
    "tags": ["iou", "boxes"],
    "related": ["nms"],
    "questions": [{"q": "What is it?\n", "a": "A ratio of $\\cap$ to $\\cup$.\n"}],
    "references": [{"text": "Anybody, Anything, 2020", "url": "https://example.org/"}],
}
FIRST, SECOND, *_, LAST = SECTIONS


@pytest.fixture
def concepts(tmp_path, monkeypatch):
    """An empty folder of concepts, in the place of the app's own."""
    monkeypatch.setattr(catalogue, "CONCEPTS", tmp_path)
    catalogue.entries.cache_clear()
    yield tmp_path
    catalogue.entries.cache_clear()


def write(folder, place, body="## The idea\n", **changes):
    """A concept's words in ``folder``; a field that is None is left out."""
    path = folder / f"{place}.md"
    path.parent.mkdir(exist_ok=True)
    meta = {name: value for name, value in (META | changes).items() if value is not None}
    path.write_text(f"---\n{yaml.safe_dump(meta, allow_unicode=True)}---\n{body}", encoding="utf-8")
    return path


def slugs(entries):
    return [entry.slug for entry in entries]


class TestRead:
    def test_every_field(self, tmp_path):
        entry = catalogue.read(write(tmp_path, "detection/box_overlap", body="## The idea\nγ, × and $x^2$.\n"))
        assert (entry.slug, entry.section, entry.order, entry.path) == ("box-overlap", "detection", 10, None)
        assert (entry.title, entry.summary, entry.icon) == ("Box overlap", "What two boxes share.", ":material/crop:")
        assert (entry.tags, entry.related) == (("iou", "boxes"), ("nms",))
        assert entry.questions == (Question("What is it?", "A ratio of $\\cap$ to $\\cup$."),)
        assert entry.references == (Source("Anybody, Anything, 2020", "https://example.org/"),)
        assert entry.theory == "## The idea\nγ, × and $x^2$."

    @pytest.mark.parametrize("body", ["$$a\nb$$", "$$\na\nb$$", "$$a\nb\n$$", "$$\na\nb\n$$"])
    def test_formulas_stand_on_lines_of_their_own(self, tmp_path, body):
        # Anything after an opening $$ would be dropped, and a $$ after other words would not close.
        entry = catalogue.read(write(tmp_path, "detection/box_overlap", body=f"With $x$:\n\n{body}\n\n$$c$$\n\nso.\n"))
        assert entry.theory == "With $x$:\n\n$$\na\nb\n$$\n\n$$\nc\n$$\n\nso."

    def test_places_beside_the_words(self, tmp_path):
        entry = catalogue.read(write(tmp_path, "detection/box_overlap"))
        assert entry.module == "cvviz.concepts.detection.box_overlap"
        assert entry.card == catalogue.CONCEPTS / "detection" / "box_overlap.svg"

    @pytest.mark.parametrize("name", META)
    def test_missing_field(self, tmp_path, name):
        with pytest.raises(KeyError, match=f"^'{name}'$"):
            catalogue.read(write(tmp_path, "detection/box_overlap", **{name: None}))

    @pytest.mark.parametrize("name", ["questions", "references"])
    def test_half_a_question_or_reference(self, tmp_path, name):
        with pytest.raises(KeyError):
            catalogue.read(write(tmp_path, "detection/box_overlap", **{name: [{"q": "Why?", "text": "Anybody"}]}))

    def test_unknown_section(self, tmp_path):
        with pytest.raises(ValueError, match=r"box_overlap\.md: unknown section cooking\.$"):
            catalogue.read(write(tmp_path, "cooking/box_overlap"))


class TestClaims:
    def test_lie_beside_the_concept(self, concepts, monkeypatch):
        place = f"{FIRST}/two_words"
        write(concepts, place)
        (concepts / f"{place}_claims.py").touch()
        module = SimpleNamespace(CLAIMS=("a claim",))
        monkeypatch.setitem(sys.modules, f"cvviz.concepts.{FIRST}.two_words_claims", module)
        assert catalogue.entry("two-words").claims() == ("a claim",)

    def test_none(self, concepts):
        write(concepts, f"{FIRST}/two_words")
        assert catalogue.entry("two-words").claims() == ()


class TestOrder:
    def test_by_section_then_number_then_name(self, concepts):
        for place, order in ((f"{LAST}/a", 10), (f"{SECOND}/late", 20), (f"{SECOND}/z", 10), (f"{SECOND}/y", 10)):
            write(concepts, place, order=order)
        write(concepts, f"{FIRST}/last", order=990)
        assert slugs(catalogue.entries()) == ["last", "y", "z", "late", "a"]

    def test_sections_without_a_concept_are_left_out(self, concepts):
        write(concepts, f"{LAST}/a")
        write(concepts, f"{FIRST}/b")
        assert {title: slugs(group) for title, group in catalogue.by_section().items()} == {
            SECTIONS[FIRST]: ["b"],
            SECTIONS[LAST]: ["a"],
        }

    def test_some_of_the_concepts(self, concepts):
        write(concepts, f"{FIRST}/a")
        write(concepts, f"{SECOND}/b")
        chosen = [catalogue.entry("b")]
        assert catalogue.by_section(chosen) == {SECTIONS[SECOND]: chosen}
        assert catalogue.by_section([]) == {}

    def test_path_for_a_newcomer_crosses_sections(self, concepts):
        write(concepts, f"{FIRST}/a", path=3)
        write(concepts, f"{SECOND}/b", path=1)
        write(concepts, f"{SECOND}/c")
        write(concepts, f"{LAST}/d", path=2)
        assert slugs(catalogue.suggested_path()) == ["b", "d", "a"]

    def test_nothing_yet(self, concepts):
        assert catalogue.entries() == ()
        assert catalogue.by_section() == {}
        assert catalogue.suggested_path() == []


class TestFind:
    def test_entry(self, concepts):
        write(concepts, f"{FIRST}/two_words", title="Two words")
        assert catalogue.entry("two-words").title == "Two words"
        with pytest.raises(KeyError):
            catalogue.entry("two_words")

    def test_neighbours_cross_sections_and_stop_at_the_ends(self, concepts):
        for place in (f"{FIRST}/a", f"{SECOND}/b", f"{LAST}/c"):
            write(concepts, place)
        a, b, c = catalogue.entries()
        assert catalogue.neighbours("a") == (None, b)
        assert catalogue.neighbours("b") == (a, c)
        assert catalogue.neighbours("c") == (b, None)

    def test_neighbours_of_the_only_one(self, concepts):
        write(concepts, f"{FIRST}/a")
        assert catalogue.neighbours("a") == (None, None)

    def test_neighbours_of_what_does_not_exist(self, concepts):
        write(concepts, f"{FIRST}/a")
        with pytest.raises(ValueError, match="nobody"):
            catalogue.neighbours("nobody")


def test_path_of_the_app_has_no_number_twice():
    numbers = [entry.path for entry in catalogue.suggested_path()]
    assert len(set(numbers)) == len(numbers)
