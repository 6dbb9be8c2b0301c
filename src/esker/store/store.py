"""The store: a directory tree that programs see as `/nix`, and the record of which of its paths are valid.

    ROOT/store/<digest>-<name>            read-only, times at 1 s
    ROOT/store/.tmp-… .trash-…            being built, being deleted
    ROOT/var/esker/valid/<digest>-<name>  the record: a path is valid if and only if it has one
    ROOT/var/esker/gcroots/               what keeps paths from being collected: see `roots`
    ROOT/var/esker/locks/                 held while a path is built or a link is switched
    ROOT/var/esker/gc.lock                shared by every process that uses the store, exclusive to one that collects

A build fills a temporary directory, seals it and renames it to the store path. Then it writes the record, also by
rename. A build that is killed in between leaves a tree without a record, which the next build of that path or the next
collection removes.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from esker.errors import Malformed, NotFound, StoreError
from esker.formats.nix import store_path
from esker.host import files, trees
from esker.store import record
from esker.store.listing import Listing
from esker.store.record import PathInfo
from esker.store.seal import seal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from esker.formats.nix.store_path import StorePath

__all__ = ["TEMPORARY", "TRASH", "Store"]

TEMPORARY = ".tmp-"
"""The start of a tree's name while it is being built."""
TRASH = ".trash-"
"""The start of a tree's name while it is being deleted."""
_ELSEWHERE = "set ESKER_STORE to another directory"
_TOGETHER = 100
"""How many paths are built in one go: each needs open files for its lock and its record until all are built."""
_REMEDY = f"free what nothing uses with `esker store gc`, or {_ELSEWHERE}"
_LIST = "list what the store holds: esker store path-info"


class Store:
    """The store below `root`; its directories are made when something first uses or builds a path.

    Without `durable`, a power cut may leave paths that are valid but broken. That is for tests and throw-away stores.
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
        """Parse `path` (untrusted), which may be physical or logical (`/nix/store/…`); raises Malformed."""
        logical = path.startswith(f"{store_path.DIRECTORY}/")
        return store_path.parse(path, store_path.DIRECTORY if logical else self.directory)

    def path(self, name: str, fingerprint: str) -> str:
        """Return the path that `build` gives to the result of this name and fingerprint."""
        return self.physical(store_path.make(fingerprint, name))

    def record_file(self, path: StorePath) -> str:
        """Return where the record of `path` lies, if it has one."""
        return f"{self.state}/valid/{path.file_name}"

    def lock_file(self, path: StorePath) -> str:
        """Return the file whose lock is held while `path` is built or deleted."""
        return f"{self.state}/locks/{path.file_name}"

    # Reading

    def named(self, paths: Iterable[str]) -> list[str]:
        """Return the physical form of paths that a person typed; raises NotFound for a path without a record."""
        physical = []
        for path in paths:
            try:
                parsed = self.parse(path)
            except Malformed as error:
                message = f"`{path}` is not a store path: store paths lie directly in `{self.directory}`"
                raise NotFound(message, hint=_LIST) from error
            if not os.path.exists(self.record_file(parsed)):
                raise NotFound(f"`{self.physical(parsed)}` is not in the store: it has no record", hint=_LIST)
            physical.append(self.physical(parsed))
        return physical

    def is_valid(self, path: str) -> bool:
        """Return whether `path` has both a record and a tree on disk."""
        parsed = self.parse(path)
        return os.path.exists(self.record_file(parsed)) and os.path.lexists(self.physical(parsed))

    def record(self, path: str) -> PathInfo:
        """Return the record of `path`; raises StoreError when the path is not valid."""
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
        """Return the valid ones among `paths`, and every path that they need, directly or indirectly."""
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
        """Keep collections out during the block; build a path and root it within the same block."""
        self._prepare()
        with files.locked(f"{self.state}/gc.lock", shared=True, error=StoreError):
            yield

    @contextmanager
    def alone(self, waiting: Callable[[], object] | None = None) -> Iterator[None]:
        """Hold the store alone during the block; `waiting` is called first if others are still using it.

        Never enter it within `using`: it would wait for ever, for this very process.
        """
        self._prepare()
        with files.locked(f"{self.state}/gc.lock", waiting=waiting, error=StoreError):
            yield

    def check_writable(self) -> None:
        """Raise StoreError if nothing can be built here: the store is read-only, or not this user's."""
        for directory in (self.directory, self.state):
            with files.refused("change", self.root, StoreError, remedy=_REMEDY):
                files.check_writable(directory)

    def build(
        self,
        name: str,
        fingerprint: str,
        fill: Callable[[str], object],
        *,
        references: Iterable[str] = (),
    ) -> str:
        """Return the path for `fingerprint`; if it is not valid yet, have `fill(directory)` write its contents first.

        If another process is already building the path, this waits for that build. If `fill` returns a Listing of what
        it wrote, the tree is not read again to be hashed. `references` are the store paths that the result needs; the
        fingerprint must determine them, as it must everything else. A link to any other store path is refused, because
        nothing would keep its target. Call it within `using`: outside, a collection may delete the path as soon as it
        is returned.
        """

        def fill_all(made: Mapping[str, str]) -> dict[str, object]:
            return {path: fill(directory) for path, directory in made.items()}

        [path] = self.build_all([(name, fingerprint)], fill_all, references=references)
        return path

    def build_all(
        self,
        wanted: Sequence[tuple[str, str]],
        fill: Callable[[Mapping[str, str]], object],
        *,
        references: Iterable[str] = (),
    ) -> list[str]:
        """Return the paths of several names and fingerprints; `fill` makes many that are not valid yet in one go.

        It is given a directory to fill for each of a hundred paths that are missing, may return listings by path, and
        is called again for the next hundred. If that fails, none of these becomes valid. Else all is as for `build`.
        """
        made = {self.path(name, fingerprint): fingerprint for name, fingerprint in wanted}
        needed = {self.physical(self.parse(reference)) for reference in references}
        with self.using():
            missing = [path for path in made if not self.is_valid(path)]
            for start in range(0, len(missing), _TOGETHER):
                self._build_together({path: made[path] for path in missing[start : start + _TOGETHER]}, fill, needed)
        return [self.path(name, fingerprint) for name, fingerprint in wanted]

    def _build_together(
        self,
        wanted: Mapping[str, str],
        fill: Callable[[Mapping[str, str]], object],
        needed: Collection[str],
    ) -> None:
        """Build the paths of these fingerprints, but for those that others have built while we wait for their locks."""
        with ExitStack() as locks:
            for path in sorted(wanted):  # the same order in every process, so that no two wait for each other
                locks.enter_context(files.locked(self.lock_file(self.parse(path)), error=StoreError, remedy=_REMEDY))
            missing = {path: fingerprint for path, fingerprint in wanted.items() if not self.is_valid(path)}
            if missing:
                self._build(missing, fill, tuple(sorted({*needed} - {*missing})))

    def invalidate(self, path: str) -> None:
        """Delete a damaged path, so that it is built again the next time it is needed."""
        parsed = self.parse(path)
        with self.using(), files.locked(self.lock_file(parsed), error=StoreError):
            self.remove(self.discard(parsed))

    def discard(self, path: StorePath) -> str:
        """Delete the record of `path`, then rename its tree; return the tree's new name, for `remove`.

        The caller holds the lock of `path`, or holds the store alone.
        """
        with files.refused("delete", self.physical(path), StoreError):
            with suppress(FileNotFoundError):
                os.unlink(self.record_file(path))
            return self.throw_away(self.physical(path))

    def throw_away(self, path: str) -> str:
        """Rename the tree at `path` and return its new name; so a removal that is killed leaves no half store path."""
        trash = f"{self.directory}/{TRASH}{os.urandom(8).hex()}"
        with suppress(FileNotFoundError):
            os.rename(path, trash)
        return trash

    def remove(self, path: str) -> int:
        """Remove a tree that was thrown away or never finished, and return the bytes that this freed.

        If a child of a killed build still writes into the tree, what is left of it waits for the next collection.
        """
        try:
            return trees.remove_tree(path)
        except OSError:
            return 0

    def _build(
        self,
        made: Mapping[str, str],
        fill: Callable[[Mapping[str, str]], object],
        needed: tuple[str, ...],
    ) -> None:
        """Build the paths of these fingerprints, whose locks are held."""
        shown = next(iter(made)) if len(made) == 1 else self.directory
        for missing in needed:
            if not self.is_valid(missing):
                raise StoreError(f"`{shown}` needs `{missing}`, which is not valid")
        with files.refused("build", shown, StoreError, remedy=_REMEDY):
            directories = {}
            try:
                self._remove_left_over([self.parse(physical) for physical in made])
                for physical in made:
                    path = self.parse(physical)
                    # In the store's directory: the rename below must not cross file systems.
                    directories[physical] = f"{self.directory}/{_prefix(path)}{os.urandom(4).hex()}"
                    os.mkdir(directories[physical], 0o700)
                returned = fill(directories)
                given = returned.items() if isinstance(returned, dict) else ()
                listings = {path: each for path, each in given if isinstance(each, Listing)}
                sealed = seal(directories, [*map(os.path.basename, needed)], listings, durable=self.durable)
                for physical, directory in directories.items():
                    os.rename(directory, physical)
                self._register(made, sealed, needed)
            except BaseException:
                for physical, directory in directories.items():
                    self.remove(directory)
                    if not self.is_valid(physical):  # others may use it already
                        with suppress(StoreError):  # what has failed first is told
                            self.remove(self.discard(self.parse(physical)))
                raise

    def _register(
        self, made: Mapping[str, str], sealed: Mapping[str, tuple[str, int]], needed: tuple[str, ...]
    ) -> None:
        """Write the records of paths that are in their places; a power cut leaves no record of what is not on disk."""
        with ExitStack() as records:
            for physical, fingerprint in made.items():
                digest, size = sealed[physical]
                built_from = f"sha256:{_digest(fingerprint)}"
                info = PathInfo(physical, digest, size, needed, self.clock(), built_from)
                records.enter_context(record.staged(self.record_file(self.parse(physical)), info))
            if self.durable:
                files.sync_file_system(self.directory)

    def _remove_left_over(self, paths: Collection[StorePath]) -> None:
        """Remove what killed builds of these paths left behind."""
        digests = {path.digest for path in paths}
        for path in paths:
            self.remove(self.discard(path))
        for directory, prefix in ((self.directory, TEMPORARY), (f"{self.state}/valid", ".")):
            for name in os.listdir(directory):
                if name.startswith(prefix) and name[len(prefix) :].partition("-")[0] in digests:
                    self.remove(f"{directory}/{name}")

    def _prepare(self) -> None:
        """Make the store's directories; raises StoreError for one that another user could change."""
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
                    hint = f"make it yours alone (`chown`, `chmod go-w`), or {_ELSEWHERE}"
                    raise StoreError(f"`{directory}` can be changed by other users", hint=hint)


def _prefix(path: StorePath) -> str:
    return f"{TEMPORARY}{path.digest}-"


def _digest(fingerprint: str) -> str:
    return sha256(fingerprint.encode()).hexdigest()


def _make_directory(path: str, mode: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, mode)  # with the mode at once: there is no moment in which others have more access
        os.chmod(path, mode)  # despite the umask: services that run under another uid must enter the store
