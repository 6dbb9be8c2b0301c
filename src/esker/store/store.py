"""The store: a tree that shows as `/nix`, and which of its paths are valid.

    ROOT/store/<digest>-<name>            read-only, times at 1 s
    ROOT/store/.tmp-… .trash-…            being built, being deleted
    ROOT/var/esker/valid/<digest>-<name>  the record: a path is valid if and only if it has one
    ROOT/var/esker/gcroots/               what keeps paths: `roots`
    ROOT/var/esker/locks/                 held while a path is built or a link is switched
    ROOT/var/esker/gc.lock                shared by whoever uses the store, held alone by whoever collects

A build fills a temporary directory, which is sealed and renamed; the record follows, by rename. A build that is killed
in between leaves a tree without a record. The next build of that path, or the next collection, removes it.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from esker.errors import Malformed, NotFound, StoreError
from esker.formats.nix import store_path
from esker.host import files, trees
from esker.store import record
from esker.store.record import PathInfo
from esker.store.seal import seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from esker.formats.nix.store_path import StorePath

__all__ = ["TEMPORARY", "TRASH", "Store"]

TEMPORARY = ".tmp-"
"""What the name of a tree begins with while it is built."""
TRASH = ".trash-"
"""What the name of a tree begins with while it is deleted."""
_REMEDY = "`esker store gc` frees what nothing uses, ESKER_STORE names another directory for the store"
_LIST = "see what there is: esker store path-info"


class Store:
    """The store below `root`; nothing is made on disk before something is built.

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
        """Return where `build` puts what is built from `fingerprint`."""
        return self.physical(store_path.make(fingerprint, name))

    def record_file(self, path: StorePath) -> str:
        """Return where the record of `path` lies, if it has one."""
        return f"{self.state}/valid/{path.file_name}"

    def lock_file(self, path: StorePath) -> str:
        """Return the lock that is held while `path` is built or taken away."""
        return f"{self.state}/locks/{path.file_name}"

    # Reading

    def named(self, paths: Iterable[str]) -> list[str]:
        """Return where the paths that a person has named lie; raise `NotFound` for one that has no record here."""
        places = []
        for path in paths:
            try:
                parsed = self.parse(path)
            except Malformed as error:
                message = f"`{path}` is not a path of the store: those lie directly in `{self.directory}`"
                raise NotFound(message, hint=_LIST) from error
            if not os.path.exists(self.record_file(parsed)):
                raise NotFound(f"`{self.physical(parsed)}` is not in the store: it has no record", hint=_LIST)
            places.append(self.physical(parsed))
        return places

    def is_valid(self, path: str) -> bool:
        """Whether `path` has a record, and its tree is there."""
        parsed = self.parse(path)
        return os.path.exists(self.record_file(parsed)) and os.path.lexists(self.physical(parsed))

    def record(self, path: str) -> PathInfo:
        """Return the record of `path`, or raise StoreError when it is not valid."""
        parsed = self.parse(path)
        return record.read(self.record_file(parsed), self.physical(parsed))

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
        """Return those of `paths` that are valid, and every path that they need, directly or not."""
        closure: set[str] = set()
        pending = list(paths)
        while pending:
            path = pending.pop()
            if path not in closure and self.is_valid(path):
                closure.add(path)
                pending += self.record(path).references
        return closure

    # Writing

    @contextmanager
    def using(self) -> Iterator[None]:
        """Keep every path of the store from being collected meanwhile: build and root a path within one `using`."""
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

    def build(
        self,
        name: str,
        fingerprint: bytes | str,
        fill: Callable[[str], object],
        *,
        references: Iterable[str] = (),
    ) -> str:
        """Return the path built from `fingerprint`; unless it is valid already, `fill(directory)` makes what it holds.

        A process that asks for a path while another builds it waits for that build. `references` are the store paths
        that the result needs, decided by the fingerprint like everything else. A link into any other path is refused,
        because nothing would keep its target. Outside of `using` the path may be collected as soon as it is returned.
        """
        path = store_path.make(fingerprint, name)
        physical = self.physical(path)
        with self.using():
            if not self.is_valid(physical):
                with files.locked(self.lock_file(path), error=StoreError, remedy=_REMEDY):
                    if not self.is_valid(physical):  # nobody else has built it while we waited
                        needed = tuple(sorted({self.physical(self.parse(each)) for each in references} - {physical}))
                        self._build(path, fingerprint, fill, needed)
        return physical

    def invalidate(self, path: str) -> None:
        """Forget a damaged path, so that it is built again when it is asked for next."""
        parsed = self.parse(path)
        with self.using(), files.locked(self.lock_file(parsed), error=StoreError):
            self.remove(self.discard(parsed))

    def discard(self, path: StorePath) -> str:
        """Take away the record of `path`, then its tree, and return what is left to remove.

        The caller holds the lock of `path`, or the store alone.
        """
        with files.refused("delete", self.physical(path), StoreError):
            with suppress(FileNotFoundError):
                os.unlink(self.record_file(path))
            return self.throw_away(self.physical(path))

    def throw_away(self, path: str) -> str:
        """Rename `path`, so that a removal that is killed leaves no half store path, and return its new name."""
        trash = f"{self.directory}/{TRASH}{os.urandom(8).hex()}"
        with suppress(FileNotFoundError):
            os.rename(path, trash)
        return trash

    def remove(self, path: str) -> int:
        """Remove what was thrown away and return the bytes that this freed.

        A tree that an orphan of a killed build still writes into is left for the next collection.
        """
        try:
            return trees.remove_tree(path)
        except OSError:
            return 0

    def _build(
        self, path: StorePath, fingerprint: bytes | str, fill: Callable[[str], object], needed: tuple[str, ...]
    ) -> None:
        physical = self.physical(path)
        for missing in needed:
            if not self.is_valid(missing):
                raise StoreError(f"`{physical}` needs `{missing}`, which is not valid")
        with files.refused("build", physical, StoreError, remedy=_REMEDY):
            self._remove_left_over(path)
            temporary = f"{self.directory}/{_prefix(path)}{os.urandom(4).hex()}"
            os.mkdir(temporary, 0o700)
            try:
                fill(temporary)
                allowed = {path.file_name, *map(os.path.basename, needed)}
                digest, size = seal(temporary, path.name, allowed, durable=self.durable)
                os.rename(temporary, physical)
                built_from = f"sha256:{_digest(fingerprint)}"
                info = PathInfo(physical, f"sha256:{digest.hex()}", size, needed, self.clock(), built_from)
                record.write(self.record_file(path), info)
            except BaseException:
                self.remove(temporary)
                self.remove(self.discard(path))
                raise

    def _remove_left_over(self, path: StorePath) -> None:
        """Remove what builds of `path` that were killed have left."""
        self.remove(self.discard(path))
        valid = f"{self.state}/valid"
        for directory, prefix in ((self.directory, _prefix(path)), (valid, f".{path.digest}-")):
            for name in os.listdir(directory):
                if name.startswith(prefix):
                    self.remove(f"{directory}/{name}")

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
                status = os.stat(directory)
                if status.st_uid not in {0, os.geteuid()} or status.st_mode & 0o022:
                    hint = f"make it yours alone (`chown`, `chmod go-w`); {_REMEDY.partition(', ')[2]}"
                    raise StoreError(f"`{directory}` can be changed by other users", hint=hint)


def _prefix(path: StorePath) -> str:
    return f"{TEMPORARY}{path.digest}-"


def _digest(fingerprint: bytes | str) -> str:
    return sha256(fingerprint.encode() if isinstance(fingerprint, str) else fingerprint).hexdigest()


def _make_directory(path: str, mode: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, mode)  # never wider, not for a moment
        os.chmod(path, mode)  # whatever the umask: services under another uid enter the store
