"""Whose projects may run code here: the user's own and root's; those of other users only after `esker trust`.

What counts is not only who owns a project, but who could change it or put another one in its place: the owners of
`.flox`, of the files in it that carry code, and of every directory above. If all of them are friends, and other users
may not write there, then nobody else can change what a path leads to while we use it. So paths can be handed to hooks,
services and uv. `docs/decisions/0021-who-can-exchange-a-project.md` says what this promises.

A trusted project is identified by its real path and the inode of its `.flox`, so that a new directory at the same path
counts as a new project. Every activation runs this module, so at its top it imports only `os`. The list of trusted
projects is read only for a project that others can change.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from esker.settings import Settings

__all__ = ["check", "check_contents", "check_files", "trust"]

_ROOT = 0
_KIND, _LINK = 0o170000, 0o120000  # the mask of a file's kind, and the kind of a symbolic link
_STICKY, _WRITABLE_BY_OTHERS = 0o1000, 0o002
_CODE = ("env", "run", "env.json", "env/manifest.toml", "env/manifest.lock", "pylock.toml")
"""What decides, below `.flox`, which code runs."""


def check(project: str, settings: Settings, declaration: str = ".flox") -> None:
    """Raise NotTrusted unless only friends can change what lies at `project` (links resolved) and its `.flox`.

    Friends are the user of these settings, the user who called sudo, and root. A project that has been trusted passes
    too. The contents of `.flox` are looked at by `check_contents`. Without `.flox`, the `declaration` is a file.
    """
    friends = _friends(settings)
    with_stranger = _reachable_by_stranger(f"{project}/{declaration}", friends)
    if with_stranger:
        _refuse(project, settings, *with_stranger)


def check_files(project: str, settings: Settings, declaration: str, others: Iterable[str]) -> None:
    """Check as `check` does a project without `.flox`, and also the files `others` that decide which code runs."""
    check(project, settings, declaration)
    friends = _friends(settings)
    for path in others:
        if os.path.lexists(path) and (with_stranger := _reachable_by_stranger(path, friends)):
            _refuse(project, settings, *with_stranger)


def check_contents(project: str, settings: Settings, others: Iterable[str] = ()) -> None:
    """Check as `check` does, and also what decides below `.flox` which code runs, and the files `others`.

    An activation needs this only when it makes a plan: afterwards, only a friend can undo what was found here.
    """
    check(project, settings)
    friends, dot_flox = _friends(settings), os.path.realpath(f"{project}/.flox")
    for path in (*(f"{dot_flox}/{name}" for name in _CODE), *others):
        if os.path.lexists(path) and (with_stranger := _reachable_by_stranger(path, friends)):
            _refuse(project, settings, *with_stranger)


def _reachable_by_stranger(path: str, friends: set[int]) -> tuple[str, os.stat_result] | None:
    """Return the topmost part of `path` that a stranger can change or replace, and its status; None if there is none.

    Only the last part may be a link. A friend's link counts as what it leads to, if that exists.
    """
    # We go down from the root directory, so that each look goes only through directories which are safe already. In a
    # user namespace without root, `/` belongs to the uid that stands for every user outside of it.
    above = {*friends, os.lstat("/").st_uid}
    part = ""
    names = path.split("/")[1:-1]
    for name in names:
        part = f"{part}/{name}"
        status = os.lstat(part)
        # In a sticky directory like /tmp, others cannot rename or remove what is ours.
        open_to_others = status.st_mode & _WRITABLE_BY_OTHERS and not status.st_mode & _STICKY
        if open_to_others or status.st_uid not in above or status.st_mode & _KIND == _LINK:
            return part, status
    status = os.lstat(path)
    if status.st_mode & _KIND != _LINK:
        return (path, status) if _is_strangers(status, friends) else None
    # The owner of a link counts first: a stranger's link to our own environment would pass their project off as ours.
    if status.st_uid not in friends:
        return path, status
    target = os.path.realpath(path)
    return _reachable_by_stranger(target, friends) if target != path and os.path.exists(target) else None


def _is_strangers(status: os.stat_result, friends: set[int]) -> bool:
    return status.st_uid not in friends or bool(status.st_mode & _WRITABLE_BY_OTHERS)


def _refuse(project: str, settings: Settings, path: str, status: os.stat_result) -> None:
    """Raise NotTrusted because of what lies at `path`, unless the project is trusted all the same."""
    if settings.trusts_everything or _entry(project) in _entries(_list_path(settings), settings):
        return
    import shlex

    from esker.errors import NotTrusted
    from esker.host.accounts import described

    code = f"what is in `{project}`"
    if os.path.lexists(f"{project}/.flox"):
        code = "its `.flox/env/manifest.toml`"
    elif path.startswith(f"{project}/"):
        code = f"its `{path.removeprefix(project)[1:]}`"
    mend, owner = f"read {code}, then: esker trust {shlex.quote(project)}", status.st_uid
    if status.st_mode & _KIND == _LINK and path != f"{project}/.flox":
        message = f"`{path}` has become a link, which may lead to the code of somebody else"
    elif path == f"{project}/.flox" and owner not in _friends(settings):
        message = f"`{project}` belongs to {described(owner)}, and its code has not been trusted"
    elif owner not in _friends(settings):
        message = f"`{path}` belongs to {described(owner)}, who can change the code of `{project}`"
    else:
        message = f"every user can write to `{path}`, and so change the code of `{project}`"
        mend = f"close it (chmod o-w {shlex.quote(path)}), or {mend}"
    raise NotTrusted(message, hint=mend)


def trust(directory: str, settings: Settings) -> str:
    """Let the project in `directory` run code from now on, and return its path."""
    import json

    from esker.declare.discover import OTHER_DECLARATIONS, find_marked
    from esker.host import files

    project, _ = find_marked(directory, (".flox/", *OTHER_DECLARATIONS), explicit=True)
    path = _list_path(settings)
    private = os.path.dirname(path)
    with files.refused("write", path):
        files.make_directory(private)
    with files.locked(f"{private}/trusted.lock"):
        others = [entry for entry in _entries(path, settings) if entry["path"] != project]
        record = {"version": 1, "projects": [*others, _entry(project)]}
        files.write(path, json.dumps(record, indent=2).encode() + b"\n", mode=0o600)
    return project


def _friends(settings: Settings) -> set[int]:
    sudo = settings.sudo_uid
    return {settings.uid, _ROOT, int(sudo)} if sudo and sudo.isdecimal() else {settings.uid, _ROOT}


def _list_path(settings: Settings) -> str:
    return f"{settings.config_home}/esker/trusted.json"


def _entry(project: str) -> dict[str, Any]:
    dot_flox = f"{project}/.flox"
    # Without one, the directory itself: editors put a new file in the place of a flake.nix.
    return {"path": project, "inode": os.stat(dot_flox if os.path.exists(dot_flox) else project).st_ino}


def _entries(path: str, settings: Settings) -> list[dict[str, Any]]:
    """Return the entries of the list at `path`; a list that is missing, or that a stranger owns, counts as empty."""
    from esker.errors import InvalidFile, Problem
    from esker.host import files, state_file

    try:
        owner = os.stat(path).st_uid
    except OSError:
        return []
    if owner not in _friends(settings):
        return []
    try:
        with files.refused("read", path):
            projects = state_file.load(path, owners=[owner])["projects"]
        return [{"path": str(entry["path"]), "inode": int(entry["inode"])} for entry in projects]
    except (ValueError, KeyError, TypeError):
        problem = Problem("not a list of trusted projects", hint="remove the file, and trust your projects again")
        raise InvalidFile(path, [problem]) from None
