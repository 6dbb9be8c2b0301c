"""The variables of an image: what the configuration holds, what the start script sets, and what does not enter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from esker.errors import ImageError
from esker.formats.secrets import ABOUT, ENDINGS, FORMS, NAMES, secret
from esker.ship.content.variables import image_variables

OWN = {"FLOX_ENV": ("/opt/esker/env", "where"), "PATH": ("/opt/esker/env/bin:/bin", "programs")}


def variables(declared, image=None, ports=()):
    return image_variables(OWN, declared, image or {}, ports)


def test_references_within_the_image_are_resolved():
    """A value that refers to the image's own variables is worked out, in the order of the references."""
    found = variables({"B": "${A}/b", "A": "$FLOX_ENV/a", "PATH": "/x:$PATH"})
    assert {each.name: each.value for each in found.fixed} == {
        "A": "/opt/esker/env/a",
        "B": "/opt/esker/env/a/b",
        "FLOX_ENV": "/opt/esker/env",
        "PATH": "/x:/opt/esker/env/bin:/bin",
    }
    assert found.scripted == ()


def test_what_only_a_container_knows_is_left_to_the_script():
    """`$HOME` and what only bash expands are set when the container starts; so is what refers to such a value."""
    found = variables({"A": "$HOME/a", "B": "$(date)", "C": "$A/c"})
    assert [each.name for each in found.fixed] == ["FLOX_ENV", "PATH"]
    assert [(each.name, each.value) for each in found.scripted] == [("A", "$HOME/a"), ("B", "$(date)"), ("C", "$A/c")]
    assert "`HOME`" in found.scripted[0].why
    assert "bash" in found.scripted[1].why


def test_ports_and_what_uses_them_do_not_enter():
    """A port is chosen by each machine; so nothing that was made of it can be in an image."""
    found = variables({"URL": "http://localhost:$PORT", "MORE": "$URL/x", "A": "1"}, ports=["PORT"])
    assert [each.name for each in found.fixed] == ["A", "FLOX_ENV", "PATH"]
    assert {each.name for each in found.left_out} == {"URL", "MORE", "PORT"}


def test_the_table_of_the_image_replaces_and_removes():
    """A string replaces the value of `[vars]`; what refers to a removed variable goes with it."""
    found = variables({"MODE": "development", "DEBUG": "1", "URL": "$DEBUG/x"}, {"MODE": "production", "DEBUG": None})
    values = {each.name: each.value for each in found.fixed}
    assert values["MODE"] == "production"
    assert not values.keys() & {"DEBUG", "URL"}
    assert {each.name: each.why for each in found.left_out}["URL"] == "it uses `DEBUG`, which is not in the image"


def test_what_nothing_sets_cannot_be_taken_out():
    """It is told, because it may be a slip; what a port, a declaration or a base sets can be."""
    taken = dict.fromkeys(["APP_MOD", "APP_MODE", "PORT", "LANG", "FLOX_ENV"])
    found = image_variables(OWN, {"APP_MODE": "1"}, taken, ["PORT"], ["LANG"])
    assert found.unset == ("APP_MOD",)
    assert {each.name: each.why for each in found.left_out}["APP_MOD"] == "nothing sets it"


@pytest.mark.parametrize(
    ("declared", "image", "message", "hint"),
    [
        ({"PATH": "/x"}, {}, "`PATH` is replaced by `/x`", 'PATH = "/x:$PATH"'),
        ({}, {"PATH": "$FLOX_ENV/x"}, r"`PATH` is replaced by `\$FLOX_ENV/x`", 'PATH = "$FLOX_ENV/x:$PATH"'),
        ({"FLOX_ENV": "/y"}, {}, "`FLOX_ENV` says where the environment is", "FLOX_ENV = false"),
        ({}, {"FLOX_ENV": "$FLOX_ENV/y"}, "it cannot be", "give yours another name"),
    ],
)
def test_what_the_environment_needs_is_not_replaced(declared, image, message, hint):
    """Without it no command of the image would start; taken out of the image, a declared one does not count."""
    with pytest.raises(ImageError, match=message) as caught:
        variables(declared, image)
    assert hint in caught.value.hint
    found = variables({**declared, "A": "$FLOX_ENV/a"}, dict.fromkeys({**declared, **image}))
    assert {each.name: each.value for each in found.fixed} == {
        "A": "/opt/esker/env/a",
        **{name: value for name, (value, _) in OWN.items()},
    }
    assert found.left_out == ()


@pytest.mark.parametrize("name", [*NAMES, *ENDINGS, "SECRET_KEY", "SECRET_KEY_BASE", "SECRET_V2"])
def test_each_name_of_a_secret(name):
    """A variable whose name ends so is refused by name, unless its value cannot be a secret."""
    with pytest.raises(ImageError, match=f"`APP_{name}`: its name says so") as caught:
        variables({f"APP_{name}": "hunter2"})
    assert f"APP_{name} = false" in caught.value.hint
    assert variables({f"APP_{name}": ""}).fixed
    assert variables({f"APP_{name}": "/run/secrets/file"}).fixed


def test_the_reference_has_the_list():
    """Each word that makes a name a secret stands there, and the words that make it none."""
    page = Path(__file__).parents[3] / "docs/reference/images.md"
    section = page.read_text().partition("\n## Secrets\n")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| ")]
    last, end, within = (re.findall(r"`([A-Z_]+)`", row[2]) for row in rows[1:4])
    assert (tuple(last), tuple(end), tuple(within)) == (NAMES, ENDINGS, ("SECRET_KEY_BASE", *ABOUT))


@pytest.mark.parametrize("name", ["PGPASSWORD", "pgpassword", "DB_PASS", "SECRET", "GITHUBTOKEN", "ENCRYPTION_KEY"])
def test_usual_names_of_secrets(name):
    """Those that stand alone, or that have no `_` before the word."""
    assert secret(name, "hunter2") == "its name says so"


@pytest.mark.parametrize(
    "name",
    [
        "PASSENGER",
        "BYPASS",
        "COMPASS",
        "TOKENIZER",
        "TOKENIZERS_PARALLELISM",
        "KEYMAP",
        "PGPASSFILE",
        "DB_PASSWORD_FILE",
        "SECRET_FILE",
        "APP_SECRET_NAME",
        "DB_SECRET_KEY_ARN",
        "TOKEN_URL",
        "PUBLIC_KEY",
        "MONKEY",
        "AUTHOR",
        "SECRETARY",
    ],
)
def test_names_that_are_no_secrets(name):
    """A word that only begins like one, and what tells of a secret without being one."""
    assert secret(name, "harmless") is None


@pytest.mark.parametrize("value", ["pk_live_" + "a" * 24, "npm_config_registry", "task-" + "a" * 30, "risk_test_x"])
def test_values_that_are_no_secrets(value):
    """What is published, and words that are like a prefix."""
    assert secret("A", value) is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("a private key", "-----BEGIN RSA PRIVATE KEY-----\nMII"),
        ("a URL with a password", "postgres://app:hunter2@db/app"),
        ("an access key of AWS", "AKIA" + "A" * 16),
        ("a token of GitHub", "ghp_" + "a" * 36),
        ("a private key", "-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQ"),
        ("a token of GitHub", "gho_" + "a" * 36),
        ("a token of GitHub", "github_pat_" + "a" * 30),
        ("a token of npm", "npm_" + "a" * 36),
        ("a key of Stripe", "sk_live_" + "a" * 24),
        ("a key of Stripe", "sk_test_" + "a" * 24),
        ("a key of Stripe", "rk_live_" + "a" * 24),
        ("a token of GitLab", "glpat-" + "a" * 20),
        ("a token of Slack", "xoxb-" + "1" * 12),
        ("a key of a language model's API", "sk-" + "a" * 24),
        ("a key of Google's APIs", "AIza" + "a" * 35),
        ("a JSON web token", "eyJhbGciOi.eyJzdWIiOi.c2ln"),
    ],
)
def test_each_form_of_a_secret(kind, value):
    """A value of such a form is refused, whatever its variable is called, also in the start script."""
    assert kind in FORMS
    with pytest.raises(ImageError, match=f"`A`: its value has the form of {kind}"):
        variables({"A": value})
    with pytest.raises(ImageError, match="`A`"):
        variables({"A": f"$HOME {value}"})
    assert secret("A", "https://index.example/path?x=1") is None
