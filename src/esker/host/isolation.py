"""How the `esker` command keeps clear of its caller's Python settings, which are for the caller's own programs.

PYTHONPATH may name the packages of another Python, or a project with a `platform.py` of its own. The command imports
nothing from there, and passes the variables on unchanged.

A start script that `start_script` writes is isolated from its first instruction: it ignores the PYTHON* variables and
does without `site`, which takes 3 ms. The script that an installer writes has neither option, so `isolate` starts it
again if one of the variables is set. Every activation runs this module, so it imports only `os` and `sys`.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["OPTIONS", "SOURCE", "command", "isolate", "own_words"]

OPTIONS = "-EPS"
"""Python's options for an isolated start: no PYTHON* variables, no directory of the caller's, no `site`.

They are one word because Linux passes all that follows the interpreter in a `#!` line as one argument. They are not
`-I`, which would also hide the user's own packages, where `pip install --user` puts Esker.
"""
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The directory that this Esker is imported from."""

_STEERING = frozenset(
    {
        "PYTHONASYNCIODEBUG",
        "PYTHONCASEOK",
        "PYTHONDEBUG",
        "PYTHONDEVMODE",
        "PYTHONDUMPREFS",
        "PYTHONHOME",
        "PYTHONINSPECT",
        "PYTHONMALLOCSTATS",
        "PYTHONOPTIMIZE",
        "PYTHONPATH",
        "PYTHONPLATLIBDIR",
        "PYTHONPROFILEIMPORTTIME",
        "PYTHONTRACEMALLOC",
        "PYTHONVERBOSE",
        "PYTHONWARNDEFAULTENCODING",
        "PYTHONWARNINGS",
        "PYTHON_PRESITE",
    }
)
"""The variables that change what the command imports, prints or does at its end. The other PYTHON* variables, such as
PYTHONUNBUFFERED, do no harm: for them alone the command is not started again, which takes 8 ms."""
_PROGRAM = """\
import sys
sys.path.append(sys.argv[1])
del sys.argv[:2]
from esker.__main__ import main
sys.exit(main())
"""


def command(name: str = "esker") -> list[str]:
    """Return the first words of an isolated `esker` command with this interpreter; `name` becomes its `sys.argv[0]`."""
    return [sys.executable, f"{OPTIONS}c", _PROGRAM, SOURCE, name]


def own_words() -> str:
    """Return how a shell calls this Esker again, whatever is on PATH: the words of ESKER_COMMAND, quoted where needed.

    If this process is an installed `esker`, they are the path of that program. Otherwise this Esker may have no program
    of its own, as in a Python program, so that they name its interpreter and source.
    """
    program = sys.argv[0] if sys.argv else ""
    if os.path.basename(program) == "esker":
        return _quoted(os.path.abspath(program))
    return " ".join(map(_quoted, (sys.executable or "python3", OPTIONS, f"{SOURCE}/esker/__main__.py")))


def _quoted(word: str) -> str:
    """Return a word as a shell reads it; `shlex` would be a heavy import for that."""
    if word and all(char.isalnum() or char in "/._-+" for char in word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def isolate() -> None:
    """Make sure that this process imports only the standard library and Esker's own installation.

    If a variable of the caller may have changed this interpreter, an isolated one takes its place.
    """
    if not sys.flags.ignore_environment and sys.executable and any(map(os.environ.get, _STEERING)):
        from esker.host.variables import inherited

        os.execve(sys.executable, [*command(sys.argv[0]), *sys.argv[1:]], inherited())  # noqa: S606
    if sys.flags.no_site:
        sys.meta_path.append(_SitePackages())
    if not sys.flags.safe_path:
        del sys.path[0]  # the directory of the script or, with `python -m esker`, the current one
        if SOURCE not in sys.path:
            sys.path.append(SOURCE)


class _SitePackages:
    """A finder of last resort: when no other finds a module, it runs `site`, once, and asks the others again.

    `site` adds the directories of installed packages to `sys.path`. A warm activation never needs them.
    """

    def __init__(self) -> None:
        from _thread import RLock

        self._lock = RLock()
        self._site_has_run = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a top-level module in the directories that `site` adds."""
        if path is not None:
            return None
        with self._lock:  # another thread must not search before `site` has added every directory
            if not self._site_has_run:
                self._site_has_run = True  # first, because `site` itself looks for modules that may not exist
                import site

                site.main()
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                return spec
        return None
