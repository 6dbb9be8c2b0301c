"""What `nix path-info --json` says, in each of the forms that versions of Nix print, and what is refused."""

from __future__ import annotations

import base64
import contextlib
import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esker.errors import Malformed
from esker.formats.nix import nar, nixbase32
from esker.formats.nix.path_info import PathInfo, parse

HASH = bytes(range(32))
SRI = f"sha256-{base64.b64encode(HASH).decode()}"
ONE, TWO = f"/nix/store/{'1' * 32}-one-1.0", f"/nix/store/{'2' * 32}-two"
EXPECTED = (PathInfo(ONE, HASH, 120, (TWO,)), PathInfo(TWO, HASH, 7, ()))


REAL = {
    "2.8.0": """[{"path":"/s/ifl5swjwb4c6m2fyh4fpirm7jaa38qa5-x","narHash":"sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//\
zaJEufY=","narSize":120,"references":[],"ca":"fixed:r:sha256:1xmr8jicvzszfzpz46g37mlpvbzjl2wpwvl2b05psipssyp1sm8h",\
"registrationTime":1796029878}]""",
    "2.34.8": """{"/s/ifl5swjwb4c6m2fyh4fpirm7jaa38qa5-x":{"ca":"fixed:r:sha256:1xmr8jicvzszfzpz46g37mlpvbzjl2wpwvl2b05ps\
ipssyp1sm8h","deriver":null,"narHash":"sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY=","narSize":120,"references"\
:[],"registrationTime":1796029859,"signatures":[],"storeDir":"/s","ultimate":false,"version":1}}""",
    "2.34.8 --json-format 2": """{"info":{"ifl5swjwb4c6m2fyh4fpirm7jaa38qa5-x":{"ca":{"hash":"sha256-EFUdrtf6Rn0LWIJufrm\
g8q99aT3jGfLvd1//zaJEufY=","method":"nar"},"deriver":null,"narHash":"sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY\
=","narSize":120,"references":[],"registrationTime":1796029859,"signatures":[],"storeDir":"/s","ultimate":false,\
"version":2}},"storeDir":"/s","version":2}""",
}
"""What `echo hi >x; nix path-info --recursive --json $(nix-store --add x)` prints, with `/s` for the store."""


@pytest.mark.parametrize("version", REAL)
def test_what_real_versions_print(version):
    """Each says the same of the same file, whose archive has this hash."""
    files = [nar.Regular((), executable=False, size=3, chunks=[b"hi\n"])]
    digest = sha256(b"".join(nar.dump(files))).digest()
    assert parse(REAL[version], "/s") == (PathInfo("/s/ifl5swjwb4c6m2fyh4fpirm7jaa38qa5-x", digest, 120, ()),)


def entry(size, references, **fields):
    return {"narHash": SRI, "narSize": size, "references": references, "deriver": None, **fields}


def test_a_list():
    """Nix 2.8 prints one, here as it has printed it for two paths, but for the hashes."""
    text = json.dumps([entry(7, [], path=TWO, valid=True), entry(120, [TWO], path=ONE, valid=True)])
    assert parse(text) == EXPECTED


def test_a_table_by_path():
    """Nix 2.19 and later print one."""
    assert parse(json.dumps({ONE: entry(120, [TWO]), TWO: entry(7, [])})) == EXPECTED


def test_a_table_by_name():
    """Format 2 names no directory."""
    info = {name.rpartition("/")[2]: value for name, value in ((ONE, entry(120, [TWO[11:]])), (TWO, entry(7, [])))}
    assert parse(json.dumps({"version": 2, "info": info, "storeDir": "/nix/store"})) == EXPECTED


@pytest.mark.parametrize(
    "value",
    [
        SRI,
        f"sha256:{HASH.hex()}",
        f"sha256:{nixbase32.encode(HASH)}",
        {"algorithm": "sha256", "format": "base64", "hash": SRI[7:]},
        {"algorithm": "sha256", "format": "base16", "hash": HASH.hex()},
    ],
)
def test_every_form_of_a_hash(value):
    """Base 64, hexadecimal and Nix's own base 32."""
    [info] = parse(json.dumps({TWO: entry(7, [], narHash=value)}))
    assert info.nar_hash == HASH


def test_another_directory():
    """The store may lie elsewhere; a path of the usual place is then refused."""
    [info] = parse(json.dumps({f"/x/store/{TWO[11:]}": entry(7, [])}), "/x/store")
    assert info.path == f"/x/store/{TWO[11:]}"
    with pytest.raises(Malformed, match="does not lie directly in `/x/store`"):
        parse(json.dumps({TWO: entry(7, [])}), "/x/store")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({ONE: entry(120, [TWO])}, "says nothing of it"),
        ({ONE: None}, "is not valid"),
        ([{"path": ONE, "valid": False}], "is not valid"),
        ({ONE: entry(-1, [])}, "is no size"),
        ({ONE: entry(True, [])}, "is no size"),
        ({ONE: entry("1", [])}, "is no size"),
        ({ONE: entry(1, ["/nix/store/../etc"])}, "does not lie directly"),
        ({ONE: entry(1, ["short"])}, "a digest, `-` and a name"),
        ({ONE: entry(1, ["/etc/passwd"])}, "does not lie directly"),
        ({f"{ONE}/bin": entry(1, [])}, "does not lie directly"),
        ({ONE: entry(1, [], narHash="sha256-AAAA")}, "is no SHA-256"),
        ({ONE: entry(1, [], narHash="sha256-%")}, "is no SHA-256"),
        ({ONE: entry(1, [], narHash="sha1-" + "A" * 28)}, "base 32"),
        ({ONE: entry(1, [], narHash=None)}, "not understood"),
        ({ONE: {}}, "not understood"),
        (["x"], "not understood"),
        (3, "not understood"),
    ],
)
def test_what_is_refused(value, message):
    """Each is an error of the format, and never another one."""
    with pytest.raises(Malformed, match=message):
        parse(json.dumps(value))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: (
            st.lists(each)
            | st.dictionaries(
                st.sampled_from(["info", "version", "path", "narHash", "narSize", "references", ONE]), each
            )
        ),
    )
)
def test_nothing_else_is_raised(value):
    """Whatever JSON comes, the result is paths or Malformed."""
    with contextlib.suppress(Malformed):
        assert isinstance(parse(json.dumps(value)), tuple)
