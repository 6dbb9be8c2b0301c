from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.formats.tables.positions import positions


def paths_of(value, path=()):
    """Every path of a document, as a reader of TOML sees it."""
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = ((str(index), element) for index, element in enumerate(value))
    else:
        children = ()
    for key, child in children:
        yield (*path, key)
        yield from paths_of(child, (*path, key))


DOCUMENT = '''\
# [not.a.table]
title = "a # b"                 # line 2

[install]
hello.pkg-path = "hello"
"quoted \\u00e9".'x.y' = 1

[a.b.c]
text = """
[nor.this]
closing \\""" and ""quotes"""""
raw = \'\'\'
key = ''1''\'\'\'
list = [
  "one",   # with ] and }
  { dir = "../x", name = 'n' }, [1, 2],
]
when = 1979-05-27 07:32:00
empty = []
nothing = {}

[[include.environments]]
dir = "low"
[include.environments.more]
x = 1
[[include.environments]]
dir = "high"
'''


def test_lines_of_a_document():
    """Each kind of key, table and array has the line that it stands in."""
    lines = positions(DOCUMENT)
    assert lines[("title",)] == 2
    assert lines[("install", "hello")] == lines[("install", "hello", "pkg-path")] == 5
    assert lines[("install", "quoted é", "x.y")] == 6
    assert lines[("a",)] == lines[("a", "b", "c")] == 8
    assert lines[("a", "b", "c", "raw")] == 12
    assert lines[("a", "b", "c", "list", "1", "name")] == 16
    assert lines[("a", "b", "c", "list", "2", "1")] == 16
    assert lines[("a", "b", "c", "when")] == 18
    assert lines[("include", "environments", "0", "more", "x")] == 25
    assert lines[("include", "environments", "1", "dir")] == 27


def test_paths_are_those_of_tomllib():
    """The scan names exactly the paths that a reader of TOML finds."""
    assert set(positions(DOCUMENT)) == set(paths_of(tomllib.loads(DOCUMENT)))


def test_windows_line_ends():
    """A carriage return before the line feed changes no line."""
    assert positions(DOCUMENT.replace("\n", "\r\n")) == positions(DOCUMENT)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "a=1", "a=1\r\n", "[a]", "[ a . 'b' ]\nc=''"])
def test_ends_of_documents(text):
    """A text may end anywhere that TOML lets it end."""
    assert set(positions(text)) == set(paths_of(tomllib.loads(text)))


KEYS = st.one_of(st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True), st.text(max_size=4))
TEXTS = st.text(alphabet=st.one_of(st.sampled_from("ab\"'\\#[]{},=.\n \t"), st.characters(exclude_categories=["Cs"])))
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), TEXTS, st.sampled_from([1.5, "1979-05-27 07:32:00Z"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)


def basic(text):
    """Write a text as a TOML basic string."""
    named = {'"': '\\"', "\\": "\\\\"}
    plain = (
        named.get(char) or (f"\\u{ord(char):04x}" if ord(char) < 32 or ord(char) == 127 else char) for char in text
    )
    return '"' + "".join(plain) + '"'


class Writer:
    """Writes a document in styles that `draw` chooses, and notes the line of each path as it goes."""

    def __init__(self, draw):
        self.draw = draw
        self.text = ""
        self.lines = {}

    def note(self, path):
        """The path begins here."""
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def chosen(self, *choices):
        """One of the choices."""
        return self.draw(st.sampled_from(choices))

    def key(self, key):
        """A key, bare or in quotes."""
        bare = key and key.isascii() and key.replace("-", "").replace("_", "").isalnum()
        literal = "'" not in key and key.isprintable()
        return self.chosen(*([key] if bare else []), *([f"'{key}'"] if literal else []), basic(key))

    def value(self, value, path):
        """Write a value."""
        if isinstance(value, dict):
            self.text += "{"
            for index, (key, child) in enumerate(value.items()):
                self.text += ", " if index else " "
                self.note((*path, key))
                self.text += self.key(key) + " = "
                self.value(child, (*path, key))
            self.text += " }"
        elif isinstance(value, list):
            self.text += "["
            for index, child in enumerate(value):
                self.text += self.chosen("", " ", "\n", " # ] comment\n")
                self.note((*path, str(index)))
                self.value(child, (*path, str(index)))
                self.text += self.chosen(",", " ,", "\n,")
            self.text += self.chosen("", "\n") + "]"
        elif isinstance(value, str) and not value.startswith("1979-"):
            styles = [basic(value), '"""\n' + basic(value)[1:-1].replace("\\u000a", "\n") + '"""']
            raw = value.replace("\n", "").replace("\t", "")
            if (
                "''" not in value
                and not value.startswith("'")
                and not value.endswith("'")
                and (not raw or raw.isprintable())
            ):
                styles.append("'''" + ("\n" if value.startswith("\n") else "") + value + "'''")
            self.text += self.chosen(*styles)
        else:
            self.text += str(value).lower() if isinstance(value, bool) else str(value)

    def table(self, table, path=()):
        """Write a table, its sub-tables inline or under headers."""
        later = []
        for key, value in table.items():
            if value and isinstance(value, dict) and self.draw(st.booleans()):
                later.append((key, value))
                continue
            self.text += self.chosen("", "\n", "  ", "# [c]\n")
            self.note((*path, key))
            self.text += self.key(key) + self.chosen("=", " = ")
            self.value(value, (*path, key))
            self.text += self.chosen("\n", " # = [\n")
        for key, value in later:
            self.note((*path, key))
            self.text += "[" + ".".join(self.key(part) for part in (*path, key)) + "]\n"
            self.table(value, (*path, key))


@pytest.mark.slow
@settings(deadline=None)
@given(st.data(), TABLES)
def test_any_document(data, table):
    """Whatever the style of writing: the paths are those of tomllib, the lines those where they were written."""
    writer = Writer(data.draw)
    writer.table(table)
    read = tomllib.loads(writer.text)
    found = positions(writer.text)
    assert set(found) == set(paths_of(read))
    assert found == writer.lines
