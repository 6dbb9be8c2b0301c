"""The virtual environments that this interpreter imports from: `sys.path`, `sys.prefix`, finders and modules.

Each environment adds entries, and leaving takes out exactly these, in any order: what the program itself has put into
`sys.path` meanwhile stays. Leaving also takes the environment's modules out of `sys.modules`, because nothing can import
them any more. They are kept aside until it is entered again, so that there is only one of each: many a module with C code
cannot be imported twice.

Callers hold the lock of `activate.active.PROCESS`.
"""

from __future__ import annotations

import importlib
import os
import site
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["enter", "forget", "leave", "refresh"]


class _Entered(NamedTuple):
    """One environment that this process imports from."""

    prefix: str
    paths: list[str]
    """What it has added to `sys.path`, in that order."""
    finders: list[Any]
    """What its `.pth` files have added to `sys.meta_path`, as editable packages do."""
    modules: frozenset[str]
    """The names of the modules that were loaded before."""


_entered: list[_Entered] = []
"""Oldest first."""
_base: list[str] = []
"""`sys.prefix` and `sys.exec_prefix` without any of them."""
_aside: dict[str, dict[str, ModuleType]] = {}
"""The modules of environments that were left, by prefix."""


def enter(prefix: str, packages: str | None) -> None:
    """Import from the directory `packages` first, and from where its `.pth` files lead; None adds nothing to the path.

    The `.pth` files are read as Python does at its start; the code in them runs.
    """
    modules, finders = frozenset(sys.modules), list(sys.meta_path)
    paths = [] if packages is None else _added(packages)
    sys.modules.update({name: module for name, module in _aside.pop(prefix, {}).items() if name not in modules})
    if not _entered:
        _base[:] = [sys.prefix, sys.exec_prefix]
    new = [finder for finder in sys.meta_path if not any(finder is other for other in finders)]
    _entered.append(_Entered(prefix, paths, new, modules))
    if packages is not None:
        sys.prefix = sys.exec_prefix = prefix
    importlib.invalidate_caches()


def _added(packages: str) -> list[str]:
    """Put a directory of packages, and what its `.pth` files name, in front of `sys.path`, and return them."""
    before = Counter(sys.path)
    site.addsitedir(packages, set())  # an empty set: what is on the path already is put in front all the same
    added: list[str] = []
    rest: list[str] = []
    for path in sys.path:  # Python appends, so that of two equal ones the later is new
        (rest if before[path] > 0 else added).append(path)
        before[path] -= 1
    sys.path[:] = [*added, *rest]
    return added


def leave(prefix: str) -> None:
    """Undo what `enter` has changed for an environment, the newest or not."""
    at = max(index for index, entry in enumerate(_entered) if entry.prefix == prefix)
    entry = _entered.pop(at)
    for path in entry.paths:
        if path in sys.path:
            sys.path.remove(path)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not any(finder is other for other in entry.finders)]
    if sys.prefix == prefix:
        shown = [each.prefix for each in _entered if each.paths]
        sys.prefix, sys.exec_prefix = (shown[-1], shown[-1]) if shown else _base
    _aside[prefix] = {name: sys.modules.pop(name) for name in _own_modules(entry)}
    importlib.invalidate_caches()


def _own_modules(entry: _Entered) -> list[str]:
    """Return the names of the modules that were loaded from an environment, and that nothing else on the path holds."""
    roots = tuple(f"{path}{os.sep}" for path in entry.paths if path not in sys.path)
    return [
        name
        for name, module in list(sys.modules.items())
        if name not in entry.modules and roots and str(_place(module)).startswith(roots)
    ]


def _place(module: ModuleType) -> str | None:
    """Return the file of a module, or the directory of a namespace package."""
    file = getattr(module, "__file__", None)
    if file is not None:
        return str(file)
    try:
        return next(iter(getattr(module, "__path__", ())), None)
    except Exception:  # noqa: BLE001  # a foreign object in sys.modules may do anything
        return None


def forget(prefix: str) -> None:
    """Forget the modules of an environment that is gone: another one at the same place has modules of its own."""
    _aside.pop(prefix, None)


def refresh() -> None:
    """Let this process notice packages that were installed into an environment it has entered."""
    importlib.invalidate_caches()
