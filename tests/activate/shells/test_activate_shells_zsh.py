"""What only zsh has: its options, its arrays, its start-up files and its own names of variables."""

from __future__ import annotations

import pytest

from tests.support.shells import SHELLS, Person

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

(ZSH,) = (shell for shell in SHELLS if shell.name == "zsh")
HEAD = 'schema-version = "1.14.0"\n'
ACTIVATE = 'eval "$(esker activate)"'


@pytest.fixture
def person(environ, tmp_path):
    """Give somebody who uses zsh."""
    return Person(ZSH, environ, tmp_path)


OPTIONS = {
    "aliases": 'for name in export unset eval source builtin command print emulate typeset; do alias $name="echo no"; done',
    "global aliases": "alias -g export=no unset=no typeset=no command=no source=no",
    "functions": "for name in export unset source command print eval typeset; do functions[$name]='echo no'; done",
    "another shell's": "setopt ksh_arrays sh_word_split glob_subst ksh_glob no_nomatch posix_builtins",
    "sh": "emulate sh",
    "ksh": "emulate ksh",
    "strict": "setopt err_exit no_unset warn_create_global pipe_fail",
    "quotes": "setopt rc_quotes csh_junkie_quotes csh_junkie_history extended_glob",
    "everything exported": "setopt all_export",
    "no hash": "unsetopt hash_cmds",
    "other separators": "IFS=e",
}


@pytest.mark.parametrize("setting", OPTIONS.values(), ids=OPTIONS)
def test_a_shell_that_means_other_things_by_its_words(person, setting):
    """Whatever options, aliases and functions the user has, zsh enters and leaves, and they are as they were."""
    script = "unset GONE"
    person.project(
        f"{HEAD}[vars]\nA = \"a's\\nb\"\n[hook]\non-activate = '{script}'\n[profile]\ncommon = 'P=\"x y\"'\n"
    )
    state = "\\builtin set -o; \\builtin functions; \\builtin alias; /usr/bin/env | /usr/bin/sort | /bin/grep -v '^_='"
    show = "sh -c 'echo \"$A ${GONE-gone}\"'"
    script = f'{setting}\n\\builtin eval "$(esker activate)"\n{show}\necho "$P"\nesker deactivate\nsh -c "echo $GONE"'
    done = person.run(script, GONE="back")
    assert (done.out, done.err) == ("a's\nb gone\nx y\nback\n", "")
    before = person.run(f"{setting}\nP=\n{state}", GONE="back")
    after = person.run(f'{setting}\n\\builtin eval "$(esker activate)"\nesker deactivate\nP=\n{state}', GONE="back")
    assert after.out.splitlines() == before.out.splitlines()


def test_a_mistake_in_a_profile_is_told(person):
    """What came before a syntax error has run, and a warning names the line of the manifest."""
    directory = person.project(
        f"{HEAD}[profile]\ncommon = '''\n  A=1\n  fi\n'''\nzsh = '''\n  B=2\n  if true; then\n'''\n"
    )
    for script in (f"{ACTIVATE}; echo $A$B", "esker activate -c 'echo $A$B'"):
        done = person.run(script)
        assert (done.status, done.out) == (0, "12\n")
        assert [line for line in done.err.splitlines() if line.startswith("!")] == [
            f"! profile.{name} has a syntax error ({directory}/.flox/env/manifest.toml:{line}); "
            "only the commands before it have run"
            for name, line in (("common", 5), ("zsh", 9))
        ]


@pytest.mark.parametrize("last", ["return 126", "/etc/passwd 2>/dev/null"])
def test_a_script_that_ends_as_one_with_a_mistake_does(person, last):
    """Zsh gives this status for a script that it cannot parse too; this one it can, so no mistake is told."""
    person.project(f"{HEAD}[profile]\nzsh = '''\nA=1\n{last}\n'''\n")
    done = person.run(f"{ACTIVATE}; echo $A")
    assert (done.out, done.err) == ("1\n", "")


def test_a_profile_script_may_return(person):
    """`return` ends a script, its parameters are the shell's own, and `typeset` makes a global variable."""
    person.project(f"{HEAD}[profile]\nzsh = '''\ntypeset -A map=(k v)\nf() {{ echo f; }}\nreturn 1\necho never\n'''\n")
    assert person.run(f"{ACTIVATE}\necho $? $map[k]; f") == (0, "0 v\nf\n", "")


def test_names_that_zsh_keeps(person):
    """A variable with the name of one of zsh's own is not set in zsh, and a warning names it."""
    person.project(f"{HEAD}[vars]\npath = '/x'\nstatus = 'y'\nB = 'z'\n")
    done = person.run(f"{ACTIVATE}; printenv B; (( $#path > 2 )) && echo whole")
    assert done.out == "z\nwhole\n"
    assert done.err == "! Not set, because zsh keeps variables of these names for itself: path, status\n"
    assert person.run("esker activate -- printenv path status") == (0, "/x\ny\n", "")


@pytest.mark.parametrize("where", ["", "dots"])
def test_the_start_up_files_are_the_users(person, where):
    """The user's .zshenv and .zshrc are read once each, also in a ZDOTDIR that .zshenv names, and ZDOTDIR is as it was."""
    person.project()
    dots = person.home / where
    dots.mkdir(exist_ok=True)
    zdotdir = f"export ZDOTDIR={dots}\n" if where else ""
    (person.home / ".zshenv").write_text(f"{zdotdir}echo env $+ZDOTDIR\n")
    (dots / ".zshrc").write_text("PS1='> '; unsetopt zle prompt_sp\necho rc ${ZDOTDIR-none} ${HISTFILE-none}\n")
    zshrc = person.home / "away"
    person.shell = ZSH._replace(rc="away")
    shown = person.typed(
        "FLOX_SHELL=zsh esker activate",
        'echo "<${ZDOTDIR-none}> <$_esker_startup$_esker_zdotdir$_esker_text$_esker_descriptor>"',
        "zsh -c :",
    )
    assert zshrc.exists()
    expected = str(dots) if where else "none"
    assert shown.count(f"rc {expected} /dev/null\n") == 2
    assert f"<{expected}> <>\n" in shown


def status(person, rc):
    """Return what a prompt that shows the status and is made anew each time shows after a command that failed."""
    shown = person.typed(ACTIVATE, "(exit 7)\n", "esker deactivate", "echo end", rc=rc)
    assert "esker [project] " in shown
    return shown


def test_a_prompt_that_is_made_anew(person):
    """A precmd function that sets the prompt each time goes on, with the status of the last command, and so do the names."""
    person.project()
    rc = 'precmd() { S=$?; PS1="$S made> "; }\nadd() { PS1="+$PS1"; }; precmd_functions=(add)'
    shown = status(person, rc)
    assert "esker [project] +7 made> " in shown
    assert "\n+0 made> " in shown.partition("7003\n")[2]
    assert "esker [" not in shown.partition("\nend\n")[2]


def test_the_names_go_before_the_last_line(person):
    """In a prompt of two lines the names are on the second one, whether or not prompts are expanded."""
    person.project()
    for option in ("", "setopt prompt_subst"):
        shown = person.typed(ACTIVATE, "echo end", rc=f"PS1=$'first\\nsecond> '; {option}")
        assert "first\nesker [project] second> " in shown


@pytest.mark.parametrize("setting", ["readonly A=mine", "export A=mine; readonly A"])
def test_a_variable_that_is_read_only(person, setting):
    """It keeps its value, one line says so, everything else of the environment is there, and leaving works."""
    person.project(f"{HEAD}[vars]\nA = '1'\nB = '2'\n")
    done = person.run(
        f"{setting}\n{ACTIVATE}\nprint $A $B $FLOX_PROMPT_ENVIRONMENTS\nesker deactivate\nprint $A ${{B-none}}"
    )
    assert (done.status, done.out) == (0, "mine 2 project\nmine none\n")
    assert done.err == "! Not changed, because it is read-only in this shell: A\n"
