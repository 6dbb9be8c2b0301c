"""Programs that wheels carry outside bin: finds them by rules, names them, and checks that they can start here."""

from __future__ import annotations

import fnmatch
import mmap
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from esker.declare.declaration import ProgramRule
from esker.errors import RealisationFailed
from esker.formats import elf

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

__all__ = ["WheelProgram", "check_program", "known_rules", "programs"]

_HEAD = 4096
_WORD = 1 << 32
_LOADER = re.compile(r"/(?:.*/)?ld[^/]*\.so\.[0-9]+")
"""The paths of loaders. A program names its loader, which we start to check it: we must not start anything else."""
_OF_THE_SYSTEM = re.compile(r"/(?:lib[0-9a-z]*|usr/lib[0-9a-z]*|nix/store|gnu/store)/")
"""Where the loaders lie that we start; another could be of a package, or of another user in /tmp."""


class WheelProgram(NamedTuple):
    """A program of the profile."""

    name: str
    path: str
    """Absolute, below the site-packages of the wheel's store path."""
    wheel: str


def known_rules(wheels: Collection[str]) -> dict[str, tuple[ProgramRule, ...]]:
    """Return the built-in rules for those of the `wheels` that Esker knows to carry programs."""
    import tomllib

    with open(os.path.join(os.path.dirname(__file__), "known_programs.toml"), "rb") as file:
        known = tomllib.load(file)
    return {name: tuple(_rules(rules)) for name, rules in known.items() if name in wheels}


def programs(
    libraries: Mapping[str, str],
    declared: Mapping[str, tuple[ProgramRule, ...]],
    *,
    taken: Collection[str],
) -> tuple[WheelProgram, ...]:
    """Return the programs of wheels, sorted by name; `libraries` has the site-packages of each wheel, by its name.

    `declared` rules replace the built-in rules for the same wheel. The names in `taken` are in the environment's own
    bin already: a program of a built-in rule is skipped then, and one of a declared rule is an error. Raises
    `RealisationFailed` naming the wheel and the file.
    """
    missing = sorted(set(declared) - set(libraries))
    if missing:
        raise RealisationFailed(
            f"`programs` names `{missing[0]}`, which is not among the locked packages",
            hint="add it to `dependencies`, or take the line out of `programs`",
        )
    chosen: dict[str, WheelProgram] = {}
    for wheel, rules in sorted({**known_rules(libraries), **declared}.items()):
        for program in _matches(libraries[wheel], wheel, rules):
            if program.name in taken:
                if wheel not in declared:
                    continue
                raise RealisationFailed(
                    f"`{wheel}` would put `{program.name}` into bin, where another package already has one",
                    hint=f'give it a name of its own: programs = {{ {wheel} = {{ NAME = "…" }} }}',
                )
            other = chosen.get(program.name)
            if other is not None and other.path != program.path:
                raise RealisationFailed(
                    f"`{other.wheel}` and `{wheel}` both bring the program `{program.name}`",
                    hint="keep one of the two packages, or name the programs of one of them in `programs`",
                )
            chosen[program.name] = program
    return tuple(chosen[name] for name in sorted(chosen))


def check_program(path: str, wheel: str) -> None:
    """Raise `RealisationFailed` if the program at `path` cannot start on this host; the program is not run."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"#!"):
        why = _script_problem(head)
    elif b"\0" in head or head.startswith(elf.MAGIC):
        why = _binary_problem(path)
    else:
        why = None  # text without `#!`, or an empty file: a shell runs either
    if why:
        raise RealisationFailed(
            f"`{os.path.basename(path)}` of `{wheel}` does not start on this host: {why}",
            hint="ask for another version of the package, or use another package",
        )


def _script_problem(head: bytes) -> str | None:
    interpreter = head[2:].split(b"\n", 1)[0].split()[:1]
    if interpreter and not os.path.exists(interpreter[0]):
        return f"its interpreter `{interpreter[0].decode(errors='replace')}` is not here"
    return None


def _binary_problem(path: str) -> str | None:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        program = elf.parse(content)
    machine = os.uname().machine
    if program is None:
        return f"it is neither a script nor a program for `{machine}`"
    ours = (elf.MACHINES.get(machine, program.machine), sys.maxsize > _WORD, sys.byteorder == "little")
    if (program.machine, program.wide, program.little) != ours:
        return f"it is not for `{machine}`"
    return _loader_problem(path, program.interpreter) if program.interpreter is not None else None


def _loader_problem(path: str, loader: str) -> str | None:
    if not _LOADER.fullmatch(loader):
        return f"its loader `{loader}` is not a loader of this system"
    if not os.path.exists(loader):
        return f"its loader `{loader}` is not here"
    if not _OF_THE_SYSTEM.match(loader) or ".." in loader.split("/"):
        return None  # nobody can tell without running it
    # With `--list`, the loader lists the libraries that the program needs, without running it.
    process = subprocess.run(
        [loader, "--list", os.path.realpath(path)], env={}, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    lines = (process.stderr + process.stdout).decode(errors="replace").splitlines()
    missing = [line for line in lines if "not found" in line]
    return f"{missing[0].rpartition(': ')[2].strip()}; the host is too old for it" if missing else None


def _rules(rules: Iterable[str | Mapping[str, str]]) -> Iterator[ProgramRule]:
    for rule in rules:
        if isinstance(rule, str):
            yield ProgramRule(pattern=rule)
        else:
            yield from (ProgramRule(pattern=pattern, name=name) for name, pattern in rule.items())


def _matches(libraries: str, wheel: str, rules: Iterable[ProgramRule]) -> Iterator[WheelProgram]:
    for rule in rules:
        paths = [path for path in _glob(libraries, rule.pattern) if os.access(path, os.X_OK)]
        if not paths:
            raise RealisationFailed(
                f"`{rule.pattern}` matches no program of `{wheel}`",
                hint="the pattern is relative to site-packages; look with: esker activate -- python -c "
                "'import sysconfig; print(sysconfig.get_path(\"purelib\"))'",
            )
        if rule.name is not None and len(paths) > 1:
            raise RealisationFailed(
                f"`{rule.pattern}` of `{wheel}` matches {len(paths)} files, but they cannot all be `{rule.name}`",
                hint="make the pattern match one file",
            )
        for path in paths:
            yield WheelProgram(rule.name or os.path.basename(path), path, wheel)


def _glob(directory: str, pattern: str) -> list[str]:
    """Return the regular files below `directory` that match, sorted; a pattern with `..` matches nothing."""
    places = [directory]
    for part in pattern.split("/"):
        if part in {"", ".", ".."}:
            return []
        places = [
            os.path.join(place, name)
            for place in places
            if os.path.isdir(place)
            for name in sorted(os.listdir(place))
            if fnmatch.fnmatchcase(name, part)
        ]
    return [place for place in places if os.path.isfile(place)]
