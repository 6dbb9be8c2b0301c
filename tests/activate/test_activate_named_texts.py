"""The links by which bash names what it reads from descriptors."""

from __future__ import annotations

import os
import subprocess

import pytest

from esker.activate import hook, named_texts
from esker.errors import HookCutOff
from esker.host.memory_file import descriptor_path

BASE = {"PATH": os.environ["PATH"]}


@pytest.fixture
def directory(tmp_path, monkeypatch):
    made = tmp_path / "own"
    made.mkdir(mode=0o700)
    monkeypatch.setattr(hook, "user_directory", lambda _: str(made))
    return made


def test_a_text_is_read_by_its_name(directory):
    """The link is made once, leads to the descriptor, and is no copy of the text."""
    reading, writing = os.pipe()
    for text in (b"a", b"b"):
        (path,) = named_texts.paths([("hook.on-activate", reading)], str(directory))
        assert path == f"{directory}/hook.on-activate"
        os.write(writing, text)
        read = subprocess.run(["head", "-c", "1", path], pass_fds=[reading], stdout=subprocess.PIPE, check=True)
        assert read.stdout == text
    assert os.listdir(directory) == ["hook.on-activate"]
    os.close(reading)
    os.close(writing)


def test_a_link_never_leads_to_another_text(directory):
    """A link for another descriptor, and what is no link, stay as they are, and the text goes by its descriptor."""
    named_texts.paths([("a", 101)], str(directory))
    (directory / "b").write_text("echo evil")
    assert named_texts.paths([("a", 102), ("b", 101), ("", 7)], str(directory)) == [
        *map(descriptor_path, (102, 101, 7))
    ]
    assert os.readlink(directory / "a") == descriptor_path(101)


def test_a_directory_that_is_not_ours_alone_gives_no_names(directory):
    """Another user could exchange the links of an open directory; one that is missing is not made."""
    for place in (None, f"{directory}/missing"):
        assert named_texts.paths([("a", 101)], place) == [descriptor_path(101)]
    directory.chmod(0o777)
    assert named_texts.paths([("a", 101)], str(directory)) == [descriptor_path(101)]
    assert os.listdir(directory) == []


def test_bash_names_the_hook_and_its_line(directory, capfd):
    """A command that fails while the hook goes on is told with the hook's name and line, one of `[vars]` too."""
    values = [("A", "$(nosuch-a)")]
    hook.run(BASE, values=values, script="f() {\n  nosuch-f\n}\n\nf\n:")
    assert capfd.readouterr().err.splitlines() == [
        f"{directory}/vars: line 1: nosuch-a: command not found",
        f"{directory}/hook.on-activate: line 2: nosuch-f: command not found",
    ]


def test_the_named_hook_of_a_tool_is_told_apart(directory, capfd):
    """Each of the two scripts that run in one bash has its own name."""
    tool = hook.ToolHook("shellHook", "", "\nnosuch-tool", None)
    hook.run(BASE, script="nosuch-hook\n:", tool=tool)
    assert capfd.readouterr().err.splitlines() == [
        f"{directory}/shellHook: line 2: nosuch-tool: command not found",
        f"{directory}/hook.on-activate: line 1: nosuch-hook: command not found",
    ]


def test_an_error_names_the_manifest_all_the_same(directory, tmp_path):
    """Under `set -e`, the place of a failed command is the manifest's line, and that of a sourced file its own."""
    manifest, other = tmp_path / "manifest.toml", tmp_path / "other.sh"
    manifest.write_text("[hook]\non-activate = '''\nset -e\nfalse\n'''\n")
    other.write_text("\n\nfalse\n")
    with pytest.raises(HookCutOff) as caught:
        hook.run(BASE, script="set -e\nfalse\n", manifest=str(manifest))
    assert caught.value.place == f"{manifest}:4"
    with pytest.raises(HookCutOff) as caught:
        hook.run(BASE, script=f"set -e\n. {other}\n", manifest=str(manifest))
    assert caught.value.place == f"{other}:3"
