"""Programs of Debian in Guix's store, in the places of those that Guix needs itself and would have to download.

Guix makes a profile with a Guile and some programs of its own, and builds them from seeds if no server has them. Here
their outputs are valid before it looks: Guix asks for no more than that its database knows them.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path

from esker.formats.nix import nar
from esker.host import trees

__all__ = ["add_stand_ins"]

_COREUTILS = """
basename cat chmod cp cut date dirname echo env false head id install ln ls mkdir mktemp mv nproc printf pwd readlink
realpath rm rmdir seq sleep sort stat tail tee test touch tr true uname uniq wc
"""
_PROGRAMS = {
    # What Guix itself runs to make a profile.
    "guile": {"guile": "guile-3.0"},
    "gzip": {"gzip": "gzip"},
    "texinfo": {"install-info": "true"},
    "mkfontdir": {"mkfontdir": "true"},
    "mkfontscale": {"mkfontscale": "true"},
    "glibc-utf8-locales": {},
    # What `packages.scm` names.
    "coreutils": {name: name for name in _COREUTILS.split()},
    "curl": {"curl": "curl"},
    "gcc-toolchain": {},
    "libyaml": {},
    "make": {},
    "nss-certs": {},
    "pkg-config": {},
    "postgresql": {"psql": "psql"},
    "ruby": {name: name for name in ("bundle", "erb", "gem", "irb", "racc", "rails", "rake", "ruby")},
    "sed": {"sed": "sed"},
    "tzdata": {},
    "zlib": {},
}
"""What stands in for the programs of a package, by their names: programs of Debian's. Those not in the root are left out.

No stand-in has the files of a library or a compiler: what is built there does not find them in its profile.
"""
_DIRECTORIES = {
    "nss-certs": ("etc/ssl/certs", "usr/share/ca-certificates/mozilla", ".pem"),
    "tzdata": ("share/zoneinfo", "usr/share/zoneinfo", None),
}
"""Directories of packages, and those of Debian whose files stand in for theirs: copied under this suffix, or linked."""
_COPIED = {"guile"}
"""A builder has to lie in the store itself, and no link can stand for it."""
_DERIVATION = re.compile(r"[0-9a-z]{32}-(?P<name>[a-z0-9-]+?)-[0-9][0-9.]*[a-z]?\.drv")
_OUTPUTS = re.compile(r'\("(?P<output>\w+)","(?P<path>/gnu/store/[^"]+)","",""\)')


def add_stand_ins(root: Path) -> None:
    """Add them for every derivation in the store below `root`; nothing collects them. No daemon may run there."""
    for derivation in sorted(root.joinpath("gnu/store").glob("*.drv")):
        named = _DERIVATION.fullmatch(derivation.name)
        if named and named["name"] in _PROGRAMS:
            outputs, _, _ = derivation.read_text().partition("],[")
            for each in _OUTPUTS.finditer(outputs):
                _add(root, each["path"], named["name"] if each["output"] == "out" else None)


def _add(root: Path, path: str, name: str | None) -> None:
    """Make a store path for this package, or an empty one; have the database and the collector know it."""
    made = root / path.lstrip("/")
    made.mkdir()
    if name is not None:
        _fill(root, made, name)
    trees.canonicalise(str(made))
    digest, size = trees.digest(nar.dump(trees.archive_entries(str(made))))
    values = (path, f"sha256:{digest.hex()}", 1, size)
    with sqlite3.connect(root / "var/guix/db/db.sqlite") as database:
        database.execute("INSERT INTO ValidPaths (path, hash, registrationTime, narSize) VALUES (?, ?, ?, ?)", values)
    database.close()
    kept = root / "var/guix/gcroots/stand-ins"
    kept.mkdir(exist_ok=True)
    kept.joinpath(made.name).symlink_to(path)


def _fill(root: Path, made: Path, name: str) -> None:
    """Put Debian's programs and files into a store path."""
    for program, source in _PROGRAMS[name].items():
        found = root / "usr/bin" / source
        if found.exists():
            made.joinpath("bin").mkdir(exist_ok=True)
            if name in _COPIED:
                shutil.copy(found, made / "bin" / program)
            else:
                made.joinpath("bin", program).symlink_to(f"/usr/bin/{source}")
    if name in _DIRECTORIES:
        directory, source, suffix = _DIRECTORIES[name]
        place = made / directory
        place.parent.mkdir(parents=True)
        if suffix is None:
            place.symlink_to(f"/{source}")
        else:
            place.mkdir()
            for file in root.joinpath(source).iterdir():
                shutil.copy(file, place / f"{file.stem}{suffix}")
