"""The files beside our modules with fixed texts that a shell evaluates, such as the `.bash` files.

Each file is complete by itself, so that shellcheck can check those for bash. A shell gets the text as an argument or
inside `eval`, never the path of the file, because an upgrade of Esker may remove the file while shells still run.
"""

from __future__ import annotations

__all__ = ["shell_text"]


def shell_text(path: str) -> str:
    """Return the text of a file without its comments, indentation and empty lines.

    No string or here document in these files may span several lines, because it would lose its indentation as well.
    """
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    return "\n".join(line for line in lines if line and not line.startswith("#"))
