"""The fuzzer: every format that Esker reads gets changed inputs, and may only give what it declares.

`python -m tests.faults.fuzz [--seed S] [--first N] [--inputs N] [FORMAT…]`; status 1 if something was found. An input is
decided by the seed, the format and its number alone, so that `--first N --inputs 1` makes it again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import tracemalloc
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import esker
from esker.errors import EskerError
from tests.faults.fuzzed_formats import Format, formats
from tests.faults.mutation import LARGEST, changed_bytes, changed_tree, toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Finding", "fuzz", "known_formats"]

_ROOT = f"{os.path.dirname(esker.__file__)}/"
_MOST_SECONDS = 1.0
"""Of processor time for one input."""
_MOST_BYTES = 200 << 20
"""Of memory for one input."""
_BATCH = 200
"""How many inputs share one look at the memory."""


class Finding(NamedTuple):
    """An input that gave something else than what is declared."""

    format: str
    number: int
    what: str
    """The error and where it was raised, or the limit that was exceeded; equal for findings of one kind."""
    input: bytes

    def __str__(self) -> str:
        start = repr(self.input[:100])
        return f"{self.format} {self.number}: {self.what}, by {len(self.input)} bytes: {start}"


class _TooSlow(BaseException):
    """Not an Exception, so that no reader takes it for an error of its own."""


class Inputs:
    """The inputs of one format."""

    def __init__(self, name: str, tested: Format, seed: str) -> None:
        self._start = f"{seed}/{name}"
        self._seeds = tested.seeds
        self._trees: list[Any] = []
        if tested.trees:
            import tomllib

            loads = json.loads if tested.trees == "json" else lambda data: tomllib.loads(data.decode())
            for each in tested.seeds:
                with suppress(ValueError):  # a seed that is wrong on purpose
                    self._trees.append(loads(each))
        self._render = toml if tested.trees == "toml" else _json

    def input(self, number: int) -> bytes:
        """Return the input of this number."""
        numbers = random.Random(f"{self._start}/{number}")
        if self._trees and numbers.random() < 0.5:
            data = self._render(changed_tree(numbers, self._trees))[:LARGEST]
            return changed_bytes(numbers, [data]) if numbers.random() < 0.1 else data
        return changed_bytes(numbers, self._seeds)


def _json(tree: Any) -> bytes:
    return json.dumps(tree).encode()


@contextmanager
def known_formats() -> Iterator[dict[str, Format]]:
    """Give every format by its name. Most readers get a file: it lies in memory, where there is such a place."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as top:
        yield formats(Path(top))


def fuzz(name: str, tested: Format, seed: str, numbers: Sequence[int]) -> Iterator[Finding]:
    """Read the inputs of these numbers, and yield the first finding of each kind."""
    inputs, kinds = Inputs(name, tested, seed), set()
    with _alarm(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for batch in _batches(numbers):
            before = _begin_peak()
            for number in batch:
                data = inputs.input(number)
                what = _fault(tested, data)
                if what and what not in kinds:
                    kinds.add(what)
                    yield Finding(name, number, what, data)
            if _peak() - before > _MOST_BYTES:
                for number in batch:
                    data = inputs.input(number)
                    if _traced(tested, data) > _MOST_BYTES and (what := "more memory than allowed") not in kinds:
                        kinds.add(what)
                        yield Finding(name, number, what, data)


def _batches(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    return (numbers[start : start + _BATCH] for start in range(0, len(numbers), _BATCH))


def _fault(tested: Format, data: bytes) -> str | None:
    """Return what is wrong with the reading of an input, or None."""
    signal.setitimer(signal.ITIMER_PROF, _MOST_SECONDS)
    try:
        tested.read(data)
    except EskerError as error:
        return _unshowable(error)
    except tested.declared:
        return None
    except _TooSlow as error:
        return f"more time than allowed {_place(error)}"
    except Exception as error:  # noqa: BLE001 - any other error is what we look for
        return f"{type(error).__name__} {_place(error)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return None


def _unshowable(error: EskerError) -> str | None:
    """Return why a person or a program cannot be shown the error, or None."""
    try:
        str(error).encode("utf-8", "surrogateescape")  # what comes from a file name or a variable may hold any bytes
        json.dumps(error.record())
    except (ValueError, TypeError, AttributeError) as fault:
        return f"an error that cannot be shown ({type(error).__name__}): {type(fault).__name__}"
    return None


def _place(error: BaseException) -> str:
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.startswith(_ROOT)]
    return f"in {frames[-1].filename.removeprefix(_ROOT)}, {frames[-1].name}" if frames else "in the fuzzer"


@contextmanager
def _alarm() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _begin_peak() -> int:
    """Forget the highest use of memory so far, and return the present one, in bytes."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    high = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return int(high) << 10 if high else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _traced(tested: Format, data: bytes) -> int:
    """Return the highest use of memory while an input is read, in bytes."""
    tracemalloc.start()
    with suppress(Exception, _TooSlow):
        tested.read(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def main(arguments: Sequence[str]) -> int:
    """Fuzz the formats that are named, or all; return the status."""
    with known_formats() as known:
        parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz")
        parser.add_argument("--seed", default=str(random.randrange(1 << 32)))
        parser.add_argument("--first", type=int, default=0, help="the number of the first input")
        parser.add_argument("--inputs", type=int, default=10_000, help="how many inputs each format gets")
        parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(known))
        wanted = parser.parse_args(arguments)
        if unknown := set(wanted.formats) - set(known):
            parser.error(f"no such format: {', '.join(sorted(unknown))}")
        total = 0
        sys.stdout.write(f"seed {wanted.seed}\n")
        for name in wanted.formats or known:
            start = time.monotonic()
            found = 0
            for finding in fuzz(name, known[name], wanted.seed, range(wanted.first, wanted.first + wanted.inputs)):
                sys.stdout.write(f"  {finding}\n")
                sys.stdout.flush()
                found += 1
            sys.stdout.write(f"{name}: {wanted.inputs} inputs, {found} findings, {time.monotonic() - start:.1f} s\n")
            sys.stdout.flush()
            total += found
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
