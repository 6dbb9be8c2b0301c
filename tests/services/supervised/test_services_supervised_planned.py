"""What a plan keeps of services is what the declaration says of them, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from esker.declare.load import load
from esker.services.specification import specify
from esker.services.supervised.planned import kept_services, planned_services
from tests.support.plans import a_plan

LINUX = "x86_64-linux"
ITEMS = Path(__file__).parents[3] / "examples" / "items"
PORTS = {"PGPORT": 15432, "VALKEY_PORT": 16379, "API_PORT": 18000}


def kept(text):
    """A plan that keeps a text."""
    return a_plan("/p", services=text)


def test_the_services_of_the_example_come_back_as_they_are_declared():
    """Checks, conditions, ports and signals included; what is as usual is not written down."""
    declaration = load(str(ITEMS))
    text = kept_services(declaration, LINUX, PORTS)
    assert planned_services(kept(text)) == specify(declaration, LINUX, PORTS)
    assert "max_restarts" not in text


def test_a_service_that_cannot_be_specified_is_not_kept():
    """Then everything is read again at a start, which says what is wrong."""
    assert kept_services(load(str(ITEMS)), LINUX, {}) == ""
    assert planned_services(kept("")) == {}


@pytest.mark.parametrize("manifest", ["", '[plugins.esker.compose]\n[services.a]\ncommand = "b"\n'])
def test_where_compose_has_a_say_nothing_is_kept(tmp_path, manifest):
    """Its files depend on the caller's variables, and may come and go."""
    (tmp_path / ".flox" / "env").mkdir(parents=True)
    (tmp_path / ".flox" / "env.json").write_text('{"name": "p", "version": 1}')
    (tmp_path / ".flox" / "env" / "manifest.toml").write_text('schema-version = "1.14.0"\n' + manifest)
    assert kept_services(load(str(tmp_path)), LINUX, {}) == ""


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        "{}",
        '[{"name": 1}]',
        '[{"name": "a", "stop_signal": "NONE"}]',
        '[{"name": "a", "other": 1}]',
        "[[]]",
        "[" * 100_000,
    ],
)
def test_a_damaged_text_counts_as_none(text):
    """The plan lies in the project, so anything may stand in it."""
    assert planned_services(kept(text)) == {}


def test_a_text_keeps_a_whole_service():
    """The command is left out where it is empty, as it is nowhere."""
    (spec,) = planned_services(kept(json.dumps([{"name": "a", "command": "b", "oneshot": True}]))).values()
    assert (spec.name, spec.command, spec.oneshot, spec.restart) == ("a", "b", True, "no")
