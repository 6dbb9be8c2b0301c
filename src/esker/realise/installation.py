"""Installing wheels: uv unpacks them, and each gets a tree of its own with the layout of a prefix (bin, lib, share)."""

from __future__ import annotations

import os
import re
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import CommandFailed, HostError, RealisationFailed
from esker.host import trees as host_trees
from esker.host.uv import LOCKED_ELSEWHERE, is_gone, is_unreachable, run_uv, run_uv_asking_again, uv_command
from esker.progress import Silent
from esker.realise import records
from esker.realise.amount import counting
from esker.realise.artifacts import requirement
from esker.realise.scratch_environment import ScratchEnvironment
from esker.realise.wheel_size import limited

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from esker.host.interpreters import Interpreter
    from esker.progress import Progress
    from esker.realise.artifacts import Artifact

__all__ = ["Uv", "explained", "install", "make_room"]

_NO_SPACE = "No space left"
_OTHER_FILE = re.compile(r"[Hh]ash mismatch|--require-hashes")
_RESERVED = re.compile(
    r"Failed to install: \S+ \((?P<name>[^=]+)==[^)]*\)\s+cause: "
    r"Scripts must not use the reserved name `(?P<command>[^`]+)`"
)
_NOT_TOGETHER = "Failed to install"
_LOGGED = {"RUST_LOG": "uv_install_wheel=debug,uv_extract=warn"}
"""Makes uv tell what it leaves out of an archive, and which RECORD it corrects."""
_LEFT_OUT = re.compile(r"^WARN Skipping unsafe file name: (?P<path>.*)$", re.MULTILINE)
_CORRECTED = re.compile(r"^DEBUG Rewriting `RECORD` to match actual wheel contents for (?P<name>[^\s=]+)", re.MULTILINE)
_LOG_LINE = re.compile(r"^(DEBUG|WARN) .*\n", re.MULTILINE)
_UNWANTED = ("uv_cache.json", "uv_build.json", "direct_url.json")
"""What uv writes into a `.dist-info` about where the wheel came from; it differs from one machine to the next."""


class Uv(NamedTuple):
    """How uv installs."""

    interpreter: Interpreter
    tools: Mapping[str, str]
    """Its environment variables."""
    build: Collection[str] = ()
    """The packages that may be built from source."""
    largest: int | None = None
    """How many bytes one package may have."""
    configuration: str = ""
    """The content of its uv.toml; it may hold credentials."""
    platform: str | None = None
    """What uv calls the platform that wheels are for; None means this machine's."""


def install(artifacts: Sequence[Artifact], trees: Mapping[str, str], uv: Uv, progress: Progress) -> None:
    """Put the files of each artifact into its tree: an empty directory, by the artifact's name.

    Raises HostError and RealisationFailed.
    """
    # Within a tree, so that it is removed with it if we are killed; at random, so that no wheel can know its name.
    scratch = tempfile.mkdtemp(prefix=".esker-", dir=trees[artifacts[0][0]])
    try:
        with open(f"{scratch}/uv.toml", "x", encoding="utf-8") as file:
            file.write(uv.configuration)  # an empty one too: uv would read another that lies in a directory above
        try:
            _fill(artifacts, trees, _Environments(scratch, uv), progress)
        except CommandFailed as failure:
            raise explained(failure) from failure
    finally:  # by a function of ours: those of the library follow no more than about 1000 levels of directories
        host_trees.remove_tree(scratch)
    for tree in trees.values():
        for infos in records.infos(f"{tree}/{uv.interpreter.libraries}").values():
            for info in infos:
                records.forget(info, _UNWANTED)


def _fill(
    artifacts: Sequence[Artifact], trees: Mapping[str, str], environments: _Environments, progress: Progress
) -> None:
    """Fill the trees of wheels from as few environments as can be."""
    together, alone = [*artifacts], []
    while len(together) > 1:
        try:
            environment = environments.made(together, progress)
            suspects = environment.split({name: trees[name] for name, _, _ in together})
        except CommandFailed as failure:
            if _NOT_TOGETHER not in failure.output:
                raise
            suspects = {name for name, _, _ in together}  # one may have a file where another has a directory
        alone += [artifact for artifact in together if artifact[0] in suspects]
        # The others anew, because nothing that these have done may stay.
        together = [artifact for artifact in together if artifact[0] not in suspects] if suspects else []
        progress = Silent()  # all were counted once
    for artifact in [*alone, *together]:
        # uv starts the Python of the environment that it installs into, and that runs the .pth files of every package
        # there. So no second package may come into an environment that has one.
        environments.made([artifact], progress).take_all(artifact[0], trees[artifact[0]])


class _Environments(NamedTuple):
    """Makes scratch environments in the directory `scratch`."""

    scratch: str
    uv: Uv

    def made(self, artifacts: Sequence[Artifact], progress: Progress) -> ScratchEnvironment:
        """Return a new environment with the artifacts, from uv's cache if it has them all.

        Asking the index costs 0.4 s. Raises CommandFailed, and RealisationFailed for what no package may bring.
        """
        path = f"{self.scratch}/environment-{len(os.listdir(self.scratch))}"
        try:
            return self._filled(path, artifacts, ["--offline"], progress)
        except CommandFailed as failure:
            if _is_full(failure):
                raise
        host_trees.remove_tree(path)  # uv would take a half-installed package for an installed one
        return self._filled(path, artifacts, [], progress)

    def _filled(
        self, path: str, artifacts: Sequence[Artifact], options: Sequence[str], progress: Progress
    ) -> ScratchEnvironment:
        make = ["venv", "--relocatable", "--no-project", "--python", self.uv.interpreter.executable, path]
        run_uv(make, self.uv.tools, cwd=self.scratch)
        environment = ScratchEnvironment(path, self.uv.interpreter.libraries)
        requirements = f"{self.scratch}/requirements.txt"
        with open(requirements, "w", encoding="utf-8") as file:
            file.writelines(map(requirement, artifacts))
        sources = [word for name in self.uv.build for word in ("--no-binary", name)]
        command = ["pip", "sync", requirements, "--python", f"{path}/bin/python", "--require-hashes", "--only-binary"]
        command += [":all:", *sources, "--link-mode", "copy", "--no-break-system-packages", *options]
        command += ["--python-platform", self.uv.platform] if self.uv.platform else []
        run = run_uv if "--offline" in options else run_uv_asking_again
        with counting(environment.libraries, progress):
            try:
                with limited(artifacts, self.uv.largest):
                    log = run(command, {**self.uv.tools, **_LOGGED}, cwd=self.scratch)
            except CommandFailed as failure:
                self._check_archives(failure.output, artifacts)
                failure.output = _LOG_LINE.sub("", failure.output)
                raise
        self._check_archives(log, artifacts)
        for corrected in _CORRECTED.finditer(log):
            progress.remark(f"the wheel of `{corrected['name']}` does not list its files rightly; its list was mended")
        environment.check_own_files()
        return environment

    def _check_archives(self, log: str, artifacts: Sequence[Artifact]) -> None:
        """Raise RealisationFailed if uv has left a path out of an archive, because it leads out of the archive's tree.

        uv says so when it unpacks, and keeps the rest. So we take that out of its cache, or the next try would succeed.
        """
        left_out = _LEFT_OUT.search(log)
        if left_out is None:
            return
        for artifact in artifacts:
            run_uv(["cache", "clean", artifact[0]], self.uv.tools, cwd=self.scratch)
        if len(artifacts) > 1:
            for artifact in artifacts:  # to find out whose it is
                path = f"{self.scratch}/suspect-{artifact[0]}"
                self._filled(path, [artifact], [], Silent())
        names = ", ".join(f"`{name}`" for name, _, _ in artifacts)
        raise RealisationFailed(
            f"{names} brings a file `{left_out['path']}`, which would lie outside of the environment",
            hint="do not use that package: it may be an attack",
        )


def _is_full(failure: CommandFailed) -> bool:
    return _NO_SPACE in failure.output


def make_room() -> str:
    """Return the hint for a full disk."""
    return f"free some space: esker store gc, {uv_command()} cache clean"


def explained(failure: CommandFailed) -> HostError | RealisationFailed:
    """Return the error that tells a person why uv failed."""
    error = failure.output.partition("error: ")[2] or failure.output  # uv reports its progress before it
    cause = " ".join(error.partition("hint:")[0].replace("error: ", "").split())
    if is_unreachable(failure):
        return HostError("the locked packages could not be fetched: no package index answered", hint=failure.hint)
    if _is_full(failure):
        return HostError(f"the disk is full: {cause}", hint=make_room())
    if failure.hint:  # uv's failure has one only if the machine is at fault, not the lock
        return HostError(f"the locked packages could not be fetched: {cause}", hint=failure.hint)
    if _OTHER_FILE.search(failure.output):
        return RealisationFailed(
            f"an index gave a file that is not the locked one: {cause}",
            hint="do not use that file; if it was republished on purpose, or you edited the lock: esker lock --upgrade",
        )
    if is_gone(failure):
        return RealisationFailed(
            f"the package index does not have what is locked: {cause}",
            hint=LOCKED_ELSEWHERE,
        )
    reserved = _RESERVED.search(failure.output)
    if reserved:
        cause = f"`{reserved['name']}` brings a command `{reserved['command']}`, and that is the interpreter's name"
    return RealisationFailed(
        f"the locked packages could not be installed: {cause}",
        hint="ask for another version of the package, or use another package",
    )
