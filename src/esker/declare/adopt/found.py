"""What one file of a project declares, and what has to be left out of it.

The files are untrusted: anything may stand in them. So each value is checked by the notation that the manifest has for
it, before it counts as found, and a text that may hold a password is never taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from esker.declare import notations
from esker.formats.tables.reader import Refusal
from esker.formats.tables.shapes import near
from esker.formats.urls import redact

__all__ = [
    "Found",
    "NotTaken",
    "Project",
    "Read",
    "Spec",
    "Unreadable",
    "conda_spec",
    "has_credentials",
    "left_out",
    "limited",
    "misspelt",
    "wheel",
]

Read = Callable[[str], str]
"""Returns the text of a file of the project, given by its path there; raises Unreadable."""

_MOST = 1000
_LARGEST = 32 << 10
_SHOWN = 60
_ACCOUNT = re.compile(r"ssh://[^/\s:@]*@")


class Unreadable(Exception):
    """A file cannot be read; the text says why, as the end of a sentence."""


class NotTaken(Exception):
    """A value has no place in a manifest; the text says why, as the end of a sentence."""


class Spec(NamedTuple):
    """A conda package that a file asks for."""

    text: str
    systems: tuple[str, ...] | None = None
    """The systems that need it; None means all."""


class Project(NamedTuple):
    """A pyproject.toml that lists its dependencies."""

    groups: tuple[str, ...]
    """The dependency groups to install."""
    names: frozenset[str]
    """Normalised names of the packages it lists."""


class Found(NamedTuple):
    """What one file declares."""

    file: str
    """Its path in the project."""
    included: tuple[str, ...] = ()
    """The files that it refers to, and that were read with it."""
    project: Project | None = None
    requirements: tuple[str, ...] = ()
    """PEP 508."""
    python: str | None = None
    """A PEP 440 specifier of the interpreter."""
    specs: tuple[Spec, ...] = ()
    channels: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    machine: Mapping[str, str] = MappingProxyType({})
    """What every machine has at least, by the keys of `system-requirements`."""
    services: Mapping[str, str] = MappingProxyType({})
    """Command lines by name."""
    variables: Mapping[str, str] = MappingProxyType({})
    """Plain values by name."""
    left_out: tuple[str, ...] = ()
    """What was not taken, each as a line that begins with the file."""

    @property
    def declares(self) -> bool:
        """Whether there is anything to take."""
        packages = self.project or self.requirements or self.python or self.specs
        return bool(packages or self.services or self.systems or self.variables)


def left_out(place: str, value: str, reason: object) -> str:
    """Return the line that tells of a value which was not taken: its beginning, without credentials, and the reason."""
    shown = redact(" ".join(value.split()))
    return f"{place}: `{shown[:_SHOWN]}{'…' if len(shown) > _SHOWN else ''}` is left out: {reason}"


def misspelt(place: str, path: str, names: Iterable[str], present: Container[str] = ()) -> str | None:
    """Return the line about a key that means nothing but is almost one of `names`, or None if it is none of these.

    What is among the `present` keys was not meant.
    """
    hint = near(path.strip("[]").rpartition(".")[2], [name for name in names if name not in present], closeness=0.8)
    return left_out(place, path, hint) if hint is not None else None


def limited(found: Found) -> Found:
    """Return what was found, or nothing of it if that is more than a manifest is for."""
    texts = (*found.requirements, *(spec.text for spec in found.specs), *found.services, *found.services.values())
    texts += (*found.channels, *found.machine.values(), *found.variables, *found.variables.values())
    if len(texts) <= _MOST and sum(len(text.encode()) for text in texts) <= _LARGEST:
        return found
    reason = f"it declares more than {_MOST} things, or more than {_LARGEST >> 10} KiB of them"
    return Found(found.file, left_out=(f"{found.file} is left out: {reason}",))


def has_credentials(text: str) -> bool:
    """Return whether a text holds an address with a user and perhaps a password; the account of ssh is none."""
    return redact(plain := _ACCOUNT.sub("ssh://", text)) != plain


def wheel(text: str) -> str:
    """Return a PEP 508 requirement; raises NotTaken."""
    if has_credentials(text):
        raise NotTaken("its address contains credentials, which do not belong in a manifest")
    if re.search(r"://\S*\?", text):
        raise NotTaken("its address has a query, which may be a secret")
    if not text.isprintable():
        raise NotTaken("it has characters that cannot be shown")
    try:
        requirement = notations.requirement(text)
    except Refusal as refusal:
        raise NotTaken("it is not the requirement of a package") from refusal
    if re.search(r"@\s*(?:file:|[./~])", requirement):
        raise NotTaken("it is a path on one machine")
    return requirement


def conda_spec(text: str) -> str:
    """Return a conda spec; raises NotTaken."""
    if text.strip().startswith("__"):
        raise NotTaken("it is a property of the machine, not a package")
    try:
        return notations.match_spec(text)
    except Refusal as refusal:
        raise NotTaken("it is not the spec of a conda package") from refusal
