"""Entering and leaving environments in each kind of shell: real shells, with the real command."""

from __future__ import annotations

import json

import pytest

from esker.activate.difference import Activation
from esker.activate.shells.shell import shell
from esker.errors import ActivationFailed
from esker.settings import Settings
from tests.support import plans

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

SYSTEM = Settings({}).system
HEAD = 'schema-version = "1.14.0"\n'
VARS = HEAD + '[vars]\nA = "1"\nPATH = "/mine:$PATH"\n'
HOSTILE = {
    "A": 'it\'s "x" `y` $(z) \\ !',
    "B": "line\nexport EVIL=1\n",
    "C": "\udcff\udc80é\udcc3",
    "D": "",
    "E": "\x01\x7f\t\r\x1b",
    "F": "-n",
    "G": "*?[a]{b,c}~",
    "H": "'",
    "I": " it's !! !x #; é '",
    "J": "\\\n\\!\\'\\\\",
    "K": "~/x %s $HOME",
    "LUA_PATH": "/a b;;:/c",
    "NO_SUCH_DIRS": "/a:/b",
}


def test_each_shell_understands_every_value(person):
    """Evaluating the text sets exactly the variables of the activation, and leaving gives back what was there."""
    person.project()
    renderer, files = shell(person.shell.name), {}

    def evaluated(name, text, **variables):
        files[name] = person.place / name
        files[name].write_text(text)
        return person.variables(person.shell.evaluated(f"cat {files[name]}"), **variables)

    given = {"GONE": "it's\n", "A": "old\n!x", "D": "\udcfe", "NO_SUCH_DIRS": ""}
    before = person.variables("", **given)
    text = renderer.in_place(plans.a_plan(), before, lambda _: Activation(set=HOSTILE, unset=["GONE"]))
    inside = evaluated("inside", text, **given)
    assert {name: inside.get(name) for name in HOSTILE} == HOSTILE
    assert "GONE" not in inside
    person.environ = inside
    assert evaluated("outside", renderer.deactivation(inside)) == before


def shown(person, script, **variables):
    """Return the variables that a script leaves, and before it those that the shell gives to programs."""
    return person.variables("", **variables), person.variables(script, **variables)


def test_leaving_gives_back_every_variable(person):
    """After `esker deactivate` every variable is as it was before, byte for byte, with lists of empty elements."""
    person.project(
        HEAD
        + "[vars]\nX = 'new'\nPATH = '$PATH:/x'\n"
        + "[hook]\non-activate = '''\nunset GONE; export BYTES=$'\\xfe\\n!'\n'''\n"
        + "[profile]\ncommon = ':'\n"
    )
    given = {
        "FLOX_SHELL": person.shell.name,
        "X": "a\nb\\'!\udcff",
        "MANPATH": "::",
        "GONE": "here's !x",
        "BYTES": "\udcff\n",
        "CPATH": ":/a::",
    }
    before, after = shown(person, f"{person.shell.evaluated('esker activate')}\nesker deactivate", **given)
    assert after == before
    inside = person.variables(person.shell.evaluated("esker activate"), **given)
    assert (inside["X"], inside["BYTES"], "GONE" in inside) == ("new", "\udcfe\n!", False)


def test_what_the_user_changed_stays(person):
    """Variables and elements of lists that the user has changed inside stay when the environment is left."""
    person.project(VARS + 'B = "1"\n')
    edits = "\n".join(
        person.shell.exported(name, value) for name, value in (("B", "mine"), ("OWN", "1"), ("MANPATH", "/user"))
    )
    found = person.variables(f"{person.shell.evaluated('esker activate')}\n{edits}\nesker deactivate")
    assert (found["B"], found["OWN"], found["MANPATH"], found["PATH"]) == ("mine", "1", "/user", person.path)
    assert "A" not in found


def test_environments_leave_in_turn(person):
    """The environment that was activated last leaves first."""
    person.project(VARS)
    second = person.project(HEAD + "[vars]\nA = '2'\n", name="second")
    activate, inner = (person.shell.evaluated(f"esker activate{where}") for where in ("", f" -d {second}"))
    show = "env printenv A FLOX_PROMPT_ENVIRONMENTS"
    leave = "esker deactivate"
    lines = (activate, show, inner, show, leave, show, leave, "env printenv A PATH")
    done = person.run("\n".join(lines))
    assert done.out == f"1\nproject\n2\nsecond project\n1\nproject\n{person.path}\n"
    assert done.err == ""


def test_an_edited_environment_runs_its_new_profile(person):
    """Activating again after an edit undoes the earlier profile and runs the new one; leaving undoes that."""
    person.project(profile(person, person.shell.exported("A", "1"), person.shell.exported("B", "1")))
    new = person.place / "new"
    new.write_text(profile(person, person.shell.exported("A", "2")))
    activate = person.shell.evaluated("esker activate")
    show = "sh -c 'echo ${A-none} ${B-none}'"
    done = person.run(f"{activate}\ncp {new} .flox/env/manifest.toml\n{activate}\n{show}\nesker deactivate\n{show}")
    assert (done.out, done.err) == ("2 none\nnone none\n", "")


def profile(person, *lines, deactivate=()):
    """Return a manifest whose profile for the person's shell has these lines."""
    text = f"{VARS.replace('A =', 'V =')}[profile]\n{person.shell.name} = '''\n" + "\n".join(lines) + "\n'''\n"
    if deactivate:
        text += f"[profile.deactivate]\n{person.shell.name} = '''\n" + "\n".join(deactivate) + "\n'''\n"
    return text


def test_what_a_profile_script_exports_is_undone(person):
    """What a profile script exported, changed and put on PATH is as it was before, after `esker deactivate`."""
    unset = {"fish": "set -e GONE", "tcsh": "unsetenv GONE"}.get(person.shell.name, "unset GONE")
    lines = [person.shell.exported("B", "2"), person.shell.exported("NEW", "a b"), unset]
    path = {"fish": "set -gx PATH /venv $PATH", "tcsh": 'setenv PATH "/venv:$PATH"'}
    lines.append(path.get(person.shell.name, "export PATH=/venv:$PATH"))
    person.project(profile(person, *lines))
    activate = person.shell.evaluated("esker activate")
    before, after = shown(person, f"{activate}\nesker deactivate", GONE="it's\n\udcff", B="1")
    inside = person.variables(activate, GONE="here", B="1")
    assert (inside["B"], inside["NEW"], inside["PATH"].partition(":")[0]) == ("2", "a b", "/venv")
    assert "GONE" not in inside
    assert after == before


FUNCTIONS = {
    "bash": ("f() { echo f; }; shopt -s expand_aliases; alias ll='echo aliased'", "unset -f f; unalias ll"),
    "zsh": ("f() { echo f; }; alias ll='echo aliased'", "unset -f f; unalias ll"),
    "fish": ("function f; echo f; end; alias ll='echo aliased'", "functions -e f ll"),
    "tcsh": ("alias f echo f; alias ll echo aliased", "unalias f ll"),
}


def test_aliases_and_functions_of_the_profile_appear_and_go(person):
    """They are the shell's own after the activation, and `profile.deactivate` removes them."""
    define, remove = FUNCTIONS[person.shell.name]
    person.project(profile(person, define, deactivate=[remove, "echo removed"]))
    lines = (person.shell.evaluated("esker activate"), "f", "ll", "esker deactivate", "f", "ll")
    done = person.run("\n".join(lines))
    assert done.out == "f\naliased\nremoved\n"
    assert done.err != ""  # the shell says that it knows neither any more


def test_deactivation_runs_the_shells_script_and_then_the_common_one(person):
    """`profile.deactivate` runs after the variables are restored, and only in a shell that the profile ran in."""
    name = person.shell.name
    deactivate = f"[profile.deactivate]\n{name} = \"sh -c 'echo own ${{A-none}}'\"\ncommon = 'echo common'\n"
    person.project(VARS + "[profile]\ncommon = 'echo profile'\n" + deactivate)
    activate = person.shell.evaluated("esker activate")
    script = f"{activate}\nesker deactivate\n{activate}\necho again"
    assert person.run(script) == (0, "profile\nown none\ncommon\nprofile\nagain\n", "")


def test_plain_deactivate_and_every_other_subcommand(person):
    """After the activation, `esker deactivate` is enough; other subcommands reach the program with their words."""
    person.project(VARS)
    done = person.run(
        f"{person.shell.evaluated('esker activate')}\n"
        "esker activate -- printf '%s|' 'a b' '$x' \"it's\" ''\n"
        "esker deactivate --help > help\n"
        "esker deactivate\nesker deactivate\nsh -c 'echo ${A-none}'"
    )
    assert done.out == "a b|$x|it's||none\n"
    assert done.err == "ℹ No environment active!\n"
    assert (person.place / "project/help").read_text().startswith("usage: esker deactivate")


def test_a_command_has_the_shells_syntax_and_status(person):
    """The command of `-c` is in the language of the shell that calls, and its status is that of the activation."""
    person.project(profile(person, "echo profile"))
    syntax = {
        "bash": '[[ -n $BASH_VERSION ]] && echo "$A" bash',
        "zsh": '[[ -n $ZSH_VERSION ]] && echo "${(U)A}" zsh',
        "fish": "if test -n $FISH_VERSION; echo $A fish; end",
        "tcsh": 'if ($?tcsh) echo "$A" tcsh',
    }[person.shell.name]
    command = person.place / "command"
    command.write_text(f"{syntax}\ncat\nexit 7")
    read = {"fish": "(cat {} | string collect)", "tcsh": '"`cat {}`"'}.get(person.shell.name, '"$(cat {})"')
    if person.shell.name == "tcsh":  # whose backticks would make three words of the lines
        command.write_text(f"{syntax}; cat; exit 7")
    done = person.run(f"esker activate -c {read.format(command)}", A="x", stdin="typed\n")
    word = "X" if person.shell.name == "zsh" else "x"
    assert done == (7, f"profile\n{word} {person.shell.name}\ntyped\n", "")


def test_a_shell_is_chosen(person):
    """FLOX_SHELL comes first, then the calling shell, then SHELL; a shell that is nowhere is an error."""
    person.project()
    (person.place / "project/which").write_text("ps -o comm= -p $PPID\n")
    which = "-c 'sh which; true'"
    assert person.run(f"esker activate {which}", SHELL="/bin/false").out == f"{person.shell.name}\n"
    assert person.run(f"esker activate {which}", FLOX_SHELL="/usr/bin/zsh", SHELL=None).out == "zsh\n"


RC = {
    "bash": "A=rc; export A; PATH=/rc:{}:/usr/bin:/bin; alias greet='echo hello'",
    "zsh": "export A=rc; path=(/rc {} /usr/bin /bin); alias greet='echo hello'",
    "fish": "set -gx A rc; set -gx PATH /rc {} /usr/bin /bin; alias greet='echo hello'",
    "tcsh": "setenv A rc; setenv PATH /rc:{}:/usr/bin:/bin; alias greet echo hello",
}


def test_the_persons_own_shell_opens(person):
    """It reads the start-up file first, and the environment comes on top of it; `esker deactivate` ends it."""
    name = person.shell.name
    directory = person.project(f"{VARS}[profile]\ncommon = 'echo from the profile'\n")
    programs = f"{person.place}/programs"
    shown = person.typed(
        "esker activate",
        'echo "<$A> <$PATH>"',
        "greet",
        "env printenv FLOX_ENV_DESCRIPTION HOME",
        "sh -c 'ps -o comm= -p $PPID'",
        "env | grep -c '^_ESKER_[TZH]'",
        "esker deactivate",
        'echo "out <$A>"',
        rc=RC[name].format(programs),
    )
    assert "from the profile\n" in shown
    link = f"{directory}/.flox/run/{SYSTEM}.project-dev/bin"
    path = f"/mine:{link}:/rc:{programs}:/usr/bin:/bin"
    assert f"<1> <{path}>\n" in shown
    assert "hello\n" in shown
    assert f"project\n{person.home}\n" in shown
    assert f"{name}\n" in shown
    assert "out <rc>\n" in shown


def test_the_prompt_names_the_environments(person):
    """The names come before the user's own prompt, and go with the environments; what a name contains is only shown."""
    name = "$(id)%n`!"
    person.project(name="second")
    directory = person.project()
    (directory / ".flox/env.json").write_text(json.dumps({"name": name, "version": 1}))
    activate = person.shell.evaluated("esker activate")
    shown = person.typed(activate, person.shell.evaluated("esker activate -d ../second"), *["esker deactivate"] * 2)
    assert f"esker [{name}] > " in shown
    assert f"esker [second {name}] > " in shown
    _, _, afterwards = shown.partition("7004\n")
    assert "> " in afterwards
    assert "esker [" not in afterwards


def test_leaving_below_an_interactive_shell_keeps_it(person):
    """A shell inside the one that Esker started leaves for itself, and goes on."""
    person.project(VARS)
    below = " ".join([*person.shell.script, "script"])
    (person.place / "project/script").write_text(
        f"{person.shell.evaluated('esker deactivate')}\nsh -c 'echo below ${{A-none}}'\n"
    )
    shown = person.typed(
        "esker activate", below, "sh -c 'echo above ${A-none}'", "esker deactivate", "sh -c 'echo out ${A-none}'"
    )
    assert "below none\n" in shown
    assert "above 1\n" in shown
    assert "out none\n" in shown


@pytest.mark.parametrize("name", ["zsh", "fish", "tcsh"])
def test_a_shell_that_is_not_here(name):
    """If the shell that is asked for is nowhere, the error names it and what to do."""
    with pytest.raises(ActivationFailed, match=f"the shell `{name}` is not on PATH") as raised:
        shell(f"/nowhere/{name}").command(plans.a_plan(), {"PATH": "/nowhere"}, Activation(), "true")
    assert "FLOX_SHELL=bash" in raised.value.hint


def test_the_end_of_the_last_user(person):
    """The shell uses the environment until it leaves, or until it ends: then `hook.on-deactivate` runs."""
    log = person.place / "log"
    person.project(
        f"{HEAD.replace('14', '15')}[hook]\non-activate = 'echo begun >> {log}'\non-deactivate = 'echo ended >> {log}'\n"
    )
    activate = person.shell.evaluated("esker activate")
    again = "esker activate -- cat " + str(log)  # a next start waits until the end of the last one
    left = "begun\nended\nbegun\n"
    assert person.run(f"{activate}\nesker activate -- cat {log}\nesker deactivate\n{again}").out == f"begun\n{left}"
    person.run(f"echo nothing > {log}\n{activate}")
    assert person.run(again).out.splitlines()[-2:] == ["ended", "begun"]


def test_services_run_for_the_shell(person):
    """Services that a shell has started with the environment stop when it leaves, and when it ends."""
    person.project(f"{HEAD}[services.one]\ncommand = 'exec sleep 1000'\n")
    status = "esker services status --json | tr ',' '\\n' | grep status"
    activate = person.shell.evaluated("esker activate -s")
    wait = "esker services wait --for stopped one"
    done = person.run(f"{activate}\n{status}\nesker deactivate\n{wait}\n{status}\n{activate}\n{status}")
    words = [line.partition(":")[2].strip(' "}]') for line in done.out.splitlines() if "status" in line]
    assert [word.lower() for word in words] == ["running", "stopped", "running"]
    done = person.run(f"{wait}\n{status}")
    assert "stopped" in done.out.lower()


def test_a_shell_without_the_function_is_told(person):
    """Where plain `esker deactivate` is the program and its output a terminal, the error says what to type."""
    person.project(VARS)
    program = f"{person.place}/programs/esker"
    shown = person.typed(person.shell.evaluated("esker activate"), f"{program} deactivate", "sh -c 'echo still=$A'")
    assert f"hint: run: {person.shell.evaluated('esker deactivate')}\n" in shown
    assert "still=1\n" in shown


def test_an_environment_of_the_start_up_file_stays_behind(person):
    """In the shell of a project, the project's environment is the newest, though the start-up file activates another."""
    person.project()
    for name in ("one", "two"):
        person.project(f"{HEAD}[vars]\nN = '{name}'\n", name=name)
    activate = person.shell.evaluated(f"esker activate -d {person.place}/one")
    names = "env printenv N FLOX_ENV_DESCRIPTION FLOX_PROMPT_ENVIRONMENTS | tr '\\n' '|'"
    show = f"{names}; env printenv PATH | tr ':' '\\n' | grep -c dev/bin"
    envs = "env printenv _FLOX_ACTIVE_ENVIRONMENTS > active"
    shown = person.typed(
        "echo first; " + show,
        "esker activate -d ../two",
        show,
        envs,
        "esker deactivate",
        "echo out; " + show,
        rc=activate,
    )
    assert "one|one|one|1\n" in shown
    assert "two|two|two one|2\n" in shown
    active = json.loads((person.place / "project/active").read_text())
    assert [each["environment"]["pointer"]["name"] for each in active] == ["two", "one"]
    assert "one|one|one|1\n" in shown.rpartition("out\n")[2]
