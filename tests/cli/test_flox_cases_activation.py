"""Flox's own test cases of one environment in bash, by their numbers, run with Esker's `flox`."""

from __future__ import annotations

import pytest

from esker.settings import Settings

pytestmark = pytest.mark.slow

SYSTEM = Settings({}).system


def link(directory, mode="dev"):
    """Return the run link of a project."""
    return f"{directory}/.flox/run/{SYSTEM}.{directory.name}-{mode}"


VARIABLE = 'version = 1\n[vars]\nfoo = "baz"\n'


@pytest.mark.parametrize(
    "script",
    [
        "flox activate -c 'echo \"$foo\"'",
        "flox activate -- sh -c 'echo \"$foo\"'",
        'eval "$(flox activate)"; echo "$foo"',
        'eval "$(flox activate --print-script)"; bash -c \'echo "$foo"\'',
    ],
)
def test_case_01_variables_are_set(flox, project, script):
    """A variable is set in every form of activation, and nothing else is printed."""
    project(VARIABLE)
    assert flox.bash(script) == (0, "baz\n", "")


def test_case_02_variables_refer_to_each_other(flox, project):
    """Whatever the order in the file, a variable is set before those that refer to it."""
    project('version = 1\n[vars]\nalpha = "${omega}-suffix"\nomega = "base"\n')
    assert flox("activate", "-c", "echo $alpha") == (0, "base-suffix\n", "")


def test_case_04_a_variable_may_extend_itself(flox, project):
    """A reference to itself means the value that the variable had before, and is no cycle."""
    directory = project('version = 1\n[vars]\nPATH = "${PATH}:/x"\n')
    done = flox("activate", "-c", "echo $PATH", PATH="/usr/bin:/bin")
    assert done == (0, f"{link(directory)}/bin:/usr/bin:/bin:/x\n", "")


def test_case_05_the_hook_sees_the_variables_and_keeps_stdout_clean(flox, project):
    """The output of a hook goes to standard error, also for an activation in place."""
    project(VARIABLE + "[hook]\non-activate = 'echo $foo'\n")
    assert flox("activate", "-c", "exit") == (0, "", "baz\n")
    assert flox.bash('eval "$(flox activate)"') == (0, "", "baz\n")


PROFILE = """version = 1
[profile]
common = "echo sourcing profile.common"
bash = "echo sourcing profile.bash"
zsh = "echo sourcing profile.zsh"
fish = "echo sourcing profile.fish"
tcsh = "echo sourcing profile.tcsh"
"""


def test_case_07_profile_scripts_run_for_a_shell_command(flox, project):
    """The common script and the shell's own script run once each, in that order."""
    project(PROFILE)
    assert flox("activate", "-c", ":") == (0, "sourcing profile.common\nsourcing profile.bash\n", "")


def test_case_08_no_profile_script_runs_for_a_program(flox, project):
    """A program runs without a shell, so no profile script runs."""
    project(PROFILE)
    assert flox("activate", "--", "true") == (0, "", "")


def test_case_10_a_second_activation_in_place_runs_no_hook(flox, project):
    """A second activation in place does not run the hook again for this shell."""
    project("version = 1\n[hook]\non-activate = 'echo X'\n")
    script = 'eval "$(flox activate)"; echo first >&2; eval "$(flox activate)"; echo second >&2'
    assert flox.bash(script) == (0, "", "X\nfirst\nsecond\n")


@pytest.mark.parametrize("end", ["exit 0", "exec true"])
def test_case_13_a_hook_that_leaves_its_shell_is_an_error(flox, project, end):
    """If a hook leaves its shell, the command does not run, and the message says what to review."""
    project(f"version = 1\n[hook]\non-activate = '''\nexport A=1\n{end}\n'''\n")
    told = (
        "✘ ERROR: The hook.on-activate script did not complete normally.\n\n"
        "Review your script for the use of:\n"
        "- 'exit' commands, which should be replaced with 'return'\n"
        "- 'exec' commands, which should be run in a subshell: '(exec command)'\n"
    )
    assert flox("activate", "-c", "echo not reached") == (1, "", told)


def test_case_14_a_failing_command_does_not_end_the_hook(flox, project):
    """A hook runs without errexit, and may `return` any status."""
    project("version = 1\n[hook]\non-activate = '''\nfalse\nexport A=after\nreturn 3\nexport A=never\n'''\n")
    assert flox("activate", "-c", 'echo "$A"') == (0, "after\n", "")


def test_case_16_an_interactive_activation_of_an_active_environment_is_refused(flox, project):
    """An interactive activation is refused in a shell that has it in place; forms with a command still work."""
    project()
    refused = flox.terminal('eval "$(flox activate 2>/dev/null)"; flox activate; echo "status $?"')
    assert refused.out == "✘ ERROR: Environment 'project' is already active\nstatus 1\n"
    assert flox.bash('eval "$(flox activate)"; flox activate -- echo again') == (0, "again\n", "")


def test_case_17_environments_are_nested(flox, project):
    """The environment that was activated last comes first in every list, and FLOX_ENV is its link."""
    first, second = project(name="first"), project(name="second")
    show = 'echo "$FLOX_PROMPT_ENVIRONMENTS|$FLOX_ENV_DIRS|$FLOX_ENV"'
    script = f'eval "$(flox activate -d {first})"; {show}; eval "$(flox activate -d {second})"; {show}'
    assert flox.bash(script, cwd=first) == (
        0,
        f"first|{link(first)}|{link(first)}\nsecond first|{link(second)}:{link(first)}|{link(second)}\n",
        "",
    )


def test_case_19_the_callers_own_values_do_not_matter(flox, project):
    """Whatever values the caller has, an activation sets the variables that describe it correctly."""
    directory = project()
    names = ("FLOX_ENV", "FLOX_ENV_CACHE", "FLOX_ENV_PROJECT", "FLOX_ENV_DESCRIPTION")
    done = flox("activate", "--", "printenv", *names, **dict.fromkeys(names, "WRONG"))
    assert done == (0, f"{link(directory)}\n{directory}/.flox/cache\n{directory}\nproject\n", "")


def test_case_20_sbin_is_on_path_when_asked_for(flox, project):
    """With `--add-sbin` sbin is on PATH behind the environment's bin; otherwise it is not on PATH."""
    directory = project()
    show = ("--", "sh", "-c", "echo $PATH")
    assert flox("activate", *show, PATH="/usr/bin:/bin").out == f"{link(directory)}/bin:/usr/bin:/bin\n"
    with_sbin = f"{link(directory)}/bin:{link(directory)}/sbin:/usr/bin:/bin\n"
    assert flox("activate", "--add-sbin", *show, PATH="/usr/bin:/bin") == (0, with_sbin, "")


@pytest.mark.parametrize(("before", "after"), [(None, ":"), ("", ":"), ("foo:", ":foo:"), ("foo", ":foo:")])
def test_case_22_the_systems_own_manuals_stay_found(flox, project, before, after):
    """MANPATH ends with a colon, which stands for the system's manuals, and has no more colons than it needs."""
    directory = project()
    done = flox("activate", "--", "printenv", "MANPATH", MANPATH=before)
    assert done == (0, f"{link(directory)}/share/man{after}\n", "")


def test_case_23_modes(flox, project):
    """`dev` sets what compilers need, `run` does not; the flag overrides the manifest, and `dev` is the default."""
    directory = project()
    show = ("-c", 'echo "$CPATH|$FLOX_ENV"')
    dev = f"{link(directory)}/include:/mine|{link(directory)}\n"
    run = f"/mine|{link(directory, 'run')}\n"
    assert flox("activate", *show, CPATH="/mine") == (0, dev, "")
    assert flox("activate", "-m", "run", *show, CPATH="/mine") == (0, run, "")
    (directory / ".flox/env/manifest.toml").write_text('version = 1\n[options]\nactivate.mode = "run"\n')
    assert flox("activate", *show, CPATH="/mine") == (0, run, "")
    assert flox("activate", "--mode", "dev", *show, CPATH="/mine") == (0, dev, "")
    refused = (1, "", "✘ ERROR: couldn't parse `invalid`: not a valid activation mode\n")
    assert flox("activate", "-m", "invalid", *show) == refused


def test_case_11_a_second_terminal_attaches(flox, project):
    """During one activation another gets the hook's exports; the hook runs once, the profile in both."""
    manifest = (
        "version = 1\n[hook]\non-activate = 'echo hook >&2; export A=\"from $$\"'\n[profile]\ncommon = 'echo profile'\n"
    )
    project(manifest)
    hold = ["activate", "-c", 'echo "$A"; read -r line; echo "$line"']
    first = flox.start(hold)
    assert first.stdout.readline() == "profile\n"
    exported = first.stdout.readline()
    assert exported.startswith("from ")
    assert flox("activate", "-c", 'echo "$A"') == (0, f"profile\n{exported}", "")
    assert first.communicate("end\n", timeout=30) == ("end\n", "hook\n")
    assert first.returncode == 0
