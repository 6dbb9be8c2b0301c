"""The texts that make a shell activate and deactivate, and the shells that Esker starts.

Each variable is written as exactly one line. That is `export NAME='VALUE'` if the value allows it, or
`export NAME="VALUE"` if the value has single quotes but nothing special between double quotes. Otherwise the line first
assigns the value, in a notation for bash and another for every other shell. A value never spreads over several
lines, because some programs read these lines instead of evaluating them. The texts are always valid ASCII or UTF-8,
even if the bytes of a value are not.

Aliases, functions named `export` or `unset`, and `set -k` could change what these lines do. So bash sets them aside
before the lines and puts them back after. All other lines say `builtin`.

When a shell is activated in place or is started interactively, it gets a function with the name of the command. With
it, plain `esker deactivate` can change the shell it is typed in. Without it, one types `eval "$(esker deactivate)"`.

Text that does not depend on the environment is in the `.bash` files of this folder. Their parameters are the positional
parameters of a function, or variables that are assigned before the text.
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
# A quote is written as \047, so that the quotes are balanced even for a shell that does not know `$''`.
_ESCAPES = {**_CONTROLS, ord("\\"): "\\\\", ord("'"): "\\047"}
_SPECIAL = frozenset('"$`\\')
"""The characters that have a meaning between double quotes; `!` has none in text that is evaluated."""
_SOURCED = "_FLOX_SOURCED_PROFILE_SCRIPTS"
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
            *_profile(plan.flox_env, plan.profile),
            _NOT_HASHED,
            _prompt(program),
            _function(program),
        ]
        return _evaluated(undo.enter(plan, environ, activate, anew=anew), lines)

    def deactivation(self, environ: Mapping[str, str], *, program: str = "esker") -> str | None:
        """Return the text for `eval` that undoes the last `in_place`, or that exits an interactive shell of ours.

        Return None if nothing is active in this shell.
        """
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

        Bash reads the scripts from a file in memory. This process keeps its descriptor open across exec. If bash cannot
        parse a script, it ends before the command, because nobody is there to see the error and to decide.
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

        It reads the user's ~/.bashrc first. Then it applies the activation again, over the changes of ~/.bashrc.
        """
        after = activation.apply(environ)
        bash = find_bash(after.get("PATH"))
        # A bash that starts in POSIX mode ignores --rcfile, so it enters that mode only at the end of our file.
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
    """Return text that changes the variables of any shell, and that in bash also runs the lines.

    The user's aliases and functions are put back before the lines, because the lines read scripts of the project.
    """
    after = _text((_fixed("put_back"), *lines))
    return _text((_for_bash(_fixed("set_aside")), *_assignments(changes), _for_bash(after)))


def _fixed(name: str) -> str:
    """Return the text of a `.bash` file of this folder."""
    return bash_text(f"{os.path.dirname(__file__)}/{name}.bash")


def _quoted(text: str) -> str:
    """Return the text quoted as one word of bash, without line breaks."""
    if text.translate(_CONTROLS) == text:
        return "'" + text.replace("'", "'\\''") + "'"
    return f"$'{text.translate(_ESCAPES)}'"


def _assignments(changes: Mapping[str, str | None]) -> Iterator[str]:
    for name, value in changes.items():
        if not name.isidentifier() or not name.isascii():
            continue  # a shell cannot have a variable of this name
        if value is None:
            yield f"unset {name}"
        elif (word := _quoted(value)) == f"'{value}'":
            yield f"export {name}={word}"
        elif word.startswith("'") and _SPECIAL.isdisjoint(value):
            yield f'export {name}="{value}"'
        elif word.startswith("'"):
            yield f"{name}={word}; export {name}"
        else:
            other = f"{name}=$(printf %b. '{_octal(value)}') && {name}=${{{name}%.}}"
            yield f'[ -z "${{BASH_VERSION-}}" ] && {other} || {name}={word}; export {name}'


def _octal(text: str) -> str:
    """Return the text escaped for `printf %b`, which every shell has; it can stand between single quotes."""
    plain = {*range(32, 127)} - {ord("'"), ord("\\")}
    return "".join(chr(byte) if byte in plain else f"\\0{byte:03o}" for byte in os.fsencode(text))


def _source(script: str) -> str:
    """Return a line that sources a script as if it were a file, so that the script may use `return`."""
    return f"\\builtin . <(\\builtin printf '%s\\n' {_quoted(script)})"


def _or_exit(name: str, script: str, bash: str) -> str:
    """Return text to put after `_source`, which exits the shell if it could not parse the script.

    A valid script may fail as well, and then the shell goes on. To tell the two apart, a second bash parses the script
    without running it.
    """
    message = f"✘ ERROR: bash cannot read the script `profile.{name}`, for the reason above\nhint: {CORRECT}"
    return f"; [[ $? == 0 ]] || _esker_readable {' '.join(map(_quoted, (bash, script, message)))}"


def _profile(link: str, scripts: Mapping[str, str], bash: str | None = None) -> Iterator[str]:
    """Yield the line that sources an environment's scripts, unless this very shell has done so already.

    The shell remembers the environments in a variable that is not exported, so that a child shell begins without it.
    If `bash` is given, the shell ends when this bash cannot parse a script.
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
    """Yield the lines that source the scripts of every active environment, the oldest first."""
    for element in reversed(active_environments(environ.get("_FLOX_ACTIVE_ENVIRONMENTS"))):
        dot_flox = dot_flox_of(element)
        older = read(plan_path(os.path.dirname(dot_flox), element.get("mode", "dev"))) if dot_flox else None
        if older is not None and dot_flox != plan.dot_flox:
            yield from _profile(older.flox_env, older.profile, bash)
    yield from _profile(plan.flox_env, plan.profile, bash)


def _prepended(activation: Activation, environ: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that put an activation's elements in front again, if ~/.bashrc has changed the list."""
    older = [f"{link}/bin" for link in environ.get("FLOX_ENV_DIRS", "").split(":") if link]
    for name in sorted(activation.prepend.keys() | activation.append.keys()):
        if LISTS[name] == ":":
            front = [*activation.prepend.get(name, ()), *(older if name == "PATH" else ())]
            last = activation.append.get(name, ())
            words = [name, _quoted(":".join(front)), *map(_quoted, last)]
            yield f'[ "${{{name}-}}" = {_quoted(after[name])} ] || _esker_prepend {" ".join(words)}'


def _prompt(program: str) -> str:
    """Return the lines that show the names of the active environments before an interactive shell's prompt."""
    return f"_esker_program={_function_name(program)}\n{_fixed('prompt')}"


def _function(program: str) -> str:
    """Return the definition of a function named like the command, through which `deactivate` changes the shell itself.

    Every other subcommand goes to the program. So does `deactivate` in a subshell, such as `$(esker deactivate)`.
    """
    parameters = f'\\builtin set -- {_quoted(program)} "$@"'
    definition = f"function {_function_name(program)} {{\n{parameters}\n{_fixed('command')}\n}}"
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
    return f'[ -z "${{BASH_VERSION-}}" ] || \\builtin eval {_quoted(text)}'
