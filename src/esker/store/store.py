"""The store: a tree that shows as `/nix`, its records, and how a path becomes valid.

    ROOT/store/<digest>-<name>          read-only, times at 1 s
    ROOT/store/.tmp-… .trash-…          being built, being deleted
    ROOT/var/esker/valid/<digest>-<name>  the record: a path is valid if and only if it has one
    ROOT/var/esker/gcroots/, locks/     realise/roots.py; locks
    ROOT/var/esker/gc.lock              shared by whoever uses the store, held alone by whoever collects

A build fills a temporary directory, which is made canonical, hashed, flushed to disk and renamed; the record follows,
by rename. Whatever is killed in between leaves a tree without a record, which the next build of that path, or the next
collection, removes.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import Malformed, NotFound, RealisationFailed, StoreError
from esker.formats.nix import nar, store_path
from esker.host import files, places
from esker.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from esker.formats.nix.store_path import StorePath

__all__ = ["Damaged", "PathInfo", "Store", "default_root"]

TEMPORARY = ".tmp-"
TRASH = ".trash-"
_REMEDY = "`esker store gc` frees what nothing uses, ESKER_STORE names another directory for the store"

_LIST = "see what there is: esker store path-info"


class PathInfo(NamedTuple):
    """What is known of a valid path."""

    path: str
    """Physical: where the tree lies."""
    nar_hash: str
    """`sha256:` and hexadecimal digits."""
    nar_size: int
    """Bytes of the archive."""
    references: tuple[str, ...]
    """Physical paths of the store that it needs, sorted; never itself."""
    registered_at: float
    """Seconds since the epoch."""
    built_from: str
    """`sha256:` and hexadecimal digits of the fingerprint."""


class Damaged(NamedTuple):
    """A path that is no longer what was registered."""

    path: str
    reason: str


def default_root(environ: Mapping[str, str], uid: int) -> str:
    """Return the directory of the store that a process with this environment and uid uses."""
    if chosen := environ.get("ESKER_STORE"):
        if not os.path.isabs(chosen):
            raise StoreError(f"ESKER_STORE is `{chosen}`, which is not absolute", hint="begin it with `/`")
        return chosen
    if uid == 0:
        return "/var/lib/esker/root"
    data = places.data(environ)
    if data is None:
        raise StoreError("there is no place for the store: HOME is not set", hint="set HOME or ESKER_STORE")
    return f"{data}/esker/root"


class Store:
    """The store below `root`; nothing is made on disk before something is realised.

    Unless `durable`, a path may be valid and yet broken after a power cut; for tests and throw-away stores.
    """

    def __init__(self, root: str, *, durable: bool = True, clock: Callable[[], float] = time.time) -> None:
        self.root = os.path.realpath(root)
        self.directory = f"{self.root}/store"
        self.state = f"{self.root}/var/esker"
        self.durable = durable
        self.clock = clock

    # Names

    def physical(self, path: StorePath) -> str:
        """Return where `path` lies."""
        return f"{self.directory}/{path.file_name}"

    def parse(self, path: str) -> StorePath:
        """Return the store path that `path` (untrusted) is, physically or logically."""
        logical = path.startswith(f"{store_path.DIRECTORY}/")
        return store_path.parse(path, store_path.DIRECTORY if logical else self.directory)

    def path(self, name: str, fingerprint: bytes | str) -> str:
        """Return where `realise` puts what is built from `fingerprint`."""
        return self.physical(store_path.make(fingerprint, name))

    # Reading

    def named(self, paths: Iterable[str]) -> list[str]:
        """Return where the paths that a person has named lie; raise `NotFound` for one that has no record here."""
        found = []
        for path in paths:
            try:
                parsed = self.parse(path)
            except Malformed as error:
                message = f"`{path}` is not a path of the store: those lie directly in `{self.directory}`"
                raise NotFound(message, hint=_LIST) from error
            if not os.path.exists(self._record_file(parsed)):
                raise NotFound(f"`{self.physical(parsed)}` is not in the store: it has no record", hint=_LIST)
            found.append(self.physical(parsed))
        return found

    def is_valid(self, path: str) -> bool:
        """Whether `path` has a record, and its tree is there."""
        found = self.parse(path)
        return os.path.exists(self._record_file(found)) and os.path.lexists(self.physical(found))

    def record(self, path: str) -> PathInfo:
        """Return the record of `path`, or raise StoreError when it is not valid."""
        found = self.parse(path)
        file = self._record_file(found)
        try:
            with files.refused("read", file, StoreError), open(file, "rb") as opened:
                data = json.load(opened)
            return PathInfo(
                path=self.physical(found),
                nar_hash=str(data["narHash"]),
                nar_size=int(data["narSize"]),
                references=tuple(self.physical(store_path.parse(each)) for each in data["references"]),
                registered_at=float(data["registrationTime"]),
                built_from=str(data["builtFrom"]),
            )
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                hint = "activate the environment again to build it"
                raise StoreError(f"`{self.physical(found)}` is not valid: it has no record", hint=hint) from None
            raise
        except (ValueError, KeyError, TypeError, Malformed) as error:
            hint = f"remove `{file}` and activate the environment again"
            raise StoreError(f"the record `{file}` is damaged", hint=hint) from error

    def paths(self) -> list[str]:
        """Return every valid path, sorted."""
        try:
            with files.refused("read", f"{self.state}/valid", StoreError):
                names = sorted(os.listdir(f"{self.state}/valid"))
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return []
            raise
        return [f"{self.directory}/{name}" for name in names if not name.startswith(".")]

    def closure(self, paths: Iterable[str]) -> set[str]:
        """Return `paths` and every valid path that they need, directly or not."""
        found: set[str] = set()
        pending = list(paths)
        while pending:
            path = pending.pop()
            if path not in found and self.is_valid(path):
                found.add(path)
                pending += self.record(path).references
        return found

    def verify(self, paths: Iterable[str] | None = None, progress: Progress | None = None) -> list[Damaged]:
        """Hash `paths` (every valid path) again and return those that are not as they were registered."""
        listener = progress or Silent()
        chosen = self.paths() if paths is None else list(paths)
        listener.begin("verifying the store", total=len(chosen), unit="paths")
        damaged = []
        for path in chosen:
            reason = self._damage(path)
            # What lost its record since it was listed was collected, which takes the record first.
            if reason and (paths is not None or os.path.exists(self._record_file(self.parse(path)))):
                damaged.append(Damaged(path, reason))
            listener.advance()
        listener.end()
        return damaged

    def _damage(self, path: str) -> str | None:
        try:
            info = self.record(path)
            found, size = files.digest(nar.dump(files.entries(info.path)))
            changed = next(files.with_another_mode(info.path), None)
        except StoreError as error:
            return error.message
        except OSError as error:
            return f"`{os.fsdecode(error.filename or path)}`: {(error.strerror or str(error)).lower()}"
        except Malformed as error:
            return error.message
        if (f"sha256:{found.hex()}", size) != (info.nar_hash, info.nar_size):
            return f"its contents have changed: sha256:{found.hex()} where {info.nar_hash} was registered"
        return f"`{changed}` has another mode than was registered" if changed else None

    # Writing

    @contextmanager
    def using(self) -> Iterator[None]:
        """Keep every path of the store from being collected meanwhile; realise and root within one `using`."""
        self._prepare()
        with files.locked(f"{self.state}/gc.lock", shared=True, error=StoreError):
            yield

    @contextmanager
    def alone(self, waiting: Callable[[], object] | None = None) -> Iterator[None]:
        """Hold the store while nobody uses it; `waiting` is called first when somebody does.

        Within `using` this waits for itself, for ever.
        """
        self._prepare()
        with files.locked(f"{self.state}/gc.lock", waiting=waiting, error=StoreError):
            yield

    def realise(
        self,
        name: str,
        fingerprint: bytes | str,
        build: Callable[[str], object],
        *,
        references: Iterable[str] = (),
    ) -> str:
        """Return the path built from `fingerprint`; unless it is valid already, `build(directory)` fills it.

        Whoever asks while another builds waits for that build. `references` are the store paths that the result needs,
        decided by the fingerprint as all the rest; a link into any other is refused, because nothing would keep its
        target. Outside of `using` the path may be collected as soon as it is returned.
        """
        path = store_path.make(fingerprint, name)
        physical = self.physical(path)
        with self.using():
            if not self.is_valid(physical):
                with files.locked(f"{self.state}/locks/{path.file_name}", error=StoreError, remedy=_REMEDY):
                    if not self.is_valid(physical):
                        needed = tuple(sorted({self.physical(self.parse(each)) for each in references} - {physical}))
                        self._build(path, fingerprint, build, needed)
        return physical

    def invalidate(self, path: str) -> None:
        """Forget a damaged path, so that it is built again when it is asked for next."""
        found = self.parse(path)
        with self.using(), files.locked(f"{self.state}/locks/{found.file_name}", error=StoreError):
            self.remove(self.discard(found))

    def discard(self, path: StorePath) -> str:
        """Take away the record, then the tree of `path`, and return what is left to remove; for who holds its lock."""
        with files.refused("delete", self.physical(path), StoreError):
            with suppress(FileNotFoundError):
                os.unlink(self._record_file(path))
            return self.throw_away(self.physical(path))

    def throw_away(self, path: str) -> str:
        """Rename `path`, so that a removal that is killed leaves no half store path, and return its new name."""
        trash = f"{self.directory}/{TRASH}{os.urandom(8).hex()}"
        with suppress(FileNotFoundError):
            os.rename(path, trash)
        return trash

    def remove(self, path: str) -> int:
        """Remove what was thrown away and return the bytes that this freed.

        What an orphan of a killed build still writes into is left for the next collection.
        """
        try:
            return files.remove_tree(path)
        except OSError:
            return 0

    def _build(
        self, path: StorePath, fingerprint: bytes | str, build: Callable[[str], object], needed: tuple[str, ...]
    ) -> None:
        physical = self.physical(path)
        prefix = f"{TEMPORARY}{path.digest}-"
        temporary = f"{self.directory}/{prefix}{os.urandom(4).hex()}"
        for missing in needed:
            if not self.is_valid(missing):
                raise StoreError(f"`{physical}` needs `{missing}`, which is not valid")
        with files.refused("realise", physical, StoreError, remedy=_REMEDY):
            self.remove(self.discard(path))
            for directory, begin in ((self.directory, prefix), (f"{self.state}/valid", f".{path.digest}-")):
                for left in os.listdir(directory):
                    if left.startswith(begin):  # of a build that was killed
                        self.remove(f"{directory}/{left}")
            os.mkdir(temporary, 0o700)
            try:
                build(temporary)
                digest, size = self._seal(temporary, path.name, {path.file_name, *map(os.path.basename, needed)})
                os.rename(temporary, physical)
                self._register(path, fingerprint, f"sha256:{digest.hex()}", size, needed)
            except BaseException:
                self.remove(temporary)
                self.remove(self.discard(path))
                raise

    def _seal(self, top: str, name: str, allowed: set[str]) -> tuple[bytes, int]:
        """Make the tree at `top` canonical, flush it to disk, and return its hash and size."""
        files.canonicalise(top)
        with self._flushing(top):
            return files.digest(nar.dump(self._checked(top, name, allowed)))

    @contextmanager
    def _flushing(self, path: str) -> Iterator[None]:
        """Flush the file system of `path` meanwhile: disk and processor work at once."""
        from threading import Thread

        refusals: list[OSError] = []

        def flush() -> None:
            try:
                files.sync_file_system(path)
            except OSError as error:
                refusals.append(error)

        thread = Thread(target=flush)
        if self.durable:
            thread.start()
        try:
            yield
        finally:
            if self.durable:
                thread.join()
        if refusals:
            raise refusals[0]

    def _checked(self, top: str, name: str, allowed: set[str]) -> Iterator[nar.Entry]:
        """Yield the entries at `top`; refuse a link that leads to a store path which nothing would keep for it."""
        for entry in files.entries(top):
            if isinstance(entry, nar.Symlink):
                target = os.fsdecode(entry.target)
                place = os.path.join(top, *map(os.fsdecode, entry.path[:-1]), target)
                for directory in (self.directory, store_path.DIRECTORY):
                    inside = os.path.relpath(place, directory).split("/")[0]
                    own = inside == os.path.basename(top) and not target.startswith("/")
                    if inside not in {".", "..", *allowed} and not own:
                        shown = os.fsdecode(b"/".join(entry.path))
                        why = f"which is not among the references of `{name}`"
                        raise RealisationFailed(f"`{shown}` links to `{target}`, {why}")
            yield entry

    def _register(
        self, path: StorePath, fingerprint: bytes | str, nar_hash: str, nar_size: int, needed: tuple[str, ...]
    ) -> None:
        data = fingerprint.encode() if isinstance(fingerprint, str) else fingerprint
        record = {
            "version": 1,
            "path": str(path),
            "narHash": nar_hash,
            "narSize": nar_size,
            "references": [str(self.parse(each)) for each in needed],
            "registrationTime": self.clock(),
            "builtFrom": f"sha256:{sha256(data).hexdigest()}",
        }
        files.write(self._record_file(path), json.dumps(record, indent=1).encode() + b"\n", error=StoreError)

    def _record_file(self, path: StorePath) -> str:
        return f"{self.state}/valid/{path.file_name}"

    def _prepare(self) -> None:
        """Make the store's directories, and refuse those that somebody else could change."""
        with files.refused("make", self.root, StoreError, remedy=_REMEDY):
            parent = os.path.dirname(self.root)
            files.make_directory(os.path.dirname(parent), mode=0o755)
            for directory in (parent, self.root, self.directory, f"{self.root}/var"):
                _make_directory(directory, 0o755)
            for directory in ("", "/valid", "/locks", "/gcroots"):
                _make_directory(self.state + directory, 0o700)
            for directory in (self.root, self.directory, self.state):
                found = os.stat(directory)
                if found.st_uid not in {0, os.geteuid()} or found.st_mode & 0o022:
                    hint = f"make it yours alone (`chown`, `chmod go-w`); {_REMEDY.partition(', ')[2]}"
                    raise StoreError(f"`{directory}` can be changed by other users", hint=hint)


def _make_directory(path: str, mode: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, mode)  # never wider, not for a moment
        os.chmod(path, mode)  # whatever the umask: services under another uid enter the store
