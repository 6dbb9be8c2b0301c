"""`esker services` and `esker activate -s`: started means ready, shared, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from esker.host import pidfd

pytestmark = pytest.mark.slow

SERVER = """\
import http.server, os
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["WEB_PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
MANIFEST = """\
schema-version = "1.14.0"
[vars]
GREETING = "hello"
[hook]
on-activate = 'export FROM_HOOK="$GREETING from the hook"'
[services.prepare]
command = 'echo "$FROM_HOOK" > "$FLOX_ENV_CACHE/prepared"'
[services.web]
command = 'cat "$FLOX_ENV_CACHE/prepared"; exec "$PYTHON_OF_THE_TEST" server.py'
vars.SECRET = "own"
[plugins.esker.services.prepare]
type = "oneshot"
[plugins.esker.services.web]
depends-on = { prepare = "service_completed_successfully" }
healthcheck = { http = "http://127.0.0.1:$WEB_PORT/" }
ports = { WEB_PORT = 0 }
pass-env = ["PYTHON_OF_THE_TEST"]
"""


@pytest.fixture
def web(project, environ, esker):
    """Give a project with a web server that depends on a oneshot; services that still run afterwards are stopped."""
    environ["PYTHON_OF_THE_TEST"] = os.path.realpath(sys.executable)
    directory = project(MANIFEST)
    (directory / "server.py").write_text(SERVER)
    yield directory
    esker("services", "stop")
    assert leftovers(directory, environ) == []


def leftovers(directory, environ):
    """Return the processes and sockets of a project's services."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "esker",
            "activate",
            "--no-start-services",
            "--",
            "sh",
            "-c",
            'ls -d "$ESKER_RUNTIME_DIR" "$ESKER_RUNTIME_DIR.sock"',
        ],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    found = done.stdout.split()
    for process in filter(str.isdecimal, os.listdir("/proc")):
        try:
            inside = os.readlink(f"/proc/{process}/cwd") == str(directory) and int(process) != os.getpid()
        except OSError:
            continue
        with pidfd.opened(int(process)) as descriptor:  # what watches over a command ends just after it
            if inside and descriptor is not None and not pidfd.wait(descriptor, 10):
                found.append(process)
    return found


def status(esker):
    """Return the state of each service by its name, from `--json`."""
    return {one["name"]: one for one in json.loads(esker("services", "status", "--json").out)}


def test_started_means_ready(esker, web):
    """`start` returns when the server answers; it ran after its oneshot, with the hook's variables and its port."""
    done = esker("services", "start")
    assert (done.status, done.out) == (0, "")
    assert "✔ Service 'web' started." in done.err
    code = 'import os, urllib.request as u; print(u.urlopen("http://127.0.0.1:" + os.environ["WEB_PORT"]).status)'
    assert esker("activate", "--", sys.executable, "-c", code).out == "200\n"
    assert esker("services", "logs", "web").out.startswith("hello from the hook\n")
    states = status(esker)
    assert (states["web"]["status"], states["web"]["health"], states["web"]["engine"]) == (
        "Running",
        "healthy",
        "native",
    )
    assert (states["prepare"]["status"], states["prepare"]["exit_code"]) == ("Completed", 0)
    assert list(states["web"])[:4] == ["name", "status", "pid", "exit_code"]
    assert esker("services", "start", "web").err == "! Service 'web' is already running.\n"
    assert esker("services", "start", "prepare").err == "! Service 'prepare' has completed already.\n"


def test_the_table_begins_with_the_columns_of_flox(esker, web):
    """The columns are NAME STATUS PID, then health, ports and uptime; a missing pid is a dash."""
    port = esker("services", "ports").out.strip()
    assert esker("services", "status").out == (
        "NAME       STATUS       PID HEALTH    PORTS                UPTIME\n"
        "prepare    Stopped        - -         -                    -\n"
        f"web        Stopped        - -         {port:<20} -\n"
    )


def test_stop_says_what_it_stopped_and_what_did_not_run(esker, web):
    """A second stop gives a warning; an unknown name is an error before anything is stopped."""
    esker("services", "start")
    assert esker("services", "stop", "web", "absent").status == 1
    assert status(esker)["web"]["status"] == "Running"
    assert "✔ Service 'web' stopped\n" in esker("services", "stop", "web").err
    assert esker("services", "stop", "web") == (0, "", "! Service 'web' is not running\n")


STUBBORN = """\
schema-version = "1.14.0"
[services.web]
command = "trap '' INT; echo up; while :; do sleep 0.1; done"
[services.quick]
command = "exec sleep 1000"
[plugins.esker.services.web]
stop-signal = "SIGINT"
stop-grace-period = "200ms"
healthcheck = { log = "up" }
"""


def test_stop_says_what_it_had_to_kill(project, esker):
    """The warning names the service, what asked it to end, and for how long; the status stays 0."""
    project(STUBBORN)
    esker("services", "start")
    told = "! Service 'web' did not end within 0.2 s of SIGINT, and was killed (see `stop-signal` and"
    stopped = esker("services", "stop")
    assert (stopped.status, stopped.err.count("was killed"), told in stopped.err) == (0, 1, True)
    esker("services", "start")
    stopped = esker("services", "stop", "--json")
    killed = {"service": "web", "signal": "SIGINT", "seconds": 0.2, "container": None}
    assert json.loads(stopped.out)["killed"] == [killed]


def test_restart_says_what_it_had_to_kill(project, esker):
    """As `stop` does, of a service that the manifest has no more too; and so does `start --recreate`."""
    manifest = project(STUBBORN) / ".flox/env/manifest.toml"
    esker("services", "start")
    told = "! Service 'web' did not end within 0.2 s of SIGINT, and was killed (see `stop-signal` and"
    done = esker("services", "restart")
    assert (done.status, done.err.count("was killed"), told in done.err) == (0, 1, True)
    states = json.loads(esker("services", "restart", "--json").out)
    assert {each["name"]: each["killed"] and each["killed"]["signal"] for each in states} == {
        "quick": None,
        "web": "SIGINT",
    }
    manifest.write_text(STUBBORN.replace("200ms", "300ms"))
    done = esker("services", "start", "--recreate")
    assert (done.status, done.err.count("was killed"), told in done.err) == (0, 1, True)
    manifest.write_text(STUBBORN.replace("200ms", "300ms").replace("echo up", "exit 3"))
    done = esker("services", "restart")
    assert (done.status, done.err.count("was killed"), "within 0.3 s of SIGINT" in done.err) == (1, 1, True)
    manifest.write_text(STUBBORN.replace("200ms", "300ms"))
    esker("services", "start")
    manifest.write_text(
        STUBBORN.replace("[services.web]", "[services.gone]").replace("services.web]", "services.gone]")
    )
    done = esker("services", "restart")
    assert (done.status, done.err.count("was killed"), "'web' did not end within 0.3 s" in done.err) == (0, 1, True)
    esker("services", "stop")


def test_services_run_for_a_command_and_end_with_it(esker, web):
    """`activate -s -- CMD` returns the status of CMD, and no service runs when it returns."""
    script = 'printf "%s\\n" "$FLOX_ACTIVATE_START_SERVICES"; exit 7'
    done = esker("activate", "-s", "--", "sh", "-c", script)
    assert (done.status, done.out) == (7, "true\n")
    assert status(esker)["web"]["status"] == "Stopped"


def test_what_was_started_to_stay_outlives_the_command(esker, web):
    """`-s` does not stop services that `services start` has started, and says that it started none."""
    esker("services", "start")
    done = esker("activate", "-s", "--", "true")
    assert "! Skipped starting services, services are already running\n" in done.err
    assert status(esker)["web"]["status"] == "Running"


def test_the_hook_runs_once_for_command_and_services(esker, web):
    """The services get the same activation as the command, from one run of the hook."""
    manifest = web / ".flox/env/manifest.toml"
    manifest.write_text(MANIFEST.replace("on-activate = '", "on-activate = 'echo ran >> hook.log; "))
    assert esker("activate", "-s", "--", "true").status == 0
    assert (web / "hook.log").read_text() == "ran\n"


@pytest.mark.parametrize("how", [("services", "start"), ("activate", "-s", "--", "true")])
def test_services_started_inside_an_activation_have_all_of_it(esker, web, how):
    """Services started inside an activation get all of its variables, and no hook runs again."""
    text = MANIFEST.replace("on-activate = '", "on-activate = 'echo ran >> hook.log; ").replace(
        'echo "$FROM_HOOK" >', 'echo "$FROM_HOOK, $GREETING" >'
    )
    (web / ".flox/env/manifest.toml").write_text(text)
    done = esker("activate", "--", sys.executable, "-m", "esker", *how)
    assert done.status == 0, done.err
    assert esker("services", "logs", "web").out.startswith("hello from the hook, hello\n")
    assert (web / "hook.log").read_text() == "ran\n"


def test_auto_start_counts_as_s(esker, web):
    """With `services.auto-start` a plain activation starts the services, unless a flag forbids it."""
    text = MANIFEST.replace("[services.prepare]", "[services]\nauto-start = true\n[services.prepare]", 1)
    (web / ".flox/env/manifest.toml").write_text(text)
    show = ("sh", "-c", "echo $FLOX_ACTIVATE_START_SERVICES")
    assert esker("activate", "--", *show).out == "true\n"
    assert esker("activate", "--no-start-services", "--", *show).out == "false\n"
    done = esker("activate", "-s", "--no-start-services", "--", "true")
    assert "--start-services and --no-start-services are mutually exclusive" in done.err


def test_an_environment_without_services_only_warns(esker, project):
    """Without declared services `-s` warns and runs the command; `services` itself is an error."""
    project()
    done = esker("activate", "-s", "--", "echo", "ran")
    assert done == (0, "ran\n", "! Environment does not have any services defined.\n")
    for command in ("start", "stop", "restart", "status", "wait"):
        done = esker("services", command)
        assert (done.status, "Environment does not have any services defined." in done.err) == (1, True)


def test_a_service_that_fails_is_named_with_its_log(esker, project):
    """The error has the name, the exit status and the last lines; the command does not run, nothing is left."""
    directory = project(
        'schema-version = "1.14.0"\n[services.bad]\ncommand = "echo the reason; exit 3"\n'
        '[plugins.esker.services.bad]\nhealthcheck = { test = "false" }\n'
    )
    done = esker("activate", "-s", "--", "touch", "ran")
    assert done.status == 1
    assert "`bad`" in done.err
    assert "3" in done.err
    assert "the reason" in done.err
    assert not (directory / "ran").exists()
    assert status(esker)["bad"]["status"] in {"Stopped", "Error"}


@pytest.mark.parametrize(
    "command", [("services", "start"), ("services", "restart"), ("activate", "-s", "--", "touch", "ran")]
)
def test_a_plain_service_whose_program_is_missing_is_not_reported_as_started(esker, project, command):
    """Without Esker's table too, the command fails at once and names the service, its status and its log."""
    directory = project('version = 1\n[services]\napi.command = "exec uvicorn-of-nobody app:app"\n')
    done = esker(*command)
    assert done.status != 0
    assert "service `api` exited with status 127" in done.err
    assert "uvicorn-of-nobody" in done.err
    assert "started" not in done.err
    assert not (directory / "ran").exists()


@pytest.mark.parametrize("command", ["start", "restart"])
@pytest.mark.parametrize("hook", ["", "[hook]\non-activate = 'export FROM_HOOK=yes'\n"], ids=["plain", "hook"])
@pytest.mark.parametrize(("mode", "has_cpath"), [("run", False), ("dev", True)])
def test_a_start_within_an_activation_uses_its_mode(esker, project, command, hook, mode, has_cpath):
    """The manifest's own mode is the other one; there is no mode clash, and the variables are those of the activation."""
    own = "run" if mode == "dev" else "dev"
    project(
        f'schema-version = "1.14.0"\n[options]\nactivate.mode = "{own}"\n{hook}'
        "[services]\nweb.command = 'echo \"cpath=${CPATH-}\"; exec sleep 1000'\n"
    )
    inner = (sys.executable, "-m", "esker", "services", command)
    done = esker("activate", "-m", mode, "--", *inner)
    try:
        assert (done.status, done.err.splitlines()[0]) == (0, "✔ Service 'web' started.")
        assert (esker("services", "logs", "web").out != "cpath=\n") == has_cpath
    finally:
        esker("services", "stop")


def test_a_start_within_another_environment_uses_the_manifest_s_mode(esker, project, tmp_path):
    """The mode of an activation is no other environment's mode."""
    manifest = "version = 1\n[services]\nweb.command = 'echo \"cpath=${CPATH-}\"; exec sleep 1000'\n"
    directory = project(manifest)
    (tmp_path / "other").mkdir()
    assert esker("init", "-d", str(tmp_path / "other")).status == 0
    inner = (sys.executable, "-m", "esker", "services", "start", "-d", str(directory))
    done = esker("activate", "-m", "run", "-d", str(tmp_path / "other"), "--", *inner)
    try:
        assert done.status == 0
        assert str(directory) in esker("services", "logs", "web").out
    finally:
        esker("services", "stop")


def test_a_start_that_takes_too_long_is_124(esker, project):
    """If a service never becomes healthy, the start ends at its limit with status 124, and names the service."""
    project(
        'schema-version = "1.14.0"\n[services.slow]\ncommand = "exec sleep 1000"\n'
        '[plugins.esker.services.slow]\nhealthcheck = { test = "false" }\n'
    )
    done = esker("services", "start", "--timeout", "0.3")
    assert done.status == 124
    assert "`slow`" in done.err
    assert "0.3 s" in done.err


def test_a_killed_esker_takes_command_and_services_with_it(esker, web, environ):
    """After `kill -9` of `activate -s` the command is gone, and the next command finds no service running."""
    parent = subprocess.Popen(
        [sys.executable, "-m", "esker", "activate", "-s", "--", "sh", "-c", "echo $$; exec sleep 1000"],
        cwd=web,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent, pidfd.opened(int(parent.stdout.readline())) as command:
        server = status(esker)["web"]["pid"]
        with pidfd.opened(server) as descriptor:
            parent.send_signal(signal.SIGKILL)
            assert pidfd.wait(command, 20)
            assert pidfd.wait(descriptor, 20)
    assert status(esker)["web"]["status"] == "Stopped"


def test_two_shells_share_one_server(esker, web, environ):
    """The second `-s` joins the services of the first; they stop when the last one leaves."""
    first = subprocess.Popen(
        [sys.executable, "-m", "esker", "activate", "-s", "--", "sh", "-c", "echo ready; read line"],
        cwd=web,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with first:
        assert first.stdout.readline() == "ready\n"
        server = status(esker)["web"]["pid"]
        assert esker("activate", "-s", "--", "true").status == 0
        assert status(esker)["web"]["pid"] == server
        first.communicate("go\n")
    assert status(esker)["web"]["status"] == "Stopped"


def test_ports_stay_until_they_are_renewed(esker, web):
    """A checkout keeps its port; `--renew` chooses another, which the next activation gets."""
    before = esker("services", "ports").out
    show = ("activate", "--", "sh", "-c", "echo WEB_PORT=$WEB_PORT")
    assert esker(*show).out == before == esker("services", "ports").out
    assert esker("services", "ports", "--renew").out != before
    assert esker(*show).out == esker("services", "ports").out != before


def test_ports_know_only_the_services_that_there_are(esker, web):
    """A name that is none is an error, and renews nothing; the name of a service shows its ports alone."""
    before = esker("services", "ports").out
    assert (esker("services", "ports", "prepare").out, esker("services", "ports", "web").out) == ("", before)
    done = esker("services", "ports", "--renew", "WEB_PORT")
    assert (done.status, "service `WEB_PORT` does not exist" in done.err) == (1, True)
    assert esker("services", "ports").out == before != esker("services", "ports", "--renew", "web").out


def test_renewed_ports_of_what_runs_are_told_how_to_take_effect(esker, web):
    """Until then an activation would look for the server where it does not listen."""
    esker("services", "start", "web")
    done = esker("services", "ports", "--renew")
    assert done.err.endswith("! For those that run: esker services start --recreate\n")
    assert "the manifest was edited or its ports renewed" in esker("services", "status").err
    esker("services", "start", "--recreate")
    assert status(esker)["web"]["ports"]["WEB_PORT"] == int(done.out.partition("=")[2])
    esker("services", "stop")
    assert "For those that run" not in esker("services", "ports", "--renew").err


@pytest.mark.parametrize(
    ("options", "line"),
    [((), "web: hello from the hook\n"), (("--json",), '{"service": "web", "line": "hello from the hook"}\n')],
)
def test_logs_follow_and_wait(esker, web, environ, options, line):
    """`logs --follow` shows a line as it is written; `wait --for stopped` returns when the service has stopped."""
    esker("services", "start")
    follower = subprocess.Popen(
        [sys.executable, "-m", "esker", "services", "logs", "--follow", "web", *options],
        cwd=web,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    with follower:
        assert follower.stdout.readline() == line
        follower.send_signal(signal.SIGINT)
    assert follower.returncode == 130
    assert esker("services", "wait", "web").status == 0
    esker("services", "stop")
    assert esker("services", "wait", "--for", "stopped", "web").status == 0


def test_logs_of_several_services(project, esker):
    """Without names those of all services: each line after its service's name, as when they are followed."""
    lines = {"api": 3, "web": 2, "silent": 0}
    services = "".join(
        f"[services.{name}]\ncommand = 'for i in $(seq {count}); do echo {name} $i; done; exec sleep 1000'\n"
        for name, count in lines.items()
    )
    project(f'schema-version = "1.14.0"\n{services}')
    esker("services", "start")
    told = esker("services", "logs", "-n", "2")
    assert told == (0, "api   : api 2\napi   : api 3\nweb   : web 1\nweb   : web 2\n", "")
    assert esker("services", "logs", "-n", "1", "web", "api").out == "web: web 2\napi: api 3\n"
    assert esker("services", "logs", "-n", "1", "web").out == "web 2\n"
    assert json.loads(esker("services", "logs", "-n", "1", "--json").out) == [
        {"service": "api", "line": "api 3"},
        {"service": "web", "line": "web 2"},
    ]
    unknown = esker("services", "logs", "web", "wbe")
    assert (unknown.status, unknown.out, "service `wbe` does not exist" in unknown.err) == (1, "", True)
    esker("services", "stop")


def test_watching_one_service_shows_no_other(esker, web, environ):
    """Neither at the beginning nor later; a name that is none is an error."""
    esker("services", "start")
    watcher = subprocess.Popen(
        [sys.executable, "-m", "esker", "services", "status", "--watch", "--json", "web"],
        cwd=web,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    with watcher:
        first = watcher.stdout.readline()
        esker("services", "stop")
        shown = [json.loads(line) for line in (first, *watcher.stdout)]
    assert (watcher.returncode, {each["name"] for each in shown}, shown[-1]["status"]) == (0, {"web"}, "Stopped")
    assert "service `wbe` does not exist" in esker("services", "status", "--watch", "wbe").err


def test_looking_runs_nothing_of_the_project(esker, web):
    """Status, ports and logs of a fresh project neither lock it nor run its hook."""
    manifest = web / ".flox/env/manifest.toml"
    manifest.write_text(MANIFEST.replace("on-activate = '", "on-activate = 'echo ran >> hook.log; "))
    for command in (("status",), ("ports",), ("logs",), ("logs", "web"), ("stop",)):
        assert esker("services", *command).status == 0
    assert not (web / "hook.log").exists()
    assert not (web / ".flox/env/manifest.lock").exists()


def test_a_shell_that_starts_services_in_place_ends_them_when_it_leaves(esker, web, environ):
    """`eval "$(esker activate -s)"` holds services for the shell; `deactivate` or its end gives them back."""
    esker_path = os.path.join(os.path.dirname(sys.executable), "esker")
    show = f"{esker_path} services status --json"
    script = f"""set -eu
    eval "$({esker_path} activate -s)"
    {show}; echo ===
    test "$FROM_HOOK" = "hello from the hook"
    esker deactivate
    {show}; echo ===
    eval "$({esker_path} activate -s)"
    """
    done = subprocess.run(["bash", "-c", script], cwd=web, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    inside, outside, _ = (json.loads(part) if part.strip() else None for part in done.stdout.split("==="))
    assert [one["status"] for one in inside] == ["Completed", "Running"]
    assert [one["status"] for one in outside] == ["Stopped", "Stopped"]
    assert esker("services", "wait", "--for", "stopped", "web", "--timeout", "20").status == 0


@pytest.mark.parametrize("change", ["echo 'broken [' >{}", "echo >>{}; chmod o+w {}"], ids=["mistake", "not trusted"])
def test_a_shell_that_leaves_gives_services_back_whatever_the_manifest_says_by_now(esker, web, environ, change):
    """It was changed after they were started, which is no reason for them to run on."""
    esker_path = os.path.join(os.path.dirname(sys.executable), "esker")
    manifest = web / ".flox/env/manifest.toml"
    script = f"""set -eu
    eval "$({esker_path} activate -s)"
    {change.replace("{}", str(manifest))}
    esker deactivate
    chmod 644 {manifest}
    cp kept.toml {manifest}
    {esker_path} services status --json
    """
    (web / "kept.toml").write_text(manifest.read_text())
    done = subprocess.run(["bash", "-c", script], cwd=web, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [one["status"] for one in json.loads(done.stdout)] == ["Stopped", "Stopped"]


def test_renewing_ports_that_are_all_fixed_says_that_none_changed(esker, project):
    """No message speaks of new ports where the manifest fixes each."""
    project(
        "schema-version = '1.14.0'\n[services.web]\ncommand = 'sleep 9'\n"
        "[plugins.esker.services.web]\nports = { PORT = 4567 }\n"
    )
    done = esker("services", "ports", "--renew")
    assert (done.out, "No port is automatic" in done.err, "new ports" in done.err) == ("PORT=4567\n", True, False)


def test_services_can_be_seen_and_stopped_while_the_manifest_has_a_mistake(esker, web):
    """The supervisor knows what runs; the mistake is told, and is in nobody's way."""
    assert esker("services", "start").status == 0
    manifest = web / ".flox/env/manifest.toml"
    text = manifest.read_text()
    for mistake in ("broken [\n", '[plugins.esker.services.web]\nports = { WEB_PORT = "0" }\n'):
        manifest.write_text(mistake if mistake.startswith("[") else text + mistake)
        shown = esker("services", "status")
        assert (shown.status, "the manifest has a mistake by now" in shown.err) == (0, True)
        assert [line.split()[:2] for line in shown.out.splitlines()[1:]] == [["web", "Running"]]
    stopped = esker("services", "stop")
    assert stopped.status == 0
    assert "✔ Service 'web' stopped" in stopped.err
    assert esker("services", "status").status == 1
    manifest.write_text(text)


def test_a_start_that_fails_by_an_old_definition_names_the_edit(esker, web):
    """After a restart with a wrong check, the corrected check is not the one that the running service is asked by."""
    manifest = web / ".flox/env/manifest.toml"
    right = manifest.read_text()
    wrong = right.replace("$WEB_PORT/", "$WEB_PORT/nothing-here")
    assert esker("services", "start").status == 0
    manifest.write_text(wrong)
    assert esker("services", "restart", "--timeout", "1").status != 0
    manifest.write_text(right)
    failed = esker("services", "start", "--timeout", "1")
    assert failed.status == 0 or "`esker services start --recreate` applies the edit" in failed.err
    assert esker("services", "start", "--recreate").status == 0
