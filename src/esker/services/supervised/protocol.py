"""How command and supervisor talk: lines of JSON over a Unix socket.

The supervisor speaks first: `{"esker-services": 2, ...}` names the version it speaks and the processes it is. Then the
client sends one request, of which `do` is the verb, and reads replies: any number of `state` and `notice`, then one
`result` or `error`. When nothing is left to run after that, `result` and `error` come with `"ending": true`, and one
more line says whether the supervisor has `ended` or somebody else needs it. A client that closes takes back what it
asked for. A new version gets a new number; neither side guesses at one that it does not know.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from esker.errors import EskerError, PortTaken, ServiceError, ServiceFailed, ServicesNotReady, UnknownService
from esker.host.process_id import ProcessId
from esker.services import specification

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.services.specification import ServiceSpec
    from esker.services.status import Until

__all__ = [
    "KEY",
    "LIMIT",
    "VERSION",
    "Lease",
    "Release",
    "Request",
    "Restart",
    "Start",
    "Status",
    "Stop",
    "Wait",
    "Watch",
    "error_of",
    "line",
    "parse_request",
    "request_line",
    "versions",
]

VERSION = 2
KEY = "esker-services"
LIMIT = 1 << 26
"""Bytes of a line; variables may be megabytes."""


class Lease(NamedTuple):
    """The use of services by one process."""

    token: str
    """Tells two leases of one process apart."""
    process: ProcessId


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start services with all they depend on, and wait until they are ready; kept, or for a lease."""

    verb: ClassVar[str] = "start"
    names: tuple[str, ...]
    """Empty means all."""
    specs: tuple[ServiceSpec, ...]
    environments: Mapping[str, Mapping[str, str]]
    """The variables of each service."""
    directory: str
    paths: tuple[str, ...] = ()
    """What the services must be able to enter and run."""
    store: str = ""
    """The root directory of the store that `store_paths` lie in."""
    store_paths: tuple[str, ...] = ()
    """What must not be collected while the supervisor runs."""
    caller: int
    lease: Lease | None = None
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart(Start):
    """Stop services that run, and start them with new variables."""

    verb: ClassVar[str] = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop services, whoever uses them."""

    verb: ClassVar[str] = "stop"
    names: tuple[str, ...]
    caller: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Give a lease back; what nobody uses then is stopped."""

    verb: ClassVar[str] = "release"
    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Tell the state of every service."""

    verb: ClassVar[str] = "status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Tell every change from now on."""

    verb: ClassVar[str] = "watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Wait until services are in a state."""

    verb: ClassVar[str] = "wait"
    names: tuple[str, ...]
    until: Until
    seconds: float | None = None


Request = Start | Stop | Release | Status | Watch | Wait
_REQUESTS: dict[str, type[Request]] = {kind.verb: kind for kind in (Start, Restart, Stop, Release, Status, Watch, Wait)}


def line(**message: object) -> bytes:
    """Return a message as one line."""
    return json.dumps(message).encode() + b"\n"


def versions(message: Mapping[str, Any], remedy: str | None = None) -> None:
    """Raise ServiceError, with what to do, unless `message` names the version that we speak."""
    spoken = message.get(KEY)
    if spoken != VERSION:
        raise ServiceError(
            f"version {spoken} of the services' protocol was named, and this Esker speaks version {VERSION}",
            hint=remedy or "use the Esker that started the services, or end its supervisor and start them again",
        )


def request_line(request: Request) -> bytes:
    """Return `request` as one line."""
    message = {KEY: VERSION, "do": request.verb, **asdict(request)}
    if message.get("lease"):
        token, process = message["lease"]
        message["lease"] = [token, *process]
    return line(**message)


def parse_request(text: bytes) -> Request:
    """Return the request in a line; raises ServiceError for what is none."""
    try:
        message = json.loads(text)
        versions(message)
        kind = _REQUESTS[message["do"]]
        known = {field.name: message[field.name] for field in fields(kind) if field.name in message}
        for name in ("names", "paths", "store_paths"):
            if name in known:
                known[name] = tuple(known[name])
        if "specs" in known:
            known["specs"] = tuple(specification.parse(spec) for spec in known["specs"])
        if known.get("lease"):
            token, pid, start = known["lease"]
            known["lease"] = Lease(token, ProcessId(pid, start))
        return kind(**known)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ServiceError("the supervisor was sent what is no request") from error


def error_of(record: Mapping[str, Any]) -> EskerError:
    """Return the error that the other side met, from its `record()`."""
    message, hint, code = record["message"], record.get("hint"), record["code"]
    if code in {"service-failed", "port-taken"}:
        kind = PortTaken if code == "port-taken" else ServiceFailed
        return kind(message, service=record["service"], status=record["exit_status"], log=record["log"], hint=hint)
    if code == "timed-out":
        return ServicesNotReady(message, services=record["services"], log=record["log"], hint=hint)
    if code == "unknown-service":
        return UnknownService(message, service=record["service"], hint=hint)
    return ServiceError(message, hint=hint)
