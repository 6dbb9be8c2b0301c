"""The services of an image: Esker's own modules, in a layer of their own, and the file that says what is to be started.

The supervisor and the guardian need nothing but the standard library, so Esker's source files are all that is brought,
the same for every system. Automatic ports are chosen anew: a container has a network of its own, where each is free.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

import esker
from esker.errors import ImageError
from esker.formats.oci.layer_names import CONFIGURATION, ESKER
from esker.formats.secrets import secret
from esker.ship.content.fixed import fixed_unit
from esker.ship.content.places import CACHE, RUNTIME
from esker.ship.content.secrets import refuse_forms
from esker.ship.image.unit import File

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from esker.declare.declaration import Declaration
    from esker.ship.content.container_config import ContainerSettings
    from esker.ship.content.python import ImagePython
    from esker.ship.image.unit import Entry, Unit

__all__ = ["HEALTH", "RUN", "Ports", "image_ports", "service_units"]

_PLACE = "/opt/esker/services"
RUN, HEALTH = f"{_PLACE}/run", f"{_PLACE}/health"
"""The programs that start the services, and that say how they are."""
_PLAN = f"{_PLACE}/services.json"
_FIRST_PORT, _LAST_PORT = 20000, 65535
_OLDEST = (3, 11)
_SCRIPT = """\
#!{python} -ISB
import sys
{first}sys.path.insert(0, {place!r})
from esker.services.supervised import contained
sys.exit(contained.{call})
"""
_BLOCKING = """\
import signal  # the first process of a container loses a signal that it does not take: they wait until it does
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
"""
"""Importing the modules takes half a second, because nothing of them is compiled."""
_SUFFIXES = (".py", ".bash", ".zsh", ".fish", ".tcsh", ".toml", ".sh", ".awk", ".typed")


class Ports(NamedTuple):
    """The ports of services in an image."""

    automatic: dict[str, int]
    all: dict[str, int]


def image_ports(declaration: Declaration, image: Mapping[str, str | None]) -> Ports:
    """Return the ports of services by their variables; a number in the image's own table replaces an automatic one."""
    found: dict[str, int] = {}
    automatic: dict[str, int] = {}
    for service in declaration.esker.services.values():
        found |= service.ports
    for number, variable in enumerate(sorted(name for name, port in found.items() if not port)):
        stated = image.get(variable)
        if stated is not None and not _is_port(stated):
            raise ImageError(
                f"`{variable}` is a port of a service, and [plugins.esker.image.vars] sets it to `{stated}`",
                hint=f'write a number from 1 to {_LAST_PORT}: {variable} = "8000"',
            )
        automatic[variable] = int(stated) if stated else _FIRST_PORT + number
    return Ports(automatic, {**found, **automatic})


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(_LAST_PORT)) and 0 < int(text) <= _LAST_PORT


def service_units(
    services: Sequence[Mapping[str, object]],
    removed: Collection[str],
    variables: Mapping[str, str],
    container: ContainerSettings,
    python: ImagePython,
) -> list[Unit]:
    """Return the units of these services, whose keys are the fields of their specifications.

    `removed` are variables that no service gets from the image, and `variables` those that every service gets.
    Raises ImageError for a Python that is too old, a command beside the services, and what looks like a secret.
    """
    if container.cmd:
        raise ImageError(
            "the container runs the services, and [containerize.config] has a `cmd` too",
            hint="take `cmd` out: make a service of it; or take out `services = true` of [plugins.esker.image]",
        )
    if tuple(map(int, python.minor.split("."))) < _OLDEST:
        raise ImageError(
            f"Esker runs the services by the image's Python, which is {python.version}, and needs 3.11 or later",
            hint="ask for a newer Python",
        )
    services = [{**each, "vars": _without(each["vars"], removed)} for each in services]
    _refuse_secrets(services)
    plan = {
        "services": services,
        "variables": dict(sorted(variables.items())),
        "directory": container.working_dir or "/",
        "state": f"{CACHE}/services",
        "runtime": f"{RUNTIME}/services",
    }
    scripts: list[Entry] = [
        File(place, _SCRIPT.format(python=python.program, first=first, place=_PLACE, call=call).encode(), 0o755)
        for place, first, call in (
            (RUN, _BLOCKING, f"run({_PLAN!r}, sys.argv[1:])"),
            (HEALTH, "", f"health({_PLAN!r})"),
        )
    ]
    described = json.dumps(plan, indent=1, sort_keys=True).encode() + b"\n"
    return [
        fixed_unit("esker/services", [*_modules(), *scripts], ESKER),
        fixed_unit("esker/services-of-project", [File(_PLAN, described)], CONFIGURATION),
    ]


def _without(variables: object, removed: Collection[str]) -> dict[str, str]:
    assert isinstance(variables, dict)
    return {name: value for name, value in variables.items() if name not in removed}


def _refuse_secrets(services: Sequence[Mapping[str, object]]) -> None:
    """Raise ImageError, which names the service, for what looks like a secret in its variables or its commands."""
    for service in services:
        variables, check = service["vars"], service["check"]
        assert isinstance(variables, dict)
        for name, value in variables.items():
            if why := secret(name, value):
                raise ImageError(
                    f"`{name}` of [services.{service['name']}.vars] looks like a secret, which everybody could read in "
                    f"the image: {why}",
                    hint=f"give it to the container when it starts, and leave it out here: [plugins.esker.image.vars] "
                    f"{name} = false",
                )
        target = check["target"] if isinstance(check, dict) else ()
        texts = [service["command"], service["shutdown"] or "", *target]
        refuse_forms(f"the service `{service['name']}`", "\n".join(map(str, texts)))


def _modules() -> Iterator[Entry]:
    [directory] = esker.__path__
    for above, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if name != "__pycache__")
        for name in sorted(names):
            if name.endswith(_SUFFIXES):
                path = f"{above}/{name}"
                yield File(f"{_PLACE}/esker/{os.path.relpath(path, directory)}", path)
