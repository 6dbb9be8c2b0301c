"""Edits of a manifest: each takes a text and returns a new one, with every comment, blank line and the order kept.

`toml_edit` changes the text; here is what a manifest's keys mean.
"""

from __future__ import annotations

import copy
import re
import tomllib
from typing import TYPE_CHECKING, Any, Literal

from esker.declare import notations
from esker.declare.conda_edit import CONDA, conda_names, with_specs, without_specs
from esker.declare.edited import Edit, missing_packages, present_packages
from esker.declare.toml_edit import at, parsed, with_keys, with_list, without_bare_key, without_key
from esker.declare.validate import read_text
from esker.errors import InvalidManifest, NotEditable, NotFound
from esker.formats.manifest import PLUGINS_SINCE, SCHEMAS, LockedOutputs, Manifest, migrate
from esker.formats.tables.positions import positions
from esker.formats.tables.reader import Path, argument

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from packaging.requirements import Requirement

__all__ = [
    "ORIGIN",
    "package_names",
    "touches_activation",
    "with_include",
    "with_names",
    "with_plugins",
    "with_requirements",
    "without_group",
    "without_packages",
    "without_requirements",
]

ORIGIN = "pypi/"
"""The prefix that marks a name as a Python package's where a name of [install] is possible too, as in `pypi/numpy`."""
_PYTHON: Path = ("plugins", "esker", "python")


def with_requirements(
    text: str,
    requirements: Sequence[str],
    *,
    specs: Sequence[str] = (),
    locked: Iterable[LockedOutputs] | None = None,
) -> Edit:
    """Add Python packages, given as PEP 508 requirements, and conda packages, given as specs.

    A requirement replaces one of the same name, unless the new one is only a name. A manifest whose schema has no
    plugins is migrated first; `locked` is what its lock says of the packages' outputs, which the migration needs.

    Raises InvalidManifest for the text; UsageError for an argument that is not a requirement or a spec; and
    NotEditable if the manifest has one of them twice, or if it cannot be edited.
    """
    with argument():
        additions = [notations.requirement(requirement) for requirement in requirements]
        specs = [notations.match_spec(spec) for spec in specs]
    manifest, esker = read_text(text)
    text, notes = with_plugins(text, manifest, locked)
    before = list(esker.python.dependencies) if esker.python else []
    dependencies, edit = list(before), Edit(text, notes)
    for requirement in additions:
        edit = _put(dependencies, requirement, edit)
    if dependencies != before:
        text = with_list(text, _PYTHON, "dependencies", dependencies)
    return with_specs(edit._replace(text=text), specs)


def without_packages(text: str, names: Sequence[str]) -> Edit:
    """Remove packages: from [install], by install id or catalogue name, from the Python or from the conda packages.

    A name that matches nothing in [install] is a conda package's if it begins with `conda/`, or if only those have it;
    else it is a Python package's, with or without `pypi/`.

    Raises InvalidManifest for the text; NotFound for a package that is not in the manifest; UsageError for a name that
    is none; NotEditable for a catalogue name that several packages have, and if the manifest cannot be edited.
    """
    manifest, esker = read_text(text)
    install = manifest.install
    in_python = {_name(each) for each in esker.python.dependencies} if esker.python else set()
    in_conda = conda_names(esker.conda) if esker.conda else []
    ids, python, conda = [], [], []
    for name in names:
        word = name.partition("^")[0]  # as in Flox, outputs may follow the name
        matches = [install_id for install_id, package in install.items() if getattr(package, "pkg_path", None) == word]
        if word in install or len(matches) == 1:
            ids.append(word if word in install else matches[0])
        elif matches:
            listed = ", ".join(matches)
            message = (
                f"multiple packages match '{word}', please specify an install id from possible matches: [{listed}]"
            )
            raise NotEditable(message, hint="name one of them")
        elif word.startswith(CONDA) or (word.lower() in in_conda and word.lower() not in in_python):
            conda.append(word.removeprefix(CONDA))
        else:
            python.append(word.removeprefix(ORIGIN))
    gone = without_specs(text, conda)
    edit = without_requirements(gone.text, python)
    text = edit.text
    for install_id in dict.fromkeys(ids):
        text = without_key(text, ("install", install_id))
    return Edit(text, removed=(*dict.fromkeys(ids), *edit.removed, *gone.removed))


def touches_activation(before: str, after: str) -> bool:
    """Return whether an edit changes variables, hook or profile, which a running activation has applied already.

    An invalid `before` counts as different, since no activation can have read it. Raises InvalidManifest if `after` is
    invalid.
    """
    new = read_text(after)[0]
    try:
        old = read_text(before)[0]
    except InvalidManifest:
        return True
    return (old.vars, old.hook, old.profile) != (new.vars, new.hook, new.profile)


def without_requirements(text: str, requirements: Sequence[str]) -> Edit:
    """Remove Python packages, given by name, from `[plugins.esker.python]`; raises NotFound for a missing one."""
    with argument():
        removals = [_requirement(notations.requirement(requirement)) for requirement in requirements]
    _, esker = read_text(text)
    dependencies = list(esker.python.dependencies) if esker.python else []
    names = [_name(present) for present in dependencies]
    missing = [requirement.name for requirement in removals if _name(requirement) not in names]
    if missing:
        hint = present_packages(missing, {"the manifest": package_names(text)})
        raise NotFound(missing_packages(missing), hint=hint, names=missing)
    removed = tuple(dict.fromkeys(_name(requirement) for requirement in removals))
    remaining = [present for present in dependencies if _name(present) not in removed]
    if remaining != dependencies:
        text = (None if remaining else _without_python(text)) or with_list(text, _PYTHON, "dependencies", remaining)
    return Edit(text, removed=removed)


def package_names(text: str) -> list[str]:
    """Return the names of everything that a manifest declares: ids of [install], Python packages, conda packages."""
    manifest, esker = read_text(text)
    python = esker.python.dependencies if esker.python else ()
    conda = conda_names(esker.conda) if esker.conda else ()
    return list(dict.fromkeys([*manifest.install, *(_name(requirement) for requirement in python), *conda]))


def with_names(text: str, key: Literal["groups", "extras"], names: Sequence[str]) -> str:
    """Add the names of dependency groups, or of extras, to those of the project that the environment installs.

    A name that is there already, in any spelling, stays as it is. Raises InvalidManifest and NotEditable.
    """
    from packaging.utils import canonicalize_name

    python = read_text(text)[1].python
    before = list(getattr(python, key)) if python else []
    present = {canonicalize_name(name) for name in before}
    new = [name for name in names if canonicalize_name(name) not in present]
    return with_list(text, _PYTHON, key, [*before, *new]) if new else text


def without_group(text: str, name: str) -> str | None:
    """Take a dependency group out of those that the environment installs; None if it is not among them, or cannot be.

    It cannot be where its line has a comment.
    """
    from packaging.utils import canonicalize_name

    python = read_text(text)[1].python
    before = list(python.groups) if python else []
    after = [each for each in before if canonicalize_name(each) != name]
    if after == before:
        return None
    return with_list(text, _PYTHON, "groups", after) if after else without_bare_key(text, (*_PYTHON, "groups"))


def with_include(text: str, directory: str, name: str | None) -> str:
    """Include the environment in a directory, above all that is included already; it stays where it is included.

    `name` tells it apart from another of its name; None means its own name.
    """
    import tomlkit

    values = tomllib.loads(text)
    before = list((at(values, ("include",)) or {}).get("environments", []))
    if any(each.get("dir") == directory for each in before if isinstance(each, dict)):
        return text
    new = {"dir": directory} | ({"name": name} if name else {})
    inline = tomlkit.inline_table()
    inline.update(new)
    if before:
        document: Any = parsed(text)
        are_tables = isinstance(document["include"]["environments"], tomlkit.items.AoT)
        return with_list(text, ("include",), "environments", [*before, new if are_tables else inline])
    array = tomlkit.array()  # a list alone would become tables of their own
    array.append(inline)
    return with_keys(text, ("include",), {"environments": array})


def _requirement(text: str) -> Requirement:
    from packaging.requirements import Requirement

    return Requirement(text)


def _name(requirement: Requirement | str) -> str:
    """Return the normalised name of a requirement, as package indexes compare names."""
    from packaging.utils import canonicalize_name

    return canonicalize_name((_requirement(requirement) if isinstance(requirement, str) else requirement).name)


def _put(dependencies: list[str], requirement: str, edit: Edit) -> Edit:
    """Put a requirement into the list, in place of one of the same name, and return the edit with that recorded."""
    new = _requirement(requirement)
    same = [index for index, present in enumerate(dependencies) if _name(present) == _name(new)]
    if not same:
        dependencies.append(requirement)
        return edit._replace(installed=(*edit.installed, requirement))
    old = dependencies[same[0]]
    bare = new.name == str(new)
    if bare or any(_requirement(dependencies[index]) == new for index in same):
        return edit._replace(present=(*edit.present, old if bare else requirement))
    if len(same) > 1:
        raise NotEditable(f"`{new.name}` is in the manifest more than once", hint="leave one of them: esker edit")
    dependencies[same[0]] = requirement
    return edit._replace(replaced=(*edit.replaced, (requirement, old)))


def with_plugins(text: str, manifest: Manifest, locked: Iterable[LockedOutputs] | None) -> tuple[str, tuple[str, ...]]:
    """Return the text in a schema that has plugins, and a note for each change that this needed."""
    if SCHEMAS.index(manifest.schema) >= SCHEMAS.index(PLUGINS_SINCE):
        return text, ()
    migrated = migrate(manifest, PLUGINS_SINCE, locked)
    key = "version" if manifest.schema == "1" else "schema-version"
    lines = text.split("\n")
    number = positions(text)[(key,)] - 1
    pattern = rf"""^(\s*)["']?{key}["']?(\s*=\s*)(?:"[^"]*"|'[^']*'|[^#\s]+)"""
    lines[number] = re.sub(pattern, rf'\g<1>schema-version\g<2>"{PLUGINS_SINCE}"', lines[number])
    text = "\n".join(lines)
    was = "`version = 1`" if manifest.schema == "1" else f"schema {manifest.schema}"
    notes = [f"the manifest now follows schema {PLUGINS_SINCE} in place of {was}"]
    for name, package in migrated.install.items():
        if package != manifest.install[name]:
            text = with_keys(text, ("install", name), {"outputs": "all"})
            notes.append(f'`{name}` now has `outputs = "all"`, which every package of `version = 1` had')
    assert read_text(text)[0] == migrated
    return text, tuple(notes)


def _without_python(text: str) -> str | None:
    """Return the text without its table of Python packages; None if that holds more than packages, or a comment."""
    values, lines, places = tomllib.loads(text), text.split("\n"), positions(text)
    header = places.get(_PYTHON, 0)
    if set(at(values, _PYTHON)) != {"dependencies"} or not lines[header - 1].lstrip().startswith("["):
        return None
    start, blank = lines[: header - 1], "\r" if "\r\n" in text else ""
    while start and not start[-1].strip():
        start.pop()
    for end in range(places[(*_PYTHON, "dependencies")], len(lines) + 1):
        rest = lines[end:] if any(line.strip() for line in lines[end:]) else [""]
        candidate = "\n".join([*start, *([blank] if rest[0].strip() else []), *rest])
        try:
            remaining = tomllib.loads(candidate)
        except tomllib.TOMLDecodeError:
            continue  # the list of packages goes on
        expected = copy.deepcopy(values)
        for depth in range(len(_PYTHON), 0, -1):
            del at(expected, _PYTHON[: depth - 1])[_PYTHON[depth - 1]]
            if remaining == expected:
                return None if any("#" in line for line in lines[header - 1 : end]) else candidate
            if at(expected, _PYTHON[: depth - 1]):
                return None
    return None
