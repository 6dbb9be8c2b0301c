"""Programs: finding them on PATH, replacing this process by them, and running them to their end.

Every activation calls `execute`, so nothing heavy is imported at the top.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` builds enumerations, which takes 1 ms
import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from subprocess import CompletedProcess, Popen
    from typing import NoReturn

    from esker.errors import CommandFailed
    from esker.host.clock import Deadline

__all__ = ["NOT_EXECUTABLE", "NOT_FOUND", "execute", "find_program", "following", "not_found", "run", "start_failure"]

NOT_EXECUTABLE = 126
NOT_FOUND = 127
_MOMENT = 0.5
"""Seconds that an interrupted program has to end by itself."""
_LAST_WORDS = 2000
"""How many characters of a failed program's output an error keeps."""


def find_program(name: str, path: str | None) -> str | None:
    """Return the file that a shell with this PATH would execute; a name that contains a slash is returned as it is."""
    if "/" in name:
        return name
    for directory in (os.defpath if path is None else path).split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
    return None


def execute(argv: list[str], environ: Mapping[str, str]) -> NoReturn:
    """Replace this process by a program, found on the PATH of `environ`; as in a shell, sh runs a script without `#!`.

    Raises CommandFailed with the exit status of a shell: 127 if there is no such program, 126 if it does not start.
    """
    program = find_program(argv[0], environ.get("PATH"))
    if program is None:
        raise not_found(argv[0])
    # Python ignores these two signals, but a program expects that they end it.
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    try:
        try:
            os.execve(program, argv, environ)  # noqa: S606 - it must not go through a shell
        except OSError as refusal:
            if refusal.errno != errno.ENOEXEC:
                raise
            os.execve("/bin/sh", ["/bin/sh", program, *argv[1:]], environ)  # noqa: S606 - as execvp does
    except OSError as refusal:
        raise start_failure(argv[0], program, refusal) from refusal


def not_found(name: str) -> CommandFailed:
    """Return the error for a program that is not on PATH."""
    return _refused(name, "command not found", NOT_FOUND)


def start_failure(name: str, program: str, refusal: OSError) -> CommandFailed:
    """Return the error for `program`, the file that was found for `name`, when the system refused to start it."""
    if refusal.errno in {errno.ENOENT, errno.ENOTDIR}:
        if os.path.lexists(program):
            return _refused(name, "the program that runs it (its `#!` line or loader) was not found", NOT_FOUND)
        return _refused(name, "no such file or directory", NOT_FOUND)
    if os.path.isdir(program):
        return _refused(name, "is a directory", NOT_EXECUTABLE)
    return _refused(name, (refusal.strerror or str(refusal)).lower(), NOT_EXECUTABLE)


def _refused(name: str, reason: str, status: int) -> CommandFailed:
    from esker.errors import CommandFailed

    return CommandFailed(f"{name}: {reason}", status=status, exit_status=status)


def run(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    cwd: str | None = None,
    check: bool = True,
    capture: bool = True,
    stdin: str | None = None,
    timeout: float | Deadline | None = None,
) -> CompletedProcess[str]:
    """Run a program, found on the PATH of `environ`, to its end.

    With a `timeout` (seconds or a Deadline), the program gets a process group of its own. When the time is up, the
    whole group is killed and TimedOut is raised. Raises CommandFailed when the program cannot be started or, with
    `check`, when its status is not 0.
    """
    import subprocess

    from esker.host.child import child

    program = _program(argv[0], environ, cwd)
    deadline = _deadline(timeout)
    pipe = subprocess.PIPE if capture else None

    def start() -> Popen[str]:
        try:
            return subprocess.Popen(
                argv,
                executable=program,
                env=environ,
                cwd=cwd,
                stdin=None if stdin is None else subprocess.PIPE,
                stdout=pipe,
                stderr=pipe,
                encoding="utf-8",
                errors="surrogateescape",
                process_group=None if deadline is None else 0,
            )
        except OSError as refusal:
            raise start_failure(argv[0], program, refusal) from refusal

    with child(start, moment=_MOMENT) as process:
        try:
            output, errors = _communicate(process, stdin, deadline)
        except subprocess.TimeoutExpired as expired:
            _kill_group(process)
            from esker.errors import TimedOut

            raise TimedOut(f"`{argv[0]}` did not end within {expired.timeout:g} s") from None
        except BaseException:
            if deadline is not None:
                _kill_group(process)
            raise
    completed = subprocess.CompletedProcess(list(argv), process.returncode, output or "", errors or "")
    if check and completed.returncode:
        raise _failure(completed)
    return completed


def following(argv: Sequence[str], environ: Mapping[str, str]) -> Popen[bytes]:
    """Start a program whose two outputs the caller reads from one pipe, until the caller ends it.

    It ends with the thread that calls this. Raises CommandFailed when it cannot be started.
    """
    import signal
    import subprocess

    from esker.host import prctl

    program = _program(argv[0], environ, None)
    try:
        return subprocess.Popen(
            argv,
            executable=program,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=prctl.ending_with_us(signal.SIGKILL),  # noqa: PLW1509  # safe in threads, as it says
        )
    except OSError as refusal:
        raise start_failure(argv[0], program, refusal) from refusal


def _program(name: str, environ: Mapping[str, str], cwd: str | None) -> str:
    """Return the file of a program that is to run in a directory; raises an EskerError if either is missing."""
    program = find_program(name, environ.get("PATH"))
    if program is None:
        raise not_found(name)
    if cwd is not None and not os.path.isdir(cwd):
        from esker.errors import HostError

        raise HostError(f"cannot run `{name}` in `{cwd}`: no such directory")
    return program


def _deadline(timeout: float | Deadline | None) -> Deadline | None:
    """Return `timeout` as a deadline, or None when there is no limit."""
    if timeout is None:
        return None
    from esker.host.clock import Deadline

    deadline = timeout if isinstance(timeout, Deadline) else Deadline(timeout)
    return deadline if deadline.is_limit else None


def _communicate(process: Popen[str], stdin: str | None, deadline: Deadline | None) -> tuple[str, str]:
    import subprocess

    if deadline is None:
        return process.communicate(stdin)
    while True:
        try:
            return process.communicate(stdin, deadline.step())
        except subprocess.TimeoutExpired as expired:
            if deadline.passed:
                raise subprocess.TimeoutExpired(expired.cmd, deadline.seconds or 0) from None
        stdin = None  # the first call has taken it; `communicate` must not get it again


def _kill_group(process: Popen[str]) -> None:
    """Kill a process group, and close our pipes to it even if a process outside of the group still holds them."""
    import signal
    import subprocess
    from contextlib import suppress

    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=1)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _failure(completed: CompletedProcess[str]) -> CommandFailed:
    import signal

    from esker.errors import CommandFailed
    from esker.formats.urls import redact

    status = completed.returncode
    ending = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    # Redacted before it is cut: in half a URL, a password could not be recognised.
    output = redact(completed.stderr.strip() or completed.stdout.strip())[-_LAST_WORDS:]
    last_line = output.rpartition("\n")[2]
    return CommandFailed(
        f"`{redact(completed.args[0])}` {ending}{': ' if last_line else ''}{last_line}",
        status=128 - status if status < 0 else status,
        output=output,
    )
