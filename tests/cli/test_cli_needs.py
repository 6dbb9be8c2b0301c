"""`esker upgrade`, `outdated`, `why` and `tree`: what is locked, what is newer, and what needs what."""

from __future__ import annotations

import json
import tomllib

import pytest

MANIFEST = 'schema-version = "1.14.0"\n\n[plugins.esker.python]\n'
PROJECT = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["web[fast]>=1"]\n'
pytestmark = pytest.mark.slow


@pytest.fixture
def shop(project, index):
    """Give a locked project: `web` needs `base`, and with an extra `speed`; `cli`, a tool, needs `base` too."""
    index.add("base", "1.0")
    index.add("speed", "1.0", requires=["base"])
    needs = [
        "base>=0.5,<9",
        "speed ; extra == 'fast'",
        "elsewhere ; sys_platform == 'darwin'",
        "old ; python_version<'3'",
    ]
    index.add("web", "1.0", requires=needs)
    index.add("cli", "1.0", requires=["base"])
    index.add("elsewhere", "1.0")
    index.add("pytest-like", "1.0")
    directory = project(
        f'{MANIFEST}project = "pyproject.toml"\ngroups = ["dev"]\ndependencies = ["cli"]\n'
        '[options]\nsystems = ["x86_64-linux", "aarch64-linux", "aarch64-darwin"]\n'
    )
    (directory / "pyproject.toml").write_text(f'{PROJECT}[dependency-groups]\ndev = ["pytest-like"]\n')
    return directory


@pytest.fixture
def newer(esker, shop, index):
    """Give the project, locked and installed, after the index has got newer versions."""
    assert esker("activate", "--", "true").status == 0
    index.add("base", "2.0")
    index.add("web", "1.5", requires=["base>=2", "speed ; extra == 'fast'"])
    index.add("cli", "3.0", requires=["base"])
    return shop


def versions(directory):
    """Return the locked versions by name."""
    return {
        each["name"]: each["version"]
        for each in tomllib.loads((directory / ".flox/pylock.toml").read_text())["packages"]
    }


CHAINS = [
    ("pyproject.toml", ["web[fast]>=1", "base<9,>=0.5"]),
    ("manifest.toml", ["cli", "base"]),
    ("pyproject.toml", ["web[fast]>=1", "speed", "base"]),
]


def test_why_shows_every_chain(esker, shop):
    """From where it is declared to the package, with each requirement; the shortest chains come first."""
    assert esker("activate", "--", "true").status == 0
    lines = [f"  {' → '.join([where, *chain])}\n" for where, chain in CHAINS]
    assert esker("why", "base").out == f"base 1.0\n{''.join(lines)}"
    assert esker("why", "pypi/Pytest_Like").out == "pytest-like 1.0\n  pyproject.toml, group `dev` → pytest-like\n"
    told = json.loads(esker("why", "base", "--json").out)
    assert told == {
        "name": "base",
        "version": "1.0",
        "chains": [{"declared": where, "requirements": chain} for where, chain in CHAINS],
    }


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("bas", "no package `bas` is locked", "did you mean `base`?"),
        ("zzz", "no package `zzz` is locked", "the packages are listed by: esker list"),
        ("elsewhere", "`elsewhere` is locked for other systems alone", 'sys_platform == "darwin"'),
        ("old", "no package `old` is locked", "esker list"),
    ],
)
def test_why_of_what_is_not_locked(esker, shop, name, words, hint):
    """Status 1, and the message names what may be meant."""
    assert esker("lock").status == 0
    done = esker("why", name)
    assert done.status == 1
    assert words in done.err
    assert hint in done.err.partition("hint: ")[2]


def test_a_lock_alone_says_what_needs_what(esker, shop):
    """Nothing need be installed: the lock has the edges, in the place that PEP 751 has for them."""
    assert esker("lock").status == 0
    packages = tomllib.loads((shop / ".flox/pylock.toml").read_text())["packages"]
    edges = {each["name"]: [edge["name"] for edge in each.get("dependencies", ())] for each in packages}
    assert edges["web"] == ["base", "elsewhere", "speed"]
    assert edges["base"] == []
    assert "  manifest.toml → cli → base\n" in esker("why", "base").out
    text = (shop / ".flox/pylock.toml").read_text()
    lines = text.split("\n")
    kept, inside = [], False
    for line in lines:  # as an earlier Esker has written it
        inside = inside or line == "dependencies = ["
        kept += [] if inside else [line]
        inside = inside and line != "]"
    (shop / ".flox/pylock.toml").write_text("\n".join(kept))
    assert "install them: esker activate -- true" in esker("why", "base").err


def test_the_tree(esker, shop):
    """Below each place what it declares; a package whose needs were shown is marked, other systems' are left out."""
    assert esker("activate", "--", "true").status == 0
    assert esker("tree").out == (
        "pyproject.toml\n"
        "└── web[fast] 1.0 (>=1)\n"
        "    ├── base 1.0 (<9,>=0.5)\n"
        "    └── speed 1.0\n"
        "        └── base 1.0\n"
        "pyproject.toml, group `dev`\n"
        "└── pytest-like 1.0\n"
        "manifest.toml\n"
        "└── cli 1.0\n"
        "    └── base 1.0\n"
    )
    assert esker("tree", "--depth", "1").out.splitlines()[1:4] == [
        "└── web[fast] 1.0 (>=1)",
        "pyproject.toml, group `dev`",
        "└── pytest-like 1.0",
    ]
    assert "--depth is 0" in esker("tree", "--depth", "0").err
    told = json.loads(esker("tree", "--json").out)
    assert [each["declared"] for each in told] == ["pyproject.toml", "pyproject.toml, group `dev`", "manifest.toml"]
    assert [each["name"] for each in told[0]["packages"][0]["needs"]] == ["base", "speed"]


def test_circles_end(esker, project, index):
    """Packages that need each other are shown once, and have finitely many chains."""
    index.add("one", "1.0", requires=["two"])
    index.add("two", "1.0", requires=["one"])
    project(f'{MANIFEST}dependencies = ["one"]\n')
    assert esker("activate", "--", "true").status == 0
    assert esker("tree").out == "manifest.toml\n└── one 1.0\n    └── two 1.0\n        └── one 1.0 (*)\n"
    assert esker("why", "one").out == "one 1.0\n  manifest.toml → one\n"


@pytest.mark.parametrize("command", ["why base", "tree"])
def test_a_stale_lock_is_no_answer(esker, shop, command):
    """What is declared by now has not been resolved yet; nothing is locked for a question."""
    assert "not made yet" in esker(*command.split()).err
    assert not (shop / ".flox/pylock.toml").exists()


def test_an_upgrade_of_everything_is_shown_and_installed(esker, newer):
    """All packages get the newest versions; the texts that people write stay; a second upgrade has nothing to do."""
    texts = [(newer / name).read_text() for name in ("pyproject.toml", ".flox/env/manifest.toml")]
    tried = esker("upgrade", "--dry-run", "--json")
    assert json.loads(tried.out)["dry_run"] is True
    assert versions(newer)["base"] == "1.0"
    done = esker("upgrade", "--json")
    assert json.loads(done.out)["changes"] == json.loads(tried.out)["changes"]
    assert "~ base 1.0 → 2.0\n~ cli 1.0 → 3.0\n- elsewhere 1.0\n~ web 1.0 → 1.5\n✔ 4 packages changed" in done.err
    assert esker("activate", "--", "python", "-c", "import base; print(base.VERSION)").out == "2.0\n"
    assert [(newer / name).read_text() for name in ("pyproject.toml", ".flox/env/manifest.toml")] == texts
    assert "Nothing to upgrade" in esker("upgrade").err


def test_an_upgrade_of_one_package_leaves_the_others(esker, newer):
    """A package that is not declared itself can be named; the others keep their versions."""
    assert esker("upgrade", "Base").status == 0
    assert {name: version for name, version in versions(newer).items() if version != "1.0"} == {"base": "2.0"}


def test_an_upgrade_takes_with_it_what_the_new_version_needs(esker, newer):
    """The new `web` needs a new `base`: both move, and the unrelated `cli` does not."""
    assert esker("upgrade", "web").status == 0
    assert {name: version for name, version in versions(newer).items() if version != "1.0"} == {
        "base": "2.0",
        "web": "1.5",
    }


def test_an_upgrade_of_what_is_not_locked(esker, newer):
    """The message names what may be meant, and nothing changes."""
    done = esker("upgrade", "bsae")
    assert (done.status, "hint: did you mean `base`?\n" in done.err) == (1, True)
    assert versions(newer)["base"] == "1.0"


def test_outdated_asks_the_index(esker, newer, index):
    """Newer versions are listed whether they are allowed or not; an index that is away is an error with a mend."""
    assert esker("outdated").out == "base 1.0 → 2.0\ncli 1.0 → 3.0\nweb 1.0 → 1.5\n"
    assert json.loads(esker("outdated", "--json").out)[0] == {
        "name": "base",
        "origin": "pypi",
        "locked": "1.0",
        "allowed": None,
        "newest": "2.0",
    }
    away = esker("outdated", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple")
    assert away.status == 1
    assert (
        "newer packages could not be looked for: no package index answered\nhint: the package index cannot" in away.err
    )
    esker("upgrade")
    assert esker("outdated").err == "✔ Every package is the newest.\n"


def test_outdated_before_anything_is_locked(esker, shop):
    """There is nothing to compare with."""
    assert "hint: lock it: esker lock\n" in esker("outdated").err


def test_an_activation_that_locks_says_what_has_changed(esker, shop, index):
    """Long lists are cut; nothing is said where nothing has changed."""
    for number in range(30):
        index.add(f"part{number:02}", "1.0")
    path = shop / "pyproject.toml"
    assert esker("lock").status == 0
    assert "Locked:" not in esker("activate", "--", "true").err
    listed = ", ".join(f'"part{number:02}"' for number in range(30))
    path.write_text(path.read_text().replace('["web[fast]>=1"]', f"[{listed}]"))
    done = esker("activate", "--", "true")
    assert "✔ Locked:\n- elsewhere 1.0\n+ part00 1.0\n" in done.err
    assert "+ part18 1.0\n… and 13 more\n" in done.err
    assert json.loads(esker("lock", "--json").out)["changes"] == []
