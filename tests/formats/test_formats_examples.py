from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import esker.declare
import esker.formats

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (esker.formats, esker.declare)
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    """An example in a docstring gives what it says."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    """The search finds examples at all."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) > 10
