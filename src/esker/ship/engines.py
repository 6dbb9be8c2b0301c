"""Container engines that take an image: the `docker` or `podman` command, which reads its archive from a pipe."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from esker.errors import CommandFailed, HostError, NotFound
from esker.formats.printable import printable
from esker.host.process import find_program
from esker.ship.image.layout import write_archive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.formats.oci.reference import Reference
    from esker.ship.image.image import Builder, Image

__all__ = ["ENGINES", "engine_of", "load"]

ENGINES = ("docker", "podman")
"""In the order in which they are looked for."""
_LAST_WORDS = 2000


def engine_of(asked: str | None, variables: Mapping[str, str]) -> str | None:
    """Return the path of an engine's command: the one that was asked for, or the first on PATH; None if there is none.

    Raises NotFound if the one that was asked for is not there.
    """
    for name in (asked,) if asked else ENGINES:
        program = find_program(name, variables.get("PATH"))
        if program is not None:
            return program
    if asked:
        raise NotFound(f"`{asked}` is not on PATH", hint="install it, or write the image into a file: -f FILE")
    return None


def load(program: str, image: Image, reference: Reference, builder: Builder, variables: Mapping[str, str]) -> str:
    """Have an engine load an image, and return what it said; raises CommandFailed with its last words."""
    builder.provide([image])
    try:
        process = subprocess.Popen(
            [program, "load"],
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise HostError(
            f"`{program}` could not be started: {error.strerror}",
            hint="mend or replace it; or write the image into a file, without an engine: esker containerize -f FILE",
        ) from error
    assert process.stdin is not None
    with process:
        try:
            with process.stdin as pipe:
                is_podman = os.path.basename(program) == "podman"
                write_archive(pipe, [image], reference, builder, layout=not is_podman)
        except BrokenPipeError:  # it says why
            pass
        except BaseException:
            process.kill()
            raise
        assert process.stdout is not None
        said = process.stdout.read().decode(errors="replace").strip()
    if process.returncode != 0:
        last = printable(said[-_LAST_WORDS:]).rpartition("\n")[2]
        raise CommandFailed(
            f"`{program} load` ended with status {process.returncode}: {last}",
            hint="see that the engine runs; or write the image into a file, without one: esker containerize -f FILE",
            status=process.returncode,
            output=said,
        )
    return said
