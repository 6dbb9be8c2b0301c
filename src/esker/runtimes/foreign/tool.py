"""What another tool, such as Nix, has to say so that it can give a project its toolchain.

A module of such a tool has a `TOOL`, which the registry names. Everything else is the same for every tool: the result
is kept until one of the inputs has changed, each start runs the tool's hook once, and shells take over what it leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.declare.declaration import Declaration
    from esker.errors import EskerError
    from esker.progress import Progress
    from esker.runtimes.foreign.choice import ToolChoice
    from esker.settings import Settings

__all__ = ["MOST_FILES", "Inputs", "Request", "Tool", "Toolchain"]

MOST_FILES = 5000
"""Of a project with more files, only those count that its tool evaluates, and those that it is told to watch."""


class Request(NamedTuple):
    """What is asked of a tool."""

    declaration: Declaration
    """The project, with what `[plugins.esker]` says of the tool."""
    settings: Settings
    choice: ToolChoice
    """What this call has chosen, and what the manifest says where it has chosen nothing."""
    root: str
    """The path of a link that the tool makes to its result, so that its garbage collector keeps that."""
    progress: Progress

    @property
    def project(self) -> str:
        """The project directory."""
        return self.declaration.project


class Inputs(NamedTuple):
    """Everything that a tool's result depends on."""

    words: tuple[str, ...]
    """Facts in a fixed order, such as the version of the tool and the caller's variables that it reads."""
    files: tuple[str, ...]
    """Files whose content decides, absolute; a link counts as itself, and a missing file may appear."""
    signs: tuple[str, ...] = ()
    """Files and directories which change whenever the list of the files may have, but whose content does not count."""
    variables: tuple[str, ...] = ()
    """The names of the caller's variables that the words were made from."""
    remarks: tuple[str, ...] = ()
    """What a person should know about the inputs, told when the tool is asked."""
    trees: tuple[str, ...] = ()
    """Directories beside the project's own whose files are code of the project, too, such as that of a workspace."""


class Toolchain(NamedTuple):
    """What a tool gives a project."""

    variables: Mapping[str, str] = {}
    """The variables that it sets."""
    lists: Mapping[str, str] = {}
    """List variables whose elements, joined, come before the caller's."""
    separators: Mapping[str, str] = {}
    """What separates the elements of a list, where `activate.lists` does not know it or says something else."""
    unset: Sequence[str] = ()
    """The variables that it unsets."""
    declarations: str = ""
    """Bash text for everything that is no variable of programs; `left_in_bash.declared` makes it."""
    hook: str = ""
    """A script that a bash runs at each start."""
    has_temporary: bool = False
    """Whether each start has a directory of its own for temporary files."""


class Tool(Protocol):
    """A tool that gives a project its toolchain.

    A class that says `Tool` is its base may leave `obstacles` and `learned` out if it can tell neither.
    """

    name: str
    """The name of its runtime and of its table in `[plugins.esker]`."""
    program: str
    """The name of its program on PATH; empty if it comes with Esker."""

    def choice(self, declaration: Declaration, choice: ToolChoice) -> ToolChoice:
        """Return what a call has chosen, with what the manifest says in place of what it has not chosen."""

    def inputs(self, request: Request) -> Inputs:
        """Return what the result depends on, without asking the tool itself."""

    def obstacles(self, request: Request) -> Iterator[EskerError]:  # noqa: ARG002 - for tools that can tell
        """Yield what keeps the tool from answering, as far as it shows without the project's code; changes nothing."""
        yield from ()

    def learned(self, request: Request, inputs: Inputs) -> tuple[str, ...]:  # noqa: ARG002 - the same
        """Return further files whose content decides, which only the tool can name; it is asked before `toolchain`."""
        return ()

    def toolchain(self, request: Request) -> Toolchain:
        """Ask the tool, and make the link `root` to its result.

        Raises ActivationFailed with the tool's own message.
        """
