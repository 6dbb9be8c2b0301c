"""Variables that hold lists, such as PATH: how to split their values, edit the elements, and join them again.

This module is on the path of every activation: it imports nothing heavy, not even `json`.
"""

from __future__ import annotations

from esker.formats.json_text import parse, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

__all__ = [
    "ACTIVE_ENVIRONMENTS",
    "DATA_DIRECTORIES",
    "LISTS",
    "PROMPT_ENVIRONMENTS",
    "STARTS",
    "active_element",
    "active_environments",
    "active_generation",
    "active_mode",
    "dot_flox_of",
    "edited",
    "elements",
    "joined",
    "project_of",
    "put_before",
    "without_duplicates",
]

ACTIVE_ENVIRONMENTS = "_FLOX_ACTIVE_ENVIRONMENTS"
PROMPT_ENVIRONMENTS = "FLOX_PROMPT_ENVIRONMENTS"
STARTS = "_ESKER_STARTS"
"""The variable with the identities of the plans whose variables and hook a process has inherited, newest first."""

_COLON_LISTS = """
ACLOCAL_PATH CLASSPATH CMAKE_PREFIX_PATH CPATH CPLUS_INCLUDE_PATH C_INCLUDE_PATH DYLD_FALLBACK_LIBRARY_PATH
DYLD_LIBRARY_PATH FLOX_ENV_DIRS GI_TYPELIB_PATH GOPATH INFOPATH JUPYTER_PATH LD_LIBRARY_PATH LIBRARY_PATH LUA_PATH
MANPATH NODE_PATH OBJC_INCLUDE_PATH PATH PERL5LIB PKG_CONFIG_PATH PYTHONPATH QML2_IMPORT_PATH QT_PLUGIN_PATH RUBYLIB
TERMINFO_DIRS XDG_CONFIG_DIRS XDG_DATA_DIRS
"""
LISTS = dict.fromkeys(_COLON_LISTS.split(), ":")
"""The variables that are lists, with the separator of their elements; `[` means a JSON array."""
LISTS.update({STARTS: ":", PROMPT_ENVIRONMENTS: " ", ACTIVE_ENVIRONMENTS: "["})

DATA_DIRECTORIES = ("/usr/local/share/", "/usr/share/")
"""What an XDG_DATA_DIRS that is empty or not set stands for: https://specifications.freedesktop.org/basedir-spec/latest/"""

_WITHOUT_DUPLICATES = frozenset({"PATH", "MANPATH"})


def elements(name: str, value: str | None) -> list[str]:
    """Return the elements of a list variable; an empty value or None gives no elements."""
    if not value:
        return []
    if LISTS[name] != "[":
        return value.split(LISTS[name])
    return [render(element) for element in active_environments(value)]


def joined(name: str, parts: Iterable[str]) -> str:
    """Return the value of a list variable with these elements."""
    return f"[{','.join(parts)}]" if LISTS[name] == "[" else LISTS[name].join(parts)


def edited(
    name: str,
    value: str | None,
    prepend: Sequence[str] = (),
    append: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> str:
    """Return the value of a list variable with elements added and removed.

    An element that is put in front is removed from the rest of the list. Only names in the prompt may occur twice,
    because two environments may have the same name.
    """
    rest = [element for element in elements(name, value) if element not in remove]
    if name != PROMPT_ENVIRONMENTS:
        # An empty element has a meaning that depends on its position (in MANPATH it is the default path), so it stays.
        rest = [element for element in rest if not element or element not in prepend]
    parts = [*prepend, *rest, *append]
    if name in _WITHOUT_DUPLICATES:
        # Only the first copy of a directory counts, and without this each nested activation would make PATH longer.
        parts = [part for index, part in enumerate(parts) if not part or part not in parts[:index]]
    return joined(name, parts)


def put_before(value: str, others: str | None, separator: str) -> str:
    """Return a list, which need not be in `LISTS`, with the elements of `value` first and then those of `others`."""
    parts = value.split(separator)
    rest = others.split(separator) if others else []
    return separator.join([*parts, *(part for part in rest if not part or part not in parts)])


def without_duplicates(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables, with later copies of the same element removed from PATH and MANPATH."""
    return {name: edited(name, value) if name in _WITHOUT_DUPLICATES else value for name, value in variables.items()}


def active_environments(value: str | None) -> list[dict[str, Any]]:
    """Return the elements of `_FLOX_ACTIVE_ENVIRONMENTS`, newest first; no elements if it is not a JSON array."""
    try:
        parts = parse(value) if value else []
    except ValueError:
        return []
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def active_mode(dot_flox: str, value: str | None) -> str | None:
    """Return the mode in which the environment at `dot_flox` is active, or None if it is not active.

    `value` is that of the variable ACTIVE_ENVIRONMENTS.
    """
    word = active_element(dot_flox, value).get("mode")
    return next((mode for mode in ("dev", "run") if word == mode), None)


def active_generation(dot_flox: str, value: str | None) -> int | None:
    """Return the generation that the environment at `dot_flox` is active with, or None if it is not active with one.

    `value` is that of the variable ACTIVE_ENVIRONMENTS.
    """
    number = active_element(dot_flox, value).get("generation")
    return number if type(number) is int else None


def active_element(dot_flox: str, value: str | None) -> dict[str, Any]:
    """Return the element of the environment at `dot_flox`; an empty one if it is not active.

    `value` is that of the variable ACTIVE_ENVIRONMENTS.
    """
    return next((element for element in active_environments(value) if dot_flox_of(element) == dot_flox), {})


def project_of(element: Mapping[str, Any]) -> str | None:
    """Return the project of an element of `_FLOX_ACTIVE_ENVIRONMENTS`; one without `.flox` is said beside it."""
    project, dot_flox = element.get("project"), dot_flox_of(element)
    if isinstance(project, str):
        return project
    return None if dot_flox is None else dot_flox.rpartition("/")[0] or "/"


def dot_flox_of(element: Mapping[str, Any]) -> str | None:
    """Return the path of the `.flox` in an element of `_FLOX_ACTIVE_ENVIRONMENTS`, in Flox's present or older form."""
    environment = element.get("environment", element)
    path = environment.get("path") if isinstance(environment, dict) else None
    return path if isinstance(path, str) else None
