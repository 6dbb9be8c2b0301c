"""Temporary roots: they keep store paths for as long as something needs them, such as running services.

A temporary root is a file, `gcroots/temporary/<name>` in the store's state. It names the paths, and the host and the
boot in which they are needed. It also names the processes that need them, but only for people who look at the file. Its
holder writes the file before it relies on the paths, and removes it when done.

If the holder is killed, its root still counts until the next Esker command that ends what the holder left running, and
then removes the root. Until then, programs that the holder started may still run, perhaps as a user whose processes we
cannot see. No process outlives its boot, so a root from an earlier boot of this host is stale, and a collection removes
it. We know nothing about other hosts: their roots count.

The supervisor imports this module and may live for weeks, so nothing heavier than json is loaded here.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from esker.errors import StoreError
from esker.formats.untrusted import json_value
from esker.host import files, process_id, runtime_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DIRECTORY", "kept", "remove", "write"]

DIRECTORY = "gcroots/temporary"
"""The directory of the files, relative to the store's state."""


class _Collecting(Exception):
    """A collection holds the store at the moment."""


def write(store: str, name: str, paths: Iterable[str], processes: Iterable[tuple[int, int]]) -> bool:
    """Keep `paths` in the store whose root directory is `store`; replaces what the root `name` kept before.

    `name` is letters and digits. `processes` are pairs of a pid and a start time. Returns True if it wrote the root.
    While a collection holds the store, it returns False and writes nothing, because the collection may already have
    chosen what it deletes. A path may also have been collected earlier, so the caller must check afterwards that the
    paths still exist. Raises StoreError if the store cannot be written.
    """
    data = {
        "version": 1,
        "host": os.uname().nodename,
        "boot": process_id.boot_id(),
        "processes": list(processes),
        "paths": sorted(paths),
    }
    directory = _directory(store)
    try:
        # The same lock as in `Store.using`, but without waiting for it: `waiting` is called when it is not free.
        with files.locked(f"{_state(store)}/gc.lock", shared=True, waiting=_give_up, error=StoreError):
            with files.refused("make", directory, StoreError):
                files.make_directory(directory)
            files.write(f"{directory}/{name}", json.dumps(data, indent=1).encode() + b"\n", error=StoreError)
    except _Collecting:
        return False
    return True


def _give_up() -> None:
    raise _Collecting


def remove(store: str, name: str) -> None:
    """Remove the temporary root `name` if it exists, also one that its holder had not written to the end.

    `store` and `name` are untrusted: they may come from a file that somebody else has written. Only a file in a
    directory that belongs to this user alone is removed. Errors are ignored: a root that stays only keeps its paths
    for longer.
    """
    directory = _directory(store)
    if name.isalnum() and runtime_directory.is_private(directory):
        with suppress(OSError):
            os.unlink(f"{directory}/{name}")
        files.clear_temporary(f"{directory}/{name}")


def kept(store: str, *, remove_stale: bool) -> set[str]:
    """Return the paths (untrusted) that temporary roots keep; with `remove_stale`, stale roots are removed.

    Raises StoreError for a root that cannot be read, since it might keep any path.
    """
    directory = _directory(store)
    try:
        with files.refused("read", directory, StoreError):
            names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return set()
        raise
    paths: set[str] = set()
    for name in names:
        host, boot, rooted = _read(f"{directory}/{name}")
        if host == os.uname().nodename and boot != process_id.boot_id():
            if remove_stale:
                with files.refused("remove", f"{directory}/{name}", StoreError):
                    os.unlink(f"{directory}/{name}")
        else:
            paths.update(rooted)
    return paths


def _read(file: str) -> tuple[str, str, list[str]]:
    """Return the host, boot and paths that a temporary root names; no paths if the file no longer exists."""
    try:
        data = json_value(files.read(file, error=StoreError, remedy=_remedy(file)), has_paths=True)
        fields = data["host"], data["boot"], list(data["paths"])
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):  # its holder removed it after we listed the directory
            return "", "", []
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(file) from error
    host, boot, paths = fields
    if not all(isinstance(text, str) for text in (host, boot, *paths)):
        raise _damaged(file)
    return host, boot, paths


def _damaged(file: str) -> StoreError:
    return StoreError(f"the temporary root `{file}` is damaged", hint=_remedy(file))


def _remedy(file: str) -> str:
    return f"stop the services of your environments, then remove `{file}`"


def _directory(store: str) -> str:
    return f"{_state(store)}/{DIRECTORY}"


def _state(store: str) -> str:
    return f"{store}/var/esker"  # the same as `Store.state`; the supervisor does not load `Store`
