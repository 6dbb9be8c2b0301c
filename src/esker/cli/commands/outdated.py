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

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.lock.graph import installed_graph
    from esker.lock.listing import listing
    from esker.lock.lock_files import read_lock
    from esker.lock.outdated import bounds, outdated
    from esker.runtimes.native.links import run_links
    from esker.settings import Settings

    examples = "  esker outdated\n  esker outdated --json"
    summary = (
        "Ask the package index for newer versions of the Python packages that are locked for this system, and show "
        "which requirement holds a package back. `upgrade --dry-run` shows what would be taken."
    )
    parser = Parser(name, summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="print the packages as JSON")
    options = parser.parse_args(arguments)
    declaration, settings = declared(options, os.environ, voice), Settings(os.environ)
    lock = read_lock(declaration)
    if lock is None or (declaration.esker.python is not None and lock.python is None):
        raise NotFound("this environment is not locked yet", hint=f"lock it: {voice.program} lock")
    indexed = {package.name for package in lock.python.packages if not package.is_direct} if lock.python else set()
    versions = {
        each.name: str(each.version)
        for each in listing(lock, settings.system)
        if each.origin == "pypi" and each.name in indexed
    }
    python = settings.interpreters().first(str(lock.python.requires_python or "") if lock.python else "")
    executable = python.executable if python is not None else sys.executable
    newer = outdated(versions, executable, settings.tools) if versions else []
    links = run_links(declaration, settings.system).values()
    needs = (
        [*installed_graph(declaration, lock, settings.system, links).all_needs(), *_limits(declaration)]
        if newer
        else []
    )
    held = {
        name: [f"{need.source} asks for {need.requirement}" for need in found]
        for name, found in bounds(newer, needs).items()
    }
    if options.json:
        records = [{"name": each.name, "locked": each.locked, "newest": each.newest} for each in newer]
        print_json([record | {"held_back_by": held.get(record["name"], [])} for record in records])
        return 0
    for each in newer:
        reasons = f"  held back: {'; '.join(held[each.name])}" if each.name in held else ""
        print(shown(f"{each.name} {each.locked} → {each.newest}{reasons}"))
    if not newer:
        voice.say("✔ Every package is the newest.")
    elif len(held) < len(newer):
        voice.say(f"Take what is allowed: {voice.program} upgrade")
    else:
        voice.say("All of them are held back: change what is asked for, and then lock again.")
    return 0


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
