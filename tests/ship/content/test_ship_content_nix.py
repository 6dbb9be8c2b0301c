"""Store paths of Nix as units, and which of Nix's variables enter an image."""

from __future__ import annotations

import os
from hashlib import sha256

import pytest

from esker.errors import ImageError
from esker.formats.nix import nar
from esker.formats.nix.path_info import PathInfo
from esker.ship.content.nix_closure import NixClosure, closure_components, closure_units
from esker.ship.content.nix_environment import (
    NixEnvironment,
    NixGiven,
    chosen,
    hook_parts,
    named_paths,
    program,
    store_library,
)
from esker.ship.image.tree import tree
from esker.ship.image.unit import Directory, File, SymbolicLink

SYSTEM = "x86_64-linux"


@pytest.fixture
def store(tmp_path):
    """Give the directory of a store."""
    path = tmp_path / "store"
    path.mkdir()
    return path


def path(store, name, files=None, references=()):
    """Write a store path of files, links (as `-> TARGET`) and programs (as `#!…`), and return what Nix knows of it."""
    place = store / f"{sha256(name.encode()).hexdigest()[:32].replace('e', 'g')}-{name}"
    place.mkdir()
    for below, content in (files or {}).items():
        file = place / below
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith("-> "):
            file.symlink_to(content[3:])
        else:
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
            file.chmod(0o755 if content[:2] in {"#!", b"\x7fE"} else 0o644)
    return known(place, references)


def known(place, references=()):
    data = b"".join(nar.dump(_archive(os.fsencode(place), ())))
    return PathInfo(str(place), sha256(data).digest(), len(data), tuple(sorted(references)))


def _archive(top, parts):
    """Yield an archive's entries; written apart from what is tested."""
    here = b"/".join((top, *parts))
    if os.path.islink(here):
        yield nar.Symlink(parts, os.readlink(here))
    elif os.path.isdir(here):
        yield nar.Directory(parts)
        for name in sorted(os.listdir(here)):
            yield from _archive(top, (*parts, name))
    else:
        with open(here, "rb") as file:
            data = file.read()
        yield nar.Regular(parts, os.access(here, os.X_OK), len(data), [data])


def closure(store, *infos):
    return NixClosure(str(store), tuple(sorted(infos)))


def units(store, *infos, has_library=False):
    return closure_units(closure(store, *infos), SYSTEM, has_library=has_library)


def entries(store, info, *others, has_library=False):
    [unit] = [
        each
        for each in units(store, info, *others, has_library=has_library)
        if each.key and info.path in str(each.entries.path)
    ]
    return unit.entries()


def test_a_store_path_enters_as_it_is(store):
    """In its place, nobody can write it, links stand as they are, and the tree of the layer takes it."""
    word = path(store, "word-1.0", {"lib/data": "x", "empty": ""})
    info = path(
        store, "greet-1.0", {"bin/greet": "#!/x\n", "share/data": f"-> {word.path}/lib/data", "up": "-> bin/greet"}
    )
    found = {each.path.removeprefix(info.path): each for each in entries(store, info, word)}
    assert sorted(found) == ["", "/bin", "/bin/greet", "/share", "/share/data", "/up"]
    assert found[""] == Directory(info.path, 0o555)
    assert found["/bin/greet"] == File(f"{info.path}/bin/greet", f"{info.path}/bin/greet", 0o555)
    assert found["/share/data"] == SymbolicLink(f"{info.path}/share/data", f"{word.path}/lib/data")
    modes = {each.mode for each in entries(store, word, info) if isinstance(each, File)}
    assert modes == {0o444}
    assert len(tree(units(store, info, word))) > 8


def test_a_path_that_is_one_file(store):
    """A store path may be a file."""
    place = store / f"{'0' * 32}-builder.sh"
    place.write_text("text")
    [entry] = entries(store, known(place))
    assert entry == File(str(place), str(place), 0o444)


def test_names_are_the_same_for_the_next_version(store):
    """A version is none of the name, an output is, and a second path of the same name has a number."""
    infos = [path(store, name) for name in ("openssl-3.0.12", "openssl-3.0.12-dev", "openssl-1.1.1w", "bash", "a-b-2")]
    found = [(each.name, each.version) for each in units(store, *infos)]
    assert sorted(found) == [
        ("nix/a-b", "2"),
        ("nix/bash", ""),
        ("nix/openssl", "1.1.1w"),
        ("nix/openssl#2", "3.0.12"),
        ("nix/openssl-dev", "3.0.12"),
    ]
    listed = closure_components(closure(store, *infos))
    assert {(each.unit, each.version) for each in listed} == set(found)
    assert {each.sha256 for each in listed} == {info.nar_hash.hex() for info in infos}


def test_the_key_is_the_path_and_its_hash(store):
    """The same path elsewhere has the same key; another hash, or a C library beside it, another one."""
    info = path(store, "a-1", {"x": "1"})
    [unit], [same] = units(store, info), units(store, info)
    assert unit.key == same.key
    assert units(store, info._replace(nar_hash=bytes(32)))[0].key != unit.key
    assert units(store, info, has_library=True)[0].key != unit.key


@pytest.mark.parametrize(
    "change",
    [
        lambda place: (place / "x").write_text("2"),
        lambda place: (place / "x").chmod(0o755),
        lambda place: (place / "y").write_text(""),
        lambda place: (place / "x").unlink(),
        lambda place: os.rename(place / "x", place / "z"),
    ],
    ids=["content", "mode", "more", "less", "name"],
)
def test_a_path_that_has_changed(store, change):
    """Its archive has another hash, and the error says how Nix repairs it."""
    info = path(store, "a-1", {"x": "1"})
    change(store / os.path.basename(info.path))
    with pytest.raises(ImageError, match="is not as Nix knows it") as caught:
        entries(store, info)
    assert f"nix-store --verify-path {info.path}" in caught.value.hint


def test_a_path_that_is_gone(store):
    """The error names it."""
    info = path(store, "a-1", {"x": "1"})
    os.rename(info.path, f"{info.path}.away")
    with pytest.raises(ImageError, match="cannot be read"):
        entries(store, info)


@pytest.mark.parametrize("target", ["/usr/bin/cat", "/bin/sh", "../../../usr/bin/cat", "/home/x", "/etcetera"])
def test_a_link_to_this_machine(store, target):
    """It would lead nowhere in the image."""
    info = path(store, "a-1", {"bin/a": f"-> {target}"})
    with pytest.raises(
        ImageError, match=r"bin/a` of nix/a cannot be in an image: it leads to .*, which is this machine's"
    ):
        entries(store, info)


def test_a_link_to_another_path_of_the_store(store):
    """It has to be among the paths of the closure, by whatever way the link leads there."""
    other = path(store, "other-1", {"x": ""})
    info = path(store, "a-1", {"one": f"-> {other.path}/x", "two": f"-> ../{os.path.basename(other.path)}/x"})
    assert len(entries(store, info, other)) == 3
    with pytest.raises(ImageError, match=r"which is not among the paths that it needs"):
        entries(store, info)
    within = path(store, "b-1", {"whole": f"-> {store}"})
    with pytest.raises(ImageError, match="not among the paths"):
        entries(store, within)


@pytest.mark.parametrize("target", ["/etc/localtime", "/run/opengl-driver/lib", "/proc/self/mounts", "/dev/null"])
def test_a_link_to_what_every_system_has(store, target):
    """The engine, or whoever starts the container, provides it."""
    assert len(entries(store, path(store, "a-1", {"x": f"-> {target}"}))) == 2


def test_a_device_or_a_pipe(store):
    """A store holds none."""
    info = path(store, "a-1", {"x": "1"})
    os.unlink(f"{info.path}/x")
    os.mkfifo(f"{info.path}/x")
    with pytest.raises(ImageError, match="it is no file, directory or link"):
        entries(store, info)


def elf(loader="", machine=62):
    """Return the headers of a 64-bit program."""
    import struct

    name = loader.encode() + b"\0" if loader else b""
    count = 1 if loader else 0
    head = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    )
    table = struct.pack("<IIQQQQQQ", 3, 0, 120, 0, 0, len(name), len(name), 1) if loader else b""
    return (head + table + name).ljust(200, b"\0")


def test_programs_need_a_loader_that_is_there(store):
    """One of the store, none at all, or that of a C library of the image; and they are for its system."""
    glibc = path(store, "glibc-2.38", {"lib/ld.so": ""})
    fine = path(store, "a-1", {"bin/a": elf(f"{glibc.path}/lib/ld.so"), "bin/static": elf()})
    assert entries(store, fine, glibc)
    host = path(store, "b-1", {"bin/b": elf("/lib64/ld-linux-x86-64.so.2")})
    with pytest.raises(ImageError, match="it needs the loader `/lib64/ld-linux"):
        entries(store, host)
    assert entries(store, host, has_library=True)
    other = path(store, "c-1", {"bin/c": elf(machine=183)})
    with pytest.raises(ImageError, match="it is not for x86_64-linux"):
        entries(store, other)


def variables(store, mode="run", image=None, machine=("/home/me/project", "/home/me"), **given):
    found, _, left_out = chosen(NixGiven(given, (), "", ""), str(store), image or {}, machine, mode)
    return {name: value for name, (value, _) in found.items()}, {each.name: each.why for each in left_out}


def test_which_variables_enter(store):
    """In mode `run` none of a build's; never what names this machine or a path that is not there."""
    here = path(store, "here-1").path
    missing = f"{store}/{'0' * 32}-missing-1"
    given = {
        "MODE": "fast",
        "PLACE": f"{here}/x",
        "GONE": missing,
        "out": "/home/me/project/outputs/out",
        "HOMELY": "file:///home/me/x",
        "NEAR": "/home/mean",
        "buildInputs": here,
        "NIX_CC_WRAPPER_TARGET_HOST_x86_64_unknown_linux_gnu": "1",
        "shellHook": "true",
        "TAKEN": "1",
    }
    entering, left_out = variables(store, image={"TAKEN": None}, **given)
    assert entering == {"MODE": "fast", "PLACE": f"{here}/x", "NEAR": "/home/mean"}
    assert left_out == {
        "GONE": f"it names `{missing}`, which is not in Nix's store",
        "out": "only builds read it, and the mode is `run`",
        "HOMELY": "it names `/home/me`, which is this machine's",
        "buildInputs": "only builds read it, and the mode is `run`",
        "NIX_CC_WRAPPER_TARGET_HOST_x86_64_unknown_linux_gnu": "only builds read it, and the mode is `run`",
    }
    entering, left_out = variables(store, "dev", **given)
    assert entering["buildInputs"] == here
    assert left_out["out"] == "it names `/home/me/project`, which is this machine's"


def test_a_secret_of_nix(store):
    """It is refused by name, and not shown; taking it out is enough."""
    with pytest.raises(ImageError, match="`DB_PASSWORD`: its name says so") as caught:
        variables(store, DB_PASSWORD="hunter2")
    assert "hunter2" not in str(caught.value)
    assert variables(store, image={"DB_PASSWORD": None}, DB_PASSWORD="hunter2") == ({}, {})


def test_path_has_only_directories_of_the_store(store):
    """Each once, in their order."""
    one, two = f"{store}/a/bin", f"{store}/b/bin"
    given = NixGiven({}, (one, "/usr/bin", two, one, "", "relative"), "", "")
    assert chosen(given, str(store), {}, (), "run")[1] == (one, two)


def test_the_paths_that_a_text_names():
    """With what follows them cut off, and a full stop that ends a sentence."""
    one, two = f"/nix/store/{'1' * 32}-one-1.0", f"/nix/store/{'2' * 32}-two"
    assert named_paths(f"{one}/bin:{two}; see {one}. /nix/store/short-x /nix/store/{'e' * 32}-no", "/nix/store") == {
        one,
        two,
    }


def environment(store, *infos, path=(), hook="", declarations=""):
    return NixEnvironment({}, path, hook, declarations, (), closure(store, *infos))


def test_a_program_on_path(store):
    """The first one that can be run, and none without an environment."""
    one = path(store, "one-1", {"bin/bash": "text", "bin/env": "#!x"})
    two = path(store, "two-1", {"bin/bash": "#!x"})
    made = environment(store, one, two, path=(f"{one.path}/bin", f"{two.path}/bin"))
    assert program(made, "bash") == f"{two.path}/bin/bash"
    assert program(made, "env") == f"{one.path}/bin/env"
    assert (program(made, "sh"), program(None, "sh")) == (None, None)


def test_the_hook_comes_with_its_functions(store):
    """Both are run at the start; without a hook, nothing is."""
    made = environment(store, hook="greet", declarations="greet() { echo; }\n")
    assert [text for _, text in hook_parts(made)] == ["greet() { echo; }\n", "greet"]
    assert hook_parts(environment(store, hook=" \n", declarations="x=1")) == hook_parts(None) == []


def test_the_c_library_of_the_store(store):
    """The newest glibc with a loader: programs that are not Nix's find it at the place of the ABI."""
    loader = "ld-linux-x86-64.so.2"
    files = {f"lib/{loader}": "", "lib/libc.so.6": ""}
    old, new = path(store, "glibc-2.9-1", files), path(store, "glibc-2.38-44", files)
    halves = path(store, "glibc-2.40", {"lib/libc.so.6": ""}), path(store, "glibc-locales-2.41", files)
    library = store_library(environment(store, old, new, *halves), SYSTEM)
    assert (library.origin, library.version) == ("nix/glibc-2.38-44", (2, 38))
    [(place, target)] = library.links.items()
    assert place == f"/lib64/{loader}"
    assert os.path.normpath(os.path.join("/lib64", target)) == f"{new.path}/lib/{loader}"
    assert store_library(environment(store, *halves), SYSTEM) is None
    assert store_library(None, SYSTEM) is None
