"""The start-up files that people have go on working inside environments, and after them.

Each file of `rc_files` is one of a kind that people publish. Its first lines say what is to be seen of it: `prompt`,
a line of the prompt after a command that ended with `status` (7 unless the file says otherwise); `path`, a directory
that it puts on PATH; `check`, a command and what that prints; `label: no`, if the prompt cannot show the environment;
`then`, the file of the shell to which it gives way; `not`, a way in which nobody can enter with it. `{dir}` is the
directory's name, and `~` the home directory.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.shells import SHELLS, Person
from tests.support.terminal import on_a_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.shells import Shell

pytestmark = [pytest.mark.slow, pytest.mark.live("shells")]

FILES = Path(__file__).parent / "rc_files"
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>(][B0]?|\r|\x0f")


class Way(NamedTuple):
    """A way into an environment, and out of it."""

    rc: Callable[[Shell], str]
    """The lines that it needs at the end of the start-up file."""
    enter: Callable[[Shell], str]
    """What is typed to enter."""
    leave: str
    """What is typed to leave."""
    outside: str
    """The name of the directory in which a person is before and after."""


WAYS = {
    "as a shell": Way(lambda _: "", lambda _: "esker activate", "esker deactivate", "project"),
    "in place": Way(lambda _: "", lambda shell: shell.evaluated("esker activate"), "esker deactivate", "project"),
    "at the prompt": Way(
        lambda shell: shell.evaluated(f"esker hook {shell.name}"),
        lambda _: "cd ../project; esker activate -- true; esker allow",
        "cd ../elsewhere",
        "elsewhere",
    ),
}


class Start(NamedTuple):
    """A start-up file, and what its first lines say of it."""

    name: str
    shell: Shell
    text: str

    def said(self, key: str) -> list[str]:
        """Return what the first lines say by this word."""
        return re.findall(rf"^# {key}: (.*)$", self.text, re.MULTILINE)


def start(name: str) -> Start:
    (shell,) = (shell for shell in SHELLS if name.endswith(f".{shell.name}"))
    return Start(name, shell, (FILES / name).read_text())


NAMES = sorted(path.name for path in FILES.iterdir() if path.is_file())


def test_there_are_twenty_of_them():
    """They are for bash, zsh and fish."""
    kinds = [name.rpartition(".")[2] for name in NAMES]
    assert len(NAMES) >= 20
    assert min(map(kinds.count, ("bash", "zsh", "fish"))) >= 3


CASES = [(name, way) for name in NAMES for way in WAYS if way not in start(name).said("not")]


@pytest.mark.parametrize(("name", "entered"), CASES, ids=map(" ".join, CASES))
def test_a_start_up_file_goes_on_working(name, entered, environ, tmp_path):
    """PATH, prompt, exit status and what the file defines are right before, inside and after."""
    first, way = start(name), WAYS[entered]
    person = Person(first.shell, environ, tmp_path)
    person.project()
    (person.place / way.outside).mkdir(exist_ok=True)
    installed(person)
    written(person, first, way)
    last = first
    for following in first.said("then"):
        last = start(following)
        written(person, last, way)
    shown = typed(person, first.shell, last, way)
    before, inside, after = (seen(shown, number) for number in (1, 2, 3))
    status = (last.said("status") or ["7"])[0]
    assert [stage.status for stage in (before, inside, after)] == [status] * 3
    assert_prompts(last, (before, inside, after), (way.outside, "project", way.outside))
    assert_paths(last, person.home, (before, inside, after))
    assert_checks(last, person.home, (before, inside, after), (way.outside, "project", way.outside))
    for word in ("rror", "not found", "unbound", "readonly", "read-only", "No such"):
        assert word not in shown


class Stage(NamedTuple):
    """What the terminal shows before, inside or after."""

    checked: str
    """What it shows of the command `check`."""
    prompt: str
    """What it shows between a command that has ended with a status and the next one."""
    status: str
    environment: str
    path: list[str]


def installed(person: Person) -> None:
    """Put the programs of `rc_files`, and `esker`, into the person's own `bin`, which is on PATH."""
    directory = person.home / "bin"
    shutil.copytree(FILES / "programs", directory)
    (directory / "esker").symlink_to(person.place / "programs/esker")
    person.environ["PATH"] = f"{directory}:/usr/bin:/bin"


def written(person: Person, file: Start, way: Way) -> None:
    """Write the person's start-up file."""
    path = person.home / file.shell.rc
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{file.text}\n{way.rc(file.shell)}\n")


def typed(person: Person, shell: Shell, last: Start, way: Way) -> str:
    """Type what shows the three stages, and return what the terminal shows."""
    status = "$status" if last.shell.name == "fish" else "$?"
    code = (last.said("status") or ["7"])[0]
    checks = [check.partition(" => ")[0] for check in last.said("check")]
    pairs, ready = [("", "\n")], "\n"
    for number, between in enumerate((way.enter(last.shell), way.leave, None), 1):
        pairs.append((ready, "".join(f"{check}\n" for check in checks) + f"left {number} {code}\n"))
        pairs.append((f"left-{number}.", f"state {number} {status}\n"))
        ready = f"state-{number}."
        if between is not None:
            pairs.append((ready, f"{between}\n"))
    received = on_a_terminal(
        list(shell.interactive),
        environ=person.environ,
        cwd=person.place / way.outside,
        typed=[*pairs, (ready, "exit 0\n" * 3)],
    )
    return _SEQUENCE.sub("", received)


def seen(shown: str, number: int) -> Stage:
    """Return a stage of what the terminal shows."""
    earlier, _, rest = shown.partition(f"left-{number}.")
    prompt, _, rest = rest.partition(f"state-{number}.")
    status, environment, path = rest.split("\n")[0].split(maxsplit=2)
    return Stage(earlier.rpartition(f"state-{number - 1}.")[2], prompt, status, environment, path.split(":"))


def assert_prompts(file: Start, stages: tuple[Stage, ...], directories: tuple[str, ...]) -> None:
    """The prompt is the file's own, and inside it has the environment's name in front of its last line."""
    for number, (stage, directory) in enumerate(zip(stages, directories, strict=True)):
        lines = [line.replace("{dir}", directory) for line in file.said("prompt")]
        named = number == 1 and file.said("label") != ["no"]
        assert "\n".join([*lines[:-1], f"esker [project] {lines[-1]}" if named else lines[-1]]) in stage.prompt
        assert ("esker [" in stage.prompt) == named


def assert_paths(file: Start, home: Path, stages: tuple[Stage, ...]) -> None:
    """The file's directories are on PATH, inside after those of the environment; afterwards PATH is what it was."""
    before, inside, after = stages
    own = {directory.replace("~", str(home)) for directory in file.said("path")}
    assert all(own <= set(stage.path) for stage in stages)
    assert (before.environment, after.environment) == ("none", "none")
    assert inside.path[0] == f"{inside.environment}/bin"
    assert set(before.path) <= set(inside.path)
    assert after.path == before.path


def assert_checks(file: Start, home: Path, stages: tuple[Stage, ...], directories: tuple[str, ...]) -> None:
    """What the file defines is there at each stage."""
    for stage, directory in zip(stages, directories, strict=True):
        for check in file.said("check"):
            expected = check.partition(" => ")[2].replace("{dir}", directory).replace("~", str(home))
            assert expected in map(str.strip, stage.checked.split("\n"))
