"""`Procfile`: Heroku's and foreman's list of processes, a line `NAME: COMMAND` each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.declare.adopt.found import Found, NotTaken, has_credentials, left_out

if TYPE_CHECKING:
    from esker.declare.adopt.found import Read

__all__ = ["procfile"]

_LINE = re.compile(r"([A-Za-z0-9_-]{1,60}):\s*(\S.*)")
_RESERVED = {"auto-start", "flox_never_exit"}


def procfile(text: str, file: str, _: Read) -> Found:
    """Return the processes of a Procfile as services."""
    services: dict[str, str] = {}
    told = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            name, command = _process(line)
            services.setdefault(name, command)
        except NotTaken as reason:
            told.append(left_out(f"{file}:{number}", line.partition(":")[0], reason))
        else:
            if services[name] != command:
                told.append(left_out(f"{file}:{number}", name, "the file has a process of this name before"))
    return Found(file, services=services, left_out=tuple(told))


def _process(line: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise NotTaken("it is not `NAME: COMMAND`")
    name, command = match.groups()
    if name == "release":
        raise NotTaken("it is a step of a deployment, not a service")
    if name in _RESERVED:
        raise NotTaken("a service cannot have this name")
    if not command.isprintable():
        raise NotTaken("it has characters that cannot be shown")
    if has_credentials(command):
        raise NotTaken("it contains credentials, which do not belong in a manifest")
    return name, command
