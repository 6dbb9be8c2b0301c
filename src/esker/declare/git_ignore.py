"""The project's `.gitignore`: one file of Esker's lies beside `.flox`, where `.flox/.gitignore` does not apply."""

from __future__ import annotations

import os
import stat

from esker.declare import project_directory

__all__ = ["ignore"]

_FILE = ".gitignore"


def ignore(project: str, name: str) -> bool:
    """Add `name` to the `.gitignore` of a project in a git repository; return False if nothing had to be changed.

    A line that a person has written for it stays, also one that says not to ignore it. Raises OSError.
    """
    if not _is_in_git(project):
        return False
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with project_directory.opened_project(project) as directory:
        try:
            if stat.S_ISLNK(os.lstat(_FILE, dir_fd=directory).st_mode):  # git reads no link of this name
                return False
            descriptor = os.open(_FILE, flags, dir_fd=directory)
        except FileNotFoundError:
            descriptor = os.open(_FILE, flags | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=directory)
            project_directory.give(descriptor, os.fstat(directory))
    with open(descriptor, "r+b", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or (os.geteuid() == 0 and status.st_nlink > 1):
            return False  # root writes to no file of a user that may be another file of root's by a second name
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
