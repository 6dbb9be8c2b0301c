"""Units: what an image is made of, such as a conda package or a wheel, each with the files that it brings.

A unit says by its key which bytes it puts where. So nobody looks at its files as long as the layer that it belongs to
is known by its key. Its `entries` are called once for each time the layer is made, and never for an unchanged layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Directory", "Entry", "File", "HardLink", "SymbolicLink", "Unit"]


class Directory(NamedTuple):
    """A directory; those above an entry need not be listed, they are made with mode 0755 and belong to root."""

    path: str
    """Where it is in the image: absolute, without `.`, `..` or empty parts."""
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


class File(NamedTuple):
    """A regular file."""

    path: str
    source: str | bytes
    """The path of a regular file on this machine, which is read when the layer is made, or the content itself."""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    sha256: str = ""
    """Of the content, in hexadecimal, if the unit's key was made of it: another content is refused."""


class SymbolicLink(NamedTuple):
    """A symbolic link."""

    path: str
    target: str
    """As it stands in the link; one that leaves the image's root by `..` is refused."""
    uid: int = 0
    gid: int = 0


class HardLink(NamedTuple):
    """Another name of a file of the same unit."""

    path: str
    target: str
    """The path of that file in the image; a `File` has it."""


Entry = Directory | File | SymbolicLink | HardLink


class Unit(NamedTuple):
    """A package, or another thing that comes and goes as one; it lies in exactly one layer."""

    name: str
    """Without a version, and the same for the next one, such as `conda/openssl`; unique within an image."""
    key: str
    """A hash that names the bytes of the entries, their modes, owners and destinations: all that the layer holds."""
    size: int
    """Bytes of all its files, which decide how layers are split; a good estimate will do."""
    entries: Callable[[], Iterable[Entry]]
    """Lists what the unit puts into the image, in any order; called in the process that makes the layer."""
    category: str = ""
    """The layer that it belongs to: a name of the explicit table or of `layer_names`, or none."""
    version: str = ""
    """What people are shown beside the name, when images are compared."""
