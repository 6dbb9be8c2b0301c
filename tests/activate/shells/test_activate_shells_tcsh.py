"""What only tcsh has: its quotes, its history, its files, and that a mistake ends all that it reads."""

from __future__ import annotations

import os
import pathlib

import pytest

from esker.activate.prompt.watched import Present, Watch
from esker.activate.shells.steps import Watching
from esker.activate.shells.tcsh import quoted, renderer
from esker.host.runtime_directory import user_directory
from tests.support.shells import SHELLS, Person

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

(TCSH,) = (shell for shell in SHELLS if shell.name == "tcsh")
HEAD = 'schema-version = "1.14.0"\n'
ACTIVATE = 'eval "`esker activate`"'
LEAVE = 'eval "`esker deactivate`"'


@pytest.fixture
def person(environ, tmp_path):
    """Give somebody who uses tcsh."""
    return Person(TCSH, environ, tmp_path)


SETTINGS = {
    "another history": "set histchars = '@^'",
    "backslashes in quotes": "set backslash_quote",
    "no globs": "set noglob noclobber nonomatch",
    "aliases": "alias rm 'echo no'; alias env 'echo no'; alias sh 'echo no'",
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_settings_that_change_what_quotes_mean(person, setting):
    """Values are the same whatever the user has set, and the settings are as they were."""
    value = "it's !x @y \\! \\' ^z^"
    person.project(f"{HEAD}[vars]\nA = '''{value}'''\n[profile]\ntcsh = 'echo profile'\n")
    show = "set | grep -v '^_\\|^status\\|^_esker_left\\|^tty\\|^dirs' | sort > {}"
    lines = (setting, show.format("before"), ACTIVATE, "/usr/bin/printenv A", LEAVE, show.format("after"))
    done = person.run("\n".join(lines))
    assert done.out == f"profile\n{value}\n"
    before, after = ((person.place / "project" / name).read_text() for name in ("before", "after"))
    assert after == before


HOSTILE = ["a\\'`touch ran`\\'b", "a\\", "x\n`touch ran`\n", "!touch ran", "a\\!`touch ran`b", "a@b^c", "(", "*"]


@pytest.mark.parametrize("setting", ["", *SETTINGS.values()], ids=["none", *SETTINGS])
@pytest.mark.parametrize("name", HOSTILE)
def test_the_name_of_a_directory_means_nothing_at_the_prompt(person, setting, name):
    """What tcsh evaluates at each prompt has the user's settings, and a directory may come with somebody's archive."""
    directory = person.place / "project" / name
    directory.mkdir(parents=True)
    known = Present(str(directory), str(directory), int(directory.stat().st_mtime))
    watch = Watch(str(directory), (known,), (f"{directory}/.flox",), settled=True)
    place = person.place / "text"
    place.write_text(renderer().evaluated([Watching(watch, None)], person.environ))
    asks = "set _esker_turn = ''\neval $_esker_changed:q\necho turn=$_esker_turn"
    lines = (f"cd {quoted(str(directory))}", setting, f"source {place}", asks, "/bin/mkdir .flox", asks)
    done = person.run("\n".join(lines))
    assert (done.out, done.err) == ("turn=\nturn=ask\n", "")
    assert not list((person.place / "project").rglob("ran"))


def warning(directory, line):
    """Return the warning for a line of a project's manifest."""
    place = f"{directory}/.flox/env/manifest.toml:{line}"
    return f"! profile.common uses `[[`, which tcsh does not have ({place}): move it to profile.bash and profile.zsh"


def test_a_common_profile_with_a_command_of_bash(person):
    """It fails as it does under Flox, one warning names its place, and the rest of the script runs."""
    directory = person.project(f"{HEAD}[profile]\ncommon = '''\nsetenv B 1\n[[ -n x ]]\necho rest\n'''\n")
    for form in (f"{ACTIVATE}\nprintenv B\nesker deactivate\nprintenv B", "esker activate -c 'printenv B'"):
        done = person.run(form)
        assert done.out == "rest\n1\n"
        assert [text for text in done.err.splitlines() if text.startswith("! ")] == [warning(directory, 5)]


def test_a_common_profile_with_a_block_of_bash(person):
    """It ends all that tcsh reads at once, and the environment is there all the same, and can be left."""
    script = "if [[ -n $HOME ]]; then\n  echo no\nfi\necho rest"
    directory = person.project(f"{HEAD}[vars]\nA = 'here'\n[profile]\ncommon = '''\n{script}\n'''\n")
    done = person.run("esker activate -c 'printenv A'")
    assert (done.status, done.out) == (0, "here\n")
    assert done.err.splitlines()[0] == warning(directory, 6)
    shown = person.typed(ACTIVATE, "printenv A", "esker deactivate", "sh -c 'echo ${A-none}'")
    assert shown.count("! profile.common") == 1
    assert "here\n" in shown
    assert "esker [project] > " in shown
    assert "none\n" in shown


def test_nothing_stays_in_the_runtime_directory(person):
    """The files that tcsh sources are gone when it has sourced them."""
    word = person.place.name + os.urandom(4).hex()
    person.project(
        f"{HEAD}[profile]\ncommon = 'setenv B {word}'\ntcsh = 'echo {word}'\ndeactivate.tcsh = 'echo {word}'\n"
    )
    done = person.run(f"{ACTIVATE}\nesker deactivate\nesker activate -c 'echo command'")
    assert (done.out, done.err) == (f"{word}\n" * 3 + "command\n", "")
    directory = pathlib.Path(user_directory(person.environ["XDG_RUNTIME_DIR"]))
    for file in directory.glob("text-*"):
        assert word.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    "text", ["", "'", "\\", "a\\'b", "\n", "\\\n\\", "\udcff\udc80", "é\x7f\x01", "$x (y) *~", "-n", "!!x\\!"]
)
def test_words(person, text):
    """Every text is one word."""
    person.project()
    (person.place / "project/file").write_bytes(os.fsencode(f"setenv A {quoted(text)}\n"))
    assert person.variables("source file")["A"] == text
