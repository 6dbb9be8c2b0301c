"""A small `guix` for tests without the real one: its `shell` sets variables that a manifest names.

A line of the manifest is `NAME=VALUE`, for a variable that is replaced, or `NAME SEPARATOR=VALUE`, for a list in front of
the caller's, in which the separator is one character. A line `error TEXT` makes it fail. Each call is noted in the file
`asked` beside the program.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

__all__ = ["put_on_path"]

_KEPT = ("HOME", "LOGNAME", "USER", "TERM", "TZ")
_LINE = re.compile(r"(?P<name>\w+)(?: (?P<separator>.))?=(?P<value>.*)")


def put_on_path(directory: Path) -> Path:
    """Make the program `guix` in a directory, and return the file in which it notes its calls."""
    program = directory / "guix"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path(__file__).parents[2])!r})\n")
    with open(program, "a", encoding="utf-8") as file:
        file.write(f"from tests.support.guix_stand_in import main\nmain(sys.argv[1:], {str(directory)!r})\n")
    program.chmod(0o755)
    return directory / "asked"


def main(words: list[str], directory: str) -> None:
    """Run `guix [time-machine --channels=FILE --] shell OPTION… -- COMMAND…`."""
    with open(f"{directory}/asked", "a", encoding="utf-8") as asked:
        asked.write(" ".join(words) + "\n")
    if words[0] == "time-machine":
        words = words[words.index("--") + 1 :]
    end = words.index("--")
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words[1:end])
    if "manifest" in options:
        profile = _made(Path(options["manifest"]), Path(directory), options["root"])
    else:
        profile = os.path.realpath(options["profile"])
    environ = dict(os.environ)
    if "pure" in options:
        environ = {name: value for name, value in environ.items() if name in _KEPT}
    environ["GUIX_ENVIRONMENT"] = profile
    for line in Path(profile, "manifest").read_text().splitlines():
        if match := _LINE.fullmatch(line):
            name, separator, value = match["name"], match["separator"], match["value"]
            others = environ.get(name)
            environ[name] = value if separator is None or others is None else f"{value}{separator}{others}"
    os.execve(words[end + 1], words[end + 1 :], environ)


def _made(manifest: Path, directory: Path, root: str) -> str:
    """Make a profile of a manifest and a link to it, and return its path."""
    text = manifest.read_text()
    if failure := re.search(r"^error (.*)", text, re.MULTILINE):
        sys.exit(f"guix shell: error: {failure[1]}")
    profile = directory / f"profile-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
    profile.mkdir(exist_ok=True)
    (profile / "manifest").write_text(text)
    os.symlink(profile, root)
    return str(profile)
