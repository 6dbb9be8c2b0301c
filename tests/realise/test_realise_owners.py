"""Who brings what: each program of a profile has an owner, and each package says which files are its own."""

from __future__ import annotations

import json
import os

import pytest

from esker.errors import RealisationFailed
from esker.realise.owners import brought, owner
from esker.realise.profile import profile

META = {
    "jq": {"version": "1.7.1", "build": "h0", "files": ["bin/jq", "share/doc/jq.txt", "bin/shared"]},
    "onig": {"version": "6.9", "build": "0", "files": ["lib/libonig.so.5", "lib/libonig.so"]},
    "python": {"version": "3.99.1", "build": "0", "files": ["bin/python3.99", "bin/python3", "bin/python"]},
    "pip": {
        "version": "24",
        "build": "0",
        "files": ["bin/pip", "lib/python3.99/site-packages/pip-24.dist-info/RECORD"],
    },
}


@pytest.fixture
def prefix(store):
    """The prefix of conda packages in the store, made by hand; `bin/python` and `libonig.so` are links in it."""

    def fill(directory):
        os.makedirs(f"{directory}/conda-meta")
        for name, told in META.items():
            record = {"name": name, "sha256": "0" * 64, **told}
            with open(f"{directory}/conda-meta/{name}-{told['version']}-{told['build']}.json", "w") as file:
                json.dump(record, file)
            for path in told["files"]:
                os.makedirs(os.path.dirname(f"{directory}/{path}"), exist_ok=True)
                if path in {"bin/python", "bin/python3"}:
                    os.symlink("python3.99", f"{directory}/{path}")
                    continue
                with open(f"{directory}/{path}", "w") as file:
                    file.write("#!/bin/sh\n")
                os.chmod(f"{directory}/{path}", 0o755)

    return store.build("conda-prefix", "conda:test", fill)


def owners(store, made, *programs):
    """Return origin and name of the owner of each program."""
    found = {program: owner(store, made, program) for program in programs}
    return {program: each and (each.origin, each.name, each.version) for program, each in found.items()}


def test_a_program_of_the_prefix_belongs_to_the_package_that_lists_it(store, prefix):
    """The real file decides, so that a link has the owner of what it leads to."""
    made = profile(store, "test", None, conda=prefix)
    assert owners(store, made, "jq", "python", "nothing", "../bin/jq", "") == {
        "jq": ("conda", "jq", "1.7.1"),
        "python": ("conda", "python", "3.99.1"),
        "nothing": None,
        "../bin/jq": None,
        "": None,
    }
    assert owner(store, made, "python").path == f"{prefix}/bin/python3.99"


def test_packages_of_the_prefix_have_the_files_that_their_records_list(store, prefix):
    """By name, each with sorted files; the Python packages in the prefix are conda's and not listed once more."""
    found = brought(store, profile(store, "test", None, conda=prefix))
    assert [(each.name, each.version, each.origin, each.prefix) for each in found] == [
        (name, told["version"], "conda", prefix) for name, told in sorted(META.items())
    ]
    assert {each.name: list(each.files) for each in found} == {
        name: sorted(told["files"]) for name, told in META.items()
    }


@pytest.mark.slow
def test_wheels_conda_packages_interpreter_and_esker_are_told_apart(store, prefix, index, python_of):
    """A script of a wheel is a copy in the profile; of one name the wheel's is used; pip's command is Esker's own."""
    index.add("app", "2.0", {"app.py": "def main(): pass\n"}, scripts={"app": "app:main", "shared": "app:main"})
    python = python_of("app")
    made = profile(store, "test", python, conda=prefix)
    assert owners(store, made, "app", "shared", "jq", "pip", "python") == {
        "app": ("pypi", "app", "2.0"),
        "shared": ("pypi", "app", "2.0"),
        "jq": ("conda", "jq", "1.7.1"),
        "pip": ("esker", None, None),
        "python": ("interpreter", None, None),
    }
    assert owner(store, made, "app").path == f"{made}/bin/app"
    assert owner(store, made, "python").path == os.path.realpath(python.interpreter.executable)
    (app,) = [each for each in brought(store, made) if each.origin == "pypi"]
    assert {"bin/app", "bin/shared", f"{python.interpreter.libraries}/app.py"} <= set(app.files)
    assert all(os.path.exists(f"{app.prefix}/{file}") for file in app.files)
    assert [each.origin for each in brought(store, made, project="app") if each.name == "app"] == ["project"]


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        "{}",
        '{"name": "jq", "version": "1", "files": 3}',
        '{"name": "jq", "version": "1", "files": [3]}',
        '{"name": 1, "version": "1", "files": []}',
    ],
)
def test_a_damaged_list_is_an_error_that_names_it(store, content):
    """What is no record of a package is refused, with its path and what to do."""

    def fill(directory):
        os.makedirs(f"{directory}/conda-meta")
        os.makedirs(f"{directory}/bin")
        for path, text in [("conda-meta/jq-1-0.json", content), ("bin/jq", "#!/bin/sh\n")]:
            with open(f"{directory}/{path}", "w") as file:
                file.write(text)

    made = profile(store, "test", None, conda=store.build("conda-prefix", "conda:damaged", fill))
    with pytest.raises(
        RealisationFailed, match=r"conda-meta/jq-1-0\.json`, the list of a conda package's files"
    ) as caught:
        brought(store, made)
    assert "esker store verify --repair" in caught.value.hint
    with pytest.raises(RealisationFailed):
        owner(store, made, "jq")


def test_a_program_that_its_wheel_does_not_list_is_still_the_wheels(store):
    """The wheel is alone in its store path; of what several packages share nobody is named."""

    def fill(directory):
        info = f"{directory}/lib/python3.11/site-packages/tool-1.0.dist-info"
        for path in (info, f"{directory}/bin"):
            os.makedirs(path)
        for path in (f"{info}/RECORD", f"{directory}/bin/tool"):
            with open(path, "w"):
                pass

    wheel = store.build("tool-1.0", "wheel:test", fill)

    def link(directory):
        os.makedirs(f"{directory}/bin")
        os.symlink(f"{wheel}/bin/tool", f"{directory}/bin/tool")

    made = store.build("test-profile", "profile:test", link, references=[wheel])
    assert owners(store, made, "tool") == {"tool": ("pypi", "tool", "1.0")}


def test_a_program_of_the_prefix_that_no_package_lists_has_no_package(store, prefix):
    """It is not laid on any of the packages that share the prefix."""

    def link(directory):
        os.makedirs(f"{directory}/bin")
        os.symlink(f"{prefix}/conda-meta/jq-1.7.1-h0.json", f"{directory}/bin/program")

    made = store.build("test-profile", "profile:test", link, references=[prefix])
    assert owners(store, made, "program") == {"program": ("esker", None, None)}
