"""Calls end in time, at a bounded cost, and do not delay each other, even if the API is slow, large or absent."""

import json
import socket
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from mcp import Client

from tests.support.agents import KEY, Agent, connect, text
from tests.support.faults import (
    FINE,
    FLOODED,
    REDIRECTED,
    STALLED_AFTER,
    STALLED_BEFORE,
    Fault,
    FaultyInkbox,
    Hold,
    faulty_inkbox,
    refusal,
)
from tests.support.http_in_process import serve_in_process
from tests.support.processes import stdio_agent

SOON = 5.0
"""Seconds allowed for something that should happen at once; a call may take 30."""

MANY = 20_000


@asynccontextmanager
async def by(way: str, mode: str, url: str, home: Path) -> AsyncGenerator[Agent]:
    """Connect an agent to a server in this process, over stdio or over HTTP."""
    match way:
        case "stdio":
            async with stdio_agent(home=home, mode=mode, INKBOX_API_KEY=KEY, INKBOX_BASE_URL=url) as agent:
                yield agent
        case "http":
            async with (
                serve_in_process("--api-generation", "spec", INKBOX_API_KEY=KEY, INKBOX_BASE_URL=url) as origin,
                Client(f"{origin}/mcp", mode=mode) as client,
            ):
                yield Agent(client)
        case _:
            async with connect(url, mode) as agent:
                yield agent


@pytest.mark.parametrize(
    ("way", "era"),
    [
        *[("in process", era) for era in ("auto", "legacy")],
        *[("http", era) for era in ("auto", "legacy")],
        ("stdio", "auto"),
        pytest.param("stdio", "legacy", marks=pytest.mark.slow),
    ],
)
async def test_a_call_that_waits_holds_nobody_up_and_ends_when_its_client_cancels_it(
    way: str, era: str, tmp_path: Path
) -> None:
    """Other calls are answered meanwhile. After the cancellation, the connection to the API is closed."""
    async with faulty_inkbox([STALLED_BEFORE]) as inkbox, by(way, era, inkbox.url, tmp_path) as agent:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.client.call_tool, "get_mailbox", {"email_address": "sales"})
            with anyio.fail_after(SOON):
                await inkbox.stalled.wait()
                assert (await agent.client.list_tools()).tools
                assert (await agent.ask("list_identities"))["total"] == 2
                assert not inkbox.gone.is_set()
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await inkbox.gone.wait()
        with anyio.fail_after(SOON):
            assert (await agent.ask("list_identities"))["total"] == 2
        assert [request.path for request in inkbox.requests].count("/api/v1/mail/mailboxes/sales") == 1


async def test_an_answer_over_http_is_not_held_back(tmp_path: Path) -> None:
    """A client's machine may take 40 ms to acknowledge the first half; the second half must not wait for that."""
    async with faulty_inkbox() as inkbox, by("http", "auto", inkbox.url, tmp_path) as agent:
        seconds: list[float] = []
        for _ in range(30):
            before = anyio.current_time()
            await agent.refused("get_mailbox", email_address="no address")
            seconds.append(anyio.current_time() - before)
        assert min(seconds[20:]) < 0.03


async def test_cancelling_a_change_releases_what_it_locked(era: str) -> None:
    """The next call for the same mailbox does not wait for the one that was cancelled."""
    async with faulty_inkbox([STALLED_AFTER]) as inkbox, connect(inkbox.url, era, max_concurrency=1) as agent:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.client.call_tool, "delete_mailbox", {"email_address": "sales"})
            await inkbox.stalled.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(SOON):
            assert "404" in await agent.refused("delete_mailbox", email_address="sales")


@pytest.mark.parametrize(
    "fault",
    [
        STALLED_BEFORE,
        Fault(answers=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000),
        pytest.param(Fault(answers=b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n["), marks=pytest.mark.slow),
    ],
    ids=["silent", "only hints", "short body"],
)
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("get_mailbox", {"email_address": "sales"}),
        ("create_mailbox", {"agent_handle": "sales-agent"}),
    ],
)
async def test_a_call_ends_with_its_deadline(tool: str, arguments: dict[str, str], fault: Fault) -> None:
    """The deadline covers all attempts and every part of the answer."""
    async with faulty_inkbox([fault] * 9) as inkbox, connect(inkbox.url, timeout=0.5) as agent:
        before = anyio.current_time()
        with anyio.fail_after(SOON):
            result = await agent.call(tool, **arguments)
        assert anyio.current_time() - before < 2
        assert (result.meta or {})["code"] == ("unreachable" if tool == "get_mailbox" else "outcome_unknown")


async def test_an_answer_that_trickles_ends_with_the_deadline() -> None:
    """New bytes do not extend the deadline."""
    paused = anyio.Event()

    async def trickle(stream: SocketStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
        while True:
            await stream.send(b" ")
            with anyio.move_on_after(0.05):
                await paused.wait()

    async with answering(trickle) as port, connect(f"http://127.0.0.1:{port}", timeout=0.5) as agent:
        before = anyio.current_time()
        with anyio.fail_after(SOON):
            assert "did not answer" in await agent.refused("list_identities")
        assert anyio.current_time() - before < 2


def gzipped(megabytes: int) -> bytes:
    """Write a compressed answer that is hundreds of times as large when it is unpacked."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    body = b"".join(packer.compress(bytes(1_000_000)) for _ in range(megabytes)) + packer.flush()
    return refusal(200, "Content-Encoding: gzip", body=body)


LARGE = b"[" + b" " * (11 * 1024**2) + b"]"


@pytest.mark.parametrize(
    "fault",
    [
        FLOODED,
        Fault(answers=refusal(200, body=LARGE)),
        Fault(answers=refusal(404, body=LARGE)),
        Fault(answers=gzipped(60)),
    ],
    ids=["endless", "large", "large refusal", "packed"],
)
async def test_an_answer_over_10_mb_is_cut(fault: Fault) -> None:
    """The rest of the answer is not read, and its connection is not used again."""
    async with faulty_inkbox([fault]) as inkbox, connect(inkbox.url) as agent:
        result = await agent.call("list_identities")
        assert "larger than 10 MB" in text(result)
        assert (result.meta or {})["code"] == "unexpected_response"
        assert len(inkbox.requests) == 1
        assert (await agent.ask("list_identities"))["total"] == 2


async def test_an_answer_just_under_10_mb_is_read() -> None:
    """The limit must not refuse an answer that is smaller than it."""
    body = b"[" + b" " * (10 * 1024**2 - 2) + b"]"
    async with faulty_inkbox([Fault(answers=refusal(200, body=body))]) as inkbox, connect(inkbox.url) as agent:
        assert (await agent.ask("list_identities"))["total"] == 0


async def test_headers_without_an_end_are_cut() -> None:
    """The limit on the size of an answer must also cover its headers."""
    endless = Fault(answers=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000)
    async with faulty_inkbox([endless] * 3) as inkbox, connect(inkbox.url) as agent:
        with anyio.fail_after(SOON):
            assert "did not answer" in await agent.refused("list_identities")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """The key is sent only to the base URL, and a redirect loop cannot start."""
    redirect = Fault(answers=refusal(status, "Location: /api/v1/identities", body=b""))
    async with faulty_inkbox([redirect] * 9) as inkbox, connect(inkbox.url) as agent:
        message = await agent.refused("list_identities")
        assert f"redirect ({status}), which is not followed" in message
        assert len(inkbox.requests) == 1


async def test_a_redirected_change_is_not_followed() -> None:
    """A redirect does not make the server repeat a change."""
    async with faulty_inkbox([REDIRECTED] * 9) as inkbox, connect(inkbox.url) as agent:
        assert "redirect" in await agent.refused("create_mailbox", agent_handle="sales-agent")
        assert inkbox.methods().count("POST") <= 1
        assert len(inkbox.requests) <= 2


ADDRESS = "/api/v1/mail/mailboxes/"


def asked(inkbox: FaultyInkbox) -> list[str]:
    """Return the addresses that the API was asked for, in order."""
    return [request.path.removeprefix(ADDRESS) for request in inkbox.requests]


async def test_no_more_calls_than_allowed_are_under_way_and_the_others_are_served_in_order(era: str) -> None:
    """Each answer lets exactly one waiting request start."""
    limit, calls = 3, 9
    holds = [Hold() for _ in range(calls)]
    found = refusal(200, body=b'{"id": "1", "email_address": "a@inkboxmail.com"}')
    script = [Fault(answers=found, held=hold) for hold in holds]
    async with faulty_inkbox(script) as inkbox, connect(inkbox.url, era, max_concurrency=limit) as agent:
        async with anyio.create_task_group() as tasks:
            for number in range(calls):
                tasks.start_soon(agent.client.call_tool, "get_mailbox", {"email_address": f"m{number}"})
                await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(SOON):
                for served in range(calls):
                    under_way = holds[served : served + limit]
                    for hold in under_way:
                        await hold.came.wait()
                    await anyio.wait_all_tasks_blocked()
                    assert len(inkbox.requests) == min(served + limit, calls)
                    holds[served].goes.set()
        assert asked(inkbox) == [f"m{number}" for number in range(calls)]


@pytest.mark.slow
async def test_the_limit_is_an_option_of_the_command(tmp_path: Path) -> None:
    """A real process must apply the limit of its command line."""
    holds = [Hold() for _ in range(4)]
    async with (
        faulty_inkbox([replace(FINE, held=hold) for hold in holds]) as inkbox,
        stdio_agent("--max-concurrency", "2", home=tmp_path, INKBOX_BASE_URL=inkbox.url, INKBOX_API_KEY=KEY) as agent,
        anyio.create_task_group() as tasks,
    ):
        for _ in holds:
            tasks.start_soon(agent.client.call_tool, "list_identities")
        with anyio.fail_after(SOON):
            await holds[1].came.wait()
            await agent.client.list_tools()
            assert len(inkbox.requests) == 2
            for hold in holds:
                hold.goes.set()
            await holds[3].came.wait()


async def test_a_waiter_that_is_cancelled_frees_its_place(era: str) -> None:
    """Its request is never sent, and the next waiting call is served."""
    first = Hold()
    script = [replace(FINE, held=first)]
    async with faulty_inkbox(script) as inkbox, connect(inkbox.url, era, max_concurrency=1) as agent:
        async with anyio.create_task_group() as tasks, anyio.create_task_group() as impatient:
            tasks.start_soon(agent.client.call_tool, "get_mailbox", {"email_address": "first"})
            await first.came.wait()
            impatient.start_soon(agent.client.call_tool, "get_mailbox", {"email_address": "impatient"})
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(agent.client.call_tool, "get_mailbox", {"email_address": "last"})
            await anyio.wait_all_tasks_blocked()
            impatient.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.wait_all_tasks_blocked()
                first.goes.set()
        with anyio.fail_after(SOON):
            assert "404" in await agent.refused("get_mailbox", email_address="after")
        named = [name for name in asked(inkbox) if "/" not in name]  # each 404 causes a look at the list
        assert named == ["first", "last", "after"]


async def test_a_call_that_waits_too_long_for_its_turn_says_so() -> None:
    """The call looks up the allowed identities; then another call takes the only connection and keeps it."""
    identities = [{"agent_handle": "sales-agent", "email_address": "sales@inkboxmail.com"}]
    look = Hold()
    script = [Fault(answers=refusal(200, body=json.dumps(identities).encode()), held=look), STALLED_BEFORE]
    async with (
        faulty_inkbox(script) as inkbox,
        connect(inkbox.url, max_concurrency=1, timeout=0.6, allow_handles="sales-*") as agent,
        anyio.create_task_group() as tasks,
    ):

        async def take_the_next_turn() -> None:
            await look.came.wait()
            tasks.start_soon(agent.client.call_tool, "list_identities")
            await anyio.wait_all_tasks_blocked()
            look.goes.set()

        tasks.start_soon(take_the_next_turn)
        result = await agent.call("get_mailbox", email_address="sales")
        assert "other calls held every connection for 0.6 seconds, so nothing was sent" in text(result)
        assert (result.meta or {})["retryable"] is True
        assert asked(inkbox) == ["/api/v1/identities", "/api/v1/identities"]


def mailboxes(number: int) -> Fault:
    """Answer with so many mailboxes, each with the longest name."""
    body = [
        {
            "id": f"{index:08}",
            "email_address": f"m{index}@inkboxmail.com",
            "display_name": f"{index} ".ljust(255, "x"),
            "webhook_url": None,
            "status": "active",
            "created_at": f"2026-01-01T00:00:00.{index:06}Z",
            "updated_at": "2026-01-01T00:00:00Z",
        }
        for index in range(number)
    ]
    return Fault(answers=refusal(200, body=json.dumps(body).encode()))


@pytest.mark.parametrize("number", [1_000, MANY])
async def test_many_mailboxes_do_not_overflow_a_result(number: int) -> None:
    """The size of a page does not grow with the number of mailboxes, and its total shows that number."""
    everything = mailboxes(number)
    async with faulty_inkbox([everything] * 6) as inkbox, connect(inkbox.url) as agent:
        for arguments, most in (({}, 30_000), ({"limit": 200}, 120_000), ({"limit": 1}, 1_000)):
            result = await agent.call("list_mailboxes", **arguments)
            assert len(text(result)) < most
            page: dict[str, Any] = result.structured_content or {}
            assert page["total"] == number
            assert len(page["mailboxes"]) == arguments.get("limit", 50)


async def test_every_one_of_many_mailboxes_is_on_one_page() -> None:
    """A mailbox must not be on two pages, and none may be left out."""
    everything = mailboxes(1_000)
    async with faulty_inkbox([everything] * 10) as inkbox, connect(inkbox.url) as agent:
        cursor, seen = None, list[str]()
        for _ in range(5):
            page = await agent.ask("list_mailboxes", limit=200, cursor=cursor)
            seen += [mailbox["email_address"] for mailbox in page["mailboxes"]]
            cursor = page["next_cursor"]
        assert cursor is None
        assert seen == [f"m{index}@inkboxmail.com" for index in reversed(range(1_000))]


@asynccontextmanager
async def answering(answer: Callable[[SocketStream], Awaitable[None]]) -> AsyncGenerator[int]:
    """Listen on a port and answer the first bytes of each connection."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await stream.receive()
                await answer(stream)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


async def unreachable(url: str, **settings: Any) -> str:
    """Call a server whose API cannot be reached, and return the error message."""
    async with connect(url, **settings) as agent:
        with anyio.fail_after(SOON):
            result = await agent.call("create_mailbox", agent_handle="sales-agent")
    assert (result.meta or {})["code"] == "unreachable"
    assert (result.meta or {})["retryable"] is True
    assert "Nothing was changed" in text(result)
    return text(result)


async def test_a_refused_connection_is_said_to_be_one() -> None:
    """The port is closed, so the error must name the failed connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "could not connect to Inkbox" in await unreachable(f"http://127.0.0.1:{port}")


async def test_a_name_that_cannot_be_resolved_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error repeats the message of the resolver."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert "could not connect to Inkbox ([Errno -2] Name or service not known)" in await unreachable(
        "https://api.invalid"
    )


async def test_a_server_without_tls_is_said_to_be_one() -> None:
    """The API answers an https request in plain HTTP."""

    async def refuse(stream: SocketStream) -> None:
        await stream.send(refusal(400))

    async with answering(refuse) as port:
        assert "could not connect to Inkbox ([SSL" in await unreachable(f"https://127.0.0.1:{port}")


async def test_a_handshake_that_never_ends_is_cut() -> None:
    """The port accepts the connection and then sends nothing."""

    async def wait(stream: SocketStream) -> None:
        while True:
            await stream.receive()

    async with answering(wait) as port:
        assert "could not connect to Inkbox" in await unreachable(f"https://127.0.0.1:{port}", timeout=0.5)
