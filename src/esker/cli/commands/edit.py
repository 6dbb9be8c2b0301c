"""`esker edit`."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_directory
from esker.cli.manifest import read_manifest, replace_manifest
from esker.cli.selection import active_project, changeable_project
from esker.errors import UsageError

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]

_KEPT = 7 * 86400
"""Seconds for which the text stays that was in the editor when this process was killed."""


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    examples = "  esker edit\n  esker edit -f manifest.toml\n  generate-manifest | esker edit -f -\n  esker edit -n api"
    summary = "Edit or replace the manifest. The change is checked, locked and installed before it takes effect."
    parser = Parser(name, summary, examples, voice=voice)
    add_directory(parser)
    parser.add_argument("-f", "--file", metavar="FILE", help="take the new manifest from FILE (`-` for stdin)")
    parser.add_argument("-n", "--name", help="rename the environment")
    parser.add_argument("-s", "--sync", action="store_true", help=SUPPRESS)
    parser.add_argument("--reset", action="store_true", help=SUPPRESS)
    parser.add_argument("--no-lock", action="store_true", help="write the manifest, but lock and install nothing")
    options = parser.parse_args(arguments)
    if options.sync or options.reset:
        word = "--sync" if options.sync else "--reset"
        raise UsageError(f"`{word}` is for environments on FloxHub, which Esker does not support yet")
    project = changeable_project(options, os.environ)
    if options.name is not None:
        return _rename(project, options.name, voice)
    before = read_manifest(project)
    after = _given(options.file) if options.file is not None else _edited(before)
    if not replace_manifest(project, before, after, voice, lock=not options.no_lock):
        voice.say("! No changes made to environment.")
        return 0
    if _is_active(project) and _touches(before, after):
        voice.say(
            "! Your manifest has changes that cannot be automatically applied.\n\n"
            f"Please 'exit' the shell and run '{voice.program} activate' to see these changes."
        )
    else:
        voice.say("✔ Environment successfully updated.")
    if not options.no_lock and _includes(after):
        voice.say(f"ℹ Run '{voice.program} list -c' to see merged manifest.")
    return 0


def _includes(text: str) -> bool:
    from esker.declare.validate import read_text

    return read_text(text)[0].include is not None


def _rename(project: str, name: str, voice: Voice) -> int:
    from esker.runtimes.native.change import rename

    voice.say(f"✔ renamed environment '{rename(project, name)}' to '{name}'")
    return 0


def _touches(before: str, after: str) -> bool:
    from esker.declare.edit import touches_activation

    return touches_activation(before, after)


def _is_active(project: str) -> bool:
    return active_project(os.environ) == project


def _given(name: str) -> str:
    return _decoded(sys.stdin.buffer.read(), "standard input") if name == "-" else _read(name)


def _read(path: str) -> str:
    from esker.host import files

    with files.refused("read", path), open(path, "rb") as file:
        return _decoded(file.read(), path)


def _decoded(content: bytes, path: str) -> str:
    from esker.errors import InvalidManifest
    from esker.host import files

    return files.decoded(content, path, InvalidManifest)


def _edited(before: str) -> str:
    """Run the person's editor on a copy of the manifest, and return the edited text."""
    import subprocess

    from esker.host.scratch import scratch

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "Can't edit interactively in non-interactive context",
            hint="give the new manifest as a file: esker edit -f FILE",
        )
    if not editor:
        raise UsageError("no editor is set", hint="set VISUAL or EDITOR, or give a file: esker edit -f FILE")
    with scratch("edit", kept=_KEPT) as directory:
        copy = os.path.join(directory, "manifest.toml")
        with open(copy, "w", encoding="utf-8") as file:
            file.write(before)
        # EDITOR may contain options, as in `code --wait`, so a shell interprets it, as git does.
        status = subprocess.run(["/bin/sh", "-c", f'{editor} "$1"', "sh", copy], check=False).returncode
        if status != 0:
            raise UsageError(f"the editor `{editor}` ended with status {status}", hint="nothing was changed")
        return _read(copy)
