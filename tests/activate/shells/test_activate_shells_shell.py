"""Which shell a command speaks to, and which one it starts."""

from __future__ import annotations

import pytest

from esker.activate.shells import shell as shells


@pytest.mark.parametrize(
    ("wanted", "caller", "login", "chosen"),
    [
        (None, "/usr/bin/zsh", "/bin/bash", ("zsh", "zsh", "zsh")),
        (None, "fish", None, ("fish", "fish", "fish")),
        (None, "/bin/dash", "/usr/bin/fish", ("bash", "bash", "fish")),
        (None, "/bin/dash", None, ("bash", "bash", "bash")),
        (None, "/usr/bin/python3.11", "/usr/bin/fish", ("bash", "fish", "fish")),
        (None, None, "/opt/nu", ("bash", "bash", "bash")),
        (None, None, "/usr/bin/fish", ("fish", "fish", "fish")),
        ("/opt/tcsh", "/usr/bin/zsh", "/bin/bash", ("tcsh", "tcsh", "tcsh")),
        ("/opt/nu", "/usr/bin/zsh", "/bin/bash", ("zsh", "zsh", "zsh")),
        ("", "/usr/bin/zsh", "/bin/bash", ("zsh", "zsh", "zsh")),
    ],
)
def test_which_shell(monkeypatch, wanted, caller, login, chosen):
    """FLOX_SHELL comes first, then the calling shell, then SHELL; what a program reads is for bash, and so are scripts of sh."""
    monkeypatch.setattr(shells, "program_of", lambda _: caller)
    environ = {name: value for name, value in (("FLOX_SHELL", wanted), ("SHELL", login)) if value is not None}
    command, person = (shells.opened(environ, interactive=interactive).name for interactive in (False, True))
    assert (shells.evaluating(environ).name, command, person) == chosen
