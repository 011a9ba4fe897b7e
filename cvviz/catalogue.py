"""The catalogue of concepts, read from the front matter of their ``.md`` files.

The one source of navigation, home, search, previous/next and tests. Importing it costs neither torch nor plotly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import frontmatter

if TYPE_CHECKING:
    from cvviz.concept import Claim, Concept

CONCEPTS = Path(__file__).parent / "concepts"
# Folder -> title, in the order of the navigation.
SECTIONS = {
    "convolution": "Convolution",
    "detection": "Detection",
    "losses": "Losses and activations",
    "optimization": "Optimization",
    "regularization": "Regularization",
    "normalization": "Normalization",
    "architectures": "Architectures",
    "hardware": "Hardware",
    "training": "Training",
    "evaluation": "Evaluation",
    "mathematics": "Mathematics",
    "representations": "Representations",
    "compression": "Compression",
    "deployment": "Deployment",
    "generative": "Generative models",
    "practice": "Practice",
}


@dataclass(frozen=True, slots=True)
class Question:
    """An interviewer's question and our answer, both Markdown."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Source:
    """A work to read: authors, year, title, and its address."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One concept as the catalogue knows it, from the front matter of its ``.md``."""

    slug: str
    section: str
    title: str
    summary: str
    icon: str
    order: int
    tags: tuple[str, ...]
    related: tuple[str, ...]
    questions: tuple[Question, ...]
    references: tuple[Source, ...]
    theory: str
    path: int | None = None  # place on the path suggested to a newcomer

    @property
    def module(self) -> str:
        """Importable name of the concept's module."""
        return f"cvviz.concepts.{self.section}.{self.slug.replace('-', '_')}"

    @property
    def card(self) -> Path:
        """The small picture on the home page, an SVG beside the text."""
        return CONCEPTS / self.section / f"{self.slug.replace('-', '_')}.svg"

    def load(self) -> Concept[Any, Any]:
        """The concept itself. Imports torch."""
        concept: Concept[Any, Any] = import_module(self.module).CONCEPT
        return concept

    def claims(self) -> tuple[Claim, ...]:
        """The judged sentences, from ``<slug>_claims.py`` beside the concept; none without it. Imports torch."""
        if not (CONCEPTS / self.section / f"{self.slug.replace('-', '_')}_claims.py").exists():
            return ()
        claims: tuple[Claim, ...] = import_module(f"{self.module}_claims").CLAIMS
        return claims


@lru_cache(maxsize=1)
def entries() -> tuple[Entry, ...]:
    """All concepts, by section and then by ``order``."""
    found = [read(path) for path in CONCEPTS.glob("*/*.md")]
    sections = list(SECTIONS)
    return tuple(sorted(found, key=lambda entry: (sections.index(entry.section), entry.order, entry.slug)))


def read(path: Path) -> Entry:
    """Entry of one ``.md`` file. Raises KeyError for a missing field and ValueError for an unknown section."""
    post = frontmatter.load(str(path))
    section = path.parent.name
    if section not in SECTIONS:
        raise ValueError(f"{path}: unknown section {section}.")
    meta: dict[str, Any] = dict(post.metadata)
    return Entry(
        slug=path.stem.replace("_", "-"),
        section=section,
        title=meta["title"],
        summary=meta["summary"],
        icon=meta["icon"],
        order=meta["order"],
        tags=tuple(meta["tags"]),
        related=tuple(meta["related"]),
        questions=tuple(Question(item["q"].strip(), item["a"].strip()) for item in meta["questions"]),
        references=tuple(Source(item["text"], item["url"]) for item in meta["references"]),
        theory=with_display_math(post.content),
        path=meta.get("path"),
    )


def with_display_math(text: str) -> str:
    r"""Markdown whose formulas between ``$$`` at the ends of lines stand on lines of their own.

    Elsewhere Markdown takes ``$$x$$`` for a formula in running text, and drops what follows an opening ``$$``.

    Example:
        >>> with_display_math("so:\n\n$$a = b$$")
        'so:\n\n$$\na = b\n$$'
    """
    return re.sub(r"^\$\$(.+?)\$\$$", lambda found: f"$$\n{found[1].strip()}\n$$", text, flags=re.MULTILINE | re.DOTALL)


def entry(slug: str) -> Entry:
    """The concept of that slug. Raises KeyError if there is none."""
    return {item.slug: item for item in entries()}[slug]


def by_section(items: Sequence[Entry] | None = None) -> dict[str, list[Entry]]:
    """Section title -> its concepts, sections without any left out."""
    grouped: dict[str, list[Entry]] = {}
    for item in entries() if items is None else items:
        grouped.setdefault(SECTIONS[item.section], []).append(item)
    return grouped


def suggested_path() -> list[Entry]:
    """The concepts that a newcomer should see first, in order."""
    return sorted((item for item in entries() if item.path is not None), key=lambda item: item.path or 0)


def neighbours(slug: str) -> tuple[Entry | None, Entry | None]:
    """The concepts before and after ``slug`` in the order of the catalogue."""
    items = entries()
    place = [item.slug for item in items].index(slug)
    return (items[place - 1] if place else None), (items[place + 1] if place + 1 < len(items) else None)
