"""Files that Esker writes and people add to: their marked places, and whether the rest is as it was written.

A place for additions stands between two lines, `# esker: yours, NAME` and `# esker: end`. What is between them stays
when the file is written again. The first line of a file has a digest of everything else, so that a change outside the
places is noticed, and the file of an earlier Esker, which may look quite different, is known as such.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from esker.errors import NotEditable

__all__ = ["Parts", "finished", "has_places", "is_as_written", "is_ours", "parts", "place", "rewritten"]

_BEGIN = re.compile(r"[ ]*# esker: yours, (?P<name>[a-z-]+)")
_END = re.compile(r"[ ]*# esker: end")
_HEAD = re.compile(r"# Written by `(?P<command>esker ci [a-z]+)`\. Digest: (?P<digest>[0-9a-f]{16})")


class Parts(NamedTuple):
    """What a file consists of."""

    digest: str | None
    """The digest that its first line has; None if Esker has not written it."""
    frame: str
    """Everything but the first line and what stands in the places."""
    additions: dict[str, list[str]]
    """By place: the lines there."""


def place(name: str, indent: int) -> list[str]:
    """Return the lines of an empty place for additions."""
    return [f"{' ' * indent}# esker: yours, {name}", f"{' ' * indent}# esker: end"]


def finished(lines: list[str], command: str) -> str:
    """Return the text of a file: its lines under the first one, with the digest."""
    frame = "".join(f"{line}\n" for line in lines)
    return f"# Written by `{command}`. Digest: {_digest(frame)}\n{frame}"


def parts(text: str, path: str = "") -> Parts:
    """Take a file apart; raises NotEditable if a place has no end or is there twice."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")  # other line ends of Unicode stay in their line
    head = _HEAD.fullmatch(lines[0])
    frame: list[str] = []
    additions: dict[str, list[str]] = {}
    name, since = None, 0
    for number, line in enumerate(lines[1:] if head else lines, 2 if head else 1):
        begin = _BEGIN.fullmatch(line)
        if begin and name is not None:
            raise _without_end(path, since, name)
        if begin and begin["name"] in additions:
            message = f"the place `{begin['name']}` is there a second time"
            raise NotEditable(message, hint="remove one of the two", place=f"{path}:{number}")
        if begin:
            name, since = begin["name"], number
            additions[name] = []
        elif name is not None and not _END.fullmatch(line):
            additions[name].append(line)
            continue
        else:
            name = None
        frame.append(line)
    if name is not None:
        raise _without_end(path, since, name)
    return Parts(head["digest"] if head else None, "".join(f"{line}\n" for line in frame), additions)


def is_ours(text: str) -> bool:
    """Return whether Esker has written a file, whatever has become of it."""
    return _HEAD.fullmatch((text.splitlines() or [""])[0]) is not None


def has_places(text: str) -> bool:
    """Return whether people can add something to a file."""
    return bool(parts(text).additions)


def is_as_written(text: str) -> bool:
    """Return whether a file is as Esker has written it, but for what stands in the places."""
    before = parts(text)
    return before.digest == _digest(before.frame)


def rewritten(new: str, old: str, path: str, *, force: bool = False, places: str = "") -> str:
    """Return the new text of a file with what people have added to the old one.

    `places` is the file beside it that has places, which advice names for a file without them.
    Raises NotEditable if that would lose something: another program or a person has written the old file, somebody
    has changed it outside of the places, or the new one lacks a place that is used. With `force`, only the last counts.
    """
    before = parts(old, path)
    if not force:
        if before.digest is None:
            hint = "move it away, or write over it: --force"
            raise NotEditable(f"`{path}` is there, and Esker has not written it", hint=hint)
        if before.digest != _digest(before.frame):
            how = "outside of the places for that" if has_places(new) else "and has no place for that"
            where = "to a place" if has_places(new) or not places else f"to a place of `{places}`"
            hint = (
                f"move the change {where} between `# esker: yours` and `# esker: end`; or see the difference with "
                "--check, and throw it away with --force"
            )
            raise NotEditable(f"`{path}` has been changed {how}", hint=hint)
    lines, left = [], {name: added for name, added in before.additions.items() if added}
    for line in new.splitlines():
        lines.append(line)
        begin = _BEGIN.fullmatch(line)
        if begin:
            lines += left.pop(begin["name"], [])
    if left:
        names = ", ".join(f"`{name}`" for name in left)
        raise NotEditable(
            f"`{path}` has additions in {names}, a place that this Esker does not write any more",
            hint="move these lines to another place of the file",
        )
    return "".join(f"{line}\n" for line in lines)


def _digest(frame: str) -> str:
    return hashlib.sha256(frame.encode()).hexdigest()[:16]


def _without_end(path: str, line: int, name: str) -> NotEditable:
    return NotEditable(
        f"the place `{name}` begins here and has no end",
        hint="put `# esker: end` on a line of its own under what you have added there",
        place=f"{path}:{line}",
    )
