"""`esker ci`: the files of workflows, written and compared; and what jobs call."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

import pytest

from esker.ship.ci import marked
from tests.support.projects import EMPTY

pytestmark = pytest.mark.slow
MANIFEST = EMPTY + '[vars]\nLINES = "a\\nb"\n[plugins.esker.ci]\ntest = "make test"\n'
WORKFLOW = ".github/workflows/esker.yml"


@pytest.fixture
def checkout(project):
    """Give a repository whose top is a project."""
    directory = project(MANIFEST)
    (directory / ".git").mkdir()
    return directory


def test_github(checkout, esker):
    """The workflow is written once; the second time nothing changes, and --check agrees."""
    first = esker("ci", "github")
    assert (first.status, first.out) == (0, "")
    assert f"✔ Wrote {WORKFLOW}\n" in first.err
    text = (checkout / WORKFLOW).read_text()
    assert "command: make test" in text.replace('"', "")
    again = esker("ci", "github")
    assert again.err.endswith("✔ The workflow is what the declaration says.\n")
    assert (checkout / WORKFLOW).read_text() == text
    assert esker("ci", "github", "--check").status == 0
    assert os.stat(checkout / WORKFLOW).st_mode & 0o777 == 0o644


def test_drift_and_additions(checkout, esker):
    """A changed declaration is a difference that --check prints and fails for; what a person added stays."""
    esker("ci", "github")
    added = "      - run: echo mine\n"
    path = checkout / WORKFLOW
    path.write_text(path.read_text().replace("steps-after-test\n", f"steps-after-test\n{added}"))
    assert esker("ci", "github", "--check").status == 0
    manifest = checkout / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text().replace("make test", "make check"))
    before = path.read_text()
    checked = esker("ci", "github", "--check")
    assert checked.status == 1
    assert "code: stale-workflow" in checked.err
    assert "hint: write it again: esker ci github" in checked.err
    patch = subprocess.run(["git", "apply", "-"], input=checked.out, cwd=checkout, text=True, check=False)
    assert path.read_text() == before or patch.returncode == 0
    path.write_text(before)
    assert esker("ci", "github").status == 0
    after = path.read_text()
    assert added in after
    assert '"make check"' in after
    assert checked.out.splitlines()[:2] == [f"--- a/{WORKFLOW}", f"+++ b/{WORKFLOW}"]


def test_a_change_elsewhere_stays_until_it_is_thrown_away(checkout, esker):
    """Nothing is written over it; --check shows it, and what it advises works, from wherever it was called."""
    esker("ci", "github")
    path = checkout / WORKFLOW
    path.write_text(path.read_text().replace("contents: read", "contents: write"))
    refused = esker("ci", "github")
    assert (refused.status, "code: not-editable" in refused.err) == (1, True)
    checked = esker("ci", "github", "--check", "-d", str(checkout))
    assert "-  contents: write\n+  contents: read\n" in checked.out
    advice = re.search(r"then write over the rest: esker (.*)$", checked.err, re.MULTILINE)
    assert esker(*shlex.split(advice[1])).status == 0
    assert "contents: read" in path.read_text()


def test_a_place_that_lost_its_end(checkout, esker):
    """Both commands name the place and its line; when the end is there again, everything goes on."""
    esker("ci", "github")
    path = checkout / WORKFLOW
    text = path.read_text()
    begin, added = "      # esker: yours, steps-before-test\n", "      - run: echo mine\n"
    path.write_text(text.replace(f"{begin}      # esker: end\n", begin + added))
    line = text.split(begin)[0].count("\n") + 1
    for arguments in ((), ("--check",), ("--force",)):
        refused = esker("ci", "github", *arguments)
        assert (refused.status, f"{WORKFLOW}:{line}" in refused.err) == (1, True)
        assert "`steps-before-test` begins here and has no end" in refused.err
    path.write_text(text.replace(begin, begin + added))
    assert esker("ci", "github", "--check").status == 0


def test_the_file_of_an_earlier_esker(checkout, esker):
    """It is written anew without force, and its additions stay; --check advises just that."""
    esker("ci", "github")
    path = checkout / WORKFLOW
    places = [name for name in re.findall(r"# esker: yours, ([a-z-]+)", path.read_text()) if name != "triggers"]
    earlier = ["name: old", *(line for name in places for line in marked.place(name, 0)), "end: 1"]
    text = marked.finished(earlier, "esker ci github").replace("yours, jobs\n", "yours, jobs\n  mine: 1\n")
    path.write_text(text)
    checked = esker("ci", "github", "--check")
    assert (checked.status, "hint: write it again: esker ci github\n" in checked.err) == (1, True)
    assert esker("ci", "github").status == 0
    assert "# esker: yours, jobs\n  mine: 1\n  # esker: end\n" in path.read_text()
    assert "name: old" not in path.read_text()
    assert esker("ci", "github", "--check").status == 0


def test_there_is_no_file_yet(checkout, esker):
    """To --check that is a difference, too."""
    checked = esker("ci", "gitlab", "--check")
    assert checked.status == 1
    assert "--- /dev/null\n+++ b/.gitlab-ci.yml\n" in checked.out
    assert "`.gitlab-ci.yml` and `.gitlab/esker.yml` are not what the declaration says" in checked.err
    assert not (checkout / ".gitlab").exists()


def test_gitlab(checkout, esker):
    """Both files are written; if one of them cannot be, neither is."""
    (checkout / ".gitlab-ci.yml").write_text("test:\n  script: make\n")
    refused = esker("ci", "gitlab")
    assert (refused.status, "Esker has not written it" in refused.err) == (1, True)
    assert not (checkout / ".gitlab").exists()
    (checkout / ".gitlab-ci.yml").unlink()
    told = esker("ci", "gitlab")
    assert (told.status, "Name your own copy in the place `variables`" in told.err) == (0, True)
    path = checkout / ".gitlab-ci.yml"
    place = "    # esker: yours, variables\n"
    path.write_text(path.read_text().replace(place, f"{place}    ESKER_CI_PACKAGE: git+https://our.example/esker\n"))
    checked = esker("ci", "gitlab", "--check")
    assert (checked.status, "Name your own copy" in checked.err) == (0, False)


def test_a_change_of_gitlabs_included_file(checkout, esker):
    """It has no place for additions: both errors name the file that has."""
    esker("ci", "gitlab")
    path = checkout / ".gitlab/esker.yml"
    path.write_text(path.read_text() + "# mine\n")
    for arguments in ((), ("--check",)):
        refused = esker("ci", "gitlab", *arguments)
        assert refused.status != 0
        assert " to a place of `.gitlab-ci.yml` between `# esker: yours` and" in refused.err


def test_a_project_below_the_top(project, esker, tmp_path):
    """The workflow lies at the top of the repository, under a name of its own, and knows the directory."""
    (tmp_path / ".git").mkdir()
    project(MANIFEST, name="project")
    assert esker("ci", "github").status == 0
    assert "directory: project" in (tmp_path / ".github/workflows/esker-project.yml").read_text()
    assert esker("ci", "gitlab").status == 0
    assert "project/.cache/esker" in (tmp_path / ".gitlab-ci.yml").read_text()


def test_two_projects_and_one_file(project, esker, tmp_path):
    """GitLab has one pipeline a repository: that of the other project is not written over without force."""
    (tmp_path / ".git").mkdir()
    for name in ("project", "two"):
        project(MANIFEST, name=name)
    assert esker("ci", "gitlab", "--image", "ruby").status == 0
    text = (tmp_path / ".gitlab-ci.yml").read_text()
    for arguments in ((), ("--check",)):
        refused = esker("ci", "gitlab", "-d", "../two", *arguments)
        assert (
            refused.status,
            "is for another project of this repository, in the directory project" in refused.err,
        ) == (
            1,
            True,
        )
    assert (tmp_path / ".gitlab-ci.yml").read_text() == text
    (tmp_path / "project").rename(tmp_path / "renamed")
    gone = esker("ci", "gitlab", cwd=tmp_path / "renamed").err
    assert "is for a project in the directory project, which is gone" in gone
    assert "with the options that it was written with: --force" in gone
    (tmp_path / "renamed").rename(tmp_path / "project")
    assert esker("ci", "gitlab", "-d", "../two", "--force").status == 0
    assert "ruby" not in (tmp_path / ".gitlab-ci.yml").read_text()


def test_no_link_leads_elsewhere(checkout, esker, tmp_path):
    """A `.github` that is a link is refused; nothing is written behind it."""
    (tmp_path / "elsewhere").mkdir()
    (checkout / ".github").symlink_to(tmp_path / "elsewhere")
    refused = esker("ci", "github")
    assert (refused.status, "it is a link" in refused.err) == (1, True)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(("file", "through"), [("flake.nix", "nix"), ("manifest.scm", "guix")])
def test_the_declarations_of_other_tools(empty, esker, file, through):
    """Through the tool itself, with its own actions; what is tested is said on the command line."""
    (empty / file).touch()
    assert esker("ci", "github", "--through", through, "--test", "make", "--test", "make test").status == 0
    text = (empty / WORKFLOW).read_text()
    assert {"nix": "nix develop --command", "guix": "guix shell -m manifest.scm"}[through] in text
    assert "set -e\n            make\n            make test\n" in text
    missing = esker("ci", "github", "--through", "flox", "--test", "make")
    assert (missing.status, "`flox` needs `.flox`" in missing.err) == (2, True)


def test_commands_that_github_would_evaluate(empty, esker):
    """They are refused on the command line as in the manifest."""
    (empty / "flake.nix").touch()
    refused = esker("ci", "github", "--test", "echo ${{ github.token }}")
    assert (refused.status, "GitHub would evaluate" in refused.err) == (2, True)
    assert not (empty / ".github").exists()


def test_a_binary_file_in_the_way(checkout, esker):
    """It is named, and stays."""
    (checkout / ".github/workflows").mkdir(parents=True)
    (checkout / WORKFLOW).write_bytes(b"\xff")
    refused = esker("ci", "github")
    assert (refused.status, f"`{checkout / WORKFLOW}` is not text" in refused.err) == (1, True)


def test_no_environment(empty, esker):
    """It says what a workflow can enter, and where the project may be."""
    done = esker("ci", "github", "--test", "true")
    assert done.status == 1
    assert "`.flox`, `flake.nix`, `shell.nix`, `manifest.scm`, `pyproject.toml`, `setup.py` or" in done.err
    assert "name the project's directory: -d DIR" in done.err
    assert "there is no directory `" in esker("ci", "github", "-d", "nowhere").err


@pytest.mark.parametrize(
    ("files", "arguments"),
    [
        ({"pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndependencies = ["pytest"]\n'}, ()),
        ({"requirements.txt": "pytest\n"}, ()),
        ({"shell.nix": "", "go.mod": ""}, ("--image", "our.example/nix")),
    ],
)
def test_projects_without_a_manifest(empty, esker, files, arguments):
    """A Python project and a shell.nix are entered by Esker, and tested as their files imply."""
    for name, text in files.items():
        (empty / name).write_text(text)
    (empty / ".git").mkdir()
    assert esker("ci", "github").status == 0
    command = "go test ./..." if "go.mod" in files else "pytest"
    text = (empty / WORKFLOW).read_text()
    assert f"command: {command}" in text.replace('"', "")
    assert ("nix-installer-action" in text) == ("shell.nix" in files)
    assert esker("ci", "gitlab", *arguments).status == 0
    assert esker("ci", "gitlab", "--check").status == 0


def test_what_was_chosen_is_remembered(empty, esker):
    """Written or compared without the options, the workflow stays what it is, and that is said."""
    (empty / "flake.nix").touch()
    (empty / ".git").mkdir()
    assert esker("ci", "github", "--through", "nix", "--test", "make 'a b'", "--test", "c\nd").status == 0
    text = (empty / WORKFLOW).read_text()
    again = esker("ci", "github")
    assert (again.status, (empty / WORKFLOW).read_text()) == (0, text)
    assert '`--through` is as the workflow remembers it: `through = "nix"`' in again.err
    assert esker("ci", "github", "--check").status == 0
    assert esker("ci", "github", "--check", "--test", "make").status == 1
    assert esker("ci", "github", "--through", "esker", "--action", "us/esker@main").status == 0
    assert "us/esker@main" in (empty / WORKFLOW).read_text()


@pytest.mark.parametrize(
    "options", ['{"test": ["${{ x }}"]}', '{"through": "sh"}', '{"evil": 1}', '{"action": "a b"}', "{1}", '{"test": 1}']
)
def test_options_that_somebody_has_changed(checkout, esker, options):
    """What the file remembers is checked as the command line is, and the error names the line."""
    esker("ci", "github", "--action", "us/esker@main")
    path = checkout / WORKFLOW
    text = path.read_text()
    assert '# Options: {"action": "us/esker@main"}\n' in text
    path.write_text(text.replace('{"action": "us/esker@main"}', options))
    refused = esker("ci", "github")
    assert (refused.status, f"{WORKFLOW}:2" in refused.err) == (1, True)
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "Options" not in line))
    assert esker("ci", "github", "--action", "us/esker@main", "--force").status == 0


def test_an_action_of_ones_own(checkout, esker):
    """Until there is a published one, the workflow says where a copy is: by the option, or in the manifest."""
    told = esker("ci", "github")
    assert (told.status, "nothing is published there yet" in told.err) == (0, True)
    absent = esker("ci", "github", "--action", "./")
    assert (absent.status, "! `./` of this repository has no action.yml" in absent.err) == (0, True)
    (checkout / "action.yml").write_text("")
    quiet = esker("ci", "github", "--action", "./")
    assert (quiet.status, "published" in quiet.err, "action.yml" in quiet.err) == (0, False, False)
    assert 'uses: "./"\n' in (checkout / WORKFLOW).read_text()
    for option in (("--action", "esker"), ("--action", "../x@v1")):
        assert "is not an action" in esker("ci", "github", *option).err
    assert "is not the name of an image" in esker("ci", "gitlab", "--image", "$IMAGE").err


class TestJobs:
    """What the jobs call."""

    def test_a_job(self, checkout, esker, served, tmp_path):
        """The key, the summary, and the variables for later steps; the second machine, with the kept store, makes nothing."""
        manifest = checkout / ".flox/env/manifest.toml"
        manifest.write_text(manifest.read_text() + '[plugins.esker.python]\ndependencies = ["app"]\n')
        assert esker("lock").status == 0
        kept = dict(line.split("=", 1) for line in esker("ci", "key").out.splitlines())
        assert kept["key"].startswith(kept["start"])
        made = esker("ci", "prepare")
        assert (made.status, "0 store paths were here" in made.out, "- `app-1.0`\n" in made.out) == (0, True, True)
        shutil.rmtree(checkout / ".flox/run")
        shutil.rmtree(checkout / ".flox/cache")
        again = esker("ci", "prepare", UV_OFFLINE="1", UV_CACHE_DIR=str(tmp_path / "other-cache"))
        assert (again.status, ", 0 were made." in again.out) == (0, True)
        files = {"GITHUB_ENV": str(tmp_path / "env"), "GITHUB_PATH": str(tmp_path / "path")}
        assert esker("ci", "export", **files).status == 0
        assert (tmp_path / "path").read_text() == f"{next((checkout / '.flox/run').glob('*-dev'))}/bin\n"
        name, _, end = (tmp_path / "env").read_text().partition("LINES<<")[2].partition("\n")
        assert name
        assert (_, end.split(name)[0]) == ("\n", "a\nb\n")
        assert kept["path"] == str(tmp_path / "store-root")

    def test_a_stale_lock_is_an_error(self, checkout, esker):
        """A job resolves nothing."""
        refused = esker("ci", "prepare")
        assert (refused.status, "code: stale-lock" in refused.err) == (1, True)

    def test_packages_that_the_machine_lacks(self, checkout, esker, served, tmp_path):
        """They are left out if the job says so; wheels have to be locked all the same."""
        manifest = checkout / ".flox/env/manifest.toml"
        text = manifest.read_text().replace(EMPTY, f'{EMPTY}[install]\nruby.pkg-path = "ruby"\n')
        manifest.write_text(text)
        assert "1 package of [install] cannot be had" in esker("ci", "gitlab").err
        assert "The tests take what `python:3.13` has" in esker("ci", "gitlab", "--without-packages").err
        assert "code: stale-lock" in esker("ci", "prepare").err
        assert esker("ci", "prepare", "--without-packages").status == 0
        files = {"GITHUB_ENV": str(tmp_path / "env"), "GITHUB_PATH": str(tmp_path / "path")}
        assert esker("ci", "export", **files).status == 1
        assert esker("ci", "export", "--without-packages", **files).status == 0
        assert "LINES<<" in (tmp_path / "env").read_text()
        manifest.write_text(f'{text}[plugins.esker.python]\ndependencies = ["app"]\n')
        refused = esker("ci", "prepare", "--without-packages")
        assert (refused.status, "code: stale-lock" in refused.err) == (1, True)

    def test_elsewhere(self, checkout, esker):
        """Where GitHub's files are not, nothing is activated."""
        refused = esker("ci", "export")
        assert (refused.status, "GITHUB_ENV and GITHUB_PATH are not set" in refused.err) == (2, True)

    def test_forward(self, empty, esker):
        """What is wrong is said before anything waits."""
        assert esker("ci", "forward", "5432").status == 2
        assert esker("ci", "forward", "5432=127.0.0.3:1", "--timeout", "0").status == 124


def test_help_names_the_commands(esker, empty):
    """Those that a person calls come first."""
    listed = esker("ci").out
    assert listed.index("github") < listed.index("gitlab") < listed.index("export")
    assert esker("ci", "travis").status == 2
