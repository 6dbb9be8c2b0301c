"""How an activation is worked out from a plan and the caller's variables.

First come Esker's own variables, then the project's, and at the end the project's hook.

This module is on the path of every activation: it imports nothing heavy, not even `json`.
"""

from __future__ import annotations

from esker.activate.difference import Activation, difference
from esker.activate.expansion import LONGEST, expanded, needs_bash
from esker.activate.lists import (
    ACTIVE_ENVIRONMENTS,
    DATA_DIRECTORIES,
    PROMPT_ENVIRONMENTS,
    STARTS,
    active_element,
    active_environments,
    dot_flox_of,
    edited,
    elements,
    joined,
    put_before,
    without_duplicates,
)
from esker.formats.json_text import render
from esker.host.isolation import own_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from esker.activate.plan import Plan
    from esker.host.clock import Deadline

__all__ = [
    "TOOL_HOOKS",
    "activation",
    "active_tool_choice",
    "composed",
    "evaluated",
    "inherited_environment",
    "is_active",
    "is_started",
    "is_without_packages",
    "left_out",
    "outer_path",
    "resulting_activation",
    "with_temporary",
    "within",
]

TOOL_HOOKS = {"nix": "shellHook", "guix": "setup-env.sh"}
"""What the script is called, for messages, that the tool of a runtime has a bash run at each start."""
_TEMPORARY = ("TMPDIR", "TMP", "TEMP", "TEMPDIR")


def activation(
    plan: Plan,
    environ: Mapping[str, str],
    *,
    runtime_directory: str,
    add_sbin: bool = False,
    start_services: bool = False,
    run_code: bool = True,
    temporary: str | None = None,
) -> Activation:
    """Return what activating a plan changes in `environ`.

    This runs the hook, and lets bash expand the values that need it. But if `environ` has the results of this plan's
    variables and hook already, they are inherited. With `run_code=False` nothing runs, and the values that need bash
    are left out. `runtime_directory` is the environment's; it need not exist. `temporary` is the directory that a start
    of a plan with `has_temporary` gets for temporary files.
    """
    base = composed(plan, environ, runtime_directory, add_sbin=add_sbin, start_services=start_services)
    if is_started(plan, environ):
        return resulting_activation(plan, environ, inherited_environment(plan, environ, base))
    left: dict[str, str] = {}
    after = evaluated(plan, with_temporary(base, temporary), run_code=run_code, left=left)
    return resulting_activation(plan, environ, after, always=[name for name, _ in plan.vars], left=left)


def with_temporary(base: Mapping[str, str], directory: str | None) -> Mapping[str, str]:
    """Return variables by which programs find a directory for temporary files; `base` itself if there is none."""
    return base if directory is None else {**base, **dict.fromkeys(_TEMPORARY, directory)}


def composed(
    plan: Plan,
    environ: Mapping[str, str],
    runtime_directory: str,
    *,
    add_sbin: bool = False,
    start_services: bool = False,
) -> dict[str, str]:
    """Return `environ` with the changes of an activation, except for the project's own variables and hook."""
    after = dict(environ)
    if not is_started(plan, environ):  # inside of a start they may have been changed
        after.update(plan.tool_vars)
        for name in plan.tool_unset:
            after.pop(name, None)
    for name, value in plan.tool_lists.items():
        others = environ.get(name) or (joined(name, DATA_DIRECTORIES) if name == "XDG_DATA_DIRS" else None)
        separator = plan.tool_separators.get(name)
        if separator is None:
            after[name] = edited(name, others, elements(name, value))
        else:
            after[name] = put_before(value, others, separator)
    _push(plan, after)
    root = plan.flox_env
    after["FLOX_ENV"] = root
    after["FLOX_ENV_CACHE"] = f"{plan.dot_flox}/cache"
    after["FLOX_ENV_PROJECT"] = plan.project
    after["FLOX_ENV_DESCRIPTION"] = plan.description
    after["FLOX_ACTIVATE_START_SERVICES"] = "true" if start_services else "false"
    after["ESKER_COMMAND"] = own_words()
    after["ESKER_RUNTIME_DIR"] = runtime_directory
    after.pop("FLOX_SHELL", None)  # it chooses the shell of one activation, and not of those that programs inside make
    after.setdefault("FLOX_PROMPT_COLOR_1", "99")
    after.setdefault("FLOX_PROMPT_COLOR_2", "141")
    if plan.certificates:
        after.setdefault("SSL_CERT_FILE", plan.certificates)
    if plan.store_path:
        _put_profile(plan, environ, after, add_sbin=add_sbin)
    after.update((name, str(port)) for name, port in plan.ports.items())
    after.update(plan.compose)
    return after


def _put_profile(plan: Plan, environ: Mapping[str, str], after: dict[str, str], *, add_sbin: bool) -> None:
    """Put the directories of the plan's profile into the list variables."""
    root = plan.flox_env

    def put(name: str, *parts: str) -> None:
        after[name] = edited(name, after.get(name), [f"{root}/{part}" for part in parts])

    put("PATH", "bin", *(("sbin",) if add_sbin else ()))
    put("MANPATH", "share/man")
    # To `man` and `info`, an empty element stands for their default path, which an activation must not hide.
    if not (after["MANPATH"].startswith(":") or after["MANPATH"].endswith(":") or "::" in after["MANPATH"]):
        after["MANPATH"] += ":"
    put("INFOPATH", "share/info")
    if not environ.get("INFOPATH"):
        after["INFOPATH"] += ":"
    after["XDG_DATA_DIRS"] = after.get("XDG_DATA_DIRS") or joined("XDG_DATA_DIRS", DATA_DIRECTORIES)
    put("XDG_DATA_DIRS", "share")
    if plan.mode == "dev":
        put("CPATH", "include")
        put("LIBRARY_PATH", "lib")
        put("PKG_CONFIG_PATH", "lib/pkgconfig", "share/pkgconfig")
        put("ACLOCAL_PATH", "share/aclocal")


def _push(plan: Plan, after: dict[str, str]) -> None:
    """Make the plan's environment the newest active one; if it is active already, it moves to the front."""
    active = active_environments(after.get(ACTIVE_ENVIRONMENTS))
    own: dict[str, Any] = {
        "environment": {"type": "dot-flox", "path": plan.dot_flox, "pointer": {"name": plan.name, "version": 1}},
        "mode": plan.mode,
    }
    if plan.generation is not None:
        own["generation"] = plan.generation
    if plan.missing:
        own["without-packages"] = True
    if plan.tool_choice:
        own["tool"] = plan.tool_choice
    if plan.state is not None:
        own["project"], own["runtime"] = plan.project, plan.tool
    others = [element for element in active if dot_flox_of(element) != plan.dot_flox]
    after[ACTIVE_ENVIRONMENTS] = render([own, *others])
    if len(others) == len(active):
        after[PROMPT_ENVIRONMENTS] = edited(PROMPT_ENVIRONMENTS, after.get(PROMPT_ENVIRONMENTS), [plan.name])
    after["FLOX_ENV_DIRS"] = edited("FLOX_ENV_DIRS", after.get("FLOX_ENV_DIRS"), [plan.flox_env])


def inherited_environment(
    plan: Plan, environ: Mapping[str, str], base: Mapping[str, str], own: Activation | None = None
) -> dict[str, str]:
    """Return the composed environment `base`, but with the inherited results of the project's variables and hook.

    `own` is the difference that they made when they ran. Without it, we work out the difference for the variables that
    need no bash. List elements that they put in front, and that `environ` still has, stay in front.
    """
    if own is None:
        own = difference(base, without_duplicates(evaluated(plan, base, run_code=False)))
    after = dict(base)
    for name in own.names():
        if name not in own.prepend and name not in own.append and name not in own.remove:
            after.pop(name, None)
            after.update({name: environ[name]} if name in environ else {})
            continue
        here = elements(name, environ.get(name))
        front = [part for part in dict.fromkeys(own.prepend.get(name, ())) if part in here]
        gone = [part for part in own.remove.get(name, ()) if part not in here]
        after[name] = edited(name, after.get(name), front, remove=gone)
    return after


def evaluated(
    plan: Plan,
    base: Mapping[str, str],
    *,
    run_code: bool = True,
    deadline: Deadline | None = None,
    left: dict[str, str] | None = None,
) -> dict[str, str]:
    """Return the composed environment `base` with the project's variables and the changes that its hook makes.

    The deadline limits the hook. With `run_code=False`, the hook and the variables that need bash are left out. What a
    tool's hook leaves to shells, or the tool itself if it has no hook, is put into `left`.
    """
    after, pending = _expanded(plan, dict(base), run_code=run_code)
    runs_bash = pending or plan.hook or plan.packages_script or plan.tool_hook
    if left is not None and plan.tool_declarations:
        left["declarations"] = plan.tool_declarations
    if run_code or not runs_bash:
        after[STARTS] = edited(STARTS, after.get(STARTS), [plan.identity])
    if run_code and runs_bash:
        from esker.activate import hook

        manifest = f"{plan.dot_flox}/env/manifest.toml"
        script, before = plan.hook or "", plan.packages_script or ""
        tool = None
        if plan.tool_hook:
            name, declarations = TOOL_HOOKS.get(plan.tool or "", "hook"), plan.tool_declarations or ""
            tool = hook.ToolHook(name, declarations, plan.tool_hook, outer_path(plan, after), project=plan.project)
        after = hook.run(
            after,
            values=pending,
            script=script,
            before=before,
            tool=tool,
            manifest=manifest,
            deadline=deadline,
        )
        if tool is not None and left is not None:
            left.update(tool.left)
    return after


def outer_path(plan: Plan, environ: Mapping[str, str]) -> str | None:
    """Return PATH with what a tool has put there at its end; None if nothing is in it.

    The bash of a build environment, which comes first there, cannot edit a line and completes nothing.
    """
    own = elements("PATH", plan.tool_lists.get("PATH"))
    parts = elements("PATH", environ.get("PATH"))
    return joined("PATH", sorted(parts, key=own.__contains__)) or None


def resulting_activation(
    plan: Plan,
    environ: Mapping[str, str],
    after: Mapping[str, str],
    always: Iterable[str] = (),
    left: Mapping[str, str] | None = None,
) -> Activation:
    """Return the activation that leads from `environ` to `after`, an environment that was composed and evaluated.

    The activation also sets the variables in `always` if `environ` has the same values for them. `left` is what a shell
    takes over besides.
    """
    result = difference(environ, without_duplicates(after), (*_fixed(plan), *always))
    if left:
        result.left.update(left)
    return result


def _fixed(plan: Plan) -> tuple[str, ...]:
    return (
        "FLOX_ENV",
        "FLOX_ENV_CACHE",
        "FLOX_ENV_DESCRIPTION",
        "FLOX_ENV_PROJECT",
        "FLOX_ACTIVATE_START_SERVICES",
        "ESKER_COMMAND",
        "ESKER_RUNTIME_DIR",
        *plan.ports,
        *plan.compose,
    )


def is_started(plan: Plan, environ: Mapping[str, str]) -> bool:
    """Return whether `environ` has inherited the results of the plan's own variables and hook."""
    return plan.identity in elements(STARTS, environ.get(STARTS))


def is_active(plan: Plan, environ: Mapping[str, str]) -> bool:
    """Return whether the plan's environment, perhaps by an earlier plan, is active for a process with `environ`."""
    return bool(active_element(plan.dot_flox, environ.get(ACTIVE_ENVIRONMENTS)))


def is_without_packages(project: str, environ: Mapping[str, str]) -> bool:
    """Return whether the environment of a project is active without packages for a process with `environ`.

    Commands inside such an activation go on without packages too.
    """
    return active_element(f"{project}/.flox", environ.get(ACTIVE_ENVIRONMENTS)).get("without-packages") is True


def active_tool_choice(dot_flox: str, environ: Mapping[str, str]) -> str:
    """Return what was asked of a tool when the environment at `dot_flox` was activated; commands inside go by it."""
    choice = active_element(dot_flox, environ.get(ACTIVE_ENVIRONMENTS)).get("tool")
    return choice if isinstance(choice, str) else ""


def within(plan: Plan, environ: Mapping[str, str], activation: Activation) -> dict[str, str]:
    """Return the variables of a command; a shell below it cannot leave an environment around the command's own.

    With them are the functions that a tool's hook has exported, which only a bash below it can read.
    """
    variables = activation.apply(environ)
    for entry in (activation.left.get("exported") or "").split("\0"):
        name, equals, value = entry.partition("=")
        if equals:
            variables[name] = value
    if "_ESKER_UNDO" in variables and not is_active(plan, environ):
        del variables["_ESKER_UNDO"]
    return variables


def left_out(plan: Plan, environ: Mapping[str, str]) -> list[str]:
    """Return the names of what an activation that runs no code leaves out: variables that need bash, and the hook."""
    if is_started(plan, environ):
        return []
    names = [name for name, _ in _expanded(plan, dict(environ), run_code=False)[1]]
    names += ["what conda packages set"] if plan.packages_script else []
    names += [TOOL_HOOKS.get(plan.tool or "", "hook")] if plan.tool_hook else []
    return [*names, "hook.on-activate"] if plan.hook else names


def _expanded(plan: Plan, after: dict[str, str], *, run_code: bool) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the environment with the `[vars]` that need no bash, and the variables that are still to be expanded.

    With `run_code`, these are all variables from the first one that needs bash, so that their order stays. Without
    it, these are only the variables that need bash and those that refer to such a variable.
    """
    pending: list[tuple[str, str]] = []
    for name, text in plan.vars:
        if "\0" in text:
            from esker.errors import ActivationFailed

            raise ActivationFailed(f"the value of `{name}` in `[vars]` holds a NUL character", hint="remove it")
        if needs_bash(text) or (pending and (run_code or _refers(text, pending))):
            pending.append((name, text))
        else:
            after[name] = _value(name, text, after)
    return after, pending


def _value(name: str, text: str, variables: Mapping[str, str]) -> str:
    try:
        value = expanded(text, variables)
        if len(name) + 1 + len(value.encode(errors="surrogateescape")) <= LONGEST:
            return value
    except OverflowError:
        pass
    from esker.errors import ActivationFailed

    message = (
        f"`{name}` in `[vars]` would have more than {LONGEST:,} bytes, and no program can be given so long a variable"
    )
    raise ActivationFailed(message, hint="keep the text in a file, and let the variable name the file")


def _refers(text: str, others: Iterable[tuple[str, str]]) -> bool:
    from esker.formats.references import references

    return not references(text).isdisjoint(name for name, _ in others)
