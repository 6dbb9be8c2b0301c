"""What every test shares: which tests run, a clean environment, and a rule against silent skips."""

import os

import pytest

_NO_SKIPS = "ESKER_FORBID_SKIPS"


def pytest_addoption(parser):
    parser.addoption("--live", metavar="AREA", help="run the live tests of AREA (or `all`), and nothing else")


def pytest_collection_modifyitems(config, items):
    """Keep the live tests of the wanted area, or everything but the live tests."""
    wanted = config.getoption("--live")
    kept, left = [], []
    for item in items:
        areas = {area for mark in item.iter_markers("live") for area in mark.args}
        chosen = bool(areas) if wanted == "all" else wanted in areas if wanted else not areas
        (kept if chosen else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where skips are forbidden, a skipped live test is a failure that names the reason."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(_NO_SKIPS) and item.get_closest_marker("live"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped where {_NO_SKIPS} forbids it: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _no_inherited_settings(monkeypatch):
    """No test sees the caller's own Esker, Flox, uv or Python settings."""
    for name in list(os.environ):
        if name.startswith(("ESKER_", "FLOX_", "_FLOX_", "_flox_", "PYTHON", "VIRTUAL_ENV")) and name != _NO_SKIPS:
            monkeypatch.delenv(name)
