"""What `esker doctor` finds: each thing that Esker needs or can drive, and what to do where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Literal

import msgspec

from esker.activate.program_of_tool import program_of_tool
from esker.declare.load import load
from esker.declare.source import source_directories
from esker.errors import EskerError
from esker.formats.systems import SYSTEMS
from esker.host.uv import run_uv, uv_program
from esker.lock.compose import check_layers
from esker.runtimes import registry
from esker.runtimes.foreign.result import tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def survey_project(project: str, path: str | None) -> Finding:
    """Return whether the environment in `project` can be read, and by which declaration it goes; runs nothing of it.

    `path` is the PATH on which the tool of a declaration is looked for.
    """
    present = {
        name: runtime
        for name, runtime in registry.declarations().items()
        if (os.path.isdir if name.endswith("/") else os.path.exists)(f"{project}/{name}")
    }
    if present and not os.path.isdir(f"{project}/.flox"):
        return _of_tool(project, present, path)
    try:
        declaration = load(project)
        check_layers(declaration)
        if declaration.esker.python is not None:
            source_directories(project, declaration.esker.python.source)
    except EskerError as error:
        place = f"{error.place}: " if error.place else ""
        return Finding(name="environment", state="missing", detail=f"{place}{error.message}", mend=error.hint)
    detail = f"`{declaration.name}` in {project}"
    if declaration.esker.runtime != "native":
        detail += f", with the toolchain of the runtime `{declaration.esker.runtime}`"
    return Finding(name="environment", state="ok", detail=detail, mend=_choice(present))


def _of_tool(project: str, present: Mapping[str, str], path: str | None) -> Finding:
    """Return what is found of a project that is declared for another tool, without `.flox`."""
    declared, runtime = next(iter(present.items()))
    detail = f"`{declared}` in {project}, for the runtime `{runtime}`"
    program = tool(runtime).program if registry.RUNTIMES[runtime].tool is not None else ""
    if program and program_of_tool(program, path) is None:
        detail += f", but `{program}` is not on PATH"
        return Finding(name="environment", state="missing", detail=detail, mend=f"install {program}")
    return Finding(name="environment", state="ok", detail=detail, mend=_choice(present))


def _choice(present: Mapping[str, str]) -> str | None:
    """Return which of several declarations counts, and how to choose another."""
    (first, runtime), *others = [*present.items()] or [("", "")]
    named = {other: name for name, other in reversed(others) if other != runtime}
    beside = [f"`{name}` (--runtime {other})" for other, name in reversed(named.items())]
    return f"`{first}` counts before {', '.join(beside)}" if beside else None


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
