"""The steps of activating and deactivating as text for fish.

Each line is complete and ends in a semicolon, because `eval (esker activate)` joins the lines. Variables are set for
the session, which leaves universal variables as they are. A shell that Esker starts reads its text from a file that
removes itself, because fish cannot close a descriptor that it has inherited.

Text that does not depend on the environment is in the `.fish` files of this folder.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from esker.activate.shell_file import shell_text
from esker.activate.shells.programs import (
    entries,
    find_shell,
    foreign_warning,
    kept_warning,
    lines_before,
    private_file,
)
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

__all__ = ["Fish", "quoted", "renderer"]

_SHELL = "_esker_shell"
"""The variable, not exported, that names the environment in the interactive shell that Esker started for it."""
_SOURCED = "_FLOX_SOURCED_PROFILE_SCRIPTS"
"""The variable, not exported, with the environments whose scripts a shell has sourced: a child shell has none."""
_KEPT_NAMES = frozenset(
    {"_", "argv", "fish_pid", "FISH_VERSION", "history", "hostname", "last_pid", "pipestatus", "status", "version"}
)
"""Variables that fish keeps for itself."""


class Fish:
    """Fish; a Renderer."""

    name = "fish"
    evaluation = "{} | source"

    def __init__(self, program: str | None = None) -> None:
        self._program = program

    def evaluated(self, steps: Iterable[Step], _: Mapping[str, str]) -> str:
        """Return the text that takes these steps in the fish that evaluates it."""
        return "".join(f"{line};\n" for step in steps for line in _lines(step))

    def command(self, steps: Iterable[Step], text: str, environ: Mapping[str, str], path: str | None) -> list[str]:
        """Return the arguments of a fish that runs a command after the profile scripts."""
        fish = find_shell(self.name, self._program, path)
        scripts = _with_warnings(line for step in steps for line in _lines(step))
        start = f"{_sourced(scripts, environ)}\n" if scripts else ""
        return [fish, "--no-config", "-c", start + text]

    def interactive(
        self, steps: Iterable[Step], environ: Mapping[str, str], path: str | None
    ) -> tuple[list[str], Mapping[str, str]]:
        """Return the arguments and the variables of an interactive fish, which reads the user's files first."""
        fish = find_shell(self.name, self._program, path)
        start = _sourced((line for step in steps for line in _lines(step)), environ)
        return [fish, "--interactive", "--init-command", start], environ

    def earlier(self, before: str, _: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
        """Return the exported variables that the text for `Recorded` wrote down; the prompt of fish is a function."""
        return entries(before)


def renderer(program: str | None = None) -> Fish:
    """Return the renderer of fish, which is this program, or else the first fish on PATH."""
    return Fish(program)


def quoted(text: str) -> str:
    r"""Return the text as one word of fish, without line breaks, and in ASCII or UTF-8 whatever its bytes are.

    >>> print(quoted("it's\n\x01"))
    'it\'s'\n\X01
    """
    word, is_open = "", False
    for character in text:
        code = ord(character)
        if code < 32 or code == 127 or 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - controls, and bytes that are no text
            word += "'" if is_open else ""
            word += "\\n" if character == "\n" else f"\\X{code & 0xFF:02x}"
            is_open = False
        else:
            word += "" if is_open else "'"
            word += f"\\{character}" if character in "\\'" else character
            is_open = True
    return word + ("'" if is_open else "") if word else "''"


def _lines(step: Step) -> Iterator[str]:  # noqa: C901, PLR0912 - one case for each kind of step
    """Yield the lines of fish that take a step, without the semicolon at their ends."""
    match step:
        case Variables(changes, back):
            yield from _assignments(changes, back=back)
        case Front(name, value, front, last):
            words = " ".join((name, quoted(":".join(front)), *map(quoted, last)))
            yield _unless(name, value, f"_esker_prepend {words}")
        case First(name, value, element, opening, separator, closing):
            words = " ".join((name, *map(quoted, (element, opening, separator, closing))))
            yield _unless(name, value, f"_esker_first {words}")
        case Source(link, scripts):
            sources = "; ".join((f"set -gu {_SOURCED} ${_SOURCED} {quoted(link)}", *map(_source, scripts)))
            yield f"if not contains -- {quoted(link)} ${_SOURCED}; {sources}; end"
        case Undo(link, scripts):
            yield from _with_warnings([_forgotten(link, map(_source, scripts))])
        case Forget(link):
            yield _forgotten(link)
        case Recorded(sources, program):
            yield _fixed("variables")
            yield _USER_PROMPT
            yield "set -gu _esker_before (_esker_variables | string split0)"
            yield from _with_warnings(line for source in sources for line in _lines(source))
            yield (
                "set -gu _esker_now (_esker_variables | string split0); "
                'if test "$_esker_now" != "$_esker_before"; '
                "string join0 -- '' $_esker_before | "
                f"_ESKER_SHELL=fish command {quoted(program)} deactivate --profile | source; end"
            )
            yield "set -eg _esker_before _esker_now; functions -e _esker_variables"
        case Own(dot_flox):
            yield f"set -gu {_SHELL} {quoted(dot_flox)}"
        case Exit(dot_flox, program):
            yield f": 'This text is for fish: {function_name(program)} deactivate | source'"
            yield f'if test "${_SHELL}" = {quoted(dot_flox)}; exit 0; end'
        case SearchAnew() | PromptBefore():
            pass  # fish searches each time, and its prompt is a function
        case Prompt(program):
            yield f"set -gu _esker_program {function_name(program)}; {_fixed('prompt')}"
        case Function(program):
            yield _function(program)
        case LastLeft(program):
            name = function_name(program)
            yield f"{_fixed('forget')}; functions -q {name}; and functions -e {name}"
        case AtPrompt(program):
            yield f"set -gu _esker_asked_program {quoted(program)}; {_fixed('at_prompt')}"
        case Watching(watch, turn):
            yield f"set -gu _esker_turn {'end' if turn is None else turn}"
            yield f"function _esker_same; {_same(watch) if watch.settled else 'return 1'}; end"


_USER_PROMPT = (
    "if status is-interactive; and not functions -q _esker_user_prompt; and not functions -q _esker_inner_prompt; "
    "and functions -q fish_prompt; functions -c fish_prompt _esker_user_prompt; end"
)
"""Keeps the prompt that the user had before profile scripts replaced it."""


def _unless(name: str, value: str, edit: str) -> str:
    """Return the line that edits a list variable unless it has this value."""
    removed = "functions -e _esker_prepend _esker_first"
    return f'if test "${name}" != {quoted(value)}; {_fixed("prepend")}; {edit}; {removed}; end'


def _assignments(changes: Mapping[str, str | None], *, back: bool) -> Iterator[str]:
    """Yield the lines that set and unset variables.

    A universal variable stays as it is: a value hides it, but nothing can make it absent. To go back, it is no longer
    hidden, and is set only if the universal variable has another value.
    """
    kept = sorted(_KEPT_NAMES & changes.keys())
    if kept:
        yield f"printf '%s\\n' {quoted(kept_warning('fish', kept))} >&2"
    for name, value in changes.items():
        if not name.isidentifier() or not name.isascii() or name in kept:
            continue  # a shell can have no other variable
        if value is None:
            yield f"set -eg {name}"
        elif back:
            word = quoted(value)
            yield f"set -qU {name}; and set -eg {name}"
            yield f'set -q {name}; and test "${name}" = {word}; or set -gx {name} {word}'
        else:
            yield f"set -gx {name} {quoted(value)}"


def _same(watch: Watch) -> str:
    """Return the command that tests whether nothing has changed that is watched."""
    tests = [f'"$PWD" = {quoted(watch.directory)}', *(f"! -e {quoted(path)}" for path in watch.absent)]
    for path, stamp, _ in watch.present:
        file, like = quoted(path), quoted(stamp)
        tests.append(f"-e {file} -a -e {like} -a ! {file} -nt {like} -a ! {file} -ot {like}")
    return f"test {' -a '.join(tests)}"


def _source(script: Script) -> str:
    """Return a line that sources a script as if it were a file, so that the script may use `return`.

    If the script is one for every shell and uses what only bash and zsh have, or if fish cannot parse it, one warning
    names its place in the manifest. The line needs `_with_warnings` around it.
    """
    sourced = f"printf '%s\\n' {quoted(script.text)} | source"
    if warning := foreign_warning("fish", script):
        return f"printf '%s\\n' {quoted(warning)} >&2; {sourced}"
    before = lines_before(script)
    place = script.manifest if before is None else f"{script.manifest}:{before + 1}"
    words = " ".join(map(quoted, (script.name, script.text, place)))
    return f"{sourced}; or _esker_mistake {words}"


def _with_warnings(sources: Iterable[str]) -> list[str]:
    """Return lines that `_source` has made; before them the function that warns is defined, and after them removed."""
    lines = list(sources)
    return [_fixed("mistake"), *lines, "functions -e _esker_mistake"] if lines else []


def _forgotten(link: str, sources: Iterable[str] = ()) -> str:
    """Return the line that makes a shell forget that it has sourced an environment's scripts, and runs `sources`."""
    index = f"contains -i -- {quoted(link)} ${_SOURCED}"
    lines = "; ".join((f"set -eg {_SOURCED}[({index})]", *sources))
    return f"if contains -- {quoted(link)} ${_SOURCED}; {lines}; end"


def _function(program: str) -> str:
    """Return the definition of a function named like the command, through which `deactivate` changes the shell itself.

    Every other subcommand goes to the program.
    """
    command = f"command {quoted(program)}"
    leave = f"_ESKER_SHELL=fish {command} deactivate | read -lz _esker_text; eval $_esker_text"
    condition = 'test (count $argv) -eq 1; and test "$argv[1]" = deactivate'
    return f"function {function_name(program)}; if {condition}; {leave}; else; {command} $argv; end; end"


def _fixed(name: str) -> str:
    """Return the text of a `.fish` file of this folder as one line."""
    return shell_text(f"{os.path.dirname(__file__)}/{name}.fish").replace("\n", "; ")


def _sourced(lines: Iterable[str], environ: Mapping[str, str]) -> str:
    """Return the command that sources a file with these lines, which removes itself."""
    return f"source {quoted(private_file('command rm -f {};', (f'{line};' for line in lines), environ, quoted))}"
