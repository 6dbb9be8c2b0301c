"""Packages that people really use, through an environment of links: what they look for beside themselves is found."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.live("venv")]

_PACKAGES = ("jupyterlab", "pandas", "matplotlib", "scipy", "django", "starlette", "httpx")
_CODE = {
    "metadata and resources": """
        import importlib.metadata as m, importlib.resources as r
        names = {d.metadata["Name"].lower() for d in m.distributions()}
        assert {"pandas", "jupyterlab", "django"} <= names, names
        assert all(f.locate().exists() for f in m.files("django")[:200])
        assert r.files("matplotlib").joinpath("mpl-data/matplotlibrc").is_file()
        assert m.entry_points(group="console_scripts", name="jupyter")
        """,
    "compiled libraries": """
        import matplotlib, numpy, pandas, scipy.linalg
        matplotlib.use("Agg")
        import matplotlib.pyplot as plot
        plot.plot([1, 2]); plot.savefig("drawn.png")
        assert scipy.linalg.inv(numpy.eye(3)).tolist() == numpy.eye(3).tolist()
        assert pandas.DataFrame({"a": [1, 2]}).a.sum() == 3
        """,
    "a module's own place": """
        import pathlib, django
        assert (pathlib.Path(django.__file__).resolve().parent / "conf/locale/de/formats.py").is_file()
        """,
    "Django's static files": """
        import django
        from django.conf import settings
        apps = ["django.contrib.admin", "django.contrib.contenttypes", "django.contrib.auth",
                "django.contrib.messages", "django.contrib.staticfiles"]
        settings.configure(INSTALLED_APPS=apps, STATIC_URL="/static/", STATIC_ROOT="collected")
        django.setup()
        from django.core.management import call_command
        call_command("collectstatic", "--noinput", verbosity=0)
        assert __import__("os").path.getsize("collected/admin/css/base.css") > 1000
        """,
    "Starlette's files of a package": """
        import asyncio, httpx
        from starlette.applications import Starlette
        from starlette.routing import Mount
        from starlette.staticfiles import StaticFiles
        app = Starlette(routes=[Mount("/s", StaticFiles(packages=[("django.contrib.admin", "static")]))])
        async def get():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
                return (await client.get("/s/admin/css/base.css")).status_code
        assert asyncio.run(get()) == 200
        """,
    "a kernel": """
        from jupyter_client.manager import start_new_kernel
        manager, client = start_new_kernel()
        try:
            import sys
            answers = []
            client.execute_interactive("import sys; print(sys.prefix)", timeout=60, output_hook=answers.append)
            assert [a["content"]["text"].strip() for a in answers if a["msg_type"] == "stream"] == [sys.prefix]
        finally:
            client.stop_channels(); manager.shutdown_kernel(now=True)
        """,
    "JupyterLab": """
        import os, re, socket, subprocess, sys, time, urllib.request
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0)); port = free.getsockname()[1]
        words = ["--no-browser", "--allow-root", f"--port={port}", "--ServerApp.token=t", "--ServerApp.root_dir=."]
        server = subprocess.Popen(["jupyter", "lab", *words], stderr=subprocess.DEVNULL)
        def get(path):
            return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10).read()
        try:
            for _ in range(600):
                try:
                    page = get("/lab?token=t").decode(); break
                except OSError:
                    assert server.poll() is None; time.sleep(0.1)
            script = re.search(r"/static/lab/main[^\\"]*", page)[0]
            assert len(get(script)) > 100_000
            assert get("/lab/api/themes/@jupyterlab/theme-light-extension/index.css?token=t")
        finally:
            server.terminate(); server.wait(30)
        """,
}


@pytest.fixture(scope="module")
def project():
    """Give a project with these packages, from the index of this machine, and the variables to activate it with."""
    with tempfile.TemporaryDirectory() as top:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("ESKER_", "FLOX_"))}
        environ |= {"HOME": top, "ESKER_STORE": f"{top}/store", "JUPYTER_PLATFORM_DIRS": "1"}
        directory = f"{top}/project"
        os.mkdir(directory)
        for words in (["init"], ["install", *(f"pypi/{name}" for name in _PACKAGES)]):
            subprocess.run([sys.executable, "-m", "esker", *words], cwd=directory, env=environ, check=True)
        yield directory, environ
        subprocess.run(["chmod", "-R", "u+w", top], check=True)


@pytest.mark.parametrize("what", _CODE)
def test_it_is_found(project, what):
    """As in a virtual environment, where all packages lie side by side."""
    directory, environ = project
    lines = _CODE[what].strip("\n").split("\n")
    code = "\n".join(line[8:] for line in lines)
    command = [sys.executable, "-m", "esker", "activate", "--", "python", "-W", "error::ImportWarning", "-c", code]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_of_it_was_changed(project):
    """After all that, the store is what was registered."""
    directory, environ = project
    command = [sys.executable, "-m", "esker", "store", "verify"]
    assert subprocess.run(command, cwd=directory, env=environ, check=False).returncode == 0
