"""Platforms are read and written in the words of OCI, and known by the names of systems."""

from __future__ import annotations

import pytest

from esker.errors import Malformed
from esker.formats.oci.platform import Platform, parse, platform_of


@pytest.mark.parametrize("system", ["x86_64-linux", "aarch64-linux"])
def test_a_system_has_one_platform(system):
    """A system's platform leads back to it, and its text is read again."""
    platform = platform_of(system)
    assert platform.system == system
    assert parse(str(platform)) == platform


@pytest.mark.parametrize("system", ["aarch64-darwin", "riscv64-linux", "linux"])
def test_a_system_without_images_is_refused(system):
    """Images are for Linux on the machines that Esker locks for."""
    with pytest.raises(Malformed, match=f"there are no images for `{system}`"):
        platform_of(system)


@pytest.mark.parametrize("text", ["", "linux", "linux/", "linux/arm64/v8/more", "linux/../x"])
def test_what_is_no_platform_is_refused(text):
    """A text needs two or three parts of letters and digits."""
    with pytest.raises(Malformed, match="is not a platform"):
        parse(text)


def test_a_variant_is_kept():
    """A platform of another tool's image may have a variant."""
    assert parse("linux/arm64/v8") == Platform("linux", "arm64", "v8")
