"""Replicas: servers on the same Inkbox, each with a port that it keeps after a restart."""

import json
import signal
from collections.abc import Mapping

import anyio

from tests.support.replicas.machine import Machine, Program, free_ports

STATE_KEY = "a-secret-of-32-bytes-for-replicas"


class Replicas:
    """Several replicas.

    Args:
        machine: the machine that runs them.
        inkbox: the URL of their Inkbox.
        options: the options of each replica.
        count: the number of replicas.

    Attributes:
        ports: their ports.
        running: the current replicas, by number from 0.
        ended: the replaced replicas.
    """

    def __init__(self, machine: Machine, inkbox: str, *options: str, count: int = 3) -> None:
        self.ports = free_ports(count)
        self.running: dict[int, Program] = {}
        self.ended: list[Program] = []
        self._machine = machine
        self._inkbox = inkbox
        self._options = options if "--drain-timeout" in options else ("--drain-timeout", "1", *options)

    async def start(self) -> None:
        """Start all replicas."""
        async with anyio.create_task_group() as tasks:
            for number in range(len(self.ports)):
                tasks.start_soon(self._start, number)

    async def replace(self, number: int) -> None:
        """Start a replica again after it has ended."""
        self.ended.append(self.running[number])
        await self._start(number)

    async def stop(self) -> None:
        """Stop all replicas and check their status."""
        for program in self.running.values():
            program.signal(signal.SIGTERM)
        for program in self.running.values():
            assert await program.ends() == 0

    async def _start(self, number: int) -> None:
        options = (*self._options, "--port", self.ports[number])
        variables = {"INKBOX_BASE_URL": self._inkbox, "INKBOX_MCP_REQUEST_STATE_KEYS": STATE_KEY}
        self.running[number] = await self._machine.serve(*options, **variables)

    def calls(self) -> list[Mapping[str, object]]:
        """Return the log entries of all calls, with the replica's port as `replica`."""
        known = [(program.url.rpartition(":")[2], program) for program in [*self.ended, *self.running.values()]]
        lines = [(port, json.loads(line)) for port, program in known for line in program.log if line.startswith("{")]
        return [{"replica": port, **line} for port, line in lines if "tool" in line]
