"""The record of a store path: one file that describes it. A path is valid if and only if it has a record.

The file gives paths in their logical form, `/nix/store/…`, so that it stays true when the whole store is moved.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed, StoreError
from esker.formats.nix import store_path
from esker.formats.untrusted import json_value
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PathInfo", "read", "staged"]


class PathInfo(NamedTuple):
    """The description of a valid path."""

    path: str
    """Physical: where the tree is on disk."""
    nar_hash: str
    """`sha256:` and hexadecimal digits; or `files-sha256:` and those of its listing's digest, if nobody read it."""
    nar_size: int
    """Bytes of the archive; or of all files, if there is a listing."""
    references: tuple[str, ...]
    """Physical store paths that this path needs, sorted; never the path itself."""
    registered_at: float
    """Seconds since the epoch."""
    built_from: str
    """`sha256:` and hexadecimal digits of the fingerprint."""


def read(file: str, path: str) -> PathInfo:
    """Read from `file` the record of the physical `path`; raises StoreError when it is damaged or missing."""
    directory = os.path.dirname(path)
    remedy = f"remove `{file}` and activate the environment again"
    try:
        data = json_value(files.read(file, error=StoreError, remedy=remedy))
        references = [store_path.parse(str(reference)) for reference in data["references"]]
        return PathInfo(
            path=path,
            nar_hash=str(data["narHash"]),
            nar_size=int(data["narSize"]),
            references=tuple(f"{directory}/{reference.file_name}" for reference in references),
            registered_at=float(data["registrationTime"]),
            built_from=str(data["builtFrom"]),
        )
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            hint = "activate the environment again to build it"
            raise StoreError(f"`{path}` is not valid: it has no record", hint=hint) from None
        raise
    except (ValueError, OverflowError, KeyError, TypeError, Malformed) as error:
        raise StoreError(f"the record `{file}` is damaged", hint=remedy) from error


@contextmanager
def staged(file: str, info: PathInfo) -> Iterator[None]:
    """Write `info` beside `file`, and rename it there after the block; that rename makes its path valid.

    It is the block's task to flush what was written to disk.
    """
    data = {
        "version": 1,
        "path": _logical(info.path),
        "narHash": info.nar_hash,
        "narSize": info.nar_size,
        "references": [_logical(reference) for reference in info.references],
        "registrationTime": info.registered_at,
        "builtFrom": info.built_from,
    }
    with files.staged(file, json.dumps(data, indent=1).encode() + b"\n", flush=False, error=StoreError):
        yield


def _logical(path: str) -> str:
    return f"{store_path.DIRECTORY}/{os.path.basename(path)}"
