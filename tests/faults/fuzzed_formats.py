"""Every format that Esker reads, each with the way in which it is read and the inputs from which the fuzzer begins."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from esker.activate import allocation, lists
from esker.activate import plan as plans
from esker.activate.compose import configuration
from esker.activate.compose import project as compose_project
from esker.activate.composition import activation
from esker.activate.expansion import expanded, needs_bash, quoted
from esker.activate.shells import undo
from esker.activate.starts import registry
from esker.declare import known_environments, project_directory, trust
from esker.declare.adopt import found_in, joined
from esker.declare.adopt.project_files import READERS
from esker.declare.declaration import ComposeTable, ContainerTable, EskerTable, PythonTable
from esker.declare.load import Declaration, environment_name
from esker.declare.template import manifest as new_manifest
from esker.declare.validate import read_text
from esker.errors import EskerError, NotTrusted
from esker.formats import elf, git_address, image_lock, json_text, lockfile, pylock, service_handle, uv_lock, vendored
from esker.formats.conda import package_info
from esker.formats.manifest import parse as parse_manifest
from esker.formats.manifest import record as record_of
from esker.formats.manifest_text import render as render_manifest
from esker.formats.merge import COMPOSER, Layer, merge
from esker.formats.nix import nixbase32, path_info, store_path
from esker.formats.npm import configuration as npm_configuration
from esker.formats.npm import package_lock
from esker.formats.oci import config as config_document
from esker.formats.oci import reference, tar
from esker.formats.oci.configuration import Configuration
from esker.formats.oci.documents import CONFIG, LAYER, MANIFEST, describe, document, index, manifest
from esker.formats.oci.platform import Platform
from esker.formats.oci.steps import UnitLine, step, unit_lines
from esker.formats.oci.tar_reader import TarReader
from esker.formats.references import references, vars_in_order
from esker.formats.tables.reader import Refusal
from esker.formats.untrusted import json_value, toml_table
from esker.host import process_id, state_file
from esker.lock.edges import with_edges
from esker.lock.pyproject import read_pyproject
from esker.services.compose.container import parse_containers, read_started
from esker.services.compose.specified import specify_containers
from esker.services.flox import uses
from esker.services.supervised import logs, supervisor_record
from esker.services.supervised.planned import planned_services
from esker.settings import Settings
from esker.ship.base.facts import BaseFacts
from esker.ship.base.tree import BaseTree
from esker.ship.content.base_accounts import Accounts
from esker.ship.content.prepared import npm_archive
from esker.ship.image.registry.credentials import Credentials, find_login
from esker.store import image_blobs, record, roots, temporary_roots
from esker.store import registration as registrations
from esker.store.store import Store
from tests.support.npm_registry import archive, member
from tests.support.projects import EMPTY, write_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["Format", "formats"]

_DATA = Path(__file__).parents[1] / "formats/data"
_PATH = "/nix/store/0c5p1a5kmy0hxz4ri6dfvwlg23jn7qb8-tool-1.0"
_PATH_INFO = (
    b'{"%s": {"narHash": "sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY=", "narSize": 9, "references": ["%s"]}}'
    % (_PATH.encode(), _PATH.encode())
)
_MANIFEST = b"""schema-version = "1.14.0"
[vars]
A = "${B}/x"
B = "$(date)"
[services]
db.command = "db"
files.command = "files"
web.command = "exec sleep 1"
web.depends-on.db.condition = "process_healthy"
[plugins.esker.python]
version = ">=3.11,<4"
dependencies = ["starlette", "psycopg[binary]>=3.2 ; sys_platform == 'linux'"]
source = ["src", "../shared"]
build = ["Some_Wheel"]
programs = { One_Wheel = "one_wheel/bin/*", two = ["two/bin/node", { npm = "two/npm-cli.js" }] }
[plugins.esker.services.db]
depends-on = { files = "service_completed_successfully" }
restart = "on-failure"
max-restarts = 5
backoff = "250ms"
stop-signal = "SIGINT"
stop-grace-period = "1m5s"
ports = { PGPORT = 0, ADMIN_PORT = 8080 }
pass-env = ["AWS_PROFILE"]
user = "postgres"
[plugins.esker.services.db.healthcheck]
test = ["pg_isready", "-q"]
interval = "10s"
retries = 4
[plugins.esker.services.files]
type = "oneshot"
[plugins.esker.compose]
file = "docker-compose.yml"
services = ["compose"]
"""
_PYPROJECT = b"""
[project]
name = "app"
version = "1"
requires-python = ">=3.11,<4"
dependencies = ["httpx>=0.27; python_version >= '3.11'", "rich[all]"]
[project.optional-dependencies]
fast = ["uvloop"]
[dependency-groups]
test = ["pytest>=8", {include-group = "types"}]
types = ["mypy"]
[tool.uv.sources]
rich = {git = "https://example.com/rich"}
httpx = [{index = "own"}]
"""
_PYLOCK = b"""lock-version = "1.0"
environments = ["sys_platform == 'linux'"]
requires-python = ">=3.11"
created-by = "esker"
[[packages]]
name = "app"
version = "1.0"
marker = "python_version >= '3.11'"
index = "https://example.com/simple"
wheels = [{name = "app-1.0-py3-none-any.whl", url = "https://example.com/app-1.0-py3-none-any.whl", size = 1000, \
hashes = {sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}]
[tool.esker]
inputs = "sha256:INPUTS"
requirements = ["app>=1"]
python = ">=3.11"
systems = ["x86_64-linux"]
build = []
indexes = ["https://example.com/simple"]
contents = "sha256:CONTENTS"
packages = ["app 1.0 0123456789abcdef"]
"""
_UV_LOCK = b"""version = 1
revision = 3
requires-python = ">=3.11"
supported-markers = ["sys_platform == 'linux'"]
[[package]]
name = "app"
version = "0.1.0"
source = { editable = "." }
dependencies = [{ name = "helper", marker = "python_full_version >= '3.12'" }]
[package.optional-dependencies]
fast = [{ name = "helper", version = "3.20" }]
[[package]]
name = "helper"
version = "3.20"
source = { registry = "https://example.com/simple" }
wheels = [{ url = "https://example.com/helper-3.20-py3-none-any.whl", hash = "sha256:ab", size = 10 }]
"""


_ORIGIN = b"""
repository = "https://git.example/team/base.git"
revision = "v1"
directory = "environments/base"
commit = "0123456789abcdef0123456789abcdef01234567"
"""


def _address(data: bytes) -> None:
    with suppress(Refusal):
        git_address.parse(data.decode())


class Format(NamedTuple):
    """A format under test."""

    read: Callable[[bytes], object]
    """Reads an input in the way in which Esker reads a file of the format."""
    seeds: Sequence[bytes]
    declared: tuple[type[Exception], ...] = ()
    """Errors that `read` may raise; EskerError is always allowed."""
    trees: str | None = None
    """`json` or `toml`, if the seeds are such texts and are changed as trees too."""


def formats(top: Path) -> dict[str, Format]:
    """Return the formats by name; files that have to exist are made below `top`, which is empty."""
    project = write_project(top / "project")
    return {
        **_declared(project),
        **_adopted(top),
        **_states(top, project),
        **_contained(project),
        **_stored(top),
        **_conda(),
        **_images(top),
        **_npm(top),
        **_texts(top),
    }


def _declared(project: Path) -> dict[str, Format]:
    """Return the formats that people and Flox write into a project."""
    manifests = [path.read_bytes() for path in sorted(_DATA.rglob("manifest.toml"))]
    manifests.append(_MANIFEST)
    locks = [path.read_bytes() for path in sorted(_DATA.rglob("manifest.lock"))]
    made_from = pylock.Inputs(
        requirements=("app>=1",),
        python=">=3.11",
        systems=("x86_64-linux",),
        indexes=("https://example.com/simple",),
    )
    pylocks = [_PYLOCK.replace(b"sha256:INPUTS", made_from.digest().encode()), _PYLOCK]
    plain, _ = read_text(EMPTY)
    esker = EskerTable(python=PythonTable(project="pyproject.toml", groups=("test",)))
    declaration = Declaration(project=str(project), name="items", manifest=plain, esker=esker)

    def manifest(data: bytes) -> None:
        read, _ = read_text(data.decode())
        lockfile.differences(read, plain)
        vars_in_order(read.vars)
        assert record_of(parse_manifest(render_manifest(read))) == record_of(read)

    own = pylock.parse(pylocks[0].decode())

    def lock(data: bytes) -> None:
        read = lockfile.parse(data)
        lockfile.render(read)
        lockfile.differences(read.own_manifest(), plain)
        if read.compose is not None:
            layers = [Layer(each.name, each.manifest) for each in read.compose.include]
            merge([*layers, Layer(COMPOSER, read.compose.composer)])

    def python_lock(data: bytes) -> None:
        read = pylock.parse(data.decode())
        if (inputs := pylock.inputs(read)) is not None:
            pylock.render(read, inputs)
            tuple(pylock.alterations(read, inputs))

    def lock_of_uv(data: bytes) -> None:
        with_edges(own, uv_lock.parse(data.decode()))

    def pyproject(data: bytes) -> None:
        (project / "pyproject.toml").write_bytes(data)
        found = read_pyproject(declaration)
        assert found is not None
        found.requirements(("test",))

    def pointer(data: bytes) -> None:
        (project / ".flox/env.json").write_bytes(data)
        environment_name(str(project))

    not_utf8 = (UnicodeDecodeError,)  # the callers read the file, and say which one it is
    return {
        "manifest.toml": Format(manifest, manifests, not_utf8, "toml"),
        "manifest.lock": Format(lock, locks, trees="json"),
        "pylock.toml": Format(python_lock, pylocks, not_utf8, "toml"),
        "uv.lock": Format(lock_of_uv, [_UV_LOCK], not_utf8, "toml"),
        "include/NAME.toml": Format(
            lambda data: vendored.render(vendored.parse(data.decode(), "base.toml")), [_ORIGIN], not_utf8, "toml"
        ),
        "address of an environment": Format(
            _address, [b"ssh://git@git.example/a@v1#b", b"git@git.example:a@v1"], _UTF8
        ),
        "env.json": Format(pointer, [b'{"name": "items", "version": 1}', b'{"owner": "o", "name": "n"}'], trees="json"),
        "pyproject.toml": Format(pyproject, [_PYPROJECT], trees="toml"),
        "toml": Format(lambda data: toml_table(data.decode()), [*manifests, _PYPROJECT], (ValueError,), "toml"),
        "json": Format(json_value, locks[:1], (ValueError,), "json"),
    }


def _adopted(top: Path) -> dict[str, Format]:
    """Return the files that `esker init` reads; whatever they say, the manifest that it writes is valid."""
    layouts = Path(__file__).parents[1] / "declare/adopt/layouts"

    def adopted(file: str) -> Callable[[bytes], object]:
        directory = top / f"adopted {file}"
        directory.mkdir()

        def read(data: bytes) -> None:
            (directory / file).write_bytes(data)
            try:
                read_text(new_manifest(adopted=joined(found_in(str(directory)))))
            except EskerError as error:
                raise AssertionError("the new manifest is not valid") from error

        return read

    seeds = {file: [path.read_bytes() for path in sorted(layouts.glob(f"*/{file}"))] for file in READERS}
    trees = {"pyproject.toml": "toml", "pixi.toml": "toml", "package.json": "json"}
    return {
        f"adopted {file}": Format(adopted(file), seeds[file], trees=trees.get(file)) for file in READERS if seeds[file]
    }


def _states(top: Path, project: Path) -> dict[str, Format]:
    """Return the formats that one Esker process writes for the next."""
    dot_flox = f"{project}/.flox"
    settings = Settings({"HOME": str(top)})
    me = process_id.of(os.getpid())
    plan = plans.completed(_plan(project))
    plan_path = plans.plan_path(str(project), "dev")
    plans.write(plan, plan_path)
    start = {
        "token": "t",
        "identity": plan.identity,
        "mode": "dev",
        "ready": True,
        "ends": False,
        "keeper": [*me, ""],
        "members": [[*me, "u"]],
    }
    started = {"version": 1, "boot": process_id.boot_id(), "starts": [start]}
    supervisor = {
        "token": "t" * 16,
        "dot_flox": dot_flox,
        "socket": "/run/x.sock",
        "host": os.uname().nodename,
        "boot": process_id.boot_id(),
        "uid": os.geteuid(),
        "guardian": [*me],
        "supervisor": [*me],
    }
    runs = {"sessions": [[*me]], "stores": ["/nix"]}
    services = [{"name": "web", "status": "Running", "pid": 7, "exit_code": None, "health": "healthy"}]
    handle = {
        "flox_env_path": "/p",
        "started_at": "2026-11-20T12:21:34Z",
        "services": services,
        "version": 1,
        "engine": "native",
        "holder": {"pid": 7, "start": 1, "boot": "b"},
    }
    trusted = {"version": 1, "projects": [{"path": str(project), "inode": 1}]}
    known = {"version": 1, "entries": [{"path": dot_flox, "envs": []}]}
    using = {"uses": [["t", *me, ["web"]]], "started": ["web"], "holder": [*me, process_id.boot_id()]}
    own_ports = {"project": str(project), "ports": {"PORT": 12000}}
    owner = Declaration(project=str(project), name="items", manifest=read_text(EMPTY)[0], esker=EskerTable())

    def read_starts(data: bytes) -> None:
        for each in registry._parse(data) or ():
            each.prune()
            each.record()

    def read_uses(_: bytes) -> None:
        with project_directory.opened(os.path.dirname(used)) as directory:
            uses._read(used, directory).users("web")

    def read_plan(_: bytes) -> None:
        if (read := plans.read(plan_path)) is not None:
            plans.fresh(read)
            planned_services(read)
            # Otherwise bash would run what the fuzzer has written.
            if read.hook is None and not any(needs_bash(text) for _, text in read.vars):
                activation(read, {"PATH": "/bin"}, runtime_directory="/run/x")

    def read_supervisor(_: bytes) -> None:
        supervisor_record.services_are_running(dot_flox)

    used = f"{dot_flox}/cache/esker/flox-services.json"
    earlier, shared, registered, trusting = (
        str(top / name) for name in ("own.json", "shared.json", "r.json", "t.json")
    )
    record_file = supervisor_record.record_path(dot_flox)
    return {
        "plan": _file(plan_path, read_plan, [Path(plan_path).read_bytes()], trees="json"),
        "state file": Format(state_file.parse, [json.dumps(runs).encode()], trees="json"),
        "json text": Format(
            lambda data: json_text.parse(data.decode()),
            [json.dumps(handle).encode()],
            (ValueError, RecursionError),
            "json",
        ),
        "supervisor record": _file(record_file, read_supervisor, [_lines(supervisor, runs)]),
        "supervisor": _file(record_file, read_supervisor, [_lines(supervisor)], trees="json"),
        "supervised programs": _file(
            record_file, read_supervisor, [_lines(runs)], trees="json", before=_lines(supervisor)
        ),
        "starts": Format(read_starts, [_lines(started)], trees="json"),
        "flox-services.json": _file(
            used, read_uses, [_lines({"boot": process_id.boot_id(), "contents": using})], trees="json"
        ),
        "service handle": Format(service_handle.parse, [_lines(handle)], trees="json"),
        "ports.json": _file(earlier, lambda _: allocation._earlier(earlier, owner), [_lines(own_ports)], trees="json"),
        "reserved ports": _file(
            shared, lambda _: allocation._reserved(shared), [_lines({"12000": str(project)})], trees="json"
        ),
        "trusted.json": _file(
            trusting, lambda _: trust._entries(trusting, settings), [_lines(trusted)], (NotTrusted,), trees="json"
        ),
        "env-registry.json": _file(
            registered, lambda _: sorted(known_environments._entries(registered)), [_lines(known)], trees="json"
        ),
    }


def _contained(project: Path) -> dict[str, Format]:
    """Return what is kept of services in containers, and what the `docker` command says of them."""
    plain, _ = read_text(EMPTY)
    table = ComposeTable(services={"db": ContainerTable(ports={"PGPORT": 5432})})
    declaration = Declaration(project=str(project), name="items", manifest=plain, esker=EskerTable(compose=table))
    dot_flox = declaration.dot_flox
    described = {
        "name": "shop",
        "services": {
            "db": {
                "image": "postgres:17",
                "build": {"context": "."},
                "container_name": "the-db",
                "deploy": {"replicas": 1},
                "depends_on": {"files": {"condition": "service_completed_successfully", "required": False}},
                "ports": [{"target": 5432, "published": "5432", "host_ip": "127.0.0.1", "mode": "ingress"}],
                "stop_grace_period": "1m30s",
                "volumes": [{"type": "volume", "source": "data", "target": "/data"}],
            },
            "files": {"image": "busybox"},
        },
        "volumes": {"data": {"name": "shop_data", "external": True}},
    }
    configured = msgspec.to_builtins(configuration.parse(json.dumps(described)))
    kept = {
        "version": 1,
        "inputs": "0",
        "name": "shop",
        "own_name": "shop",
        "is_named": True,
        "services": configured["services"],
        "hashes": {"db": ["1", "2"], "files": ["1"]},
        "port_inputs": {"db": ["PGPORT"]},
        "mapped": {"PGPORT": None},
    }
    state = {
        "Status": "running",
        "ExitCode": 0,
        "Pid": 7,
        "Health": {"Status": "healthy", "Log": [{"Output": "yes"}]},
    }
    inspected = {
        "Id": "a" * 64,
        "Name": "/shop-db-1",
        "State": state,
        "Config": {"Labels": {"com.docker.compose.service": "db", "com.docker.compose.project": "shop"}},
        "NetworkSettings": {"Ports": {"5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": "15432"}], "80/tcp": None}},
        "Mounts": [{"Type": "volume", "Name": "shop_data"}],
        "RestartCount": 1,
    }
    kept_file, started_file = compose_project.kept_path(declaration.dot_flox), f"{dot_flox}/cache/esker/containers.json"

    def read_kept(_: bytes) -> None:
        if (read := compose_project._read(declaration.dot_flox)) is not None:
            made = compose_project.ComposeProject(
                name=read.name,
                directory=str(project),
                files=("/p/compose.yaml",),
                has_override=read.has_override,
                services=read.services,
                hashes=read.hashes,
                port_inputs={name: tuple(names) for name, names in read.port_inputs.items()},
                variables={},
            )
            specify_containers(made, table)
            compose_project.exported(made, declaration)

    return {
        "compose.json": _file(kept_file, read_kept, [_lines(kept)], trees="json"),
        "containers.json": _file(
            started_file,
            lambda _: read_started(dot_flox),
            [_lines({"started": {"db": "a" * 64}})],
            trees="json",
        ),
        "docker compose config": Format(
            lambda data: configuration.parse(data.decode()), [_lines(described)], _UTF8, "json"
        ),
        "docker inspect": Format(
            lambda data: parse_containers(data.decode()), [b"[" + _lines(inspected) + b"]"], (ValueError,), "json"
        ),
    }


def _stored(top: Path) -> dict[str, Format]:
    """Return the formats of the store."""
    store = Store(str(top / "store"))
    path = store.physical(store.parse(_PATH))
    described, registered = (str(top / name) for name in ("record", "registration"))
    kept = f"{temporary_roots._directory(store.root)}/a"
    Path(kept).parent.mkdir(parents=True, exist_ok=True)
    info = {
        "version": 1,
        "path": _PATH,
        "narHash": "sha256:" + "0" * 64,
        "narSize": 100,
        "references": [_PATH],
        "registrationTime": 1.5,
        "builtFrom": "sha256:" + "0" * 64,
    }
    link = {
        "version": 1,
        "link": str(top / "link"),
        "held": None,
        "generations": [
            {"number": number, "path": _PATH, "time": 1.5, "declared": _PATH, "parent": 1, "description": "x"}
            for number in (1, 2)
        ],
        "events": [{"time": 1.5, "generation": 2, "previous": 1, "new": True}],
    }
    rooted = {
        "version": 1,
        "host": os.uname().nodename,
        "boot": process_id.boot_id(),
        "paths": [_PATH],
        "processes": [],
    }

    digests = [f"sha256:{'0' * 64}"]
    made = {"version": 1, "lock": str(top / "x"), "images": [{"platform": "p", "time": 1.5, "digests": digests}]}

    def registration(_: bytes) -> None:
        link, _ = registrations.parse(store, registered)
        roots._is_gone(link)

    return {
        "store record": _file(described, lambda _: record.read(described, path), [_lines(info)], trees="json"),
        "registration": _file(registered, registration, [_lines(link)], trees="json"),
        "temporary root": _file(kept, lambda _: temporary_roots._read(kept), [_lines(rooted)], trees="json"),
        "root of images": _file(kept, lambda _: image_blobs._read(kept), [_lines(made)], trees="json"),
        "nix base32": Format(
            lambda data: nixbase32.decode(data.decode()), [b"0c5p1a5kmy0hxz4ri6dfvwlg23jn7qb8"], _UTF8
        ),
        "nix path-info": Format(path_info.parse, [_PATH_INFO], trees="json"),
        "store path": Format(lambda data: str(store_path.parse(data.decode())), [_PATH.encode()], _UTF8),
        "ELF": Format(elf.parse, [*_programs()]),
    }


def _conda() -> dict[str, Format]:
    """Return what a conda package says of itself."""
    listed = {"_path": "bin/a", "path_type": "hardlink", "prefix_placeholder": "/p", "file_mode": "binary"}
    paths = {"paths": [listed, {"_path": "lib/b", "path_type": "softlink"}], "paths_version": 1}
    said = {"name": "a", "version": "1", "build": "0", "noarch": "python", "python_site_packages_path": "lib/p"}
    link = {"noarch": {"type": "python", "entry_points": ["a = b.c:d"]}}
    return {
        "paths.json of conda": Format(package_info.listed_paths, [_lines(paths)], trees="json"),
        "index.json of conda": Format(package_info.index, [_lines(said)], trees="json"),
        "link.json of conda": Format(package_info.entry_points, [_lines(link)], trees="json"),
    }


def _images(top: Path) -> dict[str, Format]:
    """Return what registries, layouts and other people's images say of themselves."""
    layer = describe(b"layer", f"{LAYER}+gzip")
    made = step("base", [UnitLine("conda/bash", "5.2", "0f1e")])
    asked = Configuration(env={"A": "1"}, cmd=("x",), labels={"a": "b"}, ports=("80/tcp",))
    config = config_document.render(asked, Platform("linux", "amd64"), [(layer.digest, made)], created=1)
    written = manifest(describe(config, CONFIG), [layer])
    named = describe(written, MANIFEST, platform=Platform("linux", "amd64"), annotations={"a": "b"})
    locked = {"name": "a", "platform": "linux/amd64", "key": "0" * 64, "media-type": LAYER, "size": 1}
    locked |= {"digest": layer.digest, "diff-id": layer.digest}
    taken = {"kind": "python", "name": "cpython", "url": "https://files.example/p", "hash": "sha256:0"}
    lock = {"version": 1, "layers": [locked], "inputs": [taken]}
    logins = {"auths": {"registry.example": {"auth": "dTpw", "identitytoken": "x"}}, "credHelpers": {"other": "keys"}}
    kept = f"{top}/config.json"

    def shown(data: bytes) -> None:
        read = config_document.parse(data, "it")
        for each in read.steps:
            unit_lines(each)
        config_document.render(asked, read.platform, [(layer.digest, made)], created=1, base=read)

    def asked_for(_: bytes) -> None:
        find_login("registry.example", Credentials(kept, {"PATH": "/nonexistent"}))

    return {
        "image.lock": Format(lambda data: image_lock.parse(data, "image.lock"), [_lines(lock)], trees="json"),
        "manifest of an image": Format(lambda data: document(data, "it"), [written, index([named])], trees="json"),
        "configuration of an image": Format(shown, [config], trees="json"),
        "name of an image": Format(
            lambda data: str(reference.parse(data.decode())),
            [b"registry.example:80/team/app:1.0@" + layer.digest.encode()],
            _UTF8,
        ),
        "layer of a base": Format(_layer_of_a_base, [*_layers_of_a_base()]),
        "accounts of a base": Format(
            lambda data: Accounts(BaseFacts(passwd=data, group=data)).user("app:b", is_declared=True),
            [b"root:x:0:0:root:/root:/bin/sh\nb:x:5:"],
        ),
        "docker's logins": _file(kept, asked_for, [_lines(logins)], trees="json"),
    }


def _npm(top: Path) -> dict[str, Format]:
    """Return what npm and its registries write."""
    entry = {"version": "1.0.0", "resolved": "https://npm.invalid/a.tgz", "integrity": f"sha512-{'A' * 86}=="}
    listed = {
        "": {"name": "app"},
        "node_modules/a": entry | {"os": ["linux"], "optional": True, "hasInstallScript": True},
        "node_modules/a/node_modules/@s/b": entry | {"name": "c", "cpu": ["x64", "arm64"]},
        "node_modules/a/node_modules/d": {"version": "1.0.0", "inBundle": True},
    }
    lock = _lines({"lockfileVersion": 3, "packages": listed})
    description = _lines({"name": "@s/a", "bin": {"a": "./cli.js", "b": "../cli.js"}})
    packed = archive([member("package/package.json", description), member("package/cli.js", b"#!", mode=0o755)])
    path, tree = str(top / "a.tgz"), str(top / "unpacked")

    def unpacked(data: bytes) -> None:
        with gzip.open(path, "wb", compresslevel=0) as file:
            file.write(data)
        shutil.rmtree(tree, ignore_errors=True)
        os.mkdir(tree)
        npm_archive.unpack(path, tree, "a@1.0.0", 1 << 20)
        npm_archive.programs(tree)

    def logged_in(data: bytes) -> None:
        npm_configuration.authorization("https://npm.invalid/x/a", npm_configuration.parse(data.decode(), {"T": "t"}))

    npmrc = b'registry="https://npm.invalid/" ; c\n//npm.invalid/:_authToken=${T}\n//npm.invalid/x/:_auth=bWU6cHc=\n'
    return {
        "package-lock.json": Format(
            lambda data: package_lock.packages(data, "it", "x86_64-linux"), [lock], trees="json"
        ),
        "an archive of npm": Format(unpacked, [gzip.decompress(packed)]),
        ".npmrc": Format(logged_in, [npmrc], _UTF8),
    }


_UTF8 = (UnicodeDecodeError,)


def _texts(top: Path) -> dict[str, Format]:
    """Return what is text: variables, logs, values of `[vars]`."""
    active = [{"environment": {"type": "dot-flox", "path": "/p/.flox"}, "mode": "dev"}, {"path": "/q/.flox"}]
    log = str(top / "web.log")
    state = {
        "edits": {
            "base": {"PATH": "/bin", "A": None},
            "given": {"PATH": "/p/bin:/bin", "A": "1"},
            "entries": [["/p/.flox", {"set": {"A": "1"}, "unset": [], "prepend": {"PATH": ["/p/bin"]}, "append": {}}]],
        },
        "ends": {"/p/.flox": {"link": "/p/.flox/run/x", "scripts": {"bash": "true"}, "prompt": None}},
    }

    def environments(data: bytes) -> None:
        value = os.fsdecode(data)
        lists.active_mode("/p/.flox", value)
        lists.edited(lists.ACTIVE_ENVIRONMENTS, value, ["{}"])

    def leaving(value: str) -> None:
        environ = {undo.VARIABLE: value, "PATH": "/p/bin:/bin", "A": "1"}
        undo.leave(environ)
        undo.with_profile(environ, {"PATH": "/p/bin:/bin"}, ["A"], ("$ ", "> "))

    def variable(data: bytes) -> None:
        value = data.decode()
        references(value)
        if needs_bash(value):
            quoted(value)
        else:
            expanded(value, {"A": "a" * 1000, "HOME": "/root"})

    packed = base64.urlsafe_b64encode(zlib.compress(json.dumps(state).encode()))
    values = [b"$A/${HOME}/b", b'${A:-"$(echo "$B" `c`)"} \\$x', b"a 'b' \"c\" (d)"]
    return {
        "active environments": Format(environments, [json.dumps(active).encode()], trees="json"),
        "_ESKER_UNDO": Format(lambda data: leaving(os.fsdecode(data)), [packed]),
        "undone": Format(
            lambda data: leaving(base64.urlsafe_b64encode(zlib.compress(data)).decode()),
            [json.dumps(state).encode()],
            trees="json",
        ),
        "log": _file(log, lambda _: (logs.tail(log, 3), logs.tail(log)), [b"one\ntwo\n\xff\xfe\r\nthree"]),
        "[vars]": Format(variable, values, (*_UTF8, OverflowError)),
    }


def _file(
    path: str,
    read: Callable[[bytes], object],
    seeds: list[bytes],
    declared: tuple[type[Exception], ...] = (),
    *,
    trees: str | None = None,
    before: bytes = b"",
) -> Format:
    """Return the format of a file that is read by its path; `before` stands in it before the input."""

    def written(data: bytes) -> object:
        with open(path, "wb") as file:
            file.write(before + data)
        return read(data)

    return Format(written, seeds, declared, trees)


def _lines(*records: Any) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in records)


def _plan(project: Path) -> plans.Plan:
    return plans.Plan(
        project=str(project),
        name="items",
        mode="dev",
        system="x86_64-linux",
        flox_env=f"{project}/.flox/run/x86_64-linux.items-dev",
        store_path=_PATH,
        stats=plans.fingerprints([f"{project}/.flox/env.json", f"{project}/nothing"]),
        vars=(("A", "1"), ("B", "${A}/b")),
        ports={"PORT": 12000},
        services='[{"name":"db","command":"exec pg","ports":{"PORT":12000},"check":{"form":"tcp","target":["a:1"]}}]',
        profile={"common": "true\n", "bash": "true\n"},
        minimum_version=("0.1.0", None),
    )


def _layer_of_a_base(data: bytes) -> None:
    tree = BaseTree()
    reader = TarReader(iter([data[start : start + 700] for start in range(0, len(data), 700)]))
    tree.add_layer(0, (each for each in reader if each.number or reader.content(1 << 10) is not None))
    for path in tree.nodes:
        tree.find(path)


def _layers_of_a_base() -> Iterator[bytes]:
    link = tar.header(tar.SYMBOLIC_LINK, "bin", target="usr/bin")
    file = tar.header(tar.FILE, "bin/sh", size=3) + b"abc" + tar.padding(3)
    deletion = tar.header(tar.FILE, "usr/.wh.bin") + tar.header(tar.HARD_LINK, "a", target="bin/sh")
    yield file + link + deletion + tar.END
    yield tar.header(tar.FILE, "ü" * 200, size=3) + b"abc" + tar.padding(3) + tar.END


def _programs() -> list[bytes]:
    import struct

    loader = b"/lib64/ld-linux-x86-64.so.2\0"
    wide = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    wide += struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), len(loader), 1) + loader
    narrow = struct.pack(">4sBBBB8xHHIIIIIHHHHHH", b"\x7fELF", 1, 2, 1, 0, 2, 8, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    narrow += struct.pack(">IIIIIIII", 3, 84, 0, 0, len(loader), len(loader), 4, 1) + loader
    return [wide, narrow]
