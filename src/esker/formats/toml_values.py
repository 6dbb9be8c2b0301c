"""Values as they are written on one line of a TOML file."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["inline", "string"]


def string(value: str) -> str:
    """Return a TOML basic string. JSON's escapes are valid in TOML, but TOML also requires one for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def inline(value: Any) -> str:
    """Return a value that a TOML reader gave, on one line; keys keep their order.

    >>> inline({"git": "https://example.org/a", "tags": [True, 1]})
    '{ "git" = "https://example.org/a", "tags" = [true, 1] }'
    """
    if isinstance(value, str):
        return string(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        members = ", ".join(f"{string(str(key))} = {inline(member)}" for key, member in value.items())
        return f"{{ {members} }}" if members else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(inline, value))}]"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return str(value)
