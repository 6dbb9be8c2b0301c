"""The project's own uv.lock: what it holds is taken over where it covers what is declared, and not resolved again.

uv itself says whether its lock is up to date, and turns it into one of PEP 751; both without a network and in a few
milliseconds. The indexes of this machine do not count for that, as they do not for a lock of ours: an address in a lock
is a hint, and the hash decides. A lock that is up to date and does not cover everything gives its versions to the
resolution here. uv.lock is only read.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from esker.errors import CommandFailed, EskerError, InvalidFile, InvalidLock
from esker.formats import pylock, uv_lock
from esker.formats.syntax import read_toml
from esker.formats.systems import marker_values
from esker.formats.toml_values import inline
from esker.formats.untrusted import LARGEST_MANIFEST, toml_table
from esker.formats.urls import redact, redact_repository
from esker.host import files
from esker.host.scratch import scratch
from esker.host.uv import run_uv, uv_command
from esker.lock.directory_metadata import directory_sources
from esker.lock.edges import with_edges
from esker.lock.locked_sources import check_hashes, check_sources, is_from_source, relocated
from esker.lock.pyproject import table_of
from esker.lock.uv_settings import fits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from packaging.pylock import Package, Pylock

    from esker.declare.declaration import Declaration
    from esker.lock.pyproject import Pyproject
    from esker.lock.uv_sources import Source

__all__ = ["UvLocked", "uncovered", "uv_lock_digest", "uv_lock_path", "uv_locked"]

_INDEXES = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_RECORDED = (
    "dependency-metadata",
    "exclude-newer",
    "exclude-newer-package",
    "fork-strategy",
    "prerelease",
    "resolution",
)
"""Settings that uv compares with those in its lock, besides what it reads from the project itself."""
_BY_BACKEND = ("dependencies", "optional-dependencies", "requires-python")
_MAC_MACHINES = {"arm64": ("arm64", "universal2"), "x86_64": ("x86_64", "universal2", "intel")}


class _Unusable(Exception):
    """Why a uv.lock cannot be used."""


class UvLocked(NamedTuple):
    """What a uv.lock gives a project."""

    lock: Pylock | None = None
    """The packages of the chosen groups and extras, for the Pythons of uv.lock; None if it cannot be used."""
    reason: str = ""
    """Why it cannot be used; empty if it can, or if there is no uv.lock."""
    environments: tuple[str, ...] = ()
    """PEP 508 markers of the platforms that it is for; none if it is for all."""


def uv_lock_path(project: Pyproject) -> str:
    """Return where the uv.lock of a project is, if it has one."""
    return f"{os.path.dirname(project.path)}/uv.lock"


def uv_lock_digest(project: Pyproject) -> str:
    """Return the hash of a project's uv.lock, as `sha256:<hex>`; empty if it has none."""
    path = uv_lock_path(project)
    if not os.path.lexists(path):
        return ""
    return f"sha256:{hashlib.sha256(files.read(path)).hexdigest()}"


def uv_locked(declaration: Declaration, project: Pyproject, executable: str, tools: Mapping[str, str]) -> UvLocked:
    """Return what the uv.lock beside the pyproject.toml of `declaration` gives it.

    `executable` is a Python that the project allows, and `tools` are the variables that uv is run with.
    """
    if not os.path.lexists(uv_lock_path(project)):
        return UvLocked()
    check_sources(project.uv.sources)
    try:
        content = uv_lock.parse(files.read_text(uv_lock_path(project), InvalidLock))
        _check_project(declaration, project)
        lock = _exported(declaration, project, executable, tools)
        _check_declared(lock, project)
    except _Unusable as unusable:
        return UvLocked(reason=str(unusable))
    except InvalidLock as error:
        return UvLocked(reason=error.message)
    check_hashes(lock, project.uv.sources)
    return UvLocked(with_edges(lock, content), environments=content.supported_markers)


def uncovered(locked: UvLocked, inputs: pylock.Inputs, declaration: Declaration, minors: Iterable[str]) -> str:
    """Return why a uv.lock does not cover all of `inputs`, with each of the `minors` of Python; empty if it does."""
    python = declaration.esker.python
    assert python is not None
    assert locked.lock is not None
    if python.dependencies:
        return "`dependencies` of the manifest are not in it"
    for system in inputs.systems:
        if locked.environments and not any(fits(each, system) for each in locked.environments):
            return f"its `environments` leave out `{system}`"
        for minor in minors:
            missing = _without_wheel(locked.lock, inputs.build, system, minor)
            if missing is not None:
                return f"`{missing.name}` {missing.version} has no wheel for Python {minor} on `{system}`"
    return ""


def _check_project(declaration: Declaration, project: Pyproject) -> None:
    """Raise _Unusable if uv would not read the lock beside the pyproject.toml, or would run code of the project."""
    on_disk = files.read_text(project.path, InvalidFile, limit=LARGEST_MANIFEST)
    if declaration.pyproject not in {None, on_disk}:
        raise _Unusable(f"it does not have this change; to add it: {uv_command()} lock")
    table = toml_table(on_disk).get("project")
    dynamic = table.get("dynamic") if isinstance(table, dict) else None
    if isinstance(dynamic, list) and any(each in _BY_BACKEND for each in dynamic):
        raise _Unusable("the project has `dynamic` dependencies, which only its build backend can tell")
    directory = os.path.dirname(os.path.abspath(project.path))
    while (above := os.path.dirname(directory)) != directory:
        directory = above
        other = f"{directory}/pyproject.toml"
        if os.path.lexists(other) and _is_workspace(other):
            raise _Unusable(f"`{other}` is the root of a workspace, so uv does not read it")


def _is_workspace(path: str) -> bool:
    """Return whether a pyproject.toml is the root of a workspace; one that cannot be read may be."""
    try:
        content = read_toml(files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST), path)
    except EskerError:
        return True
    return "workspace" in table_of(content, "tool", "uv")


def _exported(declaration: Declaration, project: Pyproject, executable: str, tools: Mapping[str, str]) -> Pylock:
    """Return the chosen part of the uv.lock of a project; raises _Unusable if uv finds it out of date."""
    python, place = declaration.esker.python, os.path.dirname(project.path)
    assert python is not None
    chosen = [word for name in python.groups for word in ("--group", name)]
    chosen += [word for name in python.extras for word in ("--extra", name)]
    variables = {name: value for name, value in tools.items() if not name.startswith(_INDEXES)}
    with scratch("uv-lock") as directory:
        # Else uv starts the Python in the project's `.venv`, to ask for its version.
        variables["UV_PROJECT_ENVIRONMENT"] = f"{directory}/none"
        configuration, exported = f"{directory}/uv.toml", f"{directory}/pylock.toml"
        taken = project.uv.taken
        with files.refused("write", configuration), open(configuration, "x", encoding="utf-8") as file:
            file.writelines(f"{key} = {inline(taken[key])}\n" for key in _RECORDED if key in taken)
        # With a file of its own, uv reads neither one that lies in a directory above nor the indexes of the project.
        common = ["--offline", "--config-file", configuration, "--python", executable]
        export = ["export", "--frozen", "--no-emit-project", "--no-default-groups", *chosen]
        try:
            # What is built has been asked trust for; a project without such sources runs nothing.
            run_uv(["lock", "--check", *common, *([] if project.uv.built else ["--no-build"])], variables, cwd=place)
            form = ["--format", "pylock.toml", "--no-header", "-o", exported]
            run_uv([*export, *form, *common], variables, cwd=place)
        except CommandFailed as failure:
            raise _Unusable(f"uv finds it out of date; to bring it up to date: {uv_command()} lock") from failure
        lock = pylock.parse(files.read_text(exported, InvalidLock))
        return relocated(lock, project.uv.sources, os.path.realpath(directory), project.uv.lock_directory)


def _check_declared(lock: Pylock, project: Pyproject) -> None:
    """Raise _Unusable if a lock takes a package from a place that the project does not name.

    uv compares its lock with what is declared, but believes what the lock says of where each package comes from.
    """
    sources = [*project.uv.sources, *directory_sources(project.uv.sources).values()]
    for package in lock.packages:
        if is_from_source(package) and not any(_is_from(package, it, project.uv.lock_directory) for it in sources):
            raise _Unusable(f"it takes `{package.name}` from a place that [tool.uv.sources] does not name")


def _is_from(package: Package, source: Source, directory: str) -> bool:
    """Return whether a package in the lock in `directory` comes from `source`."""
    if package.name != source.name:
        return False
    address = source.address.partition("#")[0]
    archive, path = package.archive, package.directory.path if package.directory is not None else None
    if package.vcs is not None:
        return source.kind == "git" and redact_repository(package.vcs.url or "") == redact_repository(address)
    if archive is not None and archive.url is not None:
        return source.kind == "url" and redact(archive.url) == redact(address)
    path = archive.path if archive is not None else path
    is_same = path is not None and os.path.realpath(os.path.join(directory, path)) == os.path.realpath(address)
    return source.kind == "path" and is_same


def _without_wheel(lock: Pylock, build: Sequence[str], system: str, minor: str) -> Package | None:
    """Return a package that is installed on a system and has no wheel for it; None if there is none."""
    values = marker_values(system, minor)
    release = (3, int(minor.partition(".")[2]))
    tags = [*cpython_tags(release, platforms=["any"]), *compatible_tags(release, f"cp3{release[1]}", ["any"])]
    known = {(tag.interpreter, tag.abi) for tag in tags}
    for package in lock.packages:
        if is_from_source(package) or package.name in build:
            continue
        if package.marker is not None and not package.marker.evaluate(values):
            continue
        names = [parse_wheel_filename(wheel.filename)[3] for wheel in package.wheels or ()]
        if not any((t.interpreter, t.abi) in known and _runs_on(t.platform, system) for tags in names for t in tags):
            return package
    return None


def _runs_on(platform: str, system: str) -> bool:
    """Return whether the platform in a wheel's name is that of a system, whatever version of it the wheel needs."""
    if platform == "any":
        return True
    values = marker_values(system)
    machine = values["platform_machine"]
    if values["sys_platform"] == "darwin":
        return platform.startswith("macosx_") and platform.endswith(_MAC_MACHINES[machine])
    return platform.startswith(("linux_", "manylinux")) and platform.endswith(f"_{machine}")
