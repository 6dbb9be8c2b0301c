"""Blobs: what images consist of, kept on this machine by their digests.

A blob is a file `sha256/HEX` that is put in its place by rename once all of it has been written and hashed. So a blob
that is there is whole, but for what a power cut may take, and every use compares its size. Whoever gets an image
compares the digest: registries, engines, and `verify`. What keeps blobs from being collected stands in `store`.

Blobs hold files of projects, and bases that were fetched with a login, so nobody else may enter their directory. The
files themselves can be read by all: a layout has hard links to them, and is read by whom its owner lets in.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from esker.errors import CorruptedBlob, ImageError
from esker.formats.counted import counted
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.formats.oci.documents import Descriptor

__all__ = ["Blobs", "NewBlob", "check"]


class NewBlob:
    """A blob that is being written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append data."""
        self._digest.update(data)
        self.size += len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def restart(self) -> None:
        """Forget what has been written."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """The digest of what has been written so far."""
        return f"sha256:{self._digest.hexdigest()}"


class Blobs:
    """A directory of blobs, as an OCI layout has one."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def path(self, digest: str) -> str:
        """Return where a blob lies, or would."""
        return f"{self.directory}/{digest.replace(':', '/')}"

    def has(self, descriptor: Descriptor) -> bool:
        """Return whether the blob is there in its size."""
        try:
            return os.stat(self.path(descriptor.digest)).st_size == descriptor.size
        except OSError:
            return False

    @contextmanager
    def adding(self, expected: Descriptor | None = None) -> Iterator[NewBlob]:
        """Give a new blob to write, and put it in its place after the block.

        Raises CorruptedBlob if it is not the expected one, and ImageError if it cannot be written.
        """
        directory = f"{self.directory}/sha256"
        with files.refused("write", directory, ImageError):
            files.make_directory(directory, mode=0o700)
            temporary = f"{directory}/.{os.urandom(8).hex()}.tmp"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                blob = NewBlob(descriptor)
                try:
                    yield blob
                finally:
                    os.close(descriptor)
                if expected is not None:
                    check(expected, blob.digest, blob.size)
                os.rename(temporary, self.path(blob.digest))
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise

    def add(self, data: bytes) -> None:
        """Put a blob there, unless it is there."""
        path = self.path(f"sha256:{hashlib.sha256(data).hexdigest()}")
        with suppress(OSError):
            if os.stat(path).st_size == len(data):
                return
        with self.adding() as blob:
            blob.write(data)

    def read(self, descriptor: Descriptor) -> bytes:
        """Return a small blob; raises CorruptedBlob if it is not what its descriptor says, and ImageError."""
        data = files.read(self.path(descriptor.digest), error=ImageError, limit=max(descriptor.size, 1))
        check(descriptor, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
        return data


def check(expected: Descriptor, digest: str, size: int) -> None:
    """Raise CorruptedBlob unless digest and size are the expected ones."""
    if size != expected.size:
        fault = f"it has {counted(size, 'byte')}, and not {expected.size}"
    elif digest != expected.digest:
        fault = f"its digest is {digest}"
    else:
        return
    raise CorruptedBlob(
        f"the blob `{expected.digest}` is corrupted: {fault}",
        hint="do not use it; get it again from where it came from, or make it again",
        digest=expected.digest,
    )
