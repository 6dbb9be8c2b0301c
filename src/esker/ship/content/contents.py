"""The contents of an image for one system: units, and what the configuration says of the container.

Everything comes from the lock: packages from their caches, the project's files from git's list. Nothing of the image is
run, so that an image for another system is made in the same way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.formats.conda.subdirs import NOARCH, SUBDIRS
from esker.formats.tables.reader import near
from esker.lock.conda.client import network
from esker.realise.conda.packages import unpacked_packages
from esker.ship.content import base_files as base
from esker.ship.content.c_library import c_library, check_programs
from esker.ship.content.components import conda_components
from esker.ship.content.conda import conda_content
from esker.ship.content.container_config import container_settings
from esker.ship.content.entry import entry_script
from esker.ship.content.environment import environment_entries
from esker.ship.content.fixed import fixed_unit
from esker.ship.content.interpreter import interpreter_of
from esker.ship.content.places import CACHE, CONDA, ENVIRONMENT, RUNTIME
from esker.ship.content.programs import programs_of
from esker.ship.content.project_files import project_files
from esker.ship.content.python_packages import python_packages
from esker.ship.content.variables import image_variables
from esker.ship.image.unit import APPLICATION, CONFIGURATION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.declare.declaration import Declaration
    from esker.declare.image_table import ImageTable
    from esker.formats.image_lock import LockedInput
    from esker.ship.content.c_library import CLibrary
    from esker.ship.content.components import Component
    from esker.ship.content.conda import CondaContent
    from esker.ship.content.container_config import ContainerSettings
    from esker.ship.content.entry import Entry as EntryPoint
    from esker.ship.content.making import Making
    from esker.ship.content.project_files import ProjectFiles
    from esker.ship.content.python import ImagePython
    from esker.ship.content.python_packages import PythonPackages
    from esker.ship.content.variables import Variables
    from esker.ship.image.unit import Entry, Unit

__all__ = ["Contents", "contents", "layer_names"]

_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""What stands behind `FLOX_ENV/bin` on PATH, as a container engine sets it."""
_DEVELOPMENT = {
    "CPATH": ("include",),
    "LIBRARY_PATH": ("lib",),
    "PKG_CONFIG_PATH": ("lib/pkgconfig", "share/pkgconfig"),
    "ACLOCAL_PATH": ("share/aclocal",),
}


class Contents(NamedTuple):
    """What an image for one system holds."""

    system: str
    units: tuple[Unit, ...]
    container: ContainerSettings
    variables: Variables
    entry: EntryPoint
    reasons: tuple[tuple[str, str], ...]
    """What else people ask about: a thing in the image, and why it is there."""
    left_out: tuple[str, ...]
    """Paths below the declared ones that git does not track."""
    components: tuple[Component, ...] = ()
    """What a bill of materials lists."""
    inputs: tuple[LockedInput, ...] = ()
    """What was fetched from addresses, to be locked."""
    has_bash: bool = False
    has_shell: bool = False
    """Whether there is a `/bin/sh`."""


def contents(making: Making, system: str) -> Contents:
    """Work out the contents of the image for a system.

    Call it within `store.using()`. Raises ImageError for what no image can hold, and what realising a lock raises.
    """
    declaration, table = making.declaration, making.table
    _refuse_install(making, system)
    container = container_settings(declaration)
    category = _categories(making)
    conda = _conda(making, system)
    library = c_library(conda, system)
    files = project_files(declaration.project, table.files, making.settings.tools)
    interpreter = interpreter_of(making, system, conda)
    python, compiler = interpreter.python, interpreter.compiler
    packages = python_packages(making, system, python, compiler, library) if python and compiler else None
    units = list(conda.units(compiler if table.byte_code else None)) if conda else []
    units += [interpreter.standalone.unit()] if interpreter.standalone else []
    units = [unit._replace(category=category.get(unit.name, "")) for unit in units]
    environment, joined_paths = environment_entries(conda, python, packages)
    if packages is not None:
        units += packages.content.units({name.partition("/")[2]: where for name, where in category.items()})
        units += packages.own.units({wheel.name: APPLICATION for wheel in packages.own.wheels})
    check_programs(programs_of(conda, packages, interpreter.standalone), system, library, _required(declaration))
    variables = _variables(making, container, joined_paths, conda, python, packages)
    bash = f"{CONDA}/bin/bash" if conda and conda.place("bin/bash") else None
    manifest = declaration.manifest
    asking = _asking(conda)
    entry = entry_script(bash, manifest.hook, manifest.profile, variables.scripted, asking)
    based = _base(container, library, conda, python, packages, files)
    units.append(fixed_unit("esker/base", based, CONFIGURATION))
    units.append(fixed_unit("esker/environment", [*environment, *entry.files], CONFIGURATION))
    if files.entries:
        units.append(fixed_unit("esker/files", files.entries, APPLICATION))
    reasons = tuple(_reasons(library, python))
    components = conda_components(each.package for each in conda.packages) if conda else []
    components += packages.components if packages else ()
    return Contents(
        system,
        tuple(units),
        container,
        variables,
        entry,
        reasons,
        files.left_out,
        tuple(sorted(components)),
        interpreter.inputs,
        has_bash=bash is not None,
        has_shell=any(entry.path == "/bin/sh" for entry in based),
    )


def layer_names(table: ImageTable) -> tuple[str, ...]:
    """Return the names of the layers that are asked for, the lowest first."""
    return tuple(layer.name for layer in table.layers)


def _refuse_install(making: Making, system: str) -> None:
    """Raise ImageError if packages of `[install]` are locked: their store paths are not put into images."""
    names = sorted({each.install_id for each in making.lock.lockfile.packages if each.system == system})
    if names and not making.settings.without_packages:
        raise ImageError(
            f"packages of [install] cannot be put into an image yet: {', '.join(f'`{name}`' for name in names)}",
            hint="take them from conda: esker install conda/NAME; or leave them out: --without-packages",
        )


def _categories(making: Making) -> dict[str, str]:
    """Return the layer of each unit that belongs to a certain one, by the unit's name."""
    lock = making.lock
    known = {f"conda/{each.name}" for each in (lock.conda.all_packages() if lock.conda else ())}
    known |= {f"pypi/{each.name}" for each in (lock.python.packages if lock.python else ())}
    found: dict[str, str] = {}
    for layer in making.table.layers:
        for name in layer.packages:
            units = [name] if "/" in name else [f"{source}/{name}" for source in ("conda", "pypi")]
            present = [unit for unit in units if unit in known]
            if not present:
                short = {unit if "/" in name else unit.partition("/")[2] for unit in known}
                raise ImageError(
                    f"the layer `{layer.name}` names `{name}`, which is not among the locked packages",
                    hint=near(name, short) or "take it out of `layers` of [plugins.esker.image], or install it",
                )
            for unit in present:
                found.setdefault(unit, layer.name)
    return found


def _conda(making: Making, system: str) -> CondaContent | None:
    packages = making.lock.conda.packages.get(system, ()) if making.lock.conda else ()
    wrong = next((each for each in packages if each.subdir not in {NOARCH, SUBDIRS[system]}), None)
    if wrong is not None:
        raise ImageError(f"`{wrong.title}` is locked for {system}, and is for another one", hint="esker lock --upgrade")
    if not packages:
        return None
    settings = making.settings
    return conda_content(
        unpacked_packages(
            making.store,
            packages,
            lambda: network(settings).client,
            making.progress,
            largest=settings.largest_wheel,
        )
    )


def _required(declaration: Declaration) -> tuple[int, int] | None:
    table = declaration.esker.conda
    stated = table.system_requirements.libc if table else None
    if stated is None:
        return None
    major, minor, *_ = [*map(int, stated.split(".")), 0]
    return major, minor


def _asking(conda: CondaContent | None) -> list[str]:
    """Return the scripts with which conda packages set variables, by their places in the image."""
    paths = conda.plan.places if conda else {}
    return [f"{CONDA}/{path}" for path in sorted(paths) if re.fullmatch(r"etc/conda/activate\.d/[^/]+\.sh", path)]


def _variables(
    making: Making,
    container: ContainerSettings,
    paths: set[str],
    conda: CondaContent | None,
    python: ImagePython | None,
    packages: PythonPackages | None,
) -> Variables:
    declaration = making.declaration
    places = conda.plan.places if conda else {}
    own = {
        "PATH": (":".join([f"{ENVIRONMENT}/bin", *_PATH]), "the environment's programs come first"),
        "FLOX_ENV": (ENVIRONMENT, "where the environment is"),
        "FLOX_ENV_CACHE": (CACHE, "a directory that the user can write"),
        "FLOX_ENV_PROJECT": (container.working_dir or "/", "`working-dir` of [containerize.config]"),
        "FLOX_ENV_DESCRIPTION": (declaration.name, "the environment's name"),
        "ESKER_RUNTIME_DIR": (RUNTIME, "a directory for sockets that the user can write"),
    }
    if base.certificates(places, packages.paths() if packages else (), python.libraries if python else ""):
        own["SSL_CERT_FILE"] = (base.CERTIFICATES, "the image has certificate authorities")
    if making.mode == "dev":
        for name, parts in _DEVELOPMENT.items():
            if found := [f"{ENVIRONMENT}/{part}" for part in parts if any(p.startswith(f"{part}/") for p in paths)]:
                own[name] = (":".join(found), "mode `dev`")
    services = declaration.esker.services.values()
    ports = {variable for service in services for variable in service.ports}
    if declaration.esker.compose is not None:
        ports |= {name for table in declaration.esker.compose.tables.values() for name in table.ports}
    image: Mapping[str, str | None] = making.table.vars
    return image_variables(own, declaration.manifest.vars, image, ports)


def _base(
    container: ContainerSettings,
    library: CLibrary | None,
    conda: CondaContent | None,
    python: ImagePython | None,
    packages: PythonPackages | None,
    files: ProjectFiles,
) -> list[Entry]:
    paths = conda.plan.places if conda else {}
    wheels, libraries = packages.paths() if packages else set(), python.libraries if python else ""
    links = {
        base.CERTIFICATES: base.certificates(paths, wheels, libraries),
        "/usr/share/zoneinfo": base.time_zones(paths, wheels, libraries),
    }
    taken = {above for entry in files.entries for above in _above(entry.path)}
    return base.base_files(container, library, links, paths, taken)


def _above(path: str) -> Iterator[str]:
    while path and path != "/":
        path = path.rpartition("/")[0]
        yield path


def _reasons(library: CLibrary | None, python: ImagePython | None) -> Iterator[tuple[str, str]]:
    if library is not None:
        yield "C library", library.origin
    if python is not None:
        yield "Python", python.origin
