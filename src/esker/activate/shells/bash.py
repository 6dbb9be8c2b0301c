"""The texts that make a shell activate and deactivate, and the shells that Esker starts.

A value is written so that each variable is one line: `export NAME='VALUE'` where the value allows it, else one that
assigns it first, as bash or as any other shell spells it. Programs that read the lines instead of evaluating them then
see no line of a value as a line of its own. Texts are ASCII or UTF-8 whatever the bytes of a value. Around these lines
bash sets aside what would give their words another meaning: aliases, functions with their names, and `set -k`. Other
lines say `builtin`.

In place, and in an interactive shell, a function with the name of the command lets plain `esker deactivate` change the
shell it is typed in; `eval "$(esker deactivate)"` does so without it.

What does not depend on the environment stands in the `.bash` files of this folder. Their parameters are positional
ones of a function, or variables that are assigned before the text.
"""

from __future__ import annotations

import os

from esker.activate.bash_file import bash_text
from esker.activate.hook import CORRECT, find_bash
from esker.activate.lists import LISTS, active_environments, dot_flox_of
from esker.activate.plan import plan_path, read
from esker.activate.shells import undo
from esker.host.memory_file import descriptor_path, memory_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Protocol

    from esker.activate.difference import Activation
    from esker.activate.plan import Plan

    class Shell(Protocol):
        """What is needed of a kind of shell."""

        def in_place(
            self,
            plan: Plan,
            environ: Mapping[str, str],
            activate: Callable[[Mapping[str, str]], Activation],
            *,
            program: str = "esker",
        ) -> str:
            """Return the text that activates in the shell that evaluates it."""

        def deactivation(self, environ: Mapping[str, str], *, program: str = "esker") -> str | None:
            """Return the text that deactivates what was activated last, or None when nothing is active."""

        def command(self, plan: Plan, environ: Mapping[str, str], activation: Activation, text: str) -> list[str]:
            """Return the arguments of a shell that runs a command after the profile scripts."""

        def interactive(
            self, plan: Plan, environ: Mapping[str, str], activation: Activation, *, program: str = "esker"
        ) -> tuple[list[str], dict[str, str]]:
            """Return the arguments and variables of an interactive shell."""


__all__ = ["Bash", "shell"]

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}
_CONTROLS |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(128, 256)}
_CONTROLS |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
_ESCAPES = {**_CONTROLS, ord("\\"): "\\\\", ord("'"): "\\047"}  # so that a shell without `$''` sees balanced quotes
_SOURCED = "_FLOX_SOURCED_PROFILE_SCRIPTS"
_NOT_HASHED = "\\builtin set +h"
"""Bash looks for a program each time, because the environment may change while it is active."""
_HASHED = "\\builtin set -h"


def shell(name: str | None = None) -> Shell:
    """Return the kind of shell with this name or path; bash for every one that has no kind of its own yet."""
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
    ) -> str:
        """Return the text for `eval`; `activate` works out the activation in an environment."""
        lines = [
            *_profile(plan.flox_env, plan.profile),
            _NOT_HASHED,
            _prompt(program),
            _function(program),
        ]
        return _evaluated(undo.enter(plan, environ, activate), lines)

    def deactivation(self, environ: Mapping[str, str], *, program: str = "esker") -> str | None:
        """Return the text for `eval`: the exit of an interactive shell, or what undoes the last `in_place`."""
        departure = undo.leave(environ)
        if departure is None:
            return "exit\n" if environ.get(undo.VARIABLE) == undo.EXIT else None
        lines = [
            f"{_SOURCED}=${{{_SOURCED}-}}; {_SOURCED}=${{{_SOURCED}//:{_quoted(departure.link)}:}}",
            *(_source(departure.scripts[name]) for name in ("bash", "common") if name in departure.scripts),
        ]
        if departure.last:
            lines.append(_HASHED)
        if departure.last and departure.changes[undo.VARIABLE] is None:
            lines += [_fixed("forget"), f"\\builtin unset -f {_function_name(program)}"]
        return _evaluated(departure.changes, lines)

    def command(self, plan: Plan, environ: Mapping[str, str], activation: Activation, text: str) -> list[str]:
        """Return the arguments of a bash that runs the profile scripts of all active environments, then a command.

        The scripts are read from a file in memory whose descriptor the process keeps open for the program it becomes.
        A script that bash cannot read ends it before the command: nobody is there to see the error and to decide.
        """
        bash = find_bash(activation.value("PATH", environ.get("PATH")))
        scripts = list(_profiles(plan, environ, bash))
        if not scripts:
            return [bash, "--noprofile", "--norc", "-c", text]
        lines = [_fixed("readable"), *scripts, "\\builtin unset -f _esker_readable"]
        return [bash, "--noprofile", "--norc", "-c", f". {_rc_file(lines)}\n{text}"]

    def interactive(
        self, plan: Plan, environ: Mapping[str, str], activation: Activation, *, program: str = "esker"
    ) -> tuple[list[str], dict[str, str]]:
        """Return the arguments and the variables of an interactive bash.

        It reads the user's ~/.bashrc first; then the activation is applied over what that has changed.
        """
        after = activation.apply(environ)
        bash = find_bash(after.get("PATH"))
        # A bash that begins in POSIX mode reads no file of ours, so it enters the mode at the end of that file.
        posix = {name: after.pop(name) for name in ("POSIXLY_CORRECT",) if name in after}
        changes = dict(sorted(activation.set.items())) | dict.fromkeys(activation.unset)
        lines = [
            "if [ -f ~/.bashrc ]; then . ~/.bashrc; fi",
            _fixed("set_aside"),
            *_assignments({name: value for name, value in changes.items() if name not in posix}),
            _fixed("prepend"),
            *_prepended(activation, environ, after),
            "unset -f _esker_prepend",
            _fixed("put_back"),
            *_profiles(plan, environ),
            _NOT_HASHED,
            _prompt(program),
            _function(program),
            *_assignments(posix),
        ]
        return [bash, "--noprofile", "--rcfile", _rc_file(lines), "-i"], {**after, undo.VARIABLE: undo.EXIT}


_SHELLS: dict[str, Shell] = {"bash": Bash()}


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _evaluated(changes: Mapping[str, str | None], lines: Iterable[str]) -> str:
    """Return what a shell evaluates to change its variables, and bash to do what the lines say as well.

    The user's words have their meaning back before those lines, because the project's scripts are read among them.
    """
    after = _text((_fixed("put_back"), *lines))
    return _text((_for_bash(_fixed("set_aside")), *_assignments(changes), _for_bash(after)))


def _fixed(name: str) -> str:
    """Return the text of a `.bash` file of this folder."""
    return bash_text(f"{os.path.dirname(__file__)}/{name}.bash")


def _quoted(text: str) -> str:
    """Return the text as one word of bash in one line."""
    if text.translate(_CONTROLS) == text:
        return "'" + text.replace("'", "'\\''") + "'"
    return f"$'{text.translate(_ESCAPES)}'"


def _assignments(changes: Mapping[str, str | None]) -> Iterator[str]:
    for name, value in changes.items():
        if not name.isidentifier() or not name.isascii():
            continue  # no shell can name it
        if value is None:
            yield f"unset {name}"
        elif (word := _quoted(value)) == f"'{value}'":
            yield f"export {name}={word}"
        elif word.startswith("'"):
            yield f"{name}={word}; export {name}"
        else:
            other = f"{name}=$(printf %b. '{_octal(value)}') && {name}=${{{name}%.}}"
            yield f'[ -z "${{BASH_VERSION-}}" ] && {other} || {name}={word}; export {name}'


def _octal(text: str) -> str:
    """Return the text for a `printf %b` between single quotes, which every shell has."""
    plain = {*range(32, 127)} - {ord("'"), ord("\\")}
    return "".join(chr(byte) if byte in plain else f"\\0{byte:03o}" for byte in os.fsencode(text))


def _source(script: str) -> str:
    """Return a line that reads a script as a file, in which `return` has a meaning."""
    return f"\\builtin . <(\\builtin printf '%s\\n' {_quoted(script)})"


def _or_exit(name: str, script: str, bash: str) -> str:
    """Return what comes after `_source`: the exit of a shell that could not read the script to its end.

    The script may have failed by itself too, which is its own affair: a second bash reads it without running it.
    """
    message = f"✘ ERROR: bash cannot read the script `profile.{name}`, for the reason above\nhint: {CORRECT}"
    return f"; [[ $? == 0 ]] || _esker_readable {' '.join(map(_quoted, (bash, script, message)))}"


def _profile(link: str, scripts: Mapping[str, str], bash: str | None = None) -> Iterator[str]:
    """Yield the line that reads an environment's scripts unless this very shell has read them.

    Which scripts it has read stands in a variable that is not exported. `bash` is a bash to ask whether it can read a
    script to its end; if it cannot, the shell ends.
    """
    sources = [
        _source(scripts[name]) + (_or_exit(name, scripts[name], bash) if bash else "")
        for name in ("common", "bash")
        if name in scripts
    ]
    if sources:
        word = _quoted(link)
        record = f"{_SOURCED}=${{{_SOURCED}-}}:{word}:"
        yield f"case ${{{_SOURCED}-}} in *:{word}:*) ;; *) {record}; {'; '.join(sources)} ;; esac"


def _profiles(plan: Plan, environ: Mapping[str, str], bash: str | None = None) -> Iterator[str]:
    """Yield the lines that read the scripts of every active environment, the oldest first."""
    for element in reversed(active_environments(environ.get("_FLOX_ACTIVE_ENVIRONMENTS"))):
        place = dot_flox_of(element)
        older = read(plan_path(os.path.dirname(place), element.get("mode", "dev"))) if place else None
        if older is not None and place != plan.dot_flox:
            yield from _profile(older.flox_env, older.profile, bash)
    yield from _profile(plan.flox_env, plan.profile, bash)


def _prepended(activation: Activation, environ: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that put an activation's elements in front again where ~/.bashrc has put others."""
    older = [f"{link}/bin" for link in environ.get("FLOX_ENV_DIRS", "").split(":") if link]
    for name in sorted(activation.prepend.keys() | activation.append.keys()):
        if LISTS[name] == ":":
            front = [*activation.prepend.get(name, ()), *(older if name == "PATH" else ())]
            last = activation.append.get(name, ())
            words = [name, _quoted(":".join(front)), *map(_quoted, last)]
            yield f'[ "${{{name}-}}" = {_quoted(after[name])} ] || _esker_prepend {" ".join(words)}'


def _prompt(program: str) -> str:
    """Return the lines that put the names of the active environments in front of an interactive shell's prompt."""
    return f"_esker_program={_function_name(program)}\n{_fixed('prompt')}"


def _function(program: str) -> str:
    """Return the definition of a function that lets `deactivate` change the shell, and passes on everything else.

    In a subshell of that shell, such as `$(esker deactivate)`, it passes that on too.
    """
    parameters = f'\\builtin set -- {_quoted(program)} "$@"'
    definition = f"function {_function_name(program)} {{\n{parameters}\n{_fixed('command')}\n}}"
    return f"_esker_subshell=$BASH_SUBSHELL\n{definition}"


def _function_name(program: str) -> str:
    name = os.path.basename(program)
    return name if name.isidentifier() else "esker"


def _rc_file(lines: Iterable[str]) -> str:
    """Return the path of a file in memory that this process keeps open for the shell it becomes, which closes it."""
    descriptor = memory_file(lowest=10)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(_text((f"exec {descriptor}<&-", *lines)).encode())
        file.seek(0)
    os.set_inheritable(descriptor, True)
    return descriptor_path(descriptor)


def _for_bash(text: str) -> str:
    """Return a line that other shells can read, though only bash does what the text says."""
    return f'[ -z "${{BASH_VERSION-}}" ] || \\builtin eval {_quoted(text)}'
