"""Bringing the `.venv` of a Python project up to date, without ever taking away what somebody else has made.

One that Esker has made holds a file with its path. It is filled again after a change, and made anew if its Python is gone
or not allowed any more, or if it is a copy. One that a person has made by `uv sync`, in a project with `uv.lock`, gets what the lock says,
as each `uv run` would do, but nothing is removed from it. Every other one is used as it is.
"""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from esker.errors import ActivationFailed, EskerError, InvalidFile, NotFound, Problem
from esker.host import files
from esker.host.uv import run_uv_asking_again
from esker.runtimes.venv import by_uv, directory
from esker.runtimes.venv.locked import check_lock, check_requirements
from esker.runtimes.venv.requirements import deciding_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.progress import Progress
    from esker.runtimes.venv.project import PythonProject
    from esker.settings import Settings

__all__ = ["fill", "obstacles"]

_MARK = ".made-by-esker"
_NUMBERS = 100
"""More than any minor or micro version of Python 3 has."""


def fill(project: PythonProject, settings: Settings, progress: Progress) -> None:
    """Make the project's `.venv` if there is none, and install what is missing, unless a person has made it by hand.

    Raises VenvFailed with uv's words, InvalidFile for a specifier or requirement that is none, and ActivationFailed for
    a `.venv` made by a person that cannot be used, and for a uv.lock that is older than what the project declares.
    """
    venv = project.venv
    if _is_a_persons(venv):
        _use(project, settings, progress)
        return
    _check_declared(project)
    is_to_be_made = _is_to_be_made(project)
    with by_uv.failing(f"cannot make `{venv}`"):
        if is_to_be_made:
            by_uv.check_place(venv)
            interpreter = _interpreter(project, settings, progress)
            progress.begin(f"Making {venv}")
            by_uv.make(venv, interpreter, settings, anew=directory.exists(venv))
            files.write(f"{venv}/{_MARK}", os.fsencode(venv), mode=0o644)
            progress.finish(f"{venv}, with Python {directory.version(venv)}")
    _install(project, settings, progress, exact=not project.is_shared)


def obstacles(project: PythonProject, settings: Settings) -> Iterator[EskerError]:
    """Yield what `fill` would fail at, as far as it shows without uv; nothing is made or fetched."""
    try:
        if _is_a_persons(project.venv):
            _check_usable(project)
            if project.is_locked and directory.is_made_by_uv(project.venv):
                _check_declared(project)
            return
        _check_declared(project)
        if _is_to_be_made(project):
            by_uv.check_place(project.venv)
            _interpreter(project, settings)
    except EskerError as error:
        yield error


def _check_declared(project: PythonProject) -> None:
    """Raise the error for requirements that cannot be read, or that uv.lock does not have."""
    if project.is_locked:
        check_lock(project.root)
    elif project.source in {"pyproject.toml", "setup.py"}:
        check_requirements(f"{project.directory}/pyproject.toml")


def _is_a_persons(venv: str) -> bool:
    return directory.exists(venv) and not os.path.exists(f"{venv}/{_MARK}")


def _is_to_be_made(project: PythonProject) -> bool:
    venv, allowed = project.venv, _allowed(project)
    return not directory.exists(venv) or not _is_of(venv) or _fault(venv, allowed) is not None


def _interpreter(project: PythonProject, settings: Settings, progress: Progress | None = None) -> str:
    """Return the Python of a project; with `progress`, which hears of it, one that is missing may be fetched."""
    if not _is_satisfiable(SpecifierSet(project.python)):
        hint = "correct the specifier" if len(project.asked) == 1 else "change one of these files: no version meets them all"
        raise NotFound(f"there is no P{project.wanted.removeprefix('a P')}", hint=hint)
    interpreters = settings.interpreters(progress)
    asking = " or ".join(dict.fromkeys(os.path.relpath(file, project.directory) for file, _ in project.asked))
    remedy = f"or change {asking}" if asking else ""
    return by_uv.interpreter_for(project.python, interpreters, settings.tools, wanted=project.wanted, remedy=remedy)


def _is_satisfiable(allowed: SpecifierSet) -> bool:
    """Return whether some Python 3 can meet a specifier, be it one that is not released yet."""
    named = (each.version.removesuffix(".*") for each in allowed if each.operator != "===")
    numbers = (f"3.{minor}.{patch}" for patch in range(_NUMBERS) for minor in range(_NUMBERS))
    candidates = chain((each for each in named if each.startswith("3.")), numbers)
    return any(allowed.contains(each, True) for each in candidates)  # noqa: FBT003


def _is_of(venv: str) -> bool:
    """Return whether an environment of Esker's was made at this path: the scripts of a copy start those of the original."""
    return files.holds(f"{venv}/{_MARK}", os.fsencode(venv))


def _check_usable(project: PythonProject) -> None:
    """Raise ActivationFailed if the `.venv` that a person has made cannot be used."""
    allowed = _allowed(project)
    fault = _fault(project.venv, allowed if project.is_locked else SpecifierSet())
    if fault is not None:
        hint = "it was not made by Esker, which leaves it as it is: if it is not needed, delete it"
        raise ActivationFailed(f"`{project.venv}` cannot be used: {fault}", hint=f"{hint} (rm -r {project.venv})")


def _use(project: PythonProject, settings: Settings, progress: Progress) -> None:
    """Use a `.venv` that a person has made."""
    _check_usable(project)
    venv = project.venv
    if project.is_locked and directory.is_made_by_uv(venv):
        _check_declared(project)
        _install(project, settings, progress, exact=False)
    elif project.source:
        progress.remark(
            f"`{venv}` was not made by Esker, so it is used as it is, and nothing of {project.source} is installed into it; "
            "do that with what made it, or move it away: then Esker makes one"
        )


def _fault(venv: str, allowed: SpecifierSet) -> str | None:
    """Return why a virtual environment cannot be used; None if it can."""
    program = directory.python(venv)
    if not os.access(program, os.X_OK):
        return f"its Python is gone (`{os.path.realpath(program)}`)"
    version = directory.version(venv)
    if version is not None and not allowed.contains(version, True):  # noqa: FBT003
        return f"it is for Python {version}, and the project needs `{allowed}`"
    return None


def _install(project: PythonProject, settings: Settings, progress: Progress, *, exact: bool) -> None:
    if not project.source:
        return
    venv = project.venv
    with by_uv.failing(f"cannot install what {project.source} says into `{venv}`", project.directory):
        progress.begin(f"Installing what {project.source} says into {venv}")
        if project.is_locked:
            command = ["sync", "--frozen", "--python", directory.python(venv), *([] if exact else ["--inexact"])]
        else:
            command = ["pip", "install", "--python", directory.python(venv), *project.install]
        run_uv_asking_again(command, {**settings.tools, "UV_PROJECT_ENVIRONMENT": venv}, cwd=project.directory)
        progress.finish(f"{venv} has what {project.source} says")


def _allowed(project: PythonProject) -> SpecifierSet:
    for file, specifier in project.asked:
        try:
            SpecifierSet(specifier)
        except InvalidSpecifier as error:
            message = f"`requires-python` is `{specifier}`, which is not a version specifier"
            raise InvalidFile(file, [Problem(message, hint="write for example `>=3.11`")]) from error
    return SpecifierSet(project.python)
