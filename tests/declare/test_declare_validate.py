from __future__ import annotations

import tomllib

import msgspec
import pytest

from esker.declare.declaration import (
    CiTable,
    ComposeTable,
    CondaDependency,
    CondaTable,
    ContainerTable,
    EskerTable,
    HealthCheck,
    NixTable,
    ProgramRule,
    PythonTable,
    ServiceTable,
    SystemRequirements,
)
from esker.declare.image_table import ImageHealthCheck, ImageLayer, ImageTable
from esker.declare.notations import duration
from esker.declare.prepared_table import PreparedTable
from esker.declare.validate import esker_table, read_text
from esker.errors import InvalidManifest
from esker.formats.manifest import document, from_table
from esker.formats.tables.reader import key_paths

HEAD = 'schema-version = "1.14.0"\n[services]\ndb.command = "db"\nfiles.command = "files"\n[plugins.esker]\n'
SHA256 = "0123456789abcdef" * 4
EVERYTHING = """
runtime = "nix"

[plugins.esker.python]
version = ">=3.11,<4"
dependencies = ["starlette", "psycopg[binary]>=3.2 ; sys_platform == 'linux'"]
source = ["src", "../shared"]
build = ["Some_Wheel"]

[plugins.esker.python.programs]
One_Wheel = "one_wheel/bin/*"
two = ["two/bin/node", { npm = "two/npm-cli.js", npx = "two/npx-cli.js" }]
three = { tool = "three/tool" }

[plugins.esker.conda]
channels = ["conda-forge"]
dependencies = ["htop", { spec = "clang", systems = ["aarch64-darwin"] }]
system-requirements = { libc = "2.28", linux = "5.10", macos = "13.0", cuda = "12", archspec = "x86_64_v3" }

[plugins.esker.services.db]
type = "simple"
depends-on = { files = "service_completed_successfully", web = "service_started" }
restart = "on-failure"
max-restarts = 5
backoff = "250ms"
stop-signal = "SIGINT"
stop-grace-period = "1m5s"
ports = { PGPORT = 0, ADMIN_PORT = 8080 }
pass-env = ["AWS_PROFILE"]
user = "postgres"

[plugins.esker.services.db.healthcheck]
test = ["pg_isready", "-q"]
start-interval = "50ms"
interval = "10s"
timeout = "1.5s"
retries = 4
start-period = "0s"

[plugins.esker.services.files]
type = "oneshot"

[plugins.esker.ci]
test = "make test"
action = "team/esker@v0"
image = "ruby:3.4"
without-packages = true
runners = { x86_64-linux = "big", aarch64-linux = ["self-hosted", "ARM64"] }

[plugins.esker.compose]
file = "docker-compose.yml"
services-from = "compose"
services = ["web"]

[plugins.esker.nix]
shell = "ci"
watch = ["data/*.json"]
override-inputs = { nixpkgs = "github:NixOS/nixpkgs/nixos-unstable" }

[plugins.esker.guix]
manifest = "manifest.scm"
channels = "channels.scm"
setup = "setup-env.sh"
watch = []
[plugins.esker.image]
name = "registry.example:5000/team/app"
from = "registry.example/base@sha256:0000000000000000000000000000000000000000000000000000000000000000"
python = "/usr/bin/python3.11"
systems = ["x86_64-linux"]
byte-code = false
sbom = false
compression = "zstd"
services = true
files = { "/app/" = ["src/", "pyproject.toml"] }
layers = [{ name = "base", packages = ["conda/git", "jq"] }]
vars = { A = "1", B = false }

[plugins.esker.image.prepare]
"/opt/agents/" = { git = "git@git.example:a.git", rev = "v1", directory = "agents", owner = "1000" }
"/opt/tool" = { npm = "@scope/tool@1.0.0", links = { "/usr/bin/tool" = "./bin/tool.js" } }
"/srv" = { npm-lock = "tools/package-lock.json" }
"/opt/model" = { file = "https://files.example/model", mode = "755", sha256 = "SHA256" }

[plugins.esker.image.healthcheck]
test = ["curl", "-f", "http://localhost"]
interval = "5s"
timeout = "2s"
start-period = "30s"
start-interval = "100ms"
retries = 2
""".replace("SHA256", SHA256)


def checked(text):
    """The table of a manifest, and what is wrong with it."""
    values, report = document(text)
    manifest = from_table(values, report)
    return esker_table(manifest, values, report), report.problems


def test_everything():
    """Every key is read into its type: durations in seconds, names normalised, programs as rules."""
    esker, problems = checked(HEAD + EVERYTHING)
    assert problems == []
    assert esker == EskerTable(
        python=PythonTable(
            version=">=3.11,<4",
            dependencies=("starlette", "psycopg[binary]>=3.2 ; sys_platform == 'linux'"),
            source=("src", "../shared"),
            build=("some-wheel",),
            programs={
                "one-wheel": (ProgramRule(pattern="one_wheel/bin/*"),),
                "three": (ProgramRule(pattern="three/tool", name="tool"),),
                "two": (
                    ProgramRule(pattern="two/bin/node"),
                    ProgramRule(pattern="two/npm-cli.js", name="npm"),
                    ProgramRule(pattern="two/npx-cli.js", name="npx"),
                ),
            },
        ),
        conda=CondaTable(
            dependencies=("htop", CondaDependency(spec="clang", systems=("aarch64-darwin",))),
            system_requirements=SystemRequirements(
                libc="2.28", linux="5.10", macos="13.0", cuda="12", archspec="x86_64_v3"
            ),
        ),
        services={
            "db": ServiceTable(
                depends_on={"files": "service_completed_successfully", "web": "service_started"},
                restart="on-failure",
                max_restarts=5,
                backoff=0.25,
                stop_signal="SIGINT",
                stop_grace_period=65.0,
                ports={"ADMIN_PORT": 8080, "PGPORT": 0},
                pass_env=("AWS_PROFILE",),
                user="postgres",
                healthcheck=HealthCheck(
                    test=("pg_isready", "-q"),
                    start_interval=0.05,
                    interval=10.0,
                    timeout=1.5,
                    retries=4,
                    start_period=0.0,
                ),
            ),
            "files": ServiceTable(type="oneshot"),
        },
        ci=CiTable(
            test=("make test",),
            action="team/esker@v0",
            image="ruby:3.4",
            without_packages=True,
            runners={"x86_64-linux": ("big",), "aarch64-linux": ("self-hosted", "ARM64")},
        ),
        compose=ComposeTable(file="docker-compose.yml", services_from="compose", services=("web",)),
        image=ImageTable(
            name="registry.example:5000/team/app",
            base=f"registry.example/base@sha256:{'0' * 64}",
            python="/usr/bin/python3.11",
            systems=("x86_64-linux",),
            byte_code=False,
            sbom=False,
            compression="zstd",
            services=True,
            files={"/app": ("src", "pyproject.toml")},
            layers=(ImageLayer(name="base", packages=("conda/git", "jq")),),
            vars={"A": "1", "B": None},
            prepare={
                "/opt/agents": PreparedTable(git="git@git.example:a.git", rev="v1", directory="agents", owner="1000"),
                "/opt/tool": PreparedTable(npm="@scope/tool@1.0.0", links={"/usr/bin/tool": "bin/tool.js"}),
                "/srv": PreparedTable(npm_lock="tools/package-lock.json"),
                "/opt/model": PreparedTable(file="https://files.example/model", mode=0o755, sha256=SHA256),
            },
            healthcheck=ImageHealthCheck(
                test=("curl", "-f", "http://localhost"),
                interval=5.0,
                timeout=2.0,
                start_period=30.0,
                start_interval=0.1,
                retries=2,
            ),
        ),
        runtime="nix",
        nix=NixTable(
            shell="ci",
            watch=("data/*.json",),
            override_inputs={"nixpkgs": "github:NixOS/nixpkgs/nixos-unstable"},
        ),
    )


@pytest.mark.parametrize(
    ("other", "meaning"),
    [("[vars]\nDB = 'x'\n", "set in [vars]"), ("[plugins.esker.services.db]\nports = { DB = 1 }\n", "a port of `db`")],
)
def test_the_variable_of_a_containers_port_has_no_other_meaning(other, meaning):
    """The error names both."""
    container = "[plugins.esker.compose]\n[plugins.esker.compose.services.web]\nports = { DB = 80 }\n"
    _, (problem,) = checked(HEAD.replace("[plugins.esker]\n", "") + other + container)
    assert problem.message == f"`DB` is a port of the container `web`, and {meaning} too"
    assert problem.line


def test_a_table_for_a_service_of_a_compose_file():
    """It may stand in the place of the list."""
    esker, problems = checked(
        HEAD + 'compose.services.web = { depends-on = { db = "service_healthy" }, ports = { P = 80 } }'
    )
    assert problems == []
    assert esker.compose.chosen == ()
    assert esker.compose.tables == {"web": ContainerTable(depends_on={"db": "service_healthy"}, ports={"P": 80})}


def test_the_fixture_has_every_key():
    """What is tested above is all there is, but for `project` with what belongs to it, and other forms of a value."""
    table = tomllib.loads(HEAD + EVERYTHING)["plugins"]["esker"]
    absent = {
        ("python", "project"),
        ("python", "groups"),
        ("python", "extras"),
        ("python", "editable"),
        ("python", "version", "range"),
        ("python", "version", "lock"),
    }
    absent |= {("services", "<name>", "healthcheck", form) for form in ("tcp", "unix", "http", "log")}
    absent |= {("compose", "services", "<name>", key) for key in ("depends-on", "ports")}
    known = {path for path, _ in key_paths(EskerTable)}
    assert known - set(_paths(table)) == absent
    assert set(_paths(table)) <= known


def _paths(table):
    for section, value in table.items():
        yield (section,)
        if isinstance(value, str):
            continue
        entries = (
            [((section, "<name>"), entry) for entry in value.values()]
            if section == "services"
            else [((section,), value)]
        )
        for path, entry in entries:
            for key in entry:
                yield (*path, key)
                if key in {"healthcheck", "system-requirements"}:
                    yield from ((*path, key, word) for word in entry[key])
                elif key == "prepare":
                    yield from ((*path, key, "<name>", word) for each in entry[key].values() for word in each)
                elif isinstance(entry[key], list):
                    tables = [each for each in entry[key] if isinstance(each, dict)]
                    yield from ((*path, key, word) for each in tables for word in each)


def test_a_project_with_groups():
    """Dependencies may come from a pyproject.toml and its groups."""
    table = "[plugins.esker.python]\nproject = 'pyproject.toml'\ngroups = ['dev']\neditable = false\n"
    esker, problems = checked(HEAD + table)
    assert problems == []
    assert esker.python == PythonTable(project="pyproject.toml", groups=("dev",), editable=False)


@pytest.mark.parametrize(
    "check",
    [
        {"test": "pg_isready -h $HOST"},
        {"tcp": "127.0.0.1:5432"},
        {"tcp": "$HOST:${PORT}"},
        {"tcp": "[::1]:80"},
        {"unix": "$ESKER_RUNTIME_DIR/db.sock"},
        {"http": "http://[::1]/health?deep=$DEEP"},
        {"http": "http://localhost:${PORT}"},
        {"http": "$URL"},
        {"log": r"ready to accept \w+ on port $PGPORT"},
    ],
)
def test_forms_of_a_check(check):
    """Every form of a check may hold variables."""
    ((form, value),) = check.items()
    esker, problems = checked(HEAD + f"services.db.healthcheck.{form} = '''{value}'''")
    assert problems == []
    assert esker.services["db"].healthcheck == HealthCheck(**check)


def test_no_table():
    """Without a table, or with other plugins alone, everything has its default."""
    assert checked('schema-version = "1.14.0"\n[plugins.other]\nx = 1') == (EskerTable(), [])
    assert checked("version = 1") == (EskerTable(), [])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("50ms", 0.05), ("10s", 10.0), ("1m30s", 90.0), ("1h", 3600.0), ("0s", 0.0), ("1.5s", 1.5), ("10us", 1e-5)],
)
def test_durations(text, seconds):
    """Durations are written as in Compose."""
    assert duration(text) == pytest.approx(seconds)


# What is written below [plugins.esker] -> the path that is named or the message, and a word of the hint.
MISTAKES = [
    (
        "pyton = {}",
        (
            "unknown field `pyton`, expected one of `python`, `conda`, `services`, `compose`, `ci`, `runtime`, "
            "`nix`, `guix`, `image`\nin `plugins.esker`"
        ),
        "`python`",
    ),
    ("python = 3", "invalid type: integer `3`, expected a table\nin `plugins.esker.python`", "{ … }"),
    ("python.dependency = []", "unknown field `dependency`", "did you mean `dependencies`?"),
    ("python.version = '3.11'", "`3.11` is not a version specifier", '">=3.11" or "==3.11.*"'),
    ("python.version = '^3.11'", "`^3.11` is not a version specifier", '">=3.11,<4"'),
    ("python.version = '~3'", "`~3` is not a version specifier", '">=3,<4"'),
    ("python.version = '~3.11.2'", "`~3.11.2` is not a version specifier", '"~=3.11.2"'),
    ("python.version = '===3.11.2'", "`===3.11.2` is not a version specifier", '"==3.11.2"'),
    ("python.version = { range = '^3.11' }", "`^3.11` is not a version specifier", '">=3.11,<4"'),
    ("python.version = { lock = 'all' }", "missing field `range`", 'range = "…"'),
    ("python.version = { range = '>=3', lock = 'every' }", "unknown variant `every`", 'lock = "one"'),
    ("python.version = ''", "`` is not a version specifier", '">=3.11"'),
    ("python.version = 3.11", "invalid type: number `3.11`, expected a string", 'version = "…"'),
    (
        "python.dependencies = 'starlette'",
        "invalid type: string `starlette`, expected an array",
        'dependencies = ["…"]',
    ),
    ("python.dependencies = ['a b']", "`a b` is not a requirement: ", "psycopg[binary]>=3.2"),
    (
        "python.dependencies = ['pypi/pandas']",
        "`pypi/pandas` is not a requirement: ",
        "leave `pypi/` out here: `pandas`",
    ),
    ("python.dependencies = ['-e .']", "`-e .` is not a requirement: ", "no hash"),
    ("python.project = '/pyproject.toml'", "`/pyproject.toml` is not a path relative to", '"src"'),
    (
        "python.extras = ['web']",
        "`extras` belong to a pyproject.toml, but no `project` is named",
        'project = "pyproject.toml"',
    ),
    (
        "python.editable = false",
        "`editable` belongs to a pyproject.toml, but no `project` is named",
        'add `project = "pyproject.toml"`, or take `editable` out',
    ),
    (
        "python.groups = ['dev']",
        "`groups` belong to a pyproject.toml, but no `project` is named",
        'project = "pyproject.toml"',
    ),
    ("python.source = ['']", "`` is not a path relative to the project directory", '"src"'),
    ("python.build = ['a>1']", "`a>1` is not the name of a package", "leave out the version"),
    ("python.programs = { a-b = 'x/y', A_B = 'x/z' }", "`a-b` is declared twice", "remove one"),
    ("python.programs.a = '../bin/x'", "`../bin/x` does not stay below site-packages", "some_wheel"),
    ("python.programs.a = '/bin/x'", "`/bin/x` does not stay below site-packages", "some_wheel"),
    ("python.programs.a = { x = 'a/*' }", "`a/*` is a pattern, so it cannot have a name", "path of one file"),
    ("python.programs.a = { 'x/y' = 'a/b' }", "`x/y` cannot be the name of a program", "without `/`"),
    ('python.programs.a = { "x\\u0000" = "a/b" }', "`x\\x00` cannot be the name of a program", "without `/`"),
    ("python.programs.a = [1]", "`1` does not name programs", "a glob"),
    ("python.programs.a = []", "no program is named", "a glob"),
    (
        "services.db.type = 'one-shot'",
        "unknown variant `one-shot`, expected `simple` or `oneshot`",
        "did you mean `oneshot`?",
    ),
    ("services.dbb = {}", "[services] has no service `dbb`", "did you mean `db`?"),
    ("services.zebra = {}", "[services] has no service `zebra`", "`[services.zebra]`"),
    (
        "services.db.depends-on = ['files']",
        "invalid type: array, expected a table",
        'write `depends-on = { NAME = "service_started" }`',
    ),
    ("services.db.ports = ['8000:8000']", "invalid type: array, expected a table", "write `ports = { NAME = 5432 }`"),
    ("services.db.restart = 'unless-stopped'", "unknown variant `unless-stopped`", 'write `restart = "always"`'),
    ("services.db.restart = 'on_failure'", "unknown variant `on_failure`", 'write `restart = "on-failure"`'),
    ("services.db.restart = true", "invalid type: boolean `true`", 'write `restart = "always"`'),
    ("services.db.environment = { A = '1' }", "unknown field `environment`", "`vars` in `[services.db]`"),
    ("services.db.command = 'x'", "unknown field `command`", "the command is in `[services.db]`"),
    ("services.db.working_dir = 'x'", "unknown field `working_dir`", "begin its command with `cd DIRECTORY && …`"),
    ("services.db.volumes = ['x:/x']", "unknown field `volumes`", "belongs into a Compose file"),
    (
        "services.db.depends-on.files = 'healthy'",
        "unknown variant `healthy`, expected one of `service_started`",
        "service_healthy",
    ),
    (
        "services.db.depends-on.fils = 'service_started'",
        "`db` depends on `fils`, which is not a service",
        "did you mean `files`?",
    ),
    (
        "services.db.depends-on.elsewhere = 'service_started'",
        "`db` depends on `elsewhere`, which is not a service",
        "or `[plugins.esker.compose]` if a Compose file has it",
    ),
    ("services.db.depends-on.db = 'service_started'", "Found a dependency cycle among services: db → db", "remove one"),
    (
        "services = { db.depends-on.files = 'service_started', files.depends-on.db = 'service_started' }",
        "Found a dependency cycle among services: db → files → db",
        "remove one",
    ),
    ("services.db.healthcheck = {}", "the health check does not say what to check", "test, tcp, unix, http, log"),
    ("services.db.healthcheck = 'x'", "invalid type: string `x`, expected a table", "healthcheck"),
    (
        "services.db.healthcheck = { test = 'x', log = 'y' }",
        "a health check has one form, but this one has both `test`",
        "keep one",
    ),
    ("services.db.healthcheck.test = []", "the test is empty", "shell text"),
    (
        "services.db.healthcheck.test = ['CMD', 'x']",
        "`CMD` is Compose's marker, not a program",
        "begin with the program",
    ),
    ("services.db.healthcheck.tcp = 'localhost'", "`localhost` is not an address", "host:port"),
    ("services.db.healthcheck.tcp = 'a:99999'", "`a:99999` is not an address", "host:port"),
    ("services.db.healthcheck.http = 'localhost/x'", "`localhost/x` is not an http URL", "http://"),
    ("services.db.healthcheck.http = 'https://x/'", "`https://x/` is not an http URL", "curl -f"),
    ("services.db.healthcheck.tcp = '::1:80'", "`::1:80` is not an address", "host:port"),
    ("services.db.healthcheck.tcp = 'a:0'", "`a:0` is not an address", "host:port"),
    ("services.db.healthcheck.unix = ''", "the text is empty", "remove the key"),
    ("services.db.healthcheck.log = '['", "`[` is not a regular expression: ", "backslashes"),
    ("services.db.healthcheck = { tcp = '$A:1', interval = 10 }", "invalid type: integer `10`", 'interval = "10s"'),
    ("services.db.healthcheck = { tcp = '$A:1', interval = '10' }", "`10` is not a duration", '"1m30s"'),
    ("services.db.healthcheck = { tcp = '$A:1', interval = '0s' }", "`0s` is not above zero", "above zero"),
    ("services.db.healthcheck = { tcp = '$A:1', retries = 0 }", "`0` is not enough", "1 or more"),
    ("services.db.restart = 'unless-stopped'", "unknown variant `unless-stopped`, expected one of `no`", "restart"),
    (
        "services.db = { type = 'oneshot', restart = 'always' }",
        '`restart = "always"` would start a oneshot again',
        "on-failure",
    ),
    ("services.db.max-restarts = -1", "`-1` is below zero", "zero or more"),
    ("services.db.stop-signal = 'INT'", "`INT` is not a signal", "did you mean `SIGINT`?"),
    ("services.db.stop-signal = 2", "invalid type: integer `2`, expected a string", "stop-signal"),
    ("services.db.stop-grace-period = '5 s'", "`5 s` is not a duration", '"10s"'),
    ("services.db.ports.PGPORT = 65536", "`65536` is not a port", "0 for a free port"),
    ("services.db.ports.PGPORT = '0'", "invalid type: string `0`, expected an integer", "PGPORT = 0"),
    ("services.db.ports.PG-PORT = 0", "`PG-PORT` is not the name of a variable", "underscores"),
    ("services.db.pass-env = ['A=B']", "`A=B` is not the name of a variable", "underscores"),
    ("services.db.user = ' '", "the text is empty", "remove the key"),
    ("ci.runners = 'big'", "invalid type: string `big`, expected a table", "runners"),
    ("ci.runners.x86_64-linus = 'big'", "Unrecognized system in manifest: x86_64-linus", "correct the name"),
    ("ci.runners.x86_64-linux = ['a', '${{ b }}']", "`${{ b }}` is not the label of a machine", "self-hosted"),
    ("ci.runners.x86_64-linux = [['a']]", "`['a']` is not the label of a machine", "self-hosted"),
    ("ci.runners.x86_64-linux = []", "no label is named", "self-hosted"),
    ("runtime = 'nixx'", "unknown variant `nixx`", "did you mean `nix`"),
    ("nix = { shell = 'ci' }", "`nix` says what of a flake the environment is", 'add `runtime = "nix"`'),
    ("nix = { watch = ['/etc/x'] }", "`/etc/x` is not a path relative", "src"),
    ("guix = { watch = ['*.scm'] }", "`guix` says which files Guix reads", 'add `runtime = "guix"`'),
    ("guix = { manifest = '/etc/x' }", "`/etc/x` is not a path relative", "src"),
    ("compose.services = 3", "invalid type: integer `3`, expected an array or a table", 'services = ["…"]'),
    ("compose.services.db = { ports = { DB = 0 } }", "`0` is not a port", "from 1 to"),
    ("compose.services.db = { port = { DB = 1 } }", "unknown field `port`", "did you mean `ports`"),
    ("compose.services.db = { depends-on = { x = 'service_up' } }", "unknown variant `service_up`", "did you mean"),
    ("compose = { file = 'c.yml', services = ['db'] }", "`db` is a service of [services] too", "services-from"),
    (
        "compose = { file = 'c.yml', services.web.ports = { P = 0 } }",
        "`0` is not a port",
        "write a number from 1 to 65535",
    ),
]


@pytest.mark.parametrize(("text", "message", "hint"), MISTAKES)
def test_mistakes(text, message, hint):
    """Each mistake is told once, with the line it stands in and what to do."""
    _, problems = checked(HEAD + text)
    (problem,) = problems
    assert problem.message.startswith(message)
    assert problem.line == HEAD.count("\n") + 1
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("healthcheck = { test = 'true' }", "it belongs into `[plugins.esker.services.web]`"),
        ("ports = [8000]", "it belongs into `[plugins.esker.services.web]`"),
        ("env = { A = '1' }", "the variables of a service are `vars` in `[services.web]`"),
        ("cwd = 'x'", "a service begins in the project's directory: begin its command with `cd DIRECTORY && …`"),
    ],
)
def test_what_the_other_table_of_a_service_has_is_told(key, hint):
    """A key of Esker's table, or of another program, in Flox's table."""
    with pytest.raises(InvalidManifest) as caught:
        read_text(f'schema-version = "1.14.0"\n[services.web]\ncommand = "x"\n{key}\n')
    assert [problem.hint for problem in caught.value.problems] == [hint]


def test_a_port_has_one_service_and_is_no_plain_variable():
    """A port's variable belongs to one service, and not to [vars]."""
    text = HEAD + "services.db.ports.PORT = 0\nservices.files.ports.PORT = 1\n[vars]\nPORT = '5'\n"
    _, problems = checked(text)
    assert [(problem.line, problem.message) for problem in problems] == [
        (6, "`PORT` is a port of more than one service"),
        (7, "`PORT` is a port of more than one service"),
        (6, "`PORT` is a port of `db`, and is set in [vars] too"),
        (7, "`PORT` is a port of `files`, and is set in [vars] too"),
    ]


def test_names_from_elsewhere_are_not_judged():
    """A service of an included environment, or any of a Compose file, may be meant."""
    depends = "services.db.depends-on.web = 'service_healthy'\n"
    assert checked(HEAD + depends)[1]
    assert not checked(HEAD + depends + "compose.file = 'c.yml'")[1]
    assert not checked(HEAD + depends + "compose = { file = 'c.yml', services.queue.ports = { P = 1 } }")[1]
    included = "services.other.type = 'oneshot'\n[include]\nenvironments = [{ dir = '../low' }]"
    assert not checked(HEAD + depends + included)[1]
    python = "image.python = '/usr/bin/python3'\n[include]\nenvironments = [{ dir = '../low' }]"
    assert not checked(HEAD + python)[1]


def test_an_empty_list_of_included_environments():
    """Then nothing comes from elsewhere."""
    included = "services.other.type = 'oneshot'\nimage.python = '/usr/bin/python3'\n[include]\nenvironments = []"
    messages = [problem.message.partition("\n")[0] for problem in checked(HEAD + included)[1]]
    assert messages == [
        "`python` states a program of the base, and no base is named",
        "[services] has no service `other`",
    ]


def test_an_older_schema():
    """Before schema 1.14.0 there are no plugins: one problem says so, whatever stands in them."""
    _, problems = checked(HEAD.replace("1.14.0", "1.13.0") + "nonsense = true")
    (problem,) = problems
    assert '`plugins` needs `schema-version = "1.14.0"`' in problem.hint


def test_values_are_frozen():
    """Nobody changes a declaration."""
    with pytest.raises(AttributeError):
        checked(HEAD)[0].python = None
    assert msgspec.structs.replace(EskerTable(), python=PythonTable()).python == PythonTable()


BOTH = """\
schema-version = "1.16.0"
[services]
web = { command = "web", %s }
db.command = "db"
[plugins.esker.services.web]
%s
"""
FLOX = 'depends-on.db.condition = "process_{}"'
OURS = 'depends-on.db = "service_{}"'


@pytest.mark.parametrize(
    ("flox", "ours"),
    [
        (FLOX.format("started"), OURS.format("started")),
        (FLOX.format("completed_successfully"), OURS.format("completed_successfully")),
        ("shutdown = { signal = 2, timeout-seconds = 90 }", 'stop-signal = "SIGINT"\nstop-grace-period = "1m30s"'),
        ("shutdown = { signal = 2, timeout-seconds = 90 }", ""),
        (FLOX.format("completed"), ""),
    ],
)
def test_both_tables_of_a_service_may_say_the_same(flox, ours):
    """What one table says, the other may repeat or leave out."""
    assert checked(BOTH % (flox, ours))[1] == []


@pytest.mark.parametrize(
    ("flox", "ours", "message", "hint"),
    [
        (
            FLOX.format("started"),
            OURS.format("healthy"),
            "`web` waits for `db` in two ways: `process_started` in [services], `service_healthy` here",
            "keep one of the two, or make them agree: [services] has no word for this condition",
        ),
        (
            FLOX.format("completed"),
            OURS.format("completed_successfully"),
            "`web` waits for `db` in two ways: `process_completed` in [services], `service_completed_successfully` here",
            "keep one of the two, or make them agree: write `process_completed_successfully` in [services.web]",
        ),
        (
            "shutdown.signal = 15",
            'stop-signal = "SIGINT"',
            "`web` is stopped by signal 15 in [services], by SIGINT here",
            "keep one of the two, or write `shutdown.signal = 2` there",
        ),
        (
            "shutdown.timeout-seconds = 5",
            'stop-grace-period = "10s"',
            "`web` may take 5 s to stop in [services], another time here",
            "keep one of the two, or make them agree",
        ),
    ],
)
def test_both_tables_of_a_service_may_not_disagree(flox, ours, message, hint):
    """Whoever starts the service could follow only one of them, so the problem names both; it stands at Esker's."""
    (problem,) = checked(BOTH % (flox, ours))[1]
    assert (problem.message, problem.hint, problem.line) == (message, hint, 6)


def test_a_cycle_through_both_tables():
    """Neither table has a cycle alone; together the services wait for each other."""
    text = BOTH % (FLOX.format("started"), "") + '[plugins.esker.services.db]\ndepends-on.web = "service_started"\n'
    (problem,) = checked(text)[1]
    assert problem.message == "Found a dependency cycle among services, through [services]: db → web → db"
    assert problem.line == 8
    assert checked(BOTH % (FLOX.format("started").replace("db", "web"), ""))[1] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[plugins]\nesker = []", "invalid type: array, expected"),
        ("[plugins]\nesker = 7", "invalid type: integer `7`, expected"),
        ("[plugins.esker]\nservices = 7", "invalid type: integer `7`, expected"),
        ("[plugins.esker.services]\ndb = 7", "invalid type: integer `7`, expected"),
        ("[plugins.esker.services.db]\nhealthcheck.test = [{}]", "invalid type"),
        ("[plugins.esker.services.db]\nhealthcheck.test = [[]]", "invalid type"),
    ],
)
def test_a_value_of_another_type_is_a_problem_beside_services(text, message):
    """What is checked across tables does not stumble over a value that is no table, or a list of something else."""
    values, report = document(HEAD.replace("[plugins.esker]\n", text))
    esker_table(from_table(values, report), values, report)
    assert message in report.problems[0].message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("python.version", "==" + "9" * 5000, "is not a version specifier"),
        ("python.version", ">=" + "9" * 5000 + ",<4", "is not a version specifier"),
        ("python.version", "^" + "9" * 5000, "is not a version specifier"),
        ("python.dependencies", ["app>=" + "9" * 5000], "is not a requirement: a number has too many digits"),
        ("services.db.healthcheck.tcp", "h:" + "9" * 5000, "is not an address"),
        ("services.db.healthcheck.log", "a{" + "9" * 5000 + "}", "is not a regular expression"),
        ("services.db.healthcheck.log", "a{99999999999}", "is not a regular expression"),
        ("services.db.healthcheck.log", "(" * 5000 + ")" * 5000, "is not a regular expression"),
        ("services.db.backoff", "9" * 400 + "s", "is too long a time"),
    ],
)
def test_what_python_itself_refuses_to_read_is_a_problem(key, value, message):
    """Numbers of thousands of digits, and expressions that are nested too deep, are told with the key that has them."""
    _, problems = checked(HEAD + f"{key} = {value!r}")
    assert message in problems[0].message
