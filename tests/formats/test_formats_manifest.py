from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path

import pytest

from esker.errors import InvalidManifest
from esker.formats.manifest import LATEST, SCHEMAS, Manifest, from_table, migrate, parse, record
from esker.formats.manifest_schema import CatalogPackage, Hook, Profile, StorePathPackage
from esker.formats.tables.reader import Report, key_paths
from tests.support.locks import LOCKS, lock_id

DATA = Path(__file__).parent / "data"
V15 = 'schema-version = "1.15.0"\n'


def problems_of(text):
    """Every problem of a manifest."""
    with pytest.raises(InvalidManifest) as caught:
        parse(text)
    return caught.value.problems


def one_problem(text):
    """The one problem of a manifest."""
    (problem,) = problems_of(text)
    return problem


def test_ten_mistakes_are_told_at_once():
    """All mistakes of a file are in one error, each with its line and what to do."""
    mistakes = DATA / "ten_mistakes"
    with pytest.raises(InvalidManifest) as caught:
        parse((mistakes / "manifest.toml").read_text(), ".flox/env/manifest.toml")
    assert str(caught.value) + "\n" == (mistakes / "messages.txt").read_text()


# What Flox says, it says in these words: (the manifest, its line, the message, a word of the hint).
TEXTS = {
    "syntax": (
        "version = 1\nfoo = ;\n",
        2,
        "TOML parse error at line 2, column 7\n  |\n2 | foo = ;\n  |       ^\nInvalid value",
        "correct the syntax",
    ),
    "twice": (
        "[vars]\nA = 'a'\n[vars]\n",
        3,
        "TOML parse error at line 3, column 6\n  |\n3 | [vars]\n  |      ^\nCannot declare ('vars',) twice",
        "this is defined above already",
    ),
    "no schema": ("", None, "manifest 'schema-version' field is missing", LATEST),
    "unknown schema": ('schema-version = "1.9.0"', 1, "manifest had invalid schema version '1.9.0'", "1.10.0"),
    "newer schema": (
        'schema-version = "2.0.0"',
        1,
        "manifest had invalid schema version '2.0.0'",
        f"schema 2.0.0 is newer than this Esker knows (up to {LATEST}): update Esker, or go on with Flox 2.0.0",
    ),
    "unknown version": ("version = 2", 1, "manifest had invalid schema version '2'", "version = 1"),
    "schema that is a version": ('schema-version = "1"', 1, "manifest had invalid schema version '1'", "1.10.0"),
    "wrong version": ('version = "1"', 1, "'version' field must be an integer", "version = 1"),
    "wrong schema": (
        "schema-version = 1",
        1,
        "'schema-version' field must be a version string like \"X.Y.Z\"",
        LATEST,
    ),
    "both": (
        'version = 1\nschema-version = "1.10.0"',
        2,
        "unknown field `schema-version`",
        "remove one of the two",
    ),
    "shape": (
        V15 + "install.a.priority = 1",
        2,
        (
            "Expected either a catalog package descriptor, a flake installable or a store path.\nSee https://flox.dev/docs/"
            "reference/command-reference/manifest.toml/#package-descriptors for more information.\nin `install.a`"
        ),
        "pkg-path",
    ),
    "include": (
        V15 + "[[include.environments]]\nname = 'x'",
        2,
        (
            "expected { dir = <dir>, [name = <name>] } OR { remote = <owner/name>, [name = <name>] }\n"
            "in `include.environments.0`"
        ),
        "dir",
    ),
    "minimum": (
        V15 + 'minimum-cli-version = "not.a.version"',
        2,
        'Expected a version string or { version = "<version>", reason = "<reason>" }\nin `minimum-cli-version`',
        "1.14.0",
    ),
    "daemon": (
        V15 + "[services.db]\ncommand = 'x'\nis-daemon = true",
        4,
        (
            "Services that spawn daemon processes must supply a shutdown command.\n\n"
            "The following services did not specify a shutdown command:\n- db"
        ),
        "shutdown.command",
    ),
    "unknown key": (
        V15 + "services.db.command = 'x'\nservices.db.shutdown = { comand = 'y', command = 'z' }",
        3,
        "unknown field `comand`, expected `command`\nin `services.db.shutdown`",
        "did you mean `command`?",
    ),
    "system": (
        V15 + "options.systems = ['x86-linux']",
        2,
        (
            "Unrecognized system in manifest: x86-linux\n\nSupported systems are: "
            "aarch64-darwin, aarch64-linux, x86_64-darwin, x86_64-linux\nin `options.systems.0`"
        ),
        "correct",
    ),
    "disabled system": (
        V15 + "options.systems = ['aarch64-linux']\n[install.a]\npkg-path = 'a'\nsystems = [\n  'x86_64-linux']",
        6,
        (
            "'a' specifies disabled or unknown system 'x86_64-linux' (enabled systems: aarch64-linux).\n\n"
            "Add 'x86_64-linux' to 'options.systems' in manifest.toml"
        ),
        "remove it",
    ),
    "cycle": (
        V15 + "[vars]\nc = '$a'\nb = '${c%.*}'\na = '$b/$a'\n",
        5,
        (
            "Found a reference cycle in the '[vars]' section: a → b → c → a.\n"
            "Remove one of these references so the variables no longer form a loop."
        ),
        "`a`",
    ),
    "reserved": (
        V15 + "vars.BASH_ENVTRACE_X = ''",
        2,
        "manifest [vars] may not set reserved variable 'BASH_ENVTRACE_X'\nin `vars.BASH_ENVTRACE_X`",
        "another name",
    ),
    "variable": (V15 + "vars.a-b = ''", 2, "`a-b` is not the name of a variable\nin `vars.a-b`", "underscores"),
    "service's variable": (
        V15 + "services.a = { command = '', vars = { '1' = '' } }",
        2,
        "`1` is not the name of a variable\nin `services.a.vars.1`",
        "underscores",
    ),
    "auto-start": (
        V15 + "services.auto-start.command = 'x'",
        2,
        "a service cannot be called `auto-start`\nin `services.auto-start`",
        "rename",
    ),
    "taken name": (
        V15 + "services.flox_never_exit.command = 'x'",
        2,
        "the name `flox_never_exit` is reserved\nin `services.flox_never_exit`",
        "another name",
    ),
    "path as a name": (
        V15 + "services.'../x'.command = 'x'",
        2,
        '`../x` cannot be the name of a service\nin `services."../x"`',
        "the log is a file",
    ),
    "type": (
        V15 + "services.a = { command = 'x', systems = true }",
        2,
        "invalid type: boolean `true`, expected an array\nin `services.a.systems`",
        'systems = ["…"]',
    ),
    "whole number": (
        V15 + "install.a = { pkg-path = 'x', priority = true }",
        2,
        "invalid type: boolean `true`, expected an integer\nin `install.a.priority`",
        "priority = 5",
    ),
    "below zero": (
        V15 + "install.a = { pkg-path = 'x', priority = -1 }",
        2,
        "`-1` is below zero\nin `install.a.priority`",
        "zero or more",
    ),
    "choice": (
        V15 + "options.activate.mode = 'running'",
        2,
        "unknown variant `running`, expected `dev` or `run`\nin `options.activate.mode`",
        "did you mean `run`?",
    ),
    "choice of a later schema": (
        "schema-version = '1.12.0'\nbuild.a = { command = 'x', sandbox = 'warn' }",
        2,
        "unknown variant `warn`, expected `off` or `pure`\nin `build.a.sandbox`",
        "1.13.0",
    ),
    "outputs": (
        V15 + "install.a = { pkg-path = 'x', outputs = 'out' }",
        2,
        "unknown variant `out`, expected `all`\nin `install.a.outputs`",
        'outputs = "all"',
    ),
    "no alternative": (
        V15 + "build.a = { command = 'x', version = 5 }",
        2,
        "invalid type: integer `5`, expected a string or a table\nin `build.a.version`",
        'version = "…"',
    ),
    "missing": (V15 + "build.a = {}", 2, "missing field `command`\nin `build.a`", 'command = "…"'),
    "reference": (
        V15 + "include.environments = [{ remote = 'x' }]",
        2,
        "`x` is not the reference of an environment\nin `include.environments.0.remote`",
        "owner/name",
    ),
    "NUL": (V15 + 'vars.A = "\\u0000"', 2, "the text holds a NUL character\nin `vars.A`", "take it out"),
    "infinite": (V15 + "plugins.x.y = inf", 2, "a lock cannot hold the number `inf`\nin `plugins.x`", "string"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_texts(case):
    """Each mistake is told in these words, with its line and a hint."""
    text, line, message, hint = TEXTS[case]
    problem = one_problem(text)
    assert (problem.line, problem.message) == (line, message)
    assert hint in problem.hint


def test_flox_words_stand_first():
    """The error as a person reads it begins as Flox's does; its place names file and line."""
    with pytest.raises(InvalidManifest) as caught:
        parse("version = 1\nfoo = 1\n", "dir/manifest.toml")
    assert caught.value.lines()[:2] == ["Failed to parse manifest:", ""]
    assert caught.value.place == "dir/manifest.toml:2"


@pytest.mark.parametrize("text", ["a = 'x", "[a", "a = 1\na = 2", "a = [1,", "\ufeffversion = 1", "[[a]]\n[a]", ""])
def test_malformed(text):
    """A text that is not TOML, or is empty, is one problem, not a crash."""
    assert one_problem(text).message.startswith(("TOML parse error at line ", "manifest 'schema-version'"))


def test_messages_move_no_cursor():
    """What a file holds does not reach the terminal as it is, where that would do more than show it."""
    assert one_problem(V15 + 'plugins."\\u001b[2J" = inf').message.endswith('in `plugins."\\x1b[2J"`')
    assert "\\x1b" in one_problem("version = 1\nx = 1 # \t\x1b[2J").message
    assert one_problem("a = 1\n\tb =\t;").message.splitlines()[2:4] == ["2 |  b = ;", "  |      ^"]


def test_deep_nesting_is_refused():
    """What no lock could hold, or no reader read, is a problem and no crash."""
    for depth in (70, 400, 5000):
        assert "inside each other" in one_problem(V15 + "plugins.x.y = " + "[" * depth + "]" * depth).message


def test_a_number_of_thousands_of_digits_is_refused():
    """Python reads none of more than 4300 digits, and says so with an error of its own."""
    assert one_problem(V15 + "plugins.x.y = " + "9" * 5000).message == "a number has too many digits"


def test_a_key_belongs_to_its_schema_and_later_ones():
    """Each key with a first schema is accepted from that schema on and unknown before, with a hint that says so."""
    examples = {
        ("minimum-cli-version",): "minimum-cli-version = '1.14.0'",
        ("install", "<name>", "outputs"): "install.a = { pkg-path = 'x', outputs = 'all' }",
        ("hook", "on-deactivate"): "hook.on-deactivate = 'x'",
        ("profile", "deactivate"): "profile.deactivate.bash = 'x'",
        ("services", "auto-start"): "services.auto-start = true",
        ("build", "<name>", "sandbox-allow"): "build.a = { command = 'x', sandbox-allow = [] }",
        ("plugins",): "plugins.a.b = 1",
        ("services", "<name>", "depends-on"): "services.a = { command = 'x', depends-on = {} }",
        ("services", "<name>", "shutdown", "timeout-seconds"): (
            "services.a = { command = 'x', shutdown = { command = 'y', timeout-seconds = 1 } }"
        ),
        ("services", "<name>", "shutdown", "signal"): "services.a = { command = 'x', shutdown.signal = 2 }",
        ("description",): "description = 'x'",
        ("options", "activate", "upgrade-notifications"): "options.activate.upgrade-notifications = false",
        ("options", "stability"): "options.stability = 'lts'",
        ("pkg-groups",): "pkg-groups.a.stability = 'lts'",
    }
    firsts = {path: since for path, since in key_paths(Manifest) if since}
    assert firsts.keys() == examples.keys()
    for path, since in firsts.items():
        for schema in SCHEMAS:
            text = (f"schema-version = '{schema}'" if schema != "1" else "version = 1") + "\n" + examples[path]
            if SCHEMAS.index(schema) >= SCHEMAS.index(since):
                assert parse(text).schema == schema
            else:
                problem = problems_of(text)[0]
                assert problem.message.startswith(f"unknown field `{path[-1]}`")
                assert since in problem.hint


def test_maps_are_sorted_and_tables_typed():
    """What is read are frozen values, maps by name."""
    manifest = parse(
        V15 + "[install]\nb.pkg-path = 'b'\na.store-path = '/nix/store/x'\n[vars]\nZ = ''\nA = ''\n[hook]\n"
    )
    assert list(manifest.install.items()) == [
        ("a", StorePathPackage(store_path="/nix/store/x")),
        ("b", CatalogPackage(pkg_path="b")),
    ]
    assert list(manifest.vars) == ["A", "Z"]
    assert (manifest.hook, manifest.profile) == (Hook(), None)
    with pytest.raises(AttributeError):
        manifest.schema = "1"


def test_services_of_a_manifest():
    """`auto-start` is a switch of [services], every other key a service."""
    services = parse(V15 + "[services]\nauto-start = true\ndb.command = 'x'\ndb.vars.A = 'b'\n").services
    assert (services.auto_start, list(services.services)) == (True, ["db"])
    assert services.services["db"].vars == {"A": "b"}


def test_record_leaves_out_what_is_empty():
    """Empty maps are left out, `options` is always there, an explicit empty [hook] or [profile] is kept."""
    assert record(parse(V15)) == {"schema-version": "1.15.0", "options": {}}
    empty = "[install]\n[vars]\n[hook]\n[profile]\n[services]\n[include]\n[options]\n[build]\n[plugins]\n"
    assert record(parse(V15 + empty)) == {"schema-version": "1.15.0", "hook": {}, "profile": {}, "options": {}}
    assert parse(V15 + "[profile]").profile == Profile()


def test_record_has_a_fixed_order():
    """However a manifest is ordered, its record has the keys in the order of a lock, and sets and maps sorted."""
    text = (DATA / "everything" / "manifest.toml").read_text()
    recorded = record(parse(text))
    assert json.dumps(recorded, indent=2) + "\n" == (DATA / "everything" / "manifest.json").read_text()


def test_the_keys_of_a_lock_stand_in_the_order_of_flox():
    """A lock that Esker makes again differs from that of Flox only where the manifest does."""
    text = """
        [install]
        jq = { outputs = "all", systems = [], version = "1", priority = 1, pkg-group = "g", pkg-path = "jq" }
        hydra = { outputs = "all", systems = [], priority = 1, flake = "f" }
        own = { priority = 1, systems = [], store-path = "/nix/store/own" }
        [services]
        db = { systems = [], systemd = {}, shutdown.command = "c", is-daemon = true, vars.A = "a", command = "c" }
    """
    recorded = record(parse(V15 + text))
    assert {name: list(package) for name, package in recorded["install"].items()} == {
        "hydra": ["flake", "priority", "systems", "outputs"],
        "jq": ["pkg-path", "pkg-group", "priority", "version", "systems", "outputs"],
        "own": ["store-path", "systems", "priority"],
    }
    assert list(recorded["services"]["db"]) == ["command", "vars", "is-daemon", "shutdown", "systemd", "systems"]


def test_a_service_may_name_any_system():
    """Flox checks only the systems of packages and options; a service of another system is not there on this one."""
    assert parse(V15 + 'services.web = { command = "c", systems = ["riscv64-linux"] }').services.services[
        "web"
    ].systems == ("riscv64-linux",)


def test_plugins_are_plain_json():
    """Dates become texts and tables are sorted, so that a lock can hold them and order does not matter."""
    manifest = parse(V15 + "[plugins.x]\nz = 1979-05-27\na = [{ c = 1, b = 07:32:00 }]\n")
    assert list(manifest.plugins["x"].items()) == [("a", [{"b": "07:32:00", "c": 1}]), ("z", "1979-05-27")]


@pytest.mark.parametrize("path", LOCKS, ids=lock_id)
def test_record_of_locks(path):
    """A lock's manifest is made again from the manifest beside it, after migration where the lock was migrated."""
    lock = json.loads(path.read_text())
    locked = lock["compose"]["composer"] if "compose" in lock else lock["manifest"]
    manifest = parse((path.parent / "manifest.toml").read_text())
    if manifest.schema == "1":
        manifest = migrate(manifest, "1.14.0")
    assert json.dumps(record(manifest)) == json.dumps(locked)


class Locked:
    """What a lock says of a package's outputs."""

    def __init__(self, install_id, outputs, outputs_to_install):
        self.install_id = install_id
        self.outputs = dict.fromkeys(outputs, "/nix/store/x")
        self.outputs_to_install = outputs_to_install


def test_migration_from_version_1():
    """Version 1 installs every output: `all` is written down unless the lock shows that it makes no difference."""
    manifest = parse("version = 1\n[install]\na.pkg-path = 'a'\nb.flake = 'b'\nc.pkg-path = 'c'\nd.store-path = '/x'\n")
    locked = [
        Locked("a", ["out", "man"], ("man", "out", "out")),
        Locked("b", ["out", "dev"], ("out",)),
        Locked("b", ["out"], ("out",)),
    ]
    migrated = migrate(manifest, "1.14.0", locked)
    assert migrated.schema == "1.14.0"
    assert [getattr(package, "outputs", "-") for package in migrated.install.values()] == [None, "all", "all", "-"]
    assert [package.outputs for package in list(migrate(manifest).install.values())[:3]] == ["all"] * 3


def test_migration_of_later_schemas():
    """Later schemas are copied and counted up; one that is new enough stays as it is."""
    manifest = parse('schema-version = "1.10.0"\ninstall.a.pkg-path = "a"')
    assert record(migrate(manifest)) == {**record(manifest), "schema-version": LATEST}
    assert migrate(migrate(manifest), "1.14.0").schema == LATEST


def test_from_json():
    """The JSON of a lock is read as the TOML that it was made of."""
    text = (DATA / "everything" / "manifest.toml").read_text()
    report = Report()
    assert from_table(record(parse(text)), report) == parse(text)
    assert not report.problems


def test_everything_uses_every_key():
    """The fixture with everything in it has every key that a manifest may have."""
    table = tomllib.loads((DATA / "everything" / "manifest.toml").read_text())
    manifest = from_table(table, Report())
    missing = [path for path, _ in key_paths(Manifest) if not _reaches(table, path)]
    assert missing == []
    assert math.isclose(manifest.plugins["other"]["ratio"], 0.5)


def _reaches(value, path):
    if not path:
        return True
    if isinstance(value, list):
        return any(_reaches(item, path) for item in value)
    if not isinstance(value, dict):
        return False
    keys = value if path[0] == "<name>" else [path[0]]
    return any(key in value and _reaches(value[key], path[1:]) for key in keys)
