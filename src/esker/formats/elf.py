"""ELF: what a program file asks of the machine it is to run on.

A file begins with its identification (magic, class, byte order), the machine it is for and the place of its program
headers; the header of type PT_INTERP names the loader that is started in its stead. Nothing else is read.

Oddities: a static program has no PT_INTERP; a shared library that can be run, such as libc, has one.
Specification: the System V ABI, chapters 4 and 5.
"""

import struct
from typing import NamedTuple

__all__ = ["MACHINES", "Elf", "parse"]

MACHINES = {"x86_64": 62, "aarch64": 183, "arm64": 183}
"""`e_machine` by `os.uname().machine`."""
_PT_INTERP = 3
_HEADER_SIZES = {1: 52, 2: 64}  # by class: 32 and 64 bits


class Elf(NamedTuple):
    """What the headers of a program say."""

    machine: int
    interpreter: str | None
    """The loader's path, None for a static program."""


def parse(data: bytes) -> Elf | None:
    """Read the beginning of a file (4 KiB are enough); None when it is not ELF or is cut short."""
    if data[:4] != b"\x7fELF" or len(data) < max(_HEADER_SIZES.values()) or data[4] not in _HEADER_SIZES:
        return None
    order = "<" if data[5] == 1 else ">"
    (machine,) = struct.unpack_from(order + "H", data, 18)
    wide = data[4] == 2  # noqa: PLR2004  # ELFCLASS64
    offset, size, count = (
        (*struct.unpack_from(order + "Q", data, 32), *struct.unpack_from(order + "HH", data, 54))
        if wide
        else (*struct.unpack_from(order + "I", data, 28), *struct.unpack_from(order + "HH", data, 42))
    )
    for index in range(count):
        at = offset + index * size
        if at + size > len(data):
            return None
        (kind,) = struct.unpack_from(order + "I", data, at)
        if kind == _PT_INTERP:
            place, length = (
                (struct.unpack_from(order + "Q", data, at + 8)[0], struct.unpack_from(order + "Q", data, at + 32)[0])
                if wide
                else (
                    struct.unpack_from(order + "I", data, at + 4)[0],
                    struct.unpack_from(order + "I", data, at + 16)[0],
                )
            )
            return Elf(machine, data[place : place + length].rstrip(b"\0").decode(errors="replace"))
    return Elf(machine, None)
