"""What only fish has: its functions, its universal variables, its one list of arguments for a joined text."""

from __future__ import annotations

import os
import stat

import pytest

from esker.activate.shells.fish import quoted
from esker.activate.shells.programs import private_file
from tests.support.shells import SHELLS, Person

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

(FISH,) = (shell for shell in SHELLS if shell.name == "fish")
HEAD = 'schema-version = "1.14.0"\n'
ACTIVATE = "esker activate | source"


@pytest.fixture
def person(environ, tmp_path):
    """Give somebody who uses fish."""
    return Person(FISH, environ, tmp_path)


def test_eval_joins_the_lines(person):
    """`eval (esker activate)` works too, with values of several lines and scripts with blocks."""
    script = "if true\n  function f\n    echo f\n  end\nend"
    person.project(f"{HEAD}[vars]\nA = \"a\\nb's\"\n[profile]\nfish = '''\n{script}\n'''\n")
    done = person.run("eval (esker activate)\nf\nprintenv A\nesker deactivate\nsh -c 'echo ${A-none}'")
    assert (done.out, done.err) == ("f\na\nb's\nnone\n", "")
    assert person.run("eval (esker activate)\neval (esker deactivate)\nprintenv A").out == ""


def test_universal_variables_are_left_alone(person):
    """They are hidden by values of the environment, cannot be unset by it, and are as they were afterwards, not copied."""
    person.project(f"{HEAD}[vars]\nA = 'inside'\n[hook]\non-activate = 'unset B'\n")
    person.shell = FISH._replace(script=("fish",))
    assert person.run("set -Ux A universal; set -Ux B there; set -Ux C kept").err == ""
    show = "set -S A B C | string match -r '^.*(?:universal|global).*|.*value.*|.*[[]1[]].*'"
    before = person.run(show).out
    assert "universal" in before
    inside = "sh -c 'echo $A ${B-none} $C'"
    done = person.run(f"{ACTIVATE}\n{inside}\nesker deactivate\n{show}\n{inside}")
    assert done == (0, f"inside there kept\n{before}universal there kept\n", "")
    assert person.run(f"{show}").out == before


MISTAKES = {
    "A=1\nif [[ -n $A ]]; then\n  echo no\nfi": "uses `[[`, which fish does not have ({}:5): move it to profile.bash and profile.zsh",
    "[[ -n $HOME ]] && echo no\nset -g B 1": "uses `[[`, which fish does not have ({}:4): move it to profile.bash and profile.zsh",
    "set -g B 1\nfor x in a; do echo no; done": "has a syntax error ({}:4); none of it has run",
}


@pytest.mark.parametrize(("script", "warning"), MISTAKES.items())
def test_a_common_profile_that_is_for_bash(person, script, warning):
    """It fails as it does under Flox, the shell goes on, and one warning names its place."""
    directory = person.project(f"{HEAD}[profile]\ncommon = '''\n{script}\n'''\nfish = 'echo own'\n")
    for form in (f"{ACTIVATE}\necho on", "esker activate -c 'echo on'"):
        done = person.run(form)
        assert (done.status, done.out) == (0, "own\non\n")
        warnings = [line for line in done.err.splitlines() if line.startswith("! ")]
        assert warnings == [f"! profile.common {warning.format(f'{directory}/.flox/env/manifest.toml')}"]


def test_a_script_that_only_fails_is_no_mistake(person):
    """The status of a profile script is ignored, and `return` ends it."""
    person.project(f"{HEAD}[profile]\ncommon = 'false'\nfish = '''\necho own\nreturn 3\necho never\n'''\n")
    assert person.run(f"{ACTIVATE}\necho on $status") == (0, "own\non 0\n", "")


def test_names_that_fish_keeps(person):
    """A variable with the name of one of fish's own is not set in fish, and a warning names it."""
    person.project(f"{HEAD}[vars]\nversion = '1'\nstatus = '2'\nB = '3'\n")
    done = person.run(f"{ACTIVATE}\nprintenv B")
    assert (done.out, done.err) == (
        "3\n",
        "! Not set, because fish keeps variables of these names for itself: status, version\n",
    )


def test_the_users_prompt_is_kept(person):
    """The prompt sees the status, its second line gets the names, and it is the same function again in the end."""
    person.project(
        f"{HEAD}[profile]\nfish = '''\nfunctions -c fish_prompt _old\nfunction fish_prompt; echo -n venv $status; _old; end\n'''\n"
    )
    rc = "function fish_prompt; echo $status first; echo -n '> '; end"
    body = "functions fish_prompt > {}; functions -n | string match -q '*_esker*'; echo left $status"
    shown = person.typed(body.format("before"), ACTIVATE, "false", "esker deactivate", body.format("after"), rc=rc)
    assert "venv 10 first" in shown
    assert "\nesker [project] > " in shown
    assert "left 1" in shown.rpartition("7004")[2]
    project = person.place / "project"
    bodies = [
        [line for line in (project / name).read_text().splitlines() if not line.startswith("#")]
        for name in ("before", "after")
    ]
    assert bodies[0] == bodies[1]


def test_a_file_for_a_shell_is_private_and_goes(person):
    """What a shell that Esker starts is to do is in a file for its owner alone, which goes when it is read, or later."""
    person.project()
    stale = private_file(None, [], person.environ, quoted)
    os.utime(stale, (0, 0))
    path = private_file("command rm -f {}", ["echo read"], person.environ, quoted)
    assert not os.path.exists(stale)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert person.run(f"source {path}") == (0, "read\n", "")
    assert not os.path.exists(path)


@pytest.mark.parametrize("text", ["", "'", "\\", "a\\'b", "\n", "\udcff", "é\x7f\x01", "$x (y) *~", "-n", "\u0080"])
def test_words(person, text):
    """Every text is one word."""
    person.project()
    assert person.run(f"printf '%s|' {quoted(text)} end").out == f"{text}|end|"
