"""Calls of a build backend (PEP 517, PEP 660), each in an environment that has nothing but the locked requirements."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from esker.errors import CommandFailed, HostError, InvalidFile, Problem, RealisationFailed
from esker.formats.syntax import read_toml
from esker.formats.untrusted import LARGEST_MANIFEST
from esker.formats.urls import redact
from esker.host import files, prctl
from esker.host.scratch import scratch
from esker.host.uv import LOCKED_ELSEWHERE, is_gone, is_unreachable, run_uv, run_uv_asking_again, uv_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from esker.host.interpreters import Interpreter

__all__ = ["BuildSystem", "Workshop", "build_system", "workshop"]

_LAST_LINES = 12
_UV_BACKEND = "uv_build"
_FIXED = {
    "GIT_OPTIONAL_LOCKS": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "SOURCE_DATE_EPOCH": "315532800",  # 1980, the first year that a zip archive can tell
}
"""Variables of a build, so that two builds of the same code are alike."""
_CALL = """\
import importlib, json, sys
del sys.path[0]
request = json.loads(sys.argv[1])
sys.path[:0] = request["path"]
module, _, name = request["backend"].partition(":")
backend = importlib.import_module(module)
for part in filter(None, name.split(".")):
    backend = getattr(backend, part)
hook = getattr(backend, request["hook"], None)
answer = {"known": hook is not None, "result": hook(*request["arguments"]) if hook else None}
with open(request["answer"], "w", encoding="utf-8") as file:
    json.dump(answer, file)
"""


class BuildSystem(NamedTuple):
    """`[build-system]` of a pyproject.toml."""

    requires: tuple[str, ...] = ("setuptools>=40.8.0",)
    backend: str = "setuptools.build_meta:__legacy__"
    path: tuple[str, ...] = ()
    """Directories of the source tree in which the backend itself lies."""

    @property
    def is_built_by_uv(self) -> bool:
        """Whether Esker's own uv has the backend in it, in a version that is asked for: nothing has to be fetched."""
        if self.backend != _UV_BACKEND or self.path or len(self.requires) != 1:
            return False
        try:
            requirement = Requirement(self.requires[0])
        except InvalidRequirement:
            return False
        is_plain = canonicalize_name(requirement.name) == "uv-build" and not (requirement.marker or requirement.extras)
        return is_plain and requirement.url is None and requirement.specifier.contains(uv_version(), prereleases=True)

    def check_builder(self, name: str, locked: Sequence[str]) -> None:
        """Raise RealisationFailed if nothing is `locked` to build the package `name`, and our uv has not its backend.

        The lock was made where uv has another version then.
        """
        if self.backend == _UV_BACKEND and not locked and not self.is_built_by_uv:
            raise RealisationFailed(
                f"`{name}` is built by {', '.join(self.requires)}, and the uv here is {uv_version()}",
                hint=f"lock the backend too: esker upgrade {name}",
            )


def build_system(directory: str) -> BuildSystem:
    """Return the build system of a source tree; one without a pyproject.toml is built by setuptools."""
    path = f"{directory}/pyproject.toml"
    if not os.path.isfile(path):
        return BuildSystem()
    table = read_toml(files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST), path).get("build-system")
    if table is None:
        return BuildSystem()
    table = table if isinstance(table, dict) else {}
    requires, backend, inner = table.get("requires", ""), table.get("build-backend"), table.get("backend-path", [])
    if not (_is_list_of_texts(requires) and isinstance(backend, str | None) and _is_list_of_texts(inner)):
        hint = "its `requires` and `backend-path` are lists of texts, its `build-backend` is a text"
        raise InvalidFile(path, [Problem("`build-system` cannot be read", hint=hint)])
    return BuildSystem(tuple(requires), backend or BuildSystem().backend, tuple(inner))


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


class Workshop(NamedTuple):
    """An environment in which build backends run."""

    directory: str
    python: str
    variables: Mapping[str, str]

    def call(self, hook: str, *arguments: object, tree: str, name: str, system: BuildSystem) -> Any:
        """Return the result of a hook for the source in `tree`, or None if the backend does not have that hook.

        `name` is the package's. Raises RealisationFailed, which shows the last lines that the backend wrote.
        """
        answer = f"{self.directory}/answer.json"
        request = {
            "answer": answer,
            "arguments": arguments,
            "backend": system.backend,
            "hook": hook,
            "path": [os.path.normpath(os.path.join(tree, each)) for each in system.path],
        }
        completed = subprocess.run(
            [self.python, "-u", "-c", _CALL, json.dumps(request)],
            cwd=tree,
            env=self._variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            preexec_fn=prctl.ending_with_us(signal.SIGKILL),
        )
        if completed.returncode != 0 or not os.path.exists(answer):
            lines = redact(completed.stdout.decode(errors="replace")).rstrip().split("\n")[-_LAST_LINES:]
            raise RealisationFailed(
                f"the build backend of `{name}`, `{system.backend}`, failed in `{hook}`:\n" + "\n".join(lines),
                hint="mend its code, or install what it needs (a compiler, headers); then run the command again",
            )
        with open(answer, encoding="utf-8") as file:
            found = json.load(file)
        os.unlink(answer)
        return found["result"] if found["known"] else None

    def _variables(self) -> dict[str, str]:
        path = f"{self.directory}/environment/bin:{self.variables.get('PATH', os.defpath)}"
        return {**self.variables, **_FIXED, "PATH": path, "TMPDIR": self.directory}


@contextmanager
def workshop(
    requirements: Sequence[str], interpreter: Interpreter, tools: Mapping[str, str], configuration: str = ""
) -> Iterator[Workshop]:
    """Give an environment with exactly these requirements, each a line with its hashes.

    `tools` are the variables for uv and for the backend, `configuration` is the content of a uv.toml: the indexes that
    the project adds. Raises RealisationFailed if a file is not the locked one.
    """
    with scratch("build") as directory, files.refused("build packages in", directory):
        with open(f"{directory}/uv.toml", "x", encoding="utf-8") as file:
            file.write(configuration)  # an empty one too: uv would read another that lies in a directory above
        with open(f"{directory}/requirements.txt", "x", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in requirements)
        place = f"{directory}/environment"
        run_uv(["venv", "--no-project", "--python", interpreter.executable, place], tools, cwd=directory)
        if requirements:
            _install(directory, place, tools)
        yield Workshop(directory, f"{place}/bin/python", tools)


def _install(directory: str, place: str, tools: Mapping[str, str]) -> None:
    sync = ["pip", "sync", f"{directory}/requirements.txt", "--python", f"{place}/bin/python", "--require-hashes"]
    sync += ["--only-binary", ":all:", "--no-break-system-packages"]
    try:
        try:
            run_uv([*sync, "--offline"], tools, cwd=directory)
        except CommandFailed:
            run_uv_asking_again(sync, tools, cwd=directory)
    except CommandFailed as failure:
        cause = " ".join((failure.output.partition("error: ")[2] or failure.output).split())
        if is_unreachable(failure) or failure.hint:
            raise HostError(f"build requirements could not be fetched: {cause}", hint=failure.hint) from failure
        raise RealisationFailed(
            f"the locked build requirements could not be installed: {cause}",
            hint=LOCKED_ELSEWHERE if is_gone(failure) else "lock them anew: esker lock --upgrade",
        ) from failure
