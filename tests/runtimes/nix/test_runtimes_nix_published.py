"""Flakes and shell.nix of the kinds that people publish, written anew: their environments are those of `nix develop`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtimes.nix.test_runtimes_nix_live import same

pytestmark = pytest.mark.live("nix")

PUBLISHED = Path(__file__).parent / "published"
FLAKES = {
    "several": {"hello": "Hello, world!\n", "jq": "a stand-in for jq\n"},
    "systems-loop": {"echo $SYSTEM": "x86_64-linux\n"},
    "for-all-systems": {"test -f $PROJECT_ROOT/flake.nix && echo there": "there\n"},
    "functions": {
        "tests unit": "[functions] tests unit\n",
        "t; up": "[functions] tests all\n[functions] up\n",
        'echo "${targets[2]} ${port_of[worker]} $APP_ENV"': "the web 8001 development\n",
    },
    "configured": {"echo $CONFIGURED": "1\n"},
    "local-inputs": {"jq; echo $TOOLS": "a stand-in for jq\n1\n"},
    "overlay": {"echo $AFTER_APP; toolkit": "1\ntoolkit\n"},
    "old-attribute": {"echo $OLD": "yes\n"},
    "virtual-environment": {'deactivate; echo "${VIRTUAL_ENV-none} ${SOURCE_DATE_EPOCH-none}"': "none none\n"},
    "database": {"stop_database; tail -1 $PGDATA/log": "stopped\n"},
    "libraries": {'printf "%s|" "$QUOTED" "${EMPTY-unset}" $NUMBER $TRUTH "$LIST"': "a \"b\" 'c' $d `e` \\f||3|1|a b|"},
    "strict": {'echo "$LETTER_b ${NEVER-never}"': "b never\n"},
    "dotenv": {'helper x; echo "$SECRET $REGION $FROM_JSON $SOURCED"': "help x\na b us 1 one two\n"},
}
"""By the name of a flake: what bash says in its environment."""
SHELLS = {
    "shell-nix": {"hello; echo $GREETING $VERSION": "Hello, world!\nhello from shell.nix 1.2\n"},
    "shell-with-arguments": {"jq; echo $HOME_OF_THE_CALLER": "a stand-in for jq\n{home}\n"},
}


@pytest.fixture
def published(nix, tmp_path):
    """Give a function that returns a copy of one of these projects."""

    def copy(name):
        root = PUBLISHED / name
        files = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}
        return nix.project(files, f"{tmp_path.name}/{name}")

    return copy


def overrides(nix):
    """The options of Esker and of Nix by which the stand-in takes the place of nixpkgs."""
    return [f"--override-input=nixpkgs=path:{nix.nixpkgs}"], ["--override-input", "nixpkgs", f"path:{nix.nixpkgs}"]


@pytest.mark.parametrize("name", FLAKES)
def test_a_published_flake(nix, published, name):
    """Its variables are those of `nix develop`, and a bash in it has its functions and aliases."""
    project = published(name)
    own, theirs = overrides(nix)
    same(project, *own, *theirs)
    for text, expected in FLAKES[name].items():
        assert project.activate(*own, "-c", text, FLOX_SHELL="bash") == expected
    assert "flake.lock" not in {path.name for path in project.directory.iterdir()}


def test_its_other_shells(nix, published):
    """Each has its own variables, and is kept beside the others."""
    project = published("several")
    own, theirs = overrides(nix)
    assert same(project, *own, "--shell", "ci", ".#ci", *theirs, split=3)["CI"] == "1"
    docs = same(project, *own, "--shell", "docs", ".#docs", *theirs, split=3)
    assert docs["DOCS_ROOT"] == f"{project.directory}/docs"
    assert docs["name"].startswith("docs-shell")


@pytest.mark.parametrize("name", SHELLS)
def test_a_published_shell_nix(nix, published, name):
    """Its variables are those that `nix develop -f shell.nix` gives."""
    project = published(name)
    same(project, "-f", "shell.nix", split=0)
    for text, expected in SHELLS[name].items():
        said = project.activate("-c", text, FLOX_SHELL="bash")
        assert said == expected.format(home=nix.home)


@pytest.mark.parametrize(
    ("shell", "says"),
    [
        ("default", "attribute 'postgresqql' missing"),
        ("thrown", "this project needs an older compiler"),
        ("build", "it does not compile"),
    ],
)
def test_a_broken_flake(nix, published, shell, says):
    """Nix's own message is told."""
    own, _ = overrides(nix)
    done = published("broken").esker("activate", *own, "--shell", shell, "--", "true")
    assert done.status == 1
    assert says in done.err
    assert "hint: correct what Nix names" in done.err
    assert "Traceback" not in done.err
