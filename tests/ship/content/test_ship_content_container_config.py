"""`[containerize.config]`: each value in OCI's form, and all mistakes at once with their lines."""

from __future__ import annotations

import pytest

from esker.declare.load import load
from esker.errors import ImageError, InvalidManifest
from esker.ship.content.accounts import group_file, passwd_file, user_of
from esker.ship.content.container_config import container_settings
from tests.support.projects import write_project

HEAD = 'schema-version = "1.14.0"\n[containerize.config]\n'


def settings(tmp_path, text):
    return container_settings(load(str(write_project(tmp_path / "p", HEAD + text))))


def test_values_in_the_forms_of_oci(tmp_path):
    """Ports get their protocol, directories lose what means nothing, a signal gets its full name."""
    found = settings(
        tmp_path,
        'exposed-ports = ["8080", "53/udp", "9000-9010/tcp"]\nvolumes = ["/data/"]\nworking-dir = "/app/"\n'
        'stop-signal = "INT"\nuser = "app:staff"\ncmd = ["serve"]\nlabels = { "org.example.b" = "2", a = "1" }\n',
    )
    assert found.ports == ("53/udp", "8080/tcp", "9000-9010/tcp")
    assert (found.volumes, found.working_dir, found.stop_signal) == (("/data",), "/app", "SIGINT")
    assert (found.user.numbers, found.user.home, found.has_user) == ("10000:10000", "/home/app", True)
    assert list(found.labels) == ["a", "org.example.b"]


def test_an_empty_table(tmp_path):
    """Nothing declared is root, and no user, command, port or directory."""
    found = settings(tmp_path, "")
    assert (found.user.uid, found.has_user, found.cmd, found.ports, found.stop_signal) == (0, False, (), (), None)


def test_all_mistakes_at_once(tmp_path):
    """Each mistake names its key, and has the line of its value."""
    with pytest.raises(InvalidManifest) as caught:
        settings(
            tmp_path,
            'exposed-ports = ["80800", "http"]\nvolumes = ["data"]\nworking-dir = "/a/../b"\nstop-signal = "SIGNONE"\n'
            'user = "a b"\nlabels = { "a b" = "1" }\n',
        )
    found = [(problem.line, problem.message.partition("\n")[0]) for problem in caught.value.problems]
    assert sorted(found, key=str) == [
        (3, "`80800` is not a port"),
        (3, "`http` is not a port"),
        (4, "`data` is not an absolute path in the image"),
        (5, "`/a/../b` is not an absolute path in the image"),
        (6, "`SIGNONE` is not a signal"),
        (7, "`a b` in `user` of [containerize.config] is no user"),
        (8, "`a b` cannot be the name of a label"),
    ]
    assert all(problem.hint for problem in caught.value.problems)


def test_what_looks_like_a_secret(tmp_path):
    """Everybody who has an image can read its command, its labels and its health check."""
    token = f"ghp_{'a' * 36}"
    with pytest.raises(InvalidManifest) as caught:
        settings(tmp_path, f'cmd = ["serve", "--token={token}"]\nlabels = {{ key = "{token}" }}\n')
    assert [(problem.line, problem.message.partition("\n")[0]) for problem in caught.value.problems] == [
        (3, "the command holds a token of GitHub, which everybody could read in the image"),
        (4, "the label `key` holds a token of GitHub, which everybody could read in the image"),
    ]
    assert token not in str(caught.value)
    for name, test in (("a", f'"curl {token}"'), ("b", f'["curl", "{token}"]')):
        with pytest.raises(ImageError, match=r"`healthcheck` of .* holds a token of GitHub"):
            settings(tmp_path / name, f"[plugins.esker.image.healthcheck]\ntest = {test}\n")


@pytest.mark.parametrize(
    ("declared", "passwd", "group"),
    [
        (None, ["root:x:0:0::/root:/bin/sh"], ["root:x:0:"]),
        ("root", ["root:x:0:0::/root:/bin/sh"], ["root:x:0:"]),
        ("0:0", ["root:x:0:0::/root:/bin/sh"], ["root:x:0:"]),
        ("app", ["root:x:0:0::/root:/bin/sh", "app:x:10000:10000::/home/app:/bin/sh"], ["root:x:0:", "app:x:10000:"]),
        (
            "1000:2000",
            ["root:x:0:0::/root:/bin/sh", "app:x:1000:2000::/home/app:/bin/sh"],
            ["root:x:0:", "app:x:2000:"],
        ),
    ],
)
def test_users(declared, passwd, group):
    """Every user of an image has a line in passwd, and its group one in group."""
    user = user_of(declared)
    assert passwd_file(user).decode().splitlines() == passwd
    assert group_file(user).decode().splitlines() == group


@pytest.mark.parametrize("declared", ["", "a:b:c", "A", "app:", "../x", "a\nb"])
def test_no_users(declared):
    """What would be another line of passwd, or none, is refused."""
    with pytest.raises(ImageError, match="is no user"):
        user_of(declared)
