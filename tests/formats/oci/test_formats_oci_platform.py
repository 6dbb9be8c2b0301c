"""Platforms are known by the names of systems."""

from __future__ import annotations

import pytest

from esker.errors import Malformed
from esker.formats.oci.platform import platform_of


@pytest.mark.parametrize("system", ["x86_64-linux", "aarch64-linux"])
def test_a_system_has_one_platform(system):
    """A system's platform leads back to it."""
    assert platform_of(system).system == system


@pytest.mark.parametrize("system", ["aarch64-darwin", "riscv64-linux", "linux"])
def test_a_system_without_images_is_refused(system):
    """Images are for Linux on the machines that Esker locks for."""
    with pytest.raises(Malformed, match=f"there are no images for `{system}`"):
        platform_of(system)
