"""The shape of the source: what imports what, how long modules and functions are, and what the papers say of it."""

from __future__ import annotations

import ast
import graphlib
import pathlib
import re
import sys
import tomllib

import pytest

import esker

ROOT = pathlib.Path(__file__).parents[1]
SOURCE = ROOT / "src"
LONGEST_MODULE = 500
LONGEST_FUNCTION = 60


def _name(path):
    """Return the dotted name of the module in a file."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def imports(tree, modules):
    """Return which of the modules a syntax tree imports, wherever in it the import stands."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            qualified = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from a import b` means the module a.b where there is one, and a name of the module a otherwise.
            names.update(name if name in modules else node.module for name in qualified)
    return names & modules


def circle(graph):
    """Return a circle in a graph, given as name to the names that it leads to; None when there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


def tools():
    """Return the settings of each tool in pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def contracts():
    """Return the import contracts, as pyproject.toml has them."""
    return tools()["importlinter"]["contracts"]


def test_no_module_imports_itself_over_others():
    """No circle of imports exists, not even one that closes within a function or for type checkers alone."""
    graph = {name: imports(tree, MODULES.keys()) for name, tree in TREES.items()}
    assert sum(map(len, graph.values())) > len(graph), "the search finds too few imports to mean anything"
    assert circle(graph) is None


@pytest.mark.parametrize(
    "text",
    [
        "import esker.b",
        "from esker import b",
        "from esker.b import thing",
        "def function():\n    from esker.b import thing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from esker.b import thing",
    ],
)
def test_a_circle_is_found_wherever_its_import_stands(text):
    """An import of `esker.b` in `esker.a` closes a circle with one in the other direction, in each of its spellings."""
    modules = {"esker", "esker.a", "esker.b"}
    graph = {"esker.a": imports(ast.parse(text), modules), "esker.b": {"esker.a"}}
    assert set(circle(graph)) == {"esker.a", "esker.b"}


def test_no_module_is_too_long():
    """A module has at most 500 lines; a longer one holds two nouns."""
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_each_function_fits_a_screen():
    """A function, with its docstring and without its decorators, has at most 60 lines."""
    lengths = {
        f"{module}: {node.name}": node.end_lineno - node.lineno + 1
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def test_no_pattern_is_read_otherwise_by_an_earlier_python():
    """Python before 3.11.5 matches nothing with possessive quantifiers and atomic groups, which 3.11 has brought."""
    patterns = re.compile(r"[)\]}\w.*+?][*+?}]\+[^+]|\(\?>")
    found = {
        f"{module}: {node.value}"
        for module, tree in TREES.items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "value", None) and ast.unparse(call.func).startswith("re.")
        for node in ast.walk(call)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and patterns.search(f"{node.value} ")
    }
    assert patterns.search("(?:[^']++|x)*+'")
    assert not patterns.search(r"[a-z]+\+(x+)* ")
    assert found == set()


def test_no_import_is_excepted_from_the_contracts():
    """The import contracts hold for every import of every module: none is ignored, not even for type checkers."""
    assert contracts()
    assert [contract for contract in contracts() if "ignore_imports" in contract] == []
    assert "exclude_type_checking_imports" not in (ROOT / "pyproject.toml").read_text()


def test_the_design_shows_the_layers_of_the_contract():
    """The layers in docs/concepts/design.md are those of the import contract, in its order."""
    text = (ROOT / "docs/concepts/design.md").read_text()
    (drawn,) = re.findall(r"^    (cli \|.*(?:\n    .*)*)", text, re.MULTILINE)
    (contract,) = contracts()
    layers = [re.findall(r"\w+", layer) for layer in contract["layers"]]
    assert [re.findall(r"\w+", layer) for layer in drawn.split(">")] == layers


def test_every_folder_stands_in_the_contract():
    """A folder or module directly in `esker` has a layer, but for the package itself and its `__main__`."""
    (contract,) = contracts()
    layers = {name for layer in contract["layers"] for name in re.findall(r"\w+", layer)}
    assert {name.split(".")[1] for name in MODULES if name.startswith("esker.")} - {"__main__"} <= layers


@pytest.mark.parametrize("name", [name for name in MODULES if name.partition(".")[0] == "esker_pytest"])
def test_the_pytest_plugin_needs_an_old_python_and_nothing_else(name):
    """It runs under the Python of any environment: its syntax is that of 3.9, and only pytest is imported beside it."""
    tree = ast.parse(MODULES[name].read_text(), feature_version=(3, 9))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert {each.partition(".")[0] for each in names} <= {*sys.stdlib_module_names, "esker_pytest", "pytest"}
    assert tools()["ruff"]["per-file-target-version"] == {"src/esker_pytest/**": "py39"}


def test_the_stub_names_what_the_package_offers():
    """`__init__.pyi`, which type checkers read, offers the names of `__init__.py`, from the modules that it loads."""
    tree = ast.parse((SOURCE / "esker/__init__.pyi").read_text())
    homes = {alias.name: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    (offered,) = (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign))
    assert homes == esker._HOMES
    assert offered == esker.__all__


def test_the_hooks_run_the_lint_of_the_test_script():
    """Each linter that script/test runs is a hook with the same arguments, and no hook needs anything but .venv."""
    script = (ROOT / "script/test").read_text()
    config = (ROOT / ".pre-commit-config.yaml").read_text()
    hooks = re.findall(r"entry: \.venv/bin/(.*)(?:\n +args: \[(.*)\])?", config)
    linters = re.findall(r"^(?:ruff|mypy|lint-imports).*", script, re.MULTILINE)
    assert [" ".join(filter(None, hook)) for hook in hooks] == [*linters, "shellcheck"]
    assert re.findall(r"(?:repo|language): (\w+)", config) == ["local", *["system"] * len(hooks)]


def test_the_places_that_newcomers_are_shown_exist():
    """Each path in the table of CONTRIBUTING.md that leads from a wish to a folder is one of src/esker or of the clone."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("## Where things are")[2].partition("\n## ")[0]
    rows = [row.split("|")[2] for row in table.splitlines() if row.startswith("| ")][1:]
    paths = [re.findall(r"`([\w./-]*(?:/|\.py)[\w./-]*)`", row) for row in rows]
    assert all(paths), "a row without a place"
    exists = {path: (SOURCE / "esker" / path).exists() or (ROOT / path).exists() for row in paths for path in row}
    assert [path for path in exists if not exists[path]] == []


def test_each_change_is_named_as_a_release_looks_for_it():
    """A file of changelog.d says in its name what kind of change it is, in a word that pyproject.toml has."""
    kinds = [kind["directory"] for kind in tools()["towncrier"]["type"]]
    names = {path.name for path in (ROOT / "changelog.d").iterdir()} - {"README.md"}
    assert [name for name in names if not re.fullmatch(rf"\+[a-z0-9-]+\.({'|'.join(kinds)})\.md", name)] == []
