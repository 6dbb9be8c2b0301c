"""py-rattler, which fetches and unpacks conda packages: it comes with an extra of Esker's, so it may be missing."""

from __future__ import annotations

import time
from importlib import import_module

from esker.errors import HostError
from esker.host import ending
from esker.host.extras import how_to_install

__all__ = ["require_rattler", "settled_at_exit"]

_SETTLING = 0.05
"""Seconds that a thread of rattler's has to become idle."""
_last_answer: list[float] = []


def require_rattler() -> None:
    """Raise HostError if py-rattler cannot be imported; call it before anything that imports it."""
    try:
        import_module("rattler")
    except ImportError as error:
        raise HostError(
            f"conda packages need py-rattler, which cannot be imported here: {error}",
            hint=how_to_install("conda"),
        ) from error


def settled_at_exit() -> None:
    """Have this process end only when the threads of rattler are idle; call it after each answer of rattler's.

    A thread of rattler's gives us a result, and then needs the interpreter once more. If it gets it when Python is
    about to end, the process crashes: rattler 0.28 did so after 1 of 10 commands that ended with a refused request. A
    command's process, which ends at once, need not wait.
    """
    if not _last_answer:
        import atexit

        atexit.register(_settle)
    _last_answer[:] = [time.monotonic()]


def _settle() -> None:
    if not ending.is_at_once():
        time.sleep(max(0.0, _last_answer[0] + _SETTLING - time.monotonic()))
