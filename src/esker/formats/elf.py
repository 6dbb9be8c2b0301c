"""ELF: what a program file asks of the machine it is to run on.

A file begins with its identification (magic, class, byte order), its type, the machine it is for and the place of its
program headers; the header of type PT_INTERP names the loader that is started in its stead. Nothing else is read.

Oddities: a static program has no PT_INTERP; a shared library that can be run, such as libc, has one; patchelf moves the
program headers to the end of the file.
Specification: the System V ABI, chapters 4 and 5.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mmap import mmap

__all__ = ["MACHINES", "MAGIC", "Elf", "parse"]

MAGIC = b"\x7fELF"

MACHINES = {"x86_64": 62, "aarch64": 183, "arm64": 183}
"""`e_machine` by `os.uname().machine`; all are little-endian and of 64 bits."""
_EXECUTABLES = {2, 3}  # ET_EXEC, ET_DYN
_PT_LOAD = 1
_PT_INTERP = 3


class _Layout(NamedTuple):
    """Where the fields of a class of files lie."""

    header: int
    """Bytes of the file's header."""
    table: tuple[str, int]
    """The format and the offset of the place of the program headers."""
    sizes: int
    """The offset of the size of a program header, which their number follows."""
    entry: int
    """Bytes of a program header."""
    place: int
    """In a program header, the offset of the segment's place."""
    length: int
    """In a program header, the offset of the segment's size."""


_LAYOUTS = {1: _Layout(52, ("I", 28), 42, 32, 4, 16), 2: _Layout(64, ("Q", 32), 54, 56, 8, 32)}


class Elf(NamedTuple):
    """What the headers of a program say."""

    machine: int
    wide: bool
    """Whether it is of 64 bits."""
    little: bool
    """Whether it is little-endian."""
    interpreter: str | None
    """The loader's path, untrusted; None for a static program."""


def parse(data: bytes | mmap) -> Elf | None:
    """Read a program file; None when it is not ELF, not executable or cut short."""
    layout = _LAYOUTS.get(data[4]) if data[:4] == MAGIC and len(data) > 5 else None  # noqa: PLR2004  # EI_DATA
    if layout is None or len(data) < layout.header or data[5] not in {1, 2}:
        return None
    order = "<" if data[5] == 1 else ">"
    kind, machine = struct.unpack_from(order + "HH", data, 16)
    word, place = layout.table
    (offset,) = struct.unpack_from(order + word, data, place)
    size, count = struct.unpack_from(order + "HH", data, layout.sizes)
    if kind not in _EXECUTABLES or size < layout.entry or offset + size * count > len(data):
        return None
    interpreter = None
    for at in range(offset, offset + size * count, size):
        (kind,) = struct.unpack_from(order + "I", data, at)
        (start,) = struct.unpack_from(order + word, data, at + layout.place)
        (length,) = struct.unpack_from(order + word, data, at + layout.length)
        if kind in {_PT_LOAD, _PT_INTERP} and start + length > len(data):
            return None
        if kind == _PT_INTERP:
            interpreter = data[start : start + length].rstrip(b"\0").decode(errors="replace")
    return Elf(machine, layout is _LAYOUTS[2], order == "<", interpreter)
