"""One command on a full disk, run as the first process of namespaces of its own, where it may mount and count.

It reads what to do from its input, as JSON, and writes what it saw to its output. A small file system is mounted on one
directory and filled up to a few blocks or inodes, the command runs, the filler goes, and the next commands run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BLOCK = 4096
_ROOMY = "size=1g,mode=755"
_SMALL = "size=64m,nr_inodes=20k"
_PATIENCE = 60
_FILLER = ".filler"


def main() -> None:
    """Do what the input says."""
    given = json.load(sys.stdin)
    place = Path(given["place"])
    _mount(place, _ROOMY)
    subprocess.run(["cp", "-a", f"{given['pristine']}/.", place], check=True)
    Path(given["runtime"]).mkdir(mode=0o711, exist_ok=True)
    _mount(Path(given["runtime"]), f"{_SMALL},mode=711")  # and without what other projects have there
    if given["full"] != given["runtime"]:
        _make_small(Path(given["full"]))
    tops = [place, Path(given["runtime"])]
    seen: dict[str, Any] = {"before": _paths(tops)}
    if given["free"] is not None:
        _fill(Path(given["full"]), given["unit"], given["free"])
    seen["command"] = _run(given, given["command"])
    _empty(Path(given["full"]))
    seen["processes"] = _await_others() if seen["command"]["status"] else []
    seen["after"] = _paths(tops)
    seen["works"] = [_run(given, line) for line in given["works"]] if seen["command"]["status"] else []
    seen["again"] = _run(given, given["command"]) if seen["command"]["status"] else None
    seen["next"] = [_run(given, line) for line in given["after"]]
    seen["processes"] += _await_others()
    seen["end"] = _paths(tops)
    json.dump(seen, sys.stdout)


def _mount(directory: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", directory], check=True)


def _make_small(directory: Path) -> None:
    """Put a small file system in the place of a directory, with everything that it holds."""
    mode = directory.stat().st_mode & 0o7777
    kept = Path(f"/proc/self/fd/{os.open(directory, os.O_RDONLY)}")  # what the mount hides
    _mount(directory, f"{_SMALL},mode={mode:o}")
    subprocess.run(["cp", "-a", f"{kept}/.", f"{directory}/."], check=True, pass_fds=[int(kept.name)])


def _fill(directory: Path, unit: str, free: int) -> None:
    """Leave only this many blocks or inodes free."""
    filler = directory / _FILLER
    filler.mkdir()
    if unit == "inodes":
        made = 0
        try:
            while True:
                (filler / str(made)).touch()
                made += 1
        except OSError:
            for number in range(max(0, made - free), made):
                (filler / str(number)).unlink()
        return
    with open(filler / "blocks", "wb", buffering=0) as file:
        size = 0
        try:
            while True:
                size += file.write(bytes(256 * BLOCK if size < 62 << 20 else BLOCK))
        except OSError:
            file.truncate(max(0, size - free * BLOCK))


def _empty(directory: Path) -> None:
    subprocess.run(["find", directory / _FILLER, "-delete"], check=False, capture_output=True)


def _run(given: dict[str, Any], line: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "esker", *line.split()],
        cwd=f"{given['place']}/project",
        env=given["environ"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_PATIENCE,
        check=False,
    )
    return {"line": line, "status": done.returncode, "out": done.stdout, "err": done.stderr}


def _paths(tops: list[Path]) -> list[str]:
    found = []
    for top in tops:
        for directory, names, files in os.walk(top):
            for own in {_FILLER, "uv-cache"} & set(names):
                names.remove(own)
            found += [f"{directory}/{name}" for name in (*names, *files)]
    return sorted(found)


def _await_others() -> list[str]:
    """Wait until no other process runs here; return the command lines of those that do not end."""
    end = time.monotonic() + _PATIENCE / 3
    while (left := _others()) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def _others() -> list[str]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        if line and int(name) != os.getpid():
            found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


if __name__ == "__main__":
    main()
