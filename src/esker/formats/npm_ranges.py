"""Version ranges as npm writes them, in the notation of conda.

The grammar is node-semver's: alternatives are separated by `||`, comparisons of one alternative by spaces; `18`, `18.x`
and `~18.2` leave out the rest of a version; `^18.2` allows whatever has the same first number that is not zero.

Oddities: `>18` means from 19 on, and `<=18` means below 19, because what is left out may be anything. Node-semver takes
pre-releases only where a range names one; a range that does is not translated.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["conda_version"]

_VERSION = r"v?([0-9]{1,9}|[xX*])(?:\.([0-9]{1,9}|[xX*]))?(?:\.([0-9]{1,9}|[xX*]))?"
_COMPARISON = re.compile(rf"(>=|<=|>|<|=|\^|~>?)?\s*{_VERSION}")
_HYPHEN = re.compile(rf"({_VERSION})\s+-\s+({_VERSION})")
_SPACE_AFTER_OPERATOR = re.compile(r"(>=|<=|>|<|=|\^|~>?)\s+")
_LONGEST = 200
_LAST = 2
"""The index of the third number, the last that a version has."""


class _Version(NamedTuple):
    """A version of one to three numbers; what is left out may be anything."""

    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return ".".join(map(str, self.numbers))

    def next(self, index: int) -> str:
        """Return the first version beyond all those that share the numbers up to `index`."""
        return ".".join(map(str, (*self.numbers[:index], self.numbers[index] + 1)))


def conda_version(text: str) -> str | None:
    """Return a range in conda's notation, `*` for any version; None if it cannot be said there exactly.

    >>> conda_version("^18.17 || >=20.5.0 <23"), conda_version("20.x"), conda_version("latest")
    ('>=18.17,<19|>=20.5.0,<23', '20.*', None)
    """
    if len(text) > _LONGEST:
        return None
    alternatives = [_alternative(part.strip()) for part in text.split("||")]
    if any(alternative is None for alternative in alternatives):
        return None
    return "*" if "*" in alternatives else "|".join(filter(None, dict.fromkeys(alternatives)))


def _alternative(text: str) -> str | None:
    hyphen = _HYPHEN.fullmatch(text)
    if hyphen:
        text = f">={hyphen[1]} <={hyphen[5]}"
    parts = []
    for word in _SPACE_AFTER_OPERATOR.sub(r"\1", text).split():
        match = _COMPARISON.fullmatch(word)
        part = _comparison(match) if match else None
        if part is None:
            return None
        parts.append(part)
    told = [part for part in dict.fromkeys(parts) if part != "*"]
    return ",".join(told) or "*"


def _comparison(match: re.Match[str]) -> str | None:
    operator = match[1] or "="
    numbers = []
    for number in match.groups()[1:4]:
        if number is None or number in "xX*":
            break
        numbers.append(int(number))
    if not numbers:
        return "*" if operator not in {"<", ">"} else None
    version, last = _Version(tuple(numbers)), len(numbers) - 1
    is_whole = last == _LAST
    fixed = next((index for index, number in enumerate(numbers) if number), last)
    return {
        "=": f"=={version}" if is_whole else f"{version}.*",
        ">": f">{version}" if is_whole else f">={version.next(last)}",
        "<=": f"<={version}" if is_whole else f"<{version.next(last)}",
        ">=": f">={version}",
        "<": f"<{version}",
        "^": f">={version},<{version.next(fixed)}",
    }.get(operator, f">={version},<{version.next(min(last, 1))}")
