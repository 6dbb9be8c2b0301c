"""Python from conda packages: byte code that is never stale, pure Python packages, commands, and no pip."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import tempfile
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path

import pytest

from esker.errors import RealisationFailed
from esker.store.store import Store
from esker.store.verify import verify
from tests.support.conda_channel import odd_packages
from tests.support.conda_package import PLACEHOLDER, SUBDIR, TIMESTAMP, File, Link, package

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBRARY = f"lib/python{MINOR}"
FOREIGN = "linux-aarch64" if SUBDIR == "linux-64" else "linux-64"


def python(**options):
    """Return a package of Python whose program is a script that runs the interpreter of the tests."""
    base = os.path.realpath(sys._base_executable)
    run = File(f'#!/bin/sh\nexec {base} "$@"\n'.encode(), executable=True)
    files = {f"bin/python{MINOR}": run, "bin/python": Link(f"python{MINOR}"), **options.pop("files", {})}
    return package("python", f"{MINOR}.1", files=files, **options)


def byte_code(source, *, time=TIMESTAMP, size=None):
    """Return byte code of a module, with time and size of its source."""
    header = time.to_bytes(4, "little") + (len(source) if size is None else size).to_bytes(4, "little")
    return MAGIC_NUMBER + bytes(4) + header + marshal.dumps(compile(source, "a.py", "exec"))


def header(path):
    """Return the flags of byte code, and what stands behind them."""
    with open(path, "rb") as file:
        assert file.read(4) == MAGIC_NUMBER
        return int.from_bytes(file.read(4), "little"), file.read(8)


def test_shipped_byte_code_is_not_compared_with_times(prefix_of, store):
    """The header gets its source's hash, unchecked; the code behind it stays, in the package's own store path."""
    source = b"A = 1\n"
    files = {"lib/a.py": source, cache_from_source("lib/a.py"): byte_code(source)}
    prefix = prefix_of(package("a", files=files)).path
    path = f"{prefix}/{cache_from_source('lib/a.py')}"
    assert header(path) == (1, source_hash(source))
    assert Path(path).read_bytes()[16:] == byte_code(source)[16:]
    assert os.lstat(path).st_nlink == 2


@pytest.mark.parametrize(("time", "size"), [(TIMESTAMP + 1, None), (TIMESTAMP, 7)])
def test_stale_byte_code_stays_stale(prefix_of, time, size):
    """Byte code of another state of the source must not become valid."""
    files = {"lib/a.py": "A = 1\n", cache_from_source("lib/a.py"): byte_code(b"A = 1\n", time=time, size=size)}
    prefix = prefix_of(package("a", files=files)).path
    assert header(f"{prefix}/{cache_from_source('lib/a.py')}")[0] == 0


def test_a_module_with_the_placeholder_is_compiled_in_its_prefix(prefix_of):
    """Byte code that a package ships has the placeholder in it, so it is made anew from the source with the path."""
    source = f"A = '{PLACEHOLDER}'\n".encode()
    files = {f"{LIBRARY}/a.py": source, cache_from_source(f"{LIBRARY}/a.py"): byte_code(source)}
    prefix = prefix_of(python(files=files)).path
    compiled = Path(prefix, cache_from_source(f"{LIBRARY}/a.py"))
    assert header(compiled)[0] == 1
    assert prefix.encode() in compiled.read_bytes()
    assert PLACEHOLDER.encode() not in compiled.read_bytes()


def test_pure_packages(prefix_of):
    """Their modules go where the interpreter finds them, are compiled, and their commands run with that interpreter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # the kernel reads no long first line of a script
        store = Store(short)
        check_pure_packages(store, prefix_of(python(), odd_packages()["tool"], into=store).path)


def check_pure_packages(store, prefix):
    libraries = f"{LIBRARY}/site-packages"
    module = Path(prefix, f"{libraries}/tool/main.py")
    assert header(cache_from_source(module)) == (1, source_hash(module.read_bytes()))
    assert Path(prefix, "bin/tool").read_text().startswith(f"#!{prefix}/bin/python{MINOR}\n")
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{prefix}/{libraries}"}
    done = subprocess.run([f"{prefix}/bin/tool"], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == f"tool {module}\n"
    assert verify(store) == []


def test_a_long_path_to_the_interpreter(prefix_of, tmp_path):
    """A command of a prefix whose path is too long for a first line, or has a space, starts by way of a shell."""
    for place in ("x" * 100, "with space"):
        prefix = prefix_of(python(), odd_packages()["tool"], into=Store(str(tmp_path / place))).path
        assert Path(prefix, "bin/tool").read_text().startswith("#!/bin/sh\n")
        environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{prefix}/{LIBRARY}/site-packages"}
        done = subprocess.run([f"{prefix}/bin/tool"], env=environ, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("tool ")


def test_where_the_interpreter_says_that_packages_lie(prefix_of):
    """A Python with its packages in another place gets them there."""
    place = f"lib/python{MINOR}t/site-packages"
    prefix = prefix_of(python(python_site_packages_path=place), odd_packages()["tool"]).path
    assert Path(prefix, place, "tool/main.py").exists()


def test_a_pure_package_without_python(prefix_of):
    """A lock that has it and no Python is an error that names it."""
    with pytest.raises(RealisationFailed, match=r"`tool-1\.0-0` needs Python"):
        prefix_of(odd_packages()["tool"])


def test_a_python_for_another_system_runs_nothing(prefix_of):
    """A tree for another system is assembled without its interpreter: modules are there, and no byte code of ours."""
    prefix = prefix_of(python(subdir=FOREIGN), odd_packages()["tool"]).path
    assert Path(prefix, f"{LIBRARY}/site-packages/tool/main.py").exists()
    assert not Path(prefix, f"{LIBRARY}/site-packages/tool/__pycache__").exists()


def test_pip_gives_way(prefix_of, store):
    """Whatever pip a package brings, the prefix has a refusal, and the marker that stops every other pip."""
    files = {"site-packages/pip/__init__.py": "", "site-packages/pip/__main__.py": "print('installed')\n"}
    own = package("pip", "24.0", files=files, noarch="python", entry_points=["pip = pip:main", "pip3 = pip:main"])
    of_python = {
        "bin/pip": "#!/bin/sh\necho installed\n",
        f"{LIBRARY}/site-packages/pip/__init__.py": "",
        f"{LIBRARY}/site-packages/pip-24.0.dist-info/RECORD": "",
        f"{LIBRARY}/site-packages/pipeline/__init__.py": "",
    }
    prefix = prefix_of(python(files=of_python), own).path
    libraries = f"{prefix}/{LIBRARY}/site-packages"
    assert sorted(os.listdir(libraries)) == ["esker-store.pth", "pip.py", "pipeline"]
    for command in ([f"{prefix}/bin/pip"], [f"{prefix}/bin/pip{MINOR}"], [sys.executable, f"{libraries}/pip.py"]):
        done = subprocess.run([*command, "install", "x"], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "esker install" in done.stderr
    assert "esker install" in Path(prefix, LIBRARY, "EXTERNALLY-MANAGED").read_text()
    assert verify(store) == []


def test_an_interpreter_that_does_not_start(prefix_of, store):
    """If the modules cannot be compiled, the error names the interpreter, and nothing stays."""
    broken = File(b"#!/bin/sh\necho broken >&2\nexit 3\n", executable=True)
    with pytest.raises(RealisationFailed, match=f"bin/python{MINOR}`: broken"):
        prefix_of(python(files={f"bin/python{MINOR}": broken}), odd_packages()["tool"])
    assert [path for path in store.paths() if path.endswith("-conda")] == []


def test_byte_code_is_the_same_each_time(prefix_of, store):
    """A prefix that is made once more has equal byte code, whatever else was compiled before."""
    prefix = prefix_of(python(), odd_packages()["tool"]).path
    before = store.record(prefix).nar_hash
    store.invalidate(prefix)
    assert prefix_of(python(), odd_packages()["tool"]).path == prefix
    assert store.record(prefix).nar_hash == before
