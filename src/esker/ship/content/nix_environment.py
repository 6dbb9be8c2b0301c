"""What Nix gives an image beside store paths: variables, PATH, a hook, a shell, and perhaps the C library.

Variables enter as they stand in the kept environment, by the rules of `[vars]`: `[plugins.esker.image.vars]` replaces
or removes them, and what looks like a secret is refused. A value that names the project, its owner's home or a store
path that is not there stays out. In mode `run` what only builds read stays out too, and with it the packages that
nothing else names. `shellHook` is run by the script that a container starts with, and its result never enters.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import ImageError
from esker.formats.elf import LOADERS
from esker.formats.secrets import secret
from esker.ship.content.c_library import CLibrary
from esker.ship.content.places import between
from esker.ship.content.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from esker.ship.content.nix_closure import NixClosure

__all__ = ["NixEnvironment", "NixGiven", "chosen", "hook_parts", "named_paths", "program", "store_library"]

_WHY = "Nix gives it"
_BUILD = re.compile(
    r"""
    AR | AS | CC | CXX | LD | NM | OBJCOPY | OBJDUMP | RANLIB | READELF | SIZE | STRINGS | STRIP | WINDRES
    | CONFIG_SHELL | HOST_PATH | IN_NIX_SHELL | SOURCE_DATE_EPOCH | __structuredAttrs
    | NIX_(?: BINTOOLS | BUILD_CORES | BUILD_TOP | CC | CFLAGS_COMPILE | CFLAGS_LINK | ENFORCE_NO_NATIVE
            | HARDENING_ENABLE | LDFLAGS | PKG_CONFIG_WRAPPER | STORE ) (?: _\w+ )?
    | (?: buildInputs | nativeBuildInputs | propagatedBuildInputs | propagatedNativeBuildInputs | stdenv | builder
        | name | pname | version | system | src | srcs | sourceRoot | patches | args | buildCommand | outputs | out
        | shell | configureFlags | cmakeFlags | mesonFlags | makeFlags | phases | prePhases | postPhases | strictDeps
        | doCheck | doInstallCheck | preferLocalBuild | allowSubstitutes | enableParallelBuilding
        | dontAddDisableDepTrack | passAsFile | buildCommandPath | pkg )
    | deps(?: Build | Host | Target )\w+
    | (?: pre | post )?(?: unpack | patch | configure | build | check | install | fixup | dist | installCheck )Phase
    """,
    re.VERBOSE,
)
"""The variables that a derivation has for its build; nixpkgs' `mkShell` exports them all."""
_NEVER = {"shellHook", "NIX_ATTRS_JSON_FILE", "NIX_ATTRS_SH_FILE", "NIX_BUILD_CORES"}
"""Also the number of this machine's cores: the image is to be the same from every machine."""
_GLIBC = re.compile(r"glibc-(\d+)\.(\d+)")


class NixGiven(NamedTuple):
    """What Nix gives a project, as it is kept; untrusted."""

    variables: Mapping[str, str]
    """Without PATH."""
    path: tuple[str, ...]
    hook: str
    declarations: str
    """Bash text for the functions and variables that the hook may use."""


class NixEnvironment(NamedTuple):
    """What of it enters an image."""

    variables: Mapping[str, tuple[str, str]]
    """Each with its value and why it is there."""
    path: tuple[str, ...]
    """The directories in the store that are on PATH."""
    hook: str
    declarations: str
    left_out: tuple[Variable, ...]
    closure: NixClosure


def chosen(
    given: NixGiven, store: str, image: Mapping[str, str | None], machine: Iterable[str], mode: str
) -> tuple[dict[str, tuple[str, str]], tuple[str, ...], tuple[Variable, ...]]:
    """Return the variables that enter, the directories of PATH, and what does not enter.

    `image` is `[plugins.esker.image.vars]`, and `machine` are directories that no image has. Raises ImageError, which
    names them, for values that look like secrets.
    """
    entering: dict[str, tuple[str, str]] = {}
    left_out: list[Variable] = []
    places = [place for place in machine if place != "/"]
    for name, value in sorted(given.variables.items()):
        if name in _NEVER or name in image:
            continue
        if mode == "run" and _BUILD.fullmatch(name):
            left_out.append(Variable(name, "", "only builds read it, and the mode is `run`"))
        elif place := next((each for each in places if _names(value, each)), None):
            left_out.append(Variable(name, "", f"it names `{place}`, which is this machine's"))
        elif missing := next((each for each in sorted(named_paths(value, store)) if not os.path.lexists(each)), None):
            left_out.append(Variable(name, "", f"it names `{missing}`, which is not in Nix's store"))
        else:
            entering[name] = value, _WHY
    refused = {name: why for name, (value, _) in entering.items() if (why := secret(name, value))}
    if refused:
        listed = "; ".join(f"`{name}`: {why}" for name, why in sorted(refused.items()))
        raise ImageError(
            f"variables that Nix gives look like secrets, which everybody could read in the image ({listed})",
            hint=f"leave them out here: [plugins.esker.image.vars] {min(refused)} = false",
        )
    path = tuple(dict.fromkeys(each for each in given.path if each.startswith(f"{store}/")))
    return entering, path, tuple(left_out)


def _names(value: str, place: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(place)}(?![\w.-])", value) is not None


def named_paths(text: str, store: str) -> set[str]:
    """Return the store paths that a text names."""
    pattern = rf"{re.escape(store)}/[0-9abcdfghijklmnpqrsvwxyz]{{32}}-[0-9A-Za-z+\-._?=]+"
    return {match.rstrip(".") for match in re.findall(pattern, text)}


def hook_parts(environment: NixEnvironment | None) -> list[tuple[str, str]]:
    """Return the scripts that a container runs at its start, each with its name."""
    if environment is None or not environment.hook.strip():
        return []
    return [("functions and variables of Nix", environment.declarations), ("`shellHook` of Nix", environment.hook)]


def program(environment: NixEnvironment | None, name: str) -> str | None:
    """Return where the program lies that PATH leads to in the store, or None."""
    for directory in environment.path if environment else ():
        path = f"{directory}/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def store_library(environment: NixEnvironment | None, system: str) -> CLibrary | None:
    """Return the C library among the store paths, for programs that are not Nix's: its newest glibc; None without one.

    The loader finds `libc.so.6` beside itself, in the directory that Nix has built into it.
    """
    found: list[tuple[tuple[int, int], str]] = []
    loader = LOADERS[system]
    for info in environment.closure.paths if environment else ():
        match = _GLIBC.match(os.path.basename(info.path)[33:])
        if match and all(os.path.isfile(f"{info.path}/lib/{each}") for each in (os.path.basename(loader), "libc.so.6")):
            found.append(((int(match[1]), int(match[2])), info.path))
    if not found:
        return None
    version, path = max(found)
    link = between(f"/{loader}", f"{path}/lib/{os.path.basename(loader)}")
    return CLibrary(f"nix/{os.path.basename(path)[33:]}", version, {f"/{loader}": link})
