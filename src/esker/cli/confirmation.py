"""Asking before something is lost."""

from __future__ import annotations

import sys

from esker.formats.printable import printable

__all__ = ["confirmed"]


def confirmed(question: str) -> bool:
    """Ask on the terminal, and return whether the answer is yes; without a terminal it is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(printable(f"{question} [y/N] "), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
