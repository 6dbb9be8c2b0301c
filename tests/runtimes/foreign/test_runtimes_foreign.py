from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from esker.declare.discover import OTHER_DECLARATIONS
from esker.errors import HostError, NotFound, UsageError
from esker.runtimes import registry
from esker.runtimes.foreign import kept
from esker.runtimes.foreign.choice import ToolChoice
from esker.runtimes.foreign.kept import Kept
from esker.runtimes.foreign.place import place
from esker.runtimes.foreign.tool import Inputs, Toolchain
from esker.settings import Settings


@pytest.mark.parametrize(
    "choice",
    [ToolChoice(), ToolChoice("ci"), ToolChoice(None, {"a": "path:/x", "b": "y"}), ToolChoice("x", {"a": "b"}, True)],
)
def test_a_choice_is_read_as_it_was_written(choice):
    """Its text is empty if nothing was chosen, and does not depend on the order."""
    assert ToolChoice.of(choice.text) == choice
    assert bool(choice.text) is (choice != ToolChoice())
    turned = choice._replace(override_inputs=dict(reversed(choice.override_inputs.items())))
    assert turned.text == choice.text


@pytest.mark.parametrize("text", ["[]", "{", '{"shell": 3}', '{"override-inputs": {"a": 1}}', '{"override-inputs": 1}'])
def test_a_choice_that_is_not_ours_is_none(text):
    """The text comes from a variable, which anybody can set."""
    assert ToolChoice.of(text) == ToolChoice()


def a_result(tmp_path, **more):
    """A result that depends on a file, and the inputs that it was made for."""
    file = tmp_path / "a"
    file.write_text("1")
    inputs = Inputs(("v1",), (str(file),), variables=("CONF",))
    toolchain = Toolchain(
        {"A": "1", "CONF": "inner"}, {"PATH": "/x"}, declarations="f() { :; }", hook="hook", has_temporary=True
    )
    made = Kept(("v1",), {"CONF": "outer"}, (), kept.records([str(file)], {}), toolchain, **more)
    return file, inputs, made


def test_what_is_kept_is_read_as_it_was_written(tmp_path):
    """Only its owner can read the file."""
    _, _, made = a_result(tmp_path)
    path = kept.kept_path(str(tmp_path / "state"), "nix", "")
    (tmp_path / "state").mkdir()
    kept.write(path, str(tmp_path / "state"), made)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    again = kept.read(path)
    assert vars(again) == vars(made)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 99),
        ("contents", []),
        ("contents", {"a": "b"}),
        ("toolchain", {"variables": {"A": 1}}),
        ("toolchain", {"hook": "\ud800"}),
        ("toolchain", {"nothing": 1}),
        ("toolchain", {"variables": {"A": "no\0variable"}}),
        ("words", 3),
        ("variables", None),
    ],
)
def test_a_damaged_result_is_none(tmp_path, key, value):
    """Then the tool is asked again."""
    _, _, made = a_result(tmp_path)
    path = kept.kept_path(str(tmp_path / "state"), "nix", "")
    (tmp_path / "state").mkdir()
    kept.write(path, str(tmp_path / "state"), made)
    file = Path(path)
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    assert kept.read(path) is None


def test_a_result_of_another_user_is_none(tmp_path):
    """So is one that others may write to."""
    _, _, made = a_result(tmp_path)
    path = kept.kept_path(str(tmp_path / "state"), "nix", "")
    (tmp_path / "state").mkdir()
    kept.write(path, str(tmp_path / "state"), made)
    os.chmod(path, 0o666)
    assert kept.read(path) is None


def test_what_makes_a_result_stale(tmp_path):
    """Other facts, another content, a new mode, a missing file; a touch does not, nor the tool's own variables inside."""
    file, inputs, made = a_result(tmp_path)
    outside = {"CONF": "outer"}
    assert made.holds(inputs, outside)
    assert made.holds(inputs, {"CONF": "inner"})
    assert not made.holds(inputs, {"CONF": "another"})
    assert not made.holds(inputs, {})
    os.utime(file, (5, 5))
    assert made.holds(inputs, outside)
    assert not made.holds(inputs._replace(words=("v2",)), outside)
    assert not made.holds(inputs._replace(files=(str(file), "/another")), outside)
    file.chmod(0o755)
    assert not made.holds(inputs, outside)
    file.chmod(0o644)
    assert made.holds(inputs, outside)
    file.write_text("2")
    assert not made.holds(inputs, outside)
    file.write_text("1")
    assert made.holds(inputs, outside)
    file.unlink()
    assert not made.holds(inputs, outside)
    file.symlink_to("elsewhere")
    assert not made.holds(inputs, outside)


def test_where_the_files_of_a_project_without_flox_are(tmp_path):
    """In a directory of the user's, another one for each project and runtime; without a home there is none."""
    settings = Settings({"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")})
    found = {
        place("/a/project", "nix", settings),
        place("/b/project", "nix", settings),
        place("/a/project", "guix", settings),
    }
    assert len(found) == 3
    assert all(path.startswith(f"{tmp_path}/state/esker/projects/") for path in found)
    nobody = Settings({})
    nobody.uid = 987654321
    with pytest.raises(HostError, match="there is no place to keep what nix says of `/a`: HOME is not set"):
        place("/a", "nix", nobody)


def test_which_declaration_counts(tmp_path):
    """A `.flox` of the repository, then flake.nix, then shell.nix; the nearest of these; `runtime` chooses."""
    (tmp_path / ".git").mkdir()
    deep = tmp_path / "sub/deep"
    deep.mkdir(parents=True)
    (tmp_path / "sub/shell.nix").touch()
    (deep / "flake.nix").touch()

    def found(start, **how):
        project, runtime = registry.find_project(str(start), explicit=how.pop("explicit", False), **how)
        return os.path.relpath(project, tmp_path), runtime

    assert found(deep) == ("sub/deep", "nix")
    assert found(tmp_path / "sub") == ("sub", "nix")
    (tmp_path / ".flox").mkdir()
    assert found(deep) == (".", "native")
    assert found(deep, runtime="nix") == ("sub/deep", "nix")
    assert found(deep, explicit=True) == ("sub/deep", "nix")
    with pytest.raises(NotFound, match=r"the runtime `guix` finds no `manifest.scm` in `.*deep`") as missing:
        found(deep, explicit=True, runtime="guix")
    assert "leave the runtime out" in missing.value.hint
    with pytest.raises(UsageError, match="there is no declaration for a runtime `flox`") as caught:
        found(deep, runtime="flox")
    assert "native, nix" in caught.value.hint


def test_every_declaration_is_known_to_those_that_look_for_projects():
    """Finding a project and trusting it know the same files as the runtimes do, in the same order."""
    assert tuple(registry.declarations()) == (".flox/", *OTHER_DECLARATIONS)
