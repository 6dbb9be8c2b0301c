"""`[plugins.esker.image.prepare]` in the commands: the image has it, the lock pins it, and nothing is fetched twice."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile

import pytest

from esker.formats import image_lock
from tests.ship.content.prepared.conftest import Repository
from tests.support.npm_registry import NpmRegistry

pytestmark = pytest.mark.slow

PLATFORMS = {"linux/amd64", "linux/arm64"}
MANIFEST = """schema-version = "1.14.0"
[options]
systems = ["x86_64-linux", "aarch64-linux"]
[containerize.config]
user = "app"
[plugins.esker.image]
layers = [{{ name = "agents", packages = ["/home/app/agents"] }}]
[plugins.esker.image.prepare]
"/home/app/agents" = {{ git = "file://{repository}", rev = "main", owner = "app" }}
"/srv/tool" = {{ npm = "tool@latest", links = {{ "/usr/local/bin/tool" = "cli.js" }} }}
"/srv" = {{ npm-lock = "package-lock.json" }}
"/usr/local/share/model" = {{ file = "{registry}/model" }}
"""


@pytest.fixture
def registry():
    """Give a registry on loopback with a package and a file."""
    with NpmRegistry() as served:
        served.add("tool", "1.0.0", {"cli.js": b"#!"}, bin="cli.js")
        served.files["/npm/model"] = b"model"
        yield served


@pytest.fixture
def repository(tmp_path):
    """Give a git repository with a commit."""
    made = Repository(tmp_path / "repository")
    made.commit({"a.md": "one"})
    return made


@pytest.fixture
def locked(project, esker, registry, repository):
    """Give a locked project with one thing of each kind; its own `.npmrc` names the registry."""
    directory = project(MANIFEST.format(repository=repository.path, registry=registry.url))
    (directory / ".npmrc").write_text(f"registry={registry.url}\n")
    entry = registry.add("leaf", "2.0.0", {"x": b"x"})
    document = {"lockfileVersion": 3, "packages": {"node_modules/leaf": entry}}
    (directory / "package-lock.json").write_text(json.dumps(document))
    for words in (["init", "--quiet"], ["add", "package-lock.json"]):
        subprocess.run(["git", *words], cwd=directory, check=True)
    done = esker("lock")
    assert done.status == 0, done.err
    return directory


def built(esker, *arguments, **variables):
    """Build the image, and return its digests by platform."""
    done = esker("image", "build", "--json", *arguments, **variables)
    assert done.status == 0, done.err
    return {each["platform"]: each["digest"] for each in json.loads(done.out)["images"]}


def pins(directory):
    """Return what `.flox/image.lock` pins: the hashes by kind and platform."""
    lock = image_lock.parse((directory / ".flox/image.lock").read_bytes(), "image.lock")
    return {(each.kind, each.platform): each.hash for each in lock.inputs}


def test_everything_is_in_the_image_and_in_the_lock(locked, esker, tmp_path, repository):
    """Files, owners, links and the named layer; each thing is pinned once for all platforms, or once for each."""
    assert {*built(esker)} == PLATFORMS
    kinds = {("git", ""), ("npm", ""), ("file", ""), *(("npm-lock", each) for each in PLATFORMS)}
    assert {*pins(locked)} == kinds
    done = esker("image", "build", "-f", tmp_path / "app.tar", "--system", "x86_64-linux")
    assert done.status == 0, done.err
    found = {}
    with tarfile.open(tmp_path / "app.tar") as archive:
        [listed] = json.load(archive.extractfile("manifest.json"))
        for name in listed["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                found |= {each.name: (each.mode, each.uid, each.linkname) for each in layer if not each.isdir()}
    assert found["home/app/agents/a.md"] == (0o644, 10000, "")
    assert found["srv/tool/cli.js"] == (0o755, 0, "")
    assert found["usr/local/bin/tool"][2] == "../../../srv/tool/cli.js"
    assert found["srv/node_modules/leaf/x"] == (0o644, 0, "")
    assert found["usr/local/share/model"] == (0o644, 0, "")
    assert "agents\n" in esker("image", "inspect").out
    commit = repository.git("rev-parse", "HEAD")
    components = json.loads(esker("image", "sbom").out)["components"]
    assert {each["purl"].partition("?")[0] for each in components} == {
        "pkg:npm/tool@1.0.0",
        "pkg:npm/leaf@2.0.0",
        "pkg:generic/model",
        f"pkg:generic/repository@{commit}",
    }


def test_the_lock_is_enough(locked, esker, registry, repository, tmp_path):
    """Unchanged, nothing is asked for, here or on another machine; there the bytes are fetched when they are needed."""
    first = built(esker)
    registry.requests.clear()
    moved = tmp_path / "moved"
    repository.path.rename(moved)
    elsewhere = {"ESKER_STORE": str(tmp_path / "elsewhere")}
    assert built(esker, "--locked") == first
    assert built(esker, "--locked", **elsewhere) == first
    assert not registry.requests
    done = esker("image", "build", "-f", tmp_path / "app.tar", **elsewhere)
    assert (done.status, "could not be fetched" in done.err) == (1, True)
    moved.rename(repository.path)
    assert esker("image", "build", "-f", tmp_path / "app.tar", **elsewhere).status == 0
    assert registry.requests["/npm/model"] == 1


def test_what_is_upgraded(locked, esker, registry, repository):
    """Branches, tags and files stay as they were pinned until `--upgrade`; `--locked` refuses what is not pinned."""
    done = esker("image", "build", "--locked")
    assert done.status == 1
    assert "is not pinned in .flox/image.lock" in done.err
    first = built(esker)
    before = pins(locked)
    commit = repository.commit({"a.md": "two"})
    registry.add("tool", "1.1.0", {"cli.js": b"#!"}, bin="cli.js")
    registry.files["/npm/model"] = b"another"
    assert built(esker) == first
    assert pins(locked) == before
    assert built(esker, "--upgrade") != first
    after = pins(locked)
    assert {key for key in before if before[key] != after[key]} == {("git", ""), ("npm", ""), ("file", "")}
    assert after["git", ""] == commit
    assert esker("image", "build", "--locked", "--upgrade").status == 2


def test_a_layer_that_names_nothing(locked, esker):
    """The error has the place that was meant."""
    manifest = locked / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text().replace('["/home/app/agents"]', '["/home/app/agent"]'))
    assert esker("lock").status == 0
    done = esker("image", "build")
    assert done.status == 1
    assert "names `/home/app/agent`, for which nothing is prepared" in done.err
    assert "/home/app/agents" in done.err


def test_the_same_bytes_on_another_machine(locked, esker, tmp_path):
    """Another store, home and time, and no lock of the image: the digests are the same."""
    first = built(esker)
    (locked / ".flox/image.lock").unlink()
    (tmp_path / "elsewhere").mkdir()
    others = {"HOME": str(tmp_path / "elsewhere"), "ESKER_STORE": str(tmp_path / "elsewhere/store")}
    assert built(esker, **others, TZ="Asia/Tokyo") == first


def test_what_is_taken_out_leaves_the_lock(locked, esker, repository):
    """A pin that nothing names any more is removed."""
    built(esker)
    manifest = locked / ".flox/env/manifest.toml"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if "agents" not in line))
    shutil.rmtree(repository.path)
    assert esker("lock").status == 0
    built(esker)
    assert ("git", "") not in pins(locked)
