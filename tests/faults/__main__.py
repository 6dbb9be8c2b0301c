"""The long form: every kill of every command. `python -m tests.faults [COMMAND…]`; status 1 where one is a fault."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.faults.commands import COMMANDS, killed_command
from tests.faults.killed_command import faults


def main(names: list[str]) -> int:
    """Kill the commands of these names, or all, at every system call that changes something; return the status."""
    total = 0
    for name in names or COMMANDS:
        with tempfile.TemporaryDirectory() as top, killed_command(name, Path(top)) as command:
            kills, whole = command.kills(), command.whole()
            found = [fault for aftermath in command.killed(kills) for fault in faults(whole, aftermath)]
        sys.stdout.write(f"{name}: {len(kills)} kills, {len(found)} faults\n")
        for fault in found:
            sys.stdout.write(f"  {fault}\n")
        sys.stdout.flush()
        total += len(found)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
