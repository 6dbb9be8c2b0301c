"""The environment of a derivation as `nix print-dev-env --json` prints it.

    {"variables": {NAME: {"type": TYPE, "value": VALUE}},
     "bashFunctions": {NAME: BODY},
     "structuredAttrs": {FILE: TEXT}}

TYPE is `exported` or `var` with a text, `array` with a list of texts, `associative` with texts by name, or `unknown`,
which has no value. A function has its body alone, without the braces around it. `structuredAttrs` is there only for a
derivation with `__structuredAttrs`; its keys are `.attrs.json` and `.attrs.sh`.

Source: `nix develop` and `print-dev-env` of Nix 2.8 and 2.34 (`src/nix/develop.cc`, whose output this describes).
Oddity: the outputs of the derivation have their paths in the store here, while `nix develop` puts directories
`outputs/NAME` of the project in their place, in every text; `without_outputs` does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from esker.formats.untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["DevEnv", "parse", "without_outputs"]

Value = str | tuple[str, ...] | dict[str, str]


class DevEnv(NamedTuple):
    """The environment of a derivation."""

    exported: Mapping[str, str]
    """The variables for programs."""
    others: Mapping[str, str | Sequence[str] | Mapping[str, str]]
    """The variables that only bash sees: texts, arrays, and associative arrays."""
    functions: Mapping[str, str]
    """By name: the body, without the braces around it."""
    attributes: Mapping[str, str] = {}
    """By name: the files of a derivation with structured attributes."""


def parse(text: str) -> DevEnv:
    """Return the environment that a text describes; raises ValueError if it is no such text."""
    record = json_value(text)
    if not isinstance(record, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - what every malformed text raises
    exported: dict[str, str] = {}
    others: dict[str, Value] = {}
    for name, variable in _table(record, "variables").items():
        if not isinstance(variable, dict) or not name.isidentifier():
            raise ValueError(f"`{name}` is not a variable")
        kind, value = variable.get("type"), variable.get("value")
        if kind == "exported":
            exported[name] = _text(name, value)
        elif kind != "unknown":
            others[name] = _value(name, kind, value)
    functions = {name: _text(name, body) for name, body in _table(record, "bashFunctions").items()}
    attributes = {name: _text(name, body) for name, body in _table(record, "structuredAttrs").items()}
    return DevEnv(exported, others, functions, attributes)


def _table(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = record.get(key, {})
    if not isinstance(table, dict):
        raise ValueError(f"`{key}` is not an object")  # noqa: TRY004 - what every malformed text raises
    return table


def _value(name: str, kind: object, value: object) -> Value:
    if kind == "var":
        return _text(name, value)
    if kind == "array" and isinstance(value, list):
        return tuple(_text(name, part) for part in value)
    if kind == "associative" and isinstance(value, dict):
        return {_text(name, key): _text(name, part) for key, part in value.items()}
    raise ValueError(f"`{name}` is of the type `{kind}`, which is not known")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"`{name}` is not a text")
    return value


def without_outputs(env: DevEnv, directory: str) -> DevEnv:
    """Return the environment with `directory/NAME` in place of the path of each output, in every text."""
    outputs = env.exported.get("outputs") or env.others.get("outputs") or ""
    if isinstance(outputs, dict):  # with structured attributes, their paths by name
        pairs: dict[str, object] = dict(outputs)
    else:
        names = outputs.split() if isinstance(outputs, str) else outputs
        pairs = {name: env.exported.get(name) or env.others.get(name) for name in names}
    paths = {
        path: f"{directory}/{name}" for name, path in pairs.items() if isinstance(path, str) and path.startswith("/")
    }

    def changed(text: str) -> str:
        for path, replacement in paths.items():
            text = text.replace(path, replacement)
        return text

    def of_any(value: str | Sequence[str] | Mapping[str, str]) -> Value:
        if isinstance(value, str):
            return changed(value)
        if hasattr(value, "items"):
            return {key: changed(part) for key, part in value.items()}
        return tuple(map(changed, value))

    return DevEnv(
        {name: changed(value) for name, value in env.exported.items()},
        {name: of_any(value) for name, value in env.others.items()},
        {name: changed(body) for name, body in env.functions.items()},
        {name: changed(text) for name, text in env.attributes.items()},
    )
