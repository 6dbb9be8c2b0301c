"""The life of one service, whichever kind it is."""

from __future__ import annotations

import asyncio

import pytest

from esker.services.specification import ServiceSpec
from esker.services.supervised.programs import RunContext
from esker.services.supervised.service import Service


class Log:
    """A log without lines."""

    problem = None

    def recent(self, count):
        """Return nothing."""
        return []


class Brief(Service):
    """A kind with a mistake: it completes without ever having run, or fails to give back what it has."""

    advice = ""

    def __init__(self, *arguments, closes):
        self.closes = closes
        super().__init__(*arguments)

    async def _run(self):
        if not self.closes:
            self._become("Running")

    def _close(self):
        if not self.closes:
            raise OSError(5, "no")

    async def _end(self, grace):
        """Nothing runs."""

    _hurry = check = lambda self, *_: None

    def _prepare(self):
        """Nothing is needed."""


@pytest.mark.parametrize("closes", [True, False])
def test_a_mistake_at_the_end_is_a_failure(closes, capsys):
    """Whoever waits for the service is told; it does not stay as it was."""

    async def main():
        service = Brief(ServiceSpec(name="web", command=""), Log(), lambda _: None, closes=closes)

        async def ready(_):
            """It waits for nothing."""

        service.begin(service.spec, RunContext({}, "/"), ready)
        await service._life
        return service

    service = asyncio.run(main())
    assert service.state == "Error"
    assert service.failure.message.startswith("cannot end the service `web`: ")
    assert "Traceback" in capsys.readouterr().err
