"""`esker activate` and `esker deactivate`.

A warm `activate -- CMD` ends in exec without having imported more than argparse, json and the modules it needs.
"""

import os
import sys

from esker.cli.arguments import Parser, add_directory, split_command
from esker.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from esker.activate.plan import Plan
    from esker.activate.variables import Activation
    from esker.progress import Progress

__all__ = ["run"]

_EXAMPLES = """\
  esker activate -- pytest -q           run a command, replacing this process
  esker activate -c 'echo "$PATH"'      run a command of the shell
  esker activate                        an interactive shell
  eval "$(esker activate)"              this shell itself; leave with: esker deactivate
  esker activate --json                 the difference of variables, running nothing of the project
"""


def run(name: str, arguments: list[str]) -> int:
    """Run `activate` or `deactivate`."""
    return _deactivate(arguments) if name == "deactivate" else _activate(arguments)


def _activate(arguments: list[str]) -> int:
    own, command = split_command(arguments)
    options = _parser().parse_args(own)
    if command is not None and (options.command is not None or not command):
        raise UsageError("after `--` stands one command, and none besides with -c", hint="see: esker activate --help")
    plan = _plan(options)
    if options.json:
        return _print_json(_activation(plan, options, run_code=False), os.environ)
    if command is not None:
        from esker.host.process import execute

        execute(command, _activation(plan, options).apply(os.environ))
    raise NotImplementedError


def _parser() -> "argparse.ArgumentParser":
    parser = Parser("activate", "Run a command or a shell in the environment.", _EXAMPLES)
    add_directory(parser)
    parser.add_argument("-c", "--command", metavar="CMD", help="run CMD by the shell, after the profile scripts")
    parser.add_argument("-m", "--mode", choices=("dev", "run"), help="dev adds headers and libraries (default)")
    parser.add_argument("-p", "--print-script", action="store_true", help="print what `eval` needs, terminal or not")
    parser.add_argument("--add-sbin", action="store_true", help="put the environment's sbin on PATH too")
    parser.add_argument("--locked", action="store_true", help="refuse a stale lock instead of making it again")
    parser.add_argument("--json", action="store_true", help="print the difference as JSON; no hook runs")
    return parser


def _plan(options: "argparse.Namespace") -> "Plan":
    from esker.declare.discover import find
    from esker.runtimes.native import prepare

    project = find(options.dir or os.getcwd(), explicit=options.dir is not None)
    return prepare(project, os.environ, mode=options.mode, locked=options.locked, progress=_Late())


class _Late:
    """A listener that is made when there is something to say: a warm activation never imports it."""

    def __init__(self) -> None:
        self._listener: Progress | None = None

    def begin(self, title: str, *, total: "int | None" = None, unit: str = "") -> None:
        """Make the real listener, and pass on."""
        if self._listener is None:
            from esker.cli.progress import progress

            self._listener = progress()
        self._listener.begin(title, total=total, unit=unit)

    def advance(self, count: int = 1) -> None:
        """Pass on."""
        if self._listener is not None:
            self._listener.advance(count)

    def end(self) -> None:
        """Pass on."""
        if self._listener is not None:
            self._listener.end()


def _activation(plan: "Plan", options: "argparse.Namespace", *, run_code: bool = True) -> "Activation":
    from esker.activate.variables import activation
    from esker.host.runtime_directory import user_directory

    place = user_directory(os.environ.get("XDG_RUNTIME_DIR"))
    return activation(plan, os.environ, runtime_directory=place, add_sbin=options.add_sbin, run_code=run_code)


def _print_json(activation: "Activation", environ: "Mapping[str, str]") -> int:
    import json

    json.dump(activation.published(environ), sys.stdout, indent=2)
    print()
    return 0


def _deactivate(arguments: list[str]) -> int:
    raise NotImplementedError(arguments)
