from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from esker import activate
from esker.activate.shell_file import shell_text

FILES = sorted(Path(activate.__file__).parent.rglob("*.bash"))


def test_comments_indentation_and_empty_lines_are_left_out(tmp_path):
    """Removing comments and indentation does not change what bash does; a `#` inside a line is kept."""
    (tmp_path / "a.bash").write_text("# Why\n\nif true; then\n    # more\n    echo $# '# a'\nfi\n")
    assert shell_text(f"{tmp_path}/a.bash") == "if true; then\necho $# '# a'\nfi"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_left_is_what_the_file_says(path):
    """Bash prints the same function for the shortened text as for the file, with every string in it."""
    printed = [
        subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", f"f() {{\n{text}\n}}; declare -f f"],
            capture_output=True,
            check=True,
        ).stdout
        for text in (path.read_text(), shell_text(str(path)))
    ]
    assert printed[0] == printed[1]
