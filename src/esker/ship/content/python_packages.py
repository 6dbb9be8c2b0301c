"""The wheels of an image, chosen from the lock for its system and its C library, and the project's own wheel."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from esker.declare import trust
from esker.errors import ImageError
from esker.formats.systems import marker_values
from esker.host import files
from esker.host.scratch import scratch
from esker.lock.build_requirements import locked_build
from esker.lock.own_project import own_project
from esker.lock.source_trees import SourceTree
from esker.realise.artifacts import selected_artifacts
from esker.realise.profile import OWN_COMMANDS
from esker.realise.programs import programs
from esker.realise.source_builds import trusted_sources
from esker.realise.wheels import installed_wheels
from esker.ship.content.components import Component, wheel_components
from esker.ship.content.places import PYTHON
from esker.ship.content.project_files import in_image, tracked_files
from esker.ship.content.wheels import WheelContent, wheel_content

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.host.interpreters import Interpreter
    from esker.realise.artifacts import Artifact
    from esker.ship.content.c_library import CLibrary
    from esker.ship.content.compiler import Compiler
    from esker.ship.content.making import Making
    from esker.ship.content.python import ImagePython

__all__ = ["PythonPackages", "python_packages"]

_OLDEST_LIBRARY = (2, 17)
"""The C library that manylinux2014 stands for, which every image has at least."""
_UV_PLATFORM = "{}-manylinux_2_40"
"""What uv calls a platform that has all wheels that we may have chosen: it gets one hash for each."""


class PythonPackages(NamedTuple):
    """The Python packages of an image."""

    content: WheelContent
    own: WheelContent
    """The wheel of the project itself, if it is a package."""
    programs: Mapping[str, str]
    """Programs that wheels carry outside bin: their names, and their places in the image."""
    source: tuple[str, ...]
    """Directories of the image that are on Python's path."""
    components: tuple[Component, ...]
    libraries: str
    """Where packages lie below the environment."""

    def paths(self) -> set[str]:
        """Return what wheels put into the environment."""
        return {path for content in (self.content, self.own) for files in content.files for path in files}


def python_packages(
    making: Making, system: str, python: ImagePython, compiler: Compiler, library: CLibrary | None
) -> PythonPackages:
    """Return the wheels of the lock for a system, and the project's own, which is built if it may run code."""
    declaration, lock, settings = making.declaration, making.lock, making.settings
    table = declaration.esker.python
    assert table is not None
    assert lock.python is not None
    uv, sources = trusted_sources(declaration, lock.python, settings)
    machine = system.partition("-")[0]
    target = _target(compiler, system, python)
    version = library.version if library else _OLDEST_LIBRARY
    artifacts = selected_artifacts(lock.python, target, table.build, sources, list(_platforms(machine, version)))
    followed = [name for name, _, file in artifacts if isinstance(file, SourceTree) and file.editable]
    if followed:
        raise ImageError(
            f"`{followed[0]}` is installed editable from a directory, which an image does not have",
            hint="have it built: `editable = false` for it in [tool.uv.sources]",
        )
    install = {
        "build": table.build,
        "largest": settings.largest_wheel,
        "configuration": uv.configuration(),
        "platform": None if system == settings.system else _UV_PLATFORM.format(machine),
    }
    wheels = installed_wheels(
        making.store,
        artifacts,
        compiler.interpreter,
        settings.tools,
        making.progress,
        **install,  # type: ignore[arg-type]
    )
    versions = {name: version for name, version, _ in artifacts}
    byte_code = making.table.byte_code
    content = wheel_content(wheels, versions, byte_code=byte_code)
    own = _own(making, compiler, install)
    components = (*wheel_components(artifacts), *_of_the_project(own))
    libraries = {wheel.name: f"{wheel.path}/{python.libraries}" for wheel in wheels}
    taken = {path.rpartition("/")[2] for path in {*_all(content), *_all(own)} if path.startswith("bin/")}
    carried = {
        program.name: f"{PYTHON}/{os.path.relpath(program.path, _tree(program.path, python.libraries))}"
        for program in programs(libraries, table.programs, taken={*taken, *OWN_COMMANDS})
    }
    return PythonPackages(content, own, carried, tuple(_source(making)), components, python.libraries)


def _of_the_project(own: WheelContent) -> list[Component]:
    return [Component(f"pypi/{each.name}", each.name, "", None, "pypi") for each in own.wheels]


def _all(content: WheelContent) -> Iterator[str]:
    for paths in content.files:
        yield from paths


def _tree(path: str, libraries: str) -> str:
    """Return the root of the wheel's tree that a path below its site-packages is in."""
    return path.partition(f"/{libraries}/")[0]


def _target(compiler: Compiler, system: str, python: ImagePython) -> Interpreter:
    """Return the interpreter as it would describe itself in the image."""
    markers = {
        **compiler.interpreter.markers,
        **marker_values(system, python.minor),
        "python_full_version": python.version,
        "implementation_version": python.version,
    }
    return msgspec.structs.replace(compiler.interpreter, markers=markers)


def _platforms(machine: str, library: tuple[int, int]) -> Iterator[str]:
    """Yield the platform tags of wheels that run with a C library, the newest first."""
    legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    lowest = 5 if machine == "x86_64" else 17
    for minor in range(library[1], lowest - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor in legacy:
            yield f"{legacy[minor]}_{machine}"
    yield f"linux_{machine}"


def _own(making: Making, compiler: Compiler, install: Mapping[str, object]) -> WheelContent:
    """Return the project's own wheel, built from the files of the project that git tracks."""
    declaration, settings = making.declaration, making.settings
    project = own_project(declaration)
    if project is None:
        return WheelContent((), {}, ())
    assert making.lock.python is not None
    requirements = locked_build(making.lock.python, project)
    trust.check_contents(declaration.project, settings)
    with scratch("project") as above:
        tree = f"{above}/{project.name}"
        names = tracked_files(project.directory, ".", settings.tools)
        if "pyproject.toml" not in names:
            raise ImageError(
                f"git does not track `{project.pyproject}`, from which the project's wheel is built",
                hint="add it: git add pyproject.toml; or leave the project out: `editable = false`",
            )
        _copy(project.directory, names, tree)
        source = SourceTree(project.name, "directory", tree, build_requirements=tuple(requirements or ()))
        artifact: Artifact = (project.name, "", source)
        wheels = installed_wheels(
            making.store,
            [artifact],
            compiler.interpreter,
            settings.tools,
            making.progress,
            **install,  # type: ignore[arg-type]
        )
    return wheel_content(wheels, {}, byte_code=making.table.byte_code)


def _copy(directory: str, names: Mapping[str, str], target: str) -> None:
    os.mkdir(target)
    for name in names:
        path, copy = f"{directory}/{name}", f"{target}/{name}"
        with files.refused("read", path, ImageError):
            if not _is_file(path):
                continue  # a build gets files alone
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copyfile(path, copy)
            shutil.copymode(path, copy)


def _is_file(path: str) -> bool:
    """Return whether there is a file that is no link; raises OSError if nobody may look."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _source(making: Making) -> Sequence[str]:
    """Return where the directories of `source` are in the image; raises ImageError for one that does not enter."""
    table, declared = making.declaration.esker.python, making.table.files
    found = []
    for path in table.source if table else ():
        name = os.path.normpath(path)
        place = next(
            (
                place
                for place, paths in declared.items()
                for each in paths
                if each == "." or f"{name}/".startswith(f"{each}/")
            ),
            None,
        )
        if place is None:
            raise ImageError(
                f"`source` of [plugins.esker.python] puts `{path}` on Python's path, and the image does not have it",
                hint=f'add it: files = {{ "/app" = ["{name}"] }} in [plugins.esker.image]',
            )
        found.append(f"{place}/{in_image(name)}" if name != "." else place)
    return found
