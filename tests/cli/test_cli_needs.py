"""`esker upgrade`, `outdated`, `why` and `tree`: what is locked, what is newer, and what needs what."""

from __future__ import annotations

import json
import tomllib

import pytest

from esker.lock.graph import Need
from esker.lock.outdated import Outdated, bounds

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


def test_why_the_project_itself(esker, shop):
    """It is in no lock, and no package needs it; that is the answer, and no mistake."""
    assert esker("activate", "--", "true").status == 0
    done = esker("why", "Shop")
    assert done.status == 0
    assert done.out == "shop\n  is the project itself: pyproject.toml describes it, and no package needs it\n"
    assert done.err == "What it needs is shown by: esker tree\n"
    assert json.loads(esker("why", "shop", "--json").out) == {"name": "shop", "version": None, "chains": []}


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


def test_what_has_to_move_moves_alone_and_is_named(esker, project, index):
    """`base` is declared itself and has to follow `web`; `other`, whose pin is in nobody's way, stays as it was."""
    for name in ("base", "other", "web"):
        index.add(name, "1.0", requires=["base>=1"] if name == "web" else [])
    directory = project(f'{MANIFEST}dependencies = ["base", "other", "web"]\n')
    assert esker("lock").status == 0
    for name in ("base", "other", "web"):
        index.add(name, "2.0", requires=["base>=2"] if name == "web" else [])
    index.add("base", "3.0")
    told = "! `base` had to move: its locked version does not fit what is asked for now\n"
    tried = esker("upgrade", "web", "--dry-run")
    assert told in tried.err
    assert "~ base 1.0 → 3.0\n~ web 1.0 → 2.0\n" in tried.err
    assert "other" not in tried.err
    path = directory / ".flox/env/manifest.toml"
    path.write_text(path.read_text().replace('"web"', '"web>=2"'))
    done = esker("lock")
    assert told in done.err
    assert versions(directory) == {"base": "3.0", "other": "1.0", "web": "2.0"}


def test_what_is_locked_stays_where_nothing_asks_for_more(esker, project, index):
    """A new package takes a version that fits what is locked, though a newer one would pull the others along."""
    index.add("base", "1.0")
    directory = project(f'{MANIFEST}dependencies = ["base"]\n')
    assert esker("lock").status == 0
    index.add("base", "2.0")
    index.add("web", "1.0", requires=["base"])
    index.add("web", "2.0", requires=["base>=2"])
    done = esker("install", "pypi/web")
    assert versions(directory) == {"base": "1.0", "web": "1.0"}
    assert "had to move" not in done.err


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
        "held_back_by": [],
    }
    away = esker("outdated", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple")
    assert away.status == 1
    assert (
        "newer packages could not be looked for: no package index answered\nhint: the package index cannot" in away.err
    )
    esker("upgrade")
    assert esker("outdated").err == "✔ Every package is the newest.\n"


def test_outdated_names_what_holds_a_package_back(esker, newer):
    """No upgrade is advised where a requirement excludes the newest version: of the project, or of a package."""
    path = newer / "pyproject.toml"
    path.write_text(path.read_text().replace('"web[fast]>=1"', '"web[fast]>=1,<1.2", "base<2"'))
    manifest = newer / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text().replace('["cli"]', '["cli<=2"]'))
    assert esker("activate", "--", "true").status == 0
    done = esker("outdated")
    assert done.out == (
        "base 1.0 → 2.0  held back: pyproject.toml asks for base<2\n"
        "cli 1.0 → 3.0  held back: manifest.toml asks for cli<=2\n"
        "web 1.0 → 1.5  held back: pyproject.toml asks for web[fast]<1.2,>=1\n"
    )
    assert done.err == "All of them are held back: change what is asked for, and then lock again.\n"
    told = json.loads(esker("outdated", "--json").out)
    assert told[0]["held_back_by"] == ["pyproject.toml asks for base<2"]
    path.write_text(path.read_text().replace(', "base<2"', "") + '[tool.uv]\nconstraint-dependencies = ["base<2"]\n')
    told = json.loads(esker("outdated", "--json").out)
    assert told[0]["held_back_by"] == ["`constraint-dependencies` of [tool.uv] asks for base<2"]


def test_what_an_old_version_needs_holds_nothing_back_if_there_is_a_newer_one():
    """The newer `web` may need a newer `base`; where `web` is held, what it needs holds `base` too."""
    newer = [Outdated("base", "1", "2"), Outdated("web", "1", "2")]
    needs = [Need("manifest.toml", "web", "web", is_declared=True), Need("web", "base<2", "base")]
    assert bounds(newer, needs) == {}
    held = [needs[0]._replace(requirement="web<2"), needs[1]]
    assert bounds(newer, held) == {"web": [held[0]], "base": [held[1]]}
    assert bounds(newer[:1], needs) == {"base": [needs[1]]}
    assert bounds(newer, [*needs, Need("base", "web<2", "web")]) == {}  # both can move together


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
