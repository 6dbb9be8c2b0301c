"""What a person reads of images."""

from __future__ import annotations

import pytest

from esker.cli.views.images import difference_text
from esker.ship.image.comparison import Difference, LayerChange, UnitChange

FILES = UnitChange("esker/files", "", "")
GIT, JQ = UnitChange("conda/git", "2.0", "2.1"), UnitChange("conda/jq", None, "1.7")


@pytest.mark.parametrize(
    ("units", "reason", "lines"),
    [
        ((FILES,), "esker/files has other files", ["a: esker/files has other files"]),
        (
            (GIT, JQ),
            "conda/git 2.0 became 2.1; conda/jq 1.7 is new",
            ["a:", "  conda/git 2.0 became 2.1", "  conda/jq 1.7 is new"],
        ),
        ((JQ,), "its packages were in `b`", ["a: its packages were in `b`", "  conda/jq 1.7 is new"]),
        ((), "its files are others", ["a: its files are others"]),
    ],
)
def test_why_a_layer_differs_is_told_once(units, reason, lines):
    """Packages that are the reason stand in a line each, or in the layer's own if there is one."""
    found = Difference((LayerChange("a", None, None, units, reason),), (), ())
    expected = ["linux/amd64: 1 layer differs, 0 are the same", *(f"  {line}" for line in lines)]
    assert difference_text("linux/amd64", found).split("\n")[:-1] == expected


def test_images_that_are_the_same():
    """None of their layers differs, and nothing is to be fetched."""
    assert difference_text("linux/amd64", Difference((), (), ())) == "linux/amd64: no layers differ, 0 are the same"
