"""The stand-in is what all tests of the `flox` engine rest on: that it does what Flox is described to do is shown here."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess

import pytest

from esker.host import pidfd

pytestmark = pytest.mark.slow

SERVICES = """
[services.web]
command = "echo hello $A; sleep 1000 & echo $! > $FLOX_ENV_CACHE/child; wait"
[services.once]
command = "echo done; exit 3"
[vars]
A = "x y"
[hook]
on-activate = 'echo hook >> $FLOX_ENV_CACHE/hooks'
on-deactivate = 'echo bye >> $FLOX_ENV_CACHE/ends'
"""


def run(*argv, cwd=None, **environ):
    return subprocess.run(
        list(map(str, argv)), cwd=cwd, env=os.environ | environ, capture_output=True, text=True, check=False
    )


@contextlib.contextmanager
def attached(project):
    """Give a shell inside the environment, by its pipes."""
    shell = subprocess.Popen(
        ["flox", "activate", "-d", project, "--", "bash"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    with shell:
        try:
            yield lambda line: told(shell, line)
        finally:
            shell.stdin.close()
            shell.wait()


def told(shell, line):
    """Run a line in a shell and return what it printed."""
    shell.stdin.write(f"{line}\necho END\n")
    said = ""
    while (read := shell.stdout.readline()) != "END\n":
        assert read
        said += read
    return said


def content(project, name):
    path = project / ".flox/cache" / name
    return path.read_text() if path.exists() else None


def test_services_stop_and_the_hook_ends_when_the_last_process_leaves(stand_in):
    """Not when the first does: until the last one has gone, services run, with all that they have started."""
    project = stand_in.project(SERVICES)
    with attached(project) as first:
        assert first("flox services start") == "✔ Service 'once' started.\n✔ Service 'web' started.\n"
        first("while [ ! -s $FLOX_ENV_CACHE/child ]; do :; done")
        with attached(project) as second, pidfd.opened(int(content(project, "child"))) as child:
            assert child is not None
            with attached(project) as third:
                third("true")
            statuses = {each["name"]: each["status"] for each in json.loads(second("flox services status --json"))}
            assert statuses == {"once": "Completed", "web": "Running"}
            first("exec true &")
            assert content(project, "ends") is None
    assert stand_in.ended(project)
    with pidfd.opened(int(content(project, "child"))) as child:
        assert child is None
    assert content(project, "ends") == "bye\n"
    assert content(project, "hooks") == "hook\n"
    assert list((project / ".flox/log").glob("executive.*"))
    assert not list((stand_in.tmp_path / "run").glob("**/*.sock"))


def test_a_killed_process_has_left(stand_in):
    """The end of a process counts, however it ends."""
    project = stand_in.project(SERVICES)
    assert run("flox", "activate", "-d", project, "--", "sh", "-c", "kill -9 $$").returncode == -9
    assert stand_in.ended(project)
    assert content(project, "ends") == "bye\n"


def test_a_new_start_runs_the_hook_again(stand_in):
    """Two activations one after the other are two starts."""
    project = stand_in.project(SERVICES)
    for _ in range(2):
        run("flox", "activate", "-d", project, "--", "true")
        assert stand_in.ended(project)
    assert content(project, "hooks") == "hook\n" * 2


def test_variables_are_as_a_shell_sees_them(stand_in):
    """Order of vars, hook exports, PATH edits, unset variables, many lines; replayed for those who attach later."""
    project = stand_in.project("""
[vars]
alpha = "${omega}-suffix"
omega = "base"
PATH = "${PATH}:/last"
[hook]
on-activate = '''
export LINES_="one
two" GONE=
unset DROPPED GONE
export PATH=/hook/bin:$PATH
false
export AFTER=yes
'''
""")
    script = 'printf "%s|" "$alpha" "$LINES_" "$AFTER" "${DROPPED-none}" "${GONE-none}" "$FLOX_ENV_PROJECT" "$PATH"'
    nested = f"{script}; PATH={os.environ['PATH']} flox activate -- sh -c '{script}'"
    done = run("flox", "activate", "-d", project, "--", "sh", "-c", nested, cwd=project, DROPPED="1")
    link = f"{project}/.flox/run/x86_64-linux.project-dev"
    path = f"/hook/bin:{link}/bin:{os.environ['PATH']}:/last"
    assert (done.stdout, done.stderr) == (f"base-suffix|one\ntwo|yes|none|none|{project}|{path}|" * 2, "")


def test_a_hook_that_leaves_by_exit(stand_in):
    """The command does not run, and the message says what to look for."""
    project = stand_in.project("[hook]\non-activate = 'export A=1; exit 0'\n")
    done = run("flox", "activate", "-d", project, "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("✘ ERROR: The hook.on-activate script did not complete normally.\n\nReview")


def test_in_place(stand_in):
    """What is printed attaches the shell that evaluates it, ends in `;`, and leaves PATH to another program."""
    project = stand_in.project(SERVICES)
    script = f'printed=$(flox activate -d {project}); eval "$printed"; echo "$A"; echo "$PATH"; flox services start'
    done = run("bash", "-c", f'{script}; echo "$printed"')
    shown, path, *printed = done.stdout.splitlines()
    assert (shown, path) == ("x y", f"{project}/.flox/run/x86_64-linux.project-dev/bin:{os.environ['PATH']}")
    assert done.stderr.endswith("✔ Service 'web' started.\n")
    assert all(line.endswith(";") for line in printed)
    assert not any(line.startswith("export PATH") for line in printed)
    assert stand_in.ended(project)
    assert content(project, "ends") == "bye\n"


def test_what_services_say(stand_in):
    """Flox's words, table and statuses, for each verb."""
    project = stand_in.project(SERVICES)
    flox = lambda *words: f"flox services {' '.join(words)} -d {project}"  # noqa: E731
    outside = run("sh", "-c", flox("start"))
    assert outside.stderr.startswith("✘ ERROR: Cannot start services for an environment that is not activated.")
    assert run("sh", "-c", flox("stop")).stderr.startswith("✘ ERROR: Services not started or quit unexpectedly.")
    assert run("sh", "-c", flox("status")).stdout.split() == [
        "NAME",
        "STATUS",
        "PID",
        "once",
        "Stopped",
        "web",
        "Stopped",
    ]
    with attached(project) as shell:
        shell(flox("start", "web"))
        assert shell(flox("start", "web")) == "! Service 'web' is already running.\n"
        assert shell(flox("restart", "web")) == "✔ Service 'web' restarted.\n"
        assert shell(flox("stop", "web", "nothing")) == "✘ ERROR: Service 'nothing' does not exist.\n"
        shell("while [ ! -s $FLOX_ENV_CACHE/child ]; do :; done")
        assert shell(flox("logs", "--tail", "1", "web")) == "hello x y\n"
        assert shell(flox("logs")).startswith("✘ ERROR: A single service name is required")
        assert shell(flox("stop", "web")) == "✔ Service 'web' stopped\n"
        assert shell(flox("stop", "web")) == "! Service 'web' is not running\n"
        (found,) = json.loads(shell(flox("status", "--json", "web")))
        assert (found["status"], found["exit_code"]) == ("Completed", None)
    nothing = stand_in.project(name="nothing")
    assert run("flox", "services", "status", "-d", nothing).stderr == (
        "✘ ERROR: Environment does not have any services defined.\n"
    )


def test_modes_exclude_each_other(stand_in):
    """While an activation of another mode lives, one is refused, and the message names its pids."""
    project = stand_in.project()
    with attached(project) as shell:
        pid = shell("echo $$").strip()
        done = run("flox", "activate", "-d", project, "-m", "run", "--", "true")
    assert done.returncode == 1
    assert done.stderr.endswith(f"PIDs of the running activations: {pid}\n")


def test_packages(stand_in):
    """Install, list and uninstall edit the manifest and its lock; the lock is one that Esker's parser reads."""
    from esker.formats import lockfile

    project = stand_in.project()
    assert run("flox", "install", "-d", project, "hello", "curl").returncode == 0
    assert run("flox", "list", "-d", project).stdout == "curl: curl (1.0)\nhello: hello (1.0)\n"
    assert run("flox", "uninstall", "-d", project, "curl").stderr == "━ 'curl' uninstalled from environment 'project'\n"
    assert run("flox", "list", "-d", project, "-n").stdout == "hello\n"
    assert run("flox", "uninstall", "-d", project, "curl").stderr == (
        "✘ ERROR: no package named 'curl' in the manifest\n"
    )
    locked = lockfile.parse((project / ".flox/env/manifest.lock").read_bytes())
    assert {package.install_id for package in locked.packages} == {"hello"}
    assert run("flox", "install", "-d", project, "no-such-thing").returncode == 1
    assert run("flox", "init", "-d", project).stderr.startswith("✘ ERROR: Found an existing environment")
