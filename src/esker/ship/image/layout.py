"""OCI layouts: a directory, or an archive of it, that holds images; the archive is for `docker load`, too.

    oci-layout            the version
    index.json            names the images
    blobs/sha256/HEX      everything else
    manifest.json         in archives with one image: what `docker load` and `podman load` read

An image for one platform stands in `index.json` itself. For several platforms an index of their own stands there under
the tag. Beside it stands each of their manifests, under the tag with the platform, as `1.0-linux-arm64`, because some
tools (umoci 0.4) choose none from an index.

Specification: OCI image-spec v1.1, `image-layout.md`; Docker's "Image Specification v1.2" for `manifest.json`.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from esker.errors import AlreadyExists, ImageError
from esker.formats.oci import tar
from esker.formats.oci.documents import (
    INDEX,
    LARGEST_DOCUMENT,
    LAYOUT,
    Descriptor,
    Index,
    describe,
    docker_archive,
    document,
    index,
)
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from esker.formats.oci.reference import Reference
    from esker.ship.image.blobs import Blobs
    from esker.ship.image.image import Builder, Image

__all__ = ["REFERENCE", "index_of", "layout_files", "write_archive", "write_layout"]

REFERENCE = "org.opencontainers.image.ref.name"
"""The annotation by which `index.json` has the tag of an image."""
_CHUNK = 1 << 20


def index_of(images: Iterable[Image]) -> bytes:
    """Return the index of images for several platforms."""
    return index([image.descriptor for image in images])


def write_layout(directory: str, images: Sequence[Image], reference: Reference, builder: Builder) -> bool:
    """Write images into a layout, which keeps what it has under other tags, and return whether anything changed.

    Raises AlreadyExists for a directory with something else, and ImageError.
    """
    builder.provide(images)
    with files.refused("write", directory, ImageError):
        _earlier(directory)
        os.makedirs(f"{directory}/blobs/sha256", exist_ok=True)
        # First, so that a directory that was left half written is a layout, and can be written once more.
        changed = files.write_changed(f"{directory}/oci-layout", LAYOUT, mode=0o644)
        for descriptor in _blobs(images):
            changed |= _place(builder.blobs, descriptor, directory)
        for data in _indexes(images):
            path = f"{directory}/blobs/{describe(data, INDEX).digest.replace(':', '/')}"
            changed |= files.write_changed(path, data, mode=0o644)
        entries = _entries(images, _tag(reference))
        path = f"{directory}/index.json"
        if not files.holds(path, _index_with(entries, directory)):
            with files.locked(f"{directory}/oci-layout", error=ImageError):  # others may write other tags meanwhile
                changed |= files.write_changed(path, _index_with(entries, directory), mode=0o644)
    return changed


def _index_with(entries: Sequence[Descriptor], directory: str) -> bytes:
    """Return the index of a layout with these entries in place of those of the same names."""
    names = {each.annotations.get(REFERENCE) for each in entries}
    kept = [each for each in _earlier(directory) if each.annotations.get(REFERENCE) not in names]
    return index([*kept, *entries])


def layout_files(directory: str, images: Sequence[Image]) -> list[str]:
    """Return the files of a layout that images stand in."""
    digests = [each.digest for each in _blobs(images)] + [describe(data, INDEX).digest for data in _indexes(images)]
    return [
        f"{directory}/oci-layout",
        f"{directory}/index.json",
        *(f"{directory}/blobs/{digest.replace(':', '/')}" for digest in digests),
    ]


def write_archive(
    output: IO[bytes], images: Sequence[Image], reference: Reference, builder: Builder, *, layout: bool = True
) -> None:
    """Write an archive of a layout, always the same bytes for the same images and name; raises OSError.

    With one image it is an archive for Docker, too. Without the `layout` it is nothing else: Podman then keeps the
    health check, which it takes from no OCI image.
    """
    builder.provide(images)
    whole_name = f"{reference.name}:{_tag(reference)}"  # Podman takes nothing less from an archive
    small = {"oci-layout": LAYOUT, "index.json": index(_entries(images, whole_name))} if layout else {}
    if len(images) == 1:
        image = images[0]
        layers = [layer.descriptor for layer in image.layers]
        small["manifest.json"] = docker_archive(image.config_descriptor, layers, [whole_name])
    small |= {f"blobs/{describe(data, INDEX).digest.replace(':', '/')}": data for data in _indexes(images)}
    members = dict.fromkeys(("blobs/", "blobs/sha256/"), 0)
    blobs = {f"blobs/{each.digest.replace(':', '/')}": each for each in _blobs(images)}
    for name in sorted({*small, *blobs, *members}):
        if name in members:
            output.write(tar.header(tar.DIRECTORY, name))
        elif name in small:
            output.write(tar.header(tar.FILE, name, mode=0o644, size=len(small[name])))
            output.write(small[name] + tar.padding(len(small[name])))
        else:
            size = blobs[name].size
            output.write(tar.header(tar.FILE, name, mode=0o644, size=size))
            for chunk in _content(builder.blobs, blobs[name]):
                output.write(chunk)
            output.write(tar.padding(size))
    output.write(tar.END)


def _tag(reference: Reference) -> str:
    return reference.tag or "latest"


def _indexes(images: Sequence[Image]) -> list[bytes]:
    return [index_of(images)] if len(images) > 1 else []


def _entries(images: Sequence[Image], tag: str) -> list[Descriptor]:
    """Return what `index.json` has for these images."""
    if len(images) == 1:
        return [_named(images[0].descriptor, tag)]
    entries = [describe(data, INDEX, annotations={REFERENCE: tag}) for data in _indexes(images)]
    return [
        *entries,
        *(_named(image.descriptor, f"{tag}-{str(image.platform).replace('/', '-')}") for image in images),
    ]


def _named(descriptor: Descriptor, name: str) -> Descriptor:
    return Descriptor(
        media_type=descriptor.media_type,
        digest=descriptor.digest,
        size=descriptor.size,
        platform=descriptor.platform,
        annotations={REFERENCE: name},
    )


def _blobs(images: Iterable[Image]) -> Iterator[Descriptor]:
    """Yield every blob of the images once."""
    yielded: set[str] = set()
    for image in images:
        for each in (image.descriptor, image.config_descriptor, *(layer.descriptor for layer in image.layers)):
            if each.digest not in yielded:
                yielded.add(each.digest)
                yield each


def _earlier(directory: str) -> tuple[Descriptor, ...]:
    """Return what the layout names already; raises AlreadyExists if the directory is none and has something else."""
    names = set(os.listdir(directory)) if os.path.isdir(directory) else set()
    if names and "oci-layout" not in names:
        hint = "name a directory that is empty or not there"
        raise AlreadyExists(f"`{directory}` holds something that is no OCI layout", hint=hint)
    if "index.json" not in names:
        return ()
    path = f"{directory}/index.json"
    content = document(files.read(path, limit=LARGEST_DOCUMENT, error=ImageError), f"`{path}`")
    return content.manifests if isinstance(content, Index) else ()


def _place(blobs: Blobs, descriptor: Descriptor, directory: str) -> bool:
    """Put a blob into the layout, by a hard link where that can be made; return whether it was missing."""
    source, target = blobs.path(descriptor.digest), f"{directory}/blobs/{descriptor.digest.replace(':', '/')}"
    try:
        if os.stat(target).st_size == descriptor.size:
            return False
        os.unlink(target)
    except FileNotFoundError:
        pass
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        temporary = f"{target}.{os.getpid()}.tmp"
        try:
            shutil.copyfile(source, temporary)
            os.rename(temporary, target)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
    return True


def _content(blobs: Blobs, descriptor: Descriptor) -> Iterator[bytes]:
    path = blobs.path(descriptor.digest)
    with files.refused("read", path, ImageError), open(path, "rb", buffering=0) as file:
        left = descriptor.size
        while left and (data := file.read(min(left, _CHUNK))):
            left -= len(data)
            yield data
        if left:
            raise ImageError(f"`{path}` ends too early", hint="remove it: the next build makes it again")
