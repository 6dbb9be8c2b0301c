"""The machine a figure was taken on, and how busy it was."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass

__all__ = ["Load", "Machine", "cpu_model", "machine"]


@dataclass(frozen=True)
class Machine:
    """What a reader needs to compare a figure with another one."""

    cpu: str
    cores: int
    """The number of cores that this process may use."""
    kernel: str
    python: str
    uv: str


class Load:
    """The highest one-minute load average so far, of those that `look` has seen."""

    def __init__(self) -> None:
        self.highest = 0.0
        self.look()

    def look(self) -> None:
        """Look at the load once more."""
        self.highest = max(self.highest, os.getloadavg()[0])


def machine(uv: str) -> Machine:
    """Describe this machine; `uv` is the path of the uv program that is measured."""
    version = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True).stdout.split()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            cpu = cpu_model(file.read())
    except FileNotFoundError:
        cpu = None
    return Machine(
        cpu=cpu or platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        kernel=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        uv=version[1],
    )


def cpu_model(cpuinfo: str) -> str | None:
    """Return the processor's name in the text of /proc/cpuinfo, or None; on ARM there is none."""
    match = re.search(r"^model name\s*: (.+)$", cpuinfo, re.MULTILINE)
    return match[1].strip() if match else None
