"""Reading a base: its layers in order for what they hold, and once more for the few files whose contents matter.

Each layer is compared with its digests while it is read. Nothing is unpacked onto this machine.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import ImageError, Malformed
from esker.formats.oci.tar_reader import DIRECTORY, FILE, TarReader
from esker.host import files
from esker.ship.base.facts import BASHES, CERTIFICATES, ENV, NSSWITCH, SHELL, TIME_ZONES, BaseFacts
from esker.ship.base.libraries import glibc_places, library_of
from esker.ship.base.pythons import python_places, python_version
from esker.ship.base.tree import BaseTree
from esker.ship.image.layer_archives import layer_archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from esker.progress import Progress
    from esker.ship.image.blobs import Blobs
    from esker.ship.image.image import Base

__all__ = ["RECIPE", "read_base"]

RECIPE = 1
"""Increase it whenever other facts would be found."""
_CHUNK = 1 << 20
_LARGEST = 256 << 20
"""Bytes of a program or a library whose content is looked at."""
_LARGEST_LAYER = 64 << 30
"""Bytes of an archive after it has been unpacked, which a small blob can claim to be."""
_LARGEST_ACCOUNTS = 1 << 20
_PASSWD, _GROUP = "/etc/passwd", "/etc/group"
_LOOKED_FOR = (SHELL, ENV, NSSWITCH, *BASHES, *CERTIFICATES, f"{TIME_ZONES}/UTC")


def read_base(base: Base, blobs: Blobs, system: str, python: str | None, progress: Progress) -> BaseFacts:
    """Return what is to be known of a base, whose layers are in `blobs`; `python` is the interpreter that is stated.

    Raises CorruptedBlob, Malformed for layers that no image may have, and ImageError for another Python than is stated.
    """
    tree = BaseTree()
    progress.begin(f"Reading {base.reference.name}", total=len(base.layers), unit="layer")
    for number in range(len(base.layers)):
        with_members(base, blobs, number, lambda reader, number=number: tree.add_layer(number, reader))  # type: ignore[misc]
        progress.advance()
    progress.end()
    try:
        return _facts(base, blobs, tree, system, python)
    except Malformed as error:
        if base.reference.name in error.message:
            raise
        raise Malformed(f"the base `{base.reference}` is refused: {error.message}", hint="take another base") from error


def _facts(base: Base, blobs: Blobs, tree: BaseTree, system: str, python: str | None) -> BaseFacts:
    places = [*glibc_places(tree, system), *(python_places(tree, python) if python else ())]
    accounts = [place for place, node in map(tree.find, (_PASSWD, _GROUP)) if node is not None and node.kind == FILE]
    contents = _contents(base, blobs, tree, [*places, *accounts])
    return BaseFacts(
        links={path: node.target for path, node in tree.nodes.items() if tree.link_at(path) and _is_text(path, node)},
        directories={
            path: (node.mode, node.uid, node.gid)
            for path, node in tree.nodes.items()
            if node.kind == DIRECTORY and _is_text(path, node)
        },
        files=frozenset(path for path in _LOOKED_FOR if (node := tree.find(path)[1]) and node.kind == FILE),
        passwd=contents.get(tree.find(_PASSWD)[0]),
        group=contents.get(tree.find(_GROUP)[0]),
        library=library_of(tree, system, contents),
        python=python_version(tree, python, system, contents) if python else "",
    )


def with_members(base: Base, blobs: Blobs, number: int, call: Callable[[TarReader], object]) -> None:
    """Call a function with the members of a layer, all of which is then compared with its digests.

    If the bytes are not what the digests name, that is the error, and not what the function has found in them.
    """
    layer, diff_id = base.layers[number], base.config.diff_ids[number]
    pieces = _limited(layer_archive(_pieces(blobs.path(layer.digest)), layer, diff_id), layer.digest)
    try:
        call(TarReader(pieces))
    except Malformed as error:
        for _ in pieces:
            """A corrupted layer is said to be corrupted."""
        message = f"the layer `{layer.digest}` of `{base.reference}` is refused: {error.message}"
        raise Malformed(message, hint="take another base") from error
    for _ in pieces:
        """What follows the last member is part of the layer."""


def _contents(base: Base, blobs: Blobs, tree: BaseTree, places: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of files, for which each layer is read once at most."""
    asked: dict[int, dict[int, list[str]]] = {}
    for place in places:
        node = tree.nodes[place]
        if node.has_holes:
            raise ImageError(
                f"`{place}` of the base is a file with holes, which cannot be read", hint="take another base"
            )
        layer, number = node.content
        asked.setdefault(layer, {}).setdefault(number, []).append(place)
    contents: dict[str, bytes] = {}

    def take(reader: TarReader, numbers: dict[int, list[str]]) -> None:
        for member in reader:
            if names := numbers.get(member.number):
                largest = _LARGEST_ACCOUNTS if names[0].startswith("/etc/") else _LARGEST
                contents.update(dict.fromkeys(names, reader.content(largest)))

    for layer, numbers in asked.items():
        with_members(base, blobs, layer, lambda reader, numbers=numbers: take(reader, numbers))  # type: ignore[misc]
    return contents


def _limited(pieces: Iterator[bytes], digest: str) -> Iterator[bytes]:
    """Yield pieces as long as an archive is not larger than any that is meant to be used."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > _LARGEST_LAYER:
            raise ImageError(
                f"the layer `{digest}` unpacks to more than {_LARGEST_LAYER >> 30} GiB", hint="take another base"
            )
        yield piece


def _pieces(path: str) -> Iterator[bytes]:
    with files.refused("read", path, ImageError), open(path, "rb", opener=files.plain, buffering=0) as file:
        while data := file.read(_CHUNK):
            yield data


def _is_text(path: str, node: object) -> bool:
    """Return whether path and target are UTF-8: nothing of ours lies where other names are."""
    with suppress(UnicodeEncodeError):
        (path + getattr(node, "target", "")).encode()
        return True
    return False
