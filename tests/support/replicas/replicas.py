"""Replicas: servers on the same Inkbox, each on a port of its own, which it keeps when it is started anew."""

import json
import signal
from collections.abc import Mapping

import anyio

from tests.support.replicas.machine import Machine, Program, free_ports

STATE_KEY = "a-secret-of-32-bytes-for-replicas"


class Replicas:
    """Several replicas.

    Args:
        machine: to start them on.
        inkbox: the URL of their Inkbox.
        options: of each of them.
        count: how many.

    Attributes:
        ports: of each.
        running: those of now, by number from 0.
        ended: those that were replaced.
    """

    def __init__(self, machine: Machine, inkbox: str, *options: str, count: int = 3) -> None:
        self.ports = free_ports(count)
        self.running: dict[int, Program] = {}
        self.ended: list[Program] = []
        self._machine = machine
        self._inkbox = inkbox
        self._options = options if "--drain-timeout" in options else ("--drain-timeout", "1", *options)

    async def start(self) -> None:
        """Start all of them."""
        async with anyio.create_task_group() as tasks:
            for number in range(len(self.ports)):
                tasks.start_soon(self._start, number)

    async def replace(self, number: int) -> None:
        """Start one anew that has ended."""
        self.ended.append(self.running[number])
        await self._start(number)

    async def stop(self) -> None:
        """Stop all of them, which must go well."""
        for program in self.running.values():
            program.signal(signal.SIGTERM)
        for program in self.running.values():
            assert await program.ends() == 0

    async def _start(self, number: int) -> None:
        options = (*self._options, "--port", self.ports[number])
        variables = {"INKBOX_BASE_URL": self._inkbox, "INKBOX_MCP_REQUEST_STATE_KEYS": STATE_KEY}
        self.running[number] = await self._machine.serve(*options, **variables)

    def calls(self) -> list[Mapping[str, object]]:
        """Return what all of them logged of calls, with `replica`, the port, beside it."""
        known = [(program.url.rpartition(":")[2], program) for program in [*self.ended, *self.running.values()]]
        lines = [(port, json.loads(line)) for port, program in known for line in program.log if line.startswith("{")]
        return [{"replica": port, **line} for port, line in lines if "tool" in line]
