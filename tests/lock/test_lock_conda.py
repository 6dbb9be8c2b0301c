"""Locking conda packages: every package of every declared system with its hash, and nothing moves without a reason."""

from __future__ import annotations

import os

import pytest

from esker.declare import notations
from esker.declare.load import load
from esker.declare.notations import match_spec
from esker.errors import HostError, InvalidLock, InvalidManifest, ResolutionFailed, StaleLock
from esker.formats.conda.locked_package import LockedCondaPackage, closure
from esker.formats.tables.reader import Refusal
from esker.lock.conda.channels import Channels, unanswered
from esker.lock.conda.current import resolved_conda
from esker.lock.conda.lock_file import conda_lock_path, parse
from esker.lock.lock_files import read_conda_lock
from esker.lock.resolve import check_current
from esker.progress import Silent
from esker.runtimes.native.locking import lock_project
from esker.settings import Settings
from tests.support.conda_channel import CondaChannel
from tests.support.conda_package import package
from tests.support.projects import write_project

SYSTEMS = {"x86_64-linux": "linux-64", "aarch64-linux": "linux-aarch64", "aarch64-darwin": "osx-arm64"}


@pytest.fixture
def channel():
    """A channel with `tool`, which needs `library`, for three systems."""
    with CondaChannel() as served:
        for subdir in SYSTEMS.values():
            served.add(package("library", "1.0", subdir=subdir))
            served.add(package("tool", "2.0", subdir=subdir, depends=["library >=1"]))
        yield served


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home directory without any configuration, for rattler too, which reads the variables of this process."""
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    for name in ("XDG_CONFIG_HOME", "RATTLER_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    return directory


@pytest.fixture
def project(tmp_path, channel, home):
    """Give a function that declares dependencies and further lines, for the three systems, and returns the project."""

    def write(dependencies, *lines, systems=tuple(SYSTEMS), channels=None, python=""):
        text = f"""schema-version = "1.14.0"
[options]
systems = {list(systems)}
[plugins.esker.conda]
channels = {channels or [channel.url]}
dependencies = {dependencies}
"""
        return written(tmp_path / "project", text + "".join(f"{line}\n" for line in lines) + python)

    return write


def written(directory, text):
    if not directory.exists():
        return write_project(directory, text)
    (directory / ".flox/env/manifest.toml").write_text(text)
    return directory


@pytest.fixture
def settings(tmp_path, home):
    return Settings({"HOME": str(home), "PATH": os.environ["PATH"], "ESKER_STORE": str(tmp_path / "store-root")})


def locked(project, settings, **options):
    declaration = load(str(project))
    lock_project(declaration, settings, settings.interpreters(), progress=Silent(), **options)
    return read_conda_lock(declaration)


def versions(lock, system="x86_64-linux"):
    return {each.name: each.version for each in lock.packages[system]}


def test_every_declared_system_gets_its_own_packages_with_their_hashes(project, channel, settings):
    """Each system has what it needs from its own directory, with sha256, size and the channel's address."""
    lock = locked(project(["tool"]), settings)
    assert set(lock.packages) == set(SYSTEMS)
    for system, subdir in SYSTEMS.items():
        assert versions(lock, system) == {"library": "1.0", "tool": "2.0"}
        for each in lock.packages[system]:
            (made,) = [one for one in channel.packages() if (one.name, one.subdir) == (each.name, subdir)]
            assert (each.sha256, each.size) == (made.sha256, len(made.content))
            assert each.url == channel.url_of(made)


def test_the_first_line_says_from_what_and_rattler_reads_the_rest(project, settings, tmp_path):
    """The file begins with the digest of its inputs, and is otherwise rattler's own format."""
    from rattler.lock import LockFile

    directory = project(["tool"])
    locked(directory, settings)
    path = directory / ".flox/conda.lock"
    first, _, rest = path.read_text().partition("\n")
    assert first.startswith('# esker: inputs = "sha256:')
    assert rest.startswith("version: ")
    assert len(LockFile.from_path(path).platforms()) == 3


def test_a_lock_that_is_current_asks_nobody_and_stays_untouched(project, channel, settings):
    """The second time no request is made, and the file keeps its time."""
    directory = project(["tool"])
    locked(directory, settings)
    before = os.stat(directory / ".flox/conda.lock")
    channel.requests.clear()
    locked(directory, settings)
    assert not channel.requests
    assert os.stat(directory / ".flox/conda.lock") == before


def test_what_is_locked_stays_unless_it_has_to_move(project, channel, settings):
    """A newer library is not taken for another dependency, but for a spec that needs it, and with an upgrade."""
    directory = project(["tool"])
    locked(directory, settings)
    for subdir in SYSTEMS.values():
        channel.add(package("library", "1.1", subdir=subdir))
        channel.add(package("other", "1.0", subdir=subdir, depends=["library"]))
    assert versions(locked(project(["tool", "other"]), settings)) == {"library": "1.0", "other": "1.0", "tool": "2.0"}
    assert versions(locked(project(["tool", "other", "library >=1.1"]), settings))["library"] == "1.1"
    for subdir in SYSTEMS.values():
        channel.add(package("library", "1.2", subdir=subdir))
        channel.add(package("tool", "2.1", subdir=subdir, depends=["library >=1"]))
    directory = project(["tool", "other", "library >=1.1"])
    assert versions(locked(directory, settings))["library"] == "1.1"
    assert versions(locked(directory, settings, upgrade=frozenset({"conda/tool"}))) == {
        "library": "1.1",
        "other": "1.0",
        "tool": "2.1",
    }
    assert versions(locked(directory, settings, upgrade=True))["library"] == "1.2"


def test_a_package_that_one_system_lacks_is_an_error_that_names_both(project, channel, settings):
    """The error names package and system, and its hint the form for some systems, which then locks."""
    channel.add(package("only-linux", "1.0", subdir="linux-64"))
    with pytest.raises(ResolutionFailed, match="no conda package `only-linux` for aarch64-darwin") as caught:
        locked(project(["only-linux"]), settings)
    assert 'systems = ["x86_64-linux"]' in caught.value.hint
    text = '[{ spec = "only-linux", systems = ["x86_64-linux"] }]'
    lock = locked(project(text), settings)
    assert versions(lock) == {"only-linux": "1.0"}
    assert versions(lock, "aarch64-linux") == {}


@pytest.mark.parametrize(
    ("dependencies", "message", "hint"),
    [
        (["toool"], "there is no conda package `toool`", "did you mean `tool`"),
        (["tool >=9"], "`tool >=9` matches no version of tool", "esker show conda/tool"),
        (["needs-more"], "library >=2", "widen one of the specs"),
        (["needs-glibc"], "__glibc >=2.99", "system-requirements"),
    ],
)
def test_what_cannot_be_solved_says_what_and_what_to_do(project, channel, settings, dependencies, message, hint):
    """Each error names the package and what to do about it; nothing is written."""
    for subdir in SYSTEMS.values():
        channel.add(package("needs-more", subdir=subdir, depends=["library >=2"]))
        channel.add(package("needs-glibc", subdir=subdir, depends=["__glibc >=2.99"]))
    directory = project(dependencies)
    with pytest.raises(ResolutionFailed) as caught:
        locked(directory, settings)
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert not (directory / ".flox/conda.lock").exists()
    assert not (directory / ".flox/env/manifest.lock").exists()


def test_system_requirements_decide_what_machines_are_assumed_to_have(project, channel, settings):
    """A package for a newer glibc or for CUDA is locked only where the manifest says that machines have it."""
    channel.add(package("needs-glibc", subdir="linux-64", depends=["__glibc >=2.34"]))
    channel.add(package("needs-cuda", subdir="linux-64", depends=["__cuda >=12"]))
    linux = {"systems": ["x86_64-linux"]}
    for name in ("needs-glibc", "needs-cuda"):
        with pytest.raises(ResolutionFailed):
            locked(project([name], **linux), settings)
    requirements = 'system-requirements = { libc = "2.35", cuda = "12" }'
    lock = locked(project(["needs-glibc", "needs-cuda"], requirements, **linux), settings)
    assert set(versions(lock)) == {"needs-glibc", "needs-cuda"}


def test_the_first_channel_that_has_a_package_has_it_alone(project, channel, settings, tmp_path):
    """Priority is strict: a newer version in the second channel is not looked at."""
    with CondaChannel([package("tool", "9.0", subdir="linux-64")]) as second:
        both = {"systems": ["x86_64-linux"], "channels": [channel.url, second.url]}
        assert versions(locked(project(["tool"], **both), settings))["tool"] == "2.0"
        (tmp_path / "project/.flox/conda.lock").unlink()
        swapped = {"systems": ["x86_64-linux"], "channels": [second.url, channel.url]}
        assert versions(locked(project(["tool"], **swapped), settings))["tool"] == "9.0"


def test_a_name_is_reached_by_the_mirror_alone_and_locked_by_its_own_address(project, channel, settings, home):
    """With a mirror for a channel every request goes there; the lock has the channel's own address."""
    from rattler import Channel

    upstream = Channel("conda-forge").base_url.rstrip("/")
    (home / ".pixi").mkdir()
    (home / ".pixi/config.toml").write_text(f'[mirrors]\n"{upstream}" = ["{channel.url}"]\n')
    lock = locked(project(["tool"], channels=["conda-forge"]), settings)
    assert all(each.url.startswith(f"{upstream}/") for each in lock.all_packages())
    assert channel.requests["/channel/linux-64/repodata.json"] == 1
    assert channel.url not in lock.text


def test_a_channel_with_a_password_needs_the_user_s_credentials_which_are_written_nowhere(
    project, channel, settings, home
):
    """Without them the error says where they belong; with them the lock has the address without them."""
    channel.credentials = "reader:secret"
    directory = project(["tool"])
    with pytest.raises(HostError, match="refuses access") as caught:
        locked(directory, settings)
    assert "credentials.json" in caught.value.hint
    (home / ".rattler").mkdir()
    host = channel.url.partition("://")[2].partition("/")[0]
    text = f'{{"{host.partition(":")[0]}": {{"BasicHTTP": {{"username": "reader", "password": "secret"}}}}}}'
    (home / ".rattler/credentials.json").write_text(text)
    lock = locked(directory, settings)
    assert "secret" not in lock.text
    assert "reader" not in lock.text


@pytest.mark.parametrize(("status", "message"), [(404, "no such channel"), (500, "cannot be reached")])
def test_a_channel_that_answers_with_an_error_is_told(project, channel, settings, status, message):
    """The error names the channel."""
    channel.refusal = status
    with pytest.raises(HostError, match=message) as caught:
        locked(project(["tool"]), settings)
    assert channel.url in str(caught.value)


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (("condaforge",), "did you mean `conda-forge`?"),
        (("conda-forge", "bio-conda"), "did you mean `bioconda`?"),
        (("conda-forge", "https://channel.example/own"), "correct `channels` in [plugins.esker.conda]"),
    ],
)
def test_a_channel_that_is_almost_a_known_one_has_a_suggestion(names, hint):
    """A name is looked at only where the channel is not there."""
    missing = unanswered("404 Not Found", Channels(names, [], None, "/nowhere"))
    assert missing.hint == hint
    assert "did you mean" not in unanswered("500", Channels(names, [], None, "/nowhere")).hint


def test_no_network_is_told(project, settings):
    """A channel that nobody answers for is named."""
    with CondaChannel() as gone:
        address = gone.url
    with pytest.raises(HostError, match="cannot be reached") as caught:
        locked(project(["tool"], channels=[address]), settings)
    assert address in str(caught.value)
    assert "Caused by" not in str(caught.value)


def test_a_configuration_that_cannot_be_read_is_named(project, settings, home):
    """The error has the path of the file."""
    (home / ".pixi").mkdir()
    (home / ".pixi/config.toml").write_text("mirrors = 3\n")
    with pytest.raises(HostError, match="configuration of conda channels") as caught:
        locked(project(["tool"]), settings)
    assert ".pixi/config.toml" in caught.value.hint


def test_a_changed_declaration_makes_the_lock_stale(project, settings):
    """`--check` and `--locked` name the file and what has changed."""
    locked(project(["tool"]), settings)
    directory = project(["library"])
    with pytest.raises(StaleLock) as caught:
        check_current(load(str(directory)), settings)
    assert "conda.lock: made from other channels, dependencies or system-requirements" in caught.value.reasons
    directory = project(["tool"], systems=["x86_64-linux"])
    with pytest.raises(StaleLock) as caught:
        check_current(load(str(directory)), settings)
    assert "conda.lock: systems: `aarch64-darwin` is no longer locked" in caught.value.reasons


def test_a_lock_with_the_marks_of_a_merge_is_resolved_again(project, settings):
    """`lock` makes it anew; `--check` says what is wrong with it."""
    directory = project(["tool"])
    text = locked(directory, settings).text
    path = directory / ".flox/conda.lock"
    path.write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")
    with pytest.raises(StaleLock) as caught:
        check_current(load(str(directory)), settings)
    assert "conda.lock: a merge has left its marks in it" in caught.value.reasons
    assert locked(directory, settings).text == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("version: 7", "version: 99", 1), "newer"),
        (lambda text: text.replace("sha256: ", "sha257: "), "has no sha256"),
        (lambda text: text[: len(text) // 2], "not a lock of conda packages"),
        (lambda text: text.replace("http://", "http://user:secret@"), "contains credentials"),
        (lambda text: text.replace("name: osx-arm64", "name: win-64").replace("osx-arm64:", "win-64:"), "win-64"),
    ],
)
def test_a_lock_that_cannot_be_used_is_refused_with_a_reason(project, settings, change, message):
    """A newer format, a missing hash, a cut off file, credentials, a system that Esker does not know."""
    directory = project(["tool"])
    text = locked(directory, settings).text
    path = directory / ".flox/conda.lock"
    path.write_text(change(text))
    with pytest.raises(InvalidLock) as caught:
        parse(conda_lock_path(f"{directory}/.flox"))
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "esker lock" in str(caught.value)


def test_an_older_format_is_read(project, settings):
    """A lock of the version before, as another release of rattler has written it, gives the same packages."""
    directory = project(["tool"])
    lock = locked(directory, settings)
    path = directory / ".flox/conda.lock"
    path.write_text(lock.text.replace("version: 7", "version: 6", 1))
    assert parse(str(path)).packages.keys() == lock.packages.keys()


def test_a_manifest_without_the_table_has_no_conda_lock(project, settings, tmp_path):
    """The file goes with the table."""
    directory = project(["tool"])
    locked(directory, settings)
    written(directory, 'schema-version = "1.14.0"\n')
    assert locked(directory, settings) is None
    assert not (directory / ".flox/conda.lock").exists()


def test_default_systems_are_locked_with_this_machine_s(project, channel, settings):
    """Without `options.systems` the three default systems are locked, and what another machine has added stays."""
    directory = project(["tool"])
    manifest = directory / ".flox/env/manifest.toml"
    text = manifest.read_text()
    manifest.write_text(text.replace(text[text.index("[options]") : text.index("[plugins")], ""))
    assert set(locked(directory, settings).packages) == set(SYSTEMS)
    assert resolved_conda(load(str(directory)), settings, progress=Silent()) is not None


def test_the_python_that_wheels_may_have_limits_conda_s(project, channel, settings):
    """Conda's newest Python is left alone where `version` of the wheels excludes it."""
    for version in ("3.11.9", "3.12.4", "3.13.1"):
        channel.add(package("python", version, subdir="linux-64"))
    here = {"systems": ["x86_64-linux"]}
    text = '[plugins.esker.python]\nversion = "{}"\n'
    expected = {">=3.11,<3.13": "3.12.4", "==3.11.*": "3.11.9", "~=3.11": "3.13.1"}
    for specifier, version in expected.items():
        declaration = load(str(project(["python"], python=text.format(specifier), **here)))
        lock = resolved_conda(declaration, settings, upgrade=True, progress=Silent())
        assert versions(lock) == {"python": version}


def test_another_python_on_another_system_is_refused_for_wheels(project, channel, settings):
    """The lock of the wheels is for one Python; the error names both."""
    channel.add(package("python", "3.12.4", subdir="linux-64"))
    channel.add(package("python", "3.11.9", subdir="linux-aarch64"))
    systems = {"systems": ["aarch64-linux", "x86_64-linux"]}
    with pytest.raises(ResolutionFailed, match=r"3\.11 on aarch64-linux, 3\.12 on x86_64-linux"):
        locked(project(["python"], python='[plugins.esker.python]\ndependencies = ["app"]\n', **systems), settings)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("jq@1.7", 'write it as in "jq=1.7"'),
        ("", 'write it as in "htop" or "ruby 3.4.*"'),
        ("https://a.example/x", "name"),
    ],
)
def test_what_is_no_spec_is_refused_with_the_right_form(text, hint):
    """Flox's form of a version, nothing at all, and an address."""
    with pytest.raises(Refusal) as caught:
        match_spec(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize("spec", ["library>=1", "library >=1", "conda-forge::library", "library[version='>=1']"])
def test_what_a_package_needs_is_found_in_every_form_of_a_spec(spec):
    """A package's closure has what it needs, also where no space follows the name."""
    plain = LockedCondaPackage("library", "1.0", "0", "noarch", "https://c.example/l", "0" * 64)
    tool = LockedCondaPackage("tool", "1.0", "0", "noarch", "https://c.example/t", "1" * 64, depends=(spec,))
    other = LockedCondaPackage("other", "1.0", "0", "noarch", "https://c.example/o", "2" * 64)
    assert [each.name for each in closure((plain, other, tool), "tool")] == ["library", "tool"]


def test_a_channel_that_only_this_machine_has_is_refused():
    """The path of a directory would stand in a lock that others use."""
    with pytest.raises(Refusal, match="is a path"):
        notations.channel("./channel")


def test_a_package_of_other_systems_alone_says_of_which(project, channel, settings):
    """The hint has the systems that have it; a name that no system has is told without one."""
    channel.add(package("only-linux", "1.0", subdir="linux-64"))
    with pytest.raises(ResolutionFailed) as caught:
        locked(project(["only-linux"]), settings)
    assert '{ spec = "only-linux", systems = ["x86_64-linux"] }' in caught.value.hint
    with pytest.raises(ResolutionFailed, match="there is no conda package `nowhere-else` in http") as caught:
        locked(project(["nowhere-else"]), settings)
    assert "esker search nowhere-else" in caught.value.hint


@pytest.mark.parametrize("spec", ["tool =>3", "tool ==", "tool 3.x.*.y"])
def test_a_spec_that_the_solver_cannot_read_is_named(project, settings, spec):
    """The error has the spec as it stands in the manifest."""
    with pytest.raises(ResolutionFailed, match="is not the spec of a conda package") as caught:
        locked(project(["library", spec]), settings)
    assert f"`{spec}`" in str(caught.value)


def test_another_python_than_conda_s_cannot_be_chosen(project, channel, settings):
    """The hint asks for it where the Python comes from."""
    channel.add(package("python", "3.12.4", subdir="linux-64"))
    here = {"systems": ["x86_64-linux"]}
    directory = project(["python"], python="[plugins.esker.python]\n", **here)
    with pytest.raises(ResolutionFailed, match=r"conda's packages bring Python 3\.12") as caught:
        locked(directory, settings, python="3.11")
    assert "esker install conda/python=3.11" in caught.value.hint


@pytest.mark.parametrize(
    ("systems", "message", "hint"),
    [
        ("[]", "is for no system", "leave `systems` out"),
        ('["linux-64"]', "`linux-64` is not a system", 'write "x86_64-linux"'),
        ('["x86-linux"]', "`x86-linux` is not a system", "x86_64-linux"),
    ],
)
def test_systems_that_are_none_are_refused(project, systems, message, hint):
    """Conda's own names of systems are answered with those of the manifest."""
    text = f'[{{ spec = "tool", systems = {systems} }}]'
    with pytest.raises(InvalidManifest) as caught:
        load(str(project(text, systems=["x86_64-linux"])))
    assert message in str(caught.value)
    assert hint in str(caught.value)


def test_a_package_for_systems_that_the_environment_does_not_have_is_told(project, channel, settings):
    """It is in no lock, which would else be seen only where the program is missed."""
    remarks = []

    class Listener(Silent):
        def remark(self, text):
            remarks.append(text)

    text = '["library", { spec = "tool", systems = ["aarch64-darwin"] }]'
    declaration = load(str(project(text, systems=["x86_64-linux"])))
    assert resolved_conda(declaration, settings, progress=Listener()) is not None
    assert [each for each in remarks if "`tool` is for aarch64-darwin alone" in each]
