"""`esker hook-env`: what a shell with the hook asks at a prompt, if something has changed.

It prints a text for the shell to evaluate. The text enters or leaves one environment at most, because profile scripts
run when it is evaluated, and what they change has to be known before the next step. If there is more to do, the shell
asks again at once. The text also says what the shell watches from then on.
"""

from __future__ import annotations

import os
import sys
import time

from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_environments, dot_flox_of
from esker.activate.prompt import state as states
from esker.activate.prompt import transition as transitions
from esker.activate.prompt.look import Look, look, projects
from esker.activate.prompt.watched import Watch, directories, watch
from esker.activate.shells import undo
from esker.activate.shells.shell import NAMES, shell
from esker.activate.shells.steps import Step, Variables, Watching, entering, leaving
from esker.cli.commands.activate import in_shell, options_of
from esker.cli.leaving import detach
from esker.errors import EskerError
from esker.host.variables import inherited
from esker.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import SimpleNamespace

    from esker.activate.difference import Activation
    from esker.activate.plan import Plan
    from esker.activate.prompt.transition import Environments, Transition
    from esker.cli.voice import Voice

__all__ = ["run"]

_NEW = "new"
_TURNS = 50
"""A shell asks no more often before one prompt: a profile script may change the directory each time."""


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command: `hook-env SHELL [TURN]`. The turn is `new`, a number, or empty, as the hook of a shell says."""
    if arguments[:1] == ["direnv"] and len(arguments) == 2:  # noqa: PLR2004 - `use esker` writes both
        from esker.cli.direnv import text as text_for_direnv

        options = _options(services=False)
        sys.stdout.buffer.write(text_for_direnv(arguments[1], inherited(), options, voice).encode())
        return 0
    if len(arguments) != 2 or arguments[0] not in NAMES:  # noqa: PLR2004 - shells write both, and argparse takes 10 ms
        arguments = _parsed(name, arguments, voice)
    shell_name, turn = arguments
    text = _Prompt(shell_name, turn, voice).text()
    sys.stdout.buffer.write(text.encode())
    return 0


def _parsed(name: str, arguments: list[str], voice: Voice) -> list[str]:
    from esker.cli.arguments import Parser

    summary = "Print what a shell with the hook evaluates at its prompt."
    parser = Parser(name, summary, "  esker hook-env bash new", voice=voice)
    parser.add_argument("shell", choices=NAMES, metavar="SHELL", help=", ".join(NAMES))
    parser.add_argument("turn", nargs="?", default="", metavar="TURN", help="`new`, a number, or nothing")
    options = parser.parse_args(arguments)
    return [options.shell, options.turn]


class _Prompt:
    """One question of a shell at its prompt."""

    def __init__(self, name: str, turn: str, voice: Voice) -> None:
        self._shell, self._turn, self._voice = shell(name), turn, voice
        self._environ = inherited()
        self._settings = Settings(self._environ)
        directory = _directory()
        self._directories = directories(directory) if directory else []
        active = undo.entered(self._environ)
        before = states.parse(self._environ)
        self._entered: Environments = tuple(each for each in before.entered if each[0] in active)
        names = {dot_flox_of(element) for element in active_environments(self._environ.get(ACTIVE_ENVIRONMENTS))}
        self._explicit = frozenset(name for name in names if name) - dict(self._entered).keys()
        here = [f"{project}/.flox" for project in projects(self._directories)]
        self._suppressed = frozenset(before.suppressed) & frozenset(here)
        self._looks = [look(dot_flox.removesuffix("/.flox") or "/", self._settings) for dot_flox in here]
        self._told = {dot_flox: token for dot_flox, token in before.told.items() if dot_flox in here}
        self._watch = self._watched()  # before any hook runs, which may take long

    def text(self) -> str:
        """Return what the shell has to evaluate."""
        for each in self._looks:
            if each.problem is not None and each.dot_flox not in self._suppressed | self._explicit:
                self._tell(each.dot_flox, each.token, f"! {each.line}")
        steps = self._entered_again() if self._turn == _NEW else []
        while (transition := transitions.next_transition(self._entered, self._wanted())) is not None:
            try:
                steps += self._steps(transition)
            except (EskerError, KeyboardInterrupt) as error:
                if not isinstance(transition, transitions.Enter):
                    raise
                self._fail(transition, error)
                continue
            self._entered = transitions.after(transition, self._entered)
            break
        return self._shell.at_prompt([*self._remembered(), *steps], self._environ)

    def _watched(self) -> Watch:
        here = {each.project for each in self._looks}
        absent = [f"{directory}/.flox" for directory in self._directories if directory not in here]
        paths = [*absent, *(path for each in self._looks for path in each.watched)]
        return watch(_named_directory(self._environ), paths, self._settings, time.time())

    def _wanted(self) -> Environments:
        ready = [
            (each.dot_flox, None if each.plan is None or self._has_failed(each) else each.plan.identity)
            for each in self._looks
            if not each.leaves and each.dot_flox not in self._suppressed
        ]
        return transitions.wanted(ready, self._entered, self._explicit)

    def _steps(self, transition: Transition) -> list[Step]:
        if isinstance(transition, transitions.Enter):
            return self._entering(self._plan(transition.dot_flox))
        departure = undo.leave(self._environ, transition.dot_flox)
        assert departure is not None
        detach(self._environ, transition.dot_flox)
        return list(leaving(departure, shell=self._shell.name, program=self._voice.path(), exits=False))

    def _entering(self, plan: Plan) -> list[Step]:
        def steps(activate: Callable[[Mapping[str, str]], Activation]) -> list[Step]:
            left: dict[str, str] = {}
            changes = undo.enter(plan, self._environ, activate, left=left)
            program = self._voice.path()
            return list(entering(plan, self._environ, changes, left, shell=self._shell.name, program=program))

        return in_shell(plan, _options(), self._environ, self._voice, steps)[0]

    def _entered_again(self) -> list[Step]:
        """Return the steps by which a new shell gets what it does not inherit, such as aliases of the profiles."""
        plans = {each.dot_flox: each.plan for each in self._looks if each.plan is not None}
        steps: list[Step] = []
        for dot_flox, identity in self._entered:
            plan = plans.get(dot_flox)
            if plan is not None and plan.identity == identity:
                steps += self._entering(plan)
        return steps

    def _plan(self, dot_flox: str) -> Plan:
        return next(each.plan for each in self._looks if each.dot_flox == dot_flox and each.plan is not None)

    def _has_failed(self, each: Look) -> bool:
        return each.plan is not None and self._told.get(each.dot_flox) == _failure(each.plan)

    def _fail(self, transition: Transition, error: BaseException) -> None:
        """Tell once that an environment could not be entered; it is tried again when it has changed."""
        self._told[transition.dot_flox] = _failure(self._plan(transition.dot_flox))
        if isinstance(error, EskerError):
            self._voice.report(error)
        else:
            self._voice.interrupted()

    def _tell(self, dot_flox: str, token: str, line: str) -> None:
        token = f"{_hash(token):08x}"
        if self._told.get(dot_flox) != token:
            self._told[dot_flox] = token
            self._voice.say(line)

    def _remembered(self) -> list[Step]:
        """Return the steps that write down what the prompt has done, and what the shell watches."""
        told = {each.dot_flox for each in self._looks if each.problem is not None or self._has_failed(each)}
        kept = {dot_flox: token for dot_flox, token in self._told.items() if dot_flox in told}
        value = states.render(states.State(self._entered, tuple(sorted(self._suppressed)), kept))
        changed = value != self._environ.get(states.VARIABLE)
        steps: list[Step] = [Variables({states.VARIABLE: value})] if changed else []
        more = transitions.next_transition(self._entered, self._wanted()) is not None
        number = int(self._turn) if self._turn.isdecimal() else 0
        return [*steps, Watching(self._watch, number + 1 if more and number < _TURNS else None)]


def _failure(plan: Plan) -> str:
    return f"failed-{_hash(plan.seal):08x}"


def _hash(text: str) -> int:
    from zlib import crc32

    return crc32(os.fsencode(text))


def _options(*, services: bool = True) -> SimpleNamespace:
    return options_of(fresh=False, add_sbin=False, start_services=False, no_start_services=not services)


def _directory() -> str | None:
    """Return the current directory with links resolved, or None if it has been deleted."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _named_directory(environ: Mapping[str, str]) -> str:
    """Return the shell's own name of the current directory, in which links may not be resolved."""
    named = environ.get("PWD", "")
    try:
        if os.path.isabs(named) and os.path.samefile(named, os.curdir):
            return named
    except OSError:
        pass
    return _directory() or named
