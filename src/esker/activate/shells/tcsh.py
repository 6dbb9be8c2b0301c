r"""The steps of activating and deactivating as text for tcsh.

Tcsh joins the lines of what it evaluates and has no blocks in one line. So it is given one line, which sources a file
that removes itself. A mistake in a script ends all that tcsh reads, so the scripts of the project come last.

In quotes, only `!` and a line break need a backslash. Two settings of the user would change that, and are set aside.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from zlib import crc32

from esker.activate.shell_file import shell_text
from esker.activate.shells.programs import entries, find_shell, foreign_warning, private_file
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

    from esker.activate.prompt.watched import Watch
    from esker.activate.shells.steps import Script, Step

__all__ = ["Tcsh", "quoted", "renderer"]

_SHELL = "_esker_shell"
"""The variable of the shell that names the environment for which Esker has started it."""
_LEFT = "_esker_left"
"""The variable of the shell with what the alias does at its end: `exit` in a file only ends the file."""
_ASIDE = (
    "if ($?histchars) then\nset _esker_histchars = $histchars:q\nendif",
    "unset histchars",
    "if ($?backslash_quote) set _esker_backslash",
    "unset backslash_quote",
)
_BACK = (
    "if ($?_esker_histchars) then\nset histchars = $_esker_histchars:q\nendif",
    "if ($?_esker_backslash) set backslash_quote",
    "unset _esker_histchars _esker_backslash",
)


class Tcsh:
    """Tcsh; a Renderer."""

    name = "tcsh"
    evaluation = 'eval "`{}`"'

    def __init__(self, program: str | None = None) -> None:
        self._program = program

    def evaluated(self, steps: Iterable[Step], environ: Mapping[str, str]) -> str:
        """Return the line that takes these steps in the tcsh that evaluates it."""
        return f"source {_file(_lines(steps, environ), environ)};\n"

    def command(self, steps: Iterable[Step], text: str, environ: Mapping[str, str], path: str | None) -> list[str]:
        """Return the arguments of a tcsh that runs a command after the profile scripts."""
        tcsh = find_shell(self.name, self._program, path)
        scripts = [line for step in steps for line in _step(step, environ)]
        start = f"source {_file(scripts, environ)}\n" if scripts else ""
        return [tcsh, "-f", "-c", start + text]

    def interactive(
        self, steps: Iterable[Step], environ: Mapping[str, str], path: str | None
    ) -> tuple[list[str], Mapping[str, str]]:
        """Return the arguments and the variables of an interactive tcsh, which reads the user's file first."""
        tcsh = find_shell(self.name, self._program, path)
        after = {**environ, "HOME": f"{os.path.dirname(__file__)}/startup"}
        if "HOME" in environ:
            after["_ESKER_HOME"] = environ["HOME"]
        after["_ESKER_TEXT"] = private_file(_REMOVED, _lines(steps, environ), environ, quoted)
        return [tcsh], after

    def earlier(self, before: str, _: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
        """Return the exported variables that the text for `Recorded` wrote down."""
        return entries(before)


def renderer(program: str | None = None) -> Tcsh:
    """Return the renderer of tcsh, which is this program, or else the first tcsh on PATH."""
    return Tcsh(program)


def quoted(text: str) -> str:
    r"""Return the text as one word of tcsh, which may have several lines.

    >>> print(quoted("it's!\nx"))
    'it'\''s\!\
    x'
    """
    return "'" + text.replace("'", "'\\''").replace("!", "\\!").replace("\n", "\\\n") + "'"


_REMOVED = "\\rm -f {}"


def _lines(steps: Iterable[Step], environ: Mapping[str, str]) -> list[str]:
    """Return the lines that take the steps, with those that source scripts at the end."""
    early: list[str] = [*_ASIDE]
    late: list[str] = []
    for step in steps:
        is_late = isinstance(step, Recorded | Source | Undo) or (late and isinstance(step, Variables))
        (late if is_late else early).extend(_step(step, environ))
    return [*early, *_BACK, *late, ":"]


def _step(step: Step, environ: Mapping[str, str]) -> Iterator[str]:  # noqa: C901, PLR0912 - one case for each kind
    """Yield the lines of tcsh that take a step."""
    match step:
        case Variables(changes):
            yield from _assignments(changes)
        case Front():
            yield from _front(step)
        case First():
            yield from _first(step)
        case Source(link, scripts):
            yield f"if (! $?{_mark(link)}) then\nset {_mark(link)}"
            yield from _sourced(scripts, environ)
        case Undo(link, scripts):
            yield f"if ($?{_mark(link)}) then\nunset {_mark(link)}"
            yield from _sourced(scripts, environ)
        case Forget(link):
            yield f"unset {_mark(link)}"
        case Recorded():
            yield from _recorded(step, environ)
        case Own(dot_flox):
            yield f"set {_SHELL} = {quoted(dot_flox)}"
        case Exit(dot_flox):
            yield f'if ($?{_SHELL}) then\nif ("${_SHELL}" == {quoted(dot_flox)}) then'
            yield f"set {_LEFT} = exit\nexit 0\nendif\nendif"
        case SearchAnew():
            yield "unhash"
        case PromptBefore():
            pass  # the prompt of tcsh is no variable that programs see
        case Prompt(program):
            yield f"set _esker_program = {function_name(program)}\n{_fixed('prompt')}"
        case Function(program):
            yield _alias(program)
        case LastLeft(program):
            yield f"{_fixed('forget')}\nunalias {function_name(program)}\nunset {_SHELL}"
        case AtPrompt(program):
            yield f"set _esker_asked_program = {quoted(program)}"
            yield f"set _esker_at_prompt = {quoted(f'{os.path.dirname(__file__)}/at_prompt.tcsh')}"
            yield _fixed("hook")
        case Watching(watch, turn):
            yield f"set _esker_turn = {'end' if turn is None else turn}"
            yield f"set _esker_watched = ({' '.join(map(quoted, _watched(watch)))})"
            yield f"set _esker_changed = {quoted(_changed(watch))}"


def _assignments(changes: Mapping[str, str | None]) -> Iterator[str]:
    for name, value in changes.items():
        if name.isidentifier() and name.isascii():  # a shell can have no other variable
            yield f"unsetenv {name}" if value is None else f"setenv {name} {quoted(value)}"


def _front(step: Front) -> Iterator[str]:
    """Yield the lines that edit a list with colons; an element may then stand in it twice, and the first one counts."""
    name, value, front, last = step
    words = (quoted("".join(f"{part}:" for part in front)), f'"${name}"', *(quoted(f":{part}") for part in last))
    yield f"if (! $?{name}) setenv {name} ''"
    yield f"if (\"${name}\" == '') then"
    yield f"setenv {name} {quoted(':'.join((*front, *last)))}"
    yield f'else if ("${name}" != {quoted(value)}) then'
    yield f"setenv {name} {''.join(words)}"
    yield "endif"


def _first(step: First) -> Iterator[str]:
    """Yield the lines that edit another list, which the text of first.sh does."""
    name, value, *parts = step
    script = shell_text(f"{os.path.dirname(__file__)}/first.sh")
    yield f"if (! $?{name}) setenv {name} ''"
    yield f'if ("${name}" != {quoted(value)}) then'
    yield f"set _esker_first = {quoted(script)}"
    yield f'setenv {name} "`\\sh -c $_esker_first:q sh ${name}:q {" ".join(map(quoted, parts))}`"'
    yield "unset _esker_first\nendif"


def _recorded(step: Recorded, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that source scripts between two looks at the variables."""
    before = quoted(private_file(None, (), environ, quoted))
    variables = "( \\printf '\\0' ; \\env -0 )"
    yield f"{variables} >! {before}"
    for source in step.sources:
        yield from _step(source, environ)
    yield 'if ($?_esker_prompted) then\nset _esker_prompted = "$prompt"\nendif'
    yield f"{variables} | \\cmp -s - {before}"
    yield "if ($status) then"
    yield f'eval "`\\env _ESKER_SHELL=tcsh {quoted(step.program)} deactivate --profile < {before}`"'
    yield f"endif\n{_REMOVED.format(before)}"


def _watched(watch: Watch) -> list[str]:
    """Return the paths that `_changed` compares, in the order in which it counts them."""
    return [watch.directory, *watch.absent, *(present.path for present in watch.present)]


def _changed(watch: Watch) -> str:
    """Return the command that sets `_esker_turn` if something has changed that is watched.

    The shell evaluates it with the user's settings, which may change what quotes mean: so the paths are in a variable.
    """
    if not watch.settled:
        return "set _esker_turn = ask"
    directory, *words = (f"$_esker_watched[{number}]:q" for number in range(1, len(_watched(watch)) + 1))
    absent, present = words[: len(watch.absent)], words[len(watch.absent) :]
    tests = [f"$cwd:q == {directory}", *(f"! -e {word}" for word in absent)]
    times = (each.seconds for each in watch.present)
    tests += [f"-e {word} && -M {word} == {time}" for word, time in zip(present, times, strict=True)]
    return f"if (! ({' && '.join(tests)})) set _esker_turn = ask"


def _mark(link: str) -> str:
    """Return the variable of the shell that is set if it has sourced the scripts of the environment with a run link."""
    return f"_esker_sourced_{crc32(os.fsencode(link)):08x}"


def _sourced(scripts: Iterable[Script], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that source scripts, and end the block."""
    for script in scripts:
        yield from _source(script, environ)
    yield "endif"


def _source(script: Script, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that source a script, after a warning if it is for every shell and tcsh cannot run it."""
    if warning := foreign_warning("tcsh", script):
        yield f'\\sh -c \'printf "%s\\n" "$1" >&2\' sh {quoted(warning)}'
    yield f"source {_file((script.text,), environ)}"


def _alias(program: str) -> str:
    """Return the definition of an alias named like the command, through which `deactivate` changes the shell itself.

    Every other subcommand goes to the program. So does `deactivate` in backticks: there a copy of the shell runs the
    alias, which is another process than `$$`.
    """
    command = quoted(program)
    leave = f'eval "`\\env _ESKER_SHELL=tcsh {command} deactivate`" && ${_LEFT}'
    text = f'\\sh -c \'test "$*" = "$PPID deactivate"\' sh $$ !*:q && {leave} || {command} !*'
    # Where `!` is not the character of the history, the alias could not say which words follow it.
    return f"if (! $?_esker_histchars) then\nset {_LEFT} = :\nalias {function_name(program)} {quoted(text)}\nendif"


def _fixed(name: str) -> str:
    """Return the text of a `.tcsh` file of this folder."""
    return shell_text(f"{os.path.dirname(__file__)}/{name}.tcsh")


def _file(lines: Iterable[str], environ: Mapping[str, str]) -> str:
    """Return the path of a file with these lines, which removes itself, as a word."""
    return quoted(private_file(_REMOVED, lines, environ, quoted))
