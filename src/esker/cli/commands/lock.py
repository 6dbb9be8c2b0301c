"""`lock`, `list` and `lock-manifest`."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.selection import check_version, declared
from esker.cli.views.output import shown
from esker.errors import StaleLock, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.cli.voice import Voice
    from esker.declare.declaration import Declaration
    from esker.lock.listing import Installed

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run one of the commands."""
    return {"list": _list, "lock": _lock, "lock-manifest": _lock_manifest}[name](arguments, voice)


def _lock(arguments: list[str], voice: Voice) -> int:
    from esker.lock.resolve import lock_paths, read_lock
    from esker.lock.staleness import stale_entries
    from esker.runtimes.native.preparation import alone, lock_project, own_system

    examples = (
        "  esker lock\n  esker lock --check      in CI: is the lock what the manifest says?\n  esker lock --upgrade"
    )
    parser = Parser("lock", "Pin versions and hashes of everything the manifest declares.", examples, voice=voice)
    add_directory(parser)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 when the lock is stale, saying why")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions the manifest allows")
    options = parser.parse_args(arguments)
    declaration = declared(options, os.environ, voice)
    if options.check:
        stale = stale_entries(declaration, read_lock(declaration), own_system(), os.environ)
        if stale:
            raise StaleLock(
                "the lock does not say what the manifest says", reasons=stale, hint="make it again: esker lock"
            )
        return 0
    before = [_stamp(path) for path in lock_paths(declaration)]
    with alone(declaration.project):
        lock_project(declaration, os.environ, upgrade=options.upgrade, progress=voice.progress())
    written = [path for path, stamp in zip(lock_paths(declaration), before, strict=True) if _stamp(path) != stamp]
    for path in written:
        voice.say(f"✔ Locked {os.path.relpath(path, declaration.project)}")
    if not written:
        voice.say("✔ The lock is up to date.")
    return 0


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _list(arguments: list[str], voice: Voice) -> int:
    from esker.lock.listing import listing
    from esker.lock.resolve import read_lock
    from esker.lock.staleness import stale_entries
    from esker.runtimes.native.preparation import own_system

    examples = "  esker list\n  esker list -a\n  esker list --json"
    parser = Parser("list", "Show what the environment consists of, with versions and origins.", examples, voice=voice)
    add_directory(parser)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("-e", "--extended", action="store_true", help="names, origins and versions (default)")
    forms.add_argument("-n", "--name", action="store_true", help="names alone")
    forms.add_argument("-a", "--all", action="store_true", help="everything that is known of each package")
    forms.add_argument("-c", "--config", action="store_true", help="the manifest as it is written")
    forms.add_argument("-u", "--upstream", action="store_true", help=SUPPRESS)
    forms.add_argument("--json", action="store_true", help="print the packages as JSON")
    options = parser.parse_args(arguments)
    if options.upstream:
        raise UsageError("`--upstream` is for environments on FloxHub, and those are not there yet")
    declaration = declared(options, os.environ, voice)
    if options.config:
        return _config(declaration)
    lock = read_lock(declaration)
    if voice.remarks and stale_entries(declaration, lock, own_system(), os.environ):
        voice.remark(f"! Not all that the manifest says is locked yet: {voice.program} lock")
    found = listing(lock, own_system())
    if options.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode([each.record() for each in found])).decode())
        return 0
    if not found:
        voice.say(
            f"! No packages are installed for your current system ('{own_system()}').\n\n"
            f"You can see the whole manifest with '{voice.program} list --config'."
        )
    if options.all:
        _blocks(found)
        return 0
    for each in found:
        print(shown(each.name if options.name else each.line()))
    return 0


def _config(declaration: Declaration) -> int:
    with open(f"{declaration.dot_flox}/env/manifest.toml", encoding="utf-8") as file:
        sys.stdout.write(shown(file.read()))
    return 0


def _blocks(found: Iterable[Installed]) -> None:
    """Print a block for each package, the one that wins over others first."""
    for index, each in enumerate(sorted(found, key=lambda one: (one.priority or 0, one.name))):
        print(shown("\n" * bool(index) + f"{each.name}:"))
        for label, value in each.details:
            print(shown(f"  {label + ':':<19}{value}"))


def _lock_manifest(arguments: list[str], voice: Voice) -> int:
    from esker.declare.validate import read_text
    from esker.formats import lockfile
    from esker.lock.resolve import lock_packages
    from esker.runtimes.native.preparation import own_system

    summary = "Print the lock of a manifest; what it installs is taken from a lock that is there already."
    parser = Parser("lock-manifest", summary, "  esker lock-manifest -l manifest.lock manifest.toml", voice=voice)
    parser.add_argument("-l", "--lockfile", metavar="LOCK", help="the lock that there is already")
    parser.add_argument("manifest", metavar="MANIFEST", help="a manifest.toml, or `-` for stdin")
    options = parser.parse_args(arguments)
    text = sys.stdin.read() if options.manifest == "-" else _content(options.manifest).decode()
    manifest, _ = read_text(text, options.manifest)
    check_version(manifest, voice)
    before = lockfile.parse(_content(options.lockfile), options.lockfile) if options.lockfile else None
    made = lockfile.Lockfile(manifest=manifest, packages=lock_packages(manifest, before, own_system()))
    sys.stdout.write(lockfile.render(made).decode())
    return 0


def _content(path: str) -> bytes:
    from esker.host import files

    with files.refused("read", path), open(path, "rb") as file:
        return file.read()
