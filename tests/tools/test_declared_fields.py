"""Schemas of results name every field, because some clients pass on only fields that are declared."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from inkbox_mcp.sandbox import Generation
from tests.support.alike import BOTH
from tests.support.catalogue import CATALOGUES, EVERY
from tests.support.humans import Human
from tests.support.inboxes import Inbox, inbox

FROM_ELSEWHERE = {"phone_number", "imessage_number", "tunnel", "filter_mode_change_notice", "context_config"}
"""Objects about other parts of Inkbox, which are passed on as they are."""
TO = ["jane@example.com"]
FILE = "data:text/plain;name=order.txt;base64,U2V2ZW50ZWVu"
HTML = '<p>Your code is 482913.</p><a href="https://acme.example/confirm?t=1">https://bank.example</a>'


class Recorder:
    """Calls tools, and keeps the paths of what they answer that no schema declares.

    Attributes:
        called: the tools that answered.
        seen: the paths of all fields that were answered.
        undeclared: those of them that are not declared.
    """

    def __init__(self, desk: Inbox, generation: Generation) -> None:
        self._desk, self._tools = desk, CATALOGUES[generation].tools
        self.called: set[str] = set()
        self.seen: set[str] = set()
        self.undeclared: set[str] = set()

    async def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool that must succeed, and return its data."""
        answer = await self._desk.agent.ask(tool, **arguments)
        self.called.add(tool)
        for path, is_declared in fields_of(answer, self._tools[tool].output_schema, tool):
            self.seen.add(path)
            if not is_declared:
                self.undeclared.add(path)
        return answer

    async def at_desk(self, tool: str, **arguments: Any) -> Any:
        """Call a tool for the mailbox of the desk."""
        return await self.call(tool, email_address=self._desk.person.address, **arguments)


def fields_of(value: Any, schema: dict[str, Any], path: str) -> Iterator[tuple[str, bool]]:
    """Yield the path of each field of an answer, at any depth, and whether the schema declares it."""
    match value:
        case dict():
            declared: dict[str, Any] = schema.get("properties", {})
            for name, member in cast("dict[str, Any]", value).items():
                yield f"{path}.{name}", name in declared
                yield from fields_of(member, declared.get(name, {}), f"{path}.{name}")
        case list():
            for item in cast("list[Any]", value):
                yield from fields_of(item, schema.get("items", {}), path)
        case _:
            pass


@BOTH
async def test_every_field_of_every_answer_of_the_sandbox_is_declared(generation: Generation) -> None:
    """All tools of the generation are called, also so that they answer fields that are rare."""
    async with inbox(generation, human=Human("accept"), allow_addresses=["*@inkboxmail.com"]) as desk:
        recorder = Recorder(desk, generation)
        await use_mail(recorder, desk)
        await (use_mailboxes if generation == "spec" else use_webhooks)(recorder)
    assert not recorder.undeclared
    assert recorder.called == {*CATALOGUES[generation].tools}
    assert recorder.seen >= RARE
    if generation == "identity":
        assert "create_webhook.signing_key" in recorder.seen


RARE = {
    *("get_message.codes.value", "get_message.links.misleading", "get_message.attachments.size"),
    *("get_message.next_offset", "get_message.status", "wait_for_message.message.codes.line"),
    *("get_attachment.links.url", "send_message.attachments.filename", "update_messages.messages.error"),
    "list_identities.limited_to",
}


async def use_mail(recorder: Recorder, desk: Inbox) -> None:
    """Read, send, mark and delete mail."""
    await recorder.call("whoami")
    first = await recorder.at_desk("wait_for_message", timeout=0)
    desk.deliver("Welcome", "Your code is 482913.", HTML)
    await recorder.at_desk("wait_for_message", after=first["after"])
    await recorder.at_desk("wait_for_message", after=first["after"], subject="another", timeout=0)
    letter = {"text": "It is on its way.\n" * 20, "cc": ["bob@example.org"], "bcc": ["audit@example.net"]}
    page = "data:text/html;name=page.html;base64,PGEgaHJlZj0iaHR0cHM6Ly9hY21lLmV4YW1wbGUiPmhlcmU8L2E+"
    sent = await recorder.at_desk("send_message", to=TO, subject="Order 17", **letter, attachments=[FILE, page])
    await recorder.at_desk("send_message", to=TO, subject="Order 17", **letter, attachments=[FILE, page])
    await recorder.at_desk("get_message", message_id=sent["id"], max_chars=100)
    for filename in ("order.txt", "page.html"):
        await recorder.at_desk("get_attachment", message_id=sent["id"], filename=filename)
    await recorder.at_desk("reply_to_message", message_id=sent["id"], text="Also this.", attachments=[FILE])
    await recorder.at_desk("forward_message", message_id=sent["id"], to=TO, text="See below.")
    listed = await recorder.at_desk("list_messages", limit=2)
    await recorder.at_desk("list_messages", search="order")
    await recorder.at_desk("list_threads")
    await recorder.at_desk("get_thread", thread_id=sent["thread_id"])
    welcome = (await recorder.at_desk("list_messages", direction="inbound"))["messages"][0]["id"]
    await recorder.at_desk("get_message", message_id=welcome)
    missing = "11111111-1111-4111-8111-111111111111"
    await recorder.at_desk("update_messages", message_ids=[welcome, missing], is_read=False, is_starred=True)
    await recorder.at_desk("list_messages", unread=True)
    await recorder.at_desk("delete_message", message_id=listed["messages"][0]["id"])
    await recorder.at_desk("delete_message", message_id=welcome, whole_thread=True)


async def use_mailboxes(recorder: Recorder) -> None:
    """Make and delete what the first generation has."""
    await recorder.call("create_identity", agent_handle="alice", mailbox_local_part="alice")
    await recorder.call("create_identity", agent_handle="bob", with_mailbox=False)
    made = await recorder.call("create_mailbox", agent_handle="bob", email_local_part="bob", display_name="Bob")
    address = made["email_address"]
    await recorder.call("update_mailbox", email_address=address, webhook_url="https://hooks.acme.com/x")
    await recorder.call("get_mailbox", email_address=address)
    await recorder.call("unlink_mailbox", agent_handle="bob")
    await recorder.call("unlink_mailbox", agent_handle="bob")
    await recorder.call("link_mailbox", agent_handle="bob", email_address=address)
    await recorder.call("update_identity", agent_handle="bob", status="paused")
    await lists(recorder, "bob")
    await recorder.call("delete_mailbox", email_address=address)
    await recorder.call("delete_identity", agent_handle="alice")
    await recorder.call("delete_identity", agent_handle="bob")


async def use_webhooks(recorder: Recorder) -> None:
    """Make and delete what the second generation has."""
    made = await recorder.call("create_identity", agent_handle="bob", display_name="Bob")
    address = made["email_address"]
    webhook = await recorder.call("create_webhook", email_address=address, webhook_url="https://hooks.acme.com/x")
    await recorder.call("list_webhooks", email_address=address)
    await recorder.call("delete_webhook", email_address=address, webhook_id=webhook["id"])
    await recorder.call("update_identity", agent_handle="bob", display_name="Robert")
    await recorder.call("get_mailbox", email_address=address)
    await lists(recorder, "bob")
    await recorder.call("delete_identity", agent_handle="bob")


async def lists(recorder: Recorder, handle: str) -> None:
    """List rows and whole objects."""
    await recorder.call("get_identity", agent_handle=handle)
    for tool in ("list_identities", "list_mailboxes"):
        for details in (False, True):
            await recorder.call(tool, limit=1, details=details)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_object_in_a_result_has_its_fields_declared(name: str) -> None:
    """Programs that write code for a tool know an item of a list only by its schema."""
    bare = {path for path, schema in objects_in(EVERY[name].output_schema, name) if not schema.get("properties")}
    assert {path for path in bare if path.split(".")[-1] not in FROM_ELSEWHERE} == set()


def objects_in(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schema of each object in a result, with its path."""
    if "object" in schema.get("type", ()):
        yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from objects_in(field, f"{path}.{name}")
    if "items" in schema:
        yield from objects_in(schema["items"], path)
