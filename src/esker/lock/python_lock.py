"""Making the Python part of a lock: from the project's own uv.lock if that covers everything, else resolved here."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from esker.errors import ResolutionFailed
from esker.formats import pylock
from esker.host.uv import uv_command
from esker.lock.build_requirements import check_not_locked, resolved_build, with_source_builds
from esker.lock.own_project import own_project
from esker.lock.pyproject import read_pyproject
from esker.lock.pythons import allowed_pythons, minors_within
from esker.lock.upgrade import upgraded
from esker.lock.uv_lock import UvLocked, uncovered, uv_locked
from esker.lock.uv_settings import UvSettings
from esker.lock.wheels import resolve

if TYPE_CHECKING:
    from packaging.pylock import Pylock

    from esker.declare.declaration import Declaration
    from esker.host.interpreters import Interpreter, Interpreters
    from esker.progress import Progress
    from esker.settings import Settings

__all__ = ["PythonLock", "Upgrade"]

Upgrade = bool | frozenset[str]
"""Which packages do not stay pinned: all of them, none, or those of these names."""


class PythonLock(NamedTuple):
    """A lock of Python packages that is to be made."""

    declaration: Declaration
    inputs: pylock.Inputs
    settings: Settings
    interpreters: Interpreters
    before: Pylock | None
    """The last lock; what it pins stays as far as `upgrade` allows."""
    upgrade: Upgrade
    chosen: str | None
    """The minor version of Python that somebody has asked for."""
    progress: Progress

    def made(self, interpreter: Interpreter) -> Pylock:
        """Return the lock: for the interpreter's minor version, or for the Pythons of a uv.lock that is taken over."""
        pyproject = read_pyproject(self.declaration)
        if pyproject is None:
            return self._resolved(interpreter, None)
        uv = uv_locked(self.declaration, pyproject, interpreter.executable, self.settings.tools)
        reason = uv.reason
        if uv.lock is not None:
            user = self._user(uv.lock) or interpreter
            reason = self._uncovered(uv, user)
            if not reason:
                self._check_versions_of(uv.lock)
                return self._with_builds(uv.lock, user, every_python=True)
        if reason:
            where = "here" if uv.lock is None else "here, with its versions where they fit"
            self.progress.remark(f"uv.lock is not taken over: {reason}. The packages are resolved {where}")
        return self._resolved(interpreter, uv.lock)

    def _user(self, lock: Pylock) -> Interpreter | None:
        """Return the interpreter that a lock would be installed for."""
        limits = (str(lock.requires_python or ""), self.inputs.python)
        return self.interpreters.first(",".join(filter(None, limits)))

    def _uncovered(self, uv: UvLocked, interpreter: Interpreter) -> str:
        """Return why a uv.lock does not cover everything; empty if it does."""
        assert uv.lock is not None
        pythons = uv.lock.requires_python
        if pythons is not None and not pythons.contains(interpreter.version, prereleases=True):
            return f"it is for Python `{pythons}`"
        every = allowed_pythons(self.declaration).every
        minors = minors_within(self.inputs.python) if every else ("{}.{}".format(*interpreter.release),)
        return uncovered(uv, self.inputs, self.declaration, minors)

    def _check_versions_of(self, lock: Pylock) -> None:
        """Say where versions come from if somebody wants others; raise ResolutionFailed for a chosen Python."""
        if self.chosen is not None:
            raise ResolutionFailed(
                f"one Python cannot be chosen: the lock is that of uv.lock, which is for `{lock.requires_python}`",
                hint=f'to use that one: version = "{self.chosen}" in [plugins.esker.python]',
            )
        names = {each.name for each in lock.packages}
        if self.upgrade is True or (self.upgrade and self.upgrade & names):
            self.progress.remark(f"the versions are those of uv.lock; to upgrade them: {uv_command()} lock --upgrade")

    def _resolved(self, interpreter: Interpreter, uv_pins: Pylock | None) -> Pylock:
        """Return the lock as it is resolved here; what `uv_pins` has, that of a uv.lock, is never upgraded."""
        every, pyproject = allowed_pythons(self.declaration).every, read_pyproject(self.declaration)
        changed = _changed(pylock.inputs(self.before) if self.before else None, self.inputs)

        def again(previous: Pylock | None, firm: frozenset[str] = frozenset()) -> Pylock:
            return resolve(
                self.inputs,
                interpreter,
                self.settings.tools,
                previous=_pinned_by_both(uv_pins, previous, changed) if uv_pins else previous,
                changed=frozenset() if uv_pins else changed,
                firm=firm,
                upgrade=self.upgrade,
                every_python=every,
                settings=pyproject.uv if pyproject else UvSettings(),
                progress=self.progress,
            )

        if self.before is None or not isinstance(self.upgrade, frozenset):
            resolved = again(self.before)
        else:
            names = self.upgrade | changed
            resolved = upgraded(names, self.before, lambda pinned: again(pinned, names))
        return self._with_builds(resolved, interpreter, every_python=every)

    def _with_builds(self, lock: Pylock, interpreter: Interpreter, *, every_python: bool) -> Pylock:
        """Return a lock with what its packages from sources, and the project itself, need to be built."""
        project, pyproject = own_project(self.declaration), read_pyproject(self.declaration)
        uv, tools = pyproject.uv if pyproject else UvSettings(), self.settings.tools
        lock = with_source_builds(
            lock, self.inputs, interpreter, tools, settings=uv, previous=self.before, every_python=every_python
        )
        if project is None:
            return lock
        check_not_locked(project, lock)
        build = resolved_build(
            project,
            self.inputs,
            interpreter,
            tools,
            previous=self.before,
            new=lock,
            every_python=every_python,
            settings=uv,
        )
        return pylock.with_build_requirements(lock, {project.name: build})


def _pinned_by_both(uv_pins: Pylock, before: Pylock | None, changed: frozenset[str]) -> Pylock:
    """Return the packages of a uv.lock, and those of the last lock that it does not have and that may stay.

    A single version of a package is for every system, also for one that uv.lock leaves out.
    """
    count = Counter(each.name for each in uv_pins.packages)
    pins = [dataclasses.replace(it, marker=None) if count[it.name] == 1 else it for it in uv_pins.packages]
    others = [each for each in before.packages if each.name not in {*count, *changed}] if before else []
    return dataclasses.replace(uv_pins, packages=[*pins, *others])


def _changed(before: pylock.Inputs | None, after: pylock.Inputs) -> frozenset[str]:
    """Return the names whose requirement has changed, so that their old pins do not bind any more."""
    if before is None:
        return frozenset()
    different = set(before.requirements) ^ set(after.requirements)
    return frozenset(canonicalize_name(Requirement(text).name) for text in different)
