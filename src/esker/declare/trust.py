"""Whose projects may run code here: the user's own and root's; those of other users only after `esker trust`.

A project is identified by its real path and the inode of its `.flox`, so that a new directory at the same path counts
as a new project. Every activation runs this module, so at its top it imports only `os`. The list of trusted projects is
read only for a project of another user.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from esker.settings import Settings

__all__ = ["check", "trust"]

_ROOT = 0
_KIND, _LINK = 0o170000, 0o120000  # the mask of a file's kind, and the kind of a symbolic link


def check(project: str, settings: Settings) -> None:
    """Raise NotTrusted unless `project` (links resolved) may run code for the user of these settings.

    Its `.flox` must belong to that user, to the user who called sudo or to root, or the project must have been trusted.
    If `.flox` is a link, the owners of both the link and its target count.
    """
    status = os.lstat(f"{project}/.flox")
    # The owner of a link counts first: a stranger's link to our own environment would pass their project off as ours.
    if status.st_mode & _KIND == _LINK and _is_friend(status.st_uid, settings):
        status = os.stat(f"{project}/.flox")
    if _is_friend(status.st_uid, settings) or settings.trusts_everything:
        return
    if _entry(project) in _entries(_list_path(settings), settings):
        return
    from esker.errors import NotTrusted

    raise NotTrusted(
        f"`{project}` belongs to {_user(status.st_uid)}, and its code has not been trusted",
        hint=f"read its .flox/env/manifest.toml, then: esker trust {project}",
    )


def trust(directory: str, settings: Settings) -> str:
    """Let the project in `directory` run code from now on, and return its path."""
    import json

    from esker.declare.discover import find
    from esker.host import files

    project = find(directory, explicit=True)
    path = _list_path(settings)
    private = os.path.dirname(path)
    with files.refused("write", path):
        files.make_directory(private)
    with files.locked(f"{private}/trusted.lock"):
        others = [entry for entry in _entries(path, settings) if entry["path"] != project]
        record = {"version": 1, "projects": [*others, _entry(project)]}
        files.write(path, json.dumps(record, indent=2).encode() + b"\n", mode=0o600)
    return project


def _is_friend(owner: int, settings: Settings) -> bool:
    return owner in {settings.uid, _ROOT} or str(owner) == settings.sudo_uid


def _list_path(settings: Settings) -> str:
    return f"{settings.config_home}/esker/trusted.json"


def _entry(project: str) -> dict[str, Any]:
    return {"path": project, "inode": os.stat(f"{project}/.flox").st_ino}


def _entries(path: str, settings: Settings) -> list[dict[str, Any]]:
    """Return the entries of the list at `path`; a list that is missing, or that a stranger owns, counts as empty."""
    from esker.errors import InvalidFile, Problem
    from esker.host import files, state_file

    try:
        owner = os.stat(path).st_uid
    except OSError:
        return []
    if not _is_friend(owner, settings):
        return []
    try:
        with files.refused("read", path):
            projects = state_file.load(path, owners=[owner])["projects"]
        return [{"path": str(entry["path"]), "inode": int(entry["inode"])} for entry in projects]
    except (ValueError, KeyError, TypeError):
        problem = Problem("not a list of trusted projects", hint="remove the file, and trust your projects again")
        raise InvalidFile(path, [problem]) from None


def _user(uid: int) -> str:
    import pwd

    try:
        return f"user `{pwd.getpwuid(uid).pw_name}`"
    except KeyError:
        return f"uid {uid}"
