"""Wheels that lie or attack: each is refused by name, or harms nothing but itself."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from contextlib import suppress

import pytest

from esker.errors import EskerError, RealisationFailed
from esker.host import trees
from esker.progress import Silent
from esker.realise.installation import Uv, install
from esker.settings import Settings
from esker.store.store import Store
from esker.store.verify import verify
from tests.support.package_index import wheel

pytestmark = pytest.mark.slow


class Heard(Silent):
    """Keeps what was remarked on."""

    def __init__(self):
        self.remarks = []

    def remark(self, text):
        """Keep a remark."""
        self.remarks.append(text)


def put(index, name, files, **options):
    """Serve a wheel whose RECORD is not right."""
    index.put(name, f"{name}-1.0-py3-none-any.whl", wheel(name, "1.0", files, **options))


def files_below(packages, name):
    """Return the paths of a wheel's files in the store, below its site-packages, without its `.dist-info`."""
    [path] = [each.path for each in packages.wheels if each.name == name]
    top = pathlib.Path(path, packages.interpreter.libraries)
    found = [str(each.relative_to(top)) for each in top.rglob("*") if each.is_file() and "__pycache__" not in str(each)]
    return sorted(each for each in found if not each.startswith(f"{name}-1.0.dist-info"))


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("path", ["../../../../../escaped.txt", "/tmp/escaped-from-a-wheel.txt", "app/../../../up.txt"])
def test_a_path_that_leaves_the_tree_is_refused_each_time(index, python_of, store, tmp_path, path, listed):
    """The error names the wheel, also among others, and a second try does not find the rest in uv's cache."""
    index.add("good", "1.0")
    put(index, "app", {"app.py": "", path: "x"}, unlisted=() if listed else [path])
    for _ in range(2):
        with pytest.raises(RealisationFailed, match=r"^`app` brings a file `[^`]*\.txt`, which would lie outside"):
            python_of("app", "good")
    assert store.paths() == []
    assert not os.path.exists("/tmp/escaped-from-a-wheel.txt")
    assert not list(tmp_path.rglob("escaped.txt")) + list(tmp_path.rglob("up.txt"))


@pytest.mark.parametrize("options", [{"unlisted": ["app/b.py"]}, {"listed": ["app/ghost.py"]}])
def test_a_list_of_files_that_is_wrong_is_mended_with_a_remark(index, python_of, options):
    """What is there counts."""
    index.add("good", "1.0")
    put(index, "app", {"app/__init__.py": "", "app/b.py": ""}, **options)
    heard = Heard()
    packages = python_of("app", "good", progress=heard)
    assert heard.remarks == ["the wheel of `app` does not list its files rightly; its list was mended"]
    assert files_below(packages, "app") == ["app/__init__.py", "app/b.py"]
    [path] = [each.path for each in packages.wheels if each.name == "app"]
    record = pathlib.Path(path, packages.interpreter.libraries, "app-1.0.dist-info/RECORD").read_text()
    assert "app/b.py," in record
    assert "ghost" not in record


def test_a_wheel_that_claims_anothers_files_does_not_get_them(index, python_of):
    """Its list counts for what it brings."""
    index.add("good", "1.0", {"good/__init__.py": "GOOD = 1\n"})
    put(index, "evil", {"evil.py": ""}, listed=["good/__init__.py"])
    packages = python_of("evil", "good")
    assert files_below(packages, "good") == ["good/__init__.py"]
    assert files_below(packages, "evil") == ["evil.py"]


def test_a_wheel_with_the_records_of_another_is_refused(index, python_of, store):
    """A second `.dist-info` could make it pass for the other package."""
    index.add("good", "1.0")
    put(index, "evil", {"evil.py": "", "good-1.0.dist-info/RECORD": "evil.py,,\n"})
    with pytest.raises(RealisationFailed, match=r"`evil==1\.0` .*Multiple \.dist-info directories found"):
        python_of("evil", "good")
    assert store.paths() == []


def test_wheels_with_files_of_one_name_are_whole_each(index, python_of, store):
    """Each is installed alone, so that each store path holds what its wheel brings."""
    for name in ("first", "second"):
        index.add(name, "1.0", {"shared.py": f"NAME = {name!r}\n", f"{name}.py": ""})
    index.add("third", "1.0")
    packages = python_of("first", "second", "third")
    for wheel_ in packages.wheels[:2]:
        text = pathlib.Path(wheel_.path, packages.interpreter.libraries, "shared.py").read_text()
        assert text == f"NAME = {wheel_.name!r}\n"
    assert verify(store) == []


def test_what_uv_says_about_the_origin_is_not_kept(index, python_of):
    """It would differ from one machine to the next."""
    index.add("app", "1.0")
    packages = python_of("app")
    info = pathlib.Path(packages.wheels[0].path, packages.interpreter.libraries, "app-1.0.dist-info")
    names = {each.name for each in info.iterdir()}
    assert not names & {"uv_cache.json", "uv_build.json", "direct_url.json"}
    listed = {line.partition(",")[0] for line in (info / "RECORD").read_text().splitlines()}
    assert {path for path in listed if path.startswith("app-")} == {f"app-1.0.dist-info/{name}" for name in names}


def test_a_wheel_that_brings_our_mark_is_no_special_wheel(index, profile_of, store):
    """A file of the name by which we mark trees only makes its environment one of more links."""
    index.add("app", "1.0", {"app/__init__.py": "", "app-1.0.data/data/.esker-run-paths": "x"})
    made = profile_of("app")
    assert subprocess.run([f"{made}/bin/python", "-c", "import app"], check=False).returncode == 0
    assert verify(store) == []


def test_a_file_that_no_list_has_belongs_to_the_wheel_that_brings_it(index, lock_of, environ, tmp_path, monkeypatch):
    """Should uv leave a list as it is, the wheels are installed alone, and nothing is lost or given to another."""
    from esker.realise import records

    index.add("first", "1.0", {"first/__init__.py": "", "first/data.txt": ""})
    index.add("second", "1.0")
    artifacts, interpreter = lock_of("first", "second")
    monkeypatch.setattr(records, "recorded", _without_data(records.recorded))
    trees = {name: str(tmp_path / name) for name in ("first", "second")}
    for tree in trees.values():
        os.mkdir(tree)
    install(artifacts, trees, Uv(interpreter, Settings(environ).tools), Silent())
    assert os.path.exists(f"{trees['first']}/{interpreter.libraries}/first/data.txt")
    assert os.listdir(f"{trees['second']}/{interpreter.libraries}") != []


def _without_data(recorded):
    return lambda *arguments: {path for path in recorded(*arguments) if not path.endswith("data.txt")}


def trees_of(store, packages):
    """Return the hash of each wheel's archive, by the wheel's name."""
    return {wheel_.name: store.record(wheel_.path).nar_hash for wheel_ in packages.wheels}


VICTIM = {"victim/__init__.py": "VICTIM = 1\n", "victim/check.py": ""}
MANY = {f"evil/part{number}.py": "" for number in range(1500)}  # so that it is installed last
ATTACKS = {
    "through lib64": {
        f"evil-1.0.data/data/lib64/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/victim/__init__.py": "X"
    },
    "over a file": {"victim/__init__.py": "VICTIM = 'evil'\n"},
    "over the list": {"evil-1.0.data/purelib/victim-1.0.dist-info/RECORD": "victim/__init__.py,,\n"},
    "over the list, with itself": {
        "evil-1.0.data/purelib/victim-1.0.dist-info/RECORD": "victim/__init__.py,,\nvictim-1.0.dist-info/RECORD,,\n"
    },
    "a list that gives it away": {
        "evil-1.0.data/purelib/victim-1.0.dist-info/RECORD": "victim/__init__.py,,\nvictim-1.0.dist-info/RECORD,,\nevil.pth,,\n",
        "evil.pth": "import os\n",
    },
    "an empty directory": {"victim/planted/": ""},
    "a directory for a file": {"victim/check.py/x.py": ""},
    "a field that is too long": {
        "evil-1.0.data/purelib/victim-1.0.dist-info/RECORD": f'victim/__init__.py,"{"x" * 200_000}",\n'
    },
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_wheel_changes_nothing_in_the_store_path_of_another(index, python_of, tmp_path, attack):
    """Whatever is installed beside it, a wheel's tree is the one that it has alone."""
    index.add("victim", "1.0", VICTIM)
    index.add("good", "1.0")
    put(index, "evil", {"evil/__init__.py": "", **MANY, **ATTACKS[attack]})
    alone, beside = Store(str(tmp_path / "alone")), Store(str(tmp_path / "beside"))
    expected = trees_of(alone, python_of("victim", into=alone)) | trees_of(alone, python_of("good", into=alone))
    made = trees_of(beside, python_of("evil", "good", "victim", into=beside))
    assert {name: made[name] for name in expected} == expected
    assert verify(beside) == []


def test_what_is_made_does_not_depend_on_what_is_there(index, python_of, store, tmp_path):
    """A file of one wheel where another has a directory: both are made, in one go and one after the other."""
    index.add("aa", "1.0", {"both": "text"})
    index.add("bb", "1.0", {"both/__init__.py": "", "ns/cache/": ""})
    index.add("cc", "1.0", {"ns/cc.py": ""})
    other = Store(str(tmp_path / "other"))
    for name in ("aa", "bb", "cc"):
        python_of(name, into=other)
    names = ("aa", "bb", "cc")
    assert trees_of(store, python_of(*names)) == trees_of(other, python_of(*names, into=other))


def test_a_tree_of_a_thousand_levels_is_an_error_in_words(index, python_of, store, environ):
    """Or it is made; in no case does Esker break."""
    index.add("app", "1.0", {"/".join(["d"] * 1050) + "/x.py": ""})
    try:
        with suppress(EskerError):
            python_of("app")
    finally:  # pytest's own function follows no more than a thousand levels
        trees.remove_tree(environ["UV_CACHE_DIR"])
    assert os.listdir(store.directory) == [os.path.basename(path) for path in store.paths()]
