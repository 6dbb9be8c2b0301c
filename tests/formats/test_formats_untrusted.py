from __future__ import annotations

import json
import time
import tomllib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.formats.untrusted import DEEPEST, json_value, toml_table

DEEP = {
    "a dotted key": ".".join("a" * 20_000) + " = 1",
    "a header": "[" + ".".join("a" * 20_000) + "]",
    "many deep headers": "".join(f"[{'a.' * 300}b{number}]\n" for number in range(3000)),
    "arrays": "x = " + "[" * 50_000 + "]" * 50_000,
    "inline tables": "x = " + "{a = " * 50_000 + "1" + "}" * 50_000,
    "inline tables of dotted keys": "x = " + "{a.a.a.a.a.a.a.a.a.a = " * 9 + "1" + "}" * 9,
    "no end": "[" * 50_000,
    "quoted parts": '."a"' * 20_000,
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_what_is_too_deep_is_refused_before_it_costs_anything(text):
    """A small file takes neither the machine's memory nor its time."""
    tracemalloc.start()
    begun = time.process_time()
    with pytest.raises(ValueError, match="more than 64 tables or arrays"):
        toml_table(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    assert time.process_time() - begun < 2


def test_dots_in_texts_comments_and_numbers_are_no_depth():
    """Only keys, headers, arrays and inline tables count, and what has ended no longer does."""
    dots = "." * 1000
    text = (
        f"a = \"{dots}\" # {dots}[[[[\nb = \"\"\"{dots}\n[[[{dots}\"\"\"\nc = '{dots}'\nd = '''\n{dots}'''\n"
        + "".join(f"[t{number}]\nx.y.z = [1.5, 2.5, {{q.r = 1}}]\n" for number in range(100))
    )
    assert toml_table(text) == tomllib.loads(text)


def test_the_limit_is_what_it_says():
    """As many levels as the limit are read, and two more are not."""
    for text in ("[" + ".".join("a" * DEEPEST) + "]", ".".join("a" * DEEPEST) + " = 1"):
        assert toml_table(text) == tomllib.loads(text)
        with pytest.raises(ValueError, match="more than 64"):
            toml_table(text.replace("a", "a.a.a", 1))


@given(st.text(alphabet="ab.=[]{},\"'\n#\\ 1"))
def test_any_text_is_read_as_tomllib_reads_it_or_refused(text):
    """The check of the depth never refuses a text of a few levels, and never fails in another way."""
    try:
        expected = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        expected = None
    try:
        found = toml_table(text)
    except ValueError:
        found = None
    assert found == expected or "more than" in text


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b"[" * 70 + b"]" * 70,
        b'"\\ud800"',
        b'{"a": ["\\uDFFF"]}',
        b'{"\\ud800": 1}',
        b"1e999",
        b"[-1e999]",
        b"NaN",
        b"-Infinity",
        b"1" * 5000,
        b"\xff",
        b"",
    ],
)
def test_json_that_would_be_an_error_later_is_one_now(text):
    """Deep nesting, half characters, infinite numbers and bytes that are no UTF-8."""
    with pytest.raises(ValueError):
        json_value(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_other_json_is_read_as_it_is(value):
    """Whole characters that are written as two halves included."""
    assert json_value(json.dumps(value)) == value
    assert json_value(json.dumps(value, ensure_ascii=False).encode()) == value
