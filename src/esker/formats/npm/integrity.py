"""Integrities: hashes as npm writes them, `sha512-BASE64`, several with spaces between them.

Specification: W3C, Subresource Integrity. Of several algorithms the strongest counts, and of it any hash may match.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import NamedTuple

__all__ = ["Integrity", "parse", "sha512"]

_STRONGEST_FIRST = ("sha512", "sha384", "sha256", "sha1")


class Integrity(NamedTuple):
    """What a file has to hash to."""

    algorithm: str
    hashes: tuple[str, ...]
    """In Base64; one of them is to match."""

    def __str__(self) -> str:
        return " ".join(f"{self.algorithm}-{each}" for each in self.hashes)

    @property
    def is_weak(self) -> bool:
        """Whether files can be made that hash to the same."""
        return self.algorithm == "sha1"

    def of_file(self, path: str) -> str:
        """Return the integrity that a file has by the same algorithm."""
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, self.algorithm).digest()
        return f"{self.algorithm}-{base64.b64encode(digest).decode()}"

    def matches(self, found: str) -> bool:
        """Return whether what `of_file` gave is right."""
        return found.partition("-")[2] in self.hashes


def parse(text: str) -> Integrity | None:
    """Return the strongest of the hashes in a text; None if it has none that is known.

    >>> str(parse("sha1-" + "A" * 27 + "= sha256-" + "A" * 43 + "=?option"))[:9]
    'sha256-AA'
    >>> parse("md5-AAAA") is None
    True
    """
    found: dict[str, list[str]] = {}
    for word in text.split():
        algorithm, _, value = word.partition("?")[0].partition("-")
        if algorithm in _STRONGEST_FIRST and _is_hash(value, hashlib.new(algorithm, usedforsecurity=False).digest_size):
            found.setdefault(algorithm, []).append(value)
    best = next((algorithm for algorithm in _STRONGEST_FIRST if algorithm in found), None)
    return Integrity(best, tuple(found[best])) if best else None


def sha512(path: str) -> str:
    """Return the integrity of a file that goes into a lock."""
    return Integrity("sha512", ()).of_file(path)


def _is_hash(text: str, size: int) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == size
    except (binascii.Error, ValueError):
        return False
