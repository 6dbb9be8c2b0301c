"""`[plugins.esker.image.prepare]`: what an image takes from addresses, by its place in the image.

An entry is one of four: a git tree, an npm package alone, the packages of an npm lock, or a file. What it names need
not be exact, because `.flox/image.lock` pins it: a branch to a commit, a tag of npm to a version, a file to its hash.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from esker.declare import image_notations
from esker.formats import git_address
from esker.formats.npm import names
from esker.formats.tables.reader import Checked, Fault, Parsed, Refusal

__all__ = ["KINDS", "Prepared", "PreparedTable", "separate_places"]

KINDS = ("git", "npm", "npm-lock", "file")
_BELONGING = {"rev": "git", "directory": "git", "sha256": "file", "mode": "file"}
"""Keys that belong to one kind."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_FORM = 'write it as in "https://files.example/tool"; for a file of this machine, put it into git, and use `files`'
_MODE = re.compile(r"0?[0-7]{3}")
_OWNER = re.compile(r"(?:[a-z_][a-z0-9_-]{0,31}|\d{1,9})(?::\d{1,9})?")
_SECRET = re.compile(r"(?:^|[-_])(?:auth|credential|key|passw(?:or)?d|sig|signature|secret|token)s?$", re.IGNORECASE)
"""Names in the query of an address whose values are secrets."""


def _alone(parse: Callable[[str], str], hint: str) -> Callable[[str], str]:
    """Return the parser of a key that has one part of an address: its advice is for that part."""

    def parsed(text: str) -> str:
        try:
            return parse(text)
        except Refusal as refusal:
            advice = hint if refusal.hint in git_address.FORMS else refusal.hint
            raise Refusal(refusal.message, advice) from refusal

    return parsed


_REPOSITORY = _alone(git_address.repository, 'write it as in "https://git.example/team/tools.git"')
_REVISION = _alone(git_address.revision, 'write a branch, a tag or the hash of a commit, as in "main" or "v1"')
_DIRECTORY = _alone(git_address.directory, 'write it as in "skills/base"')


def _file_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        credentials, host = "@" in parts.netloc, parts.hostname
    except ValueError:
        credentials, host = False, None
    if not text.isprintable() or not host or parts.scheme not in {"https", "http"}:
        raise Refusal(f"`{text}` is not the address of a file", _FILE_FORM)
    if credentials or any(_SECRET.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise Refusal(
            "the address of a file may not hold a password or a token, because it is written to a file",
            "take it from an address that needs none, or put the file into git and name it in `files`",
        )
    return text


def _sha256(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise Refusal(f"`{text}` is not a SHA-256", "write its 64 hexadecimal digits, as sha256sum prints them")
    return text


def _mode(text: str) -> int:
    """Return the permissions of a file.

    >>> oct(_mode("0755"))
    '0o755'
    """
    if not _MODE.fullmatch(text):
        hint = 'write three octal digits, such as "0755"; no program in an image gets rights of another user'
        raise Refusal(f"`{text}` is not a mode of a file", hint)
    return int(text, 8)


def _owner(text: str) -> str:
    if not _OWNER.fullmatch(text):
        raise Refusal(f"`{text}` is not an owner", 'write the user of the image or numbers, such as "1000:1000"')
    return text


def _inner(text: str) -> str:
    """Return the path of a file within what is prepared.

    >>> _inner("./bin/cli.js")
    'bin/cli.js'
    """
    path = posixpath.normpath(text) if text else "."
    if text.startswith("/") or path in {".", ".."} or path.startswith("../") or not text.isprintable():
        raise Refusal(f"`{text}` is not a path within what is prepared", 'write it as in "bin/cli.js"')
    return path


def _fits(_: PreparedTable, written: Mapping[str, Any]) -> Iterator[Fault]:
    """Exactly one kind is named, and no key of another kind."""
    kinds = [kind for kind in KINDS if kind in written]
    if len(kinds) != 1:
        message = f"two things are named, `{kinds[0]}` and `{kinds[1]}`" if kinds else "nothing is named to prepare"
        yield Fault((), message, f"write one of {', '.join(f'`{kind}`' for kind in KINDS)}")
        return
    for key, kind in _BELONGING.items():
        if key in written and kind != kinds[0]:
            yield Fault((key,), f"`{key}` belongs to `{kind}`, and this is `{kinds[0]}`", "take it out")
    if kinds[0] == "file" and written.get("links"):
        yield Fault(("links",), "a file alone has nothing within it to link", "name the place that the file shall have")


class PreparedTable(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is fetched for one place of an image."""

    git: Annotated[str | None, Parsed(_REPOSITORY)] = None
    """The address of a repository; its tree is put there as it is committed."""
    rev: Annotated[str | None, Parsed(_REVISION)] = None
    """A branch, a tag or a commit; None means the repository's own branch."""
    directory: Annotated[str | None, Parsed(_DIRECTORY)] = None
    """The directory of the repository that is taken; None means all of it."""
    npm: Annotated[str | None, Parsed(names.specification)] = None
    """An npm package without its dependencies, as `NAME@VERSION` or `NAME@TAG`."""
    npm_lock: Annotated[str | None, Parsed(image_notations.tracked)] = None
    """A `package-lock.json` of the project, whose packages are put into `node_modules`."""
    file: Annotated[str | None, Parsed(_file_url)] = None
    """The address of a file."""
    sha256: Annotated[str | None, Parsed(_sha256)] = None
    mode: Annotated[int | None, Parsed(_mode, str, '"0755"')] = None
    """Of the file; None means 0644."""
    owner: Annotated[str | None, Parsed(_owner)] = None
    """Of all that is prepared; None means root."""
    links: Mapping[
        Annotated[str, Parsed(image_notations.image_place)], Annotated[str, Parsed(_inner, str, '"bin/cli.js"')]
    ] = {}
    """Links to what is prepared, by their places in the image."""

    @property
    def address(self) -> str:
        """The git tree as `URL@REVISION#DIRECTORY`."""
        inner = f"#{self.directory}" if self.directory else ""
        return f"{self.git}@{self.rev or 'HEAD'}{inner}"

    def claimed(self, place: str) -> str:
        """Return the path in the image at and below which everything is this entry's."""
        return f"{place}/node_modules" if self.npm_lock is not None else place


def separate_places(prepared: Mapping[str, PreparedTable], _written: object) -> Iterator[Fault]:
    """No path belongs to two entries, and no link lies where one does."""
    claims: list[tuple[str, str, tuple[str, ...]]]
    claims = [(table.claimed(place), place, (place,)) for place, table in prepared.items()]
    claims += [(link, place, (place, "links")) for place, table in prepared.items() for link in table.links]
    claims.sort()
    for number, (path, place, _) in enumerate(claims):
        for other, _, where in claims[number + 1 :]:
            if other == path or other.startswith(f"{path}/"):
                message = f"`{other}` lies at or below `{path}`, which `{place}` has already"
                yield Fault(where, message, "choose another place")


Prepared = Annotated[PreparedTable, Checked(_fits)]
"""The type of an entry, with the rules across its keys."""
