"""Blocks for a warm path behave as those of `contextlib`."""

from __future__ import annotations

import contextlib

import pytest

from esker.host import context

BOTH = pytest.mark.parametrize("library", [contextlib, context], ids=["contextlib", "context"])


@BOTH
def test_a_block_runs_between_the_halves_of_a_generator(library):
    """It is given the value, and the second half runs after an error, too, which goes on."""
    said = []

    @library.contextmanager
    def told(name, *, end="end"):
        """What it does."""
        said.append(name)
        try:
            yield len(name)
        finally:
            said.append(end)

    with told("one") as size:
        said.append(size)
    with pytest.raises(KeyError) as raised, told("two", end="over"):
        raise KeyError("x")
    assert said == ["one", 3, "end", "two", "over"]
    assert raised.value.args == ("x",)
    assert (told.__name__, told.__doc__) == ("told", "What it does.")


@BOTH
def test_a_generator_may_deal_with_the_error(library):
    """The block then ends without it, or with another one."""

    @library.contextmanager
    def dealing(other=None):
        try:
            yield
        except KeyError as error:
            if other is not None:
                raise other from error

    with dealing():
        raise KeyError
    with pytest.raises(OSError, match="other"), dealing(OSError("other")):
        raise KeyError
    with pytest.raises(StopIteration), dealing():  # no generator can raise this one itself
        raise StopIteration
    with pytest.raises(RuntimeError, match="own"), dealing():
        raise RuntimeError("own")


@BOTH
def test_a_generator_that_does_not_yield_once_is_refused(library):
    """With none there is nothing to run, and with two it is not known what to do."""

    @library.contextmanager
    def none():
        yield from ()

    @library.contextmanager
    def two():
        with contextlib.suppress(KeyError):
            yield 1
        yield 2

    with pytest.raises(RuntimeError), none():
        pass
    with pytest.raises(RuntimeError), two():
        pass
    with pytest.raises(RuntimeError), two():
        raise KeyError


@BOTH
def test_named_errors_are_suppressed(library):
    """Subclasses of them too, and no other."""
    with library.suppress(OSError, KeyError):
        raise FileNotFoundError
    with pytest.raises(ValueError, match="x"), library.suppress(OSError):
        raise ValueError("x")
    with library.suppress():
        pass
