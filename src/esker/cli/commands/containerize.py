"""`esker containerize`: the image of an environment, into an engine or a file, as Flox's command of that name does."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from esker.cli.arguments import Parser
from esker.cli.making_images import add_options, made
from esker.errors import HostError

if TYPE_CHECKING:
    from esker.cli.voice import Voice
    from esker.formats.oci.reference import Reference
    from esker.ship.project_image import ProjectImage

__all__ = ["run"]


def run(name: str, arguments: list[str], voice: Voice) -> int:
    """Run the command."""
    from esker.ship.engines import ENGINES, engine_of, load

    examples = (
        "  esker containerize                          load it into docker or podman\n"
        "  esker containerize -f app.tar --tag 1.0\n  esker containerize -f - | docker load"
    )
    parser = Parser(name, "Make a container image of the environment.", examples, voice=voice)
    add_options(parser)
    outputs = parser.add_mutually_exclusive_group()
    outputs.add_argument("-f", "--file", metavar="FILE", help="write an archive into a file, or with `-` to stdout")
    into = "load it into this engine (default: the one on PATH)"
    outputs.add_argument("--runtime", dest="engine", choices=ENGINES, help=into)  # not what gives the project's tools
    options = parser.parse_args(arguments)
    program = None if options.file is not None else engine_of(options.engine, os.environ)
    image, reference = made(options, voice, own=True)
    if program is not None:
        said = load(program, image.images[0], reference, image.builder, os.environ)
        voice.say(f"✨ '{reference}' loaded into {os.path.basename(program)}.")
        if said and voice.level > 0:
            voice.say(said)
        return 0
    path = options.file if options.file is not None else f"{reference.path.rpartition('/')[2]}-container.tar"
    write(path, image, reference)
    voice.say(f"✨ '{reference}' written to {'stdout' if path == '-' else f'file `{path}`'}.")
    return 0


def write(path: str, image: ProjectImage, reference: Reference) -> None:
    """Write the archive of an image into a file, or to stdout for `-`.

    A file is replaced once all is written. A pipe or a device, such as `/dev/stdout`, is written to and stays.
    """
    from esker.ship.image.layout import write_archive

    if path == "-":
        if sys.stdout.isatty():
            raise HostError(
                "an archive cannot be shown on a terminal", hint="pipe it: esker containerize -f - | docker load"
            )
        write_archive(sys.stdout.buffer, image.images, reference, image.builder)
        sys.stdout.buffer.flush()
        return
    is_special = os.path.exists(path) and not os.path.isfile(path)
    temporary = path if is_special else f"{path}.{os.urandom(6).hex()}.tmp"  # containers share numbers of processes
    try:
        with open(temporary, "wb" if is_special else "xb") as file:
            write_archive(file, image.images, reference, image.builder)
        if not is_special:
            os.replace(temporary, path)
    except OSError as error:
        raise HostError(f"`{path}` cannot be written: {error.strerror}", hint="name another file: -f FILE") from error
    finally:
        if not is_special and os.path.lexists(temporary):
            os.unlink(temporary)
