"""Which environments a shell enters and leaves, one after the other, to get from what it has to what it should have.

Environments lie on each other like plates: the outermost was entered first. What stays is the longest beginning that
both lists share. What is above is left, the innermost first, and then the others are entered.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NamedTuple
else:
    from esker.host.named_tuple import NamedTuple

__all__ = ["Enter", "Environments", "Leave", "Transition", "after", "next_transition", "wanted"]

Environments = tuple[tuple[str, str], ...]
"""Environments with the identities of their plans, the outermost first."""


class Enter(NamedTuple):
    """Enter an environment; one that is on top with another plan is replaced in the same step."""

    dot_flox: str
    identity: str


class Leave(NamedTuple):
    """Leave the environment that was entered last."""

    dot_flox: str


Transition = Enter | Leave


def next_transition(entered: Environments, wanted: Environments) -> Transition | None:
    """Return the next step from what is entered to what is wanted, or None if they are the same.

    An environment whose plan has changed is replaced and not left first, because its new hook may fail: then the
    earlier activation stays.
    """
    same = 0
    while same < min(len(entered), len(wanted)) and entered[same] == wanted[same]:
        same += 1
    if len(entered) == same + 1 and len(wanted) > same and entered[same][0] == wanted[same][0]:
        return Enter(*wanted[same])
    if len(entered) > same:
        return Leave(entered[-1][0])
    return Enter(*wanted[same]) if len(wanted) > same else None


def after(transition: Transition, entered: Environments) -> Environments:
    """Return what is entered after a step."""
    others = tuple(each for each in entered if each[0] != transition.dot_flox)
    return others if isinstance(transition, Leave) else (*others, (transition.dot_flox, transition.identity))


def wanted(ready: Sequence[tuple[str, str | None]], entered: Environments, explicit: frozenset[str]) -> Environments:
    """Return the environments that a shell should have, the outermost first.

    `ready` are those of the directory, each with the identity of the plan that may be entered, or None: then it stays
    as it is, entered or not. Those that the user has activated (`explicit`) are the user's. What lies outside of them
    would hide their variables, so it is not entered.
    """
    inner = list(ready)
    for index, (dot_flox, _) in enumerate(ready):
        if dot_flox in explicit:
            inner = list(ready[index + 1 :])
    present = dict(entered)
    return tuple(
        (dot_flox, identity or present[dot_flox]) for dot_flox, identity in inner if identity or dot_flox in present
    )
