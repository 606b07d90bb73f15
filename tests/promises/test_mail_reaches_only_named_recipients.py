"""Promise: mail goes to whom the call and its result name, to nobody else, and never beyond `--allow-recipients`."""

import json
from random import Random
from typing import Any

import httpx2
import pytest

from inkbox_mcp.sandbox import Generation
from inkbox_mcp.tools import operations
from tests.support.alike import BOTH
from tests.support.inboxes import Inbox, inbox

SENDING = ["send_message", "reply_to_message", "forward_message"]

PEOPLE = [f"{name}@{domain}" for name in ("ann", "Bob", "cy") for domain in ("x.example", "Y.example")]


class Outbox:
    """Records the requests that may send something, and what became of them."""

    def __init__(self, desk: Inbox) -> None:
        self.posted: list[tuple[str, Any]] = []
        desk.fault = self._record

    def _record(self, request: httpx2.Request) -> None:
        if request.method not in {"GET", "PATCH", "DELETE"}:
            self.posted.append((request.url.path, json.loads(request.content)))

    @property
    def recipients(self) -> list[str]:
        """All addresses of the requests, which have no other way to name one."""
        assert all(path.endswith(("/messages", "/forward")) for path, _ in self.posted)
        return [each for _, body in self.posted for some in body["recipients"].values() for each in some]


def named(result: dict[str, Any]) -> list[str]:
    """Return the recipients that a result names."""
    return [*result["to"], *result.get("cc", []), *result.get("bcc", [])]


def plain(addresses: list[str]) -> list[str]:
    """Return addresses as they are compared, each once."""
    return sorted({each.casefold() for each in addresses})


async def left_for(desk: Inbox) -> list[str]:
    """Return everybody to whom the newest message went, as the sandbox shows it in full."""
    listed = await desk.person.list(direction="outbound", limit=1)
    message = await desk.person.get(listed[0]["id"])
    lists: list[list[str]] = [message[name] or [] for name in ("to_addresses", "cc_addresses", "bcc_addresses")]
    return [each for some in lists for each in some]


@BOTH
async def test_whom_a_mail_reaches_is_whom_its_call_and_its_result_name(generation: Generation) -> None:
    """For any lists of a new message and of a forward."""
    random = Random(generation)
    async with inbox(generation, confirm="never") as desk:
        outbox, message_id = Outbox(desk), desk.deliver()
        for number in range(12):
            to, cc, bcc = (random.choices(PEOPLE, k=random.randint(least, 4)) for least in (1, 0, 0))
            for tool, arguments, everyone in (
                ("send_message", {"to": to, "cc": cc, "bcc": bcc, "subject": "Hello"}, [*to, *cc, *bcc]),
                ("forward_message", {"message_id": message_id, "to": to}, to),
            ):
                outbox.posted.clear()
                result = await desk.ask(tool, **arguments, text=f"{number}")
                wanted = plain(everyone)
                assert wanted == plain(named(result)) == plain(outbox.recipients) == plain(await left_for(desk))


@BOTH
@pytest.mark.parametrize("reply_all", [False, True])
async def test_an_answer_reaches_the_people_of_its_message_only(generation: Generation, *, reply_all: bool) -> None:
    """A thread has further people, who are not written to."""
    async with inbox(generation, confirm="never") as desk:
        outbox = Outbox(desk)
        desk.deliver("Plans", sender="cy@x.example", headers={"Message-ID": "<1@x.example>", "Cc": "dee@x.example"})
        headers = {"In-Reply-To": "<1@x.example>", "Cc": "bob@x.example", "Bcc": "eve@x.example"}
        message_id = desk.deliver("Re: Plans", sender="ann@x.example", headers=headers)
        result = await desk.ask("reply_to_message", message_id=message_id, text="Fine.", reply_all=reply_all)
        wanted = ["ann@x.example", "bob@x.example"] if reply_all else ["ann@x.example"]
        assert wanted == named(result) == outbox.recipients == await left_for(desk)


@BOTH
async def test_no_other_tool_sends_anything(generation: Generation) -> None:
    """Whatever they are asked for: only three tools post to a mailbox."""
    async with inbox(generation, confirm="never") as desk:
        outbox, message_id = Outbox(desk), desk.deliver()
        thread_id = (await desk.ask("list_threads"))["threads"][0]["id"]
        for name, tool in operations(generation).items():
            if tool.toolset != "mail" or name in SENDING:
                continue
            known: dict[str, Any] = {"message_id": message_id, "message_ids": [message_id], "thread_id": thread_id}
            known |= {"filename": "x", "is_read": True, "timeout": 0}
            arguments = {key: value for key, value in known.items() if key in tool.args.model_fields}
            await desk.call(name, **arguments)
        assert outbox.posted == []


@BOTH
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("send_message", {"to": ["ann@acme.example"], "cc": ["ann@acme.example", "eve@evil.example"]}),
        ("send_message", {"to": ["ann@acme.example"], "bcc": ["eve@evil.example"]}),
        ("send_message", {"to": ["ann@acme.example.evil.example"]}),
        ("send_message", {"to": ["ann@evil.example?@acme.example"]}),
        ("forward_message", {"to": ["ann@acme.example", "eve@evil.example"]}),
    ],
)
async def test_beyond_the_allowed_recipients_nothing_is_sent(
    generation: Generation, tool: str, arguments: dict[str, Any]
) -> None:
    """Not even to those that are allowed; nothing is asked of the API first."""
    async with inbox(generation, confirm="never", allow_recipients="*@acme.example") as desk:
        outbox, message_id = Outbox(desk), desk.deliver()
        more = {"subject": "Hello", "text": "Hi"} if tool == "send_message" else {"message_id": message_id}
        desk.requests.clear()
        await desk.refused(tool, **more, **arguments)
        assert (outbox.posted, desk.requests) == ([], [])


@BOTH
@pytest.mark.parametrize("reply_all", [False, True])
@pytest.mark.parametrize(
    ("sender", "headers"),
    [
        ("eve@evil.example", {}),
        ('"ann@acme.example" <eve@evil.example>', {}),
        ('"eve@evil.example, x"@acme.example', {}),
        ("eve%evil.example@acme.example", {}),
        ("ann@acme.example", {"Cc": "eve@evil.example"}),
        ("ann@acme.example", {"Reply-To": "eve@evil.example"}),
        ("ann@acme.example", {"Reply-To": "ann@acme.example, eve@evil.example"}),
    ],
)
async def test_answers_stay_within_the_allowed_recipients(
    generation: Generation, sender: str, headers: dict[str, str], *, reply_all: bool
) -> None:
    """Whatever a stranger's mail names: the answer goes to allowed people, or nowhere."""
    async with inbox(generation, confirm="never", allow_recipients="*@acme.example") as desk:
        outbox, message_id = Outbox(desk), desk.deliver(sender=sender, headers=headers)
        result = await desk.call("reply_to_message", message_id=message_id, text="Secret", reply_all=reply_all)
        everyone = [sender, *headers.values()] if reply_all else [sender]
        if result.is_error:
            assert outbox.posted == []
        else:
            assert outbox.recipients == ["ann@acme.example"]
        if any("eve" in each for each in everyone) and not (generation == "spec" and "Reply-To" in headers):
            assert result.is_error


@BOTH
async def test_an_answer_of_the_api_cannot_add_recipients(generation: Generation) -> None:
    """The recipients of an answer to all are checked like those of a call."""
    async with inbox(generation, confirm="never", allow_recipients="*@acme.example") as desk:
        outbox, message_id = Outbox(desk), desk.deliver(sender="ann@acme.example")
        record = desk.fault
        assert record

        def resolve(request: httpx2.Request) -> httpx2.Response | None:
            if request.method == "GET" and request.url.path.endswith(message_id):
                strange = {"to": ["ann@acme.example\r\nBcc: eve@evil.example"], "cc": [None, 7, {"a": 1}]}
                detail = {"id": message_id, "from_address": "ann@acme.example", "reply_all_recipients": strange}
                return httpx2.Response(200, json=detail)
            return record(request)

        desk.fault = resolve
        await desk.refused("reply_to_message", message_id=message_id, text="Secret", reply_all=True)
        assert outbox.posted == []


@BOTH
@pytest.mark.parametrize("field", ["message_id", "subject"])
async def test_what_a_stranger_chose_begins_no_header_of_the_answer(generation: Generation, field: str) -> None:
    """An id that is no plain word is left out, and a subject is one line."""
    async with inbox(generation, confirm="never") as desk:
        outbox, message_id = Outbox(desk), desk.deliver()
        record = desk.fault
        assert record

        def write(request: httpx2.Request) -> httpx2.Response | None:
            if request.method != "GET" or not request.url.path.endswith(message_id):
                return record(request)
            detail = {"id": message_id, "from_address": "ann@x.example", field: "<1@x>\r\nBcc: eve@evil.example"}
            return httpx2.Response(200, json=detail)

        desk.fault = write
        await desk.ask("reply_to_message", message_id=message_id, text="Fine.")
        ((_, body),) = outbox.posted
        assert "in_reply_to_message_id" not in body
        assert body["subject"] == ("Re:" if field == "message_id" else "Re: <1@x> Bcc: eve@evil.example")


@BOTH
async def test_no_field_begins_another_header(generation: Generation) -> None:
    """A line break is refused where a header could begin, and is text in a text."""
    async with inbox(generation, confirm="never") as desk:
        outbox, message_id = Outbox(desk), desk.deliver()
        whole: dict[str, Any] = {"to": ["ann@x.example"], "subject": "Hello", "text": "Hi"}
        for inserted in ("\r\nBcc: eve@evil.example", "\nX: y", "\rx", "\x00x", "\u2028Bcc: x", "\x85Bcc: x"):
            bad = {
                "to": [f"ann@x.example{inserted}"],
                "cc": [f"Ann{inserted} <ann@x.example>"],
                "subject": f"Hello{inserted}",
                "idempotency_key": f"k{inserted}",
                "attachments": [f"data:text/plain;name=a{inserted}.txt;base64,YQ=="],
            }
            for field, value in bad.items():
                assert (await desk.call("send_message", **{**whole, field: value})).is_error, (field, inserted)
            bad_id = f"{message_id}{inserted}"
            assert (await desk.call("reply_to_message", message_id=bad_id, text="Hi")).is_error, inserted
        assert outbox.posted == []
        await desk.ask("send_message", **{**whole, "text": "Hi\r\nBcc: eve@evil.example"})
        assert outbox.recipients == await left_for(desk) == ["ann@x.example"]
