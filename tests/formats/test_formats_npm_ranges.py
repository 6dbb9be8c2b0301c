"""npm's ranges mean the same in conda's notation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.formats.npm_ranges import conda_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("", "*"),
        ("*", "*"),
        ("x", "*"),
        (">=18 || *", "*"),
        ("18", "18.*"),
        ("v18.x", "18.*"),
        ("18.2.X", "18.2.*"),
        ("18.2.1", "==18.2.1"),
        ("=18.2.1", "==18.2.1"),
        (">=18", ">=18"),
        (">= 18.1", ">=18.1"),
        (">18", ">=19"),
        (">18.1", ">=18.2"),
        (">18.1.2", ">18.1.2"),
        ("<=18", "<19"),
        ("<=18.1.2", "<=18.1.2"),
        ("<18", "<18"),
        ("^18", ">=18,<19"),
        ("^18.1.2", ">=18.1.2,<19"),
        ("^0.2.3", ">=0.2.3,<0.3"),
        ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("^0.0", ">=0.0,<0.1"),
        ("^0", ">=0,<1"),
        ("~18", ">=18,<19"),
        ("~18.1", ">=18.1,<18.2"),
        ("~>18.1.2", ">=18.1.2,<18.2"),
        ("18 - 20.1", ">=18,<20.2"),
        ("18.0.0 - 20.1.2", ">=18.0.0,<=20.1.2"),
        (">=18 <21 || ^24", ">=18,<21|>=24,<25"),
        ("latest", None),
        ("lts/*", None),
        ("20.0.0-rc.1", None),
        (">=18 <", None),
        ("<*", None),
        ("18 -20", None),
        ("1" * 10, None),
        ("1 " * 200, None),
    ],
)
def test_ranges(text, version):
    """What cannot be said exactly is not translated."""
    assert conda_version(text) == version


NUMBERS = st.lists(st.integers(0, 3), min_size=1, max_size=3)


@given(st.sampled_from(["", ">", ">=", "<", "<=", "^", "~", "="]), NUMBERS, st.tuples(*[st.integers(0, 4)] * 3))
def test_the_same_versions_are_allowed(operator, numbers, version):
    """Each comparison allows in conda what node-semver's rules allow, which are written down here once more."""
    from rattler import Version, VersionSpec

    low = tuple(numbers + [0] * (3 - len(numbers)))
    above = lambda index: tuple([*numbers[:index], numbers[index] + 1, 0, 0][:3])  # noqa: E731
    first = next((index for index, number in enumerate(numbers) if number), len(numbers) - 1)
    beyond = above(len(numbers) - 1)
    allowed = {
        "": low <= version < beyond,
        "=": low <= version < beyond,
        ">=": version >= low,
        ">": version >= beyond,
        "<": version < low,
        "<=": version < beyond,
        "^": low <= version < above(first),
        "~": low <= version < above(min(len(numbers) - 1, 1)),
    }[operator]
    spec = conda_version(operator + ".".join(map(str, numbers)))
    assert VersionSpec(spec).matches(Version(".".join(map(str, version)))) == allowed


@given(st.text(st.sampled_from("0123456789.xX*^~<>=|- v"), max_size=30))
def test_any_text(text):
    """Whatever is translated is a version of conda."""
    from rattler import VersionSpec

    translated = conda_version(text)
    assert translated is None or VersionSpec(translated, strict=True)
