"""What a shell does to enter and to leave environments, worked out once for every kind of shell.

Each step is a value. The modules `bash`, `zsh`, `fish` and `tcsh` render the steps as text of their shell.
"""

from __future__ import annotations

import os

from esker.activate.composition import TOOL_HOOKS, is_started
from esker.activate.lists import (
    ACTIVE_ENVIRONMENTS,
    LISTS,
    PROMPT_ENVIRONMENTS,
    active_environments,
    dot_flox_of,
    elements,
)
from esker.activate.plan import plan_path, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import NamedTuple

    from esker.activate.difference import Activation
    from esker.activate.plan import Plan
    from esker.activate.prompt.watched import Watch
    from esker.activate.shells.undo import Departure
else:
    from esker.host.named_tuple import NamedTuple

__all__ = [
    "AtPrompt",
    "Exit",
    "First",
    "Forget",
    "Front",
    "Function",
    "LastLeft",
    "Own",
    "Prompt",
    "PromptBefore",
    "Recorded",
    "Script",
    "SearchAnew",
    "Source",
    "Step",
    "Undo",
    "Variables",
    "Watching",
    "entering",
    "function_name",
    "leaving",
    "opening",
    "sourcing",
]


class Variables(NamedTuple):
    """Set variables, and unset those that are None."""

    changes: Mapping[str, str | None]
    back: bool = False
    """Whether these are the values from before the activation."""


class Front(NamedTuple):
    """Put elements in front of a list whose separator is a colon, and others at its end, unless it has `value`."""

    name: str
    value: str
    front: tuple[str, ...]
    last: tuple[str, ...]


class First(NamedTuple):
    """Put an element in front of a list that begins, is separated and ends otherwise, unless it has `value`."""

    name: str
    value: str
    element: str
    opening: str
    separator: str
    closing: str


class Script(NamedTuple):
    """A script of a project's manifest."""

    dot_flox: str
    name: str
    """`profile.common`, for example."""
    text: str

    @property
    def manifest(self) -> str:
        """The path of the manifest."""
        return f"{self.dot_flox}/env/manifest.toml"


class Source(NamedTuple):
    """Source the profile scripts of the environment with the run link `link`, unless this very shell has done so."""

    link: str
    scripts: tuple[Script, ...]


class Undo(NamedTuple):
    """Source the scripts of `[profile.deactivate]`, if this very shell has sourced those of `[profile]`."""

    link: str
    scripts: tuple[Script, ...]


class Forget(NamedTuple):
    """Forget that this shell has sourced the environment's scripts."""

    link: str


class Recorded(NamedTuple):
    """Source scripts, and add what they change in variables and prompt to what leaving will undo."""

    sources: tuple[Source, ...]
    program: str


class Own(NamedTuple):
    """Remember that Esker has started this shell for an environment, so that leaving the environment ends it."""

    dot_flox: str


class Exit(NamedTuple):
    """End the shell if Esker has started it for this environment."""

    dot_flox: str
    program: str


class SearchAnew(NamedTuple):
    """Search PATH for a program each time, because the environment may change while it is active."""


class Prompt(NamedTuple):
    """Show the names of the active environments before an interactive shell's prompt."""

    program: str


class PromptBefore(NamedTuple):
    """Undo what profile scripts did to the prompt, unless it has been changed since."""

    before: str | None
    after: str | None
    exported: bool


class Function(NamedTuple):
    """Define a function or alias with the name of the command, through which `deactivate` changes the shell itself."""

    program: str


class LastLeft(NamedTuple):
    """Undo what `SearchAnew`, `Prompt` and `Function` did, and remove every variable that Esker keeps in the shell."""

    program: str


class AtPrompt(NamedTuple):
    """Have the shell ask the command `program` at each prompt, if something has changed since it asked last."""

    program: str


class Watching(NamedTuple):
    """Ask the command again as soon as a prompt finds something changed."""

    watch: Watch
    turn: int | None
    """Ask once more before this prompt, for the turn of this number."""


Step = (
    AtPrompt
    | Variables
    | Front
    | First
    | Source
    | Undo
    | Forget
    | Recorded
    | Own
    | Exit
    | SearchAnew
    | Prompt
    | PromptBefore
    | Function
    | LastLeft
    | Watching
)


def entering(
    plan: Plan,
    environ: Mapping[str, str],
    changes: Mapping[str, str | None],
    left: Mapping[str, str],
    *,
    shell: str,
    program: str,
) -> Iterator[Step]:
    """Yield the steps of a shell that activates a plan in place.

    `environ` are its variables before, and `changes` those that it sets and unsets. `left` is what it takes over
    besides.
    """
    yield Variables(changes)
    if not is_started(plan, environ):
        yield Forget(plan.flox_env)
    yield from _recorded(_profile(plan, shell, left), program)
    yield from (SearchAnew(), Prompt(program), Function(program))


def leaving(departure: Departure, *, shell: str, program: str, exits: bool = True) -> Iterator[Step]:
    """Yield the steps of a shell that leaves an environment; unless `exits` is false, a shell of ours may end."""
    scripts = tuple(
        Script(departure.dot_flox, f"profile.deactivate.{name}", departure.scripts[name])
        for name in (shell, "common")
        if name in departure.scripts
    )
    if exits:
        yield Exit(departure.dot_flox, program)
    yield Variables(departure.changes, back=True)
    yield Undo(departure.link, scripts)
    if departure.scripts:
        # A script may put back what it found when the profile ran, such as the `deactivate` of a venv does with PATH.
        yield Variables(departure.changes, back=True)
    if departure.last:
        yield LastLeft(program)
    if departure.prompt is not None:
        yield PromptBefore(**departure.prompt)


def opening(
    plan: Plan,
    environ: Mapping[str, str],
    activation: Activation,
    memory: Mapping[str, str],
    *,
    shell: str,
    program: str,
) -> Iterator[Step]:
    """Yield the steps of an interactive shell that Esker has started, after it has read its user's start-up files.

    They apply the activation again, over the changes of these files. `memory` is the variable with which it is undone.
    """
    after = activation.apply(environ)
    # If a start-up file activates another environment, deactivating leaves ours all the same.
    yield Variables({**dict(sorted(activation.set.items())), **dict.fromkeys(activation.unset), **memory})
    older = [f"{link}/bin" for link in environ.get("FLOX_ENV_DIRS", "").split(":") if link]
    for name in sorted(activation.prepend.keys() | activation.append.keys()):
        if LISTS[name] == ":":
            front = (*activation.prepend.get(name, ()), *(older if name == "PATH" else ()))
            yield Front(name, after[name], front, tuple(activation.append.get(name, ())))
    for name, ends in ((ACTIVE_ENVIRONMENTS, ("[", ",", "]")), (PROMPT_ENVIRONMENTS, ("", " ", ""))):
        value = after.get(name, "")
        for first in elements(name, value)[:1]:
            yield First(name, value, first, *ends)
    yield Own(plan.dot_flox)
    yield from _recorded(sourcing(plan, environ, activation.left, shell=shell, stays=True), program)
    yield from (SearchAnew(), Prompt(program), Function(program))


def sourcing(
    plan: Plan, environ: Mapping[str, str], left: Mapping[str, str], *, shell: str, stays: bool = False
) -> Iterator[Source]:
    """Yield the steps that source the scripts of every active environment, the oldest first.

    `left` is what a tool's hook has left. Its EXIT trap is for a shell that `stays`, not for one that runs a command.
    """
    for element in reversed(active_environments(environ.get(ACTIVE_ENVIRONMENTS))):
        dot_flox = dot_flox_of(element)
        older = read(plan_path("", element.get("mode", "dev"), dot_flox)) if dot_flox else None
        if older is not None and dot_flox != plan.dot_flox:
            yield from _profile(older, shell, {})
    yield from _profile(plan, shell, left, stays=stays)


def _recorded(sources: Iterator[Source], program: str) -> Iterator[Recorded]:
    if steps := tuple(sources):
        yield Recorded(steps, program)


def _profile(plan: Plan, shell: str, left: Mapping[str, str], *, stays: bool = False) -> Iterator[Source]:
    scripts = tuple(
        Script(plan.dot_flox, f"profile.{name}", plan.profile[name])
        for name in ("common", shell)
        if name in plan.profile
    )
    if left:
        from esker.activate.left_in_bash import scripts_for

        hook = TOOL_HOOKS.get(plan.tool or "", "hook")
        taken = scripts_for(shell, left, hook, with_trap=stays)
        scripts = (*(Script(plan.dot_flox, hook, text) for text in taken), *scripts)
    if scripts or plan.deactivate:
        yield Source(plan.flox_env, scripts)


def function_name(program: str) -> str:
    """Return the name of the function through which a shell calls the command `program`."""
    name = os.path.basename(program)
    return name if name.isidentifier() and name.isascii() else "esker"
