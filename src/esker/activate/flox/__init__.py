"""Activation by Flox's own command, and the version of Flox that Esker is like."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "1.14.1"
"""The version of Flox whose behaviour Esker reproduces."""
