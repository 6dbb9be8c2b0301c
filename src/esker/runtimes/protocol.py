"""What a runtime is: what gives a project its toolchain and variables on the host.

A module that gives a runtime has a function `runtime(project, mode)`, and `registry` names the module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from esker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.activate.active import Begun
    from esker.declare.declaration import Declaration
    from esker.host.clock import Deadline
    from esker.settings import Settings

__all__ = ["Runtime"]


class Runtime(Protocol):
    """The runtime of one project.

    A class that says `Runtime` is its base has to define `name`, `project` and `begin`.
    """

    name: str
    """What the registry calls this kind of runtime."""
    project: str
    """The project directory, absolute, with links resolved."""

    def begin(self, environ: Mapping[str, str], deadline: Deadline | None = None) -> Begun:
        """Begin an activation: return what activating the project changes in a caller's variables.

        Sets nothing in this process. May lock, install and run code of the project, after its trust was checked.
        """

    def ask(self, choice: str, *, refresh: bool) -> None:
        """Let activations ask this of the tool that gives the toolchain, where one does.

        `choice` is as `ToolChoice.text` says it; with `refresh`, the last answer does not count. Raises UsageError.
        """
        if choice or refresh:
            message = f"the runtime `{self.name}` asks no other tool for a toolchain"
            raise UsageError(message, hint="leave out what asks for it")

    def declaration(self, settings: Settings) -> Declaration | None:  # noqa: ARG002 - for runtimes that have one
        """Return what a project without `.flox` declares; None if `.flox` says it."""
        return None

    def inherited(
        self,
        environ: Mapping[str, str],  # noqa: ARG002 - for runtimes that have more to say
        base: Mapping[str, str],  # noqa: ARG002 - the same
        deadline: Deadline | None = None,  # noqa: ARG002 - the same
    ) -> Begun | None:
        """Return what the activation that a caller has inherited would change in `base`, some of its variables.

        None where the caller has inherited none, so that services need an activation of their own.
        """
        return None
