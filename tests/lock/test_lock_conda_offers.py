"""What channels offer: every name, every version with its systems, each from the first channel that has it."""

from __future__ import annotations

import os

import pytest

from esker.errors import HostError, ResolutionFailed
from esker.formats.conda.subdirs import SUBDIRS
from esker.lock.conda.channels import opened
from esker.lock.conda.offers import Version, matches, names, offers
from esker.settings import Settings
from tests.support.conda_channel import CondaChannel
from tests.support.conda_package import package

LINUX = "x86_64-linux"


@pytest.fixture
def channel():
    """An empty channel."""
    with CondaChannel() as served:
        yield served


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Give a function that opens channels for a user without any configuration."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "RATTLER_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    variables = {"HOME": str(home), "PATH": os.environ["PATH"], "ESKER_STORE": str(tmp_path / "store-root")}
    return lambda *addresses: opened(addresses, Settings(variables), str(tmp_path))


def test_versions_are_the_newest_first_each_with_its_systems(channel, ask):
    """1.10 is newer than 1.9, and a version is named once, with every system that has it."""
    for version, subdir in [("1.9", "linux-64"), ("1.9", "osx-arm64"), ("1.10", "linux-64"), ("1.0", "linux-aarch64")]:
        channel.add(package("tool", version, subdir=subdir))
    offer = offers(ask(channel.url), ["tool"], LINUX)["tool"]
    assert offer.versions == (
        Version("1.10", ("x86_64-linux",)),
        Version("1.9", ("aarch64-darwin", "x86_64-linux")),
        Version("1.0", ("aarch64-linux",)),
    )
    assert offer.systems == ("aarch64-darwin", "aarch64-linux", "x86_64-linux")
    assert offer.channel == channel.url
    assert offer.license == "MIT"


def test_size_and_needs_are_those_of_the_newest_build_for_this_system(channel, ask):
    """Of two builds of one version the later one counts; another system's only where this one has none."""
    channel.add(package("tool", "1.0", subdir="linux-64", depends=["old"]))
    later = package("tool", "1.0", build="1", subdir="linux-64", depends=["library >=1"])
    later.index["build_number"] = 1
    channel.add(later)
    other = channel.add(package("tool", "1.0", build="9", subdir="osx-64", depends=["other"]))
    opened_channels = ask(channel.url)
    offer = offers(opened_channels, ["tool"], LINUX)["tool"]
    assert (offer.depends, offer.size) == (("library >=1",), len(later.content))
    offer = offers(opened_channels, ["tool"], "aarch64-linux", systems=("x86_64-darwin",))["tool"]
    assert (offer.depends, offer.size) == (("other",), len(other.content))


def test_a_package_without_a_system_is_for_all_that_have_what_it_needs(channel, ask):
    """That is every system; with `__linux` or `__osx` half of them; with `__win` none."""
    for name, needs in [("all", []), ("linux", ["__linux"]), ("mac", ["__osx >=13"]), ("windows", ["__win"])]:
        channel.add(package(name, noarch="generic", depends=needs))
    found = offers(ask(channel.url), ["all", "linux", "mac", "windows", "missing"], LINUX)
    assert {name: offer.systems for name, offer in found.items()} == {
        "all": tuple(sorted(SUBDIRS)),
        "linux": ("aarch64-linux", "x86_64-linux"),
        "mac": ("aarch64-darwin", "x86_64-darwin"),
    }


def test_for_each_system_the_first_channel_that_has_the_package_counts(channel, ask):
    """A newer version in the second channel is not offered, except to a system that the first has nothing for."""
    channel.add(package("tool", "1.0", subdir="linux-64"))
    with CondaChannel() as second:
        second.add(package("tool", "2.0", subdir="linux-64"))
        second.add(package("tool", "2.0", subdir="osx-arm64"))
        offer = offers(ask(channel.url, second.url), ["tool"], LINUX)["tool"]
    assert offer.versions == (Version("2.0", ("aarch64-darwin",)), Version("1.0", ("x86_64-linux",)))


def test_names_are_those_of_every_system_in_every_channel(channel, ask):
    """Each is given, also where a channel has no directory for a system."""
    channel.add(package("one", subdir="linux-64"))
    with CondaChannel([package("two", subdir="osx-arm64"), package("three", noarch="generic")]) as second:
        answer = second.answer
        second.answer = lambda path: None if "/osx-64/" in path else answer(path)
        assert sorted(names(ask(channel.url, second.url))) == ["one", "three", "two"]


def test_a_name_that_contains_the_word_is_better_than_one_that_is_spelt_like_it():
    """The same name is the first, then those that begin with the word; near names come only if there is none."""
    assert matches(["my-git", "gitui", "git", "got"], "git").names == ("git", "gitui", "my-git")
    assert matches(["giti", "goto"], "gitt") == (("giti",), True)
    assert matches(["gitui"], "zzz") == ((), True)


@pytest.mark.parametrize(
    ("status", "message"), [(401, "refuses access"), (404, "no such channel"), (500, "cannot be reached")]
)
@pytest.mark.parametrize("question", [names, lambda channels: offers(channels, ["tool"], LINUX)])
def test_a_channel_that_does_not_answer_is_told_as_when_locking(channel, ask, status, message, question):
    """The error names the channel, for the names and for the versions."""
    channel.refusal = status
    with pytest.raises(HostError, match=message) as caught:
        question(ask(channel.url))
    assert channel.url in str(caught.value)


def test_what_cannot_be_a_channel_is_refused(ask):
    """The error names the place of the mistake."""
    with pytest.raises(ResolutionFailed, match=r"a channel of \[plugins\.esker\.conda\] is not valid"):
        ask("http://[")
