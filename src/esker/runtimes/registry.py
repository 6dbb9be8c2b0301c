"""The runtimes there are: which file in a project asks for one, and which module gives it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from esker.runtimes.protocol import Runtime

__all__ = ["RUNTIMES", "Kind", "declarations", "find_project", "runtime"]


class Kind:
    """A kind of runtime."""

    __slots__ = ("declarations", "is_last", "leaves_out", "module", "tool")

    def __init__(
        self,
        module: str,
        *declarations: str,
        leaves_out: bool = False,
        tool: str | None = None,
        is_last: bool = False,
    ) -> None:
        self.module = module
        """A module that has a function `runtime(project, mode)`; it is loaded on first use.

        If the kind has a tool, the function is told its name too: `runtime(project, mode, tool=NAME)`."""
        self.declarations = declarations
        """What a project directory has that is declared for this runtime, ending in `/` for a directory.

        None of them for a runtime that is chosen by name alone."""
        self.leaves_out = leaves_out
        """Whether the runtime can leave packages out that are not on this machine."""
        self.tool = tool
        """A module that has a `TOOL`, by which another program gives the toolchain; a `.flox` can ask for it too."""
        self.is_last = is_last
        """Whether its declarations have another meaning too, so that every other one, and an active one, comes first.

        Each of them counts only where the repository has none of those before it."""


_FOREIGN = "esker.runtimes.foreign.runtime"
RUNTIMES = {
    "native": Kind("esker.runtimes.native.runtime", ".flox/", leaves_out=True),
    "nix": Kind(_FOREIGN, "flake.nix", "shell.nix", tool="esker.runtimes.nix.tool"),
    "guix": Kind(_FOREIGN, "manifest.scm", tool="esker.runtimes.guix.tool"),
    "venv": Kind(
        _FOREIGN,
        *("pyproject.toml", "setup.py", "requirements.txt"),
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
        from esker.errors import NoEnvironment, NotFound, UsageError

        own = RUNTIMES[runtime].declarations if runtime in RUNTIMES else ()
        if not own:
            known = ", ".join(dict.fromkeys(names.values()))
            raise UsageError(f"there is no declaration for a runtime `{runtime}`", hint=f"name one of {known}")
        try:
            return find_marked(start, own, explicit=explicit)[0], runtime
        except NoEnvironment as error:
            files = " or ".join(f"`{name.rstrip('/')}`" for name in own)
            place = "the current directory" if error.directory is None else f"`{error.directory}`"
            raise NotFound(
                f"the runtime `{runtime}` finds no {files} in {place}",
                hint="write one, or leave the runtime out: then what is declared there counts",
            ) from None
    first, *others = (name for name, kind in names.items() if not RUNTIMES[kind].is_last)
    last = [(name,) for name, kind in names.items() if RUNTIMES[kind].is_last]
    project, marker = find_marked(start, (first,), others, *last, explicit=explicit)
    return project, names[marker]


def runtime(name: str, project: str, mode: str | None = None, *, without_packages: bool = False) -> Runtime:
    """Return the runtime of this name for a project (absolute, links resolved).

    With `without_packages`, it leaves out the packages that are not on this machine; raises UsageError if it cannot.
    """
    kind = RUNTIMES[name]
    if without_packages and not kind.leaves_out:
        from esker.errors import UsageError

        raise UsageError(f"the runtime `{name}` cannot leave packages out", hint="leave out what asks for it")
    options: dict[str, bool | str] = {"without_packages": True} if without_packages else {}
    if kind.tool is not None:
        options["tool"] = name
    # Not importlib.import_module: importing importlib would cost more than what it does here.
    made: Runtime = __import__(kind.module, fromlist=["runtime"]).runtime(project, mode, **options)
    return made
