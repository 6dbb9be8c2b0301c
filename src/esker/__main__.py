"""`python -m esker`, the `esker` command, and the `flox` that `esker shim` writes."""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_OBJECTS = 50_000
"""So many objects have to be new before Python looks for garbage: more than all modules of a command make."""


def main() -> int:
    """Run the command line and return its exit status."""
    _begin()
    from esker.cli.main import main as run

    return _run(run)


def flox() -> int:
    """Run the command line as Flox would, and return its exit status."""
    _begin()
    from esker.cli.main import flox as run

    return _run(run)


def _begin() -> None:
    """See to it that what is imported next is ours, and that Python does not look for garbage meanwhile."""
    gc.set_threshold(_OBJECTS)
    from esker.host.isolation import isolate

    isolate()
    from esker.host import ending

    ending.prepare()


def _run(run: Callable[[Sequence[str]], int]) -> int:
    """Run the command line; the process ends at once when the script that has called us returns its status."""
    from esker.host import ending

    return ending.end_with(run(sys.argv[1:]))


if __name__ == "__main__":
    if not __package__:  # started by its path, as ESKER_COMMAND may name it: then `esker` need not be on Python's path
        import os

        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.exit(main())
