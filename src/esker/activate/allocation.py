"""Automatic ports: each variable that asks for one gets a port that its checkout keeps and no other checkout gets.

A port is below the ports that the system gives to outgoing connections. The search for a free port begins at a number
that follows from the checkout's path and the variable's name, so it usually finds the same port again.

Two files remember the ports. The checkout's own file is `.flox/cache/esker/ports.json`; it names the checkout, because
a copy of the checkout has the file too. The user's file `$XDG_STATE_HOME/esker/ports.json` has the ports of all
checkouts, and is changed under a lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from esker.declare import project_directory
from esker.declare.discover import is_project
from esker.errors import HostError
from esker.host import files, ports, state_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from esker.declare.declaration import Declaration
    from esker.settings import Settings

__all__ = ["FIRST", "LAST", "allocate", "allocate_also", "expected"]

FIRST, LAST = 10_000, 32_767
_OWN = "a checkout's ports and services belong to one user: work in a clone of your own"
_PORT = re.compile("[0-9]{1,5}")


def allocate(declaration: Declaration, settings: Settings, *, renew: Collection[str] = ()) -> dict[str, int]:
    """Return the port, automatic or fixed, of every variable that a service of the declaration gives a port to.

    A checkout keeps an automatic port from the first time on, even if another program has taken it since. The services
    `renew`, containers among them, get new automatic ports. Raises HostError if the ports cannot be written down or no
    port is free.
    """
    declared, automatic, fixed = _declared(declaration)
    if not automatic and not renew:
        return declared
    return declared | _allocated(declaration, automatic, fixed, _state(settings), renew=renew)


def allocate_also(declaration: Declaration, settings: Settings, names: Iterable[str]) -> dict[str, int]:
    """Return a port for each of `names`, which are no variables, besides those of the declaration.

    The checkout keeps them like any other. Raises HostError as `allocate` does.
    """
    wanted = [*names]
    _, automatic, fixed = _declared(declaration)
    chosen = _allocated(declaration, [*automatic, *wanted], fixed, _state(settings))
    return {name: chosen[name] for name in wanted}


def expected(declaration: Declaration, settings: Settings) -> dict[str, int]:
    """Return what `allocate` would return now, and write nothing; a port that the checkout lacks is not reserved."""
    declared, automatic, fixed = _declared(declaration)
    if not automatic:
        return declared
    project = declaration.project
    reserved = _of_others(f"{_state(settings)}/ports.json", project)
    earlier = _earlier(_own(declaration.dot_flox), declaration)
    return declared | _chosen(project, automatic, earlier, fixed | reserved.keys())


def _declared(declaration: Declaration) -> tuple[dict[str, int], list[str], set[int]]:
    """Return the declared port of each variable, 0 for an automatic one; the names with 0; and the other ports."""
    declared = {name: port for table in declaration.esker.services.values() for name, port in table.ports.items()}
    automatic = [name for name in sorted(declared) if not declared[name]]
    return declared, automatic, {port for port in declared.values() if port}


def _own(dot_flox: str) -> str:
    return f"{dot_flox}/cache/esker/ports.json"


def _state(settings: Settings) -> str:
    """Return the directory in which the user's memory of ports is."""
    state = settings.own_state
    if state is None:
        raise HostError("cannot reserve ports: HOME is not set", hint="set HOME or XDG_STATE_HOME")
    return state


def _allocated(
    declaration: Declaration, names: list[str], fixed: set[int], state: str, *, renew: Collection[str] = ()
) -> dict[str, int]:
    project, own = declaration.project, _own(declaration.dot_flox)
    shared = f"{state}/ports.json"
    with ExitStack() as stack:
        directory = stack.enter_context(project_directory.writable(declaration.dot_flox, "cache", "esker", remedy=_OWN))
        with files.refused("make", state):
            files.make_directory(state)
        stack.enter_context(files.locked(f"{shared}.lock"))
        earlier = _earlier(own, declaration, directory)
        reserved = _of_others(shared, project)
        owners = {name: service for service, table in declaration.esker.services.items() for name in table.ports}
        renewed = {name for name in earlier if owners.get(name, name.partition(":")[0]) in renew}
        # Others than variables are asked for apart, so they stay where only variables are asked for.
        others = [name for name in earlier if not name.isidentifier() and name not in {*names, *renewed}]
        chosen = _chosen(project, [*names, *others], earlier, fixed | reserved.keys(), renewed)
        _write(shared, reserved | dict.fromkeys(chosen.values(), project))
        _write(own, {"project": project, "inode": _inode(declaration), "ports": chosen}, directory)
    return {name: chosen[name] for name in names}


def _chosen(
    project: str, names: list[str], earlier: Mapping[str, int], taken: set[int], renewed: Collection[str] = ()
) -> dict[str, int]:
    """Return a port for each name that is not among the `taken` ones: its earlier port, or a free one if `renewed`."""
    taken = set(taken)
    chosen: dict[str, int] = {}
    for name in names:
        port = earlier.get(name)
        if port is None or port in taken or name in renewed:
            unwanted = {port} if port else set()
            port = _free_port(project, name, taken | unwanted)
        chosen[name] = port
        taken.add(port)
    return chosen


def _free_port(project: str, name: str, taken: set[int]) -> int:
    for port in _candidates(project, name):
        if port not in taken and ports.is_free(port):
            return port
    raise HostError(f"no port from {FIRST} to {LAST} is free for `{name}`", hint="stop a program that listens on one")


def _candidates(project: str, name: str) -> Iterator[int]:
    """Yield every port of the range once, beginning at a number that the checkout and the name decide."""
    seed = hashlib.blake2b(os.fsencode(f"{project}\0{name}"), digest_size=8).digest()
    start = int.from_bytes(seed) % (LAST - FIRST + 1)
    yield from range(FIRST + start, LAST + 1)
    yield from range(FIRST, FIRST + start)


def _earlier(path: str, declaration: Declaration, directory: int | None = None) -> dict[str, int]:
    """Return the ports that a checkout's file remembers; none if it is damaged or came from another checkout.

    A checkout that was moved is still the same: its `.flox` keeps its inode, which a copy does not have.
    """
    record = _read(path, directory)
    entries = record.get("ports")
    is_own = record.get("project") == declaration.project or record.get("inode") == _inode(declaration)
    if not is_own or not isinstance(entries, dict):
        return {}
    return {name: port for name, port in entries.items() if isinstance(port, int) and FIRST <= port <= LAST}


def _inode(declaration: Declaration) -> int:
    return os.stat(declaration.dot_flox).st_ino


def _of_others(shared: str, project: str) -> dict[int, str]:
    return {port: owner for port, owner in _reserved(shared).items() if owner != project}


def _reserved(path: str) -> dict[int, str]:
    """Return the reserved ports, each with the path of its checkout, if this checkout still exists."""
    return {int(port): owner for port, owner in _read(path).items() if _PORT.fullmatch(port) and _is_checkout(owner)}


def _is_checkout(path: Any) -> bool:
    return isinstance(path, str) and is_project(path)


def _read(path: str, directory: int | None = None) -> dict[str, Any]:
    """Return the contents of a file of ports; an empty dictionary if it is missing or damaged."""
    place = path if directory is None else os.path.basename(path)
    above = os.path.dirname(path) if directory is None else directory
    with files.refused("read", path), suppress(ValueError, FileNotFoundError):
        return state_file.load(place, owners=[os.stat(above).st_uid], directory=directory)
    return {}


def _write(path: str, record: Mapping[Any, Any], directory: int | None = None) -> None:
    text = json.dumps(record, sort_keys=True, indent=1)
    files.write_changed(path, text.encode("ascii") + b"\n", directory=directory)
