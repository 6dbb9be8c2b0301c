"""The Python part of a lock: from requirements to pinned, hashed wheels for every declared system.

uv resolves them in a throw-away project: `uv lock` does it once for all systems (`environments`,
`required-environments`). `uv pip compile --universal` is no way to do it: where a package has no wheel for a declared
system, it locks the package all the same and does not say so.
"""

from __future__ import annotations

import dataclasses
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from esker.declare.missing_packages import named
from esker.errors import CommandFailed, ResolutionFailed
from esker.formats import pylock, uv_lock
from esker.formats.systems import declared_systems, marker
from esker.formats.toml_values import inline
from esker.host import files
from esker.host.scratch import scratch
from esker.host.uv import run_uv, run_uv_asking_again
from esker.lock.directory_metadata import directory_sources
from esker.lock.edges import with_edges
from esker.lock.extras import missing_extras, provided_extras
from esker.lock.locked_sources import check_hashes, check_sources, files_of_lock, is_from_source, relocated
from esker.lock.own_project import own_project
from esker.lock.preferences import preferences
from esker.lock.pyproject import read_pyproject
from esker.lock.pythons import allowed_pythons, minors_within, one_minor
from esker.lock.refusals import explained
from esker.lock.source_refusals import source_refusal
from esker.lock.uv_lock import uv_lock_digest
from esker.lock.uv_settings import UvSettings, fits
from esker.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from packaging.pylock import Pylock

    from esker.declare.declaration import Declaration, PythonTable
    from esker.host.interpreters import Interpreter
    from esker.lock.conda.lock_file import CondaLock
    from esker.lock.pyproject import Pyproject
    from esker.progress import Progress

__all__ = ["python_inputs", "resolve", "resolve_build"]


def python_inputs(
    declaration: Declaration,
    system: str,
    indexes: tuple[str, ...],
    locked: pylock.Inputs | None = None,
    conda: CondaLock | None = None,
) -> pylock.Inputs | None:
    """Return what the Python lock of `declaration` is made from, or None when it declares no Python.

    The lock `conda` of the conda packages may have the Python that the wheels are for. `indexes` are the package
    indexes that this machine adds to the default one, without credentials. A manifest that declares no systems is
    locked for the default ones and for this machine's `system`; the systems that other machines have added to the lock
    (`locked`) stay.
    """
    python = declaration.esker.python
    if python is None:
        return None
    declared = declaration.manifest.options.systems
    systems = declared_systems(declared, system)
    if declared is None and locked is not None:
        systems = tuple(sorted({*systems, *locked.systems}))
    project, own = read_pyproject(declaration), own_project(declaration)
    settings = project.uv if project else UvSettings()
    if declared is None and settings.environments:
        allowed = [name for name in systems if any(fits(each, name) for each in settings.environments)]
        systems = tuple(sorted({*allowed, system}))
    return pylock.Inputs(
        requirements=tuple(sorted(_requirements(python, project))),
        python=allowed_pythons(declaration, conda).specifier,
        systems=systems,
        build=tuple(sorted(python.build)),
        indexes=indexes,
        build_system=own.requirements if own else (),
        settings=settings.lines,
        files=tuple(files_of_lock(project)) if project else (),
        uv_lock=uv_lock_digest(project) if project else "",
    )


def resolve(  # noqa: PLR0913  # each is a value of its own, from another place
    inputs: pylock.Inputs,
    interpreter: Interpreter,
    tools: Mapping[str, str],
    *,
    previous: Pylock | None = None,
    changed: frozenset[str] = frozenset(),
    firm: frozenset[str] = frozenset(),
    upgrade: bool | frozenset[str] = False,
    every_python: bool = False,
    settings: UvSettings | None = None,
    progress: Progress | None = None,
) -> Pylock:
    """Return the lock of `inputs` for the interpreter's minor version or, with `every_python`, for all of its range.

    A version that `previous` pins stays, unless its package is among `changed` or the version fits no more; those of
    the packages `firm` stay in any case. `upgrade` says which packages are to be as new as the index has them now, all
    or those of these names: for them, no page counts that was kept. `tools` are the variables that uv is run with.
    `settings` are those of the project's own file. `progress` hears of extras that their packages do not have, and of
    pinned packages that had to move. Raises `ResolutionFailed`, which names package and system, and `HostError` when no
    index can be reached.
    """
    resolution = _Resolution(
        inputs=inputs,
        executable=interpreter.executable,
        minor="{}.{}".format(*interpreter.release),
        every_python=every_python,
        tools=tools,
        progress=progress or Silent(),
        settings=settings or UvSettings(),
        refresh=() if tools.get("UV_OFFLINE") else _refresh(upgrade),
    )
    check_sources(resolution.settings.sources)
    for remark in resolution.settings.unused:
        resolution.progress.remark(remark)
    for system in inputs.systems if resolution.settings.environments else ():
        if not any(fits(each, system) for each in resolution.settings.environments):
            resolution.progress.remark(
                f"`{system}` is in `options.systems` and in none of the `environments` of [tool.uv]: "
                "it is locked all the same"
            )
    pins = _pins(previous, changed)
    lock = _with_pins(resolution, pins, firm)
    if moved := _moved(pins, lock):
        verb = "its locked version does" if len(moved) == 1 else "their locked versions do"
        resolution.progress.remark(f"{named(moved)} had to move: {verb} not fit what is asked for now")
    return lock


def resolve_build(
    requirements: Iterable[str],
    pins: Iterable[str],
    inputs: pylock.Inputs,
    interpreter: Interpreter,
    tools: Mapping[str, str],
    *,
    every_python: bool,
    settings: UvSettings,
) -> Pylock:
    """Return the lock of what a build needs, for the systems and Pythons of `inputs`, as `resolve` does.

    The versions in the lines `pins` stay while they fit.
    """
    taken = {key: value for key, value in settings.taken.items() if not key.endswith("-dependencies")}
    taken["constraint-dependencies"] = list(settings.build_constraints)
    resolution = _Resolution(
        inputs=msgspec.structs.replace(inputs, requirements=tuple(sorted(requirements)), build=()),
        executable=interpreter.executable,
        minor="{}.{}".format(*interpreter.release),
        every_python=every_python,
        tools=tools,
        progress=Silent(),
        settings=UvSettings(taken=taken, lock_directory=settings.lock_directory),
    )
    return _with_pins(resolution, [line.partition(" --hash=")[0] for line in pins])


def _with_pins(resolution: _Resolution, pins: list[str], firm: frozenset[str] = frozenset()) -> Pylock:
    """Return the lock with the versions of `pins`, of which those give way that stand in the way of a requirement.

    The pins of the packages `firm` never do.
    """
    sources = resolution.settings.sources
    if pins:
        try:
            return resolution.lock(pins)
        except CommandFailed as failure:
            error = source_refusal(failure.output, sources) or explained(failure, resolution.inputs)
            if not isinstance(error, ResolutionFailed):
                raise error from failure
    try:
        return resolution.lock([pin for pin in pins if Requirement(pin).name in firm], preferred=pins)
    except CommandFailed as failure:
        refusal = source_refusal(failure.output, sources)
        raise refusal or explained(failure, resolution.inputs, resolution) from failure


def _moved(pins: Iterable[str], lock: Pylock) -> list[str]:
    """Return the names of packages that are in the lock, but in no version of the pins."""
    pinned: dict[str, set[str]] = {}
    for requirement in map(Requirement, pins):
        pinned.setdefault(requirement.name, set()).update(each.version for each in requirement.specifier)
    locked = {each.name: str(each.version) for each in lock.packages if each.version is not None}
    return sorted(name for name, version in locked.items() if version not in pinned.get(name, {version}))


def _requirements(python: PythonTable, project: Pyproject | None) -> list[str]:
    found = [_checked(text, "the manifest") for text in python.dependencies]
    return found + ([_checked(text, project.path) for text in project.wanted] if project else [])


def _checked(text: str, where: str) -> str:
    """Return a requirement that an index or a source of the project can satisfy."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ResolutionFailed(
            f"`{text}` in {where} is not a requirement: {error}", hint="write for example `pandas>=2`"
        ) from error
    if requirement.url is not None:
        raise ResolutionFailed(
            f"`{requirement.name}` is asked for by address in the manifest, where packages come from an index",
            hint='name its source in a pyproject.toml, and that file in `project = "pyproject.toml"`; '
            'the project\'s own code goes on the path with source = ["src"]',
        )
    return str(requirement)


def _pins(previous: Pylock | None, changed: frozenset[str]) -> list[str]:
    """Return what keeps versions as they are; what does not come from an index has the version of its source."""
    if previous is None:
        return []
    return [
        f"{package.name}=={package.version}" + (f" ; {package.marker}" if package.marker else "")
        for package in previous.packages
        if package.version is not None and package.name not in changed and not is_from_source(package)
    ]


def _refresh(upgrade: bool | frozenset[str]) -> tuple[str, ...]:  # noqa: FBT001  # what `lock --upgrade` has in place of names
    """Return the options of uv that have the index asked; else an older page could make an upgrade a downgrade."""
    if isinstance(upgrade, frozenset):
        return tuple(word for name in sorted(upgrade) for word in ("--refresh-package", name))
    return ("--refresh",) if upgrade else ()


_PROBES = 5
"""How many other Pythons are tried after a failure that Python's version may have caused; each takes 0.1 to 0.9 s."""


class _Resolution(NamedTuple):
    """What uv is asked to lock, and with what."""

    inputs: pylock.Inputs
    executable: str
    minor: str
    """The minor version of the interpreter, which the lock is for."""
    every_python: bool
    """Whether it is for every Python in the inputs' range instead."""
    tools: Mapping[str, str]
    progress: Progress
    settings: UvSettings = UvSettings()
    refresh: tuple[str, ...] = ()
    """The options of uv for the pages of the index that are asked for again."""

    def lock(self, pins: list[str], *, preferred: Sequence[str] = ()) -> Pylock:
        """Return the lock, with the versions of `pins`; raises CommandFailed if there is none.

        The versions of the pins `preferred` are taken where the requirements allow them.
        """
        within = "" if self.every_python else one_minor(self.minor)
        minors = minors_within(self.inputs.python) if self.every_python else ()
        requires_python = ",".join(filter(None, (self.inputs.python, within)))
        project = self._project(requires_python, self._markers(minors), pins)
        previous = preferences(preferred, requires_python, self.settings.taken) if preferred else None
        with _scratch_directory(project, previous) as directory:
            messages = run_uv_asking_again(
                ["lock", "--python", self.executable, *self.refresh], self.tools, cwd=directory
            )
            exported = "pylock.toml"
            arguments = ["--frozen", "--no-emit-project", "--format", "pylock.toml", "--no-header", "-o", exported]
            self._run("export", *arguments, cwd=directory)
            with open(os.path.join(directory, exported), encoding="utf-8") as file:
                lock = pylock.parse(file.read(), exported)
            with open(os.path.join(directory, "uv.lock"), encoding="utf-8") as file:
                lock = with_edges(lock, uv_lock.parse(file.read()))
            lock = relocated(lock, self.settings.sources, os.path.realpath(directory), self.settings.lock_directory)
        check_hashes(lock, self.settings.sources)
        for missing in missing_extras(messages, self.inputs):
            configuration = self.settings.configuration()
            extras = provided_extras(missing.name, missing.version, self.executable, self.tools, configuration)
            self.progress.remark(missing.told(extras))
        # uv writes a range in its own words, with which the declared one could not be compared.
        return dataclasses.replace(lock, requires_python=SpecifierSet(within or self.inputs.python))

    def fitting_python(self) -> str | None:
        """Return a minor version of Python near this one for which there is a lock, or None if none is found.

        Where the lock is to be for every Python, this one is asked for alone.
        """
        major, number = map(int, self.minor.split("."))
        near = sorted(range(number - _PROBES, number + _PROBES), key=lambda other: (abs(other - number), other))
        others = [f"{major}.{other}" for other in near[1 : _PROBES + 1]]
        return next((minor for minor in ([self.minor] if self.every_python else others) if self._fits(minor)), None)

    def newest(self, name: str) -> str | None:
        """Return the newest version of a package that can be locked alone, or None if none can."""
        alone = msgspec.structs.replace(self.inputs, requirements=(name,))
        try:
            lock = self._replace(inputs=alone).lock([])
        except CommandFailed:
            return None
        return next((str(each.version) for each in lock.packages if each.name == canonicalize_name(name)), None)

    def _fits(self, minor: str) -> bool:
        """Return whether there is a lock for another Python; its interpreter need not be on this machine.

        uv asks only that its own interpreter is in the project's range, so the markers alone say for which Python.
        """
        project = self._project(f">={minor.partition('.')[0]}", self._markers((minor,)), [])
        with _scratch_directory(project) as directory:
            try:
                self._run("lock", cwd=directory)
            except CommandFailed:
                return False
        return True

    def _markers(self, minors: tuple[str, ...]) -> list[str]:
        """Return the markers of the environments that need a wheel of every package: each system, with each Python.

        Without Pythons, uv is content with a wheel for some Python of its project's range.
        """
        systems = [each for system in self.inputs.systems for each in self._places(system)]
        pythons = [f"python_version == '{minor}' and " for minor in minors] or [""]
        return [python + system for python in pythons for system in systems]

    def _places(self, system: str) -> list[str]:
        """Return the markers of a system, within the project's `environments` if one of them is true there."""
        within = [each for each in self.settings.environments if fits(each, system)]
        return [f"({marker(system)}) and ({each})" for each in within] or [marker(system)]

    def _run(self, command: str, *arguments: str, cwd: str) -> str:
        return run_uv([command, "--python", self.executable, *arguments], self.tools, cwd=cwd)

    def _project(self, requires_python: str, markers: list[str], pins: list[str]) -> str:
        """Return the pyproject.toml of a throw-away project."""
        taken = {**self.settings.taken}
        constraints = [*taken.pop("constraint-dependencies", []), *pins]
        built = {*self.inputs.build, *self.settings.built, *directory_sources(self.settings.sources)}
        sources: dict[str, list[str]] = {}
        for source in self.settings.sources:
            sources.setdefault(source.name, []).append(source.table())
        return "\n".join(
            [
                "[project]",
                'name = "esker-environment"',
                'version = "0"',
                f"requires-python = {json.dumps(requires_python)}",
                f"dependencies = {json.dumps(self.inputs.requirements)}",
                "[tool.uv]",
                "package = false",
                f"environments = {json.dumps(markers)}",
                f"required-environments = {json.dumps(markers)}",
                f"constraint-dependencies = {inline(constraints)}",
                "no-build = true",
                f"no-binary-package = {inline(sorted(built))}",
                *(f"{key} = {inline(value)}" for key, value in taken.items()),
                "[tool.uv.sources]",
                *(f"{name} = [{', '.join(tables)}]" for name, tables in sources.items()),
                "[tool.uv.workspace]",  # else it joins a project that somebody has put into the directory above
                "",
            ]
        )


@contextmanager
def _scratch_directory(project: str, lock: str | None = None) -> Iterator[str]:
    """Give a temporary directory with `project` as its pyproject.toml, and with `lock` as its uv.lock."""
    with scratch("lock") as directory, files.refused("lock packages in", directory):
        for name, text in (("pyproject.toml", project), ("uv.lock", lock)):
            if text is not None:
                with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                    file.write(text)
        yield directory
