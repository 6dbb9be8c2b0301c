"""URLs as they may be shown and stored: without the credentials that index settings carry in them."""

from __future__ import annotations

import re

__all__ = ["redact"]

_CREDENTIALS = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://)[^/\s]*@")


def redact(text: str) -> str:
    """Return `text` with the user and password of every URL in it taken out.

    >>> redact("index https://user:secret@packages.example.org/simple failed")
    'index https://packages.example.org/simple failed'
    >>> redact("https://user:it's@packages.example.org/simple")
    'https://packages.example.org/simple'
    """
    return _CREDENTIALS.sub(r"\g<scheme>", text)
