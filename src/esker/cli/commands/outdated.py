"""`esker outdated`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.selection import declared
from esker.cli.views.output import print_json, shown
from esker.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.lock.graph import Need
    from esker.lock.lock_files import Lock
    from esker.lock.outdated import Outdated
    from esker.settings import Settings

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.declare.conda_edit import CONDA
    from esker.lock.conda.outdated import outdated_conda
    from esker.lock.lock_files import read_lock
    from esker.settings import Settings

    examples = "  esker outdated\n  esker outdated --json"
    summary = (
        "Ask the package index and the conda channels for newer versions of the packages that are locked for this "
        "system, and show what holds a package back: a requirement, or of conda packages the newest version that is "
        "allowed. `upgrade --dry-run` shows what would be taken."
    )
    parser = Parser(name, summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="print the packages as JSON")
    options = parser.parse_args(arguments)
    declaration, settings = declared(options, os.environ, voice), Settings(os.environ)
    lock = read_lock(declaration)
    tables = declaration.esker
    if lock is None or (tables.python and lock.python is None) or (tables.conda and lock.conda is None):
        raise NotFound("this environment is not locked yet", hint=f"lock it: {voice.program} lock")
    conda = outdated_conda(declaration, lock.conda, settings) if lock.conda is not None else []
    wheels = _wheels(lock, settings)
    held = _held(declaration, lock, settings, wheels)
    newer = [*conda, *wheels]
    if options.json:
        keys = ("name", "origin", "locked", "allowed", "newest")
        print_json([{**{key: getattr(it, key) for key in keys}, "held_back_by": held.get(it.name, [])} for it in newer])
        return 0
    for each in newer:
        name = f"{CONDA}{each.name}" if each.origin == "conda" else each.name
        limit = f", allowed: {each.allowed}" if each.allowed not in {None, each.newest} else ""
        reasons = f"  held back: {'; '.join(held[each.name])}" if each.name in held else ""
        print(shown(f"{name} {each.locked} → {each.newest}{limit}{reasons}"))
    may_move = [it for it in conda if it.allowed != it.locked] + [it for it in wheels if it.name not in held]
    if not newer:
        voice.say("✔ Every package is the newest.")
    elif may_move:
        voice.say(f"Take what is allowed: {voice.program} upgrade")
    else:
        voice.say("All of them are held back: change what is asked for, and then lock again.")
    return 0


def _held(declaration: Declaration, lock: Lock, settings: Settings, newer: list[Outdated]) -> dict[str, list[str]]:
    """Return what holds each Python package back, by its name."""
    from esker.lock.graph import installed_graph
    from esker.lock.outdated import bounds
    from esker.runtimes.native.links import run_links

    if not newer:
        return {}
    links = run_links(declaration, settings.system).values()
    needs = [*installed_graph(declaration, lock, settings.system, links).all_needs(), *_limits(declaration)]
    found = bounds(newer, needs).items()
    return {name: [f"{need.source} asks for {need.requirement}" for need in each] for name, each in found}


def _limits(declaration: Declaration) -> Iterator[Need]:
    """Yield what `[tool.uv]` of the project says of versions, in the form of requirements."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    from esker.lock.graph import Need
    from esker.lock.pyproject import read_pyproject

    project = read_pyproject(declaration)
    for key in ("constraint-dependencies", "override-dependencies"):
        for text in project.uv.taken.get(key, []) if project is not None else []:
            with suppress(InvalidRequirement, TypeError):  # uv refuses it when it locks
                requirement = Requirement(text)
                bare = f"{requirement.name}{requirement.specifier}"
                yield Need(f"`{key}` of [tool.uv]", bare, canonicalize_name(requirement.name), is_declared=True)


def _wheels(lock: Lock, settings: Settings) -> list[Outdated]:
    """Return the Python packages of which an index has a newer version."""
    from esker.lock.listing import listing
    from esker.lock.outdated import outdated

    if lock.python is None:
        return []
    indexed = {package.name for package in lock.python.packages if not package.is_direct}
    versions = {
        each.name: str(each.version)
        for each in listing(lock, settings.system)
        if each.origin == "pypi" and each.name in indexed
    }
    python = settings.interpreters().first(str(lock.python.requires_python or ""))
    executable = python.executable if python is not None else sys.executable
    return outdated(versions, executable, settings.tools) if versions else []
