"""Files with places for additions."""

from __future__ import annotations

import pytest

from esker.errors import NotEditable
from esker.ship.ci import marked

COMMAND = "esker ci github"


def written(*lines):
    return marked.finished([*lines], COMMAND)


NEW = written("name: new", *marked.place("steps", 2), "end: 1")
OLD = written("name: old", *marked.place("steps", 2), "end: 0")


def test_additions_stay():
    """What stands between the two lines is in the new text, as it was; everything else is new."""
    added = "  - run: |\n      echo 'a # b'\n\n"
    old = OLD.replace("  # esker: end\n", f"{added}  # esker: end\n")
    text = marked.rewritten(NEW, old, "ci.yml")
    assert text == NEW.replace("  # esker: end\n", f"{added}  # esker: end\n")
    assert marked.rewritten(NEW, text, "ci.yml") == text


def test_a_file_of_an_earlier_esker_is_written_over():
    """It looks different and has its own digest, so nothing that a person wrote is lost."""
    assert marked.rewritten(NEW, written("quite: another", "file: 1"), "ci.yml") == NEW


def test_a_change_outside_of_the_places_is_not_lost():
    """The error says where the change belongs; with `force` it is thrown away."""
    changed = OLD.replace("end: 0", "end: mine")
    with pytest.raises(NotEditable, match="changed outside of the places") as refused:
        marked.rewritten(NEW, changed, "ci.yml")
    assert "--force" in refused.value.hint
    assert marked.rewritten(NEW, changed, "ci.yml", force=True) == NEW


def test_a_file_without_places_names_the_one_that_has_some():
    """What it includes is the same for everybody: the change belongs to the file beside it."""
    plain = written("script: make")
    with pytest.raises(NotEditable, match=r"`x\.yml` has been changed and has no place for that") as refused:
        marked.rewritten(plain, plain.replace("make", "mine"), "x.yml", places="ci.yml")
    assert refused.value.hint.startswith("move the change to a place of `ci.yml` between")


def test_a_file_of_somebody_else_is_not_lost():
    """A workflow that Esker has not written stays, unless it is to be written over."""
    with pytest.raises(NotEditable, match="Esker has not written it"):
        marked.rewritten(NEW, "name: mine\n", "ci.yml")
    assert marked.rewritten(NEW, "name: mine\n", "ci.yml", force=True) == NEW
    with pytest.raises(NotEditable, match="Esker has not written it"):
        marked.rewritten(NEW, "", "ci.yml")


@pytest.mark.parametrize("force", [False, True])
def test_additions_in_a_place_that_is_no_more_are_not_lost(force):
    """They are an error that names the place, also with `force`; an empty place goes silently."""
    old = written(*marked.place("matrix", 0))
    assert marked.rewritten(NEW, old, "ci.yml") == NEW
    with pytest.raises(NotEditable, match="`matrix`"):
        marked.rewritten(NEW, old.replace("# esker: end", "mine: 1\n# esker: end"), "ci.yml", force=force)


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        (["a: 1", "# esker: yours, steps", "mine: 1"], 3, "`steps` begins here and has no end"),
        (["# esker: yours, steps", "mine: 1", "# esker: yours, jobs", "# esker: end"], 2, "`steps` begins here and"),
        (["# esker: yours, a", "# esker: end", "# esker: yours, a", "# esker: end"], 4, "`a` is there a second time"),
    ],
)
def test_a_place_without_an_end_or_there_twice(lines, line, message):
    """The error names the place that lost its end, and the line where it begins, also with `force`."""
    with pytest.raises(NotEditable, match=message) as refused:
        marked.rewritten(NEW, written(*lines), "ci.yml", force=True)
    assert refused.value.place == f"ci.yml:{line}"


def test_a_line_that_begins_a_place_is_gone():
    """What was added then stands outside of the places: it is not written over."""
    old = OLD.replace("  # esker: end\n", "  - mine\n  # esker: end\n").replace("  # esker: yours, steps\n", "")
    with pytest.raises(NotEditable, match="changed outside of the places"):
        marked.rewritten(NEW, old, "ci.yml")


def test_line_ends():
    """Those of Windows make no change; a sign that only Unicode calls a line end stays in its line."""
    added = "  - run: echo 'a\u2028b\x0cc'\n"
    old = OLD.replace("  # esker: end\n", f"{added}  # esker: end\n")
    assert added in marked.rewritten(NEW, old, "ci.yml")
    assert marked.rewritten(NEW, old.replace("\n", "\r\n"), "ci.yml") == marked.rewritten(NEW, old, "ci.yml")
