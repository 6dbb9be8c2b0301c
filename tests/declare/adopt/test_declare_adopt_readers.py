"""What each reader takes of its file, and the reasons that it gives for the rest."""

from __future__ import annotations

import json

import pytest

from esker.declare.adopt.conda_environment import conda_environment
from esker.declare.adopt.found import Unreadable
from esker.declare.adopt.mise import mise
from esker.declare.adopt.package_json import package_json
from esker.declare.adopt.pixi import pixi
from esker.declare.adopt.procfile import procfile
from esker.declare.adopt.pyproject import pyproject
from esker.declare.adopt.requirements_file import requirements
from esker.declare.adopt.version_files import nvmrc, python_version, ruby_version, tool_versions


def none(path):
    raise Unreadable(f"{path} is not there")


def specs(found):
    return [spec.text if spec.systems is None else (spec.text, spec.systems) for spec in found.specs]


def reasons(found):
    return [line.partition(" is left out: ")[2] for line in found.left_out]


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ("flask", "flask"),
        ("  Flask == 3.0  # web", "Flask == 3.0"),
        ("flask[async]>=3; python_version < '4'", "flask[async]>=3; python_version < '4'"),
        ("flask==3 --hash=sha256:aa --hash=sha256:bb", "flask==3"),
        ("flask>=3, \\\n   <4", "flask>=3,     <4"),
        ("flask # a \\\nrich", "flask"),
        (
            "wheel @ https://files.example/wheel-1.0-py3-none-any.whl",
            "wheel @ https://files.example/wheel-1.0-py3-none-any.whl",
        ),
    ],
)
def test_requirements_that_are_taken(line, taken):
    """Comments and hashes are cut off, lines joined, and the rest stays as it is written."""
    assert requirements(line, "requirements.txt", none).requirements[0] == taken


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-e .", "a project with a pyproject.toml is part of its environment"),
        ("-e ./sub", "only the project itself can be installed editable"),
        ("--editable=git+ssh://git@git.example/a.git", "only the project itself can be installed editable"),
        ("-i https://me:pass@pypi.example/simple", "which index is used is a setting of the machine, in uv.toml"),
        ("-ihttps://me:pass@pypi.example/simple", "which index is used is a setting of the machine, in uv.toml"),
        ("--trusted-host pypi.example", "which index is used is a setting of the machine, in uv.toml"),
        ("-c limits.txt", "a manifest has no constraints: write the limit into `dependencies`"),
        ("--pre", "it is an option of pip"),
        ("-", "it is an option of pip"),
        ("./wheels/a.whl", "it names a file or an address, and no package"),
        ("https://files.example/a.zip", "it names a file or an address, and no package"),
        ("https://me:pass@files.example/a.zip", "it names a file or an address, and no package"),
        (
            "a @ https://me:pass@files.example/a.zip",
            "its address contains credentials, which do not belong in a manifest",
        ),
        ("a @ https://${USER}:${PASS}@files.example/a.zip", "it depends on a variable"),
        ("a @ https://files.example/a.zip?sig=x", "its address has a query, which may be a secret"),
        ("a @ file:///srv/a.whl", "it is a path on one machine"),
        ("a @ ./a.whl", "it is a path on one machine"),
        ("a b c", "it is not the requirement of a package"),
        ("a==" + "1" * 5000, "it is not the requirement of a package"),
        ("a ; python_version > '\x1b'", "it has characters that cannot be shown"),
        ("-r missing.txt", "that file cannot be read: missing.txt is not there"),
        ("-r https://files.example/r.txt", "only files of the project are read"),
    ],
)
def test_requirements_that_are_left_out(line, reason):
    """The line says why, and shows no password and no value of an option."""
    found = requirements(line, "requirements.txt", none)
    assert found.requirements == ()
    assert reasons(found) == [reason]
    assert found.left_out[0].startswith("requirements.txt:1: `")
    assert "pass" not in found.left_out[0]


def test_requirements_files_that_refer_to_each_other():
    """Each file is read once, relative to the file that names it; what lies above the project is the reader's to refuse."""
    files = {
        "requirements/dev.txt": "-r base.txt\n--requirement=../requirements.txt\npytest",
        "requirements/base.txt": "-r dev.txt\nflask",
    }
    asked = []

    def read(path):
        asked.append(path)
        return files[path]

    found = requirements("-rrequirements/dev.txt\nrich\nflask\n", "requirements.txt", read)
    assert found.requirements == ("flask", "pytest", "rich")
    assert found.included == ("requirements/dev.txt", "requirements/base.txt")
    assert asked == ["requirements/dev.txt", "requirements/base.txt"]


def test_a_file_that_is_missing_is_looked_for_once():
    """However many lines name it, one line tells of it; and a list of missing files ends as a chain does."""
    asked = []

    def read(path):
        asked.append(path)
        return none(path)

    assert len(requirements("-r a\n-r ./a\n" * 50, "requirements.txt", read).left_out) == 1
    assert asked == ["a"]
    requirements("".join(f"-r {number}\n" for number in range(100)), "requirements.txt", read)
    assert len(asked) == 21


def test_endless_requirements_files():
    """A chain of files ends after a number of them."""
    found = requirements("-r 1.txt", "requirements.txt", lambda path: f"-r {int(path[:-4]) + 1}.txt\n")
    assert len(found.included) == 20
    assert reasons(found) == ["it refers to too many files"]


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("numpy", "numpy"),
        ("'numpy>=1.26,<3'", "numpy>=1.26,<3"),
        ("numpy >= 1.26", "numpy>=1.26"),
        ("numpy=1.26=py311_0", "numpy=1.26"),
        ("numpy==1.26", "numpy==1.26"),
        ("bioconda::bwa", "bioconda::bwa"),
        ("numpy[version='>=1']", "numpy[version='>=1']"),
    ],
)
def test_packages_of_a_conda_environment(written, taken):
    """Builds are cut off, spaces around operators go, and the rest stays."""
    assert specs(conda_environment(f"dependencies:\n- {written}\n", "environment.yml", none)) == [taken]


def test_channels_of_a_conda_environment():
    """Credentials are never taken; a channel that only a package names is added, and `defaults` becomes conda-forge."""
    text = "channels: [defaults, 'https://u:pass@conda.example/c', nodefaults]\ndependencies: [x::a]\n"
    found = conda_environment(text, "environment.yml", none)
    assert found.channels == ("conda-forge", "x")
    assert not any("pass" in line for line in found.left_out)
    assert len(found.left_out) == 2
    assert conda_environment("dependencies: [x::a]", "environment.yml", none).channels == ("conda-forge", "x")
    assert conda_environment("dependencies: [a]", "environment.yml", none).channels == ()


def test_pip_in_a_conda_environment():
    """The list is read as a requirements file, with the files it refers to."""
    text = "dependencies:\n  - pip:\n    - -r requirements.txt\n    - rich>=13\n    - --pre\n"
    found = conda_environment(text, "environment.yml", {"requirements.txt": "flask"}.__getitem__)
    assert found.requirements == ("flask", "rich>=13")
    assert found.left_out == ("environment.yml: `--pre` is left out: it is an option of pip",)


def test_packages_of_pixi():
    """Versions lose their spaces; what depends on a platform is for its systems."""
    text = """
    [project]
    [tasks]
    [dependencies]
    a = "*"
    b = { version = ">=1, <2", channel = "x" }
    c = { version = "*", build = "cuda*" }
    d = { git = "https://git.example/d" }
    e = 1
    "not a name" = "*"
    pip = "*"
    [target.unix.dependencies]
    f = "1.*"
    [target.osx-arm64]
    dependencies = { g = "*" }
    tasks = {}
    """
    found = pixi(text, "pixi.toml", none)
    assert specs(found) == ["a", "x::b >=1,<2", "c * cuda*", "f 1.*", ("g", ("aarch64-darwin",))]
    assert reasons(found) == [
        "it is for one platform",
        "it is given by more than version, build and channel",
        "it is given by more than version, build and channel",
        "it is not the spec of a conda package",
        "Esker installs the Python packages",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "workspace = 1\ndependencies = 2\ntarget = []\nsystem-requirements = 'x'",
        "[workspace]\nchannels = 'a'\nplatforms = {}",
        "[workspace]\nchannels = [1, {}, { channel = [] }]\nplatforms = [1, []]",
        "[target]\nunix = 1\nlinux = { dependencies = [] }",
        "[pypi-dependencies]\na = { extras = 'b' }\nb = { extras = [1] }\nc = { version = 1 }\nd = []",
        "[system-requirements]\nlibc = { family = 'musl', version = '1' }\ncuda = 12\nx = '1'\nlinux = 'a'\narchspec = ' '",
    ],
)
def test_values_of_other_types_in_pixi(text):
    """They are told or passed over, and nothing of them is taken."""
    found = pixi(text, "pixi.toml", none)
    assert not found.declares
    assert (found.channels, dict(found.machine)) == ((), {})


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("3.12", "==3.12.*"),
        ("# pyenv\n\n3.12.4\n3.11\n", "==3.12.4"),
        ("3", "==3.*"),
        ("cpython-3.12", "==3.12.*"),
        ("python@3.12.1\r\n", "==3.12.1"),
        (">=3.11,<3.13", ">=3.11,<3.13"),
        ("pypy3.10-7.3.17", None),
        ("3.13t", None),
        ("١٢", None),
        ("system", None),
        ("my-venv", None),
        (">=x", None),
        ("", None),
    ],
)
def test_versions_of_python(text, python):
    """A version of CPython is taken as exactly as it is written; anything else is told, unless the file is empty."""
    found = python_version(text, ".python-version", none)
    assert found.python == python
    assert bool(found.left_out) == (python is None and text != "")


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("v20.11.0", ["nodejs ==20.11.0"]),
        ("20", ["nodejs 20.*"]),
        ("lts/Iron", ["nodejs 20.*"]),
        ("hydrogen # codename", ["nodejs 18.*"]),
        ("node", ["nodejs"]),
        ("lts/*", []),
        ("system", []),
        ("iojs-v1.0", []),
    ],
)
def test_versions_of_node(text, taken):
    """What nvm would choose anew each time is told."""
    found = nvmrc(text, ".nvmrc", none)
    assert specs(found) == taken
    assert bool(found.left_out) == (not taken)


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ("ruby 3.3.1", ["ruby=3.3.1"]),
        ("ruby\t3.3.1  3.2.0", ["ruby=3.3.1"]),
        ("java openjdk-21.0.2", ["openjdk=21"]),
        ("java 17", ["openjdk=17"]),
        ("elixir 1.17.2-otp-27", ["elixir=1.17.2"]),
        ("nodejs latest", ["nodejs"]),
        ("nodejs latest:20", ["nodejs=20"]),
        ("golang 1.22", ["go=1.22"]),
        ("java graalvm-ce-22", []),
        ("ruby ref:main", []),
        ("ruby", []),
        ("flutter 3.22.0", []),
        ("python pypy", []),
    ],
)
def test_tools(line, taken):
    """The first version counts; an unknown tool, or a version that is no number, is told with its line."""
    found = tool_versions(f"\n{line}\n", ".tool-versions", none)
    assert specs(found) == taken
    assert [told.startswith(".tool-versions:2: ") for told in found.left_out] == ([] if taken else [True])


@pytest.mark.parametrize(
    ("value", "taken", "python"),
    [
        ('ruby = "3.3.1"', ["ruby=3.3.1"], None),
        ('ruby = ["3.3.1", "3.2"]', ["ruby=3.3.1"], None),
        ('java = {version = "openjdk-21.0.2", os = ["linux"]}', ["openjdk=21"], None),
        ('"core:node" = "latest"', ["nodejs"], None),
        ('python = [{version = "3.12", virtualenv = ".venv"}, "3.11"]', [], "==3.12.*"),
        ('python = "pypy-3.10"', [], None),
        ("node = 20", [], None),
        ("node = []", [], None),
        ('node = "lts"', [], None),
        ('node = {path = "~/node"}', [], None),
        ('"npm:prettier" = "3"', [], None),
        ('jq = "sub-1:latest"', [], None),
    ],
)
def test_tools_of_mise(value, taken, python):
    """The first version counts; what cannot be taken is told with its line, and without its value."""
    found = mise(f"[tools]\n{value}\n", "mise.toml", none)
    assert specs(found) == taken
    assert found.python == python
    assert [told.startswith("mise.toml:2: `") for told in found.left_out] == ([] if taken or python else [True])


@pytest.mark.parametrize("text", ["tools = 1", "[tools.node]\na = 1", "tools = []", "", "[[tools]]"])
def test_values_of_other_types_in_mise(text):
    """Nothing is taken of them."""
    assert not mise(text, "mise.toml", none).declares


def test_tables_of_mise_that_are_not_read():
    """Those that are about the project are told with what to do; those about mise itself are not."""
    text = '[settings]\na = 1\n[tasks.build]\nrun = "make"\n[vars]\nb = "c"\n[monorepo]\nx = 1\n'
    assert mise(text, "mise.toml", none).left_out == (
        "mise.toml: `[tasks]` is left out: write what runs in the environment into scripts, or as [services]",
        "mise.toml: `[monorepo]` is left out: it has no meaning here",
    )


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("'a \"b\" c'", 'a "b" c'),
        ("''", ""),
        ("8080", "8080"),
        ("true", None),
        ("1.5", None),
        ("['a']", None),
        ("{ value = 'a', redact = true }", None),
        ("'{{ get_env(name=1) }}'", None),
        ("'{% if a %}'", None),
        ("'$HOME'", None),
        ("'`date`'", None),
        (r"'a\\b'", None),
        ("'ghp_0123456789abcdefghijabcdefghij0123456789'", None),
        ("'http://me:word@example.org'", None),
        ('"a\\u001Bb"', None),
    ],
)
def test_variables_of_mise(value, taken):
    """Taken is what means the same in [vars]; the line about another names the variable, and not its value."""
    found = mise(f"[env]\nA_1 = {value}\n", "mise.toml", none)
    assert found.variables == ({} if taken is None else {"A_1": taken})
    assert [told.partition(": ")[2].startswith("`A_1` is left out: ") for told in found.left_out] == (
        [True] if taken is None else []
    )


@pytest.mark.parametrize("name", ["PATH", "a-b", "1A", "FLOX_ENV", "ESKER_STORE", "API_TOKEN", "BASH_ENVTRACE_X"])
def test_variables_that_no_manifest_takes(name):
    """Neither what Esker sets itself, nor a secret, nor what is no name."""
    found = mise(f'[env]\n"{name}" = "word"\n', "mise.toml", none)
    assert not found.declares
    assert [told.startswith(f"mise.toml: `{name}` is left out: ") for told in found.left_out] == [True]
    assert "word" not in found.left_out[0]


def test_what_mise_does_beside_variables():
    """A directive and a list of tables are told, each in one line."""
    assert mise('[env]\n_.file = ".env"\nmise.a = "b"\n', "mise.toml", none).left_out == (
        "mise.toml: `env._` is left out: write what it does into [hook]",
        "mise.toml: `env.mise` is left out: it is about mise itself",
    )
    assert mise("[[env]]\na = 1\n[[env]]\nb = 1\n", "mise.toml", none).left_out == (
        "mise.toml: `[[env]]` is left out: write its variables into [vars]",
    )


@pytest.mark.parametrize(
    ("line", "taken"), [("3.3.1", ["ruby=3.3.1"]), ("# a\nruby-3.2", ["ruby=3.2"]), ("jruby-9.4", []), ("\n", [])]
)
def test_versions_of_ruby(line, taken):
    """The number counts, and only of the Ruby that conda has."""
    found = ruby_version(f"{line}\n", ".ruby-version", none)
    assert specs(found) == taken
    assert bool(found.left_out) == ("jruby" in line)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[tool.poetry.dependencies]\nrequests = "^2"\n', "[tool.poetry]"),
        ('[project]\nname = "a"\n[tool.poetry.group.dev.dependencies]\npytest = "*"\n', "[tool.poetry]"),
        ('[project]\nname = "a"\n[tool.pixi.dependencies]\nhtop = "*"\n', "[tool.pixi]"),
        ('[project]\nname = "a"\ndynamic = ["dependencies"]\n[tool.pixi.target.linux.dependencies]\n', "[tool.pixi]"),
        ('[project]\nname = "a"\n[tool.poetry]\npackage-mode = false\n', None),
        ('tool = 1\n[project]\nname = "a"\n', None),
    ],
)
def test_packages_that_other_tools_keep_in_pyproject(text, told):
    """They are not read, which a line says; settings of these tools need none."""
    lines = [line for line in pyproject(text, "pyproject.toml", none).left_out if "`[tool." in line]
    assert [line.startswith(f"pyproject.toml: `{told}` is left out: ") for line in lines] == [True] * (told is not None)


@pytest.mark.parametrize("value", [[], {"engines": 1}, {"engines": {"node": 1}}, {"engines": {"node": "x y"}}, 1, None])
def test_other_values_in_package_json(value):
    """Nothing is taken of them."""
    assert not package_json(json.dumps(value), "package.json", none).declares


def test_engines_are_told_with_their_line_and_value():
    """What is not taken can be found in the file, and a misspelt name has a suggestion."""
    text = """{
  "name": "engines",
  "engines": {
    "node": "lts/*",
    "pnmp": ">=9",
    "yarn": {"v": 1}
  }
}"""
    found = package_json(text, "package.json", none)
    assert not found.declares
    range_of = "is left out: conda has no such range: esker install 'conda/{} VERSION'"
    assert found.left_out == (
        f'package.json:4: `engines.node = "lts/*"` {range_of.format("nodejs")}',
        'package.json:5: `engines.pnmp = ">=9"` is left out: did you mean `pnpm`?',
        f'package.json:6: `engines.yarn = {{"v": 1}}` {range_of.format("yarn")}',
    )


def test_json_that_is_wrong_is_told_with_its_line():
    """The line is the one at which the parser stopped."""
    with pytest.raises(Unreadable, match=r"^it is not valid JSON, line 3: Expecting property name"):
        package_json('{\n  "engines": {\n  x', "package.json", none)


@pytest.mark.parametrize(
    ("reader", "text", "told"),
    [
        (package_json, '{\n"engine": {"node": "20"}}', "{}:2: `engine` is left out: did you mean `engines`?"),
        (pixi, "[workspace]\nchanels = []\n", "{}:2: `workspace.chanels` is left out: did you mean `channels`?"),
        (pixi, '[dependancies]\na = "*"\n', "{}:1: `[dependancies]` is left out: did you mean `dependencies`?"),
        (pixi, "[dependancies]\n", "{}:1: `[dependancies]` is left out: did you mean `dependencies`?"),
        (
            conda_environment,
            "name: x\nchanels:\n- a\n",
            "{}: `chanels` is left out: did you mean `channels`?",
        ),
        (
            pyproject,
            '[project]\nname = "x"\ndependancies = ["a"]\n',
            "{}:3: `project.dependancies` is left out: did you mean `dependencies`?",
        ),
        (
            pyproject,
            '[project]\nname = "x"\n[dependency-group]\ndev = []\n',
            "{}:3: `dependency-group` is left out: did you mean `dependency-groups`?",
        ),
    ],
)
def test_misspelt_keys_are_told(reader, text, told):
    """A key that means nothing, but is almost one that does, is a slip."""
    assert told.format("FILE") in reader(text, "FILE", none).left_out


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (package_json, '{"engines": {}, "engine": 1, "version": "1", "engineStrict": true}'),
        (pixi, "[workspace]\nchannels = []\nplatforms = []\nname = 'x'\ndescription = 'x'\n[system-requirements]\n"),
        (pixi, "[host-dependencies]\n[dependencies]\n"),
        (
            pyproject,
            "[project]\nname='x'\nversion='1'\nlicense-files=[]\ndependencies=[]\nurls={}\n[tool.x]\n[build-system]\n",
        ),
    ],
)
def test_keys_of_the_format_are_no_slips(reader, text):
    """They have a meaning for others."""
    assert reader(text, "FILE", none).left_out == ()


def test_processes():
    """Each line is a service; names that a service cannot have, and secrets, are told."""
    text = (
        "web: a\n\n# no\nweb: b\nauto-start: c\nflox_never_exit: d\nx y: e\nq:\ndb: f postgres://u:pass@h/d\nweb: a\n"
    )
    found = procfile(text + "z: \x1b[0m\n", "Procfile", none)
    assert dict(found.services) == {"web": "a"}
    assert [line.split(":")[1] for line in found.left_out] == ["4", "5", "6", "7", "8", "9", "11"]
    assert not any("pass" in line for line in found.left_out)


@pytest.mark.parametrize(
    "text",
    ["[tool.x]", "project = 1", "[project]\ndynamic = ['dependencies']", "[project\n"],
)
def test_pyproject_files_without_dependencies_to_read(text):
    """They are no project."""
    assert pyproject(text, "pyproject.toml", none).project is None


def test_names_of_a_project():
    """The names are those of the dependencies and the group; what is no requirement is passed over."""
    text = """
    project.dependencies = ["Num_Py<3", "", 1, "a b"]
    project.dynamic = 3
    dependency-groups.dev = ["ruff", { include-group = "x" }]
    """
    project = pyproject(text, "pyproject.toml", none).project
    assert (project.groups, project.names) == (("dev",), {"num-py", "ruff"})
