"""Requests to one registry: who asks, what is tried again, and what a refusal means.

A request is tried again after a connection that broke, and after 429, 500, 502, 503 and 504, at most four times and
after a growing pause, or the pause that the registry asks for. Credentials go to the registry and to the realm that it
names, and never to a place that it redirects to. Plain http is spoken with this machine alone.

Specification: OCI distribution-spec v1.1.
"""

from __future__ import annotations

import random
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Lock
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar
from urllib.parse import urljoin, urlsplit

from esker.errors import HostError, RegistryError
from esker.formats.printable import printable
from esker.formats.untrusted import json_value
from esker.formats.urls import redact
from esker.host.http import Answer, Connection, is_loopback
from esker.ship.image.registry.authentication import Authentication

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from types import TracebackType

    from esker.host.http import FilePart
    from esker.ship.image.registry.credentials import Credentials

__all__ = ["AGAIN", "Registry", "Request"]

T = TypeVar("T")
R = TypeVar("R")

AGAIN = frozenset({429, 500, 502, 503, 504})
"""The statuses after which a request is tried again."""
_ATTEMPTS = 5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
"""Seconds."""
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_WRONG_DIGEST = "DIGEST_INVALID"
"""OCI's word for a blob that is not what its digest says."""
_WRONG = "tell those who run the registry"
_BEHIND_PROXY = (
    f"{_WRONG}: behind a proxy it has to be told its address, by X-Forwarded-Proto or in its own configuration"
)
_SHOWN = 200
"""Characters of a registry's own words that a message has."""


class Request(NamedTuple):
    """A request to a registry."""

    method: str
    target: str
    """A path, or an address that the registry has given."""
    scope: str
    """What it needs the right for, such as `repository:team/app:pull`."""
    headers: Mapping[str, str] = {}
    body: bytes | FilePart | None = None


class Registry:
    """A registry, and the connections to it, which several threads may use at once; a context manager."""

    def __init__(self, host: str, credentials: Credentials, *, pause: Callable[[float], object] | None = None) -> None:
        self.host = host
        name = urlsplit(f"//{host}").hostname or ""
        self.origin = f"{'http' if is_loopback(name) else 'https'}://{host}"
        self._authentication = Authentication(host, credentials)
        self._interrupted = Event()
        self._pause = pause or self._interrupted.wait
        self._lock = Lock()
        self._idle: dict[str, list[Connection]] = {}
        """Connections that nobody uses at this moment, by their origins."""
        self._used: set[Connection] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that nobody uses at this moment."""
        with self._lock:
            connections = [each for idle in self._idle.values() for each in idle]
            self._idle = {}
        for connection in connections:
            connection.close()

    def together(self, call: Callable[[T], R], values: Iterable[T], *, at_once: int) -> list[R]:
        """Call a function that asks the registry for each value, some at a time; return the results in their order.

        After an interruption nobody waits for an answer: the connections are ended, and nothing is tried again.
        """
        with ThreadPoolExecutor(at_once, thread_name_prefix="esker-registry") as pool:
            futures: list[Future[R]] = []
            try:
                for value in values:
                    futures.append(pool.submit(call, value))  # noqa: PERF401  # an interruption may come between two
                return [future.result() for future in futures]
            except KeyboardInterrupt:
                self._interrupt()
                raise
            finally:
                for future in futures:
                    future.cancel()

    def _interrupt(self) -> None:
        self._interrupted.set()
        with self._lock:
            for connection in self._used:
                connection.interrupt()

    def ask(
        self,
        request: Request,
        expected: Collection[int],
        *,
        take: Callable[[bytes], object] | None = None,
        restart: Callable[[], object] | None = None,
        repeat: bool = True,
    ) -> Answer:
        """Return the answer, whose status is one of the expected.

        `take` gets the body in pieces; `restart` is called before a body is sent once more from its beginning. Raises
        RegistryError for another status, and for a registry that cannot be reached.
        """
        attempts = _ATTEMPTS if repeat else 1
        for attempt in range(1, attempts + 1):
            try:
                answer = self._once(request, take)
            except HostError as error:
                if attempt == attempts or self._interrupted.is_set():
                    raise RegistryError(error.message, hint=error.hint) from error
                asked = None
            else:
                if answer.status in expected:
                    return answer
                if answer.status not in AGAIN or attempt == attempts:
                    raise self._refusal(request, answer)
                asked = answer.headers.get("retry-after")
            if restart is not None:
                restart()
            self.wait(attempt, asked)
        raise AssertionError  # the last attempt returns or raises

    def wait(self, attempt: int, asked: str | None = None) -> None:
        """Wait before the next attempt, as long as the registry has asked for, or longer each time."""
        self._pause(_pause_after(attempt, asked))

    def address(self, place: str, given: str) -> str:
        """Return the whole address that the registry has given at a place; raises RegistryError if it is none."""
        try:
            whole = urljoin(place, given)
            _ = urlsplit(whole).port  # looks at it, too
        except ValueError as error:
            shown = printable(redact(given))[:_SHOWN]
            raise RegistryError(
                f"`{self.host}` leads to `{shown}`, which is no address: {error}",
                hint=_WRONG,
            ) from error
        return whole

    def _once(self, request: Request, take: Callable[[bytes], object] | None) -> Answer:
        """Send a request, and where the registry asks who sends it, once more with the answer to that."""
        used = self._authentication.header(request.scope)
        answer, is_own = self._followed(request, take, used)
        if answer.status == _UNAUTHORIZED and is_own:  # another place would get the login that it asks for
            challenge = answer.headers.get("www-authenticate", "")
            if self._authentication.answer(challenge, request.scope, used):
                answer, _ = self._followed(request, take, self._authentication.header(request.scope))
        return answer

    def _followed(
        self, request: Request, take: Callable[[bytes], object] | None, authorization: Mapping[str, str]
    ) -> tuple[Answer, bool]:
        """Send a request, and follow the redirects of one that only reads; also return if the registry has answered."""
        address = self.address(self.origin, request.target)
        for _ in range(_MOST_REDIRECTS):
            parts = urlsplit(address)
            origin = f"{parts.scheme}://{parts.netloc}"
            own = origin == self.origin
            if not own and parts.scheme != "https" and not is_loopback(parts.hostname or ""):
                raise RegistryError(
                    f"`{self.host}` leads to an address without encryption: `{redact(origin)}`", hint=_BEHIND_PROXY
                )
            target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
            headers = {"User-Agent": "esker", **request.headers, **(authorization if own else {})}
            with self._connection(origin) as connection:
                answer = connection.request(request.method, target, headers, request.body, take=take)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not location or request.method not in {"GET", "HEAD"}:
                return answer, own
            address = self.address(address, location)
        raise RegistryError(
            f"`{self.host}` leads from one address to the next, more than {_MOST_REDIRECTS} times", hint=_WRONG
        )

    @contextmanager
    def _connection(self, origin: str) -> Iterator[Connection]:
        """Give a connection that nobody else uses meanwhile."""
        with self._lock:
            idle = self._idle.setdefault(origin, [])
            connection = idle.pop() if idle else Connection(origin)
            self._used.add(connection)
            if self._interrupted.is_set():
                connection.interrupt()
        try:
            yield connection
        finally:
            with self._lock:
                self._used.discard(connection)
                self._idle.setdefault(origin, []).append(connection)

    def _refusal(self, request: Request, answer: Answer) -> RegistryError:
        words = _words(answer)
        what = f"`{self.host}` refused `{request.method} {urlsplit(request.target).path}`: {answer.status}"
        hint = None
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            refused = "log in again" if answer.status == _UNAUTHORIZED else "this login may not do that"
            may = refused if self._authentication.is_logged_in else "there is no login for it"
            hint = f"{may}: docker login {self.host}"
        elif answer.status == _NOT_FOUND:
            hint = "check the name, the tag and the digest"
        elif words.startswith(_WRONG_DIGEST):
            hint = "a blob may have been damaged on this machine: esker store verify --repair; then push again"
        return RegistryError(f"{what}{f', {words}' if words else ''}", hint=hint, status=answer.status)


def _words(answer: Answer) -> str:
    """Return what a registry says about an error."""
    try:
        (error, *_) = json_value(answer.body)["errors"]
        words = ", ".join(str(error[key]) for key in ("code", "message") if error.get(key))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return printable(redact(words))[:_SHOWN]


def _pause_after(attempt: int, asked: str | None) -> float:
    if asked and asked.isascii() and asked.isdigit():
        return min(float(asked), _LONGEST_PAUSE)
    return min(_FIRST_PAUSE * 2.0 ** (attempt - 1), _LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311  # no secret
