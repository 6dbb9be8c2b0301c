"""The `.bash` files beside our modules: fixed text that a bash evaluates.

Each file is a whole text that shellcheck reads. It is handed to a bash as an argument or inside `eval`, never by its
path, which an upgrade of Esker may remove while shells still run.
"""

from __future__ import annotations

__all__ = ["bash_text"]


def bash_text(path: str) -> str:
    """Return the text of a file without its comments, indentation and empty lines.

    No string or here document in these files may span lines, because it would lose its indentation too.
    """
    with open(path, encoding="ascii") as file:
        lines = [line.strip() for line in file]
    return "\n".join(line for line in lines if line and not line.startswith("#"))
