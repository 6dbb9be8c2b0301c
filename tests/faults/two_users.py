"""Two users of one machine, who run real commands: each has a uid of its own, a home, and no account.

The interpreter of the tests may lie where no other user can go, as in root's home. So the users have an environment of
their own, made from the machine's Python, which finds Esker and what it needs where the tests find them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from esker.host import process_table

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Machine", "User", "machine", "reason_for_none"]

_PYTHON = "/usr/bin/python3"
_FIRST = 50_000
"""The uids are from here on, and depend on this process, so that tests side by side have different ones."""
_PATIENCE = 60


class User(NamedTuple):
    """A user without an account."""

    uid: int
    home: Path
    python: Path

    def run(self, *argv: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program as this user, from the home, with umask 000; a variable that is empty is not set."""
        uid = str(self.uid)
        given = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **variables}
        environ = [f"{name}={value}" for name, value in given.items() if value]
        # Not `user=` of subprocess, which opens the working directory's way as root and keeps root's capabilities.
        become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all"]
        return subprocess.run(
            [*become, "env", "-i", *environ, *argv],
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            umask=0,
            check=False,
        )

    def esker(self, *arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Esker as this user."""
        return self.run(self.python, "-m", "esker", *arguments, cwd=cwd, **variables)

    def project(self, name: str, manifest: str) -> Path:
        """Make a project in this user's home with `esker init`, give it a manifest, and return its directory."""
        directory = self.home / name
        directory.mkdir()
        self.owns(directory)
        done = self.esker("init", cwd=directory)
        assert done.returncode == 0, done.stderr
        (directory / ".flox/env/manifest.toml").write_text(manifest)
        return directory

    def owns(self, path: Path) -> None:
        """Give a path to this user."""
        os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def begin_anew(self) -> None:
        """Let the user have an empty home and nothing else."""
        self.remove_everything()
        self.home.mkdir()
        self.home.chmod(0o755)
        self.owns(self.home)

    def remove_everything(self) -> None:
        """Remove the home, and what this user has in /tmp."""
        for path in (self.home, self.runtime, self.scratch):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @property
    def runtime(self) -> Path:
        """This user's runtime directory where no XDG_RUNTIME_DIR is set."""
        return Path(f"/tmp/esker-{self.uid}")

    @property
    def scratch(self) -> Path:
        """This user's directory for temporary files where no TMPDIR is set."""
        return Path(f"/tmp/esker-scratch-{self.uid}")


class Machine(NamedTuple):
    """A directory where everybody may make something, as in /tmp, and the users whose homes are in it."""

    top: Path
    victim: User
    newcomer: User
    """Another victim, who has nothing but a home yet."""
    stranger: User


def reason_for_none() -> str | None:
    """Return why there can be no two users here, or None if there can be."""
    if os.geteuid() != 0:
        return "only root can act as two users"
    if shutil.which("setpriv") is None:
        return "no `setpriv`"
    script = "import sys, venv; sys.exit(sys.version_info < (3, 11))"
    if not os.access(_PYTHON, os.X_OK) or subprocess.run([_PYTHON, "-c", script], check=False).returncode:
        return f"no `{_PYTHON}` of 3.11 or later"
    return None


@contextmanager
def machine() -> Iterator[Machine]:
    """Make the users, and afterwards end their processes and remove what they have left."""
    top = Path(tempfile.mkdtemp(prefix="esker-users-", dir="/tmp"))  # not below pytest's own, which is for one user
    top.chmod(0o1777)
    first = _FIRST + os.getpid() % 5000 * 3
    names = ("ann", "eve", "bob")
    users = [User(first + index, top / name, top / "venv/bin/python") for index, name in enumerate(names)]
    try:
        _make_python(top / "venv")
        for user in users:
            user.begin_anew()
        yield Machine(top, *users)
    finally:
        for user in users:
            _end_processes(user.uid)
            user.remove_everything()
        shutil.rmtree(top)


def _make_python(directory: Path) -> None:
    """Make an environment whose Python imports what the one of the tests imports."""
    subprocess.run([_PYTHON, "-m", "venv", "--without-pip", directory], check=True, umask=0o022)
    (libraries,) = directory.glob("lib/python*/site-packages")
    found = importlib.util.find_spec("esker")
    assert found is not None
    assert found.origin is not None
    paths = (Path(found.origin).parents[1], sysconfig.get_path("purelib", vars={"base": sys.prefix}))
    (libraries / "esker.pth").write_text("".join(f"{path}\n" for path in paths))


def _end_processes(uid: int) -> None:
    end = time.monotonic() + _PATIENCE
    while left := [one for one in process_table.entries() if not one.ended and process_table.owner(one.pid) == uid]:
        assert time.monotonic() < end, left
        for one in left:
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)  # nobody else has this uid
        time.sleep(0.02)
