"""Humans who answer questions, and clients that ask them."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.session import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from inkbox_mcp.api.connection import TransportFactory
from inkbox_mcp.sandbox import Store, create_app
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY, Agent, server_on
from tests.support.conversations import Wire, served
from tests.support.messages import ENVELOPE, HANDSHAKE, rpc

ADDRESS = "sales@inkboxmail.com"
YES = ElicitResult(action="accept", content={"confirm": True})
"""The only answer that is consent."""
CAN_ASK: dict[str, Any] = {"elicitation": {}}
"""The capability of a client that shows forms."""


class Human:
    """Gives the same answer to every question, and records the questions."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.questions: list[str] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.questions.append(params.message)
        return YES if self.answer == "accept" else ElicitResult.model_validate({"action": self.answer})


class Desk:
    """A sandbox with the mailbox `sales`. Makes clients, and records the requests to the sandbox."""

    def __init__(self, store: Store) -> None:
        self.app = create_app(store)
        self.requests: list[httpx2.Request] = []

    def client(self, era: str, human: Human | None, **settings: Any) -> Client:
        """Make a client. It can ask questions if there is a human."""

        async def record(request: httpx2.Request) -> httpx2.Response:
            self.requests.append(request)
            return await httpx2.ASGITransport(self.app).handle_async_request(request)

        server = server_on(record, sandbox=True, **settings)
        return Client(server, mode=era, elicitation_callback=human)

    async def prepare(self) -> None:
        """Create the mailbox."""
        async with self.client("auto", None) as client:
            await Agent(client).ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
        self.requests.clear()


class FormClient:
    """A client that answers forms with any JSON, as no typed client could."""

    def __init__(self, wire: Wire, era: str) -> None:
        self._wire, self._modern = wire, era == "auto"

    async def shake_hands(self) -> None:
        """Begin as a client of the era does."""
        if not self._modern:
            self._wire.say(rpc(id=0, method="initialize", params={**HANDSHAKE, "capabilities": CAN_ASK}))
            await self._wire.line()
            self._wire.say(rpc(method="notifications/initialized"))

    async def call(self, tool: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Call a tool; return the server's next message."""
        meta = {"_meta": {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": CAN_ASK}} if self._modern else {}
        params = {"name": tool, "arguments": arguments, **more, **meta}
        return await self._say(id=1, method="tools/call", params=params)

    async def form(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool that asks; return the parameters of its form, without what the SDK adds while it traces."""
        asked = await self.call(tool, arguments)
        (request,) = asked["result"]["inputRequests"].values() if self._modern else (asked,)
        assert request["method"] == "elicitation/create"
        return {name: value for name, value in request["params"].items() if name != "_meta"}

    async def answer(self, tool: str, arguments: dict[str, Any], answer: Any, **others: Any) -> dict[str, Any]:
        """Call a tool that asks and answer its form; return the server's next message.

        Args:
            tool: to call.
            arguments: of the call.
            answer: to the form, as JSON.
            others: answers to other questions, by key; for clients of 2026-07-28.
        """
        asked = await self.call(tool, arguments)
        if not self._modern:
            return await self._say(id=asked["id"], result=answer)
        (key,) = asked["result"]["inputRequests"]
        state = asked["result"]["requestState"]
        return await self.call(tool, arguments, inputResponses={**others, key: answer}, requestState=state)

    async def _say(self, **members: Any) -> dict[str, Any]:
        self._wire.say(rpc(**members))
        return json.loads(await self._wire.line())


@asynccontextmanager
async def form_client(transport: TransportFactory, era: str, **settings: Any) -> AsyncGenerator[FormClient]:
    """Connect a client to a server on an Inkbox's transport.

    Args:
        transport: to the Inkbox.
        era: "auto" for protocol 2026-07-28, "legacy" for 2025-11-25.
        settings: of the server.
    """
    service = Service(Settings.model_validate({"api_key": KEY, "api_generation": "spec", **settings}), transport)
    async with served(service, []) as wire:
        client = FormClient(wire, era)
        await client.shake_hands()
        yield client
        wire.leave()
