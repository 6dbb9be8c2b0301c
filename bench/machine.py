"""The machine a figure was taken on, and how busy it was."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass

__all__ = ["Load", "Machine", "cpu_model", "machine"]

SETTLES = 2.0  # seconds; what a subject has left behind is written to disk in this time
WATCHED = 3.0  # seconds


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
    """How busy the machine was, at each `look`.

    A figure whose subjects use all cores makes the load average by itself. `apart=True` is for such a figure: each look
    then does nothing for some seconds, and sees how many cores are busy meanwhile, which can only be others' work.
    """

    def __init__(self, *, apart: bool = False) -> None:
        self.highest = 0.0
        """The highest one-minute load average."""
        self.others: float | None = 0.0 if apart else None
        """The most cores that others kept busy; None if nobody asked."""
        self.look()

    def look(self) -> None:
        """Look once more."""
        self.highest = max(self.highest, os.getloadavg()[0])
        if self.others is not None:
            time.sleep(SETTLES)
            self.others = max(self.others, _busy_cores(WATCHED))


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


def _busy_cores(seconds: float) -> float:
    """Return how many cores are busy on average for so long, while this process waits."""
    before = _busy_seconds()
    started = time.monotonic()
    time.sleep(seconds)
    return (_busy_seconds() - before) / (time.monotonic() - started)


def _busy_seconds() -> float:
    """Return the time that all cores have worked since the machine started: the first line of Linux's /proc/stat."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = map(
            int, file.readline().split()[1:9]
        )
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


def cpu_model(cpuinfo: str) -> str | None:
    """Return the processor's name in the text of /proc/cpuinfo, or None; on ARM there is none."""
    match = re.search(r"^model name\s*: (.+)$", cpuinfo, re.MULTILINE)
    return match[1].strip() if match else None
