"""The notations of single values in `[plugins.esker.image]`: references, places in an image, units, variables.

Each function takes a value as it is written and returns the value that it stands for. It raises `Refusal`, with a
message and a hint, for a value that is not valid.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from esker.errors import Malformed
from esker.formats.counted import counted
from esker.formats.oci import reference as references
from esker.formats.systems import SYSTEMS
from esker.formats.tables.reader import Refusal
from esker.formats.toml_values import inline

__all__ = [
    "OWN_PLACES",
    "base_image",
    "base_program",
    "image_name",
    "image_place",
    "linux_system",
    "removable",
    "tracked",
    "unit",
]

OWN_PLACES = ("/opt/esker", "/dev", "/proc", "/sys", "/run/esker", "/var/cache/esker", "/nix")
"""Directories of an image that are Esker's, the kernel's or Nix's, into which no files are put."""
_NAME = r"(?:[a-zA-Z0-9.-]+(?::[0-9]{1,5})?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*"
_DIGITS = 64
_DIGEST = re.compile(rf"sha256:[0-9a-f]{{{_DIGITS}}}")
_BASE_HINT = 'write it as in "registry.example/base@sha256:…", or for a layout or an archive "./base@sha256:…"'
_PATHS = ("/", "./", "../", "~")
_UNIT = re.compile(r"(?:(?:conda|pypi|nix)/)?[A-Za-z0-9_][A-Za-z0-9._+#-]*")


def base_image(text: str) -> str:
    """Return the name of an image that another one begins with: in a registry or a relative path, with its digest.

    >>> base_image("registry.example/base@sha256:" + 64 * "0").partition("@")[0]
    'registry.example/base'
    """
    name, at, digest = text.rpartition("@")
    if not at or not _DIGEST.fullmatch(digest):
        named = text if not at else name
        message = f"`{text}` has no digest, so it may be another image tomorrow"
        if digits := re.fullmatch(r"sha256:([0-9a-f]+)", digest if at else ""):
            message = f"the digest in `{text}` has {counted(len(digits[1]), 'digit')}, not {_DIGITS}"
        hint = f"write it with the digest that this shows, NAME@sha256:…: esker image inspect {named}"
        if not named.startswith(_PATHS) and "/" not in named:
            hint = f"name its registry, and its digest, which this shows: esker image inspect registry.example/{named}"
        raise Refusal(message, hint)
    if name.startswith(("./", "../")):
        return text
    if name.startswith(_PATHS):
        raise Refusal(f"`{name}` is not a path relative to the project directory", _BASE_HINT)
    try:
        reference = references.parse(f"{name}@{digest}")
    except Malformed as error:
        raise Refusal(error.message, _BASE_HINT) from error
    if not reference.registry:
        raise Refusal(f"`{text}` names no registry", _BASE_HINT)
    return f"{reference.name}@{digest}"


def base_program(text: str) -> str:
    """Return the path of a program in a base."""
    if not text.startswith("/") or ".." in text.split("/") or not text.isprintable() or text.endswith("/"):
        raise Refusal(f"`{text}` is not the path of a program", 'write it as in "/usr/bin/python3.11"')
    return posixpath.normpath("/" + text.lstrip("/"))


def image_name(text: str) -> str:
    """Return the name of an image, with its registry or without, and without a tag."""
    if not re.fullmatch(_NAME, text):
        raise Refusal(f"`{text}` is not the name of an image", 'write it as in "registry.example/team/app"; no tag')
    return text


def image_place(text: str) -> str:
    """Return an absolute path in an image, where a project may put files.

    >>> image_place("/app/")
    '/app'
    """
    parts = text.split("/")
    if not text.startswith("/") or ".." in parts or "." in parts or not text.isprintable():
        raise Refusal(f"`{text}` is not a place in an image", 'write an absolute path without `..`, such as "/app"')
    place = posixpath.normpath("/" + text.strip("/"))
    own = next(
        (own for own in OWN_PLACES if f"{place}/".startswith(f"{own}/") or own.startswith(f"{place.rstrip('/')}/")),
        None,
    )
    if own is not None:
        message = f"`{text}` is no place for files: `{own}` in an image is not the project's"
        raise Refusal(message, 'choose another one, such as "/app"')
    return place


def tracked(text: str) -> str:
    """Return the path of files that git tracks, relative to the project directory.

    It may lead to another directory of the same repository; git refuses what lies outside.

    >>> tracked("src/"), tracked("../shared/")
    ('src', '../shared')
    """
    path = posixpath.normpath(text) if text else text
    if not text or text.startswith(("/", "~")):
        raise Refusal(f"`{text}` is not a path relative to the project directory", 'write it as in "src" or "../src"')
    if path.endswith(".."):
        message = f"`{text}` would put the project's own directory into itself"
        raise Refusal(message, f'name what is in it: "{path}/src"')
    return path


def unit(text: str) -> str:
    """Return the name of what a layer can hold: a package, or a place of `prepare`.

    Before a package's name may stand `conda/`, `pypi/` or `nix/`.

    >>> unit("conda/git"), unit("/opt/agents/")
    ('conda/git', '/opt/agents')
    """
    if text.startswith("/"):
        return image_place(text)
    if not _UNIT.fullmatch(text):
        hint = 'write its name alone, such as "git", "conda/git" or "pypi/uvicorn"'
        raise Refusal(f"`{text}` is not the name of a package", hint)
    return text


def removable(value: Any) -> str | None:
    """Return the value of a variable, or None for `false`, which removes it.

    >>> removable("a"), removable(False)
    ('a', None)
    """
    if value is False:
        return None
    if not isinstance(value, str):
        raise Refusal(f"`{inline(value)}` is not the value of a variable", "write a string, or `false` to leave it out")
    if "\0" in value:
        raise Refusal("the text holds a NUL character", "no variable can hold one: take it out")
    return value


def linux_system(text: str) -> str:
    """Return the name of a system that images can be for."""
    known = [system for system in SYSTEMS if system.endswith("-linux")]
    if text not in known:
        raise Refusal(f"`{text}` is not a system that images are for", f"write one of: {', '.join(known)}")
    return text
