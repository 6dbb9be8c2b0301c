"""Limits on what is read from outside; modules of a warm path need them without the parsers."""

from __future__ import annotations

__all__ = ["LARGEST"]

LARGEST = 16 << 20
"""Bytes of a lock, or of another file that a program has written."""
