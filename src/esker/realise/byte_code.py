"""Byte code: what Python would write beside the modules of packages, made once, because nobody can write it later.

It has unchecked hashes, so that Python neither compares it with source times, which are all equal, nor rewrites it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

from esker.errors import HostError, RealisationFailed
from esker.host import prctl
from esker.host.child import child
from esker.realise.installation import make_room

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["NO_BYTE_CODE", "compile_modules"]

# Users who can write here all the same, such as root, must write no byte code: pytest would put its own beside the
# modules that it rewrites.
NO_BYTE_CODE = "import os, sys; sys.dont_write_bytecode |= os.access(sys._getframe(1).f_locals['sitedir'], os.W_OK)\n"

# What a process holds in memory shows in the byte code that it writes. So each directory is compiled by a child that is
# forked from the same state, and its bytes do not depend on what else is compiled. Starting an interpreter for each
# would take longer. With any change to this script, increase the recipe of what it is part of.
_COMPILE = """\
import os, py_compile, sys

def compile_directory(libraries):
    found = []
    for directory, directories, files in os.walk(libraries):
        found += [os.path.join(directory, name) for name in files if name.endswith(".py")]
    for path in sorted(found):
        if os.getppid() != parent:
            os._exit(1)
        try:
            py_compile.compile(path, dfile=os.path.relpath(path, libraries), doraise=True,
                               invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
        except (py_compile.PyCompileError, UnicodeError, ValueError, RecursionError):
            pass

parent = os.getpid()
running = failed = 0
for libraries in sys.argv[1:]:
    if running == 2:
        failed |= os.wait()[1]
        running -= 1
    if os.fork() == 0:
        try:
            compile_directory(libraries)
        except BaseException as error:
            sys.stderr.write("%s: %s\\n" % (type(error).__name__, error))
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    running += 1
while running:
    failed |= os.wait()[1]
    running -= 1
sys.exit(bool(failed))
"""
_NO_SPACE = "No space left"


def compile_modules(directories: Sequence[str], interpreter: str, variables: Mapping[str, str]) -> None:
    """Compile every module below each of the directories, which are site-packages, two directories at a time.

    A module that is no valid source, as templates and tests of parsers are, is left without byte code. `interpreter` is
    the path of a Python, and `variables` are those of the process. Raises HostError and RealisationFailed.
    """

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [interpreter, "-I", "-S", "-B", "-W", "ignore", "-c", _COMPILE, *directories],
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=prctl.ending_with_us(signal.SIGKILL),  # noqa: PLW1509  # safe in threads, as it says
        )

    with child(start) as compiler:
        error = os.fsdecode(compiler.communicate()[1]).strip()
    if compiler.returncode != 0:
        last = error.rpartition("\n")[2]
        if _NO_SPACE in last:
            raise HostError(f"the disk is full: {last}", hint=make_room())
        raise RealisationFailed(f"byte code could not be compiled by `{interpreter}`: {last}")
