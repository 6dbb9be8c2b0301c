"""`esker allow`, `esker deny`, `esker hook` and what a shell asks at its prompt."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from esker.host.isolation import OPTIONS, SOURCE

HEAD = 'schema-version = "1.14.0"\n'


@pytest.fixture
def asked(esker):
    """Give a function that asks as bash does, and returns what the text does to variables, with what was said."""

    def ask(cwd, turn="", **variables):
        done = esker("hook-env", "bash", turn, cwd=cwd, PWD=str(cwd), **variables)
        assert done.status == 0, done.err
        script = f'{done.out}\nprintf \'%s|\' "${{A-none}}" "${{_ESKER_AT_PROMPT-}}" "$_esker_turn"'
        after = subprocess.run(
            ["bash", "--norc", "-c", script], capture_output=True, text=True, check=True, env={"PATH": os.defpath}
        )
        value, state, turned, _ = after.stdout.split("|")
        return value, json.loads(state or "{}"), turned, done.err

    return ask


def test_allowing_and_denying(esker, project, asked):
    """A project is entered when it is allowed, from below too, and not when it is denied or unknown."""
    directory = project(f"{HEAD}[vars]\nA = '1'\n")
    (directory / "below").mkdir()
    assert esker("activate", "--", "true").status == 0
    value, state, turned, said = asked(directory / "below")
    assert (value, turned, list(state)) == ("none", "end", ["told"])
    assert said == (
        f"! `{directory}` has an environment, which the prompt does not activate yet: esker allow {directory}\n"
    )
    assert esker("allow", "-q", directory, cwd="/") == (0, "", "")
    assert asked(directory / "below")[0] == "1"
    done = esker("deny", cwd=directory / "below")
    assert done.status != 0  # outside of a repository, only the directory itself is looked at
    assert esker("deny").err == f"✔ The prompt leaves `{directory}` alone.\n"
    assert asked(directory) == ("none", {}, "end", "")


def test_a_manifest_that_cannot_be_read_is_not_allowed(esker, project, asked):
    """The mistake is said at once, with its line, and nothing is allowed."""
    directory = project(f"{HEAD}[vars\n")
    done = esker("allow")
    assert done.status == 1
    assert f"{directory}/.flox/env/manifest.toml:" in done.err
    assert "✔" not in done.err
    assert esker("deny").status == 0


def test_a_state_that_one_went_back_to_is_entered(esker, project, asked):
    """Going back is a person's choice like an edit, so the prompt takes what is live."""
    directory = project(f"{HEAD}[vars]\nA = '1'\n")
    assert esker("activate", "--", "true").status == 0
    assert esker("allow", "-q").status == 0
    (directory / "new.toml").write_text(f"{HEAD}[vars]\nA = '2'\n")
    assert esker("edit", "-f", "new.toml").status == 0
    assert asked(directory)[0] == "2"
    assert esker("rollback").status == 0
    assert esker("activate", "--", "printenv", "A").out == "1\n"
    assert asked(directory)[::3] == ("1", "")


def test_nothing_is_told_twice(esker, project, asked):
    """What was told is in the shell's variable, and the next question says nothing."""
    directory = project()
    _, state, _, said = asked(directory)
    assert said
    assert asked(directory, _ESKER_AT_PROMPT=json.dumps(state))[3] == ""


def test_the_prompt_neither_locks_nor_writes(esker, project, asked, index):
    """A project that was allowed but never locked is told of in one line, and nothing is made."""
    directory = project(f"{HEAD}[plugins.esker.python]\ndependencies = ['app']\n")
    assert esker("allow").status == 0
    before = sorted(str(path) for path in directory.rglob("*"))
    said = asked(directory)[3]
    assert said == f"! `{directory}` has to be locked or installed: esker activate -- true\n"
    assert sorted(str(path) for path in directory.rglob("*")) == before
    assert not index.requests


def test_an_explicit_activation_heeds_and_records_nothing(esker, project, environ):
    """`activate` runs what was denied, and allows nothing."""
    directory = project(f"{HEAD}[vars]\nA = '1'\n")
    allowed = f"{environ['HOME']}/.local/share/esker/allowed"
    assert esker("activate", "--", "printenv", "A").out == "1\n"
    assert not os.path.exists(allowed)
    esker("deny")
    assert esker("activate", "--", "printenv", "A").out == "1\n"
    (record,) = (name for name in os.listdir(allowed) if name.endswith(".json"))
    with open(f"{allowed}/{record}") as file:
        assert json.load(file) == {"version": 1, "path": str(directory), "denied": True, "allowed": []}


@pytest.mark.parametrize("words", [("lock", "--upgrade"), ("activate", "--", "true"), ("edit", "-f", "-")])
def test_our_own_commands_carry_an_allowance_over(esker, project, asked, words):
    """What Esker itself writes stays allowed; the next prompt has it, or names `esker activate`."""
    directory = project(f"{HEAD}[vars]\nA = '1'\n")
    esker("activate", "--", "true")
    (directory / ".flox/env/manifest.toml").write_text(f"{HEAD}[vars]\nA = '2'\n")
    esker("allow")
    assert esker(*words, stdin=f"{HEAD}[vars]\nA = '3'\n").status == 0
    value, _, _, said = asked(directory)
    assert (value, said) == {
        "lock": ("none", f"! `{directory}` has to be locked or installed: esker activate -- true\n"),
        "activate": ("2", ""),
        "edit": ("3", ""),
    }[words[0]]


def test_a_strangers_project(esker, project, asked):
    """An allowance is not enough where somebody else could exchange the project."""
    directory = project(f"{HEAD}[vars]\nA = '1'\n")
    esker("activate", "--", "true")
    esker("allow")
    os.chmod(directory / ".flox", 0o777)
    value, _, _, said = asked(directory)
    assert value == "none"
    assert said.startswith(f"! every user can write to `{directory}/.flox`")
    assert said.count("\n") == 1
    assert asked(directory, ESKER_TRUST="1")[0] == "1"


def test_a_stale_state_of_the_shell(esker, project, asked):
    """What the variable names but the shell cannot leave is not left."""
    directory = project()
    esker("activate", "--", "true")
    esker("allow")
    state = json.dumps({"entered": [["/gone/.flox", "x"]]})
    assert asked(directory, _ESKER_AT_PROMPT=state)[1]["entered"][0][0] == f"{directory}/.flox"


def test_what_cannot_be_hashed_stops_no_explicit_activation(esker, project, asked):
    """A pipe in the place of setup-env.sh is told of at the prompt, and is nothing to `activate`."""
    directory = project(f"{HEAD}[vars]\nA = '1'\n")
    os.mkfifo(directory / "setup-env.sh")
    assert esker("activate", "--", "printenv", "A").out == "1\n"
    assert esker("allow").status == 1
    value, _, _, said = asked(directory)
    assert value == "none"
    assert "it is not a regular file" in said
    assert said.count("\n") == 1
    (directory / "setup-env.sh").unlink()
    esker("allow")
    assert "was prepared by somebody else" not in asked(directory)[3]


def test_what_is_active_is_not_told_of(esker, project, asked):
    """The user who has activated a project needs no hint how the prompt would."""
    directory = project()
    active = json.dumps([{"environment": {"type": "dot-flox", "path": f"{directory}/.flox"}, "mode": "dev"}])
    assert asked(directory, _FLOX_ACTIVE_ENVIRONMENTS=active)[3] == ""


def test_the_hook(esker, project):
    """The text for each shell is printed; another word is an error that names them."""
    project()
    for shell in ("bash", "zsh", "fish"):
        assert "hook-env" in esker("hook", shell).out
    done = esker("hook", "sh")
    assert done.status == 2
    assert "bash, zsh, fish, tcsh" in done.err or "'bash', 'zsh', 'fish', 'tcsh'" in done.err


def test_the_words_of_flox(esker, project, tmp_path):
    """`activate allow` and `deny` take `-d`, as Flox's do."""
    directory = project()
    assert esker("activate", "allow", "-d", directory, cwd="/").err.startswith("✔ The prompt may activate")
    assert esker("activate", "deny", "-d", directory, cwd="/").err.startswith("✔ The prompt leaves")


def test_entering_loads_nothing_heavy(esker, project, environ):
    """A warm project without scripts is entered without the modules that take longest to import."""
    directory = project(f"{HEAD}[vars]\nA = '1'\n")
    esker("activate", "--", "true")
    esker("allow")
    listed = (
        "import os, sys\nsys.path.append(sys.argv[1])\nsys.argv = ['esker', 'hook-env', 'bash', '']\n"
        "from esker.__main__ import main\nmain()\nprint(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, f"{OPTIONS}c", listed, SOURCE],
        cwd=directory,
        env=environ,
        capture_output=True,
        check=True,
        text=True,
    )
    assert "export A='1'" in done.stdout
    heavy = {"typing", "re", "json", "argparse", "dataclasses", "subprocess", "hashlib", "msgspec", "pathlib"}
    assert heavy & set(done.stderr.split()) == set()
