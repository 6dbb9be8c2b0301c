"""The protocol between a command and the supervisor: lines of JSON over a Unix socket.

The supervisor speaks first: its greeting `{"esker-services": 8, ...}` names the version of the protocol, the pids of
supervisor and guardian, and the seconds that the services may take to stop. The client then sends one request, whose
verb is in `do`. It reads any number of `state` replies, then one `result` or `error`. These have `"ending": true` if no
service is left to run. In that case one more line follows, whose `ended` says whether the supervisor has ended or
another client needs it. A client that closes the connection cancels its request. Each change of the protocol gets a new
version number, and both sides refuse a version that they do not know.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from esker.errors import (
    EskerError,
    PortTaken,
    ServiceError,
    ServiceFailed,
    ServicesNotReady,
    SupervisorEnded,
    UnknownService,
)
from esker.host.frozen_dataclass import as_dict
from esker.host.process_id import ProcessId
from esker.services import received, specification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from dataclasses import dataclass

    from esker.services.specification import ServiceSpec
    from esker.services.status import Until
else:
    from esker.host.frozen_dataclass import dataclass

__all__ = [
    "ENDLESS",
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
    "parse_message",
    "parse_request",
    "request_line",
    "understood",
    "versions",
]

VERSION = 8
KEY = "esker-services"
ENDLESS = 1e8
"""Seconds that stand for no limit."""
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
    force: bool = False
    """Whether to stop containers too that somebody else has started."""


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
    if type(spoken) is not int or spoken != VERSION:
        shown = ascii(spoken)[:40] if not isinstance(spoken, int) or abs(spoken) < 1 << 62 else "of another kind"
        raise ServiceError(
            f"the other side speaks version {shown} of the services' protocol, this Esker version {VERSION}",
            hint=remedy or "use the Esker that started the services, or end its supervisor and start them again",
        )


def request_line(request: Request) -> bytes:
    """Return `request` as one line of JSON."""
    message = {KEY: VERSION, "do": request.verb, **as_dict(request)}
    if message.get("lease"):
        token, process = message["lease"]
        message["lease"] = [token, *process]
    return line(**message)


def parse_request(text: bytes) -> Request:
    """Return the request in a line; raise ServiceError if it is not a valid request."""
    try:
        message = received.json_object(text)
        versions(message)
        return _request(message)
    except ValueError as error:
        raise ServiceError(f"the supervisor got a message that is not a valid request: {error}") from error


def _request(message: Mapping[str, Any]) -> Request:
    verb = received.one_of(*_REQUESTS)(message.get("do"))
    arguments = {name: value for name, value in message.items() if name not in {KEY, "do"}}
    kind: Callable[..., Request] = _REQUESTS[verb]
    request = received.record(kind, arguments, _KINDS)
    if isinstance(request, StartRequest):
        _check_names(request.specs)
    return request


def _check_names(specs: tuple[ServiceSpec, ...]) -> None:
    """Raise ValueError if two services have one name, or one depends on a service that is not there."""
    names = {spec.name for spec in specs}
    if len(names) < len(specs) or not all(names.issuperset(spec.depends_on) for spec in specs):
        raise ValueError("`specs`: a name stands twice, or a dependency is missing")


def _lease(given: Any) -> Lease:
    """Return the lease from its token, pid and start time."""
    if not isinstance(given, list) or len(given) != _PARTS_OF_A_LEASE:
        raise ValueError("it is not a token, a pid and a start time")
    token, pid, start = given
    return Lease(received.text(token), ProcessId(received.pid(pid), received.whole(0, 1 << 63)(start)))


_PARTS_OF_A_LEASE = 3
_KINDS: Mapping[str, Callable[[Any], Any]] = {
    **specification.KINDS,
    "Until": received.one_of("healthy", "completed", "stopped"),
    "Lease": _lease,
    "StartRequest.caller": received.pid,
    "RestartRequest.caller": received.pid,
    "StopRequest.caller": received.pid,
}


def parse_message(text: bytes) -> dict[str, Any]:
    """Return what a supervisor said in a line; raise ServiceError if it is not a JSON object."""
    with understood():
        return received.json_object(text)


@contextmanager
def understood() -> Iterator[None]:
    """Within the block, a value of the supervisor's that is not valid is ServiceError instead of ValueError."""
    try:
        yield
    except ValueError as error:
        raise ServiceError(
            f"the supervisor of the services sent a message that is not valid: {error}",
            hint="use the Esker that started the services",
        ) from error


def error_of(record: object) -> EskerError:
    """Return the error that the other side sent, made again from its `record()`; ValueError if it is not one."""
    if type(record) is not dict:
        raise ValueError("an error is not an object")

    def field(name: str, annotation: str) -> Any:
        try:
            return received.value(annotation, record.get(name), {})
        except ValueError as error:
            raise ValueError(f"`{name}`: {error}") from None

    message, hint, code = field("message", "str"), field("hint", "str | None"), field("code", "str")
    if code in {"service-failed", "port-taken"}:
        kind = PortTaken if code == "port-taken" else ServiceFailed
        status, log = field("exit_status", "int | None"), field("log", "tuple[str, ...]")
        return kind(message, service=field("service", "str"), status=status, log=log, hint=hint)
    if code == "timed-out" and "services" in record:
        services, log = field("services", "tuple[str, ...]"), field("log", "tuple[str, ...]")
        return ServicesNotReady(message, services=services, log=log, hint=hint)
    if code == "unknown-service":
        return UnknownService(message, service=field("service", "str"), hint=hint)
    return (SupervisorEnded if code == "supervisor-ended" else ServiceError)(message, hint=hint)
