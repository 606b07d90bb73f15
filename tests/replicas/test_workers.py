"""Several processes on one port: they share the calls, are replaced when they die, and all end with their parent."""

import contextlib
import os
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx2
import pytest
from anyio.abc import SocketStream, TaskStatus
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import MCPError
from prometheus_client.parser import text_string_to_metric_families

from inkbox_mcp.http.workers import SECONDS_BETWEEN_STARTS
from inkbox_mcp.transports import SECONDS_TO_STOP
from tests.conftest import KEY
from tests.processes import COMMAND, PATIENCE
from tests.replicas.agents import connected
from tests.replicas.front import Asked, Front, front
from tests.replicas.machine import Program, children, listens, machine

pytestmark = pytest.mark.slow

WORKERS = ("--workers", "3", "--stateless")
CONNECTIONS = 40
"""So many that none of three workers goes without, but once in a million runs."""


@asynccontextmanager
async def workers(home: Path, *options: str) -> AsyncGenerator[tuple[Program, Front]]:
    """Start three workers, with a front between them and a sandbox."""
    async with machine(home) as site:
        inkbox = await site.sandbox()
        async with front(inkbox.url) as before_inkbox:
            drain = () if "--drain-timeout" in options else ("--drain-timeout", "2")
            arguments = (*WORKERS, *drain, *options)
            program = await site.serve(*arguments, INKBOX_BASE_URL=before_inkbox.url)
            yield program, before_inkbox


async def forked(parent: Program, count: int) -> list[int]:
    """Wait until a process has so many others, and return them."""
    with anyio.fail_after(PATIENCE):
        while len(found := children(parent.pid)) != count:
            await anyio.lowlevel.checkpoint()
        return found


class Holding:
    """Calls that wait for their answers: those whose id begins with `held`."""

    def __init__(self, before_inkbox: Front, count: int, results: list[bool]) -> None:
        self.came = anyio.Event()
        self.goes = anyio.Event()
        self.results = results
        self._waiting = 0
        self._count = count
        before_inkbox.rule = self._rule

    async def _rule(self, asked: Asked) -> None:
        if asked.request_id.startswith("held"):
            self._waiting += 1
            if self._waiting == self._count:
                self.came.set()
            await self.goes.wait()

    async def call(self, url: str, number: int) -> None:
        """Make one of the calls."""
        async with connected(url, X_Request_ID=f"held-{number}") as agent:
            await agent.client.list_tools()  # or it would look up the tool's schema after the call
            self.results.append(not (await agent.call("list_mailboxes")).is_error)


async def test_they_share_the_connections_and_are_replaced_when_killed(tmp_path: Path) -> None:
    """Each of three workers has its share of them, which dies with it; calls made after that are all answered."""
    async with workers(tmp_path) as (parent, _), anyio.create_task_group() as tasks:
        first = await forked(parent, 3)
        died: list[int] = []
        killed = 0

        async def hold(*, task_status: TaskStatus[None]) -> None:
            async with connection(parent.url) as stream:
                task_status.started()
                with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    await stream.receive()
                died.append(killed)

        async with anyio.create_task_group() as connecting:
            for _ in range(CONNECTIONS):
                connecting.start_soon(tasks.start, hold)
        for pid in first:
            seen = len(parent.log)
            killed = pid
            os.kill(pid, signal.SIGKILL)
            await parent.logs(f"worker {pid} ended with status -9", after=seen)
            async with anyio.create_task_group() as calling:
                # Many of these come to the port of the worker that is not there, and wait for the next one.
                for _ in range(CONNECTIONS // 4):
                    calling.start_soon(make_a_call, parent.url)
        assert len(died) == CONNECTIONS
        assert set(died) == set(first)
        assert not set(first) & set(await forked(parent, 3))
        parent.signal(signal.SIGTERM)
        assert await parent.ends() == 0


@asynccontextmanager
async def connection(url: str) -> AsyncGenerator[SocketStream]:
    """Open a connection that a worker has taken, and begin a request on it, so that it is not closed for being idle."""
    async with await anyio.connect_tcp("127.0.0.1", httpx2.URL(url).port or 0) as stream:
        await stream.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await BufferedByteReceiveStream(stream).receive_until(b"}", 1000)
        await stream.send(b"GET /healthz HTTP/1.1\r\n")
        yield stream


async def make_a_call(url: str) -> None:
    """Connect, and make a call that must succeed."""
    async with connected(url) as agent:
        await agent.ask("list_mailboxes")


@pytest.mark.parametrize("group", [False, True], ids=["the parent", "all processes"])
async def test_sigterm_lets_every_worker_finish_its_calls(group: bool, tmp_path: Path) -> None:
    """Whether the parent alone gets it, as in a container, or each process, as from systemd."""
    results: list[bool] = []
    async with (
        workers(tmp_path, "--drain-timeout", "6") as (parent, before_inkbox),
        anyio.create_task_group() as tasks,
    ):
        holding = Holding(before_inkbox, 12, results)
        for number in range(12):
            tasks.start_soon(holding.call, parent.url, number)
        await holding.came.wait()
        pids = await forked(parent, 3)
        parent.signal(signal.SIGTERM)
        await parent.logs("draining for at most", times=3)
        for pid in pids if group else []:
            os.kill(pid, signal.SIGTERM)
        # A call that is cut off is cut off within this time.
        with pytest.raises(TimeoutError):
            await parent.ends(SECONDS_TO_STOP + 0.5)
        holding.goes.set()
        assert await parent.ends() == 0
    assert results == [True] * 12


async def test_no_connection_waits_for_a_worker_that_has_ended(tmp_path: Path) -> None:
    """While another one still finishes a call, clients that connect are served or refused, and do not hang."""
    results: list[bool] = []
    async with (
        workers(tmp_path, "--drain-timeout", "6") as (parent, before_inkbox),
        anyio.create_task_group() as tasks,
    ):
        holding = Holding(before_inkbox, 1, results)
        tasks.start_soon(holding.call, parent.url, 0)
        await holding.came.wait()
        await forked(parent, 3)
        parent.signal(signal.SIGTERM)
        await forked(parent, 1)
        async with httpx2.AsyncClient(base_url=parent.url, timeout=1) as http:
            for _ in range(CONNECTIONS // 2):
                with contextlib.suppress(httpx2.ConnectError):
                    assert (await http.get("/healthz", headers={"Connection": "close"})).status_code == 200
        holding.goes.set()
        assert await parent.ends() == 0
    assert results == [True]


async def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Nobody keeps the port, or holds the log open, and the calls under way are finished all the same."""
    results: list[bool] = []
    async with workers(tmp_path) as (parent, before_inkbox), anyio.create_task_group() as tasks:
        holding = Holding(before_inkbox, 6, results)
        for number in range(6):
            tasks.start_soon(holding.call, parent.url, number)
        await holding.came.wait()
        parent.signal(signal.SIGKILL)
        await parent.logs("draining for at most", times=3)
        holding.goes.set()
        assert await parent.ends() == -signal.SIGKILL  # and all that write its log
        socket.create_server(("127.0.0.1", httpx2.URL(parent.url).port or 0)).close()
    assert results == [True] * 6


async def test_a_worker_that_dies_at_its_start_does_not_keep_the_machine_busy(tmp_path: Path) -> None:
    """One start a second, and the end is as quick as ever."""
    async with machine(tmp_path) as site:
        # Only workers write files: the numbers that they share.
        script = 'ulimit -f 1; exec "$@"'
        arguments = (*COMMAND, "--http", "--metrics", *WORKERS)
        settings = {"INKBOX_API_KEY": KEY, "INKBOX_MCP_PORT": "0"}
        started = anyio.current_time()
        parent = await site.run("sh", "-c", script, "sh", *arguments, variables=settings)
        await parent.logs("ended with status 1", times=5)
        assert anyio.current_time() - started >= 3 * SECONDS_BETWEEN_STARTS
        parent.signal(signal.SIGTERM)
        assert await parent.ends(SECONDS_BETWEEN_STARTS + 2) == 0


async def test_other_processes_of_the_parent_do_not_disturb_it(tmp_path: Path) -> None:
    """The first process of a container inherits the orphans, and a program that a shell becomes the shell's jobs."""
    async with machine(tmp_path) as site:
        script = '(read line < "$0"; exit 3) & exec "$@"'
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        settings = {"INKBOX_API_KEY": KEY, "INKBOX_MCP_PORT": "0"}
        parent = await site.run("sh", "-c", script, str(fifo), *COMMAND, "--http", *WORKERS, variables=settings)
        await listens(parent)
        async with httpx2.AsyncClient(base_url=parent.url, timeout=PATIENCE) as http:
            assert (await http.get("/healthz")).status_code == 200
            fifo.write_text("go on\n")
            await forked(parent, 3)
            for _ in range(10):
                async with httpx2.AsyncClient(base_url=parent.url, timeout=PATIENCE) as another:
                    assert (await another.get("/healthz")).status_code == 200
        assert parent.runs
        parent.signal(signal.SIGTERM)
        assert await parent.ends() == 0


async def test_metrics_are_those_of_all_workers(tmp_path: Path) -> None:
    """Whichever is asked; the calls of a worker that was killed stay counted, but are no longer under way."""
    results: list[bool] = []
    async with workers(tmp_path, "--metrics") as (parent, before_inkbox):
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(make_a_call, parent.url)
        calls = "inkbox_mcp_calls_total ok list_mailboxes"
        assert await everywhere(parent.url, calls) == {20.0}
        holding = Holding(before_inkbox, 9, results)
        async with anyio.create_task_group() as tasks:
            for number in range(9):
                tasks.start_soon(cut_short, holding, parent.url, number)
            await holding.came.wait()
            assert await everywhere(parent.url, "inkbox_mcp_calls_in_flight") == {9.0}
            for pid in await forked(parent, 3):
                os.kill(pid, signal.SIGKILL)
                await parent.logs(f"worker {pid} ended with status -9")
        assert not results
        assert await everywhere(parent.url, "inkbox_mcp_calls_in_flight") == {0.0}
        assert await everywhere(parent.url, calls) == {20.0}
        holding.goes.set()
        parent.signal(signal.SIGTERM)
        assert await parent.ends() == 0


async def cut_short(holding: Holding, url: str, number: int) -> None:
    """Make one of the calls that wait, at a worker that is killed meanwhile."""
    try:
        await holding.call(url, number)
    except* (MCPError, httpx2.TransportError):
        pass


async def everywhere(url: str, sample: str) -> set[float]:
    """Read a number of the metrics over so many connections that each worker tells it."""
    return {await read(url, sample) for _ in range(CONNECTIONS // 4)}


async def read(url: str, sample: str) -> float:
    """Read a number of the metrics, such as `inkbox_mcp_calls_total ok list_mailboxes`."""
    async with httpx2.AsyncClient(timeout=PATIENCE) as http:
        page = (await http.get(f"{url}/metrics")).text
    (value,) = (
        each.value
        for family in text_string_to_metric_families(page)
        for each in family.samples
        if " ".join([each.name, *each.labels.values()]) == sample
    )
    return value


async def test_a_port_that_other_workers_serve_stops_the_start(tmp_path: Path) -> None:
    """Two servers that share a port by mistake would each answer some of the calls."""
    async with workers(tmp_path) as (parent, _), machine(tmp_path) as site:
        port = str(httpx2.URL(parent.url).port)
        second = await site.run(*COMMAND, "--http", *WORKERS, "--port", port, variables={"INKBOX_API_KEY": KEY})
        await second.logs(f"inkbox-mcp: --port {port}: ")
        assert await second.ends() == 2
