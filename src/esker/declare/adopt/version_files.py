"""The files of versions that pyenv, nvm, rbenv, asdf and mise read: `.python-version`, `.nvmrc`, `.tool-versions`.

Each has one version a line, `.tool-versions` after the name of the tool; `#` begins a comment. Where a line has several
versions, the first counts. Words such as `latest` are taken where they can be said exactly.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from esker.declare import notations
from esker.declare.adopt.found import Found, NotTaken, Spec, conda_spec, left_out
from esker.formats.npm_ranges import conda_version
from esker.formats.tables.reader import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.declare.adopt.found import Read

__all__ = ["CONDA_NAMES", "nvmrc", "python_range", "python_version", "ruby_version", "tool", "tool_versions"]

CONDA_NAMES = {
    "cmake": "cmake",
    "deno": "deno",
    "elixir": "elixir",
    "erlang": "erlang",
    "go": "go",
    "golang": "go",
    "gradle": "gradle",
    "helm": "kubernetes-helm",
    "java": "openjdk",
    "jq": "jq",
    "julia": "julia",
    "maven": "maven",
    "node": "nodejs",
    "nodejs": "nodejs",
    "perl": "perl",
    "php": "php",
    "pnpm": "pnpm",
    "postgres": "postgresql",
    "redis": "redis-server",
    "ruby": "ruby",
    "rust": "rust",
    "shellcheck": "shellcheck",
    "sqlite": "sqlite",
    "terraform": "terraform",
    "yarn": "yarn",
    "zig": "zig",
}
"""The name on conda-forge of what asdf and mise call so."""
_DOTS = 2
"""The dots of a version that names one release."""
_NUMBERS = re.compile(r"v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,5})")
_PYTHON = re.compile(r"(?:c?python[-@]?)?([0-9]{1,9})((?:\.[0-9]{1,9}){0,2})")
_JAVA = re.compile(r"(openjdk|temurin|adoptopenjdk|zulu|corretto|liberica|microsoft|sapmachine)-([0-9]{1,9})\b.*")
_NODE_RELEASES = {
    "argon": 4,
    "boron": 6,
    "carbon": 8,
    "dubnium": 10,
    "erbium": 12,
    "fermium": 14,
    "gallium": 16,
    "hydrogen": 18,
    "iron": 20,
    "jod": 22,
    "krypton": 24,
}
"""The names of Node.js's releases with long support."""


def python_version(text: str, file: str, _: Read) -> Found:
    """Return the Python that a .python-version names first."""
    for _number, line in _lines(text):
        try:
            return Found(file, python=python_range(line))
        except NotTaken as reason:
            return Found(file, left_out=(left_out(file, line, reason),))
    return Found(file)


def nvmrc(text: str, file: str, _: Read) -> Found:
    """Return the Node.js that a .nvmrc or a .node-version names, as a conda package."""
    for _number, line in _lines(text):
        word = line.removeprefix("lts/").lower()
        version = f"{_NODE_RELEASES[word]}.*" if word in _NODE_RELEASES else conda_version(line)
        if line.lower() in {"node", "stable"}:
            version = "*"
        if version is None:
            reason = "which version that is changes with time: esker install conda/nodejs"
            return Found(file, left_out=(left_out(file, line, reason),))
        return Found(file, specs=(Spec("nodejs" if version == "*" else f"nodejs {version}"),))
    return Found(file)


def ruby_version(text: str, file: str, _: Read) -> Found:
    """Return the Ruby that a .ruby-version names, as a conda package."""
    for _number, line in _lines(text):
        try:
            return Found(file, specs=(Spec(tool("ruby", line.removeprefix("ruby-"))),))
        except NotTaken as reason:
            return Found(file, left_out=(left_out(file, line, reason),))
    return Found(file)


def tool_versions(text: str, file: str, _: Read) -> Found:
    """Return the tools that a .tool-versions names, as conda packages and a range of Python."""
    pythons, specs, told = [], [], []
    for number, line in _lines(text):
        name, _space, rest = line.replace("\t", " ").partition(" ")
        version = (rest.split() or [""])[0]
        try:
            if name == "python":
                pythons.append(python_range(version))
            else:
                specs.append(Spec(tool(name, version)))
        except NotTaken as reason:
            told.append(left_out(f"{file}:{number}", line, reason))
    python = pythons[0] if pythons else None
    return Found(file, python=python, specs=tuple(dict.fromkeys(specs)), left_out=tuple(told))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.partition("#")[0].strip()
        if line:
            yield number, line


def python_range(text: str) -> str:
    """Return the PEP 440 specifier of a version of Python, as pyenv and mise write it; raises NotTaken."""
    match = _PYTHON.fullmatch(text)
    if match:
        version = match[1] + match[2]
        return f"=={version}" if version.count(".") == _DOTS else f"=={version}.*"
    try:
        if text[:1] in "<>=!~" and text.isprintable():
            return notations.specifier(text)
    except Refusal:
        pass
    raise NotTaken("it is not a version of CPython: write `version` in [plugins.esker.python]")


def tool(name: str, version: str) -> str:
    """Return the conda spec of a tool and its version, as asdf and mise write them; raises NotTaken."""
    if name not in CONDA_NAMES:
        raise NotTaken("Esker does not know which conda package it is")
    package, version = CONDA_NAMES[name], version.removeprefix("latest:")
    if version == "latest":
        return package
    java = _JAVA.fullmatch(version) if package == "openjdk" else None
    if java:
        return f"openjdk={java[2]}"
    match = _NUMBERS.fullmatch(re.sub(r"-otp-[0-9]+$", "", version))
    if match is None:
        raise NotTaken("it does not say which version")
    return conda_spec(f"{package}={match[1]}")
