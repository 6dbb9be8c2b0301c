"""A conda package as a lock names it: a file of a channel, with the hash that the file has to have."""

from __future__ import annotations

import re
from dataclasses import dataclass

from esker.errors import Malformed
from esker.formats.printable import printable

__all__ = ["LockedCondaPackage"]

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
