r"""`requirements.txt`: pip's list of requirements, with the files that it refers to by `-r`.

A line is a PEP 508 requirement, or an option of pip. Oddities: `\\` at the end joins lines, ` #` begins a comment, and
options such as `--hash` may follow a requirement. A file is in any encoding that its first bytes name.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from esker.declare.adopt.found import Found, NotTaken, Unreadable, left_out, wheel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from esker.declare.adopt.found import Read

__all__ = ["requirements", "requirements_of"]

_MOST_FILES = 20
_OPTION = re.compile(r"(--?[A-Za-z][A-Za-z-]*)(?:\s*=\s*|\s+|$)?(.*)")
_OPTIONS_AFTER = re.compile(r"\s--(?:hash|global-option|config-settings|no-binary|only-binary)\b")
_VARIABLE = re.compile(r"\$\{\w+\}")
_SHORT = re.compile(r"^-([rceif])(?=[^\s=-])")
_EDITABLE = {"-e", "--editable"}
_REASONS = {
    **dict.fromkeys(_EDITABLE, "only the project itself can be installed editable"),
    "-c": "a manifest has no constraints: write the limit into `dependencies`",
    "--constraint": "a manifest has no constraints: write the limit into `dependencies`",
}
_INDEXES = {"-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index", "--trusted-host"}


def requirements(text: str, file: str, read: Read) -> Found:
    """Return the requirements of a file; `read` gives the files that it refers to."""
    return requirements_of(text.split("\n"), file, read)


def requirements_of(lines: Iterable[str], file: str, read: Read) -> Found:
    """Return the requirements of lines in pip's notation."""
    reader = _Reader(file, read)
    reader.take(lines, file)
    return Found(
        file,
        included=tuple(reader.files[1:]),
        requirements=tuple(dict.fromkeys(reader.requirements)),
        left_out=tuple(dict.fromkeys(reader.left_out)),
    )


class _Reader:
    """Takes the lines of one file after the other."""

    def __init__(self, file: str, read: Read) -> None:
        self._read = read
        self._asked = {file}
        self.files = [file]
        self.requirements: list[str] = []
        self.left_out: list[str] = []

    def take(self, lines: Iterable[str], file: str) -> None:
        for number, line in _joined(lines):
            place = f"{file}:{number}"
            try:
                if line.startswith("-"):
                    self._option(line, file)
                else:
                    self.requirements.append(_requirement(line))
                    if _OPTIONS_AFTER.search(line):
                        self.left_out.append(
                            f"{file}: hashes and options are left out: the lock pins what is installed"
                        )
            except NotTaken as reason:
                self.left_out.append(left_out(place, _shown(line), reason))

    def _option(self, line: str, file: str) -> None:
        match = _OPTION.fullmatch(_SHORT.sub(r"-\1 ", line, count=1))
        if match is None or match[1] not in {"-r", "--requirement"}:
            name = match[1] if match else ""
            if name in _INDEXES:
                raise NotTaken("which index is used is a setting of the machine, in uv.toml")
            if name in _EDITABLE and re.fullmatch(r"\.(?:/|\[.*\])?", match[2].strip() if match else ""):
                raise NotTaken("a project with a pyproject.toml is part of its environment")
            raise NotTaken(_REASONS.get(name, "it is an option of pip"))
        target = match[2].strip().strip("\"'")
        if "://" in target:
            raise NotTaken("only files of the project are read")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(file), target))
        if path in self._asked:
            return
        if len(self._asked) > _MOST_FILES:
            raise NotTaken("it refers to too many files")
        self._asked.add(path)
        try:
            text = self._read(path)
        except Unreadable as error:
            raise NotTaken(f"that file cannot be read: {error}") from error
        self.files.append(path)
        self.take(text.split("\n"), path)


def _shown(line: str) -> str:
    """Return what a message shows of a line: of an option only the name, since its value may be a secret."""
    is_file = re.match(r"-r|--requirement", line)
    return line if is_file or not line.startswith("-") else re.split(r"[\s=]", line, maxsplit=1)[0]


def _joined(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with the number of the first line of each."""
    pending, first = "", 0
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r")
        if line.lstrip().startswith("#"):
            line = ""
        first = first if pending else number
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        whole = re.sub(r"(?:^|\s)#.*", "", pending + line, count=1).strip()
        pending = ""
        if whole:
            yield first, whole
    if pending.strip():
        yield first, pending.strip()


def _requirement(line: str) -> str:
    text = _OPTIONS_AFTER.split(line, maxsplit=1)[0].strip()
    if _VARIABLE.search(text):
        raise NotTaken("it depends on a variable")
    is_file = re.match(r"(?:\w+\+)?\w+://|[./~]", text) or text.endswith((".whl", ".tar.gz", ".zip"))
    if is_file and "@ " not in text:
        raise NotTaken("it names a file or an address, and no package")
    return wheel(text)
