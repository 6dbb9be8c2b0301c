"""Whether there is a way to other networks, by the kernel's lists of routes."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from esker.host.routes import has_way_out

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
DEFAULT = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\n"
HALF = "tun0\t00000000\t0100080A\t0003\t0\t0\t0\t00000080\n"
NEAR = "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n"
REFUSED = "*\t00000000\t00000000\t0200\t0\t0\t0\t00000000\n"
ZEROS = "0" * 32
REJECTED6 = f"{ZEROS} 00 {ZEROS} 00 {ZEROS} ffffffff 00000001 00000000 00200200       lo\n"
LINK6 = f"fe80{ZEROS[4:]} 40 {ZEROS} 00 {ZEROS} 00000100 00000002 00000000 00000001     eth0\n"
DEFAULT6 = f"{ZEROS} 00 {ZEROS} 00 fd{ZEROS[3:]}1 00000400 00000003 00000000 00000003     eth0\n"
PUBLIC6 = f"2{ZEROS[1:]} 03 {ZEROS} 00 fd{ZEROS[3:]}1 00000400 00000003 00000000 00000003     eth0\n"


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "leads_out"),
    [
        (HEAD + NEAR + DEFAULT, REJECTED6, True),
        (HEAD + HALF, REJECTED6, True),
        (HEAD + NEAR, LINK6 + DEFAULT6 + REJECTED6, True),
        (HEAD + NEAR, PUBLIC6, True),
        (HEAD + NEAR + REFUSED, LINK6 + REJECTED6, False),
        (HEAD, "", False),
        ("", None, False),
        (None, REJECTED6, True),
        (HEAD + "eth0\n", "", True),
        (HEAD, "what is this\n", True),
    ],
)
def test_routes(tmp_path, ipv4, ipv6, leads_out):
    """A default route leads out, of either kind; where there is no list, or one of another form, nobody can tell."""
    paths = [tmp_path / "ipv4", tmp_path / "ipv6"]
    for path, text in zip(paths, (ipv4, ipv6), strict=True):
        if text is not None:
            path.write_text(text)
    assert has_way_out(*map(str, paths)) is leads_out


def test_a_machine_without_a_network():
    """The kernel's own lists, in a namespace that has nothing but a loopback."""
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are not allowed here")
    code = "from esker.host.routes import has_way_out; print(has_way_out())"
    done = subprocess.run([*alone, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
