"""The packages of an environment, printed for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.cli.views.output import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from esker.lock.listing import Installed

__all__ = ["print_blocks"]


def print_blocks(packages: Iterable[Installed]) -> None:
    """Print a block for each package; those whose files take precedence come first."""
    for index, each in enumerate(sorted(packages, key=lambda one: (one.priority or 0, one.name))):
        print(shown("\n" * bool(index) + f"{each.name}:"))
        for label, value in each.details:
            print(shown(f"  {label + ':':<19}{value}"))
