"""The `flox` command as an engine: activates, runs programs and edits an environment by driving Flox itself.

Everything that is read was made for programs: the environment comes from a process inside the activation
(`flox_holder`), the state of services from `--json`, packages from the lock. What Flox says to people is passed on to
people, and nothing is worked out from it. What it says on failing is the message of the error.
"""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from esker.activate.difference import difference
from esker.activate.flox import holder as flox_holder
from esker.activate.flox.shim import is_own_shim
from esker.errors import CommandFailed, HostError, Malformed
from esker.formats.urls import redact
from esker.host import files, process, variables
from esker.host.clock import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from subprocess import CompletedProcess

    from esker.activate.active import Begun

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
    """The environment of one project (absolute, links resolved), played by the `flox` on PATH."""

    name = "flox"

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

    @property
    def key(self) -> str:
        """What names this activation among those of the process."""
        return f"{self.project}\0{self.name}"

    def version(self) -> str:
        """Return the version of Flox."""
        return version_of(find_flox(variables.current().get("PATH")))

    def begin(self, environ: Mapping[str, str], deadline: Deadline) -> Begun:
        """Activate the environment, and return what that changes in `environ` and what ends it."""
        held = flox_holder.attach(self.activate, environ, deadline)
        return difference(environ, held.variables), held.leave

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        capture: bool = True,
        stdin: str | None = None,
        deadline: Deadline,
    ) -> CompletedProcess[str]:
        """Run a program in the environment; its status is the result's, whatever it is."""
        return process.run(
            [*self.activate, *argv],
            environ=variables.current(),
            cwd=cwd,
            capture=capture,
            stdin=stdin,
            check=False,
            timeout=deadline,
        )

    def call(self, *words: str, deadline: Deadline | None = None, names: Sequence[str] = ()) -> str:
        """Run `flox WORDS -d PROJECT -- NAMES` and return what it printed for programs."""
        return self.succeed([self.program, *words, "-d", self.project, *_names(names)], " ".join(words), deadline)

    def ask(self, *words: str, parse: Callable[[str], T], deadline: Deadline | None = None) -> T:
        """As `call`, with what was printed made into a value; raises Malformed where that cannot be done."""
        return _parsed(" ".join(words), self.call(*words, deadline=deadline), parse)

    def call_inside(self, *words: str, deadline: Deadline | None = None, names: Sequence[str] = ()) -> str:
        """As `call`, from within an activation, where some verbs work only."""
        argv = [*self.activate, self.program, *words, "-d", self.project, *_names(names)]
        return self.succeed(argv, " ".join(words), deadline)

    def succeed(self, argv: Sequence[str], shown: str, deadline: Deadline | None = None) -> str:
        """Run a command of Flox's; raises CommandFailed with its message, or TimedOut."""
        limit = deadline or Deadline(_SECONDS)
        done = process.run(argv, environ=variables.current(), check=False, stdin="", timeout=limit)
        if done.returncode:
            raise self.failure(shown, done.returncode, done.stderr)
        return done.stdout

    @staticmethod
    def failure(shown: str, status: int, errors: str) -> CommandFailed:
        """Return the error that a command of Flox's has ended with, in its own words."""
        said = redact(errors.strip())
        reason = said.rpartition("✘ ERROR: ")[2] or f"status {status}, and nothing was said"
        return CommandFailed(f"`flox {shown}` failed: {reason}", status=status, output=said)

    def init(self, name: str | None) -> None:
        """Make an environment in the project."""
        given = [] if name is None else ["-n", name]
        self.call("init", "--no-auto-setup", *given)

    def install(self, packages: Sequence[str], deadline: Deadline) -> None:
        """Add packages to the environment."""
        self.call("install", names=packages, deadline=deadline)

    def uninstall(self, packages: Sequence[str], deadline: Deadline) -> None:
        """Take packages out of the environment."""
        self.call("uninstall", names=packages, deadline=deadline)

    def lock(self, deadline: Deadline) -> None:
        """Lock the manifest, where its lock does not say the same already."""
        directory = f"{self.project}/.flox/env"
        known = ["-l", f"{directory}/manifest.lock"] if os.path.exists(f"{directory}/manifest.lock") else []
        argv = [self.program, "lock-manifest", *known, f"{directory}/manifest.toml"]
        text = self.succeed(argv, "lock-manifest", deadline)
        _parsed("lock-manifest", text, lambda lock: json.loads(lock)["lockfile-version"])
        files.write_changed(f"{directory}/manifest.lock", f"{text.rstrip()}\n".encode(), mode=0o644)


def _parsed(shown: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Malformed(f"what `flox {shown}` printed cannot be read: {error}", hint=_HINT) from error


def _names(names: Sequence[str]) -> Sequence[str]:
    """Return names such that none is taken for an option."""
    return ["--", *names] if names else []
