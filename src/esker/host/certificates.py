"""The host's own certificate authorities, which include those that a company's proxy needs."""

from __future__ import annotations

import os

__all__ = ["certificate_bundle"]

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)


def certificate_bundle() -> str | None:
    """Return the file of the host's certificate authorities, None where there is none."""
    return next((path for path in _BUNDLES if os.path.exists(path)), None)
