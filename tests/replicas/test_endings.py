"""How one server ends, at bad moments and with clients that misbehave."""

import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import MCPError

from inkbox_mcp.process import SECONDS_TO_STOP
from tests.support.agents import KEY
from tests.support.event_streams import open_stream
from tests.support.processes import COMMAND, PATIENCE, upstream
from tests.support.raw_requests import GOOD_CALL
from tests.support.replicas.agents import connected
from tests.support.replicas.front import Asked, Front, Held, front
from tests.support.replicas.machine import Program, listens, machine

pytestmark = [pytest.mark.slow, pytest.mark.linux]

SLACK = 2.0
"""Seconds that an end may take on a busy machine beside those that it is given."""

CALL = GOOD_CALL.spoilt()


@asynccontextmanager
async def server_on(home: Path, inkbox: str, *options: str) -> AsyncGenerator[Program]:
    """Start one server on an Inkbox."""
    async with machine(home) as site:
        yield await site.serve("--stateless", *options, INKBOX_BASE_URL=inkbox)


@asynccontextmanager
async def server(home: Path, *options: str) -> AsyncGenerator[tuple[Program, Front]]:
    """Start one server, with a front between it and a sandbox."""
    async with machine(home) as site:
        inkbox = await site.sandbox()
        async with front(inkbox.url) as before_inkbox:
            yield await site.serve("--stateless", *options, INKBOX_BASE_URL=before_inkbox.url), before_inkbox


async def watch(program: Program) -> None:
    """Ask whether the server is ready, as a balancer does."""
    async with httpx2.AsyncClient(base_url=program.url, timeout=PATIENCE) as http:
        assert (await http.get("/readyz")).status_code == 200


@asynccontextmanager
async def raw_connection(program: Program) -> AsyncGenerator[SocketStream]:
    """Open a connection without a client."""
    async with await anyio.connect_tcp("127.0.0.1", httpx2.URL(program.url).port or 0) as stream:
        yield stream


@asynccontextmanager
async def call_under_way(program: Program, held: Held, answers: list[Any]) -> AsyncGenerator[None]:
    """Make a call that waits; later `answers` has its result, or its error if it was cut off."""

    async def call() -> None:
        try:
            async with connected(program.url, X_Request_ID="held") as agent:
                await agent.client.list_tools()  # otherwise the client asks for the schema after the call
                answers.append(await agent.ask("list_mailboxes"))
        except* (MCPError, httpx2.TransportError) as error:
            answers.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        with anyio.fail_after(PATIENCE):
            await held.came.wait()
        yield


async def ends_within(program: Program, seconds: float) -> None:
    """Check that the process ends with status 0 and in time."""
    started = anyio.current_time()
    assert await program.ends() == 0
    assert anyio.current_time() - started < seconds + SLACK


async def test_sigterm_during_the_start_ends_it(tmp_path: Path) -> None:
    """The status is 0 once the server has printed its address; before that the signal may end Python itself."""
    async with machine(tmp_path) as site:
        arguments = (*COMMAND, "--http", "--port", "0", "--stateless")
        for seconds in (0.0, 0.1, 0.3, 0.6):
            program = await site.run(*arguments, variables={"INKBOX_API_KEY": KEY})
            await anyio.sleep(seconds)
            program.signal(signal.SIGTERM)
            assert await program.ends() in {0, -signal.SIGTERM}
            assert "Traceback" not in "".join(program.log)
        for _ in range(2):
            program = await site.run(*arguments, variables={"INKBOX_API_KEY": KEY})
            await listens(program)
            program.signal(signal.SIGTERM)
            await ends_within(program, SECONDS_TO_STOP)
            assert "Traceback" not in "".join(program.log)


async def test_a_second_sigterm_does_not_wait(tmp_path: Path) -> None:
    """The running call is cut off, but the status is still 0."""
    answers: list[Any] = []
    async with server(tmp_path, "--drain-timeout", "600") as (program, before_inkbox):
        held = before_inkbox.holds("held")
        await watch(program)
        async with call_under_way(program, held, answers):
            program.signal(signal.SIGTERM)
            await program.logs("draining for at most 600 seconds; calls under way: 1")
            assert program.runs
            program.signal(signal.SIGTERM)
            await ends_within(program, SECONDS_TO_STOP)
    assert isinstance(answers[0], BaseExceptionGroup)


async def test_a_drain_of_no_seconds_does_not_wait(tmp_path: Path) -> None:
    """It waits neither for calls nor for balancers."""
    answers: list[Any] = []
    async with server(tmp_path, "--drain-timeout", "0") as (program, before_inkbox):
        held = before_inkbox.holds("held")
        await watch(program)
        async with call_under_way(program, held, answers):
            program.signal(signal.SIGTERM)
            await ends_within(program, SECONDS_TO_STOP)
    assert isinstance(answers[0], BaseExceptionGroup)


async def test_a_long_drain_ends_with_the_last_call(tmp_path: Path) -> None:
    """Without a balancer the server waits only for calls."""
    answers: list[Any] = []
    async with server(tmp_path, "--drain-timeout", "600") as (program, before_inkbox):
        held = before_inkbox.holds("held")
        async with call_under_way(program, held, answers):
            program.signal(signal.SIGTERM)
            await program.logs("calls under way: 1")
            held.goes.set()
            await ends_within(program, SECONDS_TO_STOP)
    assert answers[0]["total"] == 0


async def test_a_call_that_comes_at_the_last_moment_is_refused_or_finished(tmp_path: Path) -> None:
    """The server never accepts a call and then cuts it off, even if it was idle when SIGTERM came."""
    async with server(tmp_path) as (program, before_inkbox):
        before_inkbox.rule = slow
        answers = [b""] * 10
        async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            streams = [await stack.enter_async_context(raw_connection(program)) for _ in answers]
            for stream in streams:
                await stream.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await BufferedByteReceiveStream(stream).receive_until(b"}", 1000)
            program.signal(signal.SIGTERM)
            for number, stream in enumerate(streams):
                tasks.start_soon(call_late, stream, number, answers)
        assert await program.ends() == 0
    finished = [answer for answer in answers if answer.startswith(b"HTTP/1.1 200") and b'"total":0' in answer]
    assert len(finished) == len([asked for asked in before_inkbox.asked if asked.path.endswith("/mailboxes")])
    assert [answer for answer in answers if answer and answer not in finished] == []


async def test_streams_that_clients_keep_open_do_not_hold_it_up(tmp_path: Path) -> None:
    """Streams of earlier clients never end by themselves; the server closes them after the time for balancers."""
    async with machine(tmp_path) as site:
        program = await site.serve("--sandbox", "--drain-timeout", "1")
        await watch(program)
        async with open_stream(program.url):
            program.signal(signal.SIGTERM)
            await ends_within(program, 0.5 + SECONDS_TO_STOP)


async def test_a_client_that_does_not_read_its_answer_is_left(tmp_path: Path) -> None:
    """An answer that fills every buffer delays the end only until the drain is over."""
    mailbox = {"id": "1", "email_address": "a@inkboxmail.com", "display_name": "x" * 390_000, "created_at": ""}
    async with upstream([mailbox]) as api, server_on(tmp_path, api.url, "--drain-timeout", "1") as program:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", httpx2.URL(program.url).port or 0))
            client.sendall(CALL)
            await program.logs('"outcome": "ok"')
            program.signal(signal.SIGTERM)
            await ends_within(program, 1 + SECONDS_TO_STOP)


@pytest.mark.parametrize("end", [20, -20], ids=["in its headers", "in its body"])
async def test_a_request_that_never_becomes_whole_is_left(end: int, tmp_path: Path) -> None:
    """The drain waits for the rest of a request, but not beyond its timeout."""
    async with server(tmp_path, "--drain-timeout", "1") as (program, _), raw_connection(program) as stream:
        await stream.send(CALL[:end])
        await watch(program)
        program.signal(signal.SIGTERM)
        await ends_within(program, 1 + SECONDS_TO_STOP)


async def test_a_body_that_arrives_during_the_drain_is_taken(tmp_path: Path) -> None:
    """The call is answered, and the connection is closed afterwards."""
    async with server(tmp_path) as (program, _), raw_connection(program) as stream:
        await stream.send(CALL[:-20])
        await watch(program)
        program.signal(signal.SIGTERM)
        await program.logs("draining for at most")
        await stream.send(CALL[-20:])
        answer = b"".join([part async for part in stream])
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer.lower()


async def test_connections_that_are_kept_are_closed_between_two_calls(tmp_path: Path) -> None:
    """A client that obeys `Connection: close` loses no call."""
    async with server(tmp_path, "--drain-timeout", "2") as (program, _):
        await watch(program)
        calls: list[int] = []
        enough = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(call_until_closed, program, calls, enough)
            with anyio.fail_after(PATIENCE):
                await enough.wait()
            program.signal(signal.SIGTERM)
        await ends_within(program, 2)


async def call_until_closed(program: Program, calls: list[int], enough: anyio.Event) -> None:
    """Call repeatedly on one connection until the server answers `Connection: close`."""
    headers = {name: value for name, value in GOOD_CALL.headers.items() if name != "Host"}
    async with httpx2.AsyncClient(base_url=program.url, headers=headers, timeout=PATIENCE) as http:
        is_kept = True
        while is_kept:
            answer = await http.post("/mcp", content=GOOD_CALL.body)
            assert answer.status_code == 200
            is_kept = answer.headers.get("connection") != "close"
            calls.append(answer.status_code)
            if len(calls) >= 40:
                enough.set()


async def test_an_idle_connection_ends_without_a_reset(tmp_path: Path) -> None:
    """A clean close tells the client that no later request was accepted."""
    async with server(tmp_path) as (program, _), raw_connection(program) as stream:
        await stream.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await BufferedByteReceiveStream(stream).receive_until(b"}", 1000)
        program.signal(signal.SIGTERM)
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        assert await program.ends() == 0


async def test_a_hangup_ends_it(tmp_path: Path) -> None:
    """A terminal that closes sends SIGHUP, which a server need not survive."""
    async with machine(tmp_path) as site:
        program = await site.serve("--stateless", "--drain-timeout", "1")
        program.signal(signal.SIGHUP)
        assert await program.ends() in {0, -signal.SIGHUP}


@pytest.mark.parametrize("closing", ["2>&-", "2> >(:)"], ids=["closed", "nobody reads"])
async def test_it_serves_and_ends_without_a_log(closing: str, tmp_path: Path) -> None:
    """A call must not fail because its log line cannot be written."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with machine(tmp_path) as site:
        arguments = (*COMMAND, "--http", "--sandbox", "--port", str(port))
        program = await site.run("bash", "-c", f'exec "$@" {closing}', "bash", *arguments)
        program.url = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=program.url) as http:
            with anyio.fail_after(PATIENCE):
                while not await is_up(http):
                    await anyio.lowlevel.checkpoint()
        async with connected(program.url) as agent:
            await agent.ask("create_mailbox", agent_handle="sales-agent")
        program.signal(signal.SIGTERM)
        await ends_within(program, SECONDS_TO_STOP)


async def is_up(http: httpx2.AsyncClient) -> bool:
    """Return whether the server answers yet."""
    try:
        return (await http.get("/healthz")).status_code == 200
    except httpx2.ConnectError:
        return False


async def call_late(stream: SocketStream, number: int, answers: list[bytes]) -> None:
    """Make a call some milliseconds from now and read its answer; keep nothing if the call is refused."""
    await anyio.sleep(number / 100)
    try:
        await stream.send(CALL)
        while True:
            answers[number] += await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        pass


async def slow(_: Asked) -> None:
    """Make each answer of Inkbox take as long as a server that does not wait needs to stop."""
    await anyio.sleep(SECONDS_TO_STOP)
