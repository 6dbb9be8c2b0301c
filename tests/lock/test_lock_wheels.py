"""Python requirements become pins with hashes for every declared system, or an error that names what stands in the way."""

from __future__ import annotations

import os
import sys
import tempfile

import msgspec
import pytest

from esker.declare.declaration import Declaration, EskerTable, PythonTable
from esker.errors import EskerError, HostError, InvalidFile, InvalidLock, NotFound, ResolutionFailed
from esker.formats import pylock
from esker.formats.manifest import Manifest
from esker.host.interpreters import Interpreters, _candidates
from esker.lock.wheels import python_inputs, resolve
from esker.progress import Silent
from esker.settings import Settings
from tests.support.interpreters import minor
from tests.support.package_index import PackageIndex, wheel

NOTHING_LOCKED = 'lock-version = "1.0"\ncreated-by = "x"\npackages = []\n'
SYSTEMS = ("aarch64-darwin", "aarch64-linux", "x86_64-linux")
pytestmark = pytest.mark.slow


def inputs(*requirements, systems=SYSTEMS, build=(), python=">=3.11"):
    return pylock.Inputs(requirements=tuple(sorted(requirements)), python=python, systems=systems, build=build)


@pytest.fixture
def interpreter(environ):
    return Interpreters(Settings(environ).tools).find(None)


def test_locks_every_package_of_the_graph_with_its_hash(index, environ, interpreter):
    """A requirement brings what it requires; each pin carries the SHA-256 of its wheel; nothing else is in the file."""
    index.add("app", "1.0", requires=["base>=1"])
    index.add("base", "1.0")
    index.add("base", "1.5")
    made_from = inputs("app")
    text = pylock.render(resolve(made_from, interpreter, Settings(environ).tools), made_from)
    lock = pylock.parse(text)
    assert [(package.name, str(package.version)) for package in lock.packages] == [("app", "1.0"), ("base", "1.5")]
    assert all(wheel.hashes["sha256"] for package in lock.packages for wheel in package.wheels)
    assert pylock.inputs(lock) == made_from


def test_the_same_inputs_give_the_same_bytes(index, environ, interpreter):
    """Two resolutions against one index render to equal text, and a rendered lock renders to itself."""
    index.add("app", "1.0", requires=["base"])
    index.add("base", "2.0")
    made_from = inputs("app")
    first = pylock.render(resolve(made_from, interpreter, Settings(environ).tools), made_from)
    assert pylock.render(resolve(made_from, interpreter, Settings(environ).tools), made_from) == first
    assert pylock.render(pylock.parse(first), made_from) == first


def test_a_missing_wheel_is_an_error_that_names_package_and_system(index, environ, interpreter):
    """A package with wheels for Linux alone is refused for macOS, by name."""
    index.add("linuxonly", "1.0", tag="py3-none-manylinux_2_17_x86_64")
    with pytest.raises(ResolutionFailed) as caught:
        resolve(inputs("linuxonly"), interpreter, Settings(environ).tools)
    assert "linuxonly" in caught.value.message
    assert "aarch64-darwin" in caught.value.message
    assert "options.systems" in caught.value.hint
    resolve(inputs("linuxonly", systems=("x86_64-linux",)), interpreter, Settings(environ).tools)


def compiled(distance=0, system="manylinux_2_17_x86_64"):
    """Return the tag of a wheel that is compiled for the running Python, or for one that is `distance` away."""
    tag = "cp" + minor(distance).replace(".", "")
    return f"{tag}-{tag}-{system}"


def test_a_lock_is_for_the_interpreter_s_minor_version_alone(index, environ, interpreter):
    """A package without wheels for later Pythons is locked under an open range, and the lock says for which Python."""
    index.add("app", "1.0", tag=compiled())
    made_from = inputs("app", systems=("x86_64-linux",), python=f">={minor(-1)}.4")
    lock = resolve(made_from, interpreter, Settings(environ).tools)
    assert str(lock.requires_python) == f"=={minor()}.*"
    assert f'requires-python = "=={minor()}.*"' in pylock.render(lock, made_from)


def test_a_lock_for_every_python_needs_wheels_for_every_python(index, environ, interpreter):
    """It says the range as it was declared; where a Python has no wheel, that Python is a cause and is named."""
    every, declared = {"every_python": True}, f">={minor()},<{minor(2)}"
    index.add("app", "1.0", tag=compiled())
    made_from = inputs("app", systems=("x86_64-linux",), python=declared)
    with pytest.raises(ResolutionFailed) as caught:
        resolve(made_from, interpreter, Settings(environ).tools, **every)
    assert caught.value.message.startswith(f"a package has no wheel for Python {minor(1)} on `x86_64-linux`: app")
    assert caught.value.hint.startswith("narrow the `range` of `version`, or leave out `lock")
    index.add("app", "1.0", tag=compiled(1))
    environ["UV_NO_CACHE"] = "1"
    index.add("linuxonly", "1.0", tag="py3-none-manylinux_2_17_x86_64")
    with pytest.raises(ResolutionFailed) as caught:  # which is no matter of Python's version
        resolve(inputs("linuxonly", python=declared), interpreter, Settings(environ).tools, **every)
    assert caught.value.message.startswith("a package has no wheel on `aarch64-darwin`: linuxonly")
    assert "options.systems" in caught.value.hint
    lock = resolve(made_from, interpreter, Settings(environ).tools, **every)
    assert set(str(lock.requires_python).split(",")) == set(declared.split(","))
    assert len(lock.packages[0].wheels) == 2


@pytest.mark.parametrize("distance", [-1, 1, -3])
def test_a_python_without_wheels_is_named_with_one_that_has_them(index, environ, interpreter, distance):
    """Python's version is the cause where another Python has every wheel, and that Python is the way out."""
    index.add("app", "1.0", requires=["base"])
    index.add("base", "1.0", tag=compiled(distance))
    with pytest.raises(ResolutionFailed) as caught:
        resolve(inputs("app", systems=("x86_64-linux",), python=""), interpreter, Settings(environ).tools)
    assert caught.value.message.startswith(f"a package has no wheel for Python {minor()}: base==1.0 has no")
    assert caught.value.hint == (
        f'there are versions for Python {minor(distance)}: write version = "=={minor(distance)}.*" into '
        f"[plugins.esker.python], or run esker lock --python {minor(distance)}"
    )
    alone = f"=={minor()}.*"
    with pytest.raises(ResolutionFailed) as caught:
        resolve(inputs("app", systems=("x86_64-linux",), python=alone), interpreter, Settings(environ).tools)
    assert caught.value.hint == (
        f"there are versions for Python {minor(distance)}, which `{alone}` excludes: widen that range"
    )


def test_a_package_that_requires_another_python_is_told_so(index, environ, interpreter):
    """Also where no Python near this one would do; a cause that is none of Python's does not name it."""
    index.add("app", "1.0", python=f">={minor(1)}")
    index.add("far", "1.0", python=f">={minor(12)}")
    with pytest.raises(ResolutionFailed) as caught:
        resolve(inputs("app"), interpreter, Settings(environ).tools)
    requirement = f"app==1.0 requires Python >={minor(1)}"
    assert caught.value.message.startswith(f"no versions satisfy the requirements for Python {minor()}: {requirement}")
    assert caught.value.hint.startswith(f"there are versions for Python {minor(1)}: ")
    with pytest.raises(ResolutionFailed, match=f"requirements for Python {minor()} on") as caught:
        resolve(inputs("far"), interpreter, Settings(environ).tools)
    assert caught.value.hint == "ask for older versions, or lock for another Python: esker lock --python X.Y"
    index.add("linuxonly", "1.0", tag="py3-none-manylinux_2_17_x86_64")
    with pytest.raises(ResolutionFailed) as caught:
        resolve(inputs("linuxonly"), interpreter, Settings(environ).tools)
    assert "Python" not in caught.value.message


@pytest.mark.parametrize(
    ("requirement", "told"),
    [
        ("app==99", "there is no version of app==99 and your project depends on app==99"),
        ("app>=99", "only app<=3.0 is available and your project depends on app>=99"),
    ],
)
def test_a_version_that_does_not_exist_is_no_matter_of_systems(index, environ, interpreter, requirement, told):
    """No system is blamed; what there is of the package is said, as far as it fits."""
    index.add("app", "1.0")
    index.add("app", "2.0")
    index.add("app", "3.0", tag="py3-none-win_amd64")
    with pytest.raises(ResolutionFailed) as caught:
        resolve(inputs(requirement), interpreter, Settings(environ).tools)
    assert caught.value.message == f"no versions satisfy the requirements: {told}"
    assert caught.value.hint == "ask for one that there is, such as app==2.0"


def test_an_extra_that_a_package_does_not_have_is_told(index, environ, interpreter):
    """A misspelt extra installs nothing; one that another package asks for is its author's business."""
    heard = []

    class Listener(Silent):
        def remark(self, text):
            heard.append(text)

    index.add("my-app", "1.0")
    index.add("other", "1.0", requires=["my-app[theirs]"])
    resolve(inputs("my_app[No_Such]", "other"), interpreter, Settings(environ).tools, progress=Listener())
    assert heard == ["`my-app` 1.0 has no extra `no-such`: nothing is installed for it; it has none"]
    heard.clear()
    index.put("fast", "fast-1.0-py3-none-any.whl", wheel("fast", "1.0", {}, extras=["speedups", "web"]))
    resolve(inputs("fast[speedup]"), interpreter, Settings(environ).tools, progress=Listener())
    assert heard == ["`fast` 1.0 has no extra `speedup`: nothing is installed for it; did you mean `speedups`?"]
    heard.clear()
    index.add("far", "1.0", tag="py3-none-macosx_11_0_arm64")
    elsewhere = msgspec.structs.replace(inputs("far[x]"), systems=("aarch64-darwin",))
    resolve(elsewhere, interpreter, Settings(environ).tools, progress=Listener())
    assert heard == ["`far` 1.0 has no extra `x`: nothing is installed for it"]


def test_a_source_distribution_runs_nothing_unless_it_is_named(index, environ, interpreter, tmp_path):
    """setup.py of a package without wheels is not run by locking; with `build` it is, and the source is what is locked."""
    witness = tmp_path / "ran"
    index.add_source(
        "fromsource",
        "1.0",
        f"open({str(witness)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='fromsource', version='1.0')\n",
    )
    with pytest.raises(ResolutionFailed, match="fromsource") as caught:
        resolve(inputs("fromsource"), interpreter, Settings(environ).tools)
    assert not witness.exists()
    assert "the manifest reference says how source distributions" in caught.value.hint


def test_a_package_that_no_index_has_is_named(environ, interpreter):
    """An unknown name is an error of its own."""
    with pytest.raises(ResolutionFailed, match="no package `nowhere`"):
        resolve(inputs("nowhere"), interpreter, Settings(environ).tools)


def test_a_project_above_the_temporary_directory_has_no_say(index, environ, interpreter, tmp_path, monkeypatch):
    """Whoever may write to the shared temporary directory cannot name the index that packages are locked from."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    index.add("app", "1.0")
    with PackageIndex() as other:
        other.add("app", "2.0")
        (tmp_path / "pyproject.toml").write_text(
            '[project]\nname = "theirs"\nversion = "0"\n[tool.uv.workspace]\nmembers = ["*"]\n'
            f'[[tool.uv.index]]\nname = "theirs"\nurl = "{other.url}"\n'
        )
        (tmp_path / "uv.toml").write_text(f'[[index]]\nname = "theirs"\nurl = "{other.url}"\n')
        lock = resolve(inputs("app"), interpreter, Settings(environ).tools)
        assert not other.requests
    assert [str(package.version) for package in lock.packages] == ["1.0"]
    assert not (tmp_path / "uv.lock").exists()


def test_what_a_dependency_lacks_is_named(index, environ, interpreter):
    """The package at fault and who asks for it are both in the message, not only what was declared."""
    index.add_source("fromsource", "1.0", "raise SystemExit")
    index.add("app", "1.0", requires=["fromsource"])
    index.add("other", "1.0", requires=["nowhere"])
    with pytest.raises(ResolutionFailed, match="a package has no wheel") as caught:
        resolve(inputs("app"), interpreter, Settings(environ).tools)
    assert "fromsource==1.0 has no usable wheels" in caught.value.message
    assert "app depend on fromsource" in caught.value.message
    assert "build =" not in caught.value.hint  # nobody is led from a name to running a stranger's code
    with pytest.raises(ResolutionFailed, match=r"no package `nowhere`: .*other depend on nowhere"):
        resolve(inputs("other"), interpreter, Settings(environ).tools)


def test_every_reason_of_a_conflict_is_told(index, environ, interpreter):
    """Who wants which version is said, in long chains of reasons too, and nothing of how far uv came."""
    for version in range(1, 5):
        index.add("base", f"{version}.0")
        index.add("one", f"{version}.0", requires=[f"base=={version}.0"])
        index.add("two", f"{version}.0", requires=[f"base=={version + 5}.0"])
    with pytest.raises(ResolutionFailed) as caught:
        resolve(inputs("one", "two", systems=("x86_64-linux",)), interpreter, Settings(environ).tools)
    assert caught.value.message.startswith("no versions satisfy the requirements on `x86_64-linux`: two")
    assert "there is no version of base==" in caught.value.message
    assert caught.value.message.endswith("; your project depends on two")
    for chatter in ("conclude", "ecause", "(1)", "Using CPython"):
        assert chatter not in caught.value.message
    with pytest.raises(ResolutionFailed) as caught:
        resolve(inputs("base", python=">=3.99"), interpreter, Settings(environ).tools)
    assert "Using CPython" not in caught.value.message


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no archive", "Failed to read from zip file"), (wheel("app", "1.0", {}, requires=["(("]), "found `(`")],
    ids=["archive", "metadata"],
)
def test_a_damaged_package_is_not_a_conflict(index, environ, interpreter, content, reason):
    """A file that is no wheel, or whose metadata cannot be read, is called so, with what is wrong in it."""
    index.put("app", "app-1.0-py3-none-any.whl", content)
    with pytest.raises(ResolutionFailed, match=r"an index gave a damaged package: app==1\.0") as caught:
        resolve(inputs("app"), interpreter, Settings(environ).tools)
    assert reason in caught.value.message
    assert caught.value.hint == "ask for another version of it"


def test_a_machine_that_has_no_room_is_not_a_resolution_failure(environ, interpreter, tmp_path, monkeypatch):
    """A cache that uv cannot make, a disk that is full, and no temporary directory are the machine's, with a way out."""
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="could not be locked: Failed to initialize cache") as caught:
        resolve(inputs("app"), interpreter, Settings(environ | {"UV_CACHE_DIR": str(tmp_path / "file/cache")}).tools)
    assert caught.value.hint == "set UV_CACHE_DIR to a directory that can be written"
    (tmp_path / "uv").write_text("#!/bin/sh\necho 'error: x: No space left on device (os error 28)' >&2; exit 2\n")
    (tmp_path / "uv").chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr("uv.find_uv_bin", lambda: str(tmp_path / "uv"))
        patch.setenv("PATH", "/nowhere")
        with pytest.raises(HostError, match="could not be locked: x: No space left on device") as caught:
            resolve(inputs("app"), interpreter, Settings(environ).tools)
    told = f"the disk is full: free some space; this empties uv's cache: {tmp_path}/uv cache clean"
    assert caught.value.hint == told
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    with pytest.raises(HostError, match=r"temporary files cannot be written into `.*/nowhere`") as caught:
        resolve(inputs("app"), interpreter, Settings(environ).tools)
    assert "TMPDIR" in caught.value.hint


def test_an_unreachable_index_is_not_a_resolution_failure(environ, interpreter):
    """No index answering is an error of the host, with the settings to look at."""
    environ["UV_DEFAULT_INDEX"] = "http://user:secret@127.0.0.1:9/simple"
    with pytest.raises(HostError, match="no package index answered") as caught:
        resolve(inputs("app"), interpreter, Settings(environ).tools)
    assert "secret" not in str(caught.value)


def test_what_is_locked_stays_when_something_is_added(index, environ, interpreter):
    """A newer release of a locked package does not come in because another requirement was added."""
    index.add("app", "1.0")
    before = resolve(inputs("app"), interpreter, Settings(environ).tools)
    index.add("app", "2.0")
    index.add("other", "1.0")
    environ["UV_NO_CACHE"] = "1"  # uv trusts its copy of the index page for ten minutes
    after = resolve(inputs("app", "other"), interpreter, Settings(environ).tools, previous=before)
    assert [str(package.version) for package in after.packages] == ["1.0", "1.0"]
    free = resolve(
        inputs("app", "other"), interpreter, Settings(environ).tools, previous=before, changed=frozenset({"app"})
    )
    assert [str(package.version) for package in free.packages] == ["2.0", "1.0"]


def test_a_yanked_version_is_kept_and_not_chosen(index, environ, interpreter):
    """As with uv: a lock keeps one that was yanked since, `==` asks for one, and nothing else takes it."""
    for version in ("1.0", "2.0"):
        index.add("app", version)
    index.add("other", "1.0")

    def versions(*requirements, previous=None):
        lock = resolve(inputs(*requirements), interpreter, Settings(environ).tools, previous=previous)
        return lock, {package.name: str(package.version) for package in lock.packages}

    before, _ = versions("app")
    index.yank("app", "2.0")
    environ["UV_NO_CACHE"] = "1"  # uv trusts its copy of the index page for ten minutes
    assert versions("app", "other", previous=before)[1] == {"app": "2.0", "other": "1.0"}
    assert versions("app")[1] == {"app": "1.0"}
    assert versions("app==2.0")[1] == {"app": "2.0"}
    with pytest.raises(ResolutionFailed, match=r"app==2\.0 was yanked"):
        versions("app>=2")


def test_an_old_pin_gives_way_to_a_new_requirement(index, environ, interpreter):
    """Where an old pin contradicts a new requirement, everything is resolved again instead of failing."""
    index.add("app", "1.0", requires=["base"])
    index.add("base", "1.0")
    before = resolve(inputs("app"), interpreter, Settings(environ).tools)
    index.add("base", "2.0")
    index.add("other", "1.0", requires=["base>=2"])
    environ["UV_NO_CACHE"] = "1"
    after = resolve(inputs("app", "other"), interpreter, Settings(environ).tools, previous=before)
    assert {package.name: str(package.version) for package in after.packages}["base"] == "2.0"


def test_credentials_never_reach_the_lock(index, environ, interpreter):
    """A user and a password in an index address are not in the rendered text, nor in its inputs."""
    index.add("app", "1.0")
    environ["UV_DEFAULT_INDEX"] = index.url.replace("http://", "http://user:hunter2@")
    environ["UV_INDEX"] = "http://other:hunter3@packages.example.org/simple"
    made_from = python_inputs(declaration(dependencies=("app",)), "x86_64-linux", Settings(environ).indexes)
    assert made_from.indexes == ("http://packages.example.org/simple",)
    del environ["UV_INDEX"]
    text = pylock.render(resolve(inputs("app"), interpreter, Settings(environ).tools), made_from)
    assert "hunter" not in text


def declaration(**python):
    return Declaration(
        project="/nonexistent",
        name="test",
        manifest=Manifest(schema="1.14.0"),
        esker=EskerTable(python=PythonTable(**python)),
    )


@pytest.mark.parametrize("requirement", ["app @ file:///tmp/app", "app @ git+https://git.example.org/app"])
def test_what_no_index_vouches_for_is_refused(requirement):
    """A requirement by address has no locked hash: refused, with the way to put own code on the path."""
    with pytest.raises(ResolutionFailed, match="`app`") as caught:
        python_inputs(declaration(dependencies=(requirement,)), "x86_64-linux", ())
    assert "source = " in caught.value.hint


def test_a_project_gives_its_dependencies_and_named_groups(tmp_path):
    """`project` takes the dependencies of a pyproject.toml and the groups that are named, groups of groups included."""
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\ndependencies = ["app>=1"]\n'
        '[dependency-groups]\ntest = ["check"]\ndev = ["lint", {include-group = "test"}]\n'
    )
    declared = Declaration(
        project=str(tmp_path),
        name="test",
        manifest=Manifest(schema="1.14.0"),
        esker=EskerTable(python=PythonTable(project="pyproject.toml", groups=("dev",))),
    )
    assert python_inputs(declared, "x86_64-linux", ()).requirements == ("app>=1", "check", "lint")


@pytest.mark.parametrize("odd", ["[tool]\nuv = []", "[tool.uv]\nsources = 'x'"])
def test_a_table_of_uv_that_is_none_is_refused(tmp_path, odd):
    """Nothing that could bear on a lock is left out in silence; what other tools write is their business."""
    path = tmp_path / "pyproject.toml"
    path.write_text("tool = 1\n")
    assert python_inputs(declaration(project=str(path)), "x86_64-linux", ()).requirements == ()
    path.write_text(f"{odd}\n")
    with pytest.raises(InvalidFile, match="is not a table"):
        python_inputs(declaration(project=str(path)), "x86_64-linux", ())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[dependency-groups]\ntest = []\n", "there is no dependency group `dev`\nhint: its dependency groups: `test`"),
        ("[dependency-groups]\ndve = []\n", "there is no dependency group `dev`\nhint: did you mean `dve`?"),
        ('[dependency-groups]\ndev = ["a=1"]\n', "dependency group `dev`: `a=1` is not a requirement: expected semi"),
        ('[project]\ndependencies = ["b=1"]\n[dependency-groups]\ndev = []\n', r"`b=1` in .*pyproject\.toml is not a"),
        ("[project]\ndynamic = 1\n", "`dynamic` of \\[project\\] has to be a list of texts"),
        ("[project]\ndependencies = 'a'\n", "`dependencies` of \\[project\\] has to be a list of texts"),
        ("[project]\ndependencies = [1]\n", "`dependencies` of \\[project\\] has to be a list of texts"),
        ("project = 1\n", "`project` and `dependency-groups` have to be tables"),
        ("dependency-groups = ['dev']\n", "`project` and `dependency-groups` have to be tables"),
        ("a = " + "[" * 5000, "not TOML"),
        ("a = " + "9" * 5000, "not TOML"),
    ],
)
def test_a_project_file_that_cannot_be_read_is_named_with_the_reason(tmp_path, text, told):
    """A group that is not there, and requirements that are none, are errors that name the file and the cause."""
    (tmp_path / "pyproject.toml").write_text(text)
    declared = declaration(project=str(tmp_path / "pyproject.toml"), groups=("dev",))
    with pytest.raises(EskerError, match=told) as caught:
        python_inputs(declared, "x86_64-linux", ())
    assert str(tmp_path) in str(caught.value)


def test_a_project_file_that_is_a_pipe_is_not_waited_for(tmp_path):
    """Nor is another encoding a traceback."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HostError, match="it is not a regular file"):
        python_inputs(declaration(project=str(tmp_path / "pipe")), "x86_64-linux", ())
    (tmp_path / "latin").write_bytes(b"# caf\xe9\n")
    with pytest.raises(InvalidFile, match="the file is not UTF-8"):
        python_inputs(declaration(project=str(tmp_path / "latin")), "x86_64-linux", ())


def test_a_project_file_that_is_not_there_is_named(tmp_path):
    """A wrong `project` is an error naming the path."""
    declared = declaration(project="nowhere.toml")
    with pytest.raises(NotFound, match=r"nowhere\.toml"):
        python_inputs(declared, "x86_64-linux", ())


def test_systems_default_to_three_and_our_own():
    """Without options.systems a lock is for Flox's three systems and the machine's."""
    assert python_inputs(declaration(), "x86_64-darwin", {}).systems == (
        "aarch64-darwin",
        "aarch64-linux",
        "x86_64-darwin",
        "x86_64-linux",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lock-version = ", "not TOML"),
        ('lock-version = "1.0"\n', "PEP 751"),
        ('lock-version = "1.0"\ncreated-by = "x"\npackages = []\n[tool.esker]\ninputs = "sha256:0"\n', "tool.esker"),
        (
            f"{NOTHING_LOCKED}[tool.esker]\ninputs = 'sha256:0'\nrequirements = []\npython = ''\nsystems = []\n",
            "digest",
        ),
    ],
)
def test_a_damaged_lock_is_refused(text, words):
    """What is not TOML, not PEP 751, or not what Esker wrote is an InvalidLock with the way to make it again."""
    with pytest.raises(InvalidLock, match=words) as caught:
        pylock.inputs(pylock.parse(text))
    assert caught.value.hint == "remove the file, then make it again: esker lock"


def test_an_interpreter_is_never_a_virtual_environment(interpreter):
    """The interpreter that is found is the real one behind the environment these tests run in."""
    assert interpreter.executable != sys.executable
    assert not interpreter.executable.startswith(sys.prefix + "/")


def test_no_suitable_interpreter_lists_those_found(environ):
    """When nothing satisfies the specifier, the error names each interpreter that was looked at."""
    with pytest.raises(NotFound, match=r"found: .*3\.\d+\.\d+ \(/") as caught:
        Interpreters(environ).find(">=9")
    assert "ESKER_PYTHON" in caught.value.hint


def test_a_version_behind_a_shim_is_found(environ, tmp_path, interpreter):
    """A shim that refuses to start, because its version is not the chosen one, is looked behind."""
    shims, version = tmp_path / "pyenv/shims", tmp_path / "pyenv/versions/9.9/bin"
    for directory in (shims, version):
        directory.mkdir(parents=True)
    name = "python{}.{}".format(*interpreter.release)
    (shims / name).write_text("#!/bin/sh\nexit 127\n")
    (shims / name).chmod(0o755)
    (version / name).symlink_to(interpreter.executable)
    found = list(_candidates(None, str(shims)))
    assert str(version / name) in found


def test_a_release_that_is_newer_than_the_cached_page_of_the_index(index, environ, interpreter):
    """Asked for by number it is found, also behind another; one that a lock has already stays, not an older one."""
    index.max_age = 600
    for name in ("app", "base", "firm"):
        index.add(name, "1.0")
    tools = Settings(environ).tools
    resolve(inputs("app", "base", "firm"), interpreter, tools)  # the cache has their pages now
    index.add("app", "1.1", requires=["base>=1.1"])
    index.add("base", "1.1")
    index.add("firm", "1.1")
    without_network = Settings(environ | {"UV_OFFLINE": "1"}).tools
    with pytest.raises(ResolutionFailed, match=r"there is no version of app==1\.1"):
        resolve(inputs("app==1.1"), interpreter, without_network)
    lock = resolve(inputs("app==1.1"), interpreter, tools)
    assert [(each.name, str(each.version)) for each in lock.packages] == [("app", "1.1"), ("base", "1.1")]
    colleagues = Settings(environ | {"UV_CACHE_DIR": environ["UV_CACHE_DIR"] + "-of-a-colleague"}).tools
    pulled = resolve(inputs("firm"), interpreter, colleagues)
    lock = resolve(inputs("app", "firm"), interpreter, tools, previous=pulled)
    assert {each.name: str(each.version) for each in lock.packages}["firm"] == "1.1"
