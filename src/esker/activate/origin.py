"""Where a line of a script stands, in a manifest or in a file that the script only sources, for messages about it."""

from __future__ import annotations

import re
import shlex

__all__ = ["place", "position", "sourced", "sourcing"]

_SOURCING = re.compile(r"\. (?P<path>'.*'|\S+) # [0-9a-f]+", re.DOTALL)


def sourcing(path: str, digest: str) -> str:
    """Return the script that sources a file; the `digest` of the file makes it another script after each change."""
    return f". {shlex.quote(path)} # {digest}"


def sourced(script: str) -> str | None:
    r"""Return the path of the file, if a script does nothing but source one, as `sourcing` has written it.

    >>> sourced(sourcing("/it's/a file", "0123abcd")), sourced("echo 1\n. file # 1")
    ("/it's/a file", None)
    """
    match = _SOURCING.fullmatch(script)
    return shlex.split(match["path"])[0] if match else None


def place(manifest: str, script: str, line: int) -> str:
    """Return the path of a manifest with the line in it at which the line `line` of a script stands, `PATH:12`.

    If that is not known, because the script comes from elsewhere or stands in the manifest twice, the text names the
    line of the script. Without a manifest, `manifest` is what has the script, such as a project.
    """
    line = min(line, len(script.rstrip().split("\n")))  # a missing end is found one line further
    try:
        with open(manifest, encoding="utf-8") as file:
            number = position(file.read(), script, line)
    except (OSError, ValueError):
        number = None
    return f"line {line} of the script, {manifest}" if number is None else f"{manifest}:{number}"


def position(text: str, script: str, line: int) -> int | None:
    r"""Return the line of a manifest's text at which the line `line` of a script stands; both count from 1.

    >>> position("[hook]\non-activate = '''\n  echo a\n  fi\n'''\n", "echo a\nfi\n", 2)
    4
    """
    wanted = [part.strip() for part in script.rstrip().split("\n")]
    lines = [part.strip() for part in text.split("\n")]
    first, last = wanted[0], wanted[-1]
    found = []
    for start in range(len(lines) - len(wanted) + 1):
        # The quotes around the script may stand on its first and its last line.
        if len(wanted) == 1:
            matches = lines[start] == first or (first != "" and f"'{first}'" in lines[start].replace('"', "'"))
        else:
            *inner, end = lines[start + 1 : start + len(wanted)]
            begins = lines[start] == first or lines[start].endswith((f"'''{first}", f'"""{first}'))
            matches = begins and inner == wanted[1:-1] and end in {last, f"{last}'''", f'{last}"""'}
        if matches:
            found.append(start)
    return found[0] + line if len(found) == 1 else None
