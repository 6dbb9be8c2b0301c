"""Values as words of bash, and changes of variables as lines of any shell.

Each variable is written as exactly one line. That is `export NAME='VALUE'` if the value allows it, or
`export NAME="VALUE"` if the value has single quotes but nothing special between double quotes. Otherwise the line first
assigns the value, in a notation for bash and another for every other shell. A value never spreads over several
lines, because some programs read these lines instead of evaluating them. The texts are always valid ASCII or UTF-8,
even if the bytes of a value are not.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.activate.prompt.watched import Watch

__all__ = ["assignments", "quoted", "unchanged"]

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}
_CONTROLS |= {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(128, 256)}
_CONTROLS |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
# A quote is written as \047, so that the quotes are balanced even for a shell that does not know `$''`.
_ESCAPES = {**_CONTROLS, ord("\\"): "\\\\", ord("'"): "\\047"}
_SPECIAL = frozenset('"$`\\')
"""The characters that have a meaning between double quotes; `!` has none in text that is evaluated."""


def quoted(text: str) -> str:
    """Return the text quoted as one word of bash, without line breaks."""
    if text.translate(_CONTROLS) == text:
        return "'" + text.replace("'", "'\\''") + "'"
    return f"$'{text.translate(_ESCAPES)}'"


def assignments(changes: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a line of bash for each variable that is set or, if it is None, unset."""
    for name, value in changes.items():
        if not name.isidentifier() or not name.isascii():
            continue  # a shell cannot have a variable of this name
        if value is None:
            yield f"unset {name}"
        elif (word := quoted(value)) == f"'{value}'":
            yield f"export {name}={word}"
        elif word.startswith("'") and _SPECIAL.isdisjoint(value):
            yield f'export {name}="{value}"'
        elif word.startswith("'"):
            yield f"{name}={word}; export {name}"
        else:
            other = f"{name}=$(printf %b. '{_octal(value)}') && {name}=${{{name}%.}}"
            yield f'[ -z "${{BASH_VERSION-}}" ] && {other} || {name}={word}; export {name}'


def unchanged(watch: Watch) -> Iterator[str]:
    """Yield the conditions for `[[ ]]` of bash and zsh that hold while nothing has changed that is watched.

    A missing file is no newer and no older than another one to zsh, so both have to exist too.
    """
    yield f"$PWD == {quoted(watch.directory)}"
    for path in watch.absent:
        yield f"! -e {quoted(path)}"
    for path, stamp, _ in watch.present:
        file, like = quoted(path), quoted(stamp)
        yield f"-e {file} && -e {like} && ! {file} -nt {like} && ! {file} -ot {like}"


def _octal(text: str) -> str:
    """Return the text escaped for `printf %b`, which every shell has; it can stand between single quotes."""
    plain = {*range(32, 127)} - {ord("'"), ord("\\")}
    return "".join(chr(byte) if byte in plain else f"\\0{byte:03o}" for byte in os.fsencode(text))
