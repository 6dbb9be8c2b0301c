"""What the headers of a program say."""

from __future__ import annotations

import struct
import time

import pytest

from esker.formats.elf import Elf, parse

LOADER = b"/lib64/ld-linux-x86-64.so.2\0"


def program(loader, *, headers=1):
    """Return a 64-bit program for x86-64 whose headers all name the same loader."""
    numbers = (2, 1, 1, 0, 3, 62, 1, 0, 64, 0, 0, 64, 56, headers, 0, 0, 0)
    head = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", *numbers)
    place = 64 + 56 * headers
    return head + struct.pack("<IIQQQQQQ", 3, 4, place, 0, 0, len(loader), len(loader), 1) * headers + loader


def test_a_program_names_its_machine_and_its_loader():
    """The loader is the text without its final NUL."""
    assert parse(program(LOADER)) == Elf(62, wide=True, little=True, interpreter=LOADER[:-1].decode(), run_path=())


@pytest.mark.parametrize("end", range(len(program(LOADER))))
def test_a_program_that_is_cut_short_is_none(end):
    """Wherever it is cut."""
    assert parse(program(LOADER)[:end]) is None


def test_a_loader_with_a_path_longer_than_any_is_no_loader():
    """The kernel would not start such a program; with many such headers, a file of a wheel would keep us for minutes."""
    before = time.process_time()
    assert parse(program(b"/" + b"a" * 20_000_000, headers=60_000)) is None
    assert parse(program(b"/" + b"a" * 4094 + b"\0")) is not None
    assert parse(program(b"/" + b"a" * 4095 + b"\0")) is None
    assert time.process_time() - before < 5
