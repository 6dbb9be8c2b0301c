"""Where the declared services of an environment are: ports, sockets, and the URLs that its variables hold.

All of it follows from the declaration and from the ports of the checkout, so it is the same whether services run or
not, and nothing of the project runs for it. What only bash can expand is left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from esker.activate.expansion import expanded, needs_bash
from esker.formats.references import references, vars_in_order
from esker.formats.urls import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from dataclasses import dataclass, field

    from esker.declare.declaration import Declaration, ServiceTable
else:
    from esker.host.frozen_dataclass import dataclass, field

__all__ = ["Address", "Published", "addresses", "container_ports", "declared_variables", "url_without_secrets"]

_WITH_USERS = re.compile(r"(postgres(ql)?|mysql|mariadb|mongodb|redis|rediss|valkey|valkeys|amqps?|nats)(\+\w+)?")
"""Schemes of servers where a user without a password is no secret; elsewhere it may be a token."""
_SECRET = re.compile(r"pass|pwd|secret|token|key|auth|cred|sig", re.IGNORECASE)
_HARMLESS = {"passfile"}
"""Parameters that only look like a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where one service is."""

    service: str
    host: str | None = None
    """Where it listens for TCP, as far as variables and health check say."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Ports by their variables."""
    sockets: tuple[str, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict)
    """URLs by their variables, without secrets."""


class Published(NamedTuple):
    """Where a service in a container is published."""

    ports: Mapping[str, int]
    """Ports by the variable that names one, else by the container's own port, such as `5432/tcp`."""
    host: str | None = None


def declared_variables(
    declaration: Declaration, base: Mapping[str, str], unknown: Iterable[str] = ()
) -> dict[str, str]:
    """Return `base` with the `[vars]` of the manifest.

    Those that need bash are left out, and those that refer to such a variable, or to one of the `unknown`.
    """
    left_out = set(unknown)
    variables = {name: value for name, value in base.items() if name not in left_out}
    for name, text in vars_in_order(declaration.manifest.vars or {}):
        if needs_bash(text) or not left_out.isdisjoint(references(text)):
            left_out.add(name)
            variables.pop(name, None)
        else:
            variables[name] = expanded(text, variables)
    return variables


def container_ports(declaration: Declaration) -> dict[str, tuple[str, ...]]:
    """Return the variables that name ports of containers, by the service; a declaration does not say these ports."""
    compose = declaration.esker.compose
    return {name: tuple(table.ports) for name, table in compose.tables.items()} if compose else {}


def addresses(
    declaration: Declaration,
    system: str,
    ports: Mapping[str, int],
    variables: Mapping[str, str],
    containers: Mapping[str, Published] | None = None,
) -> tuple[Address, ...]:
    """Return where each service for `system` is, sorted by name; a oneshot without ports is nowhere.

    `ports` are all ports that are known by their variables, and `variables` come from `declared_variables`.
    `containers` says where the services in containers are published.
    """
    texts = dict(declaration.manifest.vars or {})
    urls = {name: url for name in texts if name in variables and (url := _url(variables[name]))}
    named = {name: tuple(table.ports) for name, table in declaration.esker.services.items()}
    named |= container_ports(declaration)
    found = []
    for name in sorted({*declaration.services_for(system), *container_ports(declaration), *(containers or {})}):
        table = declaration.esker.services.get(name)
        if containers is not None and name in containers:
            found.append(_address(name, table, containers[name].ports, urls, texts, variables, containers[name].host))
            continue
        own = {variable: ports[variable] for variable in named.get(name, ()) if variable in ports}
        if own or table is None or table.type != "oneshot":
            found.append(_address(name, table, own, urls, texts, variables))
    return tuple(found)


def _address(
    name: str,
    table: ServiceTable | None,
    ports: Mapping[str, int],
    urls: Mapping[str, SplitResult],
    texts: Mapping[str, str],
    variables: Mapping[str, str],
    published_at: str | None = None,
) -> Address:
    check = table.healthcheck if table else None
    checked = expanded(check.unix, variables) if check and check.unix and not needs_bash(check.unix) else None
    own = {
        variable: url
        for variable, url in urls.items()
        if ports.keys() & _referred(variable, texts)
        or _port(url) in ports.values()
        or (checked is not None and checked in _sockets(url))
    }
    sockets = [checked] if checked else []
    sockets += [socket for url in own.values() for socket in _sockets(url)]
    directory = variables.get("PGHOST", "")
    if "PGPORT" in ports and directory.startswith("/"):
        sockets.append(f"{directory}/.s.PGSQL.{ports['PGPORT']}")
    hosts = [variables.get(f"{variable.removesuffix('PORT')}HOST") for variable in ports if variable.endswith("PORT")]
    hosts += [url.hostname for url in own.values()]
    form = (check.tcp and f"tcp://{check.tcp}") or check.http if check else None
    if form and not needs_bash(form) and (url := _url(expanded(form, variables))):
        hosts.append(url.hostname)
    hosts.append(published_at)
    return Address(
        service=name,
        host=next((host for host in hosts if host and not unquote(host).startswith("/")), None),
        ports=dict(ports),
        sockets=tuple(dict.fromkeys(sockets)),
        urls={variable: text for variable in own if (text := url_without_secrets(variables[variable]))},
    )


def _referred(variable: str, texts: Mapping[str, str]) -> set[str]:
    """Return the names of the variables that a value refers to, directly or through other values."""
    found: set[str] = set()
    pending = [variable]
    while pending:
        for name in references(texts.get(pending.pop(), "")) - found:
            found.add(name)
            pending.append(name)
    return found


def _url(text: str) -> SplitResult | None:
    """Return the parts of a URL; None if the text is none, or none that can be taken apart without a doubt."""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return None
    is_url = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None and text.isprintable() and " " not in text
    # A password with an unescaped `/`, `?` or `#` would be taken for a part of the address.
    return url if is_url and "@" not in url.path + url.query + url.fragment else None


def _port(url: SplitResult) -> int | None:
    port = dict(parse_qsl(url.query)).get("port", "")
    return url.port or (int(port) if port.isascii() and port.isdecimal() else None)


def _sockets(url: SplitResult) -> Iterator[str]:
    """Yield the Unix sockets that a URL names, in the forms that clients of PostgreSQL, MySQL and Valkey read."""
    parameters = dict(parse_qsl(url.query))
    if url.scheme.startswith("postgres"):
        directory = parameters.get("host") or unquote(url.hostname or "")
        if directory.startswith("/"):
            yield f"{directory}/.s.PGSQL.{_port(url) or 5432}"
    elif url.scheme == "unix" or url.scheme.endswith("+unix"):
        yield url.path
    elif "unix_socket" in parameters:
        yield parameters["unix_socket"]


def url_without_secrets(text: str) -> str | None:
    """Return a URL without its password and other secrets; None if the text is no URL, or one that is doubtful.

    >>> url_without_secrets("postgresql://me:secret@localhost:5432/app?sslmode=require&password=x")
    'postgresql://me@localhost:5432/app?sslmode=require'
    >>> url_without_secrets("https://token@example.org/hook"), url_without_secrets("redis://:a/b@localhost")
    ('https://example.org/hook', None)
    """
    url = _url(text)
    if url is None:
        return None
    user = url.username if _WITH_USERS.fullmatch(url.scheme) else None
    address = url.netloc.rpartition("@")[2]
    query = urlencode(
        [(k, v) for k, v in parse_qsl(url.query, keep_blank_values=True) if k in _HARMLESS or not _SECRET.search(k)],
        safe="/",
        quote_via=quote,
    )
    shown = f"{user}@{address}" if user else address
    text = f"{url.scheme}://{shown}{url.path}{f'?{query}' if query else ''}"
    return text if user else redact(text)
