"""The contents of an image for one system: units, and what the configuration says of the container.

Everything comes from the lock: packages from their caches, the project's files from git's list. Nothing of the image is
run, so that an image for another system is made in the same way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.formats.conda.subdirs import NOARCH, SUBDIRS
from esker.formats.counted import counted
from esker.formats.oci.layer_names import APPLICATION, CONFIGURATION, ESKER
from esker.formats.tables.reader import near
from esker.lock.conda.client import network
from esker.realise.conda.packages import unpacked_packages
from esker.ship.base.facts import SHELL
from esker.ship.content.c_library import c_library, check_programs
from esker.ship.content.components import conda_components
from esker.ship.content.conda import conda_content
from esker.ship.content.container_config import container_settings
from esker.ship.content.entry import entry_script
from esker.ship.content.environment import environment_entries
from esker.ship.content.fixed import fixed_unit
from esker.ship.content.interpreter import interpreter_of
from esker.ship.content.nix_closure import closure_components, closure_units
from esker.ship.content.nix_environment import hook_parts, program, store_library
from esker.ship.content.on_base import (
    above_base,
    base_bash,
    base_library,
    check_no_directories,
    directories_above,
    files_on_base,
    lacking,
    settled,
)
from esker.ship.content.own_variables import base_of_image, own_variables, removed, variables_of, with_services
from esker.ship.content.places import CONDA, ENVIRONMENT, above
from esker.ship.content.prepared.prepared import prepared_content
from esker.ship.content.programs import programs_of
from esker.ship.content.project_files import project_files
from esker.ship.content.python_packages import python_packages
from esker.ship.content.services import RUN, image_ports, service_units
from esker.ship.content.started import missing_programs
from esker.ship.content.system_libraries import system_libraries
from esker.ship.content.usual_files import beside_files, usual_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.declare.declaration import Declaration
    from esker.declare.image_table import ImageTable
    from esker.formats.image_lock import LockedInput
    from esker.ship.base.pulled import PulledBase
    from esker.ship.content.c_library import CLibrary
    from esker.ship.content.components import Component
    from esker.ship.content.conda import CondaContent
    from esker.ship.content.container_config import ContainerSettings
    from esker.ship.content.entry import Entry as EntryPoint
    from esker.ship.content.interpreter import ImageInterpreter
    from esker.ship.content.making import Making
    from esker.ship.content.project_files import ProjectFiles
    from esker.ship.content.python import ImagePython
    from esker.ship.content.python_packages import PythonPackages
    from esker.ship.content.services import Ports
    from esker.ship.content.variables import Variables
    from esker.ship.image.image import Base
    from esker.ship.image.unit import Entry, Unit

__all__ = ["Contents", "contents", "layer_names"]

_USUAL = "esker/base"
"""The unit of the usual files: its name stands in every image, and has nothing to do with the image's base."""


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
    bash: str | None = None
    """Where the image has a bash for people, if it has one."""
    has_shell: bool = False
    """Whether there is a `/bin/sh`."""
    runs_services: bool = False
    compiler: str | None = None
    """The path of the interpreter of this machine that has compiled modules."""
    base: Base | None = None
    """The image that this one begins with, without the variables of it that do not enter."""
    remarks: tuple[str, ...] = ()
    """What a person should know who does not ask, a sentence each."""


def contents(making: Making, system: str) -> Contents:
    """Work out the contents of the image for a system.

    Call it within `store.using()`. Raises ImageError for what no image can hold, and what realising a lock raises.
    """
    declaration, table = making.declaration, making.table
    _refuse_install(making, system)
    _refuse_other_system(making, system)
    base = making.bases(system) if making.bases else None
    container = _container(declaration, base)
    category = _categories(making)
    conda = _conda(making, system)
    library = (base_library(base) if base else None) or c_library(conda, system) or store_library(making.nix, system)
    files = project_files(declaration.project, table.files, making.settings.tools)
    interpreter = interpreter_of(making, system, conda, base)
    packages = _python_packages(making, system, interpreter, library)
    environment, joined_paths = environment_entries(conda, interpreter.python if packages else None, packages)
    programs = [*programs_of(conda, packages, interpreter.standalone)]
    check_programs(programs, system, library, _required(declaration), lacking(base) if base else "")
    ports = image_ports(declaration, table.vars)
    own = own_variables(making, container, conda, packages, base, joined_paths)
    variables = variables_of(making, own, base, ports)
    bash = _bash(making, conda, base)
    hook, profile = declaration.manifest.hook, declaration.manifest.profile
    entry = entry_script(bash, hook, profile, variables.scripted, _asking(conda), hook_parts(making.nix))
    usual = usual_files(container, library, conda, packages, making.nix, {*table.prepare, *_all_above(files)})
    usual = [*beside_files(usual, files.entries), *(() if base else system_libraries(conda, library, programs))]
    prepared = prepared_content(making, system, container.user, [*usual, *files.entries])
    has_shell = any(each.path == SHELL for each in usual) or (base is not None and base.facts.is_there(SHELL))
    units = _package_units(making, conda, interpreter, packages, category)
    units += [*prepared.units, *_store_units(making, system, library, category)]
    units.append(fixed_unit(_USUAL, _usual_above(making, usual, container, base), CONFIGURATION))
    units.append(fixed_unit("esker/environment", [*environment, *entry.files], CONFIGURATION))
    if table.services:
        _check_shell(has_shell=has_shell)
        variables = with_services(making, own, variables, ports)
        units += _service_units(making, system, ports, variables, container, interpreter)
        entry = entry._replace(entrypoint=(*entry.entrypoint, RUN))
    if files.entries:
        placed = files_on_base(files.entries, base) if base else files.entries
        units.append(fixed_unit("esker/files", placed, APPLICATION))
    components = conda_components(each.package for each in conda.packages) if conda else []
    components += closure_components(making.nix.closure) if making.nix else []
    return Contents(
        system,
        tuple(units),
        container,
        variables,
        entry,
        (*_reasons(making, library, interpreter.python, base), *prepared.reasons),
        files.left_out,
        tuple(sorted([*components, *(packages.components if packages else ()), *prepared.components])),
        (*interpreter.inputs, *prepared.inputs),
        bash=f"{ENVIRONMENT}/bin/bash" if bash and bash.startswith(CONDA) else bash,
        has_shell=has_shell,
        runs_services=table.services,
        compiler=interpreter.compiler.executable if interpreter.compiler else None,
        base=base_of_image(making, own, base) if base else None,
        remarks=_missing_programs(making, container, variables, entry, [*environment, *usual, *files.entries], base),
    )


def _container(declaration: Declaration, base: PulledBase | None) -> ContainerSettings:
    container = container_settings(declaration)
    return settled(container, _declared_user(declaration), base) if base else container


def _usual_above(
    making: Making, usual: Sequence[Entry], container: ContainerSettings, base: PulledBase | None
) -> Sequence[Entry]:
    """Return the usual files as they are above a base, with its directories in which something is prepared."""
    if base is None:
        return usual
    prepare = making.table.prepare
    links = [link for table in prepare.values() for link in table.links]
    kept = {entry.path: entry for entry in directories_above([*prepare, *links], base, "prepare")}
    check_no_directories([*links, *(place for place, table in prepare.items() if table.file)], base, "prepare")
    return [*({**kept, **{entry.path: entry for entry in above_base(usual, container, base)}}.values())]


def _python_packages(
    making: Making, system: str, interpreter: ImageInterpreter, library: CLibrary | None
) -> PythonPackages | None:
    python, compiler = interpreter.python, interpreter.compiler
    if making.declaration.esker.python is None or making.lock.python is None:
        return None
    assert python is not None, "wheels need an interpreter, which was looked for"
    assert compiler is not None
    return python_packages(making, system, python, compiler, library)


def _package_units(
    making: Making,
    conda: CondaContent | None,
    interpreter: ImageInterpreter,
    packages: PythonPackages | None,
    category: Mapping[str, str],
) -> list[Unit]:
    """Return the packages as units, each in its layer."""
    units = list(conda.units(interpreter.compiler if making.table.byte_code else None)) if conda else []
    units += [interpreter.standalone.unit()] if interpreter.standalone else []
    units += packages.content.units() if packages else ()
    units = [unit._replace(category=category.get(unit.name, "")) for unit in units]
    own = packages.own.units() if packages else ()
    return [*units, *(unit._replace(category=APPLICATION) for unit in own)]


def _store_units(making: Making, system: str, library: CLibrary | None, category: Mapping[str, str]) -> list[Unit]:
    """Return the store paths of Nix as units, each in its layer."""
    if making.nix is None:
        return []
    units = closure_units(making.nix.closure, system, has_library=library is not None)
    return [unit._replace(category=category.get(unit.name, "")) for unit in units]


def _check_shell(*, has_shell: bool) -> None:
    if not has_shell:
        raise ImageError(
            "services are started by a shell, and the image has none",
            hint="take conda's bash: esker install conda/bash; or a base that has a shell",
        )


def _service_units(
    making: Making,
    system: str,
    ports: Ports,
    variables: Variables,
    container: ContainerSettings,
    interpreter: ImageInterpreter,
) -> list[Unit]:
    assert making.services is not None, "whoever makes an image with services gives them"
    assert interpreter.python is not None
    given = {each.name: each.value for each in variables.of_services}
    services = making.services(system, ports.automatic)
    return service_units(services, removed(making.table), given, container, interpreter.python)


def layer_names(table: ImageTable) -> tuple[str, ...]:
    """Return the names of the layers that are asked for, the lowest first."""
    return (*(layer.name for layer in table.layers), *((ESKER,) if table.services else ()))


def _refuse_install(making: Making, system: str) -> None:
    """Raise ImageError if packages of `[install]` are locked: their store paths are not put into images."""
    names = sorted({each.install_id for each in making.lock.lockfile.packages if each.system == system})
    if names and not making.settings.without_packages:
        raise ImageError(
            f"packages of [install] cannot be put into an image yet: {', '.join(f'`{name}`' for name in names)}",
            hint="take them from conda: esker install conda/NAME; or leave them out: --without-packages",
        )


def _refuse_other_system(making: Making, system: str) -> None:
    """Raise ImageError for another system if Nix gives the toolchain: its store paths are here for one system."""
    own = making.settings.system
    if making.nix is not None and system != own:
        raise ImageError(
            f"Nix gives the toolchain for {own} alone, and the image is for {system} too",
            hint=f'make it for one system: --system {own}, or systems = ["{own}"] in [plugins.esker.image]',
        )


def _categories(making: Making) -> dict[str, str]:
    """Return the layer of each unit that belongs to a certain one, by the unit's name."""
    lock = making.lock
    known = {f"conda/{each.name}" for each in (lock.conda.all_packages() if lock.conda else ())}
    known |= {f"pypi/{each.name}" for each in (lock.python.packages if lock.python else ())}
    known |= {each.unit for each in (closure_components(making.nix.closure) if making.nix else ())}
    found: dict[str, str] = {}
    for layer in making.table.layers:
        for name in layer.packages:
            if name in making.table.prepare:
                continue
            if name.startswith("/"):
                raise ImageError(
                    f"the layer `{layer.name}` names `{name}`, for which nothing is prepared",
                    hint=near(name, {*making.table.prepare}) or "take it out of `layers` of [plugins.esker.image]",
                )
            units = [name] if "/" in name else [f"{source}/{name}" for source in ("conda", "pypi", "nix")]
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


def _declared_user(declaration: Declaration) -> str | None:
    table = declaration.manifest.containerize
    return table.config.user if table and table.config else None


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


def _all_above(files: ProjectFiles) -> set[str]:
    return {directory for entry in files.entries for directory in above(entry.path)}


def _bash(making: Making, conda: CondaContent | None, base: PulledBase | None) -> str | None:
    """Return the place of the bash that runs hooks: conda's, else the base's, else Nix's."""
    if conda and conda.place("bin/bash"):
        return f"{CONDA}/bin/bash"
    return (base_bash(base) if base else None) or program(making.nix, "bash")


def _missing_programs(
    making: Making,
    container: ContainerSettings,
    variables: Variables,
    entry: EntryPoint,
    entries: Sequence[Entry],
    base: PulledBase | None,
) -> tuple[str, ...]:
    """Return what is said of programs that are started and not there; nothing if nobody can know what is there."""
    if base is not None or making.nix is not None or entry.why:
        return ()
    path = next(each.value for each in variables.fixed if each.name == "PATH")
    prepared = {link for table in making.table.prepare.values() for link in table.links} | {*making.table.prepare}
    return tuple(missing_programs(container, path, {*(each.path for each in entries), *prepared}))


def _reasons(
    making: Making, library: CLibrary | None, python: ImagePython | None, base: PulledBase | None
) -> Iterator[tuple[str, str]]:
    if base is not None:
        yield "Base", f"{base.name}, {counted(len(base.image.layers), 'layer')}"
    if making.nix is not None:
        closure = making.nix.closure
        number = counted(len(closure.paths), "store path")
        yield "Nix", f"{number} ({closure.size / 1_000_000:.1f} MB) that variables and PATH need"
    if library is not None:
        yield "C library", library.origin
    if python is not None:
        yield "Python", python.origin
