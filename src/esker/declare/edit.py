"""Edits of a manifest: from text to text, with every comment, blank line and order kept.

tomlkit edits what is there. Where a new key belongs right below a header, or a new table at the end, lines are put in
as text, because tomlkit would put them behind the comment of the next table. Whatever the way, the new text is read
again and must say exactly what was meant.
"""

from __future__ import annotations

import copy
import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.declare import notations
from esker.declare.validate import read_text
from esker.errors import EskerError, InvalidManifest, NotFound, UsageError
from esker.formats.manifest import PLUGINS_SINCE, SCHEMAS, LockedOutputs, Manifest, migrate
from esker.formats.tables.positions import positions
from esker.formats.tables.reader import Path, Refusal, dotted, near

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from packaging.requirements import Requirement
    from tomlkit import TOMLDocument

    from esker.declare.declaration import EskerTable

__all__ = ["ORIGIN", "Edit", "touches_activation", "with_requirements", "without_packages", "without_requirements"]

ORIGIN = "pypi/"
"""What a Python package's name follows where there are others too."""
_PYTHON: Path = ("plugins", "esker", "python")


class Edit(NamedTuple):
    """A new text of a manifest, and what became of what was asked for."""

    text: str
    notes: tuple[str, ...] = ()
    """What else was changed for it, one sentence each."""
    installed: tuple[str, ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()
    """What is written now, and what it took the place of."""
    present: tuple[str, ...] = ()
    """What was there already, as it is written."""
    removed: tuple[str, ...] = ()


def with_requirements(
    text: str,
    requirements: Sequence[str],
    python_version: str | None = None,
    *,
    locked: Iterable[LockedOutputs] | None = None,
) -> Edit:
    """Add Python packages, given as PEP 508 requirements, to `[plugins.esker.python]`.

    One of the same name is replaced, unless the new one says nothing but the name. `python_version` is written where no
    version stands yet. A manifest whose schema has no plugins is migrated first; `locked` is what its lock says of
    outputs. Raises InvalidManifest, and UsageError for what is no requirement.
    """
    wanted = [_written(notations.requirement, requirement) for requirement in requirements]
    manifest, esker = read_text(text)
    _refuse_project(esker, "add them there")
    text, notes = _migrated(text, manifest, locked)
    before = list(esker.python.dependencies) if esker.python else []
    dependencies, put = list(before), Edit(text, notes)
    for requirement in wanted:
        put = _put(dependencies, requirement, put)
    if dependencies != before:
        text = _with_dependencies(text, dependencies)
    if python_version is not None and not (esker.python and esker.python.version):
        text = _with_keys(text, _PYTHON, {"version": _written(notations.specifier, python_version)})
    return put._replace(text=text)


def without_packages(text: str, names: Sequence[str]) -> Edit:
    """Take packages out: of [install], by their names there or in the catalogue, or Python packages.

    `pypi/NAME` is a Python package; any other name too, if [install] has none that is meant by it. Raises NotFound for
    one that is not there, and EskerError where a name of the catalogue means several.
    """
    install = read_text(text)[0].install
    ids, python = [], []
    for name in names:
        word = name.partition("^")[0]
        matches = [known for known, package in install.items() if getattr(package, "pkg_path", None) == word]
        if word in install or len(matches) == 1:
            ids.append(word if word in install else matches[0])
        elif matches:
            listed = ", ".join(matches)
            message = (
                f"multiple packages match '{word}', please specify an install id from possible matches: [{listed}]"
            )
            raise EskerError(message, hint="name one of them")
        else:
            python.append(word.removeprefix(ORIGIN))
    removed = without_requirements(text, python).removed
    for known in dict.fromkeys(ids):
        text = _without_key(text, ("install", known))
    return Edit(without_requirements(text, python).text, removed=(*dict.fromkeys(ids), *removed))


def touches_activation(before: str, after: str) -> bool:
    """Return whether two texts of a manifest differ in what a running activation has taken over already.

    The first may be damaged, which no activation can have read; the second may not.
    """
    new = read_text(after)[0]
    try:
        old = read_text(before)[0]
    except InvalidManifest:
        return True
    return (old.vars, old.hook, old.profile) != (new.vars, new.hook, new.profile)


def without_requirements(text: str, requirements: Sequence[str]) -> Edit:
    """Take Python packages, given by name, out of `[plugins.esker.python]`; NotFound for one that is not there."""
    wanted = [_parsed(_written(notations.requirement, requirement)) for requirement in requirements]
    _, esker = read_text(text)
    if wanted:
        _refuse_project(esker, "take them out there")
    dependencies = list(esker.python.dependencies) if esker.python else []
    names = [_name(present) for present in dependencies]
    for requirement in wanted:
        if _name(requirement) not in names:
            hint = near(_name(requirement), names) or f"installed are: {', '.join(names) or 'none'}"
            raise NotFound(f"no package named '{requirement.name}' in the manifest", hint=hint)
    leaving = {_name(requirement) for requirement in wanted}
    kept = [present for present in dependencies if _name(present) not in leaving]
    removed = tuple(dict.fromkeys(_name(requirement) for requirement in wanted))
    return Edit(_with_dependencies(text, kept) if kept != dependencies else text, removed=removed)


def _refuse_project(esker: EskerTable, what: str) -> None:
    """Raise where the packages are a project file's, which is not ours to write."""
    if esker.python and esker.python.project:
        raise EskerError(
            f"the Python packages of this environment are those of `{esker.python.project}`",
            hint=f"{what}, or replace `project` in [{dotted(_PYTHON)}] by `dependencies`",
        )


def _written(notation: Callable[[str], str], text: str) -> str:
    """Return what a text on the command line means."""
    try:
        return notation(text)
    except Refusal as refusal:
        raise UsageError(refusal.message, hint=refusal.hint) from None


def _parsed(text: str) -> Requirement:
    from packaging.requirements import Requirement

    return Requirement(text)


def _name(requirement: Requirement | str) -> str:
    """Return the name of a requirement as indexes compare it."""
    from packaging.utils import canonicalize_name

    return canonicalize_name((_parsed(requirement) if isinstance(requirement, str) else requirement).name)


def _put(dependencies: list[str], requirement: str, edit: Edit) -> Edit:
    """Put a requirement into a list, at the place of the one it replaces, and say so in the edit."""
    new = _parsed(requirement)
    same = [index for index, present in enumerate(dependencies) if _name(present) == _name(new)]
    if not same:
        dependencies.append(requirement)
        return edit._replace(installed=(*edit.installed, requirement))
    old = dependencies[same[0]]
    bare = new.name == str(new)
    if bare or any(_parsed(dependencies[index]) == new for index in same):
        return edit._replace(present=(*edit.present, old if bare else requirement))
    if len(same) > 1:
        raise EskerError(f"`{new.name}` stands in the manifest more than once", hint="edit its lines: esker edit")
    dependencies[same[0]] = requirement
    return edit._replace(replaced=(*edit.replaced, (requirement, old)))


def _migrated(text: str, manifest: Manifest, locked: Iterable[LockedOutputs] | None) -> tuple[str, tuple[str, ...]]:
    """Return a text whose schema has plugins, and what was changed for it."""
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
            text = _with_keys(text, ("install", name), {"outputs": "all"})
            notes.append(f'`{name}` now has `outputs = "all"`, which every package of `version = 1` had')
    assert read_text(text)[0] == migrated
    return text, tuple(notes)


def _with_dependencies(text: str, dependencies: list[str]) -> str:
    """Return the text with other dependencies: lines that stay keep their place and comments."""
    import tomlkit

    table = _at(tomllib.loads(text), _PYTHON)
    if table is None or "dependencies" not in table:
        return _with_keys(text, _PYTHON, {"dependencies": dependencies})
    document: Any = tomlkit.parse(text)
    array = _at(document, _PYTHON)["dependencies"]
    if len(dependencies) < len(array):
        for index in reversed(range(len(array))):
            if array[index].strip() not in dependencies:
                del array[index]
    for index, dependency in enumerate(dependencies):
        if index == len(array):
            array.append(dependency)
        elif array[index] != dependency:
            array[index] = dependency
    return _expected([_written_out(document, text)], _changed(text, _PYTHON, {"dependencies": dependencies}))


def _without_key(text: str, path: Path) -> str:
    """Return the text without a key and all below it."""
    values = tomllib.loads(text)
    table = _at(values, path[:-1])
    del table[path[-1]]
    return _expected(
        _cut(text, path), values if table else {key: values[key] for key in values if key != path[0]}, values
    )


def _cut(text: str, path: Path) -> Iterator[str]:
    """Yield the texts that may be meant: without the lines that speak of the key, or as tomlkit takes it out."""
    import tomlkit

    lines, gone = text.split("\n"), {line for known, line in positions(text).items() if known[: len(path)] == path}
    yield "\n".join(line for number, line in enumerate(lines, 1) if number not in gone)
    document: Any = tomlkit.parse(text)
    del _at(document, path[:-1])[path[-1]]
    yield _written_out(document, text)


def _with_keys(text: str, path: Path, keys: Mapping[str, Any]) -> str:
    """Return the text with new keys in the table at `path`, which is made if it is not there."""
    return _expected(_candidates(text, path, keys), _changed(text, path, keys))


def _candidates(text: str, path: Path, keys: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that may be meant, the best first; not all of them are TOML for every document."""
    import tomlkit

    newline = "\r\n" if "\r\n" in text else "\n"
    items = {key: tomlkit.item(value) for key, value in keys.items()}
    for item in items.values():
        if isinstance(item, tomlkit.items.Array):
            item.multiline(multiline=True)
    written = [line for key, item in items.items() for line in f"{key} = {item.as_string()}".split("\n")]
    lines, number = text.split("\n"), positions(text).get(path)
    if number is not None and lines[number - 1].lstrip().startswith("["):
        below = "\n".join(lines[number:])
        yield newline.join(["\n".join(lines[:number]).removesuffix("\r"), *written, below])
    if number is None:
        yield newline.join([text.rstrip(), "", f"[{dotted(path)}]", *written, ""])
    document: Any = tomlkit.parse(text)
    table = document
    for key in path:
        if key not in table:
            table[key] = {}
        table = table[key]
    table.update(items)
    yield _written_out(document, text)


def _written_out(document: TOMLDocument, before: str) -> str:
    """Return an edited document, its lines ended as those of the text it was read from."""
    text = document.as_string()
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in before else text


def _changed(text: str, path: Path, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a text with other keys in the table at `path`."""
    values = copy.deepcopy(tomllib.loads(text))
    table = values
    for key in path:
        table = table.setdefault(key, {})
    table.update(keys)
    return values


def _expected(candidates: Iterable[str], *values: Mapping[str, Any]) -> str:
    """Return the first text that says exactly one of the `values`."""
    for candidate in candidates:
        try:
            if tomllib.loads(candidate) in values:
                return candidate
        except tomllib.TOMLDecodeError:
            continue
    raise EskerError("this manifest is laid out in a way that cannot be edited for you", hint="edit it: esker edit")


def _at(values: Any, path: Path) -> Any:
    for key in path:
        values = values.get(key) if values is not None else None
    return values
