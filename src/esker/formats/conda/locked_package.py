"""A conda package as a lock names it: a file of a channel, with the hash that the file has to have."""

from __future__ import annotations

import re
from dataclasses import dataclass

from esker.errors import Malformed
from esker.formats.conda.specs import package_of_spec
from esker.formats.printable import printable

__all__ = ["LockedCondaPackage", "closure", "python_minor"]

_RULES = {
    "name": re.compile(r"(?![.]{1,2}$)[0-9A-Za-z._-]{1,200}"),
    "version": re.compile(r"[0-9A-Za-z._+!-]{1,200}"),
    "build": re.compile(r"[0-9A-Za-z._+-]{0,200}"),
    "subdir": re.compile(r"[0-9a-z_]+(-[0-9a-z_]+)?"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
}
"""What the fields may hold. Files are named after some of them, so none has a slash."""


@dataclass(frozen=True)
class LockedCondaPackage:
    """A package of a channel; raises Malformed if a field cannot be one of a conda package."""

    name: str
    version: str
    build: str
    subdir: str
    """The system it is for, such as `linux-64`, or `noarch`."""
    url: str
    """Where the file lies; the client may take it from a mirror."""
    sha256: str
    """Hexadecimal digits."""
    size: int | None = None
    """Bytes of the file; None where the lock does not say."""
    depends: tuple[str, ...] = ()
    """The specs of what it needs."""

    def __post_init__(self) -> None:
        for field, rule in _RULES.items():
            value = getattr(self, field)
            if not isinstance(value, str) or not rule.fullmatch(value):
                shown = printable(str(value))
                raise Malformed(f"`{shown}` is not the {field} of a conda package (`{printable(str(self.name))}`)")

    @property
    def title(self) -> str:
        """Name, version and build, as conda writes them in the names of files."""
        return f"{self.name}-{self.version}-{self.build}"

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
    return package_of_spec(spec) or spec
