"""What is pushed and pulled: the same claims hold for the registry in memory and for Debian's."""

from __future__ import annotations

from contextlib import ExitStack

import msgspec
import pytest

from esker.errors import CorruptedBlob, ImageError, RegistryError, UsageError
from esker.formats.oci.configuration import Configuration
from esker.formats.oci.documents import document
from esker.formats.oci.reference import Reference, parse
from esker.ship.image.comparison import difference
from esker.ship.image.registry.client import Registry
from esker.ship.image.registry.credentials import Credentials
from esker.ship.image.registry.pull import pull_base
from esker.ship.image.registry.push import push
from esker.ship.image.registry.referrers import attach, referrers
from esker.ship.image.registry.repository import Repository
from esker.ship.image.stored import RegistrySource, stored_images
from esker.ship.image.unit import File
from esker.ship.image.verification import verify
from tests.support.fake_registry import FakeRegistry, Fault
from tests.support.image_tools import RegistryServer
from tests.support.images import AMD64, ARM64, builder, image, unit, units

NOBODY = Credentials("/nonexistent/config.json", {})


@pytest.fixture
def client():
    """Give a function that asks a server; the connections end with the test."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(Registry(server.host, NOBODY, pause=lambda _: None))


def named(server, path="team/app", tag="1.0"):
    return parse(f"{server.host}/{path}:{tag}")


def uploads(server, since=0):
    """Return how many blobs were sent since so many requests."""
    return sum(request.startswith("PUT") and "/blobs/uploads/" in request for request in server.requests()[since:])


class Claims:
    """What holds for every registry; a class below says which one it is."""

    def test_what_is_pushed_is_read_again(self, server, tmp_path, client):
        """Every digest holds in the registry, and the image is for its platform."""
        made = builder(tmp_path)
        its = image(made)
        pushed = push(named(server), [its], made, client(server))
        assert pushed.digest == its.descriptor.digest
        assert {each.digest for each in pushed.uploaded} == {each.descriptor.digest for each in its.layers} | {
            its.config_descriptor.digest
        }
        checked = verify(RegistrySource(Repository(client(server), "team/app"), "1.0"))
        assert checked.faults == ()
        assert checked.blobs == len(its.layers)
        assert [each.descriptor.digest for each in checked.images] == [pushed.digest]

    def test_an_unchanged_image_is_one_request(self, server, tmp_path, client):
        """Nothing is sent, and no blob is asked for; it needs no blob on this machine either."""
        made = builder(tmp_path / "a")
        push(named(server), [image(made)], made, client(server))
        since = len(server.requests())
        again = builder(tmp_path / "b", locked=made.locked_layers())
        pushed = push(named(server), [image(again)], again, client(server))
        assert not pushed.changed
        assert len(server.requests()) == since + 1
        assert not (tmp_path / "b").exists()

    def test_a_size_that_the_lock_states_wrongly_is_not_sent(self, server, tmp_path, client):
        """Although the registry has the blob: a manifest with that size would name an image that nobody can check."""
        made = builder(tmp_path)
        push(named(server), [image(made)], made, client(server))
        right, *others = made.locked_layers()
        lying = builder(tmp_path, locked=[msgspec.structs.replace(right, size=right.size + 1), *others])
        with pytest.raises(ImageError, match=r"but its size or its `diff-id`"):
            push(named(server, tag="2.0"), [image(lying)], lying, client(server))
        assert Repository(client(server), "team/app").manifest("2.0") is None

    def test_one_changed_package_is_two_uploads(self, server, tmp_path, client):
        """Its layer, and the configuration."""
        made = builder(tmp_path / "a")
        push(named(server), [image(made)], made, client(server))
        since = len(server.requests())
        again = builder(tmp_path / "b", locked=made.locked_layers())
        pushed = push(named(server), [image(again, units("new", "2"))], again, client(server))
        assert len(pushed.uploaded) == uploads(server, since) == 2
        assert pushed.changed

    def test_another_tag_sends_nothing(self, server, tmp_path, client):
        """The blobs are asked for, because the tag names nothing yet, and are there."""
        made = builder(tmp_path)
        its = image(made)
        push(named(server), [its], made, client(server))
        pushed = push(named(server, tag="other"), [its], made, client(server))
        assert (pushed.changed, pushed.uploaded) == (True, ())

    def test_an_index_of_two_platforms(self, server, tmp_path, client):
        """Each manifest and the index are there, a layer that both have was sent once, and both are verified."""
        made = builder(tmp_path)
        images = [
            image(made, platform=ARM64),
            image(made, [*units(), unit("arm", File("/opt/x", b"x"))], platform=AMD64),
        ]
        pushed = push(named(server), images, made, client(server))
        checked = verify(RegistrySource(Repository(client(server), "team/app"), "1.0"))
        assert checked.faults == ()
        assert [each.config.platform for each in checked.images] == [AMD64, ARM64]
        assert len(pushed.uploaded) == len({each.digest for each in pushed.uploaded})
        assert not push(named(server), images, made, client(server)).changed

    def test_a_base_is_pulled_by_its_digest_and_mounted(self, server, tmp_path, client):
        """In the same registry nothing of it is sent; elsewhere its layers are fetched, checked, and sent."""
        made = builder(tmp_path / "a")
        pushed = push(named(server, "base"), [image(made, platform=ARM64), image(made)], made, client(server))
        reference = Reference(server.host, "base", digest=pushed.digest)
        base = pull_base(reference, ARM64, client(server))
        assert base.config.env == {"PATH": "/opt/esker/bin"}
        own = builder(tmp_path / "b")
        more = Configuration(env={"MORE": "1"})
        its = image(own, [unit("app", File("/app/x", b"x"))], ARM64, base=base, configuration=more)
        sent = push(named(server, "derived"), [its], own, client(server))
        assert {each.digest for each in sent.mounted} == {each.digest for each in base.layers}
        assert len(sent.uploaded) == 2
        with FakeRegistry() as other:
            push(named(other), [its], own, client(other))
            assert verify(RegistrySource(Repository(client(other), "team/app"), "1.0")).faults == ()

    def test_a_base_that_is_not_there_is_named(self, server, tmp_path, client):
        """The message has the digest that was asked for."""
        made = builder(tmp_path)
        push(named(server), [image(made)], made, client(server))
        digest = f"sha256:{'0' * 64}"
        with pytest.raises(RegistryError, match=f"does not have `{digest}` of `team/app`"):
            pull_base(Reference(server.host, "team/app", digest=digest), AMD64, client(server))

    def test_what_is_not_there_is_named(self, server, client):
        """A tag that nobody has pushed is an error with the whole name."""
        with pytest.raises(RegistryError, match=f"there is no image `{server.host}/none:1.0`"):
            stored_images(RegistrySource(Repository(client(server), "none"), "1.0"))

    def test_two_images_are_compared(self, server, tmp_path, client):
        """The difference names the layer and the package that is the reason."""
        made = builder(tmp_path)
        push(named(server, tag="1"), [image(made)], made, client(server))
        push(named(server, tag="2"), [image(made, units("new", "2"))], made, client(server))
        before, after = (
            stored_images(RegistrySource(Repository(client(server), "team/app"), tag))[0] for tag in ("1", "2")
        )
        (change,) = difference(before, after).layers
        assert (change.name, change.reason) == ("conda/tool", "conda/tool 1 became 2")

    def test_an_sbom_is_attached(self, server, tmp_path, client):
        """It is found by the digest of its image, is there once however often it is attached, and is no image."""
        made = builder(tmp_path)
        its = image(made)
        push(named(server), [its], made, client(server))
        repository = Repository(client(server), "team/app", push=True)
        digest, is_new = attach(repository, its.descriptor, "application/vnd.example+json", b"[1]", made.blobs)
        other, _ = attach(repository, its.descriptor, "application/vnd.other+json", b"[2]", made.blobs)
        assert is_new
        assert attach(repository, its.descriptor, "application/vnd.example+json", b"[1]", made.blobs) == (digest, False)
        found = referrers(repository, its.descriptor.digest)
        assert {(each.digest, each.artifact_type) for each in found} == {
            (digest, "application/vnd.example+json"),
            (other, "application/vnd.other+json"),
        }
        content = document(repository.manifest(digest)[1], "it")
        assert content.subject.digest == its.descriptor.digest
        assert repository.small_blob(content.layers[0]) == b"[1]"
        assert referrers(repository, f"sha256:{'0' * 64}") == ()


class TestRegistryInMemory(Claims):
    """The registry in memory, which other tests use."""

    @pytest.fixture
    def server(self):
        """Give a registry in memory."""
        with FakeRegistry() as server:
            yield server


class TestRegistryWithReferrers(Claims):
    """The registry in memory, which keeps lists of what refers to an image, as new registries do."""

    @pytest.fixture
    def server(self):
        """Give a registry in memory."""
        with FakeRegistry(lists_referrers=True) as server:
            yield server


@pytest.mark.live("images")
class TestDebiansRegistry(Claims):
    """Debian's docker-registry."""

    @pytest.fixture
    def server(self, tmp_path):
        """Give a registry of Debian's."""
        with RegistryServer(tmp_path / "registry") as server:
            yield server


def test_a_name_without_a_registry_cannot_be_pushed_to(tmp_path):
    """There is no registry that would be meant."""
    made = builder(tmp_path)
    with pytest.raises(UsageError, match="`app:1` is no name that an image can be pushed to"):
        push(parse("app:1"), [image(made)], made, Registry("registry.example", NOBODY))


def test_a_base_without_a_digest_is_refused():
    """It may be another image tomorrow."""
    with pytest.raises(UsageError, match="has no digest"):
        pull_base(parse("registry.example/base:1"), AMD64, Registry("registry.example", NOBODY))


@pytest.fixture
def server():
    with FakeRegistry() as server:
        yield server


def test_a_base_for_another_platform_is_refused(server, tmp_path, client):
    """Whether an index or a single image is named; the hint has the platforms that there are."""
    made = builder(tmp_path)
    one = push(named(server, "one"), [image(made)], made, client(server))
    with pytest.raises(ImageError, match="is for linux/amd64, and not for linux/arm64"):
        pull_base(Reference(server.host, "one", digest=one.digest), ARM64, client(server))
    two = push(named(server, "two"), [image(made), image(made, platform=ARM64)], made, client(server))
    other = AMD64.__class__("linux", "riscv64")
    with pytest.raises(ImageError, match="is not there for linux/riscv64") as caught:
        pull_base(Reference(server.host, "two", digest=two.digest), other, client(server))
    assert caught.value.hint == "it is there for linux/amd64, linux/arm64"


def test_a_registry_that_gives_another_manifest_is_found_out(server, tmp_path, client):
    """A digest that was asked for is compared with what came."""
    made = builder(tmp_path)
    pushed = push(named(server), [image(made)], made, client(server))
    media_type, data = server.manifests["team/app", pushed.digest]
    server.manifests["team/app", pushed.digest] = media_type, data + b"\n"
    with pytest.raises(CorruptedBlob, match=f"the blob `{pushed.digest}` is corrupted"):
        pull_base(Reference(server.host, "team/app", digest=pushed.digest), AMD64, client(server))


@pytest.mark.parametrize(
    "alter",
    [lambda data: data[:-1] + b"x", lambda data: data + b"x", lambda data: data[:-1]],
    ids=["changed", "longer", "shorter"],
)
def test_a_layer_that_is_altered_in_the_registry_is_refused_by_name(server, tmp_path, alter, client):
    """By `verify`, and when it is fetched for an image that has it as its base; nothing of it stays."""
    made = builder(tmp_path / "a")
    its = image(made)
    pushed = push(named(server), [its], made, client(server))
    layer = its.layers[2].descriptor
    server.blobs["team/app", layer.digest] = alter(server.blobs["team/app", layer.digest])
    (fault,) = verify(RegistrySource(Repository(client(server), "team/app"), "1.0")).faults
    assert isinstance(fault, CorruptedBlob)
    assert fault.digest == layer.digest
    base = pull_base(Reference(server.host, "team/app", digest=pushed.digest), AMD64, client(server))
    own = builder(tmp_path / "b")
    derived = image(own, [unit("x", File("/opt/x", b""))], base=base)
    with pytest.raises(ImageError, match=layer.digest):
        own.provide([derived])
    assert not own.blobs.has(layer)


def test_a_blob_that_the_registry_has_lost_is_sent_after_all(server, tmp_path, client):
    """What the tag names is taken for there, and if the registry says no, every blob is asked for."""
    made = builder(tmp_path)
    push(named(server), [image(made)], made, client(server))
    its = image(made, units("new"))
    lost = its.layers[0].descriptor.digest
    del server.blobs["team/app", lost]
    pushed = push(named(server), [its], made, client(server))
    assert lost in {each.digest for each in pushed.uploaded}
    assert verify(RegistrySource(Repository(client(server), "team/app"), "1.0")).faults == ()


def test_a_registry_that_fails_is_not_said_to_have_damaged_blobs(server, tmp_path, client):
    """The advice for damaged blobs is to delete them; a blob that the registry does not have is a fault of the image."""
    made = builder(tmp_path)
    its = image(made)
    push(named(server), [its], made, client(server))
    digest = its.layers[0].descriptor.digest
    server.faults += [Fault("GET", f"/blobs/{digest}", 503)] * 5
    source = RegistrySource(Repository(client(server), "team/app"), "1.0")
    with pytest.raises(RegistryError, match="503"):
        verify(source)
    del server.blobs["team/app", digest]
    (fault,) = verify(source).faults
    assert digest in fault.message


def test_what_a_tag_names_is_asked_for_once(server, tmp_path, client):
    """So that the digest that is shown is that of the image which was looked into, if somebody pushes meanwhile."""
    made = builder(tmp_path)
    its = image(made)
    push(named(server), [its], made, client(server))
    source = RegistrySource(Repository(client(server), "team/app"), "1.0")
    (first,) = stored_images(source)
    push(named(server), [image(made, units("new"))], made, client(server))
    assert source.top()[0].digest == first.descriptor.digest == its.descriptor.digest
