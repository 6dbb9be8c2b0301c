from __future__ import annotations

import os
import socket

import pytest

from esker.host.ports import holder, is_free


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_a_port_that_is_taken_is_not_free_and_has_a_holder(address):
    """Whatever address the other listens on, the port is taken; it is free again when the other has ended."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        other = socket.socket(family)
        other.bind((address, 0))
    except OSError:
        pytest.skip(f"this machine has no {address}")
    with other:
        other.listen()
        port = other.getsockname()[1]
        assert not is_free(port)
        assert holder(port).pid == os.getpid()
    assert is_free(port)
    assert holder(port) is None
