"""What `esker activate` shows beside the environment: remarks, hints, and the changes of variables as JSON."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import CommandFailed
from esker.formats.tables.shapes import near

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.difference import Activation
    from esker.activate.plan import Plan
    from esker.cli.voice import Voice

__all__ = ["check_choice", "print_changes", "suggest", "tell_missing"]

_NOT_FOUND = 127


def suggest(error: Exception, plan: Plan, command: str) -> None:
    """Give the error about a missing `command` a hint: a program of the environment that is near, or a known wheel."""
    if not isinstance(error, CommandFailed) or error.status != _NOT_FOUND or error.hint is not None or "/" in command:
        return
    from esker.declare.tool_wheels import wheel_of

    programs: set[str] = set()
    with suppress(OSError):
        programs.update(os.listdir(f"{plan.flox_env}/bin"))
    wheel = wheel_of(command)
    if command in programs:  # it is there, and what should run it is not
        return
    error.hint = f"add it: esker install pypi/{wheel}" if wheel else near(command, sorted(programs), closeness=0.7)


def check_choice(environ: Mapping[str, str], used: str, voice: Voice) -> None:
    """Warn if FLOX_SHELL names no shell that Esker knows; inside of the activation it is not set any more."""
    from esker.activate.shells.shell import NAMES, unknown_choice

    if (named := unknown_choice(environ)) is not None:
        voice.say(f"! FLOX_SHELL is `{named}`, which is none of {', '.join(NAMES)}: the shell is {used}")


def tell_missing(plan: Plan, environ: Mapping[str, str], voice: Voice) -> None:
    """Say which packages were left out, unless the caller was told when it activated the environment."""
    from esker.activate.composition import is_without_packages

    if not is_without_packages(plan.project, environ):
        from esker.declare.missing_packages import counted_packages, named

        voice.say(f"! Going on without {counted_packages(plan.missing)} that this machine lacks: {named(plan.missing)}")


def print_changes(plan: Plan, environ: Mapping[str, str], activation: Activation, voice: Voice) -> int:
    """Print the changes of variables as JSON, and return the exit status."""
    from esker.activate.composition import left_out

    json.dump(activation.published(environ), sys.stdout, indent=2)
    print()
    if names := left_out(plan, environ):
        voice.say(f"! Left out, because only the project's own code can work it out: {', '.join(names)}")
    return 0
