"""`esker`: which command, which module, and how errors end."""

import sys

from esker.errors import EskerError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "init": ("declare", "Make an environment in this directory"),
    "edit": ("declare", "Replace or edit the manifest, checked, locked and realised before it counts"),
    "install": ("declare", "Add packages to the manifest: esker install pypi/NAME"),
    "uninstall": ("declare", "Take packages out of the manifest"),
    "list": ("lock", "Show what the environment consists of, with versions and origins"),
    "lock": ("lock", "Pin versions and hashes of everything the manifest declares"),
    "activate": ("activate", "Run a command or a shell in the environment"),
    "deactivate": ("activate", "Leave an environment that was activated in this shell"),
    "rollback": ("realise", "Point the environment at the one before"),
    "store": ("realise", "Look after the store: gc, verify, path-info"),
    "trust": ("declare", "Allow a project that somebody else owns to run its code"),
    "doctor": ("doctor", "Say what this machine offers, and how to mend what is missing"),
}
"""Command name to its module below `esker.cli` and one line of help; the module's `run(name, arguments)` does it."""

_EPILOG = """\
examples:
  esker init                                 make an environment here
  esker install pypi/pandas pypi/ninja       add packages
  esker activate -- python -c 'import pandas'
  esker activate                             a shell in the environment
  eval "$(esker activate)"                   the environment in this shell

`esker COMMAND --help` shows a command's options and examples.
"""


def main(arguments: "Sequence[str]") -> int:
    """Run a command line and return its exit status; an `EskerError` is told on stderr and ends in its status."""
    try:
        return _dispatch(list(arguments))
    except EskerError as error:
        report(error)
        return error.exit_status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone: there is nobody left to tell.
        sys.stderr.close()
        return 141


def report(error: EskerError) -> None:
    """Tell a person, on stderr: what failed, what to do, and the error's class as `code`."""
    first, *rest = error.lines()
    print(f"✘ ERROR: {first}", *rest, f"code: {error.code}", sep="\n", file=sys.stderr)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(_help())
        return 0
    name = arguments[0]
    if name in {"-V", "--version"}:
        from esker import __version__

        print(__version__)
        return 0
    if name not in COMMANDS:
        raise UsageError(f"there is no command `{name}`", hint=_nearest(name))
    # Not importlib.import_module: importing importlib would cost more than what it does here.
    status: int = __import__(f"esker.cli.{COMMANDS[name][0]}", fromlist=["run"]).run(name, arguments[1:])
    return status


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:<{width}}{summary}" for name, (_, summary) in COMMANDS.items()]
    head = (
        "usage: esker COMMAND [OPTIONS]\n       esker --version\n\n"
        "One declaration of a project's environment, from a laptop through CI to production."
    )
    return "\n".join([head, "", "commands:", *lines, "", _EPILOG]).rstrip()


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, 1)
    return f"did you mean `esker {near[0]}`?" if near else "see: esker --help"
