"""The HTTP server as its operators see it: probes, metrics, request ids, logs and shutdown."""

import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from starlette.types import Message, Scope

from inkbox_mcp.http import app, middleware
from inkbox_mcp.http.callers import caller
from inkbox_mcp.http.drain import Drain
from inkbox_mcp.protocol.server import build_server, server_of
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY, Agent
from tests.support.authorization_server import Issuer
from tests.support.faults import FINE, Fault, FaultyInkbox, Hold, faulty_inkbox, refusal
from tests.support.http_in_process import serve_in_process
from tests.support.messages import CALL, CALL_HEADERS
from tests.support.processes import PATIENCE, Running, serve_http

pytestmark = pytest.mark.posix


SANDBOX = ("--sandbox", "--sandbox-db", ":memory:")


@asynccontextmanager
async def serve(home: Path, inkbox: FaultyInkbox, *options: str) -> AsyncGenerator[tuple[Running, httpx2.AsyncClient]]:
    """Serve HTTP in front of an Inkbox; yield the server and a client of it."""
    async with (
        serve_http(*options, home=home, INKBOX_BASE_URL=inkbox.url, INKBOX_API_KEY=KEY) as (server, origin),
        httpx2.AsyncClient(base_url=origin, headers=CALL_HEADERS, timeout=PATIENCE) as http,
    ):
        yield server, http


@asynccontextmanager
async def serve_here(inkbox: FaultyInkbox, *options: str) -> AsyncGenerator[httpx2.AsyncClient]:
    """Serve HTTP in front of an Inkbox in this process; yield a client of its origin."""
    async with (
        serve_in_process(
            *options, INKBOX_BASE_URL=inkbox.url, INKBOX_API_KEY=KEY, INKBOX_MCP_API_GENERATION="spec"
        ) as origin,
        httpx2.AsyncClient(base_url=origin, headers=CALL_HEADERS, timeout=PATIENCE) as http,
    ):
        yield http


def logged(lines: str) -> list[dict[str, Any]]:
    """Parse a JSON log."""
    return [json.loads(line) for line in lines.splitlines()]


async def test_it_is_ready_whether_inkbox_is_or_not() -> None:
    """A restart would not help. `?deep=1` asks Inkbox, and its answer is cached for a while."""
    async with faulty_inkbox() as inkbox, serve_here(inkbox) as http:
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
        assert inkbox.requests == []
        inkbox.fails(Fault(answers=refusal(404)))
        for _ in range(3):
            answer = await http.get("/readyz", params={"deep": "1"})
            assert (answer.status_code, answer.json()) == (200, {"status": "ready", "inkbox": "reachable"})
        assert len(inkbox.requests) == 1
        assert "X-API-Key" not in inkbox.requests[0].headers


@pytest.mark.parametrize(("url", "told"), [("http://127.0.0.1:1", "unreachable"), (None, "failing")])
async def test_it_tells_when_inkbox_cannot_be_reached(url: str | None, told: str) -> None:
    """The server stays ready, because the calls report the failure to their callers."""
    async with faulty_inkbox([Fault(answers=refusal(503))]) as inkbox:
        inkbox.url = url or inkbox.url
        async with serve_here(inkbox) as http:
            answer = await http.get("/readyz", params={"deep": "1"})
            assert (answer.status_code, answer.json()) == (200, {"status": "ready", "inkbox": told})


async def test_sigterm_lets_calls_finish_and_tells_balancers_at_once(tmp_path: Path) -> None:
    """It reports draining, but is alive and serves late requests; then it ends with status 0."""
    held = Hold()
    async with (
        faulty_inkbox([replace(FINE, held=held)]) as inkbox,
        serve(tmp_path, inkbox, "--drain-timeout", "2") as (server, http),
    ):
        assert (await http.get("/readyz")).status_code == 200
        answers: list[httpx2.Response] = []

        async def call() -> None:
            answers.append(await http.post("/mcp", json=CALL))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await held.came.wait()
            server.signal(signal.SIGTERM)
            await server.log("calls under way: 1")
            ready = await http.get("/readyz")
            assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
            assert (await http.get("/healthz")).status_code == 200
            late = await http.post("/mcp", json=CALL)
            assert (late.status_code, late.headers["connection"]) == (200, "close")
            held.goes.set()
        assert answers[0].json()["result"]["structuredContent"]["total"] == 0
        assert (await server.end()).status == 0


async def test_a_server_that_no_balancer_asks_ends_when_its_calls_have(tmp_path: Path) -> None:
    """No balancer has to notice the drain, so the server does not wait for one."""
    held = Hold()
    async with (
        faulty_inkbox([replace(FINE, held=held)]) as inkbox,
        serve(tmp_path, inkbox, "--drain-timeout", "600") as (server, http),
    ):
        async with anyio.create_task_group() as tasks:

            async def call() -> None:
                answer = await http.post("/mcp", json=CALL)
                assert answer.json()["result"]["structuredContent"]["total"] == 0

            tasks.start_soon(call)
            await held.came.wait()
            server.signal(signal.SIGTERM)
            await server.log("draining")
            held.goes.set()
        assert (await server.end()).status == 0


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (None, signal.SIGINT),
        pytest.param(signal.SIGTERM, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
async def test_sigint_and_a_second_signal_wait_for_no_balancer(
    first: signal.Signals | None, last: signal.Signals, tmp_path: Path
) -> None:
    """A person who presses Ctrl-C is waiting for the end."""
    async with faulty_inkbox() as inkbox, serve(tmp_path, inkbox, "--drain-timeout", "600") as (server, http):
        await http.get("/readyz")
        if first:
            server.signal(first)
            await server.log("draining")
        server.signal(last)
        assert (await server.end()).status == 0


async def test_the_log_is_json_for_programs_with_the_id_that_a_request_came_with(tmp_path: Path) -> None:
    """Each call is one line with the fields that dashboards need, and without its arguments.

    The gateway's id is also in the request to Inkbox and in the error's metadata.
    """
    async with faulty_inkbox() as inkbox, serve(tmp_path, inkbox, "--log-format", "json") as (server, http):
        async with Client(f"{http.base_url}/mcp") as client:
            await Agent(client).ask("list_mailboxes", search="very-secret-argument")
        inkbox.requests.clear()
        inkbox.fails(Fault(answers=refusal(404)))
        answer = await http.post("/mcp", json=CALL, headers={"X-Request-ID": "gateway-7"})
        assert answer.json()["result"]["_meta"]["request_id"] == "gateway-7"
        assert inkbox.requests[0].headers["X-Request-ID"] == "gateway-7"
        server.signal(signal.SIGTERM)
        line, failed = logged((await server.end()).stderr)
    assert failed["request_id"] == "gateway-7"
    assert line["message"].startswith("list_mailboxes ok 200 ")
    assert {name: line[name] for name in ("level", "logger", "tool", "outcome", "status", "tenant")} == {
        "level": "info",
        "logger": "inkbox_mcp.service",
        "tool": "list_mailboxes",
        "outcome": "ok",
        "status": 200,
        "tenant": "-",
    }
    assert line["ms"] > 0
    assert line["time"].endswith("+00:00")
    assert "very-secret" not in json.dumps(line)


async def test_metrics_count_calls_and_requests() -> None:
    """Calls have labels for tool and outcome, requests for operation and status; metrics need an option."""
    async with faulty_inkbox() as inkbox, serve_here(inkbox) as http:
        assert (await http.get("/metrics")).status_code == 404
    async with faulty_inkbox() as inkbox, serve_here(inkbox, "--metrics", "--rate-limit", "2/h") as http:
        async with Client(f"{http.base_url}/mcp") as client:
            inkbox.fails(Fault(answers=refusal(503)))
            await Agent(client).ask("list_mailboxes")
            await Agent(client).refused("get_mailbox", email_address="nobody")
            await Agent(client).refused("list_mailboxes")
        shown = (await http.get("/metrics")).text
    for line in (
        'inkbox_mcp_calls_total{outcome="ok",tool="list_mailboxes"} 1.0',
        'inkbox_mcp_calls_total{outcome="not_found",tool="get_mailbox"} 1.0',
        'inkbox_mcp_calls_total{outcome="rate_limited",tool="list_mailboxes"} 1.0',
        "inkbox_mcp_calls_in_flight 0.0",
        "inkbox_mcp_rate_limited_total 1.0",
        'inkbox_mcp_upstream_retries_total{operation="GET /api/v1/mail/mailboxes"} 1.0',
        'upstream_request_duration_seconds_count{operation="GET /api/v1/mail/mailboxes",status="503"} 1.0',
        'upstream_request_duration_seconds_count{operation="GET /api/v1/mail/mailboxes/{}",status="404"} 1.0',
    ):
        assert line in shown


async def test_metrics_show_an_issuer_and_a_store_that_are_down(tmp_path: Path) -> None:
    """Without the issuer calls get 503; without the store they go on."""
    issuer, audience = "http://127.0.0.1:9", "http://127.0.0.1:8000/mcp"
    down = ("--auth-issuer", issuer, "--auth-audience", audience)
    async with faulty_inkbox() as inkbox:
        async with serve_here(inkbox, "--metrics", *down) as http:
            token = Issuer(issuer).token(aud=audience)
            refused = await http.post("/mcp", json=CALL, headers={"Authorization": f"Bearer {token}"})
            assert refused.status_code == 503
            shown = (await http.get("/metrics")).text
            assert 'inkbox_mcp_dependency_failures_total{dependency="issuer"} 1.0' in shown
        lost = ("--rate-limit", "9/s", "--rate-limit-store", f"unix://{tmp_path}/none.sock")
        async with serve_here(inkbox, "--metrics", *lost, "--max-concurrency", "7") as http:
            assert (await http.post("/mcp", json=CALL)).status_code == 200
            shown = (await http.get("/metrics")).text
            assert 'inkbox_mcp_dependency_failures_total{dependency="rate_limit_store"} 1.0' in shown
            assert "inkbox_mcp_max_concurrency 7.0" in shown


async def test_allowed_hosts_and_origins_are_taken_beside_its_own() -> None:
    """Hosts count with and without a port; all others are refused."""
    options = (*SANDBOX, "--allowed-hosts", "mcp.example.com", "--allowed-origins", "https://app.example.com")
    async with (
        serve_in_process(*options) as origin,
        httpx2.AsyncClient(base_url=origin, headers=CALL_HEADERS) as http,
    ):

        async def status(**headers: str) -> int:
            answer = await http.post("/mcp", json=CALL, headers=headers)
            return answer.status_code

        for host in ("mcp.example.com", "mcp.example.com:443", "127.0.0.1", "localhost:1"):
            assert await status(Host=host) == 200, host
        for host in ("example.com", "evil.mcp.example.com", "mcp.example.com.evil.com"):
            assert await status(Host=host) == 421, host
        assert await status(Origin="https://app.example.com") == 200
        for foreign in ("http://app.example.com", "https://evil.example.com", "null"):
            assert await status(Origin=foreign) == 403, foreign


async def test_beyond_loopback_hosts_are_refused_once_some_are_allowed() -> None:
    """Before that any host is accepted, because only the operator knows the server's names."""
    token = "a-token-of-many-characters"
    headers = {**CALL_HEADERS, "Authorization": f"Bearer {token}", "Host": "evil.com"}
    for options, status in (((), 200), (("--allowed-hosts", "mcp.example.com"), 421)):
        async with serve_in_process(*SANDBOX, "--host", "0.0.0.0", *options, INKBOX_MCP_TOKEN=token) as origin:
            url = origin.replace("0.0.0.0", "127.0.0.1")
            async with httpx2.AsyncClient(base_url=url) as http:
                assert (await http.post("/mcp", json=CALL, headers=headers)).status_code == status
                del headers["Authorization"]
                assert (await http.post("/mcp", json=CALL, headers=headers)).status_code == 401
                headers["Authorization"] = f"Bearer {token}"


async def test_beyond_loopback_allowed_origins_do_not_narrow_the_hosts() -> None:
    """Only allowed hosts do; a page of another origin still may not read the answer."""
    token = "a-token-of-many-characters"
    options = (*SANDBOX, "--host", "0.0.0.0", "--allowed-origins", "https://app.example.com")
    async with serve_in_process(*options, INKBOX_MCP_TOKEN=token) as origin:
        headers = {**CALL_HEADERS, "Authorization": f"Bearer {token}", "Host": "mcp.example.com"}
        url = origin.replace("0.0.0.0", "127.0.0.1")
        async with httpx2.AsyncClient(base_url=url, headers=headers) as http:
            for page in ("https://app.example.com", "https://evil.example.com"):
                answer = await http.post("/mcp", json=CALL, headers={"Origin": page})
                assert answer.status_code == 200
                assert answer.headers.get("access-control-allow-origin") == (page if "app" in page else None)


async def test_a_request_that_does_not_come_to_its_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the part that came would stay in memory as long as the connection."""
    monkeypatch.setattr(middleware, "SECONDS_TO_READ", 0.2)
    settings = Settings(http=True, sandbox=True, sandbox_db=":memory:")
    service = Service(settings)
    server = server_of(service, caller)
    served = app.build_app(server, service, Drain("/mcp", 1))
    sent: list[Message] = []
    first = True

    async def receive() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": b'{"jsonrpc"', "more_body": True}
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "headers": [],
        "query_string": b"",
        "root_path": "",
    }
    with anyio.fail_after(PATIENCE):
        await served(scope, receive, send)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000000000\r\n\r\nno gzip at all"


async def test_it_is_ready_although_its_environment_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """`?deep=1` reports Inkbox as unreachable when the certificate file does not exist."""
    async with httpx2.AsyncClient() as http:
        monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
        async with serve_in_process(INKBOX_API_KEY=KEY) as origin:
            answer = await http.get(f"{origin}/readyz?deep=1")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "inkbox": "unreachable"})


async def test_of_inkbox_only_the_status_is_looked_at() -> None:
    """The body might be large, broken or endless."""
    async with faulty_inkbox([Fault(answers=ENDLESS)]) as inkbox, serve_here(inkbox) as http:
        answer = await http.get("/readyz", params={"deep": "1"})
        assert (answer.status_code, answer.json()["inkbox"]) == (200, "reachable")


async def test_the_log_does_not_repeat_what_strangers_send(tmp_path: Path) -> None:
    """Headers may be long and contain escape sequences; an interrupted upload logs nothing."""
    async with faulty_inkbox() as inkbox, serve(tmp_path, inkbox) as (server, http):
        answer = await http.post("/mcp", json=CALL, headers={"Host": "evil" * 10_000})
        assert answer.status_code == 421
        async with await anyio.connect_tcp("127.0.0.1", http.base_url.port or 0) as stream:
            await stream.send(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf")
        server.signal(signal.SIGTERM)
        said = (await server.end()).stderr
    assert "Invalid Host header" in said
    assert "Traceback" not in said
    assert len(said) < 500


@pytest.mark.slow
async def test_at_the_end_connections_that_wait_for_nothing_are_closed_first(tmp_path: Path) -> None:
    """A call that came on an idle connection after the last call had finished would be cut off."""
    held = Hold()
    async with faulty_inkbox([replace(FINE, held=held)]) as inkbox, serve(tmp_path, inkbox) as (server, http):
        async with (
            anyio.create_task_group() as tasks,
            await anyio.connect_tcp("127.0.0.1", http.base_url.port or 0) as idle,
        ):
            await idle.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += await idle.receive()
            tasks.start_soon(partial(http.post, "/mcp", json=CALL))
            await held.came.wait()
            server.signal(signal.SIGTERM)
            with anyio.fail_after(PATIENCE), pytest.raises(anyio.EndOfStream):
                await idle.receive()
            held.goes.set()
        assert (await server.end()).status == 0


async def test_lists_that_differ_by_caller_are_not_for_public_caches(tmp_path: Path) -> None:
    """With an authorization server, readers see fewer tools than writers."""
    for oauth, scope in ((False, "public"), (True, "private")):
        auth = {"auth_issuer": "https://issuer.example", "auth_audience": "https://mcp.example/mcp"} if oauth else {}
        async with Client(build_server(Settings.model_validate({"http": True, **auth}))) as client:
            assert (await client.list_tools()).cache_scope == scope


async def test_a_web_page_of_an_allowed_origin_can_call() -> None:
    """The preflight works without a token, and the page may read the answer; other origins are refused."""
    token, page = "a-token-of-many-characters", "https://app.example.com"
    options = (*SANDBOX, "--allowed-origins", page)
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, mcp-method"}
    async with (
        serve_in_process(*options, INKBOX_MCP_TOKEN=token) as origin,
        httpx2.AsyncClient(base_url=origin, headers=CALL_HEADERS) as http,
    ):
        leave = await http.options("/mcp", headers={"Origin": page, **asks})
        assert (leave.status_code, leave.headers["access-control-allow-origin"]) == (200, page)
        assert "authorization" in leave.headers["access-control-allow-headers"]
        answer = await http.post("/mcp", json=CALL, headers={"Origin": page, "Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, page)
        assert "Mcp-Session-Id" in answer.headers["access-control-expose-headers"]
        assert (await http.post("/mcp", json=CALL, headers={"Origin": page})).status_code == 401
        refused = await http.options("/mcp", headers={"Origin": "https://evil.example.com", **asks})
        assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (400, False)
