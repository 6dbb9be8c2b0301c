from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from esker.declare.declaration import EskerTable, HealthCheck, ServiceTable
from esker.declare.validate import read_text
from esker.formats.manifest import SCHEMAS, Manifest
from esker.formats.tables.reader import Report, key_paths, read

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "manifest.md").read_text()
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def rows():
    """Every documented key: its path, schema, type and default."""
    prefix = ""
    for line in PAGE.splitlines():
        heading = re.fullmatch(r"#+ (?:`\[+(.*?)\]+`|.*)", line)
        if heading:
            prefix = heading[1] or ""
        row = re.fullmatch(r"\| `(.+?)` \| (.*?) \| (.*?) \| (.*?) \| .+ \|", line)
        if row:
            section = prefix.split(".")[0]
            key, *rest = row.groups()
            path = key if not prefix or key.split(".")[0] == section else f"{prefix}.{key}"
            yield tuple(path.split(".")), *rest


def known():
    """Every key that is read: its path, and the first schema that has it, taken from the tables above it too."""
    firsts = {("version",): "1", ("schema-version",): "1.10.0"}
    esker = ((("plugins", "esker", *path), since) for path, since in key_paths(EskerTable))
    for path, since in [*key_paths(Manifest), *esker]:
        above = [firsts.get(path[:length], "1") for length in range(1, len(path))]
        firsts.setdefault(path, max(since or "1", *above, "1.14.0" if path[0] == "plugins" else "1"))
    return firsts


def test_each_key_is_documented_and_each_documented_key_is_read():
    """The page and the reader know the same keys, since the same schemas."""
    documented = {path: schema for path, schema, _, _ in rows()}
    assert documented == known()
    assert len(documented) == len(list(rows()))


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples(number):
    """Every example is a manifest as it stands."""
    read_text(EXAMPLES[number])


def test_examples_use_every_key():
    """There is an example of each key, but for the legacy `version` and other words for the same."""
    shown = set()
    for example in EXAMPLES:
        shown |= set(_paths(tomllib.loads(example)))
    names = {("plugins", "esker", "services", "<name>"), ("include", "environments"), *(known())}
    absent = {path for path in names if not any(_matches(path, one) for one in shown)}
    others = {("version",), ("include", "environments", "reference"), ("build", "<name>", "version", "command")}
    checks = {("plugins", "esker", "services", "<name>", "healthcheck", form) for form in ("unix", "http", "log")}
    scripts = {
        ("profile", *where, shell) for where in ((), ("deactivate",)) for shell in ("bash", "zsh", "fish", "tcsh")
    }
    assert absent == others | checks | scripts | {("services", "<name>", "systemd", "unit")}


def _paths(value, path=()):
    if isinstance(value, list):
        for item in value:
            yield from _paths(item, path)
    elif isinstance(value, dict):
        for key, child in value.items():
            yield (*path, key)
            yield from _paths(child, (*path, key))


def _matches(pattern, path):
    return len(pattern) == len(path) and all(a in ("<name>", b) for a, b in zip(pattern, path, strict=True))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (ServiceTable, ("plugins", "esker", "services", "<name>")),
        (HealthCheck, ("plugins", "esker", "services", "<name>", "healthcheck")),
    ],
)
def test_defaults(kind, path):
    """A documented default, written out, means what holds without it."""
    documented = {row[-1]: default for row, _, _, default in rows() if row[:-1] == path and default.startswith("`")}
    text = "\n".join(f"{key} = {default[1:-1]}" for key, default in documented.items())
    assert len(documented) >= 5
    report = Report()
    table = tomllib.loads(text)
    value = read(kind, {**table, **({"tcp": "127.0.0.1:1"} if kind is HealthCheck else {})}, report)
    assert report.problems == []
    for name in value.__struct_fields__:
        if name != "tcp":
            assert getattr(value, name) == getattr(kind(), name), name


def test_words_that_are_one_of_a_few():
    """Where a key takes one of a few words, the page names all of them."""
    for word in (
        "service_started",
        "service_healthy",
        "service_completed_successfully",
        "process_started",
        "process_completed",
        "process_completed_successfully",
        "on-failure",
        "always",
        "oneshot",
    ):
        assert word in PAGE
    for schema in SCHEMAS[1:]:
        assert f"`{schema}`" in PAGE
