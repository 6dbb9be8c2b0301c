"""Services where nobody can look at containers: what is known of them, and what may be started."""

from __future__ import annotations

import pytest

from esker.errors import NoEngine, UnknownService
from esker.services.compose.container import write_started
from esker.services.status import ServiceStatus
from esker.services.supervised.chamber import chamber
from esker.settings import Settings
from tests.support.containers.absent import ENGINE_DOWN, NO_COMPOSE, write_docker
from tests.support.projects import EMPTY, write_project

PROCESSES = """
[services.api]
command = "api"
[services.cache]
command = "cache"
[services.front]
command = "front"
[plugins.esker.services.api]
depends-on = { cache = "service_started" }
[plugins.esker.services.front]
depends-on = { api = "service_started", db = "service_healthy" }
"""
SHOP = f"{PROCESSES}[plugins.esker.compose]\n"
NO_DOCKER = "the command `docker` is not here"


class Shop:
    """A checkout, and its services as they are with a PATH."""

    def __init__(self, directory, manifest):
        self.directory = write_project(directory / "shop", EMPTY + manifest)
        self.compose = self.directory / "compose.yaml"
        self.compose.write_text("services: {db: {image: db}, mail: {image: mail}}\n")
        self.environ = {"HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)}

    def services(self, path, **variables):
        """Return its services for a caller with this PATH."""
        environ = {**self.environ, "PATH": path, **variables}
        return chamber(str(self.directory), Settings(environ), environ, self._activation)

    def _activation(self, *_):
        raise AssertionError("nothing may be activated")


@pytest.fixture
def shop(tmp_path):
    """Give a function that makes a checkout with a manifest (default: three processes and a Compose file)."""
    return lambda manifest=SHOP: Shop(tmp_path, manifest)


@pytest.fixture
def down(tmp_path):
    """Give a PATH with Compose, which can read its files, and no engine."""
    return write_docker(tmp_path / "down", ENGINE_DOWN)


def states(services):
    return {status.name: status.status for status in services.status()}


def test_status_shows_what_the_manifest_names(shop):
    """Containers that it names are unknown, with the reason; processes are what they are."""
    services = shop(f'{PROCESSES}[plugins.esker.compose]\nservices = ["db", "web"]\n').services("/nowhere")
    assert states(services) == {
        "api": "Stopped",
        "cache": "Stopped",
        "db": "Unknown",
        "front": "Stopped",
        "web": "Unknown",
    }
    told = f"which services the Compose files have cannot be known: {NO_DOCKER}"
    assert services.unreadable == told
    assert {status.note for status in services.status() if status.status == "Unknown"} == {told}


def test_what_compose_has_said_is_kept(shop, down):
    """While the files are the same, names and ports are known without Compose; then they are not known any more."""
    made = shop()
    before = {status.name: status.ports for status in made.services(down).status()}
    assert before["db"].keys() == {"5432/tcp"}
    later = made.services("/nowhere")
    assert {status.name: status.ports for status in later.status()} == before
    assert states(later) == {
        "api": "Stopped",
        "cache": "Stopped",
        "db": "Unknown",
        "front": "Stopped",
        "mail": "Unknown",
    }
    assert later.unreadable is None
    assert {status.note for status in later.status() if status.status == "Unknown"} == {
        f"nobody can look at the containers: {NO_DOCKER}"
    }
    made.compose.write_text("services: {}\n")
    assert made.services("/nowhere").unreadable
    assert "mail" not in states(made.services("/nowhere"))
    assert {status.name: status.ports for status in made.services(down).status()} == before


@pytest.mark.parametrize("reads", [False, True])
def test_a_start_of_all_names_what_can_be_started(shop, down, reads):
    """It is refused before anything is activated, whether the Compose files are known or not."""
    services = shop().services(down if reads else "/nowhere")
    for start in (services.start, services.restart, services.lease):
        with pytest.raises(NoEngine, match="services of this project run in containers: ") as caught:
            start()
        assert caught.value.hint.endswith("; what needs no container can be started: esker services start api cache")
        assert caught.value.code == "no-engine"


@pytest.mark.parametrize("reads", [False, True])
def test_what_is_certain_to_be_a_process_is_started(shop, down, reads):
    """The start of one with its dependencies goes on to the activation."""
    with pytest.raises(AssertionError, match="nothing may be activated"):
        shop().services(down if reads else "/nowhere").start("api")


def test_a_process_that_depends_on_a_container(shop, down):
    """The error says which of both it is; what else was asked for and can be started stands in the hint."""
    made = shop(f'{SHOP}services = ["db"]\n')
    with pytest.raises(NoEngine, match="`front` depends on `db`, which runs in a container: the command") as caught:
        made.services("/nowhere").start("front")
    assert caught.value.hint.endswith("esker services start api cache")
    with pytest.raises(NoEngine, match="the command `docker` is not here") as caught:
        made.services("/nowhere").start("db")
    assert "can be started" not in caught.value.hint
    with pytest.raises(NoEngine, match="the container engine refuses: Cannot connect"):
        made.services(down).start("front")


def test_a_name_that_may_be_one_of_the_compose_files(shop, down):
    """Nobody can say that there is no such service, whatever is asked of it; where the files are read, that is said."""
    made = shop()
    services = made.services("/nowhere")
    for ask in (services.start, services.status, services.logs, services.stop, services.wait, services.volumes):
        with pytest.raises(NoEngine, match="whether there is a service `mail2` cannot be known: the command"):
            ask("mail2")
    with pytest.raises(UnknownService, match="service `mail2` does not exist"):
        made.services(down).start("mail2")


def test_the_compose_files_come_first(shop):
    """Then each service may be a container, so none is started; another choice takes the processes."""
    made = shop(f'{SHOP}services-from = "compose"\n')
    with pytest.raises(NoEngine, match="services of the Compose files come before") as caught:
        made.services("/nowhere").start("api")
    assert caught.value.hint.endswith("--services-from supervised")
    with pytest.raises(AssertionError, match="nothing may be activated"):
        made.services("/nowhere", ESKER_SERVICES_FROM="supervised").start("api")


def test_a_project_with_nothing_but_a_compose_file(shop):
    """Its status is empty and says why; a start is refused."""
    services = shop("").services("/nowhere")
    assert services.status() == ()
    assert NO_DOCKER in services.unreadable
    with pytest.raises(NoEngine, match="services of this project run in containers: the command") as caught:
        services.start()
    assert "can be started" not in caught.value.hint


PGPORT = "[plugins.esker.compose.services.db]\nports = { PGPORT = 5432 }\n"


@pytest.mark.parametrize("reads", [False, True])
def test_what_cannot_be_activated_is_not_advised(shop, down, reads):
    """If a variable is a port that nobody knows, no process can be started; where Compose has said it, they can."""
    with pytest.raises(NoEngine) as caught:
        shop(f"{SHOP}{PGPORT}").services(down if reads else "/nowhere").start()
    assert ("what needs no container can be started" in caught.value.hint) is reads


@pytest.mark.parametrize("reads", [False, True])
def test_nobody_waits_for_an_unknown_service(shop, down, reads):
    """Neither for its health nor for its end; a process can be waited for."""
    services = shop().services(down if reads else "/nowhere")
    for until in ("healthy", "stopped"):
        with pytest.raises(NoEngine, match="service `db` cannot be waited for: "):
            services.wait("db", until=until)
    assert [status.name for status in services.wait("api", until="stopped")] == ["api"]


@pytest.mark.parametrize("reads", [False, True])
def test_what_has_to_do_with_a_container_is_refused(shop, down, reads):
    """Its log, its volumes; and nothing of it is removed. The logs of the processes are followed."""
    made = shop()
    services = made.services(down if reads else "/nowhere")
    for ask in (services.logs, services.reset, lambda name: next(services.follow(name))):
        with pytest.raises(NoEngine):
            ask("db")
    assert services.logs("api") == []
    log = made.directory / ".flox/log/services/api.log"
    log.parent.mkdir(parents=True)
    log.write_text("a line\n")
    assert next(services.follow(count=1)) == ("api", "a line")


@pytest.mark.parametrize("reads", [False, True])
def test_containers_that_esker_has_started_cannot_be_stopped(shop, down, reads):
    """A stop of all, or of one of them, says so; a stop of a process asks nobody. Status shows them."""
    made = shop()
    write_started(f"{made.directory}/.flox", {"db": "0" * 64, "gone": "1" * 64})
    services = made.services(down if reads else "/nowhere")
    assert states(services)["gone"] == "Unknown"
    for names in ((), ("db",), ("api", "db"), ("gone",)):
        with pytest.raises(NoEngine):
            services.stop(*names)
    assert services.stop("api").not_running == ("api",)


def test_an_unread_definition_is_not_an_older_one(shop, monkeypatch):
    """What runs in a container and is not known now does not count as removed from the Compose file."""
    services = shop().services("/nowhere")
    running = (
        ServiceStatus(name="mail", status="Running", pid=1, outdated=True, container="shop-mail-1"),
        ServiceStatus(name="old", status="Running", pid=2, outdated=True, log="/old.log"),
    )
    monkeypatch.setattr(services, "_running", lambda: running)
    assert {status.name: status.outdated for status in services.status() if status.pid} == {"mail": False, "old": True}


def test_compose_alone_is_missing(shop, tmp_path):
    """A `docker` without its plugin is as good as none, and the hint names the plugin."""
    services = shop().services(write_docker(tmp_path / "bin", NO_COMPOSE))
    assert states(services)["db"] == "Unknown"
    with pytest.raises(NoEngine) as caught:
        services.start("db")
    assert caught.value.hint.startswith("install Docker Compose v2, the plugin")
