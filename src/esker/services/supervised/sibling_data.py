"""Copying the data of services from another checkout of the same project, once.

The data of services are what lies in the environment's cache, `.flox/cache`, apart from Esker's own directory there. A
copy is made below that directory, flushed, and renamed to `COPIED`: from then on it is valid, and its parts are
moved to their places. If a process is killed meanwhile, the next start of services moves the rest. If it is killed
before, the next copy removes what is left. So no service ever meets a part of the data.

While the data are copied, this process holds the supervisor records of both checkouts, so that no services start.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from esker.declare import project_directory, trust
from esker.declare.discover import find
from esker.declare.load import environment_name
from esker.errors import CommandFailed, DataNotCopied, HostError, NotFound
from esker.host import files, process_id, scratch, trees
from esker.host.git import run_git
from esker.services.supervised.record_lock import record_path
from esker.services.supervised.site import COPIED
from esker.services.supervised.supervisor_record import RecordFile, services_are_running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.settings import Settings

__all__ = ["copy_data", "settle"]

_OWN = "esker"
"""The directory in the cache that is Esker's, and no service's."""
_UNFINISHED = "data-from.new-"
_PATIENCE = 10.0
"""Seconds to wait for a command that holds a supervisor record."""


def copy_data(project: str, path: str, settings: Settings, variables: Mapping[str, str]) -> list[str]:
    """Copy the services' data of the checkout at `path` to `project`; return the names of what was copied.

    Owners and modes are kept, links stay links, and sockets are left out. `variables` are for git. Raises NotFound if
    there is no environment at `path`, NotTrusted if somebody else could have made it, HostError if the copy fails, and
    DataNotCopied if it is no checkout of the same project, if services run here or there, if there are data here
    already, or none there, and if a link leads out of the data.
    """
    sibling = find(path, explicit=True)
    trust.check(project, settings)
    trust.check(sibling, settings)
    _check_same_project(project, sibling, variables)
    with files.refused("copy the data of", sibling), _stopped(project, "here"), _stopped(sibling, "there"):
        settle(f"{project}/.flox")
        cache, target = f"{sibling}/.flox/cache", f"{project}/.flox/cache"
        if present := [name for name in _data(target) if _holds_files(f"{target}/{name}")]:
            listed = ", ".join(f"`{name}`" for name in present)
            raise DataNotCopied(
                f"there are data here already: {listed} in `{target}`",
                hint="data are copied only to a checkout that has none; move yours away first",
                reason="present",
            )
        names = _data(cache)
        if not names:
            raise DataNotCopied(
                f"there are no data of services in `{cache}`",
                hint="start its services once, or leave --data-from out",
                reason="nothing",
            )
        _check_links(cache, names)
        _copy(sibling, project, names)
    return names


def settle(dot_flox: str) -> None:
    """Move what was copied to its place, if a process was killed before it had done so."""
    complete = f"{dot_flox}/cache/{_OWN}/{COPIED}"
    if not os.path.lexists(complete):
        return
    with (
        files.refused("put in place", complete),
        project_directory.opened(dot_flox, "cache") as cache,
        project_directory.opened_within(cache, _OWN) as own,
        project_directory.opened_within(own, COPIED) as source,
    ):
        for name in sorted(os.listdir(source)):
            with suppress(OSError):  # mostly, there is none; and what holds a file is told below
                trees.remove_empty_directories(f"{dot_flox}/cache/{name}")
                os.rmdir(name, dir_fd=cache)
            if _exists(name, cache):
                place = f"{dot_flox}/cache/{name}"
                raise DataNotCopied(
                    f"`{place}` was made while data were copied to that place",
                    hint=f"move it away, or remove the copy: {complete}",
                    reason="present",
                )
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=cache)
        os.rmdir(COPIED, dir_fd=own)


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _data(cache: str) -> list[str]:
    """Return the names of the services' data in a cache.

    A virtual environment of Python's, which a hook may have made there, is left out, because it knows its own path.
    """
    try:
        names = sorted(os.listdir(cache))
    except FileNotFoundError:
        return []
    return [name for name in names if name != _OWN and not os.path.lexists(f"{cache}/{name}/pyvenv.cfg")]


def _holds_files(path: str) -> bool:
    status = os.lstat(path)
    return not stat.S_ISDIR(status.st_mode) or any(True for _ in trees.files_below(path))


def _copy(sibling: str, project: str, names: list[str]) -> None:
    dot_flox = f"{project}/.flox"
    own = f"{dot_flox}/cache/{_OWN}"
    with ExitStack() as stack:
        source = stack.enter_context(project_directory.opened(f"{sibling}/.flox", "cache"))
        directory = stack.enter_context(project_directory.opened(dot_flox, "cache", _OWN))
        fresh = stack.enter_context(scratch.made_in(own, _UNFINISHED, directory=directory))
        with project_directory.opened_within(directory, fresh) as staging:
            trees.copy_tree(source, f"{fresh}/data", directory=staging, names=names, without_sockets=True)
            files.sync_file_system(own)
            os.rename("data", COPIED, src_dir_fd=staging, dst_dir_fd=directory)
    settle(dot_flox)


def _check_links(cache: str, names: list[str]) -> None:
    """Raise DataNotCopied for a link that leads out of the data: both checkouts would write to what it leads to."""
    top = os.path.realpath(cache)
    for name in names:
        path = f"{top}/{name}"
        below = [path] if os.path.islink(path) else []
        below += [f"{path}/{each}" for each in trees.files_below(path)] if os.path.isdir(path) and not below else []
        for each in below:
            if not os.path.islink(each):
                continue
            leads_to = os.readlink(each)
            if os.path.isabs(leads_to) or not os.path.realpath(each).startswith(f"{top}/"):
                raise DataNotCopied(
                    f"`{each}` is a link to `{leads_to}`, which lies outside of the data",
                    hint="the two checkouts would share it; put there what it leads to, or copy the data by hand",
                    reason="link",
                )


@contextmanager
def _stopped(project: str, where: str) -> Iterator[None]:
    """Hold the supervisor record of a project in which no services run; raises DataNotCopied if some do."""
    dot_flox = f"{project}/.flox"
    running = DataNotCopied(
        f"services of `{project}` are running, so that its data change while they are copied"
        if where == "there"
        else "services are running here",
        hint=f"stop them first: esker services stop -d {project}",
        reason="running",
    )
    if services_are_running(dot_flox):
        raise running
    with files.refused("lock", record_path(dot_flox)):
        file = RecordFile(dot_flox)
    try:
        if not file.acquire(_PATIENCE):
            raise running
        record = file.read()
        is_here = record is not None and record.boot == process_id.boot_id()
        if record is not None and is_here and any(it.lives for it in (record.supervisor, *record.sessions)):
            raise running  # even the supervisor may be gone, and what it has started be left
        yield
    finally:
        file.close()


def _check_same_project(project: str, sibling: str, variables: Mapping[str, str]) -> None:
    """Raise DataNotCopied unless both are checkouts of one project.

    They are if they lie at the same place in two working trees with a common history. Where one is in no repository
    that we can read, their environments must have the same name.
    """
    if os.path.samefile(f"{project}/.flox", f"{sibling}/.flox"):
        raise DataNotCopied(
            f"`{sibling}` is this checkout itself", hint="name another checkout", reason="another-project"
        )
    here, there = _place_in_git(project, variables), _place_in_git(sibling, variables)
    if here is None or there is None:
        names = environment_name(project), environment_name(sibling)
        if names[0] == names[1]:
            return
        why = f"its environment is called `{names[1]}`, and this one `{names[0]}`"
    elif here[1] != there[1]:
        why = f"it lies at `{there[1] or '.'}` of its repository, and this one at `{here[1] or '.'}`"
    elif here[0] == there[0] or _first_commits(project, variables) & _first_commits(sibling, variables):
        return
    else:
        why = "their histories have no commit in common"
    raise DataNotCopied(
        f"`{sibling}` is not a checkout of the same project: {why}",
        hint="name another checkout of this project",
        reason="another-project",
    )


def _place_in_git(project: str, variables: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the repository of a working tree, and where a project lies in the tree; None if git does not say."""
    arguments = ["rev-parse", "--path-format=absolute", "--git-common-dir", "--show-prefix"]
    try:
        answer = os.fsdecode(run_git(arguments, variables, cwd=project)).split("\n")
    except (NotFound, HostError):  # no git, no repository, or another user's, of which git refuses to tell
        return None
    return os.path.realpath(answer[0]), answer[1]


def _first_commits(project: str, variables: Mapping[str, str]) -> frozenset[bytes]:
    try:
        return frozenset(run_git(["rev-list", "--max-parents=0", "HEAD"], variables, cwd=project).split())
    except CommandFailed:  # there is no commit yet
        return frozenset()
