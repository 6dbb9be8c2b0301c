"""The texts that make a shell activate and deactivate, and the shells that Esker starts.

Aliases, functions named `export` or `unset`, and `set -k` could change what the lines of `assignments` do. So bash sets
them aside before these lines and puts them back after. All other lines say `builtin`.

When a shell is activated in place or is started interactively, it gets a function with the name of the command. With
it, plain `esker deactivate` can change the shell it is typed in. Without it, one types `eval "$(esker deactivate)"`.

Text that does not depend on the environment is in the `.bash` files of this folder. Their parameters are the positional
parameters of a function, or variables that are assigned before the text.
"""

from __future__ import annotations

import os

from esker.activate.composition import is_started
from esker.activate.hook import find_bash, is_bash_own
from esker.activate.lists import (
    ACTIVE_ENVIRONMENTS,
    LISTS,
    PROMPT_ENVIRONMENTS,
    elements,
)
from esker.activate.shells import undo
from esker.activate.shells.assignments import assignments, quoted
from esker.activate.shells.profile import (
    active_profiles,
    fixed_text,
    forgotten,
    profile,
    source,
    with_undo,
    with_warnings,
)
from esker.host.memory_file import descriptor_path, memory_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Protocol

    from esker.activate.difference import Activation
    from esker.activate.plan import Plan

    class Shell(Protocol):
        """What each kind of shell has to provide."""

        def in_place(
            self,
            plan: Plan,
            environ: Mapping[str, str],
            activate: Callable[[Mapping[str, str]], Activation],
            *,
            program: str = "esker",
            anew: bool = False,
        ) -> str:
            """Return the text that activates in the shell that evaluates it."""

        def deactivation(self, environ: Mapping[str, str], *, program: str = "esker") -> str | None:
            """Return the text that deactivates what was activated last, or None when nothing is active."""

        def command(
            self, plan: Plan, environ: Mapping[str, str], activation: Activation, text: str
        ) -> tuple[list[str], dict[str, str]]:
            """Return the arguments and variables of a shell that runs a command after the profile scripts."""

        def remember_profile(self, environ: Mapping[str, str], before: str) -> str:
            """Return the text that remembers what profile scripts changed since the shell wrote `before`."""

        def interactive(
            self, plan: Plan, environ: Mapping[str, str], activation: Activation, *, program: str = "esker"
        ) -> tuple[list[str], dict[str, str]]:
            """Return the arguments and variables of an interactive shell."""


__all__ = ["Bash", "shell"]

_SHELL = "_esker_shell"
"""The variable, not exported, that names the environment in the interactive shell that Esker started for it."""
_PROMPT = "_ESKER_PROMPT"
_LARGEST = 130_000
"""Linux gives no program a variable of more than 128 KiB."""
_NOT_HASHED = "if [[ -o hashall ]]; then _esker_hashed=y; \\builtin set +h; fi"
"""Makes bash search PATH for a program each time, because the environment may change while it is active."""
_HASHED = "if [[ -n ${_esker_hashed-} ]]; then \\builtin set -h; fi; \\builtin unset -v _esker_hashed"
"""Undoes `_NOT_HASHED`, unless the shell had the option off before."""


def shell(name: str | None = None) -> Shell:
    """Return the kind of shell with this name or path; a shell that we do not know is treated as bash."""
    return _SHELLS.get(os.path.basename(name or ""), _SHELLS["bash"])


class Bash:
    """GNU bash."""

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
        lines = [
            *(() if is_started(plan, environ) else forgotten(plan.flox_env)),
            *with_undo(with_warnings(profile(plan)), program),
            _NOT_HASHED,
            _prompt(program),
            _function(program),
        ]
        return _evaluated(undo.enter(plan, environ, activate, anew=anew), lines)

    def deactivation(self, environ: Mapping[str, str], *, program: str = "esker") -> str | None:
        """Return the text for `eval` that undoes the last activation, or exits the shell that Esker started for it.

        Return None if nothing is active in this shell.
        """
        departure = undo.leave(environ)
        if departure is None:
            return None
        sources = (
            source(departure.dot_flox, f"profile.deactivate.{name}", departure.scripts[name])
            for name in ("bash", "common")
            if name in departure.scripts
        )
        undoing = list(forgotten(departure.link, with_warnings(sources)))
        lines = list(_prompt_before(departure.prompt))
        if departure.last:
            lines = [_HASHED, fixed_text("forget"), f"\\builtin unset -f {_function_name(program)}", *lines]
        leaves = f": 'This text is for a shell: eval \"$({_function_name(program)} deactivate)\"'\n"
        leaves += f'[ "${{{_SHELL}-}}" != {quoted(departure.dot_flox)} ] || exit 0\n'
        if not departure.scripts:
            return leaves + _evaluated(departure.changes, [*undoing, *lines])
        # A script may put back what it found when the profile ran, such as the `deactivate` of a venv does with PATH.
        return leaves + _evaluated(departure.changes, undoing) + _evaluated(departure.changes, lines)

    def remember_profile(self, environ: Mapping[str, str], before: str) -> str:
        """Return the text for `eval` that remembers what profile scripts changed, so that deactivating undoes it.

        `before` is what before_profile.bash wrote down, and `environ` contains the prompt as `_ESKER_PROMPT`.
        """
        import subprocess

        bash = find_bash(environ.get("PATH"))
        script = f"{before}\nprintf '%s\\0' \"${{PS1+x$PS1}}\"\nexec /usr/bin/env -0"
        done = subprocess.run(
            [bash, "--noprofile", "--norc", "-p"], input=os.fsencode(script), env={}, capture_output=True, check=False
        )
        prompt, *entries = os.fsdecode(done.stdout).split("\0")
        earlier = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        prompts = (prompt[1:] if prompt else None, environ[_PROMPT][1:] if environ.get(_PROMPT) else None)
        names = {name for name in environ.keys() | earlier.keys() if not is_bash_own(name)} - {_PROMPT, "PS1"}
        text = undo.with_profile(environ, earlier, names, prompts)
        return "" if text is None else _text(assignments({undo.VARIABLE: text}))

    def command(
        self, plan: Plan, environ: Mapping[str, str], activation: Activation, text: str
    ) -> tuple[list[str], dict[str, str]]:
        """Return the arguments and variables of a bash that runs a command after the profile scripts.

        It reads the scripts of all active environments from a file in memory. This process keeps the file's descriptor
        open across exec.
        """
        after = {**activation.apply(environ), **_memory(plan, environ, activation)}
        bash = find_bash(after.get("PATH"))
        scripts = with_warnings(active_profiles(plan, environ))
        start = f". {_rc_file(scripts)}\n" if scripts else ""
        return [bash, "--noprofile", "--norc", "-c", start + text], after

    def interactive(
        self, plan: Plan, environ: Mapping[str, str], activation: Activation, *, program: str = "esker"
    ) -> tuple[list[str], dict[str, str]]:
        """Return the arguments and the variables of an interactive bash.

        It reads the user's ~/.bashrc first. Then it applies the activation again, over the changes of ~/.bashrc.
        """
        after = activation.apply(environ)
        bash = find_bash(after.get("PATH"))
        # A bash that starts in POSIX mode ignores --rcfile, so it enters that mode only at the end of our file.
        posix = {name: after.pop(name) for name in ("POSIXLY_CORRECT",) if name in after}
        changes = dict(sorted(activation.set.items())) | dict.fromkeys(activation.unset)
        # If ~/.bashrc activates another environment, deactivating leaves ours all the same.
        memory = _memory(plan, environ, activation)
        changes |= memory
        lines = [
            "if [ -f ~/.bashrc ]; then . ~/.bashrc; fi",
            fixed_text("set_aside"),
            *assignments({name: value for name, value in changes.items() if name not in posix}),
            fixed_text("prepend"),
            *_prepended(activation, environ, after),
            *_first(after),
            "unset -f _esker_prepend _esker_first",
            fixed_text("put_back"),
            f"{_SHELL}={quoted(plan.dot_flox)}; \\builtin export -n {_SHELL}",
            *with_undo(with_warnings(active_profiles(plan, environ)), program),
            _NOT_HASHED,
            _prompt(program),
            _function(program),
            *assignments(posix),
        ]
        return [bash, "--noprofile", "--rcfile", _rc_file(lines), "-i"], {**after, **memory}


_SHELLS: dict[str, Shell] = {"bash": Bash()}


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _evaluated(changes: Mapping[str, str | None], lines: Iterable[str]) -> str:
    """Return text that changes the variables of any shell, and that in bash also runs the lines.

    The user's aliases and functions are put back before the lines, because the lines read scripts of the project.
    """
    after = _text((fixed_text("put_back"), *lines))
    return _text((_for_bash(fixed_text("set_aside")), *assignments(changes), _for_bash(after)))


def _memory(plan: Plan, environ: Mapping[str, str], activation: Activation) -> dict[str, str]:
    """Return the variable from which a shell that Esker starts, and shells inside it, can undo the activation.

    Return nothing if no program can be given a variable of that size.
    """
    text = undo.enter(plan, environ, lambda _: activation).get(undo.VARIABLE)
    return {undo.VARIABLE: text} if text is not None and len(text) < _LARGEST else {}


def _prepended(activation: Activation, environ: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that put an activation's elements in front again, if ~/.bashrc has changed the list."""
    older = [f"{link}/bin" for link in environ.get("FLOX_ENV_DIRS", "").split(":") if link]
    for name in sorted(activation.prepend.keys() | activation.append.keys()):
        if LISTS[name] == ":":
            front = [*activation.prepend.get(name, ()), *(older if name == "PATH" else ())]
            last = activation.append.get(name, ())
            words = [name, quoted(":".join(front)), *map(quoted, last)]
            yield f'[ "${{{name}-}}" = {quoted(after[name])} ] || _esker_prepend {" ".join(words)}'


def _first(after: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that make the environment the newest again, if ~/.bashrc has activated others."""
    for name, ends in ((ACTIVE_ENVIRONMENTS, ("[", ",", "]")), (PROMPT_ENVIRONMENTS, ("", " ", ""))):
        first = elements(name, after.get(name))[:1]
        words = " ".join(map(quoted, (*first, *ends)))
        yield f'[ "${{{name}-}}" = {quoted(after.get(name, ""))} ] || _esker_first {name} {words}'


def _prompt_before(prompt: Mapping[str, str | None] | None) -> Iterator[str]:
    """Yield the line that undoes what profile scripts did to the prompt, unless it has been changed since."""
    if prompt is not None:
        before, now = prompt["before"], prompt["after"]
        undone = "\\builtin unset -v PS1" if before is None else f"PS1={quoted(before)}"
        undone += "" if prompt["exported"] or before is None else "; \\builtin export -n PS1"
        yield f"if [[ ${{PS1-}} == {quoted(now or '')} ]]; then {undone}; fi"


def _prompt(program: str) -> str:
    """Return the lines that show the names of the active environments before an interactive shell's prompt."""
    return f"_esker_program={_function_name(program)}\n{fixed_text('prompt')}"


def _function(program: str) -> str:
    """Return the definition of a function named like the command, through which `deactivate` changes the shell itself.

    Every other subcommand goes to the program. So does `deactivate` in a subshell, such as `$(esker deactivate)`.
    """
    parameters = f'\\builtin set -- {quoted(program)} "$@"'
    definition = f"function {_function_name(program)} {{\n{parameters}\n{fixed_text('command')}\n}}"
    return f"_esker_subshell=$BASH_SUBSHELL\n{definition}"


def _function_name(program: str) -> str:
    name = os.path.basename(program)
    return name if name.isidentifier() else "esker"


def _rc_file(lines: Iterable[str]) -> str:
    """Return the path of a file in memory with these lines.

    This process keeps the descriptor open for the shell that it becomes by exec, and the first line closes it there.
    """
    descriptor = memory_file(lowest=10)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(_text((f"exec {descriptor}<&-", *lines)).encode())
        file.seek(0)
    os.set_inheritable(descriptor, True)
    return descriptor_path(descriptor)


def _for_bash(text: str) -> str:
    """Return a line that evaluates the text in bash and does nothing in other shells."""
    return f'[ -z "${{BASH_VERSION-}}" ] || \\builtin eval {quoted(text)}'
