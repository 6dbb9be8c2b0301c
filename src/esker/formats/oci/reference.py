"""References: the names by which people, engines and registries call images, such as `registry.example/app:1.0`.

A reference is `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`. The first part is a host if it has a dot or a colon or is
`localhost`; without one the image belongs to the engine's own default registry. A tag has up to 128 letters, digits,
`_`, `.` and `-`; a digest is `sha256:` and 64 hexadecimal digits.

Specification: OCI distribution-spec v1.1, "Pulling manifests", and the grammar of Docker's references.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from esker.errors import Malformed

__all__ = ["Reference", "parse"]

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:)|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_TAG = re.compile(r":[^/]*$")
_LONGEST = 255
"""Characters of host and path together."""


class Reference(NamedTuple):
    """The name of an image."""

    registry: str
    """The host with its port; empty where none is given."""
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Host and path, without tag and digest."""
        return f"{self.registry}/{self.path}" if self.registry else self.path

    @property
    def label(self) -> str:
        """What a registry is asked for: the digest if there is one, else the tag, by default `latest`."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"


def parse(text: str) -> Reference:
    """Return the reference that a text is; raises Malformed.

    >>> parse("registry.example:5000/team/app:1.0")
    Reference(registry='registry.example:5000', path='team/app', tag='1.0', digest='')
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        reason = ": it has capital letters" if re.search(r"[A-Z]", _TAG.sub("", text.partition("@")[0])) else ""
        raise Malformed(f"`{text}` is not the name of an image{reason}", hint="write it as `registry.example/app:1.0`")
    reference = Reference(match["host"] or "", match["path"], match["tag"] or "", match["digest"] or "")
    try:
        _ = urlsplit(f"//{reference.registry}").port
    except ValueError as error:
        raise Malformed(
            f"`{reference.registry}` in `{text}` is not the name of a host: {error}",
            hint="write it as `registry.example` or `registry.example:5000`",
        ) from error
    if len(reference.name) > _LONGEST:
        raise Malformed(f"the name of an image has more than {_LONGEST} characters: `{text[:60]}…`")
    return reference
