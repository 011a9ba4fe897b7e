"""Reading a concept's frozen ``Params`` as controls, as a URL query, and as test cases."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any, TypeVar, cast, get_type_hints

from cvviz.controls import Control

P = TypeVar("P")


def controls_of(params: type[Any]) -> dict[str, Control]:
    """Controls of a Params class by field name, in order. Raises TypeError for a field without one."""
    return _controls_of(cast(Hashable, params))


@lru_cache(maxsize=256)
def _controls_of(params: Hashable) -> dict[str, Control]:
    assert isinstance(params, type)
    hints = get_type_hints(params, include_extras=True)
    found: dict[str, Control] = {}
    for name in (field.name for field in fields(params)):
        control = next((item for item in getattr(hints[name], "__metadata__", ()) if isinstance(item, Control)), None)
        if control is None:
            raise TypeError(f"{params.__name__}.{name} must be annotated with a control.")
        found[name] = control
    return found


def to_query(params: Any) -> dict[str, str]:
    """URL query of ``params``: the fields that differ from their defaults and can travel in a link."""
    default = type(params)()
    return {
        name: control.encode(getattr(params, name))
        for name, control in controls_of(type(params)).items()
        if control.in_url and getattr(params, name) != getattr(default, name)
    }


def from_query(base: P, query: Mapping[str, str]) -> tuple[P, list[str]]:
    """``base`` with the fields that ``query`` names, and a sentence for each that could not be read.

    A field that is out of range or unreadable keeps its value in ``base``; unknown names are ignored.
    """
    values: dict[str, Any] = {}
    notes: list[str] = []
    for name, control in controls_of(type(base)).items():
        if control.in_url and name in query:
            try:
                values[name] = control.decode(query[name])
            except ValueError as error:
                notes.append(f"{error} The link's value was left out.")
    return replace(base, **values), notes  # type: ignore[type-var]


def plain(params: Any) -> dict[str, Any]:
    """Fields of ``params`` as plain Python values and tensors, for a reference."""
    return {name: control.plain(getattr(params, name)) for name, control in controls_of(type(params)).items()}


def limit_cases(params: type[P]) -> Iterator[tuple[str, P]]:
    """Every control at each of its extreme values, the others at their defaults."""
    default = params()
    for name, control in controls_of(params).items():
        for value in control.limits(getattr(default, name)):
            yield f"{name}={control.encode(value)}", replace(default, **{name: value})  # type: ignore[type-var]
