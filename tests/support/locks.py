"""Locks with the manifests that they were made from: written for the tests, and real ones where they are at hand."""

from __future__ import annotations

from pathlib import Path

__all__ = ["LOCKS", "OWN", "PROJECTS", "REAL", "lock_id"]

_ROOT = Path(__file__).parents[2]


def _main_worktree(root: Path) -> Path:
    """Return the checkout that a worktree of git belongs to; any other directory is its own."""
    git = root / ".git"
    if not git.is_file():
        return root
    return Path(git.read_text().partition("gitdir:")[2].strip()).parents[2]


_SHARED = _main_worktree(_ROOT).parent / "shared" / "data"

OWN = _ROOT / "tests" / "formats" / "data" / "locks"
"""One folder a lock, written by hand from the format's description."""

REAL = sorted((_SHARED / "locks").glob("*/manifest.lock"))
"""The same of locks that Flox wrote; a clone of the repository alone has none."""

PROJECTS = sorted((_SHARED / "projects").glob("*/.flox/env/manifest.lock"))
"""Locks of projects that use Flox, made by its versions of several years; a clone of the repository has none."""

LOCKS = [*sorted(OWN.glob("*/manifest.lock")), *REAL]


def lock_id(path: Path) -> str:
    """Return the name of a lock, which is that of its folder or project."""
    return path.parents[2].name if path.parent.name == "env" else path.parent.name
