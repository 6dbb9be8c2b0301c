"""From a project to the job that tests it."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from esker.declare.load import load
from esker.errors import InvalidManifest, NotFound, ServiceError, UsageError
from esker.ship.ci.choices import Choices
from esker.ship.ci.job import Container
from esker.ship.ci.planned import Place, planned, standing
from esker.ship.ci.versions import GITHUB_RUNNERS, GITLAB_TAGS
from tests.support.projects import EMPTY, write_project

NOTHING = Choices()
MAKE_TEST = Choices(test=("make test",))


@pytest.fixture
def plan(tmp_path):
    """Give a function that plans the job of a project with a manifest, and keeps what is said of it."""

    def made(manifest="", offered=GITHUB_RUNNERS, given=MAKE_TEST, kept=NOTHING, **variables):
        project = tmp_path / "project"
        if project.exists() and (project / ".flox").exists():
            shutil.rmtree(project / ".flox")
        write_project(project, EMPTY + manifest)
        made.said.clear()
        declaration = load(str(project))
        place = Place(str(project), str(tmp_path))
        said = made.said.append
        return planned(place, declaration, variables, given=given, kept=kept, offered=offered, say=said)

    made.said = []
    made.project = tmp_path / "project"
    return made


def test_the_manifests_command(plan):
    """`test` of the manifest counts, unless the caller says something else; several are several."""
    table = '[plugins.esker.ci]\ntest = ["make", "make test"]\naction = "us/esker@v1"\n'
    job = plan(table, given=NOTHING)
    assert (job.test, job.command, job.action) == (("make", "make test"), "set -e\nmake\nmake test", "us/esker@v1")
    assert plan.said == ["The project declares no systems: the job is for x86_64-linux."]
    assert job.choices == NOTHING


def test_choices_of_the_command_line(plan):
    """They count once more than the manifest and are remembered; it is said what counts the next time."""
    job = plan('[plugins.esker.ci]\ntest = "make"\n')
    assert (job.test, job.choices) == (("make test",), NOTHING)
    assert plan.said[0] == '`--test` counts this time. Without it, the manifest does: `test = "make"`.'
    job = plan(
        '[plugins.esker.ci]\ntest = "make"\n',
        given=Choices(("a", "b"), "esker", "us/esker@v1", "ruby", without_packages=True),
    )
    assert job.choices == Choices((), "esker", "us/esker@v1", "ruby", without_packages=True)
    job = plan(manifest="", given=Choices(("a", 'b "c"')))
    assert job.choices == Choices(("a", 'b "c"'))
    assert plan.said[0] == (
        "`--test` stays in the workflow when it is written again. To have it for every host: "
        '`test = ["a", "b \\"c\\""]` in [plugins.esker.ci].'
    )


def test_choices_that_a_workflow_remembers(plan):
    """Without the options they stay, and that is said; what the manifest says comes before them, and is said too."""
    kept = Choices(("make check",), "flox", "us/esker@v1", "ruby", without_packages=True)
    job = plan(given=NOTHING, kept=kept)
    assert (job.test, job.tool, job.action, job.image) == (("make check",), "flox", "us/esker@v1", "ruby")
    assert job.choices == kept
    assert plan.said[0] == '`--test` is as the workflow remembers it: `test = "make check"`.'
    assert len([each for each in plan.said if "as the workflow remembers it" in each]) == 5
    job = plan(manifest='[plugins.esker.ci]\ntest = "make all"\n', given=Choices(through="esker"), kept=kept)
    assert (job.test, job.tool, job.choices) == (("make all",), "esker", kept._replace(test=(), through="esker"))
    assert plan.said[0] == 'The manifest counts, and no longer the `--test` of the workflow: `test = "make all"`.'


def test_packages_that_no_machine_has(plan):
    """Esker fetches none of Flox's, so a job through Esker is not written, unless it is to do without them."""
    ruby = '[install]\nruby.pkg-path = "ruby"\n'
    with pytest.raises(
        UsageError, match=r"1 package of \[install\] cannot be had on a job's machine.*`ruby`"
    ) as refused:
        plan(ruby)
    assert "--through flox" in refused.value.hint
    assert plan(ruby, given=MAKE_TEST._replace(through="flox")).tool == "flox"
    assert plan(ruby, given=MAKE_TEST._replace(without_packages=True)).without_packages
    assert plan(f"{ruby}[plugins.esker.ci]\nwithout-packages = true\n").without_packages
    assert not plan("").without_packages


@pytest.mark.parametrize(
    ("files", "manifest", "test"),
    [
        ({}, '[plugins.esker.python]\ndependencies = ["pytest>=9"]\n', ("pytest",)),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, "", ("pytest",)),
        ({"pytest.ini": ""}, "", ("pytest",)),
        ({"pyproject.toml": "[project]\ndependencies = ['PyTest>=9']\n"}, "", ("pytest",)),
        ({"pyproject.toml": "[dependency-groups]\ndev = [{include-group = 'x'}, 'pytest']\n"}, "", ("pytest",)),
        ({"requirements.txt": "ninja\npytest[x]==9\n"}, "", ("pytest",)),
        ({"tox.ini": "[tox]\n[pytest]\n"}, "", ("pytest",)),
        ({"setup.cfg": "[tool:pytest]\n"}, "", ("pytest",)),
        ({"Cargo.toml": ""}, "", ("cargo test",)),
        ({"go.mod": ""}, "", ("go test ./...",)),
        ({"package.json": json.dumps({"scripts": {"test": "x"}})}, "", ("npm install", "npm test")),
        ({"package.json": json.dumps({"scripts": {"test": "x"}}), "package-lock.json": ""}, "", ("npm ci", "npm test")),
        (
            {"config/application.rb": ""},
            "",
            ("bundle install", "env RAILS_ENV=test bundle exec rails db:prepare", "bundle exec rails test"),
        ),
    ],
)
def test_what_the_projects_kind_implies(plan, files, manifest, test):
    """The command is said, with the file that it comes from."""
    for name, text in files.items():
        (plan.project / name).parent.mkdir(parents=True, exist_ok=True)
        (plan.project / name).write_text(text)
    assert plan(manifest, given=NOTHING).test == test
    assert f"`{test[-1]}`" in plan.said[0]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "says how it is tested"),
        ({"package.json": '{"scripts": []}', "pyproject.toml": "\udc80"}, "says how it is tested"),
        ({"pyproject.toml": "project = 1\ndependency-groups.dev = 'pytest'\n"}, "says how it is tested"),
        ({"pyproject.toml": "[[\n", "requirements.txt": "pytest-cov\n"}, "says how it is tested"),
        ({"go.mod": "", "Cargo.toml": ""}, "several ways: `cargo test` (Cargo.toml), `go test ./...` (go.mod)"),
    ],
)
def test_a_kind_that_is_not_clear(plan, files, message):
    """Nothing is guessed: the error names what there is, and where to write the command."""
    plan.project.mkdir()
    for name, text in files.items():
        (plan.project / name).write_text(text, errors="surrogateescape")
    with pytest.raises(NotFound, match=re.escape(message)) as refused:
        plan(given=NOTHING)
    assert "plugins.esker.ci" in refused.value.hint


@pytest.mark.parametrize(
    "command", ["", "  ", "echo ${{ github.token }}", "a\x1b[2J", "a\0", 3, ["a", ""], [], {"a": "b"}, [["a"]]]
)
def test_commands_that_are_none(plan, command):
    """They are refused where they are read, with their place in the manifest."""
    with pytest.raises(InvalidManifest) as refused:
        plan(f"[plugins.esker.ci]\ntest = {json.dumps(command) if command != {'a': 'b'} else '{ a = 1 }'}\n")
    assert refused.value.problems[0].line == 3


@pytest.mark.parametrize(
    "action", ["esker", "a/b", "a/b@", "a b/c@v1", "../b@v1", "a/b@v1 # x", "a/b@${{ x }}", "a/b@v\n1"]
)
def test_actions_that_are_none(plan, action):
    """An action has an owner, a repository and a version."""
    with pytest.raises(InvalidManifest, match="is not an action"):
        plan(f"[plugins.esker.ci]\naction = {json.dumps(action)}\n")


def test_systems(plan):
    """The declared ones that the host has, in its order; the others are said. Without any, there is one."""
    every = 'options.systems = ["aarch64-darwin", "aarch64-linux", "x86_64-linux"]\n'
    assert plan(every).systems == ("x86_64-linux", "aarch64-linux", "aarch64-darwin")
    assert not any("Left out" in each for each in plan.said)
    assert plan(every, GITLAB_TAGS).systems == ("x86_64-linux", "aarch64-linux")
    assert "aarch64-darwin" in plan.said[-1]
    assert plan().systems == ("x86_64-linux",)
    assert "declares no systems" in plan.said[-1]
    with pytest.raises(UsageError, match="no machine for aarch64-darwin"):
        plan('options.systems = ["aarch64-darwin"]\n', GITLAB_TAGS)


def test_a_declared_machine(plan):
    """It is taken in place of the host's, and also for a system that the host does not offer."""
    runners = 'runners = { aarch64-darwin = "mac-mini", x86_64-linux = ["self-hosted", "linux"] }\n'
    job = plan(f'options.systems = ["aarch64-darwin"]\n[plugins.esker.ci]\n{runners}', GITLAB_TAGS)
    assert job.systems == ("aarch64-darwin",)
    assert job.runners == {"aarch64-darwin": ("mac-mini",), "x86_64-linux": ("self-hosted", "linux")}


def test_services_of_the_machine_are_started_by_the_job(plan):
    """Supervised services need no container."""
    job = plan("[services]\nweb.command = 'x'\n")
    assert job.starts_services
    assert job.containers == {}


def test_services_that_esker_starts_run_on_linux(plan):
    """No job is written for a system on which it could only fail; Flox runs services elsewhere too."""
    manifest = 'options.systems = ["aarch64-darwin", "x86_64-linux"]\n[services]\nweb.command = \'x\'\n'
    assert plan(manifest).systems == ("x86_64-linux",)
    assert "Left out: aarch64-darwin; Esker runs services on Linux alone." in plan.said
    assert plan(manifest, given=Choices(test=("make",), through="flox")).systems == ("x86_64-linux", "aarch64-darwin")
    reason = "aarch64-darwin cannot, because Esker runs services on Linux alone"
    with pytest.raises(UsageError, match=reason) as told:
        plan(manifest.replace(', "x86_64-linux"', ""))
    assert "darwin" not in told.value.hint


@pytest.mark.parametrize(("runtime", "declaration"), [("nix", "flake.nix"), ("guix", "manifest.scm")])
def test_a_toolchain_from_another_tool(plan, runtime, declaration):
    """The machine needs the tool that the manifest names."""
    assert plan(f'[plugins.esker]\nruntime = "{runtime}"\n').declaration == declaration


def test_a_tool_needs_its_declaration(tmp_path):
    """What stands in the project decides; the error says what there is."""
    place = Place(str(tmp_path), str(tmp_path))
    (tmp_path / "flake.nix").touch()
    assert standing(place, "esker") == standing(place, "nix") == "flake.nix"
    with pytest.raises(UsageError, match=r"`guix` needs `manifest.scm`, and the project has `flake.nix`"):
        standing(place, "guix")
    (tmp_path / "flake.nix").rename(tmp_path / "shell.nix")
    assert standing(place, "esker") == standing(place, "nix") == "shell.nix"
    (tmp_path / "pyproject.toml").touch()
    assert standing(place, "esker") == "shell.nix"
    (tmp_path / "shell.nix").rename(tmp_path / "flake.nix")
    (tmp_path / ".flox").mkdir()
    assert (standing(place, "esker"), standing(place, "flox"), standing(place, "nix")) == (
        ".flox",
        ".flox",
        "flake.nix",
    )


def test_a_directory_that_no_workflow_can_name(tmp_path):
    """A line end in it, or bytes that are no text, are refused."""
    project = tmp_path / "a\nb"
    write_project(project)
    with pytest.raises(UsageError, match="cannot name the directory"):
        planned(
            Place(str(project), str(tmp_path)),
            load(str(project)),
            {},
            given=MAKE_TEST,
            kept=NOTHING,
            offered=GITHUB_RUNNERS,
            say=print,
        )


_DB = {
    "image": "postgres:17",
    "environment": {"POSTGRES_PASSWORD": "postgres", "OTHER": None},
    "ports": [{"target": 5432, "published": "5432", "protocol": "tcp", "mode": "ingress"}],
    "healthcheck": {"test": ["CMD-SHELL", "pg_isready -U $$POSTGRES_USER"], "interval": "5s", "retries": 5},
    "volumes": [{"type": "volume", "source": "data", "target": "/data"}],
    "command": None,
    "networks": {"default": None},
}
"""A service as Compose describes it."""


class TestContainers:
    """Services of a Compose file; `docker` is a program that answers as Compose does."""

    @pytest.fixture
    def compose(self, plan, tmp_path):
        """Give a function that plans for Compose services: as they are written, and as Compose has worked them out."""

        def made(written, worked_out=None, manifest="", offered=GITHUB_RUNNERS):
            programs = tmp_path / "bin"
            programs.mkdir()
            for name, services in {"written": written, "worked-out": worked_out or written}.items():
                (programs / name).write_text(json.dumps({"name": "p", "services": services}))
            docker = programs / "docker"
            docker.write_text(
                f'#!/bin/sh\nenv >"{programs}/env"\necho "$*" >>"{programs}/words"\n'
                f'case "$*" in *--no-interpolate*) cat "{programs}/written" ;; *) cat "{programs}/worked-out" ;; esac\n'
            )
            docker.chmod(0o755)
            plan.project.mkdir()
            (plan.project / "compose.yaml").write_text("services: {}\n")
            return plan(manifest, offered, PATH=f"{programs}:/usr/bin:/bin", SECRET="s3cret")

        made.programs, made.said = tmp_path / "bin", plan.said
        return made

    def test_a_container(self, compose):
        """Its image, variables, ports and health check are the host's; a dollar sign is one again."""
        job = compose({"db": _DB})
        assert not job.starts_services
        assert job.containers == {
            "db": Container(
                image="postgres:17",
                ports=((5432, 5432, "tcp"),),
                environment={"POSTGRES_PASSWORD": "postgres", "OTHER": ""},
                health={"cmd": "pg_isready -U $POSTGRES_USER", "interval": "5s", "retries": "5"},
            )
        }

    def test_no_variable_of_the_callers_gets_in(self, compose):
        """Compose has the values of [vars] alone, and reads no `.env`."""
        compose({"db": _DB}, manifest='[vars]\nPGPORT = "5433"\n')
        environ = (compose.programs / "env").read_text()
        assert "PGPORT=5433" in environ
        assert "s3cret" not in environ
        assert all("--env-file /dev/null" in line for line in (compose.programs / "words").read_text().splitlines())

    def test_macos_has_no_containers(self, compose):
        """With service containers the job is for Linux alone, and that is said."""
        job = compose({"db": _DB}, manifest='options.systems = ["x86_64-linux", "aarch64-darwin"]\n')
        assert job.systems == ("x86_64-linux",)
        assert "on Linux alone" in " ".join(compose.said)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"command": ["x"]}, "`command`"),
            ({"build": {"context": "."}}, "`build`"),
            ({"volumes": [{"type": "bind", "source": "/x", "target": "/y"}]}, "`volumes`"),
            ({"depends_on": {"db": {"condition": "service_healthy"}}}, "`depends_on`"),
            ({"secrets": ["x"]}, "`secrets`"),
            ({"ports": [{"target": 5432}]}, "leaves the port of this machine open"),
            ({"healthcheck": {"test": ["CMD", "sh", "-c", 'a "b"']}}, "the health check of `db`"),
            ({"environment": {"A${{ secrets.B }}": "1"}}, "has the variable"),
            ({"environment": {"$CI_JOB_TOKEN": "1"}}, "has the variable"),
        ],
    )
    def test_what_a_host_cannot_do_alike_the_job_does(self, compose, change, reason):
        """Then Esker starts the services with Compose in the job, and the reason is said."""
        job = compose({"db": _DB | change})
        assert (job.starts_services, job.containers) == (True, {})
        assert any(reason in each for each in compose.said)

    @pytest.mark.parametrize(
        ("written", "reason"),
        [
            ({"env_file": [".env"]}, "`env_file`"),
            ({"environment": {"A": "${SECRET}"}}, "needs `SECRET`"),
            ({"environment": {"A": "x$SECRET"}}, "needs `SECRET`"),
            ({"environment": {"A": "${SECRET:?say}"}}, "needs `SECRET`"),
        ],
    )
    def test_what_nothing_in_the_project_says(self, compose, written, reason):
        """A value from outside of the declaration is never written into a workflow."""
        job = compose({"db": _DB | written}, {"db": _DB})
        assert (job.starts_services, job.containers) == (True, {})
        assert any(reason in each for each in compose.said)

    def test_defaults_and_escapes_need_no_value(self, compose):
        """`${NAME:-default}` has a value, and `$$NAME` is the container's own."""
        written = _DB | {"environment": {"A": "${SECRET:-d}$$HOME${MINE}"}}
        job = compose({"db": written}, {"db": _DB}, '[vars]\nMINE = "1"\n')
        assert set(job.containers) == {"db"}

    def test_only_the_chosen_services_and_what_they_need(self, compose):
        """In the order of the file."""
        needs = _DB | {"depends_on": {"db": {"condition": "service_started"}}}
        job = compose({"db": _DB, "web": needs, "mail": _DB}, manifest='[plugins.esker.compose]\nservices = ["web"]\n')
        assert list(job.containers) == ["db", "web"]

    def test_the_initial_scripts_of_a_database(self, compose):
        """They lie in the checkout, which comes after the containers; that is said."""
        bind = {"type": "bind", "source": "/x/init", "target": "/docker-entrypoint-initdb.d", "read_only": True}
        job = compose({"db": _DB | {"volumes": [bind]}})
        assert set(job.containers) == {"db"}
        assert any("scripts in `/docker-entrypoint-initdb.d` do not run" in each for each in compose.said)

    @pytest.mark.parametrize(
        ("choice", "containers"), [('services-from = "compose"', {"db"}), ('services-from = "supervised"', set())]
    )
    def test_a_service_that_is_declared_twice(self, compose, choice, containers):
        """The manifest's own choice counts."""
        both = f'[services]\ndb.command = "x"\n[plugins.esker.compose]\nservices = ["db"]\n{choice}\n'
        job = compose({"db": _DB}, manifest=both)
        assert (set(job.containers), job.starts_services) == (containers, not containers)

    def test_services_of_both_kinds(self, compose):
        """If some are of the machine, the job starts all of them, in their order, and says so."""
        job = compose({"db": _DB}, manifest='[services]\nweb.command = "x"\n[plugins.esker.compose]\n')
        assert (job.containers, job.starts_services) == ({}, True)
        assert "The job starts `db` with Compose, beside `web` of [services]." in compose.said

    def test_a_service_that_is_not_there(self, compose):
        """The error names it."""
        with pytest.raises(ServiceError, match="no service `web`"):
            compose({"db": _DB}, manifest='[plugins.esker.compose]\nservices = ["web"]\n')

    def test_an_answer_that_is_none(self, compose):
        """The error says that it was Compose's."""
        with pytest.raises(ServiceError, match="cannot be read"):
            compose({"db": {"ports": [{}], "image": "a"}})
