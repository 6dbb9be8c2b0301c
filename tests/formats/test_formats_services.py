"""`[services]` of the schemas from 1.16.0 on, with Flox's texts for what is wrong; and schemas that nobody knows yet."""

from __future__ import annotations

import json

import pytest

from esker.errors import InvalidLock, InvalidManifest
from esker.formats import lockfile
from esker.formats.manifest import LATEST, SCHEMAS, Dependency, Shutdown, migrate, parse, record

V15, V16 = (f'schema-version = "{schema}"\n' for schema in ("1.15.0", "1.16.0"))
LISTED = "one of `process_started`, `process_completed`, `process_completed_successfully`"


def problems_of(text):
    """The problems of a manifest: messages and hints."""
    with pytest.raises(InvalidManifest) as caught:
        parse(text)
    return [(problem.message, problem.hint) for problem in caught.value.problems]


def as_lock(manifest, **changed):
    """The JSON of a lock with this manifest and no packages."""
    return json.dumps({"lockfile-version": 1, "manifest": {**manifest, **changed}, "packages": []}).encode()


def test_dependencies_and_shutdown_are_read():
    """A service says what must have happened before it starts, and how it is stopped."""
    services = parse(
        V16 + "[services]\na = { command = 'a', shutdown = { command = 'x', timeout-seconds = 7 } }\n"
        "b = { command = 'b', depends-on.a.condition = 'process_completed', shutdown = {} }\n"
        "c = { command = 'c', is-daemon = true, shutdown.command = 'y', depends-on = {} }\n"
    ).services.services
    assert services["a"].shutdown == Shutdown(command="x", timeout_seconds=7)
    assert services["b"].depends_on == {"a": Dependency(condition="process_completed")}
    assert services["b"].shutdown == Shutdown()


MISTAKES = {
    "signal out of range": (
        "a = { command = 'x', shutdown.signal = 32 }",
        (
            "Service 'a' has an invalid shutdown signal (32).\n"
            "Use a signal number between 1 and 31, for example 15 for SIGTERM or 2 for SIGINT."
        ),
    ),
    "no signal": (
        "a = { command = 'x', shutdown.signal = 0 }",
        (
            "Service 'a' has an invalid shutdown signal (0).\n"
            "Use a signal number between 1 and 31, for example 15 for SIGTERM or 2 for SIGINT."
        ),
    ),
    "signal by name": (
        "a = { command = 'x', shutdown.signal = 'INT' }",
        "invalid type: string `INT`, expected an integer\nin `services.a.shutdown.signal`",
    ),
    "signal and command": (
        "a = { command = 'x', shutdown = { command = 'y', signal = 2 } }",
        (
            "Service 'a' sets both a shutdown command and a shutdown signal.\n"
            "Remove 'shutdown.signal': the shutdown command is run instead of delivering a signal."
        ),
    ),
    "no time": (
        "a = { command = 'x', shutdown.timeout-seconds = 0 }",
        "invalid value: integer `0`, expected a nonzero u32\nin `services.a.shutdown.timeout-seconds`",
    ),
    "daemons without a command": (
        (
            "b = { command = 'x', is-daemon = true, shutdown = { timeout-seconds = 1, signal = 2 } }\n"
            "a = { command = 'x', is-daemon = true }"
        ),
        (
            "Services that spawn daemon processes must supply a shutdown command.\n\n"
            "The following services did not specify a shutdown command:\n- a\n- b"
        ),
    ),
    "nobody": (
        "a = { command = 'x', depends-on.bd.condition = 'process_started' }\nbdb.command = 'y'",
        (
            "Service 'a' depends on service 'bd', which is not defined in this environment.\n"
            "Check the spelling of 'bd', or add a '[services.bd]' section."
        ),
    ),
    "health": (
        "a = { command = 'x', depends-on.b.condition = 'process_healthy' }\nb.command = 'y'",
        f"unknown variant `process_healthy`, expected {LISTED}\nin `services.a.depends-on.b.condition`",
    ),
    "no condition": (
        "a = { command = 'x', depends-on.b = {} }\nb.command = 'y'",
        "missing field `condition`\nin `services.a.depends-on.b`",
    ),
    "short form": (
        "a = { command = 'x', depends-on.b = 'process_started' }\nb.command = 'y'",
        "invalid type: string `process_started`, expected a table\nin `services.a.depends-on.b`",
    ),
    "list form": (
        "a = { command = 'x', depends-on = ['b'] }\nb.command = 'y'",
        "invalid type: array, expected a table\nin `services.a.depends-on`",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_of_services(name):
    """Each mistake has Flox's text, once."""
    text, message = MISTAKES[name]
    assert [problem for problem, _ in problems_of(f"{V16}[services]\n{text}\n")] == [message]


@pytest.mark.parametrize("schema", ["1", "1.12.0", "1.15.0"])
def test_an_older_schema_has_none_of_it_and_is_told_which_has(schema):
    """The list is Flox's for that schema, and the hint names the schema that has the key."""
    head = "version = 1\n" if schema == "1" else f'schema-version = "{schema}"\n'
    (message, hint), *others = problems_of(
        f"{head}[services]\na = {{ command = 'x', depends-on.a.condition = 'process_started' }}"
    )
    assert others == []
    assert message == (
        "unknown field `depends-on`, expected one of `command`, `vars`, `is-daemon`, `shutdown`, `systemd`, `systems`\n"
        "in `services.a`"
    )
    assert '`depends-on` needs `schema-version = "1.16.0"` or later' in hint
    ((message, hint),) = problems_of(
        f"{head}[services]\na = {{ command = 'x', shutdown = {{ command = 'y', timeout-seconds = 2 }} }}"
    )
    assert message == "unknown field `timeout-seconds`, expected `command`\nin `services.a.shutdown`"
    assert "1.16.0" in hint


def test_a_shutdown_without_a_command_is_a_mistake_before_1_16():
    """Until 1.15.0 the command is required."""
    assert problems_of(f"{V15}services.a = {{ command = 'x', shutdown = {{}} }}") == [
        ("missing field `command`\nin `services.a.shutdown`", 'add `command = "…"`')
    ]


def test_an_included_environment_may_define_what_a_service_depends_on():
    """With an include, nothing is known of names that are not here."""
    text = f"{V16}services.a = {{ command = 'x', depends-on.far.condition = 'process_started' }}\n"
    parse(f"{text}[[include.environments]]\ndir = '../other'\n")
    assert problems_of(f"{text}[include]\nenvironments = []\n")[0][0].startswith("Service 'a' depends on service 'far'")


def test_a_service_may_depend_on_itself_and_others_in_a_circle():
    """Flox accepts such a manifest: nothing is wrong until the services are started."""
    depends = "depends-on.{}.condition = 'process_started'"
    parse(f"{V16}services.a = {{ command = 'x', {depends.format('a')} }}\n")
    parse(f"{V16}[services]\n" + "".join(f"{a} = {{ command = 'x', {depends.format(b)} }}\n" for a, b in ("ab", "ba")))


def test_a_unit_of_systemd_may_hold_tables():
    """Flox's settings of a unit are texts, numbers, lists, and tables such as its variables and limits."""
    text = f'{V16}[services.a]\ncommand = "x"\nsystemd.service = {{ environment = {{ A = "1" }}, type_ = "Forking" }}\n'
    assert record(parse(text))["services"]["a"]["systemd"] == {
        "service": {"environment": {"A": "1"}, "type_": "Forking"}
    }


def test_a_manifest_of_each_schema_is_written_back_as_it_was_read():
    """A lock holds the schema that the manifest names; migration only copies."""
    for schema in SCHEMAS[1:]:
        manifest = parse(
            f'schema-version = "{schema}"\nvars.A = "1"\nservices.a = {{ command = "x", shutdown.command = "y" }}\n'
        )
        lock = lockfile.parse(as_lock(record(manifest)))
        assert (lock.manifest, record(lock.manifest)["schema-version"]) == (manifest, schema)
        assert record(migrate(manifest)) == {**record(manifest), "schema-version": LATEST}


def test_options_without_keys_are_left_out():
    """A header alone says nothing; a lock that holds an empty table keeps it."""
    text = f'schema-version = "{LATEST}"\n[options.allow]\n[options.semver]\n[options.activate]\n[pkg-groups]\n'
    assert record(parse(text)) == {"schema-version": LATEST, "options": {}}
    locked = {"schema-version": LATEST, "options": {"allow": {}}}
    assert record(lockfile.parse(as_lock(locked)).manifest) == locked


@pytest.mark.parametrize("schema", ["1.20.0", "1.19.1", "2.0.0"])
def test_a_schema_that_nobody_knows_yet_is_one_problem(schema):
    """Keys of that schema are no mistakes. The hint says what can still be done."""
    ((message, hint),) = problems_of(f'schema-version = "{schema}"\nnew-key = 1\n[hook]\non-idle = "x"\n[services.a]\n')
    assert message == f"manifest had invalid schema version '{schema}'"
    assert hint == (
        f"schema {schema} is newer than this Esker knows (up to {LATEST}): update Esker, or go on with Flox {schema}; "
        f'without keys of a newer schema, `schema-version = "{LATEST}"` is enough'
    )


def test_a_lock_of_a_schema_that_nobody_knows_yet_is_not_to_be_removed():
    """Flox can still use it, so no hint says to remove it; the same where it stands inside a composed lock."""
    newer = {"schema-version": "1.20.0", "options": {}, "new-key": 1}
    for data in (
        as_lock(newer),
        json.dumps(
            {
                "lockfile-version": 1,
                "manifest": {"schema-version": LATEST, "options": {}},
                "packages": [],
                "compose": {
                    "composer": {"schema-version": LATEST, "options": {}},
                    "include": [{"manifest": newer, "name": "x", "descriptor": {"dir": "../x"}}],
                    "warnings": [],
                },
            }
        ).encode(),
    ):
        with pytest.raises(InvalidLock) as caught:
            lockfile.parse(data)
        (problem,) = caught.value.problems
        assert problem.message == "manifest had invalid schema version '1.20.0'"
        assert problem.hint == (
            f"schema 1.20.0 is newer than this Esker knows (up to {LATEST}): update Esker, or go on with Flox 1.20.0, "
            "which wrote this lock"
        )


def test_a_lock_applies_no_rule_for_people_who_write_services():
    """Flox's rules for services hold for a manifest.toml; what is locked is read."""
    services = {
        "a": {"command": "x", "is-daemon": True, "depends-on": {"gone": {"condition": "process_started"}}},
        "b": {"command": "x", "shutdown": {"command": None, "signal": 99}},
    }
    lock = lockfile.parse(as_lock({"schema-version": LATEST, "services": services, "options": {}}))
    assert lock.manifest.services.services["b"].shutdown == Shutdown(signal=99)


@pytest.mark.parametrize(
    ("schema", "key", "value", "since"),
    [
        ("1.16.0", "description", "x", "1.17.0"),
        ("1.18.0", "pkg-groups", {}, "1.19.0"),
        ("1.13.0", "plugins", {}, "1.14.0"),
    ],
)
def test_a_lock_with_a_key_of_a_newer_schema_names_that_schema(schema, key, value, since):
    """Flox writes no such lock, but a person who changed the schema in it may: the hint says which schema has the key."""
    with pytest.raises(InvalidLock) as caught:
        lockfile.parse(as_lock({"schema-version": schema, "options": {}, key: value}))
    (problem,) = caught.value.problems
    assert problem.message.startswith(f"unknown field `{key}`, expected one of `schema-version`, ")
    assert problem.hint == (
        f"`{key}` came with schema {since}, and this file follows {schema}; "
        "remove the file, then make the lock again: esker lock"
    )
