"""`.flox/include/NAME.toml`: which commit of which repository the environment beside it, `.flox/include/NAME`, is.

`repository` and `commit` are always there. `revision` is the branch, tag or commit that was asked for, and without it
the repository's default branch was meant; `directory` is where in the repository the environment lies, unless on top. A
repository on this machine is named by its path, relative to the project if it was given so. The file may come from
anybody, with a project: each part is checked as if a person had typed it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from esker.errors import InvalidFile
from esker.formats import git_address
from esker.formats.manifest import document
from esker.formats.tables.reader import Parsed, read
from esker.formats.toml_values import string

__all__ = ["DIRECTORY", "Origin", "parse", "render"]

DIRECTORY = ".flox/include"
"""Where a project keeps the copies."""

_HEAD = "# Where `esker include add` took this environment from; `esker include upgrade` takes it from there again.\n"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a vendored environment comes from."""

    repository: Annotated[str, Parsed(git_address.repository)]
    revision: Annotated[str | None, Parsed(git_address.revision, str)] = None
    directory: Annotated[str | None, Parsed(git_address.directory, str)] = None
    commit: Annotated[str, Parsed(git_address.commit)]


def parse(text: str, path: str) -> Origin:
    """Read the file; raises InvalidFile with every problem."""
    table, report = document(text, path)
    origin = read(Origin, table, report)
    if report.problems or origin is None:
        raise InvalidFile(path, report.problems)
    return origin


def render(origin: Origin) -> str:
    """Return the text of the file."""
    fields = {name: getattr(origin, name) for name in origin.__struct_fields__}
    return _HEAD + "".join(f"{name} = {string(value)}\n" for name, value in fields.items() if value is not None)
