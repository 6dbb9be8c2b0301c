"""The steps of activating and deactivating as text for GNU bash.

Aliases, functions named `export` or `unset`, and `set -k` could change what the lines of `assignments` do. So bash sets
them aside before these lines and puts them back after. All other lines say `builtin`.

Text that does not depend on the environment is in the `.bash` files of this folder. Their parameters are the positional
parameters of a function, or variables that are assigned before the text.
"""

from __future__ import annotations

import os

from esker.activate import named_texts
from esker.activate.shell_file import shell_text
from esker.activate.shells.assignments import assignments, quoted, unchanged
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
from esker.host import runtime_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from esker.activate.prompt.watched import Watch
    from esker.activate.shells.steps import Script, Step

__all__ = ["Bash", "renderer"]

_SHELL = "_esker_shell"
"""The variable, not exported, that names the environment in the interactive shell that Esker started for it."""
_SOURCED = "_FLOX_SOURCED_PROFILE_SCRIPTS"
"""The variable, not exported, with the environments whose scripts a shell has sourced: a child shell has none."""
_NOT_HASHED = "if [[ -o hashall ]]; then _esker_hashed=y; \\builtin set +h; fi"
_HASHED = "if [[ -n ${_esker_hashed-} ]]; then \\builtin set -h; fi; \\builtin unset -v _esker_hashed"
"""Undoes `_NOT_HASHED`, unless the shell had the option off before."""
_NOT_CUT_OFF = (
    'case $(\\builtin trap -p EXIT) in *"_esker_cut_off "*) \\builtin trap - EXIT ;; esac; '
    "\\builtin unset -f _esker_cut_off"
)
"""Undoes cut_off.bash; a trap of a script's own stays."""
_CLOSED = "exec {0}<&-"
_POSIX = "POSIXLY_CORRECT"
_DESCRIPTOR = 63
"""At which a script is read that has a name: the one that bash takes first for a `<()`."""


class Bash:
    """GNU bash; a Renderer."""

    name = "bash"
    evaluation = 'eval "$({})"'

    def evaluated(self, steps: Iterable[Step], _: Mapping[str, str]) -> str:
        """Return text that changes the variables of any shell, and that in bash also takes the other steps.

        The user's aliases and functions are put back before those, because they read scripts of the project.
        """
        lines: list[str] = []
        rest: list[str] = []
        for step in steps:
            if isinstance(step, Exit):
                lines += _lines(step)
            elif isinstance(step, Variables):
                lines += _rest_for_bash(rest)
                rest = [_fixed("put_back")]
                lines += [_for_bash(_fixed("set_aside")), *assignments(step.changes)]
            else:
                rest += _lines(step)
        return _text([*lines, *_rest_for_bash(rest)])

    def command(self, steps: Iterable[Step], text: str, environ: Mapping[str, str], path: str | None) -> list[str]:
        """Return the arguments of a bash that runs a command after the profile scripts.

        It reads the scripts from a file in memory. This process keeps the file's descriptor open across exec.
        """
        from esker.activate.hook import find_bash
        from esker.activate.shells.programs import inherited_file

        bash = find_bash(path)
        may = os.sysconf("SC_OPEN_MAX") > _DESCRIPTOR
        names = runtime_directory.user_directory(environ.get("XDG_RUNTIME_DIR")) if may else None
        scripts = _with_warnings(_sourced(each, names) for each in steps if isinstance(each, Source))
        watched = [_fixed("cut_off"), *scripts, _NOT_CUT_OFF]
        start = f". {inherited_file(_CLOSED, watched)}\n" if scripts else ""
        return [bash, "--noprofile", "--norc", "-c", start + text]

    def interactive(
        self, steps: Iterable[Step], environ: Mapping[str, str], path: str | None
    ) -> tuple[list[str], Mapping[str, str]]:
        """Return the arguments and the variables of an interactive bash, which reads the user's ~/.bashrc first."""
        from esker.activate.hook import find_bash
        from esker.activate.shells.programs import inherited_file

        bash = find_bash(path)
        # A bash that starts in POSIX mode ignores --rcfile, so it enters that mode only at the end of our file.
        posix = {name: value for name, value in environ.items() if name == _POSIX}
        lines = ["if [ -f ~/.bashrc ]; then . ~/.bashrc; fi"]
        aside = False
        for step in steps:
            if isinstance(step, Variables | Front | First) is not aside:
                aside = not aside
                lines += [_fixed("set_aside"), _fixed("prepend")] if aside else [_PREPENDED, _fixed("put_back")]
            if isinstance(step, Variables):
                lines += assignments({name: value for name, value in step.changes.items() if name not in posix})
            else:
                lines += _lines(step)
        lines += assignments(posix)
        variables = {name: value for name, value in environ.items() if name not in posix}
        return [bash, "--noprofile", "--rcfile", inherited_file(_CLOSED, lines), "-i"], variables

    def earlier(self, before: str, environ: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
        """Return the prompt and the exported variables that before_profile.bash wrote down, as text of bash."""
        import subprocess

        from esker.activate.hook import find_bash

        bash = find_bash(environ.get("PATH"))
        script = f"{before}\nprintf '%s\\0' \"${{PS1+x$PS1}}\"\nexec /usr/bin/env -0"
        done = subprocess.run(
            [bash, "--noprofile", "--norc", "-p"], input=os.fsencode(script), env={}, capture_output=True, check=False
        )
        prompt, *entries = os.fsdecode(done.stdout).split("\0")
        return prompt[1:] if prompt else None, dict(entry.split("=", 1) for entry in entries if "=" in entry)


def renderer(_: str | None = None) -> Bash:
    """Return the renderer of bash, which is the first bash on PATH."""
    return Bash()


_PREPENDED = "unset -f _esker_prepend _esker_first"


def _lines(step: Step) -> Iterator[str]:  # noqa: C901, PLR0912 - one case for each kind of step
    """Yield the lines of bash that take a step."""
    match step:
        case Variables(changes):
            yield from assignments(changes)
        case Front(name, value, front, last):
            words = [name, quoted(":".join(front)), *map(quoted, last)]
            yield f'[ "${{{name}-}}" = {quoted(value)} ] || _esker_prepend {" ".join(words)}'
        case First(name, value, element, opening, separator, closing):
            words = [name, *map(quoted, (element, opening, separator, closing))]
            yield f'[ "${{{name}-}}" = {quoted(value)} ] || _esker_first {" ".join(words)}'
        case Source():
            yield _sourced(step)
        case Undo(link, scripts):
            yield from _forgotten(link, _with_warnings(map(_source, scripts)))
        case Forget(link):
            yield from _forgotten(link)
        case Recorded(sources, program):
            yield _fixed("before_profile")
            yield from _with_warnings(line for source in sources for line in _lines(source))
            yield f"_esker_program={quoted(program)}"
            yield _fixed("after_profile")
        case Own(dot_flox):
            yield f"{_SHELL}={quoted(dot_flox)}; \\builtin export -n {_SHELL}"
        case Exit(dot_flox, program):
            yield f": 'This text is for a shell: eval \"$({function_name(program)} deactivate)\"'"
            yield f'[ "${{{_SHELL}-}}" != {quoted(dot_flox)} ] || exit 0'
        case SearchAnew():
            yield _NOT_HASHED
        case Prompt(program):
            yield f"_esker_program={function_name(program)}\n{_fixed('prompt')}"
        case PromptBefore(before, after, exported):
            undone = "\\builtin unset -v PS1" if before is None else f"PS1={quoted(before)}"
            undone += "" if exported or before is None else "; \\builtin export -n PS1"
            yield f"if [[ ${{PS1-}} == {quoted(after or '')} ]]; then {undone}; fi"
        case Function(program):
            parameters = f'\\builtin set -- {quoted(program)} "$@"'
            definition = f"function {function_name(program)} {{\n{parameters}\n{_fixed('command')}\n}}"
            yield f"_esker_subshell=$BASH_SUBSHELL\n{definition}"
        case LastLeft(program):
            yield from (_HASHED, _fixed("forget"), f"\\builtin unset -f {function_name(program)}")
        case AtPrompt(program):
            yield f"_esker_asked_program={quoted(program)}\n{_fixed('at_prompt')}"
        case Watching(watch, turn):
            yield f"_esker_turn={'end' if turn is None else turn}"
            yield f"_esker_same() {{\n{_same(watch)}\n}}"


def _same(watch: Watch) -> str:
    """Return the command that tests whether nothing has changed that is watched."""
    return f"[[ {' && '.join(unchanged(watch))} ]]" if watch.settled else "\\builtin return 1"


def _sourced(step: Source, names: str | None = None) -> str:
    """Return the line that sources scripts, unless this very shell has done so; `names` is as for `_source`."""
    word = quoted(step.link)
    sources = "; ".join(_source(script, names) for script in step.scripts) or ":"
    return f"case ${{{_SOURCED}-}} in *:{word}:*) ;; *) {_SOURCED}=${{{_SOURCED}-}}:{word}: ; {sources} ;; esac"


def _source(script: Script, names: str | None = None) -> str:
    """Return a line that sources a script as if it were a file, so that the script may use `return`.

    In the messages of a bash that is not interactive, the script has the name of a link in the directory `names`. A
    text that somebody else evaluates, perhaps where there is no such link, has to do without.

    If bash cannot parse the script, the line warns, with the place in the manifest. The status alone does not tell this
    from a valid script that fails, so a second bash parses the script without running it. The line needs
    `_with_warnings` around it.
    """
    from esker.activate.shells.programs import lines_before

    before = lines_before(script)
    count = len(script.text.rstrip().split("\n"))
    place = (quoted(script.manifest), "''" if before is None else f"'{before}'")
    words = (quoted(script.name), quoted(script.text), str(count), *place)
    named = f"{script.name} ({script.manifest}:{before + 1})" if before is not None else script.name
    name = script.name if script.name.startswith("profile.") else ""
    path = named_texts.paths([(name, _DESCRIPTOR)], names)[0] if names else ""
    file = f"{quoted(path)} {_DESCRIPTOR}< " if path else ""
    sourced = f"_esker_script={quoted(named)}; \\builtin . {file}<(\\builtin printf '%s\\n' {words[1]})"
    return f"{sourced}; [[ $? == 0 ]] || _esker_mistake {' '.join(words)}"


def _with_warnings(sources: Iterable[str]) -> list[str]:
    """Return lines that `_source` has made; before them the function that warns is defined, and after them removed."""
    lines = list(sources)
    return (
        [_fixed("mistake"), *lines, "\\builtin unset -f _esker_mistake; \\builtin unset -v _esker_script"]
        if lines
        else []
    )


def _forgotten(link: str, sources: Iterable[str] = ()) -> Iterator[str]:
    """Yield the lines that make a shell forget that it has sourced an environment's scripts.

    They also run `sources`, the lines that source `[profile.deactivate]`. A shell that has not sourced the scripts does
    nothing, because it has nothing to undo.
    """
    word = quoted(link)
    yield f"case ${{{_SOURCED}-}} in *:{word}:*)"
    yield f"{_SOURCED}=${{{_SOURCED}//:{word}:}}"
    yield from sources
    yield ";; esac"


def _fixed(name: str) -> str:
    """Return the text of a `.bash` file of this folder."""
    return shell_text(f"{os.path.dirname(__file__)}/{name}.bash")


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _rest_for_bash(lines: list[str]) -> list[str]:
    return [_for_bash(_text(lines))] if lines else []


def _for_bash(text: str) -> str:
    """Return a line that evaluates the text in bash and does nothing in other shells."""
    return f'[ -z "${{BASH_VERSION-}}" ] || \\builtin eval {quoted(text)}'
