"""Wheels in an image: each is one unit, copied from its store path into the one Python environment of the image.

A wheel's tree has been made here, perhaps for another system: nothing of it is run. Scripts name the environment's own
`python`, because its place is constant.
"""

from __future__ import annotations

import json
import os
import stat
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import StoreError
from esker.host import trees
from esker.realise.run_paths import MARK
from esker.realise.script_heads import LONGEST_UV_HEAD, UV_HEAD
from esker.ship.content.places import PYTHON
from esker.ship.image.unit import File, SymbolicLink, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.realise.wheels import Wheel
    from esker.ship.image.unit import Entry

__all__ = ["WheelContent", "wheel_content"]

RECIPE = 1
"""Increase it whenever the same wheels would give other bytes."""


class WheelContent(NamedTuple):
    """The wheels of one system."""

    wheels: tuple[Wheel, ...]
    versions: Mapping[str, str]
    files: tuple[tuple[str, ...], ...]
    """What each wheel puts into the environment, by its path there; of one path, the last wheel's is taken."""

    def units(self) -> tuple[Unit, ...]:
        """Return the wheels as units."""
        units = []
        for wheel, files in zip(self.wheels, self.files, strict=True):
            key = [RECIPE, PYTHON, os.path.basename(wheel.path), sha256("\n".join(files).encode()).hexdigest()]
            units.append(
                Unit(
                    name=f"pypi/{wheel.name}",
                    key=sha256(json.dumps(key).encode()).hexdigest(),
                    size=sum(os.lstat(f"{wheel.path}/{path}").st_size for path in files),
                    entries=partial(_entries, wheel.path, files),
                    version=self.versions.get(wheel.name, ""),
                )
            )
        return tuple(units)


def wheel_content(wheels: Sequence[Wheel], versions: Mapping[str, str], *, byte_code: bool) -> WheelContent:
    """Look at what wheels in the store hold, without reading it; byte code is left out unless `byte_code`."""
    owners: dict[str, int] = {}
    for number, wheel in enumerate(wheels):
        for path in trees.files_below(wheel.path):
            if path != MARK and (byte_code or not path.endswith(".pyc")):
                owners[path] = number
    files: list[list[str]] = [[] for _ in wheels]
    for path, number in owners.items():
        files[number].append(path)
    return WheelContent(tuple(wheels), versions, tuple(tuple(sorted(each)) for each in files))


def _entries(tree: str, files: Sequence[str]) -> Iterator[Entry]:
    for path in files:
        source, target = f"{tree}/{path}", f"{PYTHON}/{path}"
        try:
            status = os.lstat(source)
        except FileNotFoundError as error:
            raise StoreError(f"`{source}` is gone", hint="esker store verify --repair") from error
        if stat.S_ISLNK(status.st_mode):
            yield SymbolicLink(target, os.readlink(source))
        elif path.startswith("bin/") and path.count("/") == 1:
            yield File(target, _script(source), 0o755)
        else:
            yield File(target, source, 0o755 if status.st_mode & stat.S_IXUSR else 0o644)


def _script(path: str) -> str | bytes:
    """Return a command of a wheel: its path, or its content if it is a script that looks for Python beside itself."""
    with open(path, "rb") as file:
        head = file.read(LONGEST_UV_HEAD)
        launcher = UV_HEAD.match(head)
        if launcher is None:
            return path
        return f"#!{PYTHON}/bin/python\n".encode() + (launcher["coding"] or b"") + head[launcher.end() :] + file.read()
