"""Flox's own command: how to find it on PATH, ask it for values, and tell it what to do.

We read only output that is made for programs, such as that of `--json`. What Flox says to people is passed on to them
and never interpreted. When a command fails, Flox's own words become the message of the error.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from esker.errors import CommandFailed, HostError, Malformed
from esker.formats.urls import redact
from esker.host import process, start_script, variables
from esker.host.clock import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["MINIMUM", "FloxCommand", "find_flox", "version_of"]

T = TypeVar("T")

MINIMUM = (1, 14, 0)
"""The oldest version whose behaviour we have studied. Earlier ones give other answers to some of these commands."""
_SECONDS = 60.0
"""The usual time limit, for commands that build nothing."""
_HINT = "install Flox, or let Esker do it alone: ESKER_ENGINE=native"
_WORDS = 80
"""How many characters of an unexpected answer a message repeats."""


def find_flox(path: str | None) -> str | None:
    """Return the path of the `flox` on a PATH, or None if there is none or it is Esker's own shim."""
    program = process.find_program("flox", path)
    return None if program is None or start_script.is_own(program, "flox") else os.path.abspath(program)


def version_of(program: str | None) -> str:
    """Return the version of a `flox`; raises HostError if `program` is None, or too old, or tells no version."""
    if program is None:
        raise HostError("`flox` is not on PATH", hint=_HINT)
    status = os.stat(program)
    version = _version(program, status.st_mtime_ns, status.st_size)
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if numbers is None:
        raise HostError(f"`{program}` does not tell its version: it said `{version[:_WORDS]}`", hint=_HINT)
    if tuple(map(int, numbers.groups())) < MINIMUM:
        least = ".".join(map(str, MINIMUM))
        raise HostError(f"`{program}` is Flox {version}, and {least} or later is needed", hint=_HINT)
    return version


@lru_cache
def _version(program: str, _modified: int, _size: int) -> str:
    # The time and the size are part of the cache's key, so that an upgrade is noticed.
    done = process.run([program, "--version"], environ=variables.current(), timeout=_SECONDS)
    return done.stdout.strip()


class FloxCommand:
    """The `flox` on PATH, for the environment of one project (absolute, links resolved)."""

    def __init__(self, project: str) -> None:
        self.project = project

    @property
    def program(self) -> str:
        """The path of the command; raises HostError if it is missing or too old."""
        program = find_flox(variables.current().get("PATH"))
        version_of(program)
        assert program is not None
        return program

    @property
    def activate(self) -> list[str]:
        """The arguments of `flox activate`, to put before a program that is to run in the activation."""
        return [self.program, "activate", "-d", self.project, "--"]

    def version(self) -> str:
        """Return the version of Flox."""
        return version_of(find_flox(variables.current().get("PATH")))

    def call(self, *words: str, deadline: Deadline | None = None, names: Sequence[str] = ()) -> str:
        """Run `flox WORDS -d PROJECT -- NAMES` and return its standard output.

        Raises CommandFailed with Flox's message, or TimedOut.
        """
        return self._succeed([self.program, *words, "-d", self.project, *_names(names)], " ".join(words), deadline)

    def call_inside(self, *words: str, deadline: Deadline | None = None, names: Sequence[str] = ()) -> str:
        """Do as `call`, but inside an activation, because some commands work only there."""
        argv = [*self.activate, self.program, *words, "-d", self.project, *_names(names)]
        return self._succeed(argv, " ".join(words), deadline)

    def ask(self, *words: str, parse: Callable[[str], T], deadline: Deadline | None = None) -> T:
        """Do as `call`, and return the output as `parse` reads it; raises Malformed if `parse` cannot."""
        return _parsed(" ".join(words), self.call(*words, deadline=deadline), parse)

    def answer(self, words: Sequence[str], shown: str, *, parse: Callable[[str], T], deadline: Deadline) -> T:
        """Do as `ask`, but with exactly these words, without `-d PROJECT`. Messages show `shown` in their place."""
        return _parsed(shown, self._succeed([self.program, *words], shown, deadline), parse)

    def _succeed(self, argv: Sequence[str], shown: str, deadline: Deadline | None) -> str:
        limit = deadline or Deadline(_SECONDS)
        done = process.run(argv, environ=variables.current(), check=False, stdin="", timeout=limit)
        if done.returncode:
            raise self.failure(shown, done.returncode, done.stderr)
        return done.stdout

    @staticmethod
    def failure(shown: str, status: int, errors: str) -> CommandFailed:
        """Return the error for a Flox command that has failed, with Flox's own message."""
        output = redact(errors.strip())
        reason = output.rpartition("✘ ERROR: ")[2] or f"status {status}, and nothing was said"
        return CommandFailed(f"`flox {shown}` failed: {reason}", status=status, output=output)


def _parsed(shown: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Malformed(f"what `flox {shown}` printed cannot be read: {error}", hint=_HINT) from error


def _names(names: Sequence[str]) -> Sequence[str]:
    """Return the arguments for these names, after a `--` so that Flox takes no name for an option."""
    return ["--", *names] if names else []
