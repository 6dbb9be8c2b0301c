"""Python programs within an activation: what they begin belongs to it, in its mode."""

from __future__ import annotations

import sys

import pytest

pytestmark = pytest.mark.slow

SHOW = "import os; print('compiler' if os.environ.get('CPATH') else 'none', os.environ.get('FROM_HOOK'))"
PROGRAMS = {
    "block": f"with Environment('.'):\n    {SHOW}",
    "run": f"Environment('.').run([sys.executable, '-c', {SHOW!r}])",
    "variables": "inside = Environment('.').variables(); "
    "print('compiler' if inside.get('CPATH') else 'none', inside.get('FROM_HOOK'))",
    "flox": f"with Flox('.', engine='native'):\n    {SHOW}",
    "decorator": f"@flox_required('.', engine='native')\ndef show():\n    {SHOW}\nshow()",
    "nested": f"with Environment('.'), Environment('.'):\n    {SHOW}",
}
HOOK = "[hook]\non-activate = 'export FROM_HOOK=yes'\n"


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("hook", ["", HOOK], ids=["plain", "hook"])
def test_python_within_an_activation_uses_its_mode(esker, project, program, hook):
    """The manifest asks for `dev`; there is no mode clash, and the variables are those of the activation."""
    project(f'schema-version = "1.14.0"\n{hook}')
    code = f"import sys\nfrom esker import Environment\nfrom esker.flox import Flox, flox_required\n{PROGRAMS[program]}"
    shown = f"none {'yes' if hook else 'None'}\n"
    assert esker("activate", "-m", "run", "--", sys.executable, "-c", code) == (0, shown, "")


def test_a_mode_that_python_asks_for_is_still_refused(esker, project):
    """A mode that is given explicitly is not replaced by that of the activation, and so it clashes."""
    project(f'schema-version = "1.14.0"\n{HOOK}')
    code = "from esker import Environment; Environment('.', mode='dev').activate()"
    inside = f'{sys.executable} -c "{code}"; true'
    done = esker("activate", "-m", "run", "-c", inside)
    assert "can't be activated in 'dev' mode" in done.err


def test_outside_an_activation_python_uses_the_manifests_mode(esker, project):
    """The mode of another environment that is active does not count."""
    directory = project(f'schema-version = "1.14.0"\n[options]\nactivate.mode = "run"\n{HOOK}')
    other = project('schema-version = "1.14.0"\n', "other")
    code = f"from esker import Environment\nwith Environment({str(directory)!r}):\n    {SHOW}"
    done = esker(
        "activate",
        "-m",
        "dev",
        "-d",
        other,
        "--",
        sys.executable,
        "-c",
        f"import os; os.environ.pop('CPATH'); {code}",
    )
    assert done == (0, "none yes\n", "")
