from __future__ import annotations

import os
import subprocess

import pytest

from esker.runtimes.foreign import tool
from esker.runtimes.nix import files
from esker.runtimes.nix.files import configuration, directory_tree, flake_tree, links_on_the_way, nix_files, search_path

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "GIT_CONFIG_GLOBAL": os.devnull}


def git(directory, *words):
    """Run git in a directory."""
    argv = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
    return subprocess.run(argv, cwd=directory, env=ENVIRON, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def tree(tmp_path):
    """Give a directory with files."""
    for name in (
        "flake.nix",
        "flake.lock",
        "a.txt",
        "sub/b.nix",
        "sub/deep/c.json",
        ".hidden/d.nix",
        "node_modules/e.nix",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{ }")
    return tmp_path


def names(found, top):
    return {os.path.relpath(path, top) for path in found}


def test_the_files_of_a_flake_are_those_that_git_tracks(tree):
    """From any directory of the repository it is the whole of it; staged files count, others do not."""
    git(tree, "init", "--quiet")
    git(tree, "add", "flake.nix", "sub/b.nix")
    found = flake_tree(str(tree / "sub"), ENVIRON)
    assert names(found.files, tree) == {"flake.nix", "sub/b.nix"}
    assert names(found.signs, tree) == {".git/index", ".git/HEAD", ".git/logs/HEAD"}
    assert found.revision == ""


def test_a_flake_that_asks_for_its_revision(tree):
    """The commit counts then, and only then."""
    git(tree, "init", "--quiet")
    git(tree, "add", "flake.nix")
    (tree / "flake.nix").write_text("{ x = self.shortRev; }")
    assert flake_tree(str(tree), ENVIRON).revision == ""  # there is no commit yet
    git(tree, "commit", "--quiet", "--all", "--message", "x")
    assert flake_tree(str(tree), ENVIRON).revision == git(tree, "rev-parse", "HEAD").strip()


def test_without_a_repository_every_file_counts(tree):
    """As Nix copies the whole directory; each directory tells of new files."""
    found = flake_tree(str(tree), {**ENVIRON, "GIT_CEILING_DIRECTORIES": "/"})
    assert {"flake.nix", ".hidden/d.nix", "sub/deep/c.json"} <= names(found.files, tree)
    assert {".", "sub", "sub/deep"} <= names(found.signs, tree)
    assert found == directory_tree(str(tree))


def test_a_shell_nix_depends_on_every_nix_below(tree):
    """But for hidden directories and those of other package managers."""
    found = nix_files(str(tree), ["sub/**/*.json"])
    assert names(found.files, tree) == {"flake.nix", "sub/b.nix", "sub/deep/c.json"}
    assert {"sub", "sub/deep"} <= names(found.signs, tree)


def test_too_many_files(tree, monkeypatch):
    """Then the `*.nix`, the locks and what is watched count alone, and it is known how many do not."""
    monkeypatch.setattr(files, "MOST_FILES", 5)
    assert tool.MOST_FILES == 5000
    found = directory_tree(str(tree), ["a.*"])
    assert names(found.files, tree) == {
        *("flake.nix", "flake.lock", "sub/b.nix", ".hidden/d.nix", "node_modules/e.nix"),
        "a.txt",
    }
    assert found.left_out == 2


def test_where_nix_path_leads(tmp_path):
    """Links on the way count, files of the target do, and addresses stay as they are."""
    target = tmp_path / "nixpkgs-1"
    target.mkdir()
    (target / "default.nix").touch()
    (tmp_path / "link").symlink_to("nixpkgs-1")
    path = f"nixpkgs={tmp_path}/link:other=https://example.invalid/x.tar.gz:{tmp_path}/missing"
    words, found = search_path({"NIX_PATH": path}, "/nowhere")
    assert words == (
        f"nixpkgs={tmp_path}/link {target}",
        "other=https://example.invalid/x.tar.gz",
        f"{tmp_path}/missing {tmp_path}/missing",
    )
    assert names(found.files, tmp_path) == {"nixpkgs-1/default.nix", "missing"}
    assert {"link", "nixpkgs-1", "missing"} <= names(found.signs, tmp_path)
    assert search_path({}, "/home/me")[0][0].startswith("/home/me/.nix-defexpr/channels")


def test_links_on_the_way(tmp_path):
    """Also those above the last part, and links to links; a circle ends."""
    (tmp_path / "real/dir").mkdir(parents=True)
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to(tmp_path / "real")
    found = links_on_the_way(f"{tmp_path}/one/dir")
    assert {os.path.relpath(path, tmp_path) for path in found} == {"one", "two", "one/dir"}
    (tmp_path / "loop").symlink_to("loop")
    assert len(links_on_the_way(f"{tmp_path}/loop")) <= 41


def test_the_settings_of_nix(tmp_path):
    """Those of the machine and of the user, what they include, and the registries."""
    (tmp_path / "nix.conf").write_text("cores = 1\ninclude more.conf\n!include /abs.conf\n")
    found = configuration({"NIX_CONF_DIR": str(tmp_path)}, "/home/me")
    assert found[:2] == [f"{tmp_path}/nix.conf", "/home/me/.config/nix/nix.conf"]
    assert {f"{tmp_path}/more.conf", "/abs.conf", f"{tmp_path}/registry.json"} <= set(found)
    named = configuration({"NIX_USER_CONF_FILES": "/a:/b"}, "/home/me")
    assert named[:3] == ["/etc/nix/nix.conf", "/a", "/b"]
