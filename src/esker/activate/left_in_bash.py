"""What a script leaves in a bash beside exported variables, so that other shells can take it over.

A bash takes over functions, arrays and variables that are not exported, and the aliases. A zsh takes over the aliases,
which bash writes in a form that zsh reads too. Every other shell gets one line that says so.
"""

from __future__ import annotations

import re

from esker.activate.shells.assignments import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "ALIASES",
    "DECLARATIONS",
    "ENDED",
    "EXPORTED",
    "RETURNED",
    "TRAP",
    "declared",
    "is_shells_own",
    "parse_left",
    "scripts_for",
]

DECLARATIONS, ALIASES, TRAP, ENDED, RETURNED = "declarations", "aliases", "trap", "ended", "returned"
"""The keys of what was left: bash text for functions and variables, for aliases and for the EXIT trap; the `exec` of
another program at which the script ended; and the status that it returned."""
EXPORTED = "exported"
"""The key of the exported functions: entries `NAME=VALUE` as programs are given them, with a NUL between."""

_SHELLS = """
_ BASH BASHOPTS BASHPID BASH_ALIASES BASH_ARGC BASH_ARGV BASH_ARGV0 BASH_CMDS BASH_COMMAND BASH_COMPAT BASH_ENV
BASH_EXECUTION_STRING BASH_LINENO BASH_LOADABLES_PATH BASH_MONOSECONDS BASH_REMATCH BASH_SOURCE BASH_SUBSHELL
BASH_TRAPSIG BASH_VERSINFO BASH_VERSION COLUMNS COMP_WORDBREAKS COPROC DIRSTACK EPOCHREALTIME EPOCHSECONDS EUID FUNCNAME
GROUPS HISTCMD HISTCONTROL HISTFILE HISTFILESIZE HISTSIZE HOSTNAME HOSTTYPE IFS LINENO LINES MACHTYPE MAILCHECK OLDPWD
OPTARG OPTERR OPTIND OSTYPE PIPESTATUS POSIXLY_CORRECT PPID PROMPT_COMMAND PROMPT_DIRTRIM PS0 PS1 PS2 PS3 PS4 PWD RANDOM
PATH READLINE_LINE READLINE_POINT REPLY SECONDS SHELL SHELLOPTS SHLVL SRANDOM TERM UID
"""
_OWN = frozenset(_SHELLS.split())
_DECLARED = re.compile(r"declare -(\S+) ([A-Za-z_]\w*)(.*)", re.DOTALL)
_FUNCTION_OF_OURS = re.compile(r"^_esker_\w+ \(\)\s*\n\{.*?^\}\n|^declare -f\w*r\w* \S+\n", re.MULTILINE | re.DOTALL)
"""Also the lines by which bash says that a function is read-only; those that say it is exported stay."""
_FOR_OTHERS = (
    "sh -c 'echo \"! This shell has taken over the variables alone: functions and aliases of the {} are for bash\" >&2'"
)


def is_shells_own(name: str) -> bool:
    """Return whether each bash has its own variable of this name, which no other may take over."""
    return name in _OWN or name.startswith("_esker_")


def declared(variables: Mapping[str, str | Sequence[str] | Mapping[str, str]], functions: Mapping[str, str]) -> str:
    """Return bash text that declares variables, arrays, associative arrays and functions; none of them is exported.

    The text may be read within a function. A function is given by its body, without the braces around it.
    """
    return "".join(
        (
            *(_declaration(name, value) for name, value in variables.items() if not is_shells_own(name)),
            *(f"{name} ()\n{{\n{body}\n}}\n" for name, body in functions.items()),
        )
    )


def _declaration(name: str, value: str | Sequence[str] | Mapping[str, str]) -> str:
    if isinstance(value, str):
        return f"declare -g -- {name}={quoted(value)}\n"
    if hasattr(value, "items"):
        pairs = " ".join(f"[{quoted(key)}]={quoted(part)}" for key, part in value.items())
        return f"declare -gA {name}=({pairs})\n"
    return f"declare -ga {name}=({' '.join(map(quoted, value))})\n"


def parse_left(text: str) -> dict[str, str]:
    """Return what `hook.bash` has written of a tool's hook: entries `_esker_KIND=TEXT`, each with a NUL behind it."""
    left = {DECLARATIONS: "", ALIASES: "", TRAP: "", ENDED: "", RETURNED: ""}
    for entry in text.split("\0"):
        kind, _, value = entry.partition("=")
        if kind == "_esker_variable":
            left[DECLARATIONS] += "".join(_taken(value))
        elif kind == "_esker_functions":
            left[DECLARATIONS] += _FUNCTION_OF_OURS.sub("", value)
        elif kind.removeprefix("_esker_") in left:
            left[kind.removeprefix("_esker_")] += value
    return left


def _taken(text: str) -> Iterator[str]:
    """Yield the declaration in a line of `declare -p` as text for another bash, unless it is exported or read-only."""
    match = _DECLARED.fullmatch(text.rstrip("\n"))
    if match is None:
        return
    flags, name, value = match.groups()
    if is_shells_own(name) or not {"x", "r"}.isdisjoint(flags):
        return
    yield f"declare -g{flags.replace('-', '')} {name}{value}\n" if flags != "-" else f"declare -g -- {name}{value}\n"


def scripts_for(shell: str, left: Mapping[str, str], name: str, *, with_trap: bool) -> list[str]:
    """Return the scripts by which a kind of shell takes over what a tool's hook `name` has left in its bash."""
    if shell == "bash":
        aliases = left.get(ALIASES, "")
        # A bash that runs a command, too: it would only know the aliases, and not expand them.
        parts = [left.get(DECLARATIONS, ""), aliases and f"shopt -s expand_aliases\n{aliases}"]
        parts += [left.get(TRAP, "")] if with_trap else []
    elif shell == "zsh":
        parts = [left.get(ALIASES, "")]
    else:
        parts = [_FOR_OTHERS.format(name)] if any(left.values()) else []
    return [part for part in parts if part]
