from __future__ import annotations

import asyncio
import os
import re
import resource
import stat

import pytest

from esker.errors import HostError
from esker.services.supervised.logs import Pump, follow, log_name, tail
from tests.support.service_logs import log_file


@pytest.fixture
def path(tmp_path):
    """Where the log of a service lies."""
    return f"{tmp_path}/{log_name('web')}"


def test_a_log_is_one_file_whatever_the_name(tmp_path):
    """No name leads out of the directory or hides, and two names never share a file."""
    assert log_name("web-1.b") == "web-1.b.log"
    names = ["../x", "..", "a/b", "a%2Fb", ".a", "%2Ea", "é", ""]
    paths = {f"{tmp_path}/{log_name(name)}" for name in names}
    assert len(paths) == len(names)
    for place in paths:
        assert os.path.dirname(os.path.abspath(place)) == str(tmp_path)


def test_a_log_is_closed_to_others_and_not_followed_through_a_link(path, tmp_path):
    """The file is 0600; a link in its place is not written through, and the problem is told."""
    log = log_file(path)
    log.write(b"one\n")
    log.close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    os.remove(path)
    os.symlink(tmp_path / "elsewhere", path)
    log.write(b"two\n")
    assert not (tmp_path / "elsewhere").exists()
    assert log.problem.startswith("the log is not complete: ")


def test_a_log_that_is_removed_begins_anew(path):
    """Whoever has removed it finds what is written after that; without its directory the problem is told."""
    log = log_file(path)
    log.write(b"one\n")
    os.remove(path)
    log.write(b"two\n")
    assert tail(path) == ["two"]
    os.remove(path)
    os.rmdir(os.path.dirname(path))
    log.write(b"three\n")
    assert log.problem == "the log is not complete: no such file or directory"


def test_a_directory_that_became_a_link_leads_nowhere(tmp_path):
    """A service whose user owns the project exchanges the directory for a link, and then makes the log rotate."""
    (tmp_path / "services").mkdir()
    (tmp_path / "elsewhere").mkdir()
    log = log_file(f"{tmp_path}/services/web.log", rotation=10)
    log.write(b"one\n")
    (tmp_path / "services").rename(tmp_path / "moved")
    (tmp_path / "services").symlink_to(tmp_path / "elsewhere")
    for line in (b"two and more\n", b"three\n"):
        log.write(line)
    assert log.problem is None
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "moved/web.log.1").read_bytes() == b"one\ntwo and more\n"
    assert (tmp_path / "moved/web.log").read_bytes() == b"three\n"


def test_what_is_no_log_is_neither_written_nor_read(path, tmp_path):
    """A second name of another file is not written to; a pipe is not waited for, and a link is not shown."""
    (tmp_path / "other").write_text("ours\n")
    os.link(tmp_path / "other", path)
    log = log_file(path)
    log.write(b"one\n")
    assert (tmp_path / "other").read_text() == "ours\n"
    assert log.problem == "the log is not complete: its file is a hard link or not a regular file"
    os.remove(path)
    os.mkfifo(path)
    log.write(b"two\n")
    assert log.problem.startswith("the log is not complete: ")
    for read in (tail, lambda place: list(follow({"web": place}, lambda: False))):
        with pytest.raises(HostError, match="not a regular file"):
            read(path)
    os.remove(path)
    os.symlink(tmp_path / "other", path)
    with pytest.raises(HostError, match="cannot read"):
        tail(path)


def test_rotation_keeps_the_last_two_files_and_loses_nothing_between(path):
    """A log begins anew after its limit; together the two files hold an unbroken end of what was said."""
    log = log_file(path, rotation=100)
    said = [f"line {number}" for number in range(100)]
    for line in said:
        log.write(f"{line}\n".encode())
    log.close()
    assert os.path.getsize(path) <= 110
    assert os.path.getsize(f"{path}.1") <= 110
    kept = tail(path)
    assert kept == said[-len(kept) :]
    assert len(kept) > 10
    assert not os.path.exists(f"{path}.2")


def test_tail(path):
    """The last lines are taken over the rotation, a line without an end counts, and no log has no lines."""
    assert tail(path, 3) == []
    log = log_file(path, rotation=10)
    for line in (b"a\nb\nc\nd\ne\n", b"f\ng"):
        log.write(line)
    log.close()
    assert os.path.exists(f"{path}.1")
    assert tail(path, 3) == ["e", "f", "g"]
    assert tail(path, 2) == ["f", "g"]
    assert tail(path, 0) == []
    assert tail(path, 99) == list("abcdefg")
    assert tail(path) == list("abcdefg")


def test_tail_of_a_large_log_reads_its_end_only(path):
    """Ten lines of a log of megabytes are found however long the lines are."""
    lines = [f"{number} " + "x" * 3000 for number in range(1000)]
    with open(path, "w") as file:
        file.write("\n".join(lines))
    assert tail(path, 30) == lines[-30:]
    assert tail(path) == lines


def test_a_full_disk_drops_and_says_so(path):
    """What cannot be written is dropped, the problem is told, and the end is still known for a message."""
    log = log_file(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        log.write(b"0123456789abcdef\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert log.problem == "the log is not complete: file too large"
    log.write(b"later\n")
    log.close()
    assert tail(path)[-1].endswith("later")
    assert log.recent(5) == ["0123456789abcdef", "later"]


def test_recent_lines_are_those_since_it_began(path):
    """A failure shows what this run said, not what an earlier one did."""
    log = log_file(path)
    log.write(b"old\n")
    log.begin()
    log.write(b"1\n2\n" * 10_000 + b"3\n")
    log.close()
    assert log.recent(3) == ["1", "2", "3"]
    assert "old" not in log.recent(100_000)


def pumped(path, *pieces, pattern=None):
    """Write `pieces` to the pipe of a pump; return how often the pattern was found."""
    found = []

    async def run():
        log = log_file(path)
        pump = Pump(asyncio.get_running_loop(), log, lambda: found.append(True), pattern and re.compile(pattern))
        for piece in pieces:
            os.write(pump.output, piece)
            await asyncio.sleep(0)
        pump.close()
        log.close()

    asyncio.run(run())
    return len(found)


def test_a_pump_carries_every_byte(path):
    """What a service wrote before it ended is in the log when the pump is closed, whatever bytes it is."""
    data = bytes(range(256)) * 3000
    pumped(path, data[:1000], data[1000:])
    with open(path, "rb") as file:
        assert file.read() == data


@pytest.mark.parametrize(
    ("pieces", "found"),
    [
        ([b"starting\nready to acc", b"ept connections\nready to accept connections\n"], 1),
        ([b"ready to accept connections"], 1),
        ([b"ready to accept\nconnections\n"], 0),
        ([b"x" * 100_000, b"ready to accept connections\n"], 1),
    ],
)
def test_a_pump_finds_a_line(path, pieces, found):
    """The pattern is looked for in whole lines, across pieces, and told once."""
    assert pumped(path, *pieces, pattern=b"ready to accept connections") == found


def test_follow_goes_on_over_a_rotation(path):
    """A follower sees the last lines, then each added one, over a rotation and in a log that appears later."""
    other = path.replace("web", "api")
    log, late = log_file(path, rotation=20), log_file(other)
    log.write(b"before 1\nbefore 2\n")
    steps = [
        lambda: log.write(b"whole\npar"),
        lambda: log.write(b"tial\n"),
        *(lambda number=number: log.write(b"0123456789 %d\n" % number) for number in range(3)),
        lambda: late.write(b"hello\n"),
    ]

    def pause():
        if not steps:
            return False
        steps.pop(0)()
        return True

    seen = list(follow({"web": path, "api": other}, pause, count=1))
    log.close()
    late.close()
    assert seen == [
        ("web", "before 2"),
        ("web", "whole"),
        ("web", "partial"),
        ("web", "0123456789 0"),
        ("web", "0123456789 1"),
        ("web", "0123456789 2"),
        ("api", "hello"),
    ]
    assert os.path.exists(f"{path}.1")


def test_a_line_ends_at_a_line_feed_alone(path):
    """What Unicode calls the end of a line, and a carriage return, are part of a service's line."""
    text = "10%\r20%\r\n\x0b\x0c\x1c\x85\u2028\u2029\n"
    log = log_file(path)
    log.write(text.encode())
    log.close()
    assert tail(path) == log.recent(5) == text.split("\n")[:-1]
    assert tail(path, 1) == [text.split("\n")[1]]


def test_what_has_no_lines_is_followed_in_pieces(path):
    """A service that never ends a line does not fill the memory of who follows it."""
    log = log_file(path)
    steps = [lambda: log.write(bytes(1 << 20))] * 4

    def pause():
        if not steps:
            return False
        steps.pop()()
        return True

    seen = [len(line) for _, line in follow({"web": path}, pause)]
    log.close()
    assert seen
    assert max(seen) <= 2 << 20


def test_follow_misses_nothing_and_cuts_no_line(path):
    """What is written while the last lines are shown comes after them, and a line that is not complete comes once."""
    log = log_file(path)
    log.write(b"first\nbegun ")
    lines = follow({"web": path}, lambda: False, count=5)
    assert next(lines) == ("web", "first")
    log.write(b"and done\nlast\n")
    log.close()
    assert list(lines) == [("web", "begun and done"), ("web", "last")]
