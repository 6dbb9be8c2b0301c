"""`python -m esker`, the `esker` command, and the `flox` that `esker shim` writes."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit status."""
    from esker.host.isolation import isolate

    isolate()
    from esker.cli.main import main as run

    return run(sys.argv[1:])


def flox() -> int:
    """Run the command line as Flox would, and return its exit status."""
    from esker.host.isolation import isolate

    isolate()
    from esker.cli.main import flox as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    if not __package__:  # started by its path, as ESKER_COMMAND may name it: then `esker` need not be on Python's path
        import os

        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.exit(main())
