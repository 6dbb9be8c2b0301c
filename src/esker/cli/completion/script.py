"""The script with which a shell completes the command lines of `esker`, and how the shell reads names from files."""

from __future__ import annotations

import os

from esker.activate.shell_file import shell_text
from esker.cli.completion.described import described_commands

__all__ = ["fixed", "readers", "script"]


def script(shell: str) -> str:
    """Return the script for bash, zsh or fish."""
    # Not importlib.import_module, which would be slower.
    module = __import__(f"esker.cli.completion.{shell}", fromlist=["render"])
    text: str = module.render(described_commands())
    return text


def readers() -> tuple[str, str]:
    """Return the text of `sh` that prints names from a project's files, and the text of awk that is its first argument.

    They have no single quote, so that every shell can have them between two.
    """
    return fixed("names.sh"), fixed("names.awk")


def fixed(name: str) -> str:
    """Return the text of a file of this folder that a shell evaluates."""
    return shell_text(f"{os.path.dirname(__file__)}/{name}")
