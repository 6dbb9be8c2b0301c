"""Activation by Flox's own command, and the `flox` that is Esker."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "1.14.1"
"""The version of Flox whose behaviour Esker reproduces."""
