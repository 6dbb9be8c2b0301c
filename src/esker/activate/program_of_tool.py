"""Which program of another tool a PATH leads to, whether or not an environment of that tool is active."""

from __future__ import annotations

from esker.host.process import find_program

__all__ = ["program_of_tool"]

_STORES = ("/nix/store/", "/gnu/store/")


def program_of_tool(name: str, path: str | None) -> str | None:
    """Return the program `name` on a PATH; directories in a store count only if no other has it.

    An environment may bring a version of the tool of its own, which must not decide about the environment itself.
    """
    parts = [] if path is None else path.split(":")
    outer = ":".join(part for part in parts if not part.startswith(_STORES))
    return find_program(name, outer or None) or find_program(name, path)
