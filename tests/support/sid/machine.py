"""A machine with Debian's newest suite for tests, of which nothing is left when it ends.

    with Machine() as machine:
        done = machine.run("nix", "--version", user="root")

It is a root on top of the kept one, in namespaces of processes and mounts; what is written there lies in memory. This
checkout is there too, read-only, and the network is that of the machine outside. When the pipe to its first process
closes, also because the tests have been killed, the kernel ends everything in there.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.sid.root import CHECKOUT, PYTHON, ROOT, USER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["Machine"]

_CHECKOUT = Path(__file__).parents[3]
_PATIENCE = 60
"""Seconds that a start may take."""
_DAEMON = "var/guix/daemon-socket/socket"
_OPTIONS = "--disable-chroot --no-substitutes --disable-deduplication"
_START = """
set -e
mount -t tmpfs -o mode=755,size=2g esker "$1"
mkdir "$1/upper" "$1/work" "$1/tree"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" esker "$1/tree"
cd "$1/tree"
mount --rbind /proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 esker tmp
mount -t tmpfs esker run
mount --bind "$3" ".$4"
mount -o remount,bind,ro ".$4"
shift 4
for each; do mkdir -p ".$each" && mount --rbind "$each" ".$each"; done
mkdir old
pivot_root . old
umount -l /old
cd /
echo started
exec /usr/bin/tini -- /usr/bin/cat
"""


class Machine:
    """The machine, a context manager; it needs root. Directories of the machine outside are `shared` at their paths."""

    def __init__(self, *shared: str) -> None:
        self._shared = shared
        self.below: Path
        """Where its root is mounted; empty for everybody outside."""
        self.tree: Path
        """Its root, as this process sees it."""

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise RuntimeError("the tests in Debian sid mount its root, which only root can")
        with contextlib.ExitStack() as stack:
            self.below = Path(tempfile.mkdtemp(prefix="esker-sid-", dir="/tmp"))
            stack.callback(self.below.rmdir)
            words = [
                "sh",
                "-c",
                _START,
                "sh",
                str(self.below),
                str(ROOT.path()),
                str(_CHECKOUT),
                CHECKOUT,
                *self._shared,
            ]
            unshare = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--mount-proc"]
            first = stack.enter_context(
                subprocess.Popen([*unshare, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            assert first.stdin is not None
            assert first.stdout is not None
            stack.callback(first.stdin.close)
            if first.stdout.readline() != "started\n":
                raise RuntimeError("Debian sid did not start; its messages stand above")
            self._pid = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().strip()
            self.tree = Path(f"/proc/{self._pid}/root")
            self._end = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.close()

    def command(
        self, *argv: str, user: str = USER, cwd: str = "/", variables: Mapping[str, str] | None = None
    ) -> list[str]:
        """Return the command by which a program runs in the machine, with these variables beside the usual ones."""
        home = "/root" if user == "root" else f"/home/{user}"
        environ = {
            "HOME": home,
            "LANG": "C.UTF-8",
            "LOGNAME": user,
            "PATH": f"{PYTHON}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SHELL": "/bin/bash",
            "USER": user,
        } | dict(variables or {})
        enter = ["nsenter", f"--target={self._pid}", "--pid", "--mount", "--root", f"--wd={self.tree}{cwd}"]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return [*enter, *become, "env", "-i", *(f"{name}={value}" for name, value in environ.items()), *argv]

    def run(
        self,
        *argv: str,
        user: str = USER,
        cwd: str = "/",
        variables: Mapping[str, str] | None = None,
        given: str | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the machine; raise RuntimeError with what it says if it fails, unless told not to check."""
        command = self.command(*argv, user=user, cwd=cwd, variables=variables)
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=10 * _PATIENCE)
        if check and done.returncode != 0:
            raise RuntimeError(f"`{' '.join(argv)}` failed: {done.stdout}{done.stderr}")
        return done

    def start_guix(self) -> None:
        """Start Guix's daemon, which builds without a chroot and asks no server, and wait until it answers."""
        self.run("sh", "-c", f"guix-daemon {_OPTIONS} >/var/log/guix-daemon 2>&1 </dev/null &", user="root")
        deadline = time.monotonic() + _PATIENCE
        while not self.tree.joinpath(_DAEMON).is_socket():
            if time.monotonic() > deadline:
                log = self.tree.joinpath("var/log/guix-daemon").read_text()
                raise RuntimeError(f"Guix's daemon does not answer: {log}")
            time.sleep(0.05)
