"""The Pythons that uv has fetched are found newest first, and only those that environments can be made with."""

from __future__ import annotations

from esker.errors import CommandFailed
from esker.host.python_downloads import PythonDownloads, fetched_pythons
from esker.progress import Silent
from esker.settings import Settings


def test_fetched_pythons_are_found_newest_first(tmp_path):
    """Versions are compared as numbers; variants, other implementations, links and uv's own files are left out."""
    names = (
        "cpython-3.9.1-linux",
        "cpython-3.12.10-linux",
        "cpython-3.12.9-linux",
        "cpython-3.13.1+freethreaded-linux",
    )
    for name in (*names, "cpython-3.12-linux", "cpython-3.15.0a2-linux", "pypy-3.11.1-linux", ".temp"):
        (tmp_path / name).mkdir()
    found = fetched_pythons(str(tmp_path))
    assert found == [
        f"{tmp_path}/cpython-3.12.10-linux/bin/python3.12",
        f"{tmp_path}/cpython-3.12.9-linux/bin/python3.12",
        f"{tmp_path}/cpython-3.9.1-linux/bin/python3.9",
    ]
    assert fetched_pythons(f"{tmp_path}/missing") == []


def test_what_could_not_be_fetched_is_not_done(tmp_path, monkeypatch):
    """The work that has begun fails: no line may say that it is done, before the error that says why it is not."""
    heard = []

    class Listener(Silent):
        def begin(self, title, **_kinds):
            heard.append(title)

        def end(self):
            heard.append("end")

        def fail(self):
            heard.append("fail")

    def failing(*_arguments, **_named):
        raise CommandFailed("uv", status=2, output="error: No download found")

    monkeypatch.setattr("esker.host.python_downloads.run_uv", failing)
    downloads = PythonDownloads(str(tmp_path / "pythons"), {}, Listener())
    assert downloads.fetch("==3.99.*", "Python 3.99") == "uv knows none to fetch"
    assert heard[:2] == [f"Fetching Python 3.99 into {tmp_path}/pythons", "fail"]


def test_the_directory_is_uvs_own_but_for_root(monkeypatch):
    """It follows uv's variable, then XDG_DATA_HOME; root's is one that other users can enter."""
    named = {"UV_PYTHON_INSTALL_DIR": "/pythons", "HOME": "/home/a"}
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert Settings(named).python_directory == "/pythons"
    assert Settings({**named, "UV_PYTHON_INSTALL_DIR": "relative"}).python_directory == "/home/a/.local/share/uv/python"
    assert Settings({"HOME": "/home/a", "XDG_DATA_HOME": "/data"}).python_directory == "/data/uv/python"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert Settings({"HOME": "/root"}).python_directory == "/var/lib/esker/python"
    assert Settings(named).python_directory == "/pythons"


def test_tools_do_not_see_where_pythons_come_from():
    """The variables for mirrors are for the one call that fetches."""
    settings = Settings({"UV_PYTHON_INSTALL_MIRROR": "file:///mirror", "UV_PYTHON_DOWNLOADS": "automatic"})
    assert not [name for name in settings.tools if name.startswith("UV_PYTHON")]
    assert settings.no_downloads is None
