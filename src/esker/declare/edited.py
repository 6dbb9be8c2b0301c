"""What an edit of a manifest gives back, and what is said of packages that it does not find."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.formats.counted import noun
from esker.formats.tables.reader import near

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Edit", "missing_packages", "present_packages"]


class Edit(NamedTuple):
    """A new text of a manifest, and what became of each package that was asked for."""

    text: str
    notes: tuple[str, ...] = ()
    """What else had to change for it, one sentence each."""
    installed: tuple[str, ...] = ()
    """Requirements that are new in the manifest, as they are written there."""
    replaced: tuple[tuple[str, str], ...] = ()
    """Pairs: the requirement that is written now, and the one that it replaced."""
    present: tuple[str, ...] = ()
    """Requirements that were asked for, and that the manifest had already."""
    removed: tuple[str, ...] = ()
    """The install ids of packages, and the normalised names of Python packages."""


def missing_packages(names: Sequence[str]) -> str:
    """Return the message about packages that are not in the manifest; for a single one it is Flox's."""
    listed = ", ".join(f"'{name}'" for name in names)
    return f"no {noun(len(names), 'package')} named {listed} in the manifest"


def present_packages(missing: Sequence[str], present: Mapping[str, Sequence[str]]) -> str:
    """Return the hint for packages that are missing: names that are near, or else what each file has.

    >>> present_packages(["panda"], {"the manifest": ["pandas"]})
    'did you mean `pandas`?'
    >>> present_packages(["panda", "x"], {"the manifest": [], "pyproject.toml": ["pandas", "six"]})
    'for `panda`: did you mean `pandas`? the manifest has: none; pyproject.toml has: pandas, six'
    """
    every = [name for names in present.values() for name in names]
    guesses = {name: guess for name in missing if (guess := near(name, every))}
    if len(missing) == len(guesses) == 1:
        return guesses[missing[0]]
    told = [f"for `{name}`: {guess}" for name, guess in guesses.items()]
    if len(guesses) < len(missing):
        told.append("; ".join(f"{file} has: {', '.join(names) or 'none'}" for file, names in present.items()))
    return " ".join(told)
