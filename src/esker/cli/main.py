"""The entry points of `esker` and its `flox` shim: run a command's module, and turn errors into exit statuses."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys

from esker.cli.voice import ESKER, FLOX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.cli.voice import Voice
    from esker.errors import HostError, UsageError

__all__ = ["ALIASES", "COMMANDS", "commands", "flox", "main"]

COMMANDS = {
    "init": ("init", "Create an environment in this directory"),
    "edit": ("edit", "Edit or replace the manifest, then lock and install it"),
    "install": ("install", "Add packages to the manifest: install pypi/NAME"),
    "search": ("search", "Search conda channels for packages by name"),
    "show": ("search", "Show the versions of a package, and what it needs"),
    "uninstall": ("install", "Remove packages from the manifest"),
    "upgrade": ("upgrade", "Take the newest allowed versions, of all packages or some"),
    "outdated": ("outdated", "List the packages of which there is a newer version"),
    "why": ("why", "Show what needs a package"),
    "tree": ("why", "Show the packages as a tree of what needs what"),
    "which": ("which", "Show which package brings a program"),
    "list": ("list", "List the environment's packages, with versions and origins"),
    "include": ("include", "Build upon other environments: add, upgrade"),
    "lock": ("lock", "Pin versions and hashes of everything the manifest declares"),
    "activate": ("activate", "Run a command or a shell in the environment"),
    "exec": ("exec", "Run a command with packages that no project declares"),
    "allow": ("allow", "Let the prompt activate a project as it is now"),
    "deny": ("allow", "Let the prompt leave a project alone"),
    "hook": ("hook", "Print the script that activates environments at a shell's prompt"),
    "deactivate": ("deactivate", "Leave an environment that was activated in this shell"),
    "envs": ("envs", "List the active environments, and the others that are known"),
    "delete": ("delete", "Delete an environment: its manifest, lock, caches and links"),
    "services": ("services", "Start, stop and watch the environment's services"),
    "generations": ("generations", "List earlier states of the environment, and switch between them"),
    "rollback": ("generations", "Make the state live that was live before the last change"),
    "ci": ("ci", "Write the CI workflow that tests the project in its environment"),
    "containerize": ("containerize", "Make a container image of the environment"),
    "image": ("image", "Make, send and inspect images: build, push, diff, verify"),
    "store": ("store", "Manage the store of installed packages: gc, verify, path-info"),
    "trust": ("trust", "Allow a project that somebody else owns to run its code"),
    "doctor": ("doctor", "Check this machine for what Esker needs"),
    "completion": ("completion", "Print the script with which bash, zsh or fish completes commands"),
    "shim": ("shim", "Write an `esker` command, or a `flox` for callers of Flox"),
    "hook-env": ("hook_env", ""),
    "lock-manifest": ("lock_manifest", ""),
    "testing": ("testing", ""),
}
"""Each command's module in `esker.cli.commands`, and its line of help: empty for a command that only programs call.

The module's `run(name, arguments, voice)` runs the command.
"""

ALIASES = {
    "i": "install",
    "rm": "uninstall",
    "remove": "uninstall",
    "l": "list",
    "develop": "activate",
    "exit": "deactivate",
    "destroy": "delete",
    "service": "services",
    "create": "init",
    "generation": "generations",
}
_LATER = frozenset(
    {
        "auth",
        "build",
        "config",
        "gc",
        "publish",
        "pull",
        "push",
        "run",
        "search",
        "show",
        "update",
        "upgrade",
    }
)
"""Flox's commands that Esker does not implement yet."""
_INSTEAD = {"run": "activate -- CMD", "update": "upgrade", "gc": "store gc"}
_ELSEWHERE = {
    "add": "install",
    "develop": "activate",
    "down": "services stop",
    "logs": "services logs",
    "ps": "services status",
    "restart": "services restart",
    "shell": "activate",
    "start": "services start",
    "status": "services status",
    "stop": "services stop",
    "sync": "activate -- true",
    "up": "services start",
    "use": "install",
    "venv": "activate",
    "version": "--version",
    "x": "exec",
}
"""What commands of mise, pixi, devenv, uv and Compose are here."""

_STANDARD_ERROR = 2
_WRITE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})

_EPILOG = """\
examples:
  {program} init                                 create an environment here
  {program} install pypi/pandas pypi/ninja       add packages
  {program} activate -- python -c 'import pandas'
  {program} activate                             start a shell in the environment
  eval "$({program} activate)"                   activate it in this shell

`{program} COMMAND --help` shows a command's options and examples.
With `-q` a command prints only errors and results; `-v` shows more.
"""


def flox(arguments: Sequence[str]) -> int:
    """Run a command line as Flox would; the shim calls this."""
    return main(arguments, FLOX)


def main(arguments: Sequence[str], voice: Voice = ESKER) -> int:
    """Run a command line and return its exit status; an `EskerError` is printed to stderr and determines the status."""
    _open_streams()
    try:
        voice, rest = _general(list(arguments), voice)
        return _ended(_run_and_flush(rest, voice))
    except KeyboardInterrupt:
        return voice.interrupted()
    except BrokenPipeError:  # the reader of our output has gone
        _discard_output()
        return 141
    except Exception as error:
        from esker.errors import EskerError  # here, because building its classes takes 1 ms

        if not isinstance(error, EskerError):
            raise
        return voice.report(error)


def _run_and_flush(arguments: list[str], voice: Voice) -> int:
    """Run a command and return its exit status; raises HostError if its output cannot be written."""
    try:
        status = _dispatch(arguments, voice)
    except SystemExit as end:  # after --help
        status = int(end.code or 0)
    except BrokenPipeError:
        raise
    except OSError as refusal:
        if refusal.filename is None and refusal.errno in _WRITE_ERRORS:  # not about a file
            raise _output_error(refusal) from refusal
        from esker.errors import HostError
        from esker.host.causes import remedy

        hint = remedy(refusal.errno)
        if hint is None:
            raise
        where = f" (`{os.fsdecode(refusal.filename)}`)" if refusal.filename else ""
        raise HostError(f"{(refusal.strerror or str(refusal)).lower()}{where}", hint=hint) from refusal
    try:
        sys.stdout.flush()  # Python would do it at exit, too late for us to report an error
    except BrokenPipeError:
        raise
    except OSError as refusal:
        raise _output_error(refusal) from refusal
    return status


def _ended(status: int) -> int:
    """Return our exit status after a command's, which is minus a signal's number if that signal ended its program.

    We end by an interrupt ourselves, as we would if the program had replaced us: the calling shell then starts a new
    line for its prompt, and ends its loop.
    """
    if status >= 0:
        return status
    import signal

    if status == -signal.SIGINT:
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return 128 - status


def _open_streams() -> None:
    """Open /dev/null for each standard stream that the caller has closed (None), and let the others print any text.

    Descriptors 0 to 2 are all occupied too, or the next file that we open would become a standard stream. Programs that
    we run do not inherit them: they find the streams closed, as the caller left them.
    """
    missing = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    if missing:
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
            pass
        os.close(descriptor)
    for name in missing:
        stream = open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8")  # noqa: SIM115  # open until we exit
        setattr(sys, name, stream)
    codecs.register_error("esker", _printed)
    for printed in (sys.stdout, sys.stderr):
        if isinstance(printed, io.TextIOWrapper) and printed.errors in {"strict", "surrogateescape"}:
            printed.reconfigure(errors="esker")


def _printed(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what stands for a character that a stream cannot encode: its escape, in the form that JSON has too.

    Python's sign for a byte of a file name that is no UTF-8 becomes that byte again.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    char = error.object[error.start]
    if "\udc80" <= char <= "\udcff":
        return bytes([ord(char) - 0xDC00]), error.start + 1
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.start + 1


def _output_error(refusal: OSError) -> HostError:
    from esker.errors import HostError

    _discard_output()
    why = (refusal.strerror or str(refusal)).lower()
    return HostError(f"cannot write to standard output: {why}")


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def commands(voice: Voice) -> dict[str, str]:
    """Return the commands that a voice offers, each with its line of help."""
    return {name: summary for name, (_, summary) in COMMANDS.items() if summary and name not in voice.absent}


def _general(arguments: list[str], voice: Voice) -> tuple[Voice, list[str]]:
    """Split off the options for every command, and return the voice at the level of detail that they ask for.

    They stand before the command or among its arguments, but not after `--`, where another program's begin.
    """
    level = voice.level
    while arguments and arguments[0] not in {"-", "--"} and arguments[0].startswith("-"):
        option, _, value = arguments[0].partition("=")
        if _is_level(option):
            level = _level(option, level)
        elif option == "--floxhub-url":
            if not value:
                del arguments[:1]
        else:
            break
        del arguments[:1]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for option in filter(_is_level, arguments[:end]):
        level = _level(option, level)
    arguments = [*(word for word in arguments[:end] if not _is_level(word)), *arguments[end:]]
    return (voice.at(level) if level != voice.level else voice), arguments


def _is_level(word: str) -> bool:
    return word in {"-q", "--quiet", "--verbose", "--debug"} or (word[:2] == "-v" and not word.strip("-v"))


def _level(option: str, level: int) -> int:
    return -1 if option in {"-q", "--quiet"} else level + 1


def _dispatch(arguments: list[str], voice: Voice) -> int:
    if arguments and arguments[0] in {"-V", "--version"}:
        print(voice.version)
        return 0
    if not arguments:
        voice.welcome(usage(voice))
        return 0
    if arguments[0] == "help" and arguments[1:] and not arguments[1].startswith("-"):
        words = [word for word in arguments[1:3] if not word.startswith("-")]
        return _dispatch([*words, "--help"], voice)
    if arguments[0] in {"-h", "--help", "help"}:
        print(usage(voice))
        return 0
    name = ALIASES.get(arguments[0], arguments[0])
    if name not in COMMANDS or name in voice.absent:
        raise _unknown(name, voice)
    # Not importlib.import_module: importing importlib itself would cost more time than this import.
    module = __import__(f"esker.cli.commands.{COMMANDS[name][0]}", fromlist=["run"])
    status: int = module.run(name, arguments[1:], voice)
    return status


def usage(voice: Voice) -> str:
    """Return what `esker --help` prints."""
    offered = commands(voice)
    width = max(map(len, offered)) + 2
    lines = [f"  {name:<{width}}{summary}" for name, summary in offered.items()]
    head = (
        f"usage: {voice.program} COMMAND [OPTIONS]\n       {voice.program} --version\n\n"
        "One declaration of a project's environment: laptop, CI, production."
    )
    return "\n".join([head, "", "commands:", *lines, "", _EPILOG.format(program=voice.program)]).rstrip()


def _unknown(name: str, voice: Voice) -> UsageError:
    if name in _LATER:
        from esker.errors import UsageError

        instead = _INSTEAD.get(name, "--help")
        return UsageError(f"`{voice.program} {name}` is not implemented yet", hint=f"see: {voice.program} {instead}")
    from esker.cli.arguments import unknown_command

    return unknown_command(name, commands(voice), of=voice.program, elsewhere=_ELSEWHERE if voice.remarks else {})
