"""The places that container engines of tests can take on a machine: a directory, a bridge and addresses each."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Place", "control_groups", "place"]

_PLACES = 16


class Place:
    """A place by its number; what the kernel keeps of an engine has that number, so that it can be removed."""

    def __init__(self, number: int) -> None:
        self.name = f"esker-engine-{number}"
        self.groups = [self.name]
        """The control groups of the engine."""
        self.directory = Path("/var/tmp") / self.name
        self.bridge = f"esker-engine{number}"
        # Addresses for measuring devices (RFC 2544), which no network of a machine has.
        self.networks = ipaddress.ip_network(f"198.18.{16 * number}.0/20")
        self.address = ipaddress.ip_interface(f"198.19.{number}.1/24")

    def make_bridge(self) -> None:
        """Make the bridge, with an address."""
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("address", "add", str(self.address), "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")

    def clear(self) -> None:
        """Remove what an engine in this place has left; none runs."""
        for link in json.loads(_ip("-json", "address", "show", "type", "bridge")):
            addresses = [ipaddress.ip_address(each["local"]) for each in link.get("addr_info", ())]
            if link.get("ifname") == self.bridge or any(each in self.networks for each in addresses):
                _ip("link", "delete", link["ifname"])
        for top in [each for name in self.groups for each in control_groups(name)]:
            for directory, _, _ in os.walk(top, topdown=False):
                os.rmdir(directory)
        if self.directory.exists():
            shutil.rmtree(self.directory)


@contextlib.contextmanager
def place(number: int | None = None) -> Iterator[Place]:
    """Give the first place that no running engine has, or the one named, with an empty directory."""
    for each in range(_PLACES) if number is None else [number]:
        taken = Place(each)
        with open(f"{taken.directory}.lock", "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            taken.clear()
            try:
                taken.directory.mkdir(mode=0o711)
                yield taken
            finally:
                taken.clear()
            return
    raise RuntimeError("other tests on this machine have all places for container engines")


def control_groups(name: str) -> list[Path]:
    """Return the directories of the control groups of a name, in every hierarchy."""
    top = Path("/sys/fs/cgroup")
    return [*top.glob(name), *top.glob(f"*/{name}")]


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout
