"""The examples of the initiative that asked for the integration, as written, under the real `angreal`.

Only the import differs, and `import angreal, subprocess` stands above.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from esker.flox import Flox
from esker.formats import service_handle
from tests.support.engines import running

pytestmark = [pytest.mark.live("angreal"), pytest.mark.slow]

EXAMPLES = """\
import angreal, subprocess
from esker.flox import Flox, flox_required

# ── Task-scoped (decorator) ──────────────────────────────
@angreal.command(name="test")
@flox_required(".", services=["postgres"])
def run_tests():
    subprocess.run(["pytest"])  # runs in flox env with postgres

# ── Context manager ──────────────────────────────────────
@angreal.command(name="integration-test")
def integration_test():
    with Flox(".", services=["postgres", "redis"]) as flox:
        subprocess.run(["pytest", "tests/integration"])

# ── Long-running (explicit control) ──────────────────────
@angreal.command(name="dev-up")
def dev_up():
    flox = Flox(".")
    flox.activate()
    handle = flox.services.start()
    handle.save()  # persist for later stop
    print("Dev environment ready")

@angreal.command(name="dev-down")
def dev_down():
    from esker.flox import FloxServiceHandle
    handle = FloxServiceHandle.load()
    handle.stop()
"""

MANIFEST = """
[vars]
GREETING = "hello there"
[services.postgres]
command = "exec sleep 1000"
[services.redis]
command = "exec sleep 1000"
[plugins.esker.services]
postgres.user = "root"
redis.user = "root"
"""

PYTEST = f"""\
#!{sys.executable}
import os, sys
from esker.flox import Flox
found = " ".join(service.name for service in Flox(os.environ["FLOX_ENV_PROJECT"]).services.status() if service.pid)
print("pytest", *sys.argv[1:], "|", os.environ["GREETING"], "|", found)
"""


@pytest.fixture
def angreal(project, stand_in):
    """Give a function that runs a task of a project with the examples, and returns the task's output."""
    project = project(MANIFEST)
    (project / ".angreal").mkdir()
    (project / ".angreal/angreal.toml").write_text("")
    (project / "src").mkdir()
    program = stand_in.tmp_path / "bin/pytest"
    program.write_text(PYTEST)
    program.chmod(0o755)

    def run(task, tasks=EXAMPLES, directory="."):
        (project / ".angreal/task_examples.py").write_text(tasks)
        command = [os.path.join(os.path.dirname(sys.executable), "angreal"), task]
        done = subprocess.run(command, cwd=project / directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()[-1:]

    run.project = project
    return run


def test_the_decorator(angreal):
    """The decorated task runs in the environment with its service, and nothing of it remains."""
    assert angreal("test") == ["pytest | hello there | postgres"]


def test_the_decorator_above_the_command(angreal):
    """The decorator above the command does the same."""
    lines = EXAMPLES.splitlines()
    command, required = lines[4:6]
    assert (command[:8], required[:6]) == ("@angreal", "@flox_")
    tasks = EXAMPLES.replace(f"{command}\n{required}", f"{required}\n{command}")
    assert angreal("test", tasks) == ["pytest | hello there | postgres"]


def test_the_decorator_from_a_directory_below(angreal):
    """A relative path of a decorator does not depend on the directory in which the task is called."""
    assert angreal("test", directory="src") == ["pytest | hello there | postgres"]


def test_the_context_manager(angreal):
    """The context manager does the same as the decorator, with two services."""
    assert angreal("integration-test") == ["pytest tests/integration | hello there | postgres redis"]


def test_up_in_one_process_and_down_in_another(angreal):
    """Services stay after the first process has ended; after the second they and their keeper are gone."""
    assert angreal("dev-up") == ["Dev environment ready"]
    assert running(Flox(angreal.project)) == {"postgres", "redis"}
    handle = angreal.project / ".flox-services.json"
    saved = service_handle.parse(handle.read_bytes())
    assert {service.name for service in saved.services} == {"postgres", "redis"}
    assert angreal("dev-down") == []
    assert running(Flox(angreal.project)) == set()
    assert not handle.exists()


def test_a_handle_that_the_real_integration_reads(angreal):
    """`dev-down` may still use Angreal's own class, whose `load` reads our file."""
    tasks = EXAMPLES.replace(
        "    from esker.flox import FloxServiceHandle\n",
        (
            "    from angreal.integrations.flox import FloxServiceHandle as Theirs\n"
            "    print(Theirs.load('.flox-services.json'))\n"
            "    from esker.flox import FloxServiceHandle\n"
        ),
    )
    angreal("dev-up")
    (said,) = angreal("dev-down", tasks)
    assert said.startswith('FloxServiceHandle(services=["postgres", "redis"]')
