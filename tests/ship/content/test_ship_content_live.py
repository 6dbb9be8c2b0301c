"""An image with nothing in it but conda's programs, its C library and wheels: what is in it runs, and /proc alone helps."""

from __future__ import annotations

import subprocess

import pytest

from tests.ship.content.conftest import image_of
from tests.support.conda_package import SUBDIR, package
from tests.support.image_root import placed, run_in

pytestmark = [pytest.mark.live("images"), pytest.mark.slow]

MANIFEST = """
[vars]
GREETING = "hello"
PLACE = "$FLOX_ENV_CACHE/place"
[options]
systems = ["{system}"]
[hook]
on-activate = "export HOOKED=yes"
[plugins.esker.conda]
channels = ["{channel}"]
dependencies = ["jq", "git", "python 3.11.*", "bash", "tool", "sysroot_{subdir}"]
[plugins.esker.python]
project = "pyproject.toml"
dependencies = ["saying"]
source = ["scripts"]
[plugins.esker.image]
files = {{ "/app" = ["scripts"] }}
"""
PYPROJECT = """
[project]
name = "app"
version = "1.0"
requires-python = ">=3.11"
scripts = { app = "app:main" }
[build-system]
requires = ["uv_build"]
build-backend = "uv_build"
"""
SAYING = """
def main():
    import sys
    print("saying", __file__, __cached__, sys.prefix)
"""
TOOL = 'def main():\n    print("tool", __file__, __cached__)\n'


@pytest.fixture(scope="module")
def channel():
    """Give a channel with Debian's programs, a C library, bash, and a pure Python package."""
    from tests.support.conda_channel import CondaChannel
    from tests.support.conda_debian import debian_packages
    from tests.support.conda_sysroot import sysroot_packages

    tool = package(
        "tool",
        files={"site-packages/tool.py": TOOL},
        noarch="python",
        depends=["python"],
        entry_points=["tool = tool:main"],
    )
    with CondaChannel([*debian_packages(), *sysroot_packages(), tool]) as served:
        yield served


def test_an_image_of_nothing_else_runs(channel, environ, project, store, index, tmp_path):
    """Programs of conda, a wheel's command, the project's own, and the hook all run with nothing of this machine."""
    index.add("saying", "1.0", {"saying.py": SAYING}, scripts={"saying": "saying:main"})
    for name, content in {
        "pyproject.toml": PYPROJECT,
        "src/app/__init__.py": 'def main():\n    import helper\n    print("app", helper.A)\n',
        "scripts/helper.py": "A = 1\n",
        "scripts/untracked.py": "",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(content)
    tracked = ["pyproject.toml", "src", "scripts/helper.py"]
    subprocess.run(["git", "add", *tracked], cwd=project, check=True)
    system = {"linux-64": "x86_64-linux", "linux-aarch64": "aarch64-linux"}[SUBDIR]
    image = image_of(project, MANIFEST.format(system=system, channel=channel.url, subdir=SUBDIR), environ, store)
    root = tmp_path / "root"
    owners = placed(image.units, root)
    assert not [path for path in owners if "untracked" in path]
    assert image.left_out == ("scripts/untracked.py",)
    variables = {each.name: each.value for each in image.variables.fixed}

    def said(*argv):
        done = run_in(root, [*image.entry.entrypoint, *argv], variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    site = "lib/python3.11/site-packages"
    assert said("jq", "-n", "-c", "[1]") == "[1]"
    assert said("git", "--version").startswith("git version 2")
    assert said("saying").split() == [
        "saying",
        f"/opt/esker/python/{site}/saying.py",
        f"/opt/esker/python/{site}/__pycache__/saying.cpython-311.pyc",
        "/opt/esker/python",
    ]
    assert said("app") == "app 1"
    debian = "dist-packages"  # by which its Python finds site-packages, through a link
    assert said("/opt/esker/conda/bin/tool").replace(debian, "site-packages").split()[1:] == [
        f"/opt/esker/conda/{site}/tool.py",
        f"/opt/esker/conda/{site}/__pycache__/tool.cpython-311.pyc",
    ]
    assert said("bash", "-c", "echo $GREETING $PLACE $HOOKED") == "hello /var/cache/esker/place yes"
    assert said("python", "-c", "import ssl, sqlite3, saying; print(saying.__name__)") == "saying"
    without = subprocess.run(
        ["unshare", "-r", "chroot", str(root), "/opt/esker/conda/bin/jq", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert without.returncode != 0, "without /proc the loader cannot know where a program lies"
