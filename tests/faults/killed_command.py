"""One command, killed before each system call that changes a file, and what the next commands find.

strace delivers the kill: `-e inject=CALL:signal=KILL:when=N` ends the process as it enters its Nth CALL. Only the
command's own process is traced, so that the programs it starts (uv above all) live on as they would after a real kill.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Aftermath", "Kill", "KilledCommand", "faults"]

_CHANGING = (
    *(
        "chmod",
        "fchmod",
        "fchmodat",
        "fdatasync",
        "fsync",
        "ftruncate",
        "link",
        "linkat",
        "mkdir",
        "mkdirat",
        "pwrite64",
    ),
    *("rename", "renameat", "renameat2", "rmdir", "symlink", "symlinkat", "syncfs", "unlink", "unlinkat", "write"),
)
_OPENING = "openat"
_CALL = re.compile(r"^(\w+)\((.*)", re.MULTILINE)
_PATIENCE = 60
_FEWER = 20
"""How many fewer files a command may open than it did when its calls were counted."""


class Kill(NamedTuple):
    """The place where a command is killed."""

    call: str
    """The name of the system call."""
    number: int
    """How many calls of that name the command makes until then, this one included."""
    arguments: str
    """The arguments as strace shows them."""

    def __str__(self) -> str:
        return f"{self.call} {self.number}: {self.arguments[:100]}"


class Aftermath(NamedTuple):
    """What was there after the kill and the commands that followed it."""

    kill: Kill
    said: str
    """Everything that the commands after the kill wrote to stderr."""
    statuses: tuple[int, ...]
    """Of the commands after the kill, without that of the killed command when it is run again."""
    paths: frozenset[str]
    """Every path below the place, relative to it."""


class KilledCommand:
    """A command in a place that is put back as it was before each run.

    `place` is a directory with everything that the command changes: the project (in `project/`), the store, the home,
    the caches and the temporary directory. `after` are the commands that a person runs next.
    """

    def __init__(
        self, place: Path, environ: Mapping[str, str], command: Sequence[str], after: Sequence[Sequence[str]]
    ) -> None:
        self._place = place
        self._pristine = place.with_name(f"{place.name}.pristine")
        self._environ = dict(environ)
        self._command = list(command)
        self._after = [list(line) for line in after]
        subprocess.run(["cp", "-a", place, self._pristine], check=True)

    def kills(self) -> list[Kill]:
        """Run the command once as it is, and return every place where it can be killed."""
        self._restore()
        log = self._place.with_name("strace.log")
        trace = ["strace", "-qq", "-s", "200", "-o", str(log), "-e", f"trace={','.join((*_CHANGING, _OPENING))}"]
        done = self._run([*trace, *self._esker(self._command)])
        assert done.returncode == 0, done.stderr
        counts: Counter[str] = Counter()
        found = []
        for call, arguments in _CALL.findall(log.read_text(errors="replace")):
            counts[call] += 1
            if (call != _OPENING or "O_CREAT" in arguments) and not arguments.startswith(("1,", "2,")):
                found.append(Kill(call, counts[call], arguments))
        return found

    def whole(self) -> Aftermath:
        """Return the aftermath of the command without a kill."""
        self._restore()
        done = self._run(self._esker(self._command))
        assert done.returncode == 0, done.stderr
        return self._aftermath(Kill("none", 0, ""))

    def killed(self, kills: Sequence[Kill]) -> Iterator[Aftermath]:
        """Kill the command at each place and yield what followed."""
        for kill in kills:
            # How many files are opened depends on the processes of the machine, for whoever uses a store path is looked
            # for in /proc. So the last files of a command may have lower numbers this time.
            for number in range(kill.number, max(0, kill.number - _FEWER), -1):
                self._restore()
                inject = f"inject={kill.call}:signal=KILL:when={number}"
                trace = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={kill.call}", "-e", inject]
                done = self._run([*trace, *self._esker(self._command)])
                if done.returncode or kill.call != _OPENING:
                    break
            assert done.returncode == -signal.SIGKILL, (kill, done.returncode, done.stderr)
            yield self._aftermath(kill)

    def _aftermath(self, kill: Kill) -> Aftermath:
        ended = [self._run(self._esker(line)) for line in self._after]
        # Whether the command itself can be run a second time depends on how far it came.
        statuses = tuple(
            done.returncode for done, line in zip(ended, self._after, strict=True) if line != self._command
        )
        self._wait_for_background()
        said = "".join(done.stderr for done in ended)
        return Aftermath(kill, said, statuses, frozenset(self._paths()))

    def _esker(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "esker", *arguments]

    def _run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=self._place / "project",
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )

    def _restore(self) -> None:
        """Put the place back; keep its directory, which the running index and the variables name."""
        for left in self._place.iterdir():
            subprocess.run(["chmod", "-R", "u+rwX", left], check=False)
            shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
        subprocess.run(["cp", "-a", f"{self._pristine}/.", self._place], check=True)

    def processes(self) -> list[str]:
        """Return the command lines of the processes that belong to the place, by their variables."""
        needle = f"HOME={self._environ['HOME']}\0".encode()
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as environ, open(f"/proc/{pid}/cmdline", "rb") as line:
                    if needle in environ.read() + b"\0":
                        found.append(f"{pid} {line.read().replace(bytes(1), b' ').decode(errors='replace')}")
            except OSError:
                continue
        return found

    def _wait_for_background(self) -> None:
        """Wait until what works on in the background, such as a collection of old paths, has ended."""
        end = time.monotonic() + _PATIENCE
        while self.processes() and time.monotonic() < end:
            time.sleep(0.02)
        assert not self.processes(), self.processes()

    def _paths(self) -> Iterator[str]:
        for directory, names, files in os.walk(self._place):
            if directory == str(self._place):
                names.remove("uv-cache")  # uv's own, which it keeps in order itself
            for name in (*names, *files):
                yield os.path.relpath(os.path.join(directory, name), self._place)


def faults(whole: Aftermath, found: Aftermath) -> Iterator[str]:
    """Yield how an aftermath differs from the one without a kill, and what it says that it must never say."""
    if found.statuses != whole.statuses:
        yield f"{found.kill}: the next commands ended with {found.statuses}: {found.said[-200:]!r}"
    for what, paths in (("left", found.paths - whole.paths), ("missing", whole.paths - found.paths)):
        if paths:
            yield f"{found.kill}: {what}: {' '.join(sorted(paths)[:3])}"
    if "rm -" in found.said or "Traceback" in found.said:
        yield f"{found.kill}: {found.said[-200:]!r}"
