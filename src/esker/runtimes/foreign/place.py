"""Where Esker keeps its files of a project without `.flox`: in a directory of the user's, not in the project.

It is `$XDG_STATE_HOME/esker/projects/NAME-DIGEST`, and holds what `.flox` holds elsewhere: plan, result, links, logs.
Every activation of such a project runs this module: it imports nothing heavy.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from esker.settings import Settings

__all__ = ["place", "word"]

_LONGEST_NAME = 40


def place(project: str, runtime: str, settings: Settings) -> str:
    """Return the directory for a project that is declared for a runtime, absolute and with links resolved.

    It need not exist. Raises HostError if the variables give no place for it.
    """
    from zlib import crc32

    state = settings.own_state
    if state is None:
        from esker.errors import HostError

        message = f"there is no place to keep what {runtime} says of `{project}`: HOME is not set"
        raise HostError(message, hint="set HOME or XDG_STATE_HOME")
    name = word(os.path.basename(project))
    digest = f"{crc32(os.fsencode(project)):08x}{len(os.fsencode(project)):x}"
    return os.path.realpath(f"{state}/projects/{runtime}-{name[:_LONGEST_NAME]}-{digest}")


def word(text: str) -> str:
    """Return a text as a part of a file's name: `_` stands for what may mean something to a program."""
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in text)
