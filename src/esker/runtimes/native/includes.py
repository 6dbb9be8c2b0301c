"""Changing what an environment includes: taking the changes of included ones, and adding a copy of one from git."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from esker.declare import trust
from esker.declare.edit import with_include
from esker.declare.load import environment_name, load
from esker.declare.vendor import copied, fetched, included_as, is_as_fetched, name_of, origin_of
from esker.formats.git_address import Address, is_local, parse
from esker.formats.manifest import IncludedDirectory
from esker.formats.tables.reader import argument
from esker.lock.compose import check_upgradable
from esker.runtimes.native.change import Renewed, Texts, change

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esker.formats.lockfile import IncludedManifest
    from esker.lock.lock_files import Lock
    from esker.progress import Progress
    from esker.runtimes.native.change import Change
    from esker.settings import Settings

__all__ = ["Added", "Upgraded", "add", "upgrade"]


class Added(NamedTuple):
    """An environment that was added from a git repository."""

    change: Change
    name: str
    commit: str


class Upgraded(NamedTuple):
    """What taking the changes of included environments came to."""

    change: Change
    names: tuple[str, ...]
    """The included environments that are merged otherwise than before, lowest layer first."""
    unread: tuple[str, ...] = ()
    """Those that nothing is known of, because they are on FloxHub."""
    put_back: tuple[str, ...] = ()
    """The copies of environments in git repositories that somebody has changed, and that are as they were fetched."""


def add(
    project: str, manifest: str, text: str, settings: Settings, *, name: str | None, cwd: str, progress: Progress
) -> Added:
    """Copy an environment from the git repository at `URL@REVISION#DIRECTORY` into a project, and include it.

    A path is relative to `cwd`. What was added before is replaced. If anything fails, nothing is changed.
    """
    trust.check(project, settings)
    with argument():
        address = parse(text)
    if is_local(address.repository) and not os.path.isabs(address.repository):
        path = os.path.relpath(os.path.join(cwd, address.repository), project)
        address = address._replace(repository=path if path.startswith(".") else f"./{path}")
    progress.begin(f"Fetching {address.repository}")
    copy = fetched(address, project, settings)
    progress.end()
    name = name_of(copy, name)
    with copied(project, name, copy):
        directory = included_as(name)
        own = None if environment_name(f"{project}/{directory}") == name else name
        new = with_include(manifest, directory, own)
        included = next(each for each in _directories(project, new) if each.dir == directory)
        renewed = Renewed(includes=(_name(project, included),))
        made = change(project, Texts(new), settings, before=manifest, renewed=renewed, progress=progress)
    return Added(made, name, copy.origin.commit)


def upgrade(project: str, manifest: str, names: Sequence[str], settings: Settings, *, progress: Progress) -> Upgraded:
    """Merge included environments as they are locked now, all of them if none is named.

    Copies of environments in git repositories are fetched again first, also to replace what somebody has changed in
    them. Raises NotFound for a name that is not included.
    """
    trust.check(project, settings)
    put_back = []
    declaration = load(project, manifest=manifest, alone=True)
    check_upgradable(declaration, names)
    with ExitStack() as copies:
        for included in _directories(project, manifest):
            origin = origin_of(project, included.dir)
            if origin is None or (names and (included.name or origin[0]) not in names):
                continue
            place, known = origin
            address = Address(known.repository, known.revision, known.directory)
            progress.begin(f"Fetching {known.repository}")
            copy = fetched(address, project, settings)
            progress.end()
            if copy.origin == known:
                if is_as_fetched(project, place, copy):
                    continue
                put_back.append(included_as(place))
            copies.enter_context(copied(project, place, copy))
        renewed = Renewed(includes=tuple(names))
        made = change(project, Texts(), settings, before=manifest, renewed=renewed, progress=progress)
    before, after = _included(made.before), _included(made.after)
    changed = tuple(each.name for each in after if each not in before)
    unread = tuple(each.name for each in after if not names and not isinstance(each.descriptor, IncludedDirectory))
    return Upgraded(made, changed, unread, tuple(put_back))


def _directories(project: str, manifest: str) -> Iterator[IncludedDirectory]:
    include = load(project, manifest=manifest, alone=True).manifest.include
    for descriptor in include.environments if include else ():
        if isinstance(descriptor, IncludedDirectory):
            yield descriptor


def _name(project: str, descriptor: IncludedDirectory) -> str:
    directory = os.path.join(project, descriptor.dir)
    return descriptor.name or (environment_name(directory) if os.path.isdir(f"{directory}/.flox") else descriptor.dir)


def _included(lock: Lock | None) -> tuple[IncludedManifest, ...]:
    return lock.lockfile.compose.include if lock and lock.lockfile.compose else ()
