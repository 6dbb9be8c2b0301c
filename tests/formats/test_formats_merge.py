"""Manifests are merged by Flox's rules, and the lock says what a higher layer has replaced."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings

from esker.formats import lockfile
from esker.formats.lockfile import Compose
from esker.formats.manifest import LATEST, Manifest, parse, record
from esker.formats.merge import COMPOSER, Layer, merge, overridden
from tests.formats.test_formats_manifest_any import MANIFEST
from tests.support.locks import LOCKS, PROJECTS

SCHEMA = f'schema-version = "{LATEST}"\n'
COMPOSED = [path for path in [*LOCKS, *PROJECTS] if b'"compose"' in path.read_bytes()]


def merged(*texts, schema=SCHEMA):
    """Merge manifests, lowest layer first; return what the merge says, and the keys that were replaced."""
    names = [*(f"layer {number}" for number in range(len(texts) - 1)), COMPOSER]
    made = merge([Layer(name, parse(schema + text)) for name, text in zip(names, texts, strict=True)])
    values = record(made.manifest)
    del values["schema-version"]
    if not values["options"]:
        del values["options"]
    return values, [(".".join(each.warning.path), each.higher_priority_name) for each in made.warnings]


@pytest.mark.parametrize(
    ("low", "high", "expected", "lost"),
    [
        (
            '[install]\na.pkg-path = "a"\nb.pkg-path = "b"\nb.version = "1"',
            '[install]\nb.pkg-path = "b"\n[pkg-groups.x]\nstability = "lts"',
            {"install": {"a": {"pkg-path": "a"}, "b": {"pkg-path": "b"}}, "pkg-groups": {"x": {"stability": "lts"}}},
            ["install.b"],
        ),
        ('[vars]\nA = "low"\nB = "low"', '[vars]\nA = "high"', {"vars": {"A": "high", "B": "low"}}, ["vars.A"]),
        (
            '[hook]\non-activate = "low"\non-deactivate = "low"',
            '[hook]\non-activate = "high"\non-deactivate = "high"',
            {"hook": {"on-activate": "low\nhigh", "on-deactivate": "high\nlow"}},
            [],
        ),
        (
            '[profile]\ncommon = "low"\nbash = "b"\ndeactivate.common = "low"\ndeactivate.zsh = "z"',
            '[profile]\ncommon = "high"\nfish = "f"\ndeactivate.common = "high"',
            {
                "profile": {
                    "common": "low\nhigh",
                    "bash": "b",
                    "fish": "f",
                    "deactivate": {"common": "high\nlow", "zsh": "z"},
                }
            },
            [],
        ),
        (
            '[options]\nsystems = ["x86_64-linux"]\nallow.unfree = true\nactivate.mode = "run"',
            '[options]\nsystems = ["aarch64-linux"]\nallow.broken = true\nstability = "lts"',
            {
                "options": {
                    "systems": ["aarch64-linux"],
                    "allow": {"unfree": True, "broken": True},
                    "activate": {"mode": "run"},
                    "stability": "lts",
                }
            },
            ["options.systems"],
        ),
        (
            '[services]\nauto-start = true\na.command = "low"\na.vars.X = "1"\nb.command = "b"',
            '[services]\nauto-start = false\na.command = "high"',
            {"services": {"auto-start": False, "a": {"command": "high"}, "b": {"command": "b"}}},
            ["services.a"],
        ),
        (
            '[containerize.config]\nuser = "low"\nexposed-ports = ["1"]\ncmd = ["a"]\nlabels = { a = "1", b = "1" }',
            '[containerize.config]\nexposed-ports = ["2"]\ncmd = ["b"]\nlabels = { b = "2" }',
            {
                "containerize": {
                    "config": {"user": "low", "exposed-ports": ["1", "2"], "cmd": ["b"], "labels": {"a": "1", "b": "2"}}
                }
            },
            ["containerize.config.cmd", "containerize.config.labels.b"],
        ),
        (
            '[plugins.a]\nx = 1\n[plugins.b]\nx = 1\n[build.p]\ncommand = "low"',
            '[plugins.a]\ny = 1\n[build.p]\ncommand = "high"\n[include]\nenvironments = [{ dir = "../low" }]',
            {"plugins": {"a": {"y": 1}, "b": {"x": 1}}, "build": {"p": {"command": "high"}}},
            ["build.p", "plugins.a"],
        ),
        (
            'description = "low"\nminimum-cli-version = "1.10.0"',
            'description = "high"\nminimum-cli-version = "1.9.0"',
            {"description": "high", "minimum-cli-version": "1.9.0"},
            ["description", "minimum-cli-version"],
        ),
    ],
)
def test_the_rules(low, high, expected, lost):
    """Each section is merged by its rule, and exactly the keys whose values were replaced are warned of."""
    values, warnings = merged(low, high)
    assert (values, warnings) == (expected, [(key, COMPOSER) for key in lost])


def test_what_only_one_layer_has_stays_as_it_is():
    """Merged with an empty manifest, above or below, a manifest says the same."""
    whole = (
        '[hook]\non-activate = "a"\n[profile]\nbash = "b"\n[services]\nauto-start = true\ns.command = "c"\n'
        '[containerize.config]\nuser = "u"\n[profile.deactivate]\nbash = "d"'
    )
    expected, _ = merged(whole)
    assert merged("", whole) == merged(whole, "") == (expected, [])


def test_a_notice_names_the_last_layer_that_replaced_a_key():
    """Of several layers that replace a key the last one counts; the environments come in their order, ours at the end."""
    _, warnings = merged('[vars]\nA = "1"\nB = "1"', '[vars]\nA = "2"\nB = "2"', '[vars]\nA = "3"')
    assert warnings == [("vars.A", "layer 1"), ("vars.B", "layer 1"), ("vars.A", COMPOSER)]
    layers = [Layer(name, parse(SCHEMA + f'[vars]\nA = "{name}"\nB = "x"')) for name in ("low", "high")]
    made = merge([*layers, Layer(COMPOSER, parse(f'{SCHEMA}[vars]\nA = "own"'))])
    assert overridden(made.warnings, ["low", "high"]) == {"high": [("vars", "B")], COMPOSER: [("vars", "A")]}


@pytest.mark.parametrize(
    ("low", "own", "needed"),
    [
        ('schema-version = "1.16.0"\n[vars]\nA = "1"', "version = 1", "1"),
        ('schema-version = "1.19.0"\n[plugins.a]\nx = 1', 'schema-version = "1.12.0"', "1.14.0"),
        ('schema-version = "1.14.0"\n[plugins.a]\nx = 1', 'schema-version = "1.14.0"', "1.14.0"),
        ('schema-version = "1.15.0"\n[hook]\non-deactivate = "x"', "version = 1", "1.15.0"),
        ('version = 1\n[install]\na.pkg-path = "a"', "version = 1", "1"),
        ('version = 1\n[install]\na.pkg-path = "a"', 'schema-version = "1.10.0"', "1.10.0"),
        ('schema-version = "1.10.0"\n[install]\na.pkg-path = "a"', "version = 1", "1.10.0"),
    ],
)
def test_the_merge_has_the_schema_of_the_highest_layer_if_that_can_say_it(low, own, needed):
    """Otherwise it has the first schema that can; a package of the first schema has all outputs in a later one."""
    made = merge([Layer("low", parse(low)), Layer(COMPOSER, parse(own))])
    assert made.manifest.schema == needed
    outputs = getattr(made.manifest.install.get("a"), "outputs", None)
    assert outputs == ("all" if needed == "1.10.0" and low.startswith("version = 1") else None)


@pytest.mark.parametrize("path", [path for path in COMPOSED if path in PROJECTS], ids=lambda path: path.parents[2].name)
def test_a_real_lock_is_merged_again_as_flox_has_merged_it(path):
    """From the layers that a lock of Flox's has recorded comes its merge and its warnings, byte for byte."""
    lock = lockfile.parse(path.read_bytes())
    packages = [each for each in lock.packages if not isinstance(each, lockfile.StorePathLocked)]
    layers = [Layer(each.name, each.manifest, packages) for each in lock.compose.include]
    made = merge([*layers, Layer(COMPOSER, lock.compose.composer, packages)])
    compose = Compose(composer=lock.compose.composer, include=lock.compose.include, warnings=made.warnings)
    again = msgspec.structs.replace(lock, manifest=made.manifest, compose=compose)
    assert lockfile.render(again) == path.read_bytes()


ANY = MANIFEST.map(lambda manifest: msgspec.structs.replace(manifest, include=None))


@pytest.mark.slow
@settings(deadline=None, database=None)
@given(ANY, ANY, ANY)
def test_the_merge_is_associative(low, middle, high):
    """It does not matter whether two layers are merged first by themselves, as an environment between does it."""

    def two(first: Manifest, second: Manifest) -> Manifest:
        return merge([Layer("a", first), Layer("b", second)]).manifest

    at_once = merge([Layer("a", low), Layer("b", middle), Layer("c", high)]).manifest
    assert two(two(low, middle), high) == two(low, two(middle, high)) == at_once
    assert two(low, low).install == low.install
