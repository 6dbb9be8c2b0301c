"""The prompt in each kind of shell: real shells, with the real command."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from tests.support.shells import SHELLS

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

HEAD = 'schema-version = "1.14.0"\n'
HOOKS = {
    "bash": 'eval "$(esker hook bash)"',
    "zsh": 'eval "$(esker hook zsh)"',
    "fish": "esker hook fish | source",
    "tcsh": 'eval "`esker hook tcsh`"',
}
PROMPTS = {
    "bash": 'eval "$PROMPT_COMMAND"',
    "zsh": "for f in $precmd_functions; do $f; done",
    "fish": "emit fish_prompt",
    "tcsh": "precmd",
}
"""What a shell does before a prompt; so a script can do it too."""
VALUE = "sh -c 'echo ${A-none}'"
TYPED = "sh -c 'echo value=${A-none}'"


def allowed(person, name="project", manifest=f"{HEAD}[vars]\nA = '1'\n", place=None):
    """Make a project, activate it once and allow it; return its directory."""
    directory = person.project(manifest, name)
    if place is not None:
        directory = directory.rename(place / name)
    for words in (f"esker activate -d {directory} -- true", f"esker allow {directory}"):
        done = person.run(words)
        assert done.status == 0, done.err
    return directory


def at_prompts(person, *lines, **variables):
    """Run lines in a script with the hook, with a prompt before the first and after each."""
    prompt = PROMPTS[person.shell.name]
    return person.run(
        "\n".join([HOOKS[person.shell.name], prompt, *(f"{line}\n{prompt}" for line in lines)]), **variables
    )


def logged(person):
    """Have each run of the command leave its words in a file, and return that file."""
    program, log = person.place / "programs/esker", person.place / "log"
    text = program.read_text()
    program.write_text(text.replace("\nexec", f'\necho "$@" >> {log}\nexec', 1))
    log.write_text("")
    return log


def test_an_allowed_project_is_entered_and_left(person):
    """The variables, `$?` and the profile are there while the directory lasts, below it too, and go with it."""
    directory = allowed(person, manifest=f"{HEAD}[vars]\nA = '1'\n[profile]\ncommon = 'echo profile'\n")
    (directory / "below").mkdir()
    done = at_prompts(person, "cd below", VALUE, "cd ../..", VALUE, "cd project", VALUE)
    assert done == (0, "profile\n1\nnone\nprofile\n1\n", "")


def test_leaving_gives_back_every_variable(person):
    """Outside, every variable is as it was, byte for byte, and the prompt remembers nothing."""
    allowed(person, manifest=f"{HEAD}[vars]\nA = 'x'\nPATH = '$PATH:/x'\n[hook]\non-activate = 'unset GONE'\n")
    given = {"A": "a\nb\\'!\udcff", "GONE": "here's !x", "MANPATH": "::"}
    before = person.variables("cd ..", **given)
    prompt = PROMPTS[person.shell.name]
    after = person.variables(f"{HOOKS[person.shell.name]}\n{prompt}\ncd ..\n{prompt}", **given)
    inside = person.variables(f"{HOOKS[person.shell.name]}\n{prompt}", **given)
    assert after == before
    assert (inside["A"], "GONE" in inside) == ("x", False)


def test_nothing_changed_starts_no_process(person):
    """The command is asked when the directory or a file changes, and no process at all is started at other prompts."""
    allowed(person)
    time.sleep(2.1)  # what was written just now counts as changed
    log = logged(person)
    done = at_prompts(person, *["true"] * 3, VALUE)
    assert (done.out, log.read_text().count("hook-env")) == ("1\n", 1)
    prompt = PROMPTS[person.shell.name]
    counts = []
    for prompts in (1, 40):
        script = person.place / "prompts"
        script.write_text("\n".join([HOOKS[person.shell.name], *[prompt] * prompts]))
        trace = person.place / "trace"
        arguments = ["strace", "-f", "-o", str(trace), "-e", "trace=fork,vfork,clone,clone3", *person.shell.script]
        subprocess.run([*arguments, str(script)], cwd=person.place / "project", env=person.environ, check=True)
        counts.append(trace.read_text().count("clone") + trace.read_text().count("fork"))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("change", ["touch", "older", "gone", "new", "directory"])
def test_each_change_is_seen(person, change):
    """A newer, an older, a missing and a new file, and another directory: the command is asked once more."""
    directory = allowed(person)
    time.sleep(2.1)
    log = logged(person)
    manifest = directory / ".flox/env/manifest.toml"
    line = {
        "touch": f"touch {manifest}",
        "older": f"touch -d 2020-01-01 {manifest}",
        "gone": f"mv {manifest} {manifest}.away",
        "new": f"touch {directory}/.flox/conda.lock",
        "directory": "cd /",
    }[change]
    at_prompts(person, "true", line)
    assert log.read_text().count("hook-env") >= 2


def test_environments_lie_on_each_other(person):
    """All environments above are active, the outermost first; what is left goes, and what stays is not touched."""
    outer = allowed(person)
    inner = allowed(person, "inner", f"{HEAD}[vars]\nA = '2'\n[profile]\ncommon = 'echo inner'\n", outer)
    show = "env printenv A FLOX_PROMPT_ENVIRONMENTS | tr '\\n' '|'; echo"
    done = at_prompts(person, "cd inner", show, "cd ..", show, "cd /", VALUE, f"cd {inner}", show)
    assert done == (0, "inner\n2|inner project|\n1|project|\nnone\ninner\n2|inner project|\n", "")
    assert outer != inner


def test_deactivate_holds_until_the_directory_is_left(person):
    """After `esker deactivate` the prompt enters the environment again only when one comes back."""
    directory = allowed(person)
    (directory / "below").mkdir()
    done = at_prompts(person, "esker deactivate", VALUE, "cd below", VALUE, "cd /", f"cd {directory}", VALUE)
    assert done == (0, "none\nnone\n1\n", "")


def test_an_unknown_project_is_told_of_once(person):
    """Without consent nothing runs, and one line says what to type; `esker trust` and ESKER_TRUST are no consent."""
    directory = person.project(f"{HEAD}[vars]\nA = '1'\n[hook]\non-activate = 'echo ran >&2'\n")
    assert person.run("esker activate -- true").status == 0
    person.run(f"esker trust {directory}")
    done = at_prompts(person, "true", VALUE, ESKER_TRUST="1")
    line = f"! `{directory}` has an environment, which the prompt does not activate yet: esker allow\n"
    assert done == (0, "none\n", line)


def test_a_denied_project_is_left_alone(person):
    """`esker deny` beats what was allowed, is silent, and takes out what is active; `esker allow` lifts it."""
    allowed(person)
    done = at_prompts(person, VALUE, "esker deny", VALUE, "esker allow", VALUE)
    assert done.out == "1\nnone\n1\n"
    assert done.err.count("\n") == 2, done.err  # what deny and allow say themselves


def test_a_change_asks_again(person):
    """Another content is told of in one line, and the last good state stays; then `esker allow` takes it."""
    directory = allowed(person)
    manifest, new = directory / ".flox/env/manifest.toml", person.place / "new"
    new.write_text(f"{HEAD}[vars]\nA = '2'\n")
    done = at_prompts(
        person, f"cp {new} {manifest}", "true", VALUE, "esker allow", VALUE, "esker activate -- true", VALUE
    )
    assert done.out == "1\n1\n2\n"
    changed, allow, activate, *rest = [line for line in done.err.splitlines() if line]
    assert changed == f"! `{directory}` has changed since you allowed it: esker allow"
    assert allow.startswith("✔ The prompt may activate")
    assert activate == f"! `{directory}` has to be locked or installed: esker activate -- true"
    assert not [line for line in rest if line.startswith("!")]


def test_our_own_changes_are_carried_over(person):
    """What `esker edit` writes is allowed if the content before was, and the next prompt takes it."""
    allowed(person)
    new = person.place / "new"
    new.write_text(f"{HEAD}[vars]\nA = '2'\n")
    done = at_prompts(person, VALUE, f"esker edit -f {new}", VALUE)
    assert done.out == "1\n2\n"
    assert "esker allow" not in done.err


def test_a_failing_hook_is_told_of_once(person):
    """The error is shown at one prompt; the last good state stays, and a mended hook is taken."""
    allowed(person)
    broken, good = person.place / "broken", person.place / "good"
    broken.write_text(f"{HEAD}[vars]\nA = '2'\n[hook]\non-activate = 'exit 3'\n")
    good.write_text(f"{HEAD}[vars]\nA = '3'\n[hook]\non-activate = 'true'\n")
    done = at_prompts(person, f"esker edit -f {broken}", "true", VALUE, f"esker edit -f {good}", VALUE)
    assert done.out == "1\n3\n"
    assert done.err.count("did not complete normally") == 1


def test_what_the_user_activated_is_the_users(person):
    """An environment that was activated explicitly stays outside of its directory, and hides nothing from inside."""
    directory = allowed(person)
    activate = person.shell.evaluated(f"esker activate -d {directory}")
    done = at_prompts(person, "cd /", activate, f"cd {directory}", "cd /", VALUE, "esker deactivate", VALUE)
    assert done == (0, "1\nnone\n", "")


def test_the_shell_that_activate_opens(person):
    """In a project that was not allowed, `esker activate` opens a shell with the hook, and leaving ends it."""
    person.project(f"{HEAD}[vars]\nA = '1'\n")
    assert person.run("esker activate -- true").status == 0
    shown = person.typed(TYPED, "esker activate", TYPED, "esker deactivate", TYPED, rc=HOOKS[person.shell.name])
    parts = shown.partition("You are now using")
    assert "value=none\n" in parts[0]
    assert parts[2].index("value=1\n") < parts[2].index("value=none\n")
    assert "esker allow" in parts[0]
    assert "esker allow" not in parts[2]


def test_a_shell_below_has_the_profile_and_can_leave(person):
    """A shell that is started inside gets the aliases of the profile at its first prompt, and leaves by itself."""
    define = "alias ll 'echo aliased'" if person.shell.name == "tcsh" else "alias ll='echo aliased'"
    allowed(person, manifest=f"{HEAD}[vars]\nA = '1'\n[profile]\n{person.shell.name} = \"{define}\"\n")
    inner = person.place / "inner"
    expand = "shopt -s expand_aliases\n" if person.shell.name == "bash" else ""
    prompt = PROMPTS[person.shell.name]
    inner.write_text(f"{expand}{HOOKS[person.shell.name]}\n{prompt}\nll\ncd /\n{prompt}\n{VALUE}\n")
    done = at_prompts(person, " ".join([*person.shell.script, str(inner)]), VALUE)
    assert done == (0, "aliased\nnone\n1\n", "")


def test_a_plan_of_somebody_else_is_not_taken(person):
    """A plan that came with the project runs nothing at the prompt, even if the content was allowed."""
    directory = allowed(person)
    plan = directory / ".flox/cache/esker/plan-dev.json"
    record = json.loads(plan.read_text())
    plan.write_text(json.dumps({**record, "hook": "echo forged >&2", "stats": []}))
    done = at_prompts(person, VALUE)
    line = f"! `{directory}` was prepared by somebody else, or for another user: esker allow\n"
    assert done == (0, "none\n", line)
    person.run("esker allow")
    assert not plan.exists()
    person.run("esker activate -- true")
    assert at_prompts(person, VALUE).out == "1\n"


def test_a_directory_that_is_gone(person):
    """In a directory that was removed the prompt goes on, and leaves what was above."""
    directory = allowed(person)
    away = person.place / "away"
    done = at_prompts(person, VALUE, f"mv {directory} {away}", VALUE, f"rm -rf {away}", VALUE, "cd /", VALUE)
    assert done.status == 0
    assert done.out.splitlines()[0] == "1"
    assert done.out.splitlines()[2:] == ["none", "none"]


def test_a_command_that_is_gone(person):
    """When Esker was removed, the shell goes on without a word."""
    allowed(person)
    done = at_prompts(person, f"mv {person.place}/programs/esker {person.place}/away", "cd /", "echo on")
    assert (done.out, done.err) == ("on\n", "")


OWN = {
    "bash": ("PROMPT_COMMAND='echo own:$?'", "PROMPT_COMMAND=('echo own:$?' 'echo second:$?')"),
    "zsh": ("precmd() { echo own:$? }", "own() { echo own:$? }; precmd_functions=(own)"),
    "fish": ("function own --on-event fish_prompt; echo own:$status; end",),
    "tcsh": ("alias precmd 'echo own:$status'",),
}


BEHIND = {
    "bash": "PROMPT_COMMAND+=$'\\n''echo own:$?'",
    "zsh": "own() { echo own:$? }; precmd_functions+=(own)",
    "fish": OWN["fish"][0],
    "tcsh": "alias ours \"`alias precmd`\"; alias precmd 'ours; echo own:$status'",
}


def test_at_a_terminal(person):
    """The user's own prompt commands run, before and behind ours, and see the status of the last command."""
    allowed(person, manifest=f"{HEAD}[vars]\nA = '1'\n[profile]\ncommon = 'echo profile'\n")
    hook = HOOKS[person.shell.name]
    before = [f"{own}\n{hook}\n{hook}" for own in OWN[person.shell.name]]
    for rc in (*before, f"{hook}\n{BEHIND[person.shell.name]}\n{hook}"):
        shown = person.typed("sh -c 'exit 7'", TYPED, "cd /", TYPED, rc=rc)
        assert "profile\n" in shown
        assert "own:7\n" in shown
        assert "value=1\n" in shown
        assert "value=none\n" in shown
        assert "esker [project] > " in shown


only_bash_and_zsh = pytest.mark.parametrize("person", SHELLS[:2], ids=["bash", "zsh"], indirect=True)


@only_bash_and_zsh
def test_a_strict_shell(person):
    """With `set -eu` the shell lives on."""
    allowed(person, manifest=f"{HEAD}[vars]\nA = '1'\n[profile]\ncommon = 'false'\n")
    shown = person.typed(TYPED, "cd /", TYPED, rc=f"{HOOKS[person.shell.name]}\nset -eu")
    assert "value=1\n" in shown
    assert "value=none\n" in shown


TOOLS = {
    "bash": (
        """
_direnv_hook() { local previous=$?; echo direnv; return $previous; }
PROMPT_COMMAND="_direnv_hook${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
""",
        """
starship_precmd() { STATUS=$?; eval "$_PRESERVED"; PS1="status $STATUS > "; }
_PRESERVED=$PROMPT_COMMAND; PROMPT_COMMAND=starship_precmd
""",
    ),
    "zsh": (
        """
_direnv_hook() { echo direnv }
typeset -ag precmd_functions; precmd_functions=(_direnv_hook $precmd_functions)
""",
        """
prompt_starship_precmd() { STATUS=$?; PS1="status $STATUS > " }
autoload -Uz add-zsh-hook; add-zsh-hook precmd prompt_starship_precmd
""",
    ),
}
"""Hooks, written after those of the tools."""


@only_bash_and_zsh
def test_beside_direnv_and_starship(person):
    """Hooks as these tools write them run at each prompt, whichever comes first."""
    allowed(person)
    direnv, starship = TOOLS[person.shell.name]
    hook = HOOKS[person.shell.name]
    for rc in (f"{hook}\n{direnv}\n{starship}", f"{direnv}\n{starship}\n{hook}"):
        shown = person.typed(TYPED, "sh -c 'exit 7'", "cd /", TYPED, rc=rc)
        assert "direnv\n" in shown
        assert "status 7 > " in shown
        assert "value=1\n" in shown
        assert "value=none\n" in shown
        assert "esker [project] status" in shown


@only_bash_and_zsh
def test_use_esker_of_direnv(person):
    """`.envrc` with `use esker` gives the variables while the directory lasts, if direnv and Esker both allow it."""
    name = person.shell.name
    directory = allowed(person, manifest=f"{HEAD}[vars]\nA = '1'\n[hook]\non-activate = 'true'\n")
    (directory / ".envrc").write_text("use esker\n")
    library = person.home / ".config/direnv/direnvrc"
    library.parent.mkdir(parents=True)
    library.write_text('eval "$(esker hook direnv)"\n')
    other = person.place / "other"
    other.write_text(f"{HEAD}[vars]\nA = '2'\n")
    manifest = directory / ".flox/env/manifest.toml"
    shown = person.typed(
        "direnv allow",
        TYPED,
        f"cp {other} {manifest}; touch -d @2000000000 {manifest}",  # direnv compares whole seconds
        TYPED,
        "cd /",
        TYPED,
        rc=f'eval "$(direnv hook {name})"',
    )
    assert "value=1\n" in shown
    assert "has changed since you allowed it: esker allow" in shown
    assert "value=2\n" not in shown
    assert "value=none\n" in shown.rpartition("7005\n")[2]


def test_the_prompt_never_reads_the_terminal(person):
    """A hook that reads its input gets none, and what is typed meanwhile reaches the shell."""
    allowed(person, manifest=f"{HEAD}[hook]\non-activate = 'read -r A; export A=\"<$A>\"'\n")
    shown = person.typed(TYPED, rc=HOOKS[person.shell.name])
    assert "value=<>\n" in shown


def test_services_of_the_manifest_start_and_stop(person):
    """With `services.auto-start`, services run while the shell is in the directory, as after `esker activate`."""
    allowed(
        person, manifest=f"{HEAD.replace('14', '15')}[services]\nauto-start = true\none.command = 'exec sleep 1000'\n"
    )
    status = "esker services status --json -d {} | tr ',' '\\n' | grep '\"status\"'".format(person.place / "project")
    wait = f"esker services wait --for stopped one -d {person.place}/project"
    done = at_prompts(person, status, "cd /", wait, status)
    words = [line.partition(":")[2].strip(' "}]').lower() for line in done.out.splitlines() if "status" in line]
    assert words == ["running", "stopped"], done


def test_the_flox_shim_allows_and_denies(person):
    """`flox activate allow` and `deny` are the same, in Flox's words."""
    directory = person.project()
    flox = f"{person.place}/shim/flox"
    assert person.run(f"esker shim flox {person.place}/shim").status == 0
    assert person.run(f"{flox} activate allow -d {directory}").err == "✔ Auto-activation allowed for project.\n"
    assert person.run(f"{flox} activate deny").err == "✔ Auto-activation denied for project.\n"
