"""`esker containerize` and `esker image`: what they write and print, and how they refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.support.base_layout import write_layout
from tests.support.conda_package import SUBDIR, package
from tests.support.fake_registry import FakeRegistry, Fault

SYSTEM = {"linux-64": "x86_64-linux", "linux-aarch64": "aarch64-linux"}[SUBDIR]
OTHER_SUBDIR = {"linux-64": "linux-aarch64", "linux-aarch64": "linux-64"}[SUBDIR]
OTHER = {"x86_64-linux": "aarch64-linux", "aarch64-linux": "x86_64-linux"}[SYSTEM]
PLATFORM = {"x86_64-linux": "linux/amd64", "aarch64-linux": "linux/arm64"}[SYSTEM]
ENGINE = """#!/bin/sh
[ "$1" = load ] && cat >"$LOADED" && echo "Loaded image" || exit 3
"""


@pytest.fixture
def channel():
    """Give a channel with a few packages for both systems, none of which needs a C library."""
    from tests.support.conda_channel import CondaChannel

    with CondaChannel() as served:
        for subdir in (SUBDIR, OTHER_SUBDIR):
            served.add(package("one", "1.0", {"share/one": f"one {subdir}\n"}, subdir=subdir))
            served.add(package("two", "1.0", {"share/two": "two\n"}, subdir=subdir))
        yield served


@pytest.fixture
def locked(project, channel, esker):
    """Give a function that makes a locked project in a git repository, with a file `app/main`."""

    def make(more="", systems=(SYSTEM,)):
        listed = ", ".join(f'"{each}"' for each in systems)
        directory = project(
            f'schema-version = "1.14.0"\n[options]\nsystems = [{listed}]\n[containerize.config]\ncmd = ["one"]\n'
            f'[plugins.esker.conda]\nchannels = ["{channel.url}"]\ndependencies = ["one", "two"]\n'
            f'[plugins.esker.image]\nfiles = {{ "/app" = ["app"] }}\n{more}'
        )
        (directory / "app").mkdir()
        (directory / "app/main").write_text("main\n")
        subprocess.run(["git", "init", "--quiet"], cwd=directory, check=True)
        subprocess.run(["git", "add", "app"], cwd=directory, check=True)
        done = esker("lock")
        assert done.status == 0, done.err
        return directory

    return make


def built(esker, *arguments, **variables):
    """Build the image, and return what `--json` says of it."""
    done = esker("image", "build", "--json", *arguments, **variables)
    assert done.status == 0, done.err
    return json.loads(done.out)


def test_an_image_is_made_once(locked, esker):
    """A second build prints the same, and changes no file; the lock of the image stands beside the others."""
    directory = locked()
    first = built(esker)
    lock = directory / ".flox/image.lock"
    before = (lock.read_bytes(), lock.stat().st_ino)
    assert built(esker) == first
    assert (lock.read_bytes(), lock.stat().st_ino) == before
    [image] = first["images"]
    assert (first["name"], image["platform"]) == ("project:latest", PLATFORM)
    assert [layer["name"] for layer in image["layers"]] == ["small packages", "configuration", "application"]
    done = esker("image", "build")
    assert "! `cmd` of [containerize.config] starts `one`, which is in no directory of the image's PATH\n" in done.err
    assert image["digest"] in done.out
    assert "small packages" in done.out


def test_the_lock_of_an_image_is_enough_elsewhere(locked, esker, tmp_path):
    """On another machine, with another home, umask and time, the image has the same digest."""
    locked()
    first = built(esker)
    (tmp_path / "elsewhere").mkdir()
    old = os.umask(0o077)
    try:
        others = {"HOME": str(tmp_path / "elsewhere"), "ESKER_STORE": str(tmp_path / "elsewhere/store")}
        assert built(esker, **others, TZ="Asia/Tokyo") == first
        (tmp_path / "project/.flox/image.lock").unlink()
        assert built(esker, **others) == first
    finally:
        os.umask(old)
    assert built(esker, SOURCE_DATE_EPOCH="1000000000") != first


def test_an_archive(locked, esker, tmp_path):
    """`containerize -f` writes what `docker load` reads, with the tag, the labels and the project's files."""
    locked()
    done = esker("containerize", "-f", tmp_path / "app.tar", "--tag", "1.0", "--label", "org.example.a=b")
    assert (done.status, done.out) == (0, "")
    assert done.err.endswith(f"✨ 'project:1.0' written to file `{tmp_path}/app.tar`.\n")
    with tarfile.open(tmp_path / "app.tar") as archive:
        [listed] = json.load(archive.extractfile("manifest.json"))
        assert listed["RepoTags"] == ["project:1.0"]
        config = json.load(archive.extractfile(listed["Config"]))
        assert config["config"]["Cmd"] == ["one"]
        assert config["config"]["Labels"] == {"org.example.a": "b"}
        with tarfile.open(fileobj=archive.extractfile(listed["Layers"][-1])) as layer:
            assert layer.extractfile("app/app/main").read() == b"main\n"


def test_an_archive_that_another_container_writes(locked, esker, tmp_path):
    """Its process may have our number: what it has written so far is neither in our way nor removed."""
    locked()
    other = tmp_path / f"app.tar.{os.getpid()}.tmp"
    other.write_text("half")
    assert esker("containerize", "-f", tmp_path / "app.tar").status == 0
    assert other.read_text() == "half"
    assert sorted(each.name for each in tmp_path.glob("app.tar*")) == ["app.tar", other.name]


def test_the_standard_output(locked, esker, tmp_path):
    """`-f -` writes the same archive to stdout, and nothing else; a second file is the same too."""
    locked()
    esker("containerize", "-f", tmp_path / "a.tar")
    command = [sys.executable, "-m", "esker", "containerize", "-f", "-"]
    variables = os.environ | {"ESKER_STORE": str(tmp_path / "store-root"), "HOME": str(tmp_path / "home")}
    piped = subprocess.run(command, cwd=tmp_path / "project", env=variables, capture_output=True, check=True)
    assert piped.stdout == (tmp_path / "a.tar").read_bytes()


def test_a_pipe_that_has_a_name(locked, esker, environ, tmp_path):
    """It gets the archive and stays, and so does a device: neither is replaced by a file."""
    directory = locked()
    esker("containerize", "-f", tmp_path / "a.tar")
    os.mkfifo(tmp_path / "pipe")
    command = [sys.executable, "-m", "esker", "containerize", "-f", tmp_path / "pipe"]
    with subprocess.Popen(command, cwd=directory, env=environ, stderr=subprocess.PIPE) as process:
        assert (tmp_path / "pipe").read_bytes() == (tmp_path / "a.tar").read_bytes()
        process.communicate()
    assert (process.returncode, (tmp_path / "pipe").is_fifo()) == (0, True)
    command[-1] = "/dev/stdout"
    piped = subprocess.run(command, cwd=directory, env=environ, capture_output=True, check=True)
    assert piped.stdout == (tmp_path / "a.tar").read_bytes()


def test_an_engine(locked, esker, tmp_path):
    """Without a file the engine on PATH loads the image; one that refuses is quoted."""
    locked()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "podman").write_text(ENGINE)
    (programs / "podman").chmod(0o755)
    path = f"{programs}:/usr/bin:/bin"
    done = esker("containerize", "--runtime", "podman", PATH=path, LOADED=str(tmp_path / "loaded"))
    assert done.status == 0, done.err
    assert "'project:latest' loaded into podman" in done.err
    with tarfile.open(tmp_path / "loaded") as archive:
        assert "manifest.json" in archive.getnames()
        assert not {"index.json", "oci-layout"} & {*archive.getnames()}  # or Podman would drop the health check
    done = esker("containerize", "--runtime", "podman", PATH=path, LOADED=str(tmp_path / "nowhere/x"))
    assert done.status == 1
    assert "podman load` ended with status 3" in done.err
    assert "or write the image into a file, without one: esker containerize -f FILE" in done.err


def test_no_engine(locked, esker, tmp_path):
    """An engine that is asked for and not there is an error; with none at all a file is written."""
    locked()
    (tmp_path / "none").mkdir()
    os.symlink("/usr/bin/git", tmp_path / "none/git")
    done = esker("containerize", "--runtime", "podman", PATH=str(tmp_path / "none"))
    assert done.status == 1
    assert "`podman` is not on PATH" in done.err
    assert "-f FILE" in done.err
    done = esker("containerize", PATH=str(tmp_path / "none"))
    assert done.status == 0, done.err
    assert (tmp_path / "project/project-container.tar").is_file()


def test_two_systems(locked, esker, tmp_path, channel):
    """One index has an image for each system; one of them can be asked for; another one is refused."""
    locked(systems=(SYSTEM, OTHER))
    image = built(esker, "--layout", tmp_path / "layout")
    assert {each["platform"] for each in image["images"]} == {"linux/amd64", "linux/arm64"}
    done = esker("image", "verify", f"{tmp_path}/layout:latest", "--json")
    assert {each["platform"] for each in json.loads(done.out)["images"]} == {"linux/amd64", "linux/arm64"}
    one = built(esker, "--system", OTHER)
    assert [each["digest"] for each in one["images"]] == [
        each["digest"] for each in image["images"] if each["platform"] != PLATFORM
    ]
    assert esker("image", "build", "--system", "x86_64-darwin").status == 2


def test_a_system_that_the_image_is_not_for(locked, esker):
    """The error names the systems that there are."""
    locked()
    done = esker("image", "build", "--system", OTHER)
    assert done.status == 1
    assert f"the image is not for `{OTHER}`" in done.err
    assert SYSTEM in done.err


def test_a_system_that_is_not_locked(locked, esker):
    """An image for it would have none of the packages."""
    locked(f'systems = ["{OTHER}"]\n')
    done = esker("image", "build")
    assert done.status == 1
    assert f"the environment is not locked for `{OTHER}`, which `systems` of [plugins.esker.image] names" in done.err
    assert f"add `{OTHER}` to `options.systems`" in done.err


def test_what_is_in_it_and_why(locked, esker):
    """`inspect` says of each variable why it is there or not, and which files stayed here."""
    directory = locked('vars = { DEBUG = false }\n[vars]\nDEBUG = "1"\nHOMELY = "$FLOX_ENV/x"\n')
    (directory / "app/secret").write_text("s")
    done = esker("image", "inspect")
    assert done.status == 0, done.err
    assert "HOMELY=/opt/esker/env/x  ([vars])" in done.out
    assert "DEBUG is not in the image  (taken out by [plugins.esker.image.vars])" in done.out
    assert "app/secret is not in the image  (git does not track it)" in done.out
    assert "FLOX_ENV_PROJECT=/  (there is no `working-dir` of [containerize.config])" in done.out
    assert "conda/one 1.0" in done.out
    assert "Not in the image, because git does not track it: `app/secret`" in done.err
    record = json.loads(esker("image", "inspect", "--json").out)
    assert record["images"][0]["left_out"] == ["app/secret"]


def test_how_two_images_differ(locked, esker, tmp_path, channel):
    """`diff` names the package whose new version is why a layer changed."""
    directory = locked()
    built(esker, "--layout", tmp_path / "before")
    channel.add(package("two", "2.0", {"share/two": "two, anew\n"}))
    assert esker("lock", "--upgrade").status == 0
    built(esker, "--layout", tmp_path / "after")
    done = esker("image", "diff", tmp_path / "before", tmp_path / "after")
    assert done.status == 0, done.err
    assert done.out.startswith(f"{PLATFORM}: 1 layer differs, 2 are the same\n")
    assert "  small packages: conda/two 1.0 became 2.0\n  0.0 MB to fetch" in done.out
    record = json.loads(esker("image", "diff", tmp_path / "before", tmp_path / "after", "--json").out)
    assert record["platforms"][PLATFORM]["same"] == ["configuration", "application"]
    assert directory.is_dir()


def test_a_damaged_image(locked, esker, tmp_path):
    """`verify` names the layer that is not what its digest says."""
    locked()
    image = built(esker, "--layout", tmp_path / "layout")
    digest = image["images"][0]["layers"][0]["digest"]
    blob = tmp_path / "layout/blobs" / digest.replace(":", "/")
    assert esker("image", "verify", tmp_path / "layout").status == 0
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.unlink()
    blob.write_bytes(data)
    done = esker("image", "verify", tmp_path / "layout")
    assert done.status == 1
    assert digest in done.err


def test_a_blob_that_was_damaged_on_this_machine(locked, esker, tmp_path):
    """A registry refuses it, the error names the way out, and after that the same push succeeds."""
    locked()
    image = built(esker)
    digest = image["images"][0]["layers"][0]["digest"]
    blob = tmp_path / "store-root/images/blobs" / digest.replace(":", "/")
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    built(esker, "--layout", tmp_path / "layout")
    done = esker("image", "verify", tmp_path / "layout")
    assert "if it is damaged again, so is what this machine keeps: esker store verify --repair" in done.err
    with FakeRegistry() as registry:
        done = esker("image", "push", f"{registry.host}/app:1")
        assert done.status == 1
        assert "esker store verify --repair; then push again" in done.err
        done = esker("store", "verify")
        assert done.status == 1
        assert f"damaged blobs of images: `{blob}`: its contents have changed" in done.err
        assert "then build the image again" in done.err
        assert [each["path"] for each in json.loads(esker("store", "verify", "--json").out)] == [str(blob)]
        done = esker("store", "verify", "--repair")
        assert done.status == 0
        assert f"✔ deleted `{blob}`" in done.err
        assert esker("store", "verify").status == 0
        assert pushed(esker, f"{registry.host}/app:1")["changed"]
        assert esker("image", "verify", f"{registry.host}/app:1").status == 0
        registry.blobs["app", digest] = b"other"
        done = esker("image", "verify", f"{registry.host}/app:1")
        assert "once the damaged blobs are deleted in the registry, push the image again" in done.err


def test_a_bill_of_materials(locked, esker):
    """`sbom` prints what the lock says of each package."""
    locked()
    done = esker("image", "sbom")
    assert done.status == 0, done.err
    made = json.loads(done.out)
    assert {each["name"] for each in made["components"]} == {"one", "two"}
    assert made["bomFormat"] == "CycloneDX"


def test_what_a_base_says_of_its_own_libraries(locked, esker, tmp_path):
    """It is not in the image; each build tells so, and `inspect`, until the project says what it wants."""
    config = {"Env": ["PATH=/bin", "LD_LIBRARY_PATH=/base/lib"]}
    digest = write_layout(tmp_path / "project/base", [], config)
    directory = locked(f'from = "./base@{digest}"\n')
    time.sleep(0.1)  # what has just changed is not kept
    remark = (
        "! `LD_LIBRARY_PATH` is not in the image: the base has it, and it would lead programs to other libraries. "
        'In `vars` of [plugins.esker.image], `LD_LIBRARY_PATH = "$LD_LIBRARY_PATH"` keeps it, and '
        "`LD_LIBRARY_PATH = false` ends this remark\n"
    )
    assert [remark in esker("image", "build").err for _ in range(2)] == [True, True]
    shown = esker("image", "inspect").out
    assert "LD_LIBRARY_PATH is not in the image  (the base has it, and it would lead programs to other li" in shown
    manifest = directory / ".flox/env/manifest.toml"
    text = manifest.read_text()
    for value, is_there in (('"$LD_LIBRARY_PATH"', True), ("false", False)):
        manifest.write_text(f"{text}vars = {{ LD_LIBRARY_PATH = {value} }}\n")
        assert esker("lock").status == 0
        assert "LD_LIBRARY_PATH" not in esker("image", "build").err
        assert ("LD_LIBRARY_PATH=/base/lib" in esker("image", "inspect").out) is is_there


def test_the_blobs_of_an_image_are_collected(locked, esker, tmp_path):
    """Those of the project's image stay; once the project is gone and an hour is over, they go; an image is whole."""
    directory = locked()
    built(esker, "--layout", tmp_path / "first")
    blobs = tmp_path / "store-root/images/blobs/sha256"
    extra = blobs / ("0" * 64)
    extra.write_bytes(b"x" * 10)
    for each in blobs.iterdir():
        os.utime(each, (0, 0))
    before = len(os.listdir(blobs))
    sizes = json.loads(esker("store", "size", "--json").out)["blobs"]
    assert sizes == {"count": before, "size": 10}  # the layout has the others too
    assert f"{before} blobs of images" in esker("store", "size").out
    dry = json.loads(esker("store", "gc", "--dry-run", "--json").out)
    assert dry["blobs"] == [str(extra)]
    done = esker("store", "gc")
    assert str(extra) in done.out
    assert "1 blob of images" in done.err
    assert len(os.listdir(blobs)) == before - 1
    built(esker, "--layout", tmp_path / "second")
    assert esker("image", "verify", tmp_path / "second").status == 0
    (directory / ".flox/image.lock").unlink()
    root = next((tmp_path / "store-root/var/esker/image-roots").iterdir())
    record = json.loads(root.read_text())
    root.write_text(json.dumps({**record, "images": [{**each, "time": 0} for each in record["images"]]}))
    assert esker("store", "gc", "--json").status == 0
    assert os.listdir(blobs) == []
    assert not root.exists()
    assert built(esker, "--layout", tmp_path / "third") == built(esker)
    assert esker("image", "verify", tmp_path / "third").status == 0


@pytest.mark.parametrize("lists", [True, False])
def test_bills_of_materials_are_attached(locked, esker, lists):
    """One for each platform, when the image is pushed; a second push sends nothing; `verify --sbom` compares them."""
    locked(systems=(SYSTEM, OTHER))
    with FakeRegistry(lists_referrers=lists) as registry:
        target = f"{registry.host}/app:1"
        first = pushed(esker, target)
        assert [(each["platform"], each["new"]) for each in first["sbom"]] == [
            ("linux/arm64", True),
            ("linux/amd64", True),
        ]
        since = len(registry.requests())
        again = pushed(esker, target)
        assert {request.split()[0] for request in registry.requests()[since:]} == {"GET"}
        assert [each["digest"] for each in again["sbom"]] == [each["digest"] for each in first["sbom"]]
        checked = esker("image", "verify", "--sbom", target)
        assert checked.status == 0
        assert checked.err.endswith("every digest is right, and the attached bills of materials agree with the image\n")
        assert esker("image", "verify", target).err.endswith("every digest is right\n")
        done = esker("image", "push", target)
        assert done.err.endswith("the registry has it already\n")
        bill = json.loads(registry.manifests["app", first["sbom"][0]["digest"]][1])["layers"][0]["digest"]
        registry.blobs["app", bill] = b"{}"
        done = esker("image", "verify", "--sbom", target, "--json")
        assert done.status == 1
        assert bill in done.err
        assert len(json.loads(done.out)["faults"]) == 1


def pushed(esker, *arguments):
    done = esker("image", "push", *arguments, "--json")
    assert done.status == 0, done.err
    return json.loads(done.out)


def test_the_tag_of_a_push(locked, esker):
    """`--tag` is the tag of a name that has none; beside another tag, nothing is sent."""
    locked()
    with FakeRegistry() as registry:
        done = esker("image", "push", f"{registry.host}/app", "--tag", "1.1")
        assert done.status == 0, done.err
        assert f"✔ {registry.host}/app:1.1: " in done.err
        assert f"✔ {registry.host}/app:latest: " in esker("image", "push", f"{registry.host}/app").err
        assert {("app", "1.1"), ("app", "latest")} <= registry.manifests.keys()
        since = len(registry.requests())
        done = esker("image", "push", f"{registry.host}/app:1.0", "--tag", "2.0")
        assert done.status == 2
        assert "has a tag, and `--tag 2.0` names one too" in done.err
        assert f"hint: leave one of the two out, as in: esker image push {registry.host}/app --tag 2.0" in done.err
        assert len(registry.requests()) == since


def test_no_bill_of_materials(locked, esker):
    """`--without-sbom` attaches none, and neither does `sbom = false`."""
    directory = locked()
    with FakeRegistry() as registry:
        target = f"{registry.host}/app:1"
        assert pushed(esker, target, "--without-sbom")["sbom"] == []
        assert not [request for request in registry.requests() if "referrers" in request]
        manifest = directory / ".flox/env/manifest.toml"
        manifest.write_text(f"{manifest.read_text()}sbom = false\n")
        assert esker("lock").status == 0
        assert pushed(esker, target)["sbom"] == []
        done = esker("image", "verify", "--sbom", target)
        assert done.status == 1
        assert "no bill of materials of Esker's is attached" in done.err


def test_a_bill_of_materials_that_the_registry_refuses(locked, esker):
    """The image is there and its digest is printed, and the command fails with the way to leave the bill out."""
    locked()
    with FakeRegistry() as registry:
        registry.faults.append(Fault("PUT", "/manifests/sha256", status=405))
        done = esker("image", "push", f"{registry.host}/app:1")
        assert done.status == 1
        assert done.out.startswith(f"{registry.host}/app@sha256:")
        assert "has been sent, but its bill of materials cannot be attached" in done.err
        assert "--without-sbom" in done.err
        assert esker("image", "verify", f"{registry.host}/app:1").status == 0
        assert done.out.strip() == f"{registry.host}/app@{pushed(esker, f'{registry.host}/app:1')['digest']}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("image", "verify", "--sbom", "app"), "is in no registry, so nothing is attached to it"),
        (("image", "inspect", "nowhere"), "there is no directory or file `nowhere`, and no registry is named"),
        (("image", "push"), "is no name that an image can be pushed to"),
        (("image", "build", "--label", "a"), "`a` is not a label"),
        (("image", "build", "--label", "a b=c"), "`a b` cannot be the name of a label"),
        (("containerize", "--label", f"a=ghp_{'x' * 36}"), "the label `a` holds a token of GitHub, which everybody"),
        (("image", "build", "--tag", "a b"), "is not the name of an image"),
        (("image", "build", "--tag", ""), "`--tag` names no tag"),
        (("containerize", "--tag", "a", "--tag", "b"), "`--tag a` and `--tag b`: an image is given one tag at a time"),
        (("image", "biuld"), "there is no command `image biuld`"),
        (("image", "build", "--layout", "app"), "holds something that is no OCI layout"),
        (("image", "build", "--layout", ""), "`--layout` names no directory"),
        (("containerize", "-f", "nowhere/x"), "`nowhere/x` cannot be written"),
        (("containerize", "-f", "app"), "`app` cannot be written"),
        (("containerize", "-f", ""), "`` cannot be written"),
    ],
)
def test_refusals(locked, esker, arguments, message):
    """What cannot be done is an error that says what to do."""
    locked()
    done = esker(*arguments)
    assert done.status in {1, 2}
    assert message in done.err
    assert "hint: " in done.err


def test_what_another_tool_gives(esker, tmp_path):
    """Guix gives no image its packages: a project that is declared for it alone is refused, with what to do."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project/manifest.scm").write_text("(specifications->manifest '())")
    done = esker("image", "build")
    assert done.status == 1
    assert f"what guix gives `{tmp_path}/project` cannot be put into an image" in done.err
    assert "hint: declare the packages in a `.flox`" in done.err


def test_a_stale_lock(locked, esker):
    """An image is of what is locked, so a manifest that has changed has to be locked first."""
    directory = locked()
    manifest = directory / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text().replace('["one", "two"]', '["one"]'))
    done = esker("image", "build")
    assert done.status == 1
    assert "the lock does not match the manifest" in done.err


def test_a_secret(locked, esker):
    """A variable that looks like a secret is refused by name, and nothing is made."""
    directory = locked('[vars]\nDB_PASSWORD = "hunter2"\n')
    done = esker("image", "build")
    assert done.status == 1
    assert "`DB_PASSWORD`: its name says so" in done.err
    assert "hunter2" not in done.err
    assert not Path(directory, ".flox/image.lock").exists()


@pytest.mark.parametrize(("closed", "mode"), [("app/main", 0o000), ("app", 0o600)])
def test_a_file_that_cannot_be_read(locked, environ, closed, mode):
    """It is named, with whose it is and how it is opened."""
    directory = locked()
    limit = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    (directory / closed).chmod(mode)
    command = [*limit, sys.executable, "-m", "esker", "image", "build"]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False)
    (directory / closed).chmod(0o700)
    assert done.returncode == 1
    assert f"cannot read `{directory}/app/main`: permission denied" in done.stderr
    assert f"chmod u+rwX {directory}/{closed}" in done.stderr


def test_without_arguments(esker, locked):
    """`esker image` lists its commands."""
    locked()
    done = esker("image")
    assert done.status == 0
    assert "compute every digest of an image again" in done.out
