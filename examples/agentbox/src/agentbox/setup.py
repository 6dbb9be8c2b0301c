"""Make the directories that agents write to, and see that what they need is there: `python -m agentbox.setup`.

Nothing is downloaded. Whatever is missing ends the start with status 1, and its name in the log.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["PROGRAMS", "missing", "record"]

PROGRAMS = ("git", "jq", "node", "python")
"""What every agent uses."""
_DIRECTORIES = (".claude/skills", ".config", ".cache", "logs")


def record() -> Path:
    """Return the file that says what was found, which is there once all is well."""
    return Path(os.environ["FLOX_ENV_CACHE"], "agentbox.json")


def missing(agents: Path) -> list[str]:
    """Return what is needed and is not there."""
    gone = [f"the program `{name}`" for name in PROGRAMS if shutil.which(name) is None]
    return gone + ([] if any(agents.glob("*.md")) else [f"agents in `{agents}`"])


def _versions() -> dict[str, str]:
    found = {}
    for name in PROGRAMS:
        done = subprocess.run([name, "--version"], capture_output=True, text=True, check=True)
        found[name] = done.stdout.strip()
    return found


def main() -> int:
    """Prepare everything, and return the exit status."""
    agents, home = Path(os.environ["AGENTS_DIR"]), Path.home()
    try:
        for directory in (home / each for each in _DIRECTORIES):
            directory.mkdir(parents=True, exist_ok=True)
        for name in ("RUVECTOR_DATA_DIR", "WORKSPACE"):
            Path(os.environ[name]).mkdir(parents=True, exist_ok=True)
        if gone := missing(agents):
            print(f"agentbox cannot start without {', '.join(gone)}", file=sys.stderr)
            return 1
        found = {"agents": len(list(agents.glob("*.md"))), **_versions()}
        record().write_text(json.dumps(found))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"agentbox cannot start: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
