"""Flox's own test cases that speak of shells, by their numbers, in each kind of shell."""

from __future__ import annotations

import subprocess

import pytest

from esker.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

SYSTEM = Settings({}).system
VARIABLE = 'version = 1\n[vars]\nfoo = "baz"\n'
PROFILE = """version = 1
[profile]
common = "echo sourcing profile.common"
bash = "echo sourcing profile.bash"
zsh = "echo sourcing profile.zsh"
fish = "echo sourcing profile.fish"
tcsh = "echo sourcing profile.tcsh"
"""


def link(directory, mode="dev"):
    """Return the run link of a project."""
    return f"{directory}/.flox/run/{SYSTEM}.{directory.name}-{mode}"


def test_case_01_variables_are_set(person):
    """A variable is set for a command of the shell, for a program, and in place; nothing else is printed."""
    person.project(VARIABLE)
    in_place = person.shell.evaluated("esker activate")
    for script in ("esker activate -c 'printenv foo'", "esker activate -- printenv foo", f"{in_place}\nprintenv foo"):
        assert person.run(script) == (0, "baz\n", "")


def test_case_02_variables_refer_to_each_other(person):
    """Whatever the order in the file, a variable is set before those that refer to it."""
    person.project('version = 1\n[vars]\nalpha = "${omega}-suffix"\nomega = "base"\n')
    assert person.run("esker activate -c 'echo $alpha'") == (0, "base-suffix\n", "")


def test_case_04_a_variable_may_extend_itself(person):
    """A reference to itself means the value that the variable had before, and is no cycle."""
    directory = person.project('version = 1\n[vars]\nPATH = "${PATH}:/x"\n')
    done = person.run("esker activate -c 'printenv PATH'")
    assert done == (0, f"{link(directory)}/bin:{person.path}:/x\n", "")


def test_case_05_the_hook_sees_the_variables_and_keeps_stdout_clean(person):
    """The output of a hook goes to standard error, also for an activation in place."""
    person.project(VARIABLE + "[hook]\non-activate = 'echo $foo'\n")
    assert person.run("esker activate -c exit") == (0, "", "baz\n")
    assert person.run(person.shell.evaluated("esker activate")) == (0, "", "baz\n")


def test_case_07_profile_scripts_run_for_a_shell_command(person):
    """The common script and the shell's own script run once each, in that order."""
    person.project(PROFILE)
    told = f"sourcing profile.common\nsourcing profile.{person.shell.name}\n"
    assert person.run("esker activate -c :") == (0, told, "")
    assert person.run(person.shell.evaluated("esker activate")) == (0, told, "")


def test_case_08_no_profile_script_runs_for_a_program(person):
    """A program runs without a shell, so no profile script runs."""
    person.project(PROFILE)
    assert person.run("esker activate -- true") == (0, "", "")


def test_case_10_a_second_activation_in_place_runs_no_hook(person):
    """A second activation in place runs neither the hook nor the profile again for this shell."""
    person.project("version = 1\n[hook]\non-activate = 'echo X'\n[profile]\ncommon = 'echo P'\n")
    activate = person.shell.evaluated("esker activate")
    assert person.run(f"{activate}\necho first\n{activate}\necho second") == (0, "P\nfirst\nsecond\n", "X\n")


def test_case_11_a_second_terminal_attaches(person):
    """During one activation another gets the hook's exports; the hook runs once, the profile in both."""
    hook = 'echo hook >&2; export A="from $$"'
    directory = person.project(f"version = 1\n[hook]\non-activate = '{hook}'\n[profile]\ncommon = 'echo profile'\n")
    (directory / "hold").write_text('read -r line; echo "$line"\n')
    wait = "esker activate -c 'printenv A; sh hold'"
    pipe = subprocess.PIPE
    argv = [*person.shell.script, "-c", wait]
    with subprocess.Popen(argv, cwd=directory, env=person.environ, stdin=pipe, stdout=pipe, stderr=pipe) as first:
        assert first.stdout.readline() == b"profile\n"
        exported = first.stdout.readline().decode()
        assert exported.startswith("from ")
        assert person.run("esker activate -c 'printenv A'") == (0, f"profile\n{exported}", "")
        activate = person.shell.evaluated("esker activate")
        assert person.run(f"{activate}\nprintenv A") == (0, f"profile\n{exported}", "")
        assert first.communicate(b"end\n", timeout=30) == (b"end\n", b"hook\n")


@pytest.mark.parametrize("end", ["exit 0", "exec true"])
def test_case_13_a_hook_that_leaves_its_shell_is_an_error(person, end):
    """If a hook leaves its shell, the command does not run, and a shell that activates in place gets a failure."""
    person.project(f"version = 1\n[hook]\non-activate = '''\nexport A=1\n{end}\n'''\n")
    done = person.run("esker activate -c 'echo not reached'")
    assert (done.status, done.out) == (1, "")
    assert "The hook.on-activate script did not complete normally" in done.err
    done = person.run(f"{person.shell.evaluated('esker activate')}\nenv printenv A FLOX_ENV")
    assert (done.status, done.out) == (1, "")


def test_case_14_a_failing_command_does_not_end_the_hook(person):
    """A hook runs without errexit, and may `return` any status."""
    person.project("version = 1\n[hook]\non-activate = '''\nfalse\nexport A=after\nreturn 3\nexport A=never\n'''\n")
    assert person.run("esker activate -c 'printenv A'") == (0, "after\n", "")


def test_case_16_an_interactive_activation_of_an_active_environment_is_refused(person):
    """In a shell that has the environment in place, an interactive activation is refused."""
    person.project()
    shown = person.typed(person.shell.evaluated("esker activate"), "esker activate", "printf '<%s>\\n' still")
    assert "ERROR: Environment 'project' is already active" in shown
    assert "<still>\n" in shown


def test_case_17_environments_are_nested(person):
    """The environment that was activated last comes first in every list, and FLOX_ENV is its link."""
    project, second = person.project(), person.project(name="second")
    activate, inner = (person.shell.evaluated(f"esker activate{where}") for where in ("", f" -d {second}"))
    show = "env printenv FLOX_PROMPT_ENVIRONMENTS FLOX_ENV_DIRS FLOX_ENV"
    one, two = link(project), link(second)
    told = f"project\n{one}\n{one}\nsecond project\n{two}:{one}\n{two}\n"
    assert person.run(f"{activate}\n{show}\n{inner}\n{show}") == (0, told, "")


def test_case_19_the_callers_own_values_do_not_matter(person):
    """Whatever values the caller has, an activation sets the variables that describe it correctly."""
    directory = person.project()
    names = ("FLOX_ENV", "FLOX_ENV_CACHE", "FLOX_ENV_PROJECT", "FLOX_ENV_DESCRIPTION")
    told = f"{link(directory)}\n{directory}/.flox/cache\n{directory}\nproject\n"
    show = f"env printenv {' '.join(names)}"
    for script in (f"esker activate -c '{show}'", f"{person.shell.evaluated('esker activate')}\n{show}"):
        assert person.run(script, **dict.fromkeys(names, "WRONG")) == (0, told, "")


def test_case_20_sbin_is_on_path_when_asked_for(person):
    """With `--add-sbin` sbin is on PATH behind the environment's bin; otherwise it is not on PATH."""
    directory = person.project()
    show = "-c 'printenv PATH'"
    assert person.run(f"esker activate {show}").out == f"{link(directory)}/bin:{person.path}\n"
    with_sbin = f"{link(directory)}/bin:{link(directory)}/sbin:{person.path}\n"
    assert person.run(f"esker activate --add-sbin {show}") == (0, with_sbin, "")
    activate = person.shell.evaluated("esker activate --add-sbin")
    assert person.run(f"{activate}\nprintenv PATH") == (0, with_sbin, "")


@pytest.mark.parametrize(("before", "after"), [(None, ":"), ("", ":"), ("foo:", ":foo:"), ("foo", ":foo:")])
def test_case_22_the_systems_own_manuals_stay_found(person, before, after):
    """MANPATH ends with a colon, which stands for the system's manuals, and has no more colons than it needs."""
    directory = person.project()
    told = f"{link(directory)}/share/man{after}\n"
    for script in ("esker activate -c 'printenv MANPATH'", person.shell.evaluated("esker activate")):
        assert person.run(f"{script}\nprintenv MANPATH", MANPATH=before).out.splitlines(keepends=True)[:1] == [told]


def test_case_23_modes(person):
    """`dev` sets what compilers need, `run` does not."""
    directory = person.project()
    show = "-c 'env printenv CPATH FLOX_ENV'"
    dev = f"{link(directory)}/include:/mine\n{link(directory)}\n"
    assert person.run(f"esker activate {show}", CPATH="/mine") == (0, dev, "")
    assert person.run(f"esker activate -m run {show}", CPATH="/mine").out == f"/mine\n{link(directory, 'run')}\n"
    in_place = f"{person.shell.evaluated('esker activate -m run')}\nprintenv CPATH"
    assert person.run(in_place, CPATH="/mine") == (0, "/mine\n", "")


@pytest.mark.parametrize("where", ["vars", "hook"])
def test_case_25_who_attaches_gets_the_value(person, where):
    """A variable of `[vars]` reaches whoever attaches; one that a hook sets to what it was does not replace another."""
    text = 'X = "same"\n' if where == "vars" else 'on-activate = "export X=same"\n'
    directory = person.project(
        f"version = 1\n[{where}]\n{text}[hook]\n" if where == "vars" else f"version = 1\n[hook]\n{text}"
    )
    hook = directory / ".flox/env/manifest.toml"
    if where == "vars":
        hook.write_text(hook.read_text() + 'on-activate = "true"\n')
    hold = [*person.shell.script, "-c", "esker activate -c 'sh -c \"echo ready; read line\"'"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        hold, cwd=directory, env={**person.environ, "X": "same"}, stdin=pipe, stdout=pipe, text=True
    ) as first:
        assert first.stdout.readline() == "ready\n"
        assert person.run("esker activate -c 'printenv X'", X=None) == (0, "same\n", "")
        other = "same\n" if where == "vars" else "other\n"
        assert person.run("esker activate -c 'printenv X'", X="other") == (0, other, "")
        first.communicate("\n", timeout=30)


def test_case_26_what_a_hook_declares(person):
    """Whatever the hook exports in the end is exported in the shell, and nothing else."""
    hook = "A=v; declare -x A\nexport B=l; declare +x B\nf() { local -x C=s; }; f"
    person.project(f"version = 1\n[hook]\non-activate = '''\n{hook}\n'''\n")
    for form in ("esker activate -c 'env'", f"{person.shell.evaluated('esker activate')}\nenv"):
        names = {line.partition("=")[0]: line for line in person.run(form, B=None, C=None).out.splitlines()}
        assert (names["A"], "B" in names, "C" in names) == ("A=v", False, False)


def test_case_28_scripts_lose_their_common_indentation(person):
    """A script that is indented in the manifest runs as if it were not: a here document keeps its first column."""
    lines = ["    cat <<EOF", "    running profile", "    EOF"]
    if person.shell.name == "fish":  # which has no here documents
        lines = ["    echo 'running profile'", "    echo '", "      indented'"]
    script = "\n".join(lines)
    person.project(f"version = 1\n[profile]\n{person.shell.name} = '''\n{script}\n'''\n".replace("'''", '"""'))
    told = "running profile\n" + ("\n  indented\n" if person.shell.name == "fish" else "")
    assert person.run("esker activate -c :") == (0, told, "")
    assert person.run(person.shell.evaluated("esker activate")) == (0, told, "")
