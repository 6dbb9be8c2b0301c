"""The names of the layers that images have by themselves, which no layer of the manifest's table may have.

A large package lies alone, in a layer of its own name, such as `conda/openssl`; what is prepared is named by its place.
"""

from __future__ import annotations

import re

__all__ = ["APPLICATION", "CONFIGURATION", "ESKER", "base_layer", "is_taken", "small_packages"]

CONFIGURATION = "configuration"
"""The last layer but one: what joins the packages, and the files below `/etc`."""
APPLICATION = "application"
"""The last layer: the project's own files and the wheel that is built of it."""
ESKER = "esker"
"""Esker's own modules, which run services."""
_OF_PACKAGES = ("conda/", "esker/", "nix/", "pypi/", "/")
"""How the names of such layers begin."""
_SMALL, _BASE = "small packages", "base"
_TAKEN = re.compile(rf"{CONFIGURATION}|{APPLICATION}|{ESKER}|{_SMALL}(?: \d+)?|{_BASE} \d+")


def small_packages(number: int | None = None) -> str:
    """Return the name of the layer of all small packages, or of one of several, from 1 on."""
    return _SMALL if number is None else f"{_SMALL} {number}"


def base_layer(number: int) -> str:
    """Return the name of a layer of the base, from 1 on.

    >>> base_layer(1)
    'base 1'
    """
    return f"{_BASE} {number}"


def is_taken(name: str) -> bool:
    """Return whether an image may have a layer of this name by itself.

    >>> [is_taken(name) for name in ("small packages 2", "conda/openssl", "base")]
    [True, True, False]
    """
    return _TAKEN.fullmatch(name) is not None or name.startswith(_OF_PACKAGES)
