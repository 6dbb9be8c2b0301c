"""The project's own pyproject.toml as a part of a change: replaced together with the manifest and the lock."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from esker.declare import project_directory
from esker.errors import HostError, InvalidFile
from esker.formats.untrusted import LARGEST_MANIFEST
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.declare.declaration import Declaration

__all__ = ["ProjectFile"]


class ProjectFile(NamedTuple):
    """A pyproject.toml: its path with links resolved, and its text before a change."""

    path: str
    before: str

    @classmethod
    def of(cls, declaration: Declaration) -> ProjectFile:
        """Return the pyproject.toml that `declaration` names, which must be there; raises HostError and InvalidFile."""
        assert declaration.esker.python is not None
        assert declaration.esker.python.project is not None
        path = os.path.realpath(os.path.join(declaration.project, declaration.esker.python.project))
        return cls(path, files.read_text(path, InvalidFile, limit=LARGEST_MANIFEST))

    def check_unchanged(self) -> None:
        """Raise HostError if the file has another text by now."""
        if files.read_text(self.path, InvalidFile, limit=LARGEST_MANIFEST) != self.before:
            hint = "nothing was changed here: do it again"
            raise HostError(f"`{self.path}` was changed by somebody else at the same time", hint=hint)

    def check_writable(self) -> None:
        """Raise HostError if the file is read-only, or if it cannot be replaced where it is."""
        with files.refused("change", self.path):
            files.check_writable(os.path.dirname(self.path))
            mode = stat.S_IMODE(os.stat(self.path).st_mode)
        if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            raise HostError(
                f"cannot change `{self.path}`: it is read-only", hint=f"allow it, if it is meant: chmod u+w {self.path}"
            )

    @contextmanager
    def restored_on_failure(self, text: str | None) -> Iterator[None]:
        """Put the old text back if the block fails after `text` has taken its place."""
        try:
            yield
        except BaseException:
            if text is not None and files.holds(self.path, text.encode()):
                with self.replaced(self.before):
                    pass
            raise

    @contextmanager
    def replaced(self, text: str | None) -> Iterator[None]:
        """Replace the file by one with `text` and the same mode after the block; None leaves the file as it is."""
        if text is None or files.holds(self.path, text.encode()):
            yield
            return
        with ExitStack() as stack:
            with files.refused("change", self.path):
                above = stack.enter_context(project_directory.opened_project(os.path.dirname(self.path)))
                like = os.stat(os.path.basename(self.path), dir_fd=above, follow_symlinks=False)
            stack.enter_context(files.staged(self.path, text.encode(), directory=above, like=like))
            yield
