"""Agents under load: each repeatedly creates, reads, changes and deletes its own mailboxes."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import anyio
import httpx2
from mcp import MCPError
from mcp.client.session import ElicitationFnT
from mcp.types import CallToolResult

from tests.support.agents import KEY, Agent, connect_http, text
from tests.support.processes import PATIENCE

ERAS = ("auto", "legacy")
ATTEMPTS = 20
LONG_PATIENCE = 2 * PATIENCE
"""For a call among those of dozens of agents: whatever takes longer hangs."""


@asynccontextmanager
async def connected(
    url: str, mode: str = "auto", human: ElicitationFnT | None = None, **headers: str
) -> AsyncGenerator[Agent]:
    """Connect an agent to the server at this origin; each request has these headers (`_` stands for `-`).

    Without an `X_Request_ID` each request gets its own id.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def name_request(request: httpx2.Request) -> None:
        request.headers.setdefault("X-Request-ID", uuid4().hex)

    http = httpx2.AsyncClient(headers=named, timeout=LONG_PATIENCE, event_hooks={"request": [name_request]})
    async with connect_http(f"{url}/mcp", http, mode, human) as agent:
        yield agent


@dataclass
class Call:
    """A call that is repeated until it is answered."""

    tool: str
    arguments: dict[str, Any]
    attempts: int = 0
    result: CallToolResult | None = None
    answered: anyio.Event = field(default_factory=anyio.Event)


class Persistent:
    """An agent that connects again and repeats its call after a lost answer.

    Attributes:
        repeated: the number of repetitions.
    """

    def __init__(self, url: str, mode: str) -> None:
        self.repeated = 0
        self._url = url
        self._mode = mode
        self._calls, self._waiting = anyio.create_memory_object_stream[Call]()

    async def call(self, tool: str, **arguments: Any) -> tuple[CallToolResult, bool]:
        """Call a tool until it is answered; return the answer and whether an earlier attempt may have worked."""
        call = Call(tool, arguments)
        await self._calls.send(call)
        await call.answered.wait()
        assert call.result
        return call.result, call.attempts > 1

    async def work(self) -> None:
        """Make the calls, with a new connection after each failure, until the agent leaves."""
        call: Call | None = None
        with self._waiting:
            while True:
                try:
                    async with connected(self._url, self._mode) as agent:
                        if call:
                            await self._try(agent, call)
                        async for call in self._waiting:
                            await self._try(agent, call)
                except (MCPError, httpx2.HTTPError, ExceptionGroup):
                    self.repeated += 1
                    assert not call or call.attempts < ATTEMPTS, f"no answer to {ATTEMPTS} calls of {call.tool}"
                else:
                    return

    def leave(self) -> None:
        """Stop making calls."""
        self._calls.close()

    async def _try(self, agent: Agent, call: Call) -> None:
        if not call.result:
            call.attempts += 1
            call.result = await agent.call(call.tool, **call.arguments)
            call.answered.set()


class Steady:
    """An agent whose calls must all be answered; any exception ends the test."""

    repeated = 0

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def call(self, tool: str, **arguments: Any) -> tuple[CallToolResult, bool]:
        """Call a tool once."""
        return await self._agent.call(tool, **arguments), False


@dataclass
class Lives:
    """The mailboxes of many agents, as their answers reported them.

    Attributes:
        known: the names of the existing mailboxes, by address.
        made: the addresses of all mailboxes that ever existed.
        handles: the handles of the identities.
        calls: the number of answered calls.
        repeated: the number of repeated calls.
        is_over: whether agents stop after their current mailbox.
    """

    known: dict[str, str] = field(default_factory=dict[str, str])
    made: set[str] = field(default_factory=set[str])
    handles: set[str] = field(default_factory=set[str])
    calls: int = 0
    repeated: int = 0
    is_over: bool = False
    _progress: anyio.Event = field(default_factory=anyio.Event)

    async def go_on(self, calls: int) -> None:
        """Wait until this many more calls are answered."""
        goal = self.calls + calls
        with anyio.fail_after(LONG_PATIENCE):
            while self.calls < goal:
                self._progress = anyio.Event()
                await self._progress.wait()

    async def steadily(self, url: str, number: int) -> None:
        """Live one life after another as agent `number`, whose calls must not fail."""
        async with connected(url, ERAS[number % 2]) as agent:
            await self._live_on(Steady(agent), number)

    async def persistently(self, url: str, number: int) -> None:
        """Live one life after another as agent `number`, which repeats interrupted calls."""
        agent = Persistent(url, ERAS[number % 2])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.work)
            await self._live_on(agent, number)
            agent.leave()
        self.repeated += agent.repeated

    async def _live_on(self, agent: Steady | Persistent, number: int) -> None:
        life = 0
        while not self.is_over:
            life += 1
            await self._live(agent, f"agent-{number}-{life}", is_kept=(number + life) % 3 == 0)

    async def _live(self, agent: Steady | Persistent, handle: str, *, is_kept: bool) -> None:
        await self._done(agent, "create_identity", "conflict", agent_handle=handle, with_mailbox=False)
        self.handles.add(handle)
        address = await self._create(agent, handle)
        self.made.add(address)
        self.known[address] = handle
        assert (await self._read(agent, "get_mailbox", email_address=address))["display_name"] == handle
        self.known[address] = f"Agent {handle}"
        await self._done(agent, "update_mailbox", None, email_address=address, display_name=f"Agent {handle}")
        (found,) = (await self._read(agent, "list_mailboxes", search=address))["mailboxes"]
        assert (found["email_address"], found["display_name"]) == (address, f"Agent {handle}")
        if not is_kept:
            del self.known[address]
            await self._done(agent, "delete_mailbox", "not_found", email_address=address)
            gone, _ = await agent.call("get_mailbox", email_address=address)
            assert code(gone) == "not_found", text(gone)
            self._answered()

    def _answered(self) -> None:
        self.calls += 1
        self._progress.set()

    async def _create(self, agent: Steady | Persistent, handle: str) -> str:
        result = await self._done(agent, "create_mailbox", "conflict", agent_handle=handle, display_name=handle)
        if result.structured_content:
            return result.structured_content["email_address"]
        named = re.search(rf'"{handle}" already has the mailbox "(\S+@\S+)", and', text(result))
        assert named, text(result)
        return named[1]

    async def _done(
        self, agent: Steady | Persistent, tool: str, code_of_done: str | None, **arguments: Any
    ) -> CallToolResult:
        """Make a change; an error with this code means that an earlier attempt made it."""
        result, may_be_done = await agent.call(tool, **arguments)
        assert not result.is_error or (may_be_done and code(result) == code_of_done), (tool, text(result))
        self._answered()
        return result

    async def _read(self, agent: Steady | Persistent, tool: str, **arguments: Any) -> dict[str, Any]:
        result, _ = await agent.call(tool, **arguments)
        assert not result.is_error, (tool, text(result))
        assert result.structured_content is not None
        self._answered()
        return result.structured_content


def code(result: CallToolResult) -> str | None:
    """Return the code of a failed call."""
    return (result.meta or {}).get("code")


async def inkbox_get(url: str, resource: str) -> list[dict[str, Any]]:
    """Read a list from Inkbox without a server between: `mail/mailboxes` or `identities`."""
    async with httpx2.AsyncClient(base_url=url, headers={"X-API-Key": KEY}, timeout=PATIENCE) as http:
        answer = await http.get(f"/api/v1/{resource}")
        assert answer.status_code == HTTPStatus.OK
        return answer.json()
