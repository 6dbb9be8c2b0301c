"""Files from addresses in an image: locked by their hash, and nothing else from that address."""

from __future__ import annotations

import hashlib

import pytest

from esker.errors import HostError, ImageError
from tests.ship.content.prepared.conftest import files_of, listed

DATA = b"the model\n" * 100
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def declared(prepared, registry):
    """Give a function that prepares `/srv/model` with these keys; the file is served on loopback."""
    registry.files["/model"] = DATA

    def make(keys="", url=None, **options):
        more = f", {keys}" if keys else ""
        return prepared(f'prepare."/srv/model" = {{ file = "{url or registry.at("/model")}"{more} }}\n', **options)

    return make


def test_it_is_locked_by_its_hash(declared, registry):
    """The first download gives the hash; then the file is not fetched, and nothing else from there is taken."""
    content = declared('mode = "0750", owner = "1000:2000"')
    [locked] = content.inputs
    assert (locked.kind, locked.url, locked.hash, locked.size) == (
        "file",
        registry.at("/model"),
        f"sha256:{SHA256}",
        len(DATA),
    )
    [unit] = content.units
    [entry] = unit.entries()
    assert (entry.mode, entry.uid, entry.gid) == (0o750, 1000, 2000)
    assert files_of(content) == {"/srv/model": (0o750, DATA)}
    assert content.components[0].sha256 == SHA256

    registry.files["/model"] = b"another"
    again = declared('mode = "0750", owner = "1000:2000"', inputs=content.inputs)
    assert (again.inputs, [each.key for each in again.units]) == (content.inputs, [unit.key])
    assert files_of(again) == {"/srv/model": (0o750, DATA)}
    assert registry.requests["/model"] == 1
    elsewhere = declared(inputs=content.inputs, machine="there")
    found = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(
        ImageError, match=f"gave a file with the hash sha256:{found}, and sha256:{SHA256} is expected"
    ) as caught:
        listed(elsewhere)
    assert caught.value.hint.endswith("pin it again: esker image build --upgrade")
    assert declared().inputs[0].hash == f"sha256:{found}"


def test_a_stated_hash(declared, registry):
    """It is what counts: also against a lock that has another one."""
    assert files_of(declared(f'sha256 = "{SHA256}"')) == {"/srv/model": (0o644, DATA)}
    wrong = "0" * 64
    with pytest.raises(ImageError, match=f"hash sha256:{SHA256}, and sha256:{wrong} is expected") as caught:
        declared(f'sha256 = "{wrong}"')
    hint = "do not use that file; if it was meant to change, correct its `sha256` in [plugins.esker.image.prepare]"
    assert caught.value.hint == hint
    with pytest.raises(ImageError, match="is expected"):
        declared(f'sha256 = "{wrong}"', inputs=declared().inputs)


def test_half_a_file(declared, registry):
    """A download that breaks is an error, and is not locked as it is."""
    registry.halved.add("/model")
    with pytest.raises(HostError, match="could not be downloaded"):
        declared()


def test_without_a_hash_nobody_may_be_on_the_way(declared, registry):
    """By http a file is taken from this machine alone, unless its hash is known; a redirect changes nothing in that."""
    with pytest.raises(HostError, match="by http, anybody on the way could send another file"):
        declared(url="http://files.invalid/model")
    registry.redirects["/moved"] = "http://files.invalid/model"
    with pytest.raises(HostError, match="could not be downloaded: it leads to http"):
        declared(url=registry.at("/moved"))
    registry.redirects["/near"] = registry.at("/model")
    assert files_of(declared(url=registry.at("/near"))) == {"/srv/model": (0o644, DATA)}


def test_what_is_too_large(declared, registry):
    """The limit on one package holds for a file as well."""
    registry.files["/model"] = b"x" * 1_000_001
    with pytest.raises(HostError, match="more than 1000000 bytes"):
        declared(ESKER_LARGEST_WHEEL="1MB")


def test_what_is_not_there(declared, registry):
    """The error has the address and the status."""
    with pytest.raises(HostError, match=r"/missing` could not be downloaded: .*404|Not Found"):
        declared(url=registry.at("/missing"))
    with pytest.raises(ImageError, match="is not pinned"):
        declared(locked=True)
