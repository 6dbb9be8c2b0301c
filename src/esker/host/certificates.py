"""The certificate authorities that this host trusts; they include the one of a company's proxy."""

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
    """Return the file with the host's certificate authorities, or None if there is none."""
    return next((path for path in _BUNDLES if os.path.exists(path)), None)
