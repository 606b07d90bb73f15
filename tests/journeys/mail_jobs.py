"""Five jobs that an agent does with its mail and the tools alone, each as the calls that the answers lead to.

A job's arguments come from the user's words and from earlier answers. Its mailbox holds the mails of
`tests.support.correspondence`, and each job begins with a new one.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from inkbox_mcp.sandbox import Generation, Store, create_app
from tests.support.agents import Agent, connect, text
from tests.support.correspondence import ADDRESS, CODE, COLLEAGUE, CUSTOMER, LETTERS, SHOP, pdf

OPEN = "Yes, we are open on Saturday from 9 to 1. You can bring back the empty rolls, too."
NOTE = "Please take over: 200 labels of order 5512 were wet. Ruth needs new ones at the fair in Leeds by the 11th."


@dataclass
class Desk:
    """An agent with a mailbox.

    Attributes:
        agent: makes the calls.
        folder: where attachments are saved.
        calls: the tools that were called.
        read: the text of each answer.
    """

    agent: Agent
    folder: Path
    calls: list[str] = field(default_factory=list[str])
    read: list[str] = field(default_factory=list[str])

    async def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool of the mailbox, which must succeed; return its data."""
        result = await self.agent.call(tool, email_address=ADDRESS, **arguments)
        self.calls.append(tool)
        self.read.append(text(result))
        assert not result.is_error, text(result)
        return result.structured_content


async def _code(desk: Desk) -> None:
    waited = await desk.call("wait_for_message", sender=SHOP.partition("@")[2])
    codes: list[dict[str, Any]] = waited["message"]["codes"]
    assert codes[0]["value"] == CODE


async def _answer(desk: Desk) -> None:
    rows = (await desk.call("list_messages", direction="inbound", limit=10))["messages"]
    newest = next(row for row in rows if "no-reply@" not in row["from"])
    message = await desk.call("get_message", message_id=newest["id"])
    assert "open on Saturday" in message["text"]
    sent = await desk.call("reply_to_message", message_id=newest["id"], text=OPEN)
    assert (sent["to"], sent["subject"]) == ([CUSTOMER], "Re: Opening hours on Saturday")
    assert sent["thread_id"] == newest["thread_id"]


async def _invoice(desk: Desk) -> None:
    rows = (await desk.call("list_messages", search="invoice May"))["messages"]
    (found,) = [row for row in rows if row.get("attachments") and "May" in row["subject"]]
    message = await desk.call("get_message", message_id=found["id"])
    (file,) = message["attachments"]
    saved = await desk.call("get_attachment", message_id=found["id"], filename=file["filename"], save=True)
    (letter,) = [each for each in LETTERS if each.subject == found["subject"]]
    name, words = letter.file or ("", "")
    assert (saved["path"], saved["sha256"]) == (str(desk.folder / name), hashlib.sha256(pdf(words)).hexdigest())
    assert (desk.folder / name).read_bytes() == pdf(words)


async def _unread(desk: Desk) -> None:
    page = await desk.call("list_messages", unread=True)
    shown = [row["subject"] for row in page["messages"]]
    assert shown == [letter.subject for letter in reversed(LETTERS) if letter.unread]
    assert page["next_cursor"] is None


async def _hand_over(desk: Desk) -> None:
    rows = (await desk.call("list_messages", search="wet box"))["messages"]
    thread = await desk.call("get_thread", thread_id=rows[0]["thread_id"])
    newest = thread["messages"][-1]
    assert "stand 27" in newest["text"]
    assert any("About 200 of the labels" in message["text"] for message in thread["messages"])
    sent = await desk.call("forward_message", message_id=newest["id"], to=[COLLEAGUE], text=NOTE)
    assert (sent["to"], sent["subject"]) == ([COLLEAGUE], "Fwd: Re: Wet box in order 5512")
    done = await desk.call("update_messages", message_ids=[newest["id"]], is_read=True, folder="archive")
    assert done["messages"] == [{"id": newest["id"], "changed": True}]


@dataclass(frozen=True)
class MailJob:
    """A job.

    Attributes:
        says: what the user says.
        work: the calls, and whether their answers are right.
    """

    says: str
    work: Callable[[Desk], Awaitable[None]]


MAIL_JOBS = {
    "get a code": MailJob(f"I signed up at Paperly with {ADDRESS}. Which code did they send?", _code),
    "answer a customer": MailJob("Answer the newest mail of a customer. On Saturday we are open from 9 to 1.", _answer),
    "save an invoice": MailJob("Find Northcloud's invoice for May and save the file.", _invoice),
    "what is unread": MailJob("Which mails has nobody read?", _unread),
    "hand over": MailJob(
        f"Hand Ruth's complaint about the wet box over to {COLLEAGUE}, with a note on what is to do, and archive it.",
        _hand_over,
    ),
}


async def do_mail_job(job: MailJob, generation: Generation, folder: Path, mails: list[bytes]) -> Desk:
    """Do a job in a new mailbox, and return what was called and read.

    Args:
        job: what to do.
        generation: of the API.
        folder: where attachments are saved.
        mails: as they come in: those of `LETTERS`, in their order.

    Raises:
        AssertionError: an answer is wrong.
    """
    with Store(":memory:") as store:
        app = httpx2.ASGITransport(create_app(store, generation))
        settings: dict[str, Any] = {"sandbox": True, "sandbox_generation": generation, "confirm": "never"}
        async with connect(app, **settings, attachments_dir=str(folder)) as agent:
            await _open(agent, store, generation, mails)
            desk = Desk(agent, folder)
            await job.work(desk)
    return desk


async def _open(agent: Agent, store: Store, generation: Generation, mails: list[bytes]) -> None:
    """Make the mailbox, let the mails come in, and mark those read that somebody has read."""
    name = ADDRESS.partition("@")[0]
    chosen = {"mailbox_local_part": name} if generation == "spec" else {}
    made = await agent.ask("create_identity", agent_handle=name, **chosen)
    assert made["email_address"] == ADDRESS
    came = [store.deliver(mail)[0][ADDRESS] for mail in mails]
    seen = [message for message, letter in zip(came, LETTERS, strict=True) if not letter.unread]
    await agent.ask("update_messages", email_address=ADDRESS, message_ids=seen, is_read=True)
