"""py-rattler, which fetches and unpacks conda packages: it comes with an extra of Esker's, so it may be missing."""

from __future__ import annotations

from importlib import import_module

from esker.errors import HostError

__all__ = ["require_rattler"]


def require_rattler() -> None:
    """Raise HostError if py-rattler cannot be imported; call it before anything that imports it."""
    try:
        import_module("rattler")
    except ImportError as error:
        raise HostError(
            f"conda packages need py-rattler, which cannot be imported here: {error}",
            hint="install Esker with it: python -m pip install 'esker[conda]'",
        ) from error
