"""The long form of the harness: `python -m tests.faults [--minutes N] [--rounds N] [--seed TEXT] [PART…]`.

A part is the name of a command, which is killed at every system call that changes something; `random`, rounds with real
servers in which anybody is killed at any moment; or `full`, every command on disks that are full up to any few blocks.
Without a part it is everything. The status is 1 where something is a fault.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import full_disk, random_kills
from tests.faults.commands import COMMANDS, killed_command
from tests.faults.killed_command import faults
from tests.faults.servers import Servers

if TYPE_CHECKING:
    from collections.abc import Iterator

_RANDOM, _FULL = "random", "full"


def main(arguments: list[str]) -> int:
    """Run the parts that the arguments name, and return the status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parts = (*COMMANDS, _RANDOM, _FULL)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; by default all of them")
    parser.add_argument("--minutes", type=float, default=60.0, help="no round of `random` begins after them")
    parser.add_argument("--rounds", type=int, default=300, help="rounds of `random`")
    parser.add_argument("--first", type=int, default=1, help="the number of the first round, to make one again")
    parser.add_argument(
        "--seed", default=f"{time.time_ns():x}", help="decides the rounds; by default another each time"
    )
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.parts) - set(parts):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    total = 0
    for part in chosen.parts or parts:
        match part:
            case "random":
                numbers = range(chosen.first, chosen.first + chosen.rounds)
                found = _random(chosen.seed, numbers, chosen.minutes * 60)
            case "full":
                found = _full()
            case _:
                found = _killed(part)
        for fault in found:
            sys.stdout.write(f"  {fault}\n")
            sys.stdout.flush()
            total += 1
    return 1 if total else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _killed(name: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as top, killed_command(name, Path(top)) as command:
        kills, whole = command.kills(), command.whole()
        found = [fault for aftermath in command.killed(kills) for fault in faults(whole, aftermath)]
    _say(f"{name}: {len(kills)} kills, {len(found)} faults")
    yield from found


def _random(seed: str, numbers: range, seconds: float) -> Iterator[str]:
    end = time.monotonic() + seconds
    done = found = 0
    with Servers() as servers:
        rounds = random_kills.Rounds(servers, seed)
        for number in numbers:
            if time.monotonic() > end:
                break
            for fault in rounds.faults(number):
                found += 1
                yield fault
            done += 1
        _say(f"random, seed {seed}: {done} rounds, {rounds.kills} kills, {rounds.rows} rows, {found} faults")


def _full() -> Iterator[str]:
    if reason := full_disk.reason_for_none():
        _say(f"full: left out: {reason}")
        return
    for name in full_disk.CASES:
        done = found = 0
        with tempfile.TemporaryDirectory() as top, full_disk.on_full_disk(name, Path(top)) as command:
            for _, faults_here in command.sweep():
                done += 1
                found += len(faults_here)
                yield from faults_here
        _say(f"{name} on a full disk: {done} runs, {found} faults")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
