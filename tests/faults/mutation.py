"""How the fuzzer makes inputs: changes of bytes and of trees, all decided by the random numbers that it is given."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

__all__ = ["LARGEST", "changed_bytes", "changed_tree", "toml"]

LARGEST = 1 << 16
"""Bytes of the largest input."""
_MOST_CHANGES = 4
_TOKENS = (
    *(b'"', b"'", b'"""', b"'''", b"[", b"]", b"[[", b"{", b"}", b",", b":", b"=", b".", b"\\", b"\n", b"\r\n", b"\0"),
    *(b"#", b"$", b"${A", b"${A}", b"$(", b"`", b"(", b")", b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"\xff", b"a."),
    *(b"1e999", b"NaN", b"-Infinity", b"null", b"true", b"-0", b"9" * 5000, b"\xc2\xb2", b"\x1b[2J", b"..", b"/"),
    *(b"a.b.c.", b"\xef\xbb\xbf", b"\x7f", b"=1\n", b"[a]\n", b"{}", b"[]", b"\xff" * 8, b"\0" * 8),
)
_TEXTS = ("", "\0", "\ud800", "²", "9" * 5000, "a" * 5000, "$(", "${A", "/", "../..", "a\nb", "\x1b[2J", "1e999", "-1")
_ODD = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, -(2**64), 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan")),
    *([], {}, [[]], [{}], {"": {}}, [None], ["a", 1], {"a": 1}),
)


def changed_bytes(random: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of the seeds with a few changes of bytes, or with one part of it repeated up to the largest size."""
    data = random.choice(seeds)
    if random.random() < 0.03:
        return _repeated(random, data)
    for _ in range(random.randint(1, _MOST_CHANGES)):
        data = _changed(random, data, seeds)
    return data[:LARGEST]


def _changed(random: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    start, end = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
    head, part, tail = data[:start], data[start:end], data[end:]
    match random.randrange(7):
        case 0 if tail:  # flip a bit
            pieces = [head, part, bytes([tail[0] ^ 1 << random.randrange(8)]), tail[1:]]
        case 1:
            pieces = [head, random.choice(_TOKENS), part, tail]
        case 2:
            pieces = [head, random.choice(_TOKENS), part[random.randint(0, 8) :], tail]
        case 3:  # duplicate
            pieces = [head, part, part, tail]
        case 4:  # truncate, at either end or in the middle
            pieces = random.choice(([head], [tail], [head, tail]))
        case 5:  # splice
            other = random.choice(seeds)
            pieces = [head, other[random.randint(0, len(other)) :]]
        case _:  # exchange the two sides of a part
            middle = random.randint(0, len(part))
            pieces = [head, part[middle:], part[:middle], tail]
    return b"".join(pieces)


def _repeated(random: random.Random, data: bytes) -> bytes:
    start = random.randint(0, len(data))
    part = random.choice((data[start : start + random.randint(1, 40)], random.choice(_TOKENS))) or b"["
    size = random.choice((100, 1000, LARGEST - len(data)))
    return (data[:start] + part * max(1, size // len(part)) + data[start:])[:LARGEST]


def changed_tree(random: random.Random, seeds: Sequence[Any]) -> Any:
    """Return one of the trees with a few of its values or keys changed: removed, exchanged, of another type."""
    holder = [copy.deepcopy(random.choice(seeds))]
    for _ in range(random.randint(1, _MOST_CHANGES)):
        places = list(_places(holder))
        container, key = random.choice(places)
        match random.randrange(7):
            case 0 | 1:
                container[key] = _odd(random)
            case 2 if len(places) > 1 and container is not holder:
                del container[key]
            case 3:  # exchange two values; one of them may lie inside the other, so both are copied
                other, at = random.choice(places)
                container[key], other[at] = copy.deepcopy(other[at]), copy.deepcopy(container[key])
            case 4 if isinstance(container, dict):  # another name
                container[random.choice((*_TEXTS, "name", "version", "path"))] = container.pop(key)
            case 5 if isinstance(container, list) and container is not holder:
                container[key:key] = copy.deepcopy(container[key : key + 1]) * random.randint(1, 50)
            case _:
                container[key] = _wrapped(random, container[key])
    return holder[0]


def _places(container: Any) -> Any:
    for key in container if isinstance(container, dict) else range(len(container)):
        yield container, key
        if isinstance(container[key], (dict, list)):
            yield from _places(container[key])


def _odd(random: random.Random) -> Any:
    return copy.deepcopy(random.choice((random.choice(_ODD), random.choice(_TEXTS))))


def _wrapped(random: random.Random, value: Any) -> Any:
    for _ in range(random.choice((1, 1, 2, 70))):
        value = random.choice(([value], {"a": value}))
    return value


def toml(tree: Any) -> bytes:
    """Return a tree as TOML with a line for each top-level key; what TOML cannot hold is written as text."""
    if not isinstance(tree, dict):
        return b"value = " + _inline(tree).encode("utf-8", "surrogatepass")
    lines = (f"{_text(str(key))} = {_inline(value)}\n" for key, value in tree.items())
    return "".join(lines).encode("utf-8", "surrogatepass")


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(str(key))} = {_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    return '"null"' if value is None else str(value).lower()  # of a boolean, a number, inf or nan


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
