"""One repository of a registry: its manifests and blobs, each of which is checked when it comes."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urljoin

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

    def has_blob(self, descriptor: Descriptor) -> bool:
        """Return whether the repository has a blob."""
        return self._ask("HEAD", f"blobs/{descriptor.digest}", {_OK, _MISSING}).status == _OK

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
        no large body gets pieces.
        """
        path = blobs.path(descriptor.digest)
        start, largest, failures = 0, descriptor.size, 0
        while True:
            location = location or self._begun()
            size = min(largest, descriptor.size - start)
            last = start + size == descriptor.size
            try:
                answer = self._send(location, FilePart(path, start, size), descriptor if last else None)
            except RegistryError as error:
                failures += 1
                if error.status == _TOO_LARGE and largest > _PIECE:
                    largest = _PIECE
                elif failures == _ATTEMPTS or error.status not in {None, *AGAIN, *_LOST}:
                    raise
                else:
                    self.registry.wait(failures)
                location, start = ("", 0) if error.status in _LOST else self._progress(location)
                continue
            if last:
                return
            location, start = self._location(answer), start + size

    def _begun(self) -> str:
        return self._location(self._ask("POST", "blobs/uploads/", {_ACCEPTED}))

    def _send(self, location: str, part: FilePart, whole: Descriptor | None) -> Answer:
        """Send a part; with `whole` it is the last one, and the registry checks the digest of them all."""
        headers = {"Content-Type": "application/octet-stream"}
        if part.start or whole is None:
            headers["Content-Range"] = f"{part.start}-{part.start + part.size - 1}"
        if whole is None:
            return self._ask("PATCH", location, {_ACCEPTED}, headers=headers, body=part, repeat=False)
        target = f"{location}{'&' if '?' in location else '?'}digest={quote(whole.digest)}"
        return self._ask("PUT", target, {_CREATED}, headers=headers, body=part, repeat=False)

    def _progress(self, location: str) -> tuple[str, int]:
        """Return where an upload goes on, and how many bytes of it the registry has; it may begin anew."""
        answer = self._ask("GET", location, {_OK, _NO_CONTENT, *_LOST})
        match = _RANGE.fullmatch(answer.headers.get("range", ""))
        if answer.status in _LOST or match is None:
            return "", 0
        end = int(match[1])
        return self._location(answer) if "location" in answer.headers else location, end + 1 if end else 0

    def _location(self, answer: Answer) -> str:
        location = answer.headers.get("location")
        if not location:
            raise RegistryError(f"`{self.registry.host}` does not say where to upload to")
        return urljoin(f"{self.registry.origin}/v2/{self.path}/", location)

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
