"""`[containerize.config]` and the health check: checked here, because Flox takes any text until an image is made."""

from __future__ import annotations

import posixpath
import re
import signal
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from esker.declare.load import manifest_text
from esker.errors import ImageError, InvalidManifest, Problem
from esker.formats.manifest import ContainerConfig
from esker.formats.printable import printable
from esker.formats.tables.positions import positions
from esker.ship.content.accounts import ROOT, User, user_of
from esker.ship.content.secrets import refuse_forms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from esker.declare.declaration import Declaration
    from esker.declare.image_table import ImageHealthCheck

__all__ = ["ContainerSettings", "container_settings", "label_name"]

T = TypeVar("T")
_PORT = re.compile(r"(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?(?:/(?P<protocol>tcp|udp|sctp))?")
_LAST_PORT = 65535
_NUMBER = re.compile(r"\d{1,2}")
_LABEL = re.compile(r"[a-zA-Z0-9][\w./-]*")


class ContainerSettings(NamedTuple):
    """What a container engine is told, in OCI's forms."""

    user: User = ROOT
    has_user: bool = False
    """Whether a user is declared; without one the configuration names none."""
    ports: tuple[str, ...] = ()
    """Such as `8080/tcp`, sorted."""
    cmd: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    working_dir: str | None = None
    labels: Mapping[str, str] = {}
    stop_signal: str | None = None
    healthcheck: ImageHealthCheck | None = None


def container_settings(declaration: Declaration) -> ContainerSettings:
    """Return the settings of a declaration; raises InvalidManifest with all mistakes of the table."""
    table = declaration.manifest.containerize
    config = (table.config if table else None) or ContainerConfig()
    problems: list[tuple[tuple[str, ...], ImageError]] = []

    def checked(key: str, check: Callable[[str], T], value: str | None, index: int | None = None) -> T | None:
        if value is None:
            return None
        try:
            return check(value)
        except ImageError as error:
            problems.append((("containerize", "config", key, *([str(index)] if index is not None else [])), error))
            return None

    user = checked("user", user_of, config.user)
    ports = [checked("exposed-ports", _port, port) for port in sorted(config.exposed_ports or ())]
    volumes = [checked("volumes", _directory, volume) for volume in sorted(config.volumes or ())]
    working_dir = checked("working-dir", _directory, config.working_dir)
    stop_signal = checked("stop-signal", _signal, config.stop_signal)
    for name, value in (config.labels or {}).items():
        checked("labels", label_name, name)
        checked("labels", partial(refuse_forms, f"the label `{name}`"), value)
    for number, word in enumerate(config.cmd or ()):
        checked("cmd", _word, word, number)
    if problems:
        path = f"{declaration.dot_flox}/env/manifest.toml"
        lines = positions(manifest_text(declaration.project))
        raise InvalidManifest(path, [_problem(keys, error, lines) for keys, error in problems])
    image = declaration.esker.image
    if image and image.healthcheck:
        test = image.healthcheck.test
        refuse_forms("`healthcheck` of [plugins.esker.image]", test if isinstance(test, str) else " ".join(test))
    return ContainerSettings(
        user=user or ROOT,
        has_user=user is not None,
        ports=tuple(sorted(port for port in ports if port)),
        cmd=config.cmd or (),
        volumes=tuple(volume for volume in volumes if volume),
        working_dir=working_dir,
        labels=dict(sorted((config.labels or {}).items())),
        stop_signal=stop_signal,
        healthcheck=image.healthcheck if image else None,
    )


def _problem(keys: tuple[str, ...], error: ImageError, lines: Mapping[tuple[str, ...], int]) -> Problem:
    line = next((lines[keys[:end]] for end in range(len(keys), 2, -1) if keys[:end] in lines), None)
    return Problem(f"{printable(error.message)}\nin `{'.'.join(keys[:3])}`", line=line, hint=error.hint)


def _port(text: str) -> str:
    match = _PORT.fullmatch(text)
    first, last = (int(match["first"]), int(match["last"] or match["first"])) if match else (0, 0)
    if match is None or not 0 < first <= last <= _LAST_PORT:
        raise ImageError(f"`{text}` is not a port", hint='write it as in "8080", "8080/tcp" or "53/udp"')
    ports = match["first"] if last == first else f"{first}-{last}"
    return f"{ports}/{match['protocol'] or 'tcp'}"


def _directory(text: str) -> str:
    if not text.startswith("/") or ".." in text.split("/") or not text.isprintable():
        raise ImageError(f"`{text}` is not an absolute path in the image", hint='write it as in "/data"')
    return posixpath.normpath("/" + text.strip("/"))


def _signal(text: str) -> str:
    if _NUMBER.fullmatch(text) and 0 < int(text) < signal.NSIG:
        return text
    name = text if text.startswith("SIG") else f"SIG{text}"
    if name not in signal.Signals.__members__:
        raise ImageError(f"`{text}` is not a signal", hint='write a name or a number, such as "SIGTERM"')
    return name


def label_name(text: str) -> str:
    """Return the name of a label; raises ImageError if it cannot be one."""
    if not _LABEL.fullmatch(text):
        raise ImageError(f"`{text}` cannot be the name of a label", hint='write it as in "org.example.team"')
    return text


def _word(text: str) -> str:
    refuse_forms("the command", text)
    if "\0" in text:
        raise ImageError("a word holds a NUL character", hint="no argument can hold one: take it out")
    return text
