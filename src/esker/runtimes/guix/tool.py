"""What Guix has to say so that it can give a project its toolchain: `TOOL`, for `runtimes.foreign`.

`guix shell` makes the environment of a manifest.scm, by the Guix of channels.scm if there is one. Its `--search-paths`
is text for a shell, which would have to be run to be read. So programs tell what they are given there: in an empty
environment, and once more in one where every variable has a value already. The second shows which values come before
the caller's, and what separates them.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from esker.activate.lists import LISTS
from esker.activate.origin import sourcing
from esker.activate.program_of_tool import program_of_tool
from esker.errors import ActivationFailed, NotFound
from esker.formats.urls import redact
from esker.host import files, process
from esker.runtimes.foreign.tool import Inputs, Tool, Toolchain
from esker.runtimes.foreign.watched import directories_of, matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from esker.declare.declaration import Declaration
    from esker.runtimes.foreign.choice import ToolChoice
    from esker.runtimes.foreign.tool import Request

__all__ = ["TOOL"]

_VARIABLES = ("GUIX_BUILD_OPTIONS", "GUIX_DAEMON_SOCKET", "GUIX_PACKAGE_PATH")
_GUIX_KEEPS = frozenset({"HOME", "LOGNAME", "USER"})
"""Variables that Guix needs itself, and that no package sets."""
_MARK = "the-callers-own-value"
_COMMENT = re.compile(r";.*")
_COMMIT = re.compile(r"\(\s*commit\s")
_WARNING = re.compile(r"^guix [a-z-]+: warning: (?P<text>.*)", re.MULTILINE)
_LAST_LINES = 60


class _Guix(Tool):
    """Guix as a tool that gives toolchains."""

    name = "guix"
    program = "guix"

    def choice(self, declaration: Declaration, choice: ToolChoice) -> ToolChoice:  # noqa: ARG002 - a Tool's
        """Return what a call has chosen, which must be nothing. Raises UsageError."""
        choice.check_nothing("Guix", "another manifest is named by `manifest` of [plugins.esker.guix]")
        return choice

    def inputs(self, request: Request) -> Inputs:
        """Return what Guix's answer depends on, without asking Guix."""
        project, table, caller = request.project, request.declaration.esker.guix, request.settings.caller
        if not os.path.exists(f"{project}/{table.manifest}"):
            message = f"there is no `{table.manifest}` in `{project}`, and the environment is to come from it"
            raise NotFound(message, hint="write one: guix shell --export-manifest PACKAGE… >manifest.scm")
        channels = f"{project}/{table.channels}"
        remarks = (remark,) if (remark := _unpinned(channels)) else ()
        return Inputs(
            (request.settings.system, _version(caller), *(f"{name}={caller.get(name, '')}" for name in _VARIABLES)),
            (f"{project}/{table.manifest}", channels, f"{project}/{table.setup}", *matches(project, table.watch)),
            tuple(directories_of(project, table.watch)),
            _VARIABLES,
            remarks,
        )

    def toolchain(self, request: Request) -> Toolchain:
        """Ask Guix, keep its profile from being collected, and return what that sets."""
        project, table, caller = request.project, request.declaration.esker.guix, request.settings.caller
        manifest, channels = f"{project}/{table.manifest}", f"{project}/{table.channels}"
        request.progress.begin(f"Asking Guix for the environment of `{project}`")
        guix = [_program(caller)]
        if os.path.exists(channels):
            guix += ["time-machine", f"--channels={channels}", "--"]
        with _put_aside(request.root):
            made = ["--pure", f"--manifest={manifest}", f"--root={request.root}"]
            alone, said = _variables([*guix, "shell", *made], caller, project)
        for warning in _WARNING.finditer(said):
            request.progress.remark(f"Guix: {warning['text']}")
        marked = {name: _MARK for name in alone if name not in _GUIX_KEEPS and name != "PATH"}
        beside, _ = _variables([*guix, "shell", f"--profile={request.root}"], {**caller, **marked}, project)
        return _toolchain(alone, {name: beside.get(name, "") for name in marked}, f"{project}/{table.setup}")


def _program(variables: Mapping[str, str]) -> str:
    program = program_of_tool("guix", variables.get("PATH"))
    if program is None:
        raise NotFound("`guix` is not on PATH", hint="install Guix")
    return program


def _version(variables: Mapping[str, str]) -> str:
    """Return what tells one installed Guix from another, without starting it."""
    with suppress(OSError):
        target = os.path.realpath(_program(variables))
        status = os.stat(target)
        return f"{target} {status.st_size} {status.st_mtime_ns}"
    return ""


def _unpinned(channels: str) -> str | None:
    """Return a remark if no file, or no commit in it, says which Guix the packages come from."""
    name = os.path.basename(channels)
    mend = f"guix describe --format=channels >{name}"
    try:
        with open(channels, encoding="utf-8", errors="replace", opener=files.plain) as file:
            text = _COMMENT.sub("", file.read())
    except OSError:
        return f"No {name} pins Guix: after `guix pull`, or elsewhere, versions may be others. To pin them: {mend}"
    if _COMMIT.search(text):
        return None
    return f"{name} names no commit, so that versions may change with the channels. To pin them: {mend}"


@contextmanager
def _put_aside(root: str) -> Iterator[None]:
    """Let Guix make the link `root` anew, for which none may be there; after a failure, the earlier one is back."""
    earlier = f"{root}.earlier"
    with suppress(FileNotFoundError):
        os.rename(root, earlier)
    try:
        yield
    except BaseException:
        with suppress(FileNotFoundError):
            os.rename(earlier, root)
        raise
    with suppress(FileNotFoundError):
        os.unlink(earlier)


def _variables(guix: list[str], variables: Mapping[str, str], project: str) -> tuple[dict[str, str], str]:
    """Return the variables that a program has under a `guix shell`, and what Guix says.

    Raises ActivationFailed, with Guix's own message, when it fails.
    """
    env = os.path.abspath(process.find_program("env", variables.get("PATH")) or "/usr/bin/env")
    done = process.run([*guix, "--", env, "-0"], environ=variables, cwd=project, check=False, stdin="")
    said = redact(done.stderr).strip()
    if done.returncode != 0:
        last = "\n".join(said.splitlines()[-_LAST_LINES:])
        raise ActivationFailed(
            f"Guix gives no environment for `{project}`; it says:\n{last}",
            hint="correct what Guix names, and try it alone: guix shell -m manifest.scm",
        )
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry), said


def _toolchain(alone: Mapping[str, str], beside: Mapping[str, str], setup: str) -> Toolchain:
    """Return what a profile sets: `alone` without any caller, and `beside` a caller with a mark in each variable."""
    variables, separators = dict[str, str](), {"PATH": ":"}
    for name, both in beside.items():
        if both == alone[name]:
            variables[name] = both
        elif both.startswith(alone[name]) and both.endswith(_MARK):
            separators[name] = both[len(alone[name]) : -len(_MARK)]
        # Else it is the mark alone: Guix has let a variable of the caller's through, such as TERM.
    return Toolchain(
        variables=variables,
        lists={name: alone[name] for name in separators if name in alone},
        separators={name: separator for name, separator in separators.items() if LISTS.get(name) != separator},
        hook=_hook(setup),
    )


def _hook(setup: str) -> str:
    """Return the line that sources a file, if it is there; the line is another one after each change of the file."""
    try:
        with open(setup, "rb", opener=files.plain) as file:
            digest = hashlib.blake2b(file.read(), digest_size=8).hexdigest()
    except OSError:
        return ""
    return sourcing(setup, digest)


TOOL: Tool = _Guix()
