from __future__ import annotations

import json
import os
import tomllib

import pytest

from esker.declare.declaration import EskerTable
from esker.declare.load import load
from esker.errors import HostError, InvalidFile, InvalidLock, InvalidManifest, NotFound
from tests.support.projects import write_project

MANIFEST = 'schema-version = "1.14.0"\n[services]\ndb.command = "db"\nworker.command = "worker"\nworker.systems = ["aarch64-linux"]\n'


@pytest.fixture
def project(tmp_path):
    """A project with an environment called items."""
    return write_project(tmp_path, MANIFEST)


def test_declaration(project, tmp_path_factory):
    """A project is read from its two files, and lies where it really lies."""
    link = tmp_path_factory.mktemp("links") / "link"
    os.symlink(project, link)
    declaration = load(str(link))
    assert (declaration.project, declaration.name) == (str(project), "items")
    assert declaration.dot_flox == f"{project}/.flox"
    assert declaration.esker == EskerTable()
    assert list(declaration.services_for("x86_64-linux")) == ["db"]
    assert list(declaration.services_for("aarch64-linux")) == ["db", "worker"]


def test_a_managed_environment(project):
    """An environment that Flox's hub keeps has a pointer with an owner."""
    pointer = {"owner": "me", "name": "far", "floxhub_url": "https://hub.example.org/", "version": 1}
    (project / ".flox" / "env.json").write_text(json.dumps(pointer))
    assert load(str(project)).name == "far"


def test_another_text(project):
    """A manifest that is not written yet can be asked for what it would declare."""
    declaration = load(str(project), manifest="version = 1")
    assert (declaration.name, declaration.manifest.services) == ("items", None)


def test_all_problems_of_the_manifest_at_once(project):
    """Mistakes in Flox's tables and in our own are told together, in the order of their lines."""
    path = project / ".flox" / "env" / "manifest.toml"
    path.write_text(
        MANIFEST + "[plugins.esker.services.db]\nrestart = 'never'\n[hook]\nscript = 'x'\n[plugins.esker]\npyton = 1\n"
    )
    with pytest.raises(InvalidManifest) as caught:
        load(str(project))
    assert [problem.line for problem in caught.value.problems] == [7, 9, 11]
    assert caught.value.place == f"{path}:7"
    assert caught.value.problems[2].hint == "did you mean `python`?"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (".flox", "Did not find an environment in `{}`"),
        (".flox/env.json", "`{}/.flox/env.json` is missing"),
        (".flox/env/manifest.toml", "`{}/.flox/env/manifest.toml` is missing"),
    ],
)
def test_what_is_missing(project, missing, message):
    """Each part that is not there is named, with what to do."""
    (project / missing).rename(project / "elsewhere")
    with pytest.raises(NotFound) as caught:
        load(str(project))
    assert caught.value.message == message.format(project)
    advice = "create one: esker init" if missing == ".flox" else "write it anew: echo "  # the other files stay
    assert advice in caught.value.hint


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("{\n", 2, "not JSON: Expecting property name enclosed in double quotes"),
        ("[]", None, "invalid type: array, expected a table"),
        ('{"version": 1}', None, "missing field `name`"),
        ('{"name": "a"}', None, "missing field `version`"),
        ('{"name": "a", "version": 2}', None, "version `2` is not known\nin `version`"),
        ('{"name": "a", "version": true}', None, "invalid type: boolean `true`, expected an integer\nin `version`"),
        ('{"name": "a", "version": ' + "1" * 5000 + "}", None, "not JSON: Exceeds the limit"),
        ("[" * 100_000, None, "not JSON: more than 64 tables or arrays"),
        (r'{"name": "a\u001b]0;t", "version": 1}', None, r"`a\x1b]0;t` cannot be the name of an environment"),
        ('{"name": "a/b", "version": 1}', None, "`a/b` cannot be the name of an environment\nin `name`"),
        ('{"nam": "a", "version": 1}', None, "missing field `name`"),
    ],
)
def test_a_bad_pointer(project, text, line, message):
    """What is wrong with env.json is told as for a manifest."""
    (project / ".flox" / "env.json").write_text(text)
    with pytest.raises(InvalidFile) as caught:
        load(str(project))
    (problem,) = caught.value.problems
    assert problem.line == line
    assert problem.message.startswith(message)
    assert caught.value.place.startswith(f"{project}/.flox/env.json")


def test_bytes_that_are_no_text(project):
    """A manifest in another encoding is told with its line."""
    (project / ".flox" / "env" / "manifest.toml").write_bytes(MANIFEST.encode() + b"# caf\xe9\n")
    with pytest.raises(InvalidManifest) as caught:
        load(str(project))
    assert caught.value.place.endswith("manifest.toml:6")
    assert "UTF-8" in caught.value.message


def test_what_cannot_be_read(project):
    """A manifest that the machine does not give is an error of the machine that names it."""
    path = project / ".flox" / "env" / "manifest.toml"
    path.unlink()
    path.mkdir()
    with pytest.raises(HostError, match=r"manifest\.toml"):
        load(str(project))


@pytest.mark.parametrize("name", ["env.json", "env/manifest.toml"])
def test_what_is_no_file_or_too_large(project, name):
    """A pipe is not waited for, a device not read to its end, and nobody wrote a manifest of a terabyte."""
    path = project / ".flox" / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(HostError, match="it is not a regular file"):
        load(str(project))
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(HostError, match="it is not a regular file"):
        load(str(project))
    path.unlink()
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(HostError, match="has more than 512 KiB"):
        load(str(project))
    path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(HostError) as caught:
        load(str(project))
    assert "put the file itself there" in caught.value.hint


DAEMON = 'version = 1\n[services.server]\ncommand = "true"\nis-daemon = true\n'
SYSTEMS = 'version = 1\n[install]\na = { pkg-path = "a", systems = ["x86_64-linux"] }\n[options]\nsystems = ["aarch64-linux"]\n'
CYCLE = 'version = 1\n[vars]\nA = "$B"\nB = "$A"\n'


def locked(tmp_path, text, **changed):
    """Write an environment whose lock holds its manifest, with changes, and return its directory."""
    directory = write_project(tmp_path / "locked", text)
    manifest = {"options": {}, **tomllib.loads(text), **changed}
    lock = {"lockfile-version": 1, "manifest": manifest, "packages": []}
    (directory / ".flox/env/manifest.lock").write_text(json.dumps(lock))
    return str(directory)


@pytest.mark.parametrize("text", [DAEMON, SYSTEMS])
def test_a_manifest_that_was_locked_before_a_rule_came_is_accepted(tmp_path, text):
    """An old Flox had no such rule: while nobody edits the manifest, its environment goes on working."""
    directory = locked(tmp_path, text)
    assert load(directory).manifest.schema == "1"
    with pytest.raises(InvalidManifest):
        load(directory, manifest=text + "\n[containerize]\n[profile]\ncommon = 'true'\n")


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (DAEMON, {"vars": {"A": "1"}}),
        (CYCLE, {}),
        (DAEMON.replace("version = 1", 'schema-version = "1.14.0"') + "[plugins.esker.services.serve]\n", {}),
        (DAEMON + "[services.other]\ncomand = 'true'\n", {}),
    ],
    ids=["another manifest is locked", "it cannot work", "a rule of Esker's own", "a key that no Flox knows"],
)
def test_a_lock_excuses_nothing_else(tmp_path, text, changed):
    """The rule counts where the lock says something else, and so does everything that is no rule of Flox's."""
    with pytest.raises(InvalidManifest):
        load(locked(tmp_path, text, **changed))


def test_a_damaged_lock_does_not_hide_the_mistake(tmp_path):
    """What is wrong with the manifest is told, and not what is wrong with the file that might have excused it."""
    directory = locked(tmp_path, DAEMON)
    for content in ("{}", "[", ""):
        (tmp_path / "locked/.flox/env/manifest.lock").write_text(content)
        with pytest.raises(InvalidManifest, match="shutdown"):
            load(directory)


def test_a_merge_whose_variables_form_a_loop_is_refused(tmp_path):
    """Each layer is right alone; Flox finds the loop when it builds, and so after the lock was made."""
    own = 'schema-version = "1.14.0"\n[vars]\nA = "$B"\n[include]\nenvironments = [{ dir = "../low" }]\n'
    directory = write_project(tmp_path / "high", own)
    composer = {"options": {}, **tomllib.loads(own)}
    merged = {"schema-version": "1.14.0", "vars": {"A": "$B", "B": "$A"}, "options": {}}
    lock = {"lockfile-version": 1, "manifest": merged, "packages": []}
    lock["compose"] = {"composer": composer, "include": [], "warnings": []}
    (directory / ".flox/env/manifest.lock").write_text(json.dumps(lock))
    with pytest.raises(InvalidLock, match="A → B → A"):
        load(str(directory))
