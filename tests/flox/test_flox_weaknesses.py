"""Weaknesses of Angreal 2.9's Flox integration, one test each, by the numbers in a study of that version.

14, documents that drift, is met by guides whose code the tests run; 18, tests that never see a Flox, is said in the
comparison of the guides: these tests see a stand-in.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import angreal
import pytest

from esker.activate.active import PROCESS, Begun
from esker.activate.difference import Activation
from esker.errors import (
    ActivationFailed,
    CommandFailed,
    EskerError,
    HostError,
    NotFound,
    ServiceFailed,
    TimedOut,
    UnknownService,
)
from esker.flox import Flox, FloxServiceHandle, flox_required
from tests.support.engines import SERVICES, running

pytestmark = pytest.mark.slow


def test_01_decorators_work_in_every_order(project):
    """Decorators work above and below `@angreal.command`, with arguments; Angreal's own function runs inside."""
    path = project("[vars]\nA = '1'\n")

    @angreal.command(name="weakness-below", about="")
    @angreal.argument(name="n", long="n")
    @flox_required(path)
    def below(n):
        return os.environ["A"] + n

    @flox_required(path)
    @angreal.command(name="weakness-above", about="")
    @angreal.argument(name="n", long="n")
    def above(n):
        return os.environ["A"] + n

    for task in (below, above):
        assert task.__dict__["__command"].func(n="2") == "12"
        assert len(task.__dict__["__arguments"]) == 1
    assert "A" not in os.environ


def test_02_path_and_values_are_those_of_a_shell(project):
    """No value can smuggle in another variable, and variables that the hook unsets are unset."""
    path = project(
        "[vars]\nA = 'x'\nB = '$A/y'\n[hook]\non-activate = '''\n"
        "export C=$'it\\'s \"1\";\\nexport INJECTED=evil' PATH=/hook/bin:$PATH\nunset GONE\n'''\n"
    )
    before = os.environ["PATH"]
    os.environ["GONE"] = "1"
    with Flox(path):
        assert os.environ["PATH"] == f"/hook/bin:{os.environ['FLOX_ENV']}/bin:{before}"
        assert (os.environ["B"], os.environ["C"]) == ("x/y", 'it\'s "1";\nexport INJECTED=evil')
        assert not {"INJECTED", "GONE"} & os.environ.keys()
    assert os.environ.pop("GONE") == "1"


def test_02_the_real_client_shows_that_the_stand_in_prints_what_flox_does(stand_in):
    """With Flox's output, which the stand-in imitates, Angreal leaves PATH as it was; our engine does not."""
    path = stand_in.project("[vars]\nA = 'x y'\n")
    script = (
        "import os, sys\nfrom {} import Flox\nbefore = os.environ['PATH']\nflox = Flox(sys.argv[1])\nflox.activate()\n"
        "print(repr(os.environ['A']), os.environ['PATH'] != before)\nflox.deactivate()"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", script.format(module), path], capture_output=True, text=True, check=True
        ).stdout
        for module in ("angreal.integrations.flox", "esker.flox")
    ]
    assert said == ["\"'x y';\" False\n", "'x y' True\n"]


@pytest.mark.parametrize("name", ["qu'o\"te", b"not-\xfftext"], ids=["quotes", "bytes"])
def test_03_no_value_and_no_path_ends_the_interpreter(project, name):
    """Values of single quote characters are set, and so is a directory whose name is not text."""
    path = project("[vars]\nA = '\\\"'\nB = \"'\"\n")
    moved = pathlib.Path(os.fsdecode(os.fsencode(path.parent) + b"/" + os.fsencode(name)))
    path.rename(moved)
    with Flox(moved):
        assert (os.environ["A"], os.environ["B"]) == ('"', "'")
        assert os.environ["FLOX_ENV_PROJECT"] == str(moved)
    moved.rename(path)


def test_04_a_failed_start_undoes_the_activation(project):
    """A failed start undoes the activation, in the block and in the decorator."""
    path, before = project(), dict(os.environ)

    @flox_required(path, services=["broken"])
    def task():
        pytest.fail("it ran")

    with pytest.raises(ServiceFailed):
        task()
    with pytest.raises(ServiceFailed), Flox(path, services=["broken"]):
        pytest.fail("it ran")
    assert dict(os.environ) == before


def test_05_only_what_was_started_is_stopped(project):
    """Services that ran before, were started to stay, or are used by somebody else are not stopped."""
    path = project()
    task = flox_required(path, services=["web"])(lambda: None)
    Flox(path).services.start("other")
    task()
    assert running(Flox(path)) == {"other"}
    with Flox(path, services=["web"]):
        task()
        assert running(Flox(path)) == {"web", "other"}
    assert running(Flox(path)) == {"other"}
    Flox(path).services.stop("other")


def test_06_a_handle_without_services_stops_none(project):
    """A handle without services stops no service."""
    flox = Flox(project())
    flox.services.start("web").save()
    file = flox.path / ".flox-services.json"
    file.write_text(file.read_text().replace('"name": "web"', '"name": "gone"'))
    FloxServiceHandle.load(file).stop()
    assert running(flox) == {"web"}
    flox.services.stop()


def test_07_status_is_read_from_what_is_made_for_programs(project):
    """The first service is not taken for a headline, and the exit code of an ended service is known."""
    flox = Flox(project(f"{SERVICES}[services.a-task]\ncommand = 'exit 0'\n"))
    with pytest.raises(ServiceFailed):
        flox.services.start("broken", "web")
    with flox:
        flox.services.start("web", "a-task")
        found = {service.name: service for service in flox.services.status()}
    assert found.keys() == {"a-task", "broken", "other", "web"}
    assert (found["web"].status, found["other"].status, found["other"].pid) == ("Running", "Stopped", None)
    assert (found["a-task"].status, found["a-task"].pid, found["a-task"].exit_code) == ("Completed", None, 0)
    flox.services.stop()


def test_08_other_threads_go_on_and_waiting_has_an_end(project):
    """Other threads go on while a program runs, and the program is killed when its time is up."""
    flox, ticks, ending = Flox(project("")), [], threading.Event()

    def tick():
        while not ending.wait(0.005):
            ticks.append(1)

    ticking = threading.Thread(target=tick)
    ticking.start()
    with pytest.raises(TimedOut):
        flox.run("sleep", ["1000"], timeout=0.5)
    ending.set()
    ticking.join()
    assert len(ticks) > 5


@pytest.mark.parametrize("engine", ["native"], indirect=True)
def test_08_started_means_ready(project, tmp_path):
    """With a health check, `start` returns when the check has succeeded, and fails if it does not succeed in time."""
    tmp_path.chmod(0o755)
    flox = Flox(
        project(
            f"[services.slow]\ncommand = 'while [ ! -e {tmp_path}/go ]; do :; done; touch {tmp_path}/ready; exec sleep 9'\n"
            f"[plugins.esker.services.slow]\nhealthcheck = {{ test = 'touch {tmp_path}/go; test -e {tmp_path}/ready' }}\n"
            "user = 'root'\n"
        )
    )
    (service,) = flox.services.start("slow").services
    assert service.health == "healthy"
    assert (tmp_path / "ready").exists()
    flox.services.stop()


def test_09_variables_of_one_process(project):
    """After nested blocks, left in any order, also in generators and coroutines, the variables are as before."""
    first, second = (Flox(project(f"[vars]\nA = '{name}'\n", name)) for name in ("first", "second"))
    before = dict(os.environ)

    @flox_required(first.path)
    def items():
        yield os.environ["A"]
        yield os.environ["A"]

    @flox_required(second.path)
    async def wait():
        await asyncio.sleep(0)
        return os.environ["A"]

    steps = items()
    assert next(steps) == "first"
    with second:
        assert list(steps) == ["second"]  # the generator has left, and the other stays
        assert os.environ["A"] == "second"
    assert asyncio.run(wait()) == "second"
    with first, first:
        os.environ["MINE"] = "1"
    assert os.environ.pop("MINE") == "1"
    assert dict(os.environ) == before


def test_10_errors_have_types_and_say_what_to_do(project, monkeypatch, tmp_path):
    """A missing command, no environment, an unknown service and a failing one raise four different errors."""
    path = project()
    met = {}
    for kind, use in {
        NotFound: Flox(tmp_path).activate,
        UnknownService: lambda: Flox(path).services.start("nothing"),
        ServiceFailed: lambda: Flox(path).services.start("broken"),
    }.items():
        with pytest.raises(kind) as caught:
            use()
        met[kind] = caught.value
    assert met[NotFound].hint
    assert met[UnknownService].hint == "the services here are `broken`, `other`, `web`"
    assert (met[ServiceFailed].status, met[ServiceFailed].log) == (3, ("why",))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostError) as missing:
        Flox(path, engine="flox").activate()
    assert missing.value.hint == "install Flox, or let Esker do it alone: ESKER_ENGINE=native"
    monkeypatch.undo()


@pytest.mark.parametrize("engine", ["flox"], indirect=True)
def test_10_flox_s_own_words_are_kept(project):
    """The error has Flox's own message and exit status."""
    with pytest.raises(CommandFailed) as caught:
        Flox(project("")).install("no-such-package")
    assert "Could not find package 'no-such-package'" in caught.value.message
    assert caught.value.status == 1


def test_11_the_handle_s_file(project, monkeypatch, tmp_path):
    """The handle's file is in the project, is replaced whole, has mode 0600 and a version, and is checked when read."""
    path = project()
    monkeypatch.chdir(tmp_path)
    handle = Flox(path).services.start("web")
    file = path / ".flox-services.json"
    handle.save()
    before = file.stat()
    handle.save(pathlib.Path(".flox-services.json"))
    assert file.stat().st_ino != before.st_ino
    assert file.stat().st_mode & 0o777 == 0o600
    assert '"version": 1' in file.read_text()
    monkeypatch.chdir(path)
    assert FloxServiceHandle.load() == FloxServiceHandle.load(file) == handle
    file.write_text(file.read_text().replace('"version": 1', '"version": 99'))
    with pytest.raises(EskerError, match="version `99` of this file is not known"):
        FloxServiceHandle.load()
    handle.stop()


def test_11_the_handle_s_file_goes_with_its_services(project, monkeypatch):
    """What the usual file holds leads to nothing once its services have stopped; another handle's file stays."""
    flox = Flox(project())
    file = flox.path / ".flox-services.json"
    first = flox.services.start("web")
    first.save()
    flox.services.start("other").save()
    first.stop()
    assert file.exists()
    monkeypatch.chdir(flox.path)
    FloxServiceHandle.load().stop()
    assert not file.exists()
    assert running(flox) == set()


def test_11_a_copied_handle_is_nobody_s(project, monkeypatch):
    """In a copy of a checkout, the file does not lead to the services of the original, which run on."""
    flox = Flox(project())
    flox.services.start("web").save()
    copy = flox.path.parent / "a copy"
    shutil.copytree(flox.path, copy, symlinks=True, ignore=shutil.ignore_patterns("cache", "log"))
    monkeypatch.chdir(copy)
    for path in (".flox-services.json", copy / ".flox-services.json"):
        with pytest.raises(NotFound, match="was copied"):
            FloxServiceHandle.load(path)
    assert running(flox) == {"web"}
    link = flox.path.parent / "link"
    link.symlink_to(flox.path)
    monkeypatch.chdir(link)
    FloxServiceHandle.load().stop()
    assert running(flox) == set()


@pytest.mark.parametrize("engine", ["flox"], indirect=True)
def test_11_a_pid_that_was_used_again_is_not_signalled(project):
    """The process that keeps services is identified by its start time and boot too."""
    flox = Flox(project())
    flox.services.start("web").save()
    file = flox.path / ".flox-services.json"
    flox.services.stop()
    saved = FloxServiceHandle.load(file)._saved
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        text = file.read_text().replace(f'"pid": {saved.holder.pid}', f'"pid": {stranger.pid}')
        file.write_text(text)
        FloxServiceHandle.load(file).stop()
        assert stranger.poll() is None
        stranger.kill()


def test_12_relative_paths_start_at_the_file_of_the_function(project, monkeypatch, tmp_path):
    """A relative path starts at the project, not at the caller's directory."""
    path = project("[vars]\nA = '1'\n")
    (path / ".git").mkdir()
    (path / "tasks").mkdir()
    (path / "tasks/weakness_12.py").write_text(
        "import os\nfrom esker.flox import flox_required\n\n@flox_required('.')\ndef task():\n    return os.environ['A']\n"
    )
    monkeypatch.syspath_prepend(path / "tasks")
    monkeypatch.chdir(tmp_path)
    from weakness_12 import task

    assert task() == "1"
    del sys.modules["weakness_12"]


def test_13_names_are_never_options(project):
    """A name is never taken for an option, even if it looks like one."""
    flox = Flox(
        project('[services."--help"]\ncommand = "exec sleep 1000"\n[plugins.esker.services]\n"--help".user="root"\n')
    )
    flox.services.start("--help")
    assert running(flox) == {"--help"}
    flox.services.stop("--help")
    with pytest.raises(UnknownService, match="`--follow`"):
        flox.services.logs("--follow")


def test_15_the_package_is_typed():
    """The package says that it is typed; tests/typing checks that the types are right."""
    import esker

    assert (pathlib.Path(esker.__file__).parent / "py.typed").exists()


def test_16_paths_are_the_system_s_business(project, monkeypatch):
    """`~`, `..` and links in paths mean what they mean elsewhere."""
    path = project("")
    (path.parent / "link").symlink_to(path)
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.chdir(path.parent)
    for given in ("~/project", "link", "./project/../project", path, pathlib.Path("project")):
        assert Flox(given).path == path


def test_17_variables_are_set_all_or_none():
    """If one variable cannot be set, the others stay as they were, and the begun activation ends."""
    ended, before = [], dict(os.environ)
    change = Activation(set={"A": "1", "B": "x\0y", "C": "3"})
    with pytest.raises(ActivationFailed, match="`B` cannot be set"):
        PROCESS.enter("/p\0", lambda _: Begun(change, lambda: ended.append(True)))
    assert (dict(os.environ), ended, PROCESS.holders) == (before, [True], {})
