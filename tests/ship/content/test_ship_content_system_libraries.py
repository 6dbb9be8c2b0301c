"""Libraries that wheels take from the system: linked beside the C library of the image, or named if they are missing."""

from __future__ import annotations

import struct
import sys

import pytest

from esker.errors import ImageError
from esker.formats.elf import MACHINES
from esker.settings import Settings
from esker.ship.content.c_library import LOADERS
from tests.support.conda_package import SUBDIR, package

SYSTEM = Settings({}).system
MACHINE = SYSTEM.partition("-")[0]
ROOT = f"{MACHINE}-conda-linux-gnu/sysroot"


def elf(*libraries):
    """Return a program of nothing but headers, which needs these libraries."""
    texts, needed = b"\0", b""
    for library in libraries:
        needed += struct.pack("<QQ", 1, len(texts))  # DT_NEEDED
        texts += library.encode() + b"\0"
    start = 64 + 2 * 56
    size = len(needed) + 32
    needed += struct.pack("<QQ", 5, start + size) + bytes(16)  # DT_STRTAB
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, MACHINES[MACHINE], 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    whole = start + size + len(texts)
    header += struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, whole, whole, 8)
    header += struct.pack("<IIQQQQQQ", 2, 4, start, start, start, size, size, 8)
    return header + needed + texts


@pytest.fixture
def image(made, channel, index):
    """Give a function that returns the links in an image with a wheel whose program needs libraries."""
    own = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    minor = f"{sys.version_info[0]}.{sys.version_info[1]}"
    channel.add(package("python", f"{minor}.0", {"bin/python": own, f"bin/python{minor}": own}))
    files = {f"{ROOT}/{LOADERS[SYSTEM]}": elf(), f"{ROOT}/lib64/libc.so.6": elf()}
    channel.add(package(f"sysroot_{SUBDIR}", "2.36", files))
    channel.add(package("zlib", "1.3", {"lib/libz.so.1": elf("libc.so.6")}))

    def links(*libraries, conda=(), files=None):
        index.add("tool", "1.0", {"tool/bin/tool": elf(*libraries), **(files or {})})
        listed = ", ".join(f'"{each}"' for each in ("python", f"sysroot_{SUBDIR}", *conda))
        contents = made(
            f'[options]\nsystems = ["{SYSTEM}"]\n[plugins.esker.conda]\nchannels = ["{channel.url}"]\n'
            f'dependencies = [{listed}]\n[plugins.esker.python]\ndependencies = ["tool"]\n'
        )
        [unit] = [unit for unit in contents.units if unit.name == "esker/base"]
        found = {entry.path: entry for entry in unit.entries()}
        return {path: entry.target for path, entry in found.items() if path.startswith("/opt/esker/conda/")}

    return links


def test_a_library_of_the_system(image):
    """It lies beside the C library, where the loader looks."""
    assert image("libz.so.1", "libc.so.6", conda=["zlib"]) == {
        f"/opt/esker/conda/{ROOT}/lib64/libz.so.1": "../../../lib/libz.so.1"
    }


def test_a_library_that_nobody_needs(image):
    """It lies in conda's prefix alone; nothing is said of one that is not among the libraries of every system."""
    assert image("libc.so.6", "libX11.so.6", conda=["zlib"]) == {}


def test_a_library_that_is_missing(image):
    """The error names the program, the library, and the package that has it."""
    with pytest.raises(ImageError, match=r"`/opt/esker/python/.*/tool` of pypi/tool needs `libz\.so\.1`") as caught:
        image("libz.so.1")
    assert caught.value.hint == "take conda's: esker install conda/zlib"


def test_a_library_that_the_wheel_brings(image):
    """Nothing is linked, and nothing is missing."""
    assert image("libz.so.1", files={"tool/lib/libz.so.1": elf("libc.so.6")}) == {}
