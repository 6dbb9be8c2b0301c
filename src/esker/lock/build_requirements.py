"""What builds the packages that a lock takes from source, locked with hashes like everything else.

A backend says twice what it needs: in `[build-system]`, and when it is asked (`get_requires_for_build_wheel`). The
second answer runs its code, in an environment that has the first one's wheels, locked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from esker.errors import ResolutionFailed
from esker.formats import pylock
from esker.host import files
from esker.host.scratch import scratch
from esker.lock.build_backend import build_system, workshop
from esker.lock.locked_sources import is_from_source
from esker.lock.source_trees import commit_tree, fetch, identity, source_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from packaging.pylock import Pylock

    from esker.host.interpreters import Interpreter
    from esker.lock.source_trees import SourceTree
    from esker.lock.uv_settings import UvSettings

    Resolve = Callable[[tuple[str, ...], tuple[str, ...]], Pylock]
    """Gives the lock of build requirements; the second argument are lines of an earlier lock, whose versions stay."""

__all__ = ["with_build_requirements"]


def with_build_requirements(
    lock: Pylock,
    resolve: Resolve,
    interpreter: Interpreter,
    tools: Mapping[str, str],
    *,
    settings: UvSettings,
    previous: Pylock | None = None,
) -> Pylock:
    """Return `lock` with a record of each package that is built from source.

    Versions that `previous` has locked for the build of a package stay while its backend takes them.
    """
    before = {key.partition(" ")[0]: record for key, record in _records(previous).items()}
    records = []
    for package in lock.packages:
        source = source_tree(package, {}, settings.sources, settings.lock_directory)
        if source is None or not is_from_source(package) or source.is_wheel:
            continue
        earlier = before.get(package.name)
        pins = earlier.build_requirements if earlier else ()
        tree, lines = _locked(source, resolve, interpreter, tools, settings=settings, pins=pins)
        record = pylock.SourceRecord(source=identity(package), tree=tree, build_requirements=lines)
        records.append(record)
    return pylock.with_source_records(lock, records)


def _records(lock: Pylock | None) -> dict[str, pylock.SourceRecord]:
    return pylock.source_records(lock) if lock is not None else {}


def _locked(
    source: SourceTree,
    resolve: Resolve,
    interpreter: Interpreter,
    tools: Mapping[str, str],
    *,
    settings: UvSettings,
    pins: tuple[str, ...],
) -> tuple[str, tuple[str, ...]]:
    """Return the hash of the tree of a repository, and the locked lines of what its build needs."""
    with scratch("source") as above, files.refused("build packages in", above):
        directory = fetch(source, f"{above}/source", tools)
        tree = commit_tree(directory, tools) if source.kind == "git" else ""
        system = build_system(directory)
        wanted = _checked([*system.requires, *settings.extra_build.get(source.name, ())], source)
        lines = _lines_for(source, resolve, wanted, pins)
        hook = f"get_requires_for_build_{'editable' if source.editable else 'wheel'}"
        with workshop(lines, interpreter, tools, settings.configuration()) as place:
            answer = place.call(hook, None, tree=directory, name=source.name, system=system)
        more = _checked(answer or [], source)
        if set(more) - set(wanted):
            lines = _lines_for(source, resolve, tuple(dict.fromkeys((*wanted, *more))), lines)
        return tree, lines


def _lines_for(
    source: SourceTree, resolve: Resolve, requirements: tuple[str, ...], pins: tuple[str, ...]
) -> tuple[str, ...]:
    if not requirements:
        return ()
    try:
        return _lines(resolve(requirements, pins))
    except ResolutionFailed as error:
        message = f"what `{source.name}` is built with cannot be locked: {error.message}"
        raise ResolutionFailed(message, hint=error.hint) from error


def _checked(texts: Sequence[str], source: SourceTree) -> tuple[str, ...]:
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            message = f"`{source.name}` asks for `{text}` to be built, which is not a requirement: {error}"
            raise ResolutionFailed(message, hint="mend `requires` in its [build-system]") from error
        if requirement.url is not None:
            message = f"`{source.name}` asks for `{requirement.name}` at an address to be built"
            hint = "name a version from an index in `requires` of its [build-system]: its hash can be locked"
            raise ResolutionFailed(message, hint=hint)
    return tuple(texts)


def _lines(lock: Pylock) -> tuple[str, ...]:
    """Return the packages of a lock as lines that uv installs with their hashes."""
    lines = []
    for package in sorted(lock.packages, key=lambda each: (each.name, str(each.version))):
        hashes = sorted({wheel.hashes["sha256"] for wheel in package.wheels or () if "sha256" in wheel.hashes})
        marker = f" ; {package.marker}" if package.marker and not _is_everywhere(package.marker, lock) else ""
        text = f"{canonicalize_name(package.name)}=={package.version}{marker}"
        lines.append(text + "".join(f" --hash=sha256:{value}" for value in hashes))
    return tuple(lines)


def _is_everywhere(marker: object, lock: Pylock) -> bool:
    """Return whether a marker names all environments of the lock, and so nothing that would have to be checked."""
    return {part.strip(" ()") for part in str(marker).split(" or ")} == {
        part.strip(" ()") for each in lock.environments or () for part in str(each).split(" or ")
    }
