"""Virtual environments that are made inside an activation, by Python itself and by the tools that make them all the time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PYTHON = 'schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app"]\n'
WHERE = "import sys; print(sys.prefix, sys.base_prefix)"


@pytest.fixture
def inside(esker, project, index):
    """Give the directory of a project with a Python environment."""
    index.add("app", "1.0", {"app.py": ""})
    directory = project(PYTHON)
    assert esker("activate", "--", "true").status == 0
    return directory


@pytest.mark.parametrize(
    "options", [["--without-pip"], ["--symlinks", "--without-pip"], ["--copies", "--without-pip"], []]
)
def test_python_makes_an_environment_that_works_without_ours(esker, inside, options):
    """It belongs to the base interpreter, sees nothing of ours, and survives what becomes of ours."""
    made = esker("activate", "--", "python", "-m", "venv", *options, "made")
    assert made == (0, "", "")
    links = [name for name in os.listdir(inside / "made/bin") if not os.path.exists(inside / "made/bin" / name)]
    assert links == []
    ours = esker("activate", "--", "python", "-c", "import sys; print(sys.base_prefix)").out.strip()
    for left in (inside / ".flox").iterdir():
        subprocess.run(["rm", "-rf", left], check=True)
    shown = subprocess.run([inside / "made/bin/python", "-c", WHERE], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == [f"{inside}/made", ours]
    imported = subprocess.run([inside / "made/bin/python", "-c", "import app"], capture_output=True, check=False)
    assert imported.returncode == 1


@pytest.mark.usefixtures("inside")
def test_an_environment_makes_another(esker, inside):
    """As tox does within a session of its own."""
    for maker, made in (("python", "first"), (f"{inside}/first/bin/python", "second")):
        assert esker("activate", "--", maker, "-m", "venv", "--without-pip", made).status == 0
    shown = subprocess.run([inside / "second/bin/python", "-c", WHERE], capture_output=True, text=True, check=True)
    assert shown.stdout.split()[0] == f"{inside}/second"


def test_a_python_that_is_started_anew_is_ours(esker, inside):
    """By `sys.executable` from another directory, and by multiprocessing's `spawn`."""
    (inside / "work.py").write_text(
        "import multiprocessing, os, subprocess, sys\n"
        "def work():\n    import app; print('spawned', sys.prefix, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    child = multiprocessing.Process(target=work); child.start(); child.join()\n"
        "    os.chdir('/')\n"
        "    code = 'import app, sys; print(\"anew\", sys.prefix)'\n"
        "    sys.exit(child.exitcode or subprocess.call([sys.executable, '-c', code]))\n"
    )
    done = esker("activate", "--", "python", inside / "work.py")
    prefix = esker("activate", "--", "sh", "-c", 'printf %s "$FLOX_ENV"').out
    assert (done.status, done.out) == (0, f"spawned {prefix}\nanew {prefix}\n")


def test_an_editor_s_interpreter_is_the_one_of_the_run_link(inside, tmp_path):
    """Started by its path, without an activation: it has the packages, and so has what it starts in turn."""
    [python] = (inside / ".flox/run").glob("*-dev/bin/python")
    code = "import app, subprocess, sys; print(sys.prefix, flush=True); subprocess.run([sys.executable, '-c', '%s'])"
    command = [python, "-c", code % "import app, sys; print(sys.prefix)"]
    done = subprocess.run(command, cwd="/", env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(python.parent.parent)] * 2
    described = subprocess.run([python, "-m", "site"], env={"HOME": str(tmp_path)}, capture_output=True, check=True)
    assert f"{python.parent.parent}/lib" in described.stdout.decode()


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    """Give a project with the tools that make environments, from the index of this machine, and a package to try."""
    top = tmp_path_factory.mktemp("tools")
    directory = top / "project"
    (directory / "demo").mkdir(parents=True)
    (directory / "demo/__init__.py").write_text("")
    (directory / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "demo"\nversion = "1.0"\n'
        '[tool.hatch.build]\nexclude = [".flox"]\n'  # it reads no .gitignore but the topmost
    )
    show = "import sys, demo; print('in', sys.prefix)"
    (directory / "tox.ini").write_text(f'[testenv]\ncommands = python -c "{show}"\n')
    (directory / "noxfile.py").write_text(
        "import nox\n@nox.session\ndef tests(session):\n    session.install('-e', '.')\n"
        f"    session.run('python', '-c', {show!r})\n"
    )
    (directory / ".pre-commit-config.yaml").write_text(
        "repos:\n- repo: local\n  hooks:\n  - id: ninja\n    name: ninja\n    entry: ninja --version\n"
        "    language: python\n    additional_dependencies: [ninja]\n    always_run: true\n    pass_filenames: false\n"
    )
    environ = {name: text for name, text in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
    environ |= {"PATH": os.environ["PATH"], "HOME": str(top / "home"), "ESKER_STORE": str(top / "store")}
    (top / "home").mkdir()

    def run(*arguments):
        argv = [sys.executable, "-m", "esker", *arguments]
        done = subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("init")
    packages = ("tox", "nox", "pre-commit", "build", "virtualenv", "uv")
    run("install", *(f"pypi/{name}" for name in packages))
    subprocess.run(["git", "init", "-q", directory], check=True)
    subprocess.run(["git", "-C", directory, "add", "demo"], check=True)
    return run, directory


@pytest.mark.live("venv")
@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("tox -q", ".tox/py"),
        ("nox -s tests", ".nox/tests"),
        ("python -m build", None),
        ("pre-commit run --all-files", None),
        ("virtualenv by-virtualenv", "by-virtualenv"),
        ("uv venv by-uv", "by-uv"),
        ("python -m venv by-venv", "by-venv"),
    ],
)
def test_tools_make_their_environments_inside_ours(tools, command, made):
    """Each of them makes one that works, and installs into it."""
    run, directory = tools
    run("activate", "--", *command.split())
    if made is not None:
        shown = subprocess.run(
            [directory / made / "bin/python", "-c", WHERE], capture_output=True, text=True, check=True
        )
        assert shown.stdout.split()[0] == f"{directory}/{made}"
