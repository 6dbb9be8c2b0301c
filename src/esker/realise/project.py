"""The project itself as a store path: its editable build, made by its own build backend.

A package that the project takes from a directory as an editable one is built in the same way.

The tree is laid out as an environment: `lib/pythonX.Y/site-packages` with the `.dist-info`, `bin` with the commands,
and a `.pth` or a finder that leads to the project's source. So code that changes needs no new build, but metadata does.
The build runs code of the project. Its requirements are installed from locked hashes in an environment of their own;
uv then calls the backend's hook (PEP 660) there, without a network and without uv's cache.

A backend works in the source. What it needs there later stays (`.egg-info`, compiled modules, a file with the version).
The directories of intermediate results are removed, unless they were there before or the build leads to them.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from esker.errors import BuildFailed, CommandFailed, RealisationFailed
from esker.formats.nix import store_path
from esker.host import trees
from esker.host.uv import run_uv, run_uv_asking_again
from esker.lock.cache_keys import digest
from esker.progress import reporting
from esker.realise import records
from esker.realise.byte_code import compile_modules
from esker.realise.installation import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from esker.host.interpreters import Interpreter
    from esker.lock.own_project import OwnProject
    from esker.progress import Progress
    from esker.store.store import Store

__all__ = ["editable_project"]

RECIPE = 1
"""Increase it whenever the same inputs would give a different tree."""

_TRACES = ("uv_build.json", "uv_cache.json")
"""What uv writes into a `.dist-info` about itself."""
_INTERMEDIATE = ("build", "dist", ".eggs", ".pdm-build")
"""Directories in which backends work, and which nobody needs afterwards."""
_HEAD = re.compile(rb"""#!/bin/sh\n'{3}exec' "\$\(dirname -- "\$\(realpath -- "\$0"\)"\)"/'[^'\n]*' """)
_RELATIVE_HEAD = b"""#!/bin/sh\n'''exec' "$(dirname -- "$(realpath -- "$0")")"/'python' """
"""The start of a script in a relocatable environment; uv's leads to the environment of the build."""
_LOG = 12
"""How many lines of a backend's output are shown."""
_MISSING_MODULE = re.compile(r"ModuleNotFoundError: No module named '(?P<module>[^'.]+)")
_NO_VERSION = re.compile(r"unable to detect version")
_NO_HOOK = re.compile(r"has no attribute '?build_editable|build_editable.*(missing|unsupported)")
_RESERVED = re.compile(r"Scripts must not use the reserved name `(?P<command>[^`]+)`")


def editable_project(  # noqa: PLR0913  # each is a value of its own, from another place
    store: Store,
    project: OwnProject,
    requirements: Sequence[str],
    interpreter: Interpreter,
    tools: Mapping[str, str],
    check: Callable[[], object],
    progress: Progress,
    *,
    configuration: str = "",
) -> str:
    """Return the store path of the editable build of `project`, building it if it is missing.

    `requirements` are the locked lines of what the build needs, and `tools` the variables for uv and the backend.
    `check` is called before code of the project runs; it raises an error if that is not allowed.
    `configuration` is the content of a uv.toml with the indexes of the requirements.
    """

    def fill(directory: str) -> None:
        check()
        with reporting(progress):
            progress.begin(f"Building {project.name}")
            _build(directory, project, requirements, interpreter, tools, configuration)
            _tidy(directory)
            compile_modules([f"{directory}/{interpreter.libraries}"], interpreter.executable, tools)
            progress.finish(f"{project.name}, editable")

    python = [interpreter.executable, interpreter.version, interpreter.abi, interpreter.platform]
    state = digest(project.directory, project.keys, tools)
    key = [RECIPE, project.directory, project.name, state, list(requirements), python, project.settings]
    name = f"{store_path.fitting(project.name)}-editable"
    return store.build(name, "editable-project:" + json.dumps(key, separators=(",", ":")), fill)


def _build(
    directory: str,
    project: OwnProject,
    requirements: Sequence[str],
    interpreter: Interpreter,
    tools: Mapping[str, str],
    configuration: str,
) -> None:
    with tempfile.TemporaryDirectory(prefix=".esker-", dir=directory) as scratch:
        with open(f"{scratch}/uv.toml", "x", encoding="utf-8") as file:
            file.write(configuration)  # an empty one too: uv would read another that lies in a directory above
        environment, product = f"{scratch}/build", f"{scratch}/product"
        make = ["venv", "--relocatable", "--no-project", "--python", interpreter.executable, environment]
        run_uv(make, tools, cwd=scratch)
        _install_requirements(f"{environment}/bin/python", requirements, tools, scratch)
        settings = [word for name, value in project.settings for word in ("--config-setting", f"{name}={value}")]
        install = ["pip", "install", "--python", f"{environment}/bin/python", "--prefix", product, *settings]
        install += ["--offline", "--no-cache", "--no-deps", "--no-build-isolation", "--editable", project.directory]
        # Byte code beside a setup.py, or beside the modules of a build hook, would be left in the source.
        variables = {**tools, "PYTHONDONTWRITEBYTECODE": "1"}
        with _without_intermediate(project.directory, product):
            try:
                run_uv(install, variables, cwd=scratch)
            except CommandFailed as failure:
                raise _failed(project, failure.output) from failure
        for entry in sorted(os.listdir(product)):
            if entry not in {".lock", "lib64"}:
                os.rename(f"{product}/{entry}", f"{directory}/{entry}")


def _install_requirements(python: str, requirements: Sequence[str], tools: Mapping[str, str], scratch: str) -> None:
    """Install the locked requirements from uv's cache; ask the index only if that fails."""
    if not requirements:
        return
    path = f"{scratch}/requirements.txt"
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in requirements)
    sync = ["pip", "sync", path, "--python", python, "--require-hashes", "--only-binary", ":all:"]
    try:
        try:
            run_uv([*sync, "--offline"], tools, cwd=scratch)
        except CommandFailed:
            run_uv_asking_again(sync, tools, cwd=scratch)
    except CommandFailed as failure:
        raise explained(failure) from failure


@contextmanager
def _without_intermediate(directory: str, product: str) -> Iterator[None]:
    """Remove after the block the directories of intermediate results that it has made in `directory`."""
    before = {path for name in _INTERMEDIATE for path in _with_children(f"{directory}/{name}")}
    try:
        yield
    finally:
        for name in _INTERMEDIATE:
            # The deepest last: a directory that is new goes as a whole, one that was there loses what is new in it.
            for path in _with_children(f"{directory}/{name}"):
                if path not in before and os.path.lexists(path) and not _leads_to(product, path):
                    trees.remove_tree(path)


def _with_children(path: str) -> list[str]:
    if os.path.islink(path) or not os.path.isdir(path):
        return []
    return [path, *(f"{path}/{name}" for name in sorted(os.listdir(path)))]


def _leads_to(product: str, path: str) -> bool:
    """Return whether a file of the build names a path in the source, as that of a strict editable build does."""
    for directory, _, names in os.walk(product):
        for name in names:
            if name.endswith((".pth", ".py")):
                with open(f"{directory}/{name}", "rb") as file:
                    if os.fsencode(path) in file.read():
                        return True
    return False


def _failed(project: OwnProject, output: str) -> RealisationFailed:
    """Return the error that tells a person why a build failed."""
    reserved = _RESERVED.search(output)
    if reserved:
        hint = f"rename it in [project.scripts] of {project.pyproject}"
        return RealisationFailed(
            f"the project `{project.name}` has a command `{reserved['command']}`, which is the interpreter's name",
            hint=hint,
        )
    said = output.partition("[stderr]")[2] or output.partition("[stdout]")[2] or output.partition("error: ")[2]
    lines = [line.rstrip() for line in said.partition("\nhint:")[0].splitlines() if line.strip()]
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    module = _MISSING_MODULE.search(said)
    if module:
        hint = f"add what brings `{module['module']}` to `requires` of [build-system] in {project.pyproject}"
    elif _NO_VERSION.search(said):
        hint = "its version comes from git: clone it with its history and tags, and install git; or set "
        hint += "SETUPTOOLS_SCM_PRETEND_VERSION"
    elif _NO_HOOK.search(said):
        hint = "ask for a later version of the backend in `requires` of [build-system] (setuptools: 64 or later)"
    else:
        way_out = "leave the project out: `editable = false` in [plugins.esker.python]"
        if project.is_dependency:
            way_out = "have it built from a copy: take `editable = true` out of its source"
        hint = f"mend it in {project.directory}, or {way_out}"
    message = f"the project `{project.name}` could not be built"
    return BuildFailed(message, log=[line[indent:] for line in lines[-_LOG:]], hint=hint)


def _tidy(directory: str) -> None:
    """Remove what uv writes about itself, let the commands run the Python beside them, and mend RECORD."""
    commands = f"{directory}/bin"
    for name in os.listdir(commands) if os.path.isdir(commands) else ():
        with open(f"{commands}/{name}", "rb") as file:
            content = file.read()
        if _HEAD.match(content):
            with open(f"{commands}/{name}", "wb") as file:
                file.write(_HEAD.sub(lambda _: _RELATIVE_HEAD, content, count=1))
    for path, names, files in os.walk(f"{directory}/lib"):
        names.sort()
        if path.endswith(".dist-info") and "RECORD" in files:
            for trace in _TRACES:
                if trace in files:
                    os.unlink(f"{path}/{trace}")
            _mend_record(f"{path}/RECORD", os.path.dirname(path))


def _mend_record(path: str, libraries: str) -> None:
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row and os.path.basename(row[0]) not in _TRACES]
    mended = io.StringIO()
    writer = csv.writer(mended, lineterminator="\n")
    for name, recorded, size in sorted(rows):
        target = os.path.join(libraries, name)
        if recorded and os.path.isfile(target):
            with open(target, "rb") as content:
                data = content.read()
            writer.writerow([name, *records.entry(data).split(",")])
        else:
            writer.writerow([name, recorded, size])
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(mended.getvalue())
