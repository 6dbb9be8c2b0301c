"""`esker install` and `uninstall` where packages are listed in the project's own pyproject.toml."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tomllib

import pytest

from esker.host.uv import run_uv, uv_command
from esker.settings import Settings

MANIFEST = '# ours\nschema-version = "1.14.0"\n\n[plugins.esker.python]\nproject = "pyproject.toml" # theirs\n'
PROJECT = """\
# The shop.
[tool.uv]
package = false   # nothing here is built

[project]
name = "shop"  # as on the index
version = "0.1"
requires-python = ">=3.11"
dependencies = [
    "app>=0.5",  # our own
    # sorted
    "zed",
]

[tool.other]
a  =  1
"""
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("served")]


@pytest.fixture
def shop(project, served):
    """Give a project whose manifest names its pyproject.toml, and an index with some packages."""
    for name, version in (("zed", "3.0"), ("lib", "1.0"), ("lib", "2.5"), ("my-part", "1.2+local")):
        served.add(name, version)
    directory = project(MANIFEST)
    (directory / "pyproject.toml").write_text(PROJECT)
    return directory


def pyproject(directory):
    """Return the text of a project's pyproject.toml."""
    return (directory / "pyproject.toml").read_text()


def manifest(directory):
    """Return the text of a project's manifest."""
    return (directory / ".flox/env/manifest.toml").read_text()


def snapshot(directory):
    """Return everything that a change may touch: files with contents and modes, and links with targets."""
    return {
        path: os.readlink(path) if path.is_symlink() else (path.read_bytes(), path.stat().st_mode)
        for path in sorted(directory.rglob("*"))
        if (path.is_symlink() or path.is_file()) and "/cache/" not in str(path)
    }


def test_a_package_gets_the_bound_and_the_place_that_uv_gives_it(esker, shop):
    """The file is as `uv add` leaves it: sorted, with the locked version as a bound, and every comment kept."""
    before = manifest(shop)
    done = esker("install", "pypi/tool", "pypi/lib")
    assert done.status == 0
    assert pyproject(shop) == PROJECT.replace(
        '    # sorted\n    "zed",\n', '    # sorted\n    "lib>=2.5",\n    "tool>=1.0",\n    "zed",\n'
    )
    assert manifest(shop) == before
    assert "✔ 'tool>=1.0', 'lib>=2.5' installed to environment 'project' (pyproject.toml)\n" in done.err
    assert esker("lock", "--check").status == 0
    assert esker("activate", "--", "tool").out == "tool runs\n"


def test_it_is_what_uv_itself_would_have_written(esker, shop, environ, tmp_path):
    """The same requests to `uv add` and to Esker leave the same file, but that no index of this machine is written."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "pyproject.toml").write_text(PROJECT)
    theirs = dict(environ)
    (other / "uv.toml").write_text(f'index-url = "{theirs.pop("UV_DEFAULT_INDEX")}"\n')  # else uv writes it down
    asks = [
        ["lib"],
        ["tool[fast]>=1 ; sys_platform == 'linux'"],
        ["--group", "dev", "zed"],
        ["--optional", "web", "lib"],
    ]
    for ask in (*asks, ["app"], ["app[x]<2"], ["--group", "dev", "lib==2.5"]):
        add = [sys.executable, "-m", "uv", "add", "--no-sync", "--python", sys.executable, *ask]
        subprocess.run(add, cwd=other, env=theirs, check=True, capture_output=True)
        assert esker("install", *ask[:-1], f"pypi/{ask[-1]}").status == 0
        assert pyproject(shop) == pyproject(other)


def test_groups_and_extras_are_installed_too(esker, shop):
    """The manifest then names the group and the extra, so that their packages are there, until the last is removed."""
    done = esker("install", "--group", "dev", "pypi/tool")
    assert "installed to environment 'project' (pyproject.toml, group `dev`)\n" in done.err
    assert "! `dev` is now among `groups` in the manifest, so that it is installed\n" in done.err
    assert esker("install", "--optional", "web", "pypi/lib<2").status == 0
    assert 'groups = ["dev"]\n' in manifest(shop)
    assert 'extras = ["web"]\n' in manifest(shop)
    assert 'project = "pyproject.toml" # theirs\n' in manifest(shop)
    assert '[dependency-groups]\ndev = [\n    "tool>=1.0",\n]\n' in pyproject(shop)
    assert 'web = [\n    "lib<2",\n]\n' in pyproject(shop)
    assert esker("list", "-n").out.split() == ["app", "lib", "tool", "zed"]
    done = esker("uninstall", "tool")
    assert "━ 'tool' uninstalled from environment 'project' (pyproject.toml, group `dev`)\n" in done.err
    assert (
        "━ group `dev` is empty now: it was removed from pyproject.toml and from `groups` in the manifest\n" in done.err
    )
    assert "groups" not in manifest(shop)
    assert "dependency-groups" not in pyproject(shop)
    assert esker("uninstall", "lib").status == 0  # an extra stays, because others may ask for it by its name
    assert "web = []" in pyproject(shop)
    assert esker("install", "--optional", "web", "pypi/lib<2").status == 0
    assert esker("list", "-n").out.split() == ["app", "lib", "zed"]


def test_a_tool_is_the_environment_s_alone(esker, shop):
    """`--tool` adds to the manifest, beside `project`; both are resolved together, and both are removed by name."""
    assert esker("install", "--tool", "pypi/tool").status == 0
    assert pyproject(shop) == PROJECT
    assert 'dependencies = [\n    "tool",\n]\n' in manifest(shop)
    assert esker("list", "-n").out.split() == ["app", "tool", "zed"]
    esker("install", "pypi/tool")
    assert '"tool>=1.0"' in pyproject(shop)
    assert esker("uninstall", "tool").status == 0
    assert '"tool' not in manifest(shop) + pyproject(shop)


def test_a_package_is_removed_wherever_it_stands_or_where_it_is_said(esker, shop):
    """Without an option it is removed from every list; with one from that alone. Its source goes as in `uv remove`."""
    text = PROJECT.replace('"app>=0.5",  # our own', '"app>=0.5",  # our own\n    "lib",')
    sources = '[tool.uv.sources]\nlib = { index = "x" }\n'
    (shop / "pyproject.toml").write_text(
        f'{text}\n[dependency-groups]\ndev = ["lib"]\ndocs = ["lib", "zed"]\n{sources}'
    )
    assert esker("uninstall", "--no-lock", "--group", "dev", "lib").status == 0
    assert "dev = []\n" in pyproject(shop)
    assert "[tool.uv.sources]\nlib = {" in pyproject(shop)
    done = esker("uninstall", "--no-lock", "pypi/Lib")
    assert done.status == 0
    assert done.err.count("━ 'lib' uninstalled") == 2
    assert '"lib"' not in pyproject(shop)
    assert "lib = {" not in pyproject(shop)
    assert tomllib.loads(pyproject(shop))["dependency-groups"]["docs"] == ["zed"]


@pytest.mark.parametrize(
    ("command", "words", "hint"),
    [
        (["install", "pypi/nowhere"], "the package index has no package `nowhere`", "check its spelling"),
        (["install", "pypi/lib>>1"], "`lib>>1` is not a requirement", 'write it as in "psycopg[binary]>=3.2"'),
        (["install", "pypi/lib==9"], "no versions satisfy", "such as lib==2.5"),
        (["install", "pypi/lib @ https://x.invalid/lib.whl"], "names an address", "[tool.uv.sources]"),
        (["install", "--group", "dev", "--tool", "pypi/lib"], "`--group` and `--tool` exclude each other", "leave one"),
        (["install", "--optional", "a", "--group", "b", "pypi/lib"], "`--group` and `--optional` exclude", "leave one"),
        (["install", "--group", "a b", "pypi/lib"], "`a b` is not the name of a dependency group", "letters"),
        (["install", "--optional", "", "pypi/lib"], "`` is not the name of an extra", "letters"),
        (
            ["uninstall", "lib"],
            "no package named 'lib' in the manifest or in pyproject.toml",
            "the manifest has: none; pyproject.toml has: app, zed",
        ),
        (
            ["uninstall", "ap", "lib"],
            "no packages named 'ap', 'lib' in the manifest or in py",
            "for `ap`: did you mean `app`?",
        ),
        (["uninstall", "ap"], "no package named 'ap' in the manifest", "did you mean `app`?"),
        (["uninstall", "--tool", "app"], "no package named 'app'", "`app` stands in [project] of pyproject.toml"),
        (["uninstall", "--group", "dve", "app"], "`pyproject.toml` has no group `dve`", "did you mean `dev`?"),
        (["uninstall", "--optional", "web", "app"], "`pyproject.toml` has no extra `web`", "there is none yet"),
        (["uninstall", "--group", "dev", "app"], "`app` is not in group `dev`", "it stands in [project]"),
        (["uninstall", "--group", "dev", "tool"], "`tool` is not in group `dev`", "it stands nowhere else"),
        (["install", "--dry-run", "--no-lock", "pypi/lib"], "`--no-lock` and `--dry-run` exclude", "leave one out"),
    ],
)
def test_a_mistake_changes_nothing_and_is_explained(esker, shop, command, words, hint):
    """Each mistake has its message and its mend."""
    (shop / "pyproject.toml").write_text(f"{PROJECT}\n[dependency-groups]\ndev = []\n")
    before = snapshot(shop)
    done = esker(*command)
    assert done.status in {1, 2}
    assert words in done.err
    assert hint in done.err.partition("hint: ")[2]
    assert snapshot(shop) == before


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("[tool.x]\n", "has no [project] table, so no packages can be added to it", "--tool pypi/NAME"),
        ("[project]\nversion = '1'\n", "has no `name` in [project]", "add one"),
        ("[project]\nname = 'x'\ndynamic = ['dependencies']\n", "`dependencies` of [project] is dynamic", "write `dep"),
        ("[project]\nname = 'x'\ndependencies = ['a'\n", "pyproject.toml:3", "close it with `]`"),
        ("[project]\nname = = 'x'\n", "pyproject.toml:2", ""),
        ("[project]\nname = 'x'\nversion='1'\n[tool.uv]\nmanaged = 'maybe'\n", "cannot be edited: ", "by hand"),
    ],
)
def test_a_pyproject_that_cannot_be_edited(esker, shop, text, words, hint):
    """The file, the line and the cause are told, and nothing is written."""
    (shop / "pyproject.toml").write_text(text)
    before = snapshot(shop)
    done = esker("install", "pypi/lib")
    assert done.status == 1
    assert words in done.err
    assert hint in done.err.partition("hint: ")[2]
    assert "Traceback" not in done.err
    assert snapshot(shop) == before


def test_groups_need_a_pyproject(esker, project):
    """Where the manifest names none, `--group` and `--optional` say how it would; `--tool` is as good as nothing."""
    directory = project()
    for command in ("install", "uninstall"):
        done = esker(command, "--group", "dev", "pypi/app")
        assert done.status == 2
        assert "`--group dev` belongs to a pyproject.toml, but the manifest names none\n" in done.err
        assert 'hint: write project = "pyproject.toml" into [plugins.esker.python]: esker edit\n' in done.err
    assert esker("install", "--tool", "pypi/app").status == 0
    assert '"app"' in manifest(directory)


def test_a_read_only_pyproject_is_left_alone(esker, shop):
    """Its rights say that it is not to be changed, though a rename could replace it."""
    (shop / "pyproject.toml").chmod(0o444)
    before = snapshot(shop)
    done = esker("install", "pypi/lib")
    assert done.status == 1
    assert f"cannot change `{shop}/pyproject.toml`: it is read-only\n" in done.err
    assert "chmod u+w" in done.err
    assert snapshot(shop) == before


def test_its_mode_and_its_link_are_kept(esker, shop):
    """The file that a link leads to is replaced, not the link, and it stays as open as it was."""
    real = shop / "real" / "pyproject.toml"
    real.parent.mkdir()
    shutil.move(shop / "pyproject.toml", real)
    real.chmod(0o664)
    (shop / "pyproject.toml").symlink_to("real/pyproject.toml")
    assert esker("install", "pypi/lib").status == 0
    assert (shop / "pyproject.toml").is_symlink()
    assert '"lib>=2.5"' in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o664
    assert [path.name for path in real.parent.iterdir()] == ["pyproject.toml"]


def test_lines_of_windows_and_a_python_that_is_not_here(esker, shop):
    """CRLF stays, and without a lock the file is edited whatever `requires-python` asks for."""
    text = PROJECT.replace('">=3.11"', "'>=3.99'  # soon").replace("\n", "\r\n")
    (shop / "pyproject.toml").write_bytes(text.encode())
    assert esker("install", "--no-lock", "pypi/lib").status == 0
    added = text.replace('    "zed",\r\n', '    "lib",\r\n    "zed",\r\n')
    assert (shop / "pyproject.toml").read_bytes().decode() == added


def test_a_change_that_cannot_be_realised_restores_the_pyproject(esker, shop):
    """Everything stays as it was, the pyproject.toml too."""
    path = shop / ".flox/env/manifest.toml"
    path.write_text(path.read_text() + 'programs = { lib = "nothing/*" }\n')
    before = snapshot(shop)
    done = esker("install", "pypi/lib")
    assert done.status == 1
    assert "`nothing/*` matches no program of `lib`" in done.err
    assert snapshot(shop) == before


def test_local_versions_are_no_bounds(esker, shop):
    """As in uv, a bound has no local part, so that the version of an index satisfies it."""
    assert esker("install", "pypi/my-part").status == 0
    assert '"my-part>=1.2"' in pyproject(shop)


def test_an_extra_of_the_project_itself(esker, shop):
    """A group that asks for the project's own extra means that extra's requirements, and no package of that name."""
    extra = '[project.optional-dependencies]\nweb = ["lib"]\nall = ["shop[web]", "tool; python_version > \'3\'"]\n'
    (shop / "pyproject.toml").write_text(f'{PROJECT}{extra}[dependency-groups]\ndev = ["Shop[all]"]\n')
    path = shop / ".flox/env/manifest.toml"
    path.write_text(f"{MANIFEST}groups = ['dev']\n")
    assert esker("lock").status == 0
    assert esker("list", "-n").out.split() == ["app", "lib", "tool", "zed"]
    path.write_text(f"{MANIFEST}extras = ['wbe']\n")
    done = esker("lock")
    assert "there is no extra `wbe`\nhint: did you mean `web`?\n" in done.err


@pytest.mark.parametrize(("name", "told"), [("dve", "did you mean `dev`?"), ("tests", "it has dev, docs")])
def test_a_new_group_is_pointed_out_before_the_work(esker, shop, name, told):
    """It may be meant, so it is made; if it is not, the message says which names there are, while it can be stopped."""
    (shop / "pyproject.toml").write_text(f"{PROJECT}\n[dependency-groups]\ndev = []\ndocs = []\n")
    done = esker("install", "--group", name, "pypi/lib")
    assert done.status == 0
    assert f"! group `{name}` is new in the pyproject.toml: {told}\n" in done.err.partition("Locking")[0]
    assert "is new" not in esker("install", "--group", "dev", "pypi/lib").err


@pytest.mark.parametrize(
    ("groups", "rest"),
    [
        ('dev = ["tool", {include-group = "docs"}]\ndocs = []\n', ""),
        ('dev = ["tool"]\nall = [{include-group = "Dev"}]\n', ""),
        ('dev = [\n    # what developers need\n    "tool",\n]\n', ""),
        ('dev = ["tool"]\n', '[tool.uv]\npackage = false\ndefault-groups = ["dev"]\n'),
    ],
)
def test_an_empty_group_that_is_needed_stays(esker, shop, groups, rest):
    """A group that others ask for, and one with a comment, are more than what `install --group` has made."""
    project = PROJECT.replace("[tool.uv]\npackage = false   # nothing here is built\n", rest) if rest else PROJECT
    (shop / "pyproject.toml").write_text(f"{project}\n[dependency-groups]\n{groups}")
    path = shop / ".flox/env/manifest.toml"
    path.write_text(f'{MANIFEST}groups = ["dev"]\n')
    done = esker("uninstall", "--no-lock", "tool")
    assert done.status == 0
    assert "is empty now" not in done.err
    assert "dev" in tomllib.loads(pyproject(shop))["dependency-groups"]
    assert 'groups = ["dev"]\n' in manifest(shop)


def test_a_dry_run_writes_nothing(esker, shop):
    """It says what would be locked and what would be written, to people and to programs."""
    before = snapshot(shop)
    done = esker("install", "--dry-run", "--json", "--group", "dev", "pypi/lib")
    assert done.status == 0
    assert json.loads(done.out)["dry_run"] is True
    assert {"name": "lib", "before": None, "after": "2.5"} in json.loads(done.out)["changes"]
    assert "+ lib 2.5\n" in done.err
    assert "! Nothing was written: this was a dry run.\n" in done.err
    assert "✔ 'lib>=2.5' would be installed to environment 'project' (pyproject.toml, group `dev`)\n" in done.err
    assert "zed" in esker("uninstall", "--dry-run", "zed").err
    assert snapshot(shop) == before


@pytest.mark.parametrize("dev", ["", '[dependency-groups]\ndev = ["tool"]\n'])
def test_init_finds_the_project(esker, empty, dev):
    """`esker init` names a pyproject.toml with [project], and its group `dev`; then one command adds a package to it."""
    (empty / "pyproject.toml").write_text(f'[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\n{dev}')
    done = esker("init")
    assert "✔ Its Python packages are those of pyproject.toml" in done.err
    assert 'project = "pyproject.toml"\n' in manifest(empty)
    assert ('groups = ["dev"]\n' in manifest(empty)) == bool(dev)
    assert esker("install", "pypi/app").status == 0
    assert '"app>=1.0"' in pyproject(empty)
    assert esker("activate", "--", "app").out == "app runs\n"
    assert esker("list", "-n").out.split() == ["app", *(["tool"] if dev else [])]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[tool.ruff]\n", "! pyproject.toml has no [project] table: packages are kept in the manifest instead\n"),
        (b"[tool]\na = \n", "! pyproject.toml is left out: it is not valid TOML, line 2: "),
        (b"# caf\xe9\n", "! pyproject.toml is left out: "),
        (
            b"[project]\nname = 'x'\ndynamic = ['dependencies']\n",
            "! pyproject.toml is left out: its dependencies are `dynamic`, so only a build knows them: packages are kept",
        ),
    ],
)
def test_init_leaves_other_files_out(esker, empty, text, told):
    """A pyproject.toml whose dependencies cannot be read is not named, and why is said; then the manifest takes them."""
    (empty / "pyproject.toml").write_bytes(text)
    done = esker("init")
    assert done.status == 0
    assert told in done.err
    assert "packages are kept in the manifest instead" in done.err or text.startswith(b"#")
    assert '\nproject = "pyproject.toml"' not in manifest(empty)
    assert esker("install", "pypi/app").status == 0
    assert '"app"' in manifest(empty)


def test_init_without_a_pyproject_says_nothing_of_one(esker, empty):
    """Where there is none, there is nothing to tell."""
    assert "pyproject" not in esker("init").err


def test_a_uv_lock_is_taken_over_until_a_command_changes_the_project(esker, shop, environ):
    """One line says that uv.lock lags behind, and what to do; after that, the next activation takes it over again."""

    def uv_lock():
        run_uv(["lock", "--python", sys.executable], Settings(environ).tools, cwd=shop)

    def pylock():
        return (shop / ".flox/pylock.toml").read_text()

    uv_lock()
    assert esker("activate", "--", "true").status == 0
    assert 'requires-python = ">=3.11"' in pylock()
    before = (shop / "uv.lock").read_bytes()
    done = esker("install", "pypi/lib")
    assert done.status == 0
    lines = [line for line in done.err.splitlines() if "uv.lock" in line]
    told = f"uv.lock is not taken over: it does not have this change; to add it: {uv_command()} lock."
    assert lines == [f"! {told} The packages are resolved here"]
    assert (shop / "uv.lock").read_bytes() == before
    assert 'requires-python = "==' in pylock()
    assert "uv.lock" not in esker("activate", "--", "true").err
    uv_lock()
    assert esker("lock", "--check").status == 1
    assert esker("activate", "--", "python", "-c", "import lib").status == 0
    assert 'requires-python = ">=3.11"' in pylock()
    assert esker("lock", "--check").status == 0


@pytest.mark.parametrize("command", ["install", "uninstall"])
@pytest.mark.parametrize("option", [("--group", "dev"), ("--optional", "web")])
def test_a_list_of_the_project_takes_no_conda_package(esker, shop, command, option):
    """It has Python packages; nothing is changed, and the error says where conda packages belong."""
    before = snapshot(shop)
    done = esker(command, *option, "conda/jq", "pypi/lib")
    assert done.status == 2
    assert f"`{' '.join(option)}` is a list of Python packages, and `conda/jq` is a conda package" in done.err
    assert snapshot(shop) == before


def test_a_conda_package_that_is_not_declared_is_named(esker, shop):
    """The error has the name, though the project's own file lists the other packages."""
    done = esker("uninstall", "conda/jq")
    assert done.status == 1
    assert "no package named 'conda/jq' in the manifest" in done.err
