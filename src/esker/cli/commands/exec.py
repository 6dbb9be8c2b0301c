"""`esker exec`."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser, add_python_downloads
from esker.declare.conda_edit import CONDA
from esker.declare.edit import ORIGIN
from esker.errors import UsageError

if TYPE_CHECKING:
    from esker.cli.voice import Voice

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.cli.commands import activate
    from esker.cli.commands.install import package_argument
    from esker.runtimes.native.one_off import one_off
    from esker.runtimes.native.packages import upgrade
    from esker.settings import Settings

    examples = (
        "  esker exec -p conda/jq -- jq --version\n  esker exec -p pypi/httpie -- http --version\n"
        "  esker exec -p conda/nodejs -p conda/git -- sh"
    )
    parser = Parser(name, "Run a command with packages that no project declares.", examples, voice=voice)
    parser.add_argument("-p", "--package", action="append", metavar="PACKAGE", help="pypi/NAME or conda/NAME")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions, not those of the first time")
    add_python_downloads(parser)
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="the command and its arguments")
    own, command = _split(arguments)
    if stray := _stray(own):
        hint = f"{voice.program} exec {_in_order(own[: -len(stray)], stray, command)}"
        raise UsageError("the command stands behind `--`, and each package behind `-p`", hint=hint)
    options = parser.parse_args(own)
    if not options.package:
        raise UsageError("no package is named", hint=f"{voice.program} exec -p conda/jq -- jq --version")
    if not command:
        raise UsageError("no command is given", hint=f"put it behind `--`: {voice.program} exec -p conda/jq -- jq")
    settings = Settings(os.environ, python_downloads=not options.no_python_downloads)
    project = one_off([package_argument(package, voice, "exec -p") for package in options.package], settings)
    if options.upgrade:
        from esker.cli.manifest import read_manifest

        upgrade(project, read_manifest(project), [], settings, effect="install", progress=voice.progress())
    downloads = ["--no-python-downloads"] if options.no_python_downloads else []
    return activate.run("activate", ["-d", project, *downloads, "--", *command], voice)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before `--`, and the command behind it."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _in_order(options: list[str], stray: list[str], command: list[str]) -> str:
    """Return the arguments as they were probably meant: packages first, then the command."""
    from itertools import takewhile

    packages = list(takewhile(lambda word: word.startswith((ORIGIN, CONDA)), stray))
    meant = [*options, *(word for package in packages for word in ("-p", package))]
    meant += [] if {"-p", "--package"} & {*meant} else ["-p", "PACKAGE"]
    return shlex.join([*meant, "--", *(stray[len(packages) :] or command or ["COMMAND"])])


def _stray(own: list[str]) -> list[str]:
    """Return the command that stands before `--`, where only options do: the first word that belongs to none."""
    for place, word in enumerate(own):
        if not word.startswith("-") and own[place - 1 : place] not in (["-p"], ["--package"]):
            return own[place:]
    return []
