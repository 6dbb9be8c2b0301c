"""The public API on both engines: the stand-in `flox`, and Esker itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from esker.errors import (
    ActivationFailed,
    EnvironmentBusy,
    HostError,
    NotFound,
    NotTrusted,
    ServiceError,
    ServiceFailed,
    ServicesNotReady,
    TimedOut,
    UnknownService,
    UsageError,
)
from esker.flox import Flox, FloxServiceHandle, FloxServices, Result, ServiceInfo, flox_required
from esker.host import pidfd
from tests.support.engines import SERVICES, running

pytestmark = pytest.mark.slow


def states(flox):
    return {service.name: service.status for service in flox.services.status()}


def test_what_is_known_without_running_anything(project):
    """Path, existence and manifest are known without running anything; the `repr` names the project."""
    path = project()
    flox = Flox(path)
    assert (flox.path, flox.exists, flox.has_manifest, flox.is_activated) == (path, True, True, False)
    assert repr(flox) == f"Flox({str(path)!r})"
    (path / ".flox/env/manifest.toml").unlink()
    assert (flox.exists, flox.has_manifest) == (True, False)
    shutil.rmtree(path / ".flox")
    (path / ".flox").write_text("")
    assert not flox.exists


def test_the_variables_are_set_and_come_back(project):
    """Values of many lines are set, and variables that the hook has unset are unset, until the block ends."""
    path = project("[vars]\nA = 'x y'\n[hook]\non-activate = '''\nexport B=\"one\ntwo\"\nunset GONE\n'''\n")
    os.environ["GONE"] = "here"
    before = dict(os.environ)
    flox = Flox(path)
    flox.activate()
    assert flox.is_activated
    assert (os.environ["A"], os.environ["B"], "GONE" in os.environ) == ("x y", "one\ntwo", False)
    assert os.environ["FLOX_ENV_PROJECT"] == str(path)
    assert os.environ["PATH"].startswith(f"{os.environ['FLOX_ENV']}/bin:")
    flox.activate()
    flox.deactivate()
    assert not flox.is_activated
    flox.deactivate()
    assert dict(os.environ) == before
    del os.environ["GONE"]


def test_blocks_nest_and_the_caller_s_changes_stay(project):
    """The same object may be nested, `activate` may be called in a block, and the caller's edits stay."""
    flox = Flox(project("[vars]\nA = '1'\n"))
    path = os.environ["PATH"]
    with flox as same:
        assert same is flox
        with flox, Flox(flox.path):
            flox.activate()
            os.environ["PATH"] += ":/mine"
        assert os.environ["A"] == "1"
        flox.deactivate()
        assert os.environ["A"] == "1"
    assert "A" not in os.environ
    assert os.environ["PATH"] == f"{path}:/mine"
    os.environ["PATH"] = path


def test_environments_leave_in_any_order(project):
    """The environment that was entered first may leave first."""
    first, second = Flox(project("[vars]\nA = '1'\n", "first")), Flox(project("[vars]\nA = '2'\n", "second"))
    before = dict(os.environ)
    first.activate()
    second.activate()
    assert os.environ["A"] == "2"
    first.deactivate()
    assert os.environ["A"] == "2"
    assert str(first.path) not in os.environ["PATH"]
    second.deactivate()
    assert dict(os.environ) == before


def test_a_hook_that_fails_changes_nothing(project):
    """A failing hook changes no variable, and the error says what to look for."""
    flox = Flox(project("[hook]\non-activate = 'export A=1; exit 0'\n"))
    before = dict(os.environ)
    with pytest.raises(ActivationFailed, match="did not complete normally"):
        flox.activate()
    assert (dict(os.environ), flox.is_activated) == (before, False)


def test_no_environment(engine, tmp_path):
    """Without an environment every use raises the same error, which says how to make one."""
    flox = Flox(tmp_path)
    for use in (flox.activate, flox.__enter__, flox.lock, flox.list, flox.services.status, flox.services.start):
        with pytest.raises(NotFound, match=f"Flox environment at {tmp_path} does not exist") as caught:
            use()
        assert caught.value.hint == f"make one: esker init -d {tmp_path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a project away")
def test_the_project_of_another(project):
    """Nothing of another user's project runs, but one may look at it."""
    path = project()
    os.chown(path / ".flox", 12345, 12345)
    flox = Flox(path)
    for use in (flox.activate, flox.services.start, lambda: flox.run("true")):
        with pytest.raises(NotTrusted):
            use()
    os.chown(path / ".flox", 0, 0)


def test_running_a_program(project, tmp_path, capfd):
    """A program has status, both outputs, input and directory; bytes survive, and a signal is a negative status."""
    flox = Flox(project("[vars]\nA = 'x y'\n"))
    assert flox.run("sh", ["-c", 'echo "$A"; echo err >&2; exit 7']) == Result(7, "x y\n", "err\n")
    assert flox.run("pwd").stdout == f"{os.getcwd()}\n"
    assert flox.run("pwd", cwd=tmp_path).stdout == f"{tmp_path}\n"
    assert flox.run("cat", stdin="given").stdout == "given"
    assert flox.run("printf", ["\\377"]).stdout == "\udcff"
    assert flox.run("sh", ["-c", "kill -9 $$"]).exit_code == -9
    assert flox.run("no-such-program").exit_code == 127
    assert "no-such-program: command not found" in flox.run("no-such-program").stderr
    assert capfd.readouterr().out == ""
    assert flox.run("sh", ["-c", "echo streamed"], capture=False) == Result(0, "", "")
    assert capfd.readouterr().out == "streamed\n"
    with pytest.raises(TimedOut):
        flox.run("sleep", ["1000"], timeout=0.3)


def test_services_of_a_block(project):
    """The services of a block run in it, and services that ran before run on after it."""
    path = project()
    outer = Flox(path, services=["other"])
    with outer:
        with Flox(path, ["web", "other"]) as flox:
            assert running(flox) == {"web", "other"}
            assert flox.services.logs("web") == "started\n"
        assert running(outer) == {"other"}
    assert running(outer) == set()


def test_services_that_stay(project):
    """Services that `start` started stay after blocks that use them, until they are stopped by name."""
    flox = Flox(project())
    handle = flox.services.start("web")
    with Flox(flox.path, services=["web", "other"]):
        assert running(flox) == {"web", "other"}
    assert running(flox) == {"web"}
    (info,) = handle.services
    assert (info.name, info.status, info.pid is None) == ("web", "Running", False)
    flox.services.stop("web")
    assert running(flox) == set()


def test_a_failed_start_undoes_the_activation(project):
    """The error of a failed start names the service, its status and its log; the activation is undone."""
    before = dict(os.environ)
    flox = Flox(project(), services=["web", "broken"])
    with pytest.raises(ServiceFailed) as caught, flox:
        pytest.fail("the block was entered")
    assert (caught.value.service, caught.value.status) == ("broken", 3)
    assert (dict(os.environ), flox.is_activated, running(flox)) == (before, False, set())


def test_an_error_in_the_block(project):
    """An error in the block comes out unchanged, after the activation was undone."""
    before = dict(os.environ)
    with pytest.raises(KeyboardInterrupt), Flox(project(), services=["web"]) as flox:
        raise KeyboardInterrupt
    assert (dict(os.environ), running(flox)) == (before, set())


def test_unknown_services(project):
    """An unknown name is refused even if it looks like an option, and nothing is started."""
    flox = Flox(project(), services=["web", "--help"])
    with pytest.raises(UnknownService, match="`--help`"), flox:
        pytest.fail("the block was entered")
    assert running(flox) == set()
    assert not flox.is_activated
    for ask in (flox.services.status, flox.services.stop, flox.services.wait, flox.services.logs):
        with pytest.raises(UnknownService, match="`--json`") as caught:
            ask("--json")
        assert caught.value.hint == "the services here are `broken`, `other`, `web`"


def test_waiting_restarting_and_following(project):
    """Waiting, restarting and following work by name and for all services, within a limit."""
    flox = Flox(project())
    flox.services.start("web")
    flox.services.wait("web")
    flox.services.wait("other", until="stopped")
    with pytest.raises((ServicesNotReady, TimedOut)):
        flox.services.wait("web", until="stopped", timeout=0.05)
    before = {each.name: each.pid for each in flox.services.status("web")}
    flox.services.restart("web")
    after = {each.name: each.pid for each in flox.services.status("web")}
    assert before.keys() == after.keys() == {"web"}
    assert before != after
    lines = flox.services.logs("web", follow=True)
    assert next(lines) == "started"
    lines.close()
    assert flox.services.logs("web", tail=1) == "started\n"
    flox.services.stop()


def test_an_environment_without_services(project):
    """Without services the status is empty, and there is nothing to start, wait for or stop."""
    services = FloxServices(project(""))
    assert services.status() == []
    for use in (services.start, services.wait):
        with pytest.raises(ServiceError, match="no services"):
            use()


def test_a_handle_outlives_its_process(project, monkeypatch):
    """A handle that one process saved, another loads; stopping it stops the services that it names, and no others."""
    path = project()
    script = "from esker.flox import Flox\nwith Flox('.') as flox:\n    flox.services.start('web').save()"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=path, capture_output=True)
    flox = Flox(path)
    flox.services.start("other")
    assert running(flox) == {"web", "other"}
    (path / ".git").mkdir()
    (path / "src").mkdir()
    monkeypatch.chdir(path / "src")  # a relative path starts at the project
    handle = FloxServiceHandle.load()
    assert (path / ".flox-services.json").stat().st_mode & 0o777 == 0o600
    assert (handle.flox_env_path, [service.name for service in handle.services]) == (path, ["web"])
    assert repr(handle) == f"FloxServiceHandle(services=['web'], started_at={handle.started_at!r})"
    handle.stop()
    assert running(flox) == {"other"}
    handle.stop()
    assert running(flox) == {"other"}
    flox.services.stop()


@pytest.mark.parametrize("engine", ["native"], indirect=True)  # Flox has no dependencies
def test_a_handle_names_what_was_started_with_its_services(project):
    """A handle also names the dependencies of its services, unless they ran before."""
    depends = "[plugins.esker.services.other]\nuser='root'\ndepends-on = { web = 'service_started' }\n"
    flox = Flox(project(SERVICES.replace('other.user = "root"\n', "") + depends))
    handle = flox.services.start("other")
    assert [service.name for service in handle.services] == ["other", "web"]
    handle.stop()
    first = flox.services.start("web")
    second = flox.services.start("other")
    assert [service.name for service in second.services] == ["other"]
    second.stop()
    assert running(flox) == {"web"}
    first.stop()


def test_a_handle_without_services_stops_none(project, tmp_path):
    """A handle without services, or with names that no longer exist, stops nothing."""
    flox = Flox(project())
    flox.services.start("web")
    for services in ("[]", '[{"name": "gone", "status": "Running", "pid": 1}]'):
        text = f'{{"flox_env_path": "{flox.path}", "started_at": "1Z", "services": {services}}}'
        (tmp_path / "handle.json").write_text(text)
        FloxServiceHandle.load(tmp_path / "handle.json").stop()
        assert running(flox) == {"web"}
    flox.services.stop()


@pytest.mark.parametrize("engine", ["flox"], indirect=True)  # Esker's supervisor needs no process beside it
def test_what_is_not_there_is_a_runtime_error_too(project, tmp_path):
    """Missing things raise a RuntimeError, which tasks written for Angreal's own integration catch."""
    with pytest.raises(RuntimeError) as caught:
        Flox(tmp_path).activate()
    assert isinstance(caught.value, NotFound)
    with pytest.raises(RuntimeError) as caught:
        Flox(project()).services.logs("absent")
    assert isinstance(caught.value, UnknownService)


def test_a_handle_whose_project_is_gone(project):
    """If the project is gone, the process that kept its services ends all the same, and the services with it."""
    path = project()
    handle = Flox(path).services.start("web")
    with pidfd.opened(handle.services[0].pid) as service:
        shutil.rmtree(path / ".flox")
        with pytest.raises(NotFound, match="does not exist"):
            handle.stop()
        assert pidfd.wait(service, 60)


def test_handles_that_cannot_be_loaded(project, tmp_path):
    """A handle cannot be loaded if there is no file, or if, for root, it belongs to another user."""
    with pytest.raises(NotFound, match="there is no saved handle at"):
        FloxServiceHandle.load(tmp_path / "none.json")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(HostError, match="it is not a regular file"):  # and is not waited for
        FloxServiceHandle.load(tmp_path / "pipe.json")
    if os.geteuid() == 0:
        (tmp_path / "theirs.json").write_text("{}")
        os.chown(tmp_path / "theirs.json", 12345, 12345)
        with pytest.raises(NotTrusted, match="belongs to uid 12345"):
            FloxServiceHandle.load(tmp_path / "theirs.json")


def test_the_engine_of_a_handle_counts(project, monkeypatch):
    """The engine that started the services of a handle stops them, whatever engine is chosen now."""
    flox = Flox(project())
    handle = flox.services.start("web")
    monkeypatch.setenv("ESKER_ENGINE", {"flox": "native", "native": "flox"}[os.environ["ESKER_ENGINE"]])
    handle.stop()
    assert running(flox) == set()
    monkeypatch.undo()


def test_threads(project):
    """Another thread may activate the same environment, but no other."""
    first, second = Flox(project("", "first")), Flox(project("", "second"))
    with ThreadPoolExecutor(1) as pool, first:
        pool.submit(lambda: Flox(first.path).__enter__().__exit__(None, None, None)).result()
        with pytest.raises(EnvironmentBusy):
            pool.submit(second.activate).result()
        assert pool.submit(second.run, "true").result().exit_code == 0


def test_asynchronous_blocks(project):
    """Asynchronous blocks work as plain ones; the loop goes on meanwhile, and blocks of both kinds nest."""
    path, other = project(), project("[vars]\nA = 'other'\n", "other")

    async def use():
        ticks = []

        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        async with Flox(path, services=["web"]) as flox:
            assert running(flox) == {"web"}
            with Flox(other):
                assert os.environ["A"] == "other"
            async with flox:
                assert await flox.arun("sh", ["-c", "exit 3"]) == Result(3, "", "")
            assert flox.is_activated
        ticking.cancel()
        assert len(ticks) > 10
        handle = await flox.services.astart("other")
        await flox.services.await_("other")
        await flox.services.arestart("other")
        assert running(flox) == {"other"}
        await handle.astop()
        await flox.services.astop()

    before = dict(os.environ)
    asyncio.run(use())
    assert dict(os.environ) == before


def test_a_failed_start_undoes_an_asynchronous_activation(project):
    """A failed start undoes an asynchronous block as it does a plain one."""

    async def use():
        async with Flox(path, services=["broken"]):
            pytest.fail("the block was entered")

    path, before = project(), dict(os.environ)
    with pytest.raises(ServiceFailed):
        asyncio.run(use())
    assert dict(os.environ) == before


async def cancel_once(begun, work):
    """Cancel a coroutine when something is written into a pipe."""
    task = asyncio.create_task(work)
    await asyncio.to_thread(begun.read_text)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("engine", ["native"], indirect=True)  # Flox has no checks: what was started is ready
def test_a_cancelled_start_is_undone(project, tmp_path):
    """When a start was cancelled, the services that it had started stop."""
    os.mkfifo(tmp_path / "begun")
    tmp_path.chmod(0o755)
    path = project(
        f"[services.slow]\ncommand = 'echo > {tmp_path}/begun; exec sleep 1000'\n"
        "[plugins.esker.services.slow]\nhealthcheck = { test = 'false' }\nuser = 'root'\n"
    )
    flox = Flox(path)
    asyncio.run(cancel_once(tmp_path / "begun", flox.services.astart("slow")))
    flox.services.wait("slow", until="stopped", timeout=10)


def test_a_cancelled_activation_is_undone(project, tmp_path):
    """When an activation is cancelled, its hook is ended with everything that it started."""
    os.mkfifo(tmp_path / "begun")
    path = project(f"[hook]\non-activate = 'echo > {tmp_path}/begun; sleep 1000'\n")

    async def use():
        async with Flox(path):
            pytest.fail("the block was entered")

    before = dict(os.environ)
    asyncio.run(cancel_once(tmp_path / "begun", use()))
    assert dict(os.environ) == before


def test_an_activation_that_comes_too_late_is_undone(project, stand_in, tmp_path):
    """If another thread activates another environment during the hook, nothing of this activation remains."""
    for pipe in ("begun", "go"):
        os.mkfifo(tmp_path / pipe)
    hook = f"echo > {tmp_path}/begun; read -r line < {tmp_path}/go"
    path = project(f"[hook]\non-activate = '{hook}'\non-deactivate = 'echo > $FLOX_ENV_CACHE/ended'\n")
    other = Flox(project("", "other"))

    def hurry():
        (tmp_path / "begun").read_text()
        other.activate()
        (tmp_path / "go").write_text("go\n")

    async def use():
        async with Flox(path):
            pytest.fail("the block was entered")

    with ThreadPoolExecutor(1) as pool:
        hurrying = pool.submit(hurry)
        with pytest.raises(EnvironmentBusy):
            asyncio.run(use())
        hurrying.result()
        pool.submit(other.deactivate).result()
    assert stand_in.ended(path)
    assert (path / ".flox/cache/ended").exists()


def test_a_cancelled_program_is_killed(project, tmp_path):
    """A program whose coroutine was cancelled is killed."""
    os.mkfifo(tmp_path / "begun")
    flox = Flox(project(""))
    asyncio.run(cancel_once(tmp_path / "begun", flox.arun("sh", ["-c", f"echo > {tmp_path}/begun; sleep 1000"])))


def test_decorated_functions(project):
    """Each call runs with the environment and its services; the function's own result and error come out."""
    path = project()

    @flox_required(path, services=["web"])
    def task(fail=False):
        if fail:
            raise SystemExit(3)
        return os.environ["FLOX_ENV_PROJECT"], running(Flox(path))

    assert task() == (str(path), {"web"})
    with pytest.raises(SystemExit):
        task(fail=True)
    assert "FLOX_ENV_PROJECT" not in os.environ
    assert running(Flox(path)) == set()


def test_decorated_coroutines_and_generators(project):
    """The bodies of coroutines and generators run in the environment, to their end."""
    path = project("[vars]\nA = '1'\n")

    @flox_required(path)
    async def wait():
        await asyncio.sleep(0)
        return os.environ["A"]

    @flox_required(path)
    def items():
        yield os.environ["A"]

    assert asyncio.run(wait()) == "1"
    assert list(items()) == ["1"]
    assert "A" not in os.environ


def test_a_decorated_function_s_project_is_that_of_its_file(project, tmp_path, monkeypatch):
    """A relative path starts at the function's file and goes upwards; the caller's directory does not matter."""
    path = project("[vars]\nA = '1'\n")
    (path / ".git").mkdir()
    (path / "src").mkdir()
    source = (
        "import os\nfrom esker.flox import flox_required\n@flox_required()\ndef task():\n    return os.environ['A']\n"
    )
    (path / "src/somebody.py").write_text(source)
    monkeypatch.syspath_prepend(path / "src")
    monkeypatch.chdir("/")
    from somebody import task  # type: ignore[import-not-found]

    assert task() == "1"
    del sys.modules["somebody"]


def test_making_and_changing_an_environment(engine, tmp_path, index):
    """An environment is made and changed with the engine's packages: any with Flox, Python packages with Esker."""
    path = tmp_path / "made"
    path.mkdir()
    flox = Flox.init(path, "chosen")
    assert (flox.exists, flox.has_manifest, flox.path) == (True, True, path)
    index.add("six", "1.0")
    name = "hello" if engine == "flox" else "pypi/six"
    flox.install(name)
    (package,) = flox.list()
    assert (package.name, package.version) == (name.rpartition("/")[2], "1.0")
    lock = (path / ".flox/env/manifest.lock").stat()
    flox.lock()
    assert (path / ".flox/env/manifest.lock").stat().st_mtime_ns == lock.st_mtime_ns
    flox.uninstall(name)
    assert flox.list() == []


def test_packages_of_a_pyproject(project, index):
    """Where the manifest names a pyproject.toml, Esker adds packages to it, and removes them there."""
    path = project('[plugins.esker.python]\nproject = "pyproject.toml"\n')
    (path / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "1"\n')
    index.add("six", "1.0")
    flox = Flox(path, engine="native")
    flox.install("pypi/six")
    assert '"six>=1.0"' in (path / "pyproject.toml").read_text()
    flox.uninstall("pypi/six")
    assert "six" not in (path / "pyproject.toml").read_text()


def test_only_python_packages_without_flox(project):
    """Without Flox other packages are refused, and the hint says who installs them."""
    flox = Flox(project(""), engine="native")
    for change in (flox.install, flox.uninstall):
        with pytest.raises(UsageError) as caught:
            change("hello")
        assert "`pypi/hello`" in caught.value.hint


def test_which_engine(stand_in, monkeypatch, tmp_path):
    """The argument decides, then `ESKER_ENGINE`, then a Flox on PATH, then Esker; another name is refused."""
    path = stand_in.project()
    name = lambda *args: Flox(path, engine=args[0] if args else "auto")._engine  # noqa: E731
    assert (name(), name("native"), name("flox")) == ("flox", "native", "flox")
    assert (Flox.version(), Flox.is_available()) == ("1.14.1", True)
    monkeypatch.setenv("ESKER_ENGINE", "native")
    assert (name(), name("flox")) == ("native", "flox")
    monkeypatch.setenv("ESKER_ENGINE", "nix")
    with pytest.raises(UsageError, match="`ESKER_ENGINE` cannot be `nix`"):
        name()
    monkeypatch.delenv("ESKER_ENGINE")
    with pytest.raises(UsageError, match="`engine` cannot be `nix`"):
        name("nix")
    monkeypatch.setenv("PATH", "/nowhere")
    assert (name(), Flox.version(), Flox.is_available()) == ("native", "1.14.1", True)
    monkeypatch.setenv("ESKER_ENGINE", "flox")
    assert not Flox.is_available()
    with pytest.raises(HostError, match="`flox` is not on PATH"):
        Flox.version()


def test_which_project(stand_in, monkeypatch, tmp_path):
    """A relative path goes upwards in the repository; an absolute one, and one that does not exist, does not."""
    path = stand_in.project()
    (path / "src/.angreal").mkdir(parents=True)
    monkeypatch.chdir(path / "src")
    assert Flox().path == path / "src"
    (path / ".git").mkdir()
    assert [Flox(given).path for given in (None, ".", "..", "../src")] == [path] * 4
    assert Flox(path / "src").path == path / "src"
    assert Flox("nothing").path == path / "src/nothing"
    monkeypatch.setenv("HOME", str(path))
    assert Flox("~").path == path
    assert Flox("~/src").path == path / "src"
    (path / ".git").rmdir()
    (path / "src/.flox").mkdir()
    assert Flox(".angreal").path == path / "src"
    assert FloxServices(".angreal").path == path / "src"
    assert repr(FloxServices(path)) == f"FloxServices({str(path)!r})"


def test_wrong_arguments():
    """A string in place of a list of names is refused, and so is a decorator without parentheses."""
    for make in (Flox, flox_required):
        with pytest.raises(TypeError, match="`services` is a list of names"):
            make(".", services="web")
    with pytest.raises(TypeError, match="with parentheses"):
        flox_required(lambda: None)


def test_service_information():
    """Service information is compared by value, cannot be changed, and converts to Angreal's tuple."""
    info = ServiceInfo("web", "Running", 7)
    assert info == ServiceInfo("web", "Running", 7)
    assert info.as_tuple() == ("web", "Running", 7)
    assert (info.exit_code, info.health) == (None, None)
    with pytest.raises(AttributeError):
        info.pid = 8


def test_importing_it_costs_little():
    """Importing the package loads no module that reads a manifest, resolves, realises or runs services."""
    script = "import sys; before = set(sys.modules); import esker.flox; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "msgspec",
        "tomlkit",
        "packaging",
        "tomllib",
        "urllib3",
        "rich",
        "asyncio",
        "subprocess",
        "socket",
    }
