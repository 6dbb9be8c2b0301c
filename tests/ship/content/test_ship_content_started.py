"""Programs that a container is told to start, and that its image does not have, are named."""

from __future__ import annotations

import pytest

from esker.declare.image_table import ImageHealthCheck
from esker.ship.content.container_config import ContainerSettings
from esker.ship.content.started import missing_programs

PATH = "/opt/esker/env/bin:/usr/bin"
THERE = {"/opt/esker/env/bin/python", "/usr/bin/env", "/app/main", "/opt/esker/env/lib/python3"}


def told(*words, test=None):
    check = ImageHealthCheck(test=test) if test is not None else None
    return [*missing_programs(ContainerSettings(cmd=words, healthcheck=check), PATH, THERE)]


@pytest.mark.parametrize("words", [(), ("python", "-m", "app"), ("env", "x"), ("/app/other",), ("./main",)])
def test_what_is_there_or_has_a_place_of_its_own(words):
    """A program on PATH is found, and a path may lead to what a container gets when it starts."""
    assert told(*words) == []
    assert told(test=words or ("python",)) == []


def test_what_is_in_no_directory_of_path():
    """It is named with the key, and with the program that may be meant."""
    [remark] = told("pyton", "-m", "app")
    assert remark == (
        "`cmd` of [containerize.config] starts `pyton`, which is in no directory of the image's PATH; "
        "did you mean `python`?"
    )
    [remark] = told("main")
    assert remark.endswith("starts `main`, which is in no directory of the image's PATH")
    [remark] = told("python", test=("curl", "http://127.0.0.1"))
    assert remark.startswith("`healthcheck` of [plugins.esker.image] starts `curl`")
    assert told("python", test="curl http://127.0.0.1") == []
