"""What an ELF file asks for: libraries, and versions of symbols, such as `GLIBC_2.34`, that a C library must have.

The dynamic table has DT_VERNEED, the address of a list with one entry for each library, and DT_VERNEEDNUM, the length
of the list. Each entry leads to a list of the versions that are asked of that library. Both lists are linked by
offsets. Only 64-bit little-endian files are read, which all systems of ours have; of others nothing is known.
Specification: Linux Standard Base Core, "Symbol Versioning".
"""

from __future__ import annotations

import re
import struct
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from esker.formats.elf import MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

__all__ = ["Needs", "needs"]

_WIDE_AND_LITTLE = b"\x02\x01"
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_VERNEED, _DT_VERNEEDNUM = 0, 1, 5, 0x6FFFFFFE, 0x6FFFFFFF
_MOST = 4096
"""How many entries of a list are read; real files have less than a hundred."""
_NAME = re.compile(rb"([!-~]{1,255})\0")
_GLIBC = re.compile(rb"GLIBC_(\d{1,4})\.(\d{1,4})(?:\.\d{1,4})?")


class Needs(NamedTuple):
    """What an ELF file asks of the machine on which it runs."""

    machine: int
    """`e_machine`, to compare with `elf.MACHINES`."""
    is_dynamic: bool
    """Whether the dynamic loader has to load it."""
    glibc: tuple[int, int] | None
    """The newest version of glibc that a symbol comes from; None if no symbol is of a version of glibc."""
    libraries: tuple[str, ...] = ()
    """The names of the libraries that it needs (DT_NEEDED), in its order."""


def needs(data: bytes | mmap) -> Needs | None:
    """Read an ELF file; return None for one that is none, is of another kind, or is cut short."""
    if data[:4] != MAGIC or data[4:6] != _WIDE_AND_LITTLE:
        return None
    try:
        (machine,) = struct.unpack_from("<H", data, 18)
        (offset,) = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        headers = [struct.unpack_from("<IIQQQQ", data, offset + size * number) for number in range(count)]
        dynamic = _dynamic_table(data, headers)
        is_dynamic = _DT_NEEDED in dynamic or any(header[0] == _PT_INTERP for header in headers)
        return Needs(machine, is_dynamic, _glibc(data, headers, dynamic), tuple(_libraries(data, headers, dynamic)))
    except (struct.error, OverflowError):  # OverflowError: a place in the file that no file has
        return None


_Header = tuple[int, int, int, int, int, int]
"""Kind, flags, offset, virtual address, physical address, size in the file."""


def _dynamic_table(data: bytes | mmap, headers: list[_Header]) -> dict[int, int]:
    table: dict[int, int] = {}
    for tag, value in _dynamic(data, headers):
        table.setdefault(tag, value)
    return table


def _dynamic(data: bytes | mmap, headers: list[_Header]) -> Iterator[tuple[int, int]]:
    for kind, _, offset, _, _, size in headers:
        if kind == _PT_DYNAMIC:
            for at in range(offset, offset + size - 15, 16):
                tag, value = struct.unpack_from("<QQ", data, at)
                if tag == _DT_NULL:
                    return
                yield tag, value


def _libraries(data: bytes | mmap, headers: list[_Header], table: dict[int, int]) -> Iterator[str]:
    texts = _place(headers, table.get(_DT_STRTAB, 0))
    if texts is None:
        return
    for tag, value in islice(_dynamic(data, headers), _MOST):
        if tag == _DT_NEEDED and (match := _NAME.match(data, texts + value)):
            yield match[1].decode()


def _place(headers: list[_Header], address: int) -> int | None:
    """Return where in the file an address lies."""
    for kind, _, offset, start, _, size in headers:
        if kind == _PT_LOAD and start <= address < start + size:
            return offset + address - start
    return None


def _glibc(data: bytes | mmap, headers: list[_Header], table: dict[int, int]) -> tuple[int, int] | None:
    at, texts = _place(headers, table.get(_DT_VERNEED, 0)), _place(headers, table.get(_DT_STRTAB, 0))
    if _DT_VERNEED not in table or at is None or texts is None:
        return None
    newest: tuple[int, int] | None = None
    for _ in range(min(table.get(_DT_VERNEEDNUM, 0), _MOST)):
        _, count, _, first, following = struct.unpack_from("<HHIII", data, at)
        inner = at + first
        for _ in range(min(count, _MOST)):
            _, _, _, name, step = struct.unpack_from("<IHHII", data, inner)
            match = _GLIBC.match(data, texts + name)
            if match is not None:
                version = int(match[1]), int(match[2])
                newest = version if newest is None else max(newest, version)
            inner += step
        at += following
    return newest
