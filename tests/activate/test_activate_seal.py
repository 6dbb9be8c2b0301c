"""The seal of a plan."""

from __future__ import annotations

import pytest

from esker.activate import plan as plans
from esker.activate.seal import is_sealed, sealed
from tests.support.plans import a_plan

KEY = b"k" * 32


def test_a_sealed_plan_is_recognised_after_it_was_read(tmp_path):
    """The seal holds for the plan that is read from its file, with every kind of text in it."""
    project = str(tmp_path)
    (tmp_path / ".flox").mkdir()
    plan = sealed(a_plan(project, vars=(("A", "é\udcff"),), hook="true", stats=((project, 1, 2, 3),)), "made", KEY)
    plans.write(plan, plans.plan_path(project, "dev"))
    read = plans.read(plans.plan_path(project, "dev"))
    assert is_sealed(read, KEY)
    assert read.made_from == "made"


@pytest.mark.parametrize("change", [{"hook": "evil"}, {"made_from": "other"}, {"stats": ()}, {"seal": ""}])
def test_a_changed_plan_is_not(change):
    """Neither a plan in which anything was changed, nor one with another key, is one of the user's own."""
    plan = sealed(a_plan(hook="true", stats=(("/p", 1, 2, 3),)), "made", KEY)
    assert is_sealed(plan, KEY)
    assert not is_sealed(plans.Plan(**{**plan.record(), **change}), KEY)
    assert not is_sealed(plan, b"other")
    assert not is_sealed(a_plan(), KEY)
