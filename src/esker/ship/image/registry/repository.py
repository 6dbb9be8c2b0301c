"""One repository of a registry: its manifests and blobs, each of which is checked when it comes."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from esker.errors import RegistryError
from esker.formats.oci.documents import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST, Descriptor, digest_of
from esker.host.http import FilePart
from esker.ship.image.blobs import check
from esker.ship.image.registry.client import AGAIN, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from esker.host.http import Answer
    from esker.ship.image.blobs import Blobs
    from esker.ship.image.registry.client import Registry

__all__ = ["Repository"]

_ACCEPT = {"Accept": f"{MANIFEST}, {INDEX}, {DOCKER_MANIFEST}, {DOCKER_INDEX}"}
_OK, _CREATED, _ACCEPTED, _NO_CONTENT, _MISSING, _TOO_LARGE = 200, 201, 202, 204, 404, 413
_LOST = (404, 416)
"""The registry knows nothing of an upload, or not how far it has come."""
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")
_BYTES = "application/octet-stream"
_SMALL = 8 << 20
"""Bytes of a blob that is sent in one request: more, and a connection that breaks loses too much."""
_PIECE = 32 << 20
"""Bytes of a piece where a registry, or a proxy before it, refuses the whole."""
_ATTEMPTS = 5


class Repository:
    """A repository of a registry, such as `team/app`."""

    def __init__(self, registry: Registry, path: str, *, push: bool = False) -> None:
        self.registry = registry
        self.path = path
        self._scope = f"repository:{path}:{'pull,push' if push else 'pull'}"

    def manifest(self, label: str) -> tuple[Descriptor, bytes] | None:
        """Return the manifest or index with this tag or digest; None if there is none.

        Raises CorruptedBlob if it does not have the digest that was asked for, and RegistryError.
        """
        answer = self._ask("GET", f"manifests/{label}", {_OK, _MISSING}, headers=_ACCEPT)
        if answer.status == _MISSING:
            return None
        media_type = answer.headers.get("content-type", "").partition(";")[0].strip()
        descriptor = Descriptor(media_type=media_type, digest=digest_of(answer.body), size=len(answer.body))
        if ":" in label:
            expected = Descriptor(media_type=media_type, digest=label, size=len(answer.body))
            check(expected, descriptor.digest, descriptor.size)
        return descriptor, answer.body

    def put_manifest(self, label: str, data: bytes, media_type: str) -> Answer:
        """Store a manifest or an index under a tag or its digest."""
        return self._ask("PUT", f"manifests/{label}", {_CREATED}, headers={"Content-Type": media_type}, body=data)

    def referrers(self, digest: str) -> bytes | None:
        """Return the index of what is attached to a manifest; None if the registry keeps no such lists."""
        answer = self._ask("GET", f"referrers/{digest}", {_OK, _MISSING}, headers={"Accept": INDEX})
        return answer.body if answer.status == _OK else None

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Return whether the repository has a blob in its size, as far as the registry tells the size."""
        answer = self._ask("HEAD", f"blobs/{descriptor.digest}", {_OK, _MISSING})
        return answer.status == _OK and answer.headers.get("content-length", "") in {"", "0", str(descriptor.size)}

    def blob(self, descriptor: Descriptor, take: Callable[[bytes], object], restart: Callable[[], object]) -> None:
        """Give a blob in pieces; the caller checks it."""
        self._ask("GET", f"blobs/{descriptor.digest}", {_OK}, take=take, restart=restart)

    def small_blob(self, descriptor: Descriptor) -> bytes:
        """Return a blob that fits into memory; raises CorruptedBlob."""
        data = self._ask("GET", f"blobs/{descriptor.digest}", {_OK}).body
        check(descriptor, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
        return data

    def mount(self, descriptor: Descriptor, source: str) -> str:
        """Have a blob of another repository here as well; return "" if that was done, else where to upload it."""
        query = urlencode({"mount": descriptor.digest, "from": source})
        answer = self._ask("POST", f"blobs/uploads/?{query}", {_CREATED, _ACCEPTED}, source=source)
        return "" if answer.status == _CREATED else self._location(answer)

    def upload(self, descriptor: Descriptor, blobs: Blobs, location: str = "") -> None:
        """Send a blob, to the place that `mount` gave or another one; raises RegistryError.

        Where the connection breaks, the registry is asked how much it has, and gets the rest. A registry that takes
        no large body gets pieces. A small blob goes in one request, because registries forget that one if it fails.
        """
        path = blobs.path(descriptor.digest)
        start, largest, failures = 0, descriptor.size, 0
        while True:
            try:
                location = location or self._begun()
                if descriptor.size <= _SMALL:
                    self._finish(location, descriptor, FilePart(path, 0, descriptor.size))
                    return
                while start < descriptor.size:
                    part = FilePart(path, start, min(largest, descriptor.size - start))
                    location = self._sent(location, part, is_whole=part.size == descriptor.size)
                    start += part.size
                self._finish(location, descriptor, b"")
            except RegistryError as error:
                failures += 1
                if error.status == _TOO_LARGE and largest > _PIECE:
                    largest = _PIECE
                elif failures == _ATTEMPTS or error.status not in {None, *AGAIN, *_LOST}:
                    raise
                else:
                    self.registry.wait(failures)
                location, start = self._progress(location) if descriptor.size > _SMALL else ("", 0)
            else:
                return

    def _begun(self) -> str:
        return self._location(self._ask("POST", "blobs/uploads/", {_ACCEPTED}))

    def _sent(self, location: str, part: FilePart, *, is_whole: bool) -> str:
        """Send a part, and return where the next one goes."""
        headers = {"Content-Type": _BYTES}
        if not is_whole:
            headers["Content-Range"] = f"{part.start}-{part.start + part.size - 1}"
        return self._location(self._ask("PATCH", location, {_ACCEPTED}, headers=headers, body=part, repeat=False))

    def _finish(self, location: str, descriptor: Descriptor, body: bytes | FilePart) -> None:
        """End an upload, whose digest the registry then compares."""
        target = f"{location}{'&' if '?' in location else '?'}digest={quote(descriptor.digest)}"
        self._ask("PUT", target, {_CREATED}, headers={"Content-Type": _BYTES}, body=body, repeat=False)

    def _progress(self, location: str) -> tuple[str, int]:
        """Return where an upload goes on, and how many bytes of it the registry has; it may begin anew."""
        if not location:
            return "", 0
        answer = self._ask("GET", location, {_OK, _NO_CONTENT, *_LOST})
        match = _RANGE.fullmatch(answer.headers.get("range", ""))
        end = int(match[1]) if match else 0
        if answer.status in _LOST or not end:  # `0-0` is one byte, or none
            return "", 0
        return self._location(answer) if "location" in answer.headers else location, end + 1

    def _location(self, answer: Answer) -> str:
        location = answer.headers.get("location")
        if not location:
            raise RegistryError(
                f"`{self.registry.host}` does not say where to upload to", hint="tell those who run the registry"
            )
        return self.registry.address(f"{self.registry.origin}/v2/{self.path}/", location)

    def _ask(  # noqa: PLR0913  # the parts of a request
        self,
        method: str,
        target: str,
        expected: set[int],
        *,
        headers: dict[str, str] | None = None,
        body: bytes | FilePart | None = None,
        source: str = "",
        repeat: bool = True,
        take: Callable[[bytes], object] | None = None,
        restart: Callable[[], object] | None = None,
    ) -> Answer:
        address = target if "://" in target else f"/v2/{self.path}/{target}"
        scope = f"{self._scope} repository:{source}:pull" if source else self._scope
        request = Request(method, address, scope, headers or {}, body)
        return self.registry.ask(request, expected, take=take, restart=restart, repeat=repeat)
