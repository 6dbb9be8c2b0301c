"""`[plugins.esker.image]` of an included environment: what counts in the images of the environments that include it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile

import pytest

from tests.ship.content.prepared.conftest import Repository
from tests.support.base_layout import write_layout

pytestmark = pytest.mark.slow

COMMON = """schema-version = "1.14.0"
[options]
systems = ["{system}"]
[vars]
MODE = "development"
[containerize.config]
user = "app"
[plugins.esker.image]
name = "registry.example/team/common"
from = "./base@{digest}"
files = {{ "/etc/common" = ["settings"] }}
compression = "none"
vars = {{ MODE = "production", LEVEL = "info", DEBUG = "1" }}
layers = [{{ name = "agents", packages = ["/srv/agents"] }}]
prepare."/srv/agents" = {{ git = "../repository", rev = "main" }}
"""
SHOP = """schema-version = "1.14.0"
[include]
environments = [{ dir = "../common" }]
[plugins.esker.image]
files = { "/app" = ["main"] }
vars = { LEVEL = "debug", DEBUG = false }
"""


def git(directory, *words):
    subprocess.run(["git", *words], cwd=directory, check=True)


@pytest.fixture
def common(project, esker, tmp_path):
    """Give a locked environment whose image begins with a base, and has a tree from a repository."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as layer:
        layer.addfile(tarfile.TarInfo("of-base"))
    digest = write_layout(tmp_path / "common/base", [archive.getvalue()])
    Repository(tmp_path / "repository").commit({"a.md": "one", "inner/b.md": "two"})
    directory = project(COMMON.format(system=f"{os.uname().machine}-linux", digest=digest), name="common")
    (directory / "settings").write_text("settings\n")
    git(tmp_path, "init", "--quiet")
    done = esker("lock", cwd=directory)
    assert done.status == 0, done.err
    return directory


@pytest.fixture
def shop(common, project, esker):
    """Give a function that makes a locked environment which includes the other."""

    def make(manifest=SHOP, name="project"):
        directory = project(manifest, name=name)
        (directory / "main").write_text("main\n")
        git(directory, "add", "main")
        done = esker("lock", cwd=directory)
        assert done.status == 0, done.err
        return directory

    return make


def held(esker, archive, directory):
    """Build an image, and return its name, its variables, the names of its layers, and its files in them."""
    done = esker("image", "build", "-f", archive, "--json", cwd=directory)
    assert done.status == 0, done.err
    record = json.loads(done.out)
    files = {}
    with tarfile.open(archive) as image:
        [listed] = json.load(image.extractfile("manifest.json"))
        config = json.load(image.extractfile(listed["Config"]))
        for name, layer in zip(listed["Layers"], record["images"][0]["layers"], strict=True):
            with tarfile.open(fileobj=image.extractfile(name)) as inner:
                files |= {each.name: layer["name"] for each in inner if each.isfile()}
    return record["name"], dict(line.split("=", 1) for line in config["config"]["Env"]), files


def test_what_an_included_environment_says_of_images(shop, esker, tmp_path):
    """Base, layers, variables and what is prepared count, from the included directory; name and files do not."""
    name, variables, files = held(esker, tmp_path / "shop.tar", shop())
    assert name == "project:latest"
    assert (variables["MODE"], variables["LEVEL"], variables.get("DEBUG")) == ("production", "debug", None)
    assert (files["of-base"], files["srv/agents/a.md"], files["app/main"]) == ("base 1", "agents", "application")
    assert "etc/common/settings" not in files
    assert json.loads((tmp_path / "project/.flox/image.lock").read_text())["inputs"]


def test_the_including_environment_decides(shop, esker, tmp_path):
    """What stands at the same place, and the list of layers, is its own as a whole."""
    own = 'name = "shop"\nlayers = []\nprepare."/srv/agents" = { git = "../repository", directory = "inner" }\n'
    name, _, files = held(esker, tmp_path / "shop.tar", shop(SHOP + own))
    assert name == "shop:latest"
    assert files["srv/agents/b.md"] != "agents"
    assert "srv/agents/a.md" not in files


def test_an_environment_that_is_included_by_one_that_is_included(shop, esker, tmp_path):
    """What the lowest says counts at the top, and the files of those between do not."""
    shop(name="middle")
    top = shop('schema-version = "1.14.0"\n[include]\nenvironments = [{ dir = "../middle" }]\n', name="project")
    _, variables, files = held(esker, tmp_path / "top.tar", top)
    assert (variables["MODE"], variables["LEVEL"]) == ("production", "debug")
    assert files["srv/agents/a.md"] == "agents"
    assert "app/main" not in files


def test_a_change_of_the_included_environment(shop, common, esker):
    """Once it is locked anew, no image is made before the change has been taken over, though one is kept."""
    directory = shop()
    assert esker("image", "build").status == 0
    manifest = common / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text().replace('"production"', '"staging"'))
    assert esker("image", "build").status == 0
    assert esker("lock", cwd=common).status == 0
    stale = esker("image", "build")
    assert stale.status == 1
    assert "esker include upgrade common" in stale.err
    assert esker("include", "upgrade", "common").status == 0
    assert "MODE=staging" in esker("image", "inspect", cwd=directory).out


def test_places_that_do_not_go_together(shop, project, esker):
    """Each environment is right for itself; the merge names both places, and nothing is locked."""
    own = 'prepare."/srv/agents/more" = { git = "../repository" }\n'
    directory = project(SHOP + own)
    done = esker("lock", cwd=directory)
    assert done.status == 1
    assert "`/srv/agents/more` lies at or below `/srv/agents`" in done.err


@pytest.mark.parametrize(
    ("before", "after", "message", "hint"),
    [
        (
            'from = "./base@',
            'from = "./gone@',
            "there is no `../common/gone`, which `from` of",
            "name a directory with",
        ),
        (
            'git = "../repository", rev = "main"',
            'npm-lock = "a.json"',
            "git tracks no regular file `../common/a.json`",
            "",
        ),
    ],
)
def test_paths_that_lead_nowhere(shop, common, esker, before, after, message, hint):
    """They are named as they are reached from the project whose image is made."""
    manifest = common / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text().replace(before, after))
    assert esker("lock", cwd=common).status == 0
    shop()
    done = esker("image", "build")
    assert done.status == 1
    assert message in done.err
    assert hint in done.err
