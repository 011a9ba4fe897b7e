"""Every concept of the catalogue keeps the contract of ``cvviz.concept``. Nothing here names a concept."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

from cvviz.catalogue import CONCEPTS, Entry, entries, entry
from cvviz.concept import VERDICTS, Concept, largest_difference
from cvviz.figures.scene import Scene
from cvviz.figures.window import Window
from cvviz.params import controls_of, from_query, limit_cases, to_query
from cvviz.snippets import snippet

ENTRIES = entries()
SLUGS = [item.slug for item in ENTRIES]
HEADINGS = ["The idea", "The formula", "Where it fails", "In practice"]


def load(slug: str) -> Concept:
    return entry(slug).load()


def preset_cases():
    for item in ENTRIES:
        for name, preset in item.load().presets.items():
            yield pytest.param(item.slug, preset.params, id=f"{item.slug}-{name}")


def all_cases():
    yield from preset_cases()
    for item in ENTRIES:
        for name, params in limit_cases(item.load().params):
            yield pytest.param(item.slug, params, id=f"{item.slug}-{name}")


def stage_parts(stage):
    if isinstance(stage, Window):
        return stage.scenes()
    return list(stage) if isinstance(stage, (tuple, list)) else [stage]


def assert_alike(actual, expected):
    assert type(actual) is type(expected)
    if isinstance(actual, torch.Tensor):
        assert largest_difference(actual.double(), expected.double()) == 0


@pytest.mark.parametrize(("slug", "params"), list(all_cases()))
class TestEveryCase:
    def test_numbers_stage_and_words(self, slug, params):
        concept = load(slug)
        for control in controls_of(concept.params).values():
            assert control.when is None or control.when(params) in (True, False)
        result = concept.compute(params)
        check = concept.check(params, result)
        assert check.status == ("matches" if concept.reference else concept.kind), check
        for part in stage_parts(concept.stage(params, result)):
            if isinstance(part, Scene):
                ElementTree.fromstring(part.svg())
                assert part.pixels is None or part.pixels.dtype == torch.uint8
            else:
                assert isinstance(part, go.Figure)
                go.Figure(part.to_dict())  # raises where plotly knows no such property or value
                assert part.layout.xaxis.title.text
                assert part.layout.yaxis.title.text
        words = concept.describe(params, result)
        assert 20 < len(words) < 500
        assert "nan" not in words.lower().split()
        if concept.formula:
            formula = concept.formula(params, result)
            assert formula.count("$$") % 2 == 0
        table = concept.table(params, result)
        assert isinstance(table, pd.DataFrame)
        assert len(table.columns) > 0


@pytest.mark.parametrize(("slug", "params"), list(all_cases()))
def test_code_on_the_screen_gives_the_number_on_the_screen(slug, params):
    concept = load(slug)
    if concept.reference is None:
        pytest.skip("no reference")
    if any(getattr(getattr(params, name), "own", False) for name in controls_of(concept.params)):
        pytest.skip("an upload has no file here")
    result = concept.compute(params)
    source = snippet(concept, params, result)
    assert "cvviz" not in source
    space: dict[str, object] = {}
    exec(compile(source, f"<{slug}>", "exec"), space)
    assert largest_difference(concept.checked(result), space["result"]) <= concept.tolerance


@pytest.mark.parametrize("slug", SLUGS)
def test_code_runs_as_a_script(slug, tmp_path):
    concept = load(slug)
    if concept.reference is None:
        pytest.skip("no reference")
    params = concept.params()
    script = tmp_path / "snippet.py"
    script.write_text(snippet(concept, params, concept.compute(params)), encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "tensor" in done.stdout


@pytest.mark.parametrize("slug", SLUGS)
def test_compute_is_seeded_and_leaves_the_global_generator_alone(slug):
    concept = load(slug)
    for preset in concept.presets.values():
        state = torch.random.get_rng_state()
        first, second = concept.compute(preset.params), concept.compute(preset.params)
        assert torch.equal(state, torch.random.get_rng_state())
        if concept.checked:
            assert_alike(concept.checked(first), concept.checked(second))


@pytest.mark.parametrize(("slug", "params"), list(all_cases()))
def test_link_brings_back_the_view(slug, params):
    shareable = {name for name, control in controls_of(type(params)).items() if control.in_url}
    back, notes = from_query(type(params)(), to_query(params))
    assert notes == []
    for name in shareable:
        value, restored = getattr(params, name), getattr(back, name)
        assert restored == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value)


@pytest.mark.parametrize("slug", SLUGS)
def test_unreadable_link_falls_back_with_a_note(slug):
    default = load(slug).params()
    for name, control in controls_of(type(default)).items():
        if control.in_url:
            params, notes = from_query(default, {name: "\x00nonsense,,"})
            assert params == default, name
            assert len(notes) == 1, name


@pytest.mark.parametrize("slug", SLUGS)
class TestWords:
    def test_presets(self, slug):
        presets = load(slug).presets
        assert len(presets) >= 4
        first = next(iter(presets.values()))
        assert first.params == load(slug).params(), "the page opens on its first example"
        assert any(preset.failure for preset in presets.values())
        assert all(preset.look.endswith(".") for preset in presets.values())
        assert len({preset.params for preset in presets.values()}) == len(presets)

    def test_theory_has_the_headings(self, slug):
        assert re.findall(r"^## (.+)$", entry(slug).theory, re.MULTILINE) == HEADINGS

    def test_front_matter(self, slug):
        item = entry(slug)
        assert item.summary.endswith(".")
        assert len(item.summary) <= 140
        assert len(item.questions) >= 4
        assert all(len(question.answer) > 60 for question in item.questions)
        assert item.references
        assert all(source.url.startswith("https://") for source in item.references)
        assert set(item.related).isdisjoint({slug})

    def test_card(self, slug):
        text = entry(slug).card.read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        assert root.get("viewBox") == "0 0 160 100"
        assert not re.search(r"<(script|style|text)|on\w+=|href=\"http", text)


def claim_cases():
    for item in ENTRIES:
        for claim in item.claims():
            yield pytest.param(item, claim, id=f"{item.slug}-{claim.text[:40]}")


@pytest.mark.parametrize(("item", "claim"), list(claim_cases()))
def test_claim_is_borne_out_by_its_measurement(item: Entry, claim):
    assert claim.verdict in VERDICTS
    evidence = claim.check()
    assert evidence.confirms, evidence.text
    assert re.search(r"\d", evidence.text), "evidence gives a number"
    assert not claim.preset or claim.preset in item.load().presets


def test_catalogue_and_modules_are_twins():
    modules = {path.stem.removesuffix("_claims") for path in CONCEPTS.glob("*/*.py")} - {"__init__"}
    assert modules == {path.stem for path in CONCEPTS.glob("*/*.md")}
    assert len(set(SLUGS)) == len(SLUGS)


def test_slug_of_module_and_entry_agree():
    for item in ENTRIES:
        assert item.load().slug == item.slug
