"""A merged manifest is written as TOML that says the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from esker.formats.manifest import LATEST, parse
from esker.formats.manifest_text import render
from tests.formats.test_formats_manifest_any import MANIFEST

TEXT = f"""\
schema-version = "{LATEST}"

[install]
hello.pkg-path = "hello"
"two words".pkg-path = "b"
"two words".systems = ["x86_64-linux"]

[vars]
A = "1"

[hook]
on-activate = '''
echo "it's here"
'''

[services]
auto-start = true

[services.web]
command = "serve"

[services.web.vars]
PORT = "80"

[plugins.other.inner]
list = [1, {{ "a" = true }}]
"""


def test_it_reads_as_a_person_would_write_it():
    """A header a section, packages with dotted keys, scripts in lines of their own."""
    assert render(parse(TEXT)) == TEXT


@pytest.mark.parametrize("script", ["a\n'''\n", "ends in '", "a\nb'", "\n\n", "a\r\nb", "tab\there\n", "\x07\n"])
def test_every_script_is_the_same_afterwards(script):
    """Scripts that TOML's literal strings cannot hold are written otherwise."""
    from esker.formats.toml_values import string

    manifest = parse(f'schema-version = "{LATEST}"\n[hook]\non-activate = {string(script)}\n')
    assert manifest.hook.on_activate == script
    assert parse(render(manifest)) == manifest


@pytest.mark.slow
@settings(deadline=None, database=None)
@given(MANIFEST.filter(lambda manifest: "$" not in "".join(manifest.vars.values())))
def test_round_trip(manifest):
    """Any manifest that is written is read again as it was."""
    assert parse(render(manifest)) == manifest
