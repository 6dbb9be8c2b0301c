"""The base that a project names: pulled by its digest, and what is known of its files.

Its documents and layers are kept among the blobs of this machine, and what its files told in a file beside them, so
that an unchanged base is neither asked for nor read again.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from esker.errors import ImageError, NotFound
from esker.formats.oci import reference as references
from esker.formats.oci.documents import canonical
from esker.formats.oci.reference import Reference
from esker.host import files
from esker.progress import reporting
from esker.ship.base.facts import BaseFacts
from esker.ship.base.reading import RECIPE, read_base
from esker.ship.image.bases import Kept, Stored, base_from
from esker.ship.image.registry.client import Registry
from esker.ship.image.registry.credentials import credentials_of
from esker.ship.image.registry.pull import fetch_layers, pull_base
from esker.ship.image.registry.repository import Repository
from esker.ship.image.stored import ArchiveSource, LayoutSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from esker.formats.oci.documents import Descriptor
    from esker.formats.oci.platform import Platform
    from esker.progress import Progress
    from esker.ship.image.blobs import Blobs
    from esker.ship.image.image import Base

__all__ = ["PulledBase", "pulled_base"]

_OWN = "/opt/esker"
_LARGEST_FACTS = 256 << 20


class PulledBase(NamedTuple):
    """A base, and what is known of its files."""

    name: str
    """As the project writes it."""
    image: Base
    facts: BaseFacts

    @property
    def env(self) -> Mapping[str, str]:
        """Its variables."""
        return self.image.config.env

    @property
    def user(self) -> str:
        """The user that it runs as; empty if it names none."""
        return str(self.image.config.settings.get("User") or "")

    def without(self, names: Sequence[str]) -> Base:
        """Return the base without some of its variables."""
        settings = self.image.config.settings
        lines = [line for line in settings.get("Env") or () if line.partition("=")[0] not in names]
        return self.image._replace(config=self.image.config._replace(settings={**settings, "Env": lines}))


def pulled_base(  # what a project says, and what it is pulled with
    name: str,
    python: str | None,
    project: str,
    platform: Platform,
    blobs: Blobs,
    variables: Mapping[str, str],
    progress: Progress,
) -> PulledBase:
    """Return the base of a name, such as `registry.example/base@sha256:…`, for a platform.

    `python` is the interpreter of it that is stated, `project` the directory that a path begins at; logins are those of
    a user with these `variables`. Raises NotFound for a path that is not there, and what pulling and reading raise.
    """
    base = _base(name, project, platform, blobs, variables)
    key = canonical([RECIPE, base.reference.digest, platform.system, python or ""])
    path = f"{os.path.dirname(blobs.directory)}/bases/{hashlib.sha256(key).hexdigest()}.json"
    facts = _kept(path)
    if facts is None:
        with reporting(progress) as listener:
            if missing := [each for each in base.layers if not blobs.has(each)]:
                listener.begin(f"Fetching {base.reference.name}")
                base.fetch(blobs, missing)
            facts = read_base(base, blobs, platform.system, python, listener)
        with files.refused("write", path, ImageError):
            files.make_directory(os.path.dirname(path), mode=0o700)
            files.write(path, msgspec.json.encode(facts))
    _refuse_ours(name, facts)
    return PulledBase(name, base, facts)


def _base(name: str, project: str, platform: Platform, blobs: Blobs, variables: Mapping[str, str]) -> Base:
    if name.startswith(("./", "../")):
        place, _, digest = name.rpartition("@")
        path = os.path.normpath(f"{project}/{place}")
        if not os.path.exists(path):
            hint = "name a directory with an OCI layout, or an archive of one; or an image in a registry"
            raise NotFound(f"there is no `{place}`, which `from` of [plugins.esker.image] names", hint=hint)
        source = LayoutSource(path) if os.path.isdir(path) else ArchiveSource(path)
        return base_from(Kept(Stored(source), blobs), Reference("", "base", digest=digest), platform)
    reference = references.parse(name)
    credentials = credentials_of(variables)

    def fetch(blobs: Blobs, layers: Sequence[Descriptor]) -> None:
        with Registry(reference.registry, credentials) as registry:
            fetch_layers(Repository(registry, reference.path), blobs, layers)

    with Registry(reference.registry, credentials) as registry:
        return pull_base(reference, platform, registry, blobs)._replace(fetch=fetch)


def _kept(path: str) -> BaseFacts | None:
    """Return what was found before, or None: whatever cannot be read is found again."""
    if not os.path.exists(path):
        return None
    try:
        return msgspec.json.decode(files.read(path, limit=_LARGEST_FACTS, error=ImageError), type=BaseFacts)
    except (msgspec.MsgspecError, ImageError):
        return None


def _refuse_ours(name: str, facts: BaseFacts) -> None:
    """Raise ImageError for a base in which our packages would mix with others, or lie where a link leads."""
    if facts.is_there(_OWN) or facts.place(f"{_OWN}/x") != f"{_OWN}/x":
        raise ImageError(
            f"the base `{name}` has something at `{_OWN}`, where the packages of this image lie",
            hint="take a base that Esker has not made",
        )
