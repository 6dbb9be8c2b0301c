"""The options that name a command's environment: `-d/--dir`, and Flox's options for environments on FloxHub.

Other options that `activate` shares with commands that use argparse stand here too.
Every activation imports this module, so it does not import argparse.
"""

from __future__ import annotations

import os

from esker.declare.discover import resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from types import SimpleNamespace
    from typing import Any

    Option = tuple[tuple[str, ...], dict[str, Any]]
    """The names of an option, and the rest of what argparse's `add_argument` takes."""

__all__ = ["HIDDEN", "NO_PYTHON_DOWNLOADS", "OF_TOOLS", "OPTIONS", "RUNTIME", "SERVICES_FROM", "place"]

HIDDEN = "==SUPPRESS=="
"""The help of an option that `--help` does not show; equal to `argparse.SUPPRESS`."""

OPTIONS: tuple[Option, ...] = (
    (("-d", "--dir"), {"metavar": "DIR", "help": "the project directory (default: this one or the nearest above)"}),
    (("-r", "--reference", "--ref"), {"metavar": "OWNER/NAME", "help": HIDDEN}),
    (("-D", "--default"), {"action": "store_true", "help": HIDDEN}),
)
NO_PYTHON_DOWNLOADS: Option = (
    ("--no-python-downloads",),
    {"action": "store_true", "help": "fetch no Python; fail if none here fits"},
)

SERVICES_FROM: Option = (
    ("--services-from",),
    {
        "choices": ("supervised", "compose"),
        "help": "where a service comes from that is declared both in [services] and in the Compose file",
    },
)

RUNTIME: Option = (
    ("--runtime",),
    {"metavar": "NAME", "help": "which of the project's declarations to use: native (.flox), nix, guix, venv"},
)

OF_TOOLS: tuple[Option, ...] = (
    (("--shell",), {"metavar": "NAME", "help": "the shell of a flake or shell.nix, instead of the default one"}),
    (
        ("--override-input",),
        {"action": "append", "metavar": "NAME=REF", "help": "take REF in place of an input of the flake"},
    ),
    (("--refresh",), {"action": "store_true", "help": "ask Nix or Guix again, even if nothing seems to have changed"}),
    (("--impure",), {"action": "store_true", "help": "let the flake look at everything; the result is not kept"}),
)
"""What an activation can ask of the tool that gives the toolchain, with the options of `activate`."""


def place(options: Namespace | SimpleNamespace) -> tuple[str, bool]:
    """Return the directory to look for an environment from, and whether the options name it."""
    if options.reference is not None or options.default:
        from esker.errors import UsageError

        named = f"`{options.reference}`" if options.reference is not None else "the default environment"
        hint = "name a project directory: -d DIR"
        raise UsageError(f"{named} is an environment on FloxHub, which Esker does not support yet", hint=hint)
    if options.dir is not None:
        return options.dir, True
    return resolved(os.curdir), False
