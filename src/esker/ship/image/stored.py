"""Images that have been written or pushed, read again: from a layout, from an archive of one, or from a registry."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from esker.errors import ImageError, Malformed, NotFound, RegistryError
from esker.formats.oci import config as config_document
from esker.formats.oci.documents import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    LARGEST_DOCUMENT,
    MANIFEST,
    Descriptor,
    Index,
    Manifest,
    digest_of,
    document,
)
from esker.formats.oci.tar_reader import FILE, TarReader
from esker.host import files
from esker.ship.image.blobs import Blobs, check
from esker.ship.image.layout import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.formats.oci.config import Config
    from esker.ship.image.registry.repository import Repository

__all__ = ["ArchiveSource", "LayoutSource", "RegistrySource", "Source", "StoredImage", "read_document", "stored_images"]

_CHUNK = 1 << 20
_AHEAD = 1 << 13
"""Bytes that are read at a time where an archive is searched for its files."""
_MOST_MEMBERS = 100_000
_OTHERS = "do not use it; tell those who have made it"
_NO_ARCHIVE = (
    "name an archive of an OCI layout that is not compressed, as `docker save` and `esker containerize` write it"
)
_DEEPEST = 3
"""How many indexes may lie in each other."""
_DOCUMENTS = {MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX}


class Source(Protocol):
    """Where images are read from."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def top(self) -> tuple[Descriptor, ...]:
        """Return what names the images: manifests and indexes."""

    def pieces(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield the content of a blob, a manifest or an index, unchecked; raises ImageError if it is not there."""


class StoredImage(NamedTuple):
    """An image for one platform; untrusted but for its digests."""

    descriptor: Descriptor
    manifest: Manifest
    config: Config


class LayoutSource:
    """A directory with an OCI layout; with a tag only what it names."""

    def __init__(self, directory: str, tag: str = "") -> None:
        self.name = f"{directory}:{tag}" if tag else directory
        self._blobs = Blobs(f"{directory}/blobs")
        self._index = f"{directory}/index.json"
        self._tag = tag

    def top(self) -> tuple[Descriptor, ...]:
        """Return what `index.json` names."""
        if not os.path.isfile(self._index):
            raise NotFound(f"there is no image in `{self.name}`", hint="name a directory that holds an OCI layout")
        return _top(files.read(self._index, limit=LARGEST_DOCUMENT, error=ImageError), self.name, self._tag)

    def pieces(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield the content of a blob."""
        path = self._blobs.path(descriptor.digest)
        with files.refused("read", path, ImageError), open(path, "rb", opener=files.plain, buffering=0) as file:
            while data := file.read(_CHUNK):
                yield data


class ArchiveSource:
    """A file with an archive of an OCI layout, as `docker save` of Docker 25 and later writes it, too."""

    def __init__(self, path: str, tag: str = "") -> None:
        self.name = f"{path}:{tag}" if tag else path
        self._path = path
        self._tag = tag
        try:
            self._members = _places(path)
        except Malformed as error:
            raise Malformed(f"`{path}` is no archive of an image: {error.message}", hint=_NO_ARCHIVE) from error

    def top(self) -> tuple[Descriptor, ...]:
        """Return what `index.json` names."""
        data = b"".join(self._content("index.json", LARGEST_DOCUMENT))
        return _top(data, self.name, self._tag)

    def pieces(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield the content of a blob."""
        yield from self._content(f"blobs/{descriptor.digest.replace(':', '/')}", None)

    def _content(self, name: str, largest: int | None) -> Iterator[bytes]:
        if name not in self._members:
            raise ImageError(f"the archive `{self._path}` holds no `{name}`", hint="write the image once more")
        start, size = self._members[name]
        if largest is not None and size > largest:
            raise Malformed(f"`{name}` in `{self._path}` has more than {largest >> 20} MiB", hint=_OTHERS)
        with files.refused("read", self._path, ImageError), open(self._path, "rb") as file:
            file.seek(start)
            while size and (data := file.read(min(size, _CHUNK))):
                size -= len(data)
                yield data


class RegistrySource:
    """A repository of a registry, and the tag or digest in it."""

    def __init__(self, repository: Repository, label: str) -> None:
        self.place = f"{repository.registry.host}/{repository.path}"
        """Registry and repository, without tag and digest."""
        self.name = f"{self.place}{'@' if ':' in label else ':'}{label}"
        self.repository = repository
        self._label = label
        self._top: Descriptor | None = None

    def top(self) -> tuple[Descriptor, ...]:
        """Return what the registry has under the tag or digest, each time what it had the first time."""
        if self._top is None:
            answer = self.repository.manifest(self._label)
            if answer is None:
                raise RegistryError(f"there is no image `{self.name}`", hint="check the name and the tag", status=404)
            self._top = answer[0]
        return (self._top,)

    def pieces(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield the content of a blob, a manifest or an index."""
        if descriptor.media_type in _DOCUMENTS:
            answer = self.repository.manifest(descriptor.digest)
            if answer is None:
                raise RegistryError(
                    f"`{self.name}` lacks `{descriptor.digest}`", hint="push the image once more", status=404
                )
            yield answer[1]
        else:
            yield from self._fetched(descriptor)

    def _fetched(self, descriptor: Descriptor) -> Iterator[bytes]:
        """Yield a blob once it is here: if the connection breaks meanwhile, it is fetched again."""
        with files.refused("write", tempfile.gettempdir(), ImageError), tempfile.TemporaryFile() as file:

            def take(data: bytes) -> None:
                if file.tell() + len(data) > descriptor.size + _CHUNK:
                    raise ImageError(
                        f"`{descriptor.digest}` of `{self.name}` is larger than its manifest says", hint=_OTHERS
                    )
                file.write(data)

            def restart() -> None:
                file.seek(0)
                file.truncate()

            self.repository.blob(descriptor, take, restart)
            file.seek(0)
            while data := file.read(_CHUNK):
                yield data


def _places(path: str) -> dict[str, tuple[int, int]]:
    """Return where the contents of an archive's files begin, and their sizes; raises ImageError and Malformed."""
    places: dict[str, tuple[int, int]] = {}
    with files.refused("read", path, ImageError), open(path, "rb", opener=files.plain, buffering=0) as file:
        reader = TarReader(iter(partial(file.read, _AHEAD), b""), skip=lambda size: file.seek(size, os.SEEK_CUR))
        whole = os.fstat(file.fileno()).st_size
        for member in reader:
            if reader.position + member.size > whole:
                raise Malformed("it ends too early")
            if member.number >= _MOST_MEMBERS:
                raise Malformed(f"it has more than {_MOST_MEMBERS} members")
            if member.kind == FILE:
                places[member.path.removeprefix("./")] = reader.position, member.size
    return places


def _top(data: bytes, name: str, tag: str) -> tuple[Descriptor, ...]:
    content = document(data, f"`index.json` of `{name}`")
    if isinstance(content, Manifest):
        raise Malformed(f"`index.json` of `{name}` is no index", hint=_OTHERS)
    entries = content.manifests
    tags = [each.annotations.get(REFERENCE, "").rpartition(":")[2] for each in entries]  # a tag, or a whole name
    if tag:
        entries = tuple(each for each, its_tag in zip(entries, tags, strict=True) if its_tag == tag)
        if not entries:
            offered = ", ".join(sorted(filter(None, tags))) or "none"
            raise NotFound(f"there is no image `{name}`", hint=f"the tags are {offered}")
    return entries


def read_document(source: Source, descriptor: Descriptor) -> bytes:
    """Return a manifest, an index or a configuration; raises CorruptedBlob and Malformed."""
    if descriptor.size > LARGEST_DOCUMENT:
        raise Malformed(
            f"`{descriptor.digest}` of `{source.name}` has more than {LARGEST_DOCUMENT >> 20} MiB", hint=_OTHERS
        )
    data = bytearray()
    for piece in source.pieces(descriptor):
        data += piece
        if len(data) > descriptor.size:
            break
    check(descriptor, digest_of(bytes(data)), len(data))
    return bytes(data)


def stored_images(source: Source) -> tuple[StoredImage, ...]:
    """Return the images that a source names, each once, in the order of their platforms.

    What is attached to images, such as an SBOM, is left out. Raises CorruptedBlob, Malformed and what the source does.
    """
    images: dict[str, StoredImage] = {}
    pending = [(each, 1) for each in source.top()]
    while pending:
        descriptor, depth = pending.pop()
        if descriptor.digest in images or descriptor.artifact_type:
            continue
        content = document(read_document(source, descriptor), f"`{descriptor.digest}` of `{source.name}`")
        if isinstance(content, Index):
            if depth > _DEEPEST:
                raise Malformed(f"more than {_DEEPEST} indexes lie in each other in `{source.name}`", hint=_OTHERS)
            pending += [(each, depth + 1) for each in content.manifests if not _is_attached(each)]
        else:
            data = read_document(source, content.config)
            config = config_document.parse(data, f"the configuration `{content.config.digest}` of `{source.name}`")
            if len(config.diff_ids) != len(content.layers):
                raise Malformed(
                    f"`{descriptor.digest}` of `{source.name}` has another number of layers than it says", hint=_OTHERS
                )
            images[descriptor.digest] = StoredImage(descriptor, content, config)
    return tuple(sorted(images.values(), key=lambda image: (str(image.config.platform), image.descriptor.digest)))


def _is_attached(descriptor: Descriptor) -> bool:
    """Return whether a manifest in an index is no image: other tools give what they attach no real platform."""
    return bool(descriptor.platform and descriptor.platform.os == "unknown")
