"""What a Python project's virtual environment gives it: `TOOL`, for `runtimes.foreign`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.host import files
from esker.runtimes.foreign.tool import Inputs, Toolchain
from esker.runtimes.venv import directory
from esker.runtimes.venv.filling import fill, obstacles
from esker.runtimes.venv.project import python_project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.declare.declaration import Declaration
    from esker.errors import EskerError
    from esker.runtimes.foreign.choice import ToolChoice
    from esker.runtimes.foreign.tool import Request, Tool

__all__ = ["TOOL"]

_RECIPE = "1"
"""Changes when an environment of an earlier Esker has to be filled again."""


class _Venv:
    """uv as a tool that makes and fills virtual environments."""

    name = "venv"
    program = ""

    def choice(self, declaration: Declaration, choice: ToolChoice) -> ToolChoice:  # noqa: ARG002 - a Tool's
        """Return what a call has chosen, which must be nothing. Raises UsageError."""
        choice.check_nothing("a virtual environment", "leave it out")
        return choice

    def inputs(self, request: Request) -> Inputs:
        """Return the files that say what is in the environment, and those by which it is known to be as it was."""
        project = python_project(request.project)
        own = (project.venv, f"{project.venv}/pyvenv.cfg", f"{project.venv}/bin/python")
        words = (_RECIPE, request.settings.python or "")
        return Inputs(words, (*project.deciding, *own), remarks=project.remarks, trees=(project.root,))

    def obstacles(self, request: Request) -> Iterator[EskerError]:
        """Yield what keeps the environment from being made or used."""
        yield from obstacles(python_project(request.project), request.settings)

    def learned(self, request: Request, inputs: Inputs) -> tuple[str, ...]:  # noqa: ARG002 - a Tool's
        """Fill the environment, and return its interpreter, which lies elsewhere.

        It is filled here and not in `toolchain`, because it is itself among the files that decide.
        """
        project = python_project(request.project)
        fill(project, request.settings, request.progress)
        return (os.path.realpath(directory.python(project.venv)),)

    def toolchain(self, request: Request) -> Toolchain:
        """Return the changes of variables that the environment's own activation scripts make."""
        venv = python_project(request.project).venv
        files.replace_link(request.root, venv)
        activation = directory.activation(venv)
        lists = {name: os.pathsep.join(parts) for name, parts in activation.prepend.items()}
        return Toolchain(variables=activation.set, lists=lists, unset=activation.unset)


TOOL: Tool = _Venv()
