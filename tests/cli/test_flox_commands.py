"""The other commands of Flox with Esker's `flox`, and where `esker` prints more."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import pytest

from esker.settings import Settings

pytestmark = pytest.mark.slow

SYSTEM = Settings({}).system
EMPTY = 'schema-version = "1.14.0"\n'


@pytest.fixture
def nowhere(tmp_path):
    """Give an empty directory."""
    directory = tmp_path / "nowhere"
    directory.mkdir()
    return directory


def test_the_version_is_the_one_whose_behaviour_it_has(flox, nowhere):
    """The version is one plain line."""
    assert flox("--version", cwd=nowhere) == (0, "1.14.1\n", "")
    assert flox("-V", cwd=nowhere) == (0, "1.14.1\n", "")


def test_a_bare_flox_says_what_to_do_next(flox, project, nowhere):
    """`flox` alone prints version, usage, and what to do next: make an environment, list it, or see what is active."""
    first = flox(cwd=nowhere)
    assert (first.status, first.err) == (0, "")
    assert first.out.startswith("flox version 1.14.1\n\nusage: flox COMMAND [OPTIONS]\n")
    assert first.out.endswith("\nFirst time? Create an environment with 'flox init'\n")
    directory = project()
    assert flox("list").status == 0
    idle = "\nNo active environments. Use 'flox envs' to list all environments.\n"
    assert flox(cwd=nowhere).out.endswith(idle)
    assert flox("activate", "--", "flox").out.endswith(f"\nActive environments:\n  project  {directory}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("fly",), "there is no command `fly`"),
        (("lock",), "there is no command `lock`"),
        (("exec", "-p", "conda/jq", "--", "jq"), "there is no command `exec`"),
        (("search", "hello"), "`flox search` is not implemented yet"),
        (("activate", "--nope", "x"), "`--nope` is not expected in this context"),
        (("services", "status", "--nope"), "`--nope` is not expected in this context"),
        (("list", "surplus"), "`surplus` is not expected in this context"),
        (("activate", "-g", "3", "--", "true"), "environment 'project' has no generation 3"),
        (("list", "-u"), "`--upstream` is for environments on FloxHub, which Esker does not support yet"),
        (("edit", "--sync"), "`--sync` is for environments on FloxHub, which Esker does not support yet"),
        (("list", "-r", "a/b"), "`a/b` is an environment on FloxHub, which Esker does not support yet"),
        (("list", "-D"), "the default environment is an environment on FloxHub, which Esker does not support yet"),
        (("install",), "Must specify at least one package"),
        (("install", "hello"), "`hello` is not a package that Esker can install yet"),
        (("uninstall", "hello"), "no package named 'hello' in the manifest"),
        (("init",), "Found an existing environment at `{project}/.flox`"),
        (("init", "--auto-setup"), "`--auto-setup` is not implemented yet"),
        (("edit",), "Can't edit interactively in non-interactive context"),
        (("edit", "-n", "a/b"), "`a/b` cannot be the name of an environment"),
        (("delete",), "the environment 'project' was not deleted"),
        (("activate", "--", "no-such-command"), "no-such-command: command not found"),
    ],
)
def test_every_error_is_one_text_and_status_1(flox, project, arguments, told):
    """Errors have no hint, place or code, so programs that read Flox's messages can read them."""
    directory = project()
    assert flox(*arguments) == (1, "", f"✘ ERROR: {told.format(project=directory)}\n")


def test_esker_adds_hint_and_code_and_has_its_own_statuses(esker, flox, project):
    """`esker` prints the same errors with hint and code; `flox` does too with more verbosity."""
    project()
    told = "✘ ERROR: couldn't parse `x`: not a valid activation mode\nhint: write dev or run\ncode: usage\n"
    assert esker("activate", "-m", "x", "--", "true") == (2, "", told)
    assert flox("-v", "activate", "-m", "x", "--", "true") == (1, "", told)


PROJECT_FILE = EMPTY + '[plugins.esker.python]\nproject = "p.toml"\n'


@pytest.mark.parametrize(
    ("manifest", "arguments", "code"),
    [
        (EMPTY, ["init"], "already-exists"),
        (EMPTY, ["init", "-n", "other"], "already-exists"),
        (PROJECT_FILE, ["install", "pypi/x"], "not-found"),
        (PROJECT_FILE, ["uninstall", "x"], "not-found"),
        (EMPTY + '[install]\na.pkg-path = "x"\nb.pkg-path = "x"\n', ["uninstall", "x"], "not-editable"),
    ],
)
def test_an_error_has_a_code_that_says_what_it_is(esker, project, manifest, arguments, code):
    """What is there already, a pyproject.toml that is not, and a manifest that cannot be changed as asked, have codes of their own."""
    project(manifest)
    done = esker(*arguments)
    assert (done.status, done.err.splitlines()[-1]) == (1, f"code: {code}")


@pytest.mark.parametrize("command", [["lock"], ["install", "pypi/nothing-by-this-name"], ["activate", "--", "true"]])
def test_a_missing_source_directory_is_told_before_locking(esker, project, command):
    """Nothing is resolved, and no lock is written, for an environment that could not be made."""
    directory = project(f'{EMPTY}[plugins.esker.python]\nsource = ["src"]\ndependencies = ["nothing-by-that-name"]\n')
    done = esker(*command)
    assert done.status == 1
    assert "`src`, named by `source` in [plugins.esker.python], is not a directory of the project" in done.err
    assert "Locking" not in done.err
    assert not os.path.exists(f"{directory}/.flox/pylock.toml")


def test_doctor_checks_the_project_that_is_named(esker, project):
    """`-d` works as for other commands: a project in order, one whose manifest is wrong, and none."""
    directory = project(EMPTY)
    assert esker("doctor", "-d", directory, cwd="/").out.startswith("✔ environment ")
    pathlib.Path(f"{directory}/.flox/env/manifest.toml").write_text("version = 1\nx = \n")
    wrong = esker("doctor", "--dir", directory, cwd="/")
    assert (wrong.status, wrong.out[0]) == (1, "✘")
    assert "manifest.toml:2" in wrong.out.splitlines()[0]
    nowhere = esker("doctor", "-d", "/nowhere", cwd="/")
    assert nowhere.status == 1
    assert nowhere.err.endswith("code: not-found\n")


def test_general_options_stand_before_the_command(flox, project):
    """`-q` does not hide errors, and options of Flox that have no effect here are accepted."""
    project()
    assert flox("-q", "edit", "-f", "-", stdin="version = 1\n") == (0, "", "")
    assert flox("-q", "uninstall", "x") == (1, "", "✘ ERROR: no package named 'x' in the manifest\n")
    assert flox("--floxhub-url", "https://hub.example.org", "-vv", "list", "-c") == (0, "version = 1\n", "")
    assert flox("--floxhub-url=https://hub.example.org", "--debug", "list", "-c").status == 0


@pytest.mark.parametrize("alias", ["develop", "activate"])
def test_aliases_of_activate(flox, project, alias):
    """Flox's other name for `activate` does the same."""
    project()
    assert flox(alias, "--", "echo", "ran") == (0, "ran\n", "")


def test_init_lays_an_environment_out(flox, tmp_path):
    """The environment gets the directory's name or a given one; Flox's other flag is accepted."""
    directory = tmp_path / "My Project"
    directory.mkdir()
    done = flox("init", "--no-auto-setup", cwd=directory)
    assert (done.status, done.out) == (0, "")
    assert done.err.startswith(f"⚡︎ Created environment 'my-project' ({SYSTEM})\n\nNext:\n  $ flox install")
    assert json.loads((directory / ".flox/env.json").read_text()) == {"name": "my-project", "version": 1}
    assert flox("init", "-b", "-n", "bare", "-d", tmp_path / "other", cwd=directory).status == 0
    assert (tmp_path / "other/.flox/env/manifest.toml").read_text() == 'schema-version = "1.19.0"\n'


@pytest.mark.parametrize("command", [("service", "status"), ("services", "l", "web"), ("service", "r")])
def test_aliases_of_services(flox, project, command):
    """Flox's other names of `services` and its subcommands do the same."""
    project('version = 1\n[services]\nweb.command = "exec sleep 1000"\n')
    try:
        done = flox(*command)
        assert (done.status, "there is no command" in done.err) == (0, False)
    finally:
        flox("services", "stop")


def test_create_is_init(flox, nowhere):
    """The environment's directory has an id, as Flox's has: one of its own for each environment."""
    assert flox("create", "-b", cwd=nowhere).status == 0
    first = (nowhere / ".flox/telemetry_id").read_text()
    assert flox("destroy", "-f", cwd=nowhere).status == 0
    assert flox("init", "-b", cwd=nowhere).status == 0
    assert first != (nowhere / ".flox/telemetry_id").read_text()


def test_a_file_is_no_place_for_an_environment(flox, esker, nowhere):
    """The error names the file, and no temporary file of our own."""
    (nowhere / "file").write_text("")
    told = f"✘ ERROR: `{nowhere}/file` is not a directory\n"
    assert flox("init", "-d", "file", cwd=nowhere) == (1, "", told)
    assert os.listdir(nowhere) == ["file"]


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("gone", [("env/manifest.lock",), ("pylock.toml",), ("env/manifest.lock", "pylock.toml")])
def test_an_edit_that_changes_nothing_makes_a_missing_lock(flox, project, gone):
    """The manifest is the same, but what belongs beside it is not there; the packages stay installed."""
    text = f'{EMPTY}[plugins.esker.python]\ndependencies = ["app"]\n'
    directory = project(text)
    assert flox("activate", "--", "true").status == 0
    before = {name: (directory / ".flox" / name).read_bytes() for name in ("env/manifest.lock", "pylock.toml")}
    for name in gone:
        (directory / ".flox" / name).unlink()
    assert flox("edit", "--no-lock", "-f", "-", stdin=text).err == "! No changes made to environment.\n"
    assert not (directory / ".flox" / gone[0]).exists()
    assert flox("edit", "-f", "-", stdin=text) == (0, "", "! No changes made to environment.\n")
    assert before == {name: (directory / ".flox" / name).read_bytes() for name in before}
    (directory / ".flox" / gone[0]).unlink()
    assert flox("install", "pypi/app").err == "! Package with id 'app' already installed to environment 'project'\n"
    assert (directory / ".flox" / gone[0]).exists()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 1", "Running hook.on-activate failed"),
        ("set -e; false", "Running hook.on-activate failed"),
        ("trap 'exit 5' EXIT; exit 3", "Running hook.on-activate failed"),
        ("exit 0", "The hook.on-activate script did not complete normally."),
    ],
)
def test_a_hook_that_exits_is_told_in_floxs_words(flox, project, script, told):
    """A status other than 0 is a failure, and nothing else is said; status 0 has a text of its own."""
    project(f'{EMPTY}[hook]\non-activate = "{script}"\n')
    done = flox("activate", "--", "echo", "ran")
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines()[0] == f"✘ ERROR: {told}"
    assert (done.err == f"✘ ERROR: {told}\n") == ("failed" in told)


@pytest.mark.usefixtures("served")
def test_packages_come_and_go(flox, project):
    """Packages can be installed, again or with another requirement, and uninstalled, with and without `pypi/`."""
    project()
    assert flox("install", "pypi/app", "pypi/tool") == (0, "", "✔ 'app', 'tool' installed to environment 'project'\n")
    assert flox("i", "pypi/app").err == "! Package with id 'app' already installed to environment 'project'\n"
    replaced = "✔ 'app>=1' installed to environment 'project' in place of 'app'\n"
    assert flox("install", "pypi/app>=1") == (0, "", replaced)
    assert flox("list") == (0, "app: pypi/app (1.0)\ntool: pypi/tool (1.0)\n", "")
    removed = "━ 'app' uninstalled from environment 'project'\n━ 'tool' uninstalled from environment 'project'\n"
    assert flox("rm", "app", "pypi/tool") == (0, "", removed)
    assert flox("list", "-n").out == ""


def test_an_environment_gets_another_name(flox, project):
    """The next activation uses the new name and makes its links; the rest of env.json stays."""
    directory = project()
    assert flox("activate", "--", "true").status == 0
    assert flox("edit", "-n", "other") == (0, "", "✔ renamed environment 'project' to 'other'\n")
    done = flox("activate", "--", "sh", "-c", 'echo "$FLOX_ENV_DESCRIPTION $FLOX_ENV"')
    assert done == (0, f"other {directory}/.flox/run/{SYSTEM}.other-dev\n", "")


def test_envs_shows_what_is_active_and_what_is_known(flox, project, nowhere):
    """Names and places go to standard output, headings to standard error; the JSON has Flox's form."""
    assert flox("envs", cwd=nowhere) == (0, "", "No environments known to Flox\n")
    assert flox("envs", "--active", cwd=nowhere) == (0, "", "No active environments\n")
    first, second = project(name="first"), project(name="second-one")
    assert flox("list", "-d", first, cwd=nowhere).status == 0
    assert flox("activate", "-d", second, "--", "true", cwd=nowhere).status == 0
    listed = f"  first       {first}\n  second-one  {second}\n"
    assert flox("envs", cwd=nowhere) == (0, listed, "Inactive environments:\n")
    inside = flox("activate", "-d", second, "--", "flox", "envs", cwd=nowhere)
    shown = f"  second-one  {second}\n  first  {first}\n"
    assert inside == (0, shown, "⚡︎ Active environments:\nInactive environments:\n")
    pointers = [
        {"type": "dot-flox", "path": f"{one}/.flox", "pointer": {"name": one.name, "version": 1}}
        for one in (first, second)
    ]
    active = [{"environment": pointers[1], "mode": "dev"}]
    told = flox("activate", "-d", second, "--", "flox", "envs", "--json", cwd=nowhere)
    assert json.loads(told.out) == {"active": active, "inactive": pointers[:1]}
    told = flox("activate", "-d", second, "--", "flox", "envs", "--active", "--json", cwd=nowhere)
    assert json.loads(told.out) == active


def test_envs_shows_any_place(flox, tmp_path):
    """A directory whose name is not text in the locale is listed by its bytes."""
    place = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(place)
    assert flox.run([f"{flox.directory}/flox", "init", "-n", "any", "-d", place], cwd="/").status == 0
    argv = [f"{flox.directory}/flox", "envs"]
    done = subprocess.run(argv, env=flox.environ | {"LC_ALL": "C"}, cwd="/", capture_output=True, check=True)
    assert done.stdout == b"  any  " + place + b"\n"


def test_an_environment_is_deleted(flox, project, nowhere):
    """An environment is deleted with `--force` or after a yes at a terminal, and is then no longer listed."""
    directory = project()
    assert flox("activate", "--", "true").status == 0
    (directory / "kept").write_text("")
    asked = flox.terminal("flox delete", stdin="n\n")
    assert "Delete the environment 'project'" in asked.out
    assert (directory / ".flox").exists()
    assert flox("delete", "-f") == (0, "", "━ environment 'project' deleted\n")
    assert os.listdir(directory) == ["kept"]
    assert flox("envs", cwd=nowhere) == (0, "", "No environments known to Flox\n")
    assert flox("init").status == 0
    assert flox.terminal("flox destroy", stdin="yes\n").out.endswith("━ environment 'project' deleted\n")
    assert os.listdir(directory) == ["kept"]


def test_an_environment_whose_services_run_is_not_deleted(flox, project):
    """An environment with running services is not deleted: stop them first, because they use its files."""
    directory = project('version = 1\n[services]\none.command = "exec sleep 1000"\n')
    try:
        assert flox("services", "start").status == 0
        assert flox("delete", "-f") == (1, "", f"✘ ERROR: services of `{directory}` are running\n")
        after = "! Your manifest has changes that may require running 'flox services restart'.\n"
        text = 'version = 1\n[services]\none.command = "exec sleep 2000"\n'
        assert flox("edit", "-f", "-", stdin=text) == (0, "", f"{after}✔ Environment successfully updated.\n")
    finally:
        assert flox("services", "stop").status == 0
    assert flox("delete", "-f").status == 0


def test_which_environment_is_meant(flox, project, nowhere):
    """The active environment counts if there is none here; if there are both, the one here; `default` comes last."""
    for name in ("active", "here", "default"):
        directory = project(EMPTY, name=name)
        (directory / ".flox/env/manifest.toml").write_text(f'{EMPTY}[vars]\nWHICH = "{name}"\n')
    meant = "flox list -c | sed -n 's/WHICH = //p'"

    def asked(inside, at):
        return flox("activate", "-d", nowhere.parent / inside, "--", "sh", "-c", meant, cwd=nowhere.parent / at).out

    assert asked("active", "nowhere") == '"active"\n'
    assert asked("active", "active") == '"active"\n'
    assert asked("active", "here") == '"here"\n'
    assert asked("default", "here") == '"here"\n'
    assert asked("active", "default") == '"active"\n'


def test_which_environment_is_meant_is_asked_at_a_terminal(flox, project):
    """If two environments could be meant, a person at a terminal is asked."""
    active, here = project(name="active"), project(name="here")
    script = f'eval "$(flox activate -d {active} 2>/dev/null)"; flox edit -n chosen'
    done = flox.terminal(script, cwd=here, stdin="1\n")
    assert "Which environment do you mean?" in done.out
    assert done.out.endswith("✔ renamed environment 'active' to 'chosen'\n")


def test_flox_deactivate_undoes_what_the_shim_activated(flox, project):
    """The function that the activation defines undoes it in the shell; without an activation it says so."""
    project('version = 1\n[vars]\nA = "inside"\n')
    script = 'eval "$(flox activate)"; echo "$A"; flox deactivate; echo "${A-gone} ${FLOX_ENV-gone}"; declare -F'
    assert flox.bash(script) == (0, "inside\ngone gone\n", "")
    assert flox("exit") == (0, "", "ℹ No environment active!\n")


def test_an_interactive_shell_carries_floxs_name(flox, project):
    """The greeting and the prompt say `flox`, and `flox deactivate` ends the shell."""
    project()
    with open(f"{flox.environ['HOME']}/.bashrc", "w") as file:
        file.write("PS1='$ '\n")
    done = flox.terminal("flox activate", stdin="echo still $((40 + 2))\nflox deactivate\n", NO_COLOR="1")
    assert done.status == 0
    assert "✔ You are now using the environment 'project'\n" in done.out
    assert "To stop using this environment, run 'flox deactivate'\n" in done.out
    assert "flox [project] " in done.out
    assert "still 42\n" in done.out


def test_direnv_gets_the_variables(flox, project):
    """`use flox` runs `flox activate -- direnv dump`, and the program's output passes through unchanged."""
    project('version = 1\n[vars]\nA = "1"\n[hook]\non-activate = "echo from the hook"\n[profile]\nbash = "echo no"\n')
    dump = "import json, os; print(json.dumps(dict(os.environ)))"
    done = flox("activate", "--", "python3", "-c", dump)
    assert json.loads(done.out)["A"] == "1"
    assert done.err == "from the hook\n"


def test_esker_shim_writes_it(esker, nowhere):
    """The command says where the shim is and whether it is on PATH; another `flox` is left alone."""
    done = esker("shim", "flox", "tools", cwd=nowhere)
    assert done.status == 0
    assert f"✔ Wrote `{nowhere}/tools/flox`" in done.err
    assert f"! `{nowhere}/tools` is not on PATH" in done.err
    assert "not on PATH" not in esker("shim", "flox", "tools", cwd=nowhere, PATH=f"{nowhere}/tools:/bin").err
    (nowhere / "flox").write_text("the real one")
    told = f"✘ ERROR: `{nowhere}/flox` is not Esker's, and stays as it is\n"
    hint = "hint: name another directory, or remove it\ncode: already-exists\n"
    assert esker("shim", "flox", ".", cwd=nowhere) == (1, "", told + hint)
    assert esker("shim", "nix", ".", cwd=nowhere).status == 2


def test_a_project_that_is_somebody_elses_is_trusted_for_once(flox, project):
    """`-t` trusts the project for one activation."""
    if os.geteuid() != 0:
        pytest.skip("giving a directory away needs root")
    directory = project()
    os.chown(directory / ".flox", 12345, -1)
    refused = flox("activate", "--", "true")
    assert (refused.status, refused.out) == (1, "")
    assert "and its code has not been trusted\n" in refused.err
    assert flox("activate", "-t", "--", "sh", "-c", 'echo "${ESKER_TRUST-unset}"') == (0, "unset\n", "")


def test_no_current_directory(flox, project):
    """If the current directory was removed, the message says so."""
    directory = project()
    script = f"mkdir {directory}/gone; cd {directory}/gone; rmdir {directory}/gone; flox list"
    done = flox.bash(script)
    assert (done.status, done.err) == (1, "✘ ERROR: the current directory does not exist any more\n")
