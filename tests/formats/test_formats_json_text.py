"""JSON without `json`: the same values and texts, and the same errors, with CPython's C module and without it."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.formats import json_text

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture(params=["with _json", "without _json"])
def module(request, monkeypatch):
    """Give the module, also as it is on a Python that has no `_json`."""
    if request.param == "without _json":
        monkeypatch.setattr(json_text, "_json", None)
    return json_text


@given(values)
def test_a_value_is_written_and_read_as_json_does(value):
    """Texts are those of compact `json.dumps`, and values those of `json.loads`."""
    text = json_text.render(value)
    assert text == json.dumps(value, separators=(",", ":"))
    assert json_text.parse(text) == value
    assert json_text.parse(f" \r\n\t{json.dumps(value, indent=2, ensure_ascii=False)}\n") == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        '{"a": 1',
        "[1,]",
        "{} {}",
        "nul",
        "'a'",
        '"a\nb"',
        '"\\x"',
        "\ufeff{}",
        "[1] x",
        "01",
        "{\n",
        "\n\n [1,\n",
    ],
)
def test_a_damaged_text_is_a_value_error_with_its_place(module, text):
    """What is no JSON raises the error of `json.loads`, which says where the text is wrong."""
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(text)
    with pytest.raises(ValueError, match=r"char \d+|BOM") as raised:
        module.parse(text)
    assert str(raised.value) == str(expected.value)


def test_numbers_that_json_does_not_have(module):
    """Infinities and NaN are refused, and so are numbers that are too big: no integer can be made of them."""
    for text in ("[Infinity, -Infinity]", "NaN", "1e999", '{"a": -1e999}'):
        with pytest.raises(ValueError, match="is not a number, or too big a one"):
            module.parse(text)
    assert module.render([math.inf]) == "[Infinity]"


def test_what_has_no_form_is_a_type_error(module):
    """A value that JSON cannot hold, or that holds itself, is refused as `json.dumps` refuses it."""
    with pytest.raises(TypeError):
        module.render({"a": object()})
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="Circular"):
        module.render(endless)


def test_a_damaged_text_before_json_is_loaded():
    """The C module alone cannot even raise its error; a program that has not loaded `json` gets the same ValueError."""
    code = """
import sys
from esker.formats import json_text
assert "json" not in sys.modules
for text in ("{", "[1,]", '{"a": 1} x'):
    try:
        json_text.parse(text)
    except ValueError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        "Expecting value: line 1 column 4 (char 3)",
        "Extra data: line 1 column 10 (char 9)",
    ]
