"""The names of images are taken apart and put together again; what is no name is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.errors import Malformed
from esker.formats.oci.reference import Reference, parse

DIGEST = f"sha256:{'0f' * 32}"
REGISTRIES = ["", "registry.example", "registry.example:5000", "localhost:5000", "127.0.0.1:1", "[::1]:5000", "host:80"]


@settings(deadline=None)
@given(
    st.sampled_from(REGISTRIES),
    st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)?(/[a-z0-9]+(_[a-z0-9]+)?)?", fullmatch=True).filter(
        lambda path: len(path) < 99
    ),
    st.sampled_from(["", "1.0", "latest", "_x"]),
    st.sampled_from(["", DIGEST]),
)
def test_a_reference_survives_a_round_trip(registry, path, tag, digest):
    """Each part comes back."""
    reference = Reference(registry, path, tag, digest)
    if not registry and path.partition("/")[0] == "localhost":
        return
    assert parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "registry", "path", "tag", "label"),
    [
        ("app", "", "app", "", "latest"),
        ("team/app:1", "", "team/app", "1", "1"),
        ("localhost/app", "localhost", "app", "", "latest"),
        ("registry.example/a/b/c:1.0", "registry.example", "a/b/c", "1.0", "1.0"),
        (f"registry.example:80/app:1@{DIGEST}", "registry.example:80", "app", "1", DIGEST),
    ],
)
def test_the_first_part_is_a_host_if_it_looks_like_one(text, registry, path, tag, label):
    """A dot, a colon or `localhost` make a host; the digest is asked for before the tag."""
    reference = parse(text)
    assert (reference.registry, reference.path, reference.tag, reference.label) == (registry, path, tag, label)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/app",
        "app:",
        "app@sha256:00",
        "app:tag:tag",
        "registry.example/",
        "a//b",
        "a/../b",
        "https://registry.example/app",
        "app?x=1",
        "app\n",
        "user:password@registry.example/app",
        "a" * 256,
        f"app:{'t' * 129}",
    ],
)
def test_what_is_no_name_is_refused(text):
    """Nothing that could lead to another place of a registry passes."""
    with pytest.raises(Malformed, match="name of an image"):
        parse(text)


def test_capital_letters_are_said_to_be_the_fault():
    """They are the usual mistake."""
    for text in ("registry.example/App:1", "registry.example:5000/App", "App"):
        with pytest.raises(Malformed, match="it has capital letters"):
            parse(text)
    with pytest.raises(Malformed) as other:
        parse("registry.example/a pp:RC")
    assert "capital" not in other.value.message


@pytest.mark.parametrize("host", ["[:::::]", "[:::::]:5000", "registry.example:99999"])
def test_a_host_that_nobody_can_ask_is_refused(host):
    """Such as one whose port is too large; the message names it."""
    with pytest.raises(Malformed, match=r"is not the name of a host") as caught:
        parse(f"{host}/app:1")
    assert f"`{host}`" in caught.value.message
