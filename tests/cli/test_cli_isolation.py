"""The command keeps clear of its caller's Python settings, and passes them on: through the start scripts that users have."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from esker.host.isolation import OPTIONS, SOURCE, own_words
from tests.cli.conftest import Result

pytestmark = pytest.mark.slow

FOREIGN = ("msgspec", "tomlkit", "packaging", "uv", "rich", "json", "platform", "contextlib", "re", "enum", "typing")
"""Modules that Esker imports, of its own dependencies and of the standard library."""
BEFORE_ESKER = {"contextlib", "re", "enum", "typing"}
"""Modules that `python -m` itself imports before it comes to Esker."""
VARIABLES = {
    "PYTHONINSPECT": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONPATH": "/nonexistent:",
    "PYTHONSAFEPATH": "1",
    "PYTHONSTARTUP": "/nonexistent.py",
    "PYTHONWARNINGS": "error",
    "PYTHONDEVMODE": "1",
    "PYTHONUNBUFFERED": "1",
}


@pytest.fixture
def starts(environ, tmp_path):
    """Give the ways to start the command: the installer's script, one that `esker shim` wrote, a link to it, `-m`."""
    installed = f"{os.path.dirname(sys.executable)}/esker"
    written = tmp_path / "written" / "esker"
    subprocess.run([installed, "-q", "shim", "esker", written.parent], env=environ, check=True)
    link = tmp_path / "link" / "esker"
    link.parent.mkdir()
    link.symlink_to("../written/esker")
    return {
        "installed": [installed],
        "written": [str(written)],
        "link": [str(link)],
        "module": [sys.executable, "-m", "esker"],
    }


@pytest.fixture
def run(environ, starts, tmp_path):
    """Give a function that starts the command in one of the ways, with variables added."""

    def call(way, *arguments, **variables):
        done = subprocess.run(
            [*starts[way], *arguments],
            cwd=tmp_path / "project",
            env=environ | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return call


WAYS = ("installed", "written", "link", "module")
ISOLATED = ("written", "link")


def importable(way):
    """Return the foreign modules that nothing imports before Esker itself runs."""
    return set(FOREIGN) - (BEFORE_ESKER if way == "module" else set())


def foreign_modules(directory, names):
    """Write modules that end the program that imports them."""
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / f"{name}.py").write_text(f"raise SystemExit('this is the {name} of somebody else')\n")
    return directory


@pytest.mark.parametrize("way", WAYS)
def test_modules_on_the_callers_path_are_not_ours(run, project, tmp_path, way):
    """Another Python's packages on PYTHONPATH stop no command; the environment's programs see PYTHONPATH as it was."""
    project()
    path = f"{foreign_modules(tmp_path / 'foreign', importable(way))}:/nonexistent"
    done = run(way, "activate", "--", "printenv", "PYTHONPATH", PYTHONPATH=path)
    assert done == (0, f"{path}\n", "")
    assert run(way, "list", "--json", PYTHONPATH=path).status == 0
    assert run(way, "doctor", "--json", PYTHONPATH=path).status == 0


@pytest.mark.parametrize("way", WAYS)
def test_modules_in_the_project_are_not_ours(run, project, way):
    """A project's own `platform.py` or `msgspec.py` in the current directory is not imported."""
    directory = project()
    foreign_modules(directory, importable(way))
    assert run(way, "activate", "--", "echo", "fine") == (0, "fine\n", "")
    assert run(way, "doctor", "--json").status == 0


@pytest.mark.parametrize("way", WAYS)
def test_modules_of_a_callers_own_start_are_not_ours(run, project, tmp_path, way):
    """A `sitecustomize` on PYTHONPATH that has imported another msgspec leaves none of it to the command."""
    project()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "msgspec.py").write_text("")
    (foreign / "sitecustomize.py").write_text("import msgspec\n")
    assert run(way, "activate", "--", "echo", "fine", PYTHONPATH=str(foreign)) == (0, "fine\n", "")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", VARIABLES)
def test_a_setting_of_python_is_the_callers(run, project, way, name):
    """Each setting reaches the environment's programs, and changes nothing that the command itself prints or returns."""
    project()
    given = {name: VARIABLES[name]}
    assert run(way, "activate", "--", "printenv", name, **given) == (0, f"{VARIABLES[name]}\n", "")
    assert run(way, "list", "--json", **given) == run(way, "list", "--json")
    refused = run(way, "activate", "nonsense", **given)
    assert (refused.status, ">>>" in refused.err, "Traceback" in refused.err) == (2, False, False)


@pytest.mark.parametrize("way", ISOLATED)
@pytest.mark.parametrize(
    "given",
    [{"PYTHONHOME": "/nonexistent"}, {"PYTHONVERBOSE": "1"}, {"PYTHONPLATLIBDIR": "no"}, {"PYTHONIOENCODING": "no"}],
    ids=lambda given: next(iter(given)),
)
def test_what_ends_an_interpreter_at_its_start_does_not_reach_ours(run, project, way, given):
    """A written command starts even with settings under which Python would not start, or would print pages of text."""
    project()
    ((name, value),) = given.items()
    assert run(way, "activate", "--", "printenv", name, **given) == (0, f"{value}\n", "")
    assert run(way, "list", "--json", **given).err == ""


@pytest.mark.parametrize("way", WAYS)
def test_a_hook_sees_the_callers_settings(run, project, way):
    """A hook and what it starts have the caller's PYTHONPATH."""
    project('schema-version = "1.14.0"\n[hook]\non-activate = """export SEEN="$PYTHONPATH" """\n')
    assert run(way, "activate", "--", "printenv", "SEEN", PYTHONPATH="/theirs").out == "/theirs\n"


@pytest.mark.parametrize("way", WAYS)
def test_every_variable_arrives_as_it_was(run, project, way):
    """Exported functions and names that no shell allows arrive, and Python's own LC_CTYPE of the C locale does not."""
    project()
    given = {"BASH_FUNC_greet%%": "() {  echo hello\n}", "a.b": "1", "PYTHONPATH": "/theirs"}
    done = run(way, "activate", "--", "env", "-0", **given)
    arrived = dict(entry.partition("=")[::2] for entry in done.out.split("\0") if entry)
    assert {name: arrived.get(name) for name in given} == given
    assert "LC_CTYPE" not in arrived
    assert run(way, "activate", "--", "bash", "-c", "greet", **given) == (0, "hello\n", "")


@pytest.mark.parametrize("way", ISOLATED)
def test_services_run_when_nothing_has_set_up_site(run, project, way):
    """Locking, installing and services work with a written command, which starts without `site`."""
    project(
        'schema-version = "1.14.0"\n[services.sleeper]\ncommand = "echo $PYTHONPATH; exec sleep 100"\n'
        "[plugins.esker.services.sleeper]\n"
        'healthcheck = { log = "/theirs" }\npass-env = ["PYTHONPATH"]\n'
    )
    given = {"PYTHONPATH": "/theirs", "PYTHONHOME": "/nonexistent"}
    started = run(way, "services", "start", **given)
    try:
        assert started.status == 0, started.err
        assert "healthy" in run(way, "services", "status").out
    finally:
        assert run(way, "services", "stop", **given).status == 0


def test_a_wheel_is_installed_by_a_written_command(run, project, index):
    """A wheel is locked and installed; uv is found, though `site` had not named its directory."""
    index.add("app", "1.0", {"app.py": "def main(): print('it runs')\n"}, scripts={"app": "app:main"})
    project('schema-version = "1.14.0"\n[plugins.esker.python]\ndependencies = ["app"]\n')
    done = run("written", "-q", "activate", "--", "app", PYTHONHOME="")
    assert (done.status, done.out) == (0, "it runs\n"), done.err


def test_esker_shim_leaves_the_installers_script(run, project):
    """`esker shim esker` beside the interpreter would replace the installer's script, and is refused."""
    project()
    directory = os.path.dirname(sys.executable)
    done = run("module", "shim", "esker", directory)
    assert done.status == 1
    assert "is not Esker's, and stays as it is" in done.err


CALL = 'eval "$ESKER_COMMAND list --json -d ." && printf "%s" "$ESKER_COMMAND"'


@pytest.mark.parametrize("way", WAYS)
def test_an_activation_says_how_its_esker_is_called(run, starts, project, tmp_path, way):
    """ESKER_COMMAND works where no `esker` is on PATH, from any directory, and with foreign modules all around."""
    project()
    foreign = foreign_modules(tmp_path / "foreign", FOREIGN)
    command = ["env", "-u", "PYTHONHOME", "PATH=/usr/bin:/bin", f"PYTHONPATH={foreign}", "sh", "-c", CALL]
    done = run(way, "activate", "--", *command)
    listed, _, words = done.out.rpartition("\n")
    assert (done.status, listed.strip(), done.err) == (0, "[]", "")
    assert words == (starts[way][0] if way != "module" else f"{sys.executable} {OPTIONS} {SOURCE}/esker/__main__.py")


def test_every_other_start_says_it_too(run, environ, project, tmp_path):
    """The `flox` that is Esker, and a Python program that activates, name an `esker` that works."""
    project()
    shim = tmp_path / "flox-shim"
    subprocess.run(run_argv("shim", "flox", shim), env=environ, check=True, capture_output=True)
    program = f"import subprocess\nfrom esker import Environment\nwith Environment('.'): subprocess.run(['sh', '-c', {CALL!r}])"
    for argv in ([f"{shim}/flox", "activate", "--", "sh", "-c", CALL], [sys.executable, "-c", program]):
        done = subprocess.run(
            argv, cwd=tmp_path / "project", env=environ, capture_output=True, text=True, check=False, timeout=100
        )
        assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "[]", ""), argv


def run_argv(*arguments):
    """Return the command line of Esker."""
    return [sys.executable, "-m", "esker", *map(str, arguments)]


def test_a_path_with_spaces_is_quoted(monkeypatch):
    """A shell that evaluates the words calls the one program."""
    monkeypatch.setattr(sys, "argv", ["/my programs/it's/esker"])
    assert shlex.split(own_words()) == ["/my programs/it's/esker"]
    monkeypatch.setattr(sys, "argv", [""])
    monkeypatch.setattr(sys, "executable", "/my python/python")
    assert shlex.split(own_words()) == ["/my python/python", OPTIONS, f"{SOURCE}/esker/__main__.py"]


def test_leaving_restores_the_command_of_the_outer_activation(run, project, tmp_path):
    """ESKER_COMMAND is the caller's again after `deactivate`: unset, or what it was."""
    project()
    script = (
        'eval "$(esker activate)"; echo "${ESKER_COMMAND##*/}"; eval "$(esker deactivate)"; echo "${ESKER_COMMAND-none}";'
        'export ESKER_COMMAND=mine; eval "$(esker activate)"; eval "$(esker deactivate)"; echo "$ESKER_COMMAND"'
    )
    program = os.path.dirname(sys.executable)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script],
        cwd=tmp_path / "project",
        env={"HOME": str(tmp_path), "ESKER_STORE": str(tmp_path / "store"), "PATH": f"{program}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["esker", "none", "mine"], "")
