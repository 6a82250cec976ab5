"""The rules of the house: which folder is which package, who may import whom, and what an installation holds."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import pytest

import xbarc

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

FOLDERS = {"xbarc": "xbarc", "xbarc.passes": "passes", "xbarc.runtime": "runtime"}

# A part is a package or module directly below xbarc, or a face of the whole: xbarc itself opens api, backend is its
# other face, __main__ runs cli.
FLOORS = (
    {"xbarc.compiled", "xbarc.errors", "xbarc.units", "xbarc.random"},
    {"xbarc.ir", "xbarc.hardware", "xbarc.devices"},
    {"xbarc.onnx_io", "xbarc.passes", "xbarc.runtime"},
    {"xbarc.report"},
    {"xbarc.api", "xbarc.backend", "xbarc"},
    {"xbarc.cli", "xbarc.__main__"},
)
FLOOR_OF = {part: number for number, parts in enumerate(FLOORS) for part in parts}
SIBLINGS_APART = FLOORS[2]
LONGEST_FILE = 450


@dataclass(frozen=True, order=True)
class Import:
    """One module of the house that a module imports."""

    importer: str
    imported: str
    line: int
    lazy: bool  # within a function
    for_types_only: bool  # under `if TYPE_CHECKING`

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def package_folders() -> dict[str, Path]:
    """Every folder with Python files in it, by the package that it is."""
    return {
        ".".join((top, *folder.relative_to(ROOT / place).parts)): folder
        for top, place in FOLDERS.items()
        for folder in sorted({path.parent for path in (ROOT / place).rglob("*.py")})
    }


def sources() -> dict[str, Path]:
    """Every module, by its import name."""
    return {
        package if path.stem == "__init__" else f"{package}.{path.stem}": path
        for package, folder in package_folders().items()
        for path in sorted(folder.glob("*.py"))
    }


def read_imports(module: str, source: str, modules: set[str]) -> Iterator[Import]:
    """Yield what `module` imports from the house; `from a import b` is of `a.b` where that is a module, else of `a`."""

    def targets(node: ast.Import | ast.ImportFrom) -> set[str]:
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{module}:{node.lineno}: imports here are absolute")
            full = {f"{node.module}.{name}" for name in names}
            return {name if name in modules else node.module for name in full}
        return set(names)

    def visit(node: ast.AST, lazy: bool, for_types_only: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in targets(node):
                if target.split(".")[0] == "xbarc":
                    yield Import(module, target, node.lineno, lazy, for_types_only)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            only_for_types = node.body
        else:
            only_for_types = []
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, lazy, for_types_only or child in only_for_types)

    yield from visit(ast.parse(source), False, False)


def part_of(module: str) -> str:
    """The part of the house that a module belongs to."""
    return ".".join(module.split(".")[:2])


def floor_of(module: str) -> int:
    """The floor that a module stands on."""
    return FLOOR_OF[part_of(module)]


@pytest.fixture(scope="module")
def modules() -> dict[str, Path]:
    return sources()


@pytest.fixture(scope="module")
def imports(modules: dict[str, Path]) -> list[Import]:
    names = set(modules)
    return sorted(
        found
        for module, path in modules.items()
        for found in read_imports(module, path.read_text(encoding="utf-8"), names)
    )


def circles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The groups of nodes that depend on each other."""
    graph = nx.DiGraph()
    graph.add_edges_from(edges)
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def test_the_list_of_packages_is_the_folders() -> None:
    settings = PYPROJECT["tool"]["setuptools"]
    assert settings["package-dir"] == FOLDERS
    assert set(settings["packages"]) == set(package_folders())
    assert [str(path) for path in package_folders().values() if not (path / "__init__.py").is_file()] == []


def test_imports_are_read_in_every_form() -> None:
    source = """
import os, xbarc.ir.graph
from xbarc.ir import graph, Value
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from xbarc.api import load
else:
    from xbarc.units import SI
def later():
    import xbarc.cli
"""
    found = read_imports("xbarc.ir.text", source, {"xbarc.ir", "xbarc.ir.graph", "xbarc.api", "xbarc.units"})
    assert sorted((one.imported, one.line, one.lazy, one.for_types_only) for one in found) == [
        ("xbarc.api", 6, False, True),
        ("xbarc.cli", 10, True, False),
        ("xbarc.ir", 3, False, False),
        ("xbarc.ir.graph", 2, False, False),
        ("xbarc.ir.graph", 3, False, False),
        ("xbarc.units", 8, False, False),
    ]
    with pytest.raises(ValueError, match=r"xbarc\.ir\.text:1: imports here are absolute"):
        list(read_imports("xbarc.ir.text", "from . import graph", set()))


def test_every_module_stands_on_a_floor(modules: dict[str, Path]) -> None:
    assert [module for module in modules if part_of(module) not in FLOOR_OF] == []


def test_no_module_imports_from_a_higher_floor(imports: list[Import]) -> None:
    """Imports for types and imports within functions count: a floor is what a module may know of."""
    assert [str(one) for one in imports if floor_of(one.imported) > floor_of(one.importer)] == []


def test_siblings_do_not_import_each_other(imports: list[Import]) -> None:
    assert [
        str(one)
        for one in imports
        if {part_of(one.importer), part_of(one.imported)} <= SIBLINGS_APART
        and part_of(one.importer) != part_of(one.imported)
    ] == []


def test_nothing_imports_in_a_circle(imports: list[Import]) -> None:
    """Neither modules nor parts. Imports within functions count, since they are how a circle is hidden; imports for
    types do not: they never run, and two types of one part may well speak of each other."""
    edges = [(one.importer, one.imported) for one in imports if not one.for_types_only]
    assert circles(edges) == []
    assert circles((part_of(importer), part_of(imported)) for importer, imported in edges) == []
    assert circles([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]) == [["a", "b", "c"]]


def test_the_face_opens_only_api_and_only_when_asked(imports: list[Import]) -> None:
    """So that a lower floor, which loads `xbarc` on its way, does not load everything."""
    at_the_face = [one for one in imports if one.importer == "xbarc" and not one.for_types_only]
    assert [str(one) for one in at_the_face if not one.lazy or part_of(one.imported) != "xbarc.api"] == []


def test_no_file_is_too_long() -> None:
    folders = (*FOLDERS.values(), "tests", "models", "benchmarks", ".ci")
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
    }
    assert lengths["tests/test_house.py"] > 100
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_sources_raise_errors_and_do_not_assert(modules: dict[str, Path]) -> None:
    """An assertion vanishes under `python -O`, and tells a user nothing."""
    assert [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ] == []


def test_the_installation_holds_every_file_as_it_is_here() -> None:
    if Path(xbarc.__file__).is_relative_to(ROOT / "xbarc"):
        pytest.skip("the tests run against the checkout, not against an installed wheel: `make test` does that")
    here = {
        "/".join((*package.split("."), path.name)): path
        for package, folder in package_folders().items()
        for path in folder.iterdir()
        if path.suffix in {".py", ".toml", ".typed"}
    }
    installed = {
        str(file): Path(str(file.locate()))
        for file in importlib.metadata.files("xbarc") or []
        if file.parts[0] == "xbarc" and "__pycache__" not in file.parts
    }
    assert set(installed) == set(here)
    differing = [name for name, path in installed.items() if path.read_bytes() != here[name].read_bytes()]
    assert differing == [], "the installed package is not this checkout: install it again, or run `make test`"
    assert "xbarc/py.typed" in installed


@pytest.mark.parametrize("folder", ["passes", "runtime"])
def test_a_mapped_folder_is_importable_only_under_its_package(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert importlib.import_module(f"xbarc.{folder}").__name__ == f"xbarc.{folder}"
    monkeypatch.syspath_prepend(ROOT)
    with pytest.raises(ImportError, match=rf"this package is xbarc\.{folder}, but it is being imported as {folder}: "):
        importlib.import_module(folder)


def test_python_started_in_the_checkout_finds_all_of_the_package() -> None:
    """As whoever follows the README does: the checkout's folder then hides the installed package."""
    lines = "import xbarc, xbarc.passes, xbarc.runtime; print(xbarc.compile.__name__, xbarc.__file__)"
    ran = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["compile_model", str(ROOT / "xbarc" / "__init__.py")], ran.stderr
