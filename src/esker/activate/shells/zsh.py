"""The steps of activating and deactivating as text for zsh.

Zsh takes each step with its own default options and without aliases, whatever the user has set. Only the scripts of the
project are read with the user's options. Zsh reads the whole text before it begins, so no alias that one of them makes
can change what comes after it.

Text that does not depend on the environment is in the `.zsh` files of this folder. An interactive zsh reads the files
of the folder `startup` in the place of the user's, and they read the user's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.activate.shell_file import shell_text
from esker.activate.shells.assignments import quoted, unchanged
from esker.activate.shells.programs import entries, find_shell, inherited_file, kept_warning, lines_before
from esker.activate.shells.steps import (
    AtPrompt,
    Exit,
    First,
    Forget,
    Front,
    Function,
    LastLeft,
    Own,
    Prompt,
    PromptBefore,
    Recorded,
    SearchAnew,
    Source,
    Undo,
    Variables,
    Watching,
    function_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from esker.activate.shells.steps import Script, Step

__all__ = ["Zsh", "renderer"]

_SHELL = "_esker_shell"
"""The variable, not exported, that names the environment in the interactive shell that Esker started for it."""
_SOURCED = "_FLOX_SOURCED_PROFILE_SCRIPTS"
"""The variable, not exported, with the environments whose scripts a shell has sourced: a child shell has none."""
_NOT_HASHED = "if [[ -o hash_cmds ]]; then _esker_hashed=y; \\builtin \\unsetopt hash_cmds; fi"
_HASHED = "if [[ -n ${_esker_hashed-} ]]; then \\builtin \\setopt hash_cmds; fi; \\builtin \\unset _esker_hashed"
"""Undoes `_NOT_HASHED`, unless the shell had the option off before."""
_AT_PROMPT = (
    "function _esker_at_prompt { \\builtin unsetopt local_options; "
    'while _esker_asked; do \\builtin eval "$_esker_text" || \\builtin true; done }'
)
"""What runs before each prompt. It is no function of ours, because the scripts of `[profile]` are read within it."""
_CLOSED = "_esker_descriptor={0}; exec {{_esker_descriptor}}<&-; \\builtin \\unset _esker_descriptor"
_NOT_PARSED = 126
"""The status of a `source` whose file zsh cannot parse."""
_KEPT = """
aliases argv cdpath commands dirstack EGID ERRNO EUID fignore fpath funcstack functions GID HISTCMD history jobdirs
jobstates jobtexts keymaps LINENO mailpath manpath module_path modules nameddirs options parameters path pipestatus
PPID precmd_functions prompt psvar reswords signals status TTY TTYIDLE UID userdirs usergroups USERNAME widgets
zsh_eval_context
"""
_KEPT_NAMES = frozenset(_KEPT.split())
"""Variables that have a meaning of their own in zsh, and cannot be given any text."""


class Zsh:
    """Zsh; a Renderer."""

    name = "zsh"
    evaluation = 'eval "$({})"'

    def __init__(self, program: str | None = None) -> None:
        self._program = program

    def evaluated(self, steps: Iterable[Step], _: Mapping[str, str]) -> str:
        """Return the text that takes these steps in the zsh that evaluates it."""
        return _text(line for step in steps for line in _lines(step))

    def command(self, steps: Iterable[Step], text: str, _: Mapping[str, str], path: str | None) -> list[str]:
        """Return the arguments of a zsh that runs a command after the profile scripts.

        It reads the scripts from a file in memory. This process keeps the file's descriptor open across exec.
        """
        zsh = find_shell(self.name, self._program, path)
        scripts = _with_warnings(line for step in steps for line in _lines(step))
        start = f". {inherited_file(_CLOSED, scripts)}\n" if scripts else ""
        return [zsh, "-f", "-c", start + text]

    def interactive(
        self, steps: Iterable[Step], environ: Mapping[str, str], path: str | None
    ) -> tuple[list[str], Mapping[str, str]]:
        """Return the arguments and the variables of an interactive zsh, which reads the user's files first."""
        zsh = find_shell(self.name, self._program, path)
        after = {**environ, "ZDOTDIR": f"{os.path.dirname(__file__)}/startup"}
        if "ZDOTDIR" in environ:
            after["_ESKER_ZDOTDIR"] = environ["ZDOTDIR"]
        after["_ESKER_TEXT"] = inherited_file(_CLOSED, (line for step in steps for line in _lines(step)))
        return [zsh, "-i"], after

    def earlier(self, before: str, _: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
        """Return the prompt and the exported variables that the text for `Recorded` wrote down."""
        return entries(before)


def renderer(program: str | None = None) -> Zsh:
    """Return the renderer of zsh, which is this program, or else the first zsh on PATH."""
    return Zsh(program)


def _lines(step: Step) -> Iterator[str]:  # noqa: C901, PLR0912 - one case for each kind of step
    """Yield the lines of zsh that take a step."""
    match step:
        case Variables(changes, back):
            kept = sorted(_KEPT_NAMES & changes.keys())
            yield _own(_assignments({name: changes[name] for name in changes if name not in kept}, back=back))
            if kept:
                yield _own(f"builtin print -ru2 -- {quoted(kept_warning('zsh', kept))}")
        case Front(name, value, front, last):
            words = [name, quoted(":".join(front)), *map(quoted, last)]
            yield _unless(name, value, f"_esker_prepend {' '.join(words)}")
        case First(name, value, element, opening, separator, closing):
            words = [name, *map(quoted, (element, opening, separator, closing))]
            yield _unless(name, value, f"_esker_first {' '.join(words)}")
        case Source(link, scripts):
            marked = _own(f"builtin typeset -g +x {_SOURCED}=${{{_SOURCED}-}}:{quoted(link)}:")
            yield f"{_is_sourced(link)} || {{ {'; '.join((marked, *map(_source, scripts)))}; }}"
        case Undo(link, scripts):
            sources = "; ".join((_unmarked(link), *map(_source, scripts)))
            yield from _with_warnings([f"! {_is_sourced(link)} || {{ {sources}; }}"])
        case Forget(link):
            yield _unmarked(link)
        case Recorded(sources, program):
            begun = "_esker_variables\nbuiltin typeset -g _esker_before=${PS1+x$PS1}$'\\0'$_esker_now"
            yield _own(f"{_fixed('variables')}\n{begun}\nbuiltin unset _esker_now")
            yield from _with_warnings(line for source in sources for line in _lines(source))
            yield _own(
                "_esker_variables\n"
                "if [[ ${PS1+x$PS1}$'\\0'$_esker_now != $_esker_before ]]; then\n"
                'builtin eval "$(builtin print -rn -- $_esker_before | _ESKER_PROMPT=${PS1+x$PS1} _ESKER_SHELL=zsh '
                f'builtin command {quoted(program)} deactivate --profile)"\nfi\n'
                "builtin unset _esker_before _esker_now; builtin unset -f _esker_variables"
            )
        case Own(dot_flox):
            yield _own(f"builtin typeset -g +x {_SHELL}={quoted(dot_flox)}")
        case Exit(dot_flox, program):
            yield f": 'This text is for zsh: eval \"$({function_name(program)} deactivate)\"'"
            yield f"[[ ${{{_SHELL}-}} != {quoted(dot_flox)} ]] || \\builtin \\exit 0"
        case SearchAnew():
            yield _NOT_HASHED
        case Prompt(program):
            yield _own(f"_esker_program={function_name(program)}\n{_fixed('prompt')}")
        case PromptBefore(before, after, exported):
            undone = "builtin unset PS1" if before is None else f"PS1={quoted(before)}"
            undone += "" if exported or before is None else "; builtin typeset -g +x PS1"
            yield _own(f"if [[ ${{PS1-}} == {quoted(after or '')} ]]; then {undone}; fi")
        case Function(program):
            yield f"_esker_subshell=$ZSH_SUBSHELL; {_function(program)}"
        case LastLeft(program):
            yield _HASHED
            name = function_name(program)
            yield _own(f"{_fixed('forget')}\nif [[ -n ${{functions[{name}]+x}} ]]; then builtin unset -f {name}; fi")
        case AtPrompt() | Watching():
            yield from _at_prompt(step)


def _at_prompt(step: AtPrompt | Watching) -> Iterator[str]:
    if isinstance(step, AtPrompt):
        yield _own(f"builtin typeset -g _esker_asked_program={quoted(step.program)}\n{_fixed('at_prompt')}")
        yield _AT_PROMPT
        return
    watch, turn = step
    same = f"[[ {' && '.join(unchanged(watch))} ]]" if watch.settled else "builtin return 1"
    turned = f"builtin typeset -g _esker_turn={'end' if turn is None else turn}"
    yield _own(f"{turned}\nfunction _esker_same {{\n{same}\n}}")


def _unless(name: str, value: str, edit: str) -> str:
    """Return the line that edits a list variable unless it has this value."""
    prepended = f"{_fixed('prepend')}\n{edit}\nbuiltin unset -f _esker_prepend _esker_first"
    return _own(f"if [[ ${{{name}-}} != {quoted(value)} ]]; then\n{prepended}\nfi")


def _own(text: str) -> str:
    """Return a line that evaluates a text with zsh's default options, without aliases."""
    return f"\\builtin \\emulate zsh -o no_aliases -c {quoted(text)}"


def _assignments(changes: Mapping[str, str | None], *, back: bool) -> str:
    """Return the lines that set and unset variables.

    A variable that the user has made read-only stays as it is: zsh would read nothing more after an assignment. Except
    on the way back, where it is no news, a line says so.
    """
    names = [name for name in changes if name.isidentifier() and name.isascii()]  # a shell can have no other variable
    lines = [
        f"[[ ${{(t){name}}} == *readonly* ]] || builtin "
        + (f"unset {name}" if (value := changes[name]) is None else f"export {name}={quoted(value)}")
        for name in names
    ]
    if names and not back:
        told = quoted("! Not changed, because it is read-only in this shell: ")
        lines.append(
            f"() {{ builtin local name; for name; do [[ ${{(Pt)name}} != *readonly* ]] || "
            f"builtin print -ru2 -- {told}$name; done }} {' '.join(names)}"
        )
    return "\n".join(lines)


def _is_sourced(link: str) -> str:
    return f"[[ ${{{_SOURCED}-}} == *:{quoted(link)}:* ]]"


def _unmarked(link: str) -> str:
    return _own(f"() {{ builtin typeset -g +x {_SOURCED}=${{${{{_SOURCED}-}}//:$1:/}} }} {quoted(link)}")


def _source(script: Script) -> str:
    """Return a line that sources a script as if it were a file, so that the script may use `return`.

    If zsh cannot parse the script, the line warns, with the place in the manifest. The line needs `_with_warnings`
    around it.
    """
    before = lines_before(script)
    count = len(script.text.rstrip().split("\n"))
    text = quoted(script.text)
    place = (quoted(script.name), text, str(count), quoted(script.manifest), "''" if before is None else str(before))
    return (
        f"\\builtin \\source <(\\builtin \\print -r -- {text}); "
        f"[[ $? != {_NOT_PARSED} ]] || _esker_mistake {' '.join(place)}"
    )


def _with_warnings(sources: Iterable[str]) -> list[str]:
    """Return lines that `_source` has made; before them the function that warns is defined, and after them removed."""
    lines = list(sources)
    return [_own(_fixed("mistake")), *lines, "\\builtin \\unset -f _esker_mistake"] if lines else []


def _function(program: str) -> str:
    """Return the definition of a function named like the command, through which `deactivate` changes the shell itself.

    Every other subcommand goes to the program. So does `deactivate` in a subshell, such as `$(esker deactivate)`. The
    function has the user's options, because the scripts of `[profile.deactivate]` are read within it. The options that
    they change are to stay changed, which zsh calls not local; it restores that option itself in any case.
    """
    command = f"\\builtin \\command {quoted(program)}"
    return (
        f"function {function_name(program)} {{ "
        'if [[ $#:${1-}:$ZSH_SUBSHELL == "1:deactivate:$_esker_subshell" ]]; then '
        f'\\builtin \\unsetopt local_options; \\builtin \\eval "$(_ESKER_SHELL=zsh {command} deactivate)"; '
        f'else {command} "$@"; fi; }}'
    )


def _fixed(name: str) -> str:
    """Return the text of a `.zsh` file of this folder."""
    return shell_text(f"{os.path.dirname(__file__)}/{name}.zsh")


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
