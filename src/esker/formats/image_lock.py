"""`.flox/image.lock`: what an image was made of, so that nothing of it is looked up or made a second time.

The file is one JSON object with two spaces of indentation, and is committed like the other locks. `version` is 1.
`layers` has one entry for each layer of the image on each platform: under `key`, which names its content and how it was
packed, stand the digest and size of its blob and the digest of the archive in it (`diff-id`). `inputs` has what the
image takes from addresses: an interpreter, a file, a package or a git tree, each with the hash that was computed or
stated when it was locked.

A layer that is here is not made again to learn its digest, on this machine or another one.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from esker.errors import InvalidLock, Problem
from esker.formats.oci.documents import Digest, Size
from esker.formats.untrusted import LARGEST, json_value

__all__ = ["NAME", "ImageLock", "LockedInput", "LockedLayer", "parse", "render"]

NAME = "image.lock"
_MEND = (
    "put it back as git has it; or remove it: the next build of the image writes it again, and looks up anew what "
    "comes from addresses"
)

Key = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    pass


class LockedLayer(_Entry, frozen=True, kw_only=True):
    """A layer that has been made once."""

    name: str
    platform: str
    """Such as `linux/amd64`."""
    key: Key
    media_type: str
    digest: Digest
    size: Size
    """Bytes of the blob."""
    diff_id: Digest
    """The digest of the archive before it was compressed."""


class LockedInput(_Entry, frozen=True, kw_only=True):
    """Something that is fetched from an address when the image is made."""

    kind: str
    """Such as `python`, `file`, `npm` or `git`."""
    name: str
    """Unique within its kind and platform."""
    platform: str = ""
    """Empty for what is the same on every platform."""
    url: str
    """Without credentials."""
    version: str | msgspec.UnsetType = msgspec.UNSET
    """Of a package whose name does not say it."""
    size: Size | msgspec.UnsetType = msgspec.UNSET
    """Bytes of all files of what is prepared, which decide about its layer."""
    has_install_script: bool | msgspec.UnsetType = msgspec.UNSET
    """Whether npm would run a script of a package when it installs it."""
    hash: str
    """`sha256:…`, the integrity of an npm package, or the id of a commit; what is fetched is checked against it."""


class ImageLock(_Entry, frozen=True, kw_only=True):
    """The whole file."""

    version: Literal[1] = 1
    layers: tuple[LockedLayer, ...] = ()
    inputs: tuple[LockedInput, ...] = ()


def parse(data: bytes, path: str) -> ImageLock:
    """Return the content of the file at `path`; raises InvalidLock."""
    try:
        lock = msgspec.convert(json_value(data[: LARGEST + 1]), ImageLock)
    except ValueError as error:  # msgspec's own errors are such, too
        raise InvalidLock(path, [Problem(f"not a lock of an image: {error}", hint=_MEND)]) from error
    places = [(each.kind, each.name, each.platform) for each in lock.inputs]
    if len({*places}) < len(places):
        raise InvalidLock(path, [Problem("an input is locked twice", hint=_MEND)])
    made: dict[tuple[str, str], tuple[str, int, str]] = {}
    for layer in lock.layers:
        blob = (layer.digest, layer.size, layer.diff_id)
        if made.setdefault((layer.key, layer.media_type), blob) != blob:
            raise InvalidLock(path, [Problem(f"the layer `{layer.name}` is locked twice, as two blobs", hint=_MEND)])
    return lock


def render(lock: ImageLock) -> bytes:
    """Return the content of the file, always the same for the same lock.

    Inputs stand in the order of their names. Layers keep their order within a platform, in which the image has them.
    """
    layers = tuple(sorted(lock.layers, key=lambda layer: layer.platform))
    inputs = tuple(sorted(lock.inputs, key=lambda each: (each.kind, each.name, each.platform)))
    ordered = ImageLock(layers=layers, inputs=inputs)
    return msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n"
