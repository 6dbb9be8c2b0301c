"""uv.lock: what Esker looks into is read, and anything that could mean something else is refused."""

from __future__ import annotations

import re

import pytest

from esker.errors import InvalidLock
from esker.formats import uv_lock

# By `uv lock` 0.13, of a project that needs `helper[fast]`; shortened hashes and addresses.
LOCK = """version = 1
revision = 3
requires-python = ">=3.11"
resolution-markers = [
    "python_full_version >= '3.12'",
    "python_full_version < '3.12'",
]
supported-markers = [
    "sys_platform == 'linux'",
]

[manifest]
constraints = [{ name = "helper", specifier = "<4" }]

[[package]]
name = "app"
version = "0.1.0"
source = { editable = "." }
dependencies = [
    { name = "helper", extra = ["fast"], marker = "sys_platform == 'linux'" },
]

[package.dev-dependencies]
dev = [
    { name = "tool" },
]

[package.metadata]
requires-dist = [{ name = "helper", extras = ["fast"] }]

[[package]]
name = "helper"
version = "3.20"
source = { registry = "https://index.example/simple" }
wheels = [
    { url = "https://index.example/helper-3.20-py3-none-any.whl", hash = "sha256:ab", size = 10 },
]

[package.optional-dependencies]
fast = [
    { name = "tool", version = "2.0", source = { registry = "https://index.example/simple" } },
]

[[package]]
name = "tool"
source = { directory = "../tool" }
"""


def test_packages_are_read_with_what_they_and_their_extras_need():
    app, helper, tool = uv_lock.parse(LOCK).packages
    assert [each.name for each in app.needed()] == ["helper"]
    assert [(each.name, each.version) for each in helper.needed()] == [("tool", "2.0")]
    assert (tool.version, list(tool.needed())) == (None, [])


def test_the_platforms_are_read():
    assert uv_lock.parse(LOCK).supported_markers == ("sys_platform == 'linux'",)
    assert uv_lock.parse("version = 1\n").supported_markers == ()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("version = 1\n", "version = 2\n", "its format has the version 2, and only 1 is known"),
        ("version = 1\n", "", "missing required field `version`"),
        ('name = "helper"\nversion', "name = 7\nversion", "Expected `str`, got `int`"),
        ('name = "helper"\nversion', 'name = "../helper"\nversion', "`../helper` is not the normalised name"),
        ('{ name = "tool", version', '{ name = "--tool", version', "`--tool` is not the normalised name"),
        ("\"sys_platform == 'linux'\",\n]", '"import os",\n]', "import os"),
        ("[manifest]", "[manifest", "Expected ']'"),
        ("[manifest]", f"[{'a.' * 300}a]", "more than 64 tables or arrays lie inside each other"),
    ],
)
def test_what_is_no_lock_of_a_known_version_is_refused(before, after, told):
    assert before in LOCK
    with pytest.raises(InvalidLock, match=re.escape(told)) as refused:
        uv_lock.parse(LOCK.replace(before, after, 1))
    assert refused.value.hint == "make it again: uv lock"
