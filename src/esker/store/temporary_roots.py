"""Temporary roots: they keep store paths for as long as somebody needs them, such as running services.

A temporary root is a file, `gcroots/temporary/<name>` in the store's state. It holds the paths, the processes that need
them, and the boot and the host of these. Its holder writes it before it relies on the paths, and removes it when done.

What a killed holder has left counts until somebody puts things in order and removes it: what the holder started may go
on running, as a user whose processes this one cannot see. No process outlives its boot, so a root of another boot of
this host is stale, and a collection removes it. Of another host nothing is known here: its roots count.

A supervisor imports this module and may live for weeks: it loads nothing heavier than json.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from esker.errors import HostError, StoreError
from esker.host import files, process_id, runtime_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DIRECTORY", "kept", "remove", "write"]

DIRECTORY = "gcroots/temporary"
"""Where the files lie, below the store's state."""


class _Collecting(Exception):
    """A collection holds the store."""


def write(store: str, name: str, paths: Iterable[str], processes: Iterable[tuple[int, int]]) -> bool:
    """Keep `paths` in the store whose root directory is `store`, in place of what `name` kept there before.

    `processes`, each a pid and a start time, are those that need the paths. Returns False, and writes nothing, while a
    collection holds the store: it may have chosen already what it deletes. A path may have been collected before; that
    it is still there is for the caller to see, afterwards.
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
        # The lock is `Store.using`'s, without its wait.
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
    """Remove the temporary root `name` if it is there; both may come from a file that somebody else has written.

    Nothing is removed but a file of ours in a directory that is ours alone, and refusals are passed over: what stays
    keeps its paths.
    """
    directory = _directory(store)
    if name.isalnum() and runtime_directory.is_ours(directory):
        with suppress(OSError):
            os.unlink(f"{directory}/{name}")


def kept(store: str, *, forget: bool) -> set[str]:
    """Return the paths (untrusted) that temporary roots keep; with `forget`, remove the roots that are stale.

    Raises StoreError for a root that cannot be read: it might keep anything.
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
            if forget:
                with files.refused("remove", f"{directory}/{name}", StoreError):
                    os.unlink(f"{directory}/{name}")
        else:
            paths.update(rooted)
    return paths


def _read(file: str) -> tuple[str, str, list[str]]:
    """Return the host, the boot and the paths of the temporary root in `file`; no paths when it is gone."""
    try:
        data = json.loads(files.read(file))
        fields = data["host"], data["boot"], list(data["paths"])
    except HostError as error:
        if isinstance(error.__cause__, FileNotFoundError):  # its holder has removed it since it was listed
            return "", "", []
        raise StoreError(error.message, hint=error.hint) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(file) from error
    host, boot, paths = fields
    if not all(isinstance(text, str) for text in (host, boot, *paths)):
        raise _damaged(file)
    return host, boot, paths


def _damaged(file: str) -> StoreError:
    hint = f"stop the services of your environments, then remove `{file}`"
    return StoreError(f"the temporary root `{file}` is damaged", hint=hint)


def _directory(store: str) -> str:
    return f"{_state(store)}/{DIRECTORY}"


def _state(store: str) -> str:
    return f"{store}/var/esker"  # as `Store.state`, which a supervisor does not load
