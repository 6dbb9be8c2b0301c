"""How the Flox integration makes an environment and changes what is in it: by Esker itself, or by Flox's command."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Protocol

from esker.errors import InvalidManifest, UsageError
from esker.host import files, variables
from esker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.activate.flox.command import FloxCommand
    from esker.host.clock import Deadline

__all__ = ["Editor", "FloxEditor", "NativeEditor", "editor"]

_PREFIX = "pypi/"


class Editor(Protocol):
    """What changes the environment of one project (absolute, links resolved)."""

    def version(self) -> str:
        """Return the version of Flox that this is, or behaves like."""

    def init(self, name: str | None) -> None:
        """Make an environment in the project."""

    def install(self, packages: Sequence[str], deadline: Deadline) -> None:
        """Add packages to the manifest and its lock."""

    def uninstall(self, packages: Sequence[str], deadline: Deadline) -> None:
        """Take packages out of the manifest and its lock."""

    def lock(self, deadline: Deadline) -> None:
        """Lock the manifest; nothing is written where its lock says the same already."""


class NativeEditor:
    """Esker itself; its deadlines are uv's own."""

    def __init__(self, project: str) -> None:
        self._project = project

    def version(self) -> str:
        """Return the version of Flox that this behaves like."""
        from esker.activate.flox import VERSION

        return VERSION

    def init(self, name: str | None) -> None:
        """Make an environment in the project."""
        from esker.declare.template import create

        create(self._project, name, home=variables.current().get("HOME"))

    def install(self, packages: Sequence[str], deadline: Deadline) -> None:  # noqa: ARG002
        """Add Python packages to the manifest, or to the pyproject.toml that it names, and to the lock."""
        from esker.progress import Silent
        from esker.runtimes.native.change import check_changeable
        from esker.runtimes.native.packages import install

        check_changeable(self._project, variables.current())
        requirements = [_requirement(package) for package in packages]
        settings = Settings(variables.current())
        install(self._project, self._manifest(), requirements, settings, progress=Silent())

    def uninstall(self, packages: Sequence[str], deadline: Deadline) -> None:  # noqa: ARG002
        """Take Python packages out of the manifest, the pyproject.toml that it names, and the lock."""
        from esker.progress import Silent
        from esker.runtimes.native.change import check_changeable
        from esker.runtimes.native.packages import uninstall

        check_changeable(self._project, variables.current())
        for package in packages:
            _requirement(package)  # for its errors; with its prefix a name is never that of [install]
        settings = Settings(variables.current())
        uninstall(self._project, self._manifest(), packages, settings, progress=Silent())

    def lock(self, deadline: Deadline) -> None:  # noqa: ARG002
        """Lock the manifest; nothing is written where its lock says the same already."""
        from esker.declare.load import load
        from esker.progress import Silent
        from esker.runtimes.native.change import check_changeable
        from esker.runtimes.native.locking import lock_project
        from esker.runtimes.native.project_lock import alone

        check_changeable(self._project, variables.current())
        settings = Settings(variables.current())
        with alone(self._project):
            lock_project(load(self._project), settings, settings.interpreters(Silent()), progress=Silent())

    def _manifest(self) -> str:
        from esker.declare.load import manifest_path
        from esker.declare.validate import read_text
        from esker.runtimes.native.swap import put_in_order

        put_in_order(self._project)
        path = manifest_path(self._project)
        text = files.read_text(path, InvalidManifest)
        read_text(text, path)  # for its errors, with the whole path
        return text


class FloxEditor:
    """The `flox` on PATH."""

    def __init__(self, command: FloxCommand) -> None:
        self._command = command

    def version(self) -> str:
        """Return the version of Flox."""
        return self._command.version()

    def init(self, name: str | None) -> None:
        """Make an environment in the project."""
        given = [] if name is None else ["-n", name]
        self._command.call("init", "--no-auto-setup", *given)

    def install(self, packages: Sequence[str], deadline: Deadline) -> None:
        """Add packages to the manifest and its lock."""
        self._command.call("install", names=packages, deadline=deadline)

    def uninstall(self, packages: Sequence[str], deadline: Deadline) -> None:
        """Take packages out of the manifest and its lock."""
        self._command.call("uninstall", names=packages, deadline=deadline)

    def lock(self, deadline: Deadline) -> None:
        """Lock the manifest; nothing is written where its lock says the same already."""
        from esker.lock import lock_files

        directory = f"{self._command.project}/.flox/env"
        lock = f"{directory}/manifest.lock"
        previous = ["-l", lock] if os.path.exists(lock) else []
        words = ["lock-manifest", *previous, f"{directory}/manifest.toml"]
        text = self._command.answer(words, "lock-manifest", parse=_whole_lock, deadline=deadline)
        lock_files.put(lock, f"{text.rstrip()}\n".encode())


def editor(engine: str, project: str) -> Editor:
    """Return what changes the environment of a project, for an engine (`flox` or `native`)."""
    if engine == "flox":
        from esker.activate.flox.command import FloxCommand

        return FloxEditor(FloxCommand(project))
    return NativeEditor(project)


def _whole_lock(text: str) -> str:
    """Return a lock's text; raises KeyError or ValueError for what is none."""
    json.loads(text)["lockfile-version"]
    return text


def _requirement(package: str) -> str:
    if not package.startswith(_PREFIX):
        raise UsageError(
            f"`{package}` is not a package that Esker can install yet",
            hint=f"a Python package or a tool that ships as a wheel is `{_PREFIX}{package}`; Flox installs the others",
        )
    return package.removeprefix(_PREFIX)
