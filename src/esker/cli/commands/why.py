"""`esker why` and `esker tree`: what needs what."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from esker.cli.arguments import Parser, add_directory
from esker.cli.selection import declared
from esker.cli.views.output import print_json, shown
from esker.errors import NotFound, StaleLock, UsageError
from esker.formats.abridged import abridged

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Collection

    from esker.cli.voice import Voice
    from esker.lock.graph import Graph

__all__ = ["run"]

_MOST_LINES = 20


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `why` or `tree`."""
    return _why(arguments, voice) if name == "why" else _tree(arguments, voice)


def _why(arguments: list[str], voice: Voice) -> int:
    from esker.declare.conda_edit import CONDA
    from esker.formats.tables.reader import near
    from esker.lock.graph import chains

    examples = "  esker why idna\n  esker why conda/ncurses\n  esker why idna --json"
    summary = "Show every chain of requirements that leads from what is declared to a package."
    parser = Parser("why", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("package", metavar="NAME", help="a package of the lock, with or without pypi/ or conda/")
    parser.add_argument("--json", action="store_true", help="print the chains as JSON")
    options = parser.parse_args(arguments)
    known = _graph(options, voice)
    name = _name(options.package, {*known.versions, *known.elsewhere})
    if name in known.elsewhere:
        hint = f"its marker in .flox/pylock.toml is {known.elsewhere[name]}"
        if name.startswith(CONDA):
            hint = f"one of them is {known.elsewhere[name]}"
        raise NotFound(f"`{name}` is locked for other systems alone", hint=hint)
    if name not in known.versions:
        if name == known.project:
            return _why_project(name, options, voice)
        names = [each.removeprefix(CONDA) for each in known.versions]
        hint = near(name.removeprefix(CONDA), names) or f"the packages are listed by: {voice.program} list"
        raise NotFound(f"no package `{options.package}` is locked", hint=hint)
    found = list(chains(known, name))
    if options.json:
        print_json(
            {
                "name": name,
                "version": known.versions[name],
                "chains": [
                    {"declared": chain[0].source, "requirements": [need.requirement for need in chain]}
                    for chain in found
                ],
            }
        )
        return 0
    print(shown(f"{name} {known.versions[name]}"))
    first, others = abridged(found, _MOST_LINES)
    for chain in first:
        print(shown(f"  {' → '.join([chain[0].source, *(need.requirement for need in chain)])}"))
    if others:
        print(f"  … and {others} more: see --json")
    return 0


def _why_project(name: str, options: Namespace, voice: Voice) -> int:
    """Answer for the project itself, which no package needs."""
    if options.json:
        print_json({"name": name, "version": None, "chains": []})
        return 0
    print(shown(f"{name}\n  is the project itself: pyproject.toml describes it, and no package needs it"))
    voice.say(f"What it needs is shown by: {voice.program} tree")
    return 0


def _name(text: str, known: Collection[str]) -> str:
    """Return the name of the package that is meant; one without an origin is a Python package's if there is one."""
    from packaging.utils import canonicalize_name

    from esker.declare.conda_edit import CONDA
    from esker.declare.edit import ORIGIN

    of_conda = f"{CONDA}{text.removeprefix(CONDA).lower()}"
    name = canonicalize_name(text.removeprefix(ORIGIN))
    is_meant = text.startswith(CONDA) or (not text.startswith(ORIGIN) and name not in known and of_conda in known)
    return of_conda if is_meant else name


def _tree(arguments: list[str], voice: Voice) -> int:
    from esker.cli.views.tree import as_lines, as_records

    examples = "  esker tree\n  esker tree --depth 1\n  esker tree --json"
    summary = (
        "Show the packages that are locked for this system as a tree, below the places that declare them. Requirements "
        "whose marker does not apply here are left out; (*) marks a package whose own packages were shown before."
    )
    parser = Parser("tree", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("--depth", type=int, metavar="N", help="show no more than N levels (default: all of them)")
    parser.add_argument("--json", action="store_true", help="print the tree as JSON")
    options = parser.parse_args(arguments)
    if options.depth is not None and options.depth < 1:
        raise UsageError(f"--depth is {options.depth}, but the first level is always shown", hint="give 1 or more")
    known = _graph(options, voice)
    if options.json:
        records: list[dict[str, Any]] = as_records(known, options.depth)
        print_json(records)
        return 0
    for line in as_lines(known, options.depth):
        print(shown(line))
    return 0


def _graph(options: Namespace, voice: Voice) -> Graph:
    """Return the graph of the selected environment; raises StaleLock if its lock is not that of what is declared."""
    from esker.declare.conda_edit import CONDA
    from esker.lock.graph import installed_graph
    from esker.lock.lock_files import read_lock
    from esker.lock.staleness import staleness
    from esker.runtimes.native.links import run_links
    from esker.settings import Settings

    declaration, settings = declared(options, os.environ, voice), Settings(os.environ)
    lock = read_lock(declaration)
    stale = staleness(declaration, lock, settings.system, settings.indexes)
    if stale.reasons:
        hint = f"make it again: {voice.program} lock"
        raise StaleLock("the lock does not match the manifest", reasons=stale.reasons, hint=hint)
    if lock is None or (lock.python is None and lock.conda is None):
        hint = f"add one: {voice.program} install pypi/NAME, or conda/NAME"
        raise NotFound("this environment has no packages of an index or a conda channel", hint=hint)
    links = run_links(declaration, settings.system).values()
    known = installed_graph(declaration, lock, settings.system, links)
    wheels = [name for name in known.versions if not name.startswith(CONDA)]
    declared_wheels = {need.target for need in known.declared}.intersection(wheels)
    if len(wheels) > len(declared_wheels) and not any(known.needs.get(name) for name in wheels):  # a lock without edges
        raise NotFound(
            "the lock does not say what needs what, and its packages are not installed here",
            hint=f"install them: {voice.program} activate -- true",
        )
    return known
