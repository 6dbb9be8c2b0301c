"""npm's registries: which one a package comes from, as npm's configuration says, and what it offers there.

`npm_config_registry`, the project's `.npmrc` and the user's are read, in this order, as npm does. Logins are taken from
the user's file and from variables alone, and a project's file gets no variables: it may belong to a stranger. If none
of them names a registry, npm is asked for its own.
"""

from __future__ import annotations

import os
import posixpath
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from esker.errors import HostError, ImageError, NotFound
from esker.formats.npm import configuration, names
from esker.formats.npm import integrity as integrities
from esker.formats.untrusted import LARGEST, LARGEST_MANIFEST, json_value
from esker.formats.urls import redact
from esker.host import files
from esker.host.download import download
from esker.host.npm import npm_registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.formats.npm.integrity import Integrity

__all__ = ["NpmRegistries", "Offer"]

_OF_VARIABLES = "npm_config_"
_ABRIDGED = "application/vnd.npm.install-v1+json, application/json;q=0.5"


class Offer(NamedTuple):
    """A version of a package in a registry."""

    version: str
    url: str
    """Of its archive."""
    integrity: Integrity


class NpmRegistries:
    """The registries that npm's configuration names for a project."""

    def __init__(self, project: str, variables: Mapping[str, str], largest: int) -> None:
        self._variables = variables
        self._largest = largest
        given = {
            _key(name[len(_OF_VARIABLES) :]): value
            for name, value in variables.items()
            if name.lower().startswith(_OF_VARIABLES) and value
        }
        home = variables.get("HOME")
        own = given.get("userconfig") or (f"{home}/.npmrc" if home else None)
        user = _read(own, variables) if own else {}
        of_project = {
            key: value
            for key, value in _read(f"{project}/.npmrc", {}).items()
            if key == "registry" or key.endswith(":registry")
        }
        self._own = {**user, **given}
        self._registries = {**user, **of_project, **given}
        self._asked: str | None = None

    def configured(self, name: str) -> str | None:
        """Return the registry that files or variables name for a package; None if they name none."""
        scope = name.partition("/")[0] if name.startswith("@") else ""
        found = (self._registries.get(f"{scope}:registry") if scope else None) or self._registries.get("registry")
        return found.rstrip("/") if found else None

    def registry(self, name: str) -> str:
        """Return the registry of a package; raises NotFound if none is known."""
        found = self.configured(name) or self._asked or npm_registry(self._variables)
        if found is None:
            raise NotFound(
                f"no registry of npm is known for `{name}`",
                hint="write `registry=URL` into ~/.npmrc, set npm_config_registry, or install npm",
            )
        if not self.configured(name):
            self._asked = found
        return found.rstrip("/")

    def offer(self, name: str, wanted: str, directory: str) -> Offer:
        """Return what the registry has under a version or a tag; `directory` is for files. Raises ImageError."""
        registry = self.registry(name)
        url = f"{registry}/{quote(name, safe='@')}"
        path = f"{directory}/package.json"
        try:
            self.fetch(url, path, largest=LARGEST, accept=_ABRIDGED, safe=True)
        except HostError as error:
            if getattr(error.__cause__, "code", None) != HTTPStatus.NOT_FOUND:
                raise
            raise ImageError(
                f"`{redact(registry)}` has no package `{name}`",
                hint="correct its name; if another registry has it, name that one in .npmrc, and a login in ~/.npmrc",
            ) from error
        try:
            value: Any = json_value(files.read(path, limit=LARGEST))
            os.unlink(path)
            version = value["dist-tags"].get(wanted) or wanted
            described = value["versions"].get(version)
            if described is None:
                raise ImageError(
                    f"`{redact(registry)}` has no `{name}@{wanted}`",
                    hint="correct the version, or take one of the tags that it has there: "
                    f"{', '.join(f'`{tag}`' for tag in sorted(value['dist-tags']))}",
                )
            dist = described["dist"]
            integrity = integrities.parse(str(dist.get("integrity") or "")) or _of_sha1(str(dist.get("shasum") or ""))
            if not names.is_version(version) or integrity is None:
                raise ValueError(f"`{name}@{version}` has no hash")  # noqa: TRY301
            return Offer(version, _at(registry, name, str(dist["tarball"])), integrity)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HostError(
                f"`{redact(url)}` is not what npm's registries answer: {error}", hint="check the registry in ~/.npmrc"
            ) from error

    def addresses(self, name: str, version: str, resolved: str) -> list[str]:
        """Return where the archive of a locked package may lie: at the configured registry, then as the lock says."""
        known = self.configured(name)
        if known is None and not resolved:
            known = self.registry(name)
        usual = [f"{known}/{name}/-/{posixpath.basename(name)}-{version}.tgz"] if known else []
        return [*usual, *([resolved] if resolved and resolved not in usual else [])]

    def fetch(
        self, url: str, path: str, *, largest: int | None = None, accept: str = "*/*", safe: bool = False
    ) -> None:
        """Write what an address of a registry leads to into a new file, with the login for it; raises HostError.

        With `safe`, or with a login, nobody on the way may be able to read or change it.
        """
        login = configuration.authorization(url, self._own)
        headers = {"Accept": accept, **({"Authorization": login} if login else {})}
        download(url, path, headers=headers, largest=largest or self._largest, safe=safe or login is not None)


def _key(name: str) -> str:
    """Return the key of a variable's name, whose letters may be capitals; those of a login stand in an address."""
    return name if name.startswith("//") else name.lower()


def _read(path: str, variables: Mapping[str, str]) -> dict[str, str]:
    if not os.path.isfile(path):
        return {}
    text = files.read(path, limit=LARGEST_MANIFEST).decode(errors="replace")
    return configuration.parse(text, variables)


def _of_sha1(text: str) -> Integrity | None:
    import base64
    import binascii

    try:
        return integrities.parse(f"sha1-{base64.b64encode(binascii.unhexlify(text)).decode()}")
    except (binascii.Error, ValueError):
        return None


def _at(registry: str, name: str, url: str) -> str:
    """Return the address of an archive at the registry that was asked: a mirror may give the address of another one."""
    parts, own = urlsplit(url), urlsplit(registry)
    if parts.scheme not in {"https", "http"}:
        raise ValueError(f"the archive of `{name}` is at `{parts.scheme}:`")
    if (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
        return url
    marker = f"/{name}/-/"
    if marker in parts.path:
        return f"{registry}{marker}{parts.path.rpartition(marker)[2]}"
    return urlunsplit(parts)
