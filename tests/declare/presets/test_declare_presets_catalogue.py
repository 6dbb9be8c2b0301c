"""The table of services that one word adds."""

from __future__ import annotations

import pytest

from esker.declare.presets.catalogue import preset, presets
from esker.errors import UsageError


def test_each_word_names_one_service():
    """No word is in the table twice, and each leads to its service, however it is written."""
    every = presets()
    words = [word for each in every.values() for word in (each.name, *each.words)]
    assert len(words) == len(set(words))
    assert list(every) == ["postgres", "valkey", "redis", "nginx", "mariadb"]
    assert {preset(word.upper()).name for word in words} == set(every)


def test_an_unknown_word_is_told_with_what_there_is():
    """The error lists every service, and names the one that was probably meant."""
    with pytest.raises(UsageError, match="`postgers` is not a service that Esker knows how to add") as error:
        preset("postgers")
    assert error.value.hint == "did you mean `postgres`? (the services are postgres, valkey, redis, nginx, mariadb)"
    with pytest.raises(UsageError) as error:
        preset("kafka")
    assert error.value.hint == (
        "the services are postgres, valkey, redis, nginx, mariadb; declare another one in [services]: esker edit"
    )


@pytest.mark.parametrize(
    ("name", "wanted", "source"),
    [
        ("postgres", None, "wheel"),
        ("postgres", "conda", "conda"),
        ("redis", None, "conda"),
        ("mariadb", "container", "container"),
    ],
)
def test_the_first_source_is_taken_unless_another_is_asked_for(name, wanted, source):
    """Wheels come first, then conda packages; a container only if somebody asks for one."""
    assert preset(name).source(wanted) == source


@pytest.mark.parametrize(
    ("name", "wanted", "message", "hint"),
    [
        ("mariadb", None, "no wheel and no conda package has the server of MariaDB", "add mariadb --container`"),
        ("valkey", "conda", "no conda package has the server of Valkey", "`esker services add valkey` or `"),
    ],
)
def test_a_source_that_does_not_have_it_is_refused_with_one_that_has(name, wanted, message, hint):
    """A server that a source lacks is told together with the commands for the other sources."""
    with pytest.raises(UsageError, match=message) as error:
        preset(name).source(wanted)
    assert hint in error.value.hint
