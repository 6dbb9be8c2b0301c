"""`esker lock-manifest`, which only programs call."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser
from esker.cli.selection import check_version

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.declare.validate import read_text
    from esker.formats import lockfile
    from esker.formats.manifest import migrate
    from esker.lock.compose import check_plain
    from esker.lock.packages import lock_packages
    from esker.settings import Settings

    summary = "Print the lock of a manifest; its packages are taken from an existing lock."
    parser = Parser(name, summary, "  esker lock-manifest -l manifest.lock manifest.toml", voice=voice)
    parser.add_argument("-l", "--lockfile", metavar="LOCK", help="the existing lock")
    parser.add_argument("manifest", metavar="MANIFEST", help="a manifest.toml, or `-` for stdin")
    options = parser.parse_args(arguments)
    text = sys.stdin.read() if options.manifest == "-" else _content(options.manifest).decode()
    manifest, _ = read_text(text, options.manifest)
    check_version(manifest, voice)
    before = lockfile.parse(_content(options.lockfile), options.lockfile) if options.lockfile else None
    check_plain(manifest)
    packages = lock_packages(manifest, before, Settings(os.environ).system)
    # As in Flox: in the latest schema, and without a line feed at the end.
    migrated = migrate(manifest, locked=[each for each in packages if not isinstance(each, lockfile.StorePathLocked)])
    lock = lockfile.Lockfile(manifest=migrated, packages=packages, ends_with_line_feed=False)
    sys.stdout.write(lockfile.render(lock).decode())
    return 0


def _content(path: str) -> bytes:
    from esker.host import files

    with files.refused("read", path), open(path, "rb") as file:
        return file.read()
