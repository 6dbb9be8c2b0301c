"""The runtimes there are: which file in a project asks for one, and which module gives it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from esker.runtimes.protocol import Runtime

__all__ = ["RUNTIMES", "Kind", "declarations", "find_project", "module", "runtime"]


class Kind:
    """A kind of runtime."""

    __slots__ = ("declarations", "has_plans", "is_last", "leaves_out", "module", "tool")

    def __init__(
        self,
        module: str,
        *declarations: str,
        has_plans: bool = False,
        leaves_out: bool = False,
        tool: str | None = None,
        is_last: bool = False,
    ) -> None:
        self.module = module
        """A module that has a function `runtime(project, mode)`; it is loaded on first use."""
        self.declarations = declarations
        """What a project directory has that is declared for this runtime, ending in `/` for a directory.

        None of them for a runtime that is chosen by name alone."""
        self.has_plans = has_plans
        """Whether the module has a function `prepare` that gives a plan to activate."""
        self.leaves_out = leaves_out
        """Whether the runtime can leave packages out that are not on this machine."""
        self.tool = tool
        """A module that has a `TOOL`, by which another program gives the toolchain; a `.flox` can ask for it too."""
        self.is_last = is_last
        """Whether its declarations have another meaning too, so that every other one, and an active one, comes first.

        Each of them counts only where the repository has none of those before it."""


RUNTIMES = {
    "native": Kind("esker.runtimes.native.runtime", ".flox/", has_plans=True, leaves_out=True),
    "nix": Kind("esker.runtimes.nix.runtime", "flake.nix", "shell.nix", has_plans=True, tool="esker.runtimes.nix.tool"),
    "guix": Kind("esker.runtimes.guix.runtime", "manifest.scm", has_plans=True, tool="esker.runtimes.guix.tool"),
    "venv": Kind(
        "esker.runtimes.venv.runtime",
        *("pyproject.toml", "setup.py", "requirements.txt"),
        has_plans=True,
        tool="esker.runtimes.venv.tool",
        is_last=True,
    ),
    "flox": Kind("esker.runtimes.flox"),
}
"""By name; where a directory has several declarations, the first of them counts."""


def declarations() -> dict[str, str]:
    """Return what a project can be declared by, in the order in which it counts, with the runtime's name."""
    return {declaration: name for name, kind in RUNTIMES.items() for declaration in kind.declarations}


def find_project(start: str, *, explicit: bool, runtime: str | None = None) -> tuple[str, str]:
    """Return a project directory (absolute, links resolved) and the name of the runtime that it is declared for.

    `declare.discover.find_marked` says how the directory is found from `start`. A `.flox` of the repository comes
    before any other declaration. With the name of a `runtime`, only its own declarations count. Raises NotFound, and
    UsageError for the name of a runtime that has none.
    """
    from esker.declare.discover import find_marked

    names = declarations()
    if runtime is not None:
        own = RUNTIMES[runtime].declarations if runtime in RUNTIMES else ()
        if not own:
            from esker.errors import UsageError

            known = ", ".join(dict.fromkeys(names.values()))
            raise UsageError(f"there is no declaration for a runtime `{runtime}`", hint=f"name one of {known}")
        return find_marked(start, own, explicit=explicit)[0], runtime
    first, *others = (name for name, kind in names.items() if not RUNTIMES[kind].is_last)
    last = [(name,) for name, kind in names.items() if RUNTIMES[kind].is_last]
    project, marker = find_marked(start, (first,), others, *last, explicit=explicit)
    return project, names[marker]


def module(name: str) -> ModuleType:
    """Return the module of the runtime of this name."""
    # Not importlib.import_module: importing importlib would cost more than what it does here.
    return __import__(RUNTIMES[name].module, fromlist=["runtime"])


def runtime(name: str, project: str, mode: str | None = None, *, without_packages: bool = False) -> Runtime:
    """Return the runtime of this name for a project (absolute, links resolved).

    With `without_packages`, it leaves out the packages that are not on this machine; raises UsageError if it cannot.
    """
    if without_packages and not RUNTIMES[name].leaves_out:
        from esker.errors import UsageError

        raise UsageError(f"the runtime `{name}` cannot leave packages out", hint="leave out what asks for it")
    options = {"without_packages": True} if without_packages else {}
    made: Runtime = module(name).runtime(project, mode, **options)
    return made
