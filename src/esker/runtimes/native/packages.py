"""Adding packages to an environment, in its manifest or the project's pyproject.toml, removing and upgrading them.

Where the manifest names a pyproject.toml (`project`), packages belong into that file. What the environment needs and
the project does not, such as servers and tools, belongs into the manifest all the same.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from esker.declare import notations
from esker.declare.conda_edit import CONDA
from esker.declare.edit import (
    ORIGIN,
    package_names,
    with_names,
    with_requirements,
    without_group,
    without_packages,
)
from esker.declare.edited import Edit, missing_packages, present_packages
from esker.declare.layers import lock_of
from esker.declare.load import load
from esker.declare.project_file import MAIN, Place, places, with_packages, without_empty_group
from esker.declare.project_file import without_packages as without_project_packages
from esker.errors import NotFound, UsageError
from esker.formats import lockfile
from esker.formats.tables.reader import argument, near
from esker.formats.untrusted import toml_table
from esker.host import files
from esker.lock.lock_files import read_lock
from esker.lock.pyproject import read_pyproject
from esker.runtimes.native.change import Renewed, Texts, change
from esker.runtimes.native.included_packages import check_not_included
from esker.runtimes.native.needed import needed
from esker.runtimes.native.project_file import ProjectFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from packaging.pylock import Pylock

    from esker.declare.declaration import Declaration
    from esker.declare.project_file import Removal
    from esker.formats.manifest import LockedOutputs
    from esker.progress import Progress
    from esker.runtimes.native.change import Change, Effect
    from esker.settings import Settings

__all__ = ["Installation", "Target", "Uninstallation", "install", "locked_outputs", "uninstall", "upgrade"]

_KEYS: Mapping[str, Literal["groups", "extras"]] = {"group": "groups", "optional": "extras"}
"""The keys of the manifest that say which dependency groups and which extras are installed."""

Target = Place | Literal["manifest"] | None
"""Where packages are added or removed: at a place in the pyproject.toml, in the manifest, or where they belong."""


class Installation(NamedTuple):
    """What was added to an environment."""

    change: Change
    edit: Edit
    """What became of each requirement, in the manifest or in the pyproject.toml."""
    place: Place | None
    """The place in the pyproject.toml; None if the packages were added to the manifest."""
    remarks: tuple[str, ...] = ()
    """What else has changed."""


class Uninstallation(NamedTuple):
    """What was removed from an environment."""

    change: Change
    edit: Edit
    """What was removed from the manifest."""
    removals: Sequence[Removal]
    """What was removed from the pyproject.toml."""
    emptied: Sequence[Place] = ()
    """Dependency groups that became empty and so were removed, from the pyproject.toml and from `groups`."""


def install(
    project: str,
    manifest: str,
    requirements: Sequence[str],
    settings: Settings,
    *,
    target: Target = None,
    effect: Effect = "install",
    progress: Progress,
) -> Installation:
    """Add packages to an environment whose manifest has the text `manifest`.

    They are given as PEP 508 requirements or, with `conda/` before them, as specs of conda packages, which belong into
    the manifest. Raises UsageError for what is neither, and for a group or an extra where the manifest names no
    pyproject.toml, and else as `change` does.
    """
    declaration = load(project, manifest=manifest, alone=True)
    specs = [text.removeprefix(CONDA) for text in requirements if text.startswith(CONDA)]
    requirements = [text for text in requirements if not text.startswith(CONDA)]
    _check_specs(specs, target)
    place = _place(declaration, target) if requirements or target else None
    if place is None:
        edit = with_requirements(manifest, requirements, specs=specs, locked=locked_outputs(project))
        made = change(project, Texts(edit.text), settings, before=manifest, effect=effect, progress=progress)
        return Installation(made, edit, None)
    checked = [_checked(text) for text in requirements]
    edit = with_requirements(manifest, [], specs=specs)
    if place.kind != "project":
        edit = edit._replace(text=with_names(edit.text, _KEYS[place.kind], [place.name]))
    read_pyproject(declaration)  # for its errors
    file = ProjectFile.of(declaration)
    edited = partial(with_packages, file.before, file.path, place=place, tools=settings.tools)
    lists = places(toml_table(file.before))
    before = lists.get(place, [])
    texts = Texts(
        manifest=edit.text,
        pyproject=edited(checked),
        file=file,
        bounded=lambda lock: edited([_with_bound(text, before, lock) for text in checked]),
    )
    if (remark := _new_name(place, lists)) is not None:  # before the work: it may be a slip
        progress.remark(remark)
    made = change(project, texts, settings, before=manifest, effect=effect, progress=progress)
    after = places(toml_table(made.pyproject or file.before)).get(place, [])
    remarks = []
    if place.kind != "project" and edit.text != manifest:
        remarks = [f"`{place.name}` is now among `{_KEYS[place.kind]}` in the manifest, so that it is installed"]
    return Installation(made, _compared(edit, before, after, checked), place, tuple(remarks))


def uninstall(
    project: str,
    manifest: str,
    names: Sequence[str],
    settings: Settings,
    *,
    target: Target = None,
    effect: Effect = "install",
    progress: Progress,
) -> Uninstallation:
    """Remove packages from an environment whose manifest has the text `manifest`, by default wherever they stand.

    A dependency group that becomes empty goes too if the manifest names it, as `install --group` makes it do, and if
    nothing else asks for it. Raises NotFound for a package that is not there, with the places where it is, and else as
    `change` does.
    """
    declaration = load(project, manifest=manifest, alone=True)
    python = declaration.esker.python
    if target == "manifest" or python is None or python.project is None:
        _place(declaration, target)
        edit = _removed_from_manifest(declaration, manifest, names, settings.system)
        made = change(project, Texts(edit.text), settings, before=manifest, effect=effect, progress=progress)
        return Uninstallation(made, edit, [])
    read_pyproject(declaration)  # for its errors
    file = ProjectFile.of(declaration)
    specs = [name for name in names if name.startswith(CONDA)]
    _check_specs(specs, target)
    wanted = {canonicalize_name(_name(name)): name for name in names if name not in specs}
    text, removals = without_project_packages(file.before, file.path, list(wanted), target, settings.tools)
    edit = Edit(manifest)
    if target is None or specs:
        gone = {removal.name for removal in removals}
        listed = {canonicalize_name(Requirement(each).name) for each in python.dependencies}
        others = [name for key, name in wanted.items() if key in listed or key not in gone]
        edit = _removed_from_manifest(declaration, manifest, [*others, *specs], settings.system)
    emptied = []
    for place in dict.fromkeys(removal.place for removal in removals if removal.place.kind == "group"):
        pyproject, unlisted = without_empty_group(text, place.name), without_group(edit.text, place.name)
        if pyproject is not None and unlisted is not None:
            emptied.append(place)
            text, edit = pyproject, edit._replace(text=unlisted)
    texts = Texts(edit.text, text, file)
    made = change(project, texts, settings, before=manifest, effect=effect, progress=progress)
    return Uninstallation(made, edit, removals, emptied)


def upgrade(
    project: str, manifest: str, names: Sequence[str], settings: Settings, *, effect: Effect, progress: Progress
) -> Change:
    """Lock packages anew, in the newest versions that are allowed, and install them: all of them if none is named.

    Raises NotFound for a name that is not locked.
    """
    lock = read_lock(load(project, manifest=manifest))
    locked = [each.name for each in lock.python.packages] if lock and lock.python else []
    conda = {f"{CONDA}{each.name}" for each in lock.conda.all_packages()} if lock and lock.conda else set()
    wanted = set()
    for text in names:
        name = text if text.startswith(CONDA) else canonicalize_name(_name(text))
        if name not in locked and f"{CONDA}{name}" in conda:
            name = f"{CONDA}{name}"
        if name not in locked and name not in conda:
            hint = near(name, [*locked, *conda]) or "the packages are listed by: esker list"
            raise NotFound(f"no package `{name}` is locked", hint=hint)
        wanted.add(name)
    renewed = Renewed(frozenset(wanted or {*locked, *conda}))
    return change(project, Texts(), settings, before=manifest, renewed=renewed, effect=effect, progress=progress)


def _check_specs(specs: Sequence[str], target: Target) -> None:
    """Raise UsageError for conda packages where a list of the pyproject.toml is meant, which has Python packages."""
    if specs and isinstance(target, Place):
        named = f"{CONDA}{specs[0].removeprefix(CONDA)}"
        raise UsageError(
            f"`{' '.join(target.options)}` is a list of Python packages, and `{named}` is a conda package",
            hint="conda packages belong in the manifest: name them in a command of their own, without that option",
        )


def _new_name(place: Place, lists: Iterable[Place]) -> str | None:
    """Return what to say of a group or an extra that the pyproject.toml does not have, though it has others."""
    same = [each.name for each in lists if each.kind == place.kind and place.kind != "project"]
    if not same or place.name in same:
        return None
    return f"{place} is new in the pyproject.toml: {near(place.name, same) or 'it has ' + ', '.join(same)}"


def locked_outputs(project: str) -> tuple[LockedOutputs, ...] | None:
    """Return the locked packages of [install] with their outputs, which a migration needs; None without a lock."""
    path = lock_of(project)
    if not os.path.exists(path):
        return None
    return tuple(each for each in lockfile.parse(files.read(path), path).packages if not hasattr(each, "store_path"))


def _place(declaration: Declaration, target: Target) -> Place | None:
    """Return the place in the pyproject.toml that is meant, or None where the manifest is."""
    python = declaration.esker.python
    has_project = python is not None and python.project is not None
    if isinstance(target, Place) and not has_project:
        raise UsageError(
            f"`{' '.join(target.options)}` belongs to a pyproject.toml, but the manifest names none",
            hint='write project = "pyproject.toml" into [plugins.esker.python]: esker edit',
        )
    if target == "manifest" or not has_project:
        return None
    return target or MAIN


def _name(text: str) -> str:
    """Return the name in an argument: with or without the origin, and without outputs, extras and version."""
    word = text.removeprefix(ORIGIN)
    return Requirement(_checked(word.partition("^")[0])).name


def _checked(text: str) -> str:
    with argument():
        requirement = notations.requirement(text)
    if Requirement(requirement).url is not None:
        raise UsageError(
            f"`{text}` names an address, so that no index vouches for its hash",
            hint="name a version that an index has, or write the address into [tool.uv.sources] yourself",
        )
    return requirement


def _with_bound(text: str, before: Sequence[str], lock: Pylock) -> str:
    """Return a requirement with the locked version as its lower bound, if it names no version and is new."""
    requirement = Requirement(text)
    known = {(canonicalize_name(each.name), str(each.marker)) for each in _parsed(before)}
    if requirement.specifier or (canonicalize_name(requirement.name), str(requirement.marker)) in known:
        return text
    name = canonicalize_name(requirement.name)
    versions = [each.version for each in lock.packages if each.name == name and each.version is not None]
    if not versions:  # no system needs it
        return text
    requirement.specifier = SpecifierSet(f">={min(versions).public}")
    return str(requirement)


def _parsed(texts: Iterable[str]) -> Iterator[Requirement]:
    from packaging.requirements import InvalidRequirement

    for text in texts:
        try:
            yield Requirement(text)
        except InvalidRequirement:
            continue


def _compared(edit: Edit, before: Sequence[str], after: Sequence[str], asked: Sequence[str]) -> Edit:
    """Return the edit with what became of each package that was asked for, from the lists before and after."""

    def by_name(texts: Sequence[str]) -> Mapping[str, list[str]]:
        names = {canonicalize_name(each.name) for each in _parsed(texts)}
        return {name: [t for t in texts for r in _parsed([t]) if canonicalize_name(r.name) == name] for name in names}

    old, new = by_name(before), by_name(after)
    installed: list[str] = []
    replaced: list[tuple[str, str]] = []
    present: list[str] = []
    for name in dict.fromkeys(canonicalize_name(Requirement(text).name) for text in asked):
        fresh = [text for text in new.get(name, []) if text not in old.get(name, [])]
        gone = [text for text in old.get(name, []) if text not in new.get(name, [])]
        if not fresh:
            present += old.get(name, [])
        elif len(fresh) == len(gone):
            replaced += zip(fresh, gone, strict=True)
        else:
            installed += fresh
    return edit._replace(
        installed=(*edit.installed, *installed),
        replaced=(*edit.replaced, *replaced),
        present=(*edit.present, *present),
    )


def _removed_from_manifest(declaration: Declaration, manifest: str, names: Sequence[str], system: str) -> Edit:
    """Return the manifest without packages; raises NotFound.

    It says what needs them, or which places in the pyproject.toml have them.
    """
    if not names:
        return Edit(manifest)
    try:
        return without_packages(manifest, names)
    except NotFound as error:
        check_not_included(declaration.project, error.names)
        if (hint := needed(declaration, names, system)) is not None:
            raise NotFound(error.message, hint=hint, names=error.names) from None
        python = declaration.esker.python
        if python is None or python.project is None or not error.names:
            raise
        lists = places(toml_table(ProjectFile.of(declaration).before))
        standing = {
            canonicalize_name(each.name): str(place) for place, texts in lists.items() for each in _parsed(texts)
        }
        missing = [canonicalize_name(name) for name in error.names]
        elsewhere = [f"`{name}` stands in {standing[name]} of {python.project}" for name in missing if name in standing]
        if elsewhere:
            raise NotFound(error.message, hint="; ".join(elsewhere)) from None
        hint = present_packages(missing, {"the manifest": package_names(manifest), python.project: list(standing)})
        raise NotFound(f"{missing_packages(error.names)} or in {python.project}", hint=hint) from None
