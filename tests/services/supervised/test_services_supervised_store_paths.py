"""What running services need is never collected: while they run, after any kill, and on the way to the supervisor."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from esker.errors import ServiceError
from esker.host import pidfd
from esker.services.supervised.record_lock import record_path
from esker.store.collect import collect
from esker.store.store import Store
from tests.support.kills import kill_at_once

ORPHAN = "(setsid sleep 1000 &); exec sleep 1000"


@pytest.fixture
def store(project):
    """A store with one path, which the services of the project need and nothing else keeps."""
    made = Store(f"{project.directory}/root", durable=False)
    project.store = made.root
    project.store_paths = (made.build("profile", "", lambda directory: None),)
    project.declare("web")
    return made


def temporary(store):
    """The names of the temporary roots."""
    directory = Path(store.state, "gcroots", "temporary")
    return [path.name for path in directory.iterdir()] if directory.exists() else []


def test_the_path_is_kept_while_a_service_runs(project, store):
    """The root bears the supervisor's token; after the last service neither root nor path is left."""
    with project.services.lease():
        assert temporary(store) == [project.record.token]
        assert project.record.stores == (store.root,)
        assert collect(store, live=()).paths == ()
    assert temporary(store) == []
    assert collect(store, live=()).paths == project.store_paths


def test_a_restart_from_another_profile_keeps_both(project, store):
    """Services that are not restarted run on from the profile they were started from."""
    project.services.start()
    first = project.store_paths
    project.store_paths = (store.build("other", "", lambda directory: None),)
    project.services.restart()
    assert collect(store, live=()).paths == ()
    project.services.stop()
    assert set(collect(store, live=()).paths) == {*first, *project.store_paths}


def test_a_store_of_the_next_request_is_kept_too(project, store):
    """Two shells may use two stores: each path is rooted where it lies."""
    project.services.start()
    other = Store(f"{project.directory}/other", durable=False)
    project.store, project.store_paths = other.root, (other.build("profile", "", lambda directory: None),)
    project.services.start()
    assert [collect(each, live=()).paths for each in (store, other)] == [(), ()]
    project.services.stop()
    assert [len(collect(each, live=()).paths) for each in (store, other)] == [1, 1]


def test_after_the_guardian_has_put_things_in_order_the_path_goes(project, store):
    """Kill -9 of the supervisor: the guardian ends what is left, and then removes the root."""
    project.services.start()
    guardian = pidfd.open_process(*project.record.guardian)
    kill_at_once(project.record.supervisor)
    assert pidfd.wait(guardian, 10)
    os.close(guardian)
    assert temporary(store) == []
    assert collect(store, live=()).paths == project.store_paths


def test_after_both_were_killed_the_path_is_kept_until_the_next_command(project, store):
    """What they left may run on; the next command ends it, and then the path goes."""
    project.declare("web", ORPHAN)
    project.services.start()
    kill_at_once(project.record.supervisor, project.record.guardian)
    assert project.processes() != []
    assert collect(store, live=()).paths == ()
    assert [one.status for one in project.services.status()] == ["Stopped"]
    assert project.processes() == []
    assert temporary(store) == []
    assert collect(store, live=()).paths == project.store_paths


def test_a_start_waits_for_a_collection_and_says_what_it_has_taken(project, store):
    """A path that goes while the request is on its way is an error before anything starts."""
    [path] = project.store_paths
    heard = []
    with store.alone(), pytest.raises(ServiceError) as caught:
        project.services.start(seconds=0.2, changed=heard.append)
    assert caught.value.message == f"a garbage collection has held the store `{store.root}` for 0.2 s"
    assert collect(store, live=()).paths == (path,)
    with pytest.raises(ServiceError) as caught:
        project.services.start(changed=heard.append)
    assert caught.value.message == f"`{path}` is not in the store any more"
    assert heard == []
    assert temporary(store) == []
    store.build("profile", "", lambda directory: None)
    with project.services.lease() as held:
        assert held.statuses[0].ready


def test_a_record_that_names_store_paths_is_read_without_them(project, store):
    """The lock of a supervisor of before: its processes are known, and it has no temporary root."""
    project.services.start()
    record = project.record
    kill_at_once(record.supervisor, record.guardian)
    path = Path(record_path(project.dot_flox))
    first, second = path.read_text().splitlines()
    runs = json.loads(second)
    del runs["stores"]
    path.write_text(f"{first}\n{json.dumps(runs | {'store_paths': ['/x']})}\n")
    assert project.record.sessions == record.sessions
    assert project.record.stores == ()
    assert project.services.status()[0].status == "Stopped"
    assert temporary(store) == [record.token]


@pytest.mark.parametrize("stores", [1, None, [1], ["relative", "", "/nonsense\0"], {"x": 1}])
def test_a_record_with_nonsense_for_stores_is_in_nobody_s_way(project, stores):
    """Whatever a lock names as stores, a command goes on."""
    project.declare("web")
    project.services.start()
    kill_at_once(project.record.supervisor, project.record.guardian)
    path = Path(record_path(project.dot_flox))
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{json.dumps(json.loads(second) | {'stores': stores})}\n")
    assert project.services.status()[0].status == "Stopped"


def test_a_first_line_that_says_what_runs_is_no_record(project):
    """What belongs to the second line has no business in the first, where nothing checks it."""
    project.declare("web")
    project.services.start()
    kill_at_once(project.record.supervisor, project.record.guardian)
    path = Path(record_path(project.dot_flox))
    first, _ = path.read_text().splitlines()
    for name in ("sessions", "stores"):
        path.write_text(json.dumps(json.loads(first) | {name: 5}) + "\n")
        assert project.record is None
    path.write_text(f"{first}\n")
    assert project.services.status()[0].status == "Stopped"
