"""`python -m esker`, the `esker` command, and the `flox` that `esker shim` writes."""

from __future__ import annotations

import sys

from esker.host.isolation import isolate


def main() -> int:
    """Run the command line and return its exit status."""
    isolate()
    from esker.cli.main import main as run

    return run(sys.argv[1:])


def flox() -> int:
    """Run the command line as Flox would, and return its exit status."""
    isolate()
    from esker.cli.main import flox as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
