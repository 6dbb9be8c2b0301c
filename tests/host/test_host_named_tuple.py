"""The `NamedTuple` of warm paths behaves as that of `typing`."""

from __future__ import annotations

import pickle
import typing

import pytest

from esker.host import named_tuple


class Light(named_tuple.NamedTuple):
    """A tuple of the light kind."""

    name: str
    count: int = 1

    @property
    def shout(self):
        """The name, louder."""
        return self.name.upper()


class Original(typing.NamedTuple):
    """The same tuple of the original kind."""

    name: str
    count: int = 1


@pytest.mark.parametrize("values", [("a",), ("a", 2)])
def test_it_is_the_tuple_that_the_original_is(values):
    """Elements, equality, hash, text, `_replace` and unpacking are the original's."""
    ours, theirs = Light(*values), Original(*values)
    assert ours == theirs == (ours.name, ours.count)
    assert hash(ours) == hash(theirs)
    assert repr(ours).replace("Light", "Original") == repr(theirs)
    assert ours._replace(count=9) == theirs._replace(count=9)
    assert isinstance(ours._replace(count=9), Light)
    assert Light(count=3, name="b") == Original(count=3, name="b")
    assert pickle.loads(pickle.dumps(ours)) == ours
    assert ours.shout == "A"


def test_it_can_be_matched_by_position():
    """A pattern names the elements in their order."""
    match Light("a", 2):
        case Light(name, count):
            assert (name, count) == ("a", 2)


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), (("a", 1, 2), {}), (("a",), {"name": "b"}), (("a",), {"other": 1})]
)
def test_other_arguments_are_refused(values, named):
    """Missing, surplus, repeated and unknown arguments are errors, as in the original."""
    for kind in (Light, Original):
        with pytest.raises(TypeError):
            kind(*values, **named)
