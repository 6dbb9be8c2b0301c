"""Flox's test cases of composition, by their numbers, run with Esker's `flox`."""

from __future__ import annotations

import pytest

from esker.formats.manifest import LATEST
from tests.support.layers import include

pytestmark = pytest.mark.slow

EMPTY = "version = 1\n"


@pytest.fixture
def flox(flox, tmp_path):
    """Give Esker's `flox`, which runs in a directory without an environment."""
    flox.cwd = tmp_path
    return flox


@pytest.fixture
def edited(flox, project, tmp_path):
    """Give a function that makes an environment, or gives it another manifest, by `flox edit`, and returns the result."""

    def edit(name, text):
        directory = tmp_path / name
        if not directory.exists():
            project(EMPTY, name=name)
        return flox("edit", "-f", "-", "-d", directory, stdin=EMPTY + text)

    return edit


def test_case_29(flox, edited, tmp_path):
    """Variables of three layers: the composing one wins, then the last that is included."""
    assert edited("low", '[vars]\nfoo = "low"\nbar = "low"\n').status == 0
    assert edited("high", '[vars]\nfoo = "high"\nbar = "high"\n').status == 0
    done = edited("composer", include("../low", "../high") + '[vars]\nfoo = "composer"\n')
    assert done.err == (
        "ℹ The following manifest fields were overridden during merging:\n"
        "- Environment 'high' set:\n  - vars.bar\n- This environment set:\n  - vars.foo\n"
        "✔ Environment successfully updated.\nℹ Run 'flox list -c' to see merged manifest.\n"
    )
    result = flox("activate", "-d", tmp_path / "composer", "-c", 'echo "$foo/$bar"')
    assert result.out == "composer/high\n"


def test_case_31(flox, edited, tmp_path):
    """`list -c` of a composing environment prints the merge, and says so."""
    edited("low", '[vars]\nA = "1"\n')
    edited("composer", include("../low") + '[vars]\nB = "2"\n')
    done = flox("list", "-c", "-d", tmp_path / "composer")
    assert (done.out, done.err) == ('version = 1\n\n[vars]\nA = "1"\nB = "2"\n', "ℹ Displaying merged manifest.\n")
    plain = flox("list", "-c", "-d", tmp_path / "low")
    assert (plain.out, plain.err) == ('version = 1\n[vars]\nA = "1"\n', "")


def test_case_32(flox, edited, tmp_path):
    """An environment that was edited and not locked cannot be included; a comment changes nothing."""
    edited("low", '[vars]\nA = "1"\n')
    edited("composer", "")
    manifest = tmp_path / "low/.flox/env/manifest.toml"
    text = manifest.read_text()
    manifest.write_text(text.replace('"1"', '"2"'))
    before = (tmp_path / "composer/.flox/env/manifest.toml").read_text()
    done = edited("composer", include("../low"))
    assert done.status == 1
    assert done.err == (
        "✘ ERROR: failed to fetch environment '../low': cannot include environment since its manifest and lockfile are "
        "out of sync\n\nTo resolve this issue run 'flox edit -d ../low' and retry\n"
    )
    assert (tmp_path / "composer/.flox/env/manifest.toml").read_text() == before
    manifest.write_text("# Nothing but this.\n" + text)
    assert edited("composer", include("../low")).status == 0


def test_case_34(flox, edited, tmp_path):
    """`include upgrade` takes the changes of all included environments, or of the one that is named."""
    composer = tmp_path / "composer"
    edited("included1", '[vars]\nA = "v1"\n')
    edited("included2", '[vars]\nB = "v1"\n')
    edited("composer", include("../included1", "../included2"))
    assert flox("include", "upgrade", "-d", composer).err == "ℹ No included environments have changes.\n"
    edited("included1", '[vars]\nA = "v2"\n')
    edited("included2", '[vars]\nB = "v2"\n')
    done = flox("include", "upgrade", "-d", composer)
    assert done.err == "✔ Upgraded 'composer' with latest changes to:\n- 'included1'\n- 'included2'\n"
    assert 'A = "v2"\nB = "v2"\n' in flox("list", "-c", "-d", composer).out
    edited("included1", '[vars]\nA = "v3"\n')
    edited("included2", '[vars]\nB = "v3"\n')
    one = flox("include", "upgrade", "included2", "-d", composer)
    assert one.err == "✔ Upgraded 'composer' with latest changes to:\n- 'included2'\n"
    assert 'A = "v2"\nB = "v3"\n' in flox("list", "-c", "-d", composer).out
    same = flox("include", "update", "included2", "-d", composer)
    assert same.err == "ℹ Included environment 'included2' has no changes.\n"
    unknown = flox("include", "upgrade", "gone", "-d", composer)
    assert (unknown.status, unknown.err) == (
        1,
        "✘ ERROR: unknown included environment to check for changes 'gone'\n",
    )
    none = flox("include", "upgrade", "-d", tmp_path / "included1")
    assert (none.status, none.err) == (1, "✘ ERROR: environment has no included environments\n")


def test_case_35(edited):
    """Two included environments of one name have to be told apart."""
    edited("one", "")
    done = edited("composer", '[include]\nenvironments = [{ dir = "../one" }, { dir = "../one" }]\n')
    assert done.status == 1
    assert "multiple environments in include.environments have the name 'one'\n" in done.err
    assert edited("composer", include("../one")[:-2] + ', { dir = "../one", name = "two" }]\n').status == 0


def test_hooks_and_profiles_run_lowest_layer_first(flox, edited, tmp_path):
    """The hook is one script of all layers, and so is the profile; what undoes it runs the other way round."""
    edited("low", '[hook]\non-activate = "echo hook low"\n[profile]\ncommon = "echo profile low"\n')
    edited(
        "composer",
        include("../low") + '[hook]\non-activate = "echo hook own"\n[profile]\ncommon = "echo profile own"\n',
    )
    done = flox("activate", "-d", tmp_path / "composer", "-c", "true")
    assert (done.out, done.err) == ("profile low\nprofile own\n", "hook low\nhook own\n")


def test_uninstalling_an_included_package(flox, edited, tmp_path):
    """Flox's words name the environment that has to change; the mistake is told before anything is looked for."""
    edited("low", "")
    package = '[install]\nx.store-path = "/nix/store/33333333333333333333333333333333-x"\n'
    assert edited("low", package).status == 1  # it is not on this machine
    (tmp_path / "low/.flox/env/manifest.toml").write_text(EMPTY + package)
    lock = flox("lock-manifest", tmp_path / "low/.flox/env/manifest.toml")
    (tmp_path / "low/.flox/env/manifest.lock").write_text(
        lock.out.replace(f'"schema-version": "{LATEST}"', '"version": 1')
    )
    composer = tmp_path / "composer"
    edited("composer", "")
    (composer / ".flox/env/manifest.toml").write_text(EMPTY + include("../low"))
    assert flox("activate", "-d", composer, "--", "true").status == 1
    done = flox("uninstall", "x", "-d", composer)
    assert done.err == (
        "✘ ERROR: Cannot remove included package 'x'\n"
        "Remove the package from environment 'low' and then run 'flox include upgrade'\n"
    )


def test_only_floxs_commands_are_offered(flox):
    """`include add` is Esker's alone."""
    assert "add " not in flox("include", "--help", cwd="/").out
    assert flox("include", "add", "x", cwd="/").status == 1
