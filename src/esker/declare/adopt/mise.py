"""`mise.toml`: of the tools that mise installs those that conda has, the range of Python, and plain variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esker.declare.adopt.found import Found, NotTaken, Spec, Unreadable, left_out, misspelt
from esker.declare.adopt.variables import variables
from esker.declare.adopt.version_files import python_range, tool
from esker.formats.tables.positions import positions
from esker.formats.untrusted import toml_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.declare.adopt.found import Read

__all__ = ["mise"]

_REASONS = {
    "hooks": "write scripts into [hook]",
    "tasks": "write what runs in the environment into scripts, or as [services]",
}
_DIRECTIVES = {"_": "write what it does into [hook]", "mise": "it is about mise itself"}
"""Keys of `[env]` that are no variables."""
_MISES_OWN = {"alias", "min_version", "plugins", "settings", "shell_alias", "tool_alias", "vars"}
"""What is about mise itself; `vars` are only for its templates."""


def mise(text: str, file: str, _: Read) -> Found:
    """Return the tools and the variables that a mise.toml names; raises Unreadable if it is not valid."""
    try:
        values = toml_table(text)
    except ValueError as error:
        raise Unreadable("it is not valid TOML") from error
    lines = positions(text)
    told = list(_unread(values, file, lines))
    tools = values.get("tools")
    python, specs = None, []
    for key, value in (tools if isinstance(tools, dict) else {}).items():
        name = key.removeprefix("core:")
        try:
            if name == "python":
                python = python_range(_version(value))
            else:
                specs.append(Spec(tool(name, _version(value))))
        except NotTaken as reason:
            told.append(left_out(f"{file}:{lines['tools', key]}", key, reason))
    taken, without = _variables(values.get("env"), file)
    return Found(
        file,
        python=python,
        specs=tuple(dict.fromkeys(specs)),
        variables=taken,
        left_out=(*told, *without),
    )


def _variables(table: object, file: str) -> tuple[dict[str, str], list[str]]:
    """Return the variables of `[env]`, and a line for each thing that is left out."""
    if isinstance(table, list):
        return {}, [left_out(file, "[[env]]", "write its variables into [vars]")]
    entries = table if isinstance(table, dict) else {}
    taken, told = variables({name: value for name, value in entries.items() if name not in _DIRECTIVES}, file)
    return taken, [
        *(left_out(file, f"env.{name}", _DIRECTIVES[name]) for name in entries if name in _DIRECTIVES),
        *told,
    ]


def _version(value: Any) -> str:
    """Return the version of a tool: of a list the first, as mise puts it first on PATH."""
    first = value[0] if isinstance(value, list) and value else value
    version = first.get("version") if isinstance(first, dict) else first
    if not isinstance(version, str):
        raise NotTaken("it does not say which version")
    return version


def _unread(values: Mapping[str, Any], file: str, lines: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    """Yield a line for each table that is about the project and not read, and for a slip."""
    for key in values:
        if key in {"tools", "env"} or key in _MISES_OWN:
            continue
        slip = None if key in _REASONS else misspelt(f"{file}:{lines[key,]}", f"[{key}]", ["tools", "env"], values)
        if slip is not None:
            yield slip
        elif values[key]:
            yield left_out(file, f"[{key}]", _REASONS.get(key, "it has no meaning here"))
