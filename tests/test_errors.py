"""An error class declares its fields once: what it takes, what a person reads, and what a record shows follow."""

from __future__ import annotations

import pytest

from esker.errors import CommandFailed, ServiceFailed, ServicesNotReady, StaleLock


def test_fields_are_set_from_what_is_given_and_from_defaults():
    """A field that is a tuple takes any iterable."""
    error = ServiceFailed("it failed", service="web", log=iter(["a", "b"]))
    assert (error.service, error.status, error.log) == ("web", None, ("a", "b"))


def test_a_field_that_is_missing_or_not_declared_is_a_type_error():
    """As it would be with an `__init__` of its own."""
    with pytest.raises(TypeError, match="CommandFailed needs the field `status`"):
        CommandFailed("it failed")
    with pytest.raises(TypeError, match="CommandFailed has no field `service`"):
        CommandFailed("it failed", status=1, service="web")


def test_listed_texts_stand_between_message_and_hint():
    """They are indented; the hint comes last."""
    error = StaleLock("it is stale", reasons=["one", "two"], hint="lock")
    assert error.lines() == ["it is stale", "  one", "  two", "hint: lock"]


def test_a_record_has_the_class_the_message_and_the_recorded_fields():
    """In this order; what is not given, as hint and place, is left out, but no field."""
    error = ServiceFailed("it failed", service="web", log=["a"], hint="look")
    assert list(error.record().items()) == [
        ("code", "service-failed"),
        ("message", "it failed"),
        ("hint", "look"),
        ("service", "web"),
        ("exit_status", None),
        ("log", ["a"]),
    ]
    late = ServicesNotReady("too late", services=("web",))
    assert late.record() == {"code": "timed-out", "message": "too late", "services": ["web"], "log": []}
    assert CommandFailed("it failed", status=1, output="x").record() == {
        "code": "command-failed",
        "message": "it failed",
    }
