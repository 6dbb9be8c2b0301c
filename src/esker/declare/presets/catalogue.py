"""Which services one word adds, and what each needs: the table in presets.toml and the files beside it."""

from __future__ import annotations

import os
import tomllib
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from esker.errors import UsageError
from esker.formats.tables.reader import near

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Preset", "Source", "preset", "presets"]

Source = Literal["wheel", "conda", "container"]
"""What carries a service: a wheel, a conda package or an image."""
_DIRECTORY = os.path.dirname(__file__)


class Preset(NamedTuple):
    """A service that one word adds."""

    name: str
    title: str
    """Its own name, as people write it."""
    words: tuple[str, ...]
    """Other words for it, besides its name."""
    packages: Mapping[Source, tuple[str, ...]]
    """The requirements or specs of each source that has packages for it; the preferred source first."""
    secrets: Mapping[str, str] = MappingProxyType({})
    """For a container: the texts of the files with its password, by their names; `{password}` stands for it."""

    def source(self, wanted: Source | None) -> Source:
        """Return the source that it comes from, by default the first that has it; raises UsageError if none does."""
        if wanted is not None and (wanted == "container" or wanted in self.packages):
            return wanted
        command = f"esker services add {self.name}"
        if wanted is None and self.packages:
            return next(iter(self.packages))
        what = "no wheel and no conda package" if wanted is None else f"no {wanted} package"
        others = [command, *[f"{command} --{source}" for source in list(self.packages)[1:]]] if self.packages else []
        hint = " or ".join(f"`{each}`" for each in (*others, f"{command} --container"))
        raise UsageError(f"{what} has the server of {self.title}", hint=f"take it from another source: {hint}")

    def fragment(self, source: Source) -> str:
        """Return the lines for the manifest, without the packages: tables with comments, as a person would write."""
        return self.text(f"{self.name}.container.toml" if source == "container" else f"{self.name}.toml")

    def text(self, name: str) -> str:
        """Return the text of a file beside this module."""
        with open(f"{_DIRECTORY}/{name}", encoding="utf-8") as file:
            return file.read()


def presets() -> dict[str, Preset]:
    """Return every preset by its name."""
    with open(f"{_DIRECTORY}/presets.toml", "rb") as file:
        tables = tomllib.load(file)
    sources: tuple[Source, ...] = ("wheel", "conda")
    return {
        name: Preset(
            name,
            table["title"],
            tuple(table["words"]),
            {source: tuple(table[source]) for source in sources if source in table},
            table.get("secrets", {}),
        )
        for name, table in tables.items()
    }


def preset(word: str) -> Preset:
    """Return the preset that a word names; raises UsageError, with the words there are, for an unknown one."""
    every = presets()
    by_word = {other: each for each in every.values() for other in (each.name, *each.words)}
    if word.lower() in by_word:
        return by_word[word.lower()]
    guess = near(word.lower(), by_word)
    listed = f"the services are {', '.join(every)}"
    hint = f"{guess} ({listed})" if guess else f"{listed}; declare another one in [services]: esker edit"
    raise UsageError(f"`{word}` is not a service that Esker knows how to add", hint=hint)
