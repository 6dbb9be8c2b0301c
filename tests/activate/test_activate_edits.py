from __future__ import annotations

import itertools
import json
import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from esker.activate.difference import Activation
from esker.activate.edits import Edits, enter, extended, leave
from esker.activate.lists import elements, joined

EMPTY = Edits()


class Process:
    """The variables of a process in which activations are entered and left."""

    def __init__(self, **environ):
        self.environ = environ
        self.edits = EMPTY

    def enter(self, key, **difference):
        """Enter an activation that makes a difference."""
        self._change(*enter(self.edits, key, Activation(**difference), self.environ))

    def leave(self, key):
        """Leave an activation."""
        self._change(*leave(self.edits, key, self.environ))

    def _change(self, edits, changes):
        # The state travels through JSON, as it does between the commands that a shell evaluates.
        self.edits = Edits.of(json.loads(json.dumps(edits.record())))
        for name, value in changes.items():
            if value is None:
                del self.environ[name]
            else:
                self.environ[name] = value


def test_leaving_gives_back_what_was_there_byte_for_byte():
    """Leaving restores a list with duplicates and empty elements, an empty value, and an absent variable."""
    before = {"PATH": ":/a:/b::/a:", "CPATH": "", "X": "x\nexport Y=1\n\udcff"}
    process = Process(**before)
    process.enter("a", set={"X": "", "NEW": "1"}, prepend={"PATH": ["/e"], "CPATH": ["/e"], "MANPATH": ["/e"]})
    assert process.environ["PATH"] == "/e::/a:/b::"
    process.leave("a")
    assert process.environ == before


def test_activations_leave_in_any_order():
    """When an activation leaves, those that stay keep their differences, applied to the original values."""
    process = Process(PATH="/a", X="0")
    process.enter("a", set={"X": "a", "A": "1"}, prepend={"PATH": ["/ea"]})
    process.enter("b", set={"X": "b"}, unset=["A"], prepend={"PATH": ["/eb"]}, append={"PATH": ["/late"]})
    assert process.environ == {"PATH": "/eb:/ea:/a:/late", "X": "b"}
    process.leave("a")
    assert process.environ == {"PATH": "/eb:/a:/late", "X": "b"}
    process.leave("b")
    assert process.environ == {"PATH": "/a", "X": "0"}


def test_what_the_caller_set_or_deleted_stays():
    """A value that the caller has set stays, even if another active environment had set the variable."""
    process = Process(X="0", Y="0", Z="0")
    process.enter("a", set={"X": "a", "Y": "a", "Z": "a"})
    process.environ["X"] = "mine"
    del process.environ["Y"]
    process.enter("b", set={"X": "b"})
    process.leave("b")
    assert process.environ == {"X": "mine", "Z": "a"}
    process.leave("a")
    assert process.environ == {"X": "mine", "Z": "0"}


@pytest.mark.parametrize(
    ("edit", "left"),
    [
        ("/x:/e:/a:/b:/late", "/x:/a:/b"),
        ("/e:/a:/b:/late:/x", "/a:/b:/x"),
        ("/e:/a:/x:/y:/b:/late", "/a:/x:/y:/b"),
        ("/e:/x:/a:/b:/late", "/x:/a:/b"),
        ("/e:/a:/b:/x:/late", "/a:/b:/x"),
        ("/e:/b:/late", "/b"),
        ("/e:/b:/a:/late", "/b:/a"),
        ("/a:/b:/late:/e", "/a:/b"),
        ("/a:/b", "/a:/b"),
        ("/only", "/only"),
        ("/b:/e:/a:/b:/late", "/b:/a:/b"),
        ("/e::/a:/b:/late", ":/a:/b"),
        ("/e:/late", None),
        ("", ""),
    ],
)
def test_a_list_keeps_the_elements_that_the_caller_added_and_removed(edit, left):
    """Wherever the elements are in a list, a leaving activation removes its own elements and no others."""
    process = Process(PATH="/a:/b")
    process.enter("a", prepend={"PATH": ["/e"]}, append={"PATH": ["/late"]})
    process.environ["PATH"] = edit
    process.leave("a")
    assert process.environ.get("PATH") == left


@pytest.mark.parametrize("hidden", ["/a", "/b"])
def test_an_element_that_an_activation_hid_comes_back(hidden):
    """An element that the activation removed comes back, even if the caller has edited the rest of the list."""
    process = Process(PATH="/a:/b")
    process.enter("a", remove={"PATH": [hidden]})
    process.environ["PATH"] += ":/x"
    process.leave("a")
    assert process.environ["PATH"] == "/a:/b:/x"


def test_an_edit_counts_once():
    """An edit of the caller counts once, even if other environments enter and leave after it."""
    process = Process(PATH="/a")
    process.enter("a", prepend={"PATH": ["/e"]})
    process.environ["PATH"] += ":/x"
    process.enter("b", set={"X": "1"})
    process.leave("b")
    process.leave("a")
    assert process.environ["PATH"] == "/a:/x"


@pytest.mark.parametrize(
    ("name", "before", "edit", "left"),
    [
        ("CPATH", "/a:/b:/a", "/e:/a:/b", "/a:/b"),
        ("CPATH", "/a:/b:/a", "/e:/b:/a", "/b:/a"),
        ("CPATH", "/a:/b:/a", "/e:/b", "/b"),
        ("PATH", "/a:/b:/a", "/e:/b", "/b"),
        ("PATH", "/a:/b:/a", "/e:/a:/b:/x", "/a:/b:/a:/x"),
    ],
)
def test_duplicates_go_as_the_caller_saw_them(name, before, edit, left):
    """If the caller saw several copies of an element, one is removed; if PATH showed one for all, all are."""
    process = Process(**{name: before})
    process.enter("a", prepend={name: ["/e"]})
    process.environ[name] = edit
    process.leave("a")
    assert process.environ[name] == left


def test_a_list_that_is_not_readable_is_the_callers_whole():
    """If a variable that should hold JSON has other text, that text is kept as it is."""
    process = Process()
    process.enter("a", prepend={"_FLOX_ACTIVE_ENVIRONMENTS": ['{"a":1}']})
    assert process.environ["_FLOX_ACTIVE_ENVIRONMENTS"] == '[{"a":1}]'
    process.environ["_FLOX_ACTIVE_ENVIRONMENTS"] = "foreign"
    process.leave("a")
    assert process.environ["_FLOX_ACTIVE_ENVIRONMENTS"] == "foreign"


SCALARS = ["A", "B"]
PATHS = ["PATH", "CPATH"]
ALL = [*SCALARS, *PATHS]
HOSTILE = ["", "x", "it's", '"', "\n", "a\nexport EVIL=1\n", "\udcff", "$(exit)", ":", "é "]
ORIGINAL = ["/o1", "/o 2", "/o\n3", "/o\udcff"]
BROUGHT = ["/e1", "/e2", "/o1", "export E=1\n"]

scalars = st.dictionaries(st.sampled_from(SCALARS), st.sampled_from(HOSTILE))
lists = st.dictionaries(st.sampled_from(PATHS), st.lists(st.sampled_from(BROUGHT), max_size=2, unique=True))
differences = st.builds(
    lambda scalars, paths, unset, whole: {
        "set": {name: value for name, value in (scalars | whole).items() if name not in unset},
        "unset": sorted(unset),
        **paths,
    },
    scalars,
    st.fixed_dictionaries({}, optional=dict.fromkeys(("prepend", "append", "remove"), lists)),
    st.sets(st.sampled_from(ALL), max_size=2),
    st.dictionaries(st.just("CPATH"), st.sampled_from(["", "/whole", "/whole:/o1"])),
)
originals = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(SCALARS, st.sampled_from(HOSTILE))
    | dict.fromkeys(PATHS, st.lists(st.sampled_from([*ORIGINAL, ""]), max_size=5).map(":".join)),
)


class AnyOrder(RuleBasedStateMachine):
    """Activations enter and leave in any order while the caller edits; in the end only the caller's edits remain."""

    entered = Bundle("entered")

    @initialize(environ=originals)
    def start(self, environ):
        """Begin with random variables."""
        self.process = Process(**environ)
        self.original = environ
        self.seen = dict(environ)  # when something last entered or left
        self.active = {}
        self.mine = {}  # what the caller changed: a value, or the elements of a list
        self.recent = {}  # the same, of lists, since something last entered or left
        self.tokens = (f"/mine{number}" for number in itertools.count())

    @rule(target=entered, difference=differences, key=st.uuids().map(str))
    def enter(self, difference, key):
        """Enter an activation: the variables are the earlier ones with its difference applied."""
        self._observe()
        self.active[key] = Activation(**difference)
        expected = self.active[key].apply(self.process.environ)
        self.process.enter(key, **difference)
        assert self.process.environ == expected
        self.seen = expected
        return key

    @rule(key=consumes(entered))
    def leave(self, key):
        """Leave an activation: only its variables change, and after the last one only the caller's edits remain."""
        self._observe()
        before = dict(self.process.environ)
        leaver = self.active.pop(key)
        self.process.leave(key)
        self.seen = dict(self.process.environ)
        changed = {name for name in before.keys() | self.seen.keys() if before.get(name) != self.seen.get(name)}
        assert changed <= leaver.names()
        for name in () if self.active else ALL:
            left = self.seen.get(name)
            if name not in self.mine:
                assert left == self.original.get(name)
            elif name in SCALARS:
                assert left == self.mine[name]
            else:
                assert set(elements(name, left)) - {""} == self.mine[name] - {""}
        assert self.active or self.process.edits.record() == EMPTY.record()

    @rule(name=st.sampled_from(ALL), value=st.none() | st.sampled_from(HOSTILE))
    def edit(self, name, value):
        """Set a value or delete a variable."""
        if value is None:
            self.process.environ.pop(name, None)
            self.recent[name] = set()
        elif name in SCALARS:
            self.process.environ[name] = value

    @rule(name=st.sampled_from(PATHS), where=st.integers(0, 9))
    def add_element(self, name, where):
        """Insert an element somewhere in a list."""
        own = self._own(name) if name in self.process.environ else self._after_deletion(name)
        parts = elements(name, self.process.environ.get(name))
        parts.insert(where % (len(parts) + 1), next(self.tokens))
        self.process.environ[name] = joined(name, parts)
        self.recent[name] = own | {part for part in parts if part.startswith("/mine")}

    @rule(name=st.sampled_from(PATHS), where=st.integers(0, 9))
    def remove_element(self, name, where):
        """Remove every copy of an element from a list."""
        parts = elements(name, self.process.environ.get(name))
        if parts:
            element = parts[where % len(parts)]
            self.recent[name] = self._own(name) - {element}
            self.process.environ[name] = joined(name, [part for part in parts if part != element])

    def _own(self, name):
        return self.recent.get(name, self.mine.get(name, set(elements(name, self.original.get(name)))))

    def _after_deletion(self, name):
        """If a list was deleted and set again, treat its elements as removed one by one."""
        if name not in self.seen:
            return set()
        return self.mine.get(name, set(elements(name, self.original.get(name)))) - set(elements(name, self.seen[name]))

    def _observe(self):
        """Record what the caller changed; a change that was undone before anybody looked does not count."""
        for name in ALL:
            value = self.process.environ.get(name)
            if value != self.seen.get(name):
                self.mine[name] = value if name in SCALARS else self.recent[name]
        self.recent = {}

    @invariant()
    def what_nobody_edited_is_the_original_with_what_is_active(self):
        """Variables that nobody edited are the original ones with the active differences applied in order."""
        expected = self.original
        for activation in self.active.values():
            expected = activation.apply(expected)
        for name in ALL:
            if name not in self.mine and self.process.environ.get(name) == self.seen.get(name):
                assert self.seen.get(name) == expected.get(name)


AnyOrder.TestCase.settings = settings(max_examples=300 if os.environ.get("CI") else 40, stateful_step_count=25)


@pytest.mark.slow
class TestAnyOrder(AnyOrder.TestCase):
    """Random sequences of entering, leaving and edits keep the rules, with difficult values."""


def test_what_the_newest_changes_later_leaves_with_it():
    """Later changes of an activation are undone with it, and with the activations below it when these leave."""
    start = {"PATH": "/bin", "X": "0"}
    state, changes = enter(EMPTY, "a", Activation(prepend={"PATH": ["/a"]}), start)
    inside = start | changes
    state, changes = enter(state, "b", Activation(prepend={"PATH": ["/b"]}), inside)
    before = inside | changes | {"PATH": "/user:/b:/a:/bin"}
    later = {"PATH": "/venv:/b:/user:/a:/bin", "Y": "1"}
    state = extended(state, ["PATH", "X", "Y"], before, later)
    remaining, changes = leave(state, "b", later | {"Y": "user"})
    assert changes == {"PATH": "/a:/user:/bin", "X": "0"}
    assert leave(remaining, "a", {**changes, "Y": "user"})[1] == {"PATH": "/user:/bin"}
