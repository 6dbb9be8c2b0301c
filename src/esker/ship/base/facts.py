"""What is known of a base's files: small enough to be kept, so that an unchanged base is read once on each machine."""

from __future__ import annotations

import msgspec

from esker.ship.base.paths import parts_of, resolved

__all__ = ["BASHES", "CERTIFICATES", "ENV", "NSSWITCH", "SHELL", "TIME_ZONES", "BaseFacts", "BaseLibrary"]

SHELL, ENV, NSSWITCH = "/bin/sh", "/usr/bin/env", "/etc/nsswitch.conf"
BASHES = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash")
CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
TIME_ZONES = "/usr/share/zoneinfo"


class BaseLibrary(msgspec.Struct, frozen=True):
    """The C library of a base."""

    name: str
    """`glibc` or `musl`."""
    path: str
    version: tuple[int, int]
    """0.0 for musl, which has no versions of symbols."""


class BaseFacts(msgspec.Struct, frozen=True):
    """What is known of a base's files; untrusted, and without links that lead out of it."""

    links: dict[str, str] = {}
    """The targets of its links, by their absolute paths without links above them."""
    directories: dict[str, tuple[int, int, int]] = {}
    """Mode, uid and gid of its directories."""
    files: frozenset[str] = frozenset()
    """Those of the paths that images need and that lead to files here."""
    passwd: bytes | None = None
    group: bytes | None = None
    library: BaseLibrary | None = None
    python: str = ""
    """The whole version of the interpreter that is stated, such as `3.11.2`."""

    def place(self, path: str) -> str:
        """Return where an entry of this path has to be put, so that it does not lie below a link."""
        return resolved(path, self.links.get, last=False)

    def is_there(self, path: str) -> bool:
        """Return whether a path leads to a directory, or is one of those that are looked for and leads to a file."""
        return path in self.files or resolved(path, self.links.get) in self.directories

    def is_link(self, path: str) -> bool:
        """Return whether there is a link at a path, wherever it leads."""
        return self.place(path) in self.links

    def first(self, paths: tuple[str, ...]) -> str | None:
        """Return the first of the paths that are looked for which is there."""
        return next((path for path in paths if path in self.files), None)

    def directories_above(self, path: str) -> list[str]:
        """Return the directories above a path that are there, the uppermost first."""
        parts = parts_of(path)
        above = ["/" + "/".join(parts[:end]) for end in range(1, len(parts))]
        return [each for each in above if each in self.directories]
