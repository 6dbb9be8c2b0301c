"""The base-32 encoding in which Nix writes hashes.

The bytes are read as one little-endian number, which is written in digits of five bits, the most significant first. The
alphabet leaves out e, o, u and t. 20 bytes make 32 digits, and 32 bytes make 52. Specification: the Nix manual,
"Nix32 encoding" (https://nix.dev/manual/nix/latest/protocols/nix32). Oddity: the first digit may have unused bits.
`decode` refuses those that are not zero, because otherwise two texts would stand for the same hash.
"""

from __future__ import annotations

from esker.errors import Malformed

__all__ = ["ALPHABET", "decode", "encode"]

ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"
_DIGITS = frozenset(ALPHABET)
_PYTHONS = str.maketrans(ALPHABET, "0123456789abcdefghijklmnopqrstuv")
"""From our digits to those of `int`, which takes a time in proportion to the length."""


def encode(data: bytes) -> str:
    """Return `data` in Nix's base 32."""
    number = int.from_bytes(data, "little")
    length = (len(data) * 8 + 4) // 5
    return "".join(ALPHABET[number >> shift & 31] for shift in range((length - 1) * 5, -1, -5))


def decode(text: str) -> bytes:
    """Return the bytes that `text` (untrusted) encodes; raise Malformed unless `encode` would give the same text."""
    size = len(text) * 5 // 8
    for digit in text:
        if digit not in _DIGITS:
            raise Malformed(f"`{text}` is not Nix base 32: it holds `{digit}`")
    number = int(text.translate(_PYTHONS) or "0", 32)
    if (size * 8 + 4) // 5 != len(text) or number >> size * 8:
        raise Malformed(f"`{text}` is not Nix base 32: no sequence of bytes is encoded like this")
    return number.to_bytes(size, "little")
