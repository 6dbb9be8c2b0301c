from __future__ import annotations

import copy
import json

import msgspec
import pytest

from esker.errors import InvalidLock
from esker.formats.lockfile import CatalogLocked, FlakeLocked, Lockfile, StorePathLocked, differences, parse, render
from esker.formats.manifest import Manifest, migrate, record
from esker.formats.manifest import parse as parse_manifest
from tests.support.locks import LOCKS, OWN, PROJECTS, lock_id

V14 = 'schema-version = "1.14.0"\n'


def test_the_locks_are_here():
    """The project's own locks are among those that are tested."""
    assert {"shapes", "composed", "migrated"} <= {lock_id(path) for path in LOCKS}


@pytest.mark.parametrize("path", [*LOCKS, *PROJECTS], ids=lock_id)
def test_byte_for_byte(path):
    """A lock is read into typed values and written again as it was; nothing is left out but null."""
    data = path.read_bytes()
    lockfile = parse(data)
    if b": null" in data:
        text = json.dumps(without_nulls(json.loads(data)), indent=2, ensure_ascii=False)
        data = (text + "\n" * data.endswith(b"\n")).encode()
    assert render(lockfile) == data
    assert not list(plain_tables(lockfile))


@pytest.mark.parametrize("path", LOCKS, ids=lock_id)
def test_made_again_from_its_manifest(path):
    """The manifest in a lock is that of the file beside it, migrated where the lock was migrated."""
    lockfile = parse(path.read_bytes())
    manifest = parse_manifest((path.parent / "manifest.toml").read_text())
    if lockfile.own_manifest().schema != manifest.schema:
        manifest = migrate(manifest, lockfile.own_manifest().schema)
    assert json.dumps(record(manifest)) == json.dumps(record(lockfile.own_manifest()))
    assert manifest == lockfile.own_manifest()


def plain_tables(value, name=""):
    """Every dictionary that is left below a value, but for maps of texts, structs and plugins."""
    if isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            if field != "plugins":
                yield from plain_tables(getattr(value, field), field)
    elif isinstance(value, dict):
        if not all(isinstance(child, str | msgspec.Struct) for child in value.values()):
            yield name
        for child in value.values():
            yield from plain_tables(child, name)
    elif isinstance(value, tuple | frozenset):
        for child in value:
            yield from plain_tables(child, name)
    else:
        assert isinstance(value, str | int | None), name


# Keys that a lock may lack, by the table that they stand in; every other one must be there.
OPTIONAL = {
    "catalog": {"broken", "description", "license", "stabilities", "unfree", "outputs_to_install"},
    "flake": {
        "flake-description",
        "outputs-to-install",
        "requested-outputs-to-install",
        "pname",
        "version",
        "description",
        "licenses",
        "broken",
        "unfree",
        "priority",
    },
    "store path": set(),
    "compose": set(),
    "included": set(),
    "warning": set(),
    "lock": {"compose"},
}
FREE = {"install", "vars", "outputs", "plugins", "labels", "services", "build"}
"""Maps whose keys are names that somebody chose."""


def table_of(path, lock):
    """What kind of table holds a key, None for a table of the manifest."""
    match path:
        case ["packages", index, _]:
            entry = lock["packages"][index]
            return "catalog" if "attr_path" in entry else "flake" if "locked-url" in entry else "store path"
        case ["compose", _]:
            return "compose"
        case ["compose", "include", _, _]:
            return "included"
        case ["compose", "warnings", _, *_]:
            return "warning"
        case [_]:
            return "lock"
    return None


def keys_of(value, path=()):
    """The path of every key with a meaning of its own; names that somebody chose are walked through."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from keys_of(item, (*path, index))
    if isinstance(value, dict):
        for key, item in value.items():
            if path[-1:] == ("plugins",):
                continue
            if not (path and path[-1] in FREE) or key == "auto-start":
                yield (*path, key)
            yield from keys_of(item, (*path, key))


def required(path, lock):
    """Whether a lock without the key at `path` is no lock."""
    table = table_of(path, lock)
    if table is not None:
        return path[-1] not in OPTIONAL[table]
    always = {"options", "version", "schema-version", "pkg-path", "flake", "store-path", "command", "dir", "remote"}
    return path[-1] in always


def holder(lock, path):
    """The table or list in a copy of the lock that holds the last key of `path`, and the copy."""
    damaged = copy.deepcopy(lock)
    parent = damaged
    for key in path[:-1]:
        parent = parent[key]
    return damaged, parent


CASES = [
    pytest.param(path, key, id=f"{lock_id(path)}:{'.'.join(map(str, key))}")
    for path in LOCKS
    if path.parent.parent == OWN
    for key in keys_of(json.loads(path.read_text()))
]


def refused(lock):
    """The problems of a lock that is none."""
    with pytest.raises(InvalidLock) as caught:
        parse(json.dumps(lock).encode())
    assert all(problem.message and problem.hint for problem in caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize(("path", "key"), CASES)
def test_a_renamed_key_is_refused(path, key):
    """No fixed key may have another name."""
    damaged, parent = holder(json.loads(path.read_text()), key)
    parent[f"{key[-1]}-x"] = parent.pop(key[-1])
    refused(damaged)


@pytest.mark.parametrize(("path", "key"), CASES)
def test_a_missing_key(path, key):
    """A required key must be there, an optional one need not."""
    lock = json.loads(path.read_text())
    damaged, parent = holder(lock, key)
    del parent[key[-1]]
    if required(key, lock):
        refused(damaged)
    else:
        parse(json.dumps(damaged).encode())


OTHERS = [None, "text", 7, 0.5, True, [], [7], {}, {"x": 7}]
"""A value of every type."""


@pytest.mark.parametrize(("path", "key"), CASES)
def test_a_value_of_another_type_is_refused(path, key):
    """A value has the type that it always has; lists of texts hold texts."""
    lock = json.loads(path.read_text())
    _, parent = holder(lock, key)
    was = parent[key[-1]]
    for other in OTHERS:
        if type(other) is type(was) and other not in ([7], {"x": 7}):
            continue
        if other is None and not required(key, lock):
            continue  # null is how old locks say that a key is absent
        if key[-1] == "outputs" and other == [] and table_of(key, lock) is None:
            continue  # of a package in the manifest: `all`, or a list
        if key[-1] == "plugins" and isinstance(other, dict):
            continue  # free
        damaged, parent = holder(lock, key)
        parent[key[-1]] = other
        refused(damaged)


@pytest.mark.parametrize("path", LOCKS, ids=lock_id)
def test_damaged_locks(path):
    """The same three damages to every key of any lock, real ones too: renamed, missing, of another type."""
    lock = json.loads(path.read_text())
    lock["packages"] = lock["packages"][:1]
    for key in list(keys_of(lock)):
        for damage in ("rename", "remove", "retype"):
            damaged, parent = holder(lock, key)
            was = parent.pop(key[-1])
            if damage == "rename":
                parent[f"{key[-1]}-x"] = was
            elif damage == "retype":
                parent[key[-1]] = 0.5
            elif not required(key, lock):
                continue
            refused(damaged)


def test_shapes():
    """Each package is of its shape, with the paths that it installs."""
    tool, jq, hydra = parse((OWN / "shapes" / "manifest.lock").read_bytes()).packages
    assert (type(tool), type(jq), type(hydra)) == (StorePathLocked, CatalogLocked, FlakeLocked)
    assert tool.store_paths() == ("/nix/store/33333333333333333333333333333333-tool-1.0",)
    assert [path[-3:] for path in jq.store_paths()] == ["bin", "8.1"]
    assert hydra.store_paths() == ("/nix/store/22222222222222222222222222222224-hydra-2",)
    (twice,) = parse((OWN / "composed" / "manifest.lock").read_bytes()).packages
    assert twice.outputs_to_install == ("bin", "man", "bin")
    assert [path[-3:] for path in twice.store_paths()] == ["bin", "man"]


def test_what_was_composed():
    """A composed lock holds the project's own manifest, each layer, and what was replaced."""
    lockfile = parse((OWN / "composed" / "manifest.lock").read_bytes())
    assert lockfile.manifest.vars == {"bar": "high", "foo": "composer"}
    assert lockfile.own_manifest().vars == {"foo": "composer"}
    assert [(layer.name, layer.manifest.schema) for layer in lockfile.compose.include] == [
        ("low", "1"),
        ("high", "1.10.0"),
    ]
    assert lockfile.compose.warnings[1].warning.path == ("vars", "bar")


@pytest.mark.parametrize(("path", "key"), CASES)
def test_null_is_written_as_absent(path, key):
    """Old locks hold null for what is not there; it is read as if the key were missing."""
    lock = json.loads(path.read_text())
    with_null, parent = holder(lock, key)
    without, bare = holder(lock, key)
    if required(key, lock):
        return
    parent[key[-1]] = None
    del bare[key[-1]]
    assert render(parse(json.dumps(with_null).encode())) == render(parse(json.dumps(without).encode()))


def test_a_hook_with_null_is_an_empty_hook():
    """Flox wrote this where a manifest had nothing but the header of a table."""
    lock = {
        "lockfile-version": 1,
        "manifest": {"version": 1, "hook": {"on-activate": None}, "options": {}},
        "packages": [],
    }
    assert differences(parse(json.dumps(lock).encode()).manifest, parse_manifest("version = 1\n[hook]\n")) == ()


OLD = """{
  "lockfile-version": 1,
  "manifest": {
    "version": 1,
    "install": {},
    "vars": {},
    "hook": {},
    "options": {
      "allow": {},
      "semver": {}
    },
    "services": {},
    "build": {},
    "include": {}
  },
  "packages": []
}"""


@pytest.mark.parametrize("ending", ["", "\n"])
def test_the_empty_tables_and_the_last_line_feed_of_a_lock_stay_as_they_are(ending):
    """Old locks hold tables without keys and end without a line feed; a lock that was read is written as it was."""
    lockfile = parse((OLD + ending).encode())
    assert render(lockfile).decode() == OLD + ending
    assert differences(lockfile.manifest, Manifest(schema="1")) == ()


def test_a_lock_is_not_held_to_the_rules_for_manifests():
    """What Flox has locked is read, so that it can be locked again once the manifest is corrected."""
    lock = json.loads(OLD)
    lock["manifest"]["vars"] = {"A": "$B", "B": "$A", "1": "", "BASH_ENVTRACE_X": ""}
    lock["manifest"]["services"] = {"db": {"command": "db -D", "is-daemon": True, "systems": ["any text"]}}
    lock["manifest"]["options"]["systems"] = ["x86_64-linux"]
    lock["manifest"]["install"] = {"jq": {"pkg-path": "jq", "systems": ["aarch64-linux", "riscv64-linux"]}}
    assert json.loads(render(parse(json.dumps(lock).encode()))) == lock


def test_the_errors_of_a_lock_speak_of_json():
    """Nobody writes a lock, so no hint says what to write in TOML."""
    lock = json.loads(OLD)
    lock["manifest"]["vars"] = "text"
    lock["manifest"]["options"]["allow"] = {"licenses": {}}
    lock["manifest"]["services"] = {"web": {}, "auto-start": 5}
    lock["packages"] = [{"attr_path": "jq"}, 7]
    problems = refused(lock)
    again = "remove the file, then make the lock again: esker lock"
    newer = f"`auto-start` came with schema 1.12.0, and this file follows 1.0.0; {again}"
    assert {problem.hint for problem in problems} == {again, newer}
    told = [problem.message.partition("\n")[0] for problem in problems]
    assert "invalid type: string `text`, expected an object" in told
    assert "invalid type: object, expected an array" in told
    assert not any("table" in message for message in told)


def without_nulls(value):
    """Return what JSON holds without the keys that are null."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def test_all_problems_at_once():
    """Every problem of a lock is told, with the path of its key and what to do; its error names the file."""
    lock = json.loads((OWN / "shapes" / "manifest.lock").read_text())
    lock["lockfile-version"] = 2
    lock["manifest"]["vars"]["GREETING"] = 5
    del lock["packages"][1]["attr_path"]
    lock["packages"][0]["system"] = "x86-linux"
    with pytest.raises(InvalidLock) as caught:
        parse(json.dumps(lock).encode(), "/project/.flox/env/manifest.lock")
    assert [problem.message.partition("\n")[0] for problem in caught.value.problems] == [
        "lockfile version `2` is not known",
        "invalid type: integer `5`, expected a string",
        "Unrecognized system in manifest: x86-linux",
        "missing field `attr_path`",
    ]
    assert caught.value.problems[1].message.endswith("in `manifest.vars.GREETING`")
    assert caught.value.place == "/project/.flox/env/manifest.lock"


@pytest.mark.parametrize(
    ("data", "message", "line"),
    [
        (b"", "not JSON: Expecting value", 1),
        (b'{\n"a": }', "not JSON: Expecting value", 2),
        (b"\xff", "not JSON: 'utf-8' codec can't decode", None),
        (b'{"lockfile-version": NaN}', "not JSON: `NaN` is not a number", None),
        (b"[" * 100000, "not JSON: more than 64 tables or arrays", None),
        (b"[]", "invalid type: array, expected an object", None),
        (b'"text"', "invalid type: string `text`, expected an object", None),
        (b"<<<<<<< HEAD\n{}", "not JSON: Expecting value", 1),
    ],
)
def test_malformed(data, message, line):
    """What is no JSON, or not a table, is one problem and no crash."""
    with pytest.raises(InvalidLock) as caught:
        parse(data)
    assert caught.value.problems[0].message.startswith(message)
    assert caught.value.problems[0].line == line


def test_made_from_a_manifest():
    """A lock may be made without packages; absent optional parts are left out."""
    lockfile = Lockfile(manifest=parse_manifest("version = 1"), packages=())
    assert json.loads(render(lockfile)) == {
        "lockfile-version": 1,
        "manifest": {"version": 1, "options": {}},
        "packages": [],
    }
    assert parse(render(lockfile)) == lockfile


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("", "", []),
        ("[vars]\n[hook]\n[options.allow]\nlicenses = []", "[services]", []),
        ("", "vars.FOO = 'x'", ["`vars.FOO` was added"]),
        ("vars.FOO = 'x'\nvars.A = ''", "vars.FOO = 'y'", ["`vars.A` was removed", "`vars.FOO` was changed"]),
        ("services.db.command = 'a'", "services.db.command = 'b'", ["`services.db.command` was changed"]),
        ("services.db.command = 'a'", "", ["`services.db` was removed"]),
        ("install.a.pkg-path = 'a'", "install.'b.c'.pkg-path = 'a'", ["`install.a` was removed", '`install."b.c"` was added']),
        ("install.a.pkg-path = 'a'", "install.a = { pkg-path = 'a', version = '1' }", ["`install.a.version` was added"]),
        ("hook.on-activate = 'a'", "hook.on-activate = 'b'", ["`hook.on-activate` was changed"]),
        ("plugins.esker.python.dependencies = ['a']", "plugins.esker.python.dependencies = ['a', 'b']", ["`plugins.esker.python.dependencies` was changed"]),
        ("options.systems = ['aarch64-linux']", "", ["`options.systems` was removed"]),
    ],
)  # fmt: skip
def test_differences(before, after, told):
    """Each entry that differs is named with how it does; empty tables say nothing."""
    assert differences(parse_manifest(V14 + before), parse_manifest(V14 + after)) == tuple(told)


def test_differences_of_schemas():
    """Another schema is a difference of its own, whichever key names it."""
    assert differences(Manifest(schema="1"), Manifest(schema="1.14.0")) == ("`schema-version` was changed",)
