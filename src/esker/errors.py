"""Every error that Esker raises, drawn as one tree.

EskerError                      exit status 1
|- UsageError                   2    the command line itself is wrong
|- InvalidFile                       a file that a person wrote is wrong; the error lists all its problems at once
|  |- InvalidManifest                manifest.toml
|  |- InvalidLock                    manifest.lock, pylock.toml
|- Malformed                         bytes or text from elsewhere do not follow their format
|- NotFound                          the environment, file or program that was named does not exist; a RuntimeError too
|  |- NoEnvironment                  no `.flox` in the directory that was named, or in or above the current one
|- AlreadyExists                     what would be made is there already, and stays as it is
|- NotEditable                       the manifest cannot be changed as it was asked; a person has to edit it
|- GenerationActive                  the environment cannot be changed where one of its generations is active
|- NotTrusted                        somebody else's project, not allowed to run code yet
|- IncludeError                      an environment that another one includes cannot be merged into it
|  |- MissingInclude                 it is not where [include] says, or has no lock
|  |- StaleInclude                   its lock is not the one that was merged, or does not match its own manifest
|  |- IncludeCycle                   environments include each other in a circle
|  |- IncludedPackage                a package cannot be removed, because an included environment declares it
|- StaleLock                         the lock no longer matches the manifest
|- StaleWorkflow                     a CI workflow is not what the declaration says
|- ResolutionFailed                  no versions fit together, or a package has no wheel for a declared system
|- RealisationFailed                 something that the lock lists could not be put into the store
|  |- BuildFailed                    the project itself could not be built; holds the end of what its backend said
|- StoreError                        the store itself: not writable, disk full, a damaged path
|  |- AlteredFile                    a file that several store paths share is not as it was made
|- ActivationFailed                  the hook, the shell or the variables of an activation
|  |- HookCutOff                     the hook's shell ended before the hook was done
|  |- ModeClash                      the environment is active in the other mode
|  |- EnvironmentBusy                another thread has activated another environment
|- HostError                         the machine refused: permission, disk, network, a missing program
|  |- CommandFailed                  a program that Esker ran ended with an error
|- VenvFailed                        a virtual environment cannot be made, filled or activated; a RuntimeError too
|- VenvNotRemoved                    a virtual environment cannot be removed; an OSError too
|- ServiceError                      a service or its supervisor
|  |- NoEngine                       the container engine, or Compose, is not here, not ours to use, or silent
|  |- StartWithinHook                a hook asked for services whose start waits for that same hook
|  |- DataNotCopied                  the data of another checkout cannot become the data of this one
|  |- SupervisorEnded                somebody has told the supervisor of the services to end
|  |- UnknownService                 no service of that name is declared; a RuntimeError too
|  |- ServiceFailed                  a service did not start, or ended with an error; holds the end of its log
|  |  |- PortTaken                   another program listens on a port that the service declares
|- ImageError                        an image cannot be made, read or sent
|  |- CorruptedBlob                  the bytes of a blob are not those that its digest names
|  |- RegistryError                  a registry refused, or is not to be reached
|- TimedOut                     124  a limit in seconds was reached
|  |- ServicesNotReady               services had not reached their expected state by then

A message says what failed, with the value in backticks and no full stop; `hint` says what to do next; `place` is
`file:line` where there is a file. Messages never hold secrets: code that takes text from another program applies
`redact` to it first.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


_KEYS = {"status": "exit_status"}
"""The record's name for a field, where it differs from the attribute's.

In a record `exit_status` is the failed program's. As an attribute of an error it is the exit status of Esker itself.
"""


class EskerError(Exception):
    """The root of every error that Esker raises on purpose.

    A subclass declares its own fields as annotations, with or without a default.
    """

    code = "error"
    exit_status = 1
    listed = ""
    """The name of a field whose texts `lines` prints between the message and the hint, one a line."""
    recorded: tuple[str, ...] = ()
    """The names of the fields that `record` includes."""

    def __init__(self, message: str, *, hint: str | None = None, place: str | None = None, **fields: Any) -> None:
        """Take a value for each declared field; a field annotated as a tuple accepts any iterable.

        Raises TypeError for an unknown field, and for a missing one that has no default.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place
        classes = type(self).__mro__
        declared = [each.__annotations__ for each in classes[: classes.index(EskerError)]]
        for name, annotation in [item for fields_of_class in declared for item in fields_of_class.items()]:
            if name in fields:
                value = fields.pop(name)
                setattr(self, name, tuple(value) if annotation.startswith("tuple[") else value)
            elif not hasattr(self, name):
                raise TypeError(f"{type(self).__name__} needs the field `{name}`")
        if fields:
            raise TypeError(f"{type(self).__name__} has no field `{next(iter(fields))}`")

    def lines(self) -> list[str]:
        """Return the lines that a person reads: place and message, the listed texts, then the hint."""
        first = f"{self.place}: {self.message}" if self.place else self.message
        listed = getattr(self, self.listed) if self.listed else ()
        return [first, *(f"  {line}" for line in listed), *([f"hint: {self.hint}"] if self.hint else [])]

    def record(self) -> dict[str, object]:
        """Return the error as `--json` shows it."""
        record: dict[str, object] = {"code": self.code, "message": self.message}
        record |= {name: value for name in ("place", "hint") if (value := getattr(self, name))}
        for name in self.recorded:
            value = getattr(self, name)
            record[_KEYS.get(name, name)] = list(value) if isinstance(value, tuple) else value
        return record

    def __str__(self) -> str:
        return "\n".join(self.lines())


class UsageError(EskerError):
    """The command line is wrong."""

    code = "usage"
    exit_status = 2


class Problem:
    """One thing that is wrong in a file: what it is, its line (from 1; None when unknown), and what to do."""

    __slots__ = ("hint", "line", "message")

    def __init__(self, message: str, *, line: int | None = None, hint: str | None = None) -> None:
        self.message = message
        self.line = line
        self.hint = hint

    def __repr__(self) -> str:
        return f"Problem({self.message!r}, line={self.line!r}, hint={self.hint!r})"


class InvalidFile(EskerError):
    """The content of a file is wrong; `problems` holds every problem in it, in the order of their lines."""

    code = "invalid-file"
    path: str
    problems: tuple[Problem, ...]

    def __init__(self, path: str, problems: Iterable[Problem]) -> None:
        problems = sorted(problems, key=lambda problem: problem.line or 0)
        first = problems[0]
        super().__init__(first.message, hint=first.hint, place=_place(path, first.line), path=path, problems=problems)

    def lines(self) -> list[str]:
        """Return every problem with its place and hint."""
        lines = []
        for problem in self.problems:
            lines.append(f"{_place(self.path, problem.line)}: {problem.message}")
            if problem.hint:
                lines.append(f"hint: {problem.hint}")
        return lines

    def record(self) -> dict[str, object]:
        """Return the error as `--json` shows it, with one entry for each problem."""
        problems = [{"message": p.message, "line": p.line, "hint": p.hint} for p in self.problems]
        return {**super().record(), "file": self.path, "problems": problems}


class InvalidManifest(InvalidFile):
    """The content of a manifest.toml is wrong."""

    code = "invalid-manifest"

    def lines(self) -> list[str]:
        """Return every problem, below a line that says that the manifest is at fault."""
        return ["Failed to parse manifest:", "", *super().lines()]


class InvalidLock(InvalidFile):
    """A manifest.lock or pylock.toml does not follow its format."""

    code = "invalid-lock"


class Malformed(EskerError):
    """Bytes or text from elsewhere (a store path, a hash, an archive) do not follow their format."""

    code = "malformed"


class NotFound(EskerError, RuntimeError):
    """The environment, file or program that was named does not exist."""

    code = "not-found"
    names: tuple[str, ...] = ()
    """What is not there, where several things may be asked for at once."""


class NoEnvironment(NotFound):
    """There is no environment in `directory`; when that is None, none in or above the current directory."""

    directory: str | None = None


class AlreadyExists(EskerError):
    """What would be made is there already, and stays as it is."""

    code = "already-exists"


class NotEditable(EskerError):
    """The manifest cannot be changed as it was asked; a person has to edit it, or ask more precisely."""

    code = "not-editable"


class GenerationActive(EskerError):
    """A change of an environment was asked for where it is active with a generation that was chosen."""

    code = "generation-active"


class NotTrusted(EskerError):
    """The project belongs to somebody else and may not run code yet."""

    code = "not-trusted"


class IncludeError(EskerError):
    """An environment that `[include]` names cannot be merged."""

    code = "include"


class MissingInclude(IncludeError):
    """The included environment is not there, or was never locked."""

    code = "missing-include"


class StaleInclude(IncludeError):
    """The lock of an included environment is not what is needed.

    `unlocked` is the environment's directory as [include] names it, if its lock does not match its own manifest; None
    if its lock is another one than was merged.
    """

    code = "stale-include"
    unlocked: str | None = None


class IncludeCycle(IncludeError):
    """Environments include each other in a circle."""

    code = "include-cycle"


class IncludedPackage(IncludeError):
    """A package cannot be removed, because the included `environment` declares it, and the own manifest does not."""

    code = "included-package"
    environment: str


class StaleLock(EskerError):
    """The lock no longer matches the manifest; `reasons` names each entry that differs, and why."""

    code = "stale-lock"
    reasons: tuple[str, ...]
    listed = "reasons"
    recorded = ("reasons",)


class StaleWorkflow(EskerError):
    """A CI workflow is not what the declaration says."""

    code = "stale-workflow"


class ResolutionFailed(EskerError):
    """No set of package versions satisfies the manifest on every system that it declares."""

    code = "resolution-failed"


class RealisationFailed(EskerError):
    """Something that the lock lists could not be put into the store."""

    code = "realisation-failed"


class BuildFailed(RealisationFailed):
    """The build backend of the project failed; `log` is the end of what it wrote."""

    code = "build-failed"
    log: tuple[str, ...] = ()
    listed = "log"
    recorded = ("log",)


class StoreError(EskerError):
    """The store is not writable, its disk is full, or a path in it is damaged."""

    code = "store"


class AlteredFile(StoreError):
    """A file that several store paths share is not as it was made."""

    code = "altered-file"


class ActivationFailed(EskerError):
    """The hook, the shell or the variables of an activation failed."""

    code = "activation-failed"


class HookCutOff(ActivationFailed):
    """The hook's shell ended before the hook was done; `ending` says how, None where its status was 0."""

    ending: str | None = None


class ModeClash(ActivationFailed):
    """The environment is active in another mode, in the processes `pids`."""

    code = "mode-clash"
    pids: tuple[int, ...]


class EnvironmentBusy(ActivationFailed):
    """Another thread of this process has activated another environment."""

    code = "environment-busy"


class HostError(EskerError):
    """The machine refused: permission, disk, network, or a missing program."""

    code = "host"


class CommandFailed(HostError):
    """A program that Esker ran ended with an error; `status` is its exit status, `output` its redacted output.

    `exit_status` is the exit status that Esker itself ends with.
    """

    code = "command-failed"
    status: int
    output: str = ""
    exit_status: int = 1


class VenvFailed(EskerError, RuntimeError):
    """A virtual environment cannot be made, filled or activated; `lines_of_uv` is what uv has said of it."""

    code = "venv-failed"
    lines_of_uv: tuple[str, ...] = ()
    listed = "lines_of_uv"


class VenvNotRemoved(EskerError, OSError):
    """A virtual environment cannot be removed, or a directory that is none was to be."""

    code = "venv-not-removed"


class ServiceError(EskerError):
    """A service, or the supervisor that runs it, failed."""

    code = "service"


class NoEngine(ServiceError):
    """The container engine or Compose is not here, not allowed, or silent: what needs no container does without it."""

    code = "no-engine"


class StartWithinHook(ServiceError):
    """The hook `hook` asked for services to start, but their start has to wait for that same hook."""

    hook: str


class DataNotCopied(ServiceError):
    """The services' data of another checkout cannot become the data of this one."""

    code = "data-not-copied"
    reason: str
    """`another-project`, `running`, `present`, `nothing` or `link`."""
    recorded = ("reason",)


class SupervisorEnded(ServiceError):
    """Somebody has told the supervisor to end, so it has stopped all services and answers no request any more."""

    code = "supervisor-ended"


class UnknownService(ServiceError, RuntimeError):
    """No service called `service` is declared here."""

    code = "unknown-service"
    service: str
    recorded = ("service",)


class ServiceFailed(ServiceError):
    """The service `service` failed; `status` is its exit status, if any, and `log` the last lines of its log."""

    code = "service-failed"
    service: str
    status: int | None = None
    log: tuple[str, ...] = ()
    listed = "log"
    recorded = ("service", "status", "log")


class PortTaken(ServiceFailed):
    """Another program already listens on a port that the service declares."""

    code = "port-taken"


class ImageError(EskerError):
    """An image cannot be made, read, compared or sent."""

    code = "image"


class CorruptedBlob(ImageError):
    """The bytes of the blob `digest` are not those that its digest or its size names."""

    code = "corrupted-blob"
    digest: str
    recorded = ("digest",)


class RegistryError(ImageError):
    """A registry refused a request, or is not to be reached; `status` is the HTTP status of its answer, if any."""

    code = "registry"
    status: int | None = None
    recorded = ("status",)


class TimedOut(EskerError):
    """A limit in seconds was reached."""

    code = "timed-out"
    exit_status = 124


class ServicesNotReady(TimedOut):
    """`services` had not reached their expected state in time; `log` is the end of the first one's log."""

    services: tuple[str, ...]
    log: tuple[str, ...] = ()
    listed = "log"
    recorded = ("services", "log")


def _place(path: str, line: int | None) -> str:
    return path if line is None else f"{path}:{line}"
