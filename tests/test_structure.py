"""The structure as the pages show it: no module imports itself by a detour."""

import ast
import doctest
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = Path(__file__).parents[1] / "liqctl"
FILES: Final = {
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): file
    for file in PACKAGE.rglob("*.py")
}


def imports_of(source: str, modules: Mapping[str, object]) -> set[str]:
    """Return which of these modules a source imports when it runs, wherever in it."""
    found: set[str] = set()
    ahead: list[ast.AST] = [ast.parse(source)]
    while ahead:
        node = ahead.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        ahead += ast.iter_child_nodes(node)
        match node:
            case ast.Import(names=aliases):
                found |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(module), names=aliases):
                inner = {f"{module}.{alias.name}" for alias in aliases} & modules.keys()
                found |= inner or {module}
            case _:
                continue
    return found & modules.keys()


def circles(graph: Mapping[str, set[str]]) -> Iterator[frozenset[str]]:
    """Yield each set of modules of which every one leads to every other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = list(graph[start])
        while ahead:
            if (module := ahead.pop()) not in seen:
                seen.add(module)
                ahead += graph[module]
        return seen

    to = {module: reached(module) for module in graph}
    yield from {
        frozenset(other for other in to[module] if module in to[other])
        for module in graph
        if module in to[module]
    }


def test_a_circle_is_found() -> None:
    """A check that cannot fail proves nothing."""
    modules = {"a": "def f():\n    from b import c", "b": "import c, d", "c": "import a", "d": ""}
    graph = {name: imports_of(source, modules) for name, source in modules.items()}

    assert list(circles(graph)) == [{"a", "b", "c"}]


def test_no_module_imports_itself_by_a_detour() -> None:
    """An import inside a function hides a circle from Python, not from whoever reads the code."""
    graph = {name: imports_of(file.read_text(), FILES) for name, file in FILES.items()}
    # The face of the package names the public classes, and its version is read from below.
    graph["liqctl"] = set()

    assert sorted(sorted(circle) for circle in circles(graph)) == []


@pytest.mark.parametrize("name", [name for name in FILES if ">>> " in FILES[name].read_text()])
def test_the_examples_in_the_code_are_true(name: str) -> None:
    """A rule that is told by an example is believed."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0
