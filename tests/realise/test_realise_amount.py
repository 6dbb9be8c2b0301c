"""What a person is told of an installation: how many packages and bytes, and how many are there meanwhile."""

from __future__ import annotations

import pytest
from packaging.pylock import PackageWheel

from esker.progress import Silent
from esker.realise.amount import counting, measured


def wheels(*sizes):
    """Wheels of these sizes; None is one whose size the lock does not say."""
    return [PackageWheel(name="a-1-py3-none-any.whl", url="https://x/a", size=size, hashes={}) for size in sizes]


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ([34_500_000 - 11 * 1000, *[1000] * 11], "12 Python packages, 34.5 MB"),
        ([1234], "1 Python package, 1.2 kB"),
        ([2_500_000_000], "1 Python package, 2500.0 MB"),
        ([1000, None], "2 Python packages"),
        ([None], "1 Python package"),
        ([0], "1 Python package, 0.0 kB"),
    ],
)
def test_bytes_are_told_where_all_of_them_are_known(sizes, told):
    """An index need not say how big its files are; a sum of some of them would be invented."""
    assert measured(wheels(*sizes)) == told


class Listener(Silent):
    """Counts the packages that it hears of."""

    def __init__(self):
        self.heard = 0

    def advance(self, count=1):
        """Count."""
        self.heard += count


def test_each_package_counts_once_and_when_it_is_there_whole(tmp_path):
    """A second try begins with an empty directory; what was counted in the first is not counted again."""

    def install(name):
        (tmp_path / f"{name}-1.dist-info").mkdir(parents=True)
        (tmp_path / f"{name}-1.dist-info/INSTALLER").write_text("uv")

    listener = Listener()
    with counting(str(tmp_path / "missing"), listener):
        pass
    assert listener.heard == 0
    with counting(str(tmp_path), listener):
        install("a")
        install("b")
        (tmp_path / "c-1.dist-info").mkdir()
    assert listener.heard == 2


def test_the_count_ends_with_an_error(tmp_path):
    """No thread goes on after an installation that failed."""
    listener = Listener()
    with pytest.raises(OSError, match="full"), counting(str(tmp_path), listener):
        raise OSError("full")
    (tmp_path / "a-1.dist-info").mkdir()
    (tmp_path / "a-1.dist-info/INSTALLER").write_text("uv")
    assert listener.heard == 0
