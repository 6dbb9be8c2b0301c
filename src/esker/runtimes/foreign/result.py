"""The toolchain of a project, as its tool gives it or as it is kept, and what a plan needs to notice a change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.activate import plan as plans
from esker.activate.program_of_tool import program_of_tool
from esker.errors import ActivationFailed, EskerError, NotFound
from esker.host import files
from esker.progress import Silent
from esker.runtimes import registry
from esker.runtimes.foreign import kept as keeping
from esker.runtimes.foreign.choice import ToolChoice
from esker.runtimes.foreign.kept import Kept
from esker.runtimes.foreign.place import word
from esker.runtimes.foreign.tool import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from esker.declare.declaration import Declaration
    from esker.progress import Progress
    from esker.runtimes.foreign.tool import Inputs, Tool, Toolchain
    from esker.settings import Settings

__all__ = ["Result", "obstacles", "result", "tool"]


class Result(NamedTuple):
    """The toolchain of a project."""

    toolchain: Toolchain
    tool: str
    program: str | None
    """The tool's program, which PATH led to; None if it came with Esker."""
    choice: str
    stats: tuple[plans.Fingerprint, ...]
    """Of the link that keeps the result, and of the tool's program."""
    watched: tuple[str, ...]
    watched_state: str
    inputs: tuple[tuple[str, str | None], ...]
    """The caller's variables that decided, with their values."""
    is_kept: bool = True
    """Whether a later activation may take it."""

    def fields(self) -> dict[str, Any]:
        """Return the fields of a plan that say all this, except for `stats` and `inputs`, which have more parts."""
        return {
            "tool": self.tool,
            "tool_program": self.program,
            "tool_choice": self.choice,
            "tool_vars": dict(self.toolchain.variables),
            "tool_lists": dict(self.toolchain.lists),
            "tool_unset": tuple(self.toolchain.unset),
            "tool_separators": dict(self.toolchain.separators),
            "tool_declarations": self.toolchain.declarations or None,
            "tool_hook": self.toolchain.hook or None,
            "has_temporary": self.toolchain.has_temporary,
            "watched": self.watched,
            "watched_state": self.watched_state,
        }


def tool(name: str) -> Tool:
    """Return the tool of a runtime."""
    module = registry.RUNTIMES[name].tool
    assert module is not None, name
    found: Tool = __import__(module, fromlist=["TOOL"]).TOOL
    return found


def obstacles(
    declaration: Declaration, name: str, settings: Settings, *, check: Callable[[Iterable[str]], object]
) -> Iterator[EskerError]:
    """Yield what keeps the tool `name` from giving a project its toolchain, as `result` would find it.

    The tool may be started, but no code of the project is, and nothing is changed.
    """
    try:
        own, _, request, _ = _asked(declaration, name, settings, Silent(), check)
    except EskerError as error:
        yield error
    else:
        yield from own.obstacles(request)


def _asked(
    declaration: Declaration,
    name: str,
    settings: Settings,
    progress: Progress,
    check: Callable[[Iterable[str]], object],
) -> tuple[Tool, str | None, Request, Inputs]:
    """Return the tool, its program, what it is asked and what its answer depends on, after everything was checked."""
    check(())  # git, too, runs what a repository names
    own = tool(name)
    program = program_of_tool(own.program, settings.caller.get("PATH")) if own.program else None
    if program is None and own.program:
        message = f"`{own.program}` is not on PATH, and `{declaration.project}` is declared for it"
        raise NotFound(message, hint=f"install {own.program}, or name another declaration: --runtime")
    choice = own.choice(declaration, ToolChoice.of(settings.tool_choice))
    name_of_root = f"{name}-{choice.shell or 'default'}" if choice.text else name
    root = f"{declaration.dot_flox}/run/{word(name_of_root)}"
    request = Request(declaration, settings, choice, root, progress)
    inputs = own.inputs(request)
    trees = tuple(f"{tree}/" for tree in (declaration.project, *inputs.trees))
    check(path for path in inputs.files if path.startswith(trees))
    return own, program, request, inputs


def result(
    declaration: Declaration,
    name: str,
    settings: Settings,
    progress: Progress,
    *,
    check: Callable[[Iterable[str]], object],
    look: bool = False,
) -> Result:
    """Return what the tool `name` gives a project: what is kept, if it still holds, or its answer now, which is kept.

    The files that decide are given to `check` before, which refuses those that a stranger can change. With `look`, the
    tool is not asked. Raises NotFound if it is not installed, and ActivationFailed if it refuses, or
    if nothing is kept and it may not be asked.
    """
    own, program, request, inputs = _asked(declaration, name, settings, progress, check)
    choice, root = request.choice, request.root
    path = keeping.kept_path(declaration.dot_flox, name, choice.text)
    kept = None if settings.tool_refresh or choice.impure else keeping.read(path)
    learned = () if kept is None else kept.learned
    watched = tuple(dict.fromkeys((*inputs.files, *inputs.signs, *learned)))
    watched_state = plans.state_of(watched)
    if kept is None or not os.path.exists(root) or not kept.holds(inputs, settings.caller):
        if look:
            raise ActivationFailed(
                f"`{declaration.project}` has to ask {own.program or 'uv'} for its environment first",
                hint="esker activate -- true",
            )
        for remark in inputs.remarks:
            progress.remark(remark)
        learned = own.learned(request, inputs)
        watched = tuple(dict.fromkeys((*inputs.files, *inputs.signs, *learned)))
        watched_state = plans.state_of(watched)
        contents = keeping.records({*inputs.files, *learned}, kept.contents if kept else {})
        files.make_directory(os.path.dirname(root), mode=0o755)
        kept = Kept(inputs.words, _variables(inputs, settings), learned, contents, own.toolchain(request))
        if not choice.impure:
            keeping.write(path, declaration.dot_flox, kept)
    return Result(
        kept.toolchain,
        name,
        program,
        settings.tool_choice,
        plans.fingerprints([root, *([program] if program else [])]),
        watched,
        watched_state,
        tuple(kept.variables.items()),
        not choice.impure,
    )


def _variables(inputs: Inputs, settings: Settings) -> dict[str, str | None]:
    return {name: settings.caller.get(name) for name in inputs.variables}
