"""`[tool.uv]` of a project decides how its packages are resolved, and is an input of its lock."""

from __future__ import annotations

import json

import pytest

from esker.errors import InvalidFile, ResolutionFailed, StaleLock
from esker.lock.uv_settings import fits
from esker.lock.uv_sources import from_table
from tests.support.package_index import PackageIndex
from tests.support.sources import SourceProject, package, serve_backend

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path, environ):
    """Give a project."""
    return SourceProject(tmp_path / "project", environ)


def locked(project):
    """Return name and version of each package that is locked."""
    lines = [line.partition(" = ") for line in project.pylock.partition("[tool.esker]")[0].splitlines()]
    values = [value.strip('"') for key, _, value in lines if key in {"name", "version"}]
    return dict(zip(values[::2], values[1::2], strict=True))


@pytest.mark.parametrize(
    ("uv", "version"),
    [
        ("", "2.0"),
        ('constraint-dependencies = ["base<2"]', "1.5"),
        ('override-dependencies = ["base==1.5"]', "1.5"),
        ('prerelease = "allow"', "3.0a1"),
        ('resolution = "lowest"', "1.0"),
    ],
)
def test_versions_are_chosen_as_the_project_says(project, index, uv, version):
    """Constraints, overrides, pre-releases and the kind of resolution reach uv; each of them makes an old lock stale."""
    index.add("app", "1.0", requires=["base>=1"])
    for each in ("1.0", "1.5", "2.0", "3.0a1"):
        index.add("base", each)
    project.declare(["app"])
    project.lock()
    project.declare(["app"], f"[tool.uv]\n{uv}\n")
    if uv:
        with pytest.raises(StaleLock, match="does not match") as caught:
            project.lock(locked=True)
        assert [reason.partition(" `")[0] for reason in caught.value.reasons] == ["pylock.toml: [tool.uv]:"]
    project.lock(upgrade=True)
    assert locked(project) == {"app": "1.0", "base": version}
    assert not project.lock()


class DatedIndex(PackageIndex):
    """An index that says when each file was uploaded: a version of 1.0 in 2020, later ones in 2024."""

    def answer(self, path):
        """Return the files of a package as PEP 700 has them."""
        found = super().answer(path)
        parts = path.strip("/").split("/")
        if found is None or len(parts) != 2 or parts[0] != "simple":
            return found
        files = [
            {
                "filename": name,
                "url": f"/files/{parts[1]}/{name}",
                "hashes": {},
                "upload-time": f"{2020 if '-1.0-' in name else 2024}-01-01T00:00:00Z",
            }
            for name in self.files(parts[1])
        ]
        body = {"meta": {"api-version": "1.1"}, "name": parts[1], "versions": [], "files": files}
        return "application/vnd.pypi.simple.v1+json", json.dumps(body).encode()


def test_what_was_uploaded_later_is_left_out(project):
    """`exclude-newer` is a date, written as a text or as TOML's own."""
    with DatedIndex() as index:
        project.environ = {**project.environ, "UV_DEFAULT_INDEX": index.url}
        index.add("app", "1.0")
        index.add("app", "2.0")
        for date in ('"2021-01-01"', '"2021-01-01T00:00:00Z"'):
            project.declare(["app"], f"[tool.uv]\nexclude-newer = {date}\n")
            project.lock(upgrade=True)
            assert locked(project) == {"app": "1.0"}
        project.declare(["app"])
        project.lock(upgrade=True)
        assert locked(project) == {"app": "2.0"}


def test_packages_come_from_the_indexes_that_the_project_names(project, index):
    """An explicit index is asked for what names it as its source alone; both are found when they are installed."""
    with PackageIndex() as own, PackageIndex() as explicit:
        index.add("common", "1.0")
        own.add("mine", "1.0")
        explicit.add("special", "1.0")
        explicit.add("common", "9.0")
        project.declare(
            ["common", "mine", "special"],
            '[tool.uv.sources]\nspecial = { index = "explicit" }\n'
            f'[[tool.uv.index]]\nname = "own"\nurl = "{own.url}"\n'
            f'[[tool.uv.index]]\nname = "explicit"\nurl = "{explicit.url}"\nexplicit = true\n',
        )
        code = "import common, mine, special; print(common.VERSION, mine.VERSION, special.VERSION)"
        assert project.run(code) == "1.0 1.0 1.0"
        assert f'index = "{explicit.url}"' in project.pylock


def test_a_default_index_of_the_project_takes_the_place_of_the_usual_one(project, index):
    """Where the machine names none itself."""
    del project.environ["UV_DEFAULT_INDEX"]
    index.add("app", "1.0")
    project.declare(["app"], f'[[tool.uv.index]]\nname = "own"\nurl = "{index.url}"\ndefault = true\n')
    assert project.run("import app; print(app.VERSION)") == "1.0"


def test_an_index_may_be_a_directory_of_the_project(project, index, tmp_path):
    """Its path is relative to the pyproject.toml, and so is that of `find-links`."""
    index.add("app", "1.0")
    for directory in ("flat", "links"):
        (tmp_path / directory).mkdir()
        for name, content in index.files("app").items():
            (tmp_path / directory / name).write_bytes(content)
    index.remove("app", entirely=True)
    flat = '[[tool.uv.index]]\nname = "flat"\nurl = "../flat"\nformat = "flat"\n'
    for uv in (flat, '[tool.uv]\nfind-links = ["../links"]\n'):
        project.declare(["app"], uv)
        project.environ["UV_NO_CACHE"] = "1"
        assert project.run("import app; print(app.VERSION)") == "1.0"


@pytest.mark.parametrize("key", ["environments", "required-environments"])
def test_a_marker_that_cannot_be_read_is_refused_with_its_line(project, key):
    """It would decide for which machines the lock is."""
    project.declare([], f'[tool.uv]\n{key} = ["sys_platform = linux"]\n')
    with pytest.raises(InvalidFile) as caught:
        project.lock()
    assert [problem.line for problem in caught.value.problems] == [7]


def systems(project, *names):
    """Declare the systems of a project; without names it declares none."""
    manifest = project.directory / ".flox" / "env" / "manifest.toml"
    head, _, rest = manifest.read_text().partition("[plugins")
    options = f"[options]\nsystems = {json.dumps(names)}\n" if names else ""
    manifest.write_text(head.partition("[options]")[0] + options + "[plugins" + rest)


def test_environments_narrow_the_declared_systems(project, index):
    """What is for other environments alone is not locked, as a package for another implementation of Python."""
    index.add("app", "1.0")
    index.add("extra", "1.0")
    wanted = ["app", "extra ; platform_python_implementation == 'PyPy'"]
    project.declare(wanted, """[tool.uv]\nenvironments = ["platform_python_implementation == 'CPython'"]\n""")
    assert project.lock()
    assert locked(project) == {"app": "1.0"}
    project.declare(wanted)
    assert project.lock()
    assert locked(project) == {"app": "1.0", "extra": "1.0"}


def test_declared_systems_win_over_environments(project, index):
    """A system that `environments` excludes is locked all the same, and that is told; undeclared systems give way."""
    index.add("linuxonly", "1.0", tag="py3-none-manylinux_2_17_x86_64")
    linux = """[tool.uv]\nenvironments = ["sys_platform == 'linux' and platform_machine == 'x86_64'"]\n"""
    project.declare(["linuxonly"], linux)
    systems(project)
    assert project.lock()
    assert 'systems = ["x86_64-linux"]' in project.pylock
    systems(project, "x86_64-linux", "aarch64-darwin")
    with pytest.raises(ResolutionFailed, match="on `aarch64-darwin`"):
        project.lock()
    index.add("app", "1.0")
    project.declare(["app"], linux)
    project.lock()
    assert project.remarks[-1:] == [
        "`aarch64-darwin` is in `options.systems` and in none of the `environments` of [tool.uv]: it is locked all the same"
    ]


def test_a_marker_is_true_on_a_system_where_some_python_makes_it_true():
    """What it says of Python alone excludes no system."""
    assert fits("python_version >= '3.12'", "aarch64-darwin")
    assert fits("sys_platform == 'darwin' and platform_machine == 'arm64'", "aarch64-darwin")
    assert fits("platform_system == 'Linux'", "x86_64-linux")
    assert not fits("sys_platform == 'win32'", "x86_64-linux")


def test_constraints_of_builds_and_further_requirements_reach_the_build(project, index, tmp_path):
    """`build-constraint-dependencies` and `extra-build-dependencies` decide what a package is built with."""
    serve_backend(index, "1.0")
    serve_backend(index, "2.0")
    index.add("tinyhelper", "1.0")
    package(tmp_path / "lib", "lib")
    project.declare(
        ["lib"],
        '[tool.uv]\nbuild-constraint-dependencies = ["tinybackend<2"]\n'
        'extra-build-dependencies = { lib = ["tinyhelper"] }\n[tool.uv.sources]\nlib = { path = "../lib" }\n',
    )
    assert project.run("import lib; print(lib.VERSION)") == "1.0"
    assert '"tinybackend==1.0 --hash' in project.pylock
    assert '"tinyhelper==1.0 --hash' in project.pylock


@pytest.mark.parametrize("key", ["group", "extra"])
def test_a_source_of_a_group_or_an_extra_counts_where_that_is_chosen(key):
    chosen = {"group": (("Web_API",), ()), "extra": ((), ("Web_API",))}[key]
    entry = {"path": "../lib", key: "web-api"}
    assert [source.address for source in from_table("lib", entry, "/work/app", *chosen)] == ["/work/lib"]
    assert not list(from_table("lib", entry, "/work/app", (), ()))
