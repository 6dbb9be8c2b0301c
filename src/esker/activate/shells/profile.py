"""The lines with which a bash sources a project's scripts: those of `[profile]`, and of `[profile.deactivate]`."""

from __future__ import annotations

import os

from esker.activate.bash_file import bash_text
from esker.activate.lists import active_environments, dot_flox_of
from esker.activate.origin import position
from esker.activate.plan import plan_path, read
from esker.activate.shells.assignments import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from esker.activate.plan import Plan

__all__ = ["active_profiles", "fixed_text", "forgotten", "profile", "source", "with_undo", "with_warnings"]

_SOURCED = "_FLOX_SOURCED_PROFILE_SCRIPTS"


def fixed_text(name: str) -> str:
    """Return the text of a `.bash` file of this folder."""
    return bash_text(f"{os.path.dirname(__file__)}/{name}.bash")


def source(dot_flox: str, name: str, script: str) -> str:
    """Return a line that sources a script as if it were a file, so that the script may use `return`.

    If bash cannot parse the script, the line warns, with the place in the manifest. The status alone does not tell this
    from a valid script that fails, so a second bash parses the script without running it. The line needs
    `with_warnings` around it.
    """
    manifest = f"{dot_flox}/env/manifest.toml"
    try:
        with open(manifest, encoding="utf-8") as file:
            first = position(file.read(), script, 1)
    except (OSError, ValueError):
        first = None
    count = len(script.rstrip().split("\n"))
    before = "" if first is None else str(first - 1)
    words = (quoted(name), quoted(script), str(count), quoted(manifest), quoted(before))
    sourced = f"\\builtin . <(\\builtin printf '%s\\n' {words[1]})"
    return f"{sourced}; [[ $? == 0 ]] || _esker_mistake {' '.join(words)}"


def profile(plan: Plan) -> Iterator[str]:
    """Yield the line that sources an environment's scripts, unless this very shell has done so already.

    The shell remembers the environments in a variable that is not exported, so that a child shell begins without it.
    """
    names = [name for name in ("common", "bash") if name in plan.profile]
    if names or plan.deactivate:
        sources = "; ".join(source(plan.dot_flox, f"profile.{name}", plan.profile[name]) for name in names)
        word = quoted(plan.flox_env)
        record = f"{_SOURCED}=${{{_SOURCED}-}}:{word}:"
        yield f"case ${{{_SOURCED}-}} in *:{word}:*) ;; *) {record}; {sources or ':'} ;; esac"


def forgotten(link: str, sources: Iterable[str] = ()) -> Iterator[str]:
    """Yield the lines that make a shell forget that it has sourced an environment's scripts.

    They also run `sources`, the lines that source `[profile.deactivate]`. A shell that has not sourced the scripts does
    nothing, because it has nothing to undo.
    """
    word = quoted(link)
    yield f"case ${{{_SOURCED}-}} in *:{word}:*)"
    yield f"{_SOURCED}=${{{_SOURCED}//:{word}:}}"
    yield from sources
    yield ";; esac"


def with_undo(lines: list[str], program: str) -> list[str]:
    """Return `lines`, which source profile scripts, and around them those that add the changes to `_ESKER_UNDO`."""
    if not lines:
        return []
    return [fixed_text("before_profile"), *lines, f"_esker_program={quoted(program)}", fixed_text("after_profile")]


def active_profiles(plan: Plan, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines that source the scripts of every active environment, the oldest first."""
    for element in reversed(active_environments(environ.get("_FLOX_ACTIVE_ENVIRONMENTS"))):
        dot_flox = dot_flox_of(element)
        older = read(plan_path(os.path.dirname(dot_flox), element.get("mode", "dev"))) if dot_flox else None
        if older is not None and dot_flox != plan.dot_flox:
            yield from profile(older)
    yield from profile(plan)


def with_warnings(sources: Iterable[str]) -> list[str]:
    """Return lines that `source` has made; before them the function that warns is defined, and after them removed."""
    lines = list(sources)
    return [fixed_text("mistake"), *lines, "\\builtin unset -f _esker_mistake"] if lines else []
