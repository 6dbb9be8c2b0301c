"""`esker outdated`, `why` and `tree` for packages of conda channels, beside the Python packages."""

from __future__ import annotations

import json

import pytest

from tests.support.conda_channel import CondaChannel
from tests.support.conda_package import SUBDIR, package

pytestmark = pytest.mark.slow


@pytest.fixture
def channel():
    """A channel with `tool`, which needs `library`, which needs `base`; `other` needs `base` as well."""
    with CondaChannel() as served:
        served.add(package("tool", "1.0", depends=["library >=1", "__glibc >=2.17"]))
        served.add(package("library", "1.0", depends=["base >=1.0,<2"]))
        served.add(package("other", "1.0", depends=["base"]))
        served.add(package("base", "1.0"))
        yield served


@pytest.fixture
def shop(esker, project, channel, index):
    """Give a locked project with `tool` and `other` of the channel, and a Python package `web`."""
    index.add("web", "1.0")
    system = {"linux-64": "x86_64-linux", "linux-aarch64": "aarch64-linux"}[SUBDIR]
    directory = project(f"""schema-version = "1.14.0"
[options]
systems = ["{system}"]
[plugins.esker.conda]
channels = ["{channel.url}"]
dependencies = ["tool", "other <2"]
[plugins.esker.python]
dependencies = ["web"]
""")
    assert esker("lock").status == 0
    return directory


def test_a_package_that_others_need_is_not_declared_and_cannot_be_removed(esker, shop):
    """The error names what needs it, with or without the prefix of its origin, and how to see more."""
    for name in ("conda/base", "base"):
        done = esker("uninstall", name)
        assert done.status == 1
        assert "hint: `conda/base` is here because `conda/library` and `conda/other` need it; " in done.err
        assert "how it comes in: esker why conda/base\n" in done.err
    assert "because `conda/tool` needs it; " in esker("uninstall", "conda/other", "conda/library").err
    assert "need" not in esker("uninstall", "conda/nothing").err


def test_outdated_shows_what_is_locked_allowed_and_newest(esker, shop, channel, index):
    """The newest version may be out of the specs, of what is declared as of what another package needs."""
    for name, version, needs in [
        ("other", "1.5", ["base"]),
        ("other", "2.0", ["base"]),
        ("base", "1.1", []),
        ("base", "2.0", []),
        ("tool", "0.9", []),
    ]:
        channel.add(package(name, version, depends=needs))
    index.add("web", "3.0")
    done = esker("outdated")
    assert done.out == ("conda/base 1.0 → 2.0, allowed: 1.1\nconda/other 1.0 → 2.0, allowed: 1.5\nweb 1.0 → 3.0\n")
    assert done.err == "Take what is allowed: esker upgrade\n"
    assert json.loads(esker("outdated", "--json").out)[1:] == [
        {"name": "other", "origin": "conda", "locked": "1.0", "allowed": "1.5", "newest": "2.0", "held_back_by": []},
        {"name": "web", "origin": "pypi", "locked": "1.0", "allowed": None, "newest": "3.0", "held_back_by": []},
    ]


def test_outdated_compares_versions_as_conda_does(esker, shop, channel):
    """1.10 is newer than 1.9, and where the newest is allowed no more is said."""
    channel.add(package("tool", "1.9"))
    channel.add(package("tool", "1.10"))
    assert esker("outdated").out == "conda/tool 1.0 → 1.10\n"


def test_outdated_where_nothing_is_newer(esker, shop):
    """Nothing on stdout, and a sentence for people."""
    done = esker("outdated")
    assert (done.status, done.out, done.err) == (0, "", "✔ Every package is the newest.\n")


def test_outdated_without_the_conda_lock_asks_to_lock(esker, shop):
    """The lock of Python packages alone does not say what is outdated."""
    (shop / ".flox/conda.lock").unlink()
    done = esker("outdated")
    assert done.status == 1
    assert "this environment is not locked yet\nhint: lock it: esker lock" in done.err


@pytest.mark.parametrize(
    ("status", "message"), [(401, "refuses access"), (404, "no such channel"), (500, "cannot be reached")]
)
def test_outdated_tells_of_a_channel_that_does_not_answer(esker, shop, channel, status, message):
    """The error is that of locking, and nothing is printed on stdout."""
    channel.refusal = status
    done = esker("outdated", ESKER_STORE=str(shop / "another-store"))
    assert (done.status, done.out) == (1, "")
    assert message in done.err
    assert channel.url in done.err


def test_why_shows_the_chains_of_specs(esker, shop):
    """From the manifest to the package, with each spec; a bare name is a Python package's only if there is one."""
    lines = "conda/base 1.0\n  manifest.toml → other <2 → base\n  manifest.toml → tool → library >=1 → base >=1.0,<2\n"
    assert esker("why", "conda/base").out == lines
    assert esker("why", "Base").out == lines
    assert esker("why", "web").out == "web 1.0\n  manifest.toml → web\n"
    assert json.loads(esker("why", "conda/library", "--json").out) == {
        "name": "conda/library",
        "version": "1.0",
        "chains": [{"declared": "manifest.toml", "requirements": ["tool", "library >=1"]}],
    }


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("conda/libary", "no package `conda/libary` is locked", "did you mean `library`?"),
        ("conda/web", "no package `conda/web` is locked", "did you mean `web`?"),
        ("pypi/library", "no package `pypi/library` is locked", "did you mean `library`?"),
        ("conda/zzz", "no package `conda/zzz` is locked", "esker list"),
    ],
)
def test_why_of_what_is_not_locked(esker, shop, name, words, hint):
    """A package with an origin is looked for there alone."""
    done = esker("why", name)
    assert (done.status, done.out) == (1, "")
    assert words in done.err
    assert hint in done.err.partition("hint: ")[2]


def test_why_of_a_package_of_another_system(esker, shop, channel):
    """The message names a system that has it."""
    manifest = shop / ".flox/env/manifest.toml"
    text = manifest.read_text()
    channel.add(package("apple", subdir="osx-arm64"))
    text = text.replace("systems = [", 'systems = ["aarch64-darwin", ')
    (ours,) = [system for system in ("x86_64-linux", "aarch64-linux") if system in text]
    declared = f'{{ spec = "tool", systems = ["{ours}"] }}, {{ spec = "apple", systems = ["aarch64-darwin"] }}'
    manifest.write_text(text.replace('dependencies = ["tool", "other <2"]', f"dependencies = [{declared}]"))
    assert esker("lock").status == 0
    done = esker("why", "apple")
    assert done.status == 1
    assert "`conda/apple` is locked for other systems alone\nhint: one of them is aarch64-darwin\n" in done.err
    assert "apple" not in esker("tree").out


def test_the_tree_shows_both_kinds(esker, shop):
    """The Python packages first, then those of the channel, all below the manifest."""
    assert esker("tree").out == (
        "manifest.toml\n"
        "├── web 1.0\n"
        "├── conda/tool 1.0\n"
        "│   └── conda/library 1.0 (>=1)\n"
        "│       └── conda/base 1.0 (>=1.0,<2)\n"
        "└── conda/other 1.0 (<2)\n"
        "    └── conda/base 1.0\n"
    )
    (told,) = json.loads(esker("tree", "--depth", "1", "--json").out)
    assert [(each["name"], each["requirement"]) for each in told["packages"]] == [
        ("web", "web"),
        ("conda/tool", "tool"),
        ("conda/other", "other <2"),
    ]


def test_the_tree_of_an_environment_without_python_packages(esker, project, channel):
    """Packages of a channel alone make a tree; an environment without any packages has none."""
    project(f"""schema-version = "1.14.0"
[plugins.esker.conda]
channels = ["{channel.url}"]
dependencies = ["base"]
[options]
systems = ["{ {"linux-64": "x86_64-linux", "linux-aarch64": "aarch64-linux"}[SUBDIR] }"]
""")
    assert esker("lock").status == 0
    assert esker("tree").out == "manifest.toml\n└── conda/base 1.0\n"
    empty = project(name="empty")
    assert esker("lock", cwd=empty).status == 0
    assert "esker install pypi/NAME, or conda/NAME" in esker("tree", cwd=empty).err
