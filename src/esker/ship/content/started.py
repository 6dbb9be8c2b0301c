"""The programs that a container is told to start: whether its image has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.formats.tables.reader import near

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from esker.ship.content.container_config import ContainerSettings

__all__ = ["missing_programs"]


def missing_programs(container: ContainerSettings, search: str, paths: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each program that is named alone, as `python`, and that the image does not have.

    `search` is PATH in the image, and `paths` are the absolute paths of what may lie in its directories.
    """
    check = container.healthcheck
    named = (
        ("`cmd` of [containerize.config]", container.cmd),
        ("`healthcheck` of [plugins.esker.image]", check.test if check else ()),
    )
    directories = {*search.split(":")}
    programs = {name for directory, _, name in (path.rpartition("/") for path in paths) if directory in directories}
    for key, words in named:
        if isinstance(words, str) or not words or "/" in words[0] or words[0] in programs:
            continue
        hint = near(words[0], programs)
        yield f"{key} starts `{words[0]}`, which is in no directory of the image's PATH{f'; {hint}' if hint else ''}"
