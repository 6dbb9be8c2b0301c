"""Git trees in an image: pinned to a commit, as they are committed, and nothing that leads elsewhere."""

from __future__ import annotations

import shutil

import msgspec
import pytest

from esker.errors import ImageError, NotTrusted
from tests.ship.content.prepared.conftest import files_of, listed

PLACE = "/srv/agents"


@pytest.fixture
def declared(prepared, repository):
    """Give a function that prepares the repository with these keys."""

    def make(keys="", **options):
        more = f", {keys}" if keys else ""
        return prepared(f'prepare."{PLACE}" = {{ git = "{repository.url}"{more} }}\n', **options)

    return make


def test_the_tree_is_put_there_as_it_is_committed(declared, repository):
    """Attributes, filters and ends of lines change nothing, modes are 0644 or 0755, and directories have the owner."""
    attributes = "*.txt text eol=crlf ident export-subst\nhidden export-ignore\n* filter=evil\n"
    repository.git("config", "filter.evil.smudge", "touch /tmp/esker-was-here; cat")
    files = {".gitattributes": attributes, "a.txt": "$Id$ $Format:%H$\n", "hidden": "h", "bin/run.sh": "#!/bin/sh\n"}
    commit = repository.commit({**files, "bin/link": ("run.sh",), "é\nx": b"\r\n\x00"})
    content = declared('owner = "app"')
    assert listed(content) == {
        f"{PLACE}/": (0o755, 10000, 10000),
        f"{PLACE}/.gitattributes": (0o644, attributes.encode()),
        f"{PLACE}/a.txt": (0o644, b"$Id$ $Format:%H$\n"),
        f"{PLACE}/bin/": (0o755, 10000, 10000),
        f"{PLACE}/bin/link": "run.sh",
        f"{PLACE}/bin/run.sh": (0o755, b"#!/bin/sh\n"),
        f"{PLACE}/hidden": (0o644, b"h"),
        f"{PLACE}/é\nx": (0o644, b"\r\n\x00"),
    }
    [locked] = content.inputs
    assert (locked.kind, locked.name, locked.hash) == ("git", f"{repository.url}@HEAD", commit)
    [component] = content.components
    assert (component.version, component.qualifiers) == (commit, {"vcs_url": f"git+{repository.url}@{commit}"})


def test_a_branch_is_pinned(declared, repository):
    """What the lock has stays until it is looked up anew, and needs no repository as long as the bytes are here."""
    first = repository.commit({"a": "1"})
    before = declared('rev = "main"')
    second = repository.commit({"a": "2"})
    again = declared('rev = "main"', inputs=before.inputs)
    assert again.inputs == before.inputs
    assert [unit.key for unit in again.units] == [unit.key for unit in before.units]
    assert files_of(again) == {f"{PLACE}/a": (0o644, b"1")}
    assert files_of(declared('rev = "main"', inputs=before.inputs, machine="there")) == files_of(before)

    anew = declared('rev = "main"')
    assert (before.inputs[0].hash, anew.inputs[0].hash) == (first, second)
    shutil.rmtree(repository.path)
    assert files_of(declared('rev = "main"', inputs=anew.inputs)) == {f"{PLACE}/a": (0o644, b"2")}


def test_nothing_is_fetched_before_a_layer_is_made(declared, repository):
    """On another machine the lock is enough for key and size; only the entries need the repository."""
    repository.commit({"a": "1", "b/c": "22"})
    before = declared()
    shutil.rmtree(repository.path)
    there = declared(inputs=before.inputs, machine="there")
    assert [(unit.key, unit.size) for unit in there.units] == [(unit.key, 3) for unit in before.units]
    with pytest.raises(ImageError, match="could not be fetched"):
        listed(there)


def test_a_directory_and_a_commit(declared, repository):
    """A directory alone is taken, its name is left out, and a link must not lead out of it."""
    repository.commit({"agents/a.md": "a", "secret": "s"})
    commit = repository.git("rev-parse", "HEAD")
    repository.commit({"agents/a.md": "later", "agents/up": ("../secret",)})
    content = declared(f'rev = "{commit}", directory = "agents"')
    assert files_of(content) == {f"{PLACE}/a.md": (0o644, b"a")}
    assert content.inputs[0].name == f"{repository.url}@{commit}#agents"
    with pytest.raises(ImageError, match=r"`up` in `.*` is a link that leads out, to `\.\./secret`"):
        declared('directory = "agents"')
    with pytest.raises(ImageError, match="has no directory `other` at commit"):
        declared('directory = "other"')


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "a/../../x", ""])
def test_a_link_that_leads_out(declared, repository, target):
    """It is refused by its name."""
    repository.commit({"a": "a"})
    blob = repository.git("hash-object", "-w", "--stdin", given=target.encode())
    repository.commit_tree([f"120000 blob {blob}\tlink"])
    with pytest.raises(ImageError, match=r"`link` in `.*` is a link that leads out"):
        declared()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([f"160000 commit {'1' * 40}\tsub"], "`sub` in `.*` is a submodule"),
        (["100644 blob BLOB\t.GIT"], "`.GIT` in `.*` is no name that a file may have"),
        ([f"100644 blob BLOB\t{'a' * 256}"], "is no name that a file may have"),
        (["100644 blob BLOB\t.."], "`..` in `.*` is no name that a file may have"),
        (["100644 blob BLOB\ta", "100644 blob BLOB\ta"], "`a` in `.*` is there twice"),
    ],
)
def test_a_tree_that_no_checkout_holds(declared, repository, lines, words):
    """Names that lead elsewhere, what is there twice and submodules are refused before anything is written."""
    repository.commit({"a": "a"})
    repository.commit_tree(lines)
    with pytest.raises(ImageError, match=words):
        declared()


def test_a_pointer_of_lfs(declared, repository):
    """It is not the file that people expect, so it is refused with what to do."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    repository.commit({"model.bin": pointer})
    with pytest.raises(ImageError, match=r"`model\.bin` in `.*` is a pointer of git LFS") as caught:
        declared()
    assert "`file`" in caught.value.hint


def test_many_and_large_files(declared, repository, monkeypatch):
    """Files are read a few at a time, and a large one goes from git to its place; nothing of them changes."""
    files = {f"{number}": str(number) * number for number in range(30)} | {"large.sh": "x" * 101, "none": ""}
    repository.commit(files)
    monkeypatch.setattr("esker.host.git.TOGETHER", 100)
    monkeypatch.setattr("esker.ship.content.prepared.git_tree.TOGETHER", 100)
    found = files_of(declared())
    assert {path.rpartition("/")[2]: content.decode() for path, (_, content) in found.items()} == files
    assert found[f"{PLACE}/large.sh"][0] == 0o755


def test_what_is_too_large(declared, repository):
    """The limit on one package holds for a tree as well."""
    repository.commit({"a": "x" * 1_000_001})
    with pytest.raises(ImageError, match="is too large for an image: 1 file, 1000001 bytes") as caught:
        declared(ESKER_LARGEST_WHEEL="1MB")
    assert "ESKER_LARGEST_WHEEL" in caught.value.hint


def test_what_the_lock_may_not_say(declared, repository):
    """A lock that was edited gives git no option, and no other commit than the stated one."""
    commit = repository.commit({"a": "1"})
    [locked] = declared().inputs
    wrong = msgspec.structs.replace(locked, hash="--upload-pack=touch /tmp/x")
    with pytest.raises(ImageError, match=r"in \.flox/image\.lock is not the commit"):
        declared(inputs=[wrong])
    stated = f'rev = "{commit}"'
    [pinned] = declared(stated).inputs
    assert declared(stated, inputs=[msgspec.structs.replace(pinned, hash="2" * 40)]).inputs == (pinned,)
    missing = msgspec.structs.replace(locked, hash="2" * 40)
    with pytest.raises(ImageError, match=f"`{'2' * 40}`, to which .* pins `HEAD`, of `.*` could not be") as caught:
        listed(declared(inputs=[missing]))
    assert "esker image build --upgrade" in caught.value.hint
    with pytest.raises(ImageError, match=f"`{'2' * 40}` of `.*` could not be fetched") as caught:
        declared('rev = "' + "2" * 40 + '"')
    assert "--upgrade" not in caught.value.hint


def test_with_locked_nothing_is_looked_up(declared, repository):
    """The error says what is not pinned, and what to do."""
    repository.commit({"a": "1"})
    with pytest.raises(ImageError, match=r"@main` is not pinned in \.flox/image\.lock") as caught:
        declared('rev = "main"', locked=True)
    assert "without `--locked`" in caught.value.hint
    before = declared('rev = "main"')
    assert declared('rev = "main"', locked=True, inputs=before.inputs).inputs == before.inputs


def test_a_repository_that_others_can_change(declared, repository):
    """It is not read, because its objects are anybody's."""
    repository.commit({"a": "1"})
    repository.path.chmod(0o777)
    with pytest.raises(NotTrusted):
        declared()
