"""The classes behave as those that `dataclasses` makes of the same text, and its functions work with them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from typing import ClassVar

import pytest

from esker.host import frozen_dataclass
from esker.host.isolation import SOURCE


def _classes(dataclass, field):
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Part:
        """A part."""

        size: int = 3

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Whole:
        """A whole."""

        verb: ClassVar[str] = "is"
        name: str
        parts: tuple[Part, ...] = ()
        marks: dict[str, str] = field(default_factory=dict)

        @property
        def many(self):
            return len(self.parts) > 1

    @dataclass(frozen=True, slots=True, kw_only=True)
    class More(Whole):
        """A whole with something more."""

        verb: ClassVar[str] = "has"
        last: int | None = None

    return Part, Whole, More


OURS = _classes(frozen_dataclass.dataclass, frozen_dataclass.field)
ORIGINAL = _classes(dataclasses.dataclass, dataclasses.field)


@dataclasses.dataclass(frozen=True)
class Said:
    """What a class does in one respect."""

    value: object
    error: str = ""


def said(function, *classes):
    """Return what a function says of classes, or the type of its error."""
    try:
        return Said(function(*classes))
    except Exception as error:  # noqa: BLE001  (to be compared)
        return Said(None, type(error).__name__)


QUESTIONS = {
    "repr": lambda part, whole, more: repr(more(name="a", parts=(part(size=1),), last=2)),
    "equal": lambda part, whole, more: (
        whole(name="a") == whole(name="a"),
        whole(name="a") == whole(name="b"),
        whole(name="a") == more(name="a"),
        whole(name="a") == "a",
    ),
    "hash": lambda part, whole, more: len({part(), part(), part(size=4)}),
    "not hashable": lambda part, whole, more: hash(whole(name="a")),
    "missing": lambda part, whole, more: whole(),
    "unknown": lambda part, whole, more: whole(name="a", other=1),
    "by position": lambda part, whole, more: whole("a"),
    "set": lambda part, whole, more: setattr(part(), "size", 1),
    "deleted": lambda part, whole, more: delattr(part(), "size"),
    "class variable": lambda part, whole, more: (whole.verb, more.verb, more(name="a").verb),
    "property": lambda part, whole, more: more(name="a", parts=(part(), part())).many,
    "own default": lambda part, whole, more: whole(name="a").marks is not whole(name="a").marks,
    "fields": lambda part, whole, more: [(each.name, each.type) for each in dataclasses.fields(more)],
    "defaults": lambda part, whole, more: [each.default for each in dataclasses.fields(part)],
    "asdict": lambda part, whole, more: dataclasses.asdict(more(name="a", parts=(part(),), marks={"b": "c"})),
    "replace": lambda part, whole, more: repr(dataclasses.replace(more(name="a"), last=4)),
    "replaced by nothing": lambda part, whole, more: dataclasses.replace(part(), other=4),
    "is one": lambda part, whole, more: (dataclasses.is_dataclass(part), dataclasses.is_dataclass(part())),
    "copies": lambda part, whole, more: copy.deepcopy(more(name="a", last=1)) == more(name="a", last=1),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_does_what_the_original_does(question):
    """Asked anything, a class says the same, or raises the same error."""
    ours, original = said(QUESTIONS[question], *OURS), said(QUESTIONS[question], *ORIGINAL)
    assert ours == original
    assert ours.value is not None or ours.error


@frozen_dataclass.dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What is pickled."""

    name: str


def test_the_quick_functions_say_what_the_slow_ones_say():
    """They are for our own classes alone, which hold plain values."""
    part, _, more = OURS
    value = more(name="a", parts=(part(size=1), part()), marks={"b": "c"})
    assert frozen_dataclass.as_dict(value) == dataclasses.asdict(value)
    assert frozen_dataclass.replaced(value, last=5) == dataclasses.replace(value, last=5)
    assert frozen_dataclass.fields(more) == {
        "name": ("str", True),
        "parts": ("tuple[Part, ...]", False),
        "marks": ("dict[str, str]", False),
        "last": ("int | None", False),
    }
    assert pickle.loads(pickle.dumps(Sent(name="a"))) == Sent(name="a")


def test_nothing_heavy_is_imported():
    """Neither `dataclasses` nor what it needs."""
    code = f"""
import sys; sys.path.insert(0, {SOURCE!r})
from esker.host.frozen_dataclass import as_dict, dataclass, replaced
@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    a: "int"
as_dict(replaced(One(a=1), a=2))
print(sorted({{"dataclasses", "inspect", "re", "typing"}} & {{*sys.modules}}))
"""
    words = [sys.executable, "-I", "-S", "-c", code]
    assert subprocess.run(words, check=True, capture_output=True, text=True).stdout == "[]\n"
