"""The machine that a platform would be: processes that come and go while a test watches their logs."""

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
"""The lowest port that the kernel gives to outgoing connections; one of those could take a stopped replica's port."""


class Program:
    """A running program whose log, stdout and stderr, is read as it is written."""

    def __init__(self, process: anyio.abc.Process, url: str = "") -> None:
        self.url = url
        self.log: list[str] = []
        self._process = process
        self._more = anyio.Event()
        self._over = anyio.Event()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def read(self) -> None:
        """Read its log until every process that writes it has ended."""
        assert self._process.stdout
        stream = BufferedByteReceiveStream(self._process.stdout)
        with contextlib.suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError):
            while True:
                self.log.append((await stream.receive_until(b"\n", MAX_LINE)).decode())
                self._more.set()
        self._over.set()
        self._more.set()

    async def logs(self, part: str, after: int = 0, times: int = 1) -> str:
        """Wait for a line that has this part, from number `after` on; for the last of so many such lines."""
        with anyio.fail_after(PATIENCE):
            while True:
                found = [line for line in self.log[after:] if part in line]
                if len(found) >= times:
                    return found[times - 1]
                assert not self._over.is_set(), f"ended and did not log {part!r} so often: {self.log[-5:]}"
                self._more = anyio.Event()
                await self._more.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ends(self, patience: float = PATIENCE) -> int:
        """Wait until it has ended, and all that write its log, and return its status."""
        with anyio.fail_after(patience):
            status = await self._process.wait()
            await self._over.wait()
            return status

    async def end(self) -> None:
        """Kill it, and the processes that it forked."""
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
        home: the directory of users' files.
        tasks: where the logs are read.
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
            command: with its arguments.
            fds: file descriptors that it inherits.
            variables: of its environment.
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
        """Start `inkbox-mcp --http` and wait until it listens; its key is `KEY`."""
        settings = {"INKBOX_API_KEY": KEY, "INKBOX_MCP_LOG_FORMAT": "json", "INKBOX_MCP_PORT": "0", **variables}
        program = await self.run(*COMMAND, "--http", *arguments, variables=settings)
        await listens(program)
        return program

    async def sandbox(self) -> Program:
        """Start an Inkbox that lives in the file `sandbox.db` of the home."""
        program = await self.run(*COMMAND, "sandbox", "--port", "0", "--db", str(self.home / "sandbox.db"))
        program.url = (await program.logs("INKBOX_BASE_URL=")).strip().rpartition("=")[2]
        return program


async def listens(program: Program) -> None:
    """Wait until a server listens, and note its URL."""
    announcement = await program.logs("serving MCP at ")
    program.url = announcement.partition("serving MCP at ")[2].partition("/mcp")[0]


@asynccontextmanager
async def machine(home: Path) -> AsyncGenerator[Machine]:
    """Give a machine, and end in any case what was started on it."""
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
    """Return the processes that a process has forked and that live."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def free_ports(count: int) -> list[str]:
    """Find ports that nobody listens on and that stay free while a server is restarted."""
    found: list[str] = []
    for port in random.sample(range(EPHEMERAL // 2, EPHEMERAL), 1000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(str(port))
        if len(found) == count:
            return found
    raise AssertionError("this machine has no free ports")
