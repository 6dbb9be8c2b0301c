"""uv.lock: what uv has locked for a project, as far as Esker looks into it.

The file names each package with its version, its source (a registry, a repository at a commit, a directory, an
archive), the hashes of its files, and what it needs, with markers. It is for a range of Pythons, and for every platform
unless `supported-markers` names some. A directory and a repository have no hash of their content.

uv turns it into a lock of PEP 751, because the marker under which a package is installed stands nowhere: it follows
from those on all the ways to the package. Read here are the version of the format, the platforms, what needs what, and
what the projects in directories declared when they were locked.

Oddities: the version of a package is missing if only its build backend can tell it. What an entry needs with an extra
stands in `optional-dependencies`, by extra; what the dependency groups need stands in `dev-dependencies`. `revision`
counts changes that older readers need not know; `version` counts the others.

Specification: docs.astral.sh/uv/concepts/resolution, "Lockfile versioning"; the format itself belongs to uv.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from packaging.markers import InvalidMarker, Marker
from packaging.utils import is_normalized_name

from esker.errors import InvalidLock, Problem
from esker.formats.untrusted import toml_table

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Declared", "Dependency", "LockedPackage", "Manifest", "Metadata", "Source", "UvLock", "parse"]

_VERSION = 1
_SHOWN = 200
"""Characters of the file's own that a message shows."""
_HINT = "make it again: uv lock"


class Dependency(msgspec.Struct, frozen=True):
    """A package that another one needs."""

    name: str
    version: str | None = None
    """Given if the lock has several versions of the package."""


class Declared(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A requirement as a project in a directory declared it when it was locked."""

    name: str
    specifier: str = ""
    git: str | None = None
    url: str | None = None
    path: str | None = None
    directory: str | None = None
    editable: str | None = None
    virtual: str | None = None

    @property
    def is_from_index(self) -> bool:
        """Whether an index has it; of what comes from elsewhere, uv need not record the specifier."""
        return not any((self.git, self.url, self.path, self.directory, self.editable, self.virtual))


class Metadata(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What a project in a directory declared when it was locked, its extras included."""

    requires_dist: tuple[Declared, ...] = ()
    requires_dev: dict[str, tuple[Declared, ...]] = {}
    """By dependency group."""


class Source(msgspec.Struct, frozen=True):
    """Where a package comes from, if that is a project in a directory: its path, relative to uv.lock."""

    virtual: str | None = None
    """That of a project which is not built and not installed."""
    editable: str | None = None
    directory: str | None = None

    @property
    def path(self) -> str | None:
        """The path, whichever way the project is installed; None for a package from elsewhere."""
        return next((path for path in (self.virtual, self.editable, self.directory) if path is not None), None)


class LockedPackage(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A locked package, with what it needs."""

    name: str
    """Normalised."""
    version: str | None = None
    dependencies: tuple[Dependency, ...] = ()
    optional_dependencies: dict[str, tuple[Dependency, ...]] = {}
    source: Source = Source()
    metadata: Metadata = Metadata()

    def needed(self) -> Iterator[Dependency]:
        """Yield what the package needs, and what its extras need."""
        yield from self.dependencies
        for needed in self.optional_dependencies.values():
            yield from needed


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What the root of a workspace declared when it was locked, if it is no project itself."""

    dependency_groups: dict[str, tuple[Declared, ...]] = {}


class UvLock(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The part of a uv.lock that Esker looks into."""

    version: int
    supported_markers: tuple[str, ...] = ()
    """PEP 508 markers of the platforms that it is for; none if it is for all."""
    manifest: Manifest = Manifest()
    packages: tuple[LockedPackage, ...] = msgspec.field(default=(), name="package")


def parse(text: str, path: str = "uv.lock") -> UvLock:
    """Read a lock of uv; raise InvalidLock if it is not one, or one of a version of the format that is unknown here.

    >>> parse("version = 1").packages
    ()
    """
    try:
        lock = msgspec.convert(toml_table(text), UvLock)
        for marker in lock.supported_markers:
            Marker(marker)
    except (ValueError, InvalidMarker, RecursionError) as error:
        raise _invalid(path, str(error)[:_SHOWN]) from error
    if lock.version != _VERSION:
        raise _invalid(path, f"its format has the version {lock.version}, and only {_VERSION} is known")
    for package in lock.packages:
        for name in (package.name, *(each.name for each in package.needed())):
            if not is_normalized_name(name):
                raise _invalid(path, f"`{name[:_SHOWN]}` is not the normalised name of a package")
    return lock


def _invalid(path: str, why: str) -> InvalidLock:
    return InvalidLock(path, [Problem(f"not a lock of uv: {why}", hint=_HINT)])
