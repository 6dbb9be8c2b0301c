"""Which variable's value speaks of which: the order in which `[vars]` are set, and the loops that have none.

A value refers to `NAME` by `$NAME`, or by `${NAME` with a closing brace somewhere after it; a backslash takes the
meaning from the character behind it. A variable may refer to itself: that is the value it had before. Among variables
that wait for no other the alphabet decides, so that the order is the same on every machine.
"""

from __future__ import annotations

import graphlib
import heapq
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["cycle", "references", "variable_cycle", "vars_in_order"]

_REFERENCE = re.compile(r"\\.|\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?=.*\}))", re.DOTALL)


def references(value: str) -> frozenset[str]:
    r"""Return the names that a value refers to.

    >>> sorted(references("$HOME/${A:-b}/\\$C"))
    ['A', 'HOME']
    """
    return frozenset(found[1] or found[2] for found in _REFERENCE.finditer(value) if found.lastindex)


def vars_in_order(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the variables such that each stands behind those that its value refers to.

    Raises graphlib.CycleError where a loop leaves no order; a manifest that has one is not read.

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
    """Return a loop in a graph of names, each before one that it refers to, the first repeated; empty if there is none.

    >>> cycle({"b": ["a"], "a": ["b"], "c": ["a"]})
    ('a', 'b', 'a')
    """
    try:
        graphlib.TopologicalSorter({name: sorted(graph[name]) for name in sorted(graph)}).prepare()
    except graphlib.CycleError as error:
        loop = error.args[1][:0:-1]  # it names each before those that refer to it
        start = loop.index(min(loop))
        return (*loop[start:], *loop[:start], loop[start])
    return ()


def variable_cycle(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return a loop of references among variables, as `cycle` does."""
    return cycle(_graph(variables))


def _graph(variables: Mapping[str, str]) -> dict[str, list[str]]:
    return {name: sorted((references(variables[name]) & variables.keys()) - {name}) for name in sorted(variables)}
