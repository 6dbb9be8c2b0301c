"""A project with a pyproject.toml is part of its own environment: installed editable, and built again when it must be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from esker.host.uv import uv_version
from tests.support.build_backend import add_backend, write_package

pytestmark = pytest.mark.slow

MANIFEST = 'schema-version = "1.14.0"\n[plugins.esker.python]\nproject = "pyproject.toml"\n'
VERSION = ("activate", "--", "python", "-c", "import importlib.metadata as m; print(m.version('demo-app'))")


@pytest.fixture
def package(project, index, tmp_path):
    """Give a function that writes the package into the project; each build of it adds a line to `log`."""
    add_backend(index)
    directory = project(MANIFEST)

    def write(log=tmp_path / "log", tiny="", **parts):
        more = parts.pop("more", "")
        write_package(directory, more=f"{more}\n[tool.tiny]\nlog = '{log}'\n{tiny}", **parts)
        return directory

    write.log = tmp_path / "log"
    return write


def listed(directory):
    """Return the files of a project, without those of its environment, and without what Python caches as it imports."""
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if not {".flox", "__pycache__"} & {*path.parts} and path.is_file()
    )


def test_the_projects_own_command_runs_and_its_version_is_known(esker, package):
    """`[project.scripts]` are commands, importlib.metadata knows the project, and its modules are those of the source."""
    directory = package()
    assert esker("activate", "--", "demo").out == "hello\n"
    assert esker(*VERSION).out == "1.2\n"
    found = esker("activate", "--", "python", "-c", "import demo_app; print(demo_app.__file__)").out
    assert found == f"{directory}/src/demo_app/__init__.py\n"
    script = esker("activate", "--", "sh", "-c", "command -v demo").out.strip()
    assert script.startswith(f"{directory}/.flox/run/")
    direct = "import importlib.metadata as m; print(m.distribution('demo-app').read_text('direct_url.json'))"
    record = json.loads(esker("activate", "--", "python", "-c", direct).out)
    assert record == {"url": f"file://{directory}", "dir_info": {"editable": True}}


def test_changed_code_needs_nothing_and_changed_metadata_a_new_build(esker, package):
    """A module runs as it is; a new version or command is there at the next activation; a touched file builds nothing."""
    directory = package()
    assert esker("activate", "--", "demo").out == "hello\n"
    (directory / "src/demo_app/__init__.py").write_text("def main():\n    print('changed')\n")
    assert esker("activate", "--", "demo").out == "changed\n"
    os.utime(directory / "pyproject.toml")
    assert esker("activate", "--", "demo").out == "changed\n"
    assert package.log.read_text() == "1.2 {}\n"
    package(version="1.3", scripts='other = "demo_app:main"')
    assert esker("activate", "--", "other").out == "changed\n"
    assert esker(*VERSION).out == "1.3\n"
    assert esker("activate", "--", "sh", "-c", "command -v demo").status != 0
    assert package.log.read_text() == "1.2 {}\n1.3 {}\n"
    package()  # as at first: that build is in the store still
    assert esker(*VERSION).out == "1.2\n"
    assert package.log.read_text() == "1.2 {}\n1.3 {}\n"


def test_a_package_that_is_added_or_taken_out_builds_the_project_once(esker, package, index):
    """With the metadata that it has afterwards, so that a rollback goes to what was there before, and stays there."""
    index.add("lib", "1.0")
    package(project="dependencies = []")
    assert esker("activate", "--", "demo").out == "hello\n"
    assert esker("install", "pypi/lib").status == 0
    assert esker("activate", "--", "demo").out == "hello\n"
    assert len(package.log.read_text().splitlines()) == 2
    assert esker("uninstall", "pypi/lib").status == 0
    assert esker("activate", "--", "python", "-c", "import lib").status == 1
    assert len(package.log.read_text().splitlines()) <= 3
    assert esker("rollback").status == 0
    assert esker("activate", "--", "python", "-c", "import lib; print(lib.VERSION)").out == "1.0\n"
    assert esker("activate", "--", "python", "-c", "import lib; print(lib.VERSION)").out == "1.0\n"


@pytest.mark.parametrize("name", ["setup.py", "setup.cfg"])
def test_a_setup_file_that_appears_or_changes_is_metadata(esker, package, name):
    """The files of setuptools count as pyproject.toml does, also when they come later."""
    directory = package()
    for text in (None, "# one\n", "# two\n"):
        if text:
            (directory / name).write_text(text)
        assert esker("activate", "--", "demo").out == "hello\n"
    assert package.log.read_text() == 3 * "1.2 {}\n"


def test_cache_keys_say_what_else_is_metadata(esker, package):
    """Files, globs, directories and the commit of the repository count as `tool.uv.cache-keys` says, for new files too."""
    keys = (
        '[tool.uv]\ncache-keys = [{ file = "VERSION" }, { file = "native/**/*.c" }, { dir = "data" }, { git = true }]'
    )
    directory = package(more=keys)
    git = ["git", "-C", str(directory), "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "init", "-q"], check=True)
    builds = 0

    def change(action, *, counts=True):
        nonlocal builds
        action()
        assert esker("activate", "--", "demo").out == "hello\n"
        builds += counts
        assert package.log.read_text().count("\n") == builds

    change(lambda: (directory / "native/deep").mkdir(parents=True))
    change(lambda: (directory / "VERSION").write_text("1"))
    change(lambda: (directory / "native/deep/one.c").write_text("int a;"))
    change(lambda: (directory / "native/deep/one.h").write_text("int a;"), counts=False)
    change(lambda: (directory / "setup.py").write_text("# no key"), counts=False)
    change((directory / "data").mkdir)
    change(lambda: subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True))
    change(lambda: subprocess.run([*git, "pack-refs", "--all"], check=True), counts=False)
    change(lambda: subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "two"], check=True))


def test_of_what_a_backend_leaves_the_intermediate_files_go(esker, package):
    """`build` and its like are removed; the `.egg-info` and a compiled module, which the build needs, stay."""
    left = '"build/lib/a", "dist/b", "demo_app.egg-info/PKG-INFO", "src/demo_app/_fast.so"'
    directory = package(tiny=f"leaves = [{left}]")
    before = listed(directory)
    assert esker("activate", "--", "demo").out == "hello\n"
    assert sorted(set(listed(directory)) - set(before)) == ["demo_app.egg-info/PKG-INFO", "src/demo_app/_fast.so"]


def test_a_build_directory_of_the_users_own_keeps_what_it_had(esker, package):
    """Nothing that was there before the build is removed, in a directory named `build` neither."""
    directory = package(tiny='leaves = ["build/temp/a", "build/kept/new"]')
    (directory / "build/kept").mkdir(parents=True)
    (directory / "build/kept/mine").write_text("mine")
    assert esker("activate", "--", "demo").out == "hello\n"
    assert (directory / "build/kept/mine").read_text() == "mine"
    assert not (directory / "build/temp").exists()


def test_a_build_directory_that_the_build_leads_to_stays(esker, package):
    """A strict editable build puts links below `build` and leads to them: without them nothing could be imported."""
    directory = package(tiny='leaves = ["build/strict/strict_module.py", "build/temp/a"]')
    package(
        tiny=f"""leaves = ["build/strict/strict_module.py", "build/temp/a"]
files = {{ "strict.pth" = '{directory}/build/strict' }}"""
    )
    assert esker("activate", "--", "python", "-c", "import strict_module").status == 0
    assert not (directory / "build/temp").exists()


def test_without_editable_the_project_is_not_installed(esker, package):
    """`editable = false` installs what the project needs, and only `source` puts its code on the path."""
    directory = package()
    with open(directory / ".flox/env/manifest.toml", "a") as manifest:
        manifest.write('editable = false\nsource = ["src"]\n')
    done = esker("activate", "--", "python", "-c", "import demo_app; demo_app.main()")
    assert done.out == "hello\n"
    assert esker("activate", "--", "sh", "-c", "command -v demo").status != 0
    assert not package.log.exists()
    assert "build-system" not in (directory / ".flox/pylock.toml").read_text()


def test_without_a_build_system_a_command_that_has_no_effect_is_told(esker, package):
    """As for uv, such a project is no package. Each lock and each preparation says so once, with what to add."""
    package(build_system="", scripts="")
    assert esker("activate", "--", "true").err.count("has no effect") == 0
    package(build_system="")  # commands are no inputs of the lock, which stays current
    for command in (["lock"], ["activate", "--", "true"]):
        done = esker(*command)
        assert done.err.count("`scripts` of [project] in ") == 1
        assert 'add one, such as\n    [build-system]\n    requires = ["hatchling"]\n' in done.err
    again = esker("activate", "--", "sh", "-c", "command -v demo")
    assert again.status != 0
    assert "scripts" not in again.err
    package(build_system="", scripts="", project='description = "a"')
    assert "scripts" not in esker("lock", "--upgrade").err


def test_package_false_keeps_the_project_out(esker, package):
    """`tool.uv.package = false` says that a project is no package, and nothing is warned of."""
    package(more="[tool.uv]\npackage = false")
    done = esker("activate", "--", "sh", "-c", "command -v demo")
    assert done.status != 0
    assert "scripts" not in done.err
    assert not package.log.exists()


def test_settings_for_the_backend_reach_it(esker, package):
    """`tool.uv.config-settings` are given to the backend, and a change of them builds again."""
    package(more='[tool.uv.config-settings]\neditable_mode = "compat"')
    assert esker("activate", "--", "demo").out == "hello\n"
    assert package.log.read_text() == "1.2 {'editable_mode': 'compat'}\n"


def test_a_backend_that_fails_is_quoted(esker, package):
    """The error names the project, ends with the last lines that the backend wrote, and says what to do."""
    directory = package(tiny='fail = "no such metadata"')
    done = esker("activate", "--", "demo")
    assert done.status == 1
    assert "the project `demo-app` could not be built" in done.err
    assert "  line 49\n  no such metadata\n" in done.err
    assert "line 20\n" not in done.err
    assert f"mend it in {directory}" in done.err
    assert "editable = false" in done.err
    package()
    assert esker("activate", "--", "demo").out == "hello\n"


@pytest.mark.parametrize(
    ("build_system", "module"),
    [
        ('requires = []\nbuild-backend = "tiny"', "tiny"),
        ('requires = ["tiny"]\nbuild-backend = "own"\nbackend-path = ["."]', "numpy"),
    ],
)
def test_a_build_that_needs_more_than_it_says(esker, package, build_system, module):
    """A module that is missing in the build is named with the list that it belongs to."""
    directory = package(build_system=build_system)
    (directory / "own.py").write_text("import numpy\n")
    done = esker("activate", "--", "demo")
    assert done.status == 1
    assert f"add what brings `{module}` to `requires` of [build-system] in {directory}/pyproject.toml" in done.err


def test_a_build_requirement_that_no_index_has(esker, package):
    """What cannot be locked for the build says which list asked for it."""
    directory = package(build_system='requires = ["absent-backend"]\nbuild-backend = "tiny"')
    done = esker("activate", "--", "demo")
    assert done.status == 1
    assert "what `demo-app` needs to be built cannot be locked" in done.err
    assert "absent-backend" in done.err
    assert f"`requires` of [build-system] in {directory}/pyproject.toml" in done.err


def test_uvs_own_backend_is_not_fetched(esker, project, index):
    """What `uv init --package` writes needs nothing from an index: Esker's uv has that backend, of its own version."""
    directory = project(MANIFEST)
    backend = 'requires = ["uv_build>={}"]\nbuild-backend = "uv_build"'
    write_package(directory, build_system=backend.format(uv_version()))
    done = esker("activate", "--", "demo")
    assert done.out == "hello\n", done.err
    assert esker("activate", "--locked", "--", "demo").out == "hello\n"
    assert not [path for path in index.requests if "uv" in path]
    write_package(directory, build_system=backend.format("9999"))
    refused = esker("activate", "--", "demo")
    assert refused.status == 1
    assert "what `demo-app` needs to be built cannot be locked" in refused.err


def test_another_backend_than_the_locked_one_is_refused(esker, package, index, environ):
    """Build requirements are locked with hashes: a file that changed in the index is not used."""
    package()
    assert esker("lock").status == 0
    index.add("tiny", "1.0", {"tiny.py": "raise SystemExit('swapped')\n"})
    shutil.rmtree(environ["UV_CACHE_DIR"])
    done = esker("activate", "--", "demo")
    assert done.status == 1
    assert "an index gave a file that is not the locked one" in done.err
    assert not package.log.exists()


def test_a_backend_that_is_newer_than_the_cached_page_of_the_index(esker, package, index, environ):
    """A lock that a colleague made with a release of today is built from, where this machine's uv knows yesterday's."""
    index.max_age = 600
    package()
    assert esker("lock").status == 0  # the cache has the backend's page now
    add_backend(index, "2.0")
    assert esker("lock", "--upgrade", UV_CACHE_DIR=environ["UV_CACHE_DIR"] + "-of-a-colleague").status == 0
    done = esker("activate", "--", "demo")
    assert (done.status, done.out) == (0, "hello\n"), done.err


def test_a_lock_that_names_no_build_requirements_is_stale(esker, package):
    """Locks from before the project was part of its environment are made again; `--locked` says why."""
    directory = package()
    assert esker("lock").status == 0
    assert esker("lock", "--check").status == 0
    package(build_system='requires = ["tiny>=1"]\nbuild-backend = "tiny"')
    done = esker("activate", "--locked", "--", "demo")
    assert done.status == 1
    assert "build-system: `tiny>=1` is not locked" in done.err
    assert esker("activate", "--", "demo").out == "hello\n"
    lock = (directory / ".flox/pylock.toml").read_text()
    (directory / ".flox/pylock.toml").write_text(lock.partition("\n[tool.esker.build-requirements")[0])
    assert "what `demo-app` needs to be built is not locked" in esker("lock", "--check").err


def test_a_locked_line_can_smuggle_no_option(esker, package):
    """A line of the lock that is more than a version with hashes is an error, and uv never reads it."""
    directory = package()
    assert esker("lock").status == 0
    path = directory / ".flox/pylock.toml"
    path.write_text(path.read_text().replace('"tiny==1.0', '"--index-url=http://127.0.0.1:1/ tiny==1.0'))
    done = esker("activate", "--", "demo")
    assert done.status == 1
    assert "is not a version with hashes" in done.err


def test_a_command_that_a_package_brings_as_well(esker, package, index):
    """Two commands of one name are an error that names it, before any profile is made."""
    index.add("other", "1.0", scripts={"demo": "other:main"})
    package(project='dependencies = ["other"]')
    done = esker("activate", "--", "demo")
    assert done.status == 1
    assert "the project `demo-app` has a command `demo`, which another package brings as well" in done.err
    assert "[project.scripts]" in done.err


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("python", "is the interpreter's name"),
        ("python3", "is the interpreter's name"),
        ("pip", "would hide the `pip` that tells people to use `esker install` here"),
    ],
)
def test_a_command_with_a_name_of_the_environments_own(esker, package, name, why):
    """A project cannot stand in the place of the interpreter, nor of the `pip` that says how to install."""
    package(scripts=f'{name} = "demo_app:main"')
    done = esker("activate", "--", "true")
    assert done.status == 1
    assert f"the project `demo-app` has a command `{name}`, which " in done.err
    assert "rename it in [project.scripts]" in done.err


@pytest.mark.parametrize("name", ["-demo", "demo app", "", "démo"])
def test_a_project_whose_name_is_none(esker, package, name):
    """The name of a package has a form; the error gives the line."""
    directory = package(version="", project="version = '1'")
    text = (directory / "pyproject.toml").read_text().replace('name = "demo-app"', f'name = "{name}"')
    (directory / "pyproject.toml").write_text(text)
    done = esker("lock")
    assert done.status == 1
    assert f"pyproject.toml:5: `{name}` is not the name of a package" in done.err


def test_a_project_that_asks_an_index_for_itself(esker, package, index):
    """A requirement of the project's own name would install another package in its place."""
    index.add("demo-app", "9.0")
    package(project='dependencies = ["demo_app"]')
    done = esker("lock")
    assert done.status == 1
    assert "`demo-app` is the project itself" in done.err


def test_nothing_but_an_explicit_command_builds(esker, package):
    """Locking, listing and looking run no code of the project."""
    package()
    for command in (("lock",), ("list",), ("lock", "--check"), ("activate", "--json"), ("services", "status")):
        esker(*command)
    assert not package.log.exists()
    assert esker("activate", "--", "demo").out == "hello\n"


def test_a_namespace_that_project_and_package_share(esker, package, index):
    """Files that the build brings below a package's directory lie beside the package's files."""
    index.add("other", "1.0", {"shared/other.py": "NAME = 'other'\n", "single.py": "", "shared/deep/a.py": ""})
    files = '{ "shared/own.py" = "NAME = 1", "shared/deep/b.py" = "", "own_single.py" = "" }'
    package(project='dependencies = ["other"]', tiny=f"files = {files}")
    program = (
        "import shared.own, shared.other, shared.deep.a, shared.deep.b, single, own_single; print(shared.other.NAME)"
    )
    assert esker("activate", "--", "python", "-c", program).out == "other\n"


def test_a_file_that_project_and_package_share(esker, package, index):
    """One path for two files is an error that names it."""
    index.add("other", "1.0", {"shared/own.py": ""})
    package(project='dependencies = ["other"]', tiny='files = { "shared/own.py" = "NAME = 1" }')
    done = esker("activate", "--", "true")
    assert done.status == 1
    assert "the project `demo-app` and another package both bring the file `shared/own.py`" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a project of another user")
def test_the_project_of_another_user_is_not_built(esker, package):
    """A build runs code, so it needs trust as a hook does, for each file that it counts as metadata."""
    directory = package()
    assert esker("activate", "--", "demo").status == 0
    (directory / "setup.py").write_text("")
    os.chown(directory / "setup.py", 65534, 65534)
    done = esker("activate", "--", "demo")
    assert done.status == 1
    assert f"`{directory}/setup.py` belongs to" in done.err
    assert f"esker trust {directory}" in done.err
    assert package.log.read_text() == "1.2 {}\n"
    assert esker("activate", "--", "demo", ESKER_TRUST="1").out == "hello\n"


def test_a_group_that_includes_none_is_told_before_the_build(esker, package):
    """The backend would refuse the whole file for it, though the manifest does not choose that group."""
    directory = package(more='[dependency-groups]\ndevelop = []\ntest = [{include-group = "dveelop"}]')
    done = esker("lock")
    assert done.status == 1
    line = (directory / "pyproject.toml").read_text().split("\n").index("develop = []") + 2
    told = "dependency group `test` includes `dveelop`, but there is no dependency group `dveelop`"
    assert f"{directory}/pyproject.toml:{line}: {told}\nhint: did you mean `develop`?\n" in done.err
    assert not package.log.exists()
