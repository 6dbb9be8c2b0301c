"""`[plugins.esker.image]`: each mistake is told once, on its line, and with what to do."""

from __future__ import annotations

import pytest

from esker.declare.validate import esker_table
from esker.formats.manifest import document, from_table
from esker.formats.oci import layer_names

DIGEST = f"sha256:{'0' * 64}"
HEAD = 'schema-version = "1.14.0"\n[plugins.esker.image]\n'


def checked(text):
    """The image table of a manifest, and what is wrong with it."""
    values, report = document(HEAD + text)
    return esker_table(from_table(values, report), values, report).image, report.problems


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('name = "App"', "`App` is not the name of an image", "no tag"),
        ('name = "app:1"', "`app:1` is not the name of an image", "no tag"),
        ('systems = ["aarch64-darwin"]', "`aarch64-darwin` is not a system that images are for", "x86_64-linux"),
        ('files = { "app" = ["src"] }', "`app` is not a place in an image", "absolute path"),
        ('files = { "/a/../b" = ["src"] }', "`/a/../b` is not a place in an image", "without `..`"),
        ('files = { "/opt/esker/x" = ["src"] }', "`/opt/esker/x` is no place for files", "`/app`".strip("`")),
        ('files = { "/" = ["src"] }', "`/` is no place for files: `/opt/esker`", "/app"),
        ('files = { "/opt" = ["src"] }', "`/opt` is no place for files: `/opt/esker`", "/app"),
        ('files = { "/proc" = ["src"] }', "`/proc` is no place for files", "/app"),
        ('files = { "/app" = ["/etc"] }', "`/etc` is not a path relative to the project", '"src"'),
        ('files = { "/app" = ["~/a"] }', "`~/a` is not a path relative to the project", '"src"'),
        ('files = { "/app" = [".."] }', "`..` would put the project's own directory into itself", '"../src"'),
        ('files = { "/a" = ["x"], "/a/b" = ["y"] }', "`/a/b` lies below `/a`, which gets files too", "keep one"),
        ('layers = [{ name = "a", packages = ["x>1"] }]', "`x>1` is not the name of a package", "conda/git"),
        ('layers = [{ name = "a", packages = [] }]', "the layer has no package", "name some"),
        (
            'layers = [{ name = "a", packages = ["x"] }, { name = "a", packages = ["y"] }]',
            "two layers are named `a`",
            "rename",
        ),
        *(
            (
                f'layers = [{{ name = "{name}", packages = ["x"] }}]',
                f"`{name}` is the name of a layer that images have by themselves",
                "choose another name",
            )
            for name in (
                *(layer_names.CONFIGURATION, layer_names.APPLICATION, layer_names.ESKER),
                *(layer_names.small_packages(), layer_names.small_packages(2), layer_names.base_layer(1)),
                *("conda/jq", "pypi/uvicorn", "nix/git", "esker/python", "/opt/agents"),
            )
        ),
        (
            'layers = [{ name = "a", packages = ["x"] }, { name = "b", packages = ["x"] }]',
            "`x` is in the layer `a` already",
            "take it out",
        ),
        ('files = { "/app" = [8000] }', "invalid type: integer `8000`, expected a string", 'write `"8000"`'),
        ("vars.A = 1", "`1` is not the value of a variable", "`false`"),
        ("vars.A = true", "`true` is not the value of a variable", "`false`"),
        ('vars."1A" = "x"', "", ""),
        ('healthcheck.test = ""', "the test is empty", "shell text"),
        ("healthcheck = {}", "missing field `test`", "test"),
        ('compression = "xz"', "unknown variant `xz`", "gzip"),
        ('prepare."/a" = {}', "nothing is named to prepare", "`npm-lock`"),
        ('prepare."/a" = { git = "x", npm = "a@1.0.0" }', "two things are named, `git` and `npm`", "write one of"),
        ('prepare."/a" = { npm = "a@1.0.0", rev = "v1" }', "`rev` belongs to `git`, and this is `npm`", "take it out"),
        ('prepare."/a" = { git = "x", mode = "0755" }', "`mode` belongs to `file`, and this is `git`", "take it out"),
        ('prepare."/a" = { git = "ext::sh" }', "`ext::sh` would have git run a program", "https"),
        ('prepare."/a" = { git = "https://t@git.example/a" }', "the address of a repository may not hold", "ssh"),
        ('prepare."/a" = { git = "x", rev = "--upload-pack=x" }', "`--upload-pack=x` is not the name of a", '"main"'),
        (
            'prepare."/a" = { git = "x", rev = "x@1" }',
            "`x@1` is not the name of a branch",
            "a branch, a tag or the hash",
        ),
        ('prepare."/a" = { git = "" }', "`` is not the address of a repository", 'team/tools.git"'),
        (
            'prepare."/a" = { git = "x", directory = "../b" }',
            "`../b` is not a directory within a repository",
            '"skills/base"',
        ),
        ('prepare."/a" = { npm = "a" }', "`a` is not an npm package with its version", "NAME@latest"),
        ('prepare."/a" = { npm = "../a@1.0.0" }', "`../a@1.0.0` is not an npm package", "NAME@VERSION"),
        ('prepare."/a" = { npm = "a@^1.0.0" }', "`a@^1.0.0` is not an npm package", "NAME@VERSION"),
        ('prepare."/a" = { npm-lock = "/package-lock.json" }', "`/package-lock.json` is not a path relative", ""),
        ('prepare."/a" = { file = "ftp://files.example/a" }', "`ftp://files.example/a` is not the address", "https"),
        ('prepare."/a" = { file = "file:///srv/a" }', "`file:///srv/a` is not the address", "git, and use `files`"),
        ('prepare."/a" = { file = "https://me:pw@files.example/a" }', "the address of a file may not hold", ""),
        ('prepare."/a" = { file = "https://files.example/a?token=x" }', "the address of a file may not hold", ""),
        ('prepare."/a" = { file = "https://f.example/a", sha256 = "00" }', "`00` is not a SHA-256", "64 hexadecimal"),
        ('prepare."/a" = { file = "https://f.example/a", mode = "4755" }', "`4755` is not a mode", "another user"),
        ('prepare."/a" = { file = "https://f.example/a", owner = "a b" }', "`a b` is not an owner", "1000:1000"),
        ('prepare."/a" = { file = "https://f.example/a", links = { "/b" = "c" } }', "a file alone has nothing", ""),
        ('prepare."/a" = { npm = "a@1.0.0", links = { "/b" = "../c" } }', "`../c` is not a path within", "bin/cli.js"),
        ('prepare."/a" = { npm = "a@1.0.0", links = { "/a/b" = "c" } }', "`/a/b` lies at or below `/a`", "another"),
        ('prepare."/etc/../a" = { npm = "a@1.0.0" }', "`/etc/../a` is not a place in an image", "without `..`"),
        (
            'prepare = { "/a" = { npm = "a@1.0.0" }, "/a/b" = { npm = "b@1.0.0" } }',
            "`/a/b` lies at or below `/a`, which `/a` has already",
            "choose another place",
        ),
        (
            'from = "debian"',
            "`debian` has no digest",
            "name its registry, and its digest, which this shows: esker image inspect registry.example/debian",
        ),
        (
            'from = "registry.example/base:1"',
            "`registry.example/base:1` has no digest, so it may be another image tomorrow",
            "NAME@sha256:…: esker image inspect registry.example/base:1",
        ),
        (
            'from = "registry.example/base:1@sha256:12"',
            "the digest in `registry.example/base:1@sha256:12` has 2 digits, not 64",
            "base:1",
        ),
        ('from = "./base@sha256:xy"', "`./base@sha256:xy` has no digest", "image inspect ./base"),
        (f'from = "base@{DIGEST}"', f"`base@{DIGEST}` names no registry", "registry.example/base@sha256:…"),
        (f'from = "registry.example/Base@{DIGEST}"', "`registry.example/Base@", "registry.example/base@sha256:…"),
        (f'from = "/base@{DIGEST}"\npython = "/p"', "`/base` is not a path relative to the project", "./base@sha256:…"),
        (f'from = "~/base@{DIGEST}"', "`~/base` is not a path relative to the project", "./base@sha256:…"),
        ('python = "/usr/bin/python3"', "`python` states a program of the base, and no base is named", "name the base"),
        (f'python = "python3"\nfrom = "./base@{DIGEST}"', "`python3` is not the path of a program", "/usr/bin"),
    ],
)
def test_mistakes(text, message, hint):
    """Each mistake is told once, with what to do, on the line of its key."""
    _, problems = checked(text)
    [problem] = problems
    assert problem.message.startswith(message)
    assert hint in (problem.hint or "")
    assert problem.line in {2, 3}


def test_a_variable_that_is_removed():
    """`false` takes a variable out of the image, and a string replaces it."""
    table, problems = checked('vars = { A = "", B = false }')
    assert not problems
    assert table is not None
    assert table.vars == {"A": "", "B": None}


def test_a_base_is_named_by_its_digest_alone():
    """A tag beside it says nothing, so it is left out."""
    table, problems = checked(f'from = "registry.example/base:1@{DIGEST}"\npython = "/usr/bin//python3"')
    assert not problems
    assert table is not None
    assert (table.base, table.python) == (f"registry.example/base@{DIGEST}", "/usr/bin/python3")
    for path in ("./layout", "../bases/layout"):
        table, _ = checked(f'from = "{path}@{DIGEST}"')
        assert table is not None
        assert table.base == f"{path}@{DIGEST}"
