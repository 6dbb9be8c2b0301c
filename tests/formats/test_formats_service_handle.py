from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.errors import InvalidFile
from esker.formats.service_handle import Holder, SavedServices, ServiceInfo, parse, render

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
services = st.builds(
    ServiceInfo,
    name=texts,
    status=texts,
    pid=st.none() | st.integers(1, 2**32 - 1),
    exit_code=st.none() | st.integers(-(2**31), 2**31),
    health=st.none() | texts,
)
saved = st.builds(
    SavedServices,
    flox_env_path=texts.map("/{}".format),
    started_at=texts,
    services=st.lists(services, max_size=3).map(tuple),
    engine=st.none() | texts,
    holder=st.none() | st.builds(Holder, st.integers(1, 2**32 - 1), st.integers(0), texts),
)
ANGREAL = {
    "flox_env_path": "/abs/project",
    "started_at": "1234567890Z",
    "services": [
        {"name": "aaa", "status": "Running", "pid": 123},
        {"name": "bbb", "status": "Stopped", "pid": None},
        {"name": "ccc", "status": "Stopped"},
    ],
}


@given(saved)
def test_what_is_written_is_read(value):
    """Every value survives, as one line of ASCII."""
    data = render(value)
    assert parse(data) == value
    assert data.isascii()
    assert data.index(b"\n") == len(data) - 1


def test_a_file_of_angreals_is_read():
    """Its keys alone are enough, and a pid may be null or absent."""
    found = parse(json.dumps(ANGREAL).encode())
    assert (found.flox_env_path, found.started_at, found.engine, found.holder) == (
        "/abs/project",
        "1234567890Z",
        None,
        None,
    )
    assert [service.as_tuple() for service in found.services] == [
        ("aaa", "Running", 123),
        ("bbb", "Stopped", None),
        ("ccc", "Stopped", None),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flox_env_path": None}, "invalid type: null, expected a string\nin `flox_env_path`"),
        ({"flox_env_path": "here"}, "`here` is not an absolute path\nin `flox_env_path`"),
        ({"started_at": 3}, "invalid type: integer `3`, expected a string\nin `started_at`"),
        ({"started_at": "\0"}, "the text holds a NUL character\nin `started_at`"),
        ({"services": {}}, "invalid type: table, expected an array\nin `services`"),
        ({"services": ["a"]}, "invalid type: string `a`, expected a table\nin `services.0`"),
        ({"services": [{"status": "Running"}]}, "missing field `name`\nin `services.0`"),
        ({"services": [{"name": "a"}]}, "missing field `status`\nin `services.0`"),
        ({"services": [{"name": "a", "status": "b", "pid": -1}]}, "no process has the pid -1\nin `services.0.pid`"),
        ({"services": [{"name": "a", "status": "b", "pid": 0}]}, "no process has the pid 0\nin `services.0.pid`"),
        (
            {"services": [{"name": "a", "status": "b", "pid": "1"}]},
            "invalid type: string `1`, expected an integer\nin `services.0.pid`",
        ),
        (
            {"services": [{"name": "a", "status": "b", "pid": True}]},
            "invalid type: boolean `true`, expected an integer\nin `services.0.pid`",
        ),
        (
            {"services": [{"name": "a", "status": "b", "pid": 2**32}]},
            f"no process has the pid {2**32}\nin `services.0.pid`",
        ),
        (
            {"services": [{"name": "a", "status": "b", "exit_code": "0"}]},
            "invalid type: string `0`, expected an integer\nin `services.0.exit_code`",
        ),
        ({"version": 2}, "version `2` of this file is not known"),
        ({"engine": 1}, "invalid type: integer `1`, expected a string\nin `engine`"),
        ({"holder": 1}, "invalid type: integer `1`, expected a table\nin `holder`"),
        ({"holder": {"pid": 1, "boot": "x"}}, "missing field `start`\nin `holder`"),
        (
            {"holder": {"pid": None, "start": 1, "boot": "x"}},
            "invalid type: null, expected an integer\nin `holder.pid`",
        ),
        ({"holder": {"pid": 1, "start": 2}}, "missing field `boot`\nin `holder`"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    """A value that Angreal would not read, or that we did not write, is refused with the file's name and what to do."""
    with pytest.raises(InvalidFile) as caught:
        parse(json.dumps(ANGREAL | change).encode(), "/p/.flox-services.json")
    assert [problem.message for problem in caught.value.problems] == [message]
    assert caught.value.hint
    assert caught.value.place == "/p/.flox-services.json"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000], ids=repr)
def test_what_is_no_object_is_refused(data):
    """Text that is no JSON, or JSON of another kind, is said to be that."""
    with pytest.raises(InvalidFile, match="not a JSON object"):
        parse(data)


def test_all_problems_are_told_at_once():
    """A file with nothing in it lacks three things."""
    with pytest.raises(InvalidFile) as caught:
        parse(b"{}")
    assert [problem.message for problem in caught.value.problems] == [
        "missing field `flox_env_path`",
        "missing field `started_at`",
        "missing field `services`",
    ]


def test_other_keys_are_left_alone():
    """A later Angreal may write more of the file, of a service and of the holder."""
    more = {"mode": "dev", "holder": {"pid": 1, "start": 2, "boot": "x", "more": [1]}}
    services = [{"name": "a", "status": "Running", "more": {"b": None}}]
    found = parse(json.dumps(ANGREAL | more | {"services": services}).encode())
    assert found.services == (ServiceInfo("a", "Running"),)
    assert found.holder == Holder(1, 2, "x")


def test_angreal_reads_ours_and_we_read_what_it_writes(tmp_path):
    """The real `FloxServiceHandle` loads our file, and saves one that says the same to us, but for what is ours."""
    from angreal.integrations.flox import FloxServiceHandle

    ours = SavedServices(
        flox_env_path="/abs/project",
        started_at="2026-11-20T12:21:34Z",
        services=(ServiceInfo("a", "Running", 123, health="healthy"), ServiceInfo("b", "Completed", exit_code=3)),
        engine="flox",
        holder=Holder(77, 1234, "boot"),
    )
    path = tmp_path / "ours.json"
    path.write_bytes(render(ours))
    handle = FloxServiceHandle.load(str(path))
    assert str(handle.flox_env_path) == "/abs/project"
    assert handle.started_at == "2026-11-20T12:21:34Z"
    assert [service.as_tuple() for service in handle.services] == [("a", "Running", 123), ("b", "Completed", None)]
    handle.save(str(path))
    assert parse(path.read_bytes()) == SavedServices(
        flox_env_path="/abs/project",
        started_at="2026-11-20T12:21:34Z",
        services=(ServiceInfo("a", "Running", 123), ServiceInfo("b", "Completed")),
    )
