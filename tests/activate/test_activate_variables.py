from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.activate import plan
from esker.activate.composition import activation, is_active, left_out
from esker.activate.difference import Activation, difference
from esker.activate.lists import LISTS, edited
from esker.errors import ActivationFailed
from esker.host.isolation import own_words
from tests.support.plans import a_plan

ENV = "/p/.flox/run/x86_64-linux.app-dev"


def activated(environ, made=None, **options):
    made = made or a_plan()
    return activation(made, environ, runtime_directory="/run/user/7/esker/1", **options).apply(environ)


def other(name="second"):
    return a_plan(f"/{name}", name=name)


def test_the_whole_difference_in_an_empty_environment():
    """An activation in an empty environment sets the variables that the decision records name, and no others."""
    made = a_plan(description="owner/app", ports={"PGPORT": 12345}, certificates="/etc/ca.pem")
    found = activated({}, made, start_services=True)
    assert found == {
        "ACLOCAL_PATH": f"{ENV}/share/aclocal",
        "CPATH": f"{ENV}/include",
        "ESKER_COMMAND": own_words(),
        "ESKER_RUNTIME_DIR": "/run/user/7/esker/1",
        "FLOX_ACTIVATE_START_SERVICES": "true",
        "FLOX_ENV": ENV,
        "FLOX_ENV_CACHE": "/p/.flox/cache",
        "FLOX_ENV_DESCRIPTION": "owner/app",
        "FLOX_ENV_DIRS": ENV,
        "FLOX_ENV_PROJECT": "/p",
        "FLOX_PROMPT_COLOR_1": "99",
        "FLOX_PROMPT_COLOR_2": "141",
        "FLOX_PROMPT_ENVIRONMENTS": "app",
        "INFOPATH": f"{ENV}/share/info:",
        "LIBRARY_PATH": f"{ENV}/lib",
        "MANPATH": f"{ENV}/share/man:",
        "PATH": f"{ENV}/bin",
        "PGPORT": "12345",
        "PKG_CONFIG_PATH": f"{ENV}/lib/pkgconfig:{ENV}/share/pkgconfig",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "XDG_DATA_DIRS": f"{ENV}/share:/usr/local/share/:/usr/share/",
        "_ESKER_STARTS": made.identity,
        "_FLOX_ACTIVE_ENVIRONMENTS": '[{"environment":{"type":"dot-flox","path":"/p/.flox",'
        '"pointer":{"name":"app","version":1}},"mode":"dev"}]',
    }


def test_values_of_the_caller_are_corrected_or_kept():
    """Variables that identify the environment are overwritten; the caller's colours and certificates are kept."""
    caller = {"FLOX_ENV": "WRONG", "FLOX_ENV_CACHE": "WRONG", "FLOX_ENV_PROJECT": "WRONG", "FLOX_ENV_DESCRIPTION": ""}
    found = activated({**caller, "FLOX_PROMPT_COLOR_1": "1", "SSL_CERT_FILE": "mine"}, a_plan(certificates="/c"))
    assert (found["FLOX_ENV"], found["FLOX_ENV_CACHE"]) == (ENV, "/p/.flox/cache")
    assert (found["FLOX_ENV_PROJECT"], found["FLOX_ENV_DESCRIPTION"]) == ("/p", "app")
    assert (found["FLOX_PROMPT_COLOR_1"], found["SSL_CERT_FILE"]) == ("1", "mine")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PATH", "/a:/b", f"{ENV}/bin:/a:/b"),
        ("PATH", "/a:/b:/a", f"{ENV}/bin:/a:/b"),
        ("PATH", "/a::/b:", f"{ENV}/bin:/a::/b:"),
        ("PATH", "", f"{ENV}/bin"),
        ("PATH", f"/a:{ENV}/bin:/b", f"{ENV}/bin:/a:/b"),
        ("MANPATH", "", f"{ENV}/share/man:"),
        ("MANPATH", "foo", f"{ENV}/share/man:foo:"),
        ("MANPATH", "foo:", f"{ENV}/share/man:foo:"),
        ("MANPATH", "foo::bar", f"{ENV}/share/man:foo::bar"),
        ("MANPATH", ":foo", f"{ENV}/share/man::foo"),
        ("INFOPATH", "/i", f"{ENV}/share/info:/i"),
        ("XDG_DATA_DIRS", "/d", f"{ENV}/share:/d"),
        ("XDG_DATA_DIRS", "", f"{ENV}/share:/usr/local/share/:/usr/share/"),
        ("CPATH", "/c", f"{ENV}/include:/c"),
        ("PKG_CONFIG_PATH", "/k", f"{ENV}/lib/pkgconfig:{ENV}/share/pkgconfig:/k"),
    ],
)
def test_paths_are_composed_in_front(name, value, expected):
    """The environment's directories come first; PATH and MANPATH lose duplicates; empty elements stay."""
    assert activated({name: value})[name] == expected


def test_the_choice_of_a_shell_is_for_one_activation():
    """What runs in an environment, and may activate others, does not inherit FLOX_SHELL; a hook may set it."""
    assert "FLOX_SHELL" not in activated({"FLOX_SHELL": "/bin/bash"})
    assert activated({"FLOX_SHELL": "/bin/bash"}, a_plan(vars=[("FLOX_SHELL", "mine")]))["FLOX_SHELL"] == "mine"
    assert "FLOX_SHELL" not in activated({**activated({}), "FLOX_SHELL": "/bin/bash"})


def test_the_systems_data_stay_visible():
    """Without XDG_DATA_DIRS, programs look in the system's directories; an activation does not hide these."""
    inner = activated(activated({}), other())
    assert inner["XDG_DATA_DIRS"] == f"{other().flox_env}/share:{ENV}/share:/usr/local/share/:/usr/share/"
    found = difference({}, activated({}))
    assert found.prepend["XDG_DATA_DIRS"] == (f"{ENV}/share",)
    assert found.append["XDG_DATA_DIRS"] == ("/usr/local/share/", "/usr/share/")


def test_sbin_only_when_asked_for():
    """`--add-sbin` puts sbin behind bin; without it sbin is not on PATH."""
    assert "/sbin" not in activated({"PATH": "/a"})["PATH"]
    assert activated({"PATH": "/a"}, add_sbin=True)["PATH"] == f"{ENV}/bin:{ENV}/sbin:/a"


def test_run_mode_leaves_the_compiler_alone():
    """In `run` mode the variables for headers and libraries are not set."""
    found = activated({"CPATH": "/c"}, a_plan(mode="run"))
    assert found["CPATH"] == "/c"
    assert not {"LIBRARY_PATH", "PKG_CONFIG_PATH", "ACLOCAL_PATH"} & found.keys()


def test_the_newest_environment_comes_first():
    """In nested environments the stack, the prompt and the directories begin with the innermost."""
    found = activated(activated({"PATH": "/a"}), other())
    assert found["FLOX_PROMPT_ENVIRONMENTS"] == "second app"
    assert found["FLOX_ENV_DIRS"] == f"{other().flox_env}:{ENV}"
    assert found["FLOX_ENV"] == other().flox_env
    assert found["PATH"] == f"{other().flox_env}/bin:{ENV}/bin:/a"
    stack = json.loads(found["_FLOX_ACTIVE_ENVIRONMENTS"])
    assert [element["environment"]["pointer"]["name"] for element in stack] == ["second", "app"]


def test_activating_again_changes_nothing():
    """Activating an active environment adds it only once, and does not evaluate its variables again."""
    made = a_plan(vars=[("GROWS", "${GROWS}x"), ("PATH", "${PATH}:/x")])
    once = activated({"PATH": "/a"}, made)
    assert once["GROWS"] == "x"
    assert activated(once, made) == once


def test_what_variables_put_in_front_stays_in_front():
    """A second activation inside the first restores elements that something in between has moved or removed."""
    made = a_plan(
        vars=[("CPATH", "/x:${CPATH}"), ("LD_LIBRARY_PATH", "${LD_LIBRARY_PATH}:/l"), ("PATH", "/x:${PATH}:/y")]
    )
    once = activated({"PATH": "/a:/b", "CPATH": "/c"}, made)
    assert once["PATH"] == f"/x:{ENV}/bin:/a:/b:/y"
    assert activated(once, made) == once
    moved = once | {"PATH": f"/a:/b:{ENV}/bin:/x:/y:/new", "FLOX_ENV": "WRONG"}
    assert activated(moved, made) == once | {"PATH": f"/x:{ENV}/bin:/a:/b:/y:/new"}
    assert activated(once | {"PATH": "/a"}, made)["PATH"] == f"{ENV}/bin:/a"


def test_an_environment_is_active_below_its_activation():
    """A process that inherits the variables is inside the environment."""
    assert not is_active(a_plan(), {})
    assert is_active(a_plan(), activated(activated({}), other()))


def test_an_environment_that_changed_since_is_evaluated_again():
    """If the plan's identity has changed, the variables are evaluated again, but the stack keeps one entry."""
    once = activated({}, a_plan(vars=[("A", "1")]))
    twice = activated(once, a_plan(vars=[("A", "2")]))
    assert twice["A"] == "2"
    assert twice["FLOX_PROMPT_ENVIRONMENTS"] == "app"
    assert len(json.loads(twice["_FLOX_ACTIVE_ENVIRONMENTS"])) == 1


def test_another_mode_replaces_the_entry():
    """A checkout is active in one mode: another mode replaces its entry of the stack."""
    found = activated(activated({}), a_plan(mode="run"))
    assert [element["mode"] for element in json.loads(found["_FLOX_ACTIVE_ENVIRONMENTS"])] == ["run"]


def test_two_environments_of_one_name_are_both_in_the_prompt():
    """Environments in different places may have the same name, and the prompt shows both."""
    found = activated(activated({}), a_plan("/q"))
    assert found["FLOX_PROMPT_ENVIRONMENTS"] == "app app"


@pytest.mark.parametrize("stack", ["{", "7", '"x"', '[1,{"a":1}]', "", "[" * 60_000])
def test_a_stack_that_cannot_be_read_is_empty(stack):
    """A stack with text that is not ours does not stop an activation; entries of other forms stay."""
    found = json.loads(activated({"_FLOX_ACTIVE_ENVIRONMENTS": stack})["_FLOX_ACTIVE_ENVIRONMENTS"])
    assert found[0]["mode"] == "dev"
    assert found[1:] == ([{"a": 1}] if stack.startswith("[1") else [])


def test_variables_in_order_see_ports_paths_and_each_other():
    """A variable may use everything that was set before it."""
    made = a_plan(
        ports={"PGPORT": 12345},
        vars=[("URL", "db://localhost:$PGPORT"), ("B", "$URL/x"), ("PATH", "${PATH}:$FLOX_ENV_PROJECT/y")],
    )
    found = activated({"PATH": "/a"}, made)
    assert found["B"] == "db://localhost:12345/x"
    assert found["PATH"] == f"{ENV}/bin:/a:/p/y"


def test_variables_are_set_even_when_the_caller_has_the_value():
    """A variable is recorded even if the caller already has its value, so that others may have another value."""
    made = a_plan(vars=[("X", "same")])
    found = activation(made, {"X": "same"}, runtime_directory="/r")
    assert found.apply({"X": "other"})["X"] == "same"


def test_a_nul_character_is_refused():
    """A NUL character is refused before anything changes, because no environment can hold it."""
    with pytest.raises(ActivationFailed, match="`A` in `\\[vars\\]` holds a NUL"):
        activated({}, a_plan(vars=[("A", "x\0")]))


def test_json_runs_nothing():
    """`activate --json` leaves out values that need bash, and does not claim that the hook has run."""
    made = a_plan(hook="echo no", vars=[("A", "1"), ("B", "$(echo no)")])
    found = activation(made, {}, runtime_directory="/r", run_code=False)
    assert found.set["A"] == "1"
    assert not {"B", "_ESKER_STARTS"} & found.names()


def test_json_leaves_out_no_more_than_it_must_and_says_what():
    """Values that do not depend on one that needs bash are shown, whatever their place; the others are named."""
    texts = {"A": "$(echo no)", "B": "b", "C": "$B and ${A}", "D": "$B", "E": "$C"}
    made = a_plan(hook="echo no", vars=list(texts.items()))
    found = activation(made, {}, runtime_directory="/r", run_code=False)
    assert (found.set["B"], found.set["D"]) == ("b", "b")
    assert not {"A", "C", "E"} & found.names()
    assert left_out(made, {}) == ["A", "C", "E", "hook.on-activate"]
    assert left_out(made, {"_ESKER_STARTS": made.identity}) == []
    assert left_out(a_plan(vars=[("B", "b")]), {}) == []


def test_json_keeps_lists_as_lists():
    """The JSON has four keys, and shows lists that have no colons in full."""
    environ = {"PATH": "/a", "FLOX_PROMPT_ENVIRONMENTS": "outer"}
    found = activation(a_plan(), environ, runtime_directory="/r").published(environ)
    assert list(found) == ["set", "unset", "prepend", "append"]
    assert found["prepend"]["PATH"] == [f"{ENV}/bin"]
    assert found["append"]["MANPATH"] == [""]
    assert found["set"]["FLOX_PROMPT_ENVIRONMENTS"] == "app outer"
    assert json.loads(found["set"]["_FLOX_ACTIVE_ENVIRONMENTS"])[0]["mode"] == "dev"
    assert list(found["set"]) == sorted(found["set"])


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("/a", "/x:/a:/y", {"prepend": ["/x"], "append": ["/y"]}),
        ("/a:/b:/c", "/a:/c", {"remove": ["/b"]}),
        ("/a:/b", "/b:/a", {"prepend": ["/b"]}),
        (None, "/x:/y", {"prepend": ["/x", "/y"]}),
        ("", "/x:", {"prepend": ["/x"], "append": [""]}),
        ("/a:/b", "/x:/b:/y", {"prepend": ["/x"], "append": ["/y"], "remove": ["/a"]}),
    ],
)
def test_edits_of_lists_are_kept_as_edits(before, after, expected):
    """The difference records which elements were added at either end or removed, not the whole value."""
    environ = {} if before is None else {"CPATH": before}
    found = difference(environ, {"CPATH": after}).record()
    assert {kind: found[kind]["CPATH"] for kind in ("prepend", "append", "remove") if found.get(kind)} == expected
    assert found["set"] == {}


def test_a_list_that_was_replaced_is_set():
    """A list that shares no element with its old value is recorded as a value."""
    assert difference({"PATH": "/a:/b"}, {"PATH": "/x"}).set == {"PATH": "/x"}


values = st.lists(st.sampled_from(["", "/a", "/b", "/c", "x y", "[", "\udcff", "\n"]), max_size=6).map(":".join)
environments = st.dictionaries(st.sampled_from([*LISTS, "A", "B"]), values)


@pytest.mark.slow
@given(environments, environments)
def test_a_difference_leads_exactly_from_one_environment_to_the_other(before, after):
    """Applying a difference gives exactly the new environment, byte for byte, whatever was edited."""
    assert difference(before, after).apply(before) == after


@pytest.mark.slow
@given(environments, environments)
def test_a_difference_survives_json(before, after):
    """A difference can be stored as JSON and applied afterwards."""
    found = difference(before, after)
    assert Activation(**json.loads(json.dumps(found.record()))) == found


def test_leaving_variables_out():
    """`without` leaves a variable out of every part of the difference."""
    found = Activation(set={"A": "1"}, unset=["B"], prepend={"PATH": ["/x"]}, append={"PATH": ["/y"]})
    assert found.without(["A", "B", "PATH"]) == Activation()
    assert found.without(["B"]).names() == {"A", "PATH"}


def test_edited_moves_an_element_to_the_front():
    """An element that is moved to the front is not kept in its old place; empty elements are never moved."""
    assert edited("CPATH", "/a::/x", ["/x", ""]) == "/x::/a:"


def test_a_warm_activation_imports_a_fixed_set_of_modules():
    """A warm activation imports only a fixed set of modules, not even json."""
    script = (
        "import sys; known = set(sys.modules)\n"
        "from esker.activate import composition, plan\n"
        "from esker.host import process, runtime_directory\n"
        "print(*sorted(set(sys.modules) - known))"
    )
    source = os.path.dirname(os.path.dirname(os.path.dirname(plan.__file__)))
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {source!r})\n{script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [
        "__future__",
        "_json",
        "errno",
        "esker",
        "esker.activate",
        "esker.activate.composition",
        "esker.activate.difference",
        "esker.activate.expansion",
        "esker.activate.lists",
        "esker.activate.plan",
        "esker.formats",
        "esker.formats.json_text",
        "esker.host",
        "esker.host.isolation",
        "esker.host.places",
        "esker.host.process",
        "esker.host.runtime_directory",
        "esker.host.state_file",
    ]


@pytest.mark.parametrize("longest", ["x" * 131_072, "é" * 70_000, "$BIG$BIG$BIG"])
def test_a_variable_that_no_program_could_be_given_is_refused(longest):
    """References of references may grow tenfold with each line, so the limit is met before the text is made."""
    made = a_plan(vars=(("A", longest),))
    with pytest.raises(ActivationFailed, match=r"`A` in `\[vars\]` would have more than 131,071 bytes"):
        activation(made, {"BIG": "b" * 60_000}, runtime_directory="/r")


def test_references_that_grow_tenfold_take_no_memory():
    """Ten lines would make ten gigabytes."""
    grown = [("A0", "x" * 10), *((f"A{level}", f"$A{level - 1}" * 10) for level in range(1, 10))]
    with pytest.raises(ActivationFailed, match="`A5`"):
        activation(a_plan(vars=tuple(grown)), {}, runtime_directory="/r")
