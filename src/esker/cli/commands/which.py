"""`esker which`, and the part of `esker list` that shows a package's files."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.selection import declared
from esker.cli.views.output import print_json, shown
from esker.errors import NotFound, UsageError

if TYPE_CHECKING:
    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.realise.owners import Brought
    from esker.store.store import Store

__all__ = ["list_files", "run"]

_NAMELESS = {
    "interpreter": "the interpreter of the environment",
    "esker": "made by Esker",
    "host": "this machine, not the environment",
}


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `which`."""
    from esker.formats.tables.reader import near
    from esker.realise.owners import owner

    summary = (
        "Show which package brings a program of the environment, and the program's real path. A program that the "
        "environment does not have is looked for on PATH."
    )
    parser = Parser(name, summary, "  esker which python\n  esker which jq --json", voice=voice)
    add_directory(parser)
    parser.add_argument("program", metavar="PROGRAM", help="the name of a program")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    options = parser.parse_args(arguments)
    program = options.program
    if "/" in program or not program:
        raise UsageError(f"`{program}` is not the name of a program", hint="give the name alone, as in: esker which jq")
    declaration = declared(options, os.environ, voice)
    store, profile = _profile(declaration)
    found = owner(store, profile, program, _own_name(declaration))
    origin, package, version, path = found or ("host", None, None, "")
    if found is None:
        outside = shutil.which(program)
        if outside is None:
            hint = (
                near(program, os.listdir(f"{profile}/bin")) or f"look for a package: {voice.program} search {program}"
            )
            raise NotFound(f"there is no program `{program}` in the environment, nor on PATH", hint=hint)
        path = os.path.realpath(outside)
    if options.json:
        print_json({"program": program, "path": path, "origin": origin, "name": package, "version": version})
        return 0
    by = _NAMELESS.get(origin) or f"{'the project ' if origin == 'project' else f'{origin}/'}{package} {version}"
    print(shown(f"{path}  ({by})"))
    return 0


def list_files(declaration: Declaration, text: str, voice: Voice, *, json: bool) -> int:
    """Print the real paths of the files that an installed package brings; raises NotFound if it is not installed."""
    from esker.formats.tables.reader import near
    from esker.realise.owners import brought

    store, profile = _profile(declaration)
    packages = brought(store, profile, _own_name(declaration))
    found = [package for package in packages if _is_named(package, text)]
    if not found:
        hint = near(text.rpartition("/")[2], {package.name for package in packages})
        raise NotFound(
            f"no package `{text}` is installed", hint=hint or f"the packages are listed by: {voice.program} list"
        )
    if len({package.origin for package in found}) > 1:
        raise UsageError(
            f"there are two packages `{text}`, of an index and of a conda channel",
            hint=f"name one of them: pypi/{text} or conda/{text}",
        )
    if json:
        print_json(
            [
                {
                    "name": package.name,
                    "version": package.version,
                    "origin": package.origin,
                    "files": [f"{package.prefix}/{file}" for file in package.files],
                }
                for package in found
            ]
        )
        return 0
    for package in found:
        for file in package.files:
            print(shown(f"{package.prefix}/{file}"))
    return 0


def _is_named(package: Brought, text: str) -> bool:
    """Return whether a person means a package, by its name with or without its origin."""
    from packaging.utils import canonicalize_name

    origin, _, name = text.rpartition("/")
    if package.origin == "conda":
        return origin in {"", "conda"} and package.name == name.lower()
    return origin in {"", "pypi"} and package.name == canonicalize_name(name)


def _profile(declaration: Declaration) -> tuple[Store, str]:
    """Return the store and the store path of what is installed; raises NotFound if nothing is."""
    from esker.runtimes.native.links import run_links
    from esker.settings import Settings
    from esker.store.store import Store

    settings = Settings(os.environ)
    store = Store(settings.store_root)
    installed = [os.path.realpath(link) for link in run_links(declaration, settings.system).values()]
    for profile in installed:
        if os.path.dirname(profile) == store.directory and store.is_valid(profile):
            return store, profile
    raise NotFound("this environment is not installed here", hint="install it: esker activate -- true")


def _own_name(declaration: Declaration) -> str | None:
    """Return the normalised name of the project itself, if it is part of its environment."""
    from esker.lock.own_project import own_project

    project = own_project(declaration)
    return project.name if project is not None else None
