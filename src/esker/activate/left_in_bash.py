"""What a script leaves in a bash beside exported variables, so that other shells can take it over.

A bash takes over functions, arrays and variables that are not exported, and the aliases. A zsh takes over the aliases,
which bash writes in a form that zsh reads too. Every other shell gets one line that says so.

Every activation with a tool's hook runs this module, most of them for a command that takes over nothing of it. So what
the hook's bash has written is kept as it is, and becomes text for other shells only where one takes it over; nothing
heavy is imported at the top.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence

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
_VARIABLES, _FUNCTIONS = "variables", "functions"
"""The keys of what a hook has left in place of declarations: all variables and functions, as its bash writes them."""
_KEYS = (DECLARATIONS, _VARIABLES, _FUNCTIONS, ALIASES, TRAP, ENDED, RETURNED)

_SHELLS = """
_ BASH BASHOPTS BASHPID BASH_ALIASES BASH_ARGC BASH_ARGV BASH_ARGV0 BASH_CMDS BASH_COMMAND BASH_COMPAT BASH_ENV
BASH_EXECUTION_STRING BASH_LINENO BASH_LOADABLES_PATH BASH_MONOSECONDS BASH_REMATCH BASH_SOURCE BASH_SUBSHELL
BASH_TRAPSIG BASH_VERSINFO BASH_VERSION COLUMNS COMP_WORDBREAKS COPROC DIRSTACK EPOCHREALTIME EPOCHSECONDS EUID FUNCNAME
GROUPS HISTCMD HISTCONTROL HISTFILE HISTFILESIZE HISTSIZE HOSTNAME HOSTTYPE IFS LINENO LINES MACHTYPE MAILCHECK OLDPWD
OPTARG OPTERR OPTIND OSTYPE PIPESTATUS POSIXLY_CORRECT PPID PROMPT_COMMAND PROMPT_DIRTRIM PS0 PS1 PS2 PS3 PS4 PWD RANDOM
PATH READLINE_LINE READLINE_POINT REPLY SECONDS SHELL SHELLOPTS SHLVL SRANDOM TERM UID
"""
_OWN = frozenset(_SHELLS.split())
_DECLARED = r"""^declare -(\S+) ([A-Za-z_]\w*)((?:=(?:[^"'\\\n]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\\.)*)?)\n"""
"""A declaration as `declare -p` writes it. A text in quotes may have several lines."""
_FUNCTION_OF_OURS = r"^_esker_\w+ \(\)\s*\n\{.*?^\}\n|^declare -f\w*r\w* \S+\n"
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
    from esker.activate.shells.assignments import quoted

    if isinstance(value, str):
        return f"declare -g -- {name}={quoted(value)}\n"
    if hasattr(value, "items"):
        pairs = " ".join(f"[{quoted(key)}]={quoted(part)}" for key, part in value.items())
        return f"declare -gA {name}=({pairs})\n"
    return f"declare -ga {name}=({' '.join(map(quoted, value))})\n"


def parse_left(text: str) -> dict[str, str]:
    """Return what `hook.bash` has written of a tool's hook: entries `_esker_KEY=TEXT`, each with a NUL behind it."""
    pairs = (entry.partition("=") for entry in text.split("\0"))
    entries = {name.removeprefix("_esker_"): value for name, _, value in pairs}
    return {key: entries.get(key, "") for key in _KEYS}


def _declarations(left: Mapping[str, str]) -> str:
    """Return bash text for the variables and functions that were left, but for those that another bash has itself."""
    import re

    taken = (_taken(match) for match in re.finditer(_DECLARED, left.get(_VARIABLES, ""), re.MULTILINE | re.DOTALL))
    functions = re.sub(_FUNCTION_OF_OURS, "", left.get(_FUNCTIONS, ""), flags=re.MULTILINE | re.DOTALL)
    return "".join((left.get(DECLARATIONS, ""), *taken, functions))


def _taken(declared: re.Match[str]) -> str:
    """Return a line of `declare -p` as text for another bash; nothing if it is exported, read-only or the shell's."""
    flags, name, value = declared.groups()
    if is_shells_own(name) or not {"x", "r"}.isdisjoint(flags):
        return ""
    return f"declare -g{flags.replace('-', '')} {name}{value}\n" if flags != "-" else f"declare -g -- {name}{value}\n"


def scripts_for(shell: str, left: Mapping[str, str], name: str, *, with_trap: bool) -> list[str]:
    """Return the scripts by which a kind of shell takes over what a tool's hook `name` has left in its bash."""
    if shell == "bash":
        aliases = left.get(ALIASES, "")
        # A bash that runs a command, too: it would only know the aliases, and not expand them.
        parts = [_declarations(left), aliases and f"shopt -s expand_aliases\n{aliases}"]
        parts += [left.get(TRAP, "")] if with_trap else []
    elif shell == "zsh":
        parts = [left.get(ALIASES, "")]
    else:
        is_left = left.get(ALIASES) or left.get(TRAP) or _declarations(left)
        parts = [_FOR_OTHERS.format(name)] if is_left else []
    return [part for part in parts if part]
