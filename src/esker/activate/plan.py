"""The plan: what the first activation of an environment works out, so that later ones only have to read it.

There is one JSON file for each mode, `.flox/cache/esker/plan-<mode>.json`, with mode 0600. A project without `.flox`
has it in a directory of the user's that stands for `.flox`. A reader accepts it if it is undamaged, has our version,
and belongs to the user who reads it. It must also have been made for the directory that it
is in, because a copied checkout carries the plan of the original.

A plan is fresh as long as every file that it was made from has the same modification time, size and inode. The caller
must also ask for the same store and interpreter, on the same kind of machine. Of the many files that another tool's
result was made from, such as those of a flake, the plan has the paths and one hash of their states.

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
    "state_of",
    "warm",
    "write",
]

MODES: tuple[Literal["dev", "run"], ...] = ("dev", "run")
"""The modes of an activation."""
Fingerprint = tuple[str, int | None, int | None, int | None]
"""Path, modification time in nanoseconds, size in bytes, inode; the last three are None if the file is missing."""

RUNNING = ".activations"
"""The suffix that makes the path of an environment's registry file from the path of its runtime directory."""
_VERSION = 10


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
    """What the run link points to; empty if there is no profile, because another tool gives the whole toolchain."""
    state: str | None = None
    """The directory that stands for `.flox` in a project that has none, absolute; None if it has one."""
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
    """The caller's variables that the plan was worked out from, with their values then; None if they were not set."""
    tool: str | None = None
    """The name of the runtime whose tool gives the toolchain, such as `nix`; None if it comes from our own store."""
    tool_program: str | None = None
    """The path of the tool's program."""
    tool_choice: str = ""
    """What the call has asked of the tool, as `ToolChoice.text` says it; commands inside the activation go by it."""
    tool_vars: Mapping[str, str] = {}
    """The variables that the tool sets."""
    tool_lists: Mapping[str, str] = {}
    """The list variables whose elements the tool puts before the caller's, such as PATH."""
    tool_unset: tuple[str, ...] = ()
    """The variables that the tool unsets."""
    tool_separators: Mapping[str, str] = {}
    """What separates the elements of these lists, where `lists` does not know it or says something else."""
    tool_declarations: str | None = None
    """Bash text that declares what the tool gives a bash beside variables of programs: functions, arrays and more."""
    tool_hook: str | None = None
    """The script that the tool has a bash run at each start, such as a shellHook."""
    has_temporary: bool = False
    """Whether each start gets a directory of its own for temporary files, which is removed at its end."""
    watched: tuple[str, ...] = ()
    """Files that decide about the tool's result, too many for `stats`."""
    watched_state: str = ""
    """What `state_of` said of them."""
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
    services: str = ""
    """The services' specifications as JSON, which `services.supervised.planned` reads; empty if there are none, or if
    Compose has a say in them."""
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
    def has_starts(self) -> bool:
        """Whether the processes that use the environment share what a start has made: by a hook, or on the disk."""
        return self.runs_code or self.has_temporary

    @property
    def dot_flox(self) -> str:
        """The `.flox` directory, or the one that stands for it; absolute."""
        return self.state or f"{self.project}/.flox"


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
_NOT_SET = {
    *("default", "stats", "choices", "inputs", "minimum_version", "identity", "made_from", "seal"),
    *("watched", "watched_state", "tool_program", "services"),
}
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
    tool_hook = plan.tool_hook if plan.tool_hook and plan.tool_hook.strip() else None
    fields = {
        **plan.record(),
        **scripts,
        "tool_hook": tool_hook,
        "description": plan.description or plan.name,
        "profile": _scripts(plan.profile),
        "deactivate": _scripts(plan.deactivate),
        "runs_code": any((plan.packages_script, tool_hook, *scripts.values()))
        or any(needs_bash(text) for _, text in plan.vars),
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


def plan_path(project: str, mode: str, state: str | None = None) -> str:
    """Return the path of the plan of a project (absolute, links resolved); `state` stands for its `.flox`."""
    return f"{state or f'{project}/.flox'}/cache/esker/plan-{mode}.json"


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
    same = all(_fingerprint(fingerprint[0]) == fingerprint for fingerprint in plan.stats)
    return same and (not plan.watched or state_of(plan.watched) == plan.watched_state)


def state_of(paths: Iterable[str]) -> str:
    """Return a hash that changes if one of these files changes, appears or vanishes; links count as themselves.

    The change time tells of a new mode, too, and no program can set it back.
    """
    try:
        from _blake2 import blake2b  # importing `hashlib` would load OpenSSL
    except ImportError:
        from hashlib import blake2b

    parts = []
    for path in paths:
        try:
            status = os.lstat(path)
        except (OSError, ValueError):
            parts.append("-")
            continue
        parts.append(f"{status.st_mode:o} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}")
    return blake2b("\n".join(parts).encode("ascii"), digest_size=16).hexdigest()


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
        for name in ("missing", "watched", "tool_unset"):
            record[name] = tuple(record[name])
        record["inputs"] = tuple((name, value) for name, value in record["inputs"])
        record["vars"] = tuple((name, text) for name, text in record["vars"])
        for text in _texts(record):
            os.fsencode(text)  # raises an error for what is no text, or could be no variable and no path
    except (TypeError, ValueError):
        return None
    if not all(type(port) is int for port in record["ports"].values()):
        return None
    plan = Plan(**record)
    return plan if plan_path(plan.project, plan.mode, plan.state) == path else None


_TEXTS = ("choices", "compose", "profile", "deactivate", "tool_vars", "tool_lists", "tool_separators")
"""The fields that hold texts by name."""


def _texts(record: Mapping[str, Any]) -> list[Any]:
    """Return everything in a record that has to be text."""
    return [
        *(value for value in record.values() if isinstance(value, str)),
        *(fingerprint[0] for fingerprint in record["stats"]),
        *record["missing"],
        *record["watched"],
        *record["tool_unset"],
        *(part for variable in record["inputs"] for part in variable if part is not None),
        *(part for variable in record["vars"] for part in variable),
        *(part for field in _TEXTS for part in record[field].values()),
        *(part for part in record["minimum_version"] or () if part is not None),
    ]


def warm(
    project: str,
    choices: Mapping[str, str],
    mode: str | None = None,
    caller: Mapping[str, str] | None = None,
    state: str | None = None,
) -> Plan | None:
    """Return the plan of a project (absolute, links resolved) if it is fresh, or None if it has to be made anew.

    `choices` are `Settings.choices`, and `caller` are the caller's variables. Without a mode, this is the plan of the
    mode that the manifest asks for. `state` stands for a `.flox` that the project has not.
    """
    for candidate in (mode,) if mode else MODES:
        plan = read(plan_path(project, candidate, state))
        if plan is None or not (mode or plan.default) or plan.choices != choices:
            continue
        if fresh(plan) and (caller is None or not (plan.inputs or plan.tool) or _has_inputs(plan, caller)):
            return plan
    return None


def _has_inputs(plan: Plan, caller: Mapping[str, str]) -> bool:
    """Return whether the caller has the variables that the plan was made from, or what an activation made of them.

    PATH must lead to the same program of the tool.
    """
    if plan.tool is not None and plan.tool_program is not None:
        from esker.activate.program_of_tool import program_of_tool

        name = plan.tool_program.rpartition("/")[2]
        if program_of_tool(name, caller.get("PATH")) != plan.tool_program:
            return False
    given = {**plan.tool_vars, **plan.compose}
    return all(caller.get(name) in {value, given.get(name, value)} for name, value in plan.inputs)
