"""Finding the `esker` command for the tests of a project.

The first of these that exists: what ESKER_COMMAND names, as an activation sets it; what Esker has written down in the
project when it last prepared it; `esker` beside this Python; `esker` on PATH; the Esker that this Python can import.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
from importlib.util import find_spec

from esker_pytest.errors import SessionEnded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["find_command"]

_RECORD = "cache/esker/command"
_LONGEST = 1 << 14
_WRITABLE_BY_OTHERS = 0o002
_OPEN_TO_OTHERS = 0o077
_OLDEST = (3, 11)
"""The oldest Python that Esker itself runs on."""


def find_command(root: str, named: str) -> list[str]:
    """Return the first words of the `esker` command for the tests below `root`, whose project may be `named`.

    Raises SessionEnded if there is none.
    """
    for words in _candidates(root, named):
        if words and all(os.path.exists(word) for word in words if os.path.isabs(word)):
            return words
    hint = "put `esker` on PATH, or name it in ESKER_COMMAND"
    raise SessionEnded(
        {"code": "host", "message": "the tests need Esker, and no `esker` command is here", "hint": hint}
    )


def _candidates(root: str, named: str) -> Iterator[list[str]]:
    yield _words(os.environ.get("ESKER_COMMAND"))
    project = _project(os.path.realpath(os.path.join(root, named)), explicit=bool(named))
    if project is not None:
        yield _words(_own_text(f"{os.path.realpath(f'{project}/.flox')}/{_RECORD}"))
    beside = os.path.dirname(sys.executable) if sys.executable else None
    for path in (beside, os.environ.get("PATH")):
        program = shutil.which("esker", path=path) if path else None
        yield [os.path.abspath(program)] if program else []
    yield _importable()


def _words(text: str | None) -> list[str]:
    """Return the words of a command as a shell reads them; none if they are not the words of a program by its path."""
    try:
        words = shlex.split(text or "")
    except ValueError:
        return []
    return words if words and os.path.isabs(words[0]) else []


def _importable() -> list[str]:
    """Return how the Esker that this Python can import is called, if it can."""
    spec = find_spec("esker") if sys.executable and sys.version_info >= _OLDEST else None
    if spec is None or not spec.origin:
        return []
    return [sys.executable, "-EPS", f"{os.path.dirname(os.path.abspath(spec.origin))}/__main__.py"]


def _project(start: str, *, explicit: bool) -> str | None:
    """Return the nearest directory with a `.flox`, looked for as `esker` does: upwards within the repository."""
    nearest = None
    directory = start
    while True:
        if nearest is None and os.path.isdir(f"{directory}/.flox"):
            nearest = directory
        if nearest == start or explicit or os.path.lexists(f"{directory}/.git"):
            return nearest
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


def _own_text(path: str) -> str | None:
    """Return the text of a file (absolute, links resolved) that nobody but this user and root could have put there.

    Whoever could also chooses the project's hook, which an activation runs. Nothing else may choose what we start: so
    this asks what Esker asks of a project that it trusts. The file's mode is one that no checkout gives.
    """
    friends = {os.geteuid(), 0}
    try:
        # In a user namespace without root, `/` belongs to the uid that stands for every user outside of it.
        above = {*friends, os.lstat("/").st_uid}
        part = ""
        for name in path.split("/")[1:-1]:
            part = f"{part}/{name}"
            status = os.lstat(part)
            is_open = status.st_mode & _WRITABLE_BY_OTHERS and not status.st_mode & stat.S_ISVTX
            if is_open or status.st_uid not in above or not stat.S_ISDIR(status.st_mode):
                return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid not in friends or status.st_mode & _OPEN_TO_OTHERS:
                return None
            return os.fsdecode(file.read(_LONGEST))
    except (OSError, ValueError):
        return None
