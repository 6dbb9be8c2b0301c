"""Downloads of single files whose hash somebody else checks."""

from __future__ import annotations

import shutil
from http.client import HTTPException
from urllib.error import URLError
from urllib.parse import unquote, urlsplit, urlunsplit

from esker.errors import HostError
from esker.formats.urls import redact

__all__ = ["download"]

_PATIENCE = 60
"""Seconds without a byte."""


def download(url: str, path: str) -> None:
    """Write what `url` (https or http, it may hold credentials) leads to into a new file; raises HostError."""
    import base64
    import ssl
    from urllib.request import Request, urlopen

    from esker.host.certificates import certificate_bundle

    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"}:
        raise HostError(f"`{redact(url)}` cannot be downloaded: only https and http can")
    account, at, host = parts.netloc.rpartition("@")
    request = Request(urlunsplit((parts.scheme, host, parts.path, parts.query, "")))  # noqa: S310  # checked above
    if at:
        request.add_unredirected_header(
            "Authorization", f"Basic {base64.b64encode(unquote(account).encode()).decode()}"
        )
    try:
        context = ssl.create_default_context(cafile=certificate_bundle())
        with urlopen(request, timeout=_PATIENCE, context=context) as answer, open(path, "xb") as file:  # noqa: S310
            shutil.copyfileobj(answer, file)
    except (URLError, OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise HostError(
            f"`{redact(url)}` could not be downloaded: {redact(str(reason))}",
            hint="check the address, the network and the proxy (HTTPS_PROXY)",
        ) from error
