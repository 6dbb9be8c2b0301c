"""The interpreter of this machine that compiles the modules of an image, whose own interpreter may not run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.errors import NotFound, RealisationFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.host.interpreters import Interpreter, Interpreters

__all__ = ["Compiler", "compiler_for"]


class Compiler(NamedTuple):
    """An interpreter that compiles."""

    interpreter: Interpreter
    variables: Mapping[str, str]
    """The environment variables that it is started with."""

    @property
    def executable(self) -> str:
        """The path of the program."""
        return self.interpreter.executable

    @property
    def key(self) -> list[str]:
        """What of it can show in byte code."""
        return [self.interpreter.version, self.interpreter.magic]


def compiler_for(minor: str, interpreters: Interpreters, variables: Mapping[str, str], magic: str | None) -> Compiler:
    """Return an interpreter whose byte code Python `minor`, such as `3.12`, reads.

    `magic` is how the byte code begins that the image's own Python brings, in hexadecimal, if it brings any. Raises
    RealisationFailed if this machine has no such interpreter.
    """
    advice = "put one on PATH, or leave byte code out: `byte-code = false` in [plugins.esker.image]"
    try:
        interpreter = interpreters.find(f"=={minor}.*")
    except NotFound as error:
        raise RealisationFailed(
            f"the image's modules are compiled by a Python {minor}, and this machine has none", hint=advice
        ) from error
    if magic is not None and interpreter.magic[: len(magic)] != magic:
        raise RealisationFailed(
            f"the byte code of `{interpreter.executable}` begins otherwise than that of the image's Python {minor}",
            hint=advice,
        )
    return Compiler(interpreter, variables)
