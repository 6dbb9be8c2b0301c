"""The files of an image, put into a directory by its entries, and commands that run with that directory as `/`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from esker.ship.image.unit import Directory, File, HardLink, SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from esker.ship.image.unit import Unit

__all__ = ["placed", "run_in"]

_ENTER = 'mount -t proc proc "$1/proc" && mount --bind /dev/null "$1/dev/null" && exec chroot "$@"'


def placed(units: Iterable[Unit], root: Path) -> dict[str, str]:
    """Put the entries of units below `root`; return the unit of each path, which no two units share."""
    owners: dict[str, str] = {}
    for unit in units:
        for entry in unit.entries():
            target = Path(f"{root}{entry.path}")
            if not isinstance(entry, Directory):
                assert entry.path not in owners, (entry.path, unit.name, owners[entry.path])
                owners[entry.path] = unit.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(entry, Directory):
                target.mkdir(exist_ok=True)
                target.chmod(entry.mode)
            elif isinstance(entry, SymbolicLink):
                target.symlink_to(entry.target)
            elif isinstance(entry, HardLink):
                os.link(f"{root}{entry.target}", target)
            else:
                _write(entry, target)
    return owners


def _write(entry: File, target: Path) -> None:
    if isinstance(entry.source, bytes):
        target.write_bytes(entry.source)
    else:
        shutil.copyfile(entry.source, target)
    target.chmod(entry.mode)


def run_in(root: Path, argv: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command with `root` as its root directory, and with /proc, without which `$ORIGIN` leads nowhere."""
    (root / "proc").mkdir(exist_ok=True)
    (root / "dev").mkdir(exist_ok=True)
    (root / "dev/null").touch()
    return subprocess.run(
        ["unshare", "-rm", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "sh", str(root), *argv],
        env={"PATH": os.defpath, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
