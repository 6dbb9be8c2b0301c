"""Lists of environments: each with its name and its project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.activate.lists import project_of
from esker.cli.views.output import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from esker.declare.known_environments import KnownEnvironment

__all__ = ["print_active", "print_environments"]


def print_active(active: Iterable[Mapping[str, Any]]) -> None:
    """Print the active environments, given as the elements of `_FLOX_ACTIVE_ENVIRONMENTS`."""
    environments = []
    for element in active:
        environment = element.get("environment", element)
        pointer = environment.get("pointer", environment)
        environments.append((str(pointer.get("name", "")), project_of(element) or ""))
    _print(environments)


def print_environments(environments: Iterable[KnownEnvironment]) -> None:
    """Print a line for each environment."""
    _print([(each.name, each.project) for each in environments])


def _print(listed: Sequence[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in listed)
    for name, project in listed:
        print(shown(f"  {name:<{width}}  {project}"))
