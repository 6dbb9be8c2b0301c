from __future__ import annotations

import pytest

from esker.activate.origin import place, position

FORMS = {
    "lines between quotes": ("[hook]\non-activate = '''\n  a\n  b\n'''\n", 4),
    "the first line behind the quotes": ('[hook]\non-activate = """a\n  b"""\n', 3),
    "twice": ("x = '''\na\nb\n'''\ny = '''\na\nb\n'''\n", None),
    "with escapes": ('on-activate = "a\\nb"', None),
    "another script": ("on-activate = '''\na\nc\n'''", None),
}


@pytest.mark.parametrize(("text", "line"), FORMS.values(), ids=FORMS)
def test_a_line_of_a_script_is_found_in_the_manifest(text, line):
    """The line is known if the script stands in the manifest once, in quotes of several lines."""
    assert position(text, "a\nb\n", 2) == line


def test_a_script_of_one_line():
    """A script of one line stands where its quotes are."""
    assert position("[hook]\non-activate = 'fi'\n", "fi", 1) == 2
    assert position('[hook]\non-activate = "fi"\n', "fi", 1) == 2


def test_a_place_that_is_not_known(tmp_path):
    """Without the manifest, or without the script in it, the line is the script's own."""
    manifest = tmp_path / "manifest.toml"
    assert place(str(manifest), "a\nb\n", 4) == f"line 2 of the script, {manifest}"
    manifest.write_text("other = 1\n")
    assert place(str(manifest), "a\nb\n", 1) == f"line 1 of the script, {manifest}"
    manifest.write_text("on-activate = '''\na\nb\n'''\n")
    assert place(str(manifest), "a\nb\n", 2) == f"{manifest}:3"
