"""`esker lock`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory, add_python_downloads
from esker.cli.selection import declared

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.cli.manifest import tell_change, tell_unused
    from esker.declare.consent import carried
    from esker.lock.changes import package_changes
    from esker.lock.lock_files import lock_paths
    from esker.lock.resolve import check_current, readable_lock
    from esker.runtimes.native.change import check_changeable
    from esker.runtimes.native.locking import lock_project
    from esker.runtimes.native.project_lock import alone
    from esker.settings import Settings

    examples = (
        "  esker lock\n  esker lock --check      in CI: fail if the lock is stale\n"
        "  esker lock --upgrade\n  esker lock --python 3.12"
    )
    parser = Parser(name, "Pin versions and hashes of everything the manifest declares.", examples, voice=voice)
    add_directory(parser)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--check", action="store_true", help="change nothing; exit with status 1 if the lock is stale")
    forms.add_argument("--python", metavar="X.Y", help="lock for this version of Python, such as 3.12, from now on")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions the manifest allows")
    parser.add_argument("--json", action="store_true", help="print what has changed in the lock as JSON")
    add_python_downloads(parser)
    options = parser.parse_args(arguments)
    declaration = declared(options, os.environ, voice)
    settings = Settings(os.environ, python_downloads=not options.no_python_downloads)
    if options.check:
        check_current(declaration, settings)
        return 0
    check_changeable(declaration.project, os.environ)
    tell_unused(declaration.manifest, voice)
    old = readable_lock(declaration)
    before = [_stamp(path) for path in lock_paths(declaration).values()]
    progress = voice.progress()
    with alone(declaration.project), carried(declaration.project, settings):
        lock, _ = lock_project(
            declaration,
            settings,
            settings.interpreters(progress),
            upgrade=options.upgrade,
            python=options.python,
            progress=progress,
        )
    paths = lock_paths(declaration).values()
    written = [path for path, stamp in zip(paths, before, strict=True) if _stamp(path) not in {stamp, None}]
    tell_change(package_changes(old, lock), declaration.name, voice, json=options.json, effect="install")
    for path in written:
        voice.say(f"✔ Locked {os.path.relpath(path, declaration.project)}")
    if not written:
        voice.say("✔ The lock is up to date.")
    return 0


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
