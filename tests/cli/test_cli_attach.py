"""Several processes in one environment: which runs the hook, which attach, which are refused, what runs at the end."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import signal
import string
import subprocess
import sys

import pytest

from esker.activate.starts import registry
from esker.host import pidfd
from esker.host.runtime_directory import environment_directory

pytestmark = pytest.mark.slow

ESKER = f"{sys.executable} -m esker"
HEAD = 'schema-version = "1.15.0"\n'
HOOK = HEAD + "[hook]\non-activate = 'echo ran >&2; export A=${A-}x PATH=/hook:$PATH'\n"


@pytest.fixture
def environ(environ, tmp_path):
    """Give the variables with a runtime directory of the test's own, unless the user is root."""
    (tmp_path / "run").mkdir(0o700)
    return environ | {"XDG_RUNTIME_DIR": str(tmp_path / "run")}


def place(directory, environ):
    """Return the file that records the activations of a project."""
    return registry.registry_path(environment_directory(f"{directory}/.flox", environ["XDG_RUNTIME_DIR"]))


def starts(directory, environ):
    """Return the starts that are running."""
    with registry.locked_starts(place(directory, environ)) as found:
        return list(found)


class Holder:
    """A command in an environment that says `ready`, then runs until it is told to end."""

    def __init__(self, directory, environ, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "esker", "activate", *arguments],
            cwd=directory,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.ready = False

    def wait(self):
        """Wait until the command is ready."""
        assert self.process.stdout.readline() == "ready\n", self.process.stderr.read()
        return self

    def end(self):
        """Tell the command to end, and return what it has written to standard error."""
        return self.process.communicate("\n", timeout=30)[1]


STAY = ("-c", "echo ready; read line")


@pytest.fixture
def holding(environ):
    """Give a function that starts a `Holder`; those that still run after the test are killed."""
    started = []

    def hold(directory, *arguments, **variables):
        started.append(Holder(directory, environ | variables, *(arguments or STAY)))
        return started[-1]

    yield hold
    for holder in started:
        holder.process.kill()
        holder.process.communicate()


@pytest.fixture
def vanished(environ):
    """Give a function that waits until a project's watcher has ended, and returns what is still recorded."""

    def wait(directory, let_go):
        watchers = [start.keeper for start in starts(directory, environ)]
        descriptors = [watcher.process.open() for watcher in watchers]
        let_go()
        for descriptor in descriptors:
            assert pidfd.wait(descriptor, 20)
            os.close(descriptor)
        path = place(directory, environ)
        return [name for name in os.listdir(os.path.dirname(path)) if name.startswith(os.path.basename(path))]

    return wait


def test_case_11_the_hook_runs_once_for_two_terminals(esker, project, holding):
    """The second process gets the first hook's changes, on its own values; profile scripts run in both."""
    directory = project(HOOK + "[profile]\ncommon = 'echo profile'\n")
    first = holding(directory, "-c", "echo ready; read line; echo $A")
    assert first.process.stdout.readline() == "profile\n"
    first.wait()
    second = esker("activate", "-c", 'echo "$A"; echo "$PATH"', PATH=f"{os.environ['PATH']}:/second")
    assert (second.status, second.err) == (0, "")
    profile, exported, path = second.out.splitlines()
    assert (profile, exported) == ("profile", "x")
    assert path.startswith(f"/hook:{directory}/.flox/run/")
    assert path.endswith(":/second")
    assert first.end() == "ran\n"


def test_a_later_start_runs_the_hook_again(esker, project, environ, vanished, holding):
    """The recorded changes are removed with the last process, and a later start does not use them."""
    directory = project(HOOK)
    first = holding(directory).wait()
    assert vanished(directory, first.end) == []
    assert esker("activate", "--", "true").err == "ran\n"
    assert esker("activate", "-c", ":").err == "ran\n"


@pytest.mark.parametrize("arguments", [("-c", "echo $A"), ("--", "sh", "-c", "echo $A"), ()])
def test_every_form_attaches(esker, project, environ, holding, arguments):
    """A command, a program and a shell in place all attach."""
    directory = project(HOOK)
    holding(directory).wait()
    if arguments:
        assert esker("activate", *arguments) == (0, "x\n", "")
    else:
        script = f'eval "$({ESKER} activate)"; echo $A'
        done = subprocess.run(
            ["bash", "-c", script], cwd=directory, env=environ, capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.stderr) == ("x\n", "")


def test_an_interactive_shell_says_that_it_attached(project, environ, holding):
    """An interactive shell that attaches says so in Flox's words, and no hook runs."""
    directory = project(HOOK)
    holding(directory).wait()
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "esker", "activate"],
        cwd=directory,
        env=environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as shell:
        os.close(theirs)
        os.write(ours, b"echo A=$A; exit\n")
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:  # the terminal is closed with its last program
            pass
        shell.wait()
    os.close(ours)
    assert "✔ Attached to existing activation of environment 'project'\r\n" in said.decode()
    assert "A=x" in said.decode()
    assert b"ran" not in said


def test_case_13_a_hook_that_failed_starts_nothing(esker, project, environ, tmp_path):
    """After a failed hook, a waiting process starts and reports its own failure."""
    for name in ("begun", "go"):
        os.mkfifo(tmp_path / name)
    script = f"echo begun; echo > {tmp_path}/begun; read line < {tmp_path}/go; exit"
    directory = project(HEAD + f"[hook]\non-activate = '{script}'\n")
    esker("lock")
    run = [sys.executable, "-m", "esker", "activate", "--", "true"]
    with (
        subprocess.Popen(run, cwd=directory, env=environ, stderr=subprocess.PIPE, text=True) as first,
        subprocess.Popen(run, cwd=directory, env=environ, stderr=subprocess.PIPE, text=True) as second,
    ):
        for _ in range(2):
            (tmp_path / "begun").read_text()
            (tmp_path / "go").write_text("\n")
        said = [first.communicate()[1], second.communicate()[1]]
        assert [first.returncode, second.returncode] == [1, 1]
    for text in said:
        place = f"{directory}/.flox/env/manifest.toml"
        assert text.startswith(f"begun\n✘ ERROR: {place}: The hook.on-activate script did not complete normally\n")
    assert starts(directory, environ) == []


def test_whoever_waits_takes_over_when_the_first_is_killed(project, environ, tmp_path):
    """If the first process is killed during its hook, the second one starts."""
    os.mkfifo(tmp_path / "begun")
    directory = project(
        HEAD + f"[hook]\non-activate = '[ -n \"$QUICK\" ] || {{ echo > {tmp_path}/begun; sleep 60; }}'\n"
    )
    run = [sys.executable, "-m", "esker", "activate", "--", "echo", "done"]
    with subprocess.Popen(run, cwd=directory, env=environ, start_new_session=True) as first:
        (tmp_path / "begun").read_text()
        with subprocess.Popen(run, cwd=directory, env=environ | {"QUICK": "1"}, stdout=subprocess.PIPE) as second:
            os.killpg(first.pid, signal.SIGKILL)
            assert second.communicate(timeout=30)[0] == b"done\n"


def test_a_mode_clash_names_the_pids(esker, project, environ, holding):
    """Every form is refused with Flox's text, also a command without a hook; the holder is not disturbed."""
    directory = project(HOOK)
    holder = holding(directory).wait()
    expected = (
        "✘ ERROR: Environment can't be activated in 'run' mode whilst there are existing activations in 'dev' mode\n"
        "hint: Exit all activations of the environment and try again.\n"
        f"PIDs of the running activations: {holder.process.pid}\n"
        "code: mode-clash\n"
    )
    for arguments in (("--", "true"), ("-c", ":"), ("--print-script",)):
        done = esker("activate", "-m", "run", *arguments)
        assert (done.status, done.err) == (1, expected)
    assert esker("activate", "--", "true").status == 0


def test_flox_refuses_another_mode_in_its_own_words(flox, project, holding):
    """`flox` prints only Flox's own text, with status 1."""
    directory = project(HOOK)
    holder = holding(directory).wait()
    text = (
        "✘ ERROR: Environment can't be activated in 'run' mode whilst there are existing activations in 'dev' mode\n\n"
        "Exit all activations of the environment and try again.\n"
        f"PIDs of the running activations: {holder.process.pid}\n"
    )
    assert flox("activate", "-m", "run", "--", "true") == (1, "", text)


@pytest.mark.parametrize(
    ("manifest", "third"),
    [
        ('version = 1\n[vars]\nX = "same"\n[hook]\non-activate = ":"\n', "same"),
        ("version = 1\n[hook]\non-activate = 'export X=same'\n", "other"),
    ],
)
def test_case_25_what_was_the_same_already(flox, project, holding, manifest, third):
    """A process without X gets the first one's X; a process with another X keeps it, unless `[vars]` set it."""
    holding(project(manifest), X="same").wait()
    assert flox("activate", "-c", "echo $X", X=None) == (0, "same\n", "")
    assert flox("activate", "-c", "echo $X", X="other") == (0, f"{third}\n", "")


def test_case_26_only_what_is_exported_reaches_others(flox, project, holding):
    """Variables exported by any builtin are shared; unexported ones and those local to a function are not."""
    hook = "A=v; declare -x A\nexport B=l; declare +x B\nf() { local -x C=s; }\nf\n"
    holding(project(f"version = 1\n[hook]\non-activate = '''\n{hook}'''\n")).wait()
    assert flox("activate", "-c", "echo $A ${B-unset} ${C-unset}") == (0, "v unset unset\n", "")


def test_a_shell_in_an_environment_without_hook_is_known_too(esker, project, environ):
    """An environment without a hook that a shell has active is refused in another mode, until `deactivate`."""
    directory = project()
    script = (
        f'eval "$({ESKER} activate)"\n{ESKER} activate -m run -- true; echo $?\n'
        f'eval "$({ESKER} deactivate)"\n{ESKER} activate -m run -- echo fine; echo $$'
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=directory, env=environ, capture_output=True, text=True, check=False
    )
    status, fine, pid = done.stdout.split()
    assert (status, fine) == ("1", "fine")
    assert f"PIDs of the running activations: {pid}\n" in done.stderr
    assert not os.path.exists(place(directory, environ))


def test_a_changed_environment_starts_beside(esker, project, holding):
    """After a change of the manifest, running processes keep what they have, and new ones get the new environment."""
    directory = project(HOOK)
    first = holding(directory, "-c", "echo ready; read line; echo $A")
    first.wait()
    (directory / ".flox/env/manifest.toml").write_text(HOOK.replace("}x", "}new"))
    assert esker("activate", "-c", "echo $A") == (0, "new\n", "ran\n")
    assert first.process.communicate("\n")[0] == "x\n"


def test_case_46_states_are_for_their_owner_alone(project, environ, holding):
    """Files have mode 0600 in directories of mode 0700 (root's let services pass); no secret is elsewhere."""
    directory = project(HEAD + "[hook]\non-activate = 'export TOKEN=s3cr3t$((6 * 7))'\n")
    holding(directory).wait()
    path = place(directory, environ)
    found = [name for name in os.listdir(os.path.dirname(path)) if name.startswith(os.path.basename(path))]
    assert len(found) == 2
    for name in found:
        assert os.stat(f"{os.path.dirname(path)}/{name}").st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == (0o700 if os.geteuid() else 0o711)
    for tree in (directory, environ["HOME"], environ["ESKER_STORE"]):
        assert subprocess.run(["grep", "-rq", "s3cr3t42", tree], check=False).returncode == 1


ENDS = 'on-deactivate = \'echo "$A $PWD" >> "$FLOX_ENV_CACHE/ends"\'\n'


def test_the_end_runs_once_after_the_last_has_left(esker, project, environ, holding, vanished):
    """`on-deactivate` runs once, even if the last process was killed, where the hook ran and with its exports."""
    directory = project(HOOK + ENDS)
    first, second = holding(directory).wait(), holding(directory).wait()
    ends = directory / ".flox/cache/ends"
    first.end()
    assert esker("activate", "--", "test", "!", "-e", ends).status == 0

    def let_go():
        second.process.kill()
        second.process.wait()

    assert vanished(directory, let_go) == []
    assert ends.read_text() == f"x {directory}\n"
    assert (directory / ".flox/log/on-deactivate.log").read_text() == "hook.on-deactivate ended with status 0\n"


def test_the_end_comes_before_the_next_start(esker, project, environ, tmp_path):
    """Two commands in a row run the hook, its end, the hook, its end."""
    directory = project(
        HEAD + f"[hook]\non-activate = 'echo in >> {tmp_path}/log'\non-deactivate = 'echo out >> {tmp_path}/log'\n"
    )
    for _ in range(3):
        assert esker("activate", "--", "true").status == 0
    esker("activate", "--", "true")
    assert (tmp_path / "log").read_text().startswith("in\nout\n" * 3 + "in\n")
    assert esker("activate", "--", "true").status == 0
    assert directory.exists()


def test_an_environment_that_only_ends_has_a_start_too(esker, project, environ, holding, vanished):
    """`hook.on-deactivate` runs without a `hook.on-activate` too."""
    directory = project(HEAD + "[hook]\n" + ENDS)
    holder = holding(directory).wait()
    assert esker("activate", "--", "true").status == 0
    assert vanished(directory, holder.end) == []
    assert (directory / ".flox/cache/ends").read_text() == f" {directory}\n"


def test_with_services_nothing_is_left_on_return(esker, project, environ):
    """With services Esker leaves last, and `on-deactivate` has run when it returns the command's status."""
    services = '[services]\none.command = "exec sleep 1000"\n'
    directory = project(HOOK + ENDS + services)
    assert esker("activate", "-s", "--", "sh", "-c", "exit 7").status == 7
    assert (directory / ".flox/cache/ends").read_text() == f"x {directory}\n"
    assert not os.path.exists(place(directory, environ))


def test_a_shell_in_place_keeps_the_start_until_it_leaves(esker, project, environ, vanished):
    """The shell counts as the user, not the process that it called; `deactivate` or the shell's end ends the start."""
    directory = project(HOOK + ENDS)
    ends = directory / ".flox/cache/ends"
    enter, leave = (f'eval "$({ESKER} {word})"\n' for word in ("activate", "deactivate"))
    script = f"{enter}echo ready; read line\n{leave}echo left; read line\n{enter}echo ready; read line\n"
    with subprocess.Popen(
        ["bash", "-c", script], cwd=directory, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as shell:

        def on(*expected):
            shell.stdin.write("\n")
            shell.stdin.flush()
            assert [shell.stdout.readline() for _ in expected] == list(expected)

        assert shell.stdout.readline() == "ready\n"
        assert [start.members[0].process.pid for start in starts(directory, environ)] == [shell.pid]
        assert esker("activate", "-c", "echo $A") == (0, "x\n", "")
        assert not ends.exists()
        assert vanished(directory, lambda: on("left\n")) == []
        assert len(ends.read_text().splitlines()) == 1
        on("ready\n")

        def end():
            shell.stdin.write("\n")
            shell.stdin.close()
            shell.wait()

        assert vanished(directory, end) == []
    assert len(ends.read_text().splitlines()) == 2


def test_python_and_shells_share_a_start(esker, project, environ, holding, vanished):
    """A program attaches to a shell's start, and a shell to a program's; `on-deactivate` runs after both."""
    directory = project(HOOK + ENDS)
    code = (
        "import os, sys; from esker import Environment\n"
        "with Environment(sys.argv[1]):\n    print(os.environ['A'], flush=True); sys.stdin.readline()\n"
    )

    def program():
        return subprocess.Popen(
            [sys.executable, "-c", code, directory],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    ends = directory / ".flox/cache/ends"
    with program() as first:
        assert first.stdout.readline() == "x\n"
        shell = holding(directory).wait()
        first.communicate("\n")
        assert not ends.exists()
        with program() as second:
            assert second.stdout.readline() == "x\n"
            assert shell.end() == ""
            assert vanished(directory, lambda: second.communicate("\n")) == []
    assert len(ends.read_text().splitlines()) == 1


def test_a_killed_program_leaves_nothing_for_long(esker, project, environ):
    """The recorded changes of a killed program are removed by this user's next activation of any environment."""
    directory = project(HOOK)
    other = project(HOOK, name="other")
    code = "import os, sys; from esker import Environment; Environment(sys.argv[1]).activate(); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code, directory], env=environ, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL
    path = place(directory, environ)
    assert os.path.exists(path)
    assert esker("activate", "--", "true", cwd=other).status == 0
    assert not os.path.exists(path)


def test_a_command_in_an_environment_without_hook_leaves_no_trace(esker, project, environ):
    """A command in an environment without a hook writes nothing, and leaves no process."""
    directory = project()
    assert esker("activate", "--", "true").status == 0
    assert not os.path.exists(place(directory, environ))


def test_the_watcher_has_nothing_of_the_caller(project, environ, holding):
    """The watcher has neither the caller's descriptors, which keep pipes open, nor its session."""
    directory = project(HOOK)
    holder = holding(directory).wait()
    watcher = starts(directory, environ)[0].keeper.process.pid
    assert os.getsid(watcher) == watcher
    opened = set()
    for name in os.listdir(f"/proc/{watcher}/fd"):
        with contextlib.suppress(FileNotFoundError):  # it opens and closes the note of the activations
            opened.add(os.readlink(f"/proc/{watcher}/fd/{name}"))
    opened = {name for name in opened if not name.endswith(".activations")}
    assert {name.partition(":")[0] for name in opened} <= {"/dev/null", "pipe", "anon_inode"}
    with open(f"/proc/{watcher}/comm") as file:
        assert file.read() == "esker-watcher\n"
    holder.end()


def test_a_shell_that_cannot_remember_the_environment_is_not_in_it(project, environ):
    """Of variables too large for `_ESKER_UNDO` nothing is left in the shell, which starts programs as before."""
    large = "".join(random.Random(1).choices(string.ascii_letters, k=80_000))
    directory = project(f"{HOOK}{ENDS}[vars]\nLARGE = '{large}'\n")
    script = f'eval "$({ESKER} activate)"; echo "$? ${{A-none}}"; env cat .flox/cache/ends'
    done = subprocess.run(
        ["bash", "-c", script], cwd=directory, env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"1 none\nx {directory}\n"
    assert "are too large to be undone" in done.stderr
