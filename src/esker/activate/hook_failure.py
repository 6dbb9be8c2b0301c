"""What is said when the hook fails: which script, where, at which command, and why. Imported only when it has failed.

Only bash knows whether a script can be parsed, and under `set -e` a trap notes which command has failed (`hook.bash`).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from esker.activate.origin import place, sourced
from esker.errors import ActivationFailed, HookCutOff

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

__all__ = ["failures", "not_begun", "not_expanded"]

_CUT_OFF = "The {} script did not complete normally"
_REVIEW = """\
Review your script for the use of:
- 'exit' commands, which should be replaced with 'return'
- 'exec' commands, which should be run in a subshell: '(exec command)'"""
_OPTIONS = """
- 'set -e' and 'set -u', under which a failed command or a variable that is not set ends the script"""
_TOO_LARGE = """
- exported values that are too large to start a program with, on Linux 128 kB each"""
_MAY_FAIL = "what it says stands above; where it may fail, put `|| true` behind it"
_NOT_STARTED = 126  # the status of a shell that could not start a program
_SENT = "find out what sent the signal: the script, a program it ran, a limit of memory or time, a person"
_LINE = re.compile(rb": line ([0-9]+): ")


class _Script(NamedTuple):
    """A script that bash has run."""

    name: str
    """What messages call it."""
    text: str
    where: str
    """The manifest in which it stands, or the project whose tool has made it."""
    returned: str
    """Its status; empty if it has ended its bash."""

    @property
    def file(self) -> str:
        """What messages name as its place as a whole."""
        return sourced(self.text) or self.where

    def place(self, line: int) -> str:
        """Return where a line stands that bash has counted."""
        file = sourced(self.text)
        return f"{file}:{line}" if file else place(self.where, self.text, line)


class _Failed(NamedTuple):
    """A command that has failed under `set -e`, as bash has noted it."""

    line: int
    command: str
    file: str
    """Where it stands; empty for the script itself."""


def failures(
    ran: Iterable[tuple[str, str, str, str]],
    status: int,
    notes: bytes,
    texts: Collection[str],
    bash: str,
    environ: Mapping[str, str],
) -> Iterator[str]:
    """Yield warnings of scripts that bash has run; raises ActivationFailed for the one that has ended it.

    `ran` has the name of each script, its text, the manifest or project that it comes from, and the status that it
    returned, empty if it has ended bash. `status` is that of bash, `notes` are those of its failed commands, and
    `texts` are the paths at which it has read the scripts.
    """
    script = None
    for script in map(_Script._make, ran):
        if (script.returned or str(status)) != "0" and (line := _line_of_mistake(script, bash, environ)):
            yield _mistake(script, line)
        if not script.returned:
            break
    if script is not None and (status != 0 or not script.returned):
        raise _cut_off(script, status, _failed_command(script, notes, texts))


def not_begun(bash: str, status: int) -> ActivationFailed:
    """Return the error for a bash that has ended before it did anything."""
    return ActivationFailed(
        f"`{bash}` did not run the environment's scripts: {_ended(status)}",
        hint="it must be a bash that keeps the descriptors it inherits; put another one first on PATH",
    )


def not_expanded(name: str, manifest: str) -> ActivationFailed:
    """Return the error for a value of `[vars]` that bash has refused."""
    message = f"bash could not expand `{name}` of `[vars]`"
    return ActivationFailed(message, hint="bash says why above", place=manifest)


def _mistake(script: _Script, line: int) -> str:
    """Return the warning of a line that bash cannot parse; raises ActivationFailed if the script has ended bash there.

    A script with a syntax error runs up to the error and then fails. So does a valid script whose last command fails.
    Only a second look at the script tells the two apart.
    """
    what = f"{script.name} has a syntax error ({script.place(line)})"
    if not script.returned:
        raise ActivationFailed(
            f"{what}, and `set -e` ends the script there",
            hint="correct it; without `set -e`, bash would keep what came before and go on",
        )
    return f"! {what}; only the commands before it have run"


def _line_of_mistake(script: _Script, bash: str, environ: Mapping[str, str]) -> int | None:
    """Return the line of a script at which bash cannot parse it, or None if it can parse it all."""
    text = os.fsencode(script.text)
    if path := sourced(script.text):
        with suppress(OSError), open(path, "rb") as file:
            text = file.read()
    line = None
    for option in ("+O", "-O"):  # without and with extglob, which the script itself may switch on
        done = subprocess.run(
            [script.name, "--noprofile", "--norc", "-p", option, "extglob", "-n"],
            executable=bash,
            env={**environ, "LC_ALL": "C"},  # for messages in English
            input=text + b"\n",
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return None
        match = _LINE.search(done.stderr)
        line = line or int(match[1] if match else 1)
    return line


def _failed_command(script: _Script, notes: bytes, texts: Collection[str]) -> _Failed | None:
    """Return the last command that has failed under `set -e`; None if it is not known."""
    *_, line, command, file = ["", "", "", *os.fsdecode(notes).split("\0")[:-1]]
    if not line.isdecimal():
        return None
    if file in texts and sourced(script.text):  # the `.`, which only passes on a status
        return None
    return _Failed(int(line), command.partition("\n")[0], "" if file in texts else file)


def _cut_off(script: _Script, status: int, failed: _Failed | None) -> ActivationFailed:
    """Return the error for a script that ended its bash before the result was written, at the command that `failed`."""
    message, where = _CUT_OFF.format(script.name), script.file
    if status == 0:
        return HookCutOff(message, hint=_REVIEW, place=where)
    ending = _ended(status)
    hint = _SENT if status < 0 else _REVIEW + _OPTIONS + (_TOO_LARGE if status == _NOT_STARTED else "")
    if failed is not None and status > 0:
        if not failed.file:
            where = script.place(failed.line)
        else:
            where = f"{'' if os.path.isabs(failed.file) else f'{script.file}, '}{failed.file}:{failed.line}"
        ending, hint = f"`{failed.command}` has failed under `set -e`, and {ending}", _MAY_FAIL
    return HookCutOff(f"{message}: {ending}", hint=hint, ending=ending, place=where)


def _ended(status: int) -> str:
    if status >= 0:
        return f"bash ended with status {status}"
    try:
        return f"{signal.Signals(-status).name} ended bash"
    except ValueError:  # one without a name
        return f"signal {-status} ended bash"
