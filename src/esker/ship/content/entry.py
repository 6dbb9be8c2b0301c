"""What a container starts with: its command alone, or bash with one script that runs hook and profile before it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from esker.activate.expansion import quoted
from esker.errors import ImageError
from esker.ship.content.secrets import refuse_forms
from esker.ship.image.unit import File

if TYPE_CHECKING:
    from collections.abc import Sequence

    from esker.formats.manifest import Hook, Profile
    from esker.ship.content.variables import Variable

__all__ = ["SCRIPT", "Entry", "entry_script"]

SCRIPT = "/opt/esker/entry"
"""The script's place in the image."""


class Entry(NamedTuple):
    """What a container starts with before its command."""

    entrypoint: tuple[str, ...]
    files: tuple[File, ...]
    why: tuple[str, ...]
    """What needs the script; empty if there is none."""


def entry_script(
    bash: str | None,
    hook: Hook | None,
    profile: Profile | None,
    variables: Sequence[Variable],
    conda: Sequence[str],
    before: Sequence[tuple[str, str]] = (),
) -> Entry:
    """Return the entry point; `bash` is its place in the image, if the image has one.

    `conda` are the files in the image with which conda packages set variables. `before` are scripts that come before
    the hook, each with its name. Raises ImageError if something needs
    bash and there is none, and for a hook that holds what looks like a secret.
    """
    parts = [(f"`{each.name}` of {each.why}", f"export {each.name}={quoted(each.value)}") for each in variables]
    if conda:
        lines = [f"export CONDA_PREFIX={shlex.quote(conda[0].partition('/etc/conda/')[0])}"]
        parts.append(
            ("conda packages that set variables", "\n".join([*lines, *(f". {shlex.quote(p)}" for p in conda)]))
        )
    for name, text in (
        *before,
        ("`hook.on-activate`", hook.on_activate if hook else None),
        ("`profile.common`", profile.common if profile else None),
        ("`profile.bash`", profile.bash if profile else None),
    ):
        if text and text.strip():
            refuse_forms(name, text)
            parts.append((name, text.rstrip("\n")))
    if not parts:
        return Entry((), (), ())
    why = tuple(name for name, _ in parts)
    if bash is None:
        needing, _, reason = why[0].partition(": ")
        raise ImageError(
            f"the image has no bash, which is needed for {needing}{f' ({reason})' if reason else ''}",
            hint="take conda's: esker install conda/bash; or a base that has it; or take out what needs it",
        )
    script = "\n".join(f"# {name}\n{text}" for name, text in parts)
    script = f'#!{bash}\n{script}\n[ "$#" -gt 0 ] || set -- {shlex.quote(bash)}\nexec "$@"\n'
    return Entry((SCRIPT,), (File(SCRIPT, script.encode(), 0o755),), why)
