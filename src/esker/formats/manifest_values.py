"""The kinds of values that a manifest holds: names, systems, numbers, plain values; and the base of its tables."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Annotated, Any

import msgspec

from esker.formats.systems import SYSTEMS
from esker.formats.tables.reader import Parsed, Refusal

__all__ = ["ManifestTable", "Natural", "System", "Systems", "VariableName", "plain", "system", "variable_name"]


def variable_name(name: str) -> str:
    """Return `name` if a manifest may set a variable of that name; raise Refusal if not.

    A shell must be able to set it. Names that begin with `BASH_ENVTRACE_` are reserved by Flox.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise Refusal(f"`{name}` is not the name of a variable", "use letters, digits and underscores, no digit first")
    if name.startswith("BASH_ENVTRACE_"):
        raise Refusal(f"manifest [vars] may not set reserved variable '{name}'", "choose another name")
    return name


def system(name: str) -> str:
    """Return `name` if it is a system that Flox supports; raise Refusal if not."""
    if name not in SYSTEMS:
        supported = ", ".join(SYSTEMS)
        message = f"Unrecognized system in manifest: {name}\n\nSupported systems are: {supported}"
        raise Refusal(message, "correct the name, or remove it from the list")
    return name


def _natural(number: int) -> int:
    if number < 0:
        raise Refusal(f"`{number}` is below zero", "write zero or more")
    return number


_DEEPEST = 64


def plain(value: Any, depth: int = 0) -> Any:
    """Return a plugin's value in a form that JSON can hold, with the keys of each table sorted."""
    if depth > _DEEPEST:
        raise Refusal("values are nested too deeply", f"nest at most {_DEEPEST} levels: a lock holds no more")
    if isinstance(value, dict):
        return {key: plain(value[key], depth + 1) for key in sorted(value)}
    if isinstance(value, list):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise Refusal(f"a lock cannot hold the number `{value}`", "write it as a string")
    return value


Natural = Annotated[int, Parsed(_natural)]
System = Annotated[str, Parsed(system)]
Systems = tuple[Annotated[str, Parsed(system, is_rule=True)], ...]
VariableName = Annotated[str, Parsed(variable_name, is_rule=True)]


class ManifestTable(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True
):
    """A table with fixed keys, which TOML and JSON spell in kebab case."""
