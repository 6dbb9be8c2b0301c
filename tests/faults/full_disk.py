"""Commands on a full disk: each directory that a command writes to, full up to a few blocks or inodes.

Whatever could not be written, the command says which place is full and what to do, leaves nothing, and has damaged
nothing: with room again, the environment of before works, and so does the command.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.faults.commands import COMMANDS, Case, prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CASES", "PLACES", "Fullness", "OnFullDisk", "on_full_disk", "reason_for_none"]

_INSIDE = Path(__file__).with_name("full_disk_inside.py")
PLACES = ("project", "store", "runtime", "tmp", "home", "uv-cache")
"""The directories that are full; `runtime` is the user's runtime directory, the others lie in the place."""
_SWEEP = (*range(13), 14, 16, 20, 24, 32, 48, 64, 128, 256)
_ENOUGH = 3
"""After this many successes in a row, more room is tried no more."""
_HOOK = ("[hook]\n", '[hook]\non-activate = "export GREETING=hello"\n')
CASES = {
    **COMMANDS,
    "hook": Case("activate -- true", ("install pypi/app",), ("activate -- app", "store gc --keep 1"), changes=_HOOK),
}
_WORKS = {"rollback": "activate -- tool", "gc": "activate -- tool", "init": "list", "start": "list", "delete": "list"}
"""What shows that the environment of before still works; for the other commands it is `activate -- app`."""
_CHANGED = {"lock", "activate"}
"""Commands before which the manifest was edited, so that there is no environment of before."""

_MADE_WHEN_NEEDED = ("/esker/seal-key.json", "/esker/seal-key.json.lock")
"""An activation needs no seal: where there is no room for its key, the next plan that is written makes it."""


class Fullness(NamedTuple):
    """How little is free, and where."""

    place: str
    free: int
    unit: str = "blocks"

    def __str__(self) -> str:
        return f"{self.free} {self.unit} free in {self.place}"


def reason_for_none() -> str | None:
    """Return why no file system can be mounted in a namespace here, or None if one can be."""
    if shutil.which("unshare") is None:
        return "no `unshare`"
    script = "mount -t tmpfs none /mnt"
    done = subprocess.run([*_namespaces(), "sh", "-c", script], capture_output=True, text=True, check=False)
    return done.stderr.strip() or "no namespaces" if done.returncode else None


def _namespaces() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


@contextmanager
def on_full_disk(name: str, top: Path) -> Iterator[OnFullDisk]:
    """Prepare the place of a command below `top`, and give the command."""
    place = top / "place"
    with prepared(CASES[name], place) as environ:
        pristine = top / "pristine"
        (place / "store").mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", place, pristine], check=True)
        yield OnFullDisk(name, place, pristine, environ)


class OnFullDisk:
    """A command that is run on full disks, again and again from the same beginning."""

    def __init__(self, name: str, place: Path, pristine: Path, environ: dict[str, str]) -> None:
        self._name = name
        self._case = CASES[name]
        self._place = place
        self._pristine = pristine
        self._environ = environ
        self._runtime = self._user_runtime_directory()
        self._whole = self._seen(None)
        assert self._whole["command"]["status"] == 0, self._whole["command"]

    def faults(self, fullness: Fullness) -> tuple[bool, list[str]]:
        """Run the command on a full disk; return whether it succeeded, and what was wrong."""
        seen = self._seen(fullness)
        found = [*self._said_wrong(seen, fullness), *self._left_wrong(seen), *self._later_wrong(seen)]
        return seen["command"]["status"] == 0, [f"{self._name}, {fullness}: {one}" for one in found]

    def sweep(self) -> Iterator[tuple[Fullness, list[str]]]:
        """Run the command with more and more room in each place until it has enough, and yield what was wrong."""
        for place, unit in itertools.product(PLACES, ("blocks", "inodes")):
            enough = 0
            for free in _SWEEP:
                fullness = Fullness(place, free, unit)
                succeeded, found = self.faults(fullness)
                yield fullness, found
                enough = enough + 1 if succeeded else 0
                if enough == _ENOUGH:
                    break

    def _user_runtime_directory(self) -> str:
        program = f"import sys; sys.path[:0] = {sys.path!r}\nfrom esker.host import runtime_directory as r\n"
        program += "print(r.user_directory(None))"
        return subprocess.check_output([*_namespaces(), sys.executable, "-c", program], text=True).strip()

    def _seen(self, fullness: Fullness | None) -> dict[str, Any]:
        place = fullness.place if fullness else "tmp"
        works = [] if self._name in _CHANGED else [_WORKS.get(self._name, "activate -- app")]
        given = {
            "place": str(self._place),
            "pristine": str(self._pristine),
            "runtime": self._runtime,
            "full": self._runtime if place == "runtime" else str(self._place / place),
            "free": fullness and fullness.free,
            "unit": fullness and fullness.unit,
            "environ": self._environ,
            "command": self._case.command,
            "after": self._case.after,
            "works": works,
        }
        argv = [*_namespaces(), sys.executable, "-I", "-S", str(_INSIDE)]
        done = subprocess.run(argv, input=json.dumps(given), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def _said_wrong(self, seen: dict[str, Any], fullness: Fullness) -> Iterator[str]:
        """Yield what is wrong with the command's own message."""
        status, said = seen["command"]["status"], seen["command"]["err"]
        if status == 0:
            return
        where = self._runtime if fullness.place == "runtime" else str(self._place / fullness.place)
        if status != 1 or "ERROR: " not in said:
            yield f"it ended with {status}: {said[-300:]!r}"
        if "no space left on device" not in said and "the disk is full" not in said:
            yield f"it does not say that the disk is full: {said[-300:]!r}"
        if where not in said:
            yield f"it does not name the place: {said[-300:]!r}"
        if "hint: " not in said:
            yield f"it has no hint: {said[-300:]!r}"

    def _left_wrong(self, seen: dict[str, Any]) -> Iterator[str]:
        """Yield what the failed command left that the whole one does not leave, and what is missing."""
        if seen["command"]["status"] == 0:
            return
        before, whole, after = (set(paths) for paths in (seen["before"], self._whole["after"], seen["after"]))
        if more := after - before - whole:
            yield f"left: {' '.join(sorted(more)[:3])}"
        if fewer := (before & whole) - after:
            yield f"missing: {' '.join(sorted(fewer)[:3])}"
        if seen["processes"]:
            yield f"still run: {seen['processes'][:3]}"

    def _later_wrong(self, seen: dict[str, Any]) -> Iterator[str]:
        """Yield what does not work with room again."""
        for done in seen["works"]:
            if done["status"]:
                yield f"then `{done['line']}` ends with {done['status']}: {done['err'][-300:]!r}"
        if seen["again"] and seen["again"]["status"]:
            yield f"then it ends with {seen['again']['status']}: {seen['again']['err'][-300:]!r}"
        for done, whole in zip(seen["next"], self._whole["next"], strict=True):
            if done["status"] != whole["status"] and done["line"] != self._case.command:
                yield f"then `{done['line']}` ends with {done['status']}: {done['err'][-300:]!r}"
        end, whole_end = set(seen["end"]), set(self._whole["end"])
        missing = {path for path in whole_end - end if not path.endswith(_MADE_WHEN_NEEDED)}
        for what, paths in (("left", end - whole_end), ("missing", missing)):
            if paths:
                yield f"{what} at the end: {' '.join(sorted(paths)[:3])}"
        for done in (seen["command"], seen["again"], *seen["works"], *seen["next"]):
            if done and ("Traceback" in done["err"] or "rm -" in done["err"]):
                yield f"`{done['line']}` said: {done['err'][-300:]!r}"
