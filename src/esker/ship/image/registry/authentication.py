"""How a registry lets somebody in: what it asks for in WWW-Authenticate, and the tokens that are got for it.

A registry that wants to know who asks answers with 401 and `Bearer realm="…",service="…",scope="…"`, or with `Basic`.
For `Bearer` one asks the realm for a token, with the user and password of the registry, or without them as anybody. A
login with an identity token exchanges that for a token.

Specification: "Token Authentication Specification" and "OAuth2 Token Authentication" of the distribution project.
Oddities: the token is called `token` or `access_token`; the realm is another host, so credentials are sent to it only
over https, or on this machine.
"""

from __future__ import annotations

import json
import re
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from esker.errors import RegistryError
from esker.formats.untrusted import json_value
from esker.host.http import Answer, Connection, is_loopback
from esker.ship.image.registry.credentials import find_login

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.ship.image.registry.credentials import Credentials, Login

__all__ = ["Authentication"]

_CHALLENGE = re.compile(r"(?P<scheme>Bearer|Basic)\b\s*(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(r'([A-Za-z_]+)="((?:[^"\\]|\\.)*)"')
_CLIENT = "esker"
_OK = 200
_REFUSED = (401, 403)


class Authentication:
    """What one registry has been told, and what it may be told."""

    def __init__(self, registry: str, credentials: Credentials) -> None:
        self._registry = registry
        self._credentials = credentials
        self._lock = Lock()
        self._looked_up = False
        self._login: Login | None = None
        self._values: dict[str, str] = {}
        """The header's value for each scope that was asked for."""

    def header(self, scope: str) -> dict[str, str]:
        """Return the header for requests of a scope, as far as the registry has asked for one."""
        value = self._values.get(scope)
        return {"Authorization": value} if value else {}

    def answer(self, challenge: str, scope: str, used: Mapping[str, str]) -> bool:
        """Get what the challenge of a 401 asks for; return whether there is something new to try.

        `used` is the header that was refused. Raises RegistryError and HostError.
        """
        with self._lock:
            current = self.header(scope)
            if current and current != used:
                return True  # another thread has got it meanwhile
            match = _CHALLENGE.search(challenge)
            if match is None:
                return False
            login = self._find_login()
            if match["scheme"].lower() == "basic":
                value = login.basic if login else ""
            else:
                value = self._token(
                    {name.lower(): text for name, text in _PARAMETER.findall(match["rest"])}, scope, login
                )
            if not value or {"Authorization": value} == current:
                return False
            self._values[scope] = value
            return True

    @property
    def is_logged_in(self) -> bool:
        """Whether this user has a login for the registry."""
        with self._lock:
            return self._find_login() is not None

    def _find_login(self) -> Login | None:
        if not self._looked_up:
            self._login = find_login(self._registry, self._credentials)
            self._looked_up = True
        return self._login

    def _token(self, parameters: Mapping[str, str], scope: str, login: Login | None) -> str:
        try:
            realm = urlsplit(parameters.get("realm", ""))
        except ValueError:
            realm = urlsplit("")
        if realm.scheme not in {"http", "https"} or not realm.hostname:
            raise self._error("it names no address where a token is to be had")
        if login and realm.scheme != "https" and not is_loopback(realm.hostname):
            raise self._error(f"the login would be sent to `{realm.hostname}` without encryption")
        fields = {"service": parameters.get("service", ""), "scope": scope or parameters.get("scope", "")}
        with Connection(f"{realm.scheme}://{realm.netloc.rpartition('@')[2]}") as connection:
            answer = self._ask(connection, realm.path or "/", realm.query, fields, login)
        if answer.status in _REFUSED:
            hint = f"log in again: docker login {self._registry}" if login else f"docker login {self._registry}"
            raise RegistryError(
                f"`{self._registry}` lets nobody in with this login" if login else f"`{self._registry}` wants a login",
                hint=hint,
                status=answer.status,
            )
        return f"Bearer {self._token_in(answer)}"

    def _ask(
        self, connection: Connection, path: str, query: str, fields: Mapping[str, str], login: Login | None
    ) -> Answer:
        if login and login.identity_token:
            form = {
                **fields,
                "grant_type": "refresh_token",
                "client_id": _CLIENT,
                "refresh_token": login.identity_token,
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return connection.request("POST", path, headers, urlencode(form).encode())
        pairs = [(name, value) for name, value in fields.items() if value and name != "scope"]
        pairs += [("scope", each) for each in fields["scope"].split(" ") if each]
        target = "?".join(filter(None, (path, "&".join(filter(None, (query, urlencode(pairs)))))))
        return connection.request("GET", target, {"Authorization": login.basic} if login else {})

    def _token_in(self, answer: Answer) -> str:
        try:
            if answer.status != _OK:
                raise ValueError(f"status {answer.status}")  # noqa: TRY301
            value = json_value(answer.body)
            token = value.get("token") or value.get("access_token")
            if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
                raise ValueError("it holds no token")  # noqa: TRY301
        except (ValueError, AttributeError, json.JSONDecodeError) as error:
            raise self._error(f"no token was to be had: {error}") from error
        return token

    def _error(self, reason: str) -> RegistryError:
        return RegistryError(f"`{self._registry}` cannot be asked: {reason}", hint="tell those who run the registry")
