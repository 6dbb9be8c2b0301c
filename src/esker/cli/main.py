"""`esker`, and the `flox` that is Esker: which command, which module, and how errors end."""

from __future__ import annotations

import errno
import os
import sys

from esker.cli.voice import ESKER, FLOX
from esker.errors import EskerError, HostError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.cli.voice import Voice

__all__ = ["COMMANDS", "commands", "flox", "main"]

COMMANDS = {
    "init": ("init", "Make an environment in this directory"),
    "edit": ("edit", "Replace or edit the manifest, checked, locked and installed before it counts"),
    "install": ("install", "Add packages to the manifest: install pypi/NAME"),
    "uninstall": ("install", "Take packages out of the manifest"),
    "list": ("list", "Show what the environment consists of, with versions and origins"),
    "lock": ("lock", "Pin versions and hashes of everything the manifest declares"),
    "activate": ("activate", "Run a command or a shell in the environment"),
    "deactivate": ("deactivate", "Leave an environment that was activated in this shell"),
    "envs": ("envs", "Show the environments that are active, and the others that are known"),
    "delete": ("delete", "Delete an environment: its manifest, lock, caches and links"),
    "services": ("services", "Start, stop and watch the services beside the runtime"),
    "rollback": ("rollback", "Go back to what was installed before the last change"),
    "store": ("store", "Look after the store: gc, verify, path-info"),
    "trust": ("trust", "Allow a project that somebody else owns to run its code"),
    "doctor": ("doctor", "Say what this machine offers, and how to mend what is missing"),
    "shim": ("shim", "Write a `flox` that is Esker, for programs that call Flox"),
    "lock-manifest": ("lock_manifest", ""),
}
"""Command name to its module in `esker.cli.commands` and one line of help, none for one that only programs call.

The module's `run(name, arguments, voice)` does it.
"""

_ALIASES = {
    "i": "install",
    "rm": "uninstall",
    "remove": "uninstall",
    "l": "list",
    "develop": "activate",
    "exit": "deactivate",
    "destroy": "delete",
}
_LATER = frozenset(
    {
        "auth",
        "build",
        "config",
        "containerize",
        "gc",
        "generations",
        "include",
        "publish",
        "pull",
        "push",
        "run",
        "search",
        "show",
        "update",
        "upgrade",
    }
)
"""Flox's commands that are not there yet."""
_INSTEAD = {"upgrade": "lock --upgrade", "update": "lock --upgrade", "gc": "store gc"}

_STANDARD_ERROR = 2
_UNWRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})

_EPILOG = """\
examples:
  {program} init                                 make an environment here
  {program} install pypi/pandas pypi/ninja       add packages
  {program} activate -- python -c 'import pandas'
  {program} activate                             a shell in the environment
  eval "$({program} activate)"                   the environment in this shell

`{program} COMMAND --help` shows a command's options and examples; `{program} -q COMMAND` tells only errors.
"""


def flox(arguments: Sequence[str]) -> int:
    """Run a command line as Flox would: what the shim starts."""
    return main(arguments, FLOX)


def main(arguments: Sequence[str], voice: Voice = ESKER) -> int:
    """Run a command line and return its exit status; an `EskerError` is told on stderr and ends in its status."""
    _open_streams()
    try:
        voice, rest = _general(list(arguments), voice)
        return _written(rest, voice)
    except EskerError as error:
        return voice.report(error)
    except KeyboardInterrupt:
        return voice.interrupted()
    except BrokenPipeError:  # whoever read our output has gone
        _discard_output()
        return 141


def _written(arguments: list[str], voice: Voice) -> int:
    """Run a command; raises HostError where what it says cannot be written."""
    try:
        status = _dispatch(arguments, voice)
    except SystemExit as end:  # after --help
        status = int(end.code or 0)
    except BrokenPipeError:
        raise
    except OSError as refusal:
        if refusal.filename is None and refusal.errno in _UNWRITTEN:  # of a file, it would name it
            raise _unwritten(refusal) from refusal
        raise
    try:
        sys.stdout.flush()  # while an error can be told: Python itself would do it later
    except BrokenPipeError:
        raise
    except OSError as refusal:
        raise _unwritten(refusal) from refusal
    return status


def _open_streams() -> None:
    """Let what is said go nowhere where the caller has closed a standard stream: Python has none then.

    The descriptors are taken too, or the next file that is opened would be one of them; a program that takes this one's
    place finds them closed, as they were.
    """
    missing = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    if missing:
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
            pass
        os.close(descriptor)
    for name in missing:
        stream = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115  # to the end
        setattr(sys, name, stream)


def _unwritten(refusal: OSError) -> HostError:
    _discard_output()
    why = (refusal.strerror or str(refusal)).lower()
    return HostError(f"what was asked for cannot be written to standard output: {why}")


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def commands(voice: Voice) -> dict[str, str]:
    """Return the commands that a voice has, with one line of help each."""
    return {name: summary for name, (_, summary) in COMMANDS.items() if summary and name not in voice.absent}


def _general(arguments: list[str], voice: Voice) -> tuple[Voice, list[str]]:
    """Take off the options before the command: how much is told."""
    level = voice.level
    while arguments and arguments[0] not in {"-", "--"} and arguments[0].startswith("-"):
        option, _, value = arguments[0].partition("=")
        if option in {"-q", "--quiet"}:
            level = -1
        elif option in {"--verbose", "--debug"} or not option.strip("-v"):
            level += 1
        elif option == "--floxhub-url":
            if not value:
                del arguments[:1]
        else:
            break
        del arguments[:1]
    return (voice.at(level) if level != voice.level else voice), arguments


def _dispatch(arguments: list[str], voice: Voice) -> int:
    if arguments and arguments[0] in {"-V", "--version"}:
        print(voice.version)
        return 0
    if not arguments:
        voice.welcome(usage(voice))
        return 0
    if arguments[0] in {"-h", "--help", "help"}:
        print(usage(voice))
        return 0
    name = _ALIASES.get(arguments[0], arguments[0])
    if name not in COMMANDS or name in voice.absent:
        raise _unknown(name, voice)
    # Not importlib.import_module: importing importlib would cost more than what it does here.
    module = __import__(f"esker.cli.commands.{COMMANDS[name][0]}", fromlist=["run"])
    status: int = module.run(name, arguments[1:], voice)
    return status


def usage(voice: Voice) -> str:
    """Return the help of the whole."""
    offered = commands(voice)
    width = max(map(len, offered)) + 2
    lines = [f"  {name:<{width}}{summary}" for name, summary in offered.items()]
    head = (
        f"usage: {voice.program} COMMAND [OPTIONS]\n       {voice.program} --version\n\n"
        "One declaration of a project's environment, from a laptop through CI to production."
    )
    return "\n".join([head, "", "commands:", *lines, "", _EPILOG.format(program=voice.program)]).rstrip()


def _unknown(name: str, voice: Voice) -> UsageError:
    if name in _LATER:
        instead = _INSTEAD.get(name, "--help")
        return UsageError(f"`{voice.program} {name}` is not there yet", hint=f"see: {voice.program} {instead}")
    from esker.cli.arguments import unknown_command

    return unknown_command(name, commands(voice), of=voice.program)
