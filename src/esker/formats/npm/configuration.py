"""npm's configuration: lines `KEY = VALUE` of `.npmrc`, in which `${NAME}` stands for a variable.

Comments begin with `;` or `#`, and values may be quoted. `@scope:registry` names the registry of a scope. A key such as
`//registry.example/npm/:_authToken` has a login for addresses that begin so. Documentation: `npmrc` of npm.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["authorization", "parse"]

_VARIABLE = re.compile(r"(?<!\\)\$\{([^${}?]+)(\?)?\}")


def parse(text: str, variables: Mapping[str, str]) -> dict[str, str]:
    r"""Return the values of a file by their keys; a variable that is not set stays as it is written.

    >>> parse("registry = https://npm.example/ ; a comment\n;x=y\n//npm.example/:_authToken=${T}", {"T": "t"})
    {'registry': 'https://npm.example/', '//npm.example/:_authToken': 't'}
    """
    found = {}
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not key or key[0] in ";#[":
            continue
        value = re.split(r"\s[;#]", value, maxsplit=1)[0].strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[key] = _VARIABLE.sub(lambda match: variables.get(match[1], "" if match[2] else match[0]), value)
    return found


def authorization(url: str, configuration: Mapping[str, str]) -> str | None:
    """Return the header with the login for an address; None if the configuration has none for it.

    >>> authorization("https://npm.example/a/-/a.tgz", {"//npm.example/:_authToken": "t"})
    'Bearer t'
    >>> authorization("https://npm.example.evil/a", {"//npm.example/:_authToken": "t"}) is None
    True
    """
    parts = urlsplit(url)
    path = parts.path
    while True:
        path = path.rpartition("/")[0]
        for prefix in (f"//{parts.netloc}{path}/", f"//{parts.netloc}{path}"):
            if token := configuration.get(f"{prefix}:_authToken"):
                return f"Bearer {token}"
            if account := configuration.get(f"{prefix}:_auth"):
                return f"Basic {account}"
            if (name := configuration.get(f"{prefix}:username")) and (
                secret := configuration.get(f"{prefix}:_password")
            ):
                return _basic(name, secret)
        if not path:
            return None


def _basic(name: str, secret: str) -> str | None:
    try:
        password = base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        return None
    return f"Basic {base64.b64encode(name.encode() + b':' + password).decode()}"
