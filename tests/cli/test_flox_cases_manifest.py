"""Flox's test cases of manifests and locks, by their numbers, run with Esker's `flox`, and related tests."""

from __future__ import annotations

import json

import pytest

from esker.formats.manifest import LATEST
from esker.formats.systems import declared_systems
from esker.settings import Settings

pytestmark = pytest.mark.slow

SYSTEM = Settings({}).system
OTHER = next(name for name in ("aarch64-darwin", "x86_64-linux") if name != SYSTEM)
PARSE = "✘ ERROR: Failed to parse manifest:\n\n"


def locked(install_id, name, version, system=SYSTEM, priority=5, **more):
    """Return an entry of a lock with the keys that an entry from a catalogue has."""
    return {
        "attr_path": install_id,
        "broken": False,
        "derivation": f"/nix/store/{'0' * 32}-{name}.drv",
        "description": f"What {name} is for",
        "install_id": install_id,
        "license": "GPL-3.0-or-later",
        "locked_url": "https://packages.example.org/nixpkgs?rev=0000000000000000000000000000000000000000",
        "name": name,
        "pname": name.partition("-")[0],
        "rev": "0" * 40,
        "rev_count": 1,
        "rev_date": "2026-08-10T17:52:38Z",
        "scrape_date": "2026-08-12T06:14:56.735052Z",
        "stabilities": ["unstable"],
        "unfree": False,
        "version": version,
        "outputs_to_install": ["out"],
        "outputs": {"man": f"/nix/store/{'1' * 32}-{name}-man", "out": f"/nix/store/{'0' * 32}-{name}"},
        "system": system,
        "group": "toplevel",
        "priority": priority,
        **more,
    }


@pytest.fixture
def with_lock(project):
    """Give a function that makes a project with packages in [install] (pkg-path by id) and in the lock."""

    def make(install, *entries):
        text = "version = 1\n[install]\n" + "".join(f'{name}.pkg-path = "{path}"\n' for name, path in install.items())
        directory = project(text)
        manifest = {"version": 1, "install": {name: {"pkg-path": install[name]} for name in install}, "options": {}}
        lock = {"lockfile-version": 1, "manifest": manifest, "packages": list(entries)}
        (directory / ".flox/env/manifest.lock").write_text(json.dumps(lock, indent=2) + "\n")
        return directory

    return make


def files(directory):
    """Return the contents of the files that a change may touch."""
    kept = [".flox/env/manifest.toml", ".flox/env/manifest.lock", ".flox/env.json"]
    return {path: (directory / path).read_text() for path in kept if (directory / path).exists()}


def test_case_47_a_manifest_that_is_not_toml_changes_nothing(flox, project, tmp_path):
    """The message has the place and a caret, and the files stay as they were."""
    directory = project()
    (tmp_path / "bad.toml").write_text("foo = ;\n")
    before = files(directory)
    done = flox("edit", "-f", tmp_path / "bad.toml")
    told = "TOML parse error at line 1, column 7\n  |\n1 | foo = ;\n  |       ^\nInvalid value\n"
    assert done == (1, "", PARSE + told)
    assert files(directory) == before


def test_case_47_an_unknown_key_changes_nothing(flox, project):
    """The message names the key, the keys that are allowed, and the table."""
    directory = project()
    before = files(directory)
    done = flox("edit", "-f", "-", stdin='schema-version = "1.14.0"\n[services.db.shutdown]\ncomand = "x"\n')
    assert (done.status, done.out) == (1, "")
    assert f"{PARSE}missing field `command`" in done.err
    assert "unknown field `comand`, expected `command`\nin `services.db.shutdown`\n" in done.err
    assert files(directory) == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "manifest 'schema-version' field is missing"),
        ('version = "1"\n', "'version' field must be an integer"),
        ("schema-version = 1\n", "'schema-version' field must be a version string like \"X.Y.Z\""),
        ('schema-version = "9.9.9"\n', "manifest had invalid schema version '9.9.9'"),
    ],
)
def test_case_47_a_manifest_whose_schema_is_not_known(flox, project, text, told):
    """A manifest of an unknown schema gives one line, because its keys cannot be checked."""
    project()
    assert flox("edit", "-f", "-", stdin=text) == (1, "", f"✘ ERROR: Failed to parse manifest: {told}\n")


def test_case_47_the_same_text_is_no_change(flox, project):
    """Editing to the same text says that nothing changed, and succeeds."""
    directory = project()
    done = flox("edit", "-f", directory / ".flox/env/manifest.toml")
    assert done == (0, "", "! No changes made to environment.\n")


def test_an_edit_is_told(flox, project):
    """An edit reports the change; if an active environment would not notice it, the message says so instead."""
    project()
    manifest = 'version = 1\n[vars]\nA = "1"\n'
    assert flox("edit", "-f", "-", stdin=manifest) == (0, "", "✔ Environment successfully updated.\n")
    script = 'eval "$(flox activate)"; echo "$0" | sed "s/.*/version = 1/" | flox edit -f -'
    assert flox.bash(script).err == (
        "! Your manifest has changes that cannot be automatically applied.\n\n"
        "Please 'exit' the shell and run 'flox activate' to see these changes.\n"
    )


def test_case_49_list_shows_id_path_and_version(flox, with_lock):
    """A package is listed by its id, then its place in the catalogue, then its version."""
    with_lock({"greeting": "hello"}, locked("greeting", "hello-2.12.3", "2.12.3"))
    assert flox("list") == (0, "greeting: hello (2.12.3)\n", "")
    assert flox("l", "--extended") == (0, "greeting: hello (2.12.3)\n", "")


@pytest.mark.parametrize("version", ["influxdb2", ""])
def test_case_49_a_package_without_a_version_shows_its_name(flox, with_lock, version):
    """For a package without a version the list shows its full name."""
    with_lock({"influxdb2": "influxdb2"}, locked("influxdb2", "influxdb2", version))
    assert flox("list") == (0, "influxdb2: influxdb2 (influxdb2)\n", "")


def test_case_49_names_alone_of_this_system_alone(flox, with_lock):
    """Packages that are locked for other systems are not listed."""
    hello, htop = locked("hello", "hello-2.12.3", "2.12.3"), locked("htop", "htop-3.4.1", "3.4.1", system=OTHER)
    with_lock({"hello": "hello", "htop": "htop"}, hello, htop)
    assert flox("list", "-n") == (0, "hello\n", "")


def test_case_49_nothing_installed_is_a_warning(flox, project):
    """An empty environment gives a warning and no error."""
    project()
    told = (
        f"! No packages are installed for your current system ('{SYSTEM}').\n\n"
        "You can see the whole manifest with 'flox list --config'.\n"
    )
    assert flox("list") == (0, "", told)
    assert flox("-q", "list") == (0, "", "")


def test_case_49_no_environment_is_an_error(flox, tmp_path):
    """An environment that is neither active nor here is an error; with `-d` it names the directory."""
    told = "✘ ERROR: Did not find an active environment or an environment in the current directory.\n"
    assert flox("list", cwd=tmp_path) == (1, "", told)
    told = f"✘ ERROR: Did not find an environment in '{tmp_path}'\n\nCreate an environment with 'flox init --dir {tmp_path}'\n"
    assert flox("list", "-d", tmp_path, cwd="/") == (1, "", told)


def test_list_all_shows_a_block_for_each_package(flox, with_lock):
    """The list shows everything in the lock, beginning with the package of the highest priority."""
    hello = locked("hello", "hello-2.12.3", "2.12.3")
    with_lock({"curl": "curl", "hello": "hello"}, hello, locked("curl", "curl-8.21.0", "8.21.0", priority=4))
    blocks = "".join(
        f"{name}:\n"
        f"  Description:       What {name}-{version} is for\n"
        f"  Package Path:      {name}\n"
        f"  Package Name:      {name}\n"
        f"  Priority:          {priority}\n"
        f"  Version:           {version}\n"
        "  License:           GPL-3.0-or-later\n"
        "  Unfree:            false\n"
        "  Broken:            false\n"
        "  Available Outputs: man, out\n"
        f"  Installed Outputs: out\n{gap}"
        for name, version, priority, gap in (("curl", "8.21.0", 4, "\n"), ("hello", "2.12.3", 5, ""))
    )
    assert flox("list", "-a") == (0, blocks, "")


def test_list_config_prints_the_manifest(flox, project):
    """`list -c` prints the manifest byte for byte, with its comments."""
    text = "# mine\nversion = 1\n"
    project(text)
    assert flox("list", "-c") == (0, text, "")


def test_case_50_a_later_flox_is_wished_for(flox, project):
    """If the manifest asks for a later Flox, a warning comes first, with the reason, and nothing is refused."""
    text = 'schema-version = "1.11.0"\nminimum-cli-version = {}\n[vars]\nA = "1"\n'
    directory = project(text.format('"99.99.99"'))
    told = "! This environment requires Flox v99.99.99 or later, you have v1.14.1.\n"
    assert flox("activate", "-c", 'echo "$A"') == (0, "1\n", told)
    assert flox("activate", "--", "true") == (0, "", told)
    assert flox("list", "-c") == (0, text.format('"99.99.99"'), told)
    wished = '{ version = "99.0.0", reason = "for its colours" }'
    edited = flox("edit", "-f", "-", stdin=text.format(wished))
    told = told.replace("99.99.99", "99.0.0") + "Reason: for its colours\n"
    assert edited == (0, "", f"{told}✔ Environment successfully updated.\n")
    assert flox("activate", "--", "true") == (0, "", told)
    (directory / ".flox/env/manifest.toml").write_text(text.format('"1.14.1"'))
    assert flox("activate", "--", "true") == (0, "", "")


def test_case_50_a_wish_that_is_no_version(flox, project):
    """If the minimum version is not a version, the message shows both forms."""
    project('schema-version = "1.11.0"\nminimum-cli-version = "not.a.version"\n')
    told = 'Expected a version string or { version = "<version>", reason = "<reason>" }\nin `minimum-cli-version`\n'
    assert flox("activate", "--", "true") == (1, "", PARSE + told)


def test_a_lock_is_made_of_a_manifest_alone(flox, tmp_path, with_lock):
    """`lock-manifest` prints the lock, with entries from another lock, and touches no environment."""
    systems = declared_systems(None, SYSTEM)
    directory = with_lock({"hello": "hello"}, *(locked("hello", "hello-2.12.3", "2.12.3", each) for each in systems))
    manifest, lock = (directory / f".flox/env/manifest.{end}" for end in ("toml", "lock"))
    done = flox("lock-manifest", "-l", lock, manifest)
    assert (done.status, done.err) == (0, "")
    wanted = json.loads(lock.read_text())
    del wanted["manifest"]["version"]
    install = {"hello": {"pkg-path": "hello", "outputs": "all"}}
    wanted["manifest"] = {"schema-version": LATEST, **wanted["manifest"], "install": install}
    assert done.out == json.dumps(wanted, indent=2)
    done = flox("lock-manifest", "-", stdin='version = 1\n[vars]\nA = "1"\n', cwd=tmp_path)
    wanted = {
        "lockfile-version": 1,
        "manifest": {"schema-version": LATEST, "vars": {"A": "1"}, "options": {}},
        "packages": [],
    }
    assert (done.status, done.err) == (0, "")
    assert done.out == json.dumps(wanted, indent=2)


def test_a_lock_of_a_manifest_alone_includes_no_environments(flox, tmp_path):
    """No directory is known that an included environment could be looked for from."""
    text = 'version = 1\n[include]\nenvironments = [{ dir = "../x" }]\n'
    done = flox("lock-manifest", "-", stdin=text, cwd=tmp_path)
    assert done == (1, "", "✘ ERROR: remote environments cannot include local environments\n")


def test_a_lock_of_a_manifest_alone_keeps_what_version_1_installs(flox, with_lock):
    """All outputs of a package; where they are what is installed anyway, nothing is written down."""
    out = f"/nix/store/{'2' * 32}-few-1.0"
    few, more = locked("few", "few-1.0", "1.0", outputs={"out": out}), locked("more", "more-1.0", "1.0")
    directory = with_lock({"few": "few", "more": "more"}, few, more)
    manifest, lock = (directory / f".flox/env/manifest.{end}" for end in ("toml", "lock"))
    with manifest.open("a") as file:
        file.write(f'[options]\nsystems = ["{SYSTEM}"]\n')
    install = json.loads(flox("lock-manifest", "-l", lock, manifest).out)["manifest"]["install"]
    assert install == {"few": {"pkg-path": "few"}, "more": {"pkg-path": "more", "outputs": "all"}}


def test_an_environment_for_another_system_is_no_empty_one(flox, project):
    """If `options.systems` leaves this system out, nothing is activated; locking for the others still works."""
    project(f'version = 1\n[options]\nsystems = ["{OTHER}"]\n')
    told = f"✘ ERROR: This environment is not yet compatible with your system ({SYSTEM}).\n"
    assert flox("activate", "--", "true") == (1, "", told)


def test_a_lock_for_other_systems_only_is_no_empty_environment(flox, with_lock):
    """If every package is locked for other systems only, nothing is activated."""
    with_lock({"hello": "hello"}, locked("hello", "hello-2.12.3", "2.12.3", system=OTHER))
    told = f"✘ ERROR: This environment is not yet compatible with your system ({SYSTEM}).\n"
    assert flox("activate", "--", "true") == (1, "", told)


def test_case_55_a_reserved_variable_is_refused(flox, project):
    """The names with which Flox traces a hook are none of the project's."""
    directory = project()
    before = files(directory)
    done = flox("edit", "-f", "-", stdin='schema-version = "1.15.0"\n[vars]\nBASH_ENVTRACE_FILE = "x"\n')
    assert (done.status, done.out) == (1, "")
    assert "manifest [vars] may not set reserved variable 'BASH_ENVTRACE_FILE'" in done.err
    assert files(directory) == before
