"""`FLOX_ENV` in an image: links that join the conda packages and the Python environment, as the profile does here.

bin and lib are real directories. A directory that one of the two alone has is one link; where both have it, it is a
directory with the links of both. Every link is relative, and all else in the image is a real file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["JoinedTree", "joined"]

_Node = dict[str, "_Node | None"]
"""A directory: by name, another directory, or None for what is none."""
_REAL = {"", "bin", "lib"}


class JoinedTree(NamedTuple):
    """What one of the two brings: its place in the image, and the paths below it."""

    place: str
    paths: Iterable[str]


def joined(sources: Sequence[JoinedTree]) -> Mapping[str, str]:
    """Return the links of the joined tree: their paths in it, and the absolute places that they lead to.

    Of a path that both have, the last one's is taken.

    >>> joined([JoinedTree("/c", ["bin/a", "share/x/y"]), JoinedTree("/p", ["bin/b", "lib/q"])])
    {'bin/a': '/c/bin/a', 'bin/b': '/p/bin/b', 'lib/q': '/p/lib/q', 'share': '/c/share'}
    """
    links: dict[str, str] = {}
    _join([(source.place, _tree(source.paths)) for source in sources], "", links)
    return dict(sorted(links.items()))


def _tree(paths: Iterable[str]) -> _Node:
    root: _Node = {}
    for path in paths:
        *above, name = path.split("/")
        node = root
        for part in above:
            below = node.setdefault(part, {})
            if below is None:  # a file of another package; the plan of packages refuses this
                below = node[part] = {}
            node = below
        node.setdefault(name, None)
    return root


def _join(sources: Sequence[tuple[str, _Node]], path: str, links: dict[str, str]) -> None:
    for name in sorted({name for _, node in sources for name in node}):
        here = f"{path}/{name}" if path else name
        those = [(place, node[name]) for place, node in sources if name in node]
        directories = [(place, node) for place, node in those if node is not None]
        if len(directories) == len(those) and (len(those) > 1 or here in _REAL):
            _join(directories, here, links)
        else:
            links[here] = f"{those[-1][0]}/{here}"
