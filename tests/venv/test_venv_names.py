"""Every name of Angreal's module for virtual environments, used as Angreal's users do.

A program that imports `VirtualEnv` and `venv_required` has only to change the import. So the same tests run over Angreal
itself: what they expect is what it does.
"""

from __future__ import annotations

import importlib
import os
import pathlib
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("place", "process")]


@pytest.fixture(
    params=["esker.venv", pytest.param("angreal.integrations.venv", marks=pytest.mark.live("angreal"))],
)
def venv(request):
    """Give the module under test."""
    return importlib.import_module(request.param)


@pytest.fixture
def made(venv):
    """Give a virtual environment that is there."""
    return venv.VirtualEnv("made")


def site_packages(environment):
    return pathlib.Path(environment.path) / "lib/python{}.{}/site-packages".format(*sys.version_info)


def test_the_path_and_the_name(venv, place):
    """The path is absolute, as it was when the object was made; the name is what was given."""
    given = venv.VirtualEnv("below/env", now=False)
    assert (given.path, given.name) == (place / "below/env", "below/env")
    os.chdir("/")
    assert given.path == place / "below/env"
    os.chdir(place)
    unnamed = venv.VirtualEnv(now=False)
    assert (unnamed.path, unnamed.name) == (place / ".venv", ".venv")
    assert venv.VirtualEnv(pathlib.Path("env"), now=False).name == "env"


def test_a_path_in_the_home_directory(venv, environ):
    """`~` is the home directory, in the path and in the name."""
    home = venv.VirtualEnv("~/env", now=False)
    assert (str(home.path), home.name) == (f"{environ['HOME']}/env", f"{environ['HOME']}/env")


def test_it_exists_when_it_was_made(venv, place):
    """`now` makes it at once, and without it `create` does; a second time nothing happens."""
    assert venv.VirtualEnv("at-once").exists
    later = venv.VirtualEnv("later", now=False)
    assert not later.exists
    assert not (place / "later").exists()
    later.create()
    inode = (place / "later").stat().st_ino
    later.create()
    assert later.exists
    assert (place / "later").stat().st_ino == inode


def test_the_interpreter(venv, made):
    """The interpreter is a path, also of an environment that is not there."""
    assert made.python_executable == made.path / "bin/python"
    assert os.access(made.python_executable, os.X_OK)
    assert isinstance(venv.VirtualEnv("none", now=False).python_executable, pathlib.Path)


def test_the_version_of_its_python(venv):
    """A version may be named, and one that is nowhere is a RuntimeError."""
    version = "{}.{}".format(*sys.version_info)
    assert site_packages(venv.VirtualEnv("named", python=version)).is_dir()
    with pytest.raises(RuntimeError, match=r"^Failed to create virtual environment: "):
        venv.VirtualEnv("none", python="3.99")


def test_activating_and_leaving(made, process):
    """Prefix, import path, PATH and VIRTUAL_ENV are those of the environment, and afterwards exactly the earlier ones."""
    before = process()
    assert made.activate() is None
    assert (sys.prefix, sys.exec_prefix, os.environ["VIRTUAL_ENV"]) == (str(made.path),) * 3
    assert sys.path[0] == str(site_packages(made))
    assert os.environ["PATH"] == f"{made.path}/bin:{before[4]['PATH']}"
    assert made._is_activated
    made.activate()
    assert made.deactivate() is None
    assert process() == before
    assert not made._is_activated
    made.deactivate()
    assert process() == before


def test_what_is_not_there_cannot_be_activated(venv, process):
    """It is a RuntimeError that names the path, and nothing has changed."""
    before, absent = process(), venv.VirtualEnv("absent", now=False)
    with pytest.raises(RuntimeError, match=rf"^Virtual environment at {absent.path} does not exist"):
        absent.activate()
    assert process() == before
    absent.deactivate()


@pytest.mark.parametrize("packages", ["tiny", ["tiny", "other"], ("tiny",)], ids=["one", "list", "tuple"])
def test_installing_packages(made, packages):
    """One package is a text, and several are a list."""
    assert made.install(packages) is None
    assert (site_packages(made) / "tiny.py").is_file()
    assert os.access(made.path / "bin/tiny", os.X_OK)


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_installing_a_requirements_file(made, place, kind):
    """A text that ends in `.txt`, and a path, is a requirements file."""
    (place / "needs.txt").write_text("tiny\nother\n")
    made.install(kind("needs.txt"))
    assert (site_packages(made) / "other.py").is_file()


def test_nothing_to_install(made):
    """An empty list installs nothing, and neither does an environment without requirements."""
    assert made.install([]) is None
    assert made.install_requirements() is None


@pytest.mark.parametrize(
    "requirements", ["needs.txt", pathlib.Path("needs.txt"), ["tiny"], "tiny"], ids=["text", "path", "list", "one"]
)
def test_installing_the_requirements(venv, place, requirements):
    """They are a file, a list or one package; they are not installed before they are asked for."""
    (place / "needs.txt").write_text("tiny\n")
    environment = venv.VirtualEnv("env", requirements=requirements)
    assert not (site_packages(environment) / "tiny.py").exists()
    assert environment.install_requirements() is None
    assert (site_packages(environment) / "tiny.py").is_file()


def test_what_cannot_be_installed(venv, made):
    """It is a RuntimeError that begins with what failed."""
    with pytest.raises(RuntimeError, match=r"(?s)^Failed to install package: .*no-such-package"):
        made.install("no-such-package")
    with pytest.raises(RuntimeError, match=r"^Failed to install package: "):
        venv.VirtualEnv("absent", now=False).install("tiny")
    with pytest.raises(RuntimeError, match=r"(?s)^Failed to install requirements: .*absent\.txt"):
        venv.VirtualEnv("made", requirements="absent.txt").install_requirements()


def test_requirements_of_another_type(venv):
    """They are a TypeError, when they are to be installed."""
    environment = venv.VirtualEnv("env", requirements=3)
    expected = r"^requirements should be a string, list of strings, or Path object, not int$"
    with pytest.raises(TypeError, match=expected):
        environment.install_requirements()


def test_removing(venv, made):
    """What is gone can be removed once more."""
    assert made.remove() is None
    assert not made.path.exists()
    assert not made.exists
    assert made.remove() is None


def test_what_cannot_be_removed(venv, place):
    """It is an OSError."""
    (place / "file").write_text("")
    with pytest.raises(OSError):
        venv.VirtualEnv("file", now=False).remove()


def test_the_block(venv, process):
    """In a `with` block it is there, has its requirements and is active; an error of the block goes on."""
    before = process()
    with venv.VirtualEnv("env", requirements=["tiny"], now=False) as inside:
        assert inside.exists
        assert inside._is_activated
        import tiny

        assert str(site_packages(inside) / "tiny.py") == tiny.PLACE
    assert process() == before
    sys.modules.pop("tiny", None)
    with pytest.raises(KeyError), venv.VirtualEnv("env"):
        raise KeyError
    assert process() == before


def test_the_pythons_of_this_machine(venv):
    """They are pairs of a version and a path, and the one that runs this is among them."""
    pythons = venv.VirtualEnv.discover_available_pythons()
    assert all(isinstance(word, str) for pair in pythons for word in pair)
    assert any("{}.{}".format(*sys.version_info) in version for version, _ in pythons)


def test_the_version_of_uv(venv):
    """It is what uv says."""
    assert venv.VirtualEnv.version().startswith("uv 0.")


def test_a_python_that_is_nowhere(venv):
    """A Python that can be neither found nor fetched is a RuntimeError."""
    with pytest.raises(RuntimeError, match=r"^Failed to ensure Python 3\.99: "):
        venv.VirtualEnv.ensure_python("3.99")


def test_the_decorator(venv, process):
    """The function runs in the environment, with its requirements, and keeps name, text, arguments and result."""
    before = process()

    @venv.venv_required("env", requirements=["tiny"])
    def task(first, second=2):
        """Do it."""
        import tiny

        return first, second, tiny.PLACE, sys.prefix, os.environ["VIRTUAL_ENV"]

    assert (task.__name__, task.__doc__) == ("task", "Do it.")
    environment = venv.VirtualEnv("env", now=False)
    assert not environment.exists
    packages = site_packages(environment)
    assert task(1, second=3) == (1, 3, str(packages / "tiny.py"), str(environment.path), str(environment.path))
    assert process() == before
    sys.modules.pop("tiny", None)


def test_the_decorator_lets_errors_through(venv, process):
    """An error of the function is raised as it is, and the environment is left."""
    before = process()

    @venv.venv_required("env")
    def task():
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        task()
    assert process() == before


@pytest.mark.parametrize("name", ["path", "name", "exists", "python_executable"])
def test_attributes_cannot_be_set(made, name):
    """What says which environment it is cannot be set."""
    with pytest.raises(AttributeError):
        setattr(made, name, "x")
