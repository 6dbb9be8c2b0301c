"""The test command that a project's files imply, where its manifest does not name one."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from esker.errors import EskerError, NotFound
from esker.formats.untrusted import json_value, toml_table
from esker.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from esker.declare.declaration import Declaration

__all__ = ["Implied", "implied_test"]

Implied = tuple[str, tuple[str, ...]]
"""What a project is, by a file of it, and its test commands."""
_RAILS = ("bundle install", "env RAILS_ENV=test bundle exec rails db:prepare", "bundle exec rails test")
_PYTEST = re.compile(r"pytest(?![\w.-])", re.IGNORECASE)
_CONFIGURES = {
    "pyproject.toml": re.compile(r"^\[tool\.pytest(\.ini_options)?\]", re.MULTILINE),
    "tox.ini": re.compile(r"^\[pytest\]", re.MULTILINE),
    "setup.cfg": re.compile(r"^\[tool:pytest\]", re.MULTILINE),
}
"""By file: how it configures pytest."""


def implied_test(declaration: Declaration) -> Implied:
    """Return the one kind that a project has; raises NotFound if it has none that is known, or several."""
    project, kinds = declaration.project, list(_kinds(declaration))
    if len(kinds) == 1:
        return kinds[0]
    hint = 'write it down: `test = "COMMAND"` in [plugins.esker.ci], or --test COMMAND'
    if not kinds:
        raise NotFound(f"nothing in `{project}` says how it is tested", hint=hint)
    listed = ", ".join(f"`{commands[-1]}` ({file})" for file, commands in kinds)
    raise NotFound(f"`{project}` may be tested in several ways: {listed}", hint=hint)


def _kinds(declaration: Declaration) -> Iterator[Implied]:
    project = declaration.project
    if os.path.isfile(f"{project}/config/application.rb"):
        yield "config/application.rb", _RAILS
    if (file := _pytest(declaration)) is not None:
        yield file, ("pytest",)
    if os.path.isfile(f"{project}/Cargo.toml"):
        yield "Cargo.toml", ("cargo test",)
    if os.path.isfile(f"{project}/go.mod"):
        yield "go.mod", ("go test ./...",)
    if _has_npm_test(project):
        clean = os.path.isfile(f"{project}/package-lock.json")
        yield "package.json", ("npm ci" if clean else "npm install", "npm test")


def _pytest(declaration: Declaration) -> str | None:
    """Return the first file that says that the project has tests for pytest: it configures pytest, or needs it."""
    project, python = declaration.project, declaration.esker.python
    if python and any(_PYTEST.match(each) for each in python.dependencies):
        return "manifest.toml"
    if os.path.isfile(f"{project}/pytest.ini"):
        return "pytest.ini"
    for name, sign in _CONFIGURES.items():
        if sign.search(_text(f"{project}/{name}")):
            return name
    if any(_PYTEST.match(each) for each in _requirements(f"{project}/pyproject.toml")):
        return "pyproject.toml"
    lines = _text(f"{project}/requirements.txt").splitlines()
    return "requirements.txt" if any(_PYTEST.match(line) for line in lines) else None


def _requirements(path: str) -> Iterator[str]:
    """Yield what a pyproject.toml needs in its environment: the dependencies, and the group for development."""
    with suppress(ValueError):
        table = toml_table(_text(path))
        project, groups = table.get("project"), table.get("dependency-groups")
        lists = (project, "dependencies"), (groups, "dev")
        for holder, key in lists:
            values = holder.get(key) if isinstance(holder, dict) else None
            yield from (each for each in values if isinstance(each, str)) if isinstance(values, list) else ()


def _has_npm_test(project: str) -> bool:
    with suppress(ValueError):
        values = json_value(_text(f"{project}/package.json"))
        scripts = values.get("scripts") if isinstance(values, dict) else None
        return isinstance(scripts, dict) and isinstance(scripts.get("test"), str)
    return False


def _text(path: str) -> str:
    with suppress(EskerError, OSError, UnicodeDecodeError):
        return files.read(path).decode() if os.path.isfile(path) else ""
    return ""
