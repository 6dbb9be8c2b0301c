"""Reading TOML and JSON that anybody may have written, within limits that are checked before they cost anything.

Without limits, a dotted key of 40 KB takes gigabytes, because the parser keeps the whole path of each of its parts. The
limits leave ample room: a manifest of Flox is five tables deep, and the locks of big projects have 2 MB.
"""

from __future__ import annotations

import json
import re
from typing import Any

from esker.formats import json_text
from esker.formats.json_text import DEEPEST, TooDeep
from esker.formats.limits import LARGEST

__all__ = ["DEEPEST", "LARGEST", "LARGEST_MANIFEST", "TooDeep", "json_value", "toml_table"]

LARGEST_MANIFEST = 1 << 19
"""Bytes of a file that a person writes."""
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*(?:"{3,5})?'
    r"|'''(?:[^']|'(?!''))*(?:'{3,5})?"
    r'|"(?:[^"\\\n]|\\.)*"?'
    r"|'[^'\n]*'?"
    r"|\#[^\n]*"
    r"|[\[\]{}.,=\n]",
    re.DOTALL,
)
"""The pieces of TOML that matter for the depth: strings and comments, whose content does not count, and punctuation.
The end of a string is optional, so that a text which is not TOML is read to its end as well, in linear time."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def toml_table(text: str) -> dict[str, Any]:
    """Return the values of a TOML document; raises ValueError, which tomllib's own error is, when it is not valid.

    >>> toml_table("a.b = 1")
    {'a': {'b': 1}}
    """
    import tomllib

    _check_size(text)
    _check_depth(text)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TooDeep from None


def _check_size(text: str | bytes) -> None:
    if len(text) > LARGEST:
        raise ValueError(f"it has more than {LARGEST >> 20} MiB")


def _check_depth(text: str) -> None:
    """Raise TooDeep if the tables of a text would be too deep; the text need not be valid TOML.

    Each part of a dotted key is a table. A bracket opens one level, and one more for each dot in the key before it:
    `a.b = [` opens two.
    """
    opened: list[int] = []  # the levels that each open bracket has added
    depth = 0  # the sum of `opened`
    dots = 0  # in the key that is being read
    key = 0  # dots in the key whose value is being read
    for token in _TOKEN.finditer(text):
        character = token[0]
        if character == ".":
            dots += 1
        elif character == "=":
            key, dots = dots, 0
        elif character in {"[", "{"}:
            opened.append(key + 1)
            depth += key + 1
            key = dots = 0
        elif character in {"]", "}"}:
            depth -= opened.pop() if opened else 0
            key = dots = 0
        elif character in {",", "\n"}:
            key = dots = 0
        if depth + dots > DEEPEST:
            raise TooDeep


def json_value(data: bytes | str, *, has_paths: bool = False) -> Any:
    r"""Return the value of a JSON text; raises ValueError, which json's own error is, when it is not valid.

    It is stricter than the module json: it refuses NaN, numbers too big for a float, and lone surrogates (`\ud800`),
    because later they would be errors in places that expect none. With `has_paths`, it takes those that stand for the
    bytes of a path that is not UTF-8.

    >>> json_value('{"a": [1]}')
    {'a': [1]}
    >>> json_value(r'"/srv/\udcff"', has_paths=True)
    '/srv/\udcff'
    """
    raw = data.encode() if isinstance(data, str) else data
    _check_size(raw)
    try:
        value = json_text.parse(raw.decode())
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode(errors="surrogateescape" if has_paths else "strict")
    except UnicodeEncodeError:
        raise ValueError(r"a string has a lone surrogate (such as `\ud800`), which is half a character") from None
    return value
