"""The workflows that are written: as in the golden files, and what tools that know the formats say of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from esker.errors import UsageError
from esker.ship.ci import github, gitlab
from esker.ship.ci.versions import ACTIONS
from tests.ship.ci.jobs import GOLDEN, HOSTILE, JOBS, rendered

ROOT = Path(__file__).parents[3]
ACTION = ROOT / "action.yml"
PROGRAMS = Path(sys.executable).parent


def run(*words, cwd=None):
    done = subprocess.run([PROGRAMS / words[0], *words[1:]], cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Give a repository with every workflow for GitHub, and with Esker's action."""
    top = tmp_path_factory.mktemp("repository")
    (top / ".git").mkdir()
    (top / ".github/workflows").mkdir(parents=True)
    for name, text in rendered().items():
        if name.endswith(".github.yml"):
            (top / ".github/workflows" / name).write_text(text)
    (top / "action.yml").write_bytes(ACTION.read_bytes())
    return top


def test_golden_files():
    """Each text is what it was; `python -m tests.ship.ci.jobs` writes them anew, for a person to look at."""
    assert rendered() == {path.name: path.read_text() for path in GOLDEN.iterdir()}


@pytest.mark.slow
def test_the_schemas_allow_the_workflows(repository, tmp_path):
    """Those of GitHub's workflows and actions, and of GitLab's pipelines."""
    (tmp_path / "esker.yml").write_text(gitlab.included())
    of_gitlab = [path for path in GOLDEN.iterdir() if path.name.endswith(".gitlab.yml")]
    for schema, files in {
        "vendor.github-workflows": [*(repository / ".github/workflows").iterdir()],
        "vendor.github-actions": [ACTION],
        "vendor.gitlab-ci": [*of_gitlab, tmp_path / "esker.yml"],
    }.items():
        status, said = run("check-jsonschema", "--builtin-schema", schema, *files)
        assert status == 0, said


@pytest.mark.slow
def test_actionlint_finds_nothing(repository):
    """It also looks into expressions."""
    assert run("actionlint", "-no-color", *(repository / ".github/workflows").iterdir(), cwd=repository) == (0, "")


@pytest.mark.slow
def test_zizmor_finds_nothing(repository):
    """No token stays, no input gets into a script, each action has a version; by the settings of this repository."""
    status, said = run("zizmor", "--offline", "--quiet", "--config", ROOT / "zizmor.yml", repository)
    assert status == 0, said


@pytest.mark.slow
def test_the_checks_find_mistakes(repository, tmp_path):
    """With the same settings, a script with an input in it and a key that does not exist are errors."""
    text = rendered()["items.github.yml"]
    broken = tmp_path / "broken.yml"
    broken.write_text(
        text.replace("    steps:\n", "    stepz: 1\n    steps:\n      - run: echo ${{ github.head_ref }}\n")
    )
    for words in (
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", broken),
        ("actionlint", broken),
        ("zizmor", "--offline", "--config", ROOT / "zizmor.yml", broken),
    ):
        assert run(*words, cwd=repository)[0] != 0, words


@pytest.mark.parametrize("name", [name for name in JOBS if name.startswith("hostile")])
def test_texts_arrive_as_they_are(name):
    """A reader of YAML finds the hostile texts in the places where they belong, and nowhere else; no script has one."""
    job = JOBS[name]
    written = YAML(typ="safe", pure=True).load(github.workflow(job))
    step = written["jobs"]["test"]["steps"][-1]
    command = step["with"]["command"] if "with" in step else step["env"]["ESKER_CI_COMMAND"]
    directory = step["with"]["directory"] if "with" in step else step["working-directory"]
    assert command.replace("${{ '${{' }}", "${{") == job.command
    assert directory.replace("${{ '${{' }}", "${{") == job.directory
    assert "`id`" not in step.get("run", "")
    assert set(written) == {"name", "on", "permissions", "concurrency", "jobs"}
    assert set(written["jobs"]) == {"test"}
    assert HOSTILE in job.command


def test_texts_arrive_at_gitlab_as_they_are():
    """Each dollar sign is written twice, because GitLab expands variables in values."""
    job = JOBS["hostile"]._replace(systems=("x86_64-linux",), directory=".")
    variables = YAML(typ="safe", pure=True).load(gitlab.pipeline(job))["test"]["variables"]
    assert variables["ESKER_CI_COMMAND"].replace("$$", "$") == job.command
    assert "$" not in variables["ESKER_CI_COMMAND"].replace("$$", "")


@pytest.mark.parametrize("directory", [HOSTILE, "a*", "a$B", "a'b", "[a]"])
def test_directories_that_gitlab_would_read_as_patterns(directory):
    """They are refused, because no quoting reaches all places where GitLab reads them."""
    with pytest.raises(UsageError, match="as it is"):
        gitlab.pipeline(JOBS["rails"]._replace(directory=directory))


def test_an_environment_that_the_usual_image_has_not():
    """On GitLab, Nix and Guix come from the image of the job alone: without one, nothing is written."""
    with pytest.raises(UsageError, match=r"which the job's image `python:3\.13` does not have") as refused:
        gitlab.pipeline(JOBS["nix-through-esker"]._replace(image=""))
    assert "--image" in refused.value.hint


def test_a_machine_of_ones_own_among_several_has_one_tag_on_gitlab():
    """GitLab makes one tag of a variable, so a list in the matrix would be one strange tag."""
    job = JOBS["runners"]._replace(systems=("x86_64-linux", "aarch64-linux"))
    with pytest.raises(UsageError, match="one tag a machine in a job for several systems, and x86_64-linux has 2"):
        gitlab.pipeline(job._replace(runners={"x86_64-linux": ("a", "b")}))
    assert "tags: [" not in gitlab.pipeline(job)


def test_no_input_gets_into_a_script():
    """What a caller gives the action reaches its scripts by the environment, so no script has an expression."""
    steps = YAML(typ="safe").load(ACTION)["runs"]["steps"]
    scripts = [step["run"] for step in steps if "run" in step]
    assert len(scripts) >= 6
    assert not [script for script in scripts if "${{" in script]
    given = {value for step in steps for value in step.get("env", {}).values() if "inputs." in value}
    assert given == {f"${{{{ inputs.{name} }}}}" for name in ("command", "directory", "services", "without-packages")}
    assert "secrets." not in ACTION.read_text()
    assert "token" not in ACTION.read_text()


def test_the_action_uses_the_versions_of_the_table():
    """The table is the one place where versions stand."""
    used = {step["uses"] for step in YAML(typ="safe").load(ACTION)["runs"]["steps"] if "uses" in step}
    assert used == {ACTIONS["cache-restore"], ACTIONS["cache-save"]}


@pytest.mark.slow
def test_the_scripts_of_jobs_are_good_shell(tmp_path):
    """Shellcheck finds nothing in the scripts of the action, which bash runs, and of GitLab's job, which sh may run."""
    steps = YAML(typ="safe").load(ACTION)["runs"]["steps"]
    job = YAML(typ="safe").load(gitlab.included())[".esker"]
    scripts = {"bash": [step["run"] for step in steps if "run" in step], "sh": [*job["before_script"], *job["script"]]}
    for shell, texts in scripts.items():
        for number, text in enumerate(texts):
            file = tmp_path / f"{number}.{shell}"
            file.write_text(f"set -e\n{text}")  # as the hosts run it
            status, said = run("shellcheck", f"--shell={shell}", file)
            assert status == 0, said
