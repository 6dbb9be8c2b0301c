"""Store paths: `/nix/store/<digest>-<name>`.

The digest is the SHA-256 of the text `<type>:sha256:<hex>:/nix/store:<name>`, folded to 20 bytes by exclusive or and
written as 32 digits of Nix's base 32. The type decides what `<hex>`, itself a SHA-256, is the hash of. Nix has types
for trees and files; ours is `esker`, for the inputs from which Esker builds a path. No other program makes such paths.

Specification: the Nix manual, "Complete store path calculation"
(https://nix.dev/manual/nix/latest/protocols/store-path). Oddity: a name may begin with a dot,
but `.`, `..`, `.-…` and `..-…` are refused.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed
from esker.formats.nix import nixbase32

if TYPE_CHECKING:
    from typing import Self

__all__ = ["DIRECTORY", "StorePath", "fitting", "make", "parse", "parse_name"]

DIRECTORY = "/nix/store"
"""The directory in every store path, even if the files are stored elsewhere."""

_DIGEST = re.compile(rf"[{nixbase32.ALPHABET}]{{32}}")
_NAME = re.compile(r"(?!\.\.?(?:-|$))[0-9A-Za-z+\-._?=]{1,211}")
_FITTING = 180  # of the 211 characters, so that the caller can add to the name


def fitting(text: str) -> str:
    """Return `text`, a name that a person chose, in a form with which the name of a store path can begin.

    Every character that such a name cannot contain becomes `-`.

    >>> fitting("..tëst: 1")
    't-st--1'
    """
    return re.sub(r"[^0-9A-Za-z+\-._?=]", "-", text)[:_FITTING].lstrip(".")


class _Fields(NamedTuple):
    digest: str
    name: str


class StorePath(_Fields):
    """The digest and name of a store path; both are checked, so `str` never gives a path outside the store."""

    __slots__ = ()

    def __new__(cls, digest: str, name: str) -> Self:
        """Raise Malformed if a store path cannot have this digest or name."""
        if not _DIGEST.fullmatch(digest):
            raise Malformed(f"`{digest}` is not the digest of a store path: 32 digits of Nix base 32")
        if not _NAME.fullmatch(name):
            raise Malformed(f"`{name}` is not the name of a store path: 1 to 211 of the characters A-Z a-z 0-9 +-._?=")
        return super().__new__(cls, digest, name)

    @property
    def file_name(self) -> str:
        """The last part of the path: `<digest>-<name>`."""
        return f"{self.digest}-{self.name}"

    def __str__(self) -> str:
        return f"{DIRECTORY}/{self.file_name}"


def parse(path: str, directory: str = DIRECTORY) -> StorePath:
    """Read a store path (untrusted), which must lie directly in `directory`."""
    head, slash, tail = path.rpartition("/")
    if not slash or head != directory:
        raise Malformed(f"`{path}` is not a store path: it does not lie directly in `{directory}`")
    return parse_name(tail)


def parse_name(file_name: str) -> StorePath:
    """Read the last part of a store path (untrusted): `<digest>-<name>`."""
    if file_name[32:33] != "-":
        raise Malformed(f"`{file_name}` cannot be the last part of a store path: it must be a digest, `-` and a name")
    return StorePath(file_name[:32], file_name[33:])


def make(fingerprint: str, name: str) -> StorePath:
    """Return the path for something that Esker builds; `fingerprint` describes all inputs of the build."""
    full = sha256(f"esker:sha256:{sha256(fingerprint.encode()).hexdigest()}:{DIRECTORY}:{name}".encode()).digest()
    folded = bytearray(20)
    for index, byte in enumerate(full):
        folded[index % 20] ^= byte
    return StorePath(nixbase32.encode(bytes(folded)), name)
