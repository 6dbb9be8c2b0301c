"""One attempt at a health check.

An attempt returns None if the service is healthy, else a few words that say what is wrong. The module `service`
decides when to make an attempt and what to do with its result.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from esker.errors import ServiceError
from esker.host.runtime_directory import check_socket_path

if TYPE_CHECKING:
    from esker.services.specification import CheckSpec

__all__ = ["Attempt", "NotRunnable", "Shut", "expand", "local_port", "pattern", "prepare"]

Attempt = Callable[[], Awaitable[str | None]]
Run = Callable[[tuple[str, ...]], Awaitable[tuple[int, str]]]
"""Runs a command as the service's user, with its variables; returns the exit status and the last line of output."""
_LOOPBACK = ("127.0.0.1", "::1")
_LOCAL = frozenset(("localhost", "0.0.0.0", "::", *_LOOPBACK))  # noqa: S104  (a check may name these; nothing binds to them)
_LINE = 1000
_NOT_RUN = {126: "cannot be run", 127: "was not found"}
"""What shells mean by an exit status (POSIX, 2.8.2)."""
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\}|(\$))")


class NotRunnable(str):
    """What is wrong where the command of a check cannot be run at all, so that no later attempt will do better."""

    __slots__ = ()


class Shut(str):
    """What is wrong where the container engine can run nothing in a container that still runs."""

    __slots__ = ()


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with `$NAME` and `${NAME}` replaced, and `$$` by `$`; raise ServiceError for an unset variable."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        if name not in variables:
            raise ServiceError(
                f"the health check uses `${name}`, which is not set", hint="set it in `[vars]` or `ports`"
            )
        return variables[name]

    return _VARIABLE.sub(value, text)


def prepare(check: CheckSpec, variables: Mapping[str, str], directory: str, run: Run) -> Attempt | None:
    """Return the function that makes one attempt at `check`.

    Return None for a check of the log, because `Pump` matches its lines as they come. Raises ServiceError if no
    attempt is possible: a variable is unset, or an address is malformed.
    """
    if check.form == "shell":
        return lambda: _command(("sh", "-c", check.target[0]), run)
    words = tuple(expand(word, variables) for word in check.target)
    target = words[0]
    if check.form == "exec":
        return lambda: _command(words, run)
    if check.form == "tcp":
        host, port = _address(target)
        return lambda: _tcp(host, port)
    if check.form == "unix":
        path = os.path.join(directory, target)
        check_socket_path(path)
        return lambda: _unix(path)
    if check.form == "http":
        host, port, path = _url(target)
        return lambda: _http(host, port, path)
    return None


def pattern(check: CheckSpec | None, variables: Mapping[str, str]) -> re.Pattern[bytes] | None:
    """Return the expression that a line of the log must match, or None if `check` is not a check of the log."""
    if check is None or check.form != "log":
        return None
    text = expand(check.target[0], variables)
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise ServiceError(f"the health check `{text}` is not a regular expression: {error}") from error


def local_port(check: CheckSpec | None, variables: Mapping[str, str]) -> int | None:
    """Return the port on this machine that `check` connects to, or None if it connects to none."""
    if check is None or check.form not in {"tcp", "http"}:
        return None
    target = expand(check.target[0], variables)
    host, port = _address(target) if check.form == "tcp" else _url(target)[:2]
    return port if host in _LOCAL else None


def _address(target: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\[[^\]]+\]|[^:/]+):(\d{1,5})", target)
    if match is None or not 0 < int(match[2]) < 1 << 16:
        raise ServiceError(f"the health check `{target}` is not an address", hint="write it as `host:port`")
    return match[1].strip("[]"), int(match[2])


def _url(target: str) -> tuple[str, int, str]:
    match = re.fullmatch(r"http://(\[[^\]]+\]|[^:/?#@]+)(?::(\d{1,5}))?([/?][^#]*)?(?:#.*)?", target)
    if match is None:
        hint = 'write it as `http://host:port/path`; for https use `test = "curl -fk https://…"`'
        raise ServiceError(f"the health check `{target}` is not an http URL", hint=hint)
    path = match[3] or "/"
    return match[1].strip("[]"), int(match[2] or 80), path if path.startswith("/") else f"/{path}"


async def _command(words: tuple[str, ...], run: Run) -> str | None:
    status, last_line = await run(words)
    if status == 0:
        return None
    command = words[-1] if words[:2] == ("sh", "-c") else " ".join(words)
    ending = f"exited with status {status}" + (f": {last_line}" if last_line else "")
    if status in _NOT_RUN:
        return NotRunnable(f"its command {_NOT_RUN[status]}: `{command}` {ending}")
    return f"`{command}` {ending}"


async def _tcp(host: str, port: int) -> str | None:
    connection = await _connect(host, port)
    if isinstance(connection, str):
        return connection
    connection.close()
    return None


async def _unix(path: str) -> str | None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, path)
        except OSError as error:
            return f"`{path}`: {_reason(error)}"
    return None


async def _http(host: str, port: int, path: str) -> str | None:
    connection = await _connect(host, port)
    if isinstance(connection, str):
        return connection
    loop = asyncio.get_running_loop()
    with connection:
        named = f"[{host}]" if ":" in host else host
        lines = (
            f"GET {path} HTTP/1.1",
            f"Host: {named}:{port}",
            "User-Agent: esker",
            "Accept: */*",
            "Connection: close",
        )
        answer = b""
        try:
            await loop.sock_sendall(connection, ("\r\n".join(lines) + "\r\n\r\n").encode())
            while b"\n" not in answer and len(answer) < _LINE and (data := await loop.sock_recv(connection, _LINE)):
                answer += data
        except OSError as error:
            return f"`{host}:{port}`: {_reason(error)}"
    status = re.match(rb"HTTP/1\.[01] (\d{3})(?: ([ -~]*))?", answer)
    if status is None:
        return f"`{host}:{port}` does not speak HTTP"
    if status[1].startswith((b"2", b"3")):
        return None
    return f"`http://{named}:{port}{path}` answered {status[1].decode()} {(status[2] or b'').decode()}".rstrip()


async def _connect(host: str, port: int) -> socket.socket | str:
    """Return a connection to the first address of `host` that accepts one, or a text that says why none did."""
    loop = asyncio.get_running_loop()
    if host == "localhost":
        hosts: tuple[str, ...] = _LOOPBACK  # asyncio's name lookup would start a thread
    elif re.fullmatch(r"[\d.]+|.*:.*", host):
        hosts = (host,)
    else:
        try:
            hosts = await _addresses(host)
        except OSError as error:
            return f"`{host}`: {_reason(error)}"
    reason = "no address"
    for address in hosts:
        connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, (address, port))
        except OSError as error:
            connection.close()
            reason = _reason(error)
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    return f"`{host}:{port}`: {reason}"


async def _addresses(host: str) -> tuple[str, ...]:
    """Return the addresses of a host, as the name service says.

    It is asked in a thread that nobody waits for: at its end, asyncio would wait for one of its own, and a name service
    that does not answer would keep the supervisor from ending.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[str, ...]] = loop.create_future()

    def tell(found: tuple[str, ...] | Exception) -> None:
        if answer.done():  # the check has taken too long
            return
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def ask() -> None:
        found: tuple[str, ...] | Exception
        try:
            found = tuple(str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:
            found = error
        with suppress(RuntimeError):  # the supervisor has ended
            loop.call_soon_threadsafe(tell, found)

    Thread(target=ask, daemon=True).start()
    return await answer


def _reason(error: OSError) -> str:
    # asyncio's text repeats the address, so we use strerror; but numbers of the name service's errors are not errnos.
    return str(error).lower() if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0).lower()
