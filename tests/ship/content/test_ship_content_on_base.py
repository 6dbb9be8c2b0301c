"""What an image with a base holds: the base's accounts, library, shell and Python count, and nothing of it is lost."""

from __future__ import annotations

import os
import struct
import subprocess
import sys

import pytest

from esker.errors import ImageError
from esker.formats.elf import MACHINES
from esker.formats.image_lock import LockedInput
from esker.formats.oci.config import parse
from esker.formats.oci.configuration import Configuration
from esker.formats.oci.documents import canonical
from esker.formats.oci.reference import Reference
from esker.ship.base.facts import BaseFacts, BaseLibrary
from esker.ship.base.pulled import PulledBase
from esker.ship.content.base_accounts import Accounts
from esker.ship.content.configuration import configuration_of
from esker.ship.image.image import Base
from esker.ship.image.unit import Directory, File, SymbolicLink
from tests.support.conda_package import package

SYSTEM = f"{os.uname().machine}-linux"
MINOR = ".".join(map(str, sys.version_info[:2]))
PASSWD = (
    b"root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\nold:x:10000:10000::/old:/bin/sh"
)
GROUP = b"root:x:0:\nwww-data:x:33:\nstaff:x:50:www-data\nold:x:10000:\n"
DIRECTORIES = (
    "/etc",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/root",
    "/tmp",
    "/srv",
    "/srv/data",
    "/var",
    "/usr/share/zoneinfo",
)


def base(facts=None, *, env=("PATH=/base/bin", "LANG=C", "OLD=1"), name="registry.example/base@sha256:0", **settings):
    """Return a base with these facts, whose configuration has these settings."""
    facts = facts or known()
    content = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"diff_ids": []},
        "config": {"Env": list(env), **settings},
    }
    config = parse(canonical(content), "it")
    return PulledBase(name, Base(Reference("registry.example", "base"), config, (), lambda *_: None), facts)


def known(**fields):
    """Return what is known of a base like Debian's, with other fields where they are given."""
    usual = {
        "links": {"/bin": "usr/bin", "/lib": "usr/lib"},
        "directories": dict.fromkeys(DIRECTORIES, (493, 0, 0)) | {"/srv/data": (0o2775, 33, 50)},
        "files": frozenset({"/bin/sh", "/bin/bash", "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt"}),
        "passwd": PASSWD,
        "group": GROUP,
        "library": BaseLibrary("glibc", "/usr/lib/libc.so.6", (2, 36)),
    }
    return BaseFacts(**(usual | fields))


@pytest.mark.parametrize(
    ("text", "is_declared", "user"),
    [
        ("www-data", True, ("www-data", "www-data", 33, 33, "/var/www")),
        ("33", True, ("www-data", "www-data", 33, 33, "/var/www")),
        ("www-data:staff", False, ("www-data", "staff", 33, 50, "/var/www")),
        ("app", True, ("app", "app", 10001, 10001, "")),
        ("1000", True, ("app", "app", 1000, 1000, "")),
        ("1000:staff", True, ("app", "staff", 1000, 50, "")),
        ("1000:2000", False, ("app", "app", 1000, 2000, "")),
        ("", False, ("root", "root", 0, 0, "/root")),
    ],
)
def test_a_user_means_what_the_base_says(text, is_declared, user):
    """A name or number of the base is its user, with the base's home; another one is added with a free number."""
    assert tuple(Accounts(known()).user(text, is_declared=is_declared)) == user


def test_accounts_are_added_and_none_is_lost():
    """Every line of the base stays as it is, also one without an end; who is there is not added again."""
    accounts = Accounts(known())
    added = accounts.user("app:crew", is_declared=True)
    assert accounts.passwd(added) == PASSWD + b"\napp:x:10001:10001::/home/app:/bin/sh\n"
    assert accounts.group(added) == GROUP + b"crew:x:10001:\n"
    there = accounts.user("www-data", is_declared=True)
    assert (accounts.passwd(there), accounts.group(there)) == (PASSWD, GROUP)
    empty = Accounts(BaseFacts())
    assert empty.passwd(empty.user("", is_declared=False)) == b"root:x:0:0::/root:/bin/sh\n"


def test_a_base_whose_user_is_not_there():
    """An engine would not start it; the error says so before."""
    with pytest.raises(ImageError, match="the base runs as `ghost`, whom its /etc/passwd does not have"):
        Accounts(known()).user("ghost", is_declared=False)


@pytest.fixture
def on(made):
    """Give a function that works out an image of a manifest on a base."""
    return lambda base, manifest="", **options: made(
        f'[options]\nsystems = ["{SYSTEM}"]\n{manifest}', bases=lambda _: base, **options
    )


def entries_of(image, name):
    """Return the entries of a unit by their paths."""
    return {entry.path: entry for unit in image.units if unit.name == name for entry in unit.entries()}


def test_what_the_base_has_stays(on):
    """Only what it lacks is put above it, and nothing below one of its links."""
    image = on(base(), '[containerize.config]\nuser = "app"\nworking-dir = "/srv"\nvolumes = ["/bin/vol"]\n')
    entries = entries_of(image, "esker/base")
    assert entries.keys() == {
        *("/etc/passwd", "/etc/group", "/home/app", "/var/cache/esker", "/run/esker", "/usr/bin/vol"),
    }
    assert (entries["/run/esker"].uid, entries["/run/esker"].gid) == (10001, 10001)
    assert PASSWD in entries["/etc/passwd"].source
    bare = entries_of(on(base(BaseFacts())), "esker/base")
    assert {"/etc/nsswitch.conf", "/tmp", "/etc/passwd"} < bare.keys()


def test_accounts_of_a_base_whose_directory_is_a_link(on):
    """They are put where it leads: an engine could make a directory of the link, without all that the base has there."""
    moved = base(known(links={"/bin": "usr/bin", "/lib": "usr/lib", "/etc": "usr/etc"}))
    entries = entries_of(on(moved, '[containerize.config]\nuser = "app"\n'), "esker/base")
    assert {"/usr/etc/passwd", "/usr/etc/group"} < entries.keys()
    assert not {"/etc/passwd", "/etc/group"} & entries.keys()


def test_the_user_of_the_base_owns_what_it_writes(on):
    """Without a declared user the configuration names none, and the base's user gets cache and runtime directory."""
    image = on(base(User="www-data"))
    entries = entries_of(image, "esker/base")
    assert entries["/var/cache/esker"] == Directory("/var/cache/esker", 0o755, 33, 33)
    assert not {"/etc/passwd", "/etc/group", "/var/www"} & entries.keys()
    assert configuration_of(image, {}).user == ""


def test_the_variables_of_the_base(on):
    """PATH is the base's behind ours, values can refer to it, and `false` takes one out of the base."""
    image = on(base(), '[vars]\nWORD = "$LANG.utf8"\n[plugins.esker.image.vars]\nOLD = false\n')
    values = {each.name: each.value for each in image.variables.fixed}
    assert values["PATH"] == "/opt/esker/env/bin:/base/bin"
    assert (values["WORD"], values["LANG"]) == ("C.utf8", "C")
    assert values["SSL_CERT_FILE"] == "/etc/ssl/certs/ca-certificates.crt"
    assert "OLD" not in values
    assert image.base.config.env == {"PATH": "/base/bin", "LANG": "C"}


ASTRAY = ("LD_LIBRARY_PATH=/base/lib", "LD_PRELOAD=/base/hook.so", "PYTHONHOME=/base", "PYTHONPATH=/base/modules")


def test_variables_that_would_lead_programs_astray(on):
    """What a base says of its own libraries and modules does not hold for the image's programs; each is told."""
    image = on(base(env=("PATH=/base/bin", *ASTRAY)))
    assert not {each.name for each in image.variables.fixed} & {each.partition("=")[0] for each in ASTRAY}
    assert image.base.config.env == {"PATH": "/base/bin"}
    why = "the base has it, and it would lead programs to other {}"
    libraries, modules = why.format("libraries"), why.format("modules")
    assert [(each.name, each.why) for each in image.variables.dropped] == [
        ("LD_LIBRARY_PATH", libraries),
        ("LD_PRELOAD", libraries),
        ("PYTHONHOME", modules),
        ("PYTHONPATH", modules),
    ]
    assert {*image.variables.dropped} <= {*image.variables.left_out}


def test_what_the_image_says_of_such_variables(on):
    """Its own table keeps one, replaces one, and takes one out; `[vars]` replace one, and see nothing of the base's."""
    image = on(
        base(env=("PATH=/base/bin", *ASTRAY)),
        '[vars]\nPYTHONPATH = "/own/modules"\n[plugins.esker.image.vars]\nLD_PRELOAD = false\n'
        'LD_LIBRARY_PATH = "$LD_LIBRARY_PATH:/own"\nPYTHONHOME = "/own"\n',
    )
    values = {each.name: each.value for each in image.variables.fixed}
    assert (values["LD_LIBRARY_PATH"], values["PYTHONHOME"]) == ("/base/lib:/own", "/own")
    assert (values["PYTHONPATH"], values.get("LD_PRELOAD")) == ("/own/modules", None)
    assert (image.variables.dropped, image.variables.unset) == ((), ())
    env = image.base.config.env
    assert {**env, **configuration_of(image, {}).env}.keys() & {"LD_PRELOAD", "PYTHONPATH"} == {"PYTHONPATH"}
    assert not {"LD_PRELOAD", "PYTHONPATH"} & env.keys()
    refers = '[vars]\nPYTHONPATH = "/own:$PYTHONPATH"\n'
    [scripted] = on(base(env=ASTRAY), refers).variables.scripted
    assert scripted.name == "PYTHONPATH"


def test_a_secret_in_the_place_of_a_variable_of_the_base(on):
    """What the base itself has is not looked at; what the project puts there is."""
    given = base(env=("GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D", "DB_PASSWORD=none"))
    assert {"GPG_KEY", "DB_PASSWORD"} < {each.name for each in on(given).variables.fixed}
    with pytest.raises(ImageError, match=r"variables look like secrets.*`DB_PASSWORD`"):
        on(given, '[vars]\nDB_PASSWORD = "hunter2"\n')


def test_the_bash_of_the_base(on):
    """A hook runs in it; a base without one is an error that names what needs it."""
    hook = '[hook]\non-activate = "export A=1"\n'
    image = on(base(), hook)
    assert entries_of(image, "esker/environment")["/opt/esker/entry"].source.startswith(b"#!/bin/bash\n")
    assert configuration_of(image, {}).cmd == ("/bin/bash",)
    assert configuration_of(on(base(Cmd=["serve"])), {}).cmd == ()
    with pytest.raises(ImageError, match=r"no bash, which is needed for `hook\.on-activate`\n") as caught:
        on(base(known(files=frozenset({"/bin/sh"}))), hook)
    assert "a base that has it" in caught.value.hint


def test_files_keep_the_directories_of_the_base(on, project):
    """Their modes and owners stay, but for bits that no layer has; a file below a link of the base is refused."""
    (project / "a").write_text("a")
    subprocess.run(["git", "add", "a"], cwd=project, check=True)
    entries = entries_of(on(base(), '[plugins.esker.image.files]\n"/srv/data/app" = ["a"]\n'), "esker/files")
    assert entries["/srv/data"] == Directory("/srv/data", 0o775, 33, 50)
    assert isinstance(entries["/srv/data/app/a"], File)
    with pytest.raises(ImageError, match=r"`/bin/a`, which `files` of .* would lie below a link") as caught:
        on(base(), '[plugins.esker.image.files]\n"/bin" = ["a"]\n')
    assert "`/usr/bin`" in caught.value.hint
    taken = known(directories=dict.fromkeys((*DIRECTORIES, "/srv/a"), (493, 0, 0)))
    with pytest.raises(ImageError, match=r"`/srv/a`, which `files` of .* is a directory in the base .* would hide all"):
        on(base(taken), '[plugins.esker.image.files]\n"/srv" = ["a"]\n')


def test_what_is_prepared_keeps_the_directories_of_the_base(on, tmp_path):
    """As the project's files do; and nothing is prepared below a link of the base."""
    repository = tmp_path / "trees"
    repository.mkdir()
    (repository / "a").write_text("a")
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.invalid")
    for words in (["init", "--quiet"], ["add", "a"], [*identity, "commit", "--quiet", "-m", "a"]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    prepared = f'[plugins.esker.image.prepare]\n"%s" = {{ git = "{repository}" }}\n'
    entries = entries_of(on(base(), prepared % "/srv/data/trees"), "esker/base")
    assert entries["/srv/data"] == Directory("/srv/data", 0o775, 33, 50)
    with pytest.raises(ImageError, match=r"`/bin/trees`, which `prepare` of .* would lie below a link"):
        on(base(), prepared % "/bin/trees")
    linked = f'[plugins.esker.image.prepare."/opt/trees"]\ngit = "{repository}"\nlinks = {{ "%s" = "a" }}\n'
    entries = entries_of(on(base(), linked % "/srv/data/tree"), "esker/base")
    assert entries["/srv/data"] == Directory("/srv/data", 0o775, 33, 50)
    with pytest.raises(ImageError, match=r"`/bin/tree`, which `prepare` of .* below a link") as caught:
        on(base(), linked % "/bin/tree")
    assert "`/usr/bin`" in caught.value.hint
    url = "https://files.invalid/x"
    pin = LockedInput(kind="file", name=url, url=url, size=1, hash=f"sha256:{'0' * 64}")
    for hiding in (linked % "/srv/data", f'[plugins.esker.image.prepare."/srv/data"]\nfile = "{url}"\n'):
        with pytest.raises(ImageError, match=r"`/srv/data`, which `prepare` of .* is a directory in the base"):
            on(base(), hiding, inputs=(pin,))


def elf():
    """Return a program that needs a loader, of nothing but headers."""
    machine = MACHINES[os.uname().machine]
    fields = (3, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    interpreter = b"/lib/ld.so\0"
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *fields)
    return header + struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(interpreter), len(interpreter), 1) + interpreter


@pytest.fixture
def with_program(channel):
    """Give a manifest with a conda package that has a dynamic program."""
    channel.add(package("tool", files={"bin/tool": elf()}))
    return f'[plugins.esker.conda]\nchannels = ["{channel.url}"]\ndependencies = ["tool"]\n'


def test_the_c_library_of_the_base_comes_first(on, with_program, channel):
    """It is the one that programs find, and `system-requirements` are compared with it."""
    image = on(base(), with_program)
    assert dict(image.reasons)["C library"] == "glibc 2.36 of the base"
    assert dict(image.reasons)["Base"] == "registry.example/base@sha256:0, 0 layers"
    with pytest.raises(ImageError, match=r"glibc 2\.36 of the base.*states libc 2\.38") as caught:
        on(base(), f'{with_program}system-requirements = {{ libc = "2.38" }}\n')
    assert caught.value.hint == "take a newer base, with glibc 2.38 or later"


def test_musl_is_refused_by_name_for_programs_of_glibc(on, with_program):
    """The error names the base, its loader and the program; without such programs the base is taken."""
    musl = base(known(library=BaseLibrary("musl", "/lib/ld-musl-x86_64.so.1", (0, 0))))
    with pytest.raises(
        ImageError, match=r"`/opt/esker/conda/bin/tool` of conda/tool needs .* has musl \(`/lib/ld-musl"
    ):
        on(musl, with_program)
    assert "C library" not in dict(on(musl).reasons)


def test_condas_c_library_does_not_hide_directories_of_a_base(on, channel):
    """A base without glibc that has `/lib` would lose it."""
    subdir = {"x86_64-linux": "linux-64", "aarch64-linux": "linux-aarch64"}[SYSTEM]
    loader = {"x86_64-linux": "lib64/ld-linux-x86-64.so.2", "aarch64-linux": "lib/ld-linux-aarch64.so.1"}[SYSTEM]
    sysroot = package(
        f"sysroot_{subdir}", "2.28", {f"x/sysroot/{loader}": elf(), "x/sysroot/lib/libc.so.6": elf()}, noarch="generic"
    )
    channel.add(sysroot)
    manifest = f'[plugins.esker.conda]\nchannels = ["{channel.url}"]\ndependencies = ["sysroot_{subdir}"]\n'
    with pytest.raises(ImageError, match="conda's C library has to be linked at `/lib`"):
        on(base(known(library=None)), manifest)
    image = on(base(BaseFacts(directories={"/etc": (0o755, 0, 0)})), manifest)
    assert isinstance(entries_of(image, "esker/base")["/lib"], SymbolicLink)


def wheels(index, python="/usr/bin/python3"):
    """Return a manifest with a wheel on the base's Python."""
    index.add("pure", "1.0", {"pure.py": "A = 1\n"}, scripts={"pure": "pure:x"})
    return (
        '[plugins.esker.python]\ndependencies = ["pure"]\n'
        f'[plugins.esker.image]\nfrom = "registry.example/base@sha256:{"0" * 64}"\npython = "{python}"\n'
    )


def test_wheels_find_the_python_of_the_base(on, index):
    """The environment's `python` leads to it, and no other interpreter is in the image."""
    image = on(base(known(python=f"{MINOR}.1")), wheels(index))
    entries = entries_of(image, "esker/environment")
    assert entries["/opt/esker/python/bin/python"].target == "../../../../usr/bin/python3"
    assert (
        f"home = /usr/bin\nimplementation = CPython\nversion_info = {MINOR}.1\n".encode()
        in entries["/opt/esker/python/pyvenv.cfg"].source
    )
    assert [unit.name for unit in image.units if unit.category == ""] == ["pypi/pure"]
    assert dict(image.reasons)["Python"] == f"Python {MINOR}.1 of the base (/usr/bin/python3)"


def test_another_python_than_the_locked_one(on, index):
    """The error names both, and the other two ways to a Python."""
    with pytest.raises(ImageError, match=r"is Python 3\.8\.1, and the environment is locked for") as caught:
        on(base(known(python="3.8.1")), wheels(index))
    assert "esker install conda/python" in caught.value.hint
    assert "uv's" in caught.value.hint


def test_two_pythons_are_one_too_many(on, index, channel):
    """A stated one and conda's cannot both run the wheels."""
    channel.add(package("python", f"{MINOR}.0", {"bin/python": f'#!/bin/sh\nexec {sys.executable} "$@"\n'}))
    conda = f'[plugins.esker.conda]\nchannels = ["{channel.url}"]\ndependencies = ["python"]\n'
    with pytest.raises(
        ImageError, match=f"states `/usr/bin/python3` of the base, and conda/python {MINOR}.0 is locked"
    ):
        on(base(known(python=f"{MINOR}.1")), conda + wheels(index))


def test_what_of_a_configuration_is_the_bases():
    """Env by name, labels, ports and volumes are joined; a new entry point does away with the command; no `OnBuild`."""
    from esker.formats.oci.config import render
    from esker.formats.oci.platform import Platform

    given = base(
        Cmd=["x"], Labels={"a": "1", "b": "1"}, ExposedPorts={"80/tcp": {}}, OnBuild=["RUN x"], StopSignal="SIGINT"
    ).image.config
    asked = Configuration(env={"LANG": "de"}, entrypoint=("e",), labels={"b": "2"}, ports=("90/tcp",))
    made = parse(render(asked, Platform("linux", "amd64"), [], created=1, base=given), "it").settings
    assert made == {
        "Env": ["PATH=/base/bin", "LANG=de", "OLD=1"],
        "Entrypoint": ["e"],
        "Labels": {"a": "1", "b": "2"},
        "ExposedPorts": {"80/tcp": {}, "90/tcp": {}},
        "StopSignal": "SIGINT",
    }
