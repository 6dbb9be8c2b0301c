"""`esker include`: environments of git repositories are copied into the project, and included ones are upgraded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from esker.activate import plan as plans
from tests.support.layers import include, layer
from tests.support.sources import commit, git

pytestmark = pytest.mark.slow

EMPTY = 'schema-version = "1.14.0"\n'
OWN = EMPTY + '\n# What is ours.\n[vars]\nA = "own"\n'


@pytest.fixture
def repository(tmp_path, settings_here):
    """Give a repository of git that holds the locked environment `base`."""
    directory = layer(tmp_path, "base", '[vars]\nA = "base"\nB = "base"\n', settings=settings_here)
    (directory / "README").write_text("Not of the environment.\n")
    git(directory, "init", "-q", "-b", "main")
    commit(directory)
    return directory


@pytest.fixture
def settings_here(environ):
    """Give the settings of the commands that are run."""
    from esker.settings import Settings

    return Settings(environ)


def relocked(directory, text, settings):
    """Change and lock the environment of a repository, and commit it."""
    layer(directory.parent, directory.name, text, settings=settings)
    return commit(directory)


def state(directory):
    """Return everything in a project that a command which fails leaves as it is."""
    kept = {}
    for path in sorted((directory / ".flox").rglob("*")):
        if path.is_file() and "cache" not in path.parts:
            kept[str(path.relative_to(directory))] = path.read_bytes()
    return kept


def test_an_environment_of_a_repository_is_copied_included_and_upgraded(esker, project, repository, settings_here):
    """Its variables count below ours, its origin stands beside it, comments stay, and a new commit is taken on demand."""
    directory = project(OWN)
    done = esker("include", "add", "../base@main")
    assert done.status == 0, done.err
    first = git(repository, "rev-parse", "HEAD")
    assert f"✔ 'base' is included, at commit {first[:12]} (.flox/include/base)" in done.err
    assert "- This environment set:\n  - vars.A\n" in done.err
    assert esker("activate", "--", "sh", "-c", "echo $A/$B").out == "own/base\n"
    copy = directory / ".flox/include/base"
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()) == [
        ".flox/env.json",
        ".flox/env/manifest.lock",
        ".flox/env/manifest.toml",
    ]
    assert (directory / ".flox/include/base.toml").read_text().splitlines()[1:] == [
        'repository = "../base"',
        'revision = "main"',
        f'commit = "{first}"',
    ]
    manifest = (directory / ".flox/env/manifest.toml").read_text()
    assert manifest == OWN + '\n[include]\nenvironments = [{dir = ".flox/include/base"}]\n'
    lock = json.loads((directory / ".flox/env/manifest.lock").read_text())
    assert lock["compose"]["include"][0]["descriptor"] == {"dir": ".flox/include/base"}
    assert esker("include", "upgrade").err.endswith("ℹ No included environments have changes.\n")
    second = relocked(repository, '[vars]\nB = "new"\n', settings_here)
    assert esker("activate", "--", "sh", "-c", "echo $A/$B").out == "own/base\n"
    assert "✔ Upgraded 'project' with latest changes to:\n- 'base'\n" in esker("include", "upgrade", "base").err
    assert esker("activate", "--", "sh", "-c", "echo $A/$B").out == "own/new\n"
    assert f'commit = "{second}"' in (directory / ".flox/include/base.toml").read_text()
    again = esker("include", "add", f"{repository}@{first[:8]}", "--name", "old")
    assert again.status == 0, again.err
    assert esker("activate", "--", "sh", "-c", "echo $A/$B").out == "own/base\n"
    assert '{dir = ".flox/include/old", name = "old"}]' in (directory / ".flox/env/manifest.toml").read_text()
    assert [path for path in (directory / ".flox/include").iterdir() if path.name.startswith(".")] == []


def test_add_moves_to_another_revision_and_never_replaces_what_it_did_not_make(esker, project, repository):
    """A copy from the same repository is replaced; a directory of somebody's, or of another repository, is not."""
    directory = project(OWN)
    git(repository, "tag", "v1")
    assert esker("include", "add", "../base@v1").status == 0
    assert esker("include", "add", "../base@main").status == 0
    assert 'revision = "main"' in (directory / ".flox/include/base.toml").read_text()
    assert (directory / ".flox/env/manifest.toml").read_text().count("include/base") == 1
    before = state(directory)
    other = esker("include", "add", f"file://{repository}@v1")
    assert (other.status, "a copy from `../base`" in other.err) == (1, True)
    (directory / ".flox/include/base.toml").unlink()
    mine = esker("include", "add", "../base@v1")
    assert (mine.status, "`esker include add` did not make it" in mine.err) == (1, True)
    assert {**before} == {**state(directory), ".flox/include/base.toml": before[".flox/include/base.toml"]}


def test_an_environment_in_a_directory_of_a_repository(esker, project, tmp_path, settings_here):
    """`#DIRECTORY` names it; without it the error says so."""
    top = tmp_path / "many"
    top.mkdir()
    layer(top, "tools", '[vars]\nT = "1"\n', settings=settings_here)
    git(top, "init", "-q", "-b", "main")
    commit(top)
    project(OWN)
    done = esker("include", "add", "../many")
    assert (done.status, "it has no directory `.flox`" in done.err, "#DIRECTORY" in done.err) == (1, True, True)
    assert esker("include", "add", "../many#tools").status == 0
    assert esker("activate", "--", "sh", "-c", "echo $T").out == "1\n"


def test_a_copy_that_includes_copies_brings_them(esker, project, repository):
    """What a vendored environment has vendored itself comes with it, so that Esker's own tables are found."""
    middle = project(OWN, name="middle")
    assert esker("include", "add", "../base@main", cwd=middle).status == 0
    manifest = middle / ".flox/env/manifest.toml"
    manifest.write_text(
        manifest.read_text() + '[services]\ns.command = "x"\n[plugins.esker.services.s]\nrestart = "always"\n'
    )
    assert esker("lock", cwd=middle).status == 0
    git(middle, "init", "-q", "-b", "main")
    commit(middle)
    directory = project(OWN)
    assert esker("include", "add", "../middle@main").status == 0
    assert (directory / ".flox/include/middle/.flox/include/base/.flox/env/manifest.lock").is_file()
    assert esker("activate", "--", "sh", "-c", "echo $A/$B").out == "own/base\n"
    assert 'restart = "always"' in esker("list", "-c").out


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ext::sh -c 'touch ran'@main", "run a program"),
        ("-oProxyCommand=touch ran:x@main", "looks like an option of git"),
        ("ssh://-oProxyCommand=touch%20ran/x@main", "looks like an option"),
        ("../base@--upload-pack=touch ran", "not the name of a branch"),
        ("https://user:secret@git.example/a@main", "may not hold a password"),
        ("http://git.example/a@main", "fetches nothing from `http`"),
        ("../base@main#../../elsewhere", "not a directory within"),
        ("../base@gone", "could not be fetched"),
        ("../nothing@main", "there is no `"),
    ],
)
def test_an_address_that_could_act_is_refused(esker, project, repository, tmp_path, address, told):
    """Nothing runs, nothing is written, no secret is shown."""
    directory = project(OWN)
    before = state(directory)
    done = esker("include", "add", address)
    assert done.status != 0
    assert told in done.err
    assert "hint: " in done.err
    assert "secret" not in done.err
    assert state(directory) == before
    assert not list(tmp_path.rglob("ran"))


def test_an_address_after_a_double_dash_is_no_option_of_gits(esker, project):
    """Where the command line lets it through, the address is refused all the same."""
    directory = project(OWN)
    before = state(directory)
    done = esker("include", "add", "--", "--upload-pack=touch ran")
    assert (done.status, "looks like an option of git" in done.err) == (2, True)
    assert state(directory) == before
    assert not (directory / "ran").exists()


def make_link(repository):
    (repository / ".flox/env/secret").symlink_to("/etc/passwd")


def make_inner_link(repository):
    (repository / ".flox/env").rename(repository / ".flox/real")
    (repository / ".flox/env").symlink_to("real")


def make_lock_link(repository):
    (repository / ".flox/env/manifest.lock").unlink()
    (repository / ".flox/env/manifest.lock").symlink_to("../../../project/.flox/env/manifest.lock")


def make_submodule(repository):
    inner = repository / ".flox/env/inner"
    inner.mkdir()
    git(inner, "init", "-q", "-b", "main")
    (inner / "file").write_text("x")
    commit(inner)


def make_unlocked(repository):
    (repository / ".flox/env/manifest.lock").unlink()


def make_out_of_sync(repository):
    manifest = repository / ".flox/env/manifest.toml"
    manifest.write_text(manifest.read_text() + "[hook]\non-activate = 'true'\n")


def make_strange_name(repository):
    (repository / ".flox/env/a\nb").write_text("x")


def make_large(repository):
    for number in range(600):
        (repository / f".flox/env/file-{number}").write_text("x")


def make_other_name(repository):
    (repository / ".flox/env.json").write_text('{"name": "../../up", "version": 1}')


def make_hidden_name(repository):
    (repository / ".flox/env.json").write_text('{"name": "..", "version": 1}')


def make_not_json(repository):
    (repository / ".flox/env.json").write_text("{")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (make_link, "`.flox/env/secret` in"),
        (make_inner_link, "is a symbolic link"),
        (make_lock_link, "is a symbolic link"),
        (make_submodule, "is a submodule"),
        (make_unlocked, "has no `.flox/env/manifest.lock`"),
        (make_out_of_sync, "hint: lock it in its git repository, and commit"),
        (make_strange_name, "no name that a file may have"),
        (make_large, "is too large"),
        (make_other_name, "cannot be the name of an environment"),
        (make_hidden_name, "cannot be the name of a directory here"),
        (make_not_json, "cannot be the name of an environment"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_repository_that_leads_elsewhere_is_refused(esker, project, repository, tmp_path, change, told):
    """Links, submodules and names that leave the copy: refused by name, and the project stays as it was."""
    directory = project(OWN)
    change(repository)
    commit(repository)
    before = state(directory)
    done = esker("include", "add", "../base@main")
    assert done.status != 0
    assert told in done.err
    assert state(directory) == before
    assert not list((directory / ".flox").glob("include/*"))
    assert not (tmp_path / "up").exists()


def test_hooks_filters_and_configuration_of_a_repository_do_nothing(esker, project, repository, tmp_path, environ):
    """What git would run in a clone, for a checkout or for the person's own templates, does not run."""
    ran = tmp_path / "ran"
    script = f"#!/bin/sh\ntouch {ran}\n"
    template = tmp_path / "template/hooks"
    template.mkdir(parents=True)
    for hook in ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc"):
        for place in (repository / ".git/hooks", template):
            (place / hook).write_text(script)
            (place / hook).chmod(0o755)
    (repository / ".gitattributes").write_text("* filter=evil\n")
    commit(repository)
    git(repository, "config", "uploadpack.packObjectsHook", f"touch {ran} #")
    git(repository, "config", "core.fsmonitor", f"touch {ran} #")
    with open(os.path.join(environ["HOME"], ".gitconfig"), "w", encoding="utf-8") as file:
        file.write(f'[init]\ntemplateDir = {template.parent}\n[filter "evil"]\nsmudge = touch {ran}\n')
    ran.unlink(missing_ok=True)
    project(OWN)
    assert esker("include", "add", "../base@main").status == 0
    assert not ran.exists()


def test_a_repository_of_another_user_is_refused(esker, project, repository):
    """Its owner could change what becomes code of ours; the directories above count too."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a repository away")
    directory = project(OWN)
    before = state(directory)
    os.chown(repository, 4321, 4321)
    done = esker("include", "add", "../base@main")
    assert (done.status, "code: not-trusted" in done.err) == (1, True)
    assert state(directory) == before


def test_an_included_directory_of_another_user_is_refused(esker, project, tmp_path, settings_here):
    """Its hook would run as ours."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a project away")
    low = layer(tmp_path, "low", '[hook]\non-activate = "touch /tmp/x"\n', settings=settings_here)
    directory = project(EMPTY + include("../low"))
    os.chown(low / ".flox", 4321, 4321)
    before = state(directory)
    done = esker("lock")
    assert (done.status, "code: not-trusted" in done.err) == (1, True)
    assert state(directory) == before


def test_a_hostile_origin_that_came_with_a_project_is_refused(esker, project, repository):
    """`include upgrade` reads a file that anybody may have written."""
    directory = project(OWN)
    assert esker("include", "add", "../base@main").status == 0
    origin = directory / ".flox/include/base.toml"
    origin.write_text(origin.read_text().replace('"../base"', '"ext::sh -c touch% ran"'))
    before = state(directory)
    done = esker("include", "upgrade")
    assert (done.status, "run a program" in done.err, "base.toml" in done.err) == (1, True, True)
    assert state(directory) == before
    assert not (directory / "ran").exists()


def test_a_copy_is_put_back_when_the_environment_cannot_be_locked(esker, project, repository, settings_here):
    """All of it happens, or nothing: the copy, its origin, the manifest and the lock."""
    directory = project(OWN)
    assert esker("include", "add", "../base@main").status == 0
    relocked(repository, '[install]\nx.store-path = "/nix/store/33333333333333333333333333333333-x"\n', settings_here)
    before = state(directory)
    done = esker("include", "upgrade")
    assert (done.status, "not on this machine" in done.err) == (1, True)
    assert state(directory) == before
    assert not list((directory / ".flox/include").glob(".*"))


def test_without_git(esker, project, tmp_path):
    """The error names what is missing."""
    project(OWN)
    done = esker("include", "add", f"{tmp_path}@main", PATH=str(tmp_path))
    assert (done.status, "git is not installed" in done.err) == (1, True)


def test_remote_environments_are_read_in_a_lock_and_else_refused(esker, project):
    """Flox's own store of environments is not read; what a lock holds of one is, for good."""
    own = EMPTY + '[include]\nenvironments = [{ remote = "flox/colima", name = "c" }]\n'
    directory = project(own)
    done = esker("activate", "--", "true")
    assert (done.status, "'flox/colima': it is kept on FloxHub" in done.err) == (1, True)
    assert "esker include add URL@REV" in done.err
    schema = {"schema-version": "1.14.0"}
    descriptor = {"remote": "flox/colima", "name": "c"}
    plugins = {"esker": {"services": {"s": {"restart": "always"}}}}
    low = {**schema, "vars": {"A": "1"}, "options": {}, "services": {"s": {"command": "x"}}, "plugins": plugins}
    compose = {
        "composer": {**schema, "options": {}, "include": {"environments": [descriptor]}},
        "include": [{"manifest": low, "name": "c", "descriptor": descriptor}],
        "warnings": [],
    }
    lock = {"lockfile-version": 1, "manifest": low, "packages": [], "compose": compose}
    (directory / ".flox/env/manifest.lock").write_text(json.dumps(lock, indent=2) + "\n")
    assert esker("activate", "--", "sh", "-c", "echo $A").out == "1\n"
    assert 'restart = "always"' in esker("list", "-c").out
    (directory / ".flox/env/manifest.toml").write_text(own + '[vars]\nA = "2"\n')
    assert esker("activate", "--", "sh", "-c", "echo $A").out == "2\n"
    every = esker("include", "upgrade")
    assert "! 'c' is on FloxHub, which Esker cannot read: it stays as it is\n" in every.err
    named = esker("include", "upgrade", "c")
    assert (named.status, "kept on FloxHub" in named.err) == (1, True)


def test_packages_of_an_included_environment(esker, project, tmp_path, settings_here, served):
    """They cannot be uninstalled here; one that is ours too overrides the other, and is still there without ours."""
    text = '[plugins.esker.python]\ndependencies = ["app", "tool"]\n'
    layer(tmp_path, "low", text, settings=settings_here)
    directory = project(EMPTY + include("../low"))
    assert esker("activate", "--", "app").out == "app runs\n"
    refused = esker("uninstall", "pypi/app")
    assert refused.status == 1
    assert "Cannot remove included package 'app'" in refused.err
    assert "hint: remove it from environment 'low', and then: esker include upgrade low" in refused.err
    installed = esker("install", "pypi/app")
    assert "ℹ This environment now overrides package with id 'app'\n" in installed.err
    assert "✔ 'app' installed to environment 'project'" in installed.err
    gone = esker("uninstall", "app")
    assert "ℹ 'app' is still installed by environment 'low'\n" in gone.err
    assert esker("activate", "--", "app").out == "app runs\n"
    assert '"app"' not in (directory / ".flox/env/manifest.toml").read_text()


def test_services_of_a_layer_that_was_never_locked_start(esker, project, tmp_path, settings_here):
    """`services start` locks what is not locked, and so knows the services of all layers."""
    low = '[services]\nwaits.command = "sleep 1000"\n[plugins.esker.services.waits]\nhealthcheck.test = "true"\n'
    layer(tmp_path, "low", low, settings=settings_here)
    project(EMPTY + include("../low"))
    try:
        started = esker("services", "start")
        assert started.status == 0, started.err
        assert json.loads(esker("services", "status", "--json").out)[0]["status"] == "Running"
    finally:
        esker("services", "stop")


def test_a_warm_activation_stays_warm_with_layers(esker, project, tmp_path, settings_here):
    """It looks at the locks of layers that Esker reads itself, and at nothing else of them."""
    layer(tmp_path, "plain", '[vars]\nA = "1"\n', settings=settings_here)
    layer(tmp_path, "low", '[services]\ns.command = "x"\n[plugins.esker.services.s]\n', settings=settings_here)
    directory = project(EMPTY + include("../plain", "../low"))
    assert esker("activate", "--", "true").status == 0
    plan = json.loads((directory / ".flox/cache/esker/plan-dev.json").read_text())
    looks = [path for path, *_ in plan["stats"]]
    assert [path for path in looks if not path.startswith(str(directory))] == [
        f"{tmp_path}/low/.flox/env/manifest.lock"
    ]
    choices = settings_here.choices
    assert plans.warm(str(directory), choices) is not None
    manifest = tmp_path / "plain/.flox/env/manifest.lock"
    manifest.write_text(manifest.read_text().replace('"1"', '"2"'))
    assert plans.warm(str(directory), choices) is not None
    layer(tmp_path, "low", '[services]\ns.command = "y"\n[plugins.esker.services.s]\n', settings=settings_here)
    assert plans.warm(str(directory), choices) is None


def test_help_and_mistakes(esker, project):
    """The group lists its commands; a mistaken name is told."""
    project(OWN)
    assert "add" in esker("include").out
    assert "upgrade" in esker("include", "--help").out
    assert "did you mean `esker include upgrade`?" in esker("include", "upgrad").err
    assert "environment has no included environments" in esker("include", "upgrade").err


def test_wheels_sources_and_conda_packages_of_layers_are_installed(esker, project, tmp_path, settings_here, served):
    """Packages of three layers are in one environment, and the sources of a layer are read where they lie."""
    from rattler import Channel

    from esker.formats.conda.subdirs import SUBDIRS
    from tests.support.conda_channel import CondaChannel
    from tests.support.conda_package import package

    with CondaChannel() as channel:
        for subdir in SUBDIRS.values():
            channel.add(package("jq", "1.7", {"bin/jq": "#!/bin/sh\necho jq 1.7\n"}, subdir=subdir))
        (home := tmp_path / "home/.pixi").mkdir()
        upstream = Channel("conda-forge").base_url.rstrip("/")
        (home / "config.toml").write_text(f'[mirrors]\n"{upstream}" = ["{channel.url}"]\n')
        base = '[plugins.esker.conda]\ndependencies = ["jq"]\n[plugins.esker.python]\ndependencies = ["app"]\n'
        low = layer(tmp_path, "base", base + 'source = ["src"]\n', settings=settings_here)
        (low / "src").mkdir()
        (low / "src/ours.py").write_text("print('ours')\n")
        layer(tmp_path, "middle", '[plugins.esker.python]\ndependencies = ["tool"]\n', "base", settings=settings_here)
        project(EMPTY + include("../middle"))
        done = esker("activate", "--", "sh", "-c", "app; tool; jq; python -m ours")
        assert (done.status, done.out) == (0, "app runs\ntool runs\njq 1.7\nours\n"), done.err
        assert esker("lock", "--check").status == 0
        names = {row["name"] for row in json.loads(esker("list", "--json").out)}
        assert {"app", "tool", "jq"} <= names


def test_packages_are_added_to_our_own_file_not_to_a_layers(esker, project, tmp_path, settings_here, served):
    """A layer's pyproject.toml is the layer's: `install` writes into our manifest, which names no file."""
    low = layer(tmp_path, "base", '[plugins.esker.python]\nproject = "pyproject.toml"\n', settings=settings_here)
    (low / "pyproject.toml").write_text('[project]\nname = "base"\nversion = "1"\ndependencies = ["app"]\n')
    directory = project(EMPTY + include("../base"))
    assert esker("activate", "--", "app").out == "app runs\n"
    before = (low / "pyproject.toml").read_text()
    done = esker("install", "pypi/tool")
    assert done.status == 0, done.err
    assert (low / "pyproject.toml").read_text() == before
    assert '"tool"' in (directory / ".flox/env/manifest.toml").read_text()
    assert esker("activate", "--", "sh", "-c", "app; tool").out == "app runs\ntool runs\n"


def test_a_schema_that_cannot_say_what_a_layer_declares_is_named(esker, project, tmp_path, settings_here):
    """The manifest is not rewritten by locking it; the error says which line to write."""
    layer(tmp_path, "low", "[plugins.other]\nx = 1\n", settings=settings_here)
    text = 'schema-version = "1.12.0"\n' + include("../low")
    directory = project(text)
    done = esker("lock")
    assert done.status == 1
    assert "it needs schema 1.14.0" in done.err
    assert 'hint: write `schema-version = "1.14.0"`' in done.err
    assert (directory / ".flox/env/manifest.toml").read_text() == text
    assert not (directory / ".flox/env/manifest.lock").exists()


def test_an_environment_that_is_not_there(esker, project):
    """The path and what it is relative to are named."""
    directory = project(EMPTY + include("../gone"))
    done = esker("lock")
    assert (done.status, "code: missing-include" in done.err) == (1, True)
    assert f"failed to fetch environment '../gone': there is no environment in `{directory.parent}/gone`" in done.err
    status = esker("services", "start")
    assert (status.status, "code: missing-include" in status.err) == (1, True)


def test_a_directory_that_is_no_repository(esker, project, tmp_path, settings_here):
    """An environment that git does not have is included where it lies, which the hint writes out."""
    layer(tmp_path, "plain", "", settings=settings_here)
    directory = project(OWN)
    before = state(directory)
    done = esker("include", "add", "../plain")
    assert f"`{tmp_path}/plain` has an environment, but is no git repository\n" in done.err
    assert 'hint: include it where it lies: environments = [{ dir = "../plain" }] in [include]\n' in done.err
    assert state(directory) == before


def test_a_copy_that_is_gone_can_be_fetched_again(esker, project, repository):
    """Whoever deletes it is told that it is a copy, and `include add` brings it back."""
    directory = project(OWN)
    assert esker("include", "add", "../base@main").status == 0
    shutil.rmtree(directory / ".flox/include")
    done = esker("include", "upgrade")
    assert (done.status, "code: missing-include" in done.err) == (1, True)
    assert f"or fetch it again: esker include add URL@REVISION -d {directory}, or take it out of" in done.err
    assert esker("include", "add", "../base@main").status == 0
    assert esker("activate", "--", "true").status == 0


@pytest.mark.parametrize("named", [(), ("base",)], ids=["all", "named"])
@pytest.mark.parametrize(
    "change",
    [
        "echo '[[' >>env/manifest.toml",
        "echo '{' >env/manifest.lock",
        "echo '{' >env.json",
        "rm env.json",
        "rm -r env",
        "rm -r ../.flox",
        "echo >env/pylock.toml",
        "ln -s /etc/passwd env/more",
        "chmod +x env/manifest.toml",
    ],
)
def test_a_copy_that_was_changed_is_fetched_again(esker, project, repository, change, named):
    """Whatever somebody has done to it, `include upgrade` makes it as in its repository, and says so."""
    directory = project(OWN)
    assert esker("include", "add", "../base@main").status == 0
    before = state(directory)
    subprocess.run(["sh", "-c", change], cwd=directory / ".flox/include/base/.flox", check=True)
    done = esker("include", "upgrade", *named)
    assert (done.status, state(directory)) == (0, before), done.err
    told = "! .flox/include/base was changed here; it is as in its repository again\n"
    assert told in done.err
    assert not os.stat(directory / ".flox/include/base/.flox/env/manifest.toml").st_mode & 0o100
    assert told not in esker("include", "upgrade", *named).err


def test_packages_of_a_layer_that_are_not_here_do_not_stop_an_edit(esker, project, tmp_path, settings_here):
    """As with packages of our own: what a change leaves alone need not be on this machine."""
    package = '[install]\nx.store-path = "/nix/store/33333333333333333333333333333333-x"\n'
    layer(tmp_path, "low", package, settings=settings_here)
    directory = project(EMPTY + include("../low"))
    assert esker("lock").status == 0
    done = esker("edit", "-f", "-", stdin=EMPTY + '[vars]\nA = "1"\n' + include("../low"))
    assert done.status == 0, done.err
    assert done.err.endswith("✔ Environment successfully updated.\nℹ Run 'esker list -c' to see merged manifest.\n")
    assert esker("activate", "--without-packages", "--", "sh", "-c", "echo $A").out == "1\n"
    same = esker("edit", "-f", "-", stdin=EMPTY + '[vars]\nA = "1"\n' + include("../low"))
    assert same.err.endswith("! No changes made to environment.\n")
    lock = json.loads((directory / ".flox/env/manifest.lock").read_text())
    assert {each["install_id"] for each in lock["packages"]} == {"x"}


@pytest.mark.parametrize("name", ["include", "include/base", "include/.base.new", "include/base.toml"])
def test_nothing_is_written_through_a_link(esker, project, repository, tmp_path, name):
    """A project may come with links where a copy would be put; what they lead to stays as it is."""
    directory = project(OWN)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept\n")
    link = directory / ".flox" / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(elsewhere / "kept" if name.endswith(".toml") else elsewhere)
    done = esker("include", "add", "../base@main")
    assert "Traceback" not in done.err
    assert [path.name for path in elsewhere.iterdir()] == ["kept"]
    assert (elsewhere / "kept").read_text() == "kept\n"
    if name == "include":
        assert (done.status, "it is a link" in done.err) == (1, True)
