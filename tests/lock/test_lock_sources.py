"""What a project takes from repositories, directories and archives is locked, built from source and installed."""

from __future__ import annotations

import hashlib
import os

import pytest

from esker.declare.load import load
from esker.errors import RealisationFailed, ResolutionFailed, StaleLock
from esker.formats import pylock
from esker.host.uv import uv_version
from esker.lock.listing import listing
from esker.lock.lock_files import read_lock
from tests.support.package_index import wheel
from tests.support.sources import SourceProject, commit, commit_of, git, package, repository, sdist, serve_backend

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path, index, environ):
    """Give a project; the index has a build backend."""
    serve_backend(index)
    return SourceProject(tmp_path / "project", environ)


def test_a_directory_is_built_and_installed(project, tmp_path):
    """The lock names it relative to itself; the environment has its module; nothing is left beside its code."""
    library = package(tmp_path / "lib", "lib")
    before = sorted(os.listdir(library))
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    assert 'directory = { path = "../../lib" }' in project.pylock
    assert sorted(os.listdir(library)) == before
    assert not project.lock()


@pytest.mark.parametrize("reference", ["", ', branch = "main"', ', tag = "v1"', ', rev = "COMMIT"'])
def test_a_repository_is_locked_to_its_commit(project, tmp_path, reference):
    """Whatever names the commit, the lock has its hash and that of its tree, and stays when the branch moves on."""
    library = repository(tmp_path / "lib", "lib")
    first = commit_of(library)
    git(library, "tag", "v1")
    reference = reference.replace("COMMIT", first)
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ git = "file://{library}"{reference} }}\n')
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    assert f'commit-id = "{first}"' in project.pylock
    assert f'tree = "{git(library, "rev-parse", "HEAD^{tree}")}"' in project.pylock
    (library / "lib.py").write_text('VERSION = "2.0"\n')
    commit(library)
    assert not project.lock()
    assert project.run("import lib; print(lib.VERSION)") == "1.0"


def test_a_branch_moves_on_with_an_upgrade(project, tmp_path):
    """`--upgrade` locks the commit that the branch has then."""
    library = repository(tmp_path / "lib", "lib")
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ git = "file://{library}", branch = "main" }}\n')
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    (library / "lib.py").write_text('VERSION = "2.0"\n')
    after = commit(library)
    assert project.lock(upgrade=True)
    assert after in project.pylock
    assert project.run("import lib; print(lib.VERSION)") == "2.0"


def test_a_package_in_a_subdirectory_of_a_repository(project, tmp_path):
    """`subdirectory` is locked with the commit, and that directory is built."""
    library = repository(tmp_path / "all", "outer")
    package(library / "inner", "lib", "3.0")
    commit(library)
    source = f'{{ git = "file://{library}", subdirectory = "inner" }}'
    project.declare(["lib"], f"[tool.uv.sources]\nlib = {source}\n")
    assert project.run("import lib; print(lib.VERSION)") == "3.0"
    assert 'subdirectory = "inner"' in project.pylock


def test_an_editable_directory_is_followed_without_a_new_lock(project, tmp_path):
    """Its code is imported from where it lies, and its build leaves what the project's own would leave there."""
    library = package(tmp_path / "lib", "lib")
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib", editable = true }\n')
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    (library / "lib.py").write_text('VERSION = "changed"\n')
    assert not project.lock()
    assert project.run("import lib; print(lib.VERSION)") == "changed"
    assert {*os.listdir(library)} - {"__pycache__"} == {"lib.py", "pyproject.toml", "tiny.egg-info"}


def test_changed_metadata_of_an_editable_directory_is_built_again(project, tmp_path):
    """A new version in its pyproject.toml is seen by `importlib.metadata`, and nothing else is built."""
    library = package(tmp_path / "lib", "lib")
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib", editable = true }\n')
    version = "import importlib.metadata as m; print(m.version('lib'))"
    assert project.run(version) == "1.0"
    path = library / "pyproject.toml"
    path.write_text(path.read_text().replace("1.0", "2.0"))
    assert project.run(version) == "2.0"


def test_an_editable_directory_and_a_package_with_the_same_module(project, tmp_path, index):
    """The error names both sides: neither is put over the other in silence."""
    index.add("other", "1.0", {"__editable_lib.pth": ""})
    package(tmp_path / "lib", "lib")
    project.declare(["lib", "other"], '[tool.uv.sources]\nlib = { path = "../lib", editable = true }\n')
    with pytest.raises(RealisationFailed, match="the project `lib` and another package both bring the file"):
        project.run("import lib")


def test_an_editable_directory_whose_backend_cannot_make_it_editable(project, tmp_path, index):
    index.add("plainbackend", "1.0", {"plainbackend.py": "def build_wheel(*_): raise SystemExit('no')\n"})
    text = '[project]\nname = "lib"\nversion = "1"\n[build-system]\nrequires = ["plainbackend"]\n'
    package(tmp_path / "lib", "lib", files={"pyproject.toml": text + 'build-backend = "plainbackend"\n'})
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib", editable = true }\n')
    with pytest.raises(RealisationFailed, match="`lib` could not be built") as refused:
        project.run("import lib")
    assert "ask for a later version of the backend" in refused.value.hint


@pytest.mark.parametrize("source", ["{ path = '../lib' }", "{ path = '../lib', editable = true }", "{ git = 'URL' }"])
def test_uv_itself_builds_what_uv_init_has_made(project, tmp_path, source, index):
    """Its backend is part of uv, which Esker brings along; nothing is locked or fetched for it."""
    library = repository(tmp_path / "lib", "lib")
    text = f'[project]\nname = "lib"\nversion = "1.0"\n[build-system]\nrequires = ["uv_build>={uv_version()}"]\n'
    (library / "pyproject.toml").write_text(text + 'build-backend = "uv_build"\n')
    (library / "src/lib").mkdir(parents=True)
    (library / "lib.py").rename(library / "src/lib/__init__.py")
    commit(library)
    project.declare(["lib"], f"[tool.uv.sources]\nlib = {source.replace('URL', f'file://{library}')}\n")
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    assert "/simple/uv-build/" not in index.requests
    assert sorted(os.listdir(library)) == [".git", "pyproject.toml", "src"]


@pytest.mark.parametrize("options", ["", ", editable = true"])
def test_another_uv_than_the_one_that_is_asked_for_is_told(project, tmp_path, options, monkeypatch):
    """The lock was made where uv had the backend; here is another uv, and the way out is named."""
    text = f'[project]\nname = "lib"\nversion = "1.0"\n[build-system]\nrequires = ["uv_build>={uv_version()}"]\n'
    library = package(tmp_path / "lib", "lib", files={"pyproject.toml": text + 'build-backend = "uv_build"\n'})
    assert library.exists()
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ path = "../lib"{options} }}\n')
    project.lock()
    monkeypatch.setattr("esker.lock.build_backend.uv_version", lambda: "0.1")
    with pytest.raises(RealisationFailed, match=r"`lib` is built by uv_build.*, and the uv here is 0\.1") as refused:
        project.run("import lib")
    assert refused.value.hint == "lock the backend too: esker upgrade lib"


def test_changed_metadata_of_a_directory_makes_the_lock_stale(project, tmp_path):
    """By default that of three files; `cache-keys` of the package names others; changed code alone does not."""
    library = package(tmp_path / "lib", "lib")
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    assert project.lock()
    (library / "lib.py").write_text("changed = 1\n")
    assert not project.lock(locked=True)
    text = (library / "pyproject.toml").read_text()
    (library / "pyproject.toml").write_text(text + '[tool.uv]\ncache-keys = [{ file = "*.txt" }, { git = true }]\n')
    with pytest.raises(StaleLock) as caught:
        project.lock(locked=True)
    assert caught.value.reasons == ("pylock.toml: the metadata of `lib` has changed",)
    assert project.lock()
    assert not project.lock()
    (library / "more.txt").write_text("1")
    assert project.lock()
    git(library, "init", "-q")
    commit(library)
    assert project.lock()
    assert not project.lock()


def test_changed_code_of_a_directory_is_built_when_the_environment_is_made_again(project, tmp_path):
    """The wheel's key is the content of what is built, so an old wheel never stands for new code."""
    library = package(tmp_path / "lib", "lib")
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    (library / "lib.py").write_text('VERSION = "changed"\n')
    assert project.run("import lib; print(lib.VERSION)") == "changed"


def test_what_git_ignores_is_not_built(project, tmp_path):
    """A copy has what a source distribution would have: what is tracked, and what is new and not ignored."""
    library = repository(tmp_path / "lib", "lib")
    (library / ".gitignore").write_text("secret.py\n")
    (library / "secret.py").write_text("")
    (library / "new.py").write_text("")
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    code = "import importlib.util as u; print([bool(u.find_spec(name)) for name in ('new', 'secret')])"
    assert project.run(code) == "[True, False]"


def test_directories_that_a_directory_takes_packages_from_count_too(project, tmp_path):
    """The sources of a path dependency are built as well, and their metadata is watched."""
    package(tmp_path / "low", "low")
    sources = '[tool.uv.sources]\nlow = { path = "../low" }\n'
    library = package(tmp_path / "lib", "lib")
    text = (library / "pyproject.toml").read_text().replace("[build", 'dependencies = ["low"]\n[build')
    (library / "pyproject.toml").write_text(text + sources)
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    assert project.run("import lib, low; print(low.VERSION)") == "1.0"
    assert 'path = "../../low"' in project.pylock
    with (tmp_path / "low" / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert project.lock()


@pytest.mark.parametrize("kind", ["wheel", "source"])
@pytest.mark.parametrize("place", ["path", "url"])
def test_an_archive_is_locked_with_its_hash(project, tmp_path, index, kind, place):
    """From the file system and from an address; a source distribution is built."""
    name = "lib-1.0-py3-none-any.whl" if kind == "wheel" else "lib-1.0.tar.gz"
    content = wheel("lib", "1.0", {"lib.py": "VERSION = '1.0'\n"}) if kind == "wheel" else sdist(tmp_path / "s", "lib")
    (tmp_path / name).write_bytes(content)
    index.put("archives", name, content)
    address = f"../{name}" if place == "path" else f"{index.url.removesuffix('simple')}files/archives/{name}"
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ {place} = "{address}" }}\n')
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    assert f'sha256 = "{hashlib.sha256(content).hexdigest()}"' in project.pylock
    other = wheel("lib", "1.0", {"lib.py": "VERSION = 'evil'\n"}) if kind == "wheel" else sdist(tmp_path / "t", "lib")
    (tmp_path / name).write_bytes(other)
    index.put("archives", name, other)
    project.environ = {**project.environ, "ESKER_STORE": str(tmp_path / "other"), "UV_NO_CACHE": "1"}
    with pytest.raises(RealisationFailed, match="not the locked") as caught:
        project.run("import lib")
    assert "do not use that file" in caught.value.hint


def test_an_archive_has_to_be_the_declared_one(project, index):
    """The hash in a requirement's address is compared with that of the file, before anything is locked."""
    content = wheel("lib", "1.0", {"lib.py": "VERSION = '1.0'\n"})
    index.put("archives", "lib-1.0-py3-none-any.whl", content)
    address = f"{index.url.removesuffix('simple')}files/archives/lib-1.0-py3-none-any.whl"
    project.declare([f"lib @ {address}#sha256={hashlib.sha256(content).hexdigest()}"])
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    project.declare([f"lib @ {address}#sha256={'0' * 64}"])
    with pytest.raises(ResolutionFailed, match="is not the declared file") as caught:
        project.lock()
    assert "do not use that file" in caught.value.hint


def test_requirements_with_an_address_are_sources_too(project, tmp_path):
    """PEP 508 says `@ git+…@REVISION` and `@ file:///…`; extras and markers stay."""
    library, other = repository(tmp_path / "lib", "lib"), package(tmp_path / "other", "other")
    project.declare([f"lib @ git+file://{library}@main ; python_version > '3'", f"other @ file://{other}"])
    assert project.run("import lib, other; print(lib.VERSION, other.VERSION)") == "1.0 1.0"
    assert f'commit-id = "{commit_of(library)}"' in project.pylock
    assert '"lib; python_version > \\"3\\""' in project.pylock


def test_of_several_sources_the_one_whose_marker_is_true_counts(project, tmp_path):
    """A list of sources has one for each environment, as uv reads it."""
    package(tmp_path / "linux", "lib", "1.0")
    package(tmp_path / "mac", "lib", "2.0")
    project.declare(
        ["lib"],
        "[tool.uv.sources]\nlib = [\n"
        """{ path = "../linux", marker = "sys_platform == 'linux'" },\n"""
        """{ path = "../mac", marker = "sys_platform == 'darwin'" },\n]\n""",
    )
    manifest = project.directory / ".flox" / "env" / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('["x86_64-linux"]', '["x86_64-linux", "aarch64-darwin"]'))
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    assert "../../linux" in project.pylock
    assert "../../mac" in project.pylock


def test_build_requirements_are_locked_with_hashes_and_stay(project, tmp_path, index):
    """What the backend asks for when it runs counts too; a newer backend is taken with an upgrade alone."""
    index.add("tinyhelper", "1.0")
    package(tmp_path / "lib", "lib", files={"needs-helper": ""})
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    project.lock()
    (record,) = pylock.source_records(pylock.parse(project.pylock)).values()
    assert [line.partition(" --hash=sha256:")[0] for line in record.build_requirements] == [
        "tinybackend==1.0",
        "tinyhelper==1.0",
    ]
    serve_backend(index, "2.0")
    with (tmp_path / "lib" / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    environ, project.environ = project.environ, {**project.environ, "UV_NO_CACHE": "1"}
    assert project.lock()
    assert "tinybackend==1.0" in project.pylock
    assert project.lock(upgrade=True)
    assert "tinybackend==2.0" in project.pylock
    index.put("tinybackend", "tinybackend-2.0-py3-none-any.whl", wheel("tinybackend", "2.0", {"tinybackend.py": ""}))
    with pytest.raises(RealisationFailed, match="build requirements could not be installed"):
        project.run("import lib")
    assert environ is not project.environ


@pytest.mark.parametrize("upgrade", [True, frozenset({"tiny"})])
def test_an_upgrade_is_no_downgrade_where_the_cached_page_of_the_index_is_old(project, index, upgrade):
    """A colleague has locked the release of today: an upgrade keeps it, where uv's cache knows yesterday's alone."""
    index.max_age = 600
    index.add("tiny", "1.0")
    project.declare(["tiny"])
    project.lock()  # the cache has the page now
    index.add("tiny", "1.1")
    here, cache = project.environ, project.environ["UV_CACHE_DIR"]
    project.environ = {**here, "UV_CACHE_DIR": f"{cache}-of-a-colleague"}
    project.lock(upgrade=True)
    assert 'version = "1.1"' in project.pylock
    project.environ = here
    project.lock(upgrade=upgrade)
    assert 'version = "1.1"' in project.pylock
    project.declare(["tiny", "absent"])
    with pytest.raises(ResolutionFailed, match="the package index has no package `absent`"):
        project.lock(upgrade=True)
    project.declare(["tiny==7"])
    with pytest.raises(ResolutionFailed, match=r"there is no version of tiny==7"):
        project.lock(upgrade=True)


def test_a_backend_that_is_newer_than_the_cached_page_of_the_index(project, tmp_path, index):
    """What a colleague has locked with a release of today is built, where uv's cache knows yesterday's alone.

    A backend that the index has no more is told as that, and the advice is not to lock again first.
    """
    index.max_age = 600
    package(tmp_path / "lib", "lib")
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    project.lock()  # the cache has the backend's page now
    serve_backend(index, "2.0")
    here, cache = project.environ, project.environ["UV_CACHE_DIR"]
    project.environ = {**here, "UV_CACHE_DIR": f"{cache}-of-a-colleague"}
    project.lock(upgrade=True)
    assert "tinybackend==2.0" in project.pylock
    project.environ = here
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    index.remove("tinybackend", entirely=True)
    project.environ = {**here, "UV_CACHE_DIR": f"{cache}-empty", "ESKER_STORE": f"{tmp_path}/another-store"}
    with pytest.raises(RealisationFailed, match="build requirements could not be installed") as caught:
        project.run("import lib")
    assert caught.value.hint.startswith("it may have been locked from another index, ")


def test_credentials_of_sources_never_reach_the_lock(project, index):
    """They are taken from the project's file when the locked archive is fetched."""
    index.credentials = "user:secret"
    content = wheel("lib", "1.0", {"lib.py": "VERSION = '1.0'\n"})
    index.put("archives", "lib-1.0-py3-none-any.whl", content)
    host = index.url.removesuffix("simple").removeprefix("http://")
    project.environ = {**project.environ, "UV_DEFAULT_INDEX": f"http://user:secret@{host}simple"}
    address = f"http://user:secret@{host}files/archives/lib-1.0-py3-none-any.whl"
    indexes = f'[[tool.uv.index]]\nname = "own"\nurl = "http://user:secret@{host}simple"\n'
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ url = "{address}" }}\n{indexes}')
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    project.declare([f"lib @ {address}"])
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    assert "secret" not in project.pylock
    assert "user" not in project.pylock


def test_a_directory_is_listed_with_its_path(project, tmp_path):
    """Its version is known to its build alone, and is no `None`."""
    package(tmp_path / "lib", "lib")
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    project.lock()
    lines = [each.line() for each in listing(read_lock(load(str(project.directory))), "x86_64-linux")]
    assert lines == ["lib: pypi/lib (../../lib)"]
