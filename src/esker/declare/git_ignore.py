"""The project's `.gitignore`: one file of Esker's lies beside `.flox`, where `.flox/.gitignore` does not apply."""

from __future__ import annotations

import os

__all__ = ["ignore"]


def ignore(project: str, name: str) -> bool:
    """Add `name` to the `.gitignore` of a project in a git repository; return False if nothing had to be changed.

    A line that a person has written for it stays, also one that says not to ignore it. Raises OSError.
    """
    path = f"{project}/.gitignore"
    if not _is_in_git(project) or os.path.islink(path):  # git reads no link of this name
        return False
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    with open(descriptor, "r+b", buffering=0) as file:
        content = file.read()
        entries = {line.strip().lstrip(b"!").lstrip(b"/") for line in content.splitlines()}
        if os.fsencode(name) in entries:
            return False
        separator = b"\n" if content and not content.endswith(b"\n") else b""
        file.write(separator + os.fsencode(name) + b"\n")
    return True


def _is_in_git(directory: str) -> bool:
    while not os.path.lexists(f"{directory}/.git"):  # a directory, or a file in a worktree
        above = os.path.dirname(directory)
        if above == directory:
            return False
        directory = above
    return True
