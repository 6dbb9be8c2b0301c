"""Conda's names of systems, which are the directories of a channel."""

from __future__ import annotations

__all__ = ["NOARCH", "SUBDIRS"]

SUBDIRS = {
    "aarch64-darwin": "osx-arm64",
    "aarch64-linux": "linux-aarch64",
    "x86_64-darwin": "osx-64",
    "x86_64-linux": "linux-64",
}
"""By the names that Flox gives to systems."""
NOARCH = "noarch"
"""The directory of the packages that are for every system."""
