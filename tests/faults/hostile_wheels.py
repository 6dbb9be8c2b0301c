"""Wheels that want to harm: each is a small archive made here, and whether it has to be refused.

`CANARY` in a member is replaced by a file that code in the wheel would write if it ran, and `TREASURE` by a directory
that it would like to write into.
"""

from __future__ import annotations

import base64
import hashlib
import io
import stat
import zipfile
import zlib
from typing import NamedTuple

__all__ = ["NAME", "WHEELS", "Hostile"]

NAME = "app"
"""The package that every hostile wheel is."""
_INFO = "app-1.0.dist-info"
_DATA = "app-1.0.data"
_RUN = "import pathlib; pathlib.Path('CANARY').write_text('ran')\n"
_UP = "../" * 12


class Hostile(NamedTuple):
    """A wheel: its bytes, with the two words still to be replaced, and what has to become of it."""

    why: str
    members: tuple[tuple[str | zipfile.ZipInfo, bytes], ...] = ()
    refused: bool | None = None
    """True if it must not be installed, False if it must be; None if either is right as long as nothing is harmed."""
    record: str | None = None
    """Lines that are added to RECORD."""
    metadata: str = ""
    """Lines that are added to METADATA."""
    entry_points: str = ""
    archive: bytes | None = None
    """The whole archive, where it is none that `zipfile` makes."""
    replaced: tuple[bytes, bytes] = (b"", b"")
    """Bytes of the archive and what stands there instead, of the same length: in names, to whose bytes no sum is kept."""

    def wheel(self, canary: str, treasure: str) -> bytes:
        """Return the archive."""
        if self.archive is not None:
            return self.archive
        names = {"CANARY": canary, "TREASURE": treasure}
        members: list[tuple[str | zipfile.ZipInfo, bytes]] = []
        for entry, content in (("app.py", b"X = 1\n"), *self.members):
            members.append((_filled(entry, names), _text(content, names)))
        metadata = f"Metadata-Version: 2.1\nName: app\nVersion: 1.0\n{self.metadata}".encode()
        about = b"Wheel-Version: 1.0\nGenerator: esker\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        members += [(f"{_INFO}/METADATA", metadata), (f"{_INFO}/WHEEL", about)]
        if self.entry_points:
            members.append((f"{_INFO}/entry_points.txt", _text(self.entry_points.encode(), names)))
        record = "".join(f"{_name(entry)},sha256={_digest(content)},{len(content)}\n" for entry, content in members)
        if self.record is not None:
            record += _text(self.record.encode(), names).decode()
        members.append((f"{_INFO}/RECORD", f"{record}{_INFO}/RECORD,,\n".encode()))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for entry, content in members:
                archive.writestr(entry, content)
        data = packed.getvalue()
        assert self.replaced[0] in data
        return data.replace(*self.replaced) if self.replaced[0] else data


def _name(entry: str | zipfile.ZipInfo) -> str:
    return entry if isinstance(entry, str) else entry.filename


def _filled(entry: str | zipfile.ZipInfo, names: dict[str, str]) -> str | zipfile.ZipInfo:
    return _text(entry.encode(), names).decode() if isinstance(entry, str) else entry


def _text(content: bytes, names: dict[str, str]) -> bytes:
    for word, text in names.items():
        content = content.replace(word.encode(), text.encode())
    return content


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _link(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def _device(path: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFIFO | stat.S_ISUID | 0o777) << 16
    return entry


def _program(path: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | mode) << 16
    return entry


def _bomb(size: int) -> bytes:
    """Return an archive of a few megabytes with a member of `size` zeros; only the sum over the zeros is wrong."""
    step = 1 << 24
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(step)) + packer.flush(zlib.Z_FULL_FLUSH)
    stream = piece * (size // step) + packer.flush()
    small = Hostile("", ((_program("app.dat", 0o644), b""),)).wheel("", "")
    packed = io.BytesIO(small)
    with zipfile.ZipFile(packed, "a", allowZip64=True) as archive:
        entry = zipfile.ZipInfo("app.bomb")
        entry.compress_type = zipfile.ZIP_STORED
        archive.writestr(entry, stream)
    data = bytearray(packed.getvalue())
    # Say in both headers that the stored member is deflated and large: `method` stands 8 and 10 bytes in, the size 22 and 24.
    for magic, method, length in ((b"PK\x03\x04", 8, 22), (b"PK\x01\x02", 10, 24)):
        name = 30 if magic == b"PK\x03\x04" else 46
        at = data.index(b"app.bomb", data.rindex(magic, 0, data.rindex(b"app.bomb") + 1) if name == 46 else 0) - name
        data[at + method : at + method + 2] = (8).to_bytes(2, "little")
        data[at + length : at + length + 4] = min(size, 0xFFFFFFFE).to_bytes(4, "little")
    return bytes(data)


def _encrypted() -> bytes:
    data = bytearray(Hostile("").wheel("", ""))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    data[6] |= 1
    return bytes(data)


WHEELS = {
    "escapes-by-dots": Hostile("a member climbs out", ((f"{_UP}TREASURE/escaped", b""),)),
    "escapes-one-level": Hostile("a member lies beside the environment", (("../" * 5 + "escaped", b""),)),
    "escapes-inside-name": Hostile("a member climbs in the middle", ((f"app/{_UP}TREASURE/escaped", b""),)),
    "absolute": Hostile("a member has an absolute path", (("TREASURE/escaped", b""),)),
    "backslashes": Hostile("dots between backslashes", (("..\\..\\..\\..\\escaped", b""),)),
    "link-and-file": Hostile("a link, and a file through it", ((_link("app"), b"TREASURE"), ("app/escaped", b""))),
    "link-out": Hostile("a link out of the tree", ((_link("app/out"), b"/etc/passwd"),)),
    "link-data": Hostile(
        "a link where programs go", ((_link(f"{_DATA}/scripts"), b"TREASURE"), (f"{_DATA}/scripts/escaped", b""))
    ),
    "pipe": Hostile("a member says that it is a pipe, for another user", ((_device("app/pipe"), b""),)),
    "setuid": Hostile(
        "a program says that it runs as its owner", ((_program(f"{_DATA}/scripts/tool", 0o6755), b"#!python\n"),)
    ),
    "closed": Hostile("a member that nobody may read", ((_program("app/closed.py", 0), b"X = 1\n"),), refused=False),
    "record-lies": Hostile("RECORD has another hash", record="app.py,sha256=AAAA,3\n"),
    "record-outside": Hostile(
        "RECORD names files elsewhere", record=f"{_UP}TREASURE/kept,,\nTREASURE/kept,,\n/etc/passwd,,\n"
    ),
    "pth-runs-code": Hostile(
        "a .pth file runs code as Python starts", (("evil.pth", _RUN.replace("\n", "").encode()),), refused=False
    ),
    "sitecustomize": Hostile(
        "Python imports it as it starts",
        (("sitecustomize.py", _RUN.encode()), ("usercustomize.py", _RUN.encode())),
        refused=False,
    ),
    "import-runs-code": Hostile("compiling must not import", (("app/__init__.py", _RUN.encode()),)),
    "setup-runs-code": Hostile(
        "a wheel is not built",
        (("setup.py", _RUN.encode()), ("pyproject.toml", b"[build-system]\nrequires = []\nbuild-backend = 'setup'\n")),
        refused=False,
    ),
    "named-python": Hostile(
        "a program named as the interpreter", ((f"{_DATA}/scripts/python", b"#!/bin/sh\ntouch CANARY\n"),), refused=True
    ),
    "data-python": Hostile(
        "data in the place of the interpreter",
        ((_program(f"{_DATA}/data/bin/python3", 0o755), b"#!/bin/sh\ntouch CANARY\n"),),
        refused=True,
    ),
    "entry-point-python": Hostile(
        "a console script named as the interpreter",
        entry_points="[console_scripts]\npython3.11 = app:main\n",
        refused=True,
    ),
    "venv-configuration": Hostile(
        "data in the place of the environment's own", ((f"{_DATA}/data/pyvenv.cfg", b"home = TREASURE\n"),)
    ),
    "scripts-climb": Hostile("programs climb out", ((f"{_DATA}/scripts/{_UP}TREASURE/escaped", b"#!python\n"),)),
    "data-climbs": Hostile(
        "data climb out", ((f"{_DATA}/data/{_UP}TREASURE/escaped", b""), (f"{_DATA}/data/TREASURE/escaped", b""))
    ),
    "unknown-scheme": Hostile("data of a kind that there is not", ((f"{_DATA}/evil/escaped", b""),)),
    "entry-point-climbs": Hostile(
        "the name of a console script climbs out", entry_points=f"[console_scripts]\n{_UP}TREASURE/escaped = app:main\n"
    ),
    "entry-point-absolute": Hostile(
        "the name of a console script is a path", entry_points="[console_scripts]\nTREASURE/escaped = app:main\n"
    ),
    "entry-point-code": Hostile(
        "the target of a console script is code",
        entry_points="[console_scripts]\ntool = app:main() or open('CANARY', 'w')\n",
    ),
    "newline-in-name": Hostile("a line break in a name", (("app/a\nb.py", b"X = 1\n"),)),
    "escape-in-name": Hostile("what moves the cursor, in a name", (("app/\x1b[2Jb.py", b"X = (\n"),)),
    "escape-in-metadata": Hostile(
        "what moves the cursor, in the summary", metadata="Summary: \x1b[2J\x1b]0;evil\x07\n"
    ),
    "name-is-no-utf8": Hostile(
        "a name in no encoding", (("app/QQQQ.py", b"X = 1\n"),), replaced=(b"app/QQQQ", b"app/\xff\xfe\xfd\xfc")
    ),
    "nul-in-name": Hostile(
        "a name that ends early", (("app/Q.py.evil", b"X = 1\n"),), replaced=(b"Q.py.evil", b"Q.py\0evil")
    ),
    "long-name": Hostile("a name that no file system has", ((f"app/{'a' * 300}.py", b""),)),
    "deep": Hostile("directories in directories", (("a/" * 2000 + "b.py", b""),)),
    "case-collision": Hostile(
        "names that differ in case alone", (("app/A.py", b"X = 1\n"), ("app/a.py", b"X = 2\n")), refused=False
    ),
    "file-and-directory": Hostile(
        "one name for a file and a directory", (("app", b"X = 1\n"), ("app/b.py", b"X = 2\n"))
    ),
    "own-records": Hostile(
        "files of the installer's own",
        (
            (f"{_INFO}/INSTALLER", b"evil\n"),
            (f"{_INFO}/direct_url.json", b'{"url": "file:///"}'),
            (f"{_INFO}/REQUESTED", b""),
        ),
    ),
    "second-dist-info": Hostile(
        "says of itself to be another package too",
        (("other-2.0.dist-info/METADATA", b"Metadata-Version: 2.1\nName: other\nVersion: 2.0\n"),),
    ),
    "needs-a-stranger": Hostile(
        "needs a package by address", metadata="Requires-Dist: evil @ file://TREASURE/evil.whl\n", refused=True
    ),
    "other-name": Hostile("its metadata are another package's", replaced=(b"Name: app\n", b"Name: evi\n")),
    "stale-byte-code": Hostile(
        "byte code of another source",
        (("app2.py", b"X = 1\n"), ("__pycache__/app2.cpython-311.pyc", b"evil" * 20)),
        refused=False,
    ),
    "no-archive": Hostile("no archive at all", archive=b"evil" * 100, refused=True),
    "empty": Hostile("nothing", archive=b"", refused=True),
    "cut": Hostile("half an archive", archive=Hostile("").wheel("", "")[:300], refused=True),
    "encrypted": Hostile("a member that needs a password", archive=_encrypted(), refused=True),
}
"""By name. `duplicate` and `bomb`, which need more, stand below."""


def _duplicate() -> bytes:
    """Return an archive with two members of one name, of which RECORD knows the first."""
    wheel = Hostile("", (("app/twice.py", b"X = 1\n"), ("app/twicf.py", b"X = 2\n"))).wheel("", "")
    return wheel.replace(b"app/twicf.py", b"app/twice.py")


WHEELS["duplicate"] = Hostile("one name twice", archive=_duplicate())
WHEELS["bomb"] = Hostile("ten gigabytes in ten megabytes", archive=_bomb(10 << 30), refused=True)
