from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esker.declare.edit import (
    Edit,
    touches_activation,
    with_include,
    with_names,
    with_requirements,
    without_group,
    without_packages,
    without_requirements,
)
from esker.declare.template import manifest
from esker.declare.validate import read_text
from esker.errors import EskerError, InvalidManifest, NotEditable, NotFound, UsageError

V14 = 'schema-version = "1.14.0"\n'
PYTHON = V14 + "\n[plugins.esker.python]\n"


def dependencies(text):
    return read_text(text)[1].python.dependencies


def test_a_new_table():
    """The first package of a manifest gets a table of its own at the end."""
    edit = with_requirements(V14 + "[vars]\nA = 'b' # kept\n", ["pandas", "psycopg[binary]>=3.2"])
    assert edit == Edit(
        V14 + "[vars]\nA = 'b' # kept\n\n"
        '[plugins.esker.python]\ndependencies = [\n    "pandas",\n    "psycopg[binary]>=3.2",\n]\n',
        installed=("pandas", "psycopg[binary]>=3.2"),
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('dependencies = ["a"] # why\n', 'dependencies = ["a", "x>=1"] # why\n'),
        ("dependencies = []\n", 'dependencies = ["x>=1"]\n'),
        ("dependencies = [\n  # first\n  'a', # one\n  'b',\n]\n", "dependencies = [\n  # first\n  'a', # one\n  'b',\n  \"x>=1\",\n]\n"),
        ('version = ">=3.11" # v\n\n# next\n[vars]\n', 'dependencies = [\n    "x>=1",\n]\nversion = ">=3.11" # v\n\n# next\n[vars]\n'),
        ("", 'dependencies = [\n    "x>=1",\n]\n'),
        ('dependencies = ["a", "X"] # c', 'dependencies = ["a", "x>=1"] # c'),
        ("dependencies = [\n    'x==0', # old\n    'b',\n]\n", "dependencies = [\n    \"x>=1\", # old\n    'b',\n]\n"),
    ],
)  # fmt: skip
def test_comments_and_order_stay(before, after):
    """A package is put behind the others or in place of its name; comments, quotes and order stay."""
    assert with_requirements(PYTHON + before, ["x>=1"]).text == PYTHON + after


@pytest.mark.parametrize(
    "text",
    [
        "plugins = { esker = { python = { version = '>=3' } } }\n[vars]\nA = ''\n",
        "plugins = { esker = {} }\n[vars]\nA = ''\n",
        "plugins.esker.python.version = '>=3' # c\n[vars]\nA = ''\n",
        "plugins.esker.compose.file = 'c.yml' # c\n[vars]\nA = ''\n",
        "[plugins]\nesker.compose.file = 'c.yml' # c\n[vars]\nA = ''\n",
        "[plugins.esker.python.programs]\na = 'a/*'\n# next\n[vars]\nA = ''\n",
        "[plugins.esker.compose]\nfile = 'c.yml' # c\n[vars]\nA = ''\n[plugins.esker.python]",
        "[plugins.other]\nesker = 1",
        "# only a comment",
        "[vars]\r\nA = ''\n[plugins.esker.python]\r\nversion = '>=3'\n",
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_any_layout(text, ends):
    """However the tables are written, the packages are added and nothing else changes."""
    before = (V14 + text).replace("\n", ends) if "\r" not in text else V14 + text
    edit = with_requirements(before, ["x", "y"])
    assert dependencies(edit.text) == ("x", "y")
    values = tomllib.loads(edit.text)
    del values["plugins"]["esker"]["python"]["dependencies"]
    without = tomllib.loads(before)
    without.setdefault("plugins", {}).setdefault("esker", {}).setdefault("python", {})
    assert values == without
    if ends == "\r\n" and "\r" not in text:
        assert "\n" not in edit.text.replace("\r\n", "")


@pytest.mark.parametrize(
    ("present", "asked", "told"),
    [("pandas", "pandas", "pandas"), ("pandas>=2", "Pandas", "pandas>=2"), ("pandas >=2", "pandas>=2", "pandas>=2")],
)
def test_already_installed(present, asked, told):
    """What is there already, or is asked for by its bare name, stays as it is written."""
    text = PYTHON + f"dependencies = ['{present}']\n"
    assert with_requirements(text, [asked]) == Edit(text, present=(told,))


def test_replacing_is_told():
    """What replaces another says so."""
    text = PYTHON + "dependencies = ['Pandas>=2']\n"
    edit = with_requirements(text, ["pandas[excel]"])
    assert edit == Edit(edit.text, replaced=(("pandas[excel]", "Pandas>=2"),))


def test_one_name_on_several_lines():
    """Which of several lines is meant is not guessed, unless the very line is there."""
    text = PYTHON + "dependencies = ['x==1; os_name == \"a\"', 'x==2; os_name == \"b\"']\n"
    with pytest.raises(EskerError, match="`x` is in the manifest more than once"):
        with_requirements(text, ["x==3"])
    assert with_requirements(text, ['x==2 ; os_name=="b"']).text == text


def test_twice_in_one_command():
    """The last word counts."""
    edit = with_requirements(V14, ["x", "x==2"])
    assert dependencies(edit.text) == ("x==2",)


def test_packages_beside_a_project():
    """What the environment needs besides the packages of a pyproject.toml is added to the manifest, and removed again."""
    text = PYTHON + "project = 'pyproject.toml'  # ours\n"
    edit = with_requirements(text, ["x"])
    assert dependencies(edit.text) == ("x",)
    assert "project = 'pyproject.toml'  # ours\n" in edit.text
    assert dependencies(without_requirements(edit.text, ["x"]).text) == ()


def test_names_of_groups_and_extras():
    """A group is added once, in whatever spelling it is there; comments and order stay."""
    text = PYTHON + "project = 'p.toml'\ngroups = ['Dev_Tools']  # ours\n"
    assert with_names(text, "groups", ["dev-tools"]) == text
    assert with_names(text, "groups", ["dev-tools", "docs"]) == text.replace("']  #", '\', "docs"]  #')
    assert 'extras = ["web"]\n' in with_names(text, "extras", ["web"])


@pytest.mark.parametrize("requirement", ["", "a b", "./local", "pypi/x"])
def test_what_is_no_requirement(requirement):
    """What PEP 508 does not allow is an error of the command line."""
    with pytest.raises(UsageError) as caught:
        with_requirements(V14, [requirement])
    assert caught.value.hint


def test_a_manifest_with_mistakes():
    """A manifest that is wrong is not edited."""
    for change in (with_requirements, without_requirements):
        with pytest.raises(InvalidManifest):
            change(PYTHON + "dependency = []", ["x"])


VERSION_1 = """\
# Our tools.
version = 1  # legacy

[install]
hello.pkg-path = "hello"  # greets
jq = { pkg-path = "jq" }
mine.store-path = "/nix/store/x"

[install.curl]
pkg-path = "curl"

# Variables.
[vars]
A = ""
"""


def test_migration_of_version_1():
    """Writing plugins into a legacy manifest migrates it, keeps its comments, and tells each change."""
    edit = with_requirements(VERSION_1, ["x"])
    assert edit.text == VERSION_1.replace("version = 1 ", 'schema-version = "1.14.0" ').replace(
        "# greets\n", '# greets\nhello.outputs = "all"\n'
    ).replace('"jq" }', '"jq", outputs = "all" }').replace("[install.curl]\n", '[install.curl]\noutputs = "all"\n') + (
        '\n[plugins.esker.python]\ndependencies = [\n    "x",\n]\n'
    )
    assert edit.notes == (
        "the manifest now follows schema 1.14.0 in place of `version = 1`",
        '`curl` now has `outputs = "all"`, which every package of `version = 1` had',
        '`hello` now has `outputs = "all"`, which every package of `version = 1` had',
        '`jq` now has `outputs = "all"`, which every package of `version = 1` had',
    )
    assert edit.installed == ("x",)


class Locked:
    """What a lock says of a package whose every output is installed anyway."""

    install_id = "hello"
    outputs = {"out": "/nix/store/x"}  # noqa: RUF012 a fake
    outputs_to_install = ("out",)


def test_migration_with_a_lock():
    """A package whose outputs are all installed anyway, as the lock shows, needs no word."""
    edit = with_requirements(VERSION_1, ["x"], locked=[Locked()])
    assert [note for note in edit.notes if "outputs" in note] == [
        '`curl` now has `outputs = "all"`, which every package of `version = 1` had',
        '`jq` now has `outputs = "all"`, which every package of `version = 1` had',
    ]


@pytest.mark.parametrize(
    "line", ['schema-version = "1.10.0" # c', "'schema-version'='1.13.0'# c", '  "version" = 0x1 # c', "version=+1# c"]
)
def test_migration_of_the_line(line):
    """Wherever and however the schema is written, that line alone changes, its comment stays."""
    edit = with_requirements(f"# first\n{line}\n[vars]\n", ["x"])
    assert read_text(edit.text)[0].schema == "1.14.0"
    assert edit.text.split("\n")[1].endswith("# c")


def test_a_newer_schema_stays():
    """A schema that has plugins already is left alone."""
    edit = with_requirements('schema-version = "1.15.0"\n', ["x"])
    assert edit.text.startswith('schema-version = "1.15.0"\n')
    assert edit == Edit(edit.text, installed=("x",))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('dependencies = ["a", "b>1", "c"] # why\n', 'dependencies = ["a", "c"] # why\n'),
        ("dependencies = [\n  'a', # one\n  'B_', # two\n  # three\n  'b[x]',\n  'c',\n]\n", "dependencies = [\n  'a', # one\n  'B_', # two\n  # three\n  'c',\n]\n"),
    ],
)  # fmt: skip
def test_uninstalling(before, after):
    """A package goes with its line; the others keep theirs."""
    assert without_requirements(PYTHON + before, ["B"]) == Edit(PYTHON + after, removed=("b",))


def test_uninstalling_what_is_not_there():
    """An unknown name is an error that names what is near, and nothing is changed for the others."""
    text = PYTHON + "dependencies = ['pandas', 'six']\n"
    with pytest.raises(NotFound) as caught:
        without_requirements(text, ["six", "panda"])
    assert (caught.value.message, caught.value.hint) == (
        "no package named 'panda' in the manifest",
        "did you mean `pandas`?",
    )
    with pytest.raises(NotFound) as caught:
        without_requirements(text, ["zebra"])
    assert caught.value.hint == "the manifest has: pandas, six"
    with pytest.raises(NotFound, match="no packages named 'zebra', 'lion' in the manifest") as caught:
        without_packages(V14 + "[install]\nrg.pkg-path = 'ripgrep'\n", ["zebra", "ripgrep", "lion"])
    assert caught.value.hint == "the manifest has: rg"
    with pytest.raises(NotFound, match="no package named"):
        without_requirements(V14, ["x"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('groups = ["dev"]\n', ""),
        ('groups = ["Dev", "docs"] # two\n', 'groups = ["docs"] # two\n'),
        ('groups = ["dev"] # for us\n', None),
        ('groups = ["docs"]\n', None),
        ("", None),
    ],
)
def test_a_group_is_taken_out(before, after):
    """Its name goes, and the key with the last name; a comment does not, and then nothing is changed."""
    project = 'project = "pyproject.toml"\n'
    assert without_group(PYTHON + project + before, "dev") == (None if after is None else PYTHON + project + after)


def test_there_and_back():
    """The manifest of `init` is the same after packages were added and removed again."""
    text = manifest()
    back = without_requirements(with_requirements(text, ["a", "b"]).text, ["b", "a"]).text
    assert back == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[vars]\nA = '1'\n\n[plugins.esker.python]\ndependencies = ['b']\n", "[vars]\nA = '1'\n"),
        ("\n[plugins.esker.python]\ndependencies = [\n    'b',\n]\n\n# next\n[vars]\n", "\n# next\n[vars]\n"),
        ("[plugins.esker.python]\ndependencies = ['b']\n[plugins.other]\nx = 1\n", "\n[plugins.other]\nx = 1\n"),
        ("[plugins.esker.python]\n# why\ndependencies = ['b']\n", "[plugins.esker.python]\n# why\ndependencies = []\n"),
        ("[plugins.esker.python]\nversion = '>=3'\ndependencies = ['b']\n", "[plugins.esker.python]\nversion = '>=3'\ndependencies = []\n"),
        ("plugins.esker.python.dependencies = ['b']\n", "plugins.esker.python.dependencies = []\n"),
    ],
)  # fmt: skip
def test_the_last_package_takes_its_table_along(before, after):
    """No empty table is left behind, unless it says something else or holds a comment."""
    assert without_requirements(V14 + before, ["b"]).text == V14 + after
    windows = without_requirements((V14 + before).replace("\n", "\r\n"), ["b"]).text
    assert windows == (V14 + after).replace("\n", "\r\n")


NAMES = st.sampled_from(["a", "b", "c-d", "e.f"])
REQUIREMENTS = st.builds("{}{}".format, NAMES, st.sampled_from(["", ">=1", "[x]", "==2.*"]))


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), REQUIREMENTS), max_size=6),
    st.sampled_from(["", "dependencies = []", "dependencies = [ # c\n]"]),
)
def test_any_sequence(steps, start):
    """After any installing and uninstalling each name stands there once, in the order of its coming."""
    text, model = PYTHON + start, {}
    for installing, requirement in steps:
        name = requirement[:3] if requirement[1:2] in {"-", "."} else requirement[0]
        if installing:
            text = with_requirements(text, [requirement]).text
            if not (name in model and requirement == name):
                model[name] = requirement
        elif name in model:
            text = without_requirements(text, [requirement]).text
            del model[name]
    python = read_text(text)[1].python
    assert (python.dependencies if python else ()) == tuple(model.values())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[install]\na.pkg-path = "x"\nb.pkg-path = "y" # two\nb.version = "1"\n', '[install]\na.pkg-path = "x"\n'),
        ('[install]\nb = { pkg-path = "y" }\n\n[vars] # v\n', "[install]\n\n[vars] # v\n"),
        ('[install.b]\npkg-path = "y"\nversion = "1"\n[install.a]\npkg-path = "x"\n', '[install.a]\npkg-path = "x"\n'),
        ('[install.b]\npkg-path = "y"\n', ""),
        ('install = { a = { pkg-path = "x" }, b = { pkg-path = "y" } }\n', 'install = { a = { pkg-path = "x" }  }\n'),
        ('install.b.pkg-path = "y"\ninstall.b.systems = [\n  "x86_64-linux", # one\n]\n', ""),
    ],
)
@pytest.mark.parametrize("asked", ["b", "y", "b^out"])
def test_uninstalling_from_install(before, after, asked):
    """A package goes by its name here or its name in the catalogue, with every line that speaks of it."""
    assert without_packages(V14 + before, [asked]) == Edit(V14 + after, removed=("b",))


def test_uninstalling_of_both_kinds():
    """A name that [install] has is that package; `pypi/` and any other name are Python's."""
    text = V14 + '[install]\nx.pkg-path = "x"\n[plugins.esker.python]\ndependencies = ["x", "y", "z"]\n'
    edit = without_packages(text, ["y", "x", "pypi/z"])
    assert edit.removed == ("x", "y", "z")
    assert dependencies(edit.text) == ("x",)
    assert read_text(edit.text)[0].install == {}
    assert dependencies(without_packages(text, ["pypi/x"]).text) == ("y", "z")
    with pytest.raises(NotFound, match="no package named 'w' in the manifest"):
        without_packages(text, ["x", "w"])


def test_uninstalling_what_means_several():
    """A name of the catalogue that two packages have is refused with their own names."""
    text = V14 + '[install]\na.pkg-path = "x"\nb.pkg-path = "x"\n'
    with pytest.raises(EskerError) as caught:
        without_packages(text, ["x"])
    wanted = "multiple packages match 'x', please specify an install id from possible matches: [a, b]"
    assert caught.value.message == wanted


@pytest.mark.parametrize(
    ("before", "after", "touches"),
    [
        ("[vars]\nA = '1'\n", "[vars]\nA = '1' # same\n", False),
        ("", "[options]\nsystems = ['x86_64-linux']\n", False),
        ("[vars]\nA = '1'\n", "[vars]\nA = '2'\n", True),
        ("", "[hook]\non-activate = 'true'\n", True),
        ("", "[profile]\nbash = 'true'\n", True),
        ("[vars\n", "", True),
    ],
)
def test_what_a_running_activation_has_taken_over(before, after, touches):
    """Variables, hook and profile, and nothing else, are what only the next activation sees."""
    assert touches_activation(V14 + before, V14 + after) is touches


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '\n[include]\nenvironments = [{dir = "new"}]\n'),
        ("[include]  # Others.\n\n[options]\n", '[include]  # Others.\nenvironments = [{dir = "new"}]\n\n[options]\n'),
        (
            '[include]\nenvironments = [\n  { dir = "../a" }, # first\n]\n',
            '[include]\nenvironments = [\n  { dir = "../a" }, # first\n  {dir = "new"},\n]\n',
        ),
        (
            '[[include.environments]]\ndir = "../a"\n',
            '[[include.environments]]\ndir = "../a"\n[[include.environments]]\ndir = "new"\n',
        ),
        ('[include]\nenvironments = [{ dir = "new" }]\n', '[include]\nenvironments = [{ dir = "new" }]\n'),
    ],
)
def test_an_environment_is_included_once_above_the_others(before, after):
    """Whatever form the list has, its comments stay, and the new environment comes last."""
    from esker.declare.edit import with_include

    head = 'schema-version = "1.14.0"\n'
    assert with_include(head + before, "new", None) == head + after
    named = with_include(head + before, "other", "else")
    assert tomllib.loads(named)["include"]["environments"][-1] == {"dir": "other", "name": "else"}


@pytest.mark.parametrize("end", ["\n    # 'scipy',\n]", " # the last\n]", "\n    # a, 'b', [c\n]  # end"])
def test_a_comment_may_follow_the_last_package(end):
    """The last package need not have a comma, also where a comment follows it."""
    text = PYTHON + f"dependencies = [\n    'pandas', # first, [\n    'numpy'{end}\nversion = '>=3.11'\n"
    edit = with_requirements(text, ["idna", "six>=1"])
    assert dependencies(edit.text) == ("pandas", "numpy", "idna", "six>=1")
    lines = edit.text.replace("'numpy',", "'numpy'").splitlines()
    assert [line for line in lines if "idna" not in line and "six" not in line] == text.splitlines()


def test_the_last_conda_package_leaves_the_line_endings_alone():
    """The table goes with its last package; the lines before and after it keep their ends."""
    conda = '[plugins.esker.conda]\ndependencies = ["jq"]\n'
    before, after = PYTHON + "dependencies = ['idna']\n", "\n[hook]\non-activate = ':'\n"
    text, expected = ("".join(parts).replace("\n", "\r\n") for parts in ((before, "\n", conda, after), (before, after)))
    assert without_packages(text, ["conda/jq"]).text == expected


@pytest.mark.parametrize(
    ("table", "left"),
    [
        ("[plugins.esker.conda]\ndependencies = ['jq']\n", ""),
        ("[plugins.esker]\n\n[plugins.esker.conda]\ndependencies = ['jq']\n", "[plugins.esker]\n"),
        (
            "[plugins.esker.conda]\nchannels = ['x']\ndependencies = ['jq']\n",
            "[plugins.esker.conda]\nchannels = ['x']\n",
        ),
    ],
)
def test_the_last_conda_package_takes_its_table_along(table, left):
    """An empty table would keep a lock of conda packages; what the table says besides stays."""
    assert without_packages(V14 + "\n" + table, ["jq"]).text.rstrip() == (V14 + "\n" + left).rstrip()


def test_what_tomlkit_does_not_read_is_no_internal_error():
    """A valid layout that the editor does not know is told, and left to the user."""
    text = V14 + "[plugins]\nesker.python.dependencies = ['a']\nesker.python.version = '>=3.11'\n"
    text += "[include]\nenvironments = [{ dir = '../x' }]\n[plugins.esker.conda]\ndependencies = []\n"
    read_text(text)
    for edit in (lambda: with_requirements(text, ["b"]), lambda: with_include(text, "../y", None)):
        with pytest.raises(NotEditable, match="laid out in a way"):
            edit()
