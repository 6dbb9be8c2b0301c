"""Conda packages in an image: units whose keys change with their own bytes alone, in constant places."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from esker.errors import ImageError, StoreError
from esker.formats.elf import MACHINES
from esker.ship.content.places import CONDA, ENVIRONMENT
from esker.ship.image.unit import File, SymbolicLink
from tests.support.conda_package import PLACEHOLDER, SUBDIR, Link, package
from tests.support.image_root import placed

SYSTEM = {"linux-64": "x86_64-linux", "linux-aarch64": "aarch64-linux"}[SUBDIR]
OTHER = {"x86_64-linux": "aarch64-linux", "aarch64-linux": "x86_64-linux"}[SYSTEM]
OTHER_SUBDIR = {"linux-64": "linux-aarch64", "linux-aarch64": "linux-64"}[SUBDIR]


def manifest(channel, *dependencies, systems=(SYSTEM,), more=""):
    listed = ", ".join(f'"{each}"' for each in dependencies)
    names = ", ".join(f'"{each}"' for each in systems)
    return (
        f"[options]\nsystems = [{names}]\n[plugins.esker.conda]\n"
        f'channels = ["{channel.url}"]\ndependencies = [{listed}]\n{more}'
    )


def elf(machine, *, dynamic=True):
    """Return a program of nothing but headers: one segment, which is the dynamic table or none."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    needed = struct.pack("<QQ", 1, 0)  # DT_NEEDED
    return header + struct.pack("<IIQQQQQQ", 2 if dynamic else 6, 4, 120, 120, 120, 32, 32, 8) + needed + bytes(16)


def test_files_in_constant_places(made, channel):
    """Text and binary files name the image's prefix, links and modes stay, and each path is in one unit."""
    channel.add(
        package(
            "a",
            files={
                "bin/a": f"#!{PLACEHOLDER}/bin/sh\n",
                "lib/b": b"\0" + PLACEHOLDER.encode() + b"/x\0",
                "lib/c": Link("b"),
                "share/a/data": "d\n",
            },
        )
    )
    image = made(manifest(channel, "a"))
    [unit] = [unit for unit in image.units if unit.name == "conda/a"]
    entries = {entry.path: entry for entry in unit.entries()}
    assert entries[f"{CONDA}/bin/a"] == File(f"{CONDA}/bin/a", f"#!{CONDA}/bin/sh\n".encode(), 0o755)
    assert entries[f"{CONDA}/lib/b"].source.startswith(b"\0" + f"{CONDA}/x".encode())
    assert entries[f"{CONDA}/lib/c"] == SymbolicLink(f"{CONDA}/lib/c", "b")
    assert Path(entries[f"{CONDA}/share/a/data"].source).read_text() == "d\n"
    assert f"{CONDA}/conda-meta/a-1.0-0.json" in entries


def test_the_environment_joins_by_relative_links(made, channel, tmp_path):
    """`FLOX_ENV` has real directories for bin and lib, and every link of it leads to a file of the image."""
    channel.add(package("a", files={"bin/a": "#!/bin/sh\n", "lib/a": "a", "share/a/x": "x"}))
    channel.add(package("b", files={"bin/b": "#!/bin/sh\n", "share/b/x": "x"}))
    placed(made(manifest(channel, "a", "b")).units, tmp_path / "root")
    environment = Path(f"{tmp_path}/root{ENVIRONMENT}")
    links = [path for path in environment.rglob("*") if path.is_symlink()]
    assert {path.relative_to(environment).as_posix() for path in links} == {"bin/a", "bin/b", "lib/a", "share"}
    assert all(path.resolve().is_relative_to(tmp_path / "root") and path.exists() for path in links)


def test_one_changed_package_changes_one_key(made, channel):
    """A package's key is made of its own hash and place, and never of its neighbours."""
    channel.add(package("a", files={"share/a": "a"}))
    first = channel.add(package("b", files={"share/b": "1"}))
    before = {unit.name: unit.key for unit in made(manifest(channel, "a", "b")).units}
    channel.remove(first)
    channel.add(package("b", "2.0", files={"share/b": "2"}))
    after = {unit.name: unit.key for unit in made(manifest(channel, "a", "b >=2")).units}
    assert {name for name in after if after[name] != before[name]} == {"conda/b"}


def test_a_path_that_two_packages_bring(made, channel, tmp_path):
    """The last package's file is taken, as here, and the first one's key says that its own is not in it."""
    channel.add(package("a", files={"share/x": "a"}))
    alone = {unit.name: unit.key for unit in made(manifest(channel, "a")).units}
    channel.add(package("b", files={"share/x": "b"}, depends=["a"]))
    image = made(manifest(channel, "b"))
    owners = placed(image.units, tmp_path / "root")
    assert owners[f"{CONDA}/share/x"] == "conda/b"
    assert {unit.name: unit.key for unit in image.units}["conda/a"] != alone["conda/a"]


def test_an_image_for_another_system(made, channel):
    """Its packages are laid out here, and nothing of them is run."""
    channel.add(package("a", files={"bin/a": elf(MACHINES["x86_64"], dynamic=False)}, subdir="linux-64"))
    channel.add(package("a", files={"bin/a": elf(MACHINES["aarch64"], dynamic=False)}, subdir="linux-aarch64"))
    text = manifest(channel, "a", systems=(SYSTEM, OTHER))
    keys = {}
    for system in (SYSTEM, OTHER):
        image = made(text, system=system)
        [unit] = [unit for unit in image.units if unit.name == "conda/a"]
        keys[system] = unit.key
        [program] = [entry for entry in unit.entries() if entry.path == f"{CONDA}/bin/a"]
        machine = Path(program.source).read_bytes()[18]
        assert machine == MACHINES[system.partition("-")[0]]
    assert len(set(keys.values())) == 2


def test_a_program_of_another_machine_is_refused(made, channel):
    """A package that brings what cannot run there is named, with the file."""
    wrong = MACHINES["aarch64" if SYSTEM.startswith("x86_64") else "x86_64"]
    channel.add(package("a", files={"bin/a": elf(wrong)}))
    with pytest.raises(ImageError, match=f"`{CONDA}/bin/a` of conda/a is not for {SYSTEM}"):
        made(manifest(channel, "a"))


def test_a_program_without_a_c_library(made, channel):
    """A dynamic program needs a loader; the error names the package that brings one."""
    machine = MACHINES[SYSTEM.partition("-")[0]]
    channel.add(package("a", files={"bin/a": elf(machine)}))
    with pytest.raises(ImageError, match="needs a C library, and the image has none") as caught:
        made(manifest(channel, "a"))
    assert caught.value.hint == f"take conda's: esker install conda/sysroot_{SUBDIR}; or a base that has glibc"


def sysroot(version="2.36", *, loader=True):
    name = {"x86_64-linux": "lib64/ld-linux-x86-64.so.2", "aarch64-linux": "lib/ld-linux-aarch64.so.1"}[SYSTEM]
    files = {"t/sysroot/lib/libc.so.6": "c", **({f"t/sysroot/{name}": "loader"} if loader else {})}
    return package(f"sysroot_{SUBDIR}", version, files, noarch="generic")


def test_the_c_library_of_conda(made, channel, tmp_path):
    """Its directories are linked at the places that they have in its tree, so that the loader finds libc too."""
    channel.add(sysroot())
    image = made(manifest(channel, f"sysroot_{SUBDIR}"))
    placed(image.units, tmp_path / "root")
    assert (tmp_path / "root/lib/libc.so.6").read_text() == "c"
    assert ("C library", f"conda/sysroot_{SUBDIR} 2.36") in image.reasons


def test_a_c_library_without_a_loader(made, channel):
    """With such a package nothing could start."""
    channel.add(sysroot(loader=False))
    with pytest.raises(ImageError, match=f"`sysroot_{SUBDIR}-2.36-0` has no loader"):
        made(manifest(channel, f"sysroot_{SUBDIR}"))


def test_an_older_c_library_than_stated(made, channel):
    """What `system-requirements` states holds in the image too."""
    channel.add(sysroot("2.17"))
    with pytest.raises(ImageError, match=r"the image's C library is 2\.17 .* states libc 2\.28") as caught:
        made(manifest(channel, f"sysroot_{SUBDIR}", more='system-requirements = { libc = "2.28" }\n'))
    assert "2.28" in caught.value.hint


def test_a_program_that_needs_a_newer_c_library(made, channel):
    """The versions of glibc in the symbols of each ELF file are compared with the image's."""
    channel.add(sysroot("2.3"))
    with open(os.path.realpath("/bin/sh"), "rb") as file:
        channel.add(package("a", files={"bin/a": file.read()}))
    with pytest.raises(
        ImageError, match=r"`/opt/esker/conda/bin/a` of conda/a needs glibc 2\.\d+, and the image has 2\.3"
    ):
        made(manifest(channel, "a", f"sysroot_{SUBDIR}"))


def test_layers_by_name(made, channel):
    """A package belongs to the layer that names it; one that is not locked is an error with a guess."""
    channel.add(package("a", files={"share/a": "a"}))
    channel.add(package("b", files={"share/b": "b"}))
    table = '[plugins.esker.image]\nlayers = [{{ name = "base", packages = ["{}"] }}]\n'
    units = made(manifest(channel, "a", "b", more=table.format("conda/a"))).units
    assert {unit.name: unit.category for unit in units} == {
        "conda/a": "base",
        "conda/b": "",
        "esker/base": "configuration",
        "esker/environment": "configuration",
    }
    with pytest.raises(ImageError, match="the layer `base` names `conda/c`, which is not among the locked packages"):
        made(manifest(channel, "a", "b", more=table.format("conda/c")))


def test_a_store_path_that_was_changed(made, channel, store):
    """A file of a package that is not as it was made does not get into an image."""
    channel.add(package("a", files={"share/a": "a"}))
    image = made(manifest(channel, "a"))
    [path] = [path for path in store.paths() if path.endswith("-a-1.0-0")]
    os.chmod(f"{path}/share/a", 0o644)
    Path(path, "share/a").write_text("changed")
    with pytest.raises(StoreError):
        placed(image.units, Path(store.root, "nowhere"))


def test_certificates_time_zones_and_a_shell(made, channel, tmp_path):
    """They are linked where programs look for them, if packages bring them."""
    channel.add(
        package("a", files={"ssl/cacert.pem": "ca", "share/zoneinfo/UTC": "tz", "bin/bash": "b", "bin/env": "e"})
    )
    image = made(manifest(channel, "a"))
    root = tmp_path / "root"
    placed(image.units, root)
    expected = {
        "etc/ssl/certs/ca-certificates.crt": "ca",
        "usr/share/zoneinfo/UTC": "tz",
        "bin/sh": "b",
        "usr/bin/env": "e",
    }
    assert {path: (root / path).read_text() for path in expected} == expected
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert {each.name: each.value for each in image.variables.fixed}["SSL_CERT_FILE"].endswith("ca-certificates.crt")


def test_files_in_the_place_of_usual_ones(made, channel, project):
    """The project's own is taken, in its layer alone; below a link, or in the place of a directory, there is none."""
    channel.add(sysroot())
    channel.add(package("bash", files={"bin/bash": "b", "ssl/cacert.pem": "ca"}))
    for name in ("passwd", "sh", "ssl"):
        (project / name).write_text("own")
    subprocess.run(["git", "add", "--all"], cwd=project, check=True)

    def image(files):
        more = f"[plugins.esker.image]\nfiles = {{ {files} }}\n"
        return made(manifest(channel, "bash", f"sysroot_{SUBDIR}", more=more))

    owners = {}
    for unit in image('"/etc" = ["passwd"], "/bin" = ["sh"]').units:
        for entry in unit.entries():
            owners.setdefault(entry.path, []).append(unit.name)
    assert owners["/etc/passwd"] == owners["/bin/sh"] == ["esker/files"]
    assert {path for path in owners if len(owners[path]) > 1} == set()
    with pytest.raises(ImageError, match="`/lib/sh` of the project and `/lib`, which the image has by itself"):
        image('"/lib" = ["sh"]')
    with pytest.raises(
        ImageError, match=r"`/etc/ssl` of the project and `/etc/ssl/certs/ca-certificates\.crt`"
    ) as caught:
        image('"/etc" = ["ssl"]')
    assert caught.value.hint == "name another place in `files` of [plugins.esker.image]"


def test_a_hook_needs_bash(made, channel):
    """With a hook the container starts with bash and one script; without bash the error names the hook."""
    channel.add(package("a", files={"share/a": "a"}))
    channel.add(package("bash", files={"bin/bash": "b"}))
    hook = "[hook]\non-activate = 'export A=1'\n"
    with pytest.raises(ImageError, match=r"the image has no bash, which is needed for `hook.on-activate`\n"):
        made(manifest(channel, "a", more=hook))
    why = r"needed for `H` of \[vars\] \(it uses `HOME`, which a container sets\)\n"
    with pytest.raises(ImageError, match=why):
        made(manifest(channel, "a", more='[vars]\nH = "$HOME/x"\n'))
    entry = made(manifest(channel, "a", "bash", more=hook)).entry
    assert entry.entrypoint == ("/opt/esker/entry",)
    assert entry.why == ("`hook.on-activate`",)
    assert entry.files[0].source.decode().startswith(f"#!{CONDA}/bin/bash\n# `hook.on-activate`\nexport A=1\n")
    secret = f"[hook]\non-activate = 'export A=ghp_{'a' * 36}'\n"
    with pytest.raises(ImageError, match=r"`hook.on-activate` holds a token of GitHub"):
        made(manifest(channel, "a", "bash", more=secret))


def test_development_mode(made, channel):
    """Mode `dev` adds what compilers look for, as far as the image has it."""
    channel.add(package("a", files={"include/a.h": "a", "lib/a": "a"}))
    names = {each.name for each in made(manifest(channel, "a"), mode="dev").variables.fixed}
    assert names & {"CPATH", "LIBRARY_PATH", "PKG_CONFIG_PATH", "ACLOCAL_PATH"} == {"CPATH", "LIBRARY_PATH"}
