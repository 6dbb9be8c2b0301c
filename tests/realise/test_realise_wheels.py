"""A Python environment is one store path that depends on its inputs alone, and a profile makes it usable."""

from __future__ import annotations

import ensurepip
import glob
import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import suppress

import msgspec
import pytest
from packaging.pylock import Package, PackageWheel, Pylock
from packaging.version import Version

from esker.declare.declaration import Declaration, EskerTable, ProgramRule, PythonTable
from esker.declare.source import source_directories
from esker.errors import HostError, RealisationFailed, ResolutionFailed
from esker.formats.manifest import Manifest
from esker.host.interpreters import Interpreters
from esker.lock.resolve import resolved_lock
from esker.progress import Silent
from esker.realise.artifacts import selected_artifacts
from esker.realise.byte_code import compile_modules
from esker.realise.profile import profile
from esker.realise.realise import realise
from esker.realise.wheels import installed_wheels
from esker.settings import Settings
from esker.store.store import Store
from esker.store.verify import verify
from tests.support.children import Child
from tests.support.package_index import PackageIndex, wheel

pytestmark = pytest.mark.slow


class Heard(Silent):
    """Keeps what was remarked on."""

    def __init__(self):
        self.remarks = []

    def remark(self, text):
        """Keep a remark."""
        self.remarks.append(text)


def output(*command, **variables):
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", **variables}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_installed_module_is_found_by_the_environment_alone(index, profile_of):
    """The environment's interpreter imports what was locked; nothing of the host's libraries is seen."""
    index.add("app", "1.0", requires=["base"])
    index.add("base", "2.0")
    made = profile_of("app")
    assert output(f"{made}/bin/python", "-c", "import app, base; print(app.VERSION, base.VERSION)") == "1.0 2.0"
    assert output(f"{made}/bin/python", "-c", "import importlib.util as u; print(u.find_spec('pytest'))") == "None"


def test_two_builds_are_equal_byte_for_byte(index, python_of, profile_of, store, tmp_path):
    """The same lock built into two stores gives the same name and `diff -r` finds nothing, byte code included."""
    index.add("app", "1.0", {"app/__init__.py": "A = {1, 2, 3}\n", "app/b.py": "def f(x): return [x, 'text', x]\n"})
    other = Store(str(tmp_path / "other"))
    packages, second = python_of("app"), python_of("app", into=other)
    [wheel], [again] = packages.wheels, second.wheels
    for first, then in ((wheel.path, again.path), (profile_of("app"), profile_of("app", into=other))):
        assert os.path.basename(first) == os.path.basename(then)
        assert output("diff", "-r", "--no-dereference", first, then) == ""
        assert store.record(first).nar_hash == other.record(then).nar_hash
    libraries = f"{wheel.path}/{packages.interpreter.libraries}"
    assert os.path.exists(f"{libraries}/app/__pycache__/b.{sys.implementation.cache_tag}.pyc")


def test_of_wheels_with_files_of_one_name_the_last_by_name_wins(index, profile_of, tmp_path):
    """Builds are equal where wheels overwrite each other's files: what uv installs side by side is put in order."""
    names = ("alpha", "beta", "gamma", "zeta")
    for name in names[:3]:
        shared = {"shared/value.py": f"NAME = {name!r}\n", f"{name}.py": f"def main(): print({name!r})\n"}
        index.add(name, "1.0", {**shared, "shared/same.py": ""}, scripts={"tool": f"{name}:main"})
    index.add("zeta", "1.0", {"shared/same.py": "", "zeta.py": ""})  # brings the same as the others: no overlap
    clashing = ["bin/tool", f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/shared/value.py"]
    for attempt in range(3):
        heard = Heard()
        made = profile_of(*names, into=Store(str(tmp_path / f"store-{attempt}")), progress=heard)
        assert [text.partition(" bring different files ")[::2] for text in heard.remarks] == [
            ("`alpha` and `beta` and `gamma`", f"`{path}`: that of `gamma` is used") for path in clashing
        ]
        program = "import shared.value as v, shared.same, alpha, beta, gamma, zeta; print(v.NAME)"
        assert output(f"{made}/bin/python", "-c", program) == "gamma"
        assert output(f"{made}/bin/tool") == "gamma"


def test_nothing_of_a_package_runs_while_it_is_installed(index, profile_of, tmp_path):
    """A .pth file and a sitecustomize are installed, in order with those of others, and not run."""
    for name in ("alpha", "beta"):
        told = f"open({str(tmp_path / 'ran')!r}, 'a').close()\n"
        index.add(name, "1.0", {f"{name}.pth": f"import os; {told}", "sitecustomize.py": f"NAME = {name!r}; {told}"})
    made = profile_of("alpha", "beta")
    assert not (tmp_path / "ran").exists()
    [customized] = pathlib.Path(made).glob("lib/*/site-packages/sitecustomize.py")
    assert customized.read_text().startswith("NAME = 'beta'")
    output(f"{made}/bin/python", "-c", "")
    assert (tmp_path / "ran").exists()


def test_a_package_cannot_choose_the_interpreter(index, python_of, store):
    """A `pyvenv.cfg` among a package's data would make the environment one of another Python."""
    index.add("app", "1.0", {"app.py": "", "app-1.0.data/data/pyvenv.cfg": "home = /nonexistent\n"})
    with pytest.raises(RealisationFailed, match=r"brings a `pyvenv\.cfg` of its own"):
        python_of("app")
    assert store.paths() == []


def test_importing_everything_changes_nothing(index, profile_of, store):
    """After every module was imported, as root too, the store path is what was registered."""
    index.add("app", "1.0", {"app/__init__.py": "", "app/b.py": "X = 1\n"})
    output(f"{profile_of('app')}/bin/python", "-c", "import app.b")
    assert verify(store) == []


def test_what_is_in_the_store_is_not_fetched_again(index, python_of, environ, monkeypatch):
    """Realising the same lock a second time starts no uv: one that fails is never noticed."""
    index.add("app", "1.0")
    first = python_of("app")
    from esker.realise import installation as module

    def refuse(*_arguments, **_options):
        raise AssertionError("uv was started")

    monkeypatch.setattr(module, "run_uv", refuse)
    assert python_of("app") == first


def test_a_tampered_file_is_refused(index, lock_of, environ, store, tmp_path):
    """An index that serves other bytes than the locked ones is refused, and nothing is left that counts as valid."""
    index.add("app", "1.0")
    artifacts, interpreter = lock_of("app")
    index.put("app", next(iter(index.files("app"))), wheel("app", "1.0", {"app.py": "evil = 1\n"}))
    environ["UV_CACHE_DIR"] = str(tmp_path / "fresh-cache")
    with pytest.raises(RealisationFailed, match=r"not the locked one: Failed to download `app==1\.0` cause: Hash mis"):
        installed_wheels(store, artifacts, interpreter, Settings(environ).tools, Silent())
    assert store.paths() == []
    assert os.listdir(store.directory) == []


@pytest.mark.parametrize(
    "hashes",
    [
        {"sha256": "0" * 64 + "\n--index-url http://packages.example.org/"},
        {"sha256": "0" * 63},
        {"md5": "0" * 32},
        {"sha256:0 -r /etc/passwd": "0" * 64},
    ],
    ids=["injected", "short", "weak", "kind"],
)
def test_a_lock_cannot_say_more_to_uv_than_hashes(index, lock_of, hashes):
    """What the lock calls a hash reaches uv only if it is one, and one that nobody can forge."""
    index.add("app", "1.0")
    [(name, version, file)], interpreter = lock_of("app")
    other = PackageWheel(name=file.filename, url=file.url, hashes=hashes)
    lock = Pylock(
        lock_version=Version("1.0"),
        created_by="x",
        packages=[Package(name=name, version=Version(version), wheels=[other])],
    )
    with pytest.raises(RealisationFailed, match="`app` is locked without a SHA-2 hash"):
        selected_artifacts(lock, interpreter)


def test_wheels_are_chosen_for_the_interpreter_and_not_for_the_one_that_runs(index, lock_of, monkeypatch):
    """The running Python may be a free-threaded build, whose wheels the environment's Python cannot load."""
    index.add("app", "1.0")
    [(name, version, file)], interpreter = lock_of("app")
    interpreter = msgspec.structs.replace(interpreter, version="3.13.1")
    builds = ("cp313-cp313t", "cp313-cp313", "cp39-abi3")
    wheels = [
        PackageWheel(name=f"app-1.0-{build}-any.whl", url=file.url, hashes=file.hashes, size=file.size)
        for build in builds
    ]
    package = Package(name=name, version=Version(version), wheels=wheels)
    lock = Pylock(lock_version=Version("1.0"), created_by="x", packages=[package])
    monkeypatch.setitem(sysconfig.get_config_vars(), "Py_GIL_DISABLED", 1)
    [(_, _, chosen)] = selected_artifacts(lock, interpreter, platforms=["any"])
    assert chosen.filename == "app-1.0-cp313-cp313-any.whl"


def test_what_was_yanked_since_is_installed_as_it_is_locked(index, python_of):
    """A lock is a promise, also of a version that nobody should choose any more."""
    index.add("app", "1.0")
    index.yank("app", "1.0")
    [made] = python_of("app==1.0").wheels
    assert glob.glob(f"{made.path}/lib/python*/site-packages/app.py")


def test_an_unreachable_index_leaves_nothing(index, lock_of, environ, store, tmp_path):
    """Without an index and without a cache the error says so, and the store holds nothing."""
    index.add("app", "1.0")
    artifacts, interpreter = lock_of("app")
    environ |= {"UV_CACHE_DIR": str(tmp_path / "fresh-cache"), "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"}
    with pytest.raises(HostError, match="no package index answered"):
        installed_wheels(store, artifacts, interpreter, Settings(environ).tools, Silent())
    assert store.paths() == []


def test_a_lock_is_installed_through_the_index_of_the_machine(index, lock_of, environ, store, tmp_path):
    """The addresses in a lock are hints: another index that has the same files serves it."""
    index.add("app", "1.0")
    artifacts, interpreter = lock_of("app")
    with PackageIndex() as mirror:
        mirror.add("app", "1.0")
        environ |= {"UV_CACHE_DIR": str(tmp_path / "fresh-cache"), "UV_DEFAULT_INDEX": mirror.url}
        asked = index.requests.total()
        [wheel] = installed_wheels(store, artifacts, interpreter, Settings(environ).tools, Silent())
        assert index.requests.total() == asked
    assert os.path.exists(f"{wheel.path}/{interpreter.libraries}/app.py")


def test_a_source_distribution_that_is_named_is_built(index, python_of):
    """A package in `build` comes from its source, by its locked hash."""
    index.add_source(
        "fromsource", "1.0", "from setuptools import setup\nsetup(name='fromsource', version='1.0', py_modules=[])\n"
    )
    with pytest.raises(Exception, match=r"index has no package|could not be (locked|installed)|no wheel"):
        python_of("fromsource")  # not named
    # Building needs setuptools, which this index does not have: the error names the way, not a traceback.
    with pytest.raises(Exception, match="setuptools"):
        python_of("fromsource", build=("fromsource",))


def test_the_profile_runs_python_and_scripts_in_one_prefix(index, profile_of, tmp_path):
    """`bin/python` and a console script agree on sys.prefix, through a link to the profile as well as directly."""
    index.add("app", "1.0", {"app.py": "import sys\ndef main(): print(sys.prefix)\n"}, scripts={"app": "app:main"})
    made = profile_of("app")
    link = tmp_path / "run"
    link.symlink_to(made)
    for prefix in (made, str(link)):
        assert output(f"{prefix}/bin/python", "-c", "import sys; print(sys.prefix)") == prefix
        assert output(f"{prefix}/bin/app") == prefix
    elsewhere = tmp_path / "app"
    elsewhere.symlink_to(f"{link}/bin/app")
    assert output(str(elsewhere)) == made


@pytest.mark.parametrize("shell", [[], ["bash"], ["sh"]])
def test_a_script_keeps_its_first_statements(index, profile_of, tmp_path, shell):
    """A wheel's script has its own docstring and `__future__`, and finds the project's source like any program."""
    script = '#!python\n"""Own words."""\nfrom __future__ import annotations\nimport sys, source\n'
    script += "x: missing\nprint(__doc__, sys.prefix, *sys.argv)\n"
    index.add("app", "1.0", {"app.py": "", "app-1.0.data/scripts/app": script})
    (tmp_path / "source.py").write_text("")
    made = profile_of("app", source=[str(tmp_path)])
    assert output(*shell, f"{made}/bin/app", "a b", "c") == f"Own words. {made} {made}/bin/app a b c"
    assert output(f"{made}/bin/python", f"{made}/bin/app") == f"Own words. {made} {made}/bin/app"


def test_a_script_without_a_docstring_has_none(index, profile_of):
    """The launcher of a console script is not its docstring."""
    text = "import __main__\ndef main(): print(__main__.__doc__)\n"
    index.add("app", "1.0", {"app.py": text}, scripts={"app": "app:main"})
    assert output(f"{profile_of('app')}/bin/app") == "None"


def test_a_script_keeps_its_encoding(index, profile_of, tmp_path):
    """A script in Latin-1 is read as such, and runs in the prefix of the environment like any script."""
    text = '#!python\n# -*- coding: latin-1 -*-\n"""Caf\xe9"""\nimport sys\nprint(ascii(__doc__), sys.prefix)\n'
    index.add("app", "1.0", {"app.py": "", "app-1.0.data/scripts/app": text.encode("latin-1")})
    made = profile_of("app")
    link = tmp_path / "run"
    link.symlink_to(made)
    assert output(f"{link}/bin/app") == f"'Caf\\xe9' {link}"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_source_directory_of_any_letters_is_found_in_any_locale(profile_of, tmp_path, locale):
    """Python starts, and finds the project's modules, where the locale cannot spell their directory."""
    (tmp_path / "Größe").mkdir()
    (tmp_path / "Größe" / "mine.py").write_text("X = 7\n")
    made = profile_of(source=source_directories(str(tmp_path), ("Größe",)))
    assert output(f"{made}/bin/python", "-c", "import mine; print(mine.X)", LC_ALL=locale) == "7"


def test_the_projects_source_is_on_the_path(index, profile_of, tmp_path):
    """A directory in `source` is importable beside the packages, without PYTHONPATH; a missing one is named."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "mine.py").write_text("X = 7\n")
    index.add("app", "1.0")
    made = profile_of("app", source=source_directories(str(tmp_path), ("src",)))
    assert output(f"{made}/bin/python", "-c", "import mine, app; print(mine.X)") == "7"
    with pytest.raises(RealisationFailed, match="`nowhere`"):
        source_directories(str(tmp_path), ("nowhere",))


@pytest.mark.parametrize("name", [b"a\nb", b"a\xe2\x80\xa8b", b"a\xff", b"a "])
def test_a_source_that_no_line_can_say_is_refused(tmp_path, name):
    """A `.pth` file holds lines of UTF-8, and Python takes the spaces at their end off."""
    name = os.fsdecode(name)
    (tmp_path / name).mkdir()
    with pytest.raises(RealisationFailed, match="cannot be on Python's path"):
        source_directories(str(tmp_path), (name,))


@pytest.mark.parametrize(
    "command", [("bin/pip", "install", "x"), ("bin/pip3",), ("bin/python", "-m", "pip", "install", "x")]
)
def test_pip_refuses_and_says_what_to_do(index, profile_of, command):
    """Within an environment, pip ends with an error that names `esker install`."""
    index.add("app", "1.0")
    made = profile_of("app")
    done = subprocess.run([f"{made}/{command[0]}", *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "esker install pypi/NAME" in done.stderr


def test_a_locked_pip_reads_but_does_not_install(index, profile_of, store):
    """Where pip is a locked package it lists, but `install` and `uninstall` fail, as root too, and leave no trace."""
    wheels = glob.glob("/usr/share/python-wheels/pip-*.whl") + glob.glob(
        f"{os.path.dirname(ensurepip.__file__)}/_bundled/pip-*"
    )
    index.put("pip", os.path.basename(wheels[0]), pathlib.Path(wheels[0]).read_bytes())
    index.add("app", "1.0")
    made = profile_of("pip", "app")
    assert "app" in output(f"{made}/bin/python", "-m", "pip", "list", "--disable-pip-version-check")
    for command in (["install", "x"], ["uninstall", "-y", "app"]):
        done = subprocess.run([f"{made}/bin/pip", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "esker-install-pypi/NAME" in done.stderr
    assert verify(store) == []


def test_a_module_that_looks_for_pip_does_not_find_ours(index, profile_of):
    """`import pip` fails as if there were none."""
    index.add("app", "1.0")
    made = profile_of("app")
    code = "try:\n import pip\nexcept ModuleNotFoundError as error: print(error.name)"
    assert output(f"{made}/bin/python", "-c", code) == "pip"


def test_a_venv_made_inside_sees_nothing_of_it(index, profile_of, tmp_path):
    """`python -m venv` inside gives an environment of the base interpreter."""
    index.add("app", "1.0")
    made = profile_of("app")
    output(f"{made}/bin/python", "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    code = "import importlib.util as u; print(u.find_spec('app'))"
    assert output(str(tmp_path / "venv/bin/python"), "-c", code) == "None"


@pytest.mark.parametrize("command", ["python", "python3", f"python{sys.version_info[0]}.{sys.version_info[1]}"])
@pytest.mark.parametrize("option", ["--symlinks", "--copies", "--system-site-packages"])
def test_a_venv_made_through_the_project_s_link_outlives_the_profile(profile_of, store, tmp_path, command, option):
    """Its links and its `home` reach the base interpreter, so that it works when the environment has been renewed."""
    link = tmp_path / "project/.flox/run/x86_64-linux.test-dev"
    link.parent.mkdir(parents=True)
    link.symlink_to(profile_of())
    base = output(f"{link}/bin/{command}", "-c", "import sys; print(sys._base_executable)")
    assert os.path.isfile(base)
    assert not base.startswith((str(tmp_path), store.directory))
    venv = tmp_path / "venv"
    output(f"{link}/bin/{command}", "-m", "venv", "--without-pip", option, str(venv))
    link.unlink()
    prefix = "import sys; print(sys.prefix)"
    assert output(f"{venv}/bin/python", "-c", prefix) == str(venv)
    inner = tmp_path / "inner"
    output(f"{venv}/bin/python", "-m", "venv", "--without-pip", str(inner))
    assert output(f"{inner}/bin/python", "-c", prefix) == str(inner)


def test_a_profile_without_python_is_an_empty_bin(store):
    """An environment that declares no Python has a profile all the same."""
    made = profile(store, "test", None)
    assert sorted(os.listdir(made)) == ["bin", "lib"]


@pytest.mark.parametrize("name", ["tëst", 'x:"y"', "..", "n" * 250, "日本"])
def test_every_name_of_an_environment_gives_a_profile(store, name):
    """An environment may have names that no store path may have."""
    path = profile(store, name, None)
    assert store.is_valid(path)
    assert path.endswith("-profile")


def test_who_may_write_to_the_store_writes_no_byte_code(index, profile_of, store):
    """Root's pytest would change the store by rewriting plugins: in a profile Python caches nothing where it could."""
    index.add("app", "1.0")
    made = profile_of("app")
    shown = output(f"{made}/bin/python", "-c", "import sys; print(sys.dont_write_bytecode)")
    assert shown == str(os.access(f"{made}/lib", os.W_OK))
    assert os.geteuid() or shown == "True"


def test_compilers_end_with_us(tmp_path):
    """After a kill that nothing can prevent, no compiler writes on."""
    directories = [tmp_path / "first", tmp_path / "second"]
    for directory in directories:
        directory.mkdir()
        for number in range(2000):
            (directory / f"module{number}.py").write_text("X = 1\n" * 50)
    interpreter = Interpreters(os.environ).find(None)
    child = Child(lambda: compile_modules([*map(str, directories)], interpreter.executable, Settings(os.environ).tools))
    assert eventually(lambda: all((each / "__pycache__").exists() for each in directories))
    child.kill()
    child.wait()
    assert eventually(lambda: not programs_with(str(tmp_path)))
    assert all(len(os.listdir(each / "__pycache__")) < 2000 for each in directories)


def eventually(holds, seconds=30):
    """Wait until something holds, and return whether it came to that."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def programs_with(text):
    """Return the pids of the programs in whose command line `text` stands."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if text in pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace"):
                found.append(pid)
    return found


def test_settings_above_the_temporary_directory_or_the_store_have_no_say(index, python_of, tmp_path, monkeypatch):
    """What somebody put into a shared directory does not steer the uv that installs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    index.add("app", "1.0")
    (tmp_path / "uv.toml").write_text("nonsense = 1\n")
    [wheel] = python_of("app").wheels
    assert os.listdir(wheel.path) == ["lib"]


@pytest.mark.parametrize("files", [{}, {"xxhash-1.0.data/scripts/python": "#!/bin/sh\n"}])
def test_a_command_named_as_the_interpreter_is_refused(index, python_of, store, files):
    """The error names package and command, and says nothing of hashes, whatever the package is called."""
    index.add("xxhash", "1.0", {"xxhash.py": "", **files}, scripts={} if files else {"python": "xxhash:main"})
    with pytest.raises(RealisationFailed) as caught:
        python_of("xxhash")
    assert caught.value.lines() == [
        "the locked packages could not be installed: `xxhash` brings a command `python`, and that is the interpreter's name",
        "hint: ask for another version of the package, or use another package",
    ]
    assert store.paths() == []


def test_commands_named_as_ours_are_commands_as_any_other(index, profile_of):
    """What uv puts into bin goes before packages come; what they bring stays, whatever it is called."""
    names = ["activate", "activate-global", "deactivate", "esker", "tool.bat"]
    index.add("app", "1.0", {"app.py": "def main(): print('app')\n"}, scripts=dict.fromkeys(names, "app:main"))
    made = profile_of("app")
    found = set(os.listdir(f"{made}/bin"))
    assert {name for name in found if not name.startswith(("python", "pip"))} == set(names)
    assert output(f"{made}/bin/activate") == "app"


def test_what_is_the_profiles_own_is_never_written_through_a_link(index, profile_of, store):
    """A package's `pip` in bin and .pth files of our names give way, and the sealed environment stays as it was."""
    files = {"esker-store.pth": "", "esker-source.pth": "", "app.py": ""}
    scripts = {f"app-1.0.data/scripts/{name}": "#!/bin/sh\necho theirs\n" for name in ("pip", "pip3", "app")}
    index.add("app", "1.0", {**files, **scripts, "app-1.0.data/data/bin/sub/tool": "#!/bin/sh\necho tool\n"})
    made = profile_of("app", source=["/"])
    for command in (["pip"], ["pip3"], ["python", "-m", "pip"]):
        done = subprocess.run([f"{made}/bin/{command[0]}", *command[1:]], capture_output=True, text=True, check=False)
        assert "esker install pypi/NAME" in done.stderr
    assert output(f"{made}/bin/app") == "theirs"
    assert output(f"{made}/bin/sub/tool") == "tool"
    assert output(f"{made}/bin/python", "-c", "import sys; print('/' in sys.path)") == "True"
    assert verify(store) == []


def test_a_module_that_is_called_pip_is_left_as_it_is(index, profile_of, store):
    """Where a package brings a module `pip`, that is the environment's pip; nothing is written over it."""
    index.add("app", "1.0", {"pip.py": "print('theirs')\n"})
    made = profile_of("app")
    assert output(f"{made}/bin/python", "-m", "pip") == "theirs"
    assert verify(store) == []


def test_a_file_named_as_installation_records_is_data(index, python_of):
    """What ends in `.dist-info` and is no directory is looked at by nobody."""
    index.add("app", "1.0", {"app.py": "", "other-1.0.dist-info": "x"})
    packages = python_of("app")
    assert os.path.isfile(f"{packages.wheels[0].path}/{packages.interpreter.libraries}/other-1.0.dist-info")


@pytest.mark.parametrize(
    ("status", "words"), [(401, "401 Unauthorized"), (403, "403 Forbidden"), (407, "407 Proxy Authentication Required")]
)
def test_an_index_that_refuses_is_not_one_that_has_nothing(index, lock_of, environ, store, tmp_path, status, words):
    """Credentials that are missing or over are told, when locking and when installing, not a package that is not there."""
    index.add("app", "1.0")
    artifacts, interpreter = lock_of("app")
    environ["UV_CACHE_DIR"] = str(tmp_path / "fresh-cache")
    index.refusal = status
    for call in (
        lambda: installed_wheels(store, artifacts, interpreter, Settings(environ).tools, Silent()),
        lambda: lock_of("app"),
    ):
        with pytest.raises(HostError) as caught:
            call()
        assert caught.value.hint.startswith(f"a package index refused to answer ({words}): check its address and cred")


def test_what_the_index_no_longer_has_is_not_an_unreachable_index(index, lock_of, environ, store, tmp_path):
    """A locked file or package that was taken from the index is told from a network that does not work."""
    for name in ("file", "package"):
        index.add(name, "1.0")
        artifacts, interpreter = lock_of(name)
        environ["UV_CACHE_DIR"] = str(tmp_path / f"cache-{name}")
        index.remove(name, entirely=name == "package")
        with pytest.raises(RealisationFailed, match="the package index does not have what is locked: ") as caught:
            installed_wheels(store, artifacts, interpreter, Settings(environ).tools, Silent())
        assert caught.value.hint.startswith("it may have been locked from another index, ")


def test_a_lock_that_is_newer_than_the_cached_page_of_the_index(index, lock_of, environ, store, tmp_path):
    """The index is asked again for the releases and wheels that its kept pages lack, and for those pages alone."""
    index.max_age = 600
    for name in ("app", "other", "same"):
        index.add(name, "1.0")
    index.add("late", "1.0", tag="py3-none-win_amd64")
    lock_of("app", "other", "same")  # the cache has their pages now
    with suppress(ResolutionFailed):
        lock_of("late")
    index.add("app", "1.1")
    index.add("other", "2.0")
    index.add("late", "1.0")
    here = environ["UV_CACHE_DIR"]
    environ["UV_CACHE_DIR"] = str(tmp_path / "the cache of a colleague")
    artifacts, interpreter = lock_of("app==1.1", "other==2.0", "same", "late")
    environ["UV_CACHE_DIR"] = here
    index.requests.clear()
    wheels = installed_wheels(store, artifacts, interpreter, Settings(environ).tools, Silent())
    assert sorted(wheel.name for wheel in wheels) == ["app", "late", "other", "same"]
    assert index.requests["/simple/same/"] == 0


def test_a_declared_program_never_takes_the_place_of_ours(index, environ, store, tmp_path):
    """`programs` that would put a `pip` into bin is refused by name, not met as a file that is there already."""
    index.add("app", "1.0", {"app/tool": "#!/bin/sh\n"})
    table = PythonTable(dependencies=("app",), programs={"app": (ProgramRule(pattern="app/tool", name="pip"),)})
    declaration = Declaration(
        project=str(tmp_path), name="test", manifest=Manifest(schema="1.14.0"), esker=EskerTable(python=table)
    )
    settings = Settings(environ)
    interpreters = Interpreters(settings.tools)
    lock, _ = resolved_lock(declaration, settings, interpreters, progress=Silent())
    with pytest.raises(RealisationFailed, match="`app` would put `pip` into bin"):
        realise(declaration, lock, store, interpreters, settings, progress=Silent())
