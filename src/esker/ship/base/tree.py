"""The files of a base: its layers laid over each other as an engine lays them, without unpacking anything.

A layer adds and replaces files, and deletes those of the layers below by members named `.wh.NAME`, or all that a
directory had by `.wh..wh..opq`. A member below a link lies where the link leads in the image. Refused are: a path with
`..`, a member below a file, a hard link to nothing, and more members than any image needs.

Specification: OCI image-spec v1.1, `layer.md`. Oddities: names begin with `./` or `/`, or with neither; other names
that begin with `.wh..wh.` are the bookkeeping of an old file system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed
from esker.formats.oci.tar_reader import DIRECTORY, FILE, HARD_LINK, SYMBOLIC_LINK, Member
from esker.formats.printable import printable
from esker.ship.base.paths import parts_of, resolved

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BaseTree", "Node"]

_DELETION, _ALL, _OTHERS = ".wh.", ".wh..wh..opq", ".wh..wh."
_MOST_MEMBERS = 2_000_000
_LONGEST_PATH = 4096
_EXECUTABLE = 0o111


class Node(NamedTuple):
    """What a path of a base is."""

    kind: str
    """A kind of `tar_reader`, but no hard link."""
    target: str
    mode: int
    uid: int
    gid: int
    layer: int
    """The number of the layer that has put it there."""
    content: tuple[int, int]
    """The number of the layer that has its content, and the number of the member in it."""
    has_holes: bool = False


class BaseTree:
    """What paths of a base are."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        """By absolute paths without links."""
        self._below: dict[str, set[str]] = {"/": set()}
        """The names in each directory."""
        self._members = 0

    def link_at(self, path: str) -> str | None:
        """Return the target of a link, or None for what is no link."""
        node = self.nodes.get(path)
        return node.target if node is not None and node.kind == SYMBOLIC_LINK else None

    def find(self, path: str) -> tuple[str, Node | None]:
        """Return where a path leads, and what is there, which is no link."""
        place = resolved(path, self.link_at)
        return place, self.nodes.get(place)

    def is_program(self, path: str) -> bool:
        """Return whether a path leads to a file that may be run."""
        node = self.find(path)[1]
        return node is not None and node.kind == FILE and bool(node.mode & _EXECUTABLE)

    def add_layer(self, number: int, members: Iterable[Member]) -> None:
        """Lay a layer over those that are there; raises Malformed."""
        for member in members:
            self._members += 1
            if self._members > _MOST_MEMBERS:
                raise Malformed(f"it has more than {_MOST_MEMBERS} members")
            self._add(number, member)

    def _add(self, number: int, member: Member) -> None:
        parts = parts_of(member.path)
        if ".." in parts or "\0" in member.path or len(member.path) > _LONGEST_PATH:
            raise Malformed(f"`{printable(member.path[:100])}` leads out of the image")
        if not parts:
            return  # the root itself
        *above, name = parts
        directory = resolved("/".join(above), self.link_at)
        if name == _ALL:
            self._delete_below(directory, number)
        elif name.startswith(_DELETION):
            if not name.startswith(_OTHERS):
                self._delete(_joined(directory, _checked_name(name.removeprefix(_DELETION), member)), number)
        else:
            self._make_directory(directory, number, member)
            self._put(_joined(directory, name), self._node(number, member))

    def _node(self, number: int, member: Member) -> Node:
        if member.kind != HARD_LINK:
            target = member.target if member.kind == SYMBOLIC_LINK else ""
            if member.kind == SYMBOLIC_LINK and (not target or len(target) > _LONGEST_PATH):
                raise Malformed(f"the link `{printable(member.path)}` leads nowhere")
            content = number, member.number
            return Node(
                member.kind, target, member.mode, member.uid, member.gid, number, content, has_holes=member.has_holes
            )
        if ".." in parts_of(member.target):
            raise Malformed(f"the hard link `{printable(member.path)}` leads out of the image")
        file = self.nodes.get(resolved(member.target, self.link_at, last=False))
        if file is None or file.kind == DIRECTORY:
            raise Malformed(f"the hard link `{printable(member.path)}` is another name of no file")
        return file._replace(layer=number)

    def _make_directory(self, path: str, number: int, member: Member) -> None:
        """Make the directories of a path that are missing."""
        missing = []
        while path != "/" and path not in self.nodes:
            missing.append(path)
            path = _above(path)
        if path != "/" and self.nodes[path].kind != DIRECTORY:
            raise Malformed(f"`{printable(member.path)}` lies below `{printable(path)}`, which is no directory")
        for each in reversed(missing):
            self._put(each, Node(DIRECTORY, "", 0o755, 0, 0, number, (number, -1)))

    def _put(self, path: str, node: Node) -> None:
        earlier = self.nodes.get(path)
        if earlier is not None and not (earlier.kind == node.kind == DIRECTORY):
            self._remove(path)
        self.nodes[path] = node
        self._below[_above(path)].add(path.rpartition("/")[2])
        if node.kind == DIRECTORY:
            self._below.setdefault(path, set())

    def _delete(self, path: str, number: int) -> None:
        """Take out what lower layers have put there; what this one has put below it stays."""
        node = self.nodes.get(path)
        if node is None:
            return
        if node.kind == DIRECTORY:
            self._delete_below(path, number)
        if node.layer < number and not self._below.get(path):
            self._remove(path)

    def _delete_below(self, path: str, number: int) -> None:
        pending = [(path, False)]
        while pending:  # not by recursion: paths may be deep
            place, is_done = pending.pop()
            if is_done:
                if self.nodes[place].layer < number and not self._below.get(place):
                    self._remove(place)
                continue
            for name in self._below.get(place, ()):
                below = _joined(place, name)
                pending += [(below, True), (below, False)]

    def _remove(self, path: str) -> None:
        """Take out a path with all that lies below it."""
        self._below[_above(path)].discard(path.rpartition("/")[2])
        pending = [path]
        while pending:
            place = pending.pop()
            del self.nodes[place]
            pending += [_joined(place, name) for name in self._below.pop(place, ())]


def _joined(directory: str, name: str) -> str:
    return f"{directory.rstrip('/')}/{name}"


def _above(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _checked_name(name: str, member: Member) -> str:
    if name in {"", ".", ".."}:
        raise Malformed(f"`{printable(member.path)}` deletes nothing that has a name")
    return name
