"""Changing an environment: its manifest, the project's pyproject.toml, its name, and deleting it.

New texts are checked, locked and realised beside the old ones and then swapped in; if anything fails before, the old
ones stay.
"""

from __future__ import annotations

import json
import os
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from esker.activate.lists import ACTIVE_ENVIRONMENTS, active_generation
from esker.declare import consent, notations, project_directory
from esker.declare.load import environment_name, load, manifest_path
from esker.errors import EskerError, GenerationActive, HostError, InvalidManifest, ServiceError
from esker.formats.manifest import parse
from esker.formats.tables.reader import argument
from esker.host import files, scratch, trees
from esker.lock.changes import package_changes
from esker.lock.compose import composed
from esker.lock.lock_files import lock_paths, rendered, replaced
from esker.lock.packages import choice
from esker.lock.resolve import readable_lock, with_inputs_of
from esker.runtimes.native.links import Made, check_installable
from esker.runtimes.native.locking import locked_project
from esker.runtimes.native.preparation import prepare_stale, realised
from esker.runtimes.native.project_lock import alone
from esker.runtimes.native.swap import check_swappable, put_in_order, swapped
from esker.services.supervised.supervisor_record import services_are_running

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from packaging.pylock import Pylock

    from esker.declare.declaration import Declaration
    from esker.lock.changes import PackageChange
    from esker.lock.lock_files import Lock
    from esker.progress import Progress
    from esker.runtimes.native.project_file import ProjectFile
    from esker.settings import Settings

__all__ = [
    "Change",
    "Effect",
    "Renewed",
    "Texts",
    "change",
    "check_changeable",
    "delete",
    "rename",
]

Effect = Literal["install", "write", "try"]
"""How far a change goes: to the installed environment, only to the files that people write, or nowhere."""


class Texts(NamedTuple):
    """What the files of a project are to say; None stands for what they say now."""

    manifest: str | None = None
    pyproject: str | None = None
    """Of the pyproject.toml that the manifest names."""
    file: ProjectFile | None = None
    """That pyproject.toml as it was when `pyproject` was made from it."""
    bounded: Callable[[Pylock], str] | None = None
    """Gives the text of the pyproject.toml with lower bounds, which are the versions that were locked without them."""


class Renewed(NamedTuple):
    """What does not stay as the lock has it."""

    packages: frozenset[str] = frozenset()
    """The names of packages whose versions are free."""
    includes: Collection[str] | None = None
    """The names of included environments that are merged as they are locked now; an empty collection stands for all."""


class Change(NamedTuple):
    """What a change of an environment came to."""

    differs: bool
    """Whether the manifest, or the project's own pyproject.toml, has another text."""
    before: Lock | None = None
    after: Lock | None = None
    """The locks before and after, if one was made."""
    pyproject: str | None = None
    """The new text of the pyproject.toml; None if it is left alone."""

    def packages(self) -> list[PackageChange]:
        """Return what has changed in the lock."""
        return [] if self.after is None else package_changes(self.before, self.after)


def check_changeable(project: str, environ: Mapping[str, str]) -> None:
    """Raise GenerationActive if the environment of `project` is active here with a generation that was chosen."""
    number = active_generation(f"{project}/.flox", environ.get(ACTIVE_ENVIRONMENTS))
    if number is not None:
        raise GenerationActive(
            "Cannot modify environments that are activated with a specific generation",
            hint=f"generation {number} is active here: leave it first (`exit`), or change it from another shell",
        )


def change(
    project: str,
    texts: Texts,
    settings: Settings,
    *,
    before: str | None = None,
    effect: Effect = "install",
    renewed: Renewed | None = None,
    progress: Progress,
) -> Change:
    """Make these `texts` the manifest and the pyproject.toml of `project`, lock them, and install what is locked.

    A lock that is missing is made even if the texts stay as they are; with `renewed` a new one is made in any case.
    With the effect `write` nothing is locked, with `try` nothing is written. Packages of `[install]` that the change
    leaves alone need not be here. If anything fails, manifest, pyproject.toml, lock and links stay as they were. Raises
    HostError when the manifest on disk is not the text `before` by now, from which the new one was made.
    """
    put_in_order(project)
    path = manifest_path(project)
    before = _text(path) if before is None else before
    text = before if texts.manifest is None else texts.manifest
    declaration = load(project, manifest=text)
    file = texts.file
    differs = text != before or (file is not None and file.before != texts.pyproject)
    if not differs and renewed is None and (effect == "write" or _has_lock(declaration)):
        return Change(differs=False)
    if effect != "write":
        declaration = composed(declaration, settings, upgrade=renewed.includes if renewed else None)
    declaration = msgspec.structs.replace(declaration, pyproject=texts.pyproject)
    if effect == "try":
        return _locked(declaration, texts, settings, renewed, progress)._replace(differs=differs)
    with alone(project), consent.carried(project, settings, text) as is_allowed:
        _check_unchanged(path, before, file)
        if effect == "write":
            _write(path, text, file, texts.pyproject)
            return Change(differs, pyproject=texts.pyproject)
        check_swappable(project)  # before the work, which may be long
        check_installable(declaration, settings)
        made = _locked(declaration, texts, settings, renewed, progress)
        assert made.after is not None
        paths, locks = lock_paths(declaration), rendered(made.after)
        assert locks["manifest"] is not None
        kept = _unchanged_packages(declaration, before, made.before)
        interpreters = settings.interpreters(progress)
        with file.restored_on_failure(made.pyproject) if file else nullcontext():
            # Before the project is built, because its build reads this file, and before the manifest, which may name
            # groups that are new in it. A kill from here on leaves a lock that is stale, and so is made again.
            with file.replaced(made.pyproject) if file else nullcontext():
                _check_unchanged(path, before, file)
            with realised(
                declaration, Made(text, made.after, locks), settings, interpreters, dispensable=kept, progress=progress
            ) as links:
                _check_unchanged(path, before, None)
                contents = {"manifest.toml": text.encode(), "manifest.lock": locks["manifest"]}
                python, conda = (replaced(paths[kind], locks[kind]) for kind in ("python", "conda"))
                with python, conda, swapped(project, contents):
                    links.switch(keep_rollback=False)  # it may fail, for example on a full disk; the others now cannot
    if is_allowed:
        _plan_for_prompt(project, settings)
    return made._replace(differs=differs)


def _plan_for_prompt(project: str, settings: Settings) -> None:
    """Make the plan that the prompt takes next, because it makes none itself."""
    with suppress(EskerError):  # the prompt then names `esker activate`, which says what is wrong
        prepare_stale(project, settings)


def _locked(
    declaration: Declaration,
    texts: Texts,
    settings: Settings,
    renewed: Renewed | None,
    progress: Progress,
) -> Change:
    """Return the locks before and after, and the text of the pyproject.toml with its bounds; nothing is written."""
    before = readable_lock(declaration)
    upgrade = (renewed.packages if renewed else None) or False
    made, _ = locked_project(declaration, settings, settings.interpreters(progress), upgrade=upgrade, progress=progress)
    pyproject = texts.pyproject
    if texts.bounded is not None and made.python is not None:
        pyproject = texts.bounded(made.python)
        made = with_inputs_of(msgspec.structs.replace(declaration, pyproject=pyproject), made, settings)
    return Change(differs=False, before=before, after=made, pyproject=pyproject)


def _write(path: str, text: str, file: ProjectFile | None, pyproject: str | None) -> None:
    """Write the texts alone, and lock nothing."""
    with (
        project_directory.writable(path.removesuffix("/env/manifest.toml"), "env", mode=0o755) as directory,
        file.restored_on_failure(pyproject) if file else nullcontext(),
    ):
        with file.replaced(pyproject) if file else nullcontext():
            pass
        files.write_changed(path, text.encode(), mode=0o644, directory=directory)


def _has_lock(declaration: Declaration) -> bool:
    paths, esker = lock_paths(declaration), declaration.esker
    return (
        os.path.exists(paths["manifest"])
        and (esker.python is None or os.path.exists(paths["python"]))
        and (esker.conda is None or os.path.exists(paths["conda"]))
    )


def rename(project: str, name: str) -> str:
    """Give the environment of `project` another name, and return its old name.

    The next activation makes links of the new name. The old links stay, because programs that run have them on PATH.
    """
    path = f"{project}/.flox/env.json"
    old = environment_name(project)
    with argument():
        new = notations.name_of_environment(name)
    with alone(project), files.refused("change", path):
        with open(path, encoding="utf-8") as file:
            pointer = json.load(file)
        text = json.dumps({**pointer, "name": new}, indent=2) + "\n"
        with project_directory.opened(f"{project}/.flox") as directory:
            files.write_changed(path, text.encode(), mode=0o644, directory=directory)
    return old


def delete(project: str) -> None:
    """Remove the environment of `project` with all that Esker keeps for it; its store paths can be collected then.

    Raises ServiceError while its services run.
    """
    dot_flox = f"{project}/.flox"
    if services_are_running(dot_flox):
        hint = f"stop them first: esker services stop -d {project}"
        raise ServiceError(f"services of `{project}` are running", hint=hint)
    gone = f"{project_directory.GONE}{os.urandom(6).hex()}"
    with files.refused("delete", dot_flox), project_directory.opened_project(project) as directory:
        scratch.clear(project, project_directory.GONE)
        os.rename(".flox", gone, src_dir_fd=directory, dst_dir_fd=directory)
        trees.remove_tree(f"{project}/{gone}", directory=directory)


def _text(path: str) -> str:
    return files.read_text(path, InvalidManifest)


def _unchanged_packages(declaration: Declaration, before: str, lock: Lock | None) -> list[str]:
    """Return the names of the packages of `[install]` that the text of the manifest `before` declares too.

    Those that come from included environments were declared before if the `lock` has them.
    """
    try:
        old = parse(before)
    except InvalidManifest:
        return []
    sources = [*([lock.lockfile.manifest] if lock and declaration.layers else []), old]
    chosen = {name: choice(package, source) for source in sources for name, package in source.install.items()}
    now = declaration.manifest
    return [name for name, package in now.install.items() if chosen.get(name) == choice(package, now)]


def _check_unchanged(path: str, before: str, file: ProjectFile | None) -> None:
    """Raise HostError if the manifest or the pyproject.toml is another one by now, or if the latter is read-only."""
    if _text(path) != before:
        raise HostError(
            f"`{path}` was changed by somebody else at the same time", hint="nothing was changed here: do it again"
        )
    if file is not None:
        file.check_unchanged()
        file.check_writable()
