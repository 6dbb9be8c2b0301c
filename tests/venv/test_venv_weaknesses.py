"""What Angreal's virtual environments get wrong, one test each: here it is right."""

from __future__ import annotations

import asyncio
import os
import pathlib
import subprocess
import sys
import threading

import angreal
import pytest

from esker.errors import EnvironmentBusy, VenvFailed, VenvNotRemoved
from esker.host import uv as uv_module
from esker.venv import VirtualEnv, venv_required
from tests.support.package_index import wheel

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("process")]


@pytest.fixture
def uv_calls(monkeypatch):
    """Give the list of the calls of uv."""
    calls, real = [], subprocess.Popen

    def popen(command, *args, **kwargs):
        if os.path.basename(command[0]) == "uv":
            calls.append(command[1:])
        return real(command, *args, **kwargs)

    monkeypatch.setattr(uv_module.subprocess, "Popen", popen)
    return calls


def packages(environment):
    return environment.path / "lib/python{}.{}/site-packages".format(*sys.version_info)


def test_uv_need_not_be_installed(place, monkeypatch):
    """Without uv on PATH, nothing is fetched to get it: it is the one that came with Esker."""
    with monkeypatch.context() as changed:
        changed.setenv("PATH", "/nonexistent")
        environment = VirtualEnv("env", python=sys.executable, requirements=["tiny"])
        environment.install_requirements()
    assert (packages(environment) / "tiny.py").is_file()


def test_path_need_not_be_set(place, process, monkeypatch):
    """A process without PATH gets one, and afterwards has none again."""
    environment = VirtualEnv("env")
    with monkeypatch.context() as changed:
        changed.delenv("PATH")
        before = process()
        with environment:
            assert os.environ["PATH"].split(":")[0] == f"{environment.path}/bin"
        assert process() == before


def test_pythonhome_is_unset_as_activation_scripts_do(place, process, monkeypatch):
    """A PYTHONHOME would break the environment's interpreter; afterwards it is back."""
    monkeypatch.setenv("PYTHONHOME", "/somewhere")
    environment, before = VirtualEnv("env"), process()
    with environment:
        assert "PYTHONHOME" not in os.environ
        assert os.environ["VIRTUAL_ENV_PROMPT"] == "env"
    assert process() == before
    monkeypatch.delenv("PYTHONHOME")


def test_environments_can_be_left_in_any_order(place, process):
    """The one that was entered first can be left first: the other stays whole, and in the end all is as before."""
    first, second, before = VirtualEnv("first"), VirtualEnv("second"), process()
    first.activate()
    second.activate()
    first.deactivate()
    assert (sys.prefix, os.environ["VIRTUAL_ENV"]) == (str(second.path),) * 2
    assert not any(entry.startswith(str(first.path)) for entry in [*sys.path, *os.environ["PATH"].split(":")])
    second.deactivate()
    assert process() == before


def test_nested_blocks_of_one_environment(place, process):
    """The inner block's end does not leave the environment, and neither does `deactivate` without `activate`."""
    environment, before = VirtualEnv("env"), process()
    with environment:
        with environment:
            pass
        environment.deactivate()
        assert sys.prefix == str(environment.path)
        assert environment.is_activated
    assert process() == before


def test_what_the_program_has_changed_stays(place):
    """Entries that the program itself has put into `sys.path` and PATH meanwhile stay there."""
    with VirtualEnv("env"):
        sys.path.insert(0, "/mine")
        os.environ["PATH"] = f"/own/bin:{os.environ['PATH']}"
    assert sys.path.pop(0) == "/mine"
    first, _, rest = os.environ["PATH"].partition(":")
    assert first == "/own/bin"
    os.environ["PATH"] = rest


def test_modules_of_an_environment_are_gone_with_it(place):
    """Its modules cannot be imported any more, and are the same ones when it is entered again."""
    environment = VirtualEnv("env", requirements=["tiny"])
    with environment:
        import tiny
    assert "tiny" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        import tiny
    with VirtualEnv("other", requirements=["tiny"]):
        import tiny as others
    assert others.PLACE != tiny.PLACE
    with environment:
        import tiny as again
    assert again is tiny


def test_a_new_environment_at_the_same_place_has_modules_of_its_own(place):
    """What was imported from one that has been removed does not come back."""
    with VirtualEnv("env", requirements=["tiny"]) as environment:
        import tiny
    environment.remove()
    with environment:
        import tiny as new
    assert new is not tiny


def test_path_files_are_processed(place, process):
    """Directories and finders of `.pth` files, as editable packages have them, come and go with the environment."""
    environment, before = VirtualEnv("env"), process()
    (place / "src").mkdir()
    (place / "src/edited.py").write_text("")
    (packages(environment) / "edited.pth").write_text(
        f"{place}/src\nimport sys; sys.meta_path.insert(0, type('Finder', (), {{'find_spec': lambda *_: None}})())\n"
    )
    with environment:
        import edited

        assert edited.__file__ == f"{place}/src/edited.py"
        assert len(sys.meta_path) == len(before[3]) + 1
    assert process() == before
    assert "edited" not in sys.modules


def test_another_python_gives_programs_and_no_packages(place, process):
    """Packages of another version are not imported into this process, which is said; its programs can be run."""
    environment, before = VirtualEnv("env"), process()
    configuration = environment.path / "pyvenv.cfg"
    configuration.write_text("version_info = 3.7.1\n")
    with pytest.warns(RuntimeWarning, match=r"`.*/env` is for Python 3\.7, and this is Python 3\."):
        environment.activate()
    assert (sys.prefix, sys.path) == (before[0], before[2])
    assert os.environ["VIRTUAL_ENV"] == str(environment.path)
    environment.deactivate()
    assert process() == before


def test_an_empty_directory_is_filled_and_a_full_one_is_not(place):
    """An empty directory becomes an environment; where something else is, that is an error, and stays."""
    (place / "empty").mkdir()
    assert VirtualEnv("empty").exists
    (place / "full").mkdir()
    (place / "full/mine").write_text("")
    with pytest.raises(VenvFailed, match=r"/full` is there already, and it is no virtual environment: it has no"):
        VirtualEnv("full")
    (place / "file").write_text("")
    with pytest.raises(VenvFailed, match=r"/file` is there already, .*: it is no directory"):
        VirtualEnv("file")
    assert (place / "full/mine").is_file()


def test_only_an_environment_is_removed(place):
    """A directory that is no virtual environment is not deleted, and neither is what a link leads to without being one."""
    (place / "full").mkdir()
    (place / "full/mine").write_text("")
    with pytest.raises(VenvNotRemoved, match="it is no virtual environment") as caught:
        VirtualEnv("full", now=False).remove()
    assert caught.value.hint == "look what it is, and delete it by hand"
    assert (place / "full/mine").is_file()


def test_removing_leaves_first(place, process):
    """An active environment is left before it is deleted."""
    before, environment = process(), VirtualEnv("env")
    environment.activate()
    environment.remove()
    assert process() == before


def test_requirements_are_installed_once(place, uv_calls):
    """A second call installs nothing, until the file, a file that it names, or what is installed has changed."""
    (place / "needs.txt").write_text("-r more.txt\n")
    (place / "more.txt").write_text("tiny\n")

    @venv_required("env", requirements="needs.txt")
    def task():
        uv_calls.append("ran")

    def called():
        uv_calls.clear()
        task()
        return [call if isinstance(call, str) else call[0] for call in uv_calls]

    assert called() == ["venv", "pip", "ran"]
    assert called() == ["ran"]
    (place / "more.txt").write_text("tiny\nother\n")
    assert called() == ["pip", "ran"]
    environment = VirtualEnv("env")
    (packages(environment) / "other.py").unlink()
    assert called() == ["pip", "ran"]
    assert called() == ["ran"]


def test_names_are_no_options(place, uv_calls):
    """What looks like an option is refused before uv sees it."""
    environment = VirtualEnv("env")
    uv_calls.clear()
    with pytest.raises(VenvFailed, match="`--help` is not the name of a package"):
        environment.install(["--help"])
    with pytest.raises(VenvFailed, match=r"`-x\.txt` is not the name"):
        environment.install(pathlib.Path("-x.txt"))
    assert uv_calls == []


@pytest.mark.parametrize("wrong", [3, None, ["tiny", 3], {"tiny"}, b"tiny"], ids=repr)
def test_other_types_are_no_requirements(place, wrong):
    """What is neither text, list nor path is a TypeError, and never taken for a file's name."""
    with pytest.raises(TypeError, match="requirements should be a string, list of strings, or Path object, not "):
        VirtualEnv("env", now=False).install(wrong)


@pytest.mark.parametrize("wrong", [3, 3.12, b"bytes", ["list"], object()], ids=type)
def test_other_types_are_refused_at_once(place, wrong):
    """Where an object or a decorator is made with one, or a Python is asked for by it, and nothing is made."""
    kind = type(wrong).__name__
    for name, made in {
        "path": lambda: VirtualEnv(wrong, now=False),
        "python": lambda: VirtualEnv("env", python=wrong),
        "version": lambda: VirtualEnv.ensure_python(wrong),
    }.items():
        with pytest.raises(TypeError, match=f"^{name} should be a string or Path object, not {kind}$"):
            made()
    with pytest.raises(TypeError, match=f"^path should be a string or Path object, not {kind}$"):
        venv_required(wrong)
    assert os.listdir() == []


def test_wrong_requirements_make_nothing(place):
    """A block and a decorated function refuse them before there is an environment."""
    with pytest.raises(TypeError, match="requirements should be"), VirtualEnv("env", requirements=3, now=False):
        pass
    with pytest.raises(TypeError, match="requirements should be"):
        venv_required("env", requirements={"tiny"})(lambda: None)()
    assert os.listdir() == []


def test_the_variables_of_an_environment_around_it_come_back(place, process, monkeypatch):
    """VIRTUAL_ENV and its prompt are what they were, whether set or not, and PATH has its order and its doubles."""
    environment, path = VirtualEnv("env"), os.environ["PATH"]
    with monkeypatch.context() as outer:
        outer.setenv("VIRTUAL_ENV", "/outer")
        outer.setenv("PATH", f"/outer/bin:{path}:/outer/bin:")
        before = process()
        with environment:
            assert os.environ["VIRTUAL_ENV"] == str(environment.path)
            assert os.environ["PATH"].startswith(f"{environment.path}/bin:/outer/bin:{path}")
        assert process() == before


def test_ensuring_a_python_that_is_here_fetches_nothing(place, monkeypatch):
    """The path of an interpreter of the machine is returned; the network is not asked."""
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "automatic")
    here = os.path.realpath(sys._base_executable)
    for version in ("{}.{}", "{}.{}.{}", "python{}.{}", ">={}.{}"):
        assert VirtualEnv.ensure_python(version.format(*sys.version_info)) == here


def test_the_pythons_are_on_this_machine(place):
    """Only what can be run is listed, each once."""
    pythons = VirtualEnv.discover_available_pythons()
    assert pythons[0] == ("{}.{}.{}".format(*sys.version_info), os.path.realpath(sys._base_executable))
    assert all(os.access(path, os.X_OK) for _, path in pythons)
    assert len({path for _, path in pythons}) == len(pythons)


@pytest.mark.parametrize(
    ("python", "message"),
    [
        ("3.99", r"Python 3\.99 is not on this machine; found: .*3\.\d+"),
        ("/nowhere/python", "`/nowhere/python` is not a Python"),
        ("no-such-program", "`no-such-program` is not a Python"),
        (">=3.x", "`>=3.x` is not a version specifier"),
    ],
)
def test_a_python_that_is_none(place, python, message):
    """The message says what was asked for and what there is, and the hint what to do."""
    with pytest.raises(VenvFailed, match=f"^Failed to create virtual environment: {message}") as caught:
        VirtualEnv("env", python=python)
    assert caught.value.hint
    assert not (place / "env").exists()


def test_errors_hold_the_words_of_uv(place):
    """The first line of uv's error is in the message, and the others below it."""
    with pytest.raises(VenvFailed) as caught:
        VirtualEnv("env").install("tiny>5")
    first, *others = caught.value.lines()
    assert first == "Failed to install package: No solution found when resolving dependencies"
    assert any("tiny>5" in line for line in others)


def test_without_a_network(place, wheels):
    """What uv cannot fetch says so, with what to do."""
    os.environ["UV_OFFLINE"] = "1"
    os.environ.pop("UV_FIND_LINKS")
    with pytest.raises(VenvFailed, match="Failed to install package: ") as caught:
        VirtualEnv("env").install("tiny")
    assert any("tiny" in line for line in caught.value.lines())


def test_the_decorator_in_every_order(place):
    """It works above and below `@angreal.command`, with arguments; Angreal's own function runs inside."""

    @angreal.command(name="venv-below", about="")
    @angreal.argument(name="n", long="n")
    @venv_required(pathlib.Path("env"))
    def below(n):
        return os.environ["VIRTUAL_ENV"] + n

    @venv_required("env")
    @angreal.command(name="venv-above", about="")
    @angreal.argument(name="n", long="n")
    def above(n):
        return os.environ["VIRTUAL_ENV"] + n

    for task in (below, above):
        assert task.__dict__["__command"].func(n="2") == f"{place}/env2"
        assert len(task.__dict__["__arguments"]) == 1
    with pytest.raises(TypeError, match="with the path of the environment"):
        venv_required(below)


def test_the_decorator_keeps_the_kind_of_a_function(place, process):
    """Coroutines, generators and methods run inside to their end."""
    before = process()

    @venv_required("env", requirements=["tiny"])
    async def coroutine():
        await asyncio.sleep(0)
        return sys.prefix

    @venv_required("env")
    def generator():
        yield sys.prefix

    class Tasks:
        @venv_required("env")
        def method(self):
            return sys.prefix

    expected = str(place / "env")
    assert asyncio.run(coroutine()) == expected
    assert list(generator()) == [expected]
    assert Tasks().method() == expected
    assert process() == before


def test_another_thread_cannot_enter_another_environment(place):
    """All threads share one interpreter, so this is an error instead of a mixture; the same environment nests."""
    first, second, seen = VirtualEnv("first"), VirtualEnv("second"), []

    def other():
        with first:
            seen.append(sys.prefix)
        try:
            second.activate()
        except EnvironmentBusy as error:
            seen.append(error)

    with first:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen[0] == str(first.path)
    assert isinstance(seen[1], EnvironmentBusy)


def test_two_processes_that_make_the_same_environment(place):
    """One makes it, and the other finds it made."""
    program = "from esker.venv import VirtualEnv; assert VirtualEnv('env').exists"
    both = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]


def test_packages_installed_meanwhile_can_be_imported(place, wheels):
    """A package that is installed while the environment is active can be imported at once."""
    with VirtualEnv("env") as environment:
        with pytest.raises(ModuleNotFoundError):
            import late
        (wheels / "late-1.0-py3-none-any.whl").write_bytes(wheel("late", "1.0", {"late.py": ""}))
        environment.install("late")
        import late

        assert late
