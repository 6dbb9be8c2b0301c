"""The address of an environment in a git repository: `URL@REVISION#DIRECTORY`, as a person writes it.

The URL is one of https, ssh or file, git's short form `user@host:path`, or the path of a repository on this machine.
The revision is a branch, a tag or a commit, and the directory holds the `.flox`; both may be left out. Other transports
are refused: nobody can tell who answers for `http` and `git`, and git's `helper::address` runs a program of that name.
So is what git or ssh could take for an option, and what holds a password or a token, which would be written to a file.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from esker.formats.tables.reader import Refusal

__all__ = ["COMMIT", "FORMS", "Address", "commit", "directory", "is_local", "parse", "repository", "revision"]

_SCHEMES = ("https", "ssh", "file")
_HELPER = re.compile(r"[A-Za-z0-9+.-]+::")
_SHORT = re.compile(r"(?:(?P<user>[^@/:]*)@)?(?P<host>\[[^\]/]*\]|[^/:@]*):(?P<path>.*)", re.DOTALL)
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LONGEST = 250
_FORM = "write URL@REVISION, as in https://git.example/team/base.git@v1"
_DIRECTORY_FORM = "write it as in #environments/base"
FORMS = (_FORM, _DIRECTORY_FORM)
"""Advice for a part that is written with the others in one text."""


class Address(NamedTuple):
    """Where an environment is, each part checked."""

    repository: str
    revision: str | None = None
    directory: str | None = None


def parse(text: str) -> Address:
    """Return the parts of an address; raises Refusal.

    >>> parse("https://git.example/team/base.git@v1#tools")
    Address(repository='https://git.example/team/base.git', revision='v1', directory='tools')
    >>> parse("git@git.example:team/base.git").revision is None
    True
    """
    text, _, inner = text.partition("#")
    start = text.find("/", text.find("://") + 3) if "://" in text else 0
    if "://" not in text and (short := _SHORT.fullmatch(text)):
        start = short.start("path")
    at = text.rfind("@", start) if start >= 0 else -1
    place, wanted = (text[:at], text[at + 1 :]) if at >= 0 else (text, None)
    return Address(
        repository(place),
        None if wanted is None else revision(wanted),
        directory(inner) if inner else None,
    )


def is_local(address: str) -> bool:
    """Return whether the address of a repository is a path on this machine."""
    return "://" not in address and _SHORT.fullmatch(address) is None


def repository(text: str) -> str:
    """Return the address of a repository; raises Refusal for one that Esker does not pass to git."""
    if not text or not text.isprintable() or text != text.strip():
        raise Refusal(f"`{text}` is not the address of a repository", _FORM)
    if text.startswith("-"):
        raise Refusal(f"`{text}` looks like an option of git, not like the address of a repository", _FORM)
    if _HELPER.match(text):
        raise Refusal(f"`{text}` would have git run a program of that name", "use https, ssh or a path")
    if "://" in text:
        _check_url(text)
    elif short := _SHORT.fullmatch(text):
        _check_words(text, short["user"], short["host"], short["path"])
        if not short["host"]:
            raise Refusal(f"`{text}` names no machine", _FORM)
    return text


def _check_url(text: str) -> None:
    scheme = text.partition("://")[0]
    if scheme not in _SCHEMES:
        hint = f"use {', '.join(_SCHEMES[:-1])} or the path of a repository"
        raise Refusal(f"Esker fetches nothing from `{scheme}` addresses", hint)
    try:
        parts = urlsplit(text)
        user, password, host = parts.username, parts.password, parts.hostname
    except ValueError:
        raise Refusal(f"`{text}` is not an address", _FORM) from None
    if password is not None or (user is not None and scheme == "https"):
        raise Refusal(
            "the address of a repository may not hold a password or a token, because it is written to a file",
            "leave it out, and let git ask its credential helper, or use ssh",
        )
    if scheme == "file" and parts.netloc not in {"", "localhost"}:
        raise Refusal(f"`{text}` names another machine", "write file:///path/of/the/repository")
    if scheme != "file" and not host:
        raise Refusal(f"`{text}` names no machine", _FORM)
    _check_words(text, user, host, parts.path.lstrip("/"))


def _check_words(text: str, *words: str | None) -> None:
    """Refuse what ssh or a program on the other machine would take for an option."""
    if any(word is not None and word.startswith("-") for word in words):
        raise Refusal(f"a part of `{text}` looks like an option", "a name may not begin with `-`")


def revision(text: str) -> str:
    """Return the name of a branch, a tag or a commit; raises Refusal for what is none, such as a range or a refspec."""
    if not _REVISION.fullmatch(text) or ".." in text or "//" in text or len(text) > _LONGEST:
        raise Refusal(f"`{text}` is not the name of a branch, a tag or a commit", _FORM)
    if text.endswith(("/", ".", ".lock")):
        raise Refusal(f"`{text}` is not the name of a branch, a tag or a commit", _FORM)
    return text


def directory(text: str) -> str:
    """Return the path of a directory within a repository; raises Refusal for one that could lie elsewhere."""
    names = text.split("/")
    if not text.isprintable() or any(name in {"", ".", ".."} or name.lower() == ".git" for name in names):
        raise Refusal(f"`{text}` is not a directory within a repository", _DIRECTORY_FORM)
    return text


def commit(text: str) -> str:
    """Return the hash of a commit; raises Refusal."""
    if not COMMIT.fullmatch(text):
        raise Refusal(f"`{text}` is not the hash of a commit", "add the environment again: esker include add URL@REV")
    return text
