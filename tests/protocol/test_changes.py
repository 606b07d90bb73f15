"""Clients are notified when their list of tools has become another one, wherever there is a way."""

import gc
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.shared.subscriptions import ToolsListChanged
from mcp.types import ServerNotification, ToolListChangedNotification

from inkbox_mcp.access import tenants
from inkbox_mcp.access.tenants import LOCAL, Caller
from inkbox_mcp.discovery import MAX_SESSIONS, Lists
from inkbox_mcp.protocol import changes
from inkbox_mcp.protocol.changes import MAX_STREAMS
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY, Agent
from tests.support.catalogue import IDENTITY
from tests.support.conversations import conversation
from tests.support.http_in_process import serve_service
from tests.support.moving import Moving
from tests.support.openings import call
from tests.support.processes import PATIENCE

GET = {"name": "get_mailbox", "arguments": {"email_address": "a"}}


def service_on(world: Moving, **settings: Any) -> Service:
    """Make a service that believes in the spec generation, on an Inkbox."""
    checked = Settings.model_validate({"api_key": KEY, "api_generation": "spec", **settings})
    return Service(checked, lambda: httpx2.MockTransport(world))


class Noticing:
    """Counts a client's notifications that the list has changed."""

    def __init__(self) -> None:
        self.seen = 0

    async def __call__(self, message: Any) -> None:
        if isinstance(message, ServerNotification):
            message = getattr(message, "root", message)
        self.seen += isinstance(message, ToolListChangedNotification)


@asynccontextmanager
async def legacy(server: Any) -> AsyncGenerator[tuple[Client, Noticing]]:
    """Connect a client of 2025-11-25."""
    noticing = Noticing()
    async with Client(server, mode="legacy", message_handler=noticing) as client:
        yield client, noticing


async def test_the_capability_is_declared(era: str) -> None:
    """Clients listen only if it is."""
    async with Client(server_of(service_on(Moving("spec"))), mode=era) as client:
        assert client.server_capabilities.tools
        assert client.server_capabilities.tools.list_changed is True


async def test_a_session_is_notified_once_beside_the_answer_that_shows_it() -> None:
    """A second answer of the same generation is no news."""
    async with legacy(server_of(service_on(Moving("identity")))) as (client, noticing):
        await client.list_tools()
        for _ in range(3):
            await Agent(client).ask("get_mailbox", email_address="a")
        assert noticing.seen == 1
        assert [tool.name for tool in (await client.list_tools()).tools] == list(IDENTITY)
        await Agent(client).ask("get_mailbox", email_address="a")
        assert noticing.seen == 1


async def test_a_refused_call_notifies_too() -> None:
    """The error names tools that the client does not have yet."""
    async with legacy(server_of(service_on(Moving("identity")))) as (client, noticing):
        await client.list_tools()
        assert "no such operation" in await Agent(client).refused("create_mailbox", agent_handle="a")
        assert noticing.seen == 1


async def test_a_stream_is_notified_where_it_was_opened() -> None:
    """A client of 2026-07-28 hears of it on its stream, and on no other way."""
    noticing = Noticing()
    async with (
        Client(server_of(service_on(Moving("identity"))), message_handler=noticing) as client,
        client.listen(tools_list_changed=True) as changes,
    ):
        await Agent(client).ask("get_mailbox", email_address="a")
        with anyio.fail_after(PATIENCE):
            assert await anext(aiter(changes)) == ToolsListChanged()
        assert [tool.name for tool in (await client.list_tools()).tools] == list(IDENTITY)


async def test_a_stream_that_opens_after_the_list_became_outdated_is_notified_at_once() -> None:
    """Over stdio the server knows which list its client has. Another stream hears nothing more."""
    service = service_on(Moving("identity"))
    async with Client(server_of(service)) as client:
        await client.list_tools()
        service.discovery.known(LOCAL).learn("identity")
        async with client.listen(tools_list_changed=True) as changes:
            with anyio.fail_after(PATIENCE):
                assert await anext(aiter(changes)) == ToolsListChanged()
        async with client.listen(tools_list_changed=True) as changes:
            with anyio.move_on_after(0.05) as waiting:
                await anext(aiter(changes))
        assert waiting.cancelled_caught


async def test_a_stream_hears_of_its_own_key_only() -> None:
    """What one organization's answers show is no news for another's client."""
    service = Service(
        Settings.model_validate({"per_request_keys": True, "http": True, "api_generation": "spec"}),
        lambda: httpx2.MockTransport(Moving("identity")),
    )
    callers = [Caller((f"ApiKey_{number:08}-0000-4000-8000-000000000000.s",), name=str(number)) for number in (1, 2)]
    servers = [server_of(service, lambda _, caller=caller: caller) for caller in callers]
    async with (
        Client(servers[0]) as one,
        Client(servers[1]) as two,
        one.listen(tools_list_changed=True) as mine,
        two.listen(tools_list_changed=True) as others,
    ):
        await Agent(one).ask("get_mailbox", email_address="a")
        with anyio.fail_after(PATIENCE):
            await anext(aiter(mine))
        with anyio.move_on_after(0.05) as waiting:
            await anext(aiter(others))
        assert waiting.cancelled_caught


async def test_a_stream_outlives_what_is_cached_for_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many tenants the least recent ones are forgotten, but not those that listen."""
    monkeypatch.setattr(tenants, "MAX_TENANTS", 1)
    service = Service(
        Settings.model_validate({"per_request_keys": True, "http": True, "api_generation": "spec"}),
        lambda: httpx2.MockTransport(Moving("identity")),
    )
    mine, other = (Caller((f"ApiKey_{number:08}-0000-4000-8000-000000000000.s",)) for number in (1, 2))
    async with Client(server_of(service, lambda _: mine)) as client, client.listen(tools_list_changed=True) as changes:
        service.tenants.api(other)
        gc.collect()
        await Agent(client).ask("get_mailbox", email_address="a")
        with anyio.fail_after(PATIENCE):
            assert await anext(aiter(changes)) == ToolsListChanged()


async def test_streams_end_with_the_server() -> None:
    """A client learns that the end was meant, and the server's end does not wait for it."""
    service = service_on(Moving("spec"))
    async with Client(server_of(service)) as client, client.listen(tools_list_changed=True) as changes:
        service.ending.set()
        with anyio.fail_after(PATIENCE):
            assert [event async for event in changes] == []


async def test_a_caller_has_a_limited_number_of_streams() -> None:
    """Each stream costs memory for as long as it is open."""
    async with Client(server_of(service_on(Moving("spec")))) as client, anyio.create_task_group() as tasks:
        opened = 0

        async def listen() -> None:
            nonlocal opened
            async with client.listen(tools_list_changed=True):
                opened += 1
                await anyio.sleep_forever()

        for _ in range(MAX_STREAMS):
            tasks.start_soon(listen)
        with anyio.fail_after(PATIENCE):
            while opened < MAX_STREAMS:
                await anyio.wait_all_tasks_blocked()
        with pytest.raises(MCPError, match="You have 64 open streams of notifications, the most: close one first"):
            async with client.listen(tools_list_changed=True):
                pass
        tasks.cancel_scope.cancel()


async def test_callers_that_are_not_told_apart_do_not_use_up_each_others_streams() -> None:
    """Over HTTP without authentication all have one name. Together they may have more, but not any number."""
    service = service_on(Moving("spec"), http=True)
    async with (
        serve_service(service) as origin,
        Client(f"{origin}/mcp") as greedy,
        Client(f"{origin}/mcp") as other,
        AsyncExitStack() as streams,
    ):
        for _ in range(MAX_STREAMS + 1):
            await streams.enter_async_context(greedy.listen(tools_list_changed=True))
        async with other.listen(tools_list_changed=True) as heard:
            await Agent(other).ask("whoami")
            service.discovery.known(LOCAL).learn("identity")
            with anyio.fail_after(PATIENCE):
                assert await anext(aiter(heard)) == ToolsListChanged()


async def test_all_callers_together_have_a_limited_number_of_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys can be made up, and each stream keeps a connection open. A stream that has ended counts no more."""
    monkeypatch.setattr(changes, "MAX_STREAMS_OF_ALL", 2)
    service = service_on(Moving("spec"), api_key=None, http=True, per_request_keys=True)
    numbers = count()

    def caller_of(_: object) -> Caller:
        number = next(numbers)
        return Caller((f"ApiKey_{number:08}-0000-4000-8000-000000000000.s",), name=str(number))

    async with Client(server_of(service, caller_of)) as client:
        async with client.listen(tools_list_changed=True), client.listen(tools_list_changed=True):
            with pytest.raises(MCPError, match="have 2 open streams of notifications, the most"):
                async with client.listen(tools_list_changed=True):
                    pass
        is_free = False
        with anyio.fail_after(PATIENCE):
            while not is_free:  # the server learns of the end a moment later
                with suppress(MCPError):
                    async with client.listen(tools_list_changed=True):
                        is_free = True


@pytest.mark.parametrize("keys", [(), ("not a key",), ("ApiKey_x.y", "ApiKey_x.y")])
async def test_a_stream_without_a_valid_key_is_refused_where_each_request_needs_one(keys: tuple[str, ...]) -> None:
    """It would never have anything to say, and cost memory. The answer says where the key belongs."""
    service = service_on(Moving("spec"), api_key=None, http=True, per_request_keys=True)
    async with Client(server_of(service, lambda _: Caller(keys))) as client:
        await client.list_tools()
        with pytest.raises(MCPError, match=r"subscriptions/listen failed: .*X-Inkbox-API-Key"):
            async with client.listen(tools_list_changed=True):
                pass


async def test_over_http_every_session_is_notified_at_its_next_call_and_no_stateless_client() -> None:
    """One session's call shows the move; another session hears of it with its own next answer."""
    async with (
        serve_service(service_on(Moving("identity"), http=True)) as origin,
        legacy(f"{origin}/mcp") as (one, first),
        legacy(f"{origin}/mcp") as (two, second),
    ):
        await one.list_tools()
        await two.list_tools()
        await Agent(one).ask("get_mailbox", email_address="a")
        assert (first.seen, second.seen) == (1, 0)
        await Agent(two).ask("get_mailbox", email_address="a")
        assert (first.seen, second.seen) == (1, 1)
    async with (
        serve_service(service_on(Moving("identity"), http=True, stateless=True)) as origin,
        legacy(f"{origin}/mcp") as (client, noticing),
    ):
        assert client.server_capabilities.tools
        assert not client.server_capabilities.tools.list_changed
        await client.list_tools()
        await Agent(client).ask("get_mailbox", email_address="a")
        assert noticing.seen == 0


async def test_over_http_an_open_stream_does_not_delay_the_end() -> None:
    """A drain waits for calls, and ends streams."""
    service = service_on(Moving("spec"), http=True, drain_timeout=PATIENCE)
    with anyio.fail_after(PATIENCE / 2):
        async with (
            serve_service(service) as origin,
            Client(f"{origin}/mcp") as client,
            client.listen(tools_list_changed=True) as changes,
        ):
            service.ending.set()
            assert [event async for event in changes] == []


async def test_over_stdio_a_plain_call_notifies_before_its_answer() -> None:
    """Such calls are answered without the SDK, and so is the notification."""
    async with conversation(lambda: httpx2.MockTransport(Moving("identity"))) as wire:
        wire.say(call(1, **GET))
        assert await wire.line() == b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n'.rstrip(b"\n")
        assert (await wire.hear())["id"] == 1
        wire.say(call(2, **GET))
        assert (await wire.hear())["id"] == 2
        wire.leave()


def test_sessions_that_were_not_used_for_long_are_forgotten() -> None:
    """A client may open any number of them."""
    lists = Lists()
    for number in range(MAX_SESSIONS + 1):
        lists.shown(str(number), "spec")
    assert not lists.is_outdated("0", "identity")
    assert lists.is_outdated("1", "identity")
    assert not lists.is_outdated("1", "identity")


async def test_the_caller_of_a_stdio_client_is_the_only_one() -> None:
    """Its list is that of the server's own key."""
    service = service_on(Moving("identity"))
    assert service.discovery.open_to(LOCAL).generation == "spec"
    service.discovery.known(LOCAL).learn("identity")
    assert service.discovery.open_to(LOCAL).generation == "identity"


@pytest.mark.parametrize(("tool", "completing"), [("list_mailboxes", "identities"), ("list_identities", "mailboxes")])
async def test_a_list_that_completes_an_empty_one_shows_the_generation(tool: str, completing: str) -> None:
    """Only some fields of its objects are read, but an organization may have nothing else."""
    moved = {"email_address": "a@inkboxmail.com", "agent_handle": "a", "inbound_filter_mode": "blacklist"}

    def inkbox(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=[moved, moved] if request.url.path.endswith(completing) else [])

    checked = Settings.model_validate({"api_key": KEY, "api_generation": "spec"})
    service = Service(checked, lambda: httpx2.MockTransport(inkbox))
    async with service.tenants:
        assert (await service.call(service.discovery.open_to(LOCAL).tools[tool], {"search": "a"}, LOCAL)).data
    assert service.discovery.known(LOCAL).value == "identity"
