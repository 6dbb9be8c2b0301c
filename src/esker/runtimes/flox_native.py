"""Esker itself as an engine of the Flox integration: no Flox is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.activate.active import PROCESS, begin
from esker.errors import CommandFailed, UsageError
from esker.host import files, process, variables
from esker.runtimes.native import runtime as native

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from subprocess import CompletedProcess

    from esker.activate.active import Begun
    from esker.declare.edit import Edit
    from esker.host.clock import Deadline
    from esker.runtimes.flox_engine import EngineServices

__all__ = ["FLOX_VERSION", "Native"]

FLOX_VERSION = "1.14.1"
"""The Flox whose behaviour Esker has."""
_PREFIX = "pypi/"


class Native:
    """The environment of one project (absolute, links resolved), played by Esker."""

    name = "native"

    def __init__(self, project: str) -> None:
        self.project = project

    @property
    def key(self) -> str:
        """What names this activation among those of the process: that of `Environment`, with which it nests."""
        return f"{self.project}\0"

    @property
    def services(self) -> EngineServices:
        """Its services."""
        from esker.runtimes.flox_native_services import NativeServices

        return NativeServices(self)

    def version(self) -> str:
        """Return the version of Flox that this behaves like."""
        return FLOX_VERSION

    def begin(self, environ: Mapping[str, str], deadline: Deadline) -> Begun:
        """Return what an activation changes in `environ`, and what ends it; the deadline is the hook's."""
        return begin(native.prepare(self.project, environ), environ, deadline)

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        capture: bool = True,
        stdin: str | None = None,
        deadline: Deadline,
    ) -> CompletedProcess[str]:
        """Run a program in the environment; its status is the result's, whatever it is."""
        from subprocess import CompletedProcess

        environ = variables.current()
        inside, end = environ, None
        if self.key not in PROCESS.holders:
            activation, end = self.begin(environ, deadline)
            inside = activation.apply(environ)
        try:
            return process.run(
                argv, environ=inside, cwd=cwd, capture=capture, stdin=stdin, check=False, timeout=deadline
            )
        except CommandFailed as error:  # it did not start: Flox, too, says so and has a shell's status
            return CompletedProcess(list(argv), error.status, "", f"{error.message}\n")
        finally:
            if end is not None:
                end()

    def init(self, name: str | None) -> None:
        """Make an environment in the project."""
        from esker.declare.template import create

        create(self.project, name, home=variables.current().get("HOME"))

    def install(self, packages: Sequence[str], deadline: Deadline) -> None:  # noqa: ARG002 - uv has its own limits
        """Add Python packages to the environment."""
        from esker.declare.edit import with_requirements

        self._change(with_requirements(self._manifest(), [_requirement(package) for package in packages]))

    def uninstall(self, packages: Sequence[str], deadline: Deadline) -> None:  # noqa: ARG002 - as install
        """Take Python packages out of the environment."""
        from esker.declare.edit import without_requirements

        self._change(without_requirements(self._manifest(), [_requirement(package) for package in packages]))

    def lock(self, deadline: Deadline) -> None:  # noqa: ARG002 - as install
        """Lock the manifest, where its lock does not say the same already."""
        from esker.declare.load import load
        from esker.progress import Silent
        from esker.runtimes.native.preparation import alone, lock_project

        with alone(self.project):
            lock_project(load(self.project), variables.current(), progress=Silent())

    def _manifest(self) -> str:
        from esker.runtimes.native.change import check_no_backup, manifest_path

        check_no_backup(self.project)
        path = manifest_path(self.project)
        with files.refused("read", path), open(path, encoding="utf-8") as file:
            return file.read()

    def _change(self, edit: Edit) -> None:
        from esker.progress import Silent
        from esker.runtimes.native.change import change_manifest

        change_manifest(self.project, edit.text, variables.current(), progress=Silent())


def _requirement(package: str) -> str:
    if not package.startswith(_PREFIX):
        raise UsageError(
            f"`{package}` has no origin that Esker can install from yet",
            hint=f"a Python package or a tool that ships as a wheel is `{_PREFIX}{package}`; Flox installs the others",
        )
    return package.removeprefix(_PREFIX)
