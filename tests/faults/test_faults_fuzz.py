"""Whatever stands in a file or variable that Esker reads, it gives only the errors that it declares, in bounded time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.faults.fuzz import Inputs, fuzz, known_formats
from tests.faults.fuzzed_formats import Format

_INPUTS = 500
"""Inputs of each format: about ten seconds of processor time altogether. `python -m tests.faults.fuzz --inputs N` takes more."""
_SEED = "1"
"""Fixed, so that a change of Esker alone decides whether the tests pass."""


@pytest.fixture(scope="module")
def known():
    with known_formats() as formats:
        yield formats


@pytest.mark.live("faults")
@pytest.mark.slow
def test_no_input_of_any_format_gives_another_error_than_those_declared(known):
    """Hundreds of changed files and variables of each format: no traceback, none over a second, none over 200 MB."""
    findings = [str(one) for name, each in known.items() for one in fuzz(name, each, _SEED, range(_INPUTS))]
    assert findings == []


def test_every_format_accepts_one_of_its_seeds_and_gets_the_same_inputs_again(known):
    """The fuzzer begins from inputs that are read to their end, and an input is decided by seed, format and number."""
    for name, each in known.items():
        outcomes = []
        for seed in each.seeds:
            try:
                outcomes.append(each.read(seed) or True)
            except Exception as error:  # noqa: BLE001 - a seed may be wrong on purpose, if another is right
                outcomes.append(error)
        assert any(not isinstance(outcome, Exception) for outcome in outcomes), (name, outcomes)
        first, second = (Inputs(name, each, _SEED) for _ in range(2))
        assert [first.input(number) for number in range(20)] == [second.input(number) for number in range(20)]


def _seen(read, *declared):
    return {one.what for one in fuzz("x", Format(read, [b"{}"], declared), _SEED, range(300))}


@pytest.mark.slow
def test_the_fuzzer_sees_errors_time_and_memory():
    """A reader that raises, one that never ends and one that takes much memory are found; a declared error is not."""

    def raising(data):
        if b"\0" in data:
            raise KeyError

    def endless(data):
        if b"\0" in data:
            while True:
                pass

    assert _seen(raising) == {"KeyError in the fuzzer"}
    assert _seen(raising, LookupError) == set()
    assert _seen(lambda data: len(bytearray(300 << 20)) if data[:1] == b"\0" else 0) == {"more memory than allowed"}
    (found,) = {one.what for one in fuzz("x", Format(endless, [b"\0" * 2000]), _SEED, range(1))}
    assert found.startswith("more time than allowed")


def test_the_command_names_its_seed_and_makes_an_input_again():
    """It says the seed, one line for each format, and refuses a format that it does not know."""
    command = [sys.executable, "-m", "tests.faults.fuzz", "--seed", "7", "--first", "3", "--inputs", "20"]
    done = subprocess.run([*command, "env.json", "ELF"], capture_output=True, text=True, check=True)
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == [
        "seed 7",
        "env.json: 20 inputs",
        "ELF: 20 inputs",
    ]
    assert (
        "no such format: eggs" in subprocess.run([*command, "eggs"], capture_output=True, text=True, check=False).stderr
    )
