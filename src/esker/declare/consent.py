"""Which contents of a project the user has allowed the prompt to activate: `esker allow` and `esker deny`.

Consent is about content. It covers everything by which a project decides what an activation runs: the manifest, the
locks, and beside `.flox` Compose files, `.env`, setup-env.sh and Nix expressions. They are read below the opened
directory of the project, and hashed. For each project there is one file in `$XDG_DATA_HOME/esker/allowed`, named by the
hash of the project's path, with the hashes of all contents that were allowed there. So a branch that was allowed once
stays so.

Consent does not replace `trust`, which is about who could change a project. Only the prompt asks for consent.
"""

from __future__ import annotations

import errno
import os
import stat

from esker.declare import project_directory
from esker.declare.compose_names import BASES, OVERRIDES
from esker.host import files, state_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import contextmanager, suppress
    from hashlib import blake2b
    from typing import Any, Literal, NamedTuple

    from esker.settings import Settings

    Standing = Literal["allowed", "denied", "changed", "unknown"]
    """`changed` means that another content of the project was allowed."""
else:
    from esker.host.context import contextmanager, suppress
    from esker.host.named_tuple import NamedTuple

    try:
        from _blake2 import blake2b  # importing `hashlib` would load OpenSSL, which takes longer than a warm activation
    except ImportError:
        from hashlib import blake2b

__all__ = ["Content", "allow", "carried", "content", "deny", "record_path", "seal_key", "standing"]

_MANIFEST = ".flox/env/manifest.toml"
_LOCKS = (".flox/env/manifest.lock", ".flox/conda.lock", ".flox/pylock.toml")
"""The lock of a composed environment holds the manifest that was merged."""
_MADE_FROM = (_MANIFEST, *_LOCKS)
"""The files that a plan is made from."""
_BESIDE = {"setup-env.sh", ".env", *BASES, *OVERRIDES}
"""Compose reads `.env` too, which may name other Compose files."""
_NIX = ".nix"
_MISSING = ""
_LARGEST = 64 << 20
"""Bytes of one file; a larger one cannot be allowed."""
_KEPT = 100
"""Contents that are remembered for a project: the last ones that were allowed."""
_SIZE = 32


class Content(NamedTuple):
    """What the files of a project say that consent covers."""

    digests: dict[str, str]
    """The hash of each file, by its path below the project; the text is empty for a file that is missing."""

    @property
    def made_from(self) -> str:
        """The hash of what a plan is made from."""
        return _joined(self.digests, _MADE_FROM)

    @property
    def whole(self) -> str:
        """The hash of everything."""
        return _joined(self.digests, sorted(self.digests))

    @property
    def names(self) -> list[str]:
        """The paths of the files, below the project."""
        return list(self.digests)


def content(project: str) -> Content:
    """Return the content of a project (absolute, links resolved); raises HostError if it cannot be read."""
    with files.refused("read", project), project_directory.opened_project(project) as directory:
        digests = dict.fromkeys(_MADE_FROM, _MISSING)
        manifest = None
        with project_directory.opened(f"{project}/.flox") as dot_flox:
            with suppress(FileNotFoundError), project_directory.opened_within(dot_flox, f"{project}/.flox/env") as env:
                manifest = _read("manifest.toml", env)
                digests[_MANIFEST] = _digest_of(manifest)
                digests[_LOCKS[0]] = _digest_of(_read("manifest.lock", env))
            for name in _LOCKS[1:]:
                digests[name] = _digest_of(_read(os.path.basename(name), dot_flox))
        with os.scandir(directory) as found:
            covered = [entry for entry in found if entry.name in _BESIDE or entry.name.endswith(_NIX)]
            beside = [entry.name for entry in covered if not entry.is_dir()]
        for name in sorted({*beside, *_compose_files(manifest or b"")}):
            digests[name] = _digest_of(_read(name, directory))
        return Content(digests)


def _read(name: str, directory: int) -> bytes | None:
    """Return the bytes of a file, or None if there is none; raises OSError for what is no plain file of usual size."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", name)
        if status.st_size > _LARGEST:
            raise OSError(errno.EINVAL, f"it has more than {_LARGEST >> 20} MiB", name)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _compose_files(manifest: bytes) -> Iterable[str]:
    """Return the path of the Compose file that a manifest declares, if it does."""
    if b"compose" not in manifest:
        return ()
    import tomllib

    try:
        name = tomllib.loads(manifest.decode())["plugins"]["esker"]["compose"]["file"]
    except (ValueError, KeyError, TypeError):
        return ()  # nothing can be made of such a manifest, so nothing of it runs
    return (name,) if isinstance(name, str) and name and "\0" not in name else ()


def _digest_of(data: bytes | None) -> str:
    return _MISSING if data is None else blake2b(data, digest_size=_SIZE).hexdigest()


def _joined(digests: dict[str, str], names: Iterable[str]) -> str:
    text = "".join(f"{digests[name]} {len(os.fsencode(name))} {name}\n" for name in names)
    return blake2b(os.fsencode(text), digest_size=_SIZE).hexdigest()


def standing(project: str, present: Content, settings: Settings) -> Standing:
    """Return whether the prompt may activate a project with its present content. A denial comes before everything."""
    record = _record(project, settings)
    if record["denied"]:
        return "denied"
    if present.whole in record["allowed"]:
        return "allowed"
    return "changed" if record["allowed"] else "unknown"


def allow(project: str, present: Content, settings: Settings) -> None:
    """Let the prompt activate a project with this content, and lift a denial."""
    with _changed(project, settings) as record:
        record["denied"] = False
        _add(record, present)


def deny(project: str, settings: Settings) -> None:
    """Let the prompt leave a project alone, whatever its content, and forget what was allowed."""
    with _changed(project, settings) as record:
        record.update(denied=True, allowed=[])


@contextmanager
def carried(project: str, settings: Settings, manifest: str | None = None) -> Iterator[bool]:
    """Let an allowance that holds before a change of ours hold after it; yield whether there is one.

    The change may make new locks, and may write the text `manifest`. If anything else has changed meanwhile, somebody
    else has done so, and the user is asked again.
    """
    before = _allowed_content(project, settings)
    yield before is not None
    if before is None:
        return
    expected = dict(before.digests)
    if manifest is not None:
        expected[_MANIFEST] = _digest_of(manifest.encode())
    after = content(project)
    others = (after.digests.keys() | expected.keys()) - set(_LOCKS)
    if all(after.digests.get(name) == expected.get(name) for name in others) and before != after:
        with _changed(project, settings) as record:
            if not record["denied"]:
                _add(record, after)


def _allowed_content(project: str, settings: Settings) -> Content | None:
    if not os.path.lexists(record_path(project, settings)):
        return None
    present = content(project)
    return present if standing(project, present, settings) == "allowed" else None


def _add(record: dict[str, Any], present: Content) -> None:
    others = [digest for digest in record["allowed"] if digest != present.whole]
    record["allowed"] = [*others, present.whole][-_KEPT:]


def record_path(project: str, settings: Settings) -> str:
    """Return the path of the file that says what of a project is allowed; it need not exist."""
    name = blake2b(os.fsencode(project), digest_size=16).hexdigest()
    return f"{_directory(settings)}/{name}.json"


def _directory(settings: Settings) -> str:
    return f"{settings.data_home}/esker/allowed"


def _record(project: str, settings: Settings) -> dict[str, Any]:
    """Return what is written of a project; nothing counts that another user could have written."""
    empty = {"version": 1, "path": project, "denied": False, "allowed": []}
    record = state_file.read(record_path(project, settings), version=1)
    if record is None or not _is_private(_directory(settings)):
        return empty
    allowed, denied = record.get("allowed"), record.get("denied")
    if record.get("path") != project or not isinstance(denied, bool) or not isinstance(allowed, list):
        return empty
    return empty | {"denied": denied, "allowed": [digest for digest in allowed if isinstance(digest, str)]}


def _is_private(directory: str) -> bool:
    with suppress(OSError):
        status = os.lstat(directory)
        private = status.st_uid == os.geteuid() and not status.st_mode & 0o077
        return private and stat.S_ISDIR(status.st_mode)
    return False


@contextmanager
def _changed(project: str, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield what is written of a project, and write it after the block; nobody else writes meanwhile."""
    import json

    from esker.errors import HostError

    directory, path = _directory(settings), record_path(project, settings)
    with files.refused("write", path):
        files.make_directory(directory)
    if not _is_private(directory):
        raise HostError(f"others can use `{directory}`, so it cannot say what is allowed", hint=f"rm -r {directory}")
    with files.locked(f"{directory}/lock"):
        record = _record(project, settings)
        yield record
        files.write(path, json.dumps(record, indent=2).encode("ascii") + b"\n", mode=0o600)


def seal_key(settings: Settings, *, make: bool = False) -> bytes | None:
    """Return the user's key for `activate.seal`, or None if there is none; with `make` it is made if it is missing.

    Where it cannot be made, or where the user's files are in the home of somebody else, there is none.
    """
    from esker.errors import HostError

    path = f"{settings.data_home}/esker/seal-key.json"
    record = state_file.read(path, version=1)
    if record is None and make:
        import json

        with suppress(HostError, OSError):
            if files.belongs_to_us(os.path.dirname(path)):
                files.make_directory(os.path.dirname(path))
                with files.locked(f"{path}.lock"):
                    record = state_file.read(path, version=1)
                    if record is None:
                        record = {"version": 1, "key": os.urandom(_SIZE).hex()}
                        files.write(path, json.dumps(record).encode("ascii") + b"\n", mode=0o600)
    text = record["key"] if record is not None and isinstance(record.get("key"), str) else ""
    return text.encode("ascii", "replace")[: 2 * _SIZE] or None
