"""References between variables: the order in which `[vars]` are set, and the loops that make an order impossible.

A value refers to `NAME` as `$NAME`, or as `${NAME` with a closing brace anywhere after it. A backslash escapes the next
character. A variable may refer to itself, which means the value that it had before. Variables that could come next in
any order are sorted by name, so that the order is the same on every machine.
"""

from __future__ import annotations

import graphlib
import heapq
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["cycle", "references", "variable_cycle", "vars_in_order"]

_REFERENCE = re.compile(r"\\.|\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*))", re.DOTALL)


def references(value: str) -> frozenset[str]:
    r"""Return the names that a value refers to.

    >>> sorted(references("$HOME/${A:-b}/\\$C"))
    ['A', 'HOME']
    """
    brace = value.rfind("}")
    matches = [match for match in _REFERENCE.finditer(value) if match.lastindex]  # no group: an escaped character
    return frozenset(match[1] or match[2] for match in matches if match[1] or match.end() <= brace)


def vars_in_order(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return names and values in an order in which each variable comes after those that its value refers to.

    Raises graphlib.CycleError if there is a loop; a manifest with a loop is refused when it is read.

    >>> vars_in_order({"alpha": "${omega}-suffix", "omega": "base", "beta": ""})
    (('beta', ''), ('omega', 'base'), ('alpha', '${omega}-suffix'))
    """
    waiting = graphlib.TopologicalSorter(_graph(variables))
    waiting.prepare()
    ready: list[str] = []
    ordered = []
    while waiting.is_active():
        for name in waiting.get_ready():
            heapq.heappush(ready, name)
        name = heapq.heappop(ready)
        ordered.append((name, variables[name]))
        waiting.done(name)
    return tuple(ordered)


def cycle(graph: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return a loop in a graph of names, or an empty tuple if there is none.

    Each name in the loop refers to the next, and the first is repeated at the end.

    >>> cycle({"b": ["a"], "a": ["b"], "c": ["a"]})
    ('a', 'b', 'a')
    """
    try:
        graphlib.TopologicalSorter({name: sorted(graph[name]) for name in sorted(graph)}).prepare()
    except graphlib.CycleError as error:
        loop = error.args[1][:0:-1]  # reversed, because graphlib lists a name before those that refer to it
        start = loop.index(min(loop))
        return (*loop[start:], *loop[:start], loop[start])
    return ()


def variable_cycle(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return a loop of references between variables, in the form that `cycle` returns."""
    return cycle(_graph(variables))


def _graph(variables: Mapping[str, str]) -> dict[str, list[str]]:
    return {name: sorted((references(variables[name]) & variables.keys()) - {name}) for name in sorted(variables)}
