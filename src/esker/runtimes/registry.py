"""The runtimes there are: which file in a project asks for one, and which module gives it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from esker.runtimes.protocol import Runtime

__all__ = ["RUNTIMES", "Kind", "find_project", "runtime"]


class Kind:
    """A kind of runtime."""

    __slots__ = ("declaration", "leaves_out", "module")

    def __init__(self, module: str, declaration: str | None = None, *, leaves_out: bool = False) -> None:
        self.module = module
        """A module that has a function `runtime(project, mode)`; it is loaded on first use."""
        self.declaration = declaration
        """What a project directory has that is declared for this runtime, ending in `/` for a directory.

        None for a runtime that is chosen by name alone.
        """
        self.leaves_out = leaves_out
        """Whether the runtime can leave packages out that are not on this machine."""


RUNTIMES = {
    "native": Kind("esker.runtimes.native.runtime", ".flox/", leaves_out=True),
    "flox": Kind("esker.runtimes.flox"),
}
"""By name; where a directory has several declarations, the first of them counts."""


def find_project(start: str, *, explicit: bool) -> tuple[str, str]:
    """Return a project directory (absolute, links resolved) and the name of the runtime that it is declared for.

    `declare.discover.find_marked` says how the directory is found from `start`. Raises NotFound.
    """
    from esker.declare.discover import find_marked

    names = {kind.declaration: name for name, kind in RUNTIMES.items() if kind.declaration}
    project, marker = find_marked(start, list(names), explicit=explicit)
    return project, names[marker]


def runtime(name: str, project: str, mode: str | None = None, *, without_packages: bool = False) -> Runtime:
    """Return the runtime of this name for a project (absolute, links resolved).

    With `without_packages`, it leaves out the packages that are not on this machine; raises UsageError if it cannot.
    """
    if without_packages and not RUNTIMES[name].leaves_out:
        from esker.errors import UsageError

        raise UsageError(f"the runtime `{name}` cannot leave packages out", hint="leave out what asks for it")
    options = {"without_packages": True} if without_packages else {}
    # Not importlib.import_module: importing importlib would cost more than what it does here.
    module = __import__(RUNTIMES[name].module, fromlist=["runtime"])
    made: Runtime = module.runtime(project, mode, **options)
    return made
