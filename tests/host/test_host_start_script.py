"""Start scripts, by the `flox` that is Esker: what is written, what is left alone, and how it is told from others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from esker.errors import EskerError
from esker.host import start_script

_SOURCE = os.path.dirname(os.path.dirname(sys.modules["esker"].__file__))


def _written(directory, interpreter=sys.executable):
    return start_script.write(str(directory), "flox", entry="flox", interpreter=str(interpreter), source=_SOURCE)


def _version(path, **variables):
    done = subprocess.run([path, "--version"], env=variables, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_it_is_known_by_its_contents_through_links(tmp_path):
    """A link to the shim and a copy of it are recognised wherever they are; another program is not."""
    path = _written(tmp_path / "bin")
    (tmp_path / "link").symlink_to(path)
    assert start_script.is_own(path, "flox")
    assert start_script.is_own(str(tmp_path / "link"), "flox")
    assert not start_script.is_own(sys.executable, "flox")
    assert not start_script.is_own(str(tmp_path / "bin"), "flox")
    assert not start_script.is_own(str(tmp_path / "absent"), "flox")


def test_one_of_its_own_is_written_again_and_another_is_left_alone(tmp_path):
    """The shim is written again over itself; another `flox` is kept, and the error names it."""
    path = _written(tmp_path)
    assert _written(tmp_path) == path
    other = tmp_path / "other" / "flox"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\necho the real one\n")
    with pytest.raises(EskerError, match=rf"`{other}` is not Esker's"):
        _written(other.parent)
    assert other.read_text() == "#!/bin/sh\necho the real one\n"
    other.unlink()
    other.symlink_to(tmp_path / "nowhere")
    with pytest.raises(EskerError):
        _written(other.parent)
    assert other.is_symlink()


def test_it_starts_its_own_interpreter_whatever_the_caller_has_set(tmp_path):
    """PYTHON* variables, a module beside the shim and an empty PATH do not change what runs."""
    path = _written(tmp_path)
    (tmp_path / "esker.py").write_text("raise SystemExit(9)\n")
    assert _version(path, PYTHONHOME="/nowhere", PYTHONPATH=str(tmp_path), PATH="") == (0, "1.14.1\n", "")


def test_an_interpreter_whose_path_no_first_line_can_hold(tmp_path):
    """An interpreter whose path has a space, or is too long for a `#!` line, is started through the shell."""
    place = tmp_path / "with a space's" / ("long" * 30)
    place.mkdir(parents=True)
    (place / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (place / "python").chmod(0o755)
    assert _version(_written(tmp_path, place / "python"), PATH="/bin:/usr/bin") == (0, "1.14.1\n", "")


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    """If the directory cannot be made, the error names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(EskerError, match=f"{tmp_path}/file/bin"):
        _written(tmp_path / "file" / "bin")
