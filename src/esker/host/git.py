"""The git program: run without questions, and without what the caller's variables say of another repository."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from esker.errors import CommandFailed, HostError, NotFound
from esker.formats.urls import redact
from esker.host import prctl
from esker.host.process import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["TOGETHER", "TreeEntry", "contents_of", "fetched_commit", "run_git", "tree_entries", "write_content"]

_LAST_WORDS = 2000
TOGETHER = 32 << 20
"""Bytes of files that are asked for at once; larger files go from git into a file."""
_OF_A_REPOSITORY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
)
"""Variables that a hook of git sets, and that would lead us to the repository whose hook runs us."""
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
_NO_HOOKS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never")
"""A repository that we only read runs nothing of its own."""
_NO_FETCHING = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
"""Git fetches an object that is missing, and the repository's configuration names the program which sends it."""


_TRANSPORTS = ("https", "ssh", "file")
_ONLY_FETCHING = (
    *("-c", "protocol.allow=never"),
    *(word for transport in _TRANSPORTS for word in ("-c", f"protocol.{transport}.allow=always")),
    *("-c", "fetch.recurseSubmodules=false", "-c", "transfer.bundleURI=false"),
    *("-c", "gc.auto=0", "-c", "maintenance.auto=false"),
)
"""What is fetched is not checked out, brings no submodules, and is cleaned up by nobody in the background."""


class TreeEntry(NamedTuple):
    """A file in a commit: its path below the directory that was asked for, its kind, its content's hash and size."""

    path: str
    mode: str
    """`100644` and `100755` are files, `120000` is a symbolic link, `160000` a submodule."""
    hash: str
    size: int


def fetched_commit(address: str, revision: str | None, variables: Mapping[str, str], *, repository: str) -> str:
    """Fetch a revision of a git repository into `repository`, a new directory, and return its commit.

    The caller has checked `address` and `revision`. No file is checked out, so no hook, filter or link of the other
    repository can do anything. Raises NotFound without git, and CommandFailed when git fails.
    """
    os.mkdir(repository)

    def git(*arguments: str) -> str:
        words = [*_ONLY_FETCHING, f"--git-dir={repository}", *arguments]
        return run_git(words, variables, cwd=repository, named=arguments[0], fetches=True).decode().strip()

    git("init", "--quiet", "--bare", "--template=")
    with open(f"{repository}/config", "a", encoding="utf-8") as file:
        # Not as an argument: everybody on this machine can read the arguments of a process.
        quoted = address.replace("\\", "\\\\").replace('"', '\\"')
        file.write(f'[remote "origin"]\n\turl = "{quoted}"\n')
    try:
        git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", revision or "HEAD")
    except CommandFailed:
        if revision is None:
            raise
        # A server may refuse to give a commit by its hash, and none gives one by the beginning of its hash.
        git("fetch", "--quiet", "--force", "origin", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        return git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    return git("rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}")


def tree_entries(repository: str, commit: str, directory: str, variables: Mapping[str, str]) -> list[TreeEntry]:
    """Return all files below a directory of a fetched commit; raises CommandFailed if it is none."""
    words = [f"--git-dir={repository}", "ls-tree", "-r", "-z", "-l", "--full-tree", f"{commit}:{directory}"]
    entries = []
    for line in run_git(words, variables, cwd=repository, named="ls-tree").split(b"\0")[:-1]:
        described, _, path = line.partition(b"\t")
        mode, _, content, size = described.split()
        entries.append(TreeEntry(os.fsdecode(path), mode.decode(), content.decode(), int(size) if size != b"-" else 0))
    return entries


def contents_of(
    repository: str, entries: Sequence[TreeEntry], variables: Mapping[str, str]
) -> Iterator[tuple[TreeEntry, bytes]]:
    """Yield files of a fetched commit with their contents as they are committed: no filter or attribute changes them.

    Raises CommandFailed for a file that is not in the repository.
    """
    waiting = list(reversed(entries))
    while waiting:
        batch: list[TreeEntry] = []
        size = 0
        while waiting and (not batch or size + waiting[-1].size <= TOGETHER):
            batch.append(waiting.pop())
            size += batch[-1].size
        asked = "".join(f"{entry.hash}\n" for entry in batch).encode()
        words = [f"--git-dir={repository}", "cat-file", "--batch"]
        answer = run_git(words, variables, cwd=repository, named="cat-file", given=asked)
        start = 0
        for entry in batch:
            end = answer.find(b"\n", start)
            if answer[start:end] != f"{entry.hash} blob {entry.size}".encode():
                raise CommandFailed(f"git has no content of `{entry.path}`", status=1, output="")
            start = end + 1 + entry.size + 1
            yield entry, answer[end + 1 : start - 1]


def write_content(repository: str, entry: TreeEntry, variables: Mapping[str, str], path: str) -> None:
    """Write a file of a fetched commit into a new file, as it is committed; raises CommandFailed."""
    words = [f"--git-dir={repository}", "cat-file", "blob", entry.hash]
    run_git(words, variables, cwd=repository, named="cat-file", into=path)


def run_git(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    *,
    cwd: str,
    named: str | None = None,
    given: bytes = b"",
    into: str | None = None,
    fetches: bool = False,
) -> bytes:
    """Run git and return what it wrote to stdout; raises NotFound without git, and CommandFailed when git fails.

    `named` is the git command, if it is not the first of the arguments, and `given` is what it reads from stdin. If
    there is a path `into`, stdout goes into a new file there. Only with `fetches` does git ask another repository.
    """
    program = find_program("git", variables.get("PATH"))
    if program is None:
        raise NotFound("git is not installed, and something comes from a repository", hint="install git")
    environ = {name: value for name, value in variables.items() if name not in _OF_A_REPOSITORY} | _QUIET
    environ |= {} if fetches else _NO_FETCHING
    written = open(into, "xb") if into is not None else nullcontext()  # noqa: SIM115  # closed by the next line
    try:
        with written as file:
            completed = subprocess.run(
                [program, *_NO_HOOKS, *arguments],
                cwd=cwd,
                env=environ,
                input=given,
                stdout=file or subprocess.PIPE,
                stderr=subprocess.PIPE,
                check=False,
                preexec_fn=prctl.ending_with_us(signal.SIGKILL),
            )
    except OSError as error:
        raise HostError(f"`{program}` could not be started: {os.strerror(error.errno or 0)}") from error
    if completed.returncode != 0:
        output = redact(completed.stderr.decode(errors="replace").strip())[-_LAST_WORDS:]
        raise CommandFailed(
            f"`git {named or arguments[0]}` ended with status {completed.returncode}: {output.rpartition(chr(10))[2]}",
            status=completed.returncode,
            output=output,
        )
    return completed.stdout or b""
