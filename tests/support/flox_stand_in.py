"""A `flox` for tests, which have no Flox: `put_on_path` makes a command of that name.

It was written from a description of Flox 1.14 alone: its manual, its messages, what it does in which order. It shares
no line with Esker's own activation and services, so that whatever drives a `flox` meets a second reading of that
description, and no more than that: docs/reference/flox.md lists what only Flox itself can confirm.

As in Flox, an executive belongs to an environment while processes are attached to it: it runs the services, and when
the last process has left it stops them, runs `hook.on-deactivate` and removes what it kept. Left out are all that
needs packages, other shells than bash, remote environments, and `[include]`. The lock names packages that do not exist.
Only the standard library is used, and Linux is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import sys
import time
import tomllib
from typing import TYPE_CHECKING

from tests.support.flox_stand_in_executive import NOT_STARTED, attach, log_path, statuses
from tests.support.flox_stand_in_state import SYSTEM, Answer, Environment, Failure, lock_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERSION", "main", "put_on_path"]

VERSION = "1.14.1"
_NONE_DEFINED = "Environment does not have any services defined."
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_CODE = f"import sys; sys.path.insert(0, {_ROOT!r}); from tests.support.flox_stand_in import main; sys.exit(main())"
_PROGRAM = f"{shlex.quote(sys.executable)} -I -S -c {shlex.quote(_CODE)}"
_ATTACH_SECONDS = 5.0  # as long as Flox waits for a shell to evaluate what was printed for it


def put_on_path(directory: str) -> str:
    """Write the command `flox` into a directory, and return its path."""
    path = os.path.join(directory, "flox")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"#!{sys.executable} -IS\n{_CODE}\n")
    os.chmod(path, 0o755)
    return path


def say(text: str) -> None:
    """Tell a person."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def activate(arguments: list[str]) -> int:
    """Run `flox activate`."""
    own, command = arguments, None
    if "--" in arguments:
        own, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    parser = parser_of("activate")
    parser.add_argument("-c", "--command")
    parser.add_argument("-m", "--mode", choices=("dev", "run"))
    parser.add_argument("-p", "--print-script", action="store_true")
    parser.add_argument("-s", "--start-services", action="store_true")
    parser.add_argument("--no-start-services", action="store_true")
    options = parser.parse_args(own)
    env = Environment(options.dir)
    starting = options.start_services
    if starting and options.no_start_services:
        raise Failure("--start-services and --no-start-services are mutually exclusive")
    starting |= bool(env.manifest.get("services", {}).get("auto-start")) and not options.no_start_services
    mode = options.mode or env.manifest.get("options", {}).get("activate", {}).get("mode", "dev")
    in_place = command is None and options.command is None
    seconds = _ATTACH_SECONDS if in_place else 0
    inside = attach(env, mode, os.getpid(), starting=starting, seconds=seconds)
    if starting and env.services:
        running = any(each["status"] == "Running" for each in statuses(env))
        if running and options.start_services:
            say("! Skipped starting services, services are already running")
        if not running:
            env.ask(do="start", names=[], declared=env.services, restart=False)
    elif options.start_services:
        say(f"! {_NONE_DEFINED}")
    if in_place:
        sys.stdout.write(script(env, mode, inside))
        return 0
    scripts = env.manifest.get("profile", {})
    text = "\n".join([*(scripts[name] for name in ("common", "bash") if name in scripts), options.command or ""])
    argv = command or ["bash", "--noprofile", "--norc", "-c", text]
    try:
        os.execvpe(argv[0], argv, inside)
    except FileNotFoundError:
        say(f"✘ ERROR: {argv[0]}: command not found")
        return 127


def script(env: Environment, mode: str, inside: dict[str, str]) -> str:
    """Return what a bash evaluates in place: each statement ends in `;`, and PATH comes from another program."""
    special = {"PATH", "MANPATH", "FLOX_ENV_DIRS"}
    changed = {name: value for name, value in inside.items() if os.environ.get(name) != value and name not in special}
    lines = [f'{_PROGRAM} __attach -d {shlex.quote(env.project)} --pid $$ --mode {mode} --leaves "{os.getpid()}";']
    lines += [f"export {name}={shlex.quote(changed[name])};" for name in sorted(changed)]
    lines += [f"unset {name};" for name in sorted(os.environ.keys() - inside.keys())]
    for name in sorted(special):
        lines.append(f'eval "$({_PROGRAM} __put {name} {shlex.quote(inside[name])})";')
    scripts = env.manifest.get("profile", {})
    lines += [f"eval {shlex.quote(scripts[name])};" for name in ("common", "bash") if name in scripts]
    return "\n".join([*lines, "set +h;", ""])


def services(arguments: list[str]) -> int:
    """Run `flox services`."""
    verb, *rest = arguments
    parser = parser_of("services")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-f", "--follow", action="store_true")
    parser.add_argument("-n", "--tail", type=int, default=15)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args(rest)
    env = Environment(options.dir)
    found = statuses(env)
    if not found:
        raise Failure(_NONE_DEFINED)
    for name in options.names:
        if name not in {each["name"] for each in found}:
            raise Failure(f"Service '{name}' does not exist.")
    if verb == "status":
        shown = [each for each in found if not options.names or each["name"] in options.names]
        sys.stdout.write(f"{json.dumps(shown, indent=2)}\n" if options.json else table(shown))
        return 0
    if verb == "logs":
        return logs(env, options)
    if verb in {"start", "restart"} and not env.active():
        raise Failure(
            f"Cannot {verb} services for an environment that is not activated.\n\n"
            "To activate and start services, run 'flox activate --start-services'"
        )
    if verb == "stop":
        answer = env.ask(do="stop", names=options.names)
    else:
        answer = env.ask(do="start", names=options.names, declared=env.services, restart=verb == "restart")
    answer = answer or {"error": NOT_STARTED}
    if "error" in answer:
        raise Failure(answer["error"])
    for line in answer["told"]:
        say(line)
    return 0


def table(found: Sequence[Answer]) -> str:
    """Return the table for people."""
    rows = [("NAME", "STATUS", "PID")]
    for each in found:
        ended = each["status"] != "Running"
        status = f"{each['status']} ({each['exit_code']})" if each["exit_code"] is not None else str(each["status"])
        pid = "" if each["pid"] is None else f"[{each['pid']}]" if ended else str(each["pid"])
        rows.append((str(each["name"]), status, pid))
    names, states = max(10, *(len(row[0]) for row in rows)), max(len(row[1]) for row in rows)
    return "".join(f"{row[0]:<{names}} {row[1]:<{states}} {row[2]:>8}\n" for row in rows) + "\n"


def logs(env: Environment, options: argparse.Namespace) -> int:
    """Print a log, and with `--follow` what is added to it."""
    if len(options.names) != 1 and not options.follow:
        raise Failure("A single service name is required when the --follow flag is not specified")
    if env.ask(do="status") is None:
        raise Failure(NOT_STARTED)
    names = options.names or sorted(env.services)
    width = max(map(len, names))
    seen = dict.fromkeys(names, 0)
    while True:
        for name in names:
            with contextlib.suppress(FileNotFoundError), open(log_path(env, name), encoding="utf-8") as file:
                file.seek(seen[name])
                text = file.read()
                lines = text[: text.rfind("\n") + 1].splitlines()
                first = seen[name] == 0
                seen[name] += len(text[: text.rfind("\n") + 1].encode())
                for line in lines[-options.tail :] if first else lines:
                    sys.stdout.write(f"{name:<{width}}: {line}\n" if options.follow else f"{line}\n")
        sys.stdout.flush()
        if not options.follow:
            return 0
        time.sleep(0.02)


def init(arguments: list[str]) -> int:
    """Run `flox init`."""
    parser = parser_of("init")
    parser.add_argument("-n", "--name")
    parser.add_argument("-b", "--bare", action="store_true")
    parser.add_argument("--auto-setup", action="store_true")
    parser.add_argument("--no-auto-setup", action="store_true")
    options = parser.parse_args(arguments)
    project = os.path.realpath(options.dir)
    dot_flox = f"{project}/.flox"
    if os.path.exists(dot_flox):
        raise Failure(f"Found an existing environment at '{dot_flox}'")
    name = options.name or re.sub(r"[^A-Za-z0-9_.-]+", "-", os.path.basename(project))
    for directory in ("env", "run", "cache", "lib", "log"):
        os.makedirs(f"{dot_flox}/{directory}")
    bodies = {
        "env.json": json.dumps({"name": name, "version": 1}, indent=2),
        ".gitignore": "run/\ncache/\nlib/\nlog/\n!env/",
        "env/manifest.toml": 'schema-version = "1.15.0"',
    }
    for path, body in bodies.items():
        with open(f"{dot_flox}/{path}", "w", encoding="utf-8") as file:
            file.write(f"{body}\n")
    relock(Environment(project))
    say(f"⚡︎ Created environment '{name}' ({SYSTEM})")
    return 0


def install(arguments: list[str]) -> int:
    """Run `flox install`."""
    wanted = _with_names("install").parse_args(arguments)
    env = Environment(wanted.dir)
    if not wanted.names:
        raise Failure("Must specify at least one package")
    for package in wanted.names:
        if package.startswith("no-such"):
            raise Failure(f"resolution failed: \nCould not find package '{package}'.")
    known = env.manifest.get("install", {})
    new = {package.rpartition(".")[2]: package for package in wanted.names}
    added = {name: package for name, package in new.items() if name not in known}
    lines = "".join(f'{name}.pkg-path = "{package}"\n' for name, package in added.items())
    head, mark, tail = env.text.partition("[install]\n")
    rewrite(env, f"{head}[install]\n{lines}{tail}" if mark else f"{env.text}\n[install]\n{lines}")
    for name in new.keys() - added.keys():
        say(f"! Package with id '{name}' already installed to environment '{env.name}'")
    if added:
        say(f"✔ {', '.join(map(repr, added))} installed to environment '{env.name}'")
    return 0


def uninstall(arguments: list[str]) -> int:
    """Run `flox uninstall`."""
    wanted = _with_names("uninstall").parse_args(arguments)
    env = Environment(wanted.dir)
    for name in wanted.names:
        if name not in env.manifest.get("install", {}):
            raise Failure(f"no package named '{name}' in the manifest")
    gone = tuple(f"{name}.pkg-path" for name in wanted.names)
    rewrite(env, "".join(line for line in env.text.splitlines(keepends=True) if not line.startswith(gone)))
    for name in wanted.names:
        say(f"━ '{name}' uninstalled from environment '{env.name}'")
    return 0


def show(arguments: list[str]) -> int:
    """Run `flox list`."""
    parser = parser_of("list")
    parser.add_argument("-c", "--config", action="store_true")
    parser.add_argument("-n", "--name", action="store_true")
    options = parser.parse_args(arguments)
    env = Environment(options.dir)
    if options.config:
        sys.stdout.write(env.text)
        return 0
    for package in lock_of(env.manifest)["packages"]:
        name, where = package["install_id"], f"{package['attr_path']} ({package['version']})"
        if package["system"] == SYSTEM:
            sys.stdout.write(f"{name}\n" if options.name else f"{name}: {where}\n")
    return 0


def lock_manifest(arguments: list[str]) -> int:
    """Run `flox lock-manifest`."""
    parser = argparse.ArgumentParser("flox lock-manifest")
    parser.add_argument("-l", "--lockfile")
    parser.add_argument("manifest")
    with open(parser.parse_args(arguments).manifest, "rb") as file:
        sys.stdout.write(f"{json.dumps(lock_of(tomllib.load(file)), indent=2)}\n")
    return 0


def rewrite(env: Environment, text: str) -> None:
    """Write a manifest, and lock it."""
    with open(env.manifest_path, "w", encoding="utf-8") as file:
        file.write(text)
    relock(Environment(env.project))


def relock(env: Environment) -> None:
    """Write the lock of a manifest."""
    with open(f"{env.dot_flox}/env/manifest.lock", "w", encoding="utf-8") as file:
        file.write(f"{json.dumps(lock_of(env.manifest), indent=2)}\n")


def attached(arguments: list[str]) -> int:
    """Attach the shell that evaluates what was printed for it, in the place of the process that printed."""
    parser = parser_of("__attach")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--mode")
    parser.add_argument("--leaves", type=int)
    options = parser.parse_args(arguments)
    Environment(options.dir).ask(do="attach", pid=options.pid, mode=options.mode, seconds=0, leaves=options.leaves)
    return 0


def put(arguments: list[str]) -> int:
    """Print the statement that sets a variable."""
    name, value = arguments
    sys.stdout.write(f"export {name}={shlex.quote(value)};")
    return 0


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return a parser with the option that every command has."""
    parser = argparse.ArgumentParser(f"flox {name}")
    parser.add_argument("-d", "--dir", default=_default_directory())
    return parser


def _default_directory() -> str:
    """Return what is meant without `-d`: what lies here, else the environment that was activated last."""
    active = json.loads(os.environ.get("_FLOX_ACTIVE_ENVIRONMENTS") or "[]")
    if active and not os.path.isdir(".flox"):
        return str(os.path.dirname(active[0]["environment"]["path"]))
    return "."


def _with_names(name: str) -> argparse.ArgumentParser:
    parser = parser_of(name)
    parser.add_argument("names", nargs="*")
    return parser


_COMMANDS = {
    "init": init,
    "activate": activate,
    "services": services,
    "install": install,
    "uninstall": uninstall,
    "list": show,
    "lock-manifest": lock_manifest,
    "__attach": attached,
    "__put": put,
}


def main() -> int:
    """Run the command line of this process."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        sys.stdout.write(f"{VERSION}\n")
        return 0
    if not arguments or arguments[0] not in _COMMANDS:
        say(f"✘ ERROR: the stand-in has no `flox {' '.join(arguments)}`")
        return 1
    try:
        return _COMMANDS[arguments[0]](arguments[1:])
    except Failure as failure:
        say(f"✘ ERROR: {failure}")
        return 1
