"""The protocol between a command and the supervisor: lines of JSON over a Unix socket.

The supervisor speaks first: its greeting `{"esker-services": 4, ...}` names the version of the protocol and the pids of
supervisor and guardian. The client then sends one request, whose verb is in `do`. It reads any number of `state`
replies, then one `result` or `error`. These have `"ending": true` if no service is left to run. In that case one more
line follows, whose `ended` says whether the supervisor has ended or another client needs it. A client that closes the
connection cancels its request. Each change of the protocol gets a new version number, and both sides refuse a version
that they do not know.
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
    "ReleaseRequest",
    "Request",
    "RestartRequest",
    "StartRequest",
    "StatusRequest",
    "StopRequest",
    "WaitRequest",
    "WatchRequest",
    "error_of",
    "line",
    "parse_request",
    "request_line",
    "versions",
]

VERSION = 4
KEY = "esker-services"
LIMIT = 1 << 26
"""The most bytes of a line; a service's variables may take megabytes."""


class Lease(NamedTuple):
    """The right of one process to use services, which run for as long as it lives."""

    token: str
    """Distinguishes the leases of one process."""
    process: ProcessId


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """Start services and their dependencies, and wait until they are ready; without a lease they run until `stop`."""

    verb: ClassVar[str] = "start"
    names: tuple[str, ...]
    """The services to start; empty means all."""
    specs: tuple[ServiceSpec, ...]
    environments: Mapping[str, Mapping[str, str]]
    """The variables of each service."""
    directory: str
    paths: tuple[str, ...] = ()
    """Paths that the services must be able to enter and run."""
    store: str = ""
    """The root directory of the store that holds `store_paths`."""
    store_paths: tuple[str, ...] = ()
    """Paths that garbage collection must spare while the supervisor runs."""
    caller: int
    recreate: bool = False
    """Whether to restart the services that run by another definition than the one in `specs`."""
    like_flox: bool = False
    """Whether Flox's rules hold where Esker's differ: see `Chamber.like_flox`."""
    lease: Lease | None = None
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartRequest(StartRequest):
    """Stop services that run, and start them with new variables."""

    verb: ClassVar[str] = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest:
    """Stop services, even if other processes use them."""

    verb: ClassVar[str] = "stop"
    names: tuple[str, ...]
    caller: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRequest:
    """End a lease, and stop the services that nobody uses after that."""

    verb: ClassVar[str] = "release"
    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRequest:
    """Return the state of every service."""

    verb: ClassVar[str] = "status"
    specs: tuple[ServiceSpec, ...] = ()
    """The services as they are declared now, to tell which run by an earlier definition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """Send the state of every service, and then each change until the client goes away."""

    verb: ClassVar[str] = "watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitRequest:
    """Wait until services are `healthy`, `completed` or `stopped`."""

    verb: ClassVar[str] = "wait"
    names: tuple[str, ...]
    until: Until
    seconds: float | None = None


Request = StartRequest | StopRequest | ReleaseRequest | StatusRequest | WatchRequest | WaitRequest
_REQUESTS: dict[str, type[Request]] = {
    kind.verb: kind
    for kind in (
        StartRequest,
        RestartRequest,
        StopRequest,
        ReleaseRequest,
        StatusRequest,
        WatchRequest,
        WaitRequest,
    )
}


def line(**message: object) -> bytes:
    """Return `message` as one line of JSON."""
    return json.dumps(message).encode() + b"\n"


def versions(message: Mapping[str, Any], remedy: str | None = None) -> None:
    """Raise ServiceError, with `remedy` as its hint, unless `message` names the version that we speak."""
    spoken = message.get(KEY)
    if spoken != VERSION:
        raise ServiceError(
            f"the other side speaks version {spoken} of the services' protocol, this Esker version {VERSION}",
            hint=remedy or "use the Esker that started the services, or end its supervisor and start them again",
        )


def request_line(request: Request) -> bytes:
    """Return `request` as one line of JSON."""
    message = {KEY: VERSION, "do": request.verb, **asdict(request)}
    if message.get("lease"):
        token, process = message["lease"]
        message["lease"] = [token, *process]
    return line(**message)


def parse_request(text: bytes) -> Request:
    """Return the request in a line; raise ServiceError if it is not a valid request."""
    try:
        message = json.loads(text)
        versions(message)
        kind = _REQUESTS[message["do"]]
        arguments = {field.name: message[field.name] for field in fields(kind) if field.name in message}
        for name in ("names", "paths", "store_paths"):
            if name in arguments:
                arguments[name] = tuple(arguments[name])
        if "specs" in arguments:
            arguments["specs"] = tuple(specification.parse(spec) for spec in arguments["specs"])
        if arguments.get("lease"):
            token, pid, start = arguments["lease"]
            arguments["lease"] = Lease(token, ProcessId(pid, start))
        return kind(**arguments)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ServiceError("the supervisor got a message that is not a valid request") from error


def error_of(record: Mapping[str, Any]) -> EskerError:
    """Return the error that the other side sent, made again from its `record()`."""
    message, hint, code = record["message"], record.get("hint"), record["code"]
    if code in {"service-failed", "port-taken"}:
        kind = PortTaken if code == "port-taken" else ServiceFailed
        return kind(message, service=record["service"], status=record["exit_status"], log=record["log"], hint=hint)
    if code == "timed-out":
        return ServicesNotReady(message, services=record["services"], log=record["log"], hint=hint)
    if code == "unknown-service":
        return UnknownService(message, service=record["service"], hint=hint)
    return ServiceError(message, hint=hint)
