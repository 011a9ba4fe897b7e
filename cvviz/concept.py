"""The contract of a concept: one typed value from which the shell draws everything."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from cvviz.params import controls_of, plain

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from torch import Tensor

    from cvviz.figures.scene import Scene
    from cvviz.figures.window import Window

P = TypeVar("P")
R = TypeVar("R")

Verdict = Literal["true", "true with conditions", "misleading", "wrong", "omission"]
VERDICTS: tuple[Verdict, ...] = ("true", "true with conditions", "misleading", "wrong", "omission")


@dataclass(frozen=True, slots=True)
class Preset(Generic[P]):
    """A worked example.

    Args:
        params: the settings.
        look: one sentence: what to look at, and what it shows.
        failure: whether it shows a failure or a surprise.
    """

    params: P
    look: str
    failure: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a claim's check measured.

    Args:
        confirms: whether the numbers bear out the verdict.
        text: the numbers, in one sentence.
    """

    confirms: bool
    text: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence that interview notes repeat, judged by a measurement.

    Args:
        text: the sentence as it is met.
        verdict: our judgement of it.
        correction: what is true, in one or two sentences.
        check: measures it now.
        preset: name of the preset that shows it, or "".
    """

    text: str
    verdict: Verdict
    correction: str
    check: Callable[[], Evidence]
    preset: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Outcome of comparing ``compute`` with ``reference``.

    Args:
        status: "matches" or "differs" after a comparison, "failed" when the reference itself raised, else the
            concept's honest name for what its numbers are.
        against: the independent library.
        error: largest absolute difference; None where nothing was compared.
    """

    status: Literal["matches", "differs", "failed", "computed", "simulated", "illustrative"]
    against: str = ""
    error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept(Generic[P, R]):
    """A concept of the app.

    Args:
        params: frozen dataclass whose fields are annotated with controls and have defaults.
        compute: pure and seeded; Params -> Result. A Result that waits for something outside Params (a download) says
            so by a true attribute ``pending``, and is then computed anew at each run.
        stage: draws the result: a plotly figure, one or several Scenes side by side, or a Window.
        describe: one or two sentences that say what the stage shows now (alt text of the stage).
        presets: name -> Preset, in the order shown; at least four, at least one of them a failure.
        table: the numbers behind the stage, for download.
        formula: the formula with the current numbers filled in, as Markdown with LaTeX in ``$$``, or None.
        reference: the same numbers by an independent library, with no import of cvviz. Its arguments are names of
            fields of Params and it receives their plain values (see ``Control.plain``). None if there is no such route.
        inputs: values computed on the way that ``reference`` starts from, by argument name, as plain Python lists and
            numbers; they are written into the code panel as they stand. None if Params say it all.
        checked: the part of the result that ``reference`` must reproduce, of the same shape.
        against: name of the independent library, for the badge.
        tolerance: largest absolute difference that counts as equal.
        kind: what the numbers are where there is no reference.
    """

    params: type[P]
    compute: Callable[[P], R]
    stage: Callable[[P, R], go.Figure | Scene | Sequence[Scene] | Window]
    describe: Callable[[P, R], str]
    presets: Mapping[str, Preset[P]]
    table: Callable[[P, R], pd.DataFrame]
    formula: Callable[[P, R], str] | None = None
    reference: Callable[..., Tensor] | None = None
    inputs: Callable[[P, R], dict[str, Any]] | None = None
    checked: Callable[[R], Tensor] | None = None
    against: str = "torch"
    tolerance: float = 1e-6
    kind: Literal["computed", "simulated", "illustrative"] = "computed"

    @property
    def slug(self) -> str:
        """Name in the URL, from the module's file name."""
        return self.params.__module__.rpartition(".")[2].replace("_", "-")

    def reference_inputs(self, params: P, result: R) -> dict[str, Any]:
        """What ``reference`` depends on, for telling whether it must run again: field values and ``inputs``."""
        if self.reference is None:
            return {}
        values = {name: getattr(params, name) for name in controls_of(self.params)}
        values |= self.inputs(params, result) if self.inputs else {}
        return {name: values[name] for name in signature(self.reference).parameters}

    def reference_arguments(self, params: P, result: R) -> dict[str, Any]:
        """Plain values of what ``reference`` takes. Raises ValueError if there is no reference."""
        if self.reference is None:
            raise ValueError(f"{self.slug} has no reference.")
        values = plain(params) | (self.inputs(params, result) if self.inputs else {})
        return {name: values[name] for name in signature(self.reference).parameters}

    def check(self, params: P, result: R) -> Check:
        """Compare ``result`` with the reference at ``params``. A reference that raises gives the status "failed"."""
        if self.reference is None or self.checked is None:
            return Check(self.kind)
        try:
            expected = self.reference(**self.reference_arguments(params, result))
            error = largest_difference(self.checked(result), expected)
        except Exception:
            logging.getLogger(__name__).exception("reference of %s at %s", self.slug, params)
            return Check("failed", self.against)
        return Check("matches" if error <= self.tolerance else "differs", self.against, error)


def magnitude(error: float | Tensor) -> str:
    """An error's order of magnitude, for a sentence: "3e-08", or "0" for none at all."""
    return f"{float(error):.0e}" if error else "0"


def largest_difference(actual: Tensor, expected: Tensor) -> float:
    """max |actual - expected|; inf if shapes differ or only one of two values is NaN; equal infinities differ by 0."""
    if actual.shape != expected.shape:
        return float("inf")
    if actual.numel() == 0:
        return 0.0
    first, second = actual.detach().double(), expected.detach().double()
    same = (first == second) | (first.isnan() & second.isnan())
    difference = (first - second).abs().masked_fill(same, 0.0)
    return float(difference.nan_to_num(nan=float("inf"), posinf=float("inf")).max())
