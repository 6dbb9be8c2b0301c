"""Edits of the conda packages in a manifest, `[plugins.esker.conda]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esker.declare.declaration import CondaDependency
from esker.declare.edited import Edit, missing_packages, present_packages
from esker.declare.toml_edit import at, with_list, without_bare_key
from esker.declare.validate import read_text
from esker.errors import NotEditable, NotFound
from esker.formats.conda.specs import package_of_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.declare.declaration import CondaTable
    from esker.formats.tables.reader import Path

__all__ = ["CONDA", "conda_names", "with_specs", "without_specs"]

CONDA = "conda/"
"""The prefix that marks a name as a conda package's, as in `conda/htop`."""
_TABLE: Path = ("plugins", "esker", "conda")


def conda_names(table: CondaTable) -> list[str]:
    """Return the names of the packages that a table declares, in its order, without duplicates."""
    specs = (each.spec if isinstance(each, CondaDependency) else each for each in table.dependencies)
    return list(dict.fromkeys(package_of_spec(spec) or spec for spec in specs))


def with_specs(edit: Edit, specs: Sequence[str]) -> Edit:
    """Add conda packages, given as specs, to the text of an edit; its schema has plugins.

    A spec replaces one of the same name, unless the new one is only a name. Raises NotEditable if the manifest has one
    of them for some systems alone, or twice.
    """
    if not specs:
        return edit
    entries = _entries(edit.text)
    before = list(entries)
    for spec in specs:
        name = package_of_spec(spec)
        same = [index for index, entry in enumerate(entries) if package_of_spec(_spec(entry)) == name]
        if not same:
            entries.append(spec)
            edit = edit._replace(installed=(*edit.installed, f"{CONDA}{spec}"))
            continue
        old = _spec(entries[same[0]])
        if spec == name or any(_spec(entries[index]) == spec for index in same):
            edit = edit._replace(present=(*edit.present, f"{CONDA}{old if spec == name else spec}"))
            continue
        if len(same) > 1 or not isinstance(entries[same[0]], str):
            raise NotEditable(
                f"`{name}` is in `dependencies` of [plugins.esker.conda] for some systems, or more than once",
                hint="change it yourself: esker edit",
            )
        entries[same[0]] = spec
        edit = edit._replace(replaced=(*edit.replaced, (f"{CONDA}{spec}", f"{CONDA}{old}")))
    return edit._replace(text=with_list(edit.text, _TABLE, "dependencies", entries)) if entries != before else edit


def without_specs(text: str, names: Sequence[str]) -> Edit:
    """Remove conda packages, given by name or spec, from every system; raises NotFound for a missing one."""
    if not names:
        return Edit(text)
    entries = _entries(text)
    present = [package_of_spec(_spec(entry)) for entry in entries]
    wanted = {package_of_spec(name) or name: name for name in names}
    if missing := [name for key, name in wanted.items() if key not in present]:
        listed = list(dict.fromkeys(filter(None, present)))
        hint = present_packages(missing, {"[plugins.esker.conda]": listed})
        raise NotFound(missing_packages([f"{CONDA}{name}" for name in missing]), hint=hint)
    remaining = [entry for entry, name in zip(entries, present, strict=True) if name not in wanted]
    path = (*_TABLE, "dependencies")
    gone = (None if remaining else without_bare_key(text, path)) or with_list(text, _TABLE, "dependencies", remaining)
    return Edit(gone, removed=tuple(wanted))


def _entries(text: str) -> list[Any]:
    """Return the list as it is written: texts, and tables for some systems alone."""
    import tomllib

    read_text(text)  # for its errors
    table = at(tomllib.loads(text), _TABLE)
    return list(table.get("dependencies", [])) if table else []


def _spec(entry: Any) -> str:
    return str(entry["spec"] if isinstance(entry, dict) else entry).strip()
