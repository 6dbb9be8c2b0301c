"""Which files decide what a requirements file installs."""

from __future__ import annotations

from esker.runtimes.venv.requirements import deciding_files


def test_files_that_others_name(tmp_path):
    """`-r`, `-c` and `-e` are followed, relative to the file that has them; everything else is not looked at."""
    (tmp_path / "below").mkdir()
    (tmp_path / "requirements.txt").write_text(
        "tiny==1 # -r no.txt\n-r below/more.txt  # these too\n--constraint=limits.txt\n-e ./mine\nname-r x.txt\n"
    )
    (tmp_path / "below/more.txt").write_text("-rlast.txt\n-r ../requirements.txt\n")
    names = ("requirements.txt", "below/more.txt", "limits.txt", "mine/pyproject.toml", "mine/setup.py")
    expected = [f"{tmp_path}/{name}" for name in (*names, "mine/setup.cfg", "below/last.txt")]
    assert deciding_files([f"{tmp_path}/requirements.txt"]) == expected


def test_a_file_that_is_not_there(tmp_path):
    """It counts as well: it may appear."""
    assert deciding_files([f"{tmp_path}/none.txt"]) == [f"{tmp_path}/none.txt"]


def test_files_without_end(tmp_path):
    """A chain of files is followed only so far."""
    for number in range(300):
        (tmp_path / f"{number}.txt").write_text(f"-r {number + 1}.txt\n")
    assert len(deciding_files([f"{tmp_path}/0.txt"])) < 200
