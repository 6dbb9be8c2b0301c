"""The configuration of an image, from its contents: what the container engine is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esker.errors import ImageError
from esker.formats.oci.configuration import Configuration, HealthCheck
from esker.ship.content.services import HEALTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from esker.declare.image_table import ImageHealthCheck
    from esker.ship.content.contents import Contents

__all__ = ["configuration_of"]


def configuration_of(contents: Contents, labels: Mapping[str, str]) -> Configuration:
    """Return the configuration; `labels` are added to the declared ones. Raises ImageError.

    Without a declared command, and without one of the base, a container starts bash if the image has it.
    """
    container = contents.container
    check = container.healthcheck
    own = HealthCheck(("CMD", HEALTH)) if contents.runs_services else None
    if check is not None and isinstance(check.test, str) and not contents.has_shell:
        raise ImageError(
            "the health check is text for a shell, and the image has none",
            hint="write it as a list of words; or take conda's bash: esker install conda/bash",
        )
    shell = _shell(contents)
    return Configuration(
        env={variable.name: variable.value for variable in contents.variables.fixed},
        entrypoint=contents.entry.entrypoint,
        cmd=() if contents.runs_services else container.cmd or shell,
        user=container.user.numbers if container.has_user else "",
        working_dir=container.working_dir or "",
        ports=container.ports,
        volumes=container.volumes,
        labels={**container.labels, **labels},
        stop_signal=container.stop_signal or "",
        health_check=_health_check(check) if check else own,
    )


def _shell(contents: Contents) -> tuple[str, ...]:
    """Return what starts if no command is declared."""
    if contents.bash is None or (contents.base is not None and contents.base.config.settings.get("Cmd")):
        return ()
    return (contents.bash,)


def _health_check(check: ImageHealthCheck) -> HealthCheck:
    test = ("CMD-SHELL", check.test) if isinstance(check.test, str) else ("CMD", *check.test)
    return HealthCheck(
        test,
        interval=check.interval or 0,
        timeout=check.timeout or 0,
        start_period=check.start_period or 0,
        start_interval=check.start_interval or 0,
        retries=check.retries or 0,
    )
