"""A uv.lock beside the project's pyproject.toml is taken over if it covers what is declared, and only then."""

from __future__ import annotations

import os
import re
import sys

import pytest

from esker.declare.load import load
from esker.errors import ResolutionFailed, StaleLock
from esker.formats import pylock
from esker.host.uv import run_uv, uv_command
from esker.lock.lock_files import read_lock
from esker.settings import Settings
from tests.support.sources import SourceProject, commit_of, package, repository, serve_backend

pytestmark = pytest.mark.slow

MINOR = "{}.{}".format(*sys.version_info)
HERE = "The packages are resolved here"
WITH_VERSIONS = f"{HERE}, with its versions where they fit"


@pytest.fixture
def project(tmp_path, index, environ):
    """Give a project that needs `web`, of which the index gets version 2.0 after uv has locked 1.0."""
    index.add("web", "1.0", requires=["helper; sys_platform == 'linux'"])
    index.add("helper", "1.0")
    index.add("check", "1.0")
    made = SourceProject(tmp_path / "project", environ)
    made.declare(["web"], '[dependency-groups]\ndev = ["check"]\n')
    return made


def uv_lock(project, *arguments):
    """Lock a project with uv, as a person would, and return the text of the lock."""
    run_uv(["lock", "--python", sys.executable, *arguments], Settings(project.environ).tools, cwd=project.directory)
    return (project.directory / "uv.lock").read_text()


def manifest(project, extra="", systems='["x86_64-linux"]', top=""):
    """Write the manifest anew, with more lines for Python."""
    path = project.directory / ".flox/env/manifest.toml"
    options = f"[options]\nsystems = {systems}\n"
    table = f'[plugins.esker.python]\nproject = "pyproject.toml"\n{extra}'
    path.write_text(f'schema-version = "1.14.0"\n{top}{options}{table}')


def versions(project):
    """Return the locked versions by name."""
    lock = read_lock(load(str(project.directory))).python
    return {str(each.name): str(each.version) for each in lock.packages}


def test_it_is_taken_over_with_its_own_range_of_pythons_and_nothing_is_asked(project, index):
    """A newer version on the index does not matter, and the index is not asked at all."""
    before = uv_lock(project)
    index.add("web", "2.0")
    index.requests.clear()
    assert project.lock()
    assert versions(project) == {"web": "1.0", "helper": "1.0"}
    assert 'requires-python = ">=3.11"' in project.pylock
    assert not index.requests
    assert project.remarks == []
    assert not project.lock()
    assert project.run("import web, helper; print(web.VERSION)") == "1.0"
    assert (project.directory / "uv.lock").read_text() == before


def test_the_groups_and_extras_of_the_manifest_are_taken(project):
    project.declare(
        ["web"],
        '[project.optional-dependencies]\nfast = ["check"]\n[dependency-groups]\ndev = ["helper"]\ntest = ["check"]\n',
    )
    uv_lock(project)
    project.lock()
    assert set(versions(project)) == {"web", "helper"}
    manifest(project, 'extras = ["fast"]\n')
    project.lock()
    assert set(versions(project)) == {"web", "helper", "check"}
    manifest(project, 'groups = ["test"]\n')
    project.lock()
    assert set(versions(project)) == {"web", "helper", "check"}
    assert project.remarks == []


def test_the_lock_says_what_needs_what(project):
    uv_lock(project)
    project.lock()
    web = next(each for each in read_lock(load(str(project.directory))).python.packages if each.name == "web")
    assert [edge["name"] for edge in web.dependencies] == ["helper"]


def test_a_changed_new_or_removed_uv_lock_makes_the_lock_stale(project, index):
    project.lock()
    uv_lock(project)
    with pytest.raises(StaleLock) as stale:
        project.lock(locked=True)
    assert stale.value.reasons == ("pylock.toml: uv.lock is new",)
    project.lock()
    index.add("web", "2.0")
    uv_lock(project, "--upgrade")
    with pytest.raises(StaleLock) as stale:
        project.lock(locked=True)
    assert stale.value.reasons == ("pylock.toml: uv.lock has changed",)
    project.lock()
    assert versions(project)["web"] == "2.0"
    (project.directory / "uv.lock").unlink()
    with pytest.raises(StaleLock) as stale:
        project.lock(locked=True)
    assert stale.value.reasons == ("pylock.toml: uv.lock is gone",)


def test_another_index_does_not_matter(project, index):
    """As for a lock of ours: the addresses in it are those of the index that its author used."""
    text = uv_lock(project)
    (project.directory / "uv.lock").write_text(text.replace(index.url, "https://index.example/simple"))
    assert project.lock()
    assert project.remarks == []
    assert project.run("import web; print(web.VERSION)") == "1.0"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('["web"]', '["web", "check"]'),
        ('["web"]', '["web>=0.5"]'),
        (">=3.11", ">=3.11,<4"),
        ("[dependency-groups]", '[tool.uv]\nconstraint-dependencies = ["helper<2"]\n[dependency-groups]'),
        ("[dependency-groups]", '[tool.uv]\nresolution = "lowest"\n[dependency-groups]'),
    ],
    ids=["another", "bound", "python", "constraint", "resolution"],
)
def test_one_that_is_out_of_date_is_left_alone(project, old, new):
    """The packages are resolved here, and one line says why and what to do."""
    before = uv_lock(project)
    path = project.directory / "pyproject.toml"
    path.write_text(path.read_text().replace(old, new))
    assert project.lock()
    told = f"uv.lock is not taken over: uv finds it out of date; to bring it up to date: {uv_command()} lock. {HERE}"
    assert project.remarks == [told]
    assert f'requires-python = "=={MINOR}.*"' in project.pylock
    assert (project.directory / "uv.lock").read_text() == before
    assert not project.lock()


def test_settings_that_uv_records_count(project):
    """What was resolved with such a setting is up to date with it."""
    path = project.directory / "pyproject.toml"
    path.write_text(
        path.read_text() + '[tool.uv]\nprerelease = "allow"\nresolution = "lowest-direct"\nfork-strategy = "fewest"\n'
    )
    uv_lock(project)
    project.lock()
    assert project.remarks == []
    assert 'requires-python = ">=3.11"' in project.pylock


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("version = 1\n", "version = 2\n", "not a lock of uv: its format has the version 2, and only 1 is known"),
        ("version = 1\n", "version = \n", "not a lock of uv: Invalid value"),
        ('name = "helper"', 'name = "HELPER"', "`HELPER` is not the normalised name of a package"),
    ],
)
def test_one_that_cannot_be_read_is_left_alone(project, before, after, told):
    text = uv_lock(project)
    (project.directory / "uv.lock").write_text(text.replace(before, after))
    assert project.lock()
    assert len(project.remarks) == 1
    assert told in project.remarks[0]
    assert project.remarks[0].endswith(f". {HERE}")


@pytest.mark.parametrize(
    "source",
    ['{ url = "https://files.example/helper-1.0-py3-none-any.whl" }', '{ directory = "../elsewhere" }'],
)
def test_a_package_from_a_place_that_the_project_does_not_name_is_refused(project, source):
    """Its author could name any place: uv believes what its lock says of where a package comes from."""
    text = uv_lock(project)
    head, name, rest = text.partition('name = "helper"\nversion = "1.0"\n')
    rest = re.sub(r"source = \{[^}]*\}", f"source = {source}", rest, count=1)
    if "directory" in source:
        rest = re.sub(r"wheels = \[.*?\n\]\n", "", rest, count=1, flags=re.DOTALL)
    (project.directory / "uv.lock").write_text(head + name + rest)
    assert project.lock()
    told = "it takes `helper` from a place that [tool.uv.sources] does not name"
    assert project.remarks == [f"uv.lock is not taken over: {told}. {HERE}"]
    assert versions(project) == {"web": "1.0", "helper": "1.0"}


def test_sources_that_the_project_names_are_taken_over(project, tmp_path, index):
    """With the commit that uv has locked, although the branch has moved on."""
    serve_backend(index)
    near, far = package(tmp_path / "near", "near"), repository(tmp_path / "far", "far")
    sources = f'near = {{ path = "../near" }}\nfar = {{ git = "file://{far}", branch = "main" }}\n'
    project.declare(["web", "near", "far"], f"[tool.uv.sources]\n{sources}")
    uv_lock(project)
    locked = commit_of(far)
    project.lock()
    assert project.remarks == []
    assert f'commit-id = "{locked}"' in project.pylock
    assert 'directory = { path = "../../near" }' in project.pylock
    assert project.run("import near, far; print(near.VERSION, far.VERSION)") == "1.0 1.0"
    (near / "near.py").write_text('VERSION = "1.5"\n')
    assert project.run("import near, far; print(near.VERSION, far.VERSION)") == "1.5 1.0"


def test_a_system_that_its_environments_leave_out_is_not_covered(project, index):
    """Its versions are taken all the same, where a newer one is on the index by now."""
    path = project.directory / "pyproject.toml"
    path.write_text(path.read_text() + "[tool.uv]\nenvironments = [\"sys_platform == 'linux'\"]\n")
    uv_lock(project)
    index.add("web", "2.0")
    manifest(project, systems='["aarch64-darwin", "x86_64-linux"]')
    project.lock()
    left = "its `environments` leave out `aarch64-darwin`"
    assert f"uv.lock is not taken over: {left}. {WITH_VERSIONS}" in project.remarks
    assert versions(project)["web"] == "1.0"


def test_a_package_without_a_wheel_for_a_declared_system_is_not_covered(project, index):
    index.add("web", "0.9", tag="py3-none-manylinux_2_17_x86_64")
    index.add("web", "0.9", tag="py3-none-macosx_11_0_universal2")
    project.declare(["web==0.9"])
    uv_lock(project)
    manifest(project, systems='["aarch64-darwin", "x86_64-linux"]')
    project.lock()
    assert project.remarks == []
    manifest(project, systems='["aarch64-linux"]')
    with pytest.raises(ResolutionFailed, match="no wheel"):
        project.lock()
    told = f"`web` 0.9 has no wheel for Python {MINOR} on `aarch64-linux`"
    assert project.remarks == [f"uv.lock is not taken over: {told}. {WITH_VERSIONS}"]


def test_every_python_of_a_range_needs_its_wheel_if_the_manifest_says_so(project, index):
    index.add("web", "0.9", tag="cp311-cp311-manylinux_2_17_x86_64")
    index.add("web", "0.9", tag="cp312-abi3-manylinux_2_17_x86_64")
    project.declare(["web==0.9"], python=">=3.11,<3.14")
    uv_lock(project)
    manifest(project, 'version = { range = ">=3.11", lock = "all" }\n')
    project.lock()
    assert project.remarks == []
    manifest(project, 'version = { range = ">=3.11", lock = "all" }\n')
    project.declare(["web==0.9"], python=">=3.10,<3.14")
    uv_lock(project)
    manifest(project, 'version = { range = ">=3.10", lock = "all" }\n')
    with pytest.raises(ResolutionFailed):
        project.lock()
    assert f"`web` 0.9 has no wheel for Python 3.10 on `x86_64-linux`. {WITH_VERSIONS}" in project.remarks[-1]


def test_what_the_manifest_needs_besides_is_resolved_with_its_versions(project, index):
    """A server or tool in `dependencies` of the manifest is not in uv.lock; the project's packages stay as uv has them."""
    index.add("server", "1.0")
    uv_lock(project)
    index.add("web", "2.0")
    manifest(project, 'dependencies = ["server"]\n')
    project.lock()
    assert versions(project) == {"web": "1.0", "helper": "1.0", "server": "1.0"}
    told = "`dependencies` of the manifest are not in it"
    assert project.remarks == [f"uv.lock is not taken over: {told}. {WITH_VERSIONS}"]
    index.add("server", "2.0")
    index.add("other", "1.0")
    manifest(project, 'dependencies = ["server", "other"]\n')
    project.lock()
    assert versions(project) == {"web": "1.0", "helper": "1.0", "server": "1.0", "other": "1.0"}
    project.lock(upgrade=True)
    assert versions(project) == {"web": "1.0", "helper": "1.0", "server": "2.0", "other": "1.0"}


def test_upgrades_are_uv_s(project, index):
    """What is taken over is never newer than uv.lock; a line says how to upgrade it."""
    uv_lock(project)
    project.lock()
    index.add("web", "2.0")
    told = f"the versions are those of uv.lock; to upgrade them: {uv_command()} lock --upgrade"
    project.lock(upgrade=True)
    project.lock(upgrade=frozenset({"web"}))
    assert project.remarks == [told, told]
    assert versions(project)["web"] == "1.0"


def test_one_python_cannot_be_chosen(project):
    uv_lock(project)
    project.lock()
    with pytest.raises(ResolutionFailed, match=r"the lock is that of uv\.lock, which is for `>=3\.11`") as refused:
        project.lock(python=MINOR)
    assert refused.value.hint == f'to use that one: version = "{MINOR}" in [plugins.esker.python]'


def test_a_workspace_above_has_its_own_uv_lock(project, tmp_path):
    """It is the one that uv reads, and whoever can write a directory above must not decide what is locked."""
    uv_lock(project)
    (tmp_path / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["project"]\n')
    project.lock()
    told = f"`{tmp_path}/pyproject.toml` is the root of a workspace, so uv does not read it"
    assert project.remarks == [f"uv.lock is not taken over: {told}. {HERE}"]


def test_settings_in_a_directory_above_do_not_count(project, tmp_path):
    uv_lock(project)
    (tmp_path / "uv.toml").write_text('prerelease = "allow"\n')
    project.lock()
    assert project.remarks == []


def test_the_python_of_a_venv_in_the_project_is_not_started(project, tmp_path):
    """A project may bring one, and locking runs nothing of a project."""
    uv_lock(project)
    programs = project.directory / ".venv/bin"
    programs.mkdir(parents=True)
    (programs.parent / "pyvenv.cfg").write_text(f"home = {os.path.dirname(sys.executable)}\n")
    for name in ("python", "python3"):
        (programs / name).write_text(f'#!/bin/sh\ntouch {tmp_path}/ran\nexec {sys.executable} "$@"\n')
        (programs / name).chmod(0o755)
    assert project.lock()
    assert versions(project) == {"web": "1.0", "helper": "1.0"}
    assert project.remarks == []
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_none_is_an_error(project):
    (project.directory / "uv.lock").mkdir()
    with pytest.raises(Exception, match=r"cannot read `.*uv.lock`: it is a directory"):
        project.lock()


def test_the_hash_of_uv_lock_is_an_input_and_older_locks_keep_their_digest():
    with_it = pylock.Inputs(requirements=("app",), python="", systems=("x86_64-linux",), uv_lock="sha256:ab")
    without = pylock.Inputs(requirements=("app",), python="", systems=("x86_64-linux",))
    assert with_it.digest() != without.digest()
    assert without.digest() == "sha256:bf3a41070844f4f9574de11f287870e8898fec7cfaeb85d3681b35bc7f6a695e"
