"""A box for other people's scripts: no network, no other processes, and nothing that can be written but one directory.

`boxed` runs a command in one, as the first process of new namespaces. Run as a program, this file is what that process
does before the command.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["boxed", "reason_for_none"]

_UNSHARE = ("unshare", "-rnm", "--pid", "--fork", "--kill-child", "--mount-proc")
_MOUNT_SETATTR = 442  # the same on every architecture; Linux 5.12
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_RDONLY = 1
_MS_BIND = 4096


def boxed(
    directory: Path,
    argv: Sequence[str | Path],
    environ: Mapping[str, str],
    *,
    cwd: Path | None = None,
    seconds: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a command that can write in `directory` alone, and return how it ended; its outputs are one text.

    It starts in `cwd`, which is inside, by default the directory itself.
    """
    return subprocess.run(
        [*_UNSHARE, sys.executable, "-I", "-S", os.path.abspath(__file__), str(directory), *map(str, argv)],
        cwd=cwd or directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=seconds,
    )


def reason_for_none(directory: Path) -> str | None:
    """Return why no box can be made here, or None if one can be."""
    if shutil.which("unshare") is None:
        return "no `unshare`"
    outside = directory / "outside"
    (directory / "inside").mkdir()
    script = f"echo inside >written; echo outside >{outside}; ls /sys/class/net"
    done = boxed(directory / "inside", ["sh", "-c", script], {"PATH": os.defpath})
    if not (directory / "inside/written").exists():
        return f"no box can be made: {done.stdout}"
    assert not outside.exists(), "a box lets its command write outside"
    return None


class _Attributes(ctypes.Structure):
    _fields_: ClassVar = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def _enter(directory: str) -> None:
    """Make everything read-only but a directory."""
    libc = ctypes.CDLL(None, use_errno=True)

    def called(result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def attributes(path: str, how: int, **changes: int) -> None:
        changed = _Attributes(**changes)
        size = ctypes.sizeof(changed)
        called(libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), how, ctypes.byref(changed), size))

    path = os.fsencode(directory)
    called(libc.mount(path, path, None, _MS_BIND, None))
    attributes("/", _AT_RECURSIVE, set=_RDONLY)
    attributes(directory, 0, clear=_RDONLY)
    os.chdir(os.getcwd())  # by its path: the directory that we stand in is below the new mount


if __name__ == "__main__":
    _enter(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])
