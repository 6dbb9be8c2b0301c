"""Downloads of single files whose hash somebody else checks."""

from __future__ import annotations

from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit

from esker.errors import HostError
from esker.formats.urls import redact
from esker.host.http import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.request import OpenerDirector

__all__ = ["download", "is_safe"]

_PATIENCE = 60
"""Seconds without a byte."""
_CHUNK = 1 << 20


def is_safe(url: str) -> bool:
    """Return whether nobody on the way can change what an address gives: https, or this machine itself.

    >>> is_safe("https://files.example/a"), is_safe("http://127.0.0.1:80/a"), is_safe("http://files.example/a")
    (True, True, False)
    """
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def download(
    url: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    largest: int | None = None,
    safe: bool = False,
) -> None:
    """Write what `url` (https or http, it may hold credentials) leads to into a new file; raises HostError.

    The file may have `largest` bytes. With `safe` neither the address nor a redirect may be one that is not `is_safe`.
    The `headers` are not sent to where a redirect leads.
    """
    import base64
    from urllib.request import Request

    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"}:
        raise HostError(f"`{redact(url)}` cannot be downloaded: only https and http can")
    if safe and not is_safe(url):
        raise HostError(
            f"`{redact(url)}` cannot be downloaded: by http, anybody on the way could send another file",
            hint="use https; for a file of an image, state its `sha256`",
        )
    account, at, host = parts.netloc.rpartition("@")
    request = Request(urlunsplit((parts.scheme, host, parts.path, parts.query, "")))  # noqa: S310  # checked above
    for name, value in (headers or {}).items():
        request.add_unredirected_header(name, value)
    if at:
        request.add_unredirected_header(
            "Authorization", f"Basic {base64.b64encode(unquote(account).encode()).decode()}"
        )
    try:
        with _opener(safe=safe).open(request, timeout=_PATIENCE) as answer, open(path, "xb") as file:
            size = 0
            while data := answer.read(_CHUNK):
                size += len(data)
                if largest is not None and size > largest:
                    raise OSError(f"it has more than {largest} bytes")  # noqa: TRY301  # told like other failures
                file.write(data)
            if answer.length:  # a file of which some is missing would be locked as it is
                raise HTTPException(f"it ended {answer.length} bytes early")  # noqa: TRY301  # as above
    except (URLError, OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        reason = getattr(error, "reason", None) or error
        raise HostError(
            f"`{redact(url)}` could not be downloaded: {redact(str(reason))}",
            hint="check the address, the network and the proxy (HTTPS_PROXY)",
        ) from error


def _opener(*, safe: bool) -> OpenerDirector:
    import ssl
    from urllib.request import HTTPRedirectHandler, HTTPSHandler, build_opener

    from esker.host.certificates import certificate_bundle

    class Redirects(HTTPRedirectHandler):
        def redirect_request(self, *arguments: Any) -> Any:
            if safe and not is_safe(arguments[-1]):
                raise URLError("it leads to http, where anybody on the way could send another file")
            return super().redirect_request(*arguments)

    context = ssl.create_default_context(cafile=certificate_bundle())
    return build_opener(HTTPSHandler(context=context), Redirects())
