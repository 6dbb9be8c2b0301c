"""Which packages of `[install]` stay locked when their manifest changes."""

from __future__ import annotations

import msgspec
import pytest

from esker.errors import ResolutionFailed
from esker.formats.lockfile import Lockfile, StorePathLocked, parse
from esker.formats.manifest import parse as parse_manifest
from esker.lock.packages import lock_packages, unused_groups
from tests.support.locks import LOCKS, OWN, lock_id

SYSTEM = "x86_64-linux"
LOCK = parse((OWN / "shapes" / "manifest.lock").read_bytes())
STORE_PATH = "/nix/store/33333333333333333333333333333333-tool-1.0"
SHAPES = {
    "tool": f'store-path = "{STORE_PATH}", systems = ["{SYSTEM}"]',
    "hydra": 'flake = "github:example/hydra", priority = 4',
    "jq": 'pkg-path = "jq"',
}
ONE_SYSTEM = f'[options]\nsystems = ["{SYSTEM}"]\n'


def locked(before=LOCK, options=ONE_SYSTEM, schema="1.14.0", system=SYSTEM, **changed):
    """Lock the packages of the hand-written lock, some of them changed; None takes one out."""
    declared = {name: package for name, package in {**SHAPES, **changed}.items() if package is not None}
    install = "".join(f"{name} = {{ {package} }}\n" for name, package in declared.items())
    version = "version = 1" if schema == "1" else f'schema-version = "{schema}"'
    return lock_packages(parse_manifest(f"{version}\n[install]\n{install}{options}"), before, system)


@pytest.mark.parametrize("path", LOCKS, ids=lock_id)
def test_every_lock_of_flox_is_kept_where_its_manifest_follows_an_older_schema(path):
    """Flox writes the manifest of a lock in a newer schema; no catalogue is needed to lock the file itself."""
    lock = parse(path.read_bytes())
    manifest = parse_manifest((path.parent / "manifest.toml").read_text())
    own = tuple(package for package in lock.packages if package.install_id in manifest.install)
    assert lock_packages(manifest, lock, SYSTEM) == own


@pytest.mark.parametrize(
    "jq",
    [
        'pkg-path = "jq", outputs = ["bin"]',
        'pkg-path = "jq", outputs = "all"',
        f'pkg-path = "jq", systems = ["{SYSTEM}"]',
    ],
)
def test_a_package_stays_locked_if_its_outputs_or_systems_are_written_down(jq):
    """They say what of the package is installed and where, not which package it is."""
    assert locked(jq=jq) == LOCK.packages


def test_a_package_stays_locked_if_its_priority_changes():
    """The lock has the new priority, and the default one again once it is taken out."""
    changed = locked(jq='pkg-path = "jq", priority = 2')
    assert [package.priority for package in changed] == [5, 2, 4]
    before = Lockfile(
        manifest=parse_manifest('version = 1\ninstall.jq = { pkg-path = "jq", priority = 2 }'), packages=changed
    )
    assert [package.priority for package in locked(before, hydra=None)] == [5, 5]


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("jq", 'pkg-path = "jaq"'),
        ("jq", 'pkg-path = "jq", version = "1.7"'),
        ("jq", 'pkg-path = "jq", pkg-group = "toplevel"'),
        ("jq", 'flake = "github:example/jq"'),
        ("hydra", 'flake = "github:example/hydra"'),
        ("hydra", 'pkg-path = "hydra"'),
        ("tool", 'pkg-path = "tool"'),
        ("new", 'pkg-path = "new"'),
    ],
)
def test_another_package_cannot_be_locked_without_a_catalogue(name, package):
    """Another path, group or version can mean another package; of a flake, every key counts."""
    with pytest.raises(ResolutionFailed, match=f"`{name}` of .install. cannot be locked: no catalogue"):
        locked(**{name: package})


def test_a_system_that_is_not_locked_is_named():
    """A package has to be locked for each of its systems."""
    with pytest.raises(ResolutionFailed, match=r"`jq` of .install. cannot be locked for `aarch64-linux`:"):
        locked(options=f'[options]\nsystems = ["{SYSTEM}", "aarch64-linux"]\n', hydra=None)


def test_the_packages_of_a_system_that_is_no_longer_declared_are_dropped():
    """Flox drops them too; a package without systems of its own follows those of the environment."""
    options = '[options]\nsystems = ["aarch64-linux"]\n'
    assert locked(options=options, jq=None, hydra=None, tool=None) == ()
    with pytest.raises(ResolutionFailed, match="for `aarch64-linux`"):
        locked(options=options, tool=None)


def test_what_another_machine_has_locked_for_itself_is_kept():
    """Without declared systems, a machine with a rare system locks for it too; another machine does not undo this."""
    machines = ("aarch64-darwin", "aarch64-linux", "x86_64-darwin", "x86_64-linux")
    packages = tuple(msgspec.structs.replace(LOCK.packages[1], system=each) for each in machines)
    before = Lockfile(manifest=LOCK.manifest, packages=packages)
    assert locked(before, options="", tool=None, hydra=None) == packages


def test_store_paths_are_locked_without_a_catalogue():
    """A store path says all by itself, so a new one is locked for each of its systems."""
    path = "/nix/store/44444444444444444444444444444444-own"
    new = locked(None, options="", jq=None, hydra=None, tool=None, own=f'store-path = "{path}"')
    assert [package.system for package in new] == ["aarch64-darwin", "aarch64-linux", "x86_64-linux"]
    own = locked(own=f'store-path = "{path}", priority = 7')
    assert own[0] == StorePathLocked(install_id="own", store_path=path, system=SYSTEM, priority=7)
    assert own[1:] == LOCK.packages


def test_a_flake_stays_locked_if_only_the_schema_of_the_manifest_is_another():
    """In `version = 1` every output is installed, which later schemas have to say."""
    manifest = parse_manifest(
        'version = 1\ninstall.hydra = { flake = "github:example/hydra", priority = 4 }\n' + ONE_SYSTEM
    )
    flake = msgspec.structs.replace(LOCK.packages[2], outputs_to_install=("out",))
    before = Lockfile(manifest=manifest, packages=(flake,))
    later = f'{SHAPES["hydra"]}, outputs = "all"'
    assert locked(before, jq=None, tool=None, hydra=later) == before.packages
    assert locked(before, jq=None, tool=None, schema="1") == before.packages


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[pkg-groups.toplevel]\nstability = "lts"\n'),
        ('stability = "lts"\n', ""),
        ('stability = "lts"\n', 'stability = "lts"\n[pkg-groups]\ntoplevel.stability = "stable"\n'),
    ],
)
def test_a_package_whose_group_gets_another_stability_has_to_be_locked_again(before, after):
    """It was chosen from other packages than the ones that are asked for now."""
    manifest = f'schema-version = "1.19.0"\n[install]\njq.pkg-path = "jq"\n{ONE_SYSTEM}'
    lock = Lockfile(manifest=parse_manifest(manifest + before), packages=LOCK.packages)
    lock_packages(parse_manifest(manifest + before), lock, SYSTEM)
    with pytest.raises(ResolutionFailed, match="`jq` of \\[install\\] cannot be locked"):
        lock_packages(parse_manifest(manifest + after), lock, SYSTEM)


def test_a_package_stays_locked_if_its_stability_is_only_written_elsewhere():
    """What counts is the stability that its group has in the end; other groups do not matter."""
    manifest = 'schema-version = "1.19.0"\n[install]\njq.pkg-path = "jq"\n[options]\nsystems = ["x86_64-linux"]\n'
    before = Lockfile(manifest=parse_manifest(f'{manifest}stability = "lts"\n'), packages=LOCK.packages)
    after = parse_manifest(f'{manifest}[pkg-groups]\ntoplevel.stability = "lts"\nother.stability = "stable"\n')
    assert [package.install_id for package in lock_packages(after, before, SYSTEM)] == ["jq"]


def test_a_group_that_no_package_is_in_is_unused():
    """The group of packages that name none is always in use; included packages may be in any."""
    groups = "[pkg-groups]\na.stability = 'x'\nb.stability = 'x'\ntoplevel.stability = 'x'\n"
    text = f'schema-version = "1.19.0"\ninstall.jq = {{ pkg-path = "jq", pkg-group = "a" }}\n{groups}'
    assert unused_groups(parse_manifest(text)) == ["b"]
    assert unused_groups(parse_manifest(f"{text}[include]\nenvironments = [{{ dir = '../x' }}]\n")) == []


def test_a_package_comes_from_the_first_lock_that_has_it():
    """An included environment's lock gives what the environment's own lack; its own stays where it is."""
    other = replace_locked(LOCK, "jq", version="9.9")
    only_hydra = msgspec.structs.replace(
        LOCK, packages=tuple(each for each in LOCK.packages if each.install_id == "hydra")
    )
    manifest = parse_manifest(f'schema-version = "1.14.0"\n[install]\njq = {{ {SHAPES["jq"]} }}\n{ONE_SYSTEM}')
    assert [each.version for each in lock_packages(manifest, LOCK, SYSTEM, layers=[other])] != ["9.9"]
    assert [each.version for each in lock_packages(manifest, only_hydra, SYSTEM, layers=[other])] == ["9.9"]
    both = parse_manifest(
        f'schema-version = "1.14.0"\n[install]\na = {{ pkg-path = "jq" }}\njq = {{ {SHAPES["jq"]} }}\nhydra = {{ {SHAPES["hydra"]} }}\n{ONE_SYSTEM}'
    )
    layer = replace_locked(LOCK, "jq", install_id="a")
    layer = msgspec.structs.replace(
        layer,
        manifest=msgspec.structs.replace(
            layer.manifest, install={"a": layer.manifest.install["jq"], **layer.manifest.install}
        ),
    )
    names = [each.install_id for each in lock_packages(both, LOCK, SYSTEM, layers=[layer])]
    assert names == ["jq", "a", "hydra"]  # catalogues before flakes, new ones last
    asks_for_another = parse_manifest(
        f'schema-version = "1.14.0"\n[install]\njq = {{ pkg-path = "jq", version = "1" }}\n{ONE_SYSTEM}'
    )
    with pytest.raises(ResolutionFailed):
        lock_packages(asks_for_another, LOCK, SYSTEM, layers=[other])


def replace_locked(lock, name, **changed):
    packages = tuple(
        msgspec.structs.replace(each, **changed) if each.install_id == name else each for each in lock.packages
    )
    return msgspec.structs.replace(lock, packages=packages)
