"""An environment is made of links to wheels: by directories where that works, file by file where it has to be."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from esker.declare.declaration import ProgramRule
from esker.host.interpreters import Interpreters
from esker.progress import Silent
from esker.realise import profile as profile_module
from esker.realise.linking import Clash, Tree, link_trees
from esker.realise.profile import profile
from esker.realise.programs import programs
from esker.store.verify import verify

pytestmark = pytest.mark.slow
LIBRARIES = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def made(top, files):
    """Make a tree of files, and return it as a wheel's."""
    for path, content in files.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(content)
    return Tree(top.name, str(top), by_file=False)


def linked(trees, target, real=()):
    """Link trees, and return what came of it with the links below the target."""
    target.mkdir()
    result = link_trees(trees, str(target), real=real, place=lambda source, path: os.symlink(source, target / path))
    links = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_symlink())
    return result, links


def test_the_highest_directory_that_one_wheel_brings_is_a_link(tmp_path):
    """Directories that several bring are real, with a link for each thing in them."""
    first = made(tmp_path / "first", {"lib/first/a/b.py": "", "share/man/first.1": "", "lib/common/first/x": ""})
    second = made(tmp_path / "second", {"lib/second/a/b.py": "", "share/man/second.1": "", "lib/common/second/x": ""})
    third = made(tmp_path / "third", {"etc/third/x": ""})
    result, links = linked([first, second, third], tmp_path / "target")
    assert result == ([], {})
    assert links == [
        *("etc", "lib/common/first", "lib/common/second", "lib/first", "lib/second"),
        *("share/man/first.1", "share/man/second.1"),
    ]


def test_a_directory_that_the_profile_writes_to_is_real(tmp_path):
    """Although one wheel alone brings it."""
    tree = made(tmp_path / "one", {"bin/tool": "", "lib/x/site-packages/a/b": ""})
    _, links = linked([tree], tmp_path / "target", real={"bin", "lib", "lib/x", "lib/x/site-packages"})
    assert links == ["bin/tool", "lib/x/site-packages/a"]


def test_of_two_files_the_last_is_taken_and_equal_ones_are_no_clash(tmp_path):
    """So it is for a file and a directory of one name."""
    first = made(tmp_path / "first", {"same": "x", "other": "1", "kind/file": "", "back": ""})
    second = made(tmp_path / "second", {"same": "x", "other": "2", "kind": "", "back/file": ""})
    result, _ = linked([first, second], tmp_path / "target")
    assert sorted(result.clashes) == [Clash(name, ("first", "second")) for name in ("back", "kind", "other")]
    target = tmp_path / "target"
    assert (target / "other").read_text() == "2"
    assert (target / "kind").is_file()
    assert (target / "back/file").exists()


def test_byte_code_is_that_of_the_source_that_is_there(tmp_path):
    """A wheel whose module could not be compiled gets none from another wheel's module of that name."""
    first = made(tmp_path / "first", {"m.py": "1", "__pycache__/m.cpython-311.pyc": "1", "__pycache__/n.x.pyc": ""})
    second = made(tmp_path / "second", {"m.py": "2"})
    third = made(tmp_path / "third", {"m.py": "3", "__pycache__/m.cpython-311.pyc": "3"})
    _, links = linked([first, second], tmp_path / "target")
    assert links == ["__pycache__/n.x.pyc", "m.py"]
    _, links = linked([third, first], tmp_path / "again")
    assert os.readlink(tmp_path / "again/__pycache__/m.cpython-311.pyc").startswith(f"{tmp_path}/first")


def test_two_wheels_of_one_namespace_are_found_by_their_resources_and_metadata(index, profile_of, store):
    """A namespace package, `importlib.resources`, `importlib.metadata`, and a module's own place."""
    for name in ("one", "two"):
        index.add(f"space-{name}", "1.0", {f"space/{name}/__init__.py": "", f"space/{name}/data.txt": name})
    python = f"{profile_of('space-one', 'space-two')}/bin/python"
    code = (
        "import space.one, space.two, importlib.resources as r, importlib.metadata as m, pathlib\n"
        "print(*[r.files(f'space.{n}').joinpath('data.txt').read_text() for n in ('one', 'two')])\n"
        "print(sorted(d.name for d in m.distributions()), 'space/one/data.txt' in map(str, m.files('space-one')))\n"
        "print((pathlib.Path(space.two.__file__).resolve().parent / 'data.txt').read_text())\n"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["one two", "['space-one', 'space-two'] True", "two"]
    assert verify(store) == []


def test_a_package_that_is_known_to_look_beside_itself_finds_its_neighbour(index, python_of, store, monkeypatch):
    """By `dirname(__file__)/../other`, which works in a virtual environment and not through a link to a directory."""
    beside = "import os\nTEXT = open(os.path.join(os.path.dirname(__file__), '..', 'other', 'data.txt')).read()\n"
    index.add("looking", "1.0", {"looking/__init__.py": beside, "looking/sub/a.py": ""})
    index.add("other", "1.0", {"other/__init__.py": "", "other/data.txt": "found"})
    packages = python_of("looking", "other")
    command = ["bin/python", "-c", "import looking; print(looking.TEXT)"]
    for known, status in (set(), 1), ({"looking"}, 0):
        monkeypatch.setattr(profile_module, "_needing_neighbours", lambda names=known: names)
        path = profile(store, "known", packages)  # another one, although the packages are the same
        assert os.path.islink(f"{path}/{LIBRARIES}/looking") == bool(status)
        done = subprocess.run([f"{path}/{command[0]}", *command[1:]], capture_output=True, text=True, check=False)
        assert done.returncode == status
    assert done.stdout == "found\n"
    assert "__pycache__" in os.listdir(f"{path}/{LIBRARIES}/looking")


@pytest.fixture
def binary(tmp_path):
    """Give a library, and another one and a program that look for it in `../../alpha/lib`, by their names."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler is here")
    sources = {
        "alpha.c": "int alpha(void) { return 41; }",
        "beta.c": "int alpha(void); int beta(void) { return alpha() + 1; }",
        "tool.c": '#include <stdio.h>\nint alpha(void); int main(void) { printf("%d\\n", alpha()); return 0; }',
    }
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    beside = ["-L.", "-lalpha", "-Wl,-rpath,$ORIGIN/../../alpha/lib"]
    for command in (
        ["-shared", "-fPIC", "alpha.c", "-o", "libalpha.so"],
        ["-shared", "-fPIC", "beta.c", "-o", "libbeta.so", *beside],
        ["tool.c", "-o", "tool", *beside],
    ):
        subprocess.run(["cc", *command], cwd=tmp_path, check=True)
    return {name: (tmp_path / name).read_bytes() for name in ("libalpha.so", "libbeta.so", "tool")}


@pytest.fixture
def libraries(binary, index):
    """Serve two wheels, of which one has a library and a program that look for a library of the other."""
    index.add("alpha", "1.0", {"alpha/__init__.py": "", "alpha/lib/libalpha.so": binary["libalpha.so"]})
    beta = {"beta/__init__.py": "", "beta/lib/libbeta.so": binary["libbeta.so"], "beta/bin/tool": binary["tool"]}
    index.add("beta", "1.0", beta)


@pytest.mark.usefixtures("libraries")
def test_libraries_of_two_wheels_find_each_other(python_of, store):
    """By `$ORIGIN`, from Python and from a program; the wheel that is only looked for is linked by its directory."""
    packages = python_of("alpha", "beta")
    below = {wheel.name: f"{wheel.path}/{LIBRARIES}" for wheel in packages.wheels}
    found = programs(below, {"beta": (ProgramRule(pattern="beta/bin/*"),)}, taken=())
    path = profile(store, "test", packages, programs=found)
    assert os.path.islink(f"{path}/{LIBRARIES}/alpha")
    assert not os.path.islink(f"{path}/{LIBRARIES}/beta/lib")
    code = "import beta, ctypes; print(ctypes.CDLL(f'{beta.__path__[0]}/lib/libbeta.so').beta())"
    for command in ([f"{path}/bin/python", "-c", code], [f"{path}/bin/tool"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "41\n"
    assert verify(store) == []


def test_a_directory_of_libraries_that_two_wheels_fill_is_found(binary, index, python_of, store):
    """The wheel has the directory itself, and what it looks for there comes from the other wheel."""
    shared = {"alpha/lib/libother.so": "no library"}
    index.add("alpha", "1.0", {"alpha/lib/libalpha.so": binary["libalpha.so"]})
    beta = {"beta/__init__.py": "", "beta/lib/libbeta.so": binary["libbeta.so"], "beta/bin/tool": binary["tool"]}
    index.add("beta", "1.0", beta | shared)
    packages = python_of("alpha", "beta")
    below = {wheel.name: f"{wheel.path}/{LIBRARIES}" for wheel in packages.wheels}
    found = programs(below, {"beta": (ProgramRule(pattern="beta/bin/*"),)}, taken=())
    path = profile(store, "test", packages, programs=found)
    code = "import beta, ctypes; print(ctypes.CDLL(f'{beta.__path__[0]}/lib/libbeta.so').beta())"
    for command, told in ([f"{path}/bin/python", "-c", code], "42\n"), ([f"{path}/bin/tool"], "41\n"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == (told, "")
    alone = profile(store, "alone", python_of("beta"))
    assert os.path.islink(f"{alone}/{LIBRARIES}/beta")


def test_an_environment_without_packages_is_a_virtual_environment_of_the_interpreter(store, environ, python_of):
    """As `python -m venv` and uv make it: the same keys in `pyvenv.cfg`, and the same commands."""
    path = pathlib.Path(profile(store, "test", python_of(), progress=Silent()))
    interpreter = Interpreters(environ).find(None)
    keys = dict(line.split(" = ") for line in (path / "pyvenv.cfg").read_text().splitlines())
    assert keys["home"] == os.path.dirname(interpreter.executable)
    assert keys["version_info"] == interpreter.version
    major, minor = interpreter.release
    assert {"python", "python3", f"python{major}.{minor}"} <= {each.name for each in (path / "bin").iterdir()}
    done = subprocess.run([path / "bin/python", "-c", "import sys; print(sys.prefix)"], capture_output=True, check=True)
    assert done.stdout.decode().strip() == str(path)
