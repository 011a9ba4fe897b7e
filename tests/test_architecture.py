"""The house rules that a machine can read: who imports whom, how long files are, what never reaches a page."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cvviz.catalogue import CONCEPTS

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("cvviz", "pages") for path in (ROOT / folder).rglob("*.py"))
# Layer -> what it may import of ours, besides itself.
ARROWS = {
    "cvviz/ops": set(),
    "cvviz/data": {"cvviz/ops"},
    "cvviz/controls": {"cvviz/ops", "cvviz/data"},
    "cvviz/figures": {"cvviz/ops"},
    "cvviz/zoo": {"cvviz/ops", "cvviz/data"},
    "cvviz/concepts": {"cvviz/ops", "cvviz/data", "cvviz/figures", "cvviz/zoo", "cvviz/controls", "cvviz"},
    "cvviz": {"cvviz/ops", "cvviz/data", "cvviz/figures", "cvviz/controls"},
    "cvviz/ui": {"cvviz/figures", "cvviz/data", "cvviz/controls", "cvviz"},
    "pages": {"cvviz/ui", "cvviz/concepts", "cvviz/figures", "cvviz/zoo", "cvviz"},
}


def layer_of(path: str) -> str:
    parts = path.split("/")
    return "pages" if parts[0] == "pages" else "/".join(parts[:2]) if len(parts) > 2 else "cvviz"


def layer_of_module(module: str) -> str:
    path = module.replace(".", "/")
    return layer_of(path + "/__init__.py" if (ROOT / path).is_dir() else path + ".py")


def imported(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if (ROOT / name.replace(".", "/")).is_dir() else node.module for name in inner)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
class TestEveryFile:
    def test_imports_go_down(self, path):
        layer = layer_of(str(path.relative_to(ROOT)))
        allowed = ARROWS[layer] | {layer}
        ours = {layer_of_module(name) for name in imported(path) if name.split(".")[0] in ("cvviz", "pages")}
        assert ours <= allowed, f"{layer} imports {ours - allowed}"

    def test_streamlit_stays_in_the_ui(self, path):
        if layer_of(str(path.relative_to(ROOT))) not in ("cvviz/ui", "pages"):
            assert not [name for name in imported(path) if name.split(".")[0] == "streamlit"]

    def test_length(self, path):
        most = 80 if path.is_relative_to(ROOT / "pages") else 400
        assert len(path.read_text(encoding="utf-8").splitlines()) <= most

    def test_nothing_reaches_raw_html(self, path):
        assert "unsafe_allow_html" not in path.read_text(encoding="utf-8")

    def test_pages_keep_to_the_view(self, path):
        if path.is_relative_to(ROOT / "pages"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"session_state|cache_data|cache_resource|import torch", text)


def test_pages_and_concepts_are_twins():
    pages = {path.relative_to(ROOT / "pages").with_suffix("") for path in (ROOT / "pages").rglob("*.py")}
    concepts = {path.relative_to(CONCEPTS).with_suffix("") for path in CONCEPTS.glob("*/*.md")}
    assert pages == concepts


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_shell_costs_neither_torch_nor_plotly():
    loaded = modules_after("from cvviz.ui import site; import cvviz.catalogue; cvviz.catalogue.entries()")
    loaded -= modules_after("import streamlit")  # which imports plotly where it is installed
    assert not loaded & {"torch", "torchvision", "plotly", "sklearn", "skimage", "cv2"}


def test_the_library_works_without_streamlit():
    loaded = modules_after("import cvviz.catalogue as c; [entry.load() for entry in c.entries()]")
    assert "torch" in loaded
    assert "streamlit" not in loaded
