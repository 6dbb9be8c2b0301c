"""`pyproject.toml`: a project whose dependencies the manifest names by its file."""

from __future__ import annotations

from tomllib import TOMLDecodeError
from typing import TYPE_CHECKING, Any

from esker.declare import notations
from esker.declare.adopt.found import Found, Project, left_out, misspelt
from esker.formats.printable import printable
from esker.formats.syntax import syntax_problem
from esker.formats.tables.positions import positions
from esker.formats.tables.reader import Refusal
from esker.formats.untrusted import toml_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.declare.adopt.found import Read

__all__ = ["pyproject"]

_TABLES = {"project", "build-system", "dependency-groups", "tool"}
_PROJECT = {
    *("name", "version", "description", "readme", "requires-python", "license", "license-files", "authors"),
    *("maintainers", "keywords", "classifiers", "urls", "scripts", "gui-scripts", "entry-points", "dependencies"),
    *("optional-dependencies", "dynamic", "import-names", "import-namespaces"),
}
"""The keys of `[project]`: https://packaging.python.org/en/latest/specifications/pyproject-toml/"""
_OF_TOOLS = {
    "pixi": "name its packages by `esker install conda/NAME`",
    "poetry": "Esker reads the packages in [project], which Poetry reads too",
}
_LISTS = ("dependencies", "dev-dependencies", "feature", "group", "pypi-dependencies", "target")
"""The keys under which these tools keep packages."""
_INSTEAD = "packages are kept in the manifest instead"
_LATER = 'to have them there, mend it and write project = "pyproject.toml" into [plugins.esker.python]'


def pyproject(text: str, file: str, _: Read) -> Found:
    """Return the project, with its group `dev` where it is as uv has it; nothing if Esker cannot read dependencies."""
    try:
        values = toml_table(text)
    except TOMLDecodeError as error:
        line = syntax_problem(str(error), text).line
        told = f"{file} is left out: it is not valid TOML, line {line}: {printable(str(error))}; {_INSTEAD}; {_LATER}"
        return Found(file, left_out=(told,))
    except ValueError as error:
        return Found(file, left_out=(f"{file} is left out: {printable(str(error))}; {_INSTEAD}; {_LATER}",))
    project, groups = values.get("project"), values.get("dependency-groups")
    tools = tuple(_tools(values, file))
    if not isinstance(project, dict):
        return Found(file, left_out=(f"{file} has no [project] table: {_INSTEAD}", *tools))
    dynamic = project.get("dynamic")
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        told = f"{file} is left out: its dependencies are `dynamic`, so only a build knows them: {_INSTEAD}"
        return Found(file, left_out=(told, *tools))
    slips = tuple(_slips(values, text, file))
    taken = ("dev",) if isinstance(groups, dict) and "dev" in groups else ()
    lists = [project.get("dependencies"), groups["dev"] if isinstance(groups, dict) and taken else None]
    return Found(file, project=Project(taken, frozenset(_names(lists))), left_out=(*slips, *tools))


def _tools(values: dict[str, Any], file: str) -> Iterator[str]:
    """Yield a line for each table in which another tool keeps packages."""
    tools = values.get("tool")
    for name, reason in _OF_TOOLS.items():
        table = tools.get(name) if isinstance(tools, dict) else None
        if isinstance(table, dict) and any(key in table for key in _LISTS):
            yield left_out(file, f"[tool.{name}]", reason)


def _slips(values: dict[str, Any], text: str, file: str) -> Iterator[str]:
    """Yield a line for each key that no standard knows, and that is almost one that says what is needed."""
    lines = positions(text)
    for path, table, known, meant in (
        ((), values, _TABLES, _TABLES),
        (("project",), values["project"], _PROJECT, ("dependencies", "optional-dependencies", "requires-python")),
    ):
        for key in table.keys() - known:
            slip = misspelt(f"{file}:{lines[*path, key]}", ".".join((*path, key)), meant, table)
            if slip is not None:
                yield slip


def _names(lists: list[Any]) -> Iterator[str]:
    from packaging.requirements import Requirement

    for each in lists:
        for text in each if isinstance(each, list) else ():
            try:
                yield notations.package_name(Requirement(notations.requirement(text)).name)
            except (Refusal, TypeError):  # a group may include another one, by a table
                continue
