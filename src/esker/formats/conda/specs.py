"""What people write of conda packages: specs, channels and systems.

A spec is conda's MatchSpec: a name, then optionally a version and a build, as in `ruby 3.4.*`, `ruby>=3.4` or
`conda-forge::ruby`. Only its form is looked at here; the solver reads the rest.
"""

from __future__ import annotations

import re

from esker.formats.conda.subdirs import SUBDIRS

__all__ = ["has_credentials", "is_address", "package_of_spec", "system_of_subdir"]

_SPEC = re.compile(r"(?:[^\s\[\]]+::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]*)(?:[\s=<>!~\[].*)?")
_TOKEN = re.compile(r"/t/[^/]+/")


def package_of_spec(spec: str) -> str | None:
    """Return the name of the package that a spec asks for, in lower case; None if it has not the form of a spec.

    >>> package_of_spec("Ruby>=3.4"), package_of_spec("conda-forge::jq 1.7.*"), package_of_spec("*")
    ('ruby', 'jq', None)
    """
    match = _SPEC.fullmatch(spec)
    return match["name"].lower() if match else None


def is_address(text: str) -> bool:
    """Return whether a text is a URL or the path of a file, and not a name."""
    return "://" in text or text.startswith(("/", "./", "../", "~"))


def has_credentials(address: str) -> bool:
    """Return whether the address of a channel contains a user, a password or a token.

    >>> has_credentials("https://channels.example/t/abc/main"), has_credentials("https://channels.example/main")
    (True, False)
    """
    return bool(re.search(r"://[^/\s]*@", address) or _TOKEN.search(address + "/"))


def system_of_subdir(subdir: str) -> str | None:
    """Return the system whose packages are in a directory of a channel; None for `noarch` and unknown ones."""
    return next((system for system, name in SUBDIRS.items() if name == subdir), None)
