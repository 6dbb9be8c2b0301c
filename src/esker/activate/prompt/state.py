"""What the prompt remembers in a shell: one exported variable, `_ESKER_AT_PROMPT`, which is absent if there is nothing.

A shell that is started inside inherits it together with `_ESKER_UNDO`, and so it can leave what the other has entered.
"""

from __future__ import annotations

from esker.formats import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NamedTuple
else:
    from esker.host.named_tuple import NamedTuple

__all__ = ["VARIABLE", "State", "parse", "render", "suppressed"]

VARIABLE = "_ESKER_AT_PROMPT"


class State(NamedTuple):
    """What the prompt has done in a shell."""

    entered: tuple[tuple[str, str], ...] = ()
    """The environments that the prompt has entered, in this order: path of `.flox` and identity of the plan."""
    suppressed: tuple[str, ...] = ()
    """Those that the user has left by `esker deactivate`, until the directory is left."""
    told: Mapping[str, str] = {}
    """What the user was told of an environment, as a token that changes when there is something else to say."""


def parse(environ: Mapping[str, str]) -> State:
    """Return the state of the shell with these variables; a variable that we cannot have written counts as absent."""
    try:
        record = json_text.parse(environ.get(VARIABLE, "{}"))
        entered = tuple((_text(dot_flox), _text(identity)) for dot_flox, identity in record.get("entered", ()))
        told = {_text(dot_flox): _text(token) for dot_flox, token in record.get("told", {}).items()}
        return State(entered, tuple(map(_text, record.get("suppressed", ()))), told)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return State()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def render(state: State) -> str | None:
    """Return the text of the variable, or None if there is nothing to remember."""
    fields = {"entered": state.entered, "suppressed": state.suppressed, "told": state.told}
    record: dict[str, Any] = {name: value for name, value in fields.items() if value}
    return json_text.render(record) if record else None


def suppressed(environ: Mapping[str, str], dot_flox: str) -> dict[str, str | None]:
    """Return the change of the variable after the user has left an environment; no change if the prompt has no part."""
    state = parse(environ)
    if dot_flox not in dict(state.entered):
        return {}
    entered = tuple(each for each in state.entered if each[0] != dot_flox)
    return {VARIABLE: render(State(entered, (*state.suppressed, dot_flox), state.told))}
