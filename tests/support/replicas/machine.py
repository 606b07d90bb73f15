"""A machine as a platform runs it: a test starts and ends processes and reads their logs."""

import contextlib
import os
import random
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.support.agents import KEY
from tests.support.processes import COMMAND, MAX_LINE, PATIENCE, environment

EPHEMERAL = 32768
"""The lowest port that the kernel gives to outgoing connections, which could take a stopped replica's port."""


class Program:
    """A running program; its stdout and stderr are read as they are written."""

    def __init__(self, process: anyio.abc.Process) -> None:
        self.url = ""
        self.log: list[str] = []
        self._process = process
        self._more = anyio.Event()
        self._over = anyio.Event()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process is still running."""
        return self._process.returncode is None

    async def read(self) -> None:
        """Read the log until every process that writes to it has ended."""
        assert self._process.stdout
        stream = BufferedByteReceiveStream(self._process.stdout)
        with contextlib.suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError):
            while True:
                self.log.append((await stream.receive_until(b"\n", MAX_LINE)).decode())
                self._more.set()
        self._over.set()
        self._more.set()

    async def logs(self, part: str, after: int = 0) -> str:
        """Wait until this part occurs in the log, from line `after` on; return the first such line."""
        with anyio.fail_after(PATIENCE):
            while True:
                if found := [line for line in self.log[after:] if part in line]:
                    return found[0]
                assert not self._over.is_set(), f"ended and did not log {part!r}: {self.log[-5:]}"
                self._more = anyio.Event()
                await self._more.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    async def ends(self, patience: float = PATIENCE) -> int:
        """Wait until the process and all that write to its log have ended; return its status."""
        with anyio.fail_after(patience):
            status = await self._process.wait()
            await self._over.wait()
            return status

    async def end(self) -> None:
        """Kill the process and its children."""
        if self.runs:
            forked = children(self.pid)
            self._process.kill()
            for pid in forked:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await self._process.aclose()


class Machine:
    """Starts the programs of a test.

    Args:
        home: the home directory of the programs.
        tasks: the task group that reads the logs.
    """

    def __init__(self, home: Path, tasks: anyio.abc.TaskGroup) -> None:
        self.home = home
        self.programs: list[Program] = []
        self._tasks = tasks

    async def run(
        self, *command: str, fds: tuple[int, ...] = (), variables: Mapping[str, str] | None = None
    ) -> Program:
        """Start a command.

        Args:
            command: the command and its arguments.
            fds: the file descriptors to inherit.
            variables: its environment variables.
        """
        process = await anyio.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            env=environment(self.home, **(variables or {})),
            pass_fds=fds,
        )
        program = Program(process)
        self.programs.append(program)
        self._tasks.start_soon(program.read)
        return program

    async def serve(self, *arguments: str, **variables: str) -> Program:
        """Start `inkbox-mcp --http` with `KEY` and wait until it listens."""
        settings = {"INKBOX_API_KEY": KEY, "INKBOX_MCP_LOG_FORMAT": "json", "INKBOX_MCP_PORT": "0", **variables}
        program = await self.run(*COMMAND, "--http", *arguments, variables=settings)
        await listens(program)
        return program

    async def sandbox(self) -> Program:
        """Start a sandbox of Inkbox on the file `sandbox.db` in the home."""
        program = await self.run(*COMMAND, "sandbox", "--port", "0", "--db", str(self.home / "sandbox.db"))
        program.url = (await program.logs("INKBOX_BASE_URL=")).strip().rpartition("=")[2]
        return program


async def listens(program: Program) -> None:
    """Wait until a server listens, and set its URL."""
    announcement = await program.logs("serving MCP at ")
    program.url = announcement.partition("serving MCP at ")[2].partition("/mcp")[0]


@asynccontextmanager
async def machine(home: Path) -> AsyncGenerator[Machine]:
    """Make a machine, and end all of its programs in every case."""
    async with anyio.create_task_group() as tasks:
        made = Machine(home, tasks)
        try:
            yield made
        finally:
            with anyio.CancelScope(shield=True):
                for program in reversed(made.programs):
                    await program.end()
            tasks.cancel_scope.cancel()


def children(pid: int) -> list[int]:
    """Return the running children of a process."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def free_ports(count: int) -> list[str]:
    """Return unused ports that stay unused while a server is restarted."""
    found: list[str] = []
    for port in random.sample(range(EPHEMERAL // 2, EPHEMERAL), 1000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(str(port))
        if len(found) == count:
            return found
    raise AssertionError("this machine has no free ports")
