"""A stranger's program: exchanges two names of a directory with each other for ever.

`exchanging.py UID FIRST SECOND`, started by root: it becomes the stranger only here, because the stranger may not be able
to enter the directory of the interpreter.
"""

from __future__ import annotations

import ctypes
import os
import sys

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def main() -> None:
    """Exchange the two, with a short pause after each time, so that either stands long enough to be read."""
    uid, first, second = int(sys.argv[1]), *map(os.fsencode, sys.argv[2:])
    rename = ctypes.CDLL(None).renameat2
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    turn = 0
    while True:
        assert rename(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE) == 0
        turn += 1
        for _ in range(turn * 7919 % 997):  # by turns, so that no rhythm of the victim's escapes
            pass


if __name__ == "__main__":
    main()
