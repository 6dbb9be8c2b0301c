from __future__ import annotations

import json
import os

import pytest

from esker.activate import plan
from esker.errors import ActivationFailed, HostError
from esker.runtimes.native import runtime as native
from esker.settings import Settings
from tests.support import plans


def a_plan(project, **changes):
    """Return the plan of a project that is made from two of its files, for a caller with no settings of its own."""
    made_from = plan.fingerprints([f"{project}/manifest.toml", f"{project}/pylock.toml"])
    return plans.a_plan(project, **{"stats": made_from, "choices": Settings({}).choices, **changes})


@pytest.fixture
def project(tmp_path):
    (tmp_path / "manifest.toml").write_text("version = 1\n")
    (tmp_path / ".flox").mkdir()
    return str(tmp_path.resolve())


@pytest.fixture
def written(project):
    path = plan.plan_path(project, "dev")
    plan.write(
        a_plan(
            project,
            vars=[("A", "\udcff\n"), ("B", "$A")],
            ports={"PGPORT": 12345},
            hook="    echo a",
            profile={"common": "b", "bash": None},
        ),
        path,
    )
    return path


def test_a_plan_that_was_written_is_read_as_it_was(project, written):
    """Every field comes back, including text that is not UTF-8; scripts come back without common indentation."""
    found = plan.read(written)
    assert found == plan.warm(project, Settings({}).choices)
    assert found.vars == (("A", "\udcff\n"), ("B", "$A"))
    assert found.hook == "echo a"
    assert found.profile == {"common": "b"}
    assert found.ports == {"PGPORT": 12345}


def test_a_plan_has_the_fields_that_it_lists_and_no_other(project):
    """A plan with an unknown field is refused, because a misspelt field would otherwise silently get its default."""
    with pytest.raises(TypeError, match="a plan has no colour"):
        a_plan(project, colour="red")


def test_a_plan_is_for_its_owner_alone(written):
    """The plan's file has mode 0600, and its new directory 0700."""
    assert os.stat(written).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(written)).st_mode & 0o777 == 0o700


def test_a_plan_that_cannot_be_written_says_why(project):
    """If the directory cannot be made, the error names it."""
    os.rmdir(f"{project}/.flox")
    with open(f"{project}/.flox", "w"):
        pass
    with pytest.raises(HostError, match="cannot make"):
        plan.write(a_plan(project), plan.plan_path(project, "dev"))


DAMAGES = {
    "empty": lambda text: "",
    "cut off": lambda text: text[:-1],
    "no object": lambda text: "[]",
    "no UTF-8": lambda text: "\xff",
    "another version": lambda text: json.dumps({**json.loads(text), "version": 0}),
    "another type": lambda text: json.dumps({**json.loads(text), "hook": 1}),
    "a short variable": lambda text: json.dumps({**json.loads(text), "vars": [["A"]]}),
    "a number for a file": lambda text: json.dumps({**json.loads(text), "stats": [1]}),
    "a list for a version": lambda text: json.dumps({**json.loads(text), "version": [7]}),
    "a number for the path of a file": lambda text: json.dumps({**json.loads(text), "stats": [[5, 1, 1, 1]]}),
    "half a character": lambda text: json.dumps({**json.loads(text), "vars": [["A", "\ud800"]]}),
    "a number for the text of a variable": lambda text: json.dumps({**json.loads(text), "vars": [["A", 1]]}),
    "a text for a port": lambda text: json.dumps({**json.loads(text), "ports": {"PGPORT": "1"}}),
    "a number for a script": lambda text: json.dumps({**json.loads(text), "profile": {"common": 1}}),
    "a number for a setting": lambda text: json.dumps({**json.loads(text), "choices": {"store": 1}}),
    "a field too many": lambda text: json.dumps({**json.loads(text), "colour": "red"}),
    "a field missing": lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "identity"}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_plan_is_no_plan(written, damage):
    """A plan that is cut off, of another version, or lacks a field or has one of a wrong type is not used."""
    with open(written, encoding="latin-1") as file:
        text = file.read()
    with open(written, "w", encoding="latin-1") as file:
        file.write(damage(text))
    assert plan.read(written) is None


def test_a_missing_plan_and_a_link_to_one_are_no_plan(project, written):
    """A plan must be a plain file: a missing file and a link count as no plan."""
    assert plan.read(plan.plan_path(project, "run")) is None
    os.rename(written, f"{written}.moved")
    os.symlink(f"{written}.moved", written)
    assert plan.read(written) is None


def test_the_plan_of_another_user_is_no_plan(written, monkeypatch):
    """A plan counts only if the reader wrote it, because a plan decides what code runs."""
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert plan.read(written) is None


def test_a_plan_that_others_may_write_is_no_plan(written):
    """A plan that others may write is not used, because they could change it."""
    os.chmod(written, 0o620)
    assert plan.read(written) is None


def test_a_directory_with_a_colon_is_refused(project):
    """A project directory with a colon is refused, because PATH would split it."""
    with pytest.raises(ActivationFailed, match="PATH cannot hold a directory with a colon"):
        a_plan(f"{project}/a:b")
    os.makedirs(f"{project}/a:b/.flox")
    with pytest.raises(ActivationFailed, match="PATH cannot hold a directory with a colon"):
        native.prepare(f"{project}/a:b", Settings({}))
    assert os.listdir(f"{project}/a:b/.flox") == []


def test_the_plan_in_a_copied_checkout_is_no_plan(project, written, tmp_path_factory):
    """In a copied checkout the plan is not used, although its files, those of the original, are unchanged."""
    copy = str(tmp_path_factory.mktemp("copy").resolve())
    path = plan.plan_path(copy, "dev")
    os.makedirs(os.path.dirname(path))
    with open(written, "rb") as source, open(path, "wb") as target:
        target.write(source.read())
    assert plan.read(path) is None


def test_a_plan_is_fresh_until_a_file_changes(project):
    """A plan is used until a file that it was made from is changed, replaced, removed or new."""
    made = a_plan(project)
    assert plan.fresh(made)
    with open(f"{project}/manifest.toml", "a") as file:
        file.write("#")
    assert not plan.fresh(made)

    made = a_plan(project)
    os.replace(f"{project}/manifest.toml", f"{project}/old")
    assert not plan.fresh(made)
    os.replace(f"{project}/old", f"{project}/manifest.toml")
    assert plan.fresh(made)
    with open(f"{project}/pylock.toml", "w"):
        pass
    assert not plan.fresh(made)


def test_without_a_mode_the_manifest_decides(project):
    """The plan of the mode that is not the default is found only when the caller asks for that mode."""
    plan.write(a_plan(project, default=False), plan.plan_path(project, "dev"))
    assert plan.warm(project, Settings({}).choices) is None
    assert plan.warm(project, Settings({}).choices, "dev") is not None
    plan.write(a_plan(project, mode="run"), plan.plan_path(project, "run"))
    assert plan.warm(project, Settings({}).choices).mode == "run"


def test_another_store_or_interpreter_is_another_plan(project):
    """A plan that was made with one ESKER_STORE or ESKER_PYTHON is not used for a caller with another or with none."""
    theirs = {"ESKER_STORE": "/a", "ESKER_PYTHON": "/b", "PATH": "/c"}
    plan.write(a_plan(project, choices=Settings(theirs).choices), plan.plan_path(project, "dev"))
    assert plan.warm(project, Settings(theirs).choices) is not None
    assert plan.warm(project, Settings(theirs | {"PATH": "/d", "ESKER_TRUST": "1"}).choices) is not None
    assert plan.warm(project, Settings({}).choices) is None
    assert plan.warm(project, Settings(theirs | {"ESKER_STORE": "/x"}).choices) is None
    assert plan.warm(project, Settings(theirs | {"ESKER_PYTHON": ""}).choices) is None


def test_the_plan_of_another_kind_of_machine_is_not_for_this_one(project):
    """A plan of another kind of machine is not used, because machines may share a home directory."""
    path = plan.plan_path(project, "dev")
    plan.write(a_plan(project), path)
    assert plan.warm(project, Settings({}).choices) is not None
    plan.write(a_plan(project, choices=Settings({}).choices | {"machine": "another"}), path)
    assert plan.warm(project, Settings({}).choices) is None


def test_the_identity_changes_with_what_is_set(project):
    """Another variable changes a plan's identity; another modification time of a file does not."""
    assert a_plan(project).identity == a_plan(project, stats=()).identity
    assert a_plan(project).identity != a_plan(project, vars=[("A", "1")]).identity


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a\n  b\n", "a\n  b\n"),
        ("    a\n\n      b\n    c", "a\n\n  b\nc"),
        ("  cat <<E\n  x\n  E\n", "cat <<E\nx\nE\n"),
        ("\ta\n", "\ta\n"),
        ("  a\n   \n", "a\n \n"),
    ],
)
def test_scripts_lose_their_common_indentation(script, expected):
    """Scripts lose their common indentation: only spaces count, and empty lines are not measured."""
    assert plan.outdented(script) == expected
