"""A lock of npm: which packages a system needs, and what is refused before anything is fetched."""

from __future__ import annotations

import json

import pytest

from esker.errors import InvalidLock
from esker.formats.npm.package_lock import packages

HASH = f"sha512-{'A' * 86}=="
ONE = {"version": "1.0.0", "resolved": "https://npm.invalid/a/-/a-1.0.0.tgz", "integrity": HASH}


def chosen(entries, system="x86_64-linux", **more):
    document = {"name": "app", "lockfileVersion": 3, "packages": {"": {"name": "app"}, **entries}, **more}
    return packages(json.dumps(document).encode(), "/p/package-lock.json", system)


def test_what_a_system_needs():
    """Packages for development, those of other systems, and what lies in another archive do not count."""
    found = chosen(
        {
            "node_modules/a": ONE | {"hasInstallScript": True},
            "node_modules/a/node_modules/@s/b": ONE | {"dev": False, "devOptional": True},
            "node_modules/a/node_modules/c": {"version": "1.0.0", "inBundle": True},
            "node_modules/other": ONE | {"name": "renamed", "os": ["!win32"], "libc": ["glibc"]},
            "node_modules/dev": ONE | {"dev": True, "resolved": "git+ssh://git.invalid/x"},
            "node_modules/arm": ONE | {"optional": True, "cpu": ["arm64"]},
            "node_modules/musl": ONE | {"optional": True, "libc": "musl"},
            "node_modules/mac": ONE | {"optional": True, "os": ["darwin"]},
        }
    )
    assert [(each.path, each.name, each.has_script) for each in found] == [
        ("node_modules/a", "a", True),
        ("node_modules/a/node_modules/@s/b", "@s/b", False),
        ("node_modules/other", "renamed", False),
    ]
    assert [each.path for each in chosen({"node_modules/arm": ONE | {"cpu": ["arm64"]}}, "aarch64-linux")]


@pytest.mark.parametrize(
    ("path", "entry", "words"),
    [
        ("../node_modules/a", ONE, "leads out of the project"),
        ("/node_modules/a", ONE, "leads out of the project"),
        ("node_modules/..", ONE, "is no directory of packages"),
        ("node_modules/../../a", ONE, "is no directory of packages"),
        ("node_modules/a/../../../etc", ONE, "is no directory of packages"),
        ("node_modules/.bin", ONE, "is no directory of packages"),
        ("node_modules/a/lib", ONE, "is no directory of packages"),
        ("node_modules/a/node_modules", ONE, "is no directory of packages"),
        ("node_modules/a\n", ONE, "is no directory of packages"),
        (f"node_modules/{'a/node_modules/' * 80}a", ONE, "is no directory of packages"),
        ("lib/a", {"version": "1.0.0"}, "is a directory of the project"),
        ("node_modules/a", {"link": True, "resolved": "lib/a"}, "is a directory of the project"),
        ("node_modules/a", ONE | {"version": "1.0.0/../../x"}, "has no valid name and version"),
        ("node_modules/a", ONE | {"name": "../../x"}, "has no valid name and version"),
        ("node_modules/a", ONE | {"integrity": ""}, "is locked without a SHA-2 hash"),
        ("node_modules/a", ONE | {"integrity": f"sha1-{'A' * 27}="}, "is locked without a SHA-2 hash"),
        ("node_modules/a", ONE | {"integrity": "sha512-AAAA"}, "is locked without a SHA-2 hash"),
        ("node_modules/a", ONE | {"resolved": "git+ssh://git.invalid/a"}, "comes from `git+ssh:`"),
        ("node_modules/a", ONE | {"resolved": "file:../a"}, "comes from `file:`"),
        ("node_modules/a", ONE | {"inBundle": True}, "there is none"),
        ("node_modules/a", ONE | {"cpu": ["arm64"]}, "is not for x86_64-linux: its `cpu` is arm64"),
        ("node_modules/a", ONE | {"os": ["!linux"]}, "is not for x86_64-linux: its `os` is !linux"),
    ],
)
def test_what_is_refused(path, entry, words):
    """Each refusal names the package, and all of a file come at once."""
    with pytest.raises(InvalidLock) as caught:
        chosen({path: entry, "node_modules/z": ONE | {"integrity": ""}})
    first, second = caught.value.problems
    assert words in first.message
    assert first.hint
    assert "node_modules/z" in second.message


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"lockfileVersion": 1, "packages": {}}', '{"lockfileVersion": 3, "packages": {"a": 1}}']
)
def test_what_is_no_lock(text):
    """The error says how npm writes one."""
    with pytest.raises(InvalidLock, match="not a lock of npm") as caught:
        packages(text.encode(), "/p/package-lock.json", "x86_64-linux")
    assert "npm install --package-lock-only" in caught.value.problems[0].hint


def test_too_many():
    """A lock has a limit."""
    with pytest.raises(InvalidLock, match="more than 20000 packages"):
        chosen({f"node_modules/a{number}": {} for number in range(20_001)})
