"""Removes credentials from URLs before they are shown or stored; the URL of an index may contain some."""

from __future__ import annotations

import re

__all__ = ["redact", "redact_repository"]

# It begins at `://`, because a search for the schemes before it would take quadratic time.
_CREDENTIALS = re.compile(r"(?<=[A-Za-z0-9+.-])://[^/\s]*@")
_ACCOUNT = re.compile(r"(?P<scheme>(?:git\+)?ssh://)(?P<user>[^/\s:@]*)(?::[^/\s@]*)?@")


def redact(text: str) -> str:
    """Return `text` without the user and password of every URL in it.

    >>> redact("index https://user:secret@packages.example.org/simple failed")
    'index https://packages.example.org/simple failed'
    >>> redact("https://user:it's@packages.example.org/simple")
    'https://packages.example.org/simple'
    """
    return _CREDENTIALS.sub("://", text)


def redact_repository(url: str) -> str:
    """Return the URL of a repository without credentials; the account of ssh is a part of the address.

    >>> redact_repository("https://token@example.org/a.git")
    'https://example.org/a.git'
    >>> redact_repository("ssh://git:secret@example.org/a.git")
    'ssh://git@example.org/a.git'
    """
    account = _ACCOUNT.match(url)
    if account is None:
        return redact(url)
    return f"{account['scheme']}{account['user']}@{url[account.end() :]}"
