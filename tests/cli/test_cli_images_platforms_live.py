"""One image for two kinds of machines, from conda packages and wheels: built and pushed here, and read by other tools."""

from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path

import pytest

from esker.formats.elf import MACHINES
from tests.support.conda_channel import CondaChannel
from tests.support.conda_package import package
from tests.support.image_tools import RegistryServer, skopeo, umoci

pytestmark = [pytest.mark.live("images"), pytest.mark.slow]

SYSTEMS = {
    "x86_64-linux": ("linux-64", "amd64"),
    "aarch64-linux": ("linux-aarch64", "arm64"),
}
HERE = f"{os.uname().machine}-linux"
MINOR = ".".join(map(str, sys.version_info[:2]))
TAG = MINOR.replace(".", "")
MANIFEST = """
schema-version = "1.14.0"
[options]
systems = ["x86_64-linux", "aarch64-linux"]
[plugins.esker.conda]
channels = ["{channel}"]
dependencies = ["python", "tool"]
[plugins.esker.python]
dependencies = ["native"]
"""


def elf(system):
    """Return a program of nothing but a header for the machine of a system."""
    machine = MACHINES[system.partition("-")[0]]
    fields = (3, machine, 1, 0, 0, 0, 0, 64, 56, 0, 0, 0, 0)
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *fields)


@pytest.fixture
def channel():
    """Give a channel with a program for each kind of machine, and a Python that only ours can run."""
    with CondaChannel() as served:
        for system, (subdir, _) in SYSTEMS.items():
            python = f'#!/bin/sh\nexec {sys.executable} "$@"\n' if system == HERE else "it cannot be run here"
            files = {"bin/python": python, f"bin/python{MINOR}": python}
            served.add(package("python", f"{MINOR}.0", files, subdir=subdir))
            served.add(package("tool", "1.0", {"bin/tool": elf(system)}, subdir=subdir))
        yield served


def machines(root):
    """Return the machines of all ELF files below a directory, by their paths."""
    found = {}
    for path in Path(root).rglob("*"):
        if path.is_file() and not path.is_symlink():
            head = path.read_bytes()[:20]
            if head[:4] == b"\x7fELF":
                found[str(path.relative_to(root))] = head[18]
    return found


def test_an_index_of_two_platforms(project, esker, index, channel, tmp_path):
    """Each platform has its own programs, all tools accept both, and a damaged blob is refused by name."""
    for system in SYSTEMS:
        machine = system.partition("-")[0]
        tag = f"cp{TAG}-cp{TAG}-manylinux_2_17_{machine}"
        index.add("native", "1.0", {"native.so": elf(system), "native.py": f'M = "{machine}"\n'}, tag=tag)
    project(MANIFEST.format(channel=channel.url))
    layout = tmp_path / "layout"
    with RegistryServer(tmp_path / "registry") as registry:
        name = f"{registry.host}/app"
        for words in (["lock"], ["image", "build", "--layout", layout, "--tag", "1"], ["image", "push", f"{name}:1"]):
            done = esker(*words)
            assert done.status == 0, done.err
        for system, (_, architecture) in SYSTEMS.items():
            seen = json.loads(
                skopeo("--override-arch", architecture, "inspect", "--tls-verify=false", f"docker://{name}:1")
            )
            assert seen["Architecture"] == architecture
            umoci("unpack", "--image", f"{layout}:1-linux-{architecture}", str(tmp_path / architecture))
            wanted = MACHINES[system.partition("-")[0]]
            assert machines(tmp_path / architecture / "rootfs") == {
                "opt/esker/conda/bin/tool": wanted,
                f"opt/esker/python/lib/python{MINOR}/site-packages/native.so": wanted,
            }
        for target in (f"{name}:1", layout):
            done = esker("image", "verify", target)
            assert done.status == 0, done.err
            assert {line.split()[1] for line in done.out.splitlines()} == {"linux/amd64", "linux/arm64"}
    blob = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    damaged = bytearray(blob.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    blob.unlink()  # it may be linked to our own
    blob.write_bytes(damaged)
    done = esker("image", "verify", layout)
    assert done.status == 1
    assert blob.name in done.err
