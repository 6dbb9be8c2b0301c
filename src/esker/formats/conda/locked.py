"""A conda package as a lock names it."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["LockedCondaPackage", "closure", "python_minor"]


class LockedCondaPackage(NamedTuple):
    """One archive of a channel, with its hash."""

    name: str
    """Normalised: lower case."""
    version: str
    build: str
    subdir: str
    """`noarch`, or the directory of its system, such as `linux-64`."""
    url: str
    """Of the channel itself, also where a mirror is used; without credentials."""
    sha256: str
    """In hexadecimal."""
    size: int | None
    """Of the archive, in bytes."""
    depends: tuple[str, ...] = ()
    """The specs of what it needs."""

    @property
    def is_for_python(self) -> bool:
        """Whether it is made for an interpreter, as what has Python modules is."""
        return any(_needed(spec) in {"python", "python_abi"} for spec in self.depends)


def closure(packages: tuple[LockedCondaPackage, ...], name: str) -> tuple[LockedCondaPackage, ...]:
    """Return those of the packages that one of them needs, with itself, in their order."""
    by_name = {package.name: package for package in packages}
    found: set[str] = set()
    waiting = [name]
    while waiting:
        wanted = waiting.pop()
        if wanted not in found and wanted in by_name:
            found.add(wanted)
            waiting.extend(_needed(spec) for spec in by_name[wanted].depends)
    return tuple(package for package in packages if package.name in found)


def python_minor(packages: tuple[LockedCondaPackage, ...]) -> str | None:
    """Return the minor version of the Python among packages, such as `3.12`; None if there is none."""
    version = next((package.version for package in packages if package.name == "python"), None)
    match = re.match(r"\d+\.\d+", version or "")
    return match[0] if match else None


def _needed(spec: str) -> str:
    return spec.partition(" ")[0].lower()
