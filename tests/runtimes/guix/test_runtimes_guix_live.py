"""The runtime `guix` with the real Guix 1.5, in Debian sid, for an ordinary user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.sid.machine import Machine
from tests.support.sid.root import CHECKOUT
from tests.support.terminal import on_a_terminal

pytestmark = [
    pytest.mark.live("guix"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the machine mounts the root of Debian sid, as root"),
]

_PACKAGES = f'(load "{CHECKOUT}/tests/support/guix_packages.scm")\n'
_MANIFEST = _PACKAGES + '(packages->manifest (list (hello "one")))\n'
_COMMIT = "b40629efe5a0b40629efe5a0b40629efe5a0b406"
_CHANNELS = f"""
(list (channel (name 'guix) (url "https://git.example/guix.git") (branch "master") (commit "{_COMMIT}")))
"""
_OF_ESKER = ("FLOX_", "_FLOX_", "ESKER_", "_ESKER_")
"""How the names begin that every activation sets, whatever its runtime."""
_COUNTING = """#!/bin/sh
echo "$*" >>/home/dev/asked
exec /usr/bin/guix "$@"
"""
_SETUP = """
SCRIPT_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export FROM_SETUP=$SCRIPT_DIR LINES_OF_TEXT="one
two"
words=(first "second word")
declare -A colours=([sky]=blue)
not_exported="stays in the shell"
alias greet='echo greeted'
shout() { echo "${words[1]} ${colours[sky]} $not_exported!"; }
echo "setup-env.sh ran"
"""


class _Project:
    """A directory of the user's in the machine, and a guix on PATH that notes each call of it."""

    def __init__(self, machine, name):
        self.machine, self.path = machine, f"/home/dev/{name}"
        self.directory = machine.tree / self.path.lstrip("/")
        self.variables = {"PATH": "/home/dev/bin:/opt/esker/bin:/usr/bin"}
        machine.run("mkdir", self.path)

    def write(self, name, text):
        self.machine.run("sh", "-c", f"mkdir -p $(dirname {name}); cat >{name}", cwd=self.path, given=text)

    def run(self, *argv, check=True, given=None, **variables):
        return self.machine.run(*argv, cwd=self.path, check=check, given=given, variables=self.variables | variables)

    def environment(self, *argv, **variables):
        """Return the variables of a bash that a command runs."""
        out = self.run(*argv, "bash", "--norc", "--noprofile", "-c", "env -0", **variables).stdout
        return dict(entry.split("=", 1) for entry in out.split("\0") if entry)

    def asked(self):
        """Return the calls of guix since the last time."""
        log = self.machine.tree / "home/dev/asked"
        lines = log.read_text().splitlines() if log.exists() else []
        self.machine.run("rm", "-f", "/home/dev/asked")
        return lines


@pytest.fixture(scope="module")
def machine():
    """Give a machine whose Guix runs."""
    with Machine() as started:
        started.start_guix()
        started.run("mkdir", "/home/dev/bin")
        started.run("sh", "-c", "cat >/home/dev/bin/guix; chmod +x /home/dev/bin/guix", given=_COUNTING)
        yield started


@pytest.fixture
def project(machine, request):
    """Give a project with a manifest.scm."""
    made = _Project(machine, request.node.name.removeprefix("test_")[:40])
    made.write("manifest.scm", _MANIFEST)
    made.asked()
    return made


def test_the_environment_is_that_of_guix_shell(project):
    """In a bash, for callers with and without values of their own; but for the names that every activation sets."""
    values = {
        "HELLO_PATH": "/own/path:/another",
        "LUA_PATH": "/own/?.lua;;",
        "HELLO_CATALOGS": "/own /another",
        "HELLO_ETC": "/own",
        "GUIX_ENVIRONMENT": "/other",
        "TERM": "dumb",
        "TZ": "UTC",
        "TEXT": "one\ntwo",
    }
    for caller in ({}, values):
        expected = project.environment("guix", "shell", "-m", "manifest.scm", "--", **caller)
        found = project.environment("esker", "activate", "--", **caller)
        own = {name for name in found if name.startswith(_OF_ESKER)}
        assert {"FLOX_ENV_PROJECT", "_FLOX_ACTIVE_ENVIRONMENTS"} <= own
        for environment in (found, expected):
            for name in (*own, "_", "SHLVL"):
                environment.pop(name, None)
        assert found == expected
    assert found["HELLO_PATH"].endswith("/lib/hello:/own/path:/another")
    assert found["HELLO_ETC"].endswith("-profile/etc/hello")


def test_nothing_is_asked_while_nothing_changes(project):
    """Not by a warm activation, nor after a touch; `--refresh` asks, and so does each input when it changes."""

    def asks(*options, **variables):
        assert project.run("esker", "activate", *options, "--", "hi", **variables).stdout == "one\n"
        return bool(project.asked())

    project.write(".flox/env.json", '{"name": "inputs", "version": 1}')
    table = '[plugins.esker]\nruntime = "guix"\nguix.watch = ["parts/*.scm"]\n'
    project.write(".flox/env/manifest.toml", 'schema-version = "1.14.0"\n' + table)
    assert asks()
    assert not asks()
    project.run("touch", "manifest.scm")
    assert not asks()
    assert asks("--refresh")
    project.write("parts/one.scm", "1")
    assert asks()
    project.write("parts/one.scm", "2")
    assert asks()
    project.write("setup-env.sh", "export SETUP=1")
    assert asks()
    project.write("manifest.scm", _MANIFEST + "; changed\n")
    manifest_changed = project.run("sed", "-i", "s/; changed//", "manifest.scm")
    assert manifest_changed.returncode == 0
    assert asks()
    assert asks(GUIX_BUILD_OPTIONS="--max-jobs=2")
    project.run("sh", "-c", "echo '# another version' >>/home/dev/bin/guix")
    assert asks()
    assert not asks()
    project.run("rm", "setup-env.sh")
    assert asks()


def test_a_profile_is_kept_from_the_collector_until_there_is_another(project):
    """`guix gc` leaves that of the last answer. If it is gone all the same, Guix is asked again."""

    def profile():
        return project.environment("esker", "activate", "--")["GUIX_ENVIRONMENT"]

    project.write("manifest.scm", _MANIFEST.replace('"one"', '"kept"'))
    first = profile()
    project.run("guix", "gc")
    assert project.machine.tree.joinpath(first.lstrip("/")).exists()
    project.write("manifest.scm", _MANIFEST.replace('"one"', '"two"'))
    second = profile()
    assert project.run("esker", "activate", "--", "hi").stdout == "two\n"
    project.run("guix", "gc")
    assert not project.machine.tree.joinpath(first.lstrip("/")).exists()
    assert project.machine.tree.joinpath(second.lstrip("/")).exists()
    project.run("sh", "-c", "rm ~/.local/state/esker/projects/guix-*/run/guix")
    project.run("guix", "gc", "--delete", second)
    assert profile() == second
    assert project.machine.tree.joinpath(second.lstrip("/")).exists()


def test_shells_take_over_what_setup_env_leaves(project):
    """An interactive bash, `-c` and the current shell have functions, arrays and aliases; a zsh has the aliases."""
    project.write("setup-env.sh", _SETUP)
    said = 'shout; echo "$FROM_SETUP"; echo "$LINES_OF_TEXT"; declare -p words colours'
    expected = [
        "second word blue stays in the shell!",
        project.path,
        "one",
        "two",
        'declare -a words=([0]="first" [1]="second word")',
        'declare -A colours=([sky]="blue" )',
    ]
    run = project.run("esker", "activate", "-c", said)
    assert run.stdout.splitlines() == expected
    assert run.stderr.count("setup-env.sh ran") == 1
    in_place = f'eval "$(esker activate)"; {said}; esker deactivate; echo "${{FROM_SETUP-gone}}"'
    assert project.run("bash", "-c", in_place).stdout.splitlines()[:6] == expected
    interactive = _on_a_terminal(project, f"{said}; greet", "/bin/bash")
    assert [line for line in interactive if line in {*expected, "greeted"}] == [*expected, "greeted"]
    assert "greeted" in _on_a_terminal(project, "greet", "/bin/zsh")


def _on_a_terminal(project, typed, shell):
    """Return the lines of an interactive activation in which a command is typed."""
    variables = project.variables | {"SHELL": shell, "TERM": "dumb", "PS1": ""}
    argv = project.machine.command("esker", "activate", cwd=project.path, variables=variables)
    keys = [("setup-env.sh ran", f"{typed}; exit\n")]
    return on_a_terminal(argv, environ=os.environ, cwd=Path("/"), typed=keys).replace("\r", "").splitlines()


def test_a_pinned_channel_goes_through_the_time_machine(project):
    """The real one, which has the revision already. Without a pin, a line says how to make one."""
    first = project.run("esker", "activate", "--", "hi")
    assert "No channels.scm pins Guix" in first.stderr
    assert "guix describe --format=channels >channels.scm" in first.stderr
    project.write("channels.scm", _CHANNELS.replace(f'(commit "{_COMMIT}")', ""))
    unpinned = project.run("esker", "activate", "--", "hi", check=False)
    assert "channels.scm names no commit" in unpinned.stderr
    assert "git.example" in unpinned.stderr
    assert unpinned.returncode == 1
    _have_revision(project)
    project.write("channels.scm", _CHANNELS)
    project.asked()
    pinned = project.run("esker", "activate", "--", "hi")
    assert pinned.stdout == "one\n"
    assert "!" not in pinned.stderr
    calls = project.asked()
    assert len(calls) == 2
    assert all(call.startswith(f"time-machine --channels={project.path}/channels.scm -- shell ") for call in calls)


def _have_revision(project):
    """Give the time machine the revision of `_CHANNELS`, which is the Guix that is there, under the name it looks for."""
    name = f'(bytevector->base32-string (sha256 (string->utf8 "{_COMMIT}")))'
    script = f"(use-modules (gcrypt hash) (guix base32) (rnrs bytevectors)) (display {name})"
    project.write("name.scm", script)
    base32 = project.machine.run("guix", "repl", "--", f"{project.path}/name.scm").stdout
    cached = f"/var/guix/profiles/per-user/dev/inferiors/{base32}/bin"
    project.machine.run("mkdir", "-p", cached)
    project.machine.run("ln", "-s", "/usr/bin/guix", f"{cached}/guix")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("(packages->manifest", "missing closing parenthesis"),
        ('(specifications->manifest (list "no-such-package"))', "no-such-package: unknown package"),
        ('(error "reason")', "reason"),
        ("(no-such-function)", "no-such-function"),
    ],
)
def test_a_broken_manifest_gives_the_message_of_guix(machine, manifest, message):
    """And no traceback of ours; the answer before stays, and counts again when the mistake is undone."""
    project = _Project(machine, f"broken{abs(hash(manifest))}")
    project.write("manifest.scm", manifest)
    done = project.run("esker", "activate", "--", "true", check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Guix gives no environment" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_leaves_the_profile_of_before(project):
    """The link is there again, and the profile is not collected."""
    first = project.environment("esker", "activate", "--")
    project.write("manifest.scm", "(")
    assert project.run("esker", "activate", "--", "true", check=False).returncode == 1
    project.run("guix", "gc")
    project.write("manifest.scm", _MANIFEST)
    project.asked()
    assert project.environment("esker", "activate", "--")["GUIX_ENVIRONMENT"] == first["GUIX_ENVIRONMENT"]


def test_services_run_in_the_environment(project):
    """Of a `.flox` that asks for Guix: with the packages and with what setup-env.sh exports."""
    project.write("setup-env.sh", "export WORD=from-setup")
    project.write(".flox/env.json", '{"name": "served", "version": 1}')
    manifest = """
schema-version = "1.14.0"
[services.hello]
command = "hi; echo $WORD; exec sleep 1000"
[plugins.esker]
runtime = "guix"
"""
    project.write(".flox/env/manifest.toml", manifest)
    project.run("esker", "services", "start")
    try:
        logged = "until esker services logs hello | grep -q from-setup; do sleep 0.05; done; esker services logs hello"
        assert project.run("sh", "-c", logged).stdout.splitlines()[-2:] == ["one", "from-setup"]
    finally:
        project.run("esker", "services", "stop")


def test_python_programs_and_pytest_use_it(project):
    """By `Environment`, by the decorator, and by the pytest plugin, with and without a `.flox`."""
    program = """
import subprocess
from esker import Environment
from esker.flox import flox_required
def hi():
    return subprocess.run(["hi"], capture_output=True, text=True).stdout.strip()
@flox_required()
def decorated():
    return hi()
with Environment("."):
    print("with", hi())
print("run", Environment(".").run(["hi"], capture=True).stdout.strip())
print("decorated", decorated())
"""
    test = """
import subprocess, pytest
@pytest.mark.esker
def test_it():
    assert subprocess.run(["hi"], capture_output=True, text=True).stdout == "one\\n"
"""
    project.write("program.py", program)
    project.write("test_it.py", test)
    run = project.run("/opt/esker/bin/python", "program.py")
    assert run.stdout.splitlines() == ["with one", "run one", "decorated one"]
    project.write(".flox/env.json", '{"name": "python", "version": 1}')
    project.write(".flox/env/manifest.toml", 'schema-version = "1.14.0"\nplugins.esker.runtime = "guix"\n')
    run = project.run("/opt/esker/bin/python", "program.py")
    assert run.stdout.splitlines() == ["with one", "run one", "decorated one"]
    tested = project.run("/opt/esker/bin/pytest", "-q", "-p", "esker.testing", "-p", "no:cacheprovider")
    assert "1 passed" in tested.stdout
