"""What every test shares: which tests run, a clean environment, and a rule against silent skips."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest
from hypothesis import settings

# No file of examples: a clone may belong to another user, and what was found once is kept as a test of its own.
settings.register_profile("esker", database=None)
settings.load_profile("esker")

# What is started in the background ignores these, and so would every program that a test starts and interrupts.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

_NO_SKIPS = "ESKER_FORBID_SKIPS"
_LONG = (
    "test_faults_killed_commands.py",
    "test_faults_full_disk.py",
    "test_ship_ci_github_runs.py",
    "test_ship_ci_gitlab_runs.py",
    "test_examples_agentbox_live.py",
    "test_cli_images_live.py",
    "test_runtimes_nix_live.py",
    "test_testing_plugin_live.py",
    "test_runtimes_nix_newer.py",
    "test_faults_random_kills.py",
)
"""The files whose live tests take over half a minute, the longest first. They begin a run, so that no worker has a long
file left when the others have none."""
_PATIENCE = 120
"""Seconds."""


def pytest_addoption(parser):
    parser.addoption("--live", metavar="AREA", help="run the live tests of AREA (or `all`), and nothing else")
    parser.addoption("--skips-to", metavar="FILE", help="write the names of the tests that are skipped into FILE")
    parser.addoption("--only-in", metavar="FILE", help="run the tests that FILE names, and nothing else")


def pytest_configure(config):
    """Have the process that hears of all tests write down which are skipped."""
    path = config.getoption("--skips-to")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Skips(pathlib.Path(path)))


class _Skips:
    def __init__(self, path):
        self._path = path
        self._names = set()

    def pytest_runtest_logreport(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            self._names.add(report.nodeid)

    def pytest_sessionfinish(self):
        self._path.write_text("".join(f"{name}\n" for name in sorted(self._names)), encoding="utf-8")


def pytest_ignore_collect(collection_path, config):
    """Import no file without a live test where only live tests run: all others take each worker 8 s."""
    if not config.getoption("--live") or not collection_path.match("test_*.py"):
        return None
    marks = ["live", *(["alone"] if config.getoption("markexpr") == "alone" else [])]
    return None if all(_says(collection_path, mark) for mark in marks) else True


@functools.cache
def _says(path, mark):
    return f"mark.{mark}" in path.read_text(encoding="utf-8")


def pytest_collection_modifyitems(config, items):
    """Keep the live tests of the wanted area, or everything but the live tests; of those what a file names, if any."""
    wanted = config.getoption("--live")
    kept, left = [], []
    known = {area for item in items for mark in item.iter_markers("live") for area in mark.args}
    if wanted and wanted not in known | {"all"}:
        raise pytest.UsageError(
            f"there are no live tests of `{wanted}` here; the areas are {', '.join(sorted(known))}, all"
        )
    for item, mark in itertools.product(items, ("live", "alone")):
        if item.get_closest_marker(mark) and not _says(item.path, mark):
            raise pytest.UsageError(f"write `mark.{mark}` into {item.path}: a run of live tests finds its files by it")
    path = config.getoption("--only-in")
    named = {*pathlib.Path(path).read_text(encoding="utf-8").splitlines()} if path else None
    for item in items:
        areas = {area for mark in item.iter_markers("live") for area in mark.args}
        chosen = bool(areas) if wanted == "all" else wanted in areas if wanted else not areas
        chosen &= named is None or item.nodeid in named
        (kept if chosen else left).append(item)
    if wanted:
        kept.sort(key=lambda item: _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG))
    if left:
        config.hook.pytest_deselected(items=left)
    items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where skips are forbidden, a skipped live test is a failure that names the reason."""
    report = yield
    if (
        report.skipped
        and not hasattr(report, "wasxfail")
        and os.environ.get(_NO_SKIPS)
        and item.get_closest_marker("live")
    ):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped where {_NO_SKIPS} forbids it: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _no_test_hangs(request):
    """A test that waits for something that never comes fails where it waits, instead of stopping the whole run."""
    seconds = _PATIENCE * (10 if request.node.get_closest_marker("live") else 1)

    def fail(*_):
        pytest.fail(f"the test still waits after {seconds} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def _no_inherited_settings(monkeypatch):
    """No test sees the caller's own settings of Esker, Flox, uv, Python or Docker."""
    names = ("ESKER_", "FLOX_", "_FLOX_", "_flox_", "PYTHON", "VIRTUAL_ENV", "DOCKER_", "COMPOSE_")
    for name in list(os.environ):
        if name.startswith(names) and name != _NO_SKIPS:
            monkeypatch.delenv(name)


@pytest.fixture
def index():
    """Give a package index on loopback, empty."""
    from tests.support.package_index import PackageIndex

    with PackageIndex() as served:
        yield served


@pytest.fixture(scope="session")
def _known_interpreter(tmp_path_factory):
    """Give a cache in which uv finds what it has asked this machine's Python; to ask takes it 75 ms in every new cache."""
    from esker.host.interpreters import Interpreters
    from esker.host.uv import uv_program
    from esker.settings import Settings

    cache = tmp_path_factory.mktemp("uv")
    python = Interpreters(Settings({"PATH": os.environ["PATH"]}).tools).find(None).executable
    command = [uv_program(), "python", "find", "--no-project", "--no-config", "--offline", "--cache-dir", cache, python]
    subprocess.run(command, check=True, capture_output=True)
    return cache


@pytest.fixture
def environ(tmp_path, index, _known_interpreter):
    """Give variables under which uv knows that index alone, and nothing is shared with the caller's caches or store."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(_known_interpreter, tmp_path / "uv-cache")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ESKER_STORE": str(tmp_path / "store-root"),
        "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
        "UV_DEFAULT_INDEX": index.url,
        "UV_HTTP_RETRIES": "0",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_PYTHON_INSTALL_DIR": str(tmp_path / "pythons"),
    }


@pytest.fixture(scope="session")
def python_mirror(tmp_path_factory):
    """Give a mirror with one Python to fetch: a copy of the interpreter that runs the tests."""
    from tests.support.python_mirror import PythonMirror

    return PythonMirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="session")
def _one_docker_engine():
    """Give a Docker engine with all images, one for each process of a run."""
    from tests.support.containers.engine import DockerEngine

    with DockerEngine() as engine:
        yield engine


@pytest.fixture
def docker_engine(_one_docker_engine):
    """Give a Docker engine on which nothing but images is; what the test makes on it is removed."""
    yield _one_docker_engine
    _one_docker_engine.clear()


@pytest.fixture
def store(environ):
    """Give an empty store of its own."""
    from esker.store.store import Store

    return Store(environ["ESKER_STORE"])


@pytest.fixture
def lock_of(index, environ):
    """Give a function that locks requirements served by `index` and selects what this machine installs."""
    import sys

    from esker.formats import pylock
    from esker.formats.systems import system_name
    from esker.host.interpreters import Interpreters
    from esker.lock.wheels import resolve
    from esker.realise.artifacts import selected_artifacts
    from esker.settings import Settings

    interpreter = Interpreters(Settings(environ).tools).find(None)
    systems = (system_name(sys.platform, os.uname().machine),)

    def locked(*requirements, build=()):
        made_from = pylock.Inputs(requirements=requirements, python="", systems=systems, build=build)
        lock = pylock.parse(
            pylock.render(resolve(made_from, interpreter, Settings(environ).tools), made_from, build=build)
        )
        return selected_artifacts(lock, interpreter, build), interpreter

    return locked


@pytest.fixture
def python_of(lock_of, environ, store):
    """Give a function that locks requirements and makes their wheels."""
    from esker.progress import Silent
    from esker.realise.profile import Packages
    from esker.realise.wheels import installed_wheels
    from esker.settings import Settings

    def realised(*requirements, into=store, build=(), progress=None):
        artifacts, interpreter = lock_of(*requirements, build=build)
        tools, listener = Settings(environ).tools, progress or Silent()
        return Packages(interpreter, installed_wheels(into, artifacts, interpreter, tools, listener, build=build))

    return realised


@pytest.fixture
def profile_of(python_of, store):
    """Give a function that locks and realises requirements, and returns the profile."""
    from esker.realise.profile import profile

    def realised(*requirements, into=store, build=(), source=(), progress=None):
        packages = python_of(*requirements, into=into, build=build, progress=progress)
        return profile(into, "test", packages._replace(source=tuple(source)), progress=progress)

    return realised


class StandIn:
    """The stand-in `flox` on PATH, and projects for it."""

    def __init__(self, tmp_path):
        self.tmp_path = tmp_path
        self.projects = []

    def project(self, manifest="", name="project"):
        """Make a project whose manifest has `manifest` after its first line."""
        path = self.tmp_path / name
        path.mkdir()
        subprocess.run(["flox", "init", "-d", path], check=True, capture_output=True)
        with open(path / ".flox/env/manifest.toml", "a") as file:
            file.write(manifest)
        self.projects.append(path)
        return path

    def executives(self, project):
        """Return the pids that were the executive of `project`, running or not."""
        return [int(log.name.split(".")[1]) for log in sorted((project / ".flox/log").glob("executive.*.log"))]

    def ended(self, project, seconds=10):
        """Wait until no executive of `project` runs, and return whether that came true."""
        from esker.host import pidfd

        for pid in self.executives(project):
            with pidfd.opened(pid) as descriptor:
                if descriptor is not None and not pidfd.wait(descriptor, seconds):
                    return False
        return True


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put the stand-in `flox` on PATH, with state of its own; no executive of its projects may outlive the test."""
    from tests.support.flox_stand_in import put_on_path

    (tmp_path / "bin").mkdir()
    put_on_path(tmp_path / "bin")
    runtime = tempfile.mkdtemp(dir="/tmp")  # sockets need short paths
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    path = dict.fromkeys([str(tmp_path / "bin"), *os.environ["PATH"].split(":")])
    monkeypatch.setenv("PATH", ":".join(path))
    standing = StandIn(tmp_path)
    yield standing
    left = [project for project in standing.projects if not standing.ended(project)]
    for project in left:
        for pid in standing.executives(project):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(runtime)
    assert not left
