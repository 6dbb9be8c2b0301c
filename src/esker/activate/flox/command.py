"""Flox's own command: found on PATH, asked for values, and told what to do.

Everything that is read from it was made for programs, such as `--json`. What Flox says to people is passed on to them,
and nothing is worked out from it; its words on failing are the message of the error.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from esker.activate.flox.shim import is_own_shim
from esker.errors import CommandFailed, HostError, Malformed
from esker.formats.urls import redact
from esker.host import process, variables
from esker.host.clock import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["MINIMUM", "FloxCommand", "find_flox", "version_of"]

T = TypeVar("T")

MINIMUM = (1, 14, 0)
"""The first version whose behaviour was studied; earlier ones answer some of these commands otherwise."""
_SECONDS = 60.0
"""For answers that Flox gives without building anything."""
_HINT = "install Flox, or let Esker do it alone: ESKER_ENGINE=native"
_WORDS = 80
"""How much is repeated of what was said in place of an answer."""


def find_flox(path: str | None) -> str | None:
    """Return the `flox` on a PATH; one that is Esker's own shim is none."""
    found = process.find_program("flox", path)
    return None if found is None or is_own_shim(found) else os.path.abspath(found)


def version_of(program: str | None) -> str:
    """Return the version of a `flox`; raises HostError when there is none or it is too old."""
    if program is None:
        raise HostError("`flox` is not on PATH", hint=_HINT)
    found = os.stat(program)
    version = _version(program, found.st_mtime_ns, found.st_size)
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if numbers is None:
        raise HostError(f"`{program}` does not tell its version: it said `{version[:_WORDS]}`", hint=_HINT)
    if tuple(map(int, numbers.groups())) < MINIMUM:
        least = ".".join(map(str, MINIMUM))
        raise HostError(f"`{program}` is Flox {version}, and {least} or later is needed", hint=_HINT)
    return version


@lru_cache
def _version(program: str, _modified: int, _size: int) -> str:
    done = process.run([program, "--version"], environ=variables.current(), timeout=_SECONDS)
    return done.stdout.strip()


class FloxCommand:
    """The `flox` on PATH, for the environment of one project (absolute, links resolved)."""

    def __init__(self, project: str) -> None:
        self.project = project

    @property
    def program(self) -> str:
        """The command; raises HostError when it is missing or too old."""
        program = find_flox(variables.current().get("PATH"))
        version_of(program)
        assert program is not None
        return program

    @property
    def activate(self) -> list[str]:
        """The arguments of an activation, before the program that it is for."""
        return [self.program, "activate", "-d", self.project, "--"]

    def version(self) -> str:
        """Return the version of Flox."""
        return version_of(find_flox(variables.current().get("PATH")))

    def call(self, *words: str, deadline: Deadline | None = None, names: Sequence[str] = ()) -> str:
        """Run `flox WORDS -d PROJECT -- NAMES` and return what it printed for programs.

        Raises CommandFailed with Flox's message, or TimedOut.
        """
        return self._succeed([self.program, *words, "-d", self.project, *_names(names)], " ".join(words), deadline)

    def call_inside(self, *words: str, deadline: Deadline | None = None, names: Sequence[str] = ()) -> str:
        """Do as `call`, from within an activation, where some commands work only."""
        argv = [*self.activate, self.program, *words, "-d", self.project, *_names(names)]
        return self._succeed(argv, " ".join(words), deadline)

    def ask(self, *words: str, parse: Callable[[str], T], deadline: Deadline | None = None) -> T:
        """Do as `call`, and make a value of what was printed; raises Malformed where `parse` cannot."""
        return _parsed(" ".join(words), self.call(*words, deadline=deadline), parse)

    def answer(self, words: Sequence[str], shown: str, *, parse: Callable[[str], T], deadline: Deadline) -> T:
        """Do as `ask` with exactly these words, which messages shorten to `shown`."""
        return _parsed(shown, self._succeed([self.program, *words], shown, deadline), parse)

    def _succeed(self, argv: Sequence[str], shown: str, deadline: Deadline | None) -> str:
        limit = deadline or Deadline(_SECONDS)
        done = process.run(argv, environ=variables.current(), check=False, stdin="", timeout=limit)
        if done.returncode:
            raise self.failure(shown, done.returncode, done.stderr)
        return done.stdout

    @staticmethod
    def failure(shown: str, status: int, errors: str) -> CommandFailed:
        """Return the error that a command of Flox's has ended with, in its own words."""
        output = redact(errors.strip())
        reason = output.rpartition("✘ ERROR: ")[2] or f"status {status}, and nothing was said"
        return CommandFailed(f"`flox {shown}` failed: {reason}", status=status, output=output)


def _parsed(shown: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Malformed(f"what `flox {shown}` printed cannot be read: {error}", hint=_HINT) from error


def _names(names: Sequence[str]) -> Sequence[str]:
    """Return names such that none is taken for an option."""
    return ["--", *names] if names else []
