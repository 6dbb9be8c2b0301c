from __future__ import annotations

import errno
import json
import os
import stat
import uuid

import pytest

from esker.declare.load import load
from esker.declare.template import create, files, inferred_name, manifest
from esker.declare.validate import read_text
from esker.errors import EskerError, HostError, UsageError
from esker.formats.lockfile import parse
from esker.formats.manifest import LATEST
from esker.formats.manifest import parse as parse_manifest


def test_files():
    """A new environment has Flox's files, and a lock of nothing."""
    written = files("items", manifest())
    assert json.loads(written.pop(".flox/env.json")) == {"name": "items", "version": 1}
    assert written.pop(".flox/.gitignore").split() == ["run/", "cache/", "lib/", "log/", "!env/"]
    attributes = "env/manifest.lock linguist-generated=true linguist-language=JSON\n"
    assert written.pop(".flox/.gitattributes") == attributes
    declared = parse_manifest(written.pop(".flox/env/manifest.toml"))
    assert parse(written.pop(".flox/env/manifest.lock").encode()).manifest == declared
    assert uuid.UUID(written.pop(".flox/telemetry_id")).version == 4
    assert written == {}


def test_the_manifest_declares_nothing():
    """The documented manifest and the bare one mean the same: the latest schema, nothing else."""
    declared = parse_manifest(manifest())
    assert declared.schema == LATEST
    assert (declared.install, declared.vars, declared.plugins, declared.services) == ({}, {}, {}, None)
    assert manifest(bare=True) == f'schema-version = "{LATEST}"\n'


@pytest.mark.parametrize("bare", [False, True])
def test_the_mode_at_home(bare):
    """An environment of the home directory is for running, not for building."""
    assert parse_manifest(manifest(bare=bare, mode="run")).options.activate.mode == "run"


def test_every_example_is_right():
    """Without their comment signs all the examples are one valid manifest that uses every section."""
    text, in_section = [], False
    for line in manifest().split("\n"):
        in_section = (in_section and line != "") or line.startswith("[") or line == "#"
        text.append(line.removeprefix("#").removeprefix(" ") if in_section and line.startswith("#") else line)
    declared, esker = read_text("\n".join(text))
    sections = (declared.install, declared.vars, declared.hook.on_activate, declared.profile.bash, declared.build)
    assert all((*sections, declared.services.services, declared.include.environments, declared.options.systems))
    assert esker.python.dependencies
    assert esker.services["web"].healthcheck


@pytest.mark.parametrize(
    ("directory", "home", "name"),
    [
        ("/srv/items", None, "items"),
        ("/srv/My Project_2", "/home/me", "my-project-2"),
        ("/srv/--Ärger!", "/home/me", "arger"),
        ("/home/me", "/home/me", "default"),
        ("/home/me/", "/home/../home/me", "default"),
        ("/srv/日本", None, "default"),
        ("/", "/home/me", "default"),
    ],
)
def test_inferred_names(directory, home, name):
    """An environment is called as its directory, in plain letters, and `default` at home."""
    assert inferred_name(directory, home) == name


def test_create(tmp_path):
    """What `create` makes can be loaded, is called by its directory, and leaves nothing beside it."""
    assert create(str(tmp_path / "New One"), home="/home/me") == "new-one"
    declaration = load(str(tmp_path / "New One"))
    assert (declaration.name, declaration.manifest.options.activate) == ("new-one", None)
    assert os.listdir(tmp_path / "New One") == [".flox"]
    assert stat.S_IMODE((tmp_path / "New One" / ".flox" / "env" / "manifest.toml").stat().st_mode) == 0o644


def test_create_at_home(tmp_path):
    """At home the environment is the default one, in run mode."""
    assert create(str(tmp_path), home=str(tmp_path)) == "default"
    assert load(str(tmp_path)).manifest.options.activate.mode == "run"


def test_create_with_a_name(tmp_path):
    """A name may be given; one that cannot be is an error of the command line and makes nothing."""
    for name in ("a/b", "", "a b"):
        with pytest.raises(UsageError, match="cannot be the name of an environment"):
            create(str(tmp_path), name)
    assert os.listdir(tmp_path) == []
    assert create(str(tmp_path), "Mine", bare=True) == "Mine"
    assert (tmp_path / ".flox" / "env" / "manifest.toml").read_text() == manifest(bare=True)


def test_an_existing_environment_is_left_alone(tmp_path):
    """Where there is an environment, or anything of its name, nothing is written."""
    (tmp_path / ".flox").write_text("")
    with pytest.raises(EskerError, match=f"Found an existing environment at `{tmp_path}/.flox`"):
        create(str(tmp_path))
    assert os.listdir(tmp_path) == [".flox"]


def test_nothing_is_half_made(tmp_path, monkeypatch):
    """When the disk is full the error says so and nothing is left."""

    def full(path, data, **_):
        raise OSError(errno.ENOSPC, "No space left on device", path)

    monkeypatch.setattr("esker.host.files.write", full)
    with pytest.raises(HostError, match="cannot make an environment"):
        create(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_made(tmp_path):
    """A place that is no directory is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="cannot make an environment in"):
        create(str(tmp_path / "file" / "below"))


def test_nothing_that_init_makes_is_open_to_the_writing_of_others(tmp_path):
    """Not even with the umask 000: others could put code there. The directories above a new project count too."""
    before = os.umask(0)
    try:
        create(str(tmp_path / "above" / "project"))
    finally:
        os.umask(before)
    paths = [tmp_path / "above", *(tmp_path / "above").rglob("*")]
    assert [path for path in paths if path.stat().st_mode & 0o022] == []
