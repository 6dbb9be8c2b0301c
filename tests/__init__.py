"""The tests, a package so that each of them, and every program they start, imports `tests.support` by one name."""

from __future__ import annotations
