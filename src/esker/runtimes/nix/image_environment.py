"""What Nix gives a project, for an image: the kept environment, and the closure of the store paths that it names."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from esker.errors import ActivationFailed, ImageError
from esker.formats.nix import path_info, store_path
from esker.runtimes.nix.command import run_nix
from esker.ship.content.nix_closure import NixClosure
from esker.ship.content.nix_environment import NixEnvironment, NixGiven, chosen, named_paths

if TYPE_CHECKING:
    from esker.declare.declaration import Declaration
    from esker.runtimes.foreign.tool import Toolchain
    from esker.settings import Settings

__all__ = ["image_environment"]


def image_environment(declaration: Declaration, toolchain: Toolchain, settings: Settings, mode: str) -> NixEnvironment:
    """Return what enters an image of what Nix gives; Nix is asked which store paths need which.

    Raises ImageError, Malformed and ActivationFailed.
    """
    store = settings.caller.get("NIX_STORE_DIR") or store_path.DIRECTORY
    lists = {name: value.split(":") for name, value in toolchain.lists.items()}
    variables = dict(toolchain.variables)
    for name in lists.keys() - {"PATH"}:
        if kept := [each for each in lists[name] if each.startswith(f"{store}/")]:
            variables[name] = ":".join(dict.fromkeys(kept))
    # The outputs, which nobody has built, have places in the project here, and nowhere in an image.
    declarations = toolchain.declarations.replace(f"{declaration.project}/outputs/", "/outputs/")
    given = NixGiven(variables, tuple(lists.get("PATH", ())), toolchain.hook, declarations)
    table = declaration.esker.image
    entering, path, left_out = chosen(
        given,
        store,
        table.vars if table else {},
        (declaration.project, declaration.dot_flox, settings.home),
        mode,
    )
    texts = [*path, *(value for value, _ in entering.values()), given.hook]
    named = sorted({found for text in texts for found in named_paths(text, store)})
    missing = next((each for each in named if not os.path.lexists(each)), None)
    if missing is not None:
        raise ImageError(
            f"`{missing}` is not in Nix's store on this machine", hint="activate the environment again: esker activate"
        )
    closure = NixClosure(store, _closure(named, store, declaration.project, settings))
    return NixEnvironment(entering, path, given.hook, given.declarations, left_out, closure)


def _closure(named: list[str], store: str, project: str, settings: Settings) -> tuple[path_info.PathInfo, ...]:
    if not named:
        return ()

    def asked(*options: str) -> bytes:
        words = ["--recursive", *options, *named]
        alone = shlex.join(words)
        return run_nix(["path-info", *words], settings.caller, cwd=project, alone=alone, command="path-info")[0]

    try:
        output = asked("--json")
    except ActivationFailed as error:
        if "--json-format" not in error.message:  # which Nix 2.34 asks for, and a later one will insist on
            raise
        output = asked("--json", "--json-format", "2")
    return path_info.parse(output, store)
