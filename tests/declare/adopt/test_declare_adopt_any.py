"""Whatever the files of a project say, the manifest that is made of them is valid, and nothing raises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esker.declare.adopt import joined
from esker.declare.adopt.found import Found, Unreadable, limited
from esker.declare.adopt.project_files import READERS
from esker.declare.template import manifest
from esker.declare.validate import read_text

LAYOUTS = Path(__file__).parent / "layouts"
SEEDS = {file: sorted({path.read_text() for path in LAYOUTS.glob(f"*/{file}")} | {""}, key=len) for file in READERS}
PIECES = [
    *("\n", " ", "  - ", "\t", ":", ": ", "- ", "-r ", "-e ", "#", " # ", "=", "==", ">=", "*", "~", "^", "||", " - "),
    *("[", "]", "{", "}", '"', "'", '"""', "'''", "\\", "\\u0000", "&a", "$PORT", "${PORT}", "{mode}", "{services}"),
    *("\x00", "\x1b", "\x7f", "\x85", "\u2028", "\ud7ff", "é", "\U0001d4b3", "ß", "١٢", "1" * 5000, "a" * 3000),
    *(
        "://u:p@h/",
        "file:",
        "/t/x/",
        "conda-forge::",
        "__x",
        "{variables}",
        "{{x}}",
        "PORT = 1",
        "PATH = 'x'",
        "auto-start",
        "python",
        "nodejs",
        "pip:",
        "3.12",
        "lts/*",
    ),
]


@st.composite
def contents(draw, file):
    """Draw the text of a file: one of a layout with pieces put into it, or pieces alone."""
    text = draw(st.sampled_from(SEEDS[file]))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.sampled_from([start, start, min(len(text), start + 1), min(len(text), start + 20)]))
        text = text[:start] + draw(st.sampled_from(PIECES) | st.text(max_size=5)) + text[end:]
    return text


def values():
    scalars = st.none() | st.booleans() | st.integers() | st.sampled_from(PIECES) | st.text(max_size=8)
    return st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


KEYS = st.sampled_from(["engines", "node", "pnpm", "yarn", "version", "a"]) | st.text(max_size=4)


def found(file, texts):
    """Read one file as `found_in` does."""

    def read(path):
        if path not in texts:
            raise Unreadable("it is not there")
        return texts[path]

    try:
        return limited(READERS[file](texts[file], file, read))
    except Unreadable as error:
        return Found(file, left_out=(f"{file} is left out: {error}",))


def check(texts):
    adopted = joined([found(file, texts) for file in READERS if file in texts])
    read_text(manifest(adopted=adopted))
    read_text(manifest(adopted=adopted, mode="run"))
    for line in (*adopted.taken, *adopted.left_out):
        assert "\n" not in line
        assert len(line) < 40_000


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_any_files(data):
    """One to four of the files, changed at random, stand beside each other."""
    files = data.draw(st.sets(st.sampled_from(list(READERS)), min_size=1, max_size=4))
    check({file: data.draw(contents(file)) for file in sorted(files)})


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(values())
def test_any_package_json(value):
    """Values of any type stand anywhere."""
    check({"package.json": json.dumps(value)})
