"""The plan: what the first activation of an environment works out, so that later ones only have to read it.

There is one JSON file for each mode, `.flox/cache/esker/plan-<mode>.json`, with mode 0600. A reader accepts it if it is
undamaged, has our version, and belongs to the user who reads it. It must also have been made for the directory that it
is in, because a copied checkout carries the plan of the original.

A plan is fresh as long as every file that it was made from has the same modification time, size and inode. The caller
must also ask for the same store and interpreter, on the same kind of machine.

This module is on the path of every activation: it imports nothing heavy, not even `json`.
"""

from __future__ import annotations

import os

from esker.host import state_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from dataclasses import dataclass
    from typing import Any, Literal
else:

    def dataclass(**_: bool) -> Callable[[type], type]:
        """Do nothing: only type checkers need a dataclass here, and importing `dataclasses` costs 17 ms."""
        return lambda described: described


__all__ = [
    "MODES",
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

MODES: tuple[Literal["dev", "run"], ...] = ("dev", "run")
"""The modes of an activation."""
Fingerprint = tuple[str, int | None, int | None, int | None]
"""Path, modification time in nanoseconds, size in bytes, inode; the last three are None if the file is missing."""

RUNNING = ".activations"
"""The suffix that makes the path of an environment's registry file from the path of its runtime directory."""
_VERSION = 8


@dataclass(kw_only=True, frozen=True, eq=False)
class Plan:
    """Everything that an activation needs to know; a plan never changes after it is made.

    The annotations are the only list of the fields. The constructor, the record, and the check of a file follow them.
    """

    project: str
    """The project directory, absolute, with links resolved."""
    name: str
    description: str = ""
    """A description for people; if there is none, `completed` sets it to the name."""
    mode: str
    """`dev` or `run`."""
    default: bool = True
    """Whether `mode` is the mode that the manifest asks for when the user names none."""
    system: str
    flox_env: str
    """The run link, `<project>/.flox/run/<system>.<name>-<mode>`."""
    store_path: str
    """What the run link points to."""
    runtime_name: str = "environment"
    """The name of the environment's directory below the user's runtime directory."""
    stats: tuple[Fingerprint, ...]
    """Every file that the plan was made from. Take the `fingerprints` before you read the files: then the next
    activation notices a change that was made in between."""
    choices: Mapping[str, str] = {}
    """`Settings.choices` when the plan was made, which decided the store and the interpreter."""
    generation: int | None = None
    """The number of the generation that was asked for; None stands for the one that is live."""
    missing: tuple[str, ...] = ()
    """The packages that were left out, because they are not on this machine and the user goes on without them."""
    vars: tuple[tuple[str, str], ...] = ()
    """Names and raw texts of `[vars]`; a variable comes after the variables that it refers to."""
    ports: Mapping[str, int] = {}
    compose: Mapping[str, str] = {}
    """What the project's Compose files give every activation: the project's name, and ports of containers."""
    inputs: tuple[tuple[str, str | None], ...] = ()
    """The caller's variables that `compose` was worked out from, with their values then; None if they were not set."""
    packages_script: str | None = None
    """What bash runs before the hook because packages ask for it, as one line."""
    hook: str | None = None
    on_deactivate: str | None = None
    """The script that bash runs when the last process of a start has left."""
    profile: Mapping[str, str] = {}
    """Scripts under the name of their shell, and the script for every shell under `common`."""
    deactivate: Mapping[str, str] = {}
    certificates: str | None = None
    """The path of a file with certificate authorities."""
    auto_start: bool = False
    """Whether an activation starts the services without being asked to."""
    minimum_version: Sequence[str | None] | None = None
    """The oldest version of the command that the manifest asks for, and the reason."""
    runs_code: bool = False
    """Whether an activation runs code of the project, at its beginning or its end. If so, all processes that use the
    environment share one start. `completed` works this out."""
    identity: str = ""
    """A short hash of everything that decides what an activation sets. `completed` works it out."""
    made_from: str = ""
    """The hash of the manifest and the locks (`Content.made_from` of `declare.consent`), for the prompt alone."""
    seal: str = ""
    """What `activate.seal` makes, so that the prompt takes no plan but one that this user's Esker has written."""

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
        """Return the plan in the form that is written as JSON."""
        return {field: getattr(self, field) for field in Plan.__annotations__}

    def runtime_directory(self, xdg_runtime_dir: str | None, *, make: bool = True) -> str:
        """Return the directory of the environment's sockets for this user; it need not exist.

        The user's directory above it is made, unless `make` is False. Raises HostError when another user could make it,
        because programs trust whoever listens there.
        """
        from esker.host.runtime_directory import claim_user, user_directory

        directory = user_directory(xdg_runtime_dir)
        if make or os.path.lexists(directory):
            claim_user(directory)
        return f"{directory}/{self.runtime_name}"

    def is_shared(self, runtime_directory: str, *, lasting: bool = False) -> bool:
        """Return whether an activation has to look into the registry of the environment's running starts.

        It has to if it runs code of the project, if it is `lasting` (a shell, or one that starts services), or if the
        registry exists already.
        """
        return self.runs_code or lasting or os.path.lexists(runtime_directory + RUNNING)

    @property
    def dot_flox(self) -> str:
        """The `.flox` directory, absolute."""
        return f"{self.project}/.flox"


_JSON_TYPES: dict[str, Any] = {
    "str": str,
    "str | None": (str, type(None)),
    "int | None": (int, type(None)),
    "bool": bool,
    "tuple": list,
    "Mapping": dict,
    "Sequence": (list, type(None)),
}
"""The types that JSON gives to a field, by the part of its annotation before the bracket."""
_FIELDS = {field: _JSON_TYPES[annotation.partition("[")[0]] for field, annotation in Plan.__annotations__.items()}
_NOT_SET = {"default", "stats", "choices", "inputs", "minimum_version", "identity", "made_from", "seal"}
"""The fields that have no influence on what an activation sets, and so do not count for the identity."""


def completed(plan: Plan) -> Plan:
    """Return the plan with the fields that can be worked out: `description`, `runs_code` and `identity`.

    Scripts lose the indentation that all their lines share. Raises ActivationFailed as `check_path` does.
    """
    import hashlib
    import json

    from esker.activate.expansion import needs_bash

    check_path(plan.flox_env)
    scripts = {"hook": _script(plan.hook), "on_deactivate": _script(plan.on_deactivate)}
    fields = {
        **plan.record(),
        **scripts,
        "description": plan.description or plan.name,
        "profile": _scripts(plan.profile),
        "deactivate": _scripts(plan.deactivate),
        "runs_code": any((plan.packages_script, *scripts.values())) or any(needs_bash(text) for _, text in plan.vars),
    }
    contents = json.dumps({name: fields[name] for name in fields.keys() - _NOT_SET}, sort_keys=True)
    return Plan(**{**fields, "identity": hashlib.blake2b(contents.encode("ascii"), digest_size=6).hexdigest()})


def check_path(path: str) -> None:
    """Raise ActivationFailed if PATH cannot hold `path`, the path of a project or of its run link."""
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
    r"""Return the script without the leading spaces that all its non-empty lines share.

    >>> outdented("    if true; then\n        echo a\n    fi\n")
    'if true; then\n    echo a\nfi\n'
    """
    lines = script.split("\n")
    width = min((len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" ")), default=0)
    return "\n".join(line[width:] for line in lines)


def plan_path(project: str, mode: str) -> str:
    """Return the path of the plan of a project (absolute, links resolved)."""
    return f"{project}/.flox/cache/esker/plan-{mode}.json"


def fingerprints(paths: Iterable[str]) -> tuple[Fingerprint, ...]:
    """Return what tells later whether one of these files, behind any links, has changed, appeared or vanished."""
    return tuple(_fingerprint(path) for path in paths)


def _fingerprint(path: str) -> Fingerprint:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # the latter for a path that no file can have
        return (path, None, None, None)
    return (path, status.st_mtime_ns, status.st_size, status.st_ino)


def fresh(plan: Plan) -> bool:
    """Return whether no file that the plan was made from has changed."""
    return all(_fingerprint(fingerprint[0]) == fingerprint for fingerprint in plan.stats)


def write(plan: Plan, path: str) -> None:
    """Write the plan by rename, readable for its owner only, and make the directories above it."""
    import json

    from esker.declare import project_directory
    from esker.host import files

    text = json.dumps({"version": _VERSION, **plan.record()}, separators=(",", ":"))
    with project_directory.writable(plan.dot_flox, "cache", "esker") as directory:
        files.write(path, text.encode("ascii"), directory=directory)


def read(path: str) -> Plan | None:
    """Return the plan in a file.

    Return None if the file is missing, damaged, another user's, of another version, or made for another directory.
    """
    record = state_file.read(path, version=_VERSION)
    if record is None:
        return None
    del record["version"]
    if record.keys() != _FIELDS.keys() or not all(isinstance(record[field], kind) for field, kind in _FIELDS.items()):
        return None
    try:
        record["stats"] = tuple((path, time, size, inode) for path, time, size, inode in record["stats"])
        record["missing"] = tuple(record["missing"])
        record["inputs"] = tuple((name, value) for name, value in record["inputs"])
        record["vars"] = tuple((name, text) for name, text in record["vars"])
        for text in _texts(record):
            os.fsencode(text)  # raises an error for what is no text, or could be no variable and no path
    except (TypeError, ValueError):
        return None
    if not all(type(port) is int for port in record["ports"].values()):
        return None
    plan = Plan(**record)
    return plan if plan_path(plan.project, plan.mode) == path else None


def _texts(record: Mapping[str, Any]) -> list[Any]:
    """Return everything in a record that has to be text."""
    return [
        *(value for value in record.values() if isinstance(value, str)),
        *(fingerprint[0] for fingerprint in record["stats"]),
        *record["missing"],
        *(part for variable in record["inputs"] for part in variable if part is not None),
        *(part for variable in record["vars"] for part in variable),
        *(part for field in ("choices", "compose", "profile", "deactivate") for part in record[field].values()),
        *(part for part in record["minimum_version"] or () if part is not None),
    ]


def warm(
    project: str, choices: Mapping[str, str], mode: str | None = None, caller: Mapping[str, str] | None = None
) -> Plan | None:
    """Return the plan of a project (absolute, links resolved) if it is fresh, or None if it has to be made anew.

    `choices` are `Settings.choices`, and `caller` are the caller's variables. Without a mode, this is the plan of the
    mode that the manifest asks for.
    """
    for candidate in (mode,) if mode else MODES:
        plan = read(plan_path(project, candidate))
        if plan is None or not (mode or plan.default) or plan.choices != choices:
            continue
        if fresh(plan) and (caller is None or not plan.inputs or _has_inputs(plan, caller)):
            return plan
    return None


def _has_inputs(plan: Plan, caller: Mapping[str, str]) -> bool:
    """Return whether the caller has the variables that the plan was made from, or what an activation made of them."""
    return all(caller.get(name) in {value, plan.compose.get(name, value)} for name, value in plan.inputs)
