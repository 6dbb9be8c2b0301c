"""The hook: code of the project that a bash runs. The environment that it leaves is taken over exactly.

The values of `[vars]` and the hook are handed to bash in files in memory, and the result comes back in another one.
So nothing is written to disk, and nothing has to be found in the hook's output. `hook.bash` is the text that bash runs.
The option `-p` keeps the caller's BASH_ENV and exported functions out. If there is no result, the hook has ended bash:
by `exit`, by `exec`, by an option such as `set -e`, or by a signal. What is said of that lies in `hook_failure`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` builds enumerations, which takes 1 ms
import os
import sys

from esker.activate import named_texts
from esker.activate.left_in_bash import ENDED, EXPORTED, RETURNED, parse_left
from esker.activate.shell_file import shell_text
from esker.host.child import child
from esker.host.memory_file import memory_file
from esker.host.process import find_program, start_failure
from esker.host.runtime_directory import user_directory
from esker.host.tied import Tied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import contextmanager

    from esker.host.clock import Deadline
else:
    from esker.host.context import contextmanager

__all__ = ["ToolHook", "exported_names", "find_bash", "is_bash_own", "run", "run_end"]

_VALUES_DONE = b"v"
_REPLACING = ("exec", "source", ";.", "&.", "|.", "(.", "{.")
"""The ends of words with which a script replaces its bash by a program, or sources a file that may."""
_TOOL_DONE = b"_esker_taken=\0"
_NAME_OF_HOOK, _NAME_OF_END = "hook.on-activate", "hook.on-deactivate"
_BEFORE_EXEC = "shopt -s extdebug; trap _esker_before_command DEBUG; "
_STATUS = "_esker_status"
_MOMENT = 0.5
"""Seconds that an interrupted bash has for its EXIT trap, which may remove files."""
_LOWEST_DESCRIPTOR = 100  # because a hook may open descriptors 3 to 9 for itself

_OWN = """
_ SHLVL PWD OLDPWD SHELLOPTS BASHOPTS IFS PS4 OPTIND OPTERR RANDOM SRANDOM LINENO PPID HISTCMD COMP_WORDBREAKS
EPOCHSECONDS EPOCHREALTIME BASH BASHPID BASH_ARGV0 BASH_COMMAND BASH_EXECUTION_STRING BASH_SUBSHELL BASH_VERSINFO
BASH_VERSION _ESKER_UNDO
"""
_BASH_OWN = frozenset(_OWN.split())
"""Variables that bash changes by running, and `_ESKER_UNDO`, which means something only to the shell that set it."""

_FUNCTION = "BASH_FUNC_"
"""How the name of a variable begins that holds an exported function."""
_TAKEN_AWAY = ("PS1", "PS2")
"""Variables that a non-interactive bash removes when it starts."""

_EXPORTING = frozenset({"export", "declare", "typeset"})
_SEPARATORS = str.maketrans(";&|", "\n\n\n")
"""Of commands on one line."""

_USUAL_PATH = "/bin:/usr/bin:/usr/local/bin:/run/current-system/sw/bin"


def run(
    environ: Mapping[str, str],
    *,
    values: Sequence[tuple[str, str]] = (),
    script: str = "",
    before: str = "",
    tool: ToolHook | None = None,
    manifest: str = "manifest.toml",
    deadline: Deadline | None = None,
) -> dict[str, str]:
    """Let bash expand and export `values` in their order, then run the script; return the environment afterwards.

    The commands `before`, which are one line, run before the script. The hook of a `tool` runs before both.

    The output of the scripts goes to the standard error. So does a warning if bash cannot parse the whole of one: like
    any bash that sources it, this one keeps what came before the mistake and goes on. `manifest` is the path of the
    file that warnings and errors name.

    Raises ActivationFailed if a value cannot be expanded, or if a script or its EXIT trap ends bash early or with an
    error. Raises TimedOut when the deadline passes; every process in the script's process group is then killed.
    """
    bash = find_bash((tool and tool.path) or environ.get("PATH"))
    # On the script's first line, so that bash counts the lines of the script alone.
    lines = f"{before}; {script}\n" if before else f"{script}\n"
    of_tool = () if tool is None else (tool.declarations, tool.text)
    with _files(_assignments(values), lines, "", "", *of_tool) as files:
        named = ("vars" if values else "", _NAME_OF_HOOK, *(() if tool is None else ("", tool.name)))
        texts = named_texts.paths(
            zip(named, (*files[:2], *files[4:]), strict=True), user_directory(environ.get("XDG_RUNTIME_DIR"))
        )
        status = _run_bash(bash, environ, files, texts, deadline)
        written, notes = map(_written, files[2:4])
    dots, done, entries = written.partition(_VALUES_DONE)
    if not done:
        from esker.activate.hook_failure import not_begun, not_expanded

        raise not_expanded(values[len(dots) - 1][0], manifest) if dots else not_begun(bash, status)
    left, taken, entries = entries.partition(_TOOL_DONE) if tool is not None else (b"", b"", entries)
    exported = dict(entry.split("=", 1) for entry in os.fsdecode(entries).split("\0") if "=" in entry)
    ran = [(_NAME_OF_HOOK, script, manifest, exported.get(_STATUS, ""))]
    if tool is not None:
        ran.insert(0, (tool.name, tool.script, tool.project, tool.take(os.fsdecode(left), exported) if taken else ""))
    if status != 0 or any(returned != "0" for *_, returned in ran):
        from esker.activate.hook_failure import failures

        for warning in failures(ran, status, notes, texts, bash, environ):
            _warn(warning)
    return _merged(environ, exported)


class ToolHook:
    """The hook of another tool, which runs in the hook's bash with what the tool declares for a bash."""

    def __init__(
        self, name: str, declarations: str, script: str, path: str | None, *, project: str = "the project"
    ) -> None:
        self.name = name
        """What the tool calls its hook, such as `shellHook`."""
        self.script = script
        self.project = project
        """The directory of the project, for messages."""
        self.path = path
        """The PATH on which the bash is found; None means that of the environment."""
        self.left: dict[str, str] = {}
        """What the hook has left in its bash, for shells to take over; filled by `run`."""
        self.declarations = declarations
        # On the script's first line, so that bash counts the lines of the script alone.
        self.text = f"{_BEFORE_EXEC if _may_exec(script) else ''}{script}\n"

    def take(self, text: str, exported: Mapping[str, str]) -> str:
        """Keep what the hook has left, as `hook.bash` has written it, and return the status that the hook returned."""
        self.left.update(parse_left(text))
        self.left[EXPORTED] = "\0".join(f"{name}={exported[name]}" for name in exported if name.startswith(_FUNCTION))
        returned, ended = self.left.pop(RETURNED), self.left.pop(ENDED)
        if ended:
            _warn(f"! The {self.name} ended with `{ended}`, which was not run: the environment is the one before it")
        return "0" if ended else returned


def _may_exec(script: str) -> bool:
    """Return whether a script may replace its bash by a program: itself, or in a file that it sources."""
    return any(word == "." or word.endswith(_REPLACING) for word in script.split())


def find_bash(path: str | None) -> str:
    """Return the absolute path of the bash on `path`, else of one in the usual directories.

    Raises ActivationFailed if there is no bash.
    """
    program = find_program("bash", path) or find_program("bash", _USUAL_PATH)
    if program is None:
        from esker.errors import ActivationFailed

        raise ActivationFailed("the environment's scripts need `bash`, which is not on PATH", hint="install bash")
    return os.path.abspath(program)


def run_end(environ: Mapping[str, str], script: str, output: int) -> None:
    """Run the script `hook.on-deactivate` of a project, with its output going to the descriptor `output`.

    The last line written there says how the script ended, or why it did not run.
    """
    import shlex
    import subprocess

    from esker.errors import ActivationFailed

    with _files(f"{script}\n") as (text,):
        [path] = named_texts.paths([(_NAME_OF_END, text)], user_directory(environ.get("XDG_RUNTIME_DIR")))
        argv = ["--noprofile", "--norc", "-p", "-c", f". {shlex.quote(path)}", _NAME_OF_END]
        try:
            bash = find_bash(environ.get("PATH"))
            done = subprocess.run(
                [bash, *argv],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(text,),
                check=False,
            )
            ending = f"{_NAME_OF_END} ended with status {done.returncode}\n"
        except (OSError, ActivationFailed) as error:
            ending = f"{_NAME_OF_END} did not run: {error}\n"
        os.write(output, ending.encode(errors="surrogateescape"))


def exported_names(script: str) -> list[str]:
    r"""Return the names of the variables that a script exports, as far as they can be read from its text.

    >>> exported_names('export A=1 B="${C:-2}"; D=3 true\n  declare -x E  # export F=4')
    ['A', 'B', 'E']
    """
    names = []
    for line in script.split("\n"):
        for command in _without_comment(line).translate(_SEPARATORS).split("\n"):
            words = command.split()
            exports = (index for index, word in enumerate(words) if word.lstrip("({") in _EXPORTING)
            parts = (word.partition("=")[0].removesuffix("+") for word in words[next(exports, len(words)) + 1 :])
            names += [name for name in parts if name.isidentifier() and name.isascii()]
    return names


def _without_comment(line: str) -> str:
    start = line.find("#")
    while start > 0 and not line[start - 1].isspace():
        start = line.find("#", start + 1)
    return line if start < 0 else line[:start]


@contextmanager
def _files(*texts: str) -> Iterator[tuple[int, ...]]:
    """Give the descriptors of files in memory with these texts, and close them at the end of the block."""
    descriptors: list[int] = []
    try:
        for text in texts:
            descriptors.append(memory_file(text, lowest=_LOWEST_DESCRIPTOR))  # noqa: PERF401 - those made before an error
        yield tuple(descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _assignments(values: Sequence[tuple[str, str]]) -> str:
    """Return the commands with which hook.bash exports the values.

    Each value has an `eval` of its own, so that a syntax error in it does not affect the others. A dot is written to
    the result before each value. If a value fails, the number of dots tells which.
    """
    if not values:
        return ""
    from esker.activate.expansion import quoted

    exports = (f"export {name}={quoted(text)}".replace("'", "'\\''") for name, text in values)
    return "".join(f"printf . >&\"$_esker_result\"; eval '{export}' || exit\n" for export in exports)


def _run_bash(
    bash: str,
    environ: Mapping[str, str],
    files: Sequence[int],
    texts: Sequence[str],
    deadline: Deadline | None,
) -> int:
    """Run bash and return the status it ended with; if a signal ended it, the status is the negative signal number.

    `files` are the descriptors of the values, the script, the result, the notes of failed commands and, if a tool has a
    hook, of what the tool declares and of that hook. `texts` are the paths at which bash reads those that it reads.
    """
    driver = shell_text(f"{os.path.dirname(__file__)}/hook.bash")
    options = (bash, "--noprofile", "--norc", "-p", "-c", driver, _NAME_OF_HOOK)
    words = (bash, *map(str, files[2:4]), *texts)
    limited = deadline is not None and deadline.is_limit
    try:
        with child(lambda: _started(options, words, environ, files, own_group=limited), moment=_MOMENT) as process:
            try:
                _wait(process, deadline)
            except BaseException:
                if limited:
                    os.killpg(process.pid, _signal.SIGKILL)
                raise
            assert process.returncode is not None
            return process.returncode
    except OSError as refusal:
        from esker.host.causes import reason, remedy

        if hint := remedy(refusal.errno):  # nothing is wrong with this bash
            from esker.errors import HostError

            raise HostError(f"cannot start `{bash}`: {reason(refusal)}", hint=hint) from refusal
        raise start_failure("bash", bash, refusal) from refusal


def _started(
    options: Sequence[str], words: Sequence[str], environ: Mapping[str, str], files: Sequence[int], *, own_group: bool
) -> Tied:
    """Start bash, which ends when we do: a signal may end us alone, and SIGKILL gives us no moment to end bash.

    A hook in a process group of its own can be killed together with everything it has started. But such a hook cannot
    read from the terminal, and Ctrl-C does not reach it. So a hook without a time limit stays in our group.
    """

    def argv(tied: int) -> list[str]:
        return [*options, str(tied), *words]

    if sys.stderr is not None:
        return Tied(argv, env=environ, output=2, kept=files, own_group=own_group)
    # Descriptor 2 was closed when we started, and may be any other file by now.
    with open(os.devnull, "wb") as nothing:
        return Tied(argv, env=environ, output=nothing.fileno(), kept=files, own_group=own_group)


def _wait(process: Tied, deadline: Deadline | None) -> None:
    if deadline is None or not deadline.is_limit:
        process.wait()
        return
    import subprocess

    while True:
        try:
            process.wait(deadline.step())
        except subprocess.TimeoutExpired:
            if deadline.passed:
                from esker.errors import TimedOut

                raise TimedOut(f"the hook did not end within {deadline.seconds:g} s") from None
        else:
            return


def _warn(text: str) -> None:
    """Write a line to where the output of the hook goes."""
    if sys.stderr is not None:
        from esker.formats.printable import printable

        os.write(2, f"{printable(text)}\n".encode(errors="backslashreplace"))


def _written(descriptor: int) -> bytes:
    """Return what bash has written to a file in memory."""
    with open(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def _merged(environ: Mapping[str, str], exported: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that bash exported; those that bash itself changes keep their values from `environ`."""
    earlier = {name: value for name, value in environ.items() if name in _TAKEN_AWAY or is_bash_own(name)}
    new = {name: value for name, value in exported.items() if not is_bash_own(name)}
    return earlier | {name: value for name, value in new.items() if not name.startswith("_esker_")}


def is_bash_own(name: str) -> bool:
    """Return whether this is a variable or an exported function that bash itself changes by running."""
    return name in _BASH_OWN or name.startswith(_FUNCTION)
