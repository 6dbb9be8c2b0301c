"""Flox's test cases of services, by their numbers, run with Esker's `flox`."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import time

import pytest

from esker.settings import Settings

pytestmark = pytest.mark.slow

SYSTEM = Settings({}).system
OTHER = next(name for name in ("aarch64-darwin", "x86_64-linux") if name != SYSTEM)
NONE = "✘ ERROR: Environment does not have any services defined.\n"
ONE_AND_TWO = """\
version = 1
[services]
one.command = "exec sleep 1000"
two.command = "exec sleep 1000"
"""


@pytest.fixture
def services(flox, project):
    """Give a function that makes a project with a manifest; services that still run afterwards are stopped."""
    made = []

    def make(manifest):
        made.append(project(manifest))
        return made[0]

    yield make
    for directory in made:
        flox("services", "stop")
        until(lambda directory=directory: at_work(directory) == [])


def at_work(directory):
    """Return the processes whose working directory is a directory, without our own."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") == str(directory):
                found.append(int(pid))
        except OSError:
            continue
    return found


def until(condition, seconds=20):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def statuses(flox, **how):
    """Return the state of each service by its name, and the pids."""
    done = flox("services", "status", "--json", **how)
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    return {one["name"]: one["status"] for one in found}, {one["name"]: one["pid"] for one in found}


def test_case_37_stopping_what_runs_and_what_does_not(flox, services):
    """Each stopped service has its line; a service that does not run gives a warning."""
    services('version = 1\n[services]\none.command = "exec sleep 1000"\n')
    assert flox("services", "start") == (0, "", "✔ Service 'one' started.\n")
    assert flox("services", "stop") == (0, "", "✔ Service 'one' stopped\n")
    assert flox("services", "stop") == (0, "", "! Service 'one' is not running\n")
    assert flox("services", "stop", "one") == (0, "", "! Service 'one' is not running\n")


def test_case_37_an_unknown_name_stops_nothing(flox, services):
    """All names are checked before a service is stopped."""
    services(ONE_AND_TWO)
    assert flox("services", "start").status == 0
    before = statuses(flox)
    assert flox("services", "stop", "one", "two", "invalid") == (1, "", "✘ ERROR: Service 'invalid' does not exist.\n")
    assert statuses(flox) == before
    assert before[0] == {"one": "Running", "two": "Running"}


@pytest.mark.parametrize("command", ["logs", "restart", "start", "status", "stop"])
def test_case_38_no_services(flox, project, command):
    """Every command of services says that there are no services, in general or for this system."""
    directory = project("version = 1\n")
    assert flox("activate", "--", "flox", "services", command) == (1, "", NONE)
    manifest = f'version = 1\n[services.one]\ncommand = "true"\nsystems = ["{OTHER}"]\n'
    (directory / ".flox/env/manifest.toml").write_text(manifest)
    told = NONE.replace("defined.", f"defined for '{SYSTEM}'.")
    assert flox("activate", "--", "flox", "services", command) == (1, "", told)


def test_every_name_is_checked_before_anything_is_done(flox, project):
    """An undeclared service and a service that is declared for other systems have different messages."""
    project(f'version = 1\n[services]\none.command = "true"\n[services.two]\ncommand = "true"\nsystems = ["{OTHER}"]\n')
    for command in ("start", "restart", "stop", "status"):
        unknown = (1, "", "✘ ERROR: Service 'three' does not exist.\n")
        assert flox("services", command, "one", "three") == unknown
        elsewhere = (1, "", f"✘ ERROR: Service 'two' is not available on '{SYSTEM}'.\n")
        assert flox("services", command, "one", "two") == elsewhere
    told = "✘ ERROR: A single service name is required when the --follow flag is not specified\n"
    assert flox("services", "logs") == (1, "", told)
    assert statuses(flox)[0] == {"one": "Stopped"}


def test_the_states_as_json_begin_with_floxs_keys(flox, services):
    """The states are one indented array; the keys that only Esker has come last."""
    services('version = 1\n[services]\none.command = "exit 3"\n')
    assert flox("services", "start").status == 0
    until(lambda: statuses(flox)[1] == {"one": None})
    done = flox("services", "status", "--json")
    assert done.out.startswith(
        '[\n  {\n    "name": "one",\n    "status": "Completed",\n    "pid": null,\n    "exit_code": 3,\n'
    )
    table = "NAME       STATUS             PID\none        Completed (3)         \n\n"
    assert flox("services", "status") == (0, table, "")


def test_case_40_the_variables_of_a_service(flox, services):
    """The `vars` of a service are its own, and a file `.env` does not change them."""
    directory = services(
        "version = 1\n[services.one]\ncommand = '''echo \"hello $myvar\"'''\nvars.myvar = \"some_value\"\n"
    )
    (directory / ".env").write_text("myvar=from_the_file\n")
    assert flox("services", "start", "one") == (0, "", "✔ Service 'one' started.\n")
    until(lambda: flox("services", "logs", "-n", "10", "one").out)
    assert flox("services", "logs", "-n", "10", "one") == (0, "hello some_value\n", "")


def test_a_log_is_followed_until_the_person_has_enough(flox, services):
    """Each line begins with its service's name, padded to the longest; an interruption is reported as by Flox."""
    services("version = 1\n[services]\none.command = 'echo 1; exec sleep 1000'\nlonger.command = 'exec sleep 1000'\n")
    assert flox("services", "start").status == 0
    following = flox.start(["services", "logs", "--follow"])
    assert following.stdout.readline() == "one   : 1\n"
    following.send_signal(signal.SIGINT)
    assert following.communicate(timeout=30) == ("", "user interrupted process\n")
    assert following.returncode == 1


def test_case_41_services_that_start_unasked(flox, services):
    """`auto-start` counts as `-s`; the flag against it wins, and the two flags cannot be combined."""
    services('schema-version = "1.12.0"\n[services]\nauto-start = true\none.command = "exec sleep 1000"\n')
    show = ("--", "sh", "-c", "echo $FLOX_ACTIVATE_START_SERVICES; flox services status")
    done = flox("activate", *show)
    head, table = done.out.split("\n", 1)
    assert (done.status, done.err, head) == (0, "", "true")
    (pid,) = (word for word in table.split() if word.isdecimal())
    assert table == f"NAME       STATUS       PID\none        Running {pid:>8}\n\n"
    stopped = "NAME       STATUS       PID\none        Stopped         \n\n"
    assert flox("activate", "--no-start-services", *show) == (0, f"false\n{stopped}", "")
    told = "✘ ERROR: --start-services and --no-start-services are mutually exclusive\n"
    assert flox("activate", "-s", "--no-start-services", "--", "true") == (1, "", told)


def test_case_43_services_end_with_the_last_activation(flox, services):
    """Two activations share services, which run on when the first leaves and stop when the last one does."""
    directory = services('version = 1\n[services]\none.command = "exec sleep 1000"\n')
    runtime = flox("activate", "--", "printenv", "ESKER_RUNTIME_DIR").out.strip()
    hold = ["activate", "-s", "--", "sh", "-c", "echo ready; exec cat"]
    with started(flox, hold) as first:
        pids = statuses(flox)[1]
        with started(flox, hold) as second:
            assert statuses(flox)[1] == pids
            assert ended(first) == (0, "")
            assert statuses(flox)[1] == pids
            assert ended(second) == (0, "! Skipped starting services, services are already running\n")
    until(
        lambda: (
            not [name for name in os.listdir(os.path.dirname(runtime)) if name.startswith(os.path.basename(runtime))]
        )
    )
    assert at_work(directory) == []


def started(flox, arguments):
    """Start `flox`, and return the process when it has printed that it is ready."""
    process = flox.start(arguments)
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process):
    """Close the input of a command, and return its exit status and messages."""
    _, messages = process.communicate(timeout=30)
    return process.returncode, messages


@pytest.mark.parametrize("command", ["services start one", "services restart", "activate -s -- true"])
def test_services_are_not_started_from_the_hook(flox, services, command):
    """A start from the hook would wait for itself and is refused; status works, and the activation goes on."""
    hook = f"flox services status; flox {command}; {sys.executable} -m esker {command}"
    services(f"version = 1\n[hook]\non-activate = '{hook}'\n[services]\none.command = 'exec sleep 1000'\n")
    table = "NAME       STATUS       PID\none        Stopped         \n\n"
    told = (
        "✘ ERROR: Cannot start services from 'hook.on-activate'.\n\n"
        "Starting services from the activation hook would cause a deadlock.\n"
        "Activate the environment with 'flox activate --start-services' instead.\n"
        "✘ ERROR: services cannot be started from `hook.on-activate`, because they would wait until it has ended\n"
        "hint: start them when you activate: esker activate -s, or `services.auto-start` in the manifest\ncode: service\n"
    )
    assert flox("activate", "--", "echo", "on") == (0, "on\n", table + told)
    assert statuses(flox)[0] == {"one": "Stopped"}


def test_services_are_not_started_from_what_runs_at_the_end(flox, services):
    """A start from `on-deactivate` would wait for itself too, and so would every later activation."""
    directory = services(
        'schema-version = "1.15.0"\n[hook]\non-deactivate = "flox services start; echo end"\n'
        "[services]\none.command = 'exec sleep 1000'\n"
    )
    assert flox("activate", "--", "true").status == 0
    log = directory / ".flox/log/on-deactivate.log"
    until(lambda: log.exists() and "end\n" in log.read_text())
    told = "✘ ERROR: services cannot be started from `hook.on-deactivate`, because they would wait until it has ended\n"
    assert log.read_text().startswith(f"{told}end\n")
    assert flox("activate", "--", "echo", "again") == (0, "again\n", "")


def test_what_runs_at_the_end_does_not_wait_for_itself(flox, project, tmp_path):
    """After a change of the manifest an activation is a new start, which waits for the end of the old one."""
    text = 'schema-version = "1.15.0"\n[hook]\non-deactivate = "flox activate -- echo no; echo end"\n'
    directory = project(text)
    (tmp_path / "new.toml").write_text(f"{text}[vars]\nA = '1'\n")
    assert flox("activate", "--", "flox", "-q", "edit", "-f", tmp_path / "new.toml") == (0, "", "")
    log = directory / ".flox/log/on-deactivate.log"
    until(lambda: log.exists() and "end\n" in log.read_text())
    told = (
        "✘ ERROR: a hook of `project` activates the same environment again, and would wait for itself for ever\nend\n"
    )
    assert log.read_text().startswith(told)
    assert flox("activate", "-c", 'echo "$A"') == (0, "1\n", "")


def test_case_44_a_restart_of_what_has_ended_is_a_start(flox, services):
    """A restart says for each service whether it was started or restarted."""
    services('version = 1\n[services]\none.command = "true"\ntwo.command = "true"\nthree.command = "exec sleep 1000"\n')
    assert flox("services", "start").status == 0
    until(lambda: statuses(flox)[0] == {"one": "Completed", "two": "Completed", "three": "Running"})
    done = flox("services", "restart", "one", "two")
    assert done == (0, "", "✔ Service 'one' started.\n✔ Service 'two' started.\n")
    assert flox("services", "restart", "three") == (0, "", "✔ Service 'three' restarted.\n")


def test_case_44_a_restart_of_all_takes_the_new_manifest(flox, services):
    """A restart of all services drops those that the manifest no longer has; a restart of one keeps the others."""
    text = "version = 1\n[services]\none.command = 'echo {0}; exec sleep 1000'\ntwo.command = 'exec sleep 1000'\n"
    directory = services(text.format("old"))
    assert flox("services", "start").status == 0
    pids = statuses(flox)[1]
    (directory / ".flox/env/manifest.toml").write_text(text.format("new"))
    assert flox("services", "restart", "one") == (0, "", "✔ Service 'one' restarted.\n")
    until(lambda: flox("services", "logs", "-n", "1", "one").out)
    assert flox("services", "logs", "-n", "1", "one").out == "old\n"
    assert statuses(flox)[1]["two"] == pids["two"]
    assert flox("services", "restart").err == "✔ Service 'one' restarted.\n✔ Service 'two' restarted.\n"
    until(lambda: flox("services", "logs", "-n", "1", "one").out == "new\n")
    (directory / ".flox/env/manifest.toml").write_text('version = 1\n[services]\ntwo.command = "exec sleep 1000"\n')
    assert flox("services", "restart").status == 0
    assert flox("services", "restart", "one") == (1, "", "✘ ERROR: Service 'one' does not exist.\n")
    assert statuses(flox)[0] == {"two": "Running"}


def test_case_46_what_is_kept_is_private(flox, services):
    """State directories have mode 0700 and files 0600, while services run and afterwards."""
    directory = services(
        'version = 1\n[hook]\non-activate = "export A=1"\n[services]\none.command = "exec sleep 1000"\n'
    )
    runtime = flox("activate", "--", "printenv", "ESKER_RUNTIME_DIR").out.strip()
    with started(flox, ["activate", "-s", "--", "sh", "-c", "echo ready; exec cat"]) as held:
        state = [directory / ".flox/cache/esker", directory / ".flox/log"]
        modes = {path: mode(path) for root in state for path in (root, *root.rglob("*"))}
        parent, name = os.path.split(runtime)
        modes |= {f"{parent}/{one}": mode(f"{parent}/{one}") for one in os.listdir(parent) if one.startswith(name)}
        ended(held)
    assert len(modes) > 5
    if os.geteuid() == 0:  # services run under another uid then, and put their sockets there
        assert modes.pop(runtime) & 0o007 == 0o001
    assert {path: oct(found) for path, found in modes.items() if found not in {0o700, 0o600}} == {}
    registry = os.path.join(flox.environ["HOME"], ".local/share/esker")
    assert (mode(registry), mode(f"{registry}/env-registry.json")) == (0o700, 0o600)


def mode(path):
    """Return the permissions of a file."""
    return stat.S_IMODE(os.stat(path).st_mode)


THREE = "version = 1\n[services]\n" + "".join(
    f'{name}.command = "exec sleep 1000"\n' for name in ("one", "two", "three")
)


def test_a_service_beside_running_ones_is_completed_or_disabled(flox, services):
    """After a stop it has completed; one that was not started is disabled, with an exit code of 0; pids are blank."""
    services(THREE)
    assert statuses(flox)[0] == {"one": "Stopped", "two": "Stopped", "three": "Stopped"}
    assert flox("services", "start", "one", "two").status == 0
    assert flox("services", "stop", "one").status == 0
    found = {
        one["name"]: (one["status"], one["exit_code"]) for one in json.loads(flox("services", "status", "--json").out)
    }
    assert found == {"one": ("Completed", None), "two": ("Running", None), "three": ("Disabled", 0)}
    table = flox("services", "status", "one", "three").out
    assert (
        table
        == "NAME       STATUS            PID\none        Completed            \nthree      Disabled (0)      [0]\n\n"
    )
    assert flox("services", "stop").status == 0
    assert statuses(flox)[0] == {"one": "Stopped", "two": "Stopped", "three": "Stopped"}


def test_esker_has_its_own_words_for_services_that_do_not_run(flox, esker, services):
    """Only the shim has Flox's words."""
    services(THREE)
    assert esker("services", "start", "one", "two").status == 0
    assert esker("services", "stop", "one").status == 0
    found = {one["name"]: one["status"] for one in json.loads(esker("services", "status", "--json").out)}
    assert found == {"one": "Stopped", "two": "Running", "three": "Stopped"}


def test_a_service_that_waits_is_disabled(flox, services):
    """While it waits for another, it has not been started for Flox."""
    services(
        'schema-version = "1.14.0"\n[services]\none.command = "exec sleep 1000"\ntwo.command = "exec sleep 1000"\n'
        '[plugins.esker.services.one]\ntype = "oneshot"\n'
        '[plugins.esker.services.two]\ndepends-on = { one = "service_completed_successfully" }\n'
    )
    starting = flox.start(["services", "start"])
    until(lambda: statuses(flox)[0] == {"one": "Running", "two": "Disabled"})
    assert flox("services", "stop").status == 0
    starting.communicate(timeout=30)


def test_services_that_were_all_stopped_have_completed_while_their_activation_lasts(flox, services):
    """Within `activate -s`, `services stop` leaves `Completed`; afterwards nothing was started."""
    services(ONE_AND_TWO)
    show = "flox services stop; flox services status --json | grep status"
    done = flox("activate", "-s", "--", "sh", "-c", show)
    assert done.out.split() == ['"status":', '"Completed",'] * 2
    assert statuses(flox)[0] == {"one": "Stopped", "two": "Stopped"}


def test_a_service_whose_dependency_failed_is_skipped(flox, services):
    """The start succeeds, as Flox does not wait for what it has asked for."""
    services(
        'schema-version = "1.14.0"\n[services]\none.command = "exit 7"\ntwo.command = "true"\n'
        'three.command = "exec sleep 1000"\n[plugins.esker.services.two]\n'
        'depends-on = { one = "service_completed_successfully" }\n'
    )
    assert flox("services", "start").status == 0
    until(lambda: statuses(flox)[0] == {"one": "Completed", "two": "Skipped", "three": "Running"})


def test_a_service_that_was_added_after_the_start_needs_a_restart(flox, services):
    """While a service runs, Flox knows only the services of the manifest that it was started with."""
    directory = services(ONE_AND_TWO)
    manifest = directory / ".flox/env/manifest.toml"
    assert flox("services", "start", "one").status == 0
    manifest.write_text(ONE_AND_TWO.replace("two", "new"))
    told = (
        "✘ ERROR: Service 'new' was defined after services were started.\n\n"
        "To use the service, restart services with 'flox services restart'\n"
    )
    for command in ("start", "restart"):
        assert flox("services", command, "new") == (1, "", told)
        assert flox("services", command, "one", "new") == (1, "", told)
    assert flox("services", "restart") == (0, "", "✔ Service 'new' started.\n✔ Service 'one' restarted.\n")
    assert flox("services", "stop").status == 0
    manifest.write_text(THREE)
    assert flox("services", "start", "three") == (0, "", "✔ Service 'three' started.\n")


def test_esker_starts_a_service_that_was_added_after_the_start(flox, esker, services):
    """Esker's own command needs no restart."""
    directory = services(ONE_AND_TWO)
    assert esker("services", "start", "one").status == 0
    (directory / ".flox/env/manifest.toml").write_text(ONE_AND_TWO.replace("two", "new"))
    assert "✔ Service 'new' started.\n" in esker("services", "start", "new").err


def test_a_start_after_an_edit_uses_what_the_running_services_were_started_with(flox, services):
    """A service that was stopped, or was never started, starts by the old manifest while another one runs."""
    text = ONE_AND_TWO.replace('two.command = "', 'two.command = "echo OLD; ')
    directory = services(text)
    assert flox("services", "start", "one").status == 0
    (directory / ".flox/env/manifest.toml").write_text(text.replace("OLD", "new"))
    assert flox("services", "start", "two") == (0, "", "✔ Service 'two' started.\n")
    until(lambda: flox("services", "logs", "-n", "1", "two").out == "OLD\n")


def test_a_second_activation_with_services_starts_none(flox, services):
    """It says that services are running already, and shares those that run."""
    services(ONE_AND_TWO)
    with started(flox, ["activate", "-s", "--", "sh", "-c", "echo ready; exec cat"]) as first:
        assert flox("services", "stop", "two").status == 0
        done = flox("activate", "-s", "--", "flox", "services", "status", "--json")
        assert done.err == "! Skipped starting services, services are already running\n"
        assert {one["name"]: one["status"] for one in json.loads(done.out)} == {"one": "Running", "two": "Completed"}
        assert ended(first) == (0, "")
    until(lambda: statuses(flox)[0] == {"one": "Stopped", "two": "Stopped"})
