"""Store paths: `/nix/store/<digest>-<name>`.

The digest is 32 digits of Nix's base 32: SHA-256 of the text `<type>:sha256:<hex>:/nix/store:<name>`, folded to 20
bytes by exclusive or. What the hexadecimal hash covers depends on the type:

- `source[:<reference>…][:self]`: the archive (NAR) of what lies there; `text[:<reference>…]`: the contents of one file;
- `output:out`: `fixed:out:[r:]<algorithm>:<hex>:` for every other content address;
- `esker`: our own, the inputs from which a path is built. No other program makes paths of this type.

Specification: the Nix manual, "Complete store path calculation"
(https://nix.dev/manual/nix/latest/protocols/store-path). Oddities: a recursive SHA-256 is `source`, not `output:out`; a
name may begin with a dot, yet `.`, `..`, `.-…` and `..-…` are refused.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed
from esker.formats.nix import nixbase32

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

__all__ = ["DIRECTORY", "StorePath", "fitting", "fixed", "make", "parse", "parse_name", "source", "text"]

DIRECTORY = "/nix/store"
"""The logical directory of every store path, wherever the tree lies."""

_DIGEST = re.compile(rf"[{nixbase32.ALPHABET}]{{32}}")
_NAME = re.compile(r"(?!\.\.?(?:-|$))[0-9A-Za-z+\-._?=]{1,211}")
_FITTING = 180  # and room for what the caller adds


def fitting(text: str) -> str:
    """Return the beginning of a store path's name for what a person has named: what no name may hold becomes `-`.

    >>> fitting("..tëst: 1")
    't-st--1'
    """
    return re.sub(r"[^0-9A-Za-z+\-._?=]", "-", text)[:_FITTING].lstrip(".")


class _Fields(NamedTuple):
    digest: str
    name: str


class StorePath(_Fields):
    """A store path's digest and name, both checked, so that rendering it can never leave the store's directory."""

    __slots__ = ()

    def __new__(cls, digest: str, name: str) -> Self:
        """Refuse a digest or a name that no store path has."""
        if not _DIGEST.fullmatch(digest):
            raise Malformed(f"`{digest}` is not the digest of a store path: 32 digits of Nix base 32")
        if not _NAME.fullmatch(name):
            raise Malformed(f"`{name}` is not the name of a store path: 1 to 211 of the characters A-Z a-z 0-9 +-._?=")
        return super().__new__(cls, digest, name)

    @property
    def file_name(self) -> str:
        """`<digest>-<name>`, the name of its directory entry."""
        return f"{self.digest}-{self.name}"

    def __str__(self) -> str:
        return f"{DIRECTORY}/{self.file_name}"


def parse(path: str, directory: str = DIRECTORY) -> StorePath:
    """Return the store path that `path` (untrusted), directly in `directory`, is."""
    head, slash, tail = path.rpartition("/")
    if not slash or head != directory:
        raise Malformed(f"`{path}` is not a store path: it does not lie directly in `{directory}`")
    return parse_name(tail)


def parse_name(file_name: str) -> StorePath:
    """Return the store path whose directory entry is named `file_name` (untrusted)."""
    if file_name[32:33] != "-":
        raise Malformed(f"`{file_name}` is not the name of a store path's directory: a digest, a hyphen, a name")
    return StorePath(file_name[:32], file_name[33:])


def make(fingerprint: bytes | str, name: str) -> StorePath:
    """Return the path of what Esker builds from the inputs that `fingerprint` spells out."""
    data = fingerprint.encode() if isinstance(fingerprint, str) else fingerprint
    return _path("esker", sha256(data).hexdigest(), name)


def source(
    digest: bytes, name: str, references: Iterable[StorePath] = (), *, self_reference: bool = False
) -> StorePath:
    """Return the path of a tree whose archive has the SHA-256 `digest`."""
    kind = ":".join(["source", *sorted(map(str, references)), *["self"] * self_reference])
    return _path(kind, digest.hex(), name)


def text(digest: bytes, name: str, references: Iterable[StorePath] = ()) -> StorePath:
    """Return the path of a file that was written as text and whose contents have the SHA-256 `digest`."""
    return _path(":".join(["text", *sorted(map(str, references))]), digest.hex(), name)


def fixed(algorithm: str, digest: bytes, name: str, *, recursive: bool) -> StorePath:
    """Return the path of a fixed output: `digest` by `algorithm` is of the archive if `recursive`, else of the file."""
    if recursive and algorithm == "sha256":
        return source(digest, name)
    described = f"fixed:out:{'r:' if recursive else ''}{algorithm}:{digest.hex()}:"
    return _path("output:out", sha256(described.encode()).hexdigest(), name)


def _path(kind: str, hexadecimal: str, name: str) -> StorePath:
    full = sha256(f"{kind}:sha256:{hexadecimal}:{DIRECTORY}:{name}".encode()).digest()
    folded = bytearray(20)
    for index, byte in enumerate(full):
        folded[index % 20] ^= byte
    return StorePath(nixbase32.encode(bytes(folded)), name)
