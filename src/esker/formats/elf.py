"""ELF: what a program file needs of the machine on which it runs.

A file begins with its identification (magic, class, byte order), its type, the machine it is for, and the offset of its
program headers. The header of type PT_INTERP names the loader, which the kernel starts to run the program. The one of
type PT_DYNAMIC leads to a table in which DT_RPATH or DT_RUNPATH say where the loader looks for libraries first. We read
nothing else.

Oddities: a static program has no PT_INTERP; a shared library that can be run, such as libc, has one; patchelf moves the
program headers to the end of the file.
Specification: the System V ABI, chapters 4 and 5.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mmap import mmap

__all__ = ["LOADERS", "MACHINES", "MAGIC", "Elf", "parse"]

MAGIC = b"\x7fELF"

MACHINES = {"x86_64": 62, "aarch64": 183, "arm64": 183}
"""The `e_machine` of each `os.uname().machine`; all are 64-bit and little-endian."""
LOADERS = {"x86_64-linux": "lib64/ld-linux-x86-64.so.2", "aarch64-linux": "lib/ld-linux-aarch64.so.1"}
"""Where the ABI of each system has the loader of glibc, below the root."""
_EXECUTABLES = {2, 3}  # ET_EXEC, ET_DYN
_PT_LOAD = 1
_PT_DYNAMIC = 2
_PT_INTERP = 3
_DT_NULL = 0
_DT_STRTAB = 5
_DT_RUN_PATHS = (29, 15)  # DT_RUNPATH; DT_RPATH, which counts only where there is no DT_RUNPATH
_LONGEST_PATH = 4096
"""Bytes of the loader's path with its NUL (PATH_MAX): the kernel starts no program with a longer one."""
_LONGEST_RUN_PATH = 1 << 16
"""Bytes of a run path that are read."""
_LONGEST_TABLE = 1 << 16
"""Bytes of the table of PT_DYNAMIC that are read; real ones have less than a thousand."""


class _Layout(NamedTuple):
    """Where the fields lie in files of one class (32 or 64 bits); all offsets are in bytes."""

    header: int
    """The size of the file header."""
    table: tuple[str, int]
    """`e_phoff`, which says where the program headers begin: its struct format and its offset."""
    sizes: int
    """The offset of `e_phentsize`, the size of a program header; `e_phnum`, their number, follows it."""
    entry: int
    """The least size of a program header."""
    place: int
    """The offset, in a program header, of `p_offset`: where the segment begins in the file."""
    length: int
    """The offset, in a program header, of `p_filesz`: the segment's size in the file."""
    address: int
    """The offset, in a program header, of `p_vaddr`: where the segment begins in memory."""


_LAYOUTS = {1: _Layout(52, ("I", 28), 42, 32, 4, 16, 8), 2: _Layout(64, ("Q", 32), 54, 56, 8, 32, 16)}


class _Segment(NamedTuple):
    """A program header; all but its kind is in bytes."""

    kind: int
    place: int
    length: int
    address: int


class Elf(NamedTuple):
    """What the headers of a program say."""

    machine: int
    """`e_machine`, to compare with `MACHINES`."""
    wide: bool
    """Whether the program is 64-bit."""
    little: bool
    """Whether the program is little-endian."""
    interpreter: str | None
    """The path of the loader, untrusted; None for a static program."""
    run_path: tuple[str, ...]
    """Where the loader looks for libraries first, untrusted; `$ORIGIN` in it stands for the program's directory."""


def parse(data: bytes | mmap) -> Elf | None:
    """Read a program file; return None if it is not ELF, not executable, cut short or names no possible loader."""
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
    segments = []
    for at in range(offset, offset + size * count, size):
        (kind,) = struct.unpack_from(order + "I", data, at)
        fields = (layout.place, layout.length, layout.address)
        segment = _Segment(kind, *(struct.unpack_from(order + word, data, at + field)[0] for field in fields))
        is_within = segment.place + segment.length <= len(data)
        if kind in {_PT_LOAD, _PT_INTERP} and not is_within:
            return None
        if kind == _PT_INTERP and segment.length > _LONGEST_PATH:
            return None
        if is_within:
            segments.append(segment)
    interpreters = [data[each.place : each.place + each.length] for each in segments if each.kind == _PT_INTERP]
    interpreter = interpreters[-1].rstrip(b"\0").decode(errors="replace") if interpreters else None
    return Elf(machine, layout is _LAYOUTS[2], order == "<", interpreter, _run_path(data, segments, order + word))


def _run_path(data: bytes | mmap, segments: list[_Segment], form: str) -> tuple[str, ...]:
    """Return the run path that the table of PT_DYNAMIC leads to; empty for a table that leads nowhere."""
    table: dict[int, int] = {}
    pair = form + form[-1]
    for segment in segments:
        if segment.kind == _PT_DYNAMIC:
            size = struct.calcsize(pair)
            end = segment.place + min(segment.length, _LONGEST_TABLE)
            for at in range(segment.place, end - size + 1, size):
                tag, value = struct.unpack_from(pair, data, at)
                if tag == _DT_NULL:
                    break
                table.setdefault(tag, value)
    offset = next((table[tag] for tag in _DT_RUN_PATHS if tag in table), None)
    for segment in segments:
        start = table.get(_DT_STRTAB, -1) - segment.address
        if offset is not None and segment.kind == _PT_LOAD and 0 <= start < segment.length:
            place, end = segment.place + start + offset, segment.place + segment.length
            text = data[place : min(end, place + _LONGEST_RUN_PATH)].partition(b"\0")[0]
            return tuple(entry for entry in text.decode(errors="replace").split(":") if entry)
    return ()
