"""Edits of a manifest: from text to text, with every comment, blank line and order kept.

tomlkit edits what is there. Where a new key belongs right below a header, or a new table at the end, lines are put in
as text, because tomlkit would put them behind the comment of the next table. Whatever the way, the new text is read
again and must say exactly what was meant.
"""

import copy
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from esker.declare import notations
from esker.declare.validate import read_text
from esker.errors import EskerError, NotFound, UsageError
from esker.formats.manifest import PLUGINS_SINCE, SCHEMAS, LockedOutputs, Manifest, migrate
from esker.formats.toml_positions import positions
from esker.formats.typed_tables import Path, Refusal, dotted, near

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from tomlkit import TOMLDocument

__all__ = ["Edit", "with_requirements", "without_requirements"]

_PYTHON: Path = ("plugins", "esker", "python")


class Edit(NamedTuple):
    """A new text of a manifest, and what to tell about it, one line each."""

    text: str
    messages: tuple[str, ...]


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
    if esker.python and esker.python.project:
        raise EskerError(
            f"the Python packages of this environment are those of `{esker.python.project}`",
            hint=f"add them there, or replace `project` in [{dotted(_PYTHON)}] by `dependencies`",
        )
    text, messages = _migrated(text, manifest, locked)
    present = list(esker.python.dependencies) if esker.python else []
    dependencies = list(present)
    for requirement in wanted:
        messages.append(_put(dependencies, requirement))
    if dependencies != present:
        text = _with_dependencies(text, dependencies)
    if python_version is not None and not (esker.python and esker.python.version):
        text = _with_keys(text, _PYTHON, {"version": _written(notations.specifier, python_version)})
    return Edit(text, tuple(messages))


def without_requirements(text: str, requirements: Sequence[str]) -> Edit:
    """Take Python packages, given by name, out of `[plugins.esker.python]`; NotFound for one that is not there."""
    wanted = [_parsed(_written(notations.requirement, requirement)) for requirement in requirements]
    _, esker = read_text(text)
    dependencies = list(esker.python.dependencies) if esker.python else []
    names = [_name(present) for present in dependencies]
    for requirement in wanted:
        if _name(requirement) not in names:
            hint = near(_name(requirement), names) or f"installed are: {', '.join(names) or 'none'}"
            raise NotFound(f"no package named '{requirement.name}' in the manifest", hint=hint)
    leaving = {_name(requirement) for requirement in wanted}
    kept = [present for present in dependencies if _name(present) not in leaving]
    messages = (f"━ `{name}` uninstalled" for name in dict.fromkeys(_name(requirement) for requirement in wanted))
    return Edit(_with_dependencies(text, kept) if kept != dependencies else text, tuple(messages))


def _written(notation: Callable[[str], str], text: str) -> str:
    """Return what a text on the command line means."""
    try:
        return notation(text)
    except Refusal as refusal:
        raise UsageError(refusal.message, hint=refusal.hint) from None


def _parsed(text: str) -> "Requirement":
    from packaging.requirements import Requirement

    return Requirement(text)


def _name(requirement: "Requirement | str") -> str:
    """Return the name of a requirement as indexes compare it."""
    from packaging.utils import canonicalize_name

    return canonicalize_name((_parsed(requirement) if isinstance(requirement, str) else requirement).name)


def _put(dependencies: list[str], requirement: str) -> str:
    """Put a requirement into a list, at the place of the one it replaces, and return what to tell."""
    new = _parsed(requirement)
    same = [index for index, present in enumerate(dependencies) if _name(present) == _name(new)]
    if not same:
        dependencies.append(requirement)
        return f"✔ `{requirement}` installed"
    old = dependencies[same[0]]
    bare = new.name == str(new)
    if bare or any(_parsed(dependencies[index]) == new for index in same):
        return f"! `{old if bare else requirement}` is already installed"
    if len(same) > 1:
        raise EskerError(f"`{new.name}` stands in the manifest more than once", hint="edit its lines: esker edit")
    dependencies[same[0]] = requirement
    return f"✔ `{requirement}` installed in place of `{old}`"


def _migrated(text: str, manifest: Manifest, locked: Iterable[LockedOutputs] | None) -> tuple[str, list[str]]:
    """Return a text whose schema has plugins, and what was changed for it."""
    if SCHEMAS.index(manifest.schema) >= SCHEMAS.index(PLUGINS_SINCE):
        return text, []
    migrated = migrate(manifest, PLUGINS_SINCE, locked)
    key = "version" if manifest.schema == "1" else "schema-version"
    lines = text.split("\n")
    number = positions(text)[(key,)] - 1
    pattern = rf"""^(\s*)["']?{key}["']?(\s*=\s*)(?:"[^"]*"|'[^']*'|[^#\s]+)"""
    lines[number] = re.sub(pattern, rf'\g<1>schema-version\g<2>"{PLUGINS_SINCE}"', lines[number])
    text = "\n".join(lines)
    was = "`version = 1`" if manifest.schema == "1" else f"schema {manifest.schema}"
    messages = [f"! the manifest now follows schema {PLUGINS_SINCE} in place of {was}"]
    for name, package in migrated.install.items():
        if package != manifest.install[name]:
            text = _with_keys(text, ("install", name), {"outputs": "all"})
            messages.append(f'! `{name}` now has `outputs = "all"`, which every package of `version = 1` had')
    assert read_text(text)[0] == migrated
    return text, messages


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


def _written_out(document: "TOMLDocument", before: str) -> str:
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


def _expected(candidates: Iterable[str], values: Mapping[str, Any]) -> str:
    """Return the first text that says exactly `values`."""
    for candidate in candidates:
        try:
            if tomllib.loads(candidate) == values:
                return candidate
        except tomllib.TOMLDecodeError:
            continue
    raise EskerError("this manifest is laid out in a way that cannot be edited for you", hint="edit it: esker edit")


def _at(values: Any, path: Path) -> Any:
    for key in path:
        values = values.get(key) if values is not None else None
    return values
