"""Esker's own table of every layer counts, at any depth; a layer that is not the one that was merged is told."""

from __future__ import annotations

import json
import os

import pytest

from esker.declare.layers import check_acyclic, missing_hint
from esker.declare.load import load
from esker.errors import IncludeCycle, IncludeError, InvalidLock, InvalidManifest, MissingInclude, StaleInclude
from esker.lock.compose import check_layers, composed
from esker.settings import Settings
from tests.support.layers import include, layer
from tests.support.projects import EMPTY

PYTHON = "[plugins.esker.python]\ndependencies = [{}]\n"


@pytest.fixture
def settings(tmp_path):
    """Give settings of a home of its own."""
    return Settings({"HOME": str(tmp_path), "PATH": os.defpath})


@pytest.fixture
def make(tmp_path, settings):
    """Give a function that writes and locks an environment with these Python packages, above those below it."""

    def make(name, packages, *below, text=""):
        return layer(tmp_path, name, text + PYTHON.format(packages), *below, settings=settings)

    return make


def dependencies(directory):
    return load(str(directory)).esker.python.dependencies


def test_tables_are_merged_by_key_at_any_depth(make):
    """The lock holds Flox's merge, of one table alone; what Esker reads is of all layers, lowest first."""
    make("base", '"a>=1", "b"')
    make("other", '"d"')
    make("middle", '"a>=2"', "base")
    top = make("top", '"c"', "other", "middle")
    assert dependencies(top) == ("d", "b", "a>=2", "c")
    declaration = load(str(top))
    assert declaration.manifest.plugins["esker"] == {"python": {"dependencies": ["c"]}}
    assert declaration.layers.problems == ()
    assert sorted(map(os.path.dirname, declaration.layers.locks)) == [
        f"{top.parent}/{name}/.flox/env" for name in ("base", "middle", "other")
    ]


def test_only_locked_manifests_count(make, tmp_path):
    """A layer whose file somebody edits is what its lock says, until that is made again."""
    make("base", '"a"')
    top = make("top", '"c"', "base")
    (tmp_path / "base/.flox/env/manifest.toml").write_text(EMPTY + PYTHON.format('"z"'))
    assert dependencies(top) == ("a", "c")
    assert load(str(top)).layers.problems == ()


def test_a_layer_that_is_locked_otherwise_is_stale(make):
    """It stays as it was merged, and whoever prepares the environment is told by which name to take the changes."""
    make("base", '"a"')
    top = make("top", '"c"', "base")
    make("base", '"b"')
    declaration = load(str(top))
    assert declaration.esker.python.dependencies == ("a", "c")
    with pytest.raises(StaleInclude, match="`base` is locked otherwise") as error:
        check_layers(declaration)
    assert error.value.hint == f"take its changes: esker include upgrade base -d {top}"


def test_a_stale_layer_further_down_is_named_with_the_environment_that_includes_it(make):
    """The mend works where the layer is recorded."""
    make("base", '"a"')
    make("middle", '"b"', "base")
    top = make("top", '"c"', "middle")
    make("base", '"z"')
    with pytest.raises(StaleInclude) as error:
        check_layers(load(str(top)))
    assert error.value.hint.endswith(f"esker include upgrade base -d {top.parent}/middle")


def test_a_layer_of_which_esker_reads_nothing_need_not_be_there(make, tmp_path, settings):
    """What Flox merges is all in the lock."""
    layer(tmp_path, "base", '[vars]\nA = "1"\n', settings=settings)
    top = make("top", '"c"', "base")
    (tmp_path / "base").rename(tmp_path / "gone")
    declaration = load(str(top))
    assert declaration.manifest.vars == {"A": "1"}
    assert declaration.layers.locks == ()
    check_layers(declaration)


def test_a_layer_that_is_missing_is_told(make, tmp_path):
    """Its table is what was recorded, for those who only look."""
    make("base", '"a"')
    top = make("top", '"c"', "base")
    (tmp_path / "base").rename(tmp_path / "gone")
    assert dependencies(top) == ("a", "c")
    with pytest.raises(MissingInclude, match="`base` is missing") as caught:
        check_layers(load(str(top)))
    assert caught.value.hint == f"put it back, or take it out of [include]: esker edit -d {top}"


def test_a_copy_of_a_repository_can_be_fetched_again():
    """What `include add` has made is not only to be put back."""
    hint = missing_hint("/p/.flox/include/base/.flox/env/manifest.lock", "/p", "put it back")
    again = "put it back, or fetch it again: esker include add URL@REVISION -d /p"
    assert hint == f"it is a copy of a git repository: {again}, or take it out of [include]: esker edit -d /p"


def test_environments_that_include_each_other_are_told(make, tmp_path, settings):
    """The circle is shown; it is found when it is closed, before anything is written."""
    make("base", '"a"')
    top = make("top", '"c"', "base")
    manifest = tmp_path / "base/.flox/env/manifest.toml"
    manifest.write_text(EMPTY + PYTHON.format('"a"') + include("../top"))
    with pytest.raises(IncludeCycle) as error:
        composed(load(str(tmp_path / "base")), settings)
    assert error.value.message.endswith(f"`{tmp_path}/base` → `{top}` → `{tmp_path}/base`")
    manifest.write_text(EMPTY + include("../base"))
    with pytest.raises(IncludeCycle):
        composed(load(str(tmp_path / "base")), settings)


def test_a_circle_in_locks_that_another_tool_made_is_told(make, tmp_path):
    """Flox merges such environments one after the other; a walk through them would never end."""
    make("base", '"a"')
    top = make("top", '"c"', "base")
    lock = tmp_path / "base/.flox/env/manifest.lock"
    text = (
        (top / ".flox/env/manifest.lock")
        .read_text()
        .replace("../base", "../top")
        .replace('"name": "base"', '"name": "top"')
    )
    lock.write_text(text)
    recorded = top / ".flox/env/manifest.lock"
    # The lock of `top` has recorded what `base` has now.
    values = json.loads(recorded.read_text())
    values["compose"]["include"][0]["manifest"] = json.loads(text)["manifest"]
    recorded.write_text(json.dumps(values, indent=2) + "\n")
    declaration = load(str(top))
    assert [type(problem) for problem in declaration.layers.problems] == [IncludeCycle]
    with pytest.raises(IncludeCycle):
        check_acyclic(str(top), str(tmp_path / "base"), "base")


def test_a_long_chain_is_refused_and_a_wide_one_is_not(make, tmp_path, settings):
    """A project of somebody else's cannot make Esker recurse without end, nor look at one layer many times."""
    make("e0", '"a"')
    for number in range(1, 12):  # each layer is reached in two ways
        make(f"f{number - 1}", '"a"', f"e{number - 1}")
        make(f"e{number}", '"a"', f"e{number - 1}", f"f{number - 1}")
    assert dependencies(tmp_path / "e11") == ("a",)
    make("c0", '"a"')
    for number in range(1, 41):
        make(f"c{number}", '"a"', f"c{number - 1}")
    with pytest.raises(IncludeCycle, match="more than 40"):
        make("c41", '"a"', "c40")


def test_a_layers_own_files_are_found(make, tmp_path):
    """Paths that a layer declares lead to its own directory."""
    make("base", '"a"\n]\nsource = ["src"')
    top = make("top", '"c"\n]\nsource = ["lib"', "base")
    assert load(str(top)).esker.python.source == ("lib", "../base/src")


def test_what_no_layer_got_wrong_may_be_wrong_in_the_merge(make, tmp_path, settings):
    """Two services may ask for one port variable, each in a layer of its own."""
    service = '[services]\n{0}.command = "x"\n[plugins.esker.services.{0}]\nports = {{ PORT = 0 }}\n'
    layer(tmp_path, "base", service.format("a"), settings=settings)
    with pytest.raises(InvalidLock, match="`PORT` is a port of more than one service"):
        layer(tmp_path, "top", service.format("b"), "base", settings=settings)
    cycle = '[vars]\nA = "$B"\n'
    layer(tmp_path, "base", cycle, settings=settings)
    with pytest.raises(InvalidLock, match="reference cycle"):
        layer(tmp_path, "top", cycle.replace("A", "X").replace("B", "A").replace("X", "B"), "base", settings=settings)
    needs = '[services]\na.command = "x"\na.depends-on.gone.condition = "process_started"\n'
    (tmp_path / "top/.flox/env/manifest.toml").write_text('schema-version = "1.16.0"\n' + needs + include("../base"))
    with pytest.raises(InvalidLock, match="depends on service 'gone'"):
        composed(load(str(tmp_path / "top")), settings)


def test_names_are_unique(make, tmp_path, settings):
    """Two environments of one name are told apart by `name`."""
    make("base", '"a"')
    directory = tmp_path / "top"
    with pytest.raises(IncludeError, match=r"multiple environments in include\.environments have the name 'base'"):
        make("top", '"c"', "base", "base")
    manifest = directory / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text().replace('{ dir = "../base" }]', '{ dir = "../base", name = "b" }]'))
    assert [each.name for each in composed(load(str(directory)), settings).layers.compose.include] == ["base", "b"]


def test_systems_are_judged_in_the_merge(make, tmp_path, settings):
    """A layer's package for a system that we leave out is told, as Flox does."""
    package = (
        '[install]\nx.store-path = "/nix/store/33333333333333333333333333333333-x"\nx.systems = ["x86_64-linux"]\n'
    )
    layer(tmp_path, "base", package, settings=settings)
    with pytest.raises(InvalidManifest, match="'x' specifies disabled or unknown system 'x86_64-linux'"):
        layer(tmp_path, "top", '[options]\nsystems = ["aarch64-linux"]\n', "base", settings=settings)


def test_reference_is_remote(tmp_path):
    """The alias is read as what it stands for, so that a lock of Flox's matches the manifest."""
    from esker.formats.manifest import parse

    one, other = (parse(f'{EMPTY}[include]\nenvironments = [{{ {key} = "a/b" }}]\n') for key in ("remote", "reference"))
    assert one == other


def test_a_python_is_stated_of_the_base_of_a_layer(make, tmp_path, settings):
    """The manifest that states it need not name the base, if an environment that it includes does."""
    base = f'[plugins.esker.image]\nfrom = "registry.example/base@sha256:{"0" * 64}"\n'
    layer(tmp_path, "base", base, settings=settings)
    stated = '[plugins.esker.image]\npython = "/usr/bin/python3"\n'
    image = load(str(layer(tmp_path, "top", stated, "base", settings=settings))).esker.image
    assert (image.base, image.python) == (f"registry.example/base@sha256:{'0' * 64}", "/usr/bin/python3")
    make("other", '"a"')
    with pytest.raises(InvalidLock, match="no base is named"):
        layer(tmp_path, "alone", stated, "other", settings=settings)
