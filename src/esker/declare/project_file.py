"""Edits of a project's pyproject.toml, which uv makes in a copy: comments, order and sorted lists stay as they are.

uv only edits the text here. What is declared is locked and installed as ever, before the text replaces the file.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from esker.declare.toml_edit import at, without_bare_key
from esker.errors import CommandFailed, HostError, NotEditable, NotFound
from esker.formats.tables.positions import positions
from esker.formats.tables.reader import near
from esker.formats.untrusted import toml_table
from esker.host import files
from esker.host.scratch import scratch
from esker.host.uv import run_uv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["MAIN", "Place", "Removal", "places", "with_packages", "without_empty_group", "without_packages"]

_REQUIRES_PYTHON = re.compile(r"""(requires-python["']?\s*=\s*)("[^"]*"|'[^']*')""")
_INDEXES = re.compile("INDEX|FIND_LINKS")
_ANY_PYTHON = '">=3"'
_NO_WORKSPACE = "[tool.uv.workspace]\nmembers = []\n"


class Place(NamedTuple):
    """A list of requirements in a pyproject.toml."""

    kind: Literal["project", "group", "optional"]
    name: str = ""
    """The normalised name of the dependency group, or of the extra."""

    def __str__(self) -> str:
        return {"project": "[project]", "group": f"group `{self.name}`", "optional": f"extra `{self.name}`"}[self.kind]

    def file_and_name(self) -> str:
        """Return the place with the file that it is in, as messages show it."""
        return "pyproject.toml" if self.kind == "project" else f"pyproject.toml, {self}"

    @property
    def options(self) -> tuple[str, ...]:
        """The options that name the place on the command line, uv's and ours."""
        return () if self.kind == "project" else (f"--{self.kind}", self.name)


MAIN = Place("project")
"""The project's own dependencies."""


class Removal(NamedTuple):
    """A package that was removed, and where it stood."""

    name: str
    place: Place


def places(values: Mapping[str, Any]) -> dict[Place, list[str]]:
    """Return the requirements at each place in a pyproject.toml; the groups that a group includes are left out."""
    from packaging.utils import canonicalize_name

    project = values.get("project", {})
    lists = {MAIN: project.get("dependencies", [])}
    lists |= {Place("group", canonicalize_name(name)): it for name, it in values.get("dependency-groups", {}).items()}
    optional = project.get("optional-dependencies", {})
    lists |= {Place("optional", canonicalize_name(name)): it for name, it in optional.items()}
    return {
        place: [text for text in it if isinstance(text, str)] for place, it in lists.items() if isinstance(it, list)
    }


def with_packages(text: str, path: str, requirements: Sequence[str], place: Place, tools: Mapping[str, str]) -> str:
    """Return the text of the pyproject.toml at `path` with `requirements` added at a place, as `uv add` adds them.

    A requirement that is there already is merged with the new one. `tools` are the variables that uv is run with.
    Raises NotEditable if the text cannot be edited.
    """
    _check_editable(text, path)
    return _edited(text, path, ["add", *place.options, *requirements], tools)


def without_packages(
    text: str, path: str, names: Sequence[str], only: Place | None, tools: Mapping[str, str]
) -> tuple[str, list[Removal]]:
    """Return the text without packages, and what was removed: at one place `only`, or wherever they stand.

    Sources in `[tool.uv.sources]` that nothing asks for any more go too. A name that stands nowhere is left out of what
    was removed. Raises NotFound if it stands elsewhere than at `only`, and if there is no such place.
    """
    found = places(toml_table(text))
    if only is not None and only not in found:
        same = [place.name for place in found if place.kind == only.kind]
        told = near(only.name, same) or (f"there is: {', '.join(same)}" if same else "there is none yet")
        raise NotFound(f"`{os.path.basename(path)}` has no {only}", hint=told)
    removals = [Removal(name, place) for name in dict.fromkeys(names) for place in _where(found, name)]
    if only is not None:
        _check_all_at(only, removals, names, path)
        removals = [removal for removal in removals if removal.place == only]
    if removals:
        _check_editable(text, path)
    for place in dict.fromkeys(removal.place for removal in removals):
        here = [removal.name for removal in removals if removal.place == place]
        text = _edited(text, path, ["remove", *place.options, *here], tools)
    return text, removals


def without_empty_group(text: str, name: str) -> str | None:
    """Return the text without the dependency group of a normalised name, if that is empty and nothing asks for it.

    None if it stays: it holds something, another group includes it, `default-groups` names it, or a comment would go.
    """
    from packaging.utils import canonicalize_name

    values = toml_table(text)
    groups = values.get("dependency-groups", {})
    written = next((each for each in groups if canonicalize_name(each) == name), None)
    included = {entry.get("include-group") for it in groups.values() for entry in it if isinstance(entry, dict)}
    default = at(values, ("tool", "uv", "default-groups")) or []
    asked_for = {canonicalize_name(each) for each in (*included, *default) if isinstance(each, str)}
    if written is None or groups[written] or name in asked_for:
        return None
    return without_bare_key(text, ("dependency-groups", written))


def _check_all_at(only: Place, removals: Sequence[Removal], names: Sequence[str], path: str) -> None:
    for name in names:
        elsewhere = [removal.place for removal in removals if removal.name == name]
        if only not in elsewhere:
            hint = f"it stands in {' and '.join(map(str, elsewhere))}" if elsewhere else "it stands nowhere else"
            raise NotFound(f"`{name}` is not in {only} of `{os.path.basename(path)}`", hint=hint)


def _where(found: Mapping[Place, Sequence[str]], name: str) -> Iterator[Place]:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    for place, requirements in found.items():
        for text in requirements:
            try:
                is_same = canonicalize_name(Requirement(text).name) == name
            except InvalidRequirement:
                continue
            if is_same:
                yield place
                break


def _check_editable(text: str, path: str) -> None:
    """Raise NotEditable where there is no `[project]` with a name, and where only a build backend knows more."""
    project = toml_table(text).get("project")
    instead = "or add packages to the manifest alone: esker install --tool pypi/NAME"
    if not isinstance(project, dict) or "name" not in project:
        what = "no `name` in [project]" if isinstance(project, dict) else "no [project] table"
        raise NotEditable(f"`{path}` has {what}, so no packages can be added to it", hint=f"add one, {instead}")


def _edited(text: str, path: str, arguments: Sequence[str], tools: Mapping[str, str]) -> str:
    """Return the text as uv edits it, in a directory of its own that belongs to no workspace.

    uv wants an interpreter within `requires-python`, though it does not use it for this: it sees another range. It does
    not see the indexes of this machine either, because it would write them into the file, with their credentials.
    """
    variables = {name: value for name, value in tools.items() if not _INDEXES.search(name)}
    masked, range_ = _masked(text)
    with scratch("edit") as directory, files.refused("write in", directory):
        os.mkdir(f"{directory}/project")
        copy = f"{directory}/project/pyproject.toml"
        for where, content in ((f"{directory}/pyproject.toml", _NO_WORKSPACE), (copy, masked)):
            with open(where, "w", encoding="utf-8", newline="") as file:
                file.write(content)
        command, *rest = arguments
        try:
            run_uv([command, "--frozen", "--python", sys.executable, *rest], variables, cwd=f"{directory}/project")
        except CommandFailed as failure:
            cause = " ".join(failure.output.partition("error: ")[2].split()) or failure.message
            if "No space left" in failure.output:
                raise HostError(f"cannot write in `{directory}`: {cause}", hint=failure.hint) from None
            raise NotEditable(f"`{path}` cannot be edited: {cause}", hint="correct it, or change it by hand") from None
        with open(copy, encoding="utf-8", newline="") as file:
            edited = file.read()
    edited = _unmasked(edited, range_)
    if "\r\n" in text:  # uv writes line feeds alone
        edited = edited.replace("\r\n", "\n").replace("\n", "\r\n")
    if _others(edited) != _others(text):
        raise NotEditable(f"`{path}` is laid out in a way that cannot be edited", hint="change it by hand")
    return edited


def _masked(text: str) -> tuple[str, str | None]:
    """Return the text with any Python allowed, and the range that stood there as it was written."""
    number = positions(text).get(("project", "requires-python"))
    lines = text.split("\n")
    match = _REQUIRES_PYTHON.search(lines[number - 1]) if number is not None else None
    if number is None or match is None:
        return text, None
    lines[number - 1] = _REQUIRES_PYTHON.sub(rf"\g<1>{_ANY_PYTHON}", lines[number - 1], count=1)
    return "\n".join(lines), match[2]


def _unmasked(text: str, range_: str | None) -> str:
    if range_ is None:
        return text
    number = positions(text)["project", "requires-python"]
    lines = text.split("\n")
    lines[number - 1] = _REQUIRES_PYTHON.sub(lambda match: match[1] + range_, lines[number - 1], count=1)
    return "\n".join(lines)


def _others(text: str) -> dict[str, Any]:
    """Return the values of a pyproject.toml without those that an edit may change."""
    values = toml_table(text)
    values.pop("dependency-groups", None)
    for path in (("project", "dependencies"), ("project", "optional-dependencies"), ("tool", "uv", "sources")):
        table: Any = values
        for key in path[:-1]:
            table = table.get(key, {}) if isinstance(table, dict) else {}
        table.pop(path[-1], None)
    if values.get("tool", {}).get("uv") == {}:
        del values["tool"]["uv"]
    if values.get("tool") == {}:
        del values["tool"]
    return values
