"""What Nix has to say so that it can give a project its toolchain: `TOOL`, for `runtimes.foreign`.

Its answer is that of `nix print-dev-env --json`, for a flake or a shell.nix. No lock is written.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from esker.activate.left_in_bash import declared
from esker.activate.program_of_tool import program_of_tool
from esker.errors import ActivationFailed, EskerError, NotFound
from esker.formats.nix import dev_env
from esker.formats.untrusted import json_value
from esker.host import files as host_files
from esker.runtimes.foreign.tool import MOST_FILES, Inputs, Toolchain
from esker.runtimes.nix.command import check_store, run_nix
from esker.runtimes.nix.files import (
    Tree,
    configuration,
    directory_tree,
    flake_tree,
    links_on_the_way,
    nix_files,
    search_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.declare.declaration import Declaration
    from esker.runtimes.foreign.choice import ToolChoice
    from esker.runtimes.foreign.tool import Request, Tool

__all__ = ["TOOL"]

_FLAKE, _SHELL = "flake.nix", "shell.nix"
_OF_THE_BUILD = """
BASHOPTS EUID HOME NIX_BUILD_TOP NIX_ENFORCE_PURITY NIX_LOG_FD OLDPWD PPID PWD SHELL SHELLOPTS SHLVL SSL_CERT_FILE TEMP
TEMPDIR TERM TMP TMPDIR TZ UID _
"""
_LEFT_OUT = frozenset(_OF_THE_BUILD.split())
"""Variables of the build that gave the environment, and those that are the caller's in any environment."""
_LISTS = ("PATH", "XDG_DATA_DIRS")
_VARIABLES = (
    *("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "NIX_CONFIG", "NIX_CONF_DIR", "NIX_USER_CONF_FILES", "NIX_PATH"),
    *("NIX_REMOTE", "NIX_STORE_DIR", "NIX_STATE_DIR", "NIXPKGS_CONFIG", "NIXPKGS_ALLOW_BROKEN"),
    *("NIXPKGS_ALLOW_INSECURE", "NIXPKGS_ALLOW_UNFREE", "NIXPKGS_ALLOW_UNSUPPORTED_SYSTEM"),
)
_STORE = "/nix/store/"
_NAMES = """
given: let value = if builtins.isFunction given then given { } else given;
in if value.type or null == "derivation" then [ ] else builtins.attrNames value
"""
"""The function of Nix's language that returns the names in what a shell.nix is, unless that is a shell itself."""
_USUAL = ("is dirty", "Using saved setting", "not writing modified lock file")
"""Parts of warnings of Nix that tell nothing new, or that are told in other words."""


class _Nix:
    """Nix as a tool that gives toolchains."""

    name = "nix"
    program = "nix"

    def choice(self, declaration: Declaration, choice: ToolChoice) -> ToolChoice:
        """Return what a call has chosen, with what `[plugins.esker.nix]` says in place of what it has not chosen."""
        table = declaration.esker.nix
        overrides = {**table.override_inputs, **choice.override_inputs}
        return choice._replace(shell=choice.shell or table.shell, override_inputs=overrides)

    def inputs(self, request: Request) -> Inputs:
        """Return what Nix's answer depends on, without asking Nix."""
        project, caller = request.project, request.settings.caller
        home, watch = request.settings.home, request.declaration.esker.nix.watch
        is_flake = _is_flake(project)
        if not is_flake and not os.path.exists(f"{project}/{_SHELL}"):
            message = f"`{project}` has neither `{_FLAKE}` nor `{_SHELL}`, so Nix has nothing to give"
            raise NotFound(message, hint='write one of them, or take `runtime = "nix"` out of the manifest')
        words = ["flake" if is_flake else "shell", request.settings.system, _version(caller.get("PATH"))]
        files, signs, remarks = configuration(caller, home), list[str](), list[str]()
        if is_flake:
            tree = flake_tree(project, caller, watch)
            words += ["revision", tree.revision, "tracked", tree.listed]
            files += [f"{project}/{_FLAKE}", f"{project}/flake.lock"]
        else:
            tree = nix_files(project, watch)
            found, beyond = search_path(caller, home)
            words += found
            nixpkgs = f"{caller.get('XDG_CONFIG_HOME') or f'{home}/.config'}/nixpkgs"
            files += [f"{project}/{_SHELL}", f"{nixpkgs}/config.nix", f"{nixpkgs}/overlays.nix", *beyond.files]
            signs += beyond.signs
        if tree.left_out:
            remarks.append(
                f"`{project}` has more than {MOST_FILES:,} files: only `*.nix` and the locks count, and what "
                "`watch` in [plugins.esker.nix] names"
            )
        for name, reference in sorted(request.choice.override_inputs.items()):
            words += ["override", name, reference]
        return Inputs(
            tuple(words),
            tuple(dict.fromkeys((*files, *tree.files))),
            (*signs, *tree.signs, *links_on_the_way(project)),
            _VARIABLES,
            tuple(remarks),
        )

    def obstacles(self, request: Request) -> Iterator[EskerError]:
        """Yield why Nix cannot use its store, in Nix's words."""
        try:
            check_store(request.settings.caller)
        except EskerError as error:
            yield error

    def learned(self, request: Request, inputs: Inputs) -> tuple[str, ...]:  # noqa: ARG002 - a Tool's
        """Return the files of the flake's inputs that lie on this machine and are not pinned."""
        if not _is_flake(request.project):
            return ()
        arguments = ["flake", "metadata", "--json", *_flake_options(request), "."]
        output, _ = run_nix(arguments, request.settings.caller, cwd=request.project, alone=shlex.join(_asked(request)))
        trees = [_local_tree(locked, pinned, request) for locked, pinned in _locked(output, request.project)]
        return tuple(dict.fromkeys(path for tree in trees for path in (*tree.files, *tree.signs)))

    def toolchain(self, request: Request) -> Toolchain:
        """Ask Nix, keep its answer from being collected, and return it."""
        project = request.project
        request.progress.begin(f"Asking Nix for the environment of `{project}`")
        asked = _asked(request)
        words = ["print-dev-env", "--json", "--profile", request.root, *asked]
        try:
            output, said = run_nix(words, request.settings.caller, cwd=project, alone=shlex.join(asked))
        except ActivationFailed as failure:
            named, names = request.choice.shell, _shells(request)
            if not names or (named or "default") in names:
                raise
            fault = f"it has no shell `{named}`" if named else "it has no default shell"
            raise ActivationFailed(failure.message, hint=f"{fault}; name one of {', '.join(names)}: --shell") from None
        _prune(request.root)
        for line in said.splitlines():
            if line.startswith("warning: ") and not any(part in line for part in _USUAL):
                request.progress.remark(f"Nix: {line.removeprefix('warning: ')}")
        # What is overridden cannot stand in the lock.
        if "not writing modified lock file" in said and not request.choice.override_inputs:
            request.progress.remark("flake.lock does not pin every input, so that they may change: nix flake lock")
        try:
            env = dev_env.without_outputs(dev_env.parse(output.decode()), f"{project}/outputs")
        except ValueError as error:
            raise ActivationFailed(
                f"`nix print-dev-env` has printed what Esker does not understand: {error}",
                hint="this version of Nix may be too new: report it, with `nix --version`",
            ) from None
        return _toolchain(env, request.root)


def _is_flake(project: str) -> bool:
    return os.path.exists(f"{project}/{_FLAKE}")


def _version(path: str | None) -> str:
    """Return what tells one installed Nix from another, without starting it."""
    program = program_of_tool("nix", path)
    with suppress(OSError):
        if program is not None:
            target = os.path.realpath(program)
            status = os.stat(target)
            return f"{target} {status.st_size} {status.st_mtime_ns}"
    return ""


def _asked(request: Request) -> list[str]:
    """Return the arguments that name the environment, the same for `nix print-dev-env` and `nix develop`."""
    shell = request.choice.shell
    if _is_flake(request.project):
        return [*_flake_options(request), f".#{shell}" if shell else "."]
    return ["-f", _SHELL, *([shell] if shell else [])]


def _shells(request: Request) -> list[str]:
    """Return the names of the shells that a project has; an empty list if Nix cannot tell them."""
    if _is_flake(request.project):
        asked = [*_flake_options(request), f".#devShells.{request.settings.system}", "--apply", "builtins.attrNames"]
    else:
        asked = ["-f", _SHELL, "--apply", _NAMES]
    with suppress(ActivationFailed, ValueError):
        output, _ = run_nix(["eval", "--json", *asked], request.settings.caller, cwd=request.project, alone="")
        return list(map(str, json_value(output)))
    return []


def _flake_options(request: Request) -> list[str]:
    overrides = sorted(request.choice.override_inputs.items())
    options = ["--no-write-lock-file", *(word for pair in overrides for word in ("--override-input", *pair))]
    return [*options, "--impure"] if request.choice.impure else options


def _locked(output: bytes, project: str) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield what each input of a flake was locked to, and whether flake.lock itself says so."""
    try:
        nodes = json_value(output)["locks"]["nodes"]
    except (ValueError, LookupError, TypeError):
        return
    written: Any = {}
    with (
        suppress(OSError, ValueError, LookupError, TypeError),
        open(f"{project}/flake.lock", "rb", opener=host_files.plain) as file,
    ):
        written = json_value(file.read())["nodes"]
    for name, node in nodes.items():
        locked = node.get("locked") if isinstance(node, dict) else None
        if isinstance(locked, dict):
            pinned = written.get(name, {}) if isinstance(written, dict) else {}
            yield locked, isinstance(pinned, dict) and pinned.get("locked") == locked


def _local_tree(locked: dict[str, Any], pinned: bool, request: Request) -> Tree:  # noqa: FBT001 - one of a pair
    """Return the files of an input that may change on this machine; none of one that cannot."""
    kind, path = locked.get("type"), locked.get("path")
    if kind == "path" and isinstance(path, str) and not path.startswith(_STORE):
        return directory_tree(os.path.normpath(os.path.join(request.project, path)))
    url = locked.get("url")
    if kind == "git" and isinstance(url, str) and (url.startswith(("file:", "/"))) and not (pinned and "rev" in locked):
        directory = unquote(url.removeprefix("file:").removeprefix("//")).partition("?")[0]
        return flake_tree(directory, request.settings.caller) if os.path.isdir(directory) else Tree()
    return Tree()


def _prune(root: str) -> None:
    """Remove the links to earlier answers, so that Nix may collect them."""
    directory, name = os.path.split(root)
    with suppress(OSError):
        current = os.readlink(root)
        for other in os.listdir(directory):
            number = other.removeprefix(f"{name}-").removesuffix("-link")
            if other == f"{name}-{number}-link" and number.isdecimal() and other != os.path.basename(current):
                os.unlink(f"{directory}/{other}")


def _toolchain(env: dev_env.DevEnv, root: str) -> Toolchain:
    exported = dict(env.exported)
    if env.attributes:
        exported |= _attribute_files(env, root)
    hook = exported.get("shellHook") or env.others.get("shellHook") or ""
    others = {name: value for name, value in env.others.items() if name not in _LEFT_OUT}
    return Toolchain(
        variables={name: value for name, value in exported.items() if name not in _LEFT_OUT and name not in _LISTS},
        lists={name: exported[name] for name in _LISTS if exported.get(name)},
        declarations=declared(others, env.functions),
        hook=hook if isinstance(hook, str) else "",
        has_temporary=True,
    )


def _attribute_files(env: dev_env.DevEnv, root: str) -> dict[str, str]:
    """Write the files of a derivation with structured attributes, and return the variables that name them."""
    directory = f"{root}-attributes"
    with host_files.refused("make", directory):
        host_files.make_directory(directory)
    for name, text in env.attributes.items():
        if name in {".attrs.json", ".attrs.sh"}:
            host_files.write(f"{directory}/{name}", text.encode())
    return {"NIX_ATTRS_JSON_FILE": f"{directory}/.attrs.json", "NIX_ATTRS_SH_FILE": f"{directory}/.attrs.sh"}


TOOL: Tool = _Nix()
