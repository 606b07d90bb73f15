"""Calls that a server with an embedded sandbox keeps in its file, for people who look at it."""

import json
import sqlite3
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from inkbox_mcp.access.tenants import Caller
from inkbox_mcp.errors import NotConfigured
from inkbox_mcp.sandbox import Store, create_app
from inkbox_mcp.sandbox.calls import list_calls
from inkbox_mcp.service import Service
from inkbox_mcp.settings.credentials import SANDBOX_KEY
from inkbox_mcp.settings.options import Settings
from tests.support.agents import Agent, connect, connect_http
from tests.support.processes import PATIENCE, serve_http, stdio_agent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sandbox's file."""
    path = tmp_path / "x.db"
    Store(path).close()
    return path


def agent_of(path: Path, era: str = "auto", **settings: Any) -> AbstractAsyncContextManager[Agent]:
    """Connect an agent to a server with a sandbox in this file."""
    return connect(mode=era, sandbox=True, sandbox_db=str(path), confirm="never", **settings)


def calls(path: Path) -> list[dict[str, Any]]:
    """Return the calls that are kept, oldest first, with their arguments."""
    with Store(path) as store, store.reading() as connection:
        found = list_calls(connection, 100)[::-1]
    return [{**each, "arguments": each["arguments"] and json.loads(each["arguments"])} for each in found]


async def test_calls_are_kept_with_what_became_of_them(path: Path, era: str) -> None:
    """Also those that were refused before a request, and with what the model was told."""
    async with agent_of(path, era) as agent:
        wrong = await agent.refused("get_mailbox", email_address=5)
        await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
        gone = await agent.refused("get_mailbox", email_address="nobody")
    first, made, last = calls(path)
    assert (first["tool"], first["outcome"], first["error_text"]) == ("get_mailbox", "invalid_arguments", wrong)
    assert first["arguments"] == {"email_address": 5}
    assert (made["tool"], made["outcome"], made["error_text"]) == ("create_mailbox", "ok", None)
    assert made["arguments"] == {"agent_handle": "sales-agent", "email_local_part": "sales"}
    assert (last["outcome"], last["error_text"]) == ("not_found", gone)
    assert 0 < first["created_at"] <= made["created_at"] <= last["created_at"]
    assert all(each["duration_ms"] >= 0 for each in (first, made, last))
    assert {each["client"] for each in (first, made, last)} == {"mcp"}


async def test_a_tool_that_is_switched_off_is_kept_as_refused(path: Path) -> None:
    """Its arguments were not looked at."""
    async with agent_of(path, read_only=True) as agent:
        await agent.refused("create_mailbox", agent_handle="sales-agent")
        await agent.ask("whoami")
    call, _ = calls(path)
    assert (call["tool"], call["outcome"], call["arguments"]) == ("create_mailbox", "not_offered", None)


async def test_calls_that_need_no_sdk_are_kept_too(path: Path, tmp_path: Path, era: str) -> None:
    """A second start answers plain calls by itself, and knows the client from the recording."""
    for _ in range(2):
        async with stdio_agent("--sandbox", "--sandbox-db", str(path), home=tmp_path, mode=era) as agent:
            await agent.ask("list_identities")
    assert [(each["tool"], each["client"]) for each in calls(path)] == [("list_identities", "mcp")] * 2


async def test_calls_over_http_are_kept(path: Path, tmp_path: Path) -> None:
    """Of clients that may be several, so none is named."""
    async with (
        serve_http("--sandbox", "--sandbox-db", str(path), home=tmp_path) as (_, origin),
        connect_http(f"{origin}/mcp", httpx2.AsyncClient(timeout=PATIENCE)) as agent,
    ):
        await agent.ask("list_identities")
        await agent.ask("list_mailboxes")
    first, *_ = calls(path)
    assert (first["tool"], first["client"]) == ("list_identities", None)


async def test_the_key_is_in_no_call(path: Path) -> None:
    """Neither in arguments nor in errors."""
    async with agent_of(path) as agent:
        await agent.call("create_mailbox", agent_handle="sales-agent", display_name=f"a {SANDBOX_KEY}")
        await agent.call("get_mailbox", email_address=SANDBOX_KEY)
        await agent.call("list_mailboxes", **{SANDBOX_KEY: SANDBOX_KEY})
    assert len(calls(path)) == 3
    assert SANDBOX_KEY not in json.dumps(calls(path))


async def test_a_call_at_the_end_of_input_is_kept(tmp_path: Path) -> None:
    """Although it needed no request, so that nothing had opened the file before."""
    path = tmp_path / "x.db"
    async with agent_of(path) as agent:
        await agent.refused("get_mailbox", email_address=5)
    assert [(each["tool"], each["outcome"]) for each in calls(path)] == [("get_mailbox", "invalid_arguments")]


async def test_a_key_in_a_call_that_was_refused_is_hidden(path: Path) -> None:
    """One that the request has, and the server does not take; and the server's own one for the real API."""
    keys = [f"ApiKey_11111111-1111-4111-8111-111111111111.{name}-secret-indeed" for name in ("callers", "servers")]
    service = Service(Settings(sandbox=True, sandbox_db=str(path), api_key=SecretStr(keys[1])))
    caller = Caller(keys=(f'"{keys[0]}"',))
    tool = service.catalogues.of("spec").tools["get_mailbox"]
    async with service.tenants:
        await service.call(tool, {"email_address": keys[0], keys[1]: keys[1]}, caller)
        service.refuse(keys[0], NotConfigured(f"there is no {keys[1]}."), caller)
    called, refused = calls(path)
    assert (called["outcome"], called["arguments"]["email_address"]) == ("not_configured", "[API key]")
    assert refused["tool"].startswith("[API key]")
    assert "secret" not in json.dumps([called, refused])


async def test_a_locked_file_loses_the_record_and_not_the_call(path: Path) -> None:
    """What reads is answered as ever, and later calls are kept."""
    async with agent_of(path) as agent:
        await agent.ask("list_mailboxes")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await agent.ask("list_identities")
            other.execute("ROLLBACK")
    async with agent_of(path) as agent:
        await agent.ask("whoami")
    assert [each["tool"] for each in calls(path)][::2] == ["list_mailboxes", "whoami"]


async def test_a_file_that_cannot_be_used_fails_only_what_needs_it(tmp_path: Path) -> None:
    """Calls that were refused before are answered all the same."""
    async with agent_of(tmp_path) as agent:
        assert "email_address" in await agent.refused("get_mailbox", email_address=5)
        assert "Cannot use" in await agent.refused("list_mailboxes")
        assert "email_address" in await agent.refused("get_mailbox", email_address=5)


async def test_nothing_is_kept_of_calls_on_another_api(path: Path) -> None:
    """Nor in memory, where nobody could look."""
    with Store(path) as store:
        async with connect(httpx2.ASGITransport(app=create_app(store))) as agent:
            await agent.ask("list_mailboxes")
    async with agent_of(Path(":memory:")) as agent:
        await agent.ask("list_mailboxes")
    assert calls(path) == []
