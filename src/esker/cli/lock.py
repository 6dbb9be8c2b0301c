"""`esker lock` and `esker list`."""

import os
import sys

from esker.cli.arguments import Parser, add_directory
from esker.errors import StaleLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from esker.declare.declaration import Declaration

__all__ = ["run"]


def run(name: str, arguments: list[str]) -> int:
    """Run one of the commands."""
    return _list(arguments) if name == "list" else _lock(arguments)


def _lock(arguments: list[str]) -> int:
    from esker.cli.progress import progress
    from esker.lock.resolve import lock_paths, read_lock
    from esker.lock.staleness import stale_entries
    from esker.runtimes.preparation import alone, lock_project, own_system

    examples = (
        "  esker lock\n  esker lock --check      in CI: is the lock what the manifest says?\n  esker lock --upgrade"
    )
    parser = Parser("lock", "Pin versions and hashes of everything the manifest declares.", examples)
    add_directory(parser)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 when the lock is stale, saying why")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions the manifest allows")
    options = parser.parse_args(arguments)
    declaration = _declaration(options)
    if options.check:
        stale = stale_entries(declaration, read_lock(declaration), own_system(), os.environ)
        if stale:
            raise StaleLock("the lock does not say what the manifest says", stale, hint="make it again: esker lock")
        return 0
    before = [_stamp(path) for path in lock_paths(declaration)]
    listener = progress()
    with alone(declaration.project):
        lock_project(declaration, os.environ, upgrade=options.upgrade, progress=listener)
    written = [path for path, stamp in zip(lock_paths(declaration), before, strict=True) if _stamp(path) != stamp]
    for path in written:
        print(f"✔ Locked {os.path.relpath(path, declaration.project)}", file=sys.stderr)
    if not written:
        print("✔ The lock is up to date.", file=sys.stderr)
    return 0


def _stamp(path: str) -> "tuple[int, int] | None":
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _list(arguments: list[str]) -> int:
    from esker.lock.listing import listing
    from esker.lock.resolve import read_lock
    from esker.runtimes.preparation import own_system

    parser = Parser("list", "Show what the environment consists of, with versions and origins.", "  esker list --json")
    add_directory(parser)
    parser.add_argument("-n", "--name", action="store_true", help="names alone")
    parser.add_argument("-c", "--config", action="store_true", help="the manifest as it is written")
    parser.add_argument("--json", action="store_true", help="print the packages as JSON")
    options = parser.parse_args(arguments)
    declaration = _declaration(options)
    if options.config:
        with open(f"{declaration.dot_flox}/env/manifest.toml", encoding="utf-8") as file:
            sys.stdout.write(file.read())
        return 0
    system = own_system()
    found = listing(read_lock(declaration), system)
    if options.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    elif not found:
        print(
            f"! No packages are installed for your current system ('{system}').\n\n"
            "You can see the whole manifest with 'esker list --config'.",
            file=sys.stderr,
        )
    for item in found if not options.json else ():
        print(item.name if options.name else item.line())
    return 0


def _declaration(options: "argparse.Namespace") -> "Declaration":
    from esker.declare.discover import find
    from esker.declare.load import load

    return load(find(options.dir or os.getcwd(), explicit=options.dir is not None))
