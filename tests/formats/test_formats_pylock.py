"""pylock.toml: a lock says what its inputs gave, so that what came into it later is found."""

from __future__ import annotations

import pytest

from esker.errors import InvalidLock
from esker.formats import pylock

INPUTS = pylock.Inputs(requirements=("app",), python="", systems=("x86_64-linux",))
HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def package(name, version="1.0", extra=""):
    """Return the text of a package."""
    file = f"{name}-{version}-py3-none-any.whl"
    return f"""
[[packages]]
name = "{name}"
version = "{version}"
{extra}wheels = [
    {{ url = "https://example.com/{file}", size = 1000, hashes = {{ sha256 = "{HASH}" }} }},
]
"""


def rendered(*packages, made_from=INPUTS, sealed=True):
    """Return the text of a lock with these packages."""
    lock = pylock.parse('lock-version = "1.0"\ncreated-by = "test"\n' + "".join(packages))
    return pylock.render(lock, made_from, sealed=sealed)


def alterations(text):
    """Return what has changed in a lock since it was made."""
    lock = pylock.parse(text)
    return list(pylock.alterations(lock, pylock.inputs(lock)))


def contents(text):
    """Return the line with the digest of what a lock holds."""
    return next(line for line in text.splitlines() if line.startswith("contents = "))


APP_AND_HELPER = rendered(package("app"), package("helper"))


def test_a_lock_is_what_its_inputs_gave():
    """Also after it was read and written again."""
    assert alterations(APP_AND_HELPER) == []
    lock = pylock.parse(APP_AND_HELPER)
    assert pylock.is_sealed(lock)
    assert pylock.render(lock, INPUTS) == APP_AND_HELPER


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("\n[tool.esker]", package("evil") + "\n[tool.esker]", "`evil` is in it, but the lock was made without it"),
        (package("helper"), "", "`helper` is missing, but the lock was made with it"),
        (package("helper"), package("helper", "2.0"), "`helper` is not as it was locked"),
        (package("helper"), package("helper") * 2, "`helper` is not as it was locked"),
        (package("helper"), package("helper").replace(HASH, "0" * 64), "`helper` is not as it was locked"),
        (
            package("helper"),
            package("helper", extra="marker = \"os_name == 'nt'\"\n"),
            "`helper` is not as it was locked",
        ),
        (package("helper"), package("helper", extra='requires-python = ">=3"\n'), "`helper` is not as it was locked"),
    ],
    ids=["added", "removed", "version", "twice", "hash", "marker", "requires-python"],
)
def test_what_has_changed_in_a_lock_is_named(before, after, told):
    """Whatever decides what is installed counts."""
    assert before in APP_AND_HELPER
    assert alterations(APP_AND_HELPER.replace(before, after)) == [told]


def test_a_package_that_a_merge_brings_in_with_its_line_is_found():
    """A merge can take over what stands about a package in both places, but the digest is of one side."""
    both = rendered(package("app"), package("helper"), package("evil"))
    told = "its packages are not what its inputs gave, as after a merge of two locks"
    assert alterations(both.replace(contents(both), contents(APP_AND_HELPER))) == [told]


def test_packages_of_other_inputs_are_found():
    """The digest is of the inputs, too: a merge may take those of one side and the packages of the other."""
    theirs = pylock.Inputs(requirements=("app", "helper"), python="", systems=("x86_64-linux",))
    ours, other = rendered(package("app")), rendered(package("app"), made_from=theirs)
    assert contents(ours) != contents(other)
    assert len(alterations(ours.replace(contents(ours), contents(other)))) == 1


def test_addresses_and_sizes_may_be_changed():
    """They are hints, and those of a mirror serve as well."""
    assert alterations(APP_AND_HELPER.replace("example.com", "mirror.example.org").replace("size = 1000, ", "")) == []


def test_a_lock_of_an_earlier_version_goes_on_working():
    """It does not say what its inputs gave, so nothing in it has changed; it is not said on its behalf later."""
    old = rendered(package("app"), package("helper"), sealed=False)
    assert "contents" not in old
    assert not pylock.is_sealed(pylock.parse(old))
    assert alterations(old) == []
    assert alterations(old + "unknown = 1\n") == []


@pytest.mark.parametrize("line", ["contents = 1", "packages = 1", "packages = [1]", 'packages = { a = "b" }'])
def test_what_is_not_of_its_type_is_a_damaged_lock(line):
    """With the way to make it again."""
    text = rendered(sealed=False) + f"{line}\n"
    with pytest.raises(InvalidLock, match=r"tool\.esker") as caught:
        alterations(text)
    assert caught.value.hint == "remove the file, then make it again: esker lock"
