"""Every error that Esker raises, drawn as one tree.

EskerError                      exit status 1
|- UsageError                   2    the command line itself is wrong
|- InvalidFile                       a file a person wrote does not say what it must: all its problems at once
|  |- InvalidManifest                manifest.toml
|  |- InvalidLock                    manifest.lock, pylock.toml
|- Malformed                         bytes or text from elsewhere are not what their format says
|- NotFound                          no environment, no file, no program where one was named; a RuntimeError too
|  |- NoEnvironment                  no `.flox` in the directory that was named, or around the current one
|- NotTrusted                        somebody else's project, not allowed to run code yet
|- StaleLock                         the lock no longer says what the manifest says
|- ResolutionFailed                  no set of versions, or a package without a wheel for a declared system
|- RealisationFailed                 a locked thing could not be put into the store
|- StoreError                        the store itself: not writable, disk full, a damaged path
|- ActivationFailed                  hook, shell or variables
|  |- HookCutOff                     the hook did not come to its end
|  |- ModeClash                      the environment is active in the other mode
|  |- EnvironmentBusy                another thread has activated another environment
|- HostError                         the machine refused: permission, disk, network, a program missing
|  |- CommandFailed                  a program that Esker ran ended with an error
|- ServiceError                      a service or its supervisor
|  |- StartWithinHook                asked for by a hook, which would wait for itself
|  |- UnknownService                 no service of that name is declared; a RuntimeError too
|  |- ServiceFailed                  a service did not become what it should: its exit status and the end of its log
|  |  |- PortTaken                   somebody else listens on a port that it declares
|- TimedOut                     124  a limit in seconds was reached
|  |- ServicesNotReady               services had not become what they should by then

A message says what failed, with the value in backticks and no full stop; `hint` says what to do next; `place` is
`file:line` where there is a file. Messages never hold secrets: `redact` is applied where a foreign text enters.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


_KEYS = {"status": "exit_status"}
"""What a record calls a field whose name is another: an error's own `exit_status` is that of Esker's command."""


class EskerError(Exception):
    """The root of every error that Esker raises on purpose.

    A class below it declares its own fields by annotations, with a default or without one.
    """

    code = "error"
    exit_status = 1
    listed = ""
    """The field whose texts stand between the message and the hint, a line each."""
    recorded: tuple[str, ...] = ()
    """The fields that `record` shows."""

    def __init__(self, message: str, *, hint: str | None = None, place: str | None = None, **fields: Any) -> None:
        """Take a value for each field of the class; a field that is a tuple takes any iterable.

        Raises TypeError for a field that the class does not have, and without one that has no default.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place
        classes = type(self).__mro__
        annotations = [each.__annotations__ for each in classes[: classes.index(EskerError)]]
        for name, annotation in [item for each in annotations for item in each.items()]:
            if name in fields:
                value = fields.pop(name)
                setattr(self, name, tuple(value) if annotation.startswith("tuple[") else value)
            elif not hasattr(self, name):
                raise TypeError(f"{type(self).__name__} needs the field `{name}`")
        if fields:
            raise TypeError(f"{type(self).__name__} has no field `{next(iter(fields))}`")

    def lines(self) -> list[str]:
        """Return the message as a person reads it: place and message, what is listed, then the hint."""
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
    """One thing that is wrong in a file: what, in which line (from 1, None when unknown), and what to do."""

    __slots__ = ("hint", "line", "message")

    def __init__(self, message: str, *, line: int | None = None, hint: str | None = None) -> None:
        self.message = message
        self.line = line
        self.hint = hint

    def __repr__(self) -> str:
        return f"Problem({self.message!r}, line={self.line!r}, hint={self.hint!r})"


class InvalidFile(EskerError):
    """A file does not say what it must; `problems` are all that were found in it, in the order of their lines."""

    code = "invalid-file"
    path: str
    problems: tuple[Problem, ...]

    def __init__(self, path: str, problems: Iterable[Problem]) -> None:
        problems = sorted(problems, key=lambda problem: problem.line or 0)
        first = problems[0]
        super().__init__(first.message, hint=first.hint, place=_place(path, first.line), path=path, problems=problems)

    def lines(self) -> list[str]:
        """Return every problem with its place and its hint."""
        lines = []
        for problem in self.problems:
            lines.append(f"{_place(self.path, problem.line)}: {problem.message}")
            if problem.hint:
                lines.append(f"hint: {problem.hint}")
        return lines

    def record(self) -> dict[str, object]:
        """Return the error as `--json` shows it, with one entry a problem."""
        problems = [{"message": p.message, "line": p.line, "hint": p.hint} for p in self.problems]
        return {**super().record(), "file": self.path, "problems": problems}


class InvalidManifest(InvalidFile):
    """A manifest.toml does not say what it must."""

    code = "invalid-manifest"

    def lines(self) -> list[str]:
        """Return every problem below the words that say which file this is."""
        return ["Failed to parse manifest:", "", *super().lines()]


class InvalidLock(InvalidFile):
    """A manifest.lock or pylock.toml is not what its format says."""

    code = "invalid-lock"


class Malformed(EskerError):
    """Bytes or text from elsewhere (a store path, a hash, an archive) are not what their format says."""

    code = "malformed"


class NotFound(EskerError, RuntimeError):
    """There is no environment, file or program where one was named."""

    code = "not-found"


class NoEnvironment(NotFound):
    """`directory`, which was named, has no environment; None: none was found around the current directory."""

    directory: str | None = None


class NotTrusted(EskerError):
    """The project belongs to somebody else and may not run code yet."""

    code = "not-trusted"


class StaleLock(EskerError):
    """The lock no longer says what the manifest says; `reasons` name each entry and why."""

    code = "stale-lock"
    reasons: tuple[str, ...]
    listed = "reasons"
    recorded = ("reasons",)


class ResolutionFailed(EskerError):
    """No set of versions satisfies the declaration on every declared system."""

    code = "resolution-failed"


class RealisationFailed(EskerError):
    """A locked thing could not be put into the store."""

    code = "realisation-failed"


class StoreError(EskerError):
    """The store is not writable, its disk is full, or a path in it is damaged."""

    code = "store"


class ActivationFailed(EskerError):
    """The hook, the shell or the variables of an activation failed."""

    code = "activation-failed"


class HookCutOff(ActivationFailed):
    """The hook took its shell with it; `ending` says how the shell ended, None as if all were well."""

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
    """A program that Esker ran ended with an error; `status` is its exit status, `output` what it said, redacted.

    `exit_status` is ours, where it is not that of other errors.
    """

    code = "command-failed"
    status: int
    output: str = ""
    exit_status: int = 1


class ServiceError(EskerError):
    """A service, or the supervisor that runs it, failed."""

    code = "service"


class StartWithinHook(ServiceError):
    """Services were to be started by `hook`, a hook that their start has to wait for."""

    hook: str


class UnknownService(ServiceError, RuntimeError):
    """No service called `service` is declared here."""

    code = "unknown-service"
    service: str
    recorded = ("service",)


class ServiceFailed(ServiceError):
    """The service `service` failed; `status` is its exit status if it had one, `log` the last lines of its log."""

    code = "service-failed"
    service: str
    status: int | None = None
    log: tuple[str, ...] = ()
    listed = "log"
    recorded = ("service", "status", "log")


class PortTaken(ServiceFailed):
    """Somebody else listens on a port that the service declares."""

    code = "port-taken"


class TimedOut(EskerError):
    """A limit in seconds was reached."""

    code = "timed-out"
    exit_status = 124


class ServicesNotReady(TimedOut):
    """The services `services` had not become what they should in time; `log` is the end of the first one's log."""

    services: tuple[str, ...]
    log: tuple[str, ...] = ()
    listed = "log"
    recorded = ("services", "log")


def _place(path: str, line: int | None) -> str:
    return path if line is None else f"{path}:{line}"
