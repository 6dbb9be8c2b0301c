"""Which Python a lock is for: the limits of both files hold, and other interpreters never make the lock stale."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from esker.declare.declaration import PythonRange
from esker.declare.load import load
from esker.errors import InvalidFile, NotFound, ResolutionFailed, UsageError
from esker.formats import pylock
from esker.host.interpreters import Interpreters
from esker.lock.pythons import (
    AllowedPythons,
    Limit,
    allowed_pythons,
    check_chosen,
    interpreter_for_new_lock,
    interpreter_of_lock,
    locked_pythons,
    staleness_of_python,
)
from tests.support.interpreters import minor, pretended_python
from tests.support.projects import EMPTY, write_project

HERE, NEXT = minor(), minor(1)


@pytest.fixture
def declared(tmp_path):
    """Give a function that declares Python by the manifest's `version` and the project file's `requires-python`."""

    def declaration(version=None, requires_python=None):
        python = "[plugins.esker.python]\n" + (f"version = {version}\n" if version else "")
        if requires_python is not None:
            python += 'project = "pyproject.toml"\n'
            (tmp_path / "pyproject.toml").write_text(f'[project]\nrequires-python = "{requires_python}"\n')
        manifest = tmp_path / ".flox/env/manifest.toml"
        if manifest.exists():
            manifest.write_text(EMPTY + python)
        else:
            write_project(tmp_path, EMPTY + python)
        return load(str(tmp_path))

    return declaration


def lock_for(requires_python):
    """Return a lock that is for some Pythons, and holds nothing else."""
    return pylock.parse(f'lock-version = "1.0"\nrequires-python = "{requires_python}"\ncreated-by = "x"\n')


def made_from(python):
    """Return the inputs of a lock that was made for a range."""
    return pylock.Inputs(requirements=(), python=python, systems=())


def limited(*specifiers, every=False):
    """Return what is allowed where the manifest and the project file have these limits."""
    places = (("version", "manifest.toml"), ("requires-python", "pyproject.toml"))
    return AllowedPythons(
        tuple(Limit(text, *place) for text, place in zip(specifiers, places, strict=False)), every=every
    )


@pytest.mark.parametrize(
    ("version", "requires_python", "specifier"),
    [
        (None, None, ""),
        ('">=3.11"', None, ">=3.11"),
        (None, ">=3.12", ">=3.12"),
        ('"<3.14"', ">=3.12", "<3.14,>=3.12"),
        ('">=3.11"', ">=3.11", ">=3.11"),
        ('{ range = "<3.14" }', ">=3.11.4", "<3.14,>=3.11.4"),
        ('">=3.11"', "", ">=3.11"),
    ],
)
def test_both_files_limit_python(declared, version, requires_python, specifier):
    """The manifest and the pyproject.toml hold together; what is not written limits nothing."""
    allowed = allowed_pythons(declared(version, requires_python))
    assert (allowed.specifier, allowed.every) == (specifier, False)


def test_limits_that_exclude_every_python_name_both_files(declared, tmp_path):
    """No lock can be made then, whichever Pythons a machine has."""
    with pytest.raises(ResolutionFailed) as caught:
        allowed_pythons(declared('"<3.12"', ">=3.12"))
    assert caught.value.message == (
        f'no Python satisfies both `version = "<3.12"` in {tmp_path}/.flox/env/manifest.toml '
        f'and `requires-python = ">=3.12"` in {tmp_path}/pyproject.toml'
    )
    with pytest.raises(ResolutionFailed, match=r'no Python satisfies `version = ">=3\.12,<3\.11"` in '):
        allowed_pythons(declared('">=3.12,<3.11"'))


def test_a_lock_for_every_python_has_to_be_asked_for(declared):
    """`lock = "all"` is part of the table form of `version`."""
    declaration = declared('{ range = ">=3.11,<3.14", lock = "all" }')
    assert declaration.esker.python.version == PythonRange(range=">=3.11,<3.14", lock="all")
    assert allowed_pythons(declaration).every


@pytest.mark.parametrize(
    ("locked", "resolved", "allowed"),
    [
        ("==3.11.*", ">=3.11", limited(">=3.11")),
        ("==3.11.*", ">=3.11", limited(">=3.10,<3.13")),
        ("==3.11.*", "", limited(">=3.11.4")),
        ("==3.15.*", "==3.15.0a2", limited("==3.15.0a2")),
        ("==3.11.*", "~=3.11.0", limited("==3.11.*")),
        ("==3.*", "==3.*", limited("==3.*", every=True)),
        ("==3.11.*", "===3.11.4", limited("==3.11.4")),
        (">=3.11", ">=3.11", limited(">=3.11")),
        (">=3.11", "", limited(">=3.12", "<3.14")),
        ("<3.14,>=3.11", ">=3.11,<3.14", limited(">=3.11,<3.14", every=True)),
    ],
)
def test_a_lock_stays_while_its_python_is_allowed(locked, resolved, allowed):
    """Whether it is for one minor version or, as older locks are, for an open range."""
    assert list(staleness_of_python(lock_for(locked), made_from(resolved), allowed)) == []


@pytest.mark.parametrize(
    ("locked", "resolved", "allowed", "reason"),
    [
        (
            "==3.11.*",
            ">=3.11",
            limited(">=3.11", ">=3.12"),
            'locked for Python 3.11, which `requires-python = ">=3.12"` in pyproject.toml excludes',
        ),
        (
            "==3.11.*",
            "",
            limited("!=3.11.*", ">=3.12"),
            (
                'locked for Python 3.11, which `version = "!=3.11.*"` in manifest.toml and '
                '`requires-python = ">=3.12"` in pyproject.toml exclude'
            ),
        ),
        (
            ">=3.12",
            ">=3.12",
            limited("<3.12"),
            'locked for Python >=3.12, which `version = "<3.12"` in manifest.toml excludes',
        ),
        ("==3.11.*", ">=3.11.4", limited(">=3.11"), "python is `>=3.11`, locked for `>=3.11.4`"),
        (
            "==3.11.*",
            ">=3.11",
            limited(">=3.11,<3.14", every=True),
            'locked for Python 3.11 alone, but `lock = "all"` is declared',
        ),
    ],
)
def test_a_lock_whose_python_is_excluded_is_stale(locked, resolved, allowed, reason):
    """The reason names the file that excludes it; so do patch releases that the lock was not made for."""
    assert list(staleness_of_python(lock_for(locked), made_from(resolved), allowed)) == [f"pylock.toml: {reason}"]


def test_the_lock_s_python_comes_before_the_caller_s(tmp_path):
    """Another ESKER_PYTHON, and newer interpreters on PATH, change nothing; nor does a lock that is made again."""
    newer = pretended_python(tmp_path, f"{NEXT}.0")
    interpreters = Interpreters({"PATH": str(tmp_path)}, str(newer))
    assert interpreter_for_new_lock(AllowedPythons(), None, interpreters).executable == str(newer)
    lock = lock_for(f"=={HERE}.*")
    for chosen in (
        interpreter_of_lock(AllowedPythons(), lock, interpreters),
        interpreter_for_new_lock(AllowedPythons(), lock, interpreters),
    ):
        assert chosen.release == tuple(map(int, HERE.split(".")))


def test_another_python_is_taken_when_it_is_asked_for_or_the_lock_s_is_excluded(tmp_path):
    """The limits hold for it too, down to patch releases; an open range leaves the choice to the machine."""
    newer = pretended_python(tmp_path, f"{NEXT}.3")
    interpreters = Interpreters({"PATH": str(tmp_path)})
    lock = lock_for(f"=={HERE}.*")
    assert interpreter_for_new_lock(AllowedPythons(), lock, interpreters, chosen=NEXT).executable == str(newer)
    assert interpreter_for_new_lock(limited(f">={NEXT}"), lock, interpreters).executable == str(newer)
    with pytest.raises(NotFound, match=f"^Python {NEXT} is not on this machine; found: "):
        interpreter_for_new_lock(limited(f">={NEXT}.4"), lock, interpreters, chosen=NEXT)
    everything = limited(f">={NEXT}", every=True)
    assert interpreter_for_new_lock(everything, lock_for(f">={HERE}"), interpreters).executable == str(newer)


def test_a_machine_without_the_lock_s_python_is_told_both_ways_out(tmp_path):
    """Which interpreter is missing, how to have it found, and how to lock for one that is here."""
    interpreters = Interpreters({"PATH": str(tmp_path)})
    with pytest.raises(NotFound) as caught:
        interpreter_of_lock(AllowedPythons(), lock_for(f"=={NEXT}.*"), interpreters)
    assert caught.value.message.startswith(
        f"the environment is locked for Python {NEXT}, which this machine does not have; found: {HERE}."
    )
    assert f"put it on PATH as python{NEXT} or set ESKER_PYTHON to its path" in caught.value.hint
    assert caught.value.hint.endswith(f"; or lock for a Python that is here: esker lock --python {HERE}")
    with pytest.raises(NotFound) as caught:
        interpreter_of_lock(limited(f">={HERE}.99"), lock_for(f"=={HERE}.*"), interpreters)
    assert f"locked for Python {HERE} (`>={HERE}.99`), which this machine does not have" in caught.value.message
    assert caught.value.hint.endswith(f'; or change `version = ">={HERE}.99"` in manifest.toml')


def test_a_python_that_no_lock_can_be_for_is_refused(declared, tmp_path):
    """Outside of the limits, with both files named; of no form; too old; where every Python is locked for."""
    with pytest.raises(ResolutionFailed) as caught:
        check_chosen("3.9", declared('">=3.10"', ">=3.11"))
    assert caught.value.message.startswith('Python 3.9 is excluded by `version = ">=3.10"` in ')
    assert f'`requires-python = ">=3.11"` in {tmp_path}/pyproject.toml' in caught.value.message
    for text in ("3", "3.12.1", "python3.12", ""):
        with pytest.raises(UsageError, match="is not a minor version of Python"):
            check_chosen(text, declared())
    with pytest.raises(UsageError, match=r"of Python 3\.6"):
        check_chosen("3.6", declared())
    with pytest.raises(UsageError, match='lock = "all"'):
        check_chosen("3.12", declared('{ range = ">=3.11", lock = "all" }'))


@pytest.mark.parametrize(
    ("requires_python", "shown"), [("==3.12.*", "3.12"), (">=3.11", ">=3.11"), ("==3.12.1", "==3.12.1")]
)
def test_a_lock_says_for_which_python_it_is(requires_python, shown):
    """A minor version where it is one, else the range as it stands."""
    assert locked_pythons(lock_for(requires_python)) == shown
    assert SpecifierSet(requires_python) == lock_for(requires_python).requires_python


@pytest.mark.parametrize(
    ("line", "told", "hint"),
    [
        ('requires-python = "^3.11"', "`^3.11` is not a version specifier", 'write ">=3.11,<4"'),
        ('requires-python = "~3.11"', "`~3.11` is not a version specifier", 'write "~=3.11.0"'),
        ('requires-python = "3.11"', "`3.11` is not a version specifier", 'write ">=3.11" or "==3.11.*"'),
        ('requires-python = "===3.11.4"', "`===3.11.4` is not a version specifier", 'write "==3.11.4"'),
        ("requires-python = 3.11", "it has to be a text", "write a comparison"),
        ('dynamic = ["requires-python"]', "`requires-python` of [project] is dynamic", "write `requires-python` into"),
        ('dynamic = ["dependencies"]', "`dependencies` of [project] is dynamic", "write `dependencies` into"),
    ],
)
def test_what_the_project_file_says_of_python_is_never_left_out(declared, tmp_path, line, told, hint):
    """A notation of Poetry's, another type, or a value that only a build backend knows: named with file and line."""
    declaration = declared(requires_python=">=3.11")
    (tmp_path / "pyproject.toml").write_text(f"[project]\n{line}\n")
    with pytest.raises(InvalidFile) as caught:
        allowed_pythons(declaration)
    assert told in caught.value.message
    assert caught.value.hint.startswith(hint)
    assert caught.value.place.startswith(f"{tmp_path}/pyproject.toml" + (":2" if line.startswith("requires") else ""))


def test_a_project_of_poetry_alone_is_refused(declared, tmp_path):
    """Nothing would be installed of what it declares, and any Python would do."""
    declaration = declared(requires_python=">=3.11")
    (tmp_path / "pyproject.toml").write_text('[tool.poetry.dependencies]\npython = "^3.11"\napp = "*"\n')
    with pytest.raises(InvalidFile, match="for Poetry alone") as caught:
        allowed_pythons(declaration)
    assert "[project]" in caught.value.hint


def test_a_misspelt_key_of_the_project_file_is_told(declared, tmp_path):
    """Its dependencies would be left out in silence; keys that bear on no lock may be anything."""
    declaration = declared(requires_python=f">={HERE}")
    path = tmp_path / "pyproject.toml"
    path.write_text(path.read_text() + 'keywords = ["a"]\ndependancies = ["app"]\n')
    with pytest.raises(InvalidFile, match="unknown key `dependancies` in \\[project\\]") as caught:
        allowed_pythons(declaration)
    assert "did you mean `dependencies`?" in str(caught.value)
