"""npm packages in an image: alone or by a lock of npm, each by its integrity, and no script of them is run."""

from __future__ import annotations

import json
import subprocess

import msgspec
import pytest

from esker.errors import HostError, ImageError, InvalidLock, NotFound
from tests.ship.content.prepared.conftest import files_of, listed
from tests.support.npm_registry import archive, integrity, member

TOOL = {"bin/cli.js": b"#!/usr/bin/env node\n", "lib.js": b"1"}
PLACE = "/srv/tool"


@pytest.fixture
def alone(prepared):
    """Give a function that prepares one package."""

    def make(package="@scope/tool@1.0.0", keys="", **options):
        more = f", {keys}" if keys else ""
        return prepared(f'prepare."{PLACE}" = {{ npm = "{package}"{more} }}\n', **options)

    return make


@pytest.fixture
def by_lock(prepared, project):
    """Give a function that writes a lock of npm, which git tracks, and prepares it."""

    def make(entries, keys="", **options):
        document = {"name": "app", "lockfileVersion": 3, "packages": {"": {"name": "app"}, **entries}}
        (project / "package-lock.json").write_text(json.dumps(document))
        subprocess.run(["git", "add", "package-lock.json"], cwd=project, check=True)
        more = f", {keys}" if keys else ""
        return prepared(f'prepare."{PLACE}" = {{ npm-lock = "package-lock.json"{more} }}\n', **options)

    return make


def test_a_package_alone(alone, registry, tmp_path):
    """It is locked by its SHA-512, its programs can be executed, links lead to it, and no script is run."""
    scripts = {"preinstall": f"touch {tmp_path}/ran", "postinstall": f"touch {tmp_path}/ran"}
    entry = registry.add("@scope/tool", "1.0.0", TOOL, bin="bin/cli.js", scripts=scripts, dependencies={"other": "1"})
    content = alone(keys='links = { "/usr/local/bin/tool" = "bin/cli.js" }')
    [locked] = content.inputs
    assert (locked.kind, locked.name, locked.version) == ("npm", "@scope/tool@1.0.0", "1.0.0")
    assert (locked.hash, locked.url) == (entry["integrity"], entry["resolved"])
    found = files_of(content)
    assert found[f"{PLACE}/bin/cli.js"] == (0o755, TOOL["bin/cli.js"])
    assert found[f"{PLACE}/lib.js"] == (0o644, b"1")
    assert found["/usr/local/bin/tool"] == "../../../srv/tool/bin/cli.js"
    assert not (tmp_path / "ran").exists()
    assert content.reasons == ((PLACE, "its install script is not run"),)
    assert alone(inputs=content.inputs).reasons == content.reasons
    [component] = content.components
    assert (component.kind, component.name, component.version) == ("npm", "@scope/tool", "1.0.0")
    with pytest.raises(ImageError, match=r"`/usr/local/bin/tool` is to lead to `bin/other\.js`, which is not in"):
        listed(alone(keys='links = { "/usr/local/bin/tool" = "bin/other.js" }'))


def test_a_tag_is_pinned(alone, registry):
    """`latest` stays what it was until it is looked up anew; elsewhere the same version is fetched by its hash."""
    registry.add("tool", "1.0.0", TOOL)
    before = alone("tool@latest")
    registry.add("tool", "2.0.0", TOOL)
    registry.requests.clear()
    assert alone("tool@latest", inputs=before.inputs).inputs == before.inputs
    assert not registry.requests
    there = alone("tool@latest", inputs=before.inputs, machine="there")
    assert not registry.requests
    assert files_of(there) == files_of(before)
    assert alone("tool@latest").inputs[0].version == "2.0.0"


def test_another_archive(alone, registry):
    """What is not as the registry or the lock says is refused, with both hashes."""
    registry.add("tool", "1.0.0", TOOL)
    before = alone("tool@1.0.0")
    evil = archive([member("package/lib.js", b"evil")])
    registry.files["/npm/tool/-/tool-1.0.0.tgz"] = evil
    for inputs, remedy in (((), "the registry itself names"), (before.inputs, "esker image build --upgrade")):
        with pytest.raises(ImageError) as caught:
            listed(alone("tool@1.0.0", inputs=inputs, machine="there"))
        assert integrity(evil) in caught.value.message
        assert before.inputs[0].hash in caught.value.message
        assert remedy in caught.value.hint
    assert caught.value.place == f'[plugins.esker.image.prepare."{PLACE}"]'
    for wrong in ({"hash": "sha512-x"}, {"hash": f"sha1-{'A' * 27}="}, {"version": "../../x"}):
        with pytest.raises(ImageError, match=r"in \.flox/image\.lock has no valid hash"):
            alone("tool@1.0.0", inputs=[msgspec.structs.replace(before.inputs[0], **wrong)])
    with pytest.raises(ImageError, match="`tool@1.0.0` is not pinned".replace(".", r"\.")):
        alone("tool@1.0.0", locked=True)


def test_an_old_package(alone, registry):
    """One that has a SHA-1 alone in the registry is checked by it, and locked by its SHA-512."""
    entry = registry.add("tool", "1.0.0", TOOL)
    document = json.loads(registry.files["/npm/tool"])
    del document["versions"]["1.0.0"]["dist"]["integrity"]
    registry.files["/npm/tool"] = json.dumps(document).encode()
    assert alone("tool@1.0.0").inputs[0].hash == entry["integrity"]
    document["versions"]["1.0.0"]["dist"]["shasum"] = "0" * 40
    registry.files["/npm/tool"] = json.dumps(document).encode()
    with pytest.raises(ImageError, match=r"sha1-.* is expected"):
        alone("tool@1.0.0", machine="there")
    del document["versions"]["1.0.0"]["dist"]["shasum"]
    registry.files["/npm/tool"] = json.dumps(document).encode()
    with pytest.raises(HostError, match="has no hash"):
        alone("tool@1.0.0", machine="there")


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"<html>", "is not what npm's registries answer"), (b"[]", "is not what"), (b'{"dist-tags": {}}', "is not what")],
)
def test_what_no_registry_answers(alone, registry, answer, words):
    """The error has the address that was asked."""
    registry.files["/npm/tool"] = answer
    with pytest.raises(HostError, match=words):
        alone("tool@1.0.0")


def test_a_package_that_is_not_there(alone, registry):
    """A typing error in the name is not taken for a broken network; another refusal is told as it is."""
    with pytest.raises(ImageError, match=rf"`{registry.url}` has no package `toool`") as caught:
        alone("toool@1.0.0")
    assert caught.value.hint.startswith("correct its name")


def test_a_version_that_is_not_there(alone, registry):
    """The error names the registry and its tags."""
    registry.add("tool", "1.0.0", TOOL)
    with pytest.raises(ImageError, match=r"has no `tool@1\.0\.1`") as caught:
        alone("tool@1.0.1")
    assert "latest" in caught.value.hint


def test_registries_and_logins(alone, registry, project, tmp_path, variables):
    """A scope has a registry of its own; a login goes to its address alone, and never into the lock."""
    registry.add("@scope/tool", "1.0.0", TOOL)
    host = registry.url.removeprefix("http:")
    npmrc = tmp_path / "home/.npmrc"
    npmrc.write_text(
        f"@scope:registry={registry.url}/\n{host}/:_authToken=${{TOKEN}}\n//other.invalid/:_authToken=no\n"
    )
    elsewhere = {"npm_config_registry": "https://npm.invalid/", "TOKEN": "s3cret"}
    content = alone(**elsewhere)
    assert {*registry.logins.values()} == {"Bearer s3cret"}
    assert "s3cret" not in repr((content.inputs, content.components))

    npmrc.write_text(f"registry=https://npm.invalid/\n{host}/:_authToken=t\n")
    (project / ".npmrc").write_text(f"@scope:registry={registry.url}\n{host}/:_authToken=${{TOKEN}}\nscript-shell=x\n")
    registry.logins.clear()
    alone(machine="there", npm_config_registry="", TOKEN="s3cret")
    assert {*registry.logins.values()} == {"Bearer t"}


def test_a_registry_with_a_password(alone, registry):
    """It is used, and stands neither in the lock nor in an error."""
    registry.add("tool", "1.0.0", TOOL)
    address = registry.url.replace("//", "//me:s3cret@")
    content = alone("tool@1.0.0", npm_config_registry="", NPM_CONFIG_REGISTRY=address)
    assert {*registry.logins.values()} == {"Basic bWU6czNjcmV0"}
    assert content.inputs[0].url == registry.at("/npm/tool/-/tool-1.0.0.tgz")
    with pytest.raises(ImageError) as caught:
        alone("tool@2.0.0", npm_config_registry="", NPM_CONFIG_REGISTRY=address)
    assert "s3cret" not in caught.value.message
    registry.files["/npm/odd"] = b"odd"
    for name, kind in (("none", ImageError), ("odd", HostError)):
        with pytest.raises(kind, match=name) as refused:
            alone(f"{name}@2.0.0", npm_config_registry="", NPM_CONFIG_REGISTRY=address)
        assert "s3cret" not in str(refused.value)


def test_a_login_is_not_sent_in_clear(alone, tmp_path):
    """A registry by http gets none, and is not asked which version there is."""
    with pytest.raises(HostError, match="by http, anybody on the way could send another file"):
        alone("tool@1.0.0", npm_config_registry="http://npm.invalid/")


def test_without_any_registry(alone, tmp_path):
    """The error says how to name one; nothing stands in the code."""
    (tmp_path / "bin").mkdir()
    with pytest.raises(NotFound, match="no registry of npm is known for `tool`") as caught:
        alone("tool@1.0.0", npm_config_registry="", PATH=str(tmp_path / "bin"))
    assert "npm_config_registry" in caught.value.hint


def test_npm_is_asked_for_its_registry(alone, registry, tmp_path):
    """If neither variables nor files name one, npm does; it is asked outside of the project."""
    registry.add("tool", "1.0.0", TOOL)
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin/npm"
    npm.write_text(f'#!/bin/sh\necho "$*" "$PWD" >>{tmp_path}/asked\necho {registry.url}/\n')
    npm.chmod(0o755)
    alone("tool@1.0.0", npm_config_registry="", PATH=f"{tmp_path}/bin:/usr/bin:/bin")
    [line] = (tmp_path / "asked").read_text().splitlines()
    assert line.startswith("config get registry ")
    assert "/project" not in line


def test_a_lock_of_npm(by_lock, registry, tmp_path):
    """Every package lies where the lock says, and commands are linked beside it, as npm does."""
    script = {"install": f"touch {tmp_path}/ran"}
    tool = registry.add("@scope/tool", "1.0.0", TOOL, bin={"tool": "bin/cli.js"}, scripts=script)
    inner = registry.add("inner", "2.0.0", {"x.js": b"x"}, bin={"tool": "x.js", "inner": "x.js"})
    entries = {
        "node_modules/@scope/tool": tool | {"hasInstallScript": True},
        "node_modules/@scope/tool/node_modules/inner": inner,
        "node_modules/inner": inner,
        "node_modules/dev": {"version": "9.0.0", "dev": True, "integrity": "x"},
    }
    content = by_lock(entries, 'owner = "app"')
    found = listed(content)
    assert found[f"{PLACE}/"] == (0o755, 0, 0)
    assert found[f"{PLACE}/node_modules/"] == (0o755, 10000, 10000)
    assert found[f"{PLACE}/node_modules/@scope/tool/bin/cli.js"] == (0o755, TOOL["bin/cli.js"])
    assert found[f"{PLACE}/node_modules/@scope/tool/node_modules/inner/x.js"] == (0o755, b"x")
    assert found[f"{PLACE}/node_modules/.bin/tool"] == "../@scope/tool/bin/cli.js"
    assert found[f"{PLACE}/node_modules/.bin/inner"] == "../inner/x.js"
    assert found[f"{PLACE}/node_modules/@scope/tool/node_modules/.bin/inner"] == "../inner/x.js"
    assert not (tmp_path / "ran").exists()
    assert content.reasons == ((f"{PLACE}/node_modules/@scope/tool", "its install script is not run"),)
    assert [each.name for each in content.components] == ["@scope/tool", "inner", "inner"]
    [locked] = content.inputs
    assert (locked.kind, locked.name, locked.platform) == ("npm-lock", "package-lock.json", "linux/amd64")

    registry.requests.clear()
    newer = registry.add("inner", "2.0.1", {"x.js": b"y"})
    changed = by_lock(entries | {"node_modules/inner": newer}, inputs=content.inputs)
    assert changed.inputs[0].hash != locked.hash
    assert [*registry.requests] == ["/npm/inner/-/inner-2.0.1.tgz"]
    with pytest.raises(ImageError, match=r"`package-lock\.json` as it is now is not pinned"):
        by_lock(entries, inputs=changed.inputs, locked=True)


def test_where_a_locked_package_comes_from(by_lock, registry):
    """The configured registry is asked first, then what the lock says; a lock may say nothing."""
    entry = registry.add("tool", "1.0.0", TOOL)
    del entry["resolved"]
    by_lock({"node_modules/tool": entry})
    registry.files["/elsewhere.tgz"] = registry.files.pop("/npm/tool/-/tool-1.0.0.tgz")
    by_lock({"node_modules/tool": entry | {"resolved": registry.at("/elsewhere.tgz")}}, machine="there")
    assert registry.requests["/elsewhere.tgz"] == 1
    with pytest.raises(HostError, match=r"tool-1\.0\.0\.tgz` could not be downloaded"):
        by_lock({"node_modules/tool": entry}, machine="third")
    registry.files["/elsewhere.tgz"] = b"evil"
    with pytest.raises(ImageError, match=r"archive of `tool@1\.0\.0` with the hash .* is expected") as caught:
        by_lock({"node_modules/tool": entry | {"resolved": registry.at("/elsewhere.tgz")}}, machine="fourth")
    assert "if the lock of npm was altered" in caught.value.hint
    assert "--upgrade" not in caught.value.hint


def test_a_package_for_another_system(by_lock, registry):
    """Each system gets its own packages, and each has its own line in the lock."""
    intel = registry.add("intel", "1.0.0", {"x": b"i"}) | {"optional": True, "cpu": ["x64"]}
    arm = registry.add("arm", "1.0.0", {"x": b"a"}) | {"optional": True, "cpu": ["arm64"]}
    entries = {"node_modules/intel": intel, "node_modules/arm": arm}
    here, there = (by_lock(entries, system=f"{machine}-linux") for machine in ("x86_64", "aarch64"))
    assert f"{PLACE}/node_modules/intel/x" in files_of(here)
    assert [*files_of(there)] == [f"{PLACE}/node_modules/arm/package.json", f"{PLACE}/node_modules/arm/x"]
    assert here.inputs[0].platform != there.inputs[0].platform


def test_files_that_collide(by_lock, registry):
    """An archive that brings a file of another package is refused by name."""
    outer = registry.add("outer", "1.0.0", {"node_modules/inner/x": b"evil"})
    inner = registry.add("inner", "1.0.0", {"x": b"x"})
    content = by_lock({"node_modules/outer": outer, "node_modules/outer/node_modules/inner": inner})
    with pytest.raises(ImageError, match="has another entry of that path"):
        listed(content)


def test_a_lock_that_is_not_the_projects(by_lock, prepared, project):
    """It has to be tracked by git, and to be a lock."""
    by_lock({})
    with pytest.raises(ImageError, match=r"git tracks no regular file `tools/package-lock\.json`"):
        prepared(f'prepare."{PLACE}" = {{ npm-lock = "tools/package-lock.json" }}\n')
    (project / "link").symlink_to("/etc/passwd")
    subprocess.run(["git", "add", "link"], cwd=project, check=True)
    for name, hint in (("tools", '"tools/package-lock.json"'), ("*.json", "patterns are not taken"), ("x", "correct")):
        (project / "tools").mkdir(exist_ok=True)
        with pytest.raises(ImageError) as caught:
            prepared(f'prepare."{PLACE}" = {{ npm-lock = "{name}" }}\n')
        assert hint in caught.value.hint
    with pytest.raises(ImageError, match="git tracks no regular file `link`"):
        prepared(f'prepare."{PLACE}" = {{ npm-lock = "link" }}\n')
    (project / "package-lock.json").write_text("{}")
    with pytest.raises(InvalidLock, match="not a lock of npm"):
        prepared(f'prepare."{PLACE}" = {{ npm-lock = "package-lock.json" }}\n')
