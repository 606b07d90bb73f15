"""Humans who answer questions, and clients that ask them."""

from typing import Any

import httpx2
from mcp import Client
from mcp.client.session import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from inkbox_mcp.sandbox import Store, create_app
from tests.support.agents import Agent, server_on

ADDRESS = "sales@inkboxmail.com"


class Human:
    """Gives the same answer to every question, and records the questions."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.questions: list[str] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        self.questions.append(params.message)
        return ElicitResult.model_validate({"action": self.answer, "content": {} if self.answer == "accept" else None})


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
