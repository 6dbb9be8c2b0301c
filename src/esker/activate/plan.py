"""The plan: what the first activation works out once, and every later one reads instead of working.

One JSON object a mode, `.flox/cache/esker/plan-<mode>.json`, 0600. A reader takes it when it is whole, of this version,
owned by the user who reads, and was made for the directory in which it lies (a copied checkout carries the plan of the
original); it is fresh while every file it was made from still has the modification time, size and inode it had then,
and the caller asks for the same store and interpreter on the same kind of machine.

This module is on the path of every activation: it imports nothing heavier than json.
"""

from __future__ import annotations

import json
import os

from esker.host import state_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from dataclasses import dataclass
    from typing import Any
else:

    def dataclass(**_: bool) -> Callable[[type], type]:
        """Do nothing: a real dataclass costs 17 ms to import, and type checkers alone need to see one."""
        return lambda described: described


__all__ = [
    "RUNNING",
    "Fingerprint",
    "Plan",
    "check_path",
    "completed",
    "fingerprints",
    "fresh",
    "outdented",
    "plan_path",
    "read",
    "warm",
    "write",
]

Fingerprint = tuple[str, int | None, int | None, int | None]
"""Path, modification time in nanoseconds, size, inode; three times None for a file that is not there."""

RUNNING = ".activations"
"""What is added to the environment's runtime directory to name the file that says who uses the environment."""
_VERSION = 6


@dataclass(kw_only=True, frozen=True, eq=False)
class Plan:
    """What an activation needs to know; never changed once made.

    The annotations are the one list of the fields: the constructor, the record, and the check of a file follow them.
    """

    project: str
    """The project directory, absolute, with links resolved."""
    name: str
    description: str = ""
    """What people read; `completed` takes the name where there is none."""
    mode: str
    """`dev` or `run`."""
    default: bool = True
    """Whether `mode` is the one that the manifest means when nobody names one."""
    system: str
    flox_env: str
    """The run link, `<project>/.flox/run/<system>.<name>-<mode>`."""
    store_path: str
    """What the run link points to."""
    runtime_name: str = "environment"
    """The name of the environment's directory below the user's runtime directory."""
    stats: tuple[Fingerprint, ...]
    """Every file that the plan was made from. Take the `fingerprints` before the files are read, so that a change in
    between is seen the next time."""
    choices: Mapping[str, str] = {}
    """What decided the store and the interpreter when the plan was made: `Settings.choices`."""
    vars: tuple[tuple[str, str], ...] = ()
    """Names and raw texts of `[vars]`, each after those it refers to."""
    ports: Mapping[str, int] = {}
    hook: str | None = None
    on_deactivate: str | None = None
    """What bash runs when the last process of a start has left."""
    profile: Mapping[str, str] = {}
    """Scripts by `common` and by shell."""
    deactivate: Mapping[str, str] = {}
    certificates: str | None = None
    """A file of certificate authorities."""
    auto_start: bool = False
    """Whether an activation starts the services unasked."""
    minimum_version: Sequence[str | None] | None = None
    """The oldest command that the manifest wishes for, and why."""
    runs_code: bool = False
    """Whether activating runs code of the project, now or at the end: then its processes share one start. `completed`
    works it out."""
    identity: str = ""
    """A short name of everything that an activation sets: another one after any change of it. `completed` works it
    out."""

    if not TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None:
            if unknown := fields.keys() - Plan.__annotations__.keys():
                raise TypeError(f"a plan has no {', '.join(sorted(unknown))}")
            self.__dict__.update(fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.record() == other.record()

    def __hash__(self) -> int:
        return hash((self.identity, self.stats))

    def record(self) -> dict[str, Any]:
        """Return the plan as JSON holds it."""
        return {field: getattr(self, field) for field in Plan.__annotations__}

    def runtime_directory(self, xdg_runtime_dir: str | None) -> str:
        """Return where the environment's sockets live for this user; it need not exist."""
        from esker.host.runtime_directory import user_directory

        return f"{user_directory(xdg_runtime_dir)}/{self.runtime_name}"

    def is_shared(self, runtime_directory: str, *, lasting: bool = False) -> bool:
        """Return whether an activation must know of the others: where nothing of the project runs, only a lasting one.

        Where there are such others, every one must.
        """
        return self.runs_code or lasting or os.path.lexists(runtime_directory + RUNNING)

    @property
    def dot_flox(self) -> str:
        """The `.flox` directory, absolute."""
        return f"{self.project}/.flox"


_JSON_TYPES: dict[str, Any] = {
    "str": str,
    "str | None": (str, type(None)),
    "bool": bool,
    "tuple": list,
    "Mapping": dict,
    "Sequence": (list, type(None)),
}
"""What JSON makes of an annotation, given up to its bracket."""
_FIELDS = {field: _JSON_TYPES[annotation.partition("[")[0]] for field, annotation in Plan.__annotations__.items()}
_NOT_SET = {"default", "stats", "choices", "minimum_version", "identity"}
"""The fields that decide nothing of what an activation sets, and so are no part of the identity."""


def completed(plan: Plan) -> Plan:
    """Return the plan with its `runs_code` and `identity`; scripts lose the indentation that all their lines share.

    Raises ActivationFailed as `check_path` does.
    """
    import hashlib

    from esker.activate.expansion import needs_bash

    check_path(plan.flox_env)
    scripts = {"hook": _script(plan.hook), "on_deactivate": _script(plan.on_deactivate)}
    fields = {
        **plan.record(),
        **scripts,
        "description": plan.description or plan.name,
        "profile": _scripts(plan.profile),
        "deactivate": _scripts(plan.deactivate),
        "runs_code": any(scripts.values()) or any(needs_bash(text) for _, text in plan.vars),
    }
    contents = json.dumps({name: fields[name] for name in fields.keys() - _NOT_SET}, sort_keys=True)
    return Plan(**{**fields, "identity": hashlib.blake2b(contents.encode("ascii"), digest_size=6).hexdigest()})


def check_path(path: str) -> None:
    """Raise ActivationFailed for a project, or a run link in it, where PATH cannot reach."""
    from esker.errors import ActivationFailed

    if ":" in path:
        raise ActivationFailed(
            f"`{path}` cannot be activated: PATH cannot hold a directory with a colon",
            hint="move the project to another directory, or rename its environment: esker edit -n NAME",
        )


def _scripts(texts: Mapping[str, str]) -> dict[str, str]:
    return {shell: script for shell, text in texts.items() if (script := _script(text))}


def _script(text: str | None) -> str | None:
    return outdented(text) if text and text.strip() else None


def outdented(script: str) -> str:
    r"""Return the script without the leading spaces that all its lines have that are not empty.

    >>> outdented("    if true; then\n        echo a\n    fi\n")
    'if true; then\n    echo a\nfi\n'
    """
    lines = script.split("\n")
    width = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" ")), default=0)
    return "\n".join(line[width:] for line in lines)


def plan_path(project: str, mode: str) -> str:
    """Return where the plan of a project (absolute, links resolved) lies."""
    return f"{project}/.flox/cache/esker/plan-{mode}.json"


def fingerprints(paths: Iterable[str]) -> tuple[Fingerprint, ...]:
    """Return what tells whether one of these files has changed, through links, or has come or gone."""
    return tuple(_fingerprint(path) for path in paths)


def _fingerprint(path: str) -> Fingerprint:
    try:
        status = os.stat(path)
    except OSError:
        return (path, None, None, None)
    return (path, status.st_mtime_ns, status.st_size, status.st_ino)


def fresh(plan: Plan) -> bool:
    """Return whether every file that the plan was made from is still as it was."""
    return all(_fingerprint(fingerprint[0]) == fingerprint for fingerprint in plan.stats)


def write(plan: Plan, path: str) -> None:
    """Write the plan for its owner alone, by rename, with the directories above it."""
    from esker.host import files

    directory = os.path.dirname(path)
    with files.refused("make", directory):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    text = json.dumps({"version": _VERSION, **plan.record()}, separators=(",", ":"))
    files.write(path, text.encode("ascii"))


def read(path: str) -> Plan | None:
    """Return the plan in a file, or None: missing, another user's, of another version or place, damaged."""
    record = state_file.read(path, version=_VERSION)
    if record is None:
        return None
    del record["version"]
    if record.keys() != _FIELDS.keys() or not all(isinstance(record[field], kind) for field, kind in _FIELDS.items()):
        return None
    try:
        record["stats"] = tuple((path, time, size, inode) for path, time, size, inode in record["stats"])
        record["vars"] = tuple((name, text) for name, text in record["vars"])
    except (TypeError, ValueError):
        return None
    plan = Plan(**record)
    return plan if plan_path(plan.project, plan.mode) == path else None


def warm(project: str, choices: Mapping[str, str], mode: str | None = None) -> Plan | None:
    """Return the fresh plan of a project (absolute, links resolved), or None: then it has to be prepared.

    `choices` are `Settings.choices`. Without a mode it is the plan of the mode that the manifest asks for.
    """
    for candidate in (mode,) if mode else ("dev", "run"):
        plan = read(plan_path(project, candidate))
        if plan is not None and (mode or plan.default) and plan.choices == choices and fresh(plan):
            return plan
    return None
