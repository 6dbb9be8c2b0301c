"""Where a project takes packages from besides an index: `[tool.uv.sources]`, and requirements with an address.

A source is a repository at a commit, a branch or a tag; a directory; an archive in the file system or at an address; or
a named index. Both notations (uv's, and that of PEP 508) become one value. What was written may hold credentials: they
reach uv and git, and nothing that is stored.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from esker.errors import Problem
from esker.formats.toml_values import inline
from esker.formats.urls import redact, redact_repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.requirements import Requirement

__all__ = ["Source", "declared_hash", "from_requirement", "from_table", "is_wheel"]

_KINDS: tuple[Literal["git", "path", "url", "index"], ...] = ("git", "path", "url", "index")
_REVISIONS = ("rev", "branch", "tag")
_KEYS = {
    "git": (*_REVISIONS, "subdirectory"),
    "path": ("editable",),
    "url": ("subdirectory",),
    "index": (),
}
_HASH = re.compile(r"(?:^|&)(sha256=[0-9a-f]{64}|sha384=[0-9a-f]{96}|sha512=[0-9a-f]{128})(?:&|$)")
_SUBDIRECTORY = re.compile(r"(?:^|&)subdirectory=([^&]*)")


class Source(NamedTuple):
    """Where one package comes from."""

    name: str
    """The package's normalised name."""
    kind: Literal["git", "path", "url", "index"]
    address: str
    """A URL, an absolute path or the name of an index; it may hold credentials."""
    options: Mapping[str, Any] = {}
    """The other keys of uv's notation: `rev`, `branch`, `tag`, `subdirectory`, `editable`, `marker`."""
    written: str = ""
    """What a person wrote for the address."""

    @property
    def is_built(self) -> bool:
        """Whether a wheel has to be built: anything but an index and a wheel."""
        return self.kind != "index" and not is_wheel(self.address)

    @property
    def is_editable(self) -> bool:
        """Whether the environment follows the code in the directory."""
        return bool(self.options.get("editable"))

    def table(self) -> str:
        """Return the source as uv reads it, on one line of TOML."""
        return inline({self.kind: self.address.partition("#")[0], **self.options})

    def line(self) -> str:
        """Return the source as it stands in a lock, without credentials."""
        hide = redact_repository if self.kind == "git" else redact
        return inline({self.kind: hide(self.written or self.address), **self.options})


def is_wheel(address: str) -> bool:
    """Return whether a path or a URL is that of a wheel."""
    return urlsplit(address).path.endswith(".whl")


def declared_hash(address: str) -> tuple[str, str] | None:
    """Return kind and value of the hash in a URL, as in `…#sha256=…`; None if it has none."""
    match = _HASH.search(urlsplit(address).fragment)
    if match is None:
        return None
    kind, _, value = match[1].partition("=")
    return kind, value


def from_table(
    name: str, value: Any, base: str, groups: tuple[str, ...], extras: tuple[str, ...] = ()
) -> Iterator[Source | Problem]:
    """Yield the sources that an entry of `[tool.uv.sources]` gives a package, and what is wrong with it.

    `base` is the directory of the pyproject.toml. A source of a dependency group counts if `groups` has the group,
    that of an extra if `extras` has the extra.
    """
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, dict):
            yield Problem(f"the source of `{name}` is not a table", hint='write for example { path = "../NAME" }')
            continue
        if not (_is_chosen(entry, "extra", extras) and _is_chosen(entry, "group", groups)):
            continue
        kinds = [kind for kind in _KINDS if kind in entry]
        if len(kinds) != 1 or not isinstance(entry[kinds[0]], str):
            yield Problem(
                f"the source of `{name}` has to have one of `git`, `path`, `url`, `index`",
                hint='write for example { path = "../NAME" }',
            )
            continue
        kind, written = kinds[0], entry[kinds[0]]
        unknown = entry.keys() - {kind, "marker", "group", "extra", *_KEYS[kind]}
        if unknown:
            yield Problem(f"the source of `{name}` has an unknown key `{min(unknown)}`", hint="take it out")
            continue
        options = {key: entry[key] for key in ("marker", *_KEYS[kind]) if key in entry}
        yield Source(canonicalize_name(name), kind, _address(kind, written, base), options, written)


def _is_chosen(entry: Mapping[str, Any], key: str, names: tuple[str, ...]) -> bool:
    """Return whether a source counts for the chosen groups or extras, however their names are written."""
    return key not in entry or canonicalize_name(str(entry[key])) in {canonicalize_name(name) for name in names}


def from_requirement(requirement: Requirement, base: str) -> Source | Problem:
    """Return the source of a requirement with an address, such as `a @ git+https://example.org/a@v1`."""
    name, url = canonicalize_name(requirement.name), str(requirement.url)
    scheme, _, _ = url.partition(":")
    if scheme.startswith("git+"):
        address, _, fragment = url.removeprefix("git+").partition("#")
        path = urlsplit(address).path
        options = {}
        if "@" in path:
            address, _, options["rev"] = address.rpartition("@")
        return Source(name, "git", address, options | _subdirectory(fragment))
    if scheme == "file":
        path = unquote(urlsplit(url).path)
        return Source(name, "path", _address("path", path, base), written=path)
    if scheme in {"https", "http"}:
        return Source(name, "url", url, _subdirectory(urlsplit(url).fragment))
    return Problem(
        f"`{name}` is asked for by an address that cannot be read: `{redact(url)}`",
        hint="write git+https://…@COMMIT, https://…#sha256=… or file:///…",
    )


def _subdirectory(fragment: str) -> dict[str, str]:
    match = _SUBDIRECTORY.search(fragment)
    return {"subdirectory": match[1]} if match else {}


def _address(kind: str, written: str, base: str) -> str:
    if kind == "path":
        return os.path.normpath(os.path.join(base, os.path.expanduser(written)))
    if kind == "git" and "://" not in written and written.startswith((".", "/")):
        return os.path.normpath(os.path.join(base, written))
    return written
