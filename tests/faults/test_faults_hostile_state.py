"""Whatever stands in the place of a state file, commands end by themselves, harm nothing, and give no wrong advice.

The cases are generated: each state file, with each kind of content and each kind of thing in its place. The readers
themselves are tested in `tests/host/test_host_state_file.py`, and with changed inputs by `tests/faults/fuzz.py`; here it
is whole commands, and what has to be done afterwards.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest

import esker
from esker.cli.main import main
from esker.host import process_id, runtime_directory, trees
from esker.host.process_id import ProcessId
from tests.support.projects import write_project

pytestmark = [pytest.mark.live("faults"), pytest.mark.slow]

MANIFEST = """
schema-version = "1.14.0"
[hook]
on-activate = "export GREETING=hello"
[services.web]
command = "exec sleep 1000"
[plugins.esker.services.web]
ports = { WEB = 0 }
"""
PATIENCE = 20
REMOVE = re.compile(r"remove `([^`]+)`")
"""What an advice says is to be removed."""
LATER = "later"
"""A project that others may write to, so that it runs only if the list of trusted projects names it."""
ACTIVATE, STATUS, STOP = ("activate", "--", "true"), ("services", "status"), ("services", "stop")
PORTS, COLLECT = ("services", "ports"), ("store", "gc")


class StateFile(NamedTuple):
    """A state file: where it is below the place, by a pattern, and the commands that read or write it."""

    pattern: str
    commands: tuple[tuple[str, ...], ...]
    project: str = "project"
    mend: tuple[tuple[str, ...], ...] = ()
    """What is to be run once the file is gone, before everything works again."""


FILES = {
    "supervisor record": StateFile("project/.flox/cache/esker/lock", (STATUS, STOP, ACTIVATE)),
    "ports of the checkout": StateFile("project/.flox/cache/esker/ports.json", (ACTIVATE,)),
    "plan": StateFile("project/.flox/cache/esker/plan-dev.json", (ACTIVATE,)),
    "command": StateFile("project/.flox/cache/esker/command", (ACTIVATE,)),
    "lock of preparations": StateFile("project/.flox/cache/esker/prepare.lock", (ACTIVATE,)),
    "ports of the user": StateFile("home/.local/state/esker/ports.json", (PORTS, ACTIVATE)),
    "lock of the ports": StateFile("home/.local/state/esker/ports.json.lock", (ACTIVATE,)),
    "trusted projects": StateFile(
        "home/.config/esker/trusted.json", (ACTIVATE, ("trust", ".")), LATER, (("trust", "."),)
    ),
    "lock of the trusted projects": StateFile("home/.config/esker/trusted.lock", (("trust", "."),), LATER),
    "known environments": StateFile("home/.local/share/esker/env-registry.json", (("envs",), ACTIVATE)),
    "lock of the known environments": StateFile("home/.local/share/esker/env-registry.json.lock", (ACTIVATE,)),
    "running starts": StateFile("NAME.activations", (ACTIVATE,)),
    "socket": StateFile("NAME.sock", (STATUS, STOP)),
    "generations": StateFile("store/var/esker/gcroots/[!t]*", (COLLECT, ("generations", "list"), ACTIVATE)),
    "temporary root": StateFile("store/var/esker/gcroots/temporary/*", (COLLECT,)),
    "record of a store path": StateFile("store/var/esker/valid/*", (COLLECT, ACTIVATE)),
    "lock of the store": StateFile("store/var/esker/gc.lock", (COLLECT,)),
}


def changed(value, change):
    """Return a JSON value with every leaf replaced by what `change` gives for it."""
    if isinstance(value, dict):
        return {key: changed(item, change) for key, item in value.items()}
    return [changed(item, change) for item in value] if isinstance(value, list) else change(value)


def numbers(replacement):
    """Return a change that replaces numbers."""
    return lambda leaf: replacement(leaf) if type(leaf) in {int, float} else leaf


def processes(replacement, **fields):
    """Return a change of a whole record that replaces each pid with its start, and these fields."""

    def change(value):
        if isinstance(value, dict):
            return {key: fields[key] if key in fields else change(item) for key, item in value.items()}
        if isinstance(value, list) and len(value) >= 2 and all(type(item) is int for item in value[:2]):
            return [*replacement, *value[2:]]
        return [change(item) for item in value] if isinstance(value, list) else value

    return change


OWN = process_id.own()
CONTENTS = {
    "another version": lambda record: record | {"version": 99} if isinstance(record, dict) else record,
    "huge numbers": lambda record: changed(record, numbers(lambda _: 10**30)),
    "endless numbers": lambda record: changed(record, numbers(lambda _: float("inf"))),
    "negative numbers": lambda record: changed(record, numbers(lambda _: -1)),
    "numbers as text": lambda record: changed(record, numbers(str)),
    "texts as numbers": lambda record: changed(record, lambda leaf: 7 if isinstance(leaf, str) else leaf),
    "lists for values": lambda record: changed(record, lambda _: []),
    "pid 1": processes((1, 1)),
    "pid 1 as it is": processes(tuple(process_id.of(1) or (1, 1))),
    "our pid, another start": processes((OWN.pid, OWN.start + 1)),
    "our pid": processes(tuple(OWN), uid=os.geteuid() + 1),
    "another boot": processes((1, 1), boot="00000000-0000-0000-0000-000000000000"),
    "another uid": processes((1 << 22, 1), uid=os.geteuid() + 1),
    "another host": processes((1 << 22, 1), host="elsewhere.invalid"),
}
TEXTS = {"empty": b"", "a list": b"[[]]\n", "a number": b"1e999\n", "a text": b'"\\ud800"\n'}
PLACES = ("directory", "pipe", "link to nothing", "link to a file", "link to a directory")
WITH_PROCESSES = {"supervisor record", "running starts", "temporary root"}
JSON = {*WITH_PROCESSES, "ports of the checkout", "plan", "ports of the user", "trusted projects"}
JSON |= {"known environments", "generations", "record of a store path"}


def kinds(name):
    """Return the kinds of things that can stand in the place of a state file."""
    if name == "socket":
        return ("empty", *PLACES)
    if name not in JSON:
        return ("empty", "a number", *PLACES)
    about_processes = ("pid 1", "pid 1 as it is", "our pid, another start", "our pid")
    about_processes = (*about_processes, "another boot", "another uid", "another host")
    contents = [kind for kind in CONTENTS if name in WITH_PROCESSES or kind not in about_processes]
    return (*TEXTS, "truncated", *contents, *PLACES)


class Place:
    """A home with two projects, a store and a runtime directory, and every state file that Esker makes."""

    def __init__(self, top):
        self.top = top
        for part in ("home", "tmp", "elsewhere"):
            (top / part).mkdir()
        for name in ("project", LATER):
            write_project(top / name, MANIFEST, name)
        (top / LATER / ".flox").chmod(0o777)
        self.environ = {"PATH": os.environ["PATH"], "HOME": f"{top}/home", "TMPDIR": f"{top}/tmp"}
        self.environ |= {"ESKER_STORE": f"{top}/store", "PYTHONDONTWRITEBYTECODE": "1"}
        if os.geteuid():
            (top / "run").mkdir(mode=0o700)
            self.environ["XDG_RUNTIME_DIR"] = f"{top}/run"
        dot_flox = os.path.realpath(top / "project/.flox")
        self.runtime = runtime_directory.environment_directory(dot_flox, self.environ.get("XDG_RUNTIME_DIR"))
        for command in (("services", "start"), STATUS, ACTIVATE):
            self.succeeds(command)
        (held,) = (top / "store/var/esker/gcroots/temporary").iterdir()
        self.files = {"supervisor record": self._recorded("supervisor record")}
        self.files["temporary root"] = (held.with_name("held"), held.read_bytes())
        self.files["running starts"] = self._recorded("running starts")
        self.succeeds(STOP)
        self.succeeds(("trust", "."), LATER)
        self.succeeds(ACTIVATE, LATER)
        for name in FILES:
            self.files.setdefault(name, self._recorded(name))

    def _recorded(self, name):
        """Return the path of a state file, whether it exists or not, and its content."""
        pattern = FILES[name].pattern
        above, pattern = (
            (os.path.split(self.runtime + pattern[4:])) if pattern.startswith("NAME") else (self.top, pattern)
        )
        found = sorted(Path(above).glob(pattern))
        # Of several files, the one of the project, which the next activation makes again.
        path = next((one for one in found if b"/project/.flox/run/" in one.read_bytes() + one.name.encode()), None)
        path = path or next(iter(found), Path(above, pattern))
        return path, path.read_bytes() if path.is_file() else b""

    def run(self, command, project="project"):
        """Run a command in a process of its own, which has imported Esker already; return its status and its words."""
        with tempfile.TemporaryFile() as said:
            child = os.fork()
            if not child:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(said.fileno(), 1)
                os.dup2(said.fileno(), 2)
                sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
                _become(self.environ, self.top / project, command)
            end = time.monotonic() + PATIENCE
            while not (ended := os.waitpid(child, os.WNOHANG))[0]:
                if time.monotonic() > end:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    pytest.fail(f"{command} still waits after {PATIENCE} s")
                time.sleep(0.002)
            said.seek(0)
            return os.waitstatus_to_exitcode(ended[1]), said.read().decode(errors="replace")

    def succeeds(self, command, project="project"):
        """Run a command that has to succeed."""
        status, said = self.run(command, project)
        assert status == 0, (command, said)


def remove(path):
    """Remove whatever stands at a path, as somebody would who follows the advice."""
    if path.is_dir() and not path.is_symlink():
        trees.remove_tree(str(path))
    else:
        path.unlink(missing_ok=True)


def _become(environ, directory, command):
    """Be the `esker` command, and never return."""
    status = 70
    try:
        signal.alarm(0)
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(directory)
        status = main(list(command))
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 71
    except BaseException:  # noqa: BLE001  # the process ends here, and nothing may escape into the tests
        sys.stderr.write("Traceback: it escaped\n")
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@pytest.fixture(scope="module")
def place():
    """Give the place, outside of pytest's own directories: sockets need short paths, and nobody has to enter it."""
    top = Path(tempfile.mkdtemp(prefix="esker-state-", dir="/tmp"))
    top.chmod(0o755)
    made = top / "p"
    made.mkdir()
    for module in pkgutil.walk_packages(esker.__path__, "esker."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)  # so that no command has to
    yield Place(made)
    trees.remove_tree(str(top))


def write(path, kind, original, elsewhere):
    """Let something of this kind stand at the path of a state file."""
    remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    match kind:
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path, 0o600)
        case "link to nothing":
            path.symlink_to(elsewhere / "nothing")
        case "link to a file":
            path.symlink_to(elsewhere / "file")
        case "link to a directory":
            path.symlink_to(elsewhere)
        case _:
            path.write_bytes(content(kind, original))
            path.chmod(0o600)


def content(kind, original):
    """Return the bytes of a state file of this kind."""
    if kind in TEXTS:
        return TEXTS[kind]
    if kind == "truncated":
        return original[: len(original) // 2]
    try:
        records = [json.loads(original)]
    except ValueError:
        records = [json.loads(line) for line in original.splitlines()]
    return b"".join(json.dumps(CONTENTS[kind](record)).encode() + b"\n" for record in records)


def is_about_a_stranger(said):
    """Return whether a message names a pid that a hostile record has named, unless as one of another machine."""
    return any(
        re.search(rf"\b(?:kill|pid)\b.*\b(?:1|{os.getpid()}|{1 << 22})\b", line) and "`elsewhere.invalid`" not in line
        for line in said.splitlines()
    )


def snapshot(top):
    """Return what is in a directory."""
    return sorted(
        (str(path), path.lstat().st_mode, path.read_bytes() if path.is_file() else b"") for path in top.iterdir()
    )


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in FILES for kind in kinds(name)])
def test_whatever_stands_in_the_place_of_a_state_file_harms_nothing(place, name, kind):
    """Commands succeed or say what is wrong; without the file everything works, and nothing elsewhere has changed."""
    file, (path, original) = FILES[name], place.files[name]
    assert original or name not in JSON, "the case is about something"
    elsewhere = place.top / "elsewhere"
    (elsewhere / "file").write_bytes(original)
    (elsewhere / "file").chmod(0o600)
    before = snapshot(elsewhere)
    write(path, kind, original, elsewhere)
    for command in file.commands:
        status, said = place.run(command, file.project)
        assert status in {0, 1}, (command, said)
        assert "Traceback" not in said, (command, said)
        assert "met a fault" not in said, (command, said)
        assert not is_about_a_stranger(said), (command, said)
        assert {*REMOVE.findall(said)} <= {str(path), os.path.realpath(path)}, (command, said)
        assert status == 0 or "ERROR: " in said, (command, said)
        assert snapshot(elsewhere) == before, (command, said)
    remove(path)
    for command in (*file.mend, ACTIVATE):
        place.succeeds(command, file.project)
    assert snapshot(elsewhere) == before


def test_the_pid_that_is_named_is_alive():
    """The cases are about processes that exist: pid 1, and this one."""
    assert ProcessId(1, (process_id.of(1) or OWN).start).lives
    assert OWN.lives
