"""The shells that Esker speaks to: which one it is, and what commands ask of it.

`steps` says what a shell does, and the renderer of each shell says it in that shell's language. A renderer is imported
only if a command needs it.
"""

from __future__ import annotations

import os

from esker.activate.composition import outer_path
from esker.activate.prompt import state
from esker.activate.shells import undo
from esker.activate.shells.steps import AtPrompt, Variables, entering, leaving, opening, sourcing
from esker.host.calling_shell import calling_shell, program_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Protocol

    from esker.activate.difference import Activation
    from esker.activate.plan import Plan
    from esker.activate.shells.steps import Step

    class Renderer(Protocol):
        """What each kind of shell has to provide."""

        name: str
        """The name of the program, and of the shell's scripts in a manifest."""
        evaluation: str
        """How a person has the shell evaluate what the command `{}` prints."""

        def evaluated(self, steps: Iterable[Step], environ: Mapping[str, str]) -> str:
            """Return the text that takes these steps in the shell that evaluates it; `environ` are its variables."""

        def command(self, steps: Iterable[Step], text: str, environ: Mapping[str, str], path: str | None) -> list[str]:
            """Return the arguments of a shell, found on `path`, that takes these steps and then runs `text`."""

        def interactive(
            self, steps: Iterable[Step], environ: Mapping[str, str], path: str | None
        ) -> tuple[list[str], Mapping[str, str]]:
            """Return the arguments and variables of an interactive shell, found on `path`.

            It reads the user's start-up files, and then takes these steps.
            """

        def earlier(self, before: str, environ: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
            """Return the prompt and the exported variables that the text for `Recorded` wrote down."""


__all__ = ["NAMES", "Renderer", "Shell", "evaluating", "opened", "shell"]

NAMES = ("bash", "zsh", "fish", "tcsh")
_PLAIN = frozenset({"sh", "dash", "ash", "ksh", "ksh93", "mksh", "yash", "busybox"})
"""Shells of the family of bash, whose scripts give commands in its language."""
_PROMPT = "_ESKER_PROMPT"
_NAMED = "_ESKER_SHELL"
"""The variables by which the text for a shell passes its prompt and its own kind to `deactivate`."""


def shell(program: str | None = None) -> Shell:
    """Return the kind of shell with this name or path; a shell that we do not know is treated as bash."""
    name = _kind(program) or "bash"
    # Not importlib.import_module, which would be slower.
    module = __import__(f"esker.activate.shells.{name}", fromlist=["renderer"])
    return Shell(module.renderer(program))


def evaluating(environ: Mapping[str, str]) -> Shell:
    """Return the shell that evaluates what this process prints: FLOX_SHELL, else the calling shell.

    A function of ours names the shell that it is in, and that comes first. A caller that is no shell of ours may be a
    program that reads the lines, and gets those for bash. If we may not see the caller, it is the shell of SHELL.
    """
    caller = program_of(calling_shell())
    named = (environ.get(_NAMED), environ.get("FLOX_SHELL"))
    return shell(_first(*named, environ.get("SHELL") if caller is None else caller))


def opened(environ: Mapping[str, str], *, interactive: bool) -> Shell:
    """Return the shell to start: FLOX_SHELL, else the calling shell, else SHELL.

    A command that a script of `sh` gives is one for bash, but a person who types in `sh` gets the shell of SHELL.
    """
    caller = program_of(calling_shell())
    if not interactive and caller is not None and os.path.basename(caller) in _PLAIN:
        caller = "bash"
    return shell(_first(environ.get("FLOX_SHELL"), caller, environ.get("SHELL")))


def unknown_choice(environ: Mapping[str, str]) -> str | None:
    """Return what FLOX_SHELL says if that is passed over, because it names no shell of ours; None otherwise."""
    named = environ.get("FLOX_SHELL")
    return named if named and _kind(named) is None else None


def _first(*programs: str | None) -> str | None:
    return next((program for program in programs if _kind(program)), None)


def _kind(program: str | None) -> str | None:
    name = os.path.basename(program or "")
    return name if name in NAMES else None


class Shell:
    """A kind of shell, which commands activate, deactivate and start."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self.name = renderer.name

    def evaluation(self, command: str) -> str:
        """Return what a person types to have the shell evaluate what a command prints."""
        return self._renderer.evaluation.format(command)

    def in_place(
        self,
        plan: Plan,
        environ: Mapping[str, str],
        activate: Callable[[Mapping[str, str]], Activation],
        *,
        program: str = "esker",
        anew: bool = False,
    ) -> str:
        """Return the text for `eval` that activates; `activate` works out the activation in a given environment."""
        left: dict[str, str] = {}
        changes = undo.enter(plan, environ, activate, anew=anew, left=left)
        steps = entering(plan, environ, changes, left, shell=self.name, program=program)
        return self._renderer.evaluated(steps, environ)

    def deactivation(self, environ: Mapping[str, str], *, program: str = "esker") -> str | None:
        """Return the text for `eval` that undoes the last activation, or exits the shell that Esker started for it.

        Return None if nothing is active in this shell.
        """
        departure = undo.leave(environ)
        if departure is None:
            return None
        steps = leaving(departure, shell=self.name, program=program)
        marked = state.suppressed(environ, departure.dot_flox)
        return self._renderer.evaluated([Variables(marked), *steps] if marked else steps, environ)

    def hook(self, program: str) -> str:
        """Return the text for a start-up file, by which the shell asks the command `program` at its prompts."""
        return self._renderer.evaluated([AtPrompt(program)], {})

    def at_prompt(self, steps: Iterable[Step], environ: Mapping[str, str]) -> str:
        """Return the text for a shell that has asked at its prompt."""
        return self._renderer.evaluated(steps, environ)

    def remember_profile(self, environ: Mapping[str, str], before: str) -> str:
        """Return the text for `eval` that remembers what profile scripts changed, so that deactivating undoes it.

        `before` is what the text of the step `Recorded` wrote down, and `environ` contains the prompt as
        `_ESKER_PROMPT`.
        """
        from esker.activate.hook import is_bash_own

        prompt, earlier = self._renderer.earlier(before, environ)
        prompts = (prompt, environ[_PROMPT][1:] if environ.get(_PROMPT) else None)
        names = {name for name in environ.keys() | earlier.keys() if not is_bash_own(name)}
        text = undo.with_profile(environ, earlier, names - {_PROMPT, _NAMED, "PS1"}, prompts)
        return "" if text is None else self._renderer.evaluated([Variables({undo.VARIABLE: text})], environ)

    def command(
        self, plan: Plan, environ: Mapping[str, str], activation: Activation, text: str
    ) -> tuple[list[str], dict[str, str]]:
        """Return the arguments and variables of a shell that runs a command after the profile scripts."""
        after = {**activation.apply(environ), **undo.memory(plan, environ, activation)}
        steps = sourcing(plan, environ, activation.left, shell=self.name)
        return self._renderer.command(steps, text, after, outer_path(plan, after)), after

    def interactive(
        self, plan: Plan, environ: Mapping[str, str], activation: Activation, *, program: str = "esker"
    ) -> tuple[list[str], Mapping[str, str]]:
        """Return the arguments and the variables of an interactive shell, which reads its start-up files first."""
        memory = undo.memory(plan, environ, activation)
        steps = opening(plan, environ, activation, memory, shell=self.name, program=program)
        after = {**activation.apply(environ), **memory}
        return self._renderer.interactive(steps, after, outer_path(plan, after))
