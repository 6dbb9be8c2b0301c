"""The messages between command and supervisor: whatever comes, it is understood whole or refused by a declared error."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.errors import EskerError, ServiceError, ServiceFailed, ServicesNotReady
from esker.host.process_id import ProcessId
from esker.services import status
from esker.services.specification import CheckSpec, ServiceSpec
from esker.services.status import ServiceStatus
from esker.services.supervised import protocol
from esker.services.supervised.protocol import Lease

SPEC = ServiceSpec(
    name="web",
    command="sleep 9",
    vars={"A": "b"},
    depends_on={"other": "service_healthy"},
    check=CheckSpec(form="exec", target=("true", "x")),
    ports={"PORT": 8080},
    pass_env=("C",),
)
REQUESTS = (
    protocol.RestartRequest(
        names=("web",),
        specs=(SPEC, ServiceSpec(name="other", command="true")),
        environments={"web": {"A": "b"}},
        directory="/p",
        paths=("/p",),
        caller=7,
        lease=Lease("t", ProcessId(7, 8)),
    ),
    protocol.StopRequest(names=("web",), caller=7),
    protocol.ReleaseRequest(lease=Lease("t", ProcessId(7, 8))),
    protocol.StatusRequest(specs=(ServiceSpec(name="other", command="true"),)),
    protocol.WatchRequest(),
    protocol.WaitRequest(names=("web",), until="completed", seconds=2.0),
)
ERRORS = (
    ServiceFailed("m", service="web", status=3, log=("x",), hint="h"),
    ServicesNotReady("m", services=("web",), log=()),
    ServiceError("m"),
)
STATUS = ServiceStatus(name="web", pid=7, ports={"PORT": 1}, users=(7,), waits_for={"a": "service_started"})


def deep(levels):
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["\ud800", "\0", "", 10**400, -1, 0, 1, {}, [], {"": {}}, [[]], [None], deep(40), deep(100)]),
    st.lists(st.integers() | st.text(max_size=3), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers() | st.none(), max_size=3),
)


def places(value, path=()):
    """All places in a JSON value, each as the keys that lead there."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    return found + [place for key, child in children for place in places(child, (*path, key))]


@st.composite
def mutated(draw, messages):
    """A valid message of which some values are replaced, removed or joined by others."""
    message = copy.deepcopy(draw(st.sampled_from(messages)))
    for _ in range(draw(st.integers(1, 3))):
        if not (all_places := places(message)):
            break
        *way, last = draw(st.sampled_from(all_places))
        holder = message
        for key in way:
            holder = holder[key]
        how = draw(st.sampled_from(["replace", "remove", "add"]))
        if how == "replace":
            holder[last] = copy.deepcopy(draw(ODD))
        elif how == "remove":
            del holder[last]
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=4))] = copy.deepcopy(draw(ODD))
        else:
            holder.append(copy.deepcopy(draw(ODD)))
    return message


def as_json(value):
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_arrives_as_it_was_sent(request_):
    """Every kind of request is the same after its way over the socket."""
    assert protocol.parse_request(protocol.request_line(request_)) == request_


@settings(deadline=None, max_examples=500)
@given(mutated([as_json(json.loads(protocol.request_line(it))) for it in REQUESTS]))
def test_a_mutated_request_is_refused_or_has_the_types_of_its_fields(message):
    """Nothing but ServiceError; and what is taken can be sent again and is the same."""
    try:
        parsed = protocol.parse_request(json.dumps(message).encode())
    except ServiceError as error:
        str(error).encode()
    else:
        assert protocol.parse_request(protocol.request_line(parsed)) == parsed


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused_as_a_request(data):
    """Whatever the line is, the answer is ServiceError."""
    with pytest.raises(ServiceError):
        protocol.parse_request(data)


@settings(deadline=None, max_examples=300)
@given(mutated([as_json(it.record()) for it in ERRORS]) | ODD)
def test_a_mutated_error_is_an_error_of_esker(message):
    """The client shows either the error that was sent, or that the message is not valid."""
    try:
        with protocol.understood():
            error = protocol.error_of(message)
    except EskerError as refused:
        error = refused
    assert isinstance(str(error), str)


@settings(deadline=None, max_examples=300)
@given(mutated([as_json(asdict(STATUS))]) | ODD)
def test_a_mutated_status_is_refused_or_whole(message):
    """A status has the types of its fields, or is refused by a declared error."""
    try:
        with protocol.understood():
            parsed = status.parse(message)
    except ServiceError:
        return
    assert status.parse(as_json(asdict(parsed))) == parsed


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_arrives_with_its_class_and_fields(error):
    """What the supervisor raised is what the caller catches."""
    made = protocol.error_of(as_json(error.record()))
    assert (type(made), made.record()) == (type(error), error.record())


@pytest.mark.parametrize(
    ("field", "odd"),
    [
        ("stop_signal", {}),
        ("stop_signal", "SIGNOTHING"),
        ("stop_grace_period", "soon"),
        ("stop_grace_period", -1),
        ("backoff", float("inf")),
        ("max_restarts", True),
        ("ports", {"PORT": 70000}),
        ("vars", {"A=B": "c"}),
        ("command", "\0"),
        ("command", "\ud800"),
        ("depends_on", {"other": "perhaps"}),
        ("depends_on", {"nobody": "service_started"}),
        ("check", {"form": "tcp", "target": []}),
        ("check", {"form": "dance", "target": ["x"]}),
        ("user", 0),
        ("extra", 1),
    ],
)
def test_a_specification_with_an_odd_field_is_refused_by_name(field, odd):
    """The refusal names the field, so nothing is kept that could not be stopped later."""
    message = json.loads(protocol.request_line(REQUESTS[0]))
    message["specs"][0][field] = odd
    with pytest.raises(ServiceError, match=f"not a valid request: `specs`.*{'' if field == 'depends_on' else field}"):
        protocol.parse_request(json.dumps(message).encode())


def test_bytes_that_are_not_utf8_pass_in_a_variable():
    """A variable may hold any bytes but zero, and is not taken for half a character."""
    request_ = protocol.StartRequest(
        names=(), specs=(), environments={"web": {"A": "\udcff"}}, directory="/p\udc80", caller=7
    )
    assert protocol.parse_request(protocol.request_line(request_)) == request_


def test_the_check_of_messages_needs_nothing_heavy():
    """The supervisor, of which every environment has its own, loads neither msgspec nor typing's readers."""
    code = "import sys, esker.services.supervised.server; print({'msgspec', 'inspect_', 'tomllib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
