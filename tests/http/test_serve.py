"""The server as a platform runs it: streamable HTTP on a port, many clients, signals that stop it."""

import signal
import socket
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError

from inkbox_mcp import __version__
from tests.support.agents import KEY, Agent
from tests.support.alike import ERAS_ALIKE, SIGNALS_ALIKE
from tests.support.event_streams import open_stream
from tests.support.http_in_process import serve_in_process
from tests.support.messages import HEADERS, INITIALIZE
from tests.support.processes import serve_http, upstream
from tests.support.shared_servers import SharedHTTP

pytestmark = pytest.mark.posix


@ERAS_ALIKE
async def test_a_mailbox_lives_from_creation_to_deletion(era: str, tmp_path: Path) -> None:
    """The test uses a real client of each era, a real port and the embedded sandbox."""
    async with serve_http("--sandbox", home=tmp_path) as (_, origin), Client(f"{origin}/mcp", mode=era) as client:
        agent = Agent(client)
        made = await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
        address = made["email_address"]
        (listed,) = (await agent.ask("list_mailboxes", details=True))["mailboxes"]
        assert listed == made | {"agent_handle": "sales-agent"}
        assert (await agent.ask("delete_mailbox", email_address=address))["deleted"] is True
        assert "404" in await agent.refused("get_mailbox", email_address=address)


async def test_clients_come_and_go_and_share_a_server() -> None:
    """Clients of both eras, concurrent and consecutive, see the same mailboxes."""
    async with serve_in_process("--sandbox", "--sandbox-db", ":memory:") as origin:
        url = f"{origin}/mcp"
        async with Client(url, mode="legacy") as first, Client(url, mode="auto") as second:
            await Agent(first).ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
            assert (await Agent(second).ask("get_mailbox", email_address="sales"))["status"] == "active"
        for mode in ("legacy", "auto"):
            async with Client(url, mode=mode) as later:
                assert (await Agent(later).ask("get_mailbox", email_address="sales"))["status"] == "active"


@pytest.mark.parametrize("host", ["localhost", "::1"])
async def test_it_serves_on_every_name_of_this_machine(host: str) -> None:
    """URLs need brackets around an IPv6 address."""
    if host == "::1" and not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    async with serve_in_process("--sandbox", "--sandbox-db", ":memory:", "--host", host) as origin:
        assert origin.startswith(f"http://{'[::1]' if host == '::1' else host}:")
        async with Client(f"{origin}/mcp") as client:
            assert (await Agent(client).ask("list_mailboxes"))["total"] == 0


async def test_it_says_that_it_is_healthy() -> None:
    """A load balancer needs no session and no key, and causes no request to Inkbox."""
    async with serve_in_process() as origin, httpx2.AsyncClient(base_url=origin) as http:
        answer = await http.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": __version__})
        assert (await http.get("/")).status_code == 404


async def test_a_web_page_cannot_reach_it_through_the_users_browser(shared_http: SharedHTTP) -> None:
    """DNS rebinding: a foreign Host or Origin is refused in both eras, before the call runs."""
    modern = {
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "create_mailbox",
    }
    params = {"name": "create_mailbox", "arguments": {"agent_handle": "sales-agent"}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    origin = shared_http()
    async with httpx2.AsyncClient(base_url=origin) as http:
        port = httpx2.URL(origin).port
        requests: list[tuple[dict[str, Any], dict[str, str]]] = [(INITIALIZE, {}), (call, modern)]
        for body, extra in requests:
            for host in ("evil.com", f"evil.com:{port}", f"127.0.0.1.evil.com:{port}", f"localhost.evil.com:{port}"):
                answer = await http.post("/mcp", json=body, headers={**HEADERS, **extra, "Host": host})
                assert answer.status_code == 421, host
            for foreign in ("https://evil.com", f"http://evil.com:{port}", f"http://127.0.0.1.evil.com:{port}", "null"):
                answer = await http.post("/mcp", json=body, headers={**HEADERS, **extra, "Origin": foreign})
                assert answer.status_code == 403, foreign
        answer = await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, "Origin": origin})
        assert answer.status_code == 200
        async with Client(f"{origin}/mcp") as client:
            assert (await Agent(client).ask("list_mailboxes"))["total"] == 0


async def test_garbage_does_not_kill_it(shared_http: SharedHTTP) -> None:
    """Every malformed request gets a client error, and the next client is served."""
    origin = shared_http()
    async with httpx2.AsyncClient(base_url=origin) as http:
        for method in ("GET", "DELETE", "POST", "PUT", "NONSENSE"):
            for headers in ({}, HEADERS, {**HEADERS, "Mcp-Session-Id": "none", "MCP-Protocol-Version": "1999-01-01"}):
                for body in (b"", b"\xff{", b"[]", b'{"jsonrpc":"2.0"}'):
                    answer = await http.request(
                        method, "/mcp", content=body, headers={**headers, "Content-Type": "application/json"}
                    )
                    assert 400 <= answer.status_code < 500, (method, headers, body)
        async with await anyio.connect_tcp("127.0.0.1", httpx2.URL(origin).port or 0) as stream:
            await stream.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            assert b"400" in await stream.receive()
        async with Client(f"{origin}/mcp") as client:
            assert (await Agent(client).ask("list_mailboxes"))["total"] == 0


@SIGNALS_ALIKE
async def test_a_signal_ends_it_while_a_client_holds_a_stream_open(number: signal.Signals, tmp_path: Path) -> None:
    """An event stream never ends by itself, so the server closes it, and logs nothing."""
    async with serve_http("--sandbox", home=tmp_path) as (server, origin), open_stream(origin):
        server.signal(number)
        assert await server.end() == (0, "", "")


@pytest.mark.slow
async def test_more_signals_do_not_spoil_the_end(tmp_path: Path) -> None:
    """The first signal closes the streams cleanly; further signals only shorten the wait."""
    async with serve_http("--sandbox", home=tmp_path) as (server, origin), open_stream(origin):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            server.signal(number)
        assert await server.end() == (0, "", "")


@pytest.mark.parametrize(
    ("number", "era"), [pytest.param(signal.SIGINT, "legacy", marks=pytest.mark.slow), (signal.SIGTERM, "auto")]
)
async def test_a_signal_cancels_the_call_under_way_when_its_time_is_over(
    number: signal.Signals, era: str, tmp_path: Path
) -> None:
    """The API sees its connection closed, the log says so without a traceback, and the status is 0."""
    async with (
        upstream() as api,
        serve_http("--drain-timeout", "0", home=tmp_path, INKBOX_BASE_URL=api.url, INKBOX_API_KEY=KEY) as (
            server,
            origin,
        ),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(call_that_is_cut_short, f"{origin}/mcp", era)
        await api.asked.wait()
        server.signal(number)
        ended = await server.end()
        await api.abandoned.wait()
        tasks.cancel_scope.cancel()
        assert (ended.status, ended.stdout) == (0, "")
        assert "list_mailboxes cancelled - " in ended.stderr
        assert "Traceback" not in ended.stderr
        assert "uvicorn" not in ended.stderr


async def call_that_is_cut_short(url: str, mode: str) -> None:
    """Call a tool of a server that ends during the call."""
    try:
        async with Client(url, mode=mode) as client:
            await client.call_tool("list_mailboxes")
    except* (MCPError, httpx2.TransportError):
        pass


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
