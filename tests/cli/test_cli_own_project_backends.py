"""The real build backends make editable builds, and leave nothing in the source that the build does not need."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from esker.settings import Settings
from esker.store.store import Store
from esker.store.verify import verify
from tests.support.build_backend import write_package

pytestmark = [pytest.mark.live("backends"), pytest.mark.slow]

MANIFEST = 'schema-version = "1.14.0"\n[plugins.esker.python]\nproject = "pyproject.toml"\n'
SETUPTOOLS = 'requires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"'
BACKENDS = {
    "setuptools": SETUPTOOLS,
    "setuptools-64": SETUPTOOLS.replace('"setuptools"]', '"setuptools<65"]'),
    "hatchling": 'requires = ["hatchling"]\nbuild-backend = "hatchling.build"',
    "flit": 'requires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"',
    "poetry": 'requires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"',
    "pdm": 'requires = ["pdm-backend"]\nbuild-backend = "pdm.backend"',
    "uv": 'requires = ["uv_build"]\nbuild-backend = "uv_build"',
}
EXTENSION = """\
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fast", 0, -1, 0};
PyMODINIT_FUNC PyInit__fast(void) { return PyModule_Create(&module); }
"""
SETUP = """\
from setuptools import Extension, setup
setup(ext_modules=[Extension("demo_app._fast", ["src/demo_app/fast.c"])])
"""


@pytest.fixture
def environ(environ):
    """Give variables under which uv knows the machine's own index and cache."""
    kept = {name: value for name, value in environ.items() if not name.startswith("UV_")}
    reached = {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_CERT_"))}
    return {**kept, **reached, "HOME": os.environ["HOME"]}


@pytest.fixture
def files():
    """Give a function that lists the files of a project, without those of its environment."""

    def listed(directory):
        paths = [path for path in directory.rglob("*") if ".flox" not in path.parts and ".git" not in path.parts]
        return {str(path.relative_to(directory)) for path in paths}

    return listed


@pytest.mark.parametrize("layout", ["src", "flat"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_editable_build_of_each_backend(esker, project, environ, files, backend, layout):
    """The command runs, changed code counts, and the source has at most an `.egg-info` more than before."""
    directory = project(MANIFEST)
    more = '[tool.uv.build-backend]\nmodule-root = ""' if layout == "flat" else ""
    write_package(directory, build_system=BACKENDS[backend], project='description = "An example"', more=more)
    source = directory / "src"
    if layout == "flat":
        (source / "demo_app").rename(directory / "demo_app")
        source.rmdir()
        source = directory
    before = files(directory)
    done = esker("activate", "--", "demo")
    assert done.out == "hello\n", done.err
    assert {name for name in files(directory) - before if ".egg-info" not in name} == set()
    (source / "demo_app/__init__.py").write_text("def main():\n    print('changed')\n")
    assert esker("activate", "--", "demo").out == "changed\n"
    version = "import importlib.metadata as m; print(m.version('demo-app'))"
    assert esker("activate", "--", "python", "-c", version).out == "1.2\n"
    assert verify(Store(Settings(environ).store_root)) == []


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
def test_a_compiled_extension_is_built_in_the_source(esker, project, files):
    """Its module stays there, because the editable build leads to it; the compiler's other files do not."""
    directory = project(MANIFEST)
    write_package(directory, build_system=SETUPTOOLS)
    (directory / "setup.py").write_text(SETUP)
    (directory / "src/demo_app/fast.c").write_text(EXTENSION)
    before = files(directory)
    done = esker("activate", "--", "python", "-c", "import demo_app._fast as f; print(f.__file__)")
    assert done.out.startswith(f"{directory}/src/demo_app/_fast."), done.err
    left = {name for name in files(directory) - before if ".egg-info" not in name}
    assert left == {os.path.relpath(done.out.strip(), directory)}


@pytest.mark.parametrize(
    ("build_system", "more"),
    [
        (
            'requires = ["setuptools", "setuptools-scm"]\nbuild-backend = "setuptools.build_meta"',
            "[tool.setuptools_scm]",
        ),
        (
            'requires = ["hatchling", "hatch-vcs"]\nbuild-backend = "hatchling.build"',
            '[tool.hatch.version]\nsource = "vcs"',
        ),
    ],
)
def test_a_version_that_comes_from_git(esker, project, build_system, more):
    """Without a repository the error says what to do; with one, the version follows the commit if a key says so."""
    directory = project(MANIFEST)
    keys = "[tool.uv]\ncache-keys = [{ git = { commit = true, tags = true } }]\n"
    write_package(directory, version="", build_system=build_system, project='dynamic = ["version"]', more=keys + more)
    done = esker("activate", "--", "demo")
    assert done.status == 1
    assert "its version comes from git" in done.err
    assert "SETUPTOOLS_SCM_PRETEND_VERSION" in done.err
    version = ("activate", "--", "python", "-c", "import importlib.metadata as m; print(m.version('demo-app'))")
    assert esker(*version, SETUPTOOLS_SCM_PRETEND_VERSION="7.0").out == "7.0\n"
    git = ["git", "-C", str(directory), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "src", "pyproject.toml"], ["commit", "-q", "-m", "one"], ["tag", "v2.5"]):
        subprocess.run([*git, *words], check=True)
    assert esker(*version).out == "2.5\n"
    subprocess.run([*git, "tag", "-d", "v2.5"], check=True, capture_output=True)
    subprocess.run([*git, "tag", "v2.6"], check=True)
    assert esker(*version).out == "2.6\n"


def test_a_backend_that_is_too_old(esker, project):
    """Backends before PEP 660 have no hook for this, and the error says to ask for a later one."""
    directory = project(MANIFEST)
    write_package(directory, build_system=SETUPTOOLS.replace('"setuptools"]', '"setuptools<63", "wheel"]'))
    done = esker("activate", "--", "demo")
    assert done.status == 1
    assert "later version of the backend" in done.err, done.err
