"""Agents with a mailbox on a sandbox, and the mail that strangers write to them."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

import httpx2
from mcp.client.session import ElicitationFnT
from mcp.types import CallToolResult

from inkbox_mcp.sandbox import Generation, Store
from tests.sandbox.mail.people import Person, people
from tests.support.agents import Agent, connect

Fault = Callable[[httpx2.Request], httpx2.Response | None]


class Inbox:
    """An agent's mailbox.

    Attributes:
        agent: calls the tools.
        person: uses the same mailbox without them.
        store: of the sandbox.
        requests: what the tools sent, as method and path with query.
        fault: answers a request in place of the sandbox, if it returns an answer.
    """

    def __init__(self, person: Person, store: Store) -> None:
        self.person, self.store = person, store
        self.agent: Agent
        self.requests: list[str] = []
        self.fault: Fault | None = None

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request of the tools."""
        self.requests.append(f"{request.method} {request.url.raw_path.decode().partition('inkboxmail.com')[2]}")
        fault = self.fault(request) if self.fault else None
        return fault or await self.person.transport.handle_async_request(request)

    async def ask(self, tool: str, **arguments: Any) -> Any:
        """Call a tool that must succeed, and return its data."""
        return await self.agent.ask(tool, email_address=self.person.address, **arguments)

    async def call(self, tool: str, **arguments: Any) -> CallToolResult:
        """Call a tool and return the whole result."""
        return await self.agent.call(tool, email_address=self.person.address, **arguments)

    async def refused(self, tool: str, **arguments: Any) -> str:
        """Call a tool that must fail, and return the error's text."""
        return await self.agent.refused(tool, email_address=self.person.address, **arguments)

    def deliver(
        self,
        subject: str = "Hello",
        text: str = "How are you?",
        html: str | None = None,
        sender: str = "Ann Lee <ann@example.org>",
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Let a stranger's mail come in, and return its id."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = sender, self.person.address, subject
        for name, value in (headers or {}).items():
            mail[name] = value
        mail.set_content(text)
        if html is not None:
            mail.add_alternative(html, subtype="html")
        delivered, _ = self.store.deliver(bytes(mail))
        return delivered[self.person.address]

    def converse(self, number: int, text: str = "Message {}") -> list[str]:
        """Let a conversation of so many mails come in, and return their ids."""
        ids: list[str] = []
        for each in range(number):
            before = {"In-Reply-To": f"<{each - 1}@example.org>"} if each else {}
            ids.append(
                self.deliver("Plans", text.format(each), headers={"Message-ID": f"<{each}@example.org>", **before})
            )
        return ids

    async def is_read(self, message_id: str) -> bool:
        """Whether a message is marked read."""
        (found,) = [each for each in await self.person.list(limit=100) if each["id"] == message_id]
        return found["is_read"]


@asynccontextmanager
async def inbox(
    generation: Generation, era: str = "auto", human: ElicitationFnT | None = None, **settings: Any
) -> AsyncGenerator[Inbox]:
    """Make an agent with an empty mailbox.

    Args:
        generation: of the API.
        era: of the protocol; see `connect`.
        human: answers questions.
        settings: of the server.
    """
    with Store(":memory:") as store:
        async with people(store, generation, "desk") as (person,):
            made = Inbox(person, store)
            key = person.client.headers["X-API-Key"]
            async with connect(made.answer, era, human, api_key=key, api_generation=generation, **settings) as agent:
                made.agent = agent
                yield made
