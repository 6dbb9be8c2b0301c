"""What `esker ci` shows: how files differ from what the declaration says."""

from __future__ import annotations

from difflib import unified_diff
from typing import TYPE_CHECKING

from esker.cli.views.output import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.ship.ci.written import Difference

__all__ = ["print_differences"]


def print_differences(differences: Iterable[Difference]) -> None:
    """Print a patch that makes each file what it should be."""
    for each in differences:
        old = (each.old or "").splitlines()
        before = "/dev/null" if each.old is None else f"a/{each.path}"
        for line in unified_diff(old, each.new.splitlines(), before, f"b/{each.path}", lineterm=""):
            print(shown(line))
