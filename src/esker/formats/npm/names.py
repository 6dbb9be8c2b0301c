"""Names of npm packages: `name` or `@scope/name`, as they become directories and parts of addresses.

Old packages have capitals and the characters `~!'()*` in their names. A name never begins with a dot: none is `.bin`.
Documentation: `package.json` of npm, key `name`.
"""

from __future__ import annotations

import re

from esker.formats.tables.reader import Refusal

__all__ = ["is_name", "is_version", "parts", "specification"]

_PART = r"(?!node_modules(?:[/@]|\Z))[A-Za-z0-9_~!'()*-][A-Za-z0-9._~!'()*-]*"
_NAME = re.compile(rf"(?:@{_PART}/)?{_PART}")
_VERSION = re.compile(r"\d{1,16}\.\d{1,16}\.\d{1,16}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_LONGEST = 214


def is_name(text: str) -> bool:
    """Return whether a text is the name of a package.

    >>> is_name("@scope/name"), is_name("../name"), is_name(".bin"), is_name("@a/node_modules")
    (True, False, False, False)
    """
    return len(text) <= _LONGEST and _NAME.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """Return whether a text is one version, and not a range or a tag.

    >>> is_version("1.2.3-beta.1"), is_version("^1.2.3"), is_version("latest")
    (True, False, False)
    """
    return len(text) <= _LONGEST and _VERSION.fullmatch(text) is not None


def parts(text: str) -> tuple[str, str]:
    """Return name and version of `NAME@VERSION`; the version may be a tag.

    >>> parts("@scope/name@1.0.0")
    ('@scope/name', '1.0.0')
    """
    name, _, version = text.rpartition("@")
    return name, version


def specification(text: str) -> str:
    """Return `NAME@VERSION` or `NAME@TAG`; raises Refusal."""
    name, version = parts(text)
    if not is_name(name) or not (is_version(version) or (_TAG.fullmatch(version) and len(version) <= _LONGEST)):
        hint = 'write NAME@VERSION, such as "agent-browser@0.41.2", or NAME@latest'
        raise Refusal(f"`{text}` is not an npm package with its version", hint)
    return text
