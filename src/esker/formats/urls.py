"""Removes credentials from URLs before they are shown or stored; the URL of an index may contain some."""

from __future__ import annotations

import re

__all__ = ["redact"]

# It begins at `://`, because a search for the schemes before it would take quadratic time.
_CREDENTIALS = re.compile(r"(?<=[A-Za-z0-9+.-])://[^/\s]*@")


def redact(text: str) -> str:
    """Return `text` without the user and password of every URL in it.

    >>> redact("index https://user:secret@packages.example.org/simple failed")
    'index https://packages.example.org/simple failed'
    >>> redact("https://user:it's@packages.example.org/simple")
    'https://packages.example.org/simple'
    """
    return _CREDENTIALS.sub("://", text)
