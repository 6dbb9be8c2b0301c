"""An isolated start: what it can import, and what it leaves as it was."""

from __future__ import annotations

import json
import subprocess
import sys

from esker.host.isolation import OPTIONS, SOURCE


def answers(program, *options, **environ):
    """Return what a program prints as JSON after `isolate`, in an interpreter of its own."""
    head = (
        f"import sys; sys.path.append({SOURCE!r})\nfrom esker.host.isolation import isolate\nisolate()\nimport json\n"
    )
    done = subprocess.run(
        [sys.executable, *options, "-c", head + program], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_without_site_its_packages_are_found_when_they_are_wanted():
    """The directories of `site` join the path with the first module that is not in the standard library."""
    program = (
        "before = 'site' in sys.modules\n"
        "import msgspec\n"
        "print(json.dumps([before, 'site' in sys.modules, sys.prefix, msgspec.__file__]))"
    )
    import msgspec

    assert answers(program, OPTIONS) == [False, True, sys.prefix, msgspec.__file__]


def test_a_module_that_nobody_has_is_missing_as_usual():
    """An import that fails raises the usual error, the first time and the second."""
    program = (
        "names = []\n"
        "for name in ['no_such_module', 'no_such_module', 'os.no_such_module']:\n"
        "    try:\n"
        "        __import__(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        names.append(error.name)\n"
        "print(json.dumps(names))"
    )
    assert answers(program, OPTIONS) == ["no_such_module", "no_such_module", "os.no_such_module"]


def test_threads_that_want_a_package_at_once_all_find_it():
    """While one thread lets `site` do its work, another waits for it instead of missing its module."""
    program = (
        "import threading\n"
        "found = []\n"
        "names = ['msgspec', 'tomlkit', 'packaging', 'rich', 'uv']\n"
        "threads = [threading.Thread(target=lambda n=n: found.append(__import__(n).__name__)) for n in names]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "print(json.dumps(sorted(found)))"
    )
    assert answers(program, OPTIONS) == ["msgspec", "packaging", "rich", "tomlkit", "uv"]


def test_without_settings_the_directory_of_the_script_leaves_the_path():
    """An ordinary start keeps its path, but for the directory that Python has put in front."""
    for options in [(), ("-E",), ("-S",), ("-s",), ("-I",)]:
        assert answers("print(json.dumps('' in sys.path))", *options) is False
    assert answers("print(json.dumps(sys.flags.no_site))", PYTHONUNBUFFERED="1", PYTHON_VERSION="3.11.7") == 0
