"""The examples in docstrings say what the code does."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import esker

MODULES = [module.name for module in pkgutil.walk_packages(esker.__path__, "esker.") if not module.ispkg]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name):
    """Every module can be imported on its own, and each of its examples gives what it shows."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    """The search above finds them: more than ten docstrings have at least one."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    assert sum(1 for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples) > 10
