"""A warm activation loads, reads and starts a fixed set of things, so that it stays fast."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from esker.host.isolation import OPTIONS, SOURCE

pytestmark = pytest.mark.slow

# Everything here is on the path on purpose: each module takes about 0.1 ms, and `json`, `re` or `contextlib` take 3.
MODULES = {
    "__future__",
    "_json",
    "atexit",
    "errno",
    "esker",
    "esker.__main__",
    "esker.activate",
    "esker.activate.composition",
    "esker.activate.difference",
    "esker.activate.expansion",
    "esker.activate.lists",
    "esker.activate.plan",
    "esker.cli",
    "esker.cli.commands",
    "esker.cli.commands.activate",
    "esker.cli.directory",
    "esker.cli.main",
    "esker.cli.voice",
    "esker.declare",
    "esker.declare.discover",
    "esker.declare.trust",
    "esker.formats",
    "esker.formats.json_text",
    "esker.formats.systems",
    "esker.host",
    "esker.host.ending",
    "esker.host.isolation",
    "esker.host.places",
    "esker.host.process",
    "esker.host.runtime_directory",
    "esker.host.state_file",
    "esker.host.variables",
    "esker.runtimes",
    "esker.runtimes.native",
    "esker.runtimes.native.runtime",
    "esker.runtimes.registry",
    "esker.settings",
    "gc",
}
HEAVY = {
    *("collections", "contextlib", "ctypes", "dataclasses", "enum", "functools", "json", "pathlib", "re", "select"),
    *("shlex", "signal", "subprocess", "tempfile", "threading", "types", "typing", "esker.errors"),
}
WATCHED = "open,openat,stat,newfstatat,lstat,fork,vfork,clone,clone3,execve"
LISTED = """\
import os, sys
sys.path.append(sys.argv[1])
before = set(sys.modules)
def listed(*arguments):
    print(*sorted(set(sys.modules) - before))
    raise SystemExit(0)
os.execv = os.execve = os.execvp = os.execvpe = listed
sys.argv = ["esker", "activate", "--", "true"]
from esker.__main__ import main
main()
"""


def test_a_warm_activation_loads_these_modules_and_no_other(esker, project, environ):
    """Started as a start script starts it, a warm activation loads only the modules named here."""
    directory = project('schema-version = "1.14.0"\n[vars]\nA = "1"\n')
    assert esker("activate", "--", "true").status == 0
    assert loaded(directory, environ) == MODULES


def loaded(directory, environ):
    """The modules that a warm activation loads which a start script starts."""
    done = subprocess.run(
        [sys.executable, f"{OPTIONS}c", LISTED, SOURCE],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


AT_ITS_END = """\
import os, sys
sys.path.append(sys.argv[1])
sys.argv = ["esker", *sys.argv[2:]]
from esker.__main__ import main
try:
    main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""
OF_A_DECLARATION = {
    "msgspec",
    "tomllib",
    "dataclasses",
    "inspect",
    "hashlib",
    "esker.declare.declaration",
    "esker.declare.load",
}


def test_a_warm_command_for_services_reads_no_declaration(esker, project, environ):
    """It takes the services from the plan, and loads neither what reads manifests nor what is for containers alone."""
    directory = project('schema-version = "1.14.0"\n[services]\na.command = "true"\n')
    assert esker("activate", "--", "true").status == 0
    said, modules = loaded_by(["services", "status"], directory, environ)
    assert said.startswith("NAME")
    assert "esker.services.supervised.planned" in modules
    assert modules.isdisjoint(OF_A_DECLARATION)
    assert not [name for name in modules if name.startswith("esker.activate.compose")]


def test_a_hook_adds_no_heavy_module(esker, project, environ):
    """Where a hook runs, the modules are more; none of those is among them that take milliseconds."""
    directory = project(
        'schema-version = "1.14.0"\n[vars]\nB = "$(echo b)"\n[hook]\non-activate = "export A=1; exec 5>&-"\n'
    )
    assert esker("activate", "--", "true").status == 0
    modules = loaded(directory, environ)
    assert modules > MODULES
    assert "esker.activate.hook" in modules
    assert modules.isdisjoint(HEAVY)


@pytest.mark.parametrize("hook", ["", "[hook]\non-activate = 'export B=1'\n"], ids=["plain", "hook"])
def test_a_prompt_that_enters_a_project_loads_no_heavy_module(esker, project, environ, hook):
    """It does what a warm activation does, and asks for consent; of the heavy modules it needs those of errors alone."""
    directory = project(f'schema-version = "1.14.0"\n[vars]\nA = "1"\n{hook}')
    assert esker("activate", "--", "true").status == 0
    assert esker("allow", "-q").status == 0
    said, modules = loaded_by(["hook-env", "bash", "new"], directory, environ)
    assert "export A='1'" in said
    assert ("esker.activate.hook" in modules) == bool(hook)
    assert modules & HEAVY == {"esker.errors"}


COLLECTIONS = """\
import atexit, gc, sys
sys.path.append(sys.argv[1])
sys.argv = ["esker", *sys.argv[2:]]
collected = []
gc.callbacks.append(lambda phase, _: collected.append(phase))
from esker.__main__ import main
status = main()
atexit.register(lambda: print(len(collected), gc.isenabled(), file=sys.stderr))
sys.exit(status)
"""


def test_a_command_looks_for_no_garbage_while_it_imports(esker, project, environ):
    """Hundreds of modules make no garbage; a long command still looks."""
    directory = project('schema-version = "1.14.0"\n')
    assert esker("lock").status == 0
    command = [sys.executable, f"{OPTIONS}c", COLLECTIONS, SOURCE, "list"]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "0 True")


def loaded_by(arguments, directory, environ):
    """What a command prints, and the modules that it has loaded in the end."""
    command = [sys.executable, f"{OPTIONS}c", AT_ITS_END, SOURCE, *arguments]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, set(done.stderr.split())


OF_A_TOOL = """\
import os, sys
sys.path.append(sys.argv[1])
before = set(sys.modules)
from esker.activate.hook import ToolHook, run
run(dict(os.environ), tool=ToolHook("shellHook", "f() { :; }\\n", "export A=1; export -f f; exec zsh", None))
print(*sorted(set(sys.modules) - before))
"""


def test_a_tools_hook_adds_no_heavy_module_either(environ):
    """What is left in its bash is taken, and nothing is loaded that only a failure needs."""
    command = [sys.executable, f"{OPTIONS}c", OF_A_TOOL, SOURCE]
    modules = set(subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.split())
    assert "esker.activate.left_in_bash" in modules
    assert modules.isdisjoint({*HEAVY, "esker.activate.hook_failure", "esker.activate.origin"})


def test_a_warm_activation_starts_nothing_and_reads_one_file(esker, project, environ, index):
    """A warm activation opens one small file of the project, stats the files behind it, and starts no process."""
    if not os.path.exists("/usr/bin/strace"):
        pytest.skip("strace is not here")
    index.add("app", "1.0")
    directory = project('schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app"]\n')
    assert esker("activate", "--", "true").status == 0
    trace = directory.parent / "trace"
    subprocess.run(
        [
            "strace",
            "-f",
            "-o",
            str(trace),
            "-e",
            f"trace={WATCHED}",
            sys.executable,
            "-m",
            "esker",
            "activate",
            "--",
            "true",
        ],
        cwd=directory,
        env=environ,
        check=True,
    )
    calls = trace.read_text().splitlines()
    esker_part = calls[: next(i for i, line in enumerate(calls) if "execve(" in line and '["true"]' in line)]
    opened = [line for line in esker_part if re.search(rf'open(at)?\(.*"{directory}/\.flox', line)]
    looked_at = [line for line in esker_part if re.search(rf'stat.*"{directory}/\.flox/', line)]
    started = [line for line in calls if re.search(r"\b(v?fork|clone3?)\(", line)]
    assert len(opened) == 1, opened
    assert len(looked_at) == 5, looked_at
    assert started == []


def test_importing_esker_loads_nothing_else():
    """`import esker` loads only its own module; the public names are loaded when they are first used."""
    code = "import sys; before = set(sys.modules); import esker; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['__future__', 'esker']"


def test_the_public_names_are_there():
    """Every name in `__all__` can be imported from the package."""
    import esker

    assert all(hasattr(esker, name) for name in esker.__all__)
    assert esker.Environment.__name__ == "Environment"
    with pytest.raises(AttributeError, match="nonsense"):
        esker.nonsense  # noqa: B018
