"""Addresses of environments in git repositories, and the file that keeps one: what could act is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.errors import InvalidFile
from esker.formats import git_address, vendored
from esker.formats.git_address import Address
from esker.formats.tables.reader import Refusal
from esker.formats.vendored import Origin

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://git.example/a/b.git@v1.0", Address("https://git.example/a/b.git", "v1.0")),
        (
            "https://git.example/a/b.git@feature/x#env/base",
            Address("https://git.example/a/b.git", "feature/x", "env/base"),
        ),
        ("https://git.example/a/b.git", Address("https://git.example/a/b.git")),
        ("ssh://git@git.example:22/a.git", Address("ssh://git@git.example:22/a.git")),
        (f"ssh://git@git.example/a.git@{COMMIT}", Address("ssh://git@git.example/a.git", COMMIT)),
        ("git@git.example:a/b.git", Address("git@git.example:a/b.git")),
        ("git@git.example:a/b.git@main", Address("git@git.example:a/b.git", "main")),
        ("git.example:b@main", Address("git.example:b", "main")),
        ("file:///srv/git/a@main", Address("file:///srv/git/a", "main")),
        ("/srv/git/a@main#x", Address("/srv/git/a", "main", "x")),
        ("../a", Address("../a")),
        ("./odd@name@HEAD", Address("./odd@name", "HEAD")),
    ],
)
def test_addresses(text, address):
    """The revision follows the last `@` of the path, and the directory the first `#`; an account is no revision."""
    assert git_address.parse(text) == address


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not the address"),
        ("--upload-pack=touch x", "looks like an option"),
        ("-oProxyCommand=x:a", "looks like an option"),
        ("ext::sh -c touch% x", "run a program"),
        ("fd::17", "run a program"),
        ("http://git.example/a", "fetches nothing from `http`"),
        ("git://git.example/a", "fetches nothing from `git`"),
        ("HTTPS://git.example/a", "fetches nothing from `HTTPS`"),
        ("https://token@git.example/a", "may not hold a password"),
        ("https://user:secret@git.example/a", "may not hold a password"),
        ("ssh://git:secret@git.example/a", "may not hold a password"),
        ("ssh://-oProxyCommand=x/a", "looks like an option"),
        ("ssh://-x@git.example/a", "looks like an option"),
        ("ssh://git.example/-x", "looks like an option"),
        ("-x@git.example:a", "looks like an option"),
        ("git@-x:a", "looks like an option"),
        ("git@git.example:--upload-pack=x", "looks like an option"),
        ("file://elsewhere/a", "another machine"),
        ("https:///a", "names no machine"),
        ("https://[/a", "not an address"),
        (":a", "names no machine"),
        ("https://git.example/a\n[core]", "not the address"),
        ("/srv/a@--upload-pack=x", "not the name of a branch"),
        ("/srv/a@a..b", "not the name of a branch"),
        ("/srv/a@+refs/x:refs/y", "not the name of a branch"),
        ("/srv/a@a:b", "not the name of a branch"),
        ("/srv/a@a^{tree}", "not the name of a branch"),
        ("/srv/a@x.lock", "not the name of a branch"),
        ("/srv/a@", "not the name of a branch"),
        ("/srv/a@v1#../b", "not a directory within"),
        ("/srv/a@v1#/etc", "not a directory within"),
        ("/srv/a@v1#a/.GIT/b", "not a directory within"),
    ],
)
def test_what_could_act_is_refused(text, told):
    """Options, helpers that run programs, unprotected transports, credentials, and places outside of the repository."""
    with pytest.raises(Refusal) as refusal:
        git_address.parse(text)
    assert told in refusal.value.message
    assert "secret" not in refusal.value.message
    assert refusal.value.hint


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text):
    """No text does anything else, and the parts of one that is accepted begin with no `-`."""
    try:
        address = git_address.parse(text)
    except Refusal:
        return
    assert not any(part.startswith("-") for part in (address.repository, address.revision or "a"))


def test_round_trip():
    """What is written is read again, with and without the optional keys."""
    for origin in (
        Origin(repository="../a b", commit=COMMIT),
        Origin(repository='/srv/"x"', revision="main", directory="a/b", commit=COMMIT),
    ):
        assert vendored.parse(vendored.render(origin), "base.toml") == origin


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("repository = 'a'", "missing field `commit`"),
        (f"repository = 'ext::sh'\ncommit = '{COMMIT}'", "run a program"),
        (f"repository = 'a'\nrevision = '--x'\ncommit = '{COMMIT}'", "not the name of a branch"),
        (f"repository = 'a'\ndirectory = '..'\ncommit = '{COMMIT}'", "not a directory within"),
        ("repository = 'a'\ncommit = 'HEAD'", "not the hash of a commit"),
        (f"repository = 'a'\ncommit = '{COMMIT}'\nhook = 'x'", "unknown field `hook`"),
        ("repository = ", "Invalid value"),
    ],
)
def test_a_file_that_came_with_a_project_is_checked_as_if_typed(text, told):
    """The file may have been written by anybody."""
    with pytest.raises(InvalidFile) as error:
        vendored.parse(text, "base.toml")
    assert told in str(error.value)
    assert "base.toml" in str(error.value)
