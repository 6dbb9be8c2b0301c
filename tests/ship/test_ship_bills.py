"""Bills of materials in a registry: attached once to the right manifest, and found out if they say something else."""

from __future__ import annotations

import json
import threading

import pytest

from esker.errors import RegistryError
from esker.formats.oci.documents import MANIFEST, attachment, describe, document, index
from esker.formats.oci.reference import parse
from esker.ship.bills import Attached, Bill, attach_bills, attached_faults
from esker.ship.content import components
from esker.ship.content.components import MEDIA_TYPE, Component
from esker.ship.image.registry.client import Registry
from esker.ship.image.registry.credentials import Credentials
from esker.ship.image.registry.push import push
from esker.ship.image.registry.referrers import attach, referrers
from esker.ship.image.registry.repository import Repository
from esker.ship.image.stored import RegistrySource, stored_images
from tests.support.fake_registry import FakeRegistry, Fault
from tests.support.image_tools import RegistryServer, skopeo
from tests.support.images import AMD64, ARM64, builder, image, units

NOBODY = Credentials("/nonexistent/config.json", {})
COMPONENTS = [Component(f"conda/{name}", name, "1", None, "conda") for name in ("base", "small", "tool")]


@pytest.fixture(params=[False, True], ids=["by-a-tag", "by-the-api"])
def server(request):
    """Give a registry without lists of referrers, and one with them."""
    with FakeRegistry(lists_referrers=request.param) as server:
        yield server


@pytest.fixture
def repository(server):
    """Give the repository `app` of the registry."""
    with Registry(server.host, NOBODY, pause=lambda _: None) as registry:
        yield Repository(registry, "app", push=True)


@pytest.fixture
def pushed(server, repository, tmp_path):
    """Give the blobs and the images of an index for two platforms in the registry."""
    made = builder(tmp_path)
    images = [image(made, units(str(platform)), platform) for platform in (AMD64, ARM64)]
    push(parse(f"{server.host}/app:1"), images, made, repository.registry)
    return made.blobs, images


def bill(its, listed=COMPONENTS, **fields):
    """Return the bill of an image."""
    digest = fields.pop("digest", its.descriptor.digest)
    data = components.document(listed, "app", digest, 1, layers=fields.pop("layers", len(its.layers)))
    return Bill(str(its.platform), its.descriptor, data)


def stored(repository):
    return stored_images(RegistrySource(repository, "1"))


def faults(repository):
    return [fault.message for each in stored(repository) for fault in attached_faults(repository, each)]


def test_each_platform_has_its_own(server, repository, pushed):
    """The subject is the manifest of the platform, without its platform; every digest and package holds."""
    blobs, images = pushed
    attached = attach_bills(repository, [bill(its) for its in images], blobs)
    assert [(each.platform, each.is_new) for each in attached] == [("linux/amd64", True), ("linux/arm64", True)]
    for its, its_bill in zip(images, attached, strict=True):
        [listed] = referrers(repository, its.descriptor.digest)
        assert (listed.digest, listed.artifact_type) == (its_bill.digest, MEDIA_TYPE)
        subject = document(repository.manifest(listed.digest)[1], "it").subject
        assert (subject.digest, subject.size, subject.platform) == (its.descriptor.digest, len(its.manifest), None)
    assert faults(repository) == []


def test_the_same_is_sent_once(server, repository, pushed):
    """A second time the lists are read, and nothing is sent; another bill is added to them."""
    blobs, images = pushed
    first = attach_bills(repository, [bill(its) for its in images], blobs)
    since = len(server.requests())
    again = attach_bills(repository, [bill(its) for its in images], blobs)
    assert again == tuple(Attached(each.platform, each.digest, is_new=False) for each in first)
    assert {request.split()[0] for request in server.requests()[since:]} == {"GET"}
    attach(repository, images[0].descriptor, "application/vnd.example+json", b"[]", blobs)
    assert len(referrers(repository, images[0].descriptor.digest)) == 2


def test_a_registry_that_refuses_it(server, repository, pushed):
    """The error is the registry's; what has been pushed stays."""
    server.faults.append(Fault("PUT", "/manifests/sha256", status=405))
    blobs, images = pushed
    with pytest.raises(RegistryError, match="405"):
        attach_bills(repository, [bill(images[0])], blobs)
    assert len(stored(repository)) == 2


def test_many_at_once_lose_none(repository, pushed, server):
    """Eight pushes attach something to one image at the same time."""
    blobs, images = pushed
    gate = threading.Barrier(8)
    failures = []

    def attached(number):
        with Registry(server.host, NOBODY) as registry:
            gate.wait()
            own = Repository(registry, "app", push=True)
            try:
                attach_bills(own, [Bill("", images[0].descriptor, b'{"number":%d}' % number)], blobs)
            except RegistryError as error:
                failures.append(error)

    threads = [threading.Thread(target=attached, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(referrers(repository, images[0].descriptor.digest)) == 8


@pytest.mark.live("images")
def test_debians_registry(tmp_path):
    """It keeps no lists of referrers: each push adds to the tag, two at a time lose nothing, and a second sends nothing."""
    made = builder(tmp_path / "blobs")
    with RegistryServer(tmp_path / "registry") as server, Registry(server.host, NOBODY) as registry:
        images = [image(made, units(str(platform)), platform) for platform in (AMD64, ARM64)]
        push(parse(f"{server.host}/app:1"), images, made, registry)
        repository = Repository(registry, "app", push=True)
        ours = [bill(its) for its in images]
        others = [Bill("", its.descriptor, b'{"of another tool": true}') for its in images]
        threads = [
            threading.Thread(target=attach_bills, args=(repository, every, made.blobs)) for every in (ours, others)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [len(referrers(repository, its.descriptor.digest)) for its in images] == [2, 2]
        tag = images[0].descriptor.digest.replace(":", "-")
        listed = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{server.host}/app:{tag}"))
        assert {each["artifactType"] for each in listed["manifests"]} == {MEDIA_TYPE}
        assert faults(repository) == []
        since = len(server.requests())
        assert not any(each.is_new for each in attach_bills(repository, ours, made.blobs))
        assert {request.split()[0] for request in server.requests()[since:]} == {"GET"}


class Contested(Repository):
    """A repository whose tags somebody else replaces, right after we have: so many times."""

    times = 0
    rival = None

    def put_manifest(self, label, data, media_type):
        """Store it, and let the other one come."""
        answer = super().put_manifest(label, data, media_type)
        if ":" not in label and self.times:
            self.times -= 1
            super().put_manifest(label, self.rival, media_type)
        return answer


@pytest.mark.parametrize("server", [False], indirect=True)
def test_a_list_that_another_push_replaces(repository, pushed):
    """The list is read again and written again with both entries; if it never stays, that is an error."""
    blobs, images = pushed
    contested = Contested(repository.registry, "app", push=True)
    subject = images[0].descriptor
    content = describe(b"[1]", "application/vnd.example+json")
    blobs.add(b"[1]")
    attach(repository, images[1].descriptor, content.media_type, b"[1]", blobs)
    other = attachment(content.media_type, content, describe(images[0].manifest, MANIFEST))
    repository.put_manifest(describe(other, MANIFEST).digest, other, MANIFEST)
    contested.rival = index([describe(other, MANIFEST, artifact_type=content.media_type)])
    contested.times = 2
    attach_bills(contested, [bill(images[0])], blobs)
    assert len(referrers(repository, subject.digest)) == 2
    contested.times = 100
    with pytest.raises(RegistryError, match="others replace its list"):
        attach(contested, subject, MEDIA_TYPE, b"{}", blobs)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"listed": COMPONENTS[1:]}, "does not list `conda/base`, which the image holds"),
        ({"listed": [*COMPONENTS, Component("pypi/x", "x", "1", None, "pypi")]}, "lists `pypi/x`, which the image"),
        (
            {"listed": [COMPONENTS[0]._replace(version="2"), *COMPONENTS[1:]]},
            "lists `conda/base` 2, and the image holds 1",
        ),
        ({"digest": f"sha256:{'0' * 64}"}, "it is of another image"),
    ],
    ids=["one-missing", "one-more", "another-version", "of-another-image"],
)
def test_a_bill_that_says_something_else(repository, pushed, changed, message):
    """It is named, with the package."""
    blobs, images = pushed
    attach_bills(repository, [bill(images[0], **changed), bill(images[1])], blobs)
    [fault] = faults(repository)
    assert message in fault


def test_layers_of_a_base_do_not_count(repository, pushed):
    """A bill speaks of the image's own layers; the first one here is taken for a base's."""
    blobs, images = pushed
    own = [each for each in COMPONENTS if each.name != "base"]
    attach_bills(repository, [bill(its, own, layers=len(its.layers) - 1) for its in images], blobs)
    assert faults(repository) == []


def test_what_is_damaged_in_the_registry(server, repository, pushed):
    """A document and a manifest with another digest, a manifest of another image, and one that is gone."""
    blobs, images = pushed
    attached = attach_bills(repository, [bill(its) for its in images], blobs)
    content = document(repository.manifest(attached[0].digest)[1], "it").layers[0]
    server.blobs["app", content.digest] += b" "
    media_type, data = server.manifests["app", attached[1].digest]
    server.manifests["app", attached[1].digest] = media_type, data + b"\n"
    first, second = faults(repository)
    assert f"the blob `{content.digest}` is corrupted" in first
    assert f"the blob `{attached[1].digest}` is corrupted" in second
    if not server.lists_referrers:  # a list under a tag can name what is not there
        del server.manifests["app", attached[1].digest]
        assert "the registry lists it, and does not have it" in faults(repository)[1]


@pytest.mark.parametrize("server", [False], indirect=True)
def test_a_list_that_names_what_is_of_another_image(repository, pushed):
    """The manifest itself says which image it belongs to."""
    blobs, images = pushed
    attached = attach_bills(repository, [bill(its) for its in images], blobs)
    entry = referrers(repository, images[1].descriptor.digest)
    tag = images[0].descriptor.digest.replace(":", "-")
    repository.put_manifest(tag, index(entry), "application/vnd.oci.image.index.v1+json")
    assert f"`{attached[1].digest}`: its manifest names another image" in faults(repository)[0]


def test_none_of_eskers(repository, pushed):
    """Without one, or with one that another tool has made, there is nothing to compare, which is a fault."""
    blobs, images = pushed
    other = json.dumps({"bomFormat": "CycloneDX", "components": []}).encode()
    attach_bills(repository, [Bill("", images[0].descriptor, other)], blobs)
    assert [message.split(" is attached")[0] for message in faults(repository)] == [
        "no bill of materials of Esker's",
        "no bill of materials of Esker's",
    ]
