"""Lists of environments: each with its name and its project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.activate.lists import dot_flox_of
from esker.cli.views.output import shown
from esker.declare.known_environments import KnownEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = ["print_active", "print_environments"]


def print_active(active: Iterable[Mapping[str, Any]]) -> None:
    """Print the active environments, given as the elements of `_FLOX_ACTIVE_ENVIRONMENTS`."""
    environments = []
    for element in active:
        environment = element.get("environment", element)
        pointer = environment.get("pointer", environment)
        environments.append(KnownEnvironment(dot_flox_of(element) or "", str(pointer.get("name", ""))))
    print_environments(environments)


def print_environments(environments: Iterable[KnownEnvironment]) -> None:
    """Print a line for each environment."""
    listed = list(environments)
    width = max(len(each.name) for each in listed)
    for each in listed:
        print(shown(f"  {each.name:<{width}}  {each.project}"))
