"""Links with generations, rollback, and what running processes keep."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import subprocess

import pytest

from esker.errors import NotFound, StoreError
from esker.host import files
from esker.store import roots
from esker.store.collect import collect
from esker.store.registration import Event, Generation
from esker.store.store import Store
from tests.support.children import Child, killed_at_each_step, steps


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "root"), durable=False, clock=itertools.count(1000).__next__)


@pytest.fixture
def link(tmp_path):
    return str(tmp_path / "project" / ".flox" / "run" / "x86_64-linux.project-dev")


def path(store, name):
    return store.build(name, "", lambda directory: None)


def listed(store, link):
    return [(each.number, each.path.rpartition("-")[2], each.current) for each in roots.generations(store, link)]


def registration(store):
    [name] = os.listdir(f"{store.state}/gcroots")
    return f"{store.state}/gcroots/{name}"


def test_a_switched_link_leads_to_the_path_and_is_registered(store, link):
    """The link is physical, its directory is made, and each new target is a generation with its time."""
    first, second = path(store, "first"), path(store, "second")
    assert roots.generations(store, link) == ()
    roots.switch(store, link, first)
    roots.switch(store, link, second)
    assert os.readlink(link) == second
    assert roots.generations(store, link) == (
        Generation(1, first, 1002, current=False),
        Generation(2, second, 1003, current=True, parent=1),
    )
    assert os.listdir(os.path.dirname(link)) == [os.path.basename(link)]
    assert stat.S_IMODE(os.stat(registration(store)).st_mode) == 0o600


def test_the_same_target_again_writes_nothing(store, link):
    """What is switched already is looked at and left: nothing is made, renamed, locked or opened for writing."""
    target = path(store, "target")
    roots.switch(store, link, target)
    done = steps(lambda: roots.switch(store, link, target))
    # To read the descriptor of an open file opens no other file.
    assert [step for step in done if not step.removeprefix("open ").isdecimal()] == [f"open {registration(store)}"]
    assert listed(store, link) == [(1, "target", True)]


def test_a_link_that_was_lost_or_led_elsewhere_is_made_again(store, link):
    """The generation stays the newest; only the link is mended."""
    target = path(store, "target")
    roots.switch(store, link, target)
    os.unlink(link)
    roots.switch(store, link, target)
    files.replace_link(link, "/elsewhere")
    assert listed(store, link) == [(1, "target", False)]
    roots.switch(store, link, target)
    assert listed(store, link) == [(1, "target", True)]


def test_a_copied_link_is_registered_for_its_own_place(store, link, tmp_path):
    """A project that was copied with its run link gets a root of its own at the next switch."""
    target = path(store, "target")
    roots.switch(store, link, target)
    copy = str(tmp_path / "copy")
    os.symlink(target, copy)
    roots.switch(store, copy, target)
    assert listed(store, copy) == [(1, "target", True)]
    assert len(os.listdir(f"{store.state}/gcroots")) == 2


def test_two_spellings_of_one_link_are_one_root(store, link, tmp_path):
    """The link's directory is taken without links of its own."""
    roots.switch(store, link, path(store, "first"))
    os.symlink("project", tmp_path / "alias")
    roots.switch(store, link.replace("/project/", "/alias/", 1), path(store, "second"))
    assert [each[:2] for each in listed(store, link)] == [(1, "first"), (2, "second")]


def test_rollback_goes_to_the_generation_that_was_live_before_or_to_a_number(store, link):
    """The link moves, the generations stay; going forward by number or by switching makes no new one."""
    for name in ("one", "two", "three"):
        roots.switch(store, link, path(store, name))
    for name in ("two", "three", "two"):  # each undoes the one before
        assert roots.rollback(store, link).path == path(store, name) == os.readlink(link)
    assert roots.rollback(store, link, 1).path == path(store, "one") == os.readlink(link)
    assert listed(store, link) == [(1, "one", True), (2, "two", False), (3, "three", False)]
    assert roots.rollback(store, link).path == path(store, "two") == os.readlink(link)
    roots.switch(store, link, path(store, "three"))
    assert listed(store, link) == [(1, "one", False), (2, "two", False), (3, "three", True)]


def test_what_is_switched_to_after_a_rollback_is_the_newest_generation(store, link):
    """History is never rewritten: an old target that is chosen anew gets a new number."""
    for name in ("one", "two"):
        roots.switch(store, link, path(store, name))
    roots.rollback(store, link)
    roots.switch(store, link, path(store, "three"))
    roots.switch(store, link, path(store, "one"))
    assert [each[:2] for each in listed(store, link)] == [(1, "one"), (2, "two"), (3, "three"), (4, "one")]


def test_what_happened_to_a_link_is_remembered(store, link):
    """Each event has its time, the generation that was current before, and whether a generation was made."""
    one, two = path(store, "one"), path(store, "two")
    roots.switch(store, link, one)
    roots.switch(store, link, two)
    roots.rollback(store, link)
    roots.rollback(store, link, 1)  # it is current already
    roots.switch(store, link, two)
    known = roots.registered(store, link)
    assert known.events == (
        Event(1002, 1, None, is_new=True),
        Event(1003, 2, 1, is_new=True),
        Event(1004, 1, 2, is_new=False),
        Event(1005, 2, 1, is_new=False),
    )
    assert (known.last_live(1), known.last_live(2), known.last_live(7)) == (1005, None, None)


def test_a_path_that_was_made_from_something_else_is_another_generation(store, link):
    """The link stays as it is; the generation that a person goes back to is told from the newer one of the same path."""
    target, first, second = (path(store, name) for name in ("target", "first", "second"))
    roots.switch(store, link, target, declared=first, description="one")
    roots.switch(store, link, target, declared=second, description="two")
    roots.switch(store, link, target, declared=second, description="never")
    assert listed(store, link) == [(1, "target", False), (2, "target", True)]
    assert roots.rollback(store, link).declared == first
    assert listed(store, link) == [(1, "target", True), (2, "target", False)]
    assert [each.description for each in roots.generations(store, link)] == ["one", "two"]
    assert roots.rooted(store, 1, remove_stale=False) == {target, first, second}
    roots.switch(store, link, target, declared=second)
    assert roots.rooted(store, 1, remove_stale=True) == {target, second}


def test_rollback_says_what_there_is(store, link):
    """Without an earlier generation, or with a number that is none, the error lists what is kept."""
    with pytest.raises(NotFound) as caught:
        roots.rollback(store, link)
    assert caught.value.lines() == [f"`{link}` has no earlier generation", "hint: the generations that are kept: none"]
    for name in ("one", "two"):
        roots.switch(store, link, path(store, name))
    with pytest.raises(NotFound) as caught:
        roots.rollback(store, link, 7)
    assert caught.value.lines() == [f"`{link}` has no generation 7", "hint: the generations that are kept: 1, 2"]


def test_rollback_to_what_is_no_longer_valid_changes_nothing(store, link):
    """The link never leads to a path that is not there."""
    for name in ("one", "two"):
        roots.switch(store, link, path(store, name))
    store.invalidate(path(store, "one"))
    with pytest.raises(StoreError, match=r"generation 1 of .* is not in the store any more"):
        roots.rollback(store, link)
    assert os.readlink(link) == path(store, "two")


def test_nothing_but_a_link_is_replaced(store, link):
    """A file or directory where the link should be is somebody's own."""
    os.makedirs(link)
    with pytest.raises(StoreError) as caught:
        roots.switch(store, link, path(store, "target"))
    assert caught.value.message == f"`{link}` is not a link"
    assert os.path.isdir(link)


def test_a_link_leads_to_valid_paths_only(store, link):
    """What has no record is not linked to."""
    with pytest.raises(StoreError, match="is not valid"):
        roots.switch(store, link, store.path("never-built", ""))
    assert not os.path.lexists(link)


def test_a_switch_killed_at_any_step_leaves_the_old_target_or_the_new(store, link):
    """There is always a link, it leads to a rooted path, and the next switch completes the work."""
    old, new = path(store, "old"), path(store, "new")
    roots.switch(store, link, old)
    roots.switch(store, link + "-warm", new)
    killed = 0
    for _ in killed_at_each_step(lambda: roots.switch(store, link, new)):
        killed += 1
        assert os.readlink(link) == old
        assert old in roots.rooted(store, 1, remove_stale=False)
    assert killed > 10
    assert os.readlink(link) == new
    assert [each[:2] for each in listed(store, link)] == [(1, "old"), (2, "new")]


def test_only_a_person_goes_back(store, link):
    """A switch that was killed leaves the picture of a rollback, an older target below a newer one, but is none."""
    old, new = path(store, "old"), path(store, "new")
    roots.switch(store, link, old)
    for _ in killed_at_each_step(lambda: roots.switch(store, link, new)):
        assert not any(each.held for each in roots.generations(store, link))
    for _ in killed_at_each_step(lambda: roots.rollback(store, link)):
        assert not any(each.held and not each.current for each in roots.generations(store, link)) or (
            os.readlink(link) == new
        )
    assert [each.held for each in roots.generations(store, link)] == [True, False]
    roots.switch(store, link, new)
    assert [each.held for each in roots.generations(store, link)] == [False, False]


GENERATION = '{"link": "%s", "generations": [{"number": 1, "path": %s, "time": %s}]}'


def test_a_registration_that_is_a_pipe_is_not_waited_for(store, link):
    """Nobody writes into it; the error says what to do, and no collection takes it for no roots."""
    roots.switch(store, link, path(store, "target"))
    file = registration(store)
    os.unlink(file)
    os.mkfifo(file)
    for function in (lambda: roots.generations(store, link), lambda: roots.rooted(store, 5, remove_stale=True)):
        with pytest.raises(StoreError) as caught:
            function()
        assert caught.value.message == f"cannot read `{file}`: it is not a regular file"
        assert caught.value.hint == f"remove `{file}` and activate the environment again"


def test_a_link_whose_path_is_not_utf_8_is_registered_as_any_other(store, tmp_path):
    """A project may lie in a directory of any name; its registration must not keep everybody from collecting."""
    link = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xc3/run/app-dev")
    first, second = path(store, "first"), path(store, "second")
    roots.switch(store, link, first)
    roots.switch(store, link, second)
    assert listed(store, link) == [(1, "first", False), (2, "second", True)]
    assert roots.links_to(store, [second]) == [link]
    assert collect(store, live=(), keep=1).paths == (first,)
    assert os.readlink(link) == second


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"link": 1}', '{"link": "/x", "generations": [{"number": 1}]}'),
        GENERATION % ("/x", 7, 1),
        GENERATION % ("/x", f'"/nix/store/{"0" * 32}-x"', "1" + "0" * 400),
        GENERATION % (r"/x\u0000", f'"/nix/store/{"0" * 32}-x"', 1),
    ],
)
def test_a_damaged_registration_is_an_error_that_names_it(store, link, text):
    """Roots that cannot be read are not taken for no roots: a collection would delete what they keep."""
    roots.switch(store, link, path(store, "target"))
    with open(registration(store), "w", encoding="ascii") as file:
        file.write(text)
    for function in (lambda: roots.generations(store, link), lambda: roots.rooted(store, 5, remove_stale=True)):
        with pytest.raises(StoreError) as caught:
            function()
        assert caught.value.message == f"the registration `{registration(store)}` is damaged"


def test_a_link_that_cannot_be_looked_at_keeps_its_targets(store, link):
    """Only what is known to be gone is forgotten: a directory that refuses to be read says nothing of what is in it."""
    target = path(store, "target")
    roots.switch(store, link, target)
    run = os.path.dirname(link)
    os.rename(run, f"{run}-away")
    os.symlink("run", run)  # a loop
    assert roots.rooted(store, 5, remove_stale=True) == {target}
    os.unlink(run)
    os.symlink("/dev/null", run)
    assert roots.rooted(store, 5, remove_stale=True) == set()


# Processes


@pytest.fixture
def cat(store):
    """Give a store path that holds a program which waits for its input to end."""
    return store.build("cat", "", lambda directory: shutil.copy(shutil.which("cat"), f"{directory}/cat"))


def used_by(store, argv, **more):
    """Give the store paths that are in use while `argv` runs."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, **more):
        return roots.live(store)


def test_a_running_program_keeps_its_path(store, cat):
    """The path whose program runs is in use, and afterwards it is not."""
    assert cat in used_by(store, [f"{cat}/cat"])
    assert cat not in roots.live(store)


def test_a_working_directory_keeps_its_path(store, cat):
    """A process that stands in a path uses it."""
    assert cat in used_by(store, ["cat"], cwd=cat)


@pytest.mark.parametrize("value", ["{path}", "/nix/store/{name}/bin:/bin", "/bin:{path}/bin"])
def test_variables_keep_the_paths_they_name(store, cat, value):
    """Any variable counts, and physical and logical names do."""
    value = value.format(path=cat, name=os.path.basename(cat))
    assert cat in used_by(store, ["cat"], env={"PATH": os.environ["PATH"], "ANYTHING": value})


@pytest.mark.parametrize("variable", ["FLOX_ENV", "FLOX_ENV_DIRS", "PATH"])
def test_variables_keep_what_their_links_lead_to(store, cat, link, variable):
    """A shell in an environment names the run link; what that leads to through a profile's links is in use."""
    profile = store.build("profile", "", lambda path: os.symlink(cat, f"{path}/bin"), references=[cat])
    roots.switch(store, link, profile)
    environ = {"PATH": os.environ["PATH"]}
    environ[variable] = f"{environ.get(variable, '/none')}:{link}/bin"
    assert cat in used_by(store, ["cat"], env=environ)


def test_mapped_files_keep_their_path_and_what_cannot_be_read_is_left_out(store, tmp_path):
    """A library that a process has mapped is in use; another user's process, or one that ended, is no error."""
    library = path(store, "library")
    process = tmp_path / "proc" / "42"
    process.mkdir(parents=True)
    (process / "maps").write_text(f"7f00-7f01 r-xp 00000000 00:00 1    {library}/lib/a.so\n")
    (tmp_path / "proc" / "43").mkdir()
    (tmp_path / "proc" / "self").symlink_to("43")
    assert roots.live(store, str(tmp_path / "proc")) == {library}


def test_this_process_is_among_them(store):
    """A child that stands in a path finds it in use itself."""
    target = path(store, "target")

    def look():
        os.chdir(target)
        return target in roots.live(store)

    assert Child(look).result() == "True"
