"""What an agent does with its mail takes the calls that the answers lead to, and no more."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx2
import pytest

from inkbox_mcp.catalogue import GENERATIONS
from inkbox_mcp.sandbox import Generation, Store, create_app
from tests.journeys.mail_jobs import MAIL_JOBS, do_mail_job
from tests.support.agents import Agent, connect
from tests.support.correspondence import LETTERS

pytestmark = pytest.mark.parametrize("generation", GENERATIONS)

CALLS = {
    "get a code": ["wait_for_message"],
    "answer a customer": ["list_messages", "get_message", "reply_to_message"],
    "save an invoice": ["list_messages", "get_message", "get_attachment"],
    "what is unread": ["list_messages"],
    "hand over": ["list_messages", "get_thread", "forward_message", "update_messages"],
}
"""The calls that each job takes: one to find the mail, one to read it, and one for each thing that is done."""


@dataclass
class Inbox:
    """An agent with a mailbox, to which strangers write.

    Attributes:
        agent: makes the calls.
        store: delivers what strangers write.
        address: of the mailbox.
        calls: the tools that were called.
    """

    agent: Agent
    store: Store
    address: str
    calls: list[str] = field(default_factory=list[str])

    async def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool of the mailbox."""
        self.calls.append(tool)
        return await self.agent.ask(tool, email_address=self.address, **arguments)

    def deliver(self, subject: str, text: str, sender: str = "Shop <hello@shop.example>") -> None:
        """Deliver a mail from outside."""
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = sender, self.address, subject
        mail.set_content(text)
        self.store.deliver(mail.as_bytes())


@asynccontextmanager
async def inbox(generation: Generation) -> AsyncGenerator[Inbox]:
    """Give a new agent a mailbox on a new sandbox."""
    with Store(":memory:") as store:
        app = httpx2.ASGITransport(create_app(store, generation))
        async with connect(app.handle_async_request, sandbox=True, sandbox_generation=generation) as agent:
            made = await agent.ask("create_identity", agent_handle="new-agent")
            yield Inbox(agent, store, made["email_address"])


async def test_a_sign_up_takes_one_call_to_get_its_code(generation: Generation) -> None:
    """The mail came before the agent waits, as it often does."""
    async with inbox(generation) as mail:
        mail.deliver("Welcome to the shop", "Our shop has 20% off with SAVE20 until 2027.")
        mail.deliver("Confirm your address", "Your code is 482 913.\nOr open https://shop.example/verify?t=a1b2")
        answer = await mail.call("wait_for_message", sender="shop.example", contains="code")
        message = answer["message"]
        assert (answer["timed_out"], message["codes"][0]["value"]) == (False, "482913")
        assert message["links"][0]["url"] == "https://shop.example/verify?t=a1b2"
        assert mail.calls == ["wait_for_message"]


async def test_a_filter_that_was_wrong_costs_one_more_call(generation: Generation) -> None:
    """The answer to the first one shows what came, and where the next one goes on."""
    async with inbox(generation) as mail:
        mail.deliver("Your code", "It is 1234567.", sender="no-reply@accounts.example")
        missed = await mail.call("wait_for_message", sender="shop.example", timeout=0)
        (other,) = missed["others"]
        assert missed["timed_out"]
        assert other["from"] == "no-reply@accounts.example"
        answer = await mail.call("wait_for_message", sender="accounts.example", after=missed["after"], timeout=0)
        assert answer["message"]["id"] == other["id"]


async def test_what_is_unread_takes_one_call(generation: Generation) -> None:
    """Rows say who wrote what."""
    async with inbox(generation) as mail:
        for number in range(3):
            mail.deliver(
                f"Question {number}", "When do you open?", sender=f"Customer {number} <c{number}@mail.example>"
            )
        rows = (await mail.call("list_messages", unread=True))["messages"]
        assert [row["subject"] for row in rows] == ["Question 2", "Question 1", "Question 0"]
        assert all(row["unread"] for row in rows)


async def test_a_long_mail_is_read_part_by_part(generation: Generation) -> None:
    """Each part names the offset of the next one, and no word is missing or twice."""
    words = [f"word{number}" for number in range(2500)]
    async with inbox(generation) as mail:
        mail.deliver("Long", " ".join(words))
        (row,) = (await mail.call("list_messages"))["messages"]
        found: list[str] = []
        part: dict[str, Any] = {"next_offset": 0}
        while (offset := part.get("next_offset")) is not None:
            part = await mail.call("get_message", message_id=row["id"], offset=offset)
            found += re.findall(r"word\d+", part["text"])
        assert found == words
        assert len(mail.calls) <= 6


async def test_a_conversation_is_read_in_two_calls(generation: Generation) -> None:
    """The row of a message leads to its conversation."""
    async with inbox(generation) as mail:
        mail.deliver("Delivery", "Where is my parcel?")
        (row,) = (await mail.call("list_messages", search="parcel"))["messages"]
        thread = await mail.call("get_thread", thread_id=row["thread_id"])
        assert "Where is my parcel?" in thread["messages"][0]["text"]
        done = await mail.call("update_messages", message_ids=[row["id"]], is_read=True, folder="archive")
        assert done["messages"] == [{"id": row["id"], "changed": True}]
        (archived,) = (await mail.call("list_threads", folder="archive"))["threads"]
        assert archived["id"] == row["thread_id"]


@pytest.mark.parametrize("name", MAIL_JOBS)
async def test_a_job_takes_its_calls_and_ends_with_a_right_answer(
    name: str, generation: Generation, tmp_path: Path
) -> None:
    """Among twenty mails, some of which are alike. The job checks what it reads and what was done."""
    mails = [bytes(letter.written()) for letter in LETTERS]
    desk = await do_mail_job(MAIL_JOBS[name], generation, tmp_path, mails)
    assert desk.calls == CALLS[name]
