"""Notations of requirements and versions: what is accepted without `packaging` is what `packaging` accepts."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from esker.declare import notations


@given(st.from_regex(notations._PLAIN_REQUIREMENT, fullmatch=True))
def test_plain_requirements_are_requirements(text):
    """`packaging` reads each of them, and finds no marker and no address in it."""
    found = Requirement(text)
    assert (found.marker, found.url) == (None, None)
    assert notations.requirement(text) == text


@given(st.from_regex(notations._PLAIN_SPECIFIER, fullmatch=True))
def test_plain_specifiers_are_specifiers(text):
    """`packaging` reads each of them."""
    SpecifierSet(text)
    assert notations.specifier(text) == text


@pytest.mark.parametrize("text", ["a~=1", "a[b", "a>=1,", "-a", "a_", "a>=1 ;", "a===1,>=2", ">=1"])
def test_others_are_left_to_packaging(text):
    """What is not plain is not taken for it."""
    assert notations._PLAIN_REQUIREMENT.fullmatch(text) is None


def test_plain_notations_do_not_load_packaging():
    """It takes as long as a tenth of what `services start` loads."""
    code = (
        "import sys; from esker.declare import notations; notations.requirement('psycopg[binary,pool]>=3.3,<4'); "
        "notations.specifier('>=3.11'); sys.exit('packaging' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
