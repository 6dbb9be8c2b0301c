"""The Python part of a lock: from requirements to pinned, hashed wheels for every declared system.

uv resolves them in a throw-away project: `uv lock` does it once for all systems (`environments`,
`required-environments`). `uv pip compile --universal` is no way to do it: where a package has no wheel for a declared
system, it locks the package all the same and does not say so.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from esker.errors import CommandFailed, HostError, InvalidFile, NotFound, Problem, ResolutionFailed
from esker.formats import pylock
from esker.formats.systems import declared_systems, marker
from esker.formats.untrusted import LARGEST_MANIFEST, toml_table
from esker.host import files
from esker.host.scratch import scratch
from esker.host.uv import is_unreachable, run_uv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.pylock import Pylock

    from esker.declare.declaration import Declaration, PythonTable
    from esker.host.interpreters import Interpreter

__all__ = ["python_inputs", "resolve"]


def python_inputs(
    declaration: Declaration, system: str, indexes: tuple[str, ...], locked: pylock.Inputs | None = None
) -> pylock.Inputs | None:
    """Return what the Python lock of `declaration` is made from, or None when it declares no Python.

    `indexes` are the package indexes that this machine adds to the default one, without credentials. A manifest that
    declares no systems is locked for the default ones and for this machine's `system`; the systems that other machines
    have added to the lock (`locked`) stay.
    """
    python = declaration.esker.python
    if python is None:
        return None
    declared = declaration.manifest.options.systems
    systems = declared_systems(declared, system)
    if declared is None and locked is not None:
        systems = tuple(sorted({*systems, *locked.systems}))
    return pylock.Inputs(
        requirements=tuple(sorted(_requirements(python, declaration.project))),
        python=python.version or "",
        systems=systems,
        build=tuple(sorted(python.build)),
        indexes=indexes,
    )


def resolve(
    inputs: pylock.Inputs,
    interpreter: Interpreter,
    tools: Mapping[str, str],
    *,
    previous: Pylock | None = None,
    changed: frozenset[str] = frozenset(),
) -> Pylock:
    """Return the lock of `inputs`.

    A version that `previous` pins stays, unless its package is among `changed` or the version fits no more. `tools` are
    the variables that uv is run with. Raises `ResolutionFailed`, which names package and system, and `HostError` when
    no index can be reached.
    """
    pins = _pins(previous, changed)
    if pins:
        try:
            return _locked(inputs, pins, interpreter, tools)
        except ResolutionFailed:
            pass  # an old pin stands in the way of a new requirement: all versions are free again
    return _locked(inputs, [], interpreter, tools)


def _requirements(python: PythonTable, project: str) -> list[str]:
    found = [_checked(text, "the manifest") for text in python.dependencies]
    if python.project is not None:
        path = os.path.join(project, python.project)
        found += [_checked(text, path) for text in _project_requirements(path, python.groups)]
    return found


def _project_requirements(path: str, groups: tuple[str, ...]) -> list[str]:
    from packaging.dependency_groups import resolve_dependency_groups

    if not os.path.lexists(path):
        raise NotFound(
            f"`{path}`, named by `project` in [plugins.esker.python], is not there",
            hint="name a pyproject.toml relative to the project directory, or declare `dependencies`",
        )
    try:
        content = toml_table(files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST))
    except ValueError as error:  # the first is that of TOML too
        raise InvalidFile(path, [Problem(f"not TOML: {error}")]) from error
    tables = content.get("project", {}), content.get("dependency-groups", {})
    if not all(isinstance(table, dict) for table in tables):
        raise InvalidFile(path, [Problem("`project` and `dependency-groups` have to be tables")])
    dependencies, declared = tables[0].get("dependencies", []), tables[1]
    if not isinstance(dependencies, list) or not all(isinstance(text, str) for text in dependencies):
        raise InvalidFile(path, [Problem("`dependencies` of [project] has to be a list of texts")])
    wanted = list(dependencies)
    for group in groups:
        try:
            wanted += resolve_dependency_groups(declared, group)
        except (LookupError, ValueError, TypeError, ExceptionGroup) as error:
            known = ", ".join(f"`{name}`" for name in declared) or "none"
            why = "; ".join(map(str, error.exceptions)) if isinstance(error, ExceptionGroup) else error
            raise InvalidFile(
                path, [Problem(f"no dependency group `{group}` can be read: {why}", hint=f"its groups: {known}")]
            ) from error
    return wanted


def _checked(text: str, where: str) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ResolutionFailed(
            f"`{text}` in {where} is not a requirement: {error}", hint="write for example `pandas>=2`"
        ) from error
    if requirement.url is not None:
        raise ResolutionFailed(
            f"`{requirement.name}` is asked for by address, so that no index vouches for its hash",
            hint='publish it to an index; the project\'s own code goes on the path with source = ["src"]',
        )
    return str(requirement)


def _pins(previous: Pylock | None, changed: frozenset[str]) -> list[str]:
    if previous is None:
        return []
    return [
        f"{package.name}=={package.version}" + (f" ; {package.marker}" if package.marker else "")
        for package in previous.packages
        if package.version is not None and package.name not in changed
    ]


def _locked(inputs: pylock.Inputs, pins: list[str], interpreter: Interpreter, tools: Mapping[str, str]) -> Pylock:
    with scratch("lock") as directory, files.refused("lock packages in", directory):
        with open(os.path.join(directory, "pyproject.toml"), "w", encoding="utf-8") as file:
            file.write(_uv_project(inputs, pins, interpreter))
        try:
            run_uv(["lock", "--python", interpreter.executable], tools, cwd=directory)
        except CommandFailed as failure:
            raise _explained(failure, inputs) from failure
        exported = "pylock.toml"
        arguments = ["--frozen", "--no-emit-project", "--format", "pylock.toml", "--no-header", "-o", exported]
        run_uv(["export", "--python", interpreter.executable, *arguments], tools, cwd=directory)
        with open(os.path.join(directory, exported), encoding="utf-8") as file:
            lock = pylock.parse(file.read(), exported)
    return lock


def _uv_project(inputs: pylock.Inputs, pins: list[str], interpreter: Interpreter) -> str:
    major, minor = interpreter.release
    markers = [marker(system) for system in inputs.systems]
    return "\n".join(
        [
            "[project]",
            'name = "esker-environment"',
            'version = "0"',
            f"requires-python = {json.dumps(inputs.python or f'>={major}.{minor}')}",
            f"dependencies = {json.dumps(inputs.requirements)}",
            "[tool.uv]",
            "package = false",
            f"environments = {json.dumps(markers)}",
            f"required-environments = {json.dumps(markers)}",
            f"constraint-dependencies = {json.dumps(pins)}",
            "no-build = true",
            f"no-binary-package = {json.dumps(inputs.build)}",
            "[tool.uv.workspace]",  # else it joins a project that somebody has put into the directory above
            "",
        ]
    )


_HEAD = re.compile(r"^(error|\s*cause): ", re.MULTILINE)
_SPLIT = re.compile(r" for split \(markers: (?P<marker>[^)]*)\)")
_WITHOUT_WHEEL = re.compile(r"has no `[^`]*`-compatible wheels|no usable wheels|no wheels with a matching")
_UNKNOWN = re.compile(r"(?P<name>\S+) was not found in the package registry")
_DAMAGED = re.compile(r"(?:was invalid|could not be parsed):\n\s*(?P<reason>.+)")
_REASON = re.compile(r"\b[Bb]ecause (?:we know from \(\d+\) that )?(.*?),? we can conclude")


def _explained(failure: CommandFailed, inputs: pylock.Inputs) -> HostError | ResolutionFailed:
    if is_unreachable(failure):
        return HostError("the packages could not be locked: no package index answered", hint=failure.hint)
    if failure.hint:  # of the machine, which is at fault then, not what was declared
        return HostError(f"the packages could not be locked: {_cause(failure.output, inputs)}", hint=failure.hint)
    split = _SPLIT.search(failure.output)
    systems = [system for system in inputs.systems if split and _same_marker(split["marker"], system)]
    place = f" on `{systems[0]}`" if systems else ""
    cause = _cause(failure.output, inputs)
    unknown = _UNKNOWN.search(failure.output)
    if unknown:
        name = canonicalize_name(unknown["name"])
        direct = name in {canonicalize_name(Requirement(text).name) for text in inputs.requirements}
        return ResolutionFailed(
            f"the package index has no package `{name}`" + ("" if direct else f": {cause}"),
            hint="check its spelling, or name the index that has it in UV_INDEX",
        )
    if _WITHOUT_WHEEL.search(failure.output):
        return ResolutionFailed(
            f"a package has no wheel{place}: {cause}",
            hint="ask for a version that has one, or declare fewer systems in `options.systems`; the manifest "
            "reference says how source distributions of authors whom you trust are built",
        )
    damaged = _DAMAGED.search(failure.output)
    if damaged:
        return ResolutionFailed(
            f"an index gave a damaged package: {cause}: {damaged['reason']}", hint="ask for another version of it"
        )
    return ResolutionFailed(f"no versions satisfy the requirements{place}: {cause}", hint="loosen one of them")


def _cause(output: str, inputs: pylock.Inputs) -> str:
    """Return the reasons that uv gives, without its conclusions; its markers are replaced by the names of systems."""
    error = output.partition("error: ")[2] or output  # before it, uv says how far it came
    text = " ".join(_HEAD.sub("", error.partition("hint:")[0]).split())
    reason = "; ".join(_REASON.findall(text)) or text
    for system in inputs.systems:
        for form in _marker_forms(system):
            reason = reason.replace(form, system)
    return reason


def _marker_forms(system: str) -> tuple[str, str]:
    platform, _, machine = marker(system).partition(" and ")
    return f"{machine} and {platform}", f"{platform} and {machine}"


def _same_marker(text: str, system: str) -> bool:
    return any(form in text for form in _marker_forms(system))
