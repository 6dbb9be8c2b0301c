"""A file from an address, locked by its hash: the stated one, or that of the first download."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from esker.errors import ImageError
from esker.formats.image_lock import LockedInput
from esker.formats.printable import printable
from esker.formats.urls import redact
from esker.host.download import download
from esker.host.scratch import scratch
from esker.progress import reporting
from esker.ship.content.components import Component
from esker.ship.content.prepared.source import PreparedFile, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from esker.declare.prepared_table import PreparedTable
    from esker.progress import Progress
    from esker.ship.content.making import Making

__all__ = ["single_file"]

_KIND = "file"
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_CONTENT = "content"
"""The name of the file in its store path."""
_SHOWN = 12
_STATED = "correct its `sha256` in [plugins.esker.image.prepare]"
_PINNED = "pin it again: esker image build --upgrade"


def single_file(making: Making, table: PreparedTable) -> Source:
    """Return the file that an entry names, pinned to its SHA-256; raises ImageError and HostError."""
    url = table.file or ""
    stated = f"sha256:{table.sha256}" if table.sha256 else None
    before = making.pin(_KIND, url)
    if before is None or not isinstance(before.size, int) or (stated and stated != before.hash):
        making.require_pin(f"`{url}`")
        known, path = _first(making, url, stated)
        size = os.path.getsize(f"{path}/{_CONTENT}")
        before = LockedInput(kind=_KIND, name=url, url=url, hash=known, size=size)
    locked = before
    if not _HASH.fullmatch(locked.hash):
        message = f"`{printable(locked.hash)}` in .flox/image.lock is not the hash of `{url}`"
        raise ImageError(message, hint="esker image build --upgrade")

    def files() -> list[PreparedFile]:
        return [PreparedFile("", f"{_again(making, url, locked.hash, _STATED if stated else _PINNED)}/{_CONTENT}")]

    digest = locked.hash.partition(":")[2]
    name = posixpath.basename(urlsplit(url).path) or "file"
    component = Component("", name, "", digest, "generic", {"download_url": url})
    return Source(
        locked,
        json.dumps([_KIND, locked.hash]),
        digest[:_SHOWN],
        files,
        lambda unit: [component._replace(unit=unit)],
    )


def _first(making: Making, url: str, stated: str | None) -> tuple[str, str]:
    """Return the hash of a file that is not locked, and its store path."""
    if stated is not None:
        return stated, _again(making, url, stated, _STATED, making.progress)
    with scratch("file") as directory, reporting(making.progress) as progress:
        progress.begin(f"Fetching {redact(url)}")
        path = f"{directory}/{_CONTENT}"
        download(url, path, largest=making.settings.largest_wheel, safe=True)
        found = _hash(path)
        kept = _built(making, found, lambda target: shutil.copyfile(path, target))
        progress.finish(f"{redact(url)}, {found}, for the image")
    return found, kept


def _again(making: Making, url: str, known: str, remedy: str, progress: Progress | None = None) -> str:
    """Return the store path of the file with this hash, which is fetched if it is not there.

    `remedy` is what to do if the file was meant to change.
    """

    def write(target: str) -> None:
        with reporting(progress) as listener:
            listener.begin(f"Fetching {redact(url)}")
            download(url, target, largest=making.settings.largest_wheel)
            found = _hash(target)
            if found != known:
                raise ImageError(
                    f"`{redact(url)}` gave a file with the hash {found}, and {known} is expected",
                    hint=f"do not use that file; if it was meant to change, {remedy}",
                )
            listener.finish(f"{redact(url)}, for the image")

    return _built(making, known, write)


def _built(making: Making, known: str, write: Callable[[str], object]) -> str:
    return making.store.build("file", f"file:{known}", lambda target: write(f"{target}/{_CONTENT}"))


def _hash(path: str) -> str:
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
