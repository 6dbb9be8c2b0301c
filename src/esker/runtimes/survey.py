"""What `esker doctor` finds: each thing that Esker needs or can drive, and what to do where it is missing."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Literal

import msgspec

from esker.activate.allocation import expected
from esker.activate.compose.docker_command import check_compose, check_engine
from esker.activate.compose.project import needed_files
from esker.declare import trust
from esker.declare.load import load
from esker.declare.source import source_directories
from esker.errors import EskerError, NoEngine
from esker.formats.systems import SYSTEMS
from esker.host.uv import run_uv, uv_program
from esker.lock.compose import check_layers
from esker.runtimes import registry
from esker.runtimes.foreign.preparation import declaration_of
from esker.runtimes.foreign.result import obstacles
from esker.services.addresses import container_ports
from esker.services.compose.unreadable import named_containers
from esker.services.graph import without_containers
from esker.services.specification import specify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from esker.declare.declaration import Declaration
    from esker.settings import Settings

__all__ = ["Finding", "survey", "survey_project"]

_ROOMY = 1 << 30
_DESCRIPTORS = 1024
_DRIVEN = {
    "flox": "not needed; where it is there, `esker.flox` drives it, unless ESKER_ENGINE=native",
    "nix": "not needed; it gives the environment of a flake.nix or shell.nix",
    "guix": "not needed; it gives the environment of a manifest.scm",
    "docker": "not needed; with Compose v2 it runs services of a Compose file",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked for."""

    name: str
    state: Literal["ok", "absent", "missing"]
    """`missing` means that Esker needs it; `absent` means that Esker works without it."""
    detail: str
    mend: str | None = None


def survey(settings: Settings, path: str | None) -> list[Finding]:
    """Return what this machine has, with the programs on `path` (a PATH); changes nothing and runs no project code."""
    return [*_needed(settings), *_useful(path)]


def survey_project(project: str, settings: Settings, runtime: str | None = None) -> list[Finding]:
    """Return by which declaration the environment in `project` goes, and what keeps it or its services from working.

    The declaration is that for `runtime`, or else the first that counts. Nothing of the project runs. What is found
    under the name of a program counts instead of what `survey` says of it.
    """
    declarations = registry.declarations().items()
    present = {name: kind for name, kind in declarations if _is_there(f"{project}/{name}")}
    first = next((name for name, kind in present.items() if runtime in {None, kind}), "")
    kind = present.get(first, "native")
    if kind != "native":
        detail = f"`{first}` in {project}, for the runtime `{kind}`"
        checked = declaration_of(project, kind, settings)
        return [
            Finding(name="environment", state="ok", detail=detail, mend=_choice(first, present)),
            *map(_obstacle, obstacles(checked, kind, settings, check=_trusted(project, settings, first))),
            *_engine(checked, settings),
        ]
    try:
        declaration = load(project)
        check_layers(declaration)
        if declaration.esker.python is not None:
            source_directories(project, declaration.esker.python.source)
    except EskerError as error:
        return [_obstacle(error, "environment")]
    detail = f"`{declaration.name}` in {project}"
    kind = declaration.esker.runtime
    if kind != "native":
        detail += f", with the toolchain of the runtime `{kind}`"
    environment = Finding(name="environment", state="ok", detail=detail, mend=_choice(first, present))
    if kind == "native":
        return [environment, *_engine(declaration, settings)]
    found = obstacles(declaration, kind, settings, check=partial(trust.check_contents, project, settings))
    return [environment, *map(_obstacle, found), *_engine(declaration, settings)]


def _engine(declaration: Declaration, settings: Settings) -> Iterator[Finding]:
    """Yield what keeps the services of a project's Compose file from starting, and what works all the same."""
    has_compose = False
    try:
        if needed_files(declaration, settings, settings.caller):
            check_compose(settings.caller)
            has_compose = True
            check_engine(settings.caller)
    except NoEngine as error:
        works = _without_engine(declaration, settings, has_compose=has_compose)
        detail = f"services of this project run in containers: {error.message}"
        yield Finding(name="docker", state="missing", detail=detail, mend=f"{error.hint}; {works}")
    except EskerError as error:
        yield _obstacle(error, "docker")


def _without_engine(declaration: Declaration, settings: Settings, *, has_compose: bool) -> str:
    """Return what works in a project with a Compose file where there is no engine, and perhaps no Compose."""
    try:
        processes = specify(declaration, settings.system, expected(declaration, settings))
        alone = without_containers({**named_containers(declaration, processes), **processes})
    except EskerError:  # a start says what is wrong with them
        alone = []
    works = "activate the environment"
    if alone:
        works += f", and start what needs no container: esker services start {shlex.join(alone)}"
    mapped = [name for names in container_ports(declaration).values() for name in names]
    if has_compose or not mapped:
        return f"without it you can {works}"
    return f"as `{mapped[0]}` is a port of a container, only if Compose has read its present files you can {works}"


def _is_there(path: str) -> bool:
    return os.path.isdir(path) if path.endswith("/") else os.path.exists(path)


def _trusted(project: str, settings: Settings, declared: str) -> Callable[[Iterable[str]], object]:
    return partial(trust.check_files, project, settings, declared)


def _obstacle(error: EskerError, name: str = "toolchain") -> Finding:
    """Return what an activation would fail at."""
    place = f"{error.place}: " if error.place else ""
    return Finding(name=name, state="missing", detail=f"{place}{error.message}", mend=error.hint)


def _choice(first: str, present: Mapping[str, str]) -> str | None:
    """Return which of several declarations counts, why, and how to choose another."""
    runtime = present.get(first)
    named: dict[str, str] = {}
    for name, kind in present.items():
        if kind != runtime:
            named.setdefault(kind, name)
    beside = [f"`{name}` (--runtime {kind})" for kind, name in named.items()]
    if not beside:
        return None
    order = ", ".join(name.rstrip("/") for name in registry.declarations())
    return f"`{first}` counts before {', '.join(beside)}: the order is {order}"


def _needed(settings: Settings) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    yield Finding(name="interpreter", state="ok", detail=f"Python {version}, {base}")
    yield _system(settings.system)
    yield _uv(settings.tools)
    yield _store(settings.store_root)


def _useful(path: str | None) -> Iterator[Finding]:
    yield _bash(path)
    yield _namespaces(path)
    yield _descriptors()
    for program, why in _DRIVEN.items():
        found = shutil.which(program, path=path)
        yield (
            Finding(name=program, state="ok", detail=found)
            if found
            else Finding(name=program, state="absent", detail="not on PATH", mend=why)
        )


def _system(system: str) -> Finding:
    if system in SYSTEMS:
        return Finding(name="system", state="ok", detail=system)
    known = ", ".join(SYSTEMS)
    return Finding(name="system", state="missing", detail=f"`{system}` is not supported", mend=f"supported: {known}")


def _uv(tools: Mapping[str, str]) -> Finding:
    try:
        program = uv_program()
        run_uv(["help"], tools, cwd="/", timeout=20)
    except EskerError as error:
        mend = error.hint or "install it again: python -m pip install --force-reinstall uv"
        return Finding(name="uv", state="missing", detail=error.message, mend=mend)
    return Finding(name="uv", state="ok", detail=program)


def _store(store: str) -> Finding:
    place = store
    while not os.path.exists(place):
        place = os.path.dirname(place)
    free = shutil.disk_usage(place).free
    room = f"{store}, {free / (1 << 30):.1f} GiB free"
    if not os.access(place, os.W_OK):
        mend = "make it writable, or name another directory in ESKER_STORE"
        return Finding(name="store", state="missing", detail=f"`{place}` is not writable", mend=mend)
    if free < _ROOMY:
        return Finding(name="store", state="missing", detail=room, mend="free some space: esker store gc")
    return Finding(name="store", state="ok", detail=room)


def _bash(path: str | None) -> Finding:
    found = shutil.which("bash", path=path)
    if found:
        return Finding(name="bash", state="ok", detail=found)
    mend = "install bash: hooks, profile scripts and interactive shells need it"
    return Finding(name="bash", state="absent", detail="not on PATH", mend=mend)


def _namespaces(path: str | None) -> Finding:
    mend = "only root's services need them, where their user cannot enter the project: allow them (sysctl)"
    unshare = shutil.which("unshare", path=path)
    if unshare is None:
        return Finding(name="namespaces", state="absent", detail="no `unshare` to try them with", mend=mend)
    done = subprocess.run([unshare, "--user", "--mount", "true"], capture_output=True, check=False, timeout=20)
    if done.returncode != 0:
        return Finding(name="namespaces", state="absent", detail="user namespaces are refused", mend=mend)
    return Finding(name="namespaces", state="ok", detail="user and mount namespaces are allowed")


def _descriptors() -> Finding:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    detail = f"{soft} open files (up to {limit})"
    if soft < _DESCRIPTORS:
        return Finding(name="rlimits", state="absent", detail=detail, mend=f"raise it: ulimit -n {_DESCRIPTORS}")
    return Finding(name="rlimits", state="ok", detail=detail)
