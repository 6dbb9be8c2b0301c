"""The packages of an environment as a tree, for people and for programs."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

from esker.declare.conda_edit import CONDA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from esker.lock.graph import Graph, Need

__all__ = ["as_lines", "as_records"]


def as_lines(known: Graph, depth: int | None = None) -> Iterator[str]:
    """Yield the lines of the tree: a place, then what it declares, and below each package what that needs."""
    for record in as_records(known, depth):
        yield record["declared"]
        yield from _lines(record["packages"], "")


def _lines(records: Sequence[dict[str, Any]], before: str) -> Iterator[str]:
    for index, record in enumerate(records):
        is_last = index == len(records) - 1
        extras, wanted = _asked(record)
        repeated = " (*)" if record["repeated"] else ""
        yield f"{before}{'└── ' if is_last else '├── '}{record['name']}{extras} {record['version']}{wanted}{repeated}"
        yield from _lines(record["needs"], before + ("    " if is_last else "│   "))


def _asked(record: dict[str, Any]) -> tuple[str, str]:
    """Return the extras and the versions that the requirement of a package asks for, as they are shown."""
    text: str = record["requirement"]
    if record["name"].startswith(CONDA):
        versions = text.rpartition("::")[2][len(record["name"]) - len(CONDA) :].strip()
        return "", f" ({versions})" if versions else ""
    requirement = Requirement(text)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return extras, f" ({requirement.specifier})" if requirement.specifier else ""


def as_records(known: Graph, depth: int | None = None) -> list[dict[str, Any]]:
    """Return the tree as `--json` shows it; a package that was shown with its needs before is `repeated`, without."""
    shown: set[str] = set()
    return [
        {"declared": place, "packages": [_record(known, need, depth, shown) for need in needs if _is_here(known, need)]}
        for place, needs in groupby(known.declared, key=lambda need: need.source)
    ]


def _is_here(known: Graph, need: Need) -> bool:
    return need.target in known.versions


def _record(known: Graph, need: Need, depth: int | None, shown: set[str]) -> dict[str, Any]:
    below = known.needs.get(need.target, ())
    record = {
        "name": need.target,
        "version": known.versions[need.target],
        "requirement": need.requirement,
        "repeated": need.target in shown and bool(below),
        "needs": [],
    }
    if need.target not in shown and depth != 1:
        shown.add(need.target)
        record["needs"] = [_record(known, each, depth and depth - 1, shown) for each in below]
    return record
