"""The variables of an image before those that the project declares: what a base and Nix give, and Esker's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esker.ship.content.on_base import base_certificates, dropped_variables
from esker.ship.content.places import CACHE, ENVIRONMENT, RUNTIME
from esker.ship.content.usual_files import CERTIFICATES, certificates
from esker.ship.content.variables import Variable, image_variables

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from esker.declare.image_table import ImageTable
    from esker.ship.base.pulled import PulledBase
    from esker.ship.content.conda import CondaContent
    from esker.ship.content.container_config import ContainerSettings
    from esker.ship.content.making import Making
    from esker.ship.content.python_packages import PythonPackages
    from esker.ship.content.services import Ports
    from esker.ship.content.variables import Variables
    from esker.ship.image.image import Base

__all__ = ["OwnVariables", "base_of_image", "own_variables", "removed", "variables_of", "with_services"]

_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""What stands behind `FLOX_ENV/bin` on PATH, as a container engine sets it."""
_DEVELOPMENT = {
    "CPATH": ("include",),
    "LIBRARY_PATH": ("lib",),
    "PKG_CONFIG_PATH": ("lib/pkgconfig", "share/pkgconfig"),
    "ACLOCAL_PATH": ("share/aclocal",),
}


class OwnVariables(NamedTuple):
    """The variables of an image before those that the project declares."""

    values: Mapping[str, tuple[str, str]]
    """By name: the value, and why it is there."""
    dropped: Mapping[str, str]
    """By name: why a variable of the base is left out."""


def own_variables(
    making: Making,
    container: ContainerSettings,
    conda: CondaContent | None,
    packages: PythonPackages | None,
    base: PulledBase | None,
    paths: Collection[str],
) -> OwnVariables:
    """Return what a base and Nix give, and Esker's own variables; `paths` are those that the environment joins."""
    nix, table = making.nix, making.table
    dropped = dropped_variables(base, table.vars) if base else {}
    gone = {*dropped, *removed(table)}
    given = {name: value for name, value in base.env.items() if name not in gone} if base else {}
    own = {name: (value, "the base has it") for name, value in given.items()} | {
        **(nix.variables if nix else {}),
        "PATH": (
            ":".join([f"{ENVIRONMENT}/bin", *(nix.path if nix else ()), given.get("PATH") or ":".join(_PATH)]),
            "the environment's programs come first",
        ),
        "FLOX_ENV": (ENVIRONMENT, "where the environment is"),
        "FLOX_ENV_CACHE": (CACHE, "a directory that the user can write"),
        "FLOX_ENV_PROJECT": (
            container.working_dir or "/",
            f"{'' if container.working_dir else 'there is no '}`working-dir` of [containerize.config]",
        ),
        "FLOX_ENV_DESCRIPTION": (making.declaration.name, "the environment's name"),
        "ESKER_RUNTIME_DIR": (RUNTIME, "a directory for sockets that the user can write"),
    }
    if (of_base := base_certificates(base) if base else None) is not None:
        own.setdefault("SSL_CERT_FILE", (of_base, "the base has certificate authorities"))
    elif certificates(conda, packages):
        own["SSL_CERT_FILE"] = (CERTIFICATES, "the image has certificate authorities")
    if making.mode == "dev":
        for name, parts in _DEVELOPMENT.items():
            if found := [f"{ENVIRONMENT}/{part}" for part in parts if any(p.startswith(f"{part}/") for p in paths)]:
                own[name] = (":".join(found), "mode `dev`")
    return OwnVariables(own, dropped)


def removed(table: ImageTable) -> list[str]:
    """Return the variables that the image's own table takes out."""
    return [name for name, value in table.vars.items() if value is None]


def base_of_image(making: Making, own: OwnVariables, base: PulledBase) -> Base:
    """Return the base without the variables that are not in the image."""
    return base.without([*own.dropped, *removed(making.table)])


def variables_of(making: Making, own: OwnVariables, base: PulledBase | None, ports: Ports) -> Variables:
    """Return all variables of an image; raises ImageError as `image_variables` does."""
    compose = making.declaration.esker.compose
    outside = {name for each in compose.tables.values() for name in each.ports} if compose else set()
    of_nix = making.nix.left_out if making.nix else ()
    services = making.declaration.manifest.services
    of_services = {name for each in (services.services.values() if services else ()) for name in each.vars or ()}
    others = {*(base.env if base else ()), *(each.name for each in of_nix), *of_services}
    declared, image = making.declaration.manifest.vars, _without_ports(making, ports)
    found = image_variables(own.values, declared, image, {*ports.all, *outside}, others)
    there = {variable.name for variable in (*found.fixed, *found.scripted)}
    of_base = tuple(Variable(name, "", why) for name, why in own.dropped.items() if name not in there)
    return found._replace(left_out=(*found.left_out, *of_nix, *of_base), dropped=of_base)


def with_services(making: Making, own: OwnVariables, known: Variables, ports: Ports) -> Variables:
    """Return the variables with what the services get beside the container's own: ports, and what uses them."""
    values = {**own.values, **{name: (str(port), "a port") for name, port in ports.all.items()}}
    every = image_variables(values, making.declaration.manifest.vars, _without_ports(making, ports), ())
    before = {variable.name for variable in known.fixed}
    given = tuple(each for each in every.fixed if each.name not in before)
    names = {each.name for each in given}
    return known._replace(left_out=tuple(each for each in known.left_out if each.name not in names), of_services=given)


def _without_ports(making: Making, ports: Ports) -> dict[str, str | None]:
    """Return the variables of the image's own table that are no ports of its services."""
    return {name: value for name, value in making.table.vars.items() if name not in ports.all}
