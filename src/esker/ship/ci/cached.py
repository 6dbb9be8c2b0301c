"""What a job keeps between runs: the store, by the hash of the lock; and what of it was there already."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import UsageError
from esker.formats import printable as printables
from esker.formats.counted import counted
from esker.lock.lock_files import lock_paths

if TYPE_CHECKING:
    from collections.abc import Collection

    from esker.declare.declaration import Declaration
    from esker.settings import Settings

__all__ = ["Kept", "kept", "summary"]

_FORM = "1"
"""The form of what is kept: another one is not restored."""
_MOST = 50
"""Names that a summary lists."""


class Kept(NamedTuple):
    """What a cache is asked for."""

    path: str
    """The directory to restore and to save."""
    key: str
    start: str
    """How a key begins that has most of the same, for when there is no such key."""


def kept(declaration: Declaration, settings: Settings) -> Kept:
    """Return what to keep of a project's environment; the key is another one when the lock is.

    Raises UsageError if the store's path is none that a cache could take.
    """
    path = settings.store_root
    if not path.isprintable() or any(sign in path for sign in "*?[]!~"):
        raise UsageError(f"the store cannot be kept in a cache at {path!a}", hint="name another one in ESKER_STORE")
    digest = hashlib.sha256()
    for name, lock in lock_paths(declaration).items():
        if os.path.isfile(lock):
            with open(lock, "rb") as file:
                digest.update(f"{name} ".encode() + hashlib.sha256(file.read()).digest())
    version = "{}.{}.{}".format(*sys.version_info)
    start = f"esker-{_FORM}-{settings.system}-{version}-"
    return Kept(path, f"{start}{digest.hexdigest()[:32]}", start)


def summary(name: str, before: Collection[str], after: Collection[str]) -> str:
    """Return a summary in Markdown of what an environment needed, from the store's paths before and after."""
    new = sorted(os.path.basename(path).partition("-")[2] for path in set(after) - set(before))
    kept = counted(len(set(after) & set(before)), "store path was", "store paths were")
    lines = [
        f"### Environment {_code(name)}",
        "",
        f"{kept} here, {counted(len(new), 'was', 'were')} made.",
    ]
    if new:
        more = [f"and {len(new) - _MOST} more"] if len(new) > _MOST else []
        lines += ["", *(f"- {each}" for each in [*map(_code, new[:_MOST]), *more])]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """Return a text as code of Markdown, in which it means nothing else."""
    return f"`{printables.printable(text).replace('`', chr(39)).replace(chr(10), ' ')}`"
