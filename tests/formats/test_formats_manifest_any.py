from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Mapping

import msgspec
import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.errors import InvalidManifest
from esker.formats.manifest import from_table, parse, record
from esker.formats.manifest_schema import (
    SCHEMAS,
    ActivateOptions,
    Allow,
    Build,
    BuildVersionCommand,
    BuildVersionFile,
    CatalogPackage,
    ContainerConfig,
    Containerize,
    FlakePackage,
    Hook,
    Include,
    IncludedDirectory,
    IncludedRemote,
    Manifest,
    MinimumVersion,
    Options,
    PackageGroup,
    Profile,
    ProfileScripts,
    Semver,
    StorePathPackage,
)
from esker.formats.manifest_services import Dependency, Service, Services, Shutdown, Systemd
from esker.formats.systems import SYSTEMS
from esker.formats.tables.reader import Report

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
NAMES = st.lists(TEXT, max_size=2).map(tuple)
SET_OF_SYSTEMS = st.lists(st.sampled_from(SYSTEMS), unique=True, max_size=2).map(tuple)
FLAG = st.booleans()
COUNT = st.integers(0, 99)
OUTPUTS = st.one_of(st.just("all"), NAMES)
REFERENCE = st.just("owner/name")
VERSION = st.just("1.14.0")
PLAIN = st.recursive(
    st.one_of(TEXT, FLAG, st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(TEXT, inner, max_size=2)),
    max_leaves=4,
)


def some(kind, **fields):
    """Values of a struct; a field that may be absent sometimes is."""
    declared = msgspec.structs.fields(kind)
    assert fields.keys() == {field.name for field in declared}
    required = {field.name: fields[field.name] for field in declared if field.required}
    optional = {field.name: fields[field.name] for field in declared if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: kind(**values))


def maps(keys, values):
    return st.dictionaries(keys, values, max_size=2)


def some_of(keys, values):
    return st.dictionaries(keys, values, min_size=1, max_size=2)


SCRIPTS = {"common": TEXT, "bash": TEXT, "zsh": TEXT, "fish": TEXT, "tcsh": TEXT}
CHOICES = {"systems": SET_OF_SYSTEMS, "priority": COUNT}
SERVICE = some(
    Service,
    command=TEXT,
    vars=some_of(NAME, TEXT),
    is_daemon=st.just(False),
    shutdown=some(Shutdown, command=TEXT, timeout_seconds=st.integers(1, 99), signal=st.integers(1, 31)).filter(
        lambda shutdown: shutdown.command is None or shutdown.signal is None
    ),
    depends_on=st.none(),
    systems=SET_OF_SYSTEMS,
    systemd=some(
        Systemd, unit=some_of(TEXT, COUNT), service=some_of(TEXT, st.lists(TEXT, max_size=2) | some_of(TEXT, TEXT))
    ),
)
BUILD = some(
    Build,
    command=TEXT,
    runtime_packages=NAMES,
    sandbox=st.sampled_from(["off", "pure", "warn", "enforce"]),
    sandbox_allow=NAMES,
    version=st.one_of(TEXT, st.builds(BuildVersionFile, file=TEXT), st.builds(BuildVersionCommand, command=TEXT)),
    description=TEXT,
    license=NAMES,
)
PACKAGE = st.one_of(
    some(CatalogPackage, pkg_path=TEXT, pkg_group=TEXT, version=TEXT, outputs=OUTPUTS, **CHOICES),
    some(FlakePackage, flake=TEXT, outputs=OUTPUTS, **CHOICES),
    some(StorePathPackage, store_path=TEXT, **CHOICES),
)
CONDITION = st.sampled_from(["process_started", "process_completed", "process_completed_successfully"])


def with_dependencies(services):
    """Give each service dependencies on any of the services, or none."""
    depends_on = some_of(st.sampled_from(sorted(services)), st.builds(Dependency, condition=CONDITION))
    return st.fixed_dictionaries(
        {
            name: st.builds(msgspec.structs.replace, st.just(service), depends_on=st.none() | depends_on)
            for name, service in services.items()
        }
    )


DECLARED_SERVICES = st.just({}) | some_of(NAME, SERVICE).flatmap(with_dependencies)
SERVICES = st.builds(Services, auto_start=FLAG, services=DECLARED_SERVICES)
INCLUDED = some(IncludedDirectory, dir=TEXT, name=TEXT) | some(
    IncludedRemote, remote=REFERENCE, name=TEXT, generation=COUNT
)
MANIFEST = some(
    Manifest,
    schema=st.just(SCHEMAS[-1]),
    description=TEXT,
    minimum_cli_version=VERSION | some(MinimumVersion, version=VERSION, reason=TEXT),
    install=maps(TEXT, PACKAGE),
    pkg_groups=maps(TEXT, some(PackageGroup, stability=TEXT)),
    vars=maps(NAME, st.text("ab $\\{}", max_size=5)),
    hook=some(Hook, on_activate=TEXT, on_deactivate=TEXT),
    profile=some(Profile, deactivate=some(ProfileScripts, **SCRIPTS), **SCRIPTS),
    options=some(
        Options,
        systems=st.just(SYSTEMS),
        allow=some(Allow, unfree=FLAG, broken=FLAG, licenses=NAMES).filter(lambda allow: allow != Allow()),
        semver=st.builds(Semver, allow_pre_releases=FLAG),
        cuda_detection=FLAG,
        activate=st.builds(
            ActivateOptions, mode=st.sampled_from(["dev", "run"]), upgrade_notifications=st.none() | FLAG
        ),
        stability=TEXT,
    ),
    services=SERVICES,
    build=maps(TEXT, BUILD),
    containerize=some(
        Containerize,
        config=some(
            ContainerConfig,
            user=TEXT,
            exposed_ports=st.frozensets(TEXT, max_size=2),
            cmd=NAMES,
            volumes=st.frozensets(TEXT, max_size=2),
            working_dir=TEXT,
            labels=some_of(TEXT, TEXT),
            stop_signal=TEXT,
        ),
    ),
    include=st.builds(Include, environments=st.tuples(INCLUDED) | st.tuples(INCLUDED, INCLUDED)),
    plugins=maps(TEXT, PLAIN),
)


@pytest.mark.slow
@settings(deadline=None, database=None)
@given(MANIFEST.filter(lambda manifest: "$" not in "".join(manifest.vars.values())))
def test_round_trip(manifest):
    """Any manifest, written as TOML or as a lock's JSON, is read again as it was."""
    recorded = record(manifest)
    assert parse(tomlkit.dumps(recorded)) == manifest
    report = Report()
    assert from_table(json.loads(json.dumps(recorded)), report) == manifest
    assert not report.problems


WRONG = [None, 7, -1, 0.5, "wrong\0", True, [], ["x"], {}, {"x": {}}, [[]]]


def places(value, path=()):
    """Every path of a table."""
    if isinstance(value, (Mapping, list)):
        for key in value if isinstance(value, Mapping) else range(len(value)):
            yield (*path, key)
            yield from places(value[key], (*path, key))


@pytest.mark.slow
@settings(deadline=None, database=None)
@given(MANIFEST, st.data())
def test_damaged(manifest, data):
    """However a manifest is damaged, the answer is a manifest or problems with hints, never another exception."""
    table = record(manifest)
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(sorted(places(table), key=str)))
        parent = table
        for key in path:
            parent = parent[key]
        if data.draw(st.booleans()) or isinstance(parent, list):
            parent[last] = copy.deepcopy(data.draw(st.sampled_from(WRONG)))
        else:
            parent[data.draw(TEXT)] = parent.pop(last)
    report = Report()
    assert isinstance(from_table(table, report), Manifest)
    assert all(problem.message and problem.hint for problem in report.problems)


@pytest.mark.slow
@settings(deadline=None, database=None)
@given(st.text(st.sampled_from("ab=.[]{}\"'\\#,\n\t\r 1é"), max_size=30))
def test_any_text(text):
    """Any text is a manifest or an InvalidManifest whose first problem has a line when TOML finds an error."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(InvalidManifest) as caught:
            parse(text)
        (problem,) = caught.value.problems
        assert 1 <= problem.line <= text.count("\n") + 1
        assert problem.message.startswith(f"TOML parse error at line {problem.line}, column ")
    else:
        with pytest.raises(InvalidManifest):
            parse(text)
