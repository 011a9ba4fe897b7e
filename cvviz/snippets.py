"""The code panel: a concept's own reference with the current values, as a script that runs as it stands."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from cvviz.concept import Concept
from cvviz.controls import Image
from cvviz.params import controls_of


def snippet(concept: Concept[Any, Any], params: Any, result: Any) -> str:
    """Runnable script: imports, ``reference`` and the helpers it calls, and a call that binds and prints ``result``.

    Raises:
        ValueError: if the concept has no reference.
    """
    if concept.reference is None:
        raise ValueError(f"{concept.slug} has no reference.")
    controls = controls_of(concept.params)
    values = concept.reference_arguments(params, result)
    imports = set[str]()
    arguments = []
    for name, value in values.items():
        if isinstance(controls.get(name), Image):
            picture = getattr(params, name)
            imports.update(picture.imports)
            arguments.append(f"    {name}={picture.code},")
        else:
            arguments.append(f"    {name}={value!r},")
    module = inspect.getmodule(concept.reference)
    functions = with_helpers(concept.reference)
    source = "\n\n\n".join(textwrap.dedent(inspect.getsource(function)).strip() for function in functions)
    imports.update(imports_for(source, inspect.getsource(module) if module else ""))
    given = "\n" + "\n".join(arguments) + "\n" if arguments else ""
    call = f"result = {concept.reference.__name__}({given})\nprint(result)"
    return "\n".join(sorted(imports, key=import_order)) + "\n\n\n" + source + f"\n\n\n{call}\n"


def with_helpers(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """``function`` and, before it, the functions of its own module that it calls, each before its caller."""
    module = inspect.getmodule(function)
    ordered: list[Callable[..., Any]] = []
    seen = [function]

    def visit(current: Callable[..., Any]) -> None:
        for name in names_in(textwrap.dedent(inspect.getsource(current))):
            helper = getattr(module, name, None)
            if not inspect.isfunction(helper) or helper.__module__ != current.__module__:
                continue
            if helper not in seen:
                seen.append(helper)
                visit(helper)
        ordered.append(current)

    visit(function)
    return ordered


def names_in(source: str) -> list[str]:
    """Names read anywhere in ``source``, annotations included, each once, in order of appearance."""
    return list(dict.fromkeys(node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)))


def imports_for(source: str, module_source: str) -> list[str]:
    """The module's import statements, one per name, for the names that ``source`` uses."""
    used = set(names_in(source))
    lines = []
    for node in ast.walk(ast.parse(module_source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name.partition(".")[0]) in used:
                    lines.append(f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else ""))
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            for alias in node.names:
                if (alias.asname or alias.name) in used:
                    renamed = f" as {alias.asname}" if alias.asname else ""
                    lines.append(f"from {node.module} import {alias.name}{renamed}")
    return lines


def import_order(line: str) -> tuple[bool, str]:
    """Plain imports first, each kind by name."""
    return line.startswith("from"), line
