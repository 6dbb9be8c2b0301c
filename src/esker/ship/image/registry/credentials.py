"""The credentials that `docker login` has kept: in its `config.json`, or with a program that is named there.

    {"auths": {"registry.example": {"auth": "base64 of USER:PASSWORD", "identitytoken": "…"}},
     "credHelpers": {"registry.example": "NAME"}, "credsStore": "NAME"}

The program is `docker-credential-NAME`. It is run with `get`, reads the registry from its standard input, and answers
with JSON: `Username` and `Secret`. The user name `<token>` means that the secret is an identity token, which is not a
password but can be exchanged for one.

Specification: Docker's reference of the command line, "Credential store" and "Credential helpers". Oddities: a registry
may stand there as an address (`https://registry.example/v1/`); a helper says in a text on its standard output, with
status 1, that it has no credentials.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import CommandFailed, InvalidFile, Problem
from esker.formats.untrusted import json_value
from esker.formats.urls import redact
from esker.host import files
from esker.host.process import find_program, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Credentials", "Login", "credentials_of", "find_login"]

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TOKEN_USER = "<token>"  # noqa: S105  # the word for "no user"
_PATIENCE = 60
"""Seconds: a helper may ask a person."""


class Login(NamedTuple):
    """What a registry is told; secret."""

    user: str
    password: str
    identity_token: str = ""

    @property
    def basic(self) -> str:
        """The value of the header that names user and password."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"

    def __repr__(self) -> str:
        return f"Login({self.user!r}, …)"


class Credentials(NamedTuple):
    """Where credentials are looked for."""

    file: str
    """Docker's config.json; it need not exist."""
    variables: Mapping[str, str]
    """What helpers are run with, as their PATH."""


def credentials_of(variables: Mapping[str, str]) -> Credentials:
    """Return where the user with these variables has logins: DOCKER_CONFIG, or `~/.docker`."""
    directory = variables.get("DOCKER_CONFIG") or f"{variables.get('HOME') or '/'}/.docker"
    return Credentials(f"{directory}/config.json", variables)


def find_login(registry: str, credentials: Credentials) -> Login | None:
    """Return the login for a registry, or None; raises InvalidFile, and CommandFailed if a helper fails."""
    config = _read(credentials.file)
    helper = config.get("credHelpers", {}).get(registry) or config.get("credsStore")
    if isinstance(helper, str) and helper:
        return _from_helper(helper, registry, credentials)
    for name, entry in config.get("auths", {}).items():
        if _host(name) == registry and isinstance(entry, dict):
            return _from_entry(entry, name, credentials.file)
    return None


def _host(name: str) -> str:
    return re.sub(r"^https?://", "", name).partition("/")[0]


def _read(path: str) -> dict[str, Any]:
    if not os.path.exists(path):
        return {}
    try:
        value = json_value(files.read(path))
    except ValueError as error:
        raise _invalid(path, f"not JSON: {error}") from error
    if not isinstance(value, dict) or not all(isinstance(value.get(key, {}), dict) for key in ("auths", "credHelpers")):
        raise _invalid(path, "`auths` and `credHelpers` are not tables")
    return value


def _invalid(path: str, message: str) -> InvalidFile:
    return InvalidFile(path, [Problem(message, hint="log in again: docker login REGISTRY")])


def _from_entry(entry: Mapping[str, Any], name: str, path: str) -> Login | None:
    encoded, token = entry.get("auth") or "", entry.get("identitytoken") or ""
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().rstrip("\0").partition(":")
    except (binascii.Error, ValueError, TypeError) as error:
        raise _invalid(path, f"the login for `{name}` is not as `docker login` writes it") from error
    if not colon and not token:
        return None
    return Login(user, password, token if isinstance(token, str) else "")


def _from_helper(helper: str, registry: str, credentials: Credentials) -> Login | None:
    if not _HELPER.fullmatch(helper):
        raise _invalid(credentials.file, f"`{helper}` is not the name of a helper for credentials")
    program = f"docker-credential-{helper}"
    if find_program(program, credentials.variables.get("PATH")) is None:
        raise _invalid(credentials.file, f"the helper for credentials, `{program}`, is not on PATH")
    done = run([program, "get"], environ=credentials.variables, stdin=registry, timeout=_PATIENCE, check=False)
    if done.returncode != 0:
        reason = redact((done.stderr or done.stdout).strip())
        if "credentials not found" in reason.lower():
            return None
        hint = f"log in again: docker login {registry}"
        raise CommandFailed(f"`{program}` failed: {reason}", status=done.returncode, output=reason, hint=hint)
    try:
        answer = json.loads(done.stdout)
        user, secret = answer["Username"], answer["Secret"]
        if not isinstance(user, str) or not isinstance(secret, str):
            raise TypeError  # noqa: TRY301
    except (ValueError, KeyError, TypeError):
        raise _invalid(credentials.file, f"`{program}` answers with something that is no login") from None
    return Login("", "", secret) if user == _TOKEN_USER else Login(user, secret)
