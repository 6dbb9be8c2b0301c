"""The hook: code of the project that a bash runs. The environment that it leaves is taken over exactly.

The values of `[vars]` and the hook are handed to bash in files in memory, and the result comes back in another one.
So nothing is written to disk, and nothing has to be found in the hook's output. `hook.bash` is the text that bash runs.
The option `-p` keeps the caller's BASH_ENV and exported functions out. If there is no result, the hook has ended bash:
by `exit`, by `exec`, by an option such as `set -e`, or by a signal.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from esker.activate.expansion import quoted
from esker.activate.left_in_bash import ENDED, EXPORTED, RETURNED, parse_left
from esker.activate.origin import place, sourced
from esker.activate.shell_file import shell_text
from esker.errors import ActivationFailed, HookCutOff, TimedOut
from esker.formats.printable import printable
from esker.host.memory_file import descriptor_path, memory_file
from esker.host.process import find_program, start_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from subprocess import Popen

    from esker.host.clock import Deadline

__all__ = ["ToolHook", "exported_names", "find_bash", "is_bash_own", "run", "run_end"]

_VALUES_DONE = b"v"
_TOOL_DONE = b"_esker_taken=\0"
_NAME_OF_HOOK = "hook.on-activate"
_CUT_OFF = "The {} script did not complete normally"
_BEFORE_EXEC = "shopt -s extdebug; trap _esker_before_command DEBUG; "
_REVIEW = """\
Review your script for the use of:
- 'exit' commands, which should be replaced with 'return'
- 'exec' commands, which should be run in a subshell: '(exec command)'"""
_OPTIONS = """
- 'set -e' and 'set -u', under which a failed command or a variable that is not set ends the script"""
_TOO_LARGE = """
- exported values that are too large to start a program with, on Linux 128 kB each"""
_MAY_FAIL = "what it says stands above; where it may fail, put `|| true` behind it"
_NOT_STARTED = 126  # the status of a shell that could not start a program
_SENT = "find out what sent the signal: the script, a program it ran, a limit of memory or time, a person"
_STATUS = "_esker_status"
_MOMENT = 0.5
"""Seconds that an interrupted bash has for its EXIT trap, which may remove files."""
_OF_THIS_PROCESS = f"{os.path.dirname(descriptor_path(0))}/"
"""How the path of a script begins that bash reads from a descriptor."""
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

_EXPORT = re.compile(r"(?:^|[\s;&|({])(?:export|declare|typeset)\s([^;&|\n]*)")
_NAME = re.compile(r"([A-Za-z_]\w*)(?:\+?=.*)?")
_EXEC = re.compile(r"\bexec\s|(?:^|[\s;&|({])(?:\.|source)\s")
"""Where a script may replace its bash by a program: itself, or in a file that it sources."""
_LINE = re.compile(rb": line ([0-9]+): ")
_COMMENT = re.compile(r"(?:^|\s)#.*")

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

    The output of the script goes to the standard error. So does a warning if bash cannot parse the whole script: like
    any bash that sources it, this one keeps what came before the mistake and goes on. `manifest` is the path of the
    file that the warning names.

    Raises ActivationFailed if a value cannot be expanded, or if the script or its EXIT trap ends bash early or with an
    error. Raises TimedOut when the deadline passes; every process in the script's process group is then killed.
    """
    bash = find_bash((tool and tool.path) or environ.get("PATH"))
    own = _Script(_NAME_OF_HOOK, script, lambda line: place(manifest, script, line), manifest)
    with ExitStack() as stack:
        # On the script's first line, so that bash counts the lines of the script alone.
        text = _file(stack, f"{before}; {script}\n" if before else f"{script}\n")
        result, failures = _file(stack, ""), _file(stack, "")
        files = [_file(stack, _assignments(values)), text, result, failures]
        if tool is not None:
            files += [_file(stack, tool.declarations), _file(stack, tool.text)]
        status = _run_bash(bash, environ, files, deadline)
        dots, done, entries = _written(result).partition(_VALUES_DONE)
        left, taken, entries = entries.partition(_TOOL_DONE) if tool is not None else (b"", b"", entries)
        exported = dict(entry.split("=", 1) for entry in os.fsdecode(entries).split("\0") if "=" in entry)
        failed = _failed_command(_written(failures))
        if not done:
            raise _not_begun(bash, status) if not dots else _not_expanded(values[len(dots) - 1][0], manifest)
        if tool is not None:
            tool.left.update(parse_left(os.fsdecode(left)))
            returned, ended = tool.left.pop(RETURNED, ""), tool.left.pop(ENDED, "")
            if ended:
                _warn(
                    f"! The {tool.name} ended with `{ended}`, which was not run: the environment is the one before it"
                )
            elif returned != "0":
                _check_syntax(tool, bash, environ, has_ended=not taken)
            if not taken:
                raise _cut_off(status, tool, failed)
        if exported.get(_STATUS, str(status)) != "0":
            _check_syntax(own, bash, environ, has_ended=not exported)
        if not exported or status != 0:
            raise _cut_off(status, own, failed)
        if tool is not None:
            functions = (entry for entry in exported.items() if entry[0].startswith(_FUNCTION))
            tool.left[EXPORTED] = "\0".join(map("=".join, functions))
    return _merged(environ, exported)


class _Script:
    """A script that a bash runs, as messages speak of it."""

    def __init__(self, name: str, script: str, place: Callable[[int], str], file: str) -> None:
        self.name = name
        self.script = script
        self.place = place
        """Returns where a line of the script stands."""
        self.file = file
        """Where the script stands as a whole."""


class ToolHook(_Script):
    """The hook of another tool, which runs in the hook's bash with what the tool declares for a bash.

    `name` is what the tool calls its hook, such as `shellHook`.
    """

    def __init__(
        self, name: str, declarations: str, script: str, path: str | None, *, project: str = "the project"
    ) -> None:
        file = sourced(script)

        def place(line: int) -> str:
            return f"{file}:{line}" if file else f"line {line} of it, {project}"

        super().__init__(name, script, place, file or project)
        self.path = path
        """The PATH on which the bash is found; None means that of the environment."""
        self.declarations = declarations
        self.left: dict[str, str] = {}
        """What the hook has left in its bash, for shells to take over; filled by `run`."""
        # On the first line, so that bash counts the lines of the script alone.
        self.text = f"{_BEFORE_EXEC if _EXEC.search(script) else ''}{script}\n"


def find_bash(path: str | None) -> str:
    """Return the absolute path of the bash on `path`, else of one in the usual directories.

    Raises ActivationFailed if there is no bash.
    """
    program = find_program("bash", path) or find_program("bash", _USUAL_PATH)
    if program is None:
        raise ActivationFailed("the environment's scripts need `bash`, which is not on PATH", hint="install bash")
    return os.path.abspath(program)


def run_end(environ: Mapping[str, str], script: str, output: int) -> None:
    """Run the script `hook.on-deactivate` of a project, with its output going to the descriptor `output`.

    The last line written there says how the script ended, or why it did not run.
    """
    import subprocess

    with ExitStack() as stack:
        text = _file(stack, f"{script}\n")
        argv = ["--noprofile", "--norc", "-p", "-c", f". {descriptor_path(text)}", "hook.on-deactivate"]
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
            ending = f"hook.on-deactivate ended with status {done.returncode}\n"
        except (OSError, ActivationFailed) as error:
            ending = f"hook.on-deactivate did not run: {error}\n"
        os.write(output, ending.encode(errors="surrogateescape"))


def exported_names(script: str) -> list[str]:
    r"""Return the names of the variables that a script exports, as far as they can be read from its text.

    >>> exported_names('export A=1 B="${C:-2}"; D=3 true\n  declare -x E  # export F=4')
    ['A', 'B', 'E']
    """
    words = (
        word
        for line in script.split("\n")
        for match in _EXPORT.finditer(_COMMENT.sub("", line))
        for word in match[1].split()
    )
    return [match[1] for word in words if (match := _NAME.fullmatch(word))]


def _file(stack: ExitStack, text: str) -> int:
    descriptor = memory_file(text, lowest=_LOWEST_DESCRIPTOR)
    stack.callback(os.close, descriptor)
    return descriptor


def _assignments(values: Iterable[tuple[str, str]]) -> str:
    """Return the commands with which hook.bash exports the values.

    Each value has an `eval` of its own, so that a syntax error in it does not affect the others. A dot is written to
    the result before each value. If a value fails, the number of dots tells which.
    """
    import shlex

    return "".join(
        f'printf . >&"$_esker_result"; eval {shlex.quote(f"export {name}={quoted(text)}")} || exit\n'
        for name, text in values
    )


def _run_bash(
    bash: str,
    environ: Mapping[str, str],
    files: Sequence[int],
    deadline: Deadline | None,
) -> int:
    """Run bash and return the status it ended with; if a signal ended it, the status is the negative signal number.

    `files` are the descriptors of the values, the script, the result, the notes of failed commands and, if a tool has a
    hook, of what the tool declares and of that hook.
    """
    import subprocess

    from esker.host import prctl
    from esker.host.child import child

    driver = shell_text(f"{os.path.dirname(__file__)}/hook.bash")
    values, script, result, failures, *tool = files
    parameters = [descriptor_path(values), descriptor_path(script), str(result), str(failures), bash]
    parameters += map(descriptor_path, tool)
    argv = [bash, "--noprofile", "--norc", "-p", "-c", driver, _NAME_OF_HOOK, *parameters]
    # Without sys.stderr, descriptor 2 was closed when we started, and may be any other file by now.
    output = subprocess.DEVNULL if sys.stderr is None else 2
    limited = deadline is not None and deadline.is_limit
    # A hook in a process group of its own can be killed together with everything it has started. But such a hook cannot
    # read from the terminal, and Ctrl-C does not reach it. So a hook without a time limit stays in our group.
    group = 0 if limited else None

    def start() -> Popen[bytes]:
        return subprocess.Popen(
            argv,
            env=environ,
            stdout=output,
            stderr=output,
            pass_fds=files,
            process_group=group,
            # A signal may end us alone, and SIGKILL gives us no moment to end bash.
            preexec_fn=prctl.ending_with_us(signal.SIGTERM),  # noqa: PLW1509
        )

    try:
        with child(start, moment=_MOMENT) as process:
            try:
                _wait(process, deadline)
            except BaseException:
                if limited:
                    os.killpg(process.pid, signal.SIGKILL)
                raise
            return process.returncode
    except OSError as refusal:
        raise start_failure("bash", bash, refusal) from refusal


def _wait(process: Popen[bytes], deadline: Deadline | None) -> None:
    import subprocess

    while True:
        try:
            process.wait(None if deadline is None else deadline.step())
        except subprocess.TimeoutExpired:
            if deadline is not None and deadline.passed:
                raise TimedOut(f"the hook did not end within {deadline.seconds:g} s") from None
        else:
            return


def _check_syntax(script: _Script, bash: str, environ: Mapping[str, str], *, has_ended: bool) -> None:
    """Tell of a syntax error in a script that has failed; raises ActivationFailed if it `has_ended` its bash.

    A script with a syntax error runs up to the error and then fails. So does a valid script whose last command fails.
    Only a second look at the script tells the two apart.
    """
    line = _line_of_mistake(bash, environ, script)
    if line is None:
        return
    what = f"{script.name} has a syntax error ({script.place(line)})"
    if has_ended:
        raise ActivationFailed(
            f"{what}, and `set -e` ends the script there",
            hint="correct it; without `set -e`, bash would keep what came before and go on",
        )
    _warn(f"! {what}; only the commands before it have run")


def _line_of_mistake(bash: str, environ: Mapping[str, str], script: _Script) -> int | None:
    """Return the line of a script at which bash cannot parse it, or None if it can parse it all."""
    import subprocess

    text = os.fsencode(script.script)
    if path := sourced(script.script):
        with suppress(OSError), open(path, "rb") as file:
            text = file.read()
    line = None
    for option in ("+O", "-O"):  # without and with extglob, which the script itself may switch on
        done = subprocess.run(
            [_NAME_OF_HOOK, "--noprofile", "--norc", "-p", option, "extglob", "-n"],
            executable=bash,
            env={**environ, "LC_ALL": "C"},  # for messages in English
            input=text + b"\n",
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return None
        match = _LINE.search(done.stderr)
        line = line or int(match[1] if match else 1)
    return line


def _warn(text: str) -> None:
    """Write a line to where the output of the hook goes."""
    if sys.stderr is not None:
        os.write(2, f"{printable(text)}\n".encode(errors="backslashreplace"))


def _not_begun(bash: str, status: int) -> ActivationFailed:
    return ActivationFailed(
        f"`{bash}` did not run the environment's scripts: {_ended(status)}",
        hint="it must be a bash that keeps the descriptors it inherits; put another one first on PATH",
    )


def _not_expanded(name: str, manifest: str) -> ActivationFailed:
    message = f"bash could not expand `{name}` of `[vars]`"
    return ActivationFailed(message, hint="bash says why above", place=manifest)


def _written(descriptor: int) -> bytes:
    """Return what bash has written to a file in memory."""
    with open(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def _failed_command(notes: bytes) -> tuple[int, str, str] | None:
    """Return the last command that failed under `set -e`: its line, its text and its file; None if there is none."""
    *_, line, command, file = ["", "", "", *os.fsdecode(notes).split("\0")[:-1]]
    return (int(line), command.partition("\n")[0], file) if line.isdecimal() else None


def _cut_off(status: int, script: _Script, failed: tuple[int, str, str] | None) -> ActivationFailed:
    """Return the error for a hook that ended its bash before the result was written, at the command that `failed`."""
    message, where = _CUT_OFF.format(script.name), script.file
    if status == 0:
        return HookCutOff(message, hint=_REVIEW, place=where)
    ending = _ended(status)
    hint = _SENT if status < 0 else _REVIEW + _OPTIONS + (_TOO_LARGE if status == _NOT_STARTED else "")
    if failed is not None and status > 0:
        line, command, file = failed
        of_script, elsewhere = file.startswith(_OF_THIS_PROCESS), "" if os.path.isabs(file) else f"{script.file}, "
        where = script.place(line) if of_script else f"{elsewhere}{file}:{line}"
        ending, hint = f"`{command}` has failed under `set -e`, and {ending}", _MAY_FAIL
    return HookCutOff(f"{message}: {ending}", hint=hint, ending=ending, place=where)


def _ended(status: int) -> str:
    if status >= 0:
        return f"bash ended with status {status}"
    try:
        return f"{signal.Signals(-status).name} ended bash"
    except ValueError:  # one without a name
        return f"signal {-status} ended bash"


def _merged(environ: Mapping[str, str], exported: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that bash exported; those that bash itself changes keep their values from `environ`."""
    earlier = {name: value for name, value in environ.items() if name in _TAKEN_AWAY or is_bash_own(name)}
    new = {name: value for name, value in exported.items() if not is_bash_own(name)}
    return earlier | {name: value for name, value in new.items() if not name.startswith("_esker_")}


def is_bash_own(name: str) -> bool:
    """Return whether this is a variable or an exported function that bash itself changes by running."""
    return name in _BASH_OWN or name.startswith(_FUNCTION)
