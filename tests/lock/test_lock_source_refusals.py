"""A source that cannot be locked or built is an error that names it and says what to mend."""

from __future__ import annotations

import os

import pytest

from esker.errors import HostError, InvalidFile, InvalidLock, NotTrusted, RealisationFailed, ResolutionFailed
from esker.formats import pylock
from tests.support.package_index import wheel
from tests.support.sources import SourceProject, commit, commit_of, git, package, repository, serve_backend

pytestmark = pytest.mark.slow
BAD_SETUP = "import sys\nprint('one')\nprint('the library is missing', file=sys.stderr)\nsys.exit(3)\n"


@pytest.fixture
def project(tmp_path, index, environ):
    """Give a project; the index has a build backend."""
    serve_backend(index)
    return SourceProject(tmp_path / "project", environ)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        (f'rev = "{"1234567890" * 4}"', f"commit `{'1234567890' * 4}`"),
        ('rev = "deadbeef"', "revision `deadbeef`"),
        ('branch = "nope"', "branch `nope`"),
        ('tag = "v9"', "tag `v9`"),
    ],
)
def test_a_commit_that_does_not_exist_is_named(project, tmp_path, reference, told):
    """So are a branch and a tag, with the repository."""
    library = repository(tmp_path / "lib", "lib")
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ git = "file://{library}", {reference} }}\n')
    with pytest.raises(ResolutionFailed) as caught:
        project.lock()
    where = f"`file://{library}`, which does not exist there"
    assert caught.value.message == f"`lib` is taken from {told} of {where}"
    assert "[tool.uv.sources]" in caught.value.hint


def test_a_repository_that_does_not_exist_is_named(project, tmp_path):
    """With what git says of it."""
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ git = "file://{tmp_path}/nothing" }}\n')
    with pytest.raises(
        ResolutionFailed, match=r"the repository of `file:.*/nothing`, which `lib` is taken from"
    ) as caught:
        project.lock()
    assert "does not appear to be a git repository" in caught.value.message


def test_a_commit_that_is_gone_when_it_is_built_is_named(project, tmp_path):
    """A lock is for a commit, and its repository may have lost it since."""
    library = repository(tmp_path / "lib", "lib")
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ git = "file://{library}" }}\n')
    project.lock()
    library.rename(tmp_path / "elsewhere")
    with pytest.raises(RealisationFailed, match="of `lib` could not be fetched from `file:") as caught:
        project.run("import lib")
    assert "esker upgrade lib" in caught.value.hint


def test_a_source_of_nothing_that_is_asked_for_is_told(project, tmp_path, index):
    """A misspelt name would have the index asked for the package, where a stranger's may be."""
    index.add("lib", "9.0")
    library = repository(tmp_path / "lib", "lib")
    project.declare(["lib"], f'[tool.uv.sources]\nlibs = {{ git = "file://{library}" }}\n')
    project.lock()
    told = "`libs` of [tool.uv.sources] is not among the dependencies: did you mean `lib`?"
    assert project.remarks == [told]


@pytest.mark.parametrize(
    "uv",
    [
        '[dependency-groups]\nx = ["Lib"]\n[tool.uv.sources]\nlib = { path = "../lib" }\n',
        '[project.optional-dependencies]\nx = ["lib>=1"]\n[tool.uv.sources]\nlib = { path = "../lib" }\n',
        '[tool.uv]\nconstraint-dependencies = ["lib"]\nsources.lib = { path = "../lib" }\n',
        '[build-system]\nrequires = ["lib"]\n[tool.uv]\npackage = false\nsources.lib = { path = "../lib" }\n',
    ],
    ids=["group", "extra", "constraint", "build"],
)
def test_a_source_that_is_asked_for_elsewhere_in_the_file_is_right(project, tmp_path, index, uv):
    index.add("app-lib", "1.0")
    package(tmp_path / "lib", "lib")
    project.declare(["app-lib"], uv)
    project.lock()
    assert project.remarks == []


def test_a_directory_whose_project_cannot_be_read_is_named(project, tmp_path):
    """With the line, as for a file of ours."""
    library = package(tmp_path / "lib", "lib")
    (library / "pyproject.toml").write_text('[project]\nname = "lib"\nversion = \n')
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    with pytest.raises(InvalidFile) as caught:
        project.lock()
    assert caught.value.place == f"{library}/pyproject.toml:3"


def test_a_repository_whose_project_cannot_be_read_is_named(project, tmp_path):
    library = repository(tmp_path / "lib", "lib")
    (library / "pyproject.toml").write_text('[project]\nname = "lib"\nversion = \n')
    commit(library)
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ git = "file://{library}" }}\n')
    with pytest.raises(
        ResolutionFailed, match=r"the pyproject\.toml of `lib` is not valid: TOML parse error at line 3"
    ):
        project.lock()


def test_a_repository_whose_build_requirements_no_index_has_is_named(project, tmp_path):
    """Here uv has to ask the backend for the name, and cannot have it."""
    library = repository(tmp_path / "lib", "lib")
    text = '[project]\nname = "lib"\ndynamic = ["version"]\n[build-system]\nrequires = ["tinybackend>7"]\n'
    (library / "pyproject.toml").write_text(text + 'build-backend = "tinybackend"\n')
    commit(library)
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ git = "file://{library}" }}\n')
    with pytest.raises(
        ResolutionFailed, match=r"what `lib` needs to be built cannot be had: only tinybackend"
    ) as caught:
        project.lock()
    assert "[build-system]" in caught.value.hint


@pytest.mark.parametrize("part", ["commit", "tree", "build requirement"])
def test_a_source_that_was_changed_in_the_lock_is_told_by_its_seal(project, tmp_path, index, part):
    library = repository(tmp_path / "lib", "lib")
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ git = "file://{library}" }}\n')
    project.lock()
    (record,) = pylock.source_records(pylock.parse(project.pylock)).values()
    assert record.build_requirements
    old = {
        "commit": commit_of(library),
        "tree": record.tree,
        "build requirement": record.build_requirements[0].rpartition(":")[2],
    }[part]
    lock = pylock.parse(project.pylock.replace(old, "0" * len(old)))
    assert list(pylock.alterations(lock, pylock.inputs(lock))) == ["`lib` is not as it was locked"]


def test_a_tree_that_is_not_the_locked_one_is_refused(project, tmp_path):
    """The tree's hash is locked too, and compared with what was fetched."""
    library = repository(tmp_path / "lib", "lib")
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ git = "file://{library}" }}\n')
    project.lock()
    path = project.directory / ".flox" / "pylock.toml"
    changed = path.read_text().replace(git(library, "rev-parse", "HEAD^{tree}"), "0" * 40)
    lock = pylock.parse(changed)
    path.write_text(pylock.render(lock, pylock.inputs(lock)))  # sealed anew, as somebody would who means harm
    with pytest.raises(RealisationFailed, match="has the tree") as caught:
        project.run("import lib")
    assert "do not use that repository" in caught.value.hint


def test_git_is_asked_for_where_it_is_missing(project, tmp_path):
    """A machine without git cannot lock a repository, and is told so."""
    library = repository(tmp_path / "lib", "lib")
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ git = "file://{library}" }}\n')
    bin_of_python = tmp_path / "bin"
    bin_of_python.mkdir()
    project.environ = {**project.environ, "PATH": str(bin_of_python)}
    with pytest.raises(HostError, match="git is not installed, and `lib` comes from a repository"):
        project.lock()


def test_a_directory_is_built_without_git(project, tmp_path):
    """Git is asked what it ignores; where it is missing, everything but caches is built."""
    package(tmp_path / "lib", "lib")
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    (tmp_path / "bin").mkdir()
    project.environ = {**project.environ, "PATH": str(tmp_path / "bin")}
    assert project.run("import lib; print(lib.VERSION)") == "1.0"


def test_a_path_that_does_not_exist_is_named(project):
    """As it was written, with the file in which to mend it."""
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../nothing" }\n')
    with pytest.raises(ResolutionFailed, match=r"`lib` is taken from `\.\./nothing`, which is not there") as caught:
        project.lock()
    assert "pyproject.toml" in caught.value.hint


def test_a_directory_that_is_no_project_is_named(project, tmp_path):
    """It has neither of the files that say how it is built."""
    (tmp_path / "lib").mkdir()
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    with pytest.raises(ResolutionFailed, match=r"neither pyproject\.toml nor setup\.py"):
        project.lock()


def test_a_source_of_another_package_is_named(project, tmp_path):
    """The name in the directory's own file is not the one that was asked for."""
    package(tmp_path / "lib", "other")
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    with pytest.raises(ResolutionFailed, match="the source of `lib` holds another package, `other`"):
        project.lock()


def test_an_archive_that_is_not_there_is_named(project, index):
    """With its address and the server's answer."""
    address = f"{index.url.removesuffix('simple')}files/archives/lib-1.0-py3-none-any.whl"
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ url = "{address}" }}\n')
    with pytest.raises(ResolutionFailed) as caught:
        project.lock()
    assert caught.value.message == f"`{address}` was refused (404 Not Found)"


def test_a_locked_archive_without_a_hash_is_refused(project, index):
    """What an address leads to may change, so a lock without its hash is not valid."""
    index.put("archives", "lib-1.0-py3-none-any.whl", wheel("lib", "1.0", {"lib.py": ""}))
    address = f"{index.url.removesuffix('simple')}files/archives/lib-1.0-py3-none-any.whl"
    project.declare(["lib"], f'[tool.uv.sources]\nlib = {{ url = "{address}" }}\n')
    project.lock()
    path = project.directory / ".flox" / "pylock.toml"
    text = path.read_text()
    path.write_text(text[: text.index(", hashes")] + text[text.index("}", text.index("hashes")) + 1 :])
    with pytest.raises(InvalidLock, match="hashes"):
        project.lock()


def test_the_last_lines_of_a_failed_build_are_shown(project, tmp_path):
    """While it is locked, for a package whose metadata has to be built, and while its wheel is built."""
    library = package(tmp_path / "lib", "lib", files={"in_tree.py": ""})
    text = (library / "pyproject.toml").read_text().partition("[build-system]")[0]
    backend = '[build-system]\nrequires = []\nbuild-backend = "in_tree"\nbackend-path = ["."]\n'
    dynamic = text.replace('version = "1.0"', 'dynamic = ["version"]')
    (library / "in_tree.py").write_text(
        f"def get_requires_for_build_wheel(settings=None):\n    import sys\n{indented()}"
    )
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    (library / "pyproject.toml").write_text(dynamic + backend)
    with pytest.raises(ResolutionFailed) as caught:
        project.lock()
    assert caught.value.message.startswith("the build backend of `lib` failed, `in_tree.")
    assert caught.value.message.endswith("\nthe library is missing")
    (library / "in_tree.py").write_text(
        f"def build_wheel(out, settings=None, metadata=None):\n    import sys\n{indented()}"
    )
    (library / "pyproject.toml").write_text(text + backend)
    project.lock()
    with pytest.raises(RealisationFailed) as caught:
        project.run("import lib")
    assert (
        caught.value.message
        == "the build backend of `lib`, `in_tree`, failed in `build_wheel`:\none\nthe library is missing"
    )
    assert "then run the command again" in caught.value.hint


def indented():
    return "".join(f"    {line}\n" for line in BAD_SETUP.splitlines()[1:])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a project of somebody else's")
@pytest.mark.parametrize("strange", ["project/.flox", "lib"])
def test_nothing_of_a_stranger_s_is_built(project, tmp_path, strange):
    """Locking asks a build backend, so it is refused for a stranger's project, and for a stranger's directory."""
    marker = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    package(tmp_path / "lib", "lib", files={"setup.py": marker})
    (tmp_path / "lib" / "pyproject.toml").unlink()
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    os.chown(tmp_path / strange, 4242, 4242)
    with pytest.raises(NotTrusted):
        project.lock()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("uv", "told", "line"),
    [
        ('[tool.uv.workspace]\nmembers = ["packages/*"]\n', "a workspace, `workspace` of [tool.uv]", 6),
        ("[tool.uv]\nconflicts = [[{ extra = 'a' }, { extra = 'b' }]]\n", "`conflicts` of [tool.uv]", 7),
        ("[tool.uv.sources]\nlib = { workspace = true }\n", "`lib` is taken from a workspace", 7),
        ("[tool.uv]\nno-build-isolation-package = ['lib']\n", "`no-build-isolation-package` of [tool.uv]", 7),
    ],
)
def test_workspaces_and_conflicts_are_refused_with_their_line(project, uv, told, line):
    """They are not supported yet, and are not left out in silence; there is something to do instead."""
    project.declare(["lib"], uv)
    with pytest.raises(InvalidFile) as caught:
        project.lock()
    (problem,) = caught.value.problems
    assert problem.message.startswith(told)
    assert "not supported yet" in problem.message
    assert problem.line == line
    assert problem.hint


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("1", "the source of `lib` is not a table"),
        ('{ tag = "v1" }', "has to have one of `git`, `path`, `url`, `index`"),
        ('{ git = "https://example.org/a", path = "a" }', "has to have one of"),
        ('{ path = "../lib", lfs = true }', "has an unknown key `lfs`"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused(project, source, told):
    """Nothing of a source is left out in silence."""
    project.declare(["lib"], f"[tool.uv.sources]\nlib = {source}\n")
    with pytest.raises(InvalidFile) as caught:
        project.lock()
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "a==1.0",
        "a>=1 --hash=sha256:" + "0" * 64,
        "--index-url=x --hash=sha256:" + "0" * 64,
        "a==1 -r b --hash=sha256:" + "0" * 64,
    ],
)
def test_a_line_of_build_requirements_holds_no_options(project, tmp_path, line):
    """Each has one version and its hashes: what stands there reaches a file that uv reads."""
    package(tmp_path / "lib", "lib")
    project.declare(["lib"], '[tool.uv.sources]\nlib = { path = "../lib" }\n')
    project.lock()
    lock = pylock.parse(project.pylock)
    (record,) = pylock.source_records(lock).values()
    text = project.pylock.replace(record.build_requirements[0], line)
    with pytest.raises(InvalidLock, match=r"tool\.esker\.build-requirements"):
        pylock.source_records(pylock.parse(text))
