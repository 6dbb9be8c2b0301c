from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.activate import hook
from esker.activate.composition import activation, outer_path
from esker.activate.left_in_bash import declared, is_shells_own, parse_left, scripts_for
from esker.activate.origin import sourcing
from esker.errors import ActivationFailed, HookCutOff
from tests.support.plans import a_plan

BASE = {"PATH": os.environ["PATH"], "HOME": "/home/me"}
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)


def bash(script):
    """What a bash prints that reads nothing but the script."""
    done = subprocess.run(["bash", "--noprofile", "--norc", "-c", script], env=BASE, capture_output=True, check=True)
    return done.stdout.decode()


def left(script, declarations=""):
    """What a tool's hook leaves, and the variables after it."""
    tool = hook.ToolHook("shellHook", declarations, script, None)
    return hook.run(BASE, tool=tool), tool.left


def taken_over(taken):
    """The text by which another bash takes over what was left, but for the aliases and the trap."""
    return "\n".join(scripts_for("bash", {**taken, "aliases": ""}, "shellHook", with_trap=False))


@settings(deadline=None)  # each example starts a bash
@given(st.lists(WORDS, min_size=1, max_size=3), st.dictionaries(WORDS.filter(bool), WORDS, max_size=3), WORDS)
def test_what_is_declared_is_there(array, table, text):
    """Texts, arrays and associative arrays come out as they went in, whatever is in them; nothing is exported."""
    script = declared({"array": array, "table": table, "text": text}, {"said": '    printf "%s" "$1"'})
    check = (
        f'f() {{ {script} }}\nf\nprintf "%s\\0" "${{array[@]}}" "$text" "$(said x)"\n'
        'for key in "${!table[@]}"; do printf "%s\\0" "$key" "${table[$key]}"; done\nenv | grep -c "^text=" || true'
    )
    *said, count = bash(check).split("\0")
    size = len(array) + 2
    assert said[:size] == [*array, text, "x"]
    assert dict(zip(said[size::2], said[size + 1 :: 2], strict=True)) == table
    assert count == "0\n"


def test_a_shells_own_variables_are_not_taken_over():
    """Neither by name, nor what bash has marked read-only or the environment has already."""
    assert is_shells_own("IFS")
    assert is_shells_own("_esker_x")
    _, taken = left("IFS=x; PS1=mine; readonly FIXED=1; export OUT=1; own=2; unset_one=; declare -i number=7")
    script = taken_over(taken)
    assert (
        bash(f'{script}\necho "$own $number ${{FIXED-none}} ${{OUT-none}} ${{PS1-none}} ${{#IFS}}"')
        == "2 7 none none none 3\n"
    )
    assert declared({"IFS": "x"}, {}) == ""


def test_a_hook_is_run_with_what_the_tool_declares():
    """It sees functions and arrays, and what it makes of them is left; nothing of ours is."""
    declarations = declared({"list": ("a", "b c")}, {"helper": "    echo helped"})
    after, taken = left('export HELPED=$(helper) SECOND="${list[1]}"; list+=(d); later() { helper; }', declarations)
    assert (after["HELPED"], after["SECOND"]) == ("helped", "b c")
    assert bash(f'{taken_over(taken)}\nlater; echo "${{list[2]}}"') == "helped\nd\n"
    assert "_esker" not in taken_over(taken)


def test_the_trap_and_the_aliases_are_left_and_not_run():
    """An EXIT trap does not run where the hook ran."""
    after, taken = left("alias be='bundle exec'; trap 'echo \"it is over\"' EXIT; export A=1")
    assert after["A"] == "1"
    assert bash("\n".join(scripts_for("bash", taken, "shellHook", with_trap=True))) == "it is over\n"
    aliases = scripts_for("bash", taken, "shellHook", with_trap=False)
    assert bash("\n".join([*aliases, "be"]).replace("bundle exec", "echo expanded")) == "expanded\n"
    assert scripts_for("zsh", taken, "shellHook", with_trap=True) == [taken["aliases"]]
    (told,) = scripts_for("fish", taken, "shellHook", with_trap=True)
    assert "functions and aliases of the shellHook are for bash" in told
    assert scripts_for("fish", {"declarations": ""}, "shellHook", with_trap=True) == []


@pytest.mark.parametrize(
    ("script", "exported"),
    [
        ("export A=1; exec zsh; export B=1", "1"),
        ("export A=1\nif true; then\n  exec -l fish\nfi\nexport B=1", "1"),
        ("f() { export A=1; exec zsh; export B=1; }\nf\nexport B=1", "1"),
        ("exec 5>/dev/null\necho x >&5\n{ exec {fd}>/dev/null; }\n(exec true)\nx=$(exec echo 1)\nexport A=$x", "1"),
    ],
)
def test_an_exec_of_a_program_ends_a_tools_hook(script, exported, capfd):
    """Also within a function; a mere redirection and an `exec` in a subshell are what they are elsewhere."""
    after, taken = left(script)
    assert after.get("A") == exported
    assert "B" not in after
    assert ("was not run" in capfd.readouterr().err) is ("B=1" in script)
    assert "ended" not in taken


def test_the_manifests_hook_comes_after_it():
    """It sees what the tool's hook has exported, also after an `exec` in that; and its own EXIT trap runs."""
    tool = hook.ToolHook("shellHook", "", "export A=1; set -eu; exec zsh", None)
    assert hook.run(BASE, tool=tool, script='export B=$A; false; export C="${NEVER_SET}"')["B"] == "1"


@pytest.mark.parametrize("script", ["exit", "exit 4", "kill -9 $$"])
def test_a_tools_hook_that_ends_its_bash_is_named(script):
    """The error says whose hook it was."""
    with pytest.raises(HookCutOff, match="The shellHook script did not complete normally"):
        left(script)


TEXTS = (
    "plain",
    "",
    "two\nlines",
    'a\ndeclare -x B="1"\n',
    'it\'s "q" $x `y` \\',
    "(a b)",
    "\x01\xe9\u20ac",
    "\\'\n$'x'",
)


def test_what_a_hook_has_made_is_taken_over_exactly():
    """Texts, keys and elements come out as they were, also those that look like what bash writes of a variable."""
    made = declared({"array": TEXTS, "table": {key: key for key in TEXTS if key}}, {})
    script = f'{made}\nfor i in {{0..7}}; do declare -g text$i="${{array[i]}}"; done'
    _, taken = left(script)
    check = 'printf "%s\\0" "${array[@]}" "$text0" "$text1" "$text2" "$text3" "$text4" "$text5" "$text6" "$text7"'
    check += (
        '; for key in "${!table[@]}"; do [[ ${table[$key]} == "$key" ]] && printf "same\\0"; done; echo "${B-none}"'
    )
    said = bash(f"{taken_over(taken)}\n{check}").split("\0")
    assert said == [*TEXTS, *TEXTS, *["same"] * (len(TEXTS) - 1), "none\n"]


def test_an_older_bash_writes_line_ends_as_they_are():
    """Before version 5, a text in double quotes may have several lines: what they hold is no declaration."""
    text = 'declare -- a="1\ndeclare -- b=\\"2\\"\nend"\ndeclare -a c=([0]="x\n)" [1]="y")\ndeclare -i d="3"\n'
    taken = {"variables": text, "functions": ""}
    said = bash(f'{taken_over(taken)}\nprintf "%s|" "$a" "${{b-none}}" "${{c[@]}}" "$d"')
    assert said == '1\ndeclare -- b="2"\nend|none|x\n)|y|3|'


FAILING = {
    "a command": (
        "export A=1\nset -e\nfalse\nexport B=1",
        3,
        "`false` has failed under `set -e`, and bash ended with status 1",
    ),
    "the last command": ('set -e\n[ -n "$NONE" ] && export A=1', None, "bash ended with status 1"),
    "a variable": ("set -u\necho $NONE", None, "bash ended with status 127"),
}


@pytest.mark.parametrize(("script", "line", "ending"), FAILING.values(), ids=FAILING)
def test_a_tools_hook_that_fails_under_its_own_options(script, line, ending):
    """It is an error, as it ends `nix develop`; the error has the project, and the line and the command if known."""
    tool = hook.ToolHook("shellHook", "f() {\n :\n}\n", script, None, project="/p")
    with pytest.raises(HookCutOff, match="The shellHook script did not complete normally") as caught:
        hook.run(BASE, tool=tool)
    assert caught.value.place == (f"line {line} of the script, /p" if line else "/p")
    assert caught.value.ending == ending


def test_a_failing_line_of_a_file_that_a_tool_has_sourced(tmp_path, capfd):
    """The error has the file and the line, and so has the warning of a syntax error."""
    file = tmp_path / "it's setup-env.sh"
    script = sourcing(str(file), "0a")
    file.write_text("export A=1\nset -e\n\nfalse\n")
    with pytest.raises(HookCutOff) as caught:
        left(script)
    assert caught.value.place == f"{file}:4"
    file.write_text('set -e\n[ -n "$NONE" ] && export A=1\n')  # the file returns the failure, and `.` ends bash
    with pytest.raises(HookCutOff) as caught:
        left(script)
    assert (caught.value.place, caught.value.ending) == (str(file), "bash ended with status 1")
    file.write_text("export A=1\nif true; then\nfi\nexport B=1\n")
    assert left(script)[0]["A"] == "1"
    assert f"! shellHook has a syntax error ({file}:3); only the commands before it have run" in capfd.readouterr().err


def test_a_syntax_error_in_a_tools_hook(capfd):
    """One line says where it is, after bash's own words, and what came before stays; under `set -e` it is an error."""
    assert left("export A=1\nif true; then\nfi\nexport B=1", "f() {\n :\n}\n")[0] == {**BASE, "A": "1"}
    *bashs, warning = capfd.readouterr().err.splitlines()
    assert "syntax error near unexpected token" in bashs[0]
    place = "line 3 of the script, the project"
    assert warning == f"! shellHook has a syntax error ({place}); only the commands before it have run"
    with pytest.raises(ActivationFailed, match=r"shellHook has a syntax error \(line 2 .*`set -e` ends the script"):
        left("set -e\n)")


def test_functions_that_a_tools_hook_exports(capfd):
    """A bash has them exported, too, and programs get them as bash writes them; of the caller's own nothing changes."""
    exporting = 'f() { echo "in f: $1"; }\nexport -f f\ng() { :; }\nreadonly -f g'
    after, taken = left(exporting)
    assert after == BASE
    entries = dict(entry.split("=", 1) for entry in taken["exported"].split("\0"))
    assert list(entries) == ["BASH_FUNC_f%%"]
    done = subprocess.run(["bash", "-c", "f x"], env=BASE | entries, capture_output=True, check=True)
    assert done.stdout == b"in f: x\n"
    assert bash(f"{taken_over(taken)}\nbash -c 'f y'; type -t g") == "in f: y\nfunction\n"
    assert left("A=1")[1]["exported"] == ""


def test_a_tools_hook_may_return_a_failure(capfd):
    """Without `set -e` the status of its last command means nothing."""
    assert left("export A=1\nreturn 3")[0]["A"] == "1"
    assert left("export A=1\nfalse")[0]["A"] == "1"
    assert capfd.readouterr().err == ""


def test_an_exit_before_a_syntax_error():
    """Bash has not come to the mistake: it is not what has ended the hook."""
    with pytest.raises(HookCutOff) as caught:
        left("exit 0\n)")
    assert caught.value.ending is None


def test_a_damaged_text_is_no_declaration():
    """What is not written as bash writes it is left out."""
    assert taken_over(parse_left("_esker_variables=nonsense\0_esker_other=1\0noise")) == ""
    assert taken_over({"variables": 'declare -- a="1\n', "functions": ""}) == ""


def test_a_plan_of_a_tool(tmp_path, monkeypatch):
    """Its lists come before the caller's, its variables are set, and without a hook it leaves what it declares."""
    plan = a_plan(
        str(tmp_path),
        store_path="",
        state=str(tmp_path / "state"),
        tool="nix",
        tool_vars={"CC": "cc"},
        tool_lists={"PATH": "/nix/store/a/bin:/usr/bin", "XDG_DATA_DIRS": "/share"},
        tool_declarations="f() { :; }\n",
    )
    environ = {"PATH": "/usr/bin:/own", "HOME": "/h"}
    found = activation(plan, environ, runtime_directory="/run/x", temporary="/tmp/t")
    after = found.apply(environ)
    assert after["PATH"] == "/nix/store/a/bin:/usr/bin:/own"
    assert after["XDG_DATA_DIRS"] == "/share:/usr/local/share/:/usr/share/"
    assert (after["CC"], after["TMPDIR"], after["TEMP"]) == ("cc", "/tmp/t", "/tmp/t")
    assert "MANPATH" not in after
    assert found.left == {"declarations": "f() { :; }\n"}
    assert outer_path(plan, after) == "/own:/nix/store/a/bin:/usr/bin"
    changed = {**after, "CC": "my own"}
    assert activation(plan, changed, runtime_directory="/run/x").apply(changed)["CC"] == "my own"


def test_a_tools_hook_may_remove_what_the_tool_declares(tmp_path):
    """A shell takes over what the hook has left, and not what was there before."""
    plan = a_plan(
        str(tmp_path),
        store_path="",
        state=str(tmp_path / "state"),
        tool="nix",
        tool_declarations="f() { :; }\n",
        tool_hook="unset -f f; g() { :; }",
    )
    found = activation(plan, BASE, runtime_directory="/run/x")
    assert bash(f"{taken_over(found.left)}\ntype -t f g || :") == "function\n"
