"""Many organizations on one server: each request brings its own key, and their data never mix."""

import gc
import json
import signal
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import MCPError
from starlette.requests import Request

from inkbox_mcp.access import tenants
from inkbox_mcp.access.tenants import KEY_HEADER, LOCAL, Caller, Tenants
from inkbox_mcp.api.paths import IDENTITIES
from inkbox_mcp.calls import begin
from inkbox_mcp.errors import NotConfigured
from inkbox_mcp.http.callers import caller
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.tracing import is_recording
from tests.support.agents import KEY, Agent, connect_http
from tests.support.catalogue import SPEC
from tests.support.faults import Fault, faulty_inkbox, refusal
from tests.support.http_in_process import serve_in_process
from tests.support.messages import CALL, CALL_HEADERS, HEADERS, INITIALIZE
from tests.support.processes import PATIENCE, serve_http
from tests.support.shared_servers import SharedHTTP

pytestmark = pytest.mark.posix


def key(number: int) -> str:
    """Return an organization's key; each number is another organization."""
    return f"ApiKey_{number:08d}-1111-4111-8111-111111111111.secret-{number}"


def by(*keys: str) -> Caller:
    """Return the caller whose request brings these keys."""
    headers = [(KEY_HEADER.lower().encode(), value.encode("latin-1")) for value in keys]
    return caller(Request({"type": "http", "headers": headers}))


@asynccontextmanager
async def tenant_agent(origin: str, mode: str = "auto", **headers: str) -> AsyncGenerator[Agent]:
    """Connect an agent whose requests carry these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with connect_http(f"{origin}/mcp", httpx2.AsyncClient(headers=named, timeout=PATIENCE), mode) as agent:
        yield agent


async def live(origin: str, number: int, rounds: int) -> None:
    """Act as one tenant, and check that every answer shows its own mailbox and no other."""
    mode = "auto" if number % 2 else "legacy"
    async with tenant_agent(origin, mode, **{KEY_HEADER: key(number)}) as agent:
        made = await agent.ask("create_mailbox", agent_handle="sales-agent", display_name=f"Tenant {number}")
        address = made["email_address"]
        for _ in range(rounds):
            mailboxes = (await agent.ask("list_mailboxes"))["mailboxes"]
            assert [mailbox["display_name"] for mailbox in mailboxes] == [f"Tenant {number}"]
            assert (await agent.ask("get_mailbox", email_address=address))["id"] == made["id"]
            neighbour = await agent.call("get_mailbox", email_address=f"nobody-{number}")
            assert neighbour.is_error


async def crowd(home: Path, count: int, rounds: int) -> None:
    """Let many tenants call at once, and check that the log contains no key."""
    async with serve_http("--sandbox", "--per-request-keys", "--log-level", "warning", home=home) as (server, origin):
        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(live, origin, number, rounds)
        server.signal(signal.SIGINT)
        ended = await server.end()
        assert (ended.status, "secret-" in ended.stderr) == (0, False)


async def test_tenants_at_once_see_only_what_is_theirs(tmp_path: Path) -> None:
    """All tenants use the same handle, so a mix-up would show another tenant's mailbox."""
    await crowd(tmp_path, count=6, rounds=1)


@pytest.mark.slow
async def test_thousands_of_calls_of_fifty_tenants_never_mix(tmp_path: Path) -> None:
    """The tenants call concurrently, and half of them use the older protocol era."""
    await crowd(tmp_path, count=50, rounds=14)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_without_a_key_the_tools_are_listed_and_a_call_says_what_is_missing(
    mode: str, shared_http: SharedHTTP
) -> None:
    """The server must not fall back to another key, not even to one in the shared config file."""
    async with tenant_agent(shared_http("--per-request-keys"), mode) as agent:
        assert len((await agent.client.list_tools()).tools) == len(SPEC)
        message = await agent.refused("list_mailboxes")
        assert "the request has no Inkbox API key" in message
        assert KEY_HEADER in message


async def test_a_key_of_its_own_stops_a_server_that_takes_keys_from_requests(tmp_path: Path) -> None:
    """The server could use its own key for a caller who sent none."""
    with pytest.raises(ValueError, match="must not have an Inkbox key of its own"):
        Settings.model_validate({"api_key": KEY, "per_request_keys": True, "http": True})


async def test_a_session_belongs_to_the_key_that_opened_it(shared_http: SharedHTTP) -> None:
    """A client that learns the session's id but sends another key, or none, gets 404."""
    async with httpx2.AsyncClient(base_url=shared_http("--per-request-keys"), headers=HEADERS) as http:
        opened = await http.post("/mcp", json=INITIALIZE, headers={KEY_HEADER: key(1)})
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        for headers, status in (({KEY_HEADER: key(1)}, 200), ({KEY_HEADER: key(2)}, 404), ({}, 404)):
            answer = await http.post("/mcp", json=listing, headers={**session, **headers})
            assert answer.status_code == status


async def test_all_tenants_share_the_connections_to_inkbox() -> None:
    """Sequential calls need only one connection, and each request carries its own tenant's key."""
    async with faulty_inkbox() as inkbox:
        settings = Settings.model_validate({"per_request_keys": True, "http": True, "base_url": inkbox.url})
        async with Tenants(settings) as served:
            for number in range(20):
                with begin(PATIENCE):
                    await served.api(by(key(number))).get_list(IDENTITIES)
        assert inkbox.connections == 1
        assert [each.headers["X-API-Key"] for each in inkbox.requests] == [key(number) for number in range(20)]


async def test_a_cookie_of_one_answer_goes_into_no_other_request() -> None:
    """Inkbox, or a proxy before it, could use the cookie to identify the tenant."""
    cookies: list[str | None] = []

    def answer(asked: httpx2.Request) -> httpx2.Response:
        cookies.append(asked.headers.get("cookie"))
        return httpx2.Response(200, json=[], headers={"Set-Cookie": "session=of-the-first; Path=/"})

    settings = Settings.model_validate({"per_request_keys": True, "http": True})
    async with Tenants(settings, lambda: httpx2.MockTransport(answer)) as served:
        for number in range(3):
            with begin(PATIENCE):
                await served.api(by(key(number))).get_list(IDENTITIES)
    assert cookies == [None] * 3


async def test_what_is_known_of_one_organization_is_not_believed_of_another() -> None:
    """The known API generation, for example, belongs to one organization and is kept for it."""
    asked: list[str] = []

    def answer(seen: httpx2.Request) -> httpx2.Response:
        asked.append(seen.headers["X-API-Key"])
        missing = seen.headers["X-API-Key"] == key(1)
        return httpx2.Response(404 if missing else 200, json={"detail": "Not Found"} if missing else {})

    settings = Settings.model_validate({"per_request_keys": True, "http": True})
    async with Tenants(settings, lambda: httpx2.MockTransport(answer)) as served:
        with begin(PATIENCE):
            first, second = served.api(by(key(1))), served.api(by(key(2)))
            assert (await first.generation(), await second.generation()) == ("spec", "identity")
            again = served.api(by(key(1)))
            assert again is first
            assert await again.generation() == "spec"
    assert asked == [key(1), key(2)]


@pytest.mark.parametrize(
    "keys", [["two words"], [""], [key(1), key(2)], [key(1), key(1)], ["schlüssel"], ["k" * 513], ["a\tb"]]
)
def test_what_is_no_key_is_refused_before_anything_is_sent(keys: list[str]) -> None:
    """The server refuses two keys as well, because it cannot know which one counts."""
    served = Tenants(Settings.model_validate({"per_request_keys": True, "http": True}))
    with pytest.raises(NotConfigured, match="is not one valid Inkbox API key") as caught:
        served.api(by(*keys))
    assert not any(value and value in str(caught.value) for value in keys)


def test_a_key_that_nobody_asked_for_is_not_passed_over() -> None:
    """Otherwise the call would act in the server's organization instead of the caller's own."""
    served = Tenants(Settings.model_validate({"api_key": KEY}))
    with pytest.raises(NotConfigured, match="this server uses its own"):
        served.api(by(key(1)))
    assert served.api(by()) is served.api()


async def test_one_tenants_slow_calls_leave_turns_to_the_others() -> None:
    """A key may use at most a quarter of the concurrent requests, however many calls it makes."""
    asked, answers = anyio.Semaphore(0), anyio.Event()

    async def answer(seen: httpx2.Request) -> httpx2.Response:
        if seen.headers["X-API-Key"] == key(1):
            asked.release()
            await answers.wait()
        return httpx2.Response(200, json=[])

    async def call(number: int) -> None:
        with begin(PATIENCE):
            await served.api(by(key(number))).get_list(IDENTITIES)

    settings = Settings.model_validate({"per_request_keys": True, "http": True, "max_concurrency": 8})
    async with Tenants(settings, lambda: httpx2.MockTransport(answer)) as served, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(call, 1)
        for _ in range(2):
            await asked.acquire()
        await call(2)
        assert asked.value == 0
        answers.set()


def test_a_call_under_way_and_the_next_share_what_is_known_whatever_keys_come_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both calls must share one state, which prevents doubled changes, even if invented keys fill the cache."""
    monkeypatch.setattr(tenants, "MAX_TENANTS", 3)
    served = Tenants(Settings.model_validate({"per_request_keys": True, "http": True}))
    under_way = served.api(by(key(1)))
    for number in range(2, 9):
        served.api(by(key(number)))
    assert served.api(by(key(1))) is under_way


async def test_a_tenants_bad_key_is_mended_where_it_came_from() -> None:
    """The error names the request's header, not an environment variable of the server."""
    refused = Fault(answers=refusal(401))
    async with faulty_inkbox([refused]) as inkbox:
        server = serve_in_process("--per-request-keys", "--api-generation", "spec", INKBOX_BASE_URL=inkbox.url)
        async with server as origin, tenant_agent(origin, **{KEY_HEADER: key(1)}) as agent:
            message = await agent.refused("list_mailboxes")
    assert f"into the header {KEY_HEADER}" in message
    assert "INKBOX_API_KEY" not in message


async def test_on_a_shared_connection_each_request_is_in_its_own_trace() -> None:
    """A balancer sends many tenants' requests over one connection; a large one once passed its trace to the next."""
    async with (
        faulty_inkbox() as inkbox,
        serve_in_process("--per-request-keys", "--api-generation", "spec", INKBOX_BASE_URL=inkbox.url) as origin,
        await anyio.connect_tcp("127.0.0.1", httpx2.URL(origin).port or 0) as connection,
    ):
        traces = ["a" * 32, "b" * 32, None]
        for number, trace in enumerate(traces):
            body = json.dumps(CALL).encode() + b" " * (0 if number else 200_000)
            lines = [f"{name}: {value}" for name, value in {**CALL_HEADERS, KEY_HEADER: key(number)}.items()]
            lines += [f"traceparent: 00-{trace}-{'1' * 16}-01"] if trace else []
            head = ["POST /mcp HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *lines]
            head += [f"Content-Length: {len(body)}", "", ""]
            await connection.send("\r\n".join(head).encode())
            await anyio.wait_all_tasks_blocked()
            await connection.send(body)
            answer = b""
            while b"structuredContent" not in answer:
                answer += await connection.receive()
        found = [each.headers.get("traceparent", "--").split("-")[1] or None for each in inkbox.requests]
        seen = list(dict.fromkeys(found))  # a call may send more than one request
    *continued, own = seen
    assert continued == traces[:2]
    assert own not in continued
    assert (own is None) is not is_recording()  # a process that records spans begins a trace


def test_keys_that_were_not_used_for_long_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of remembered keys has a limit."""
    monkeypatch.setattr(tenants, "MAX_TENANTS", 3)
    served = Tenants(Settings.model_validate({"per_request_keys": True, "http": True}))
    first, second, third = (served.api(by(key(number))) for number in (1, 2, 3))
    assert served.api(by(key(1))) is first
    served.api(by(key(4)))
    assert served.api(by(key(1))) is first
    assert served.api(by(key(3))) is third
    forgotten = weakref.ref(second)
    del second
    gc.collect()
    assert forgotten() is None


def test_a_tenants_name_tells_nothing_of_its_key() -> None:
    """The name appears in logs and in Redis, so it must not reveal the key."""
    names = {by(key(number)).name for number in range(50)}
    assert len(names) == 50
    assert all(len(name) == 12 and name.isalnum() for name in names)
    assert by() == LOCAL


async def test_a_tenants_limit_leaves_the_others_alone() -> None:
    """A tenant over its limit learns how long to wait, while the other tenant's calls succeed."""
    options = ("--sandbox", "--sandbox-db", ":memory:", "--per-request-keys", "--rate-limit", "2/h")
    async with serve_in_process(*options) as origin:
        for number in (1, 2):
            async with tenant_agent(origin, **{KEY_HEADER: key(number)}) as agent:
                await agent.ask("list_mailboxes")
                await agent.ask("list_mailboxes")
                result = await agent.call("list_mailboxes")
                assert result.is_error
                assert result.meta
                assert result.meta["code"] == "rate_limited"
                assert 0 < result.meta["retry_after"] <= 3600
                message = await agent.refused("list_mailboxes")
                assert "this server's limit of 2/h per caller was reached" in message
                assert "Try again after" in message


@pytest.mark.slow
async def test_a_bad_session_is_no_reason_to_show_a_key(tmp_path: Path) -> None:
    """The log must not contain the key, even when the session id is invalid."""
    async with serve_http("--sandbox", "--per-request-keys", home=tmp_path) as (server, origin):
        with pytest.raises((MCPError, httpx2.HTTPStatusError, ExceptionGroup)):
            async with tenant_agent(origin, "legacy", **{KEY_HEADER: key(1), "Mcp_Session_Id": "x"}) as agent:
                await agent.client.list_tools()
        server.signal(signal.SIGINT)
        assert "secret-1" not in (await server.end()).stderr
