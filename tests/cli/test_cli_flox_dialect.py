"""Flox's texts are made from the class and fields of an error; without a text of Flox's, its message is used."""

from __future__ import annotations

import pytest

from esker.cli.flox_dialect import words
from esker.cli.voice import ESKER, FLOX
from esker.errors import (
    EskerError,
    HookCutOff,
    InvalidManifest,
    ModeClash,
    NoEnvironment,
    NotFound,
    Problem,
    StartWithinHook,
    UnknownService,
    UsageError,
)

HEAD = "Failed to parse manifest:"
WORDS = [
    (EskerError("it failed", hint="mend it"), "it failed"),
    (NotFound("not here", hint="look there"), "not here"),
    (NoEnvironment("None here."), "None here.\n\nCreate an environment with 'flox init'"),
    (
        NoEnvironment("None in `/x`", directory="/x"),
        "Did not find an environment in '/x'\n\nCreate an environment with 'flox init --dir /x'",
    ),
    (HookCutOff("It was cut off", hint="review it"), "It was cut off.\n\nreview it"),
    (
        HookCutOff("It was cut off: x", hint="review it", ending="bash ended with status 3"),
        "Running hook.on-activate failed",
    ),
    (UsageError("unrecognized arguments: --nope x"), "`--nope` is not expected in this context"),
    (UsageError("give exactly one command"), "give exactly one command"),
    (ModeClash("It is active", pids=[1], hint="leave it"), "It is active\n\nleave it"),
    (UnknownService("service `web` does not exist", service="web"), "Service 'web' does not exist."),
    (StartWithinHook("it would wait", hook="hook.on-deactivate"), "it would wait"),
    (InvalidManifest("m", [Problem("b", line=2), Problem("a", line=1)]), f"{HEAD}\n\na\n\nb"),
    (InvalidManifest("m", [Problem("'version' field is odd")]), f"{HEAD} 'version' field is odd"),
]


@pytest.mark.parametrize(("error", "expected"), WORDS)
def test_what_flox_says_of_an_error(error, expected):
    """Flox's text has neither place nor hint, unless they are part of it."""
    assert words(error) == expected


def test_a_hook_is_told_that_it_may_start_nothing():
    """The hint about services in a hook names Flox's own command."""
    error = StartWithinHook("it would wait", hook="hook.on-activate")
    assert words(error).startswith("Cannot start services from 'hook.on-activate'.\n")
    assert words(error).endswith("with 'flox activate --start-services' instead.")


def test_flox_shows_three_columns_of_services():
    """If no process runs, Flox's cell for the pid is empty; Esker's has a dash."""
    cells = ["web", "Stopped", "-", "healthy", "PORT=1", "-"]
    assert ESKER.service_cells(cells) == cells
    assert FLOX.service_cells(cells) == ["web", "Stopped", ""]


def test_what_only_esker_tells_is_a_remark(capsys):
    """Remarks that only Esker makes are not printed by `flox`."""
    FLOX.remark("by the way")
    assert capsys.readouterr().err == ""
    ESKER.remark("by the way")
    assert capsys.readouterr().err == "by the way\n"
