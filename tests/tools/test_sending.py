"""The tools that send messages, from an MCP client to the sandbox, on both generations of the API."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from inkbox_mcp.sandbox import Generation
from inkbox_mcp.sandbox.faults import Fault
from inkbox_mcp.toolkit.plain_text import without_encoded_words
from tests.support.agents import text
from tests.support.alike import BOTH, GENERATIONS_ALIKE
from tests.support.inboxes import Inbox, inbox

TO = ["Jane Doe <jane@example.com>"]


async def sent(desk: Inbox) -> list[dict[str, Any]]:
    """Return the messages that left, in full, the oldest first."""
    listed = await desk.person.list(direction="outbound", limit=100)
    return [await desk.person.get(each["id"]) for each in reversed(listed)]


def fail(desk: Inbox, fault: Fault) -> None:
    """Let the next requests to the sandbox go wrong."""
    desk.store.add_fault(fault)


@BOTH
async def test_a_message_leaves_as_it_was_written(generation: Generation, era: str) -> None:
    """The result shows all recipients, with the names of their addresses left out, and that it is on its way."""
    async with inbox(generation, era) as desk:
        result = await desk.ask(
            "send_message",
            to=[*TO, "JANE@example.com"],
            cc=["jane@EXAMPLE.com", "bob@example.org"],
            bcc=["audit@example.net"],
            subject="Your order 17",
            text="It is on its way.\n\nAnn",
            html="<p>It is on its way.</p>",
        )
        assert result.pop("created_at").endswith("Z")
        assert result == {
            "id": result["id"],
            "thread_id": result["thread_id"],
            "status": "sent",
            "to": ["jane@example.com"],
            "cc": ["bob@example.org"],
            "bcc": ["audit@example.net"],
            "subject": "Your order 17",
        }
        (message,) = await sent(desk)
        assert message["body_text"] == "It is on its way.\n\nAnn"
        assert message["body_html"] == "<p>It is on its way.</p>"
        assert (message["to_addresses"], message["cc_addresses"]) == (["jane@example.com"], ["bob@example.org"])
        assert message["bcc_addresses"] == ["audit@example.net"]


@BOTH
async def test_a_message_needs_a_text(generation: Generation) -> None:
    """Blank ones are what some clients fill in."""
    async with inbox(generation) as desk:
        for texts in ({}, {"text": ""}, {"text": None, "html": ""}):
            refused = await desk.refused("send_message", to=TO, subject="Hello", **texts)
            assert refused.count("text: is required") == refused.count("Nothing was sent.") == 1
        assert await sent(desk) == []


@BOTH
async def test_an_answer_goes_to_the_sender_in_the_same_thread(generation: Generation) -> None:
    """An answer to an own message goes to whom that went."""
    async with inbox(generation) as desk:
        message_id = desk.deliver("Where is my order?", headers={"Cc": "bob@example.org", "Reply-To": "x@evil.example"})
        result = await desk.ask("reply_to_message", message_id=message_id, text="On its way.")
        assert (result["to"], result["subject"]) == (["ann@example.org"], "Re: Where is my order?")
        assert "cc" not in result
        thread = await desk.ask("get_thread", thread_id=result["thread_id"])
        assert [each["id"] for each in thread["messages"]] == [message_id, result["id"]]
        again = await desk.ask("reply_to_message", message_id=result["id"], text="It has arrived.")
        assert (again["to"], again["subject"]) == (["ann@example.org"], "Re: Where is my order?")
        assert again["thread_id"] == result["thread_id"]


@GENERATIONS_ALIKE
async def test_an_answer_to_all_leaves_out_the_mailbox_itself(generation: Generation) -> None:
    """Each address is there once, whatever its case."""
    async with inbox(generation) as desk:
        headers = {"Cc": "bob@example.org, Desk@inkboxmail.com, ANN@example.org"}
        message_id = desk.deliver("Plans", headers=headers)
        result = await desk.ask("reply_to_message", message_id=message_id, text="Fine.", reply_all=True)
        assert (result["to"], result["cc"]) == (["ann@example.org"], ["bob@example.org"])
        (message,) = await sent(desk)
        assert (message["to_addresses"], message["cc_addresses"]) == (["ann@example.org"], ["bob@example.org"])


async def test_where_the_api_names_the_recipients_of_an_answer_to_all_they_are_taken() -> None:
    """The sender asks for answers to another address, and the result shows it."""
    async with inbox("identity") as desk:
        message_id = desk.deliver(headers={"Reply-To": "list@example.net"})
        result = await desk.ask("reply_to_message", message_id=message_id, text="Fine.", reply_all=True)
        assert result["to"] == ["list@example.net"]


@BOTH
@pytest.mark.parametrize("sender", ['"a@evil.example, b" <not-an-address>', "ann@localhost", ""])
async def test_a_sender_without_an_address_is_not_answered(generation: Generation, sender: str) -> None:
    """Nothing is guessed; the error names what is there."""
    async with inbox(generation) as desk:
        message_id = desk.deliver()

        def strange(request: httpx2.Request) -> httpx2.Response | None:
            if request.method != "GET" or message_id not in request.url.path:
                return None
            return httpx2.Response(200, json={"id": message_id, "direction": "inbound", "from_address": sender})

        desk.fault = strange
        refused = await desk.refused("reply_to_message", message_id=message_id, text="Fine.")
        assert refused.count("Nothing was sent.") == 1
        assert "which mail cannot be sent to" in refused or (not sender and "nobody who can be answered" in refused)
        desk.fault = None
        assert await sent(desk) == []


@GENERATIONS_ALIKE
async def test_a_forward_takes_the_attachments_with_it(generation: Generation) -> None:
    """It begins a new thread."""
    async with inbox(generation) as desk:
        message_id = desk.deliver("Invoice", "Please pay.")
        first = await desk.ask("forward_message", message_id=message_id, to=["boss@example.com"], text="For you.")
        assert (first["to"], first["subject"]) == (["boss@example.com"], "Fwd: Invoice")
        (message,) = await sent(desk)
        assert message["body_text"].startswith("For you.")
        assert "Please pay." in message["body_text"]
        assert "Only its conversation" not in first
        original = await desk.person.get(message_id)
        assert original["thread_id"] != first["thread_id"]


@GENERATIONS_ALIKE
async def test_subjects_are_prefixed_once_and_fit(generation: Generation) -> None:
    """Whatever the language of the prefix."""
    async with inbox(generation) as desk:
        for subject, answer in (
            ("AW: Termin", "AW: Termin"),
            ("re: x", "re: x"),
            ("", "Re:"),
            ("Regal", "Re: Regal"),
            ("回复\uff1a17", "回复\uff1a17"),
        ):
            message_id = desk.deliver(subject)
            assert (await desk.ask("reply_to_message", message_id=message_id, text="Fine."))["subject"] == answer
        message_id = desk.deliver("x" * 998)
        result = await desk.ask("forward_message", message_id=message_id, to=["boss@example.com"])
        assert len(result["subject"]) == 998


@BOTH
@pytest.mark.parametrize(
    "subject", ["=?utf-8?q?=0D=0ABcc:_x?=", "a =? utf-8?b?eA==? =", "\uff1d\uff1futf-8\uff1fq\uff1fx\uff1f\uff1d"]
)
async def test_no_encoded_word_of_a_stranger_is_passed_on(generation: Generation, subject: str) -> None:
    """Mail programs would decode it, and show another subject than the result and the question do."""
    async with inbox(generation) as desk:
        message_id = desk.deliver()

        def encoded(request: httpx2.Request) -> httpx2.Response | None:
            is_asked = request.method == "GET" and message_id in request.url.path
            own = {"id": message_id, "from_address": "ann@example.org", "subject": subject}
            return httpx2.Response(200, json=own) if is_asked else None

        desk.fault = encoded
        for tool, arguments in (("reply_to_message", {"text": "Hi"}), ("forward_message", {"to": TO})):
            shown = (await desk.ask(tool, message_id=message_id, **arguments))["subject"]
            assert "utf-8" in shown
            assert without_encoded_words(shown) == shown


@BOTH
async def test_reading_to_answer_leaves_a_message_unread(generation: Generation) -> None:
    """The agent has not been shown it."""
    async with inbox(generation) as desk:
        message_id = desk.deliver()
        await desk.ask("reply_to_message", message_id=message_id, text="Fine.")
        await desk.ask("forward_message", message_id=message_id, to=["boss@example.com"])
        assert not await desk.is_read(message_id)


@BOTH
async def test_the_same_again_is_shown_as_replayed(generation: Generation) -> None:
    """The note says how it leaves again: with a key of its own, under which it leaves once."""
    async with inbox(generation) as desk:
        message_id = desk.deliver()
        for tool, arguments in (
            ("send_message", {"to": TO, "subject": "Hello", "text": "Hi"}),
            ("reply_to_message", {"message_id": message_id, "text": "Fine."}),
            ("forward_message", {"message_id": message_id, "to": TO}),
        ):
            before = len(await sent(desk))
            first = await desk.ask(tool, **arguments)
            again = await desk.ask(tool, **arguments)
            assert "replayed" not in first
            assert (again["replayed"], again["id"]) == (True, first["id"])
            assert "call again with a new idempotency_key" in again["note"]
            new = await desk.ask(tool, **arguments, idempotency_key=tool)
            assert new["id"] != first["id"]
            assert (await desk.ask(tool, **arguments, idempotency_key=tool))["id"] == new["id"]
            assert len(await sent(desk)) == before + 2


@BOTH
@pytest.mark.parametrize("ago", [0, 4])
async def test_a_message_that_has_just_left_is_not_shown_as_replayed(generation: Generation, ago: int) -> None:
    """A clock that dates messages may be behind the one that dates answers; the agent would send it once more."""
    async with inbox(generation) as desk:
        made = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()

        def behind(request: httpx2.Request) -> httpx2.Response | None:
            own = {"id": "00000000-0000-4000-8000-000000000001", "created_at": made}
            return httpx2.Response(201, json=own) if request.method == "POST" else None

        desk.fault = behind
        assert "replayed" not in await desk.ask("send_message", to=TO, subject="Hello", text="Hi")
        assert (await desk.ask("send_message", to=TO, subject="Hello", text="Hi"))["replayed"]


@GENERATIONS_ALIKE
async def test_an_idempotency_key_is_for_one_message(generation: Generation) -> None:
    """Another message under it is refused; so is an empty one."""
    async with inbox(generation) as desk:
        await desk.ask("send_message", to=TO, subject="Hello", text="Hi", idempotency_key="k")
        refused = await desk.refused("send_message", to=TO, subject="Hello", text="Bye", idempotency_key="k")
        assert "was used for another message" in refused
        for empty in ("", "  "):
            refused = await desk.refused("send_message", to=TO, subject="Hi", text="Hi", idempotency_key=empty)
            assert "idempotency_key: must not be empty" in refused
        assert len(await sent(desk)) == 1


@BOTH
@pytest.mark.parametrize("kind", ["lost", "refused"])
async def test_a_message_whose_answer_was_lost_is_found(generation: Generation, kind: Any) -> None:
    """The answer is cut off, or says that the outcome is not known."""
    async with inbox(generation) as desk:
        fail(desk, Fault("send_message", kind, effect=True, error="send_outcome_ambiguous"))
        result = await desk.ask("send_message", to=TO, subject="Hello", text="Hi")
        assert result["recovered"]
        (message,) = await sent(desk)
        assert message["id"] == result["id"]


@BOTH
@pytest.mark.parametrize(
    ("fault", "cure"),
    [
        (Fault("send_message", status=402, error="storage_limit_exceeded"), "The mailbox is full."),
        (Fault("send_message", status=403, error="recipient_blocked"), "A rule of the organization blocks"),
        (Fault("send_message", status=403, error="recipient_not_allowed"), "call whoami"),
        (Fault("send_message", status=403, error="identity_paused"), "The agent is paused."),
        (Fault("send_message", status=413, error="attachments_too_large"), "Send fewer or smaller attachments"),
        (
            Fault("send_message", status=429, error="recipient_send_limit_exceeded", retry_after=9999),
            "The plan allows no more recipients for now.",
        ),
    ],
)
async def test_a_refusal_says_what_helps(generation: Generation, fault: Fault, cure: str) -> None:
    """And that nothing was sent."""
    async with inbox(generation) as desk:
        fail(desk, fault)
        refused = await desk.refused("send_message", to=TO, subject="Hello", text="Hi")
        assert cure in refused
        assert "Nothing was sent" in refused
        assert await sent(desk) == []


@BOTH
@pytest.mark.parametrize("path", ["/mailboxes/desk%40inkboxmail.com", "/messages/"])
async def test_a_fault_before_a_message_is_sent_says_that_nothing_was(generation: Generation, path: str) -> None:
    """The reader need not look whether it left."""
    async with inbox(generation) as desk:
        message_id = desk.deliver()
        broken = httpx2.Response(500, json={"detail": "oops"})
        desk.fault = lambda request: broken if request.method == "GET" and path in str(request.url) else None
        refused = await desk.refused("reply_to_message", message_id=message_id, text="Hi")
        assert "Nothing was sent. The fault is on Inkbox's side." in refused


@BOTH
@pytest.mark.parametrize("shape", ["detail", "bare"])
async def test_a_blocked_recipient_is_named_in_each_shape_of_a_refusal(generation: Generation, shape: str) -> None:
    """Some answers have no `detail` around the reason."""
    reason = {"error": "recipient_blocked", "address": "jane@example.com", "reason": "a rule"}
    async with inbox(generation) as desk:
        answer = httpx2.Response(403, json=reason if shape == "bare" else {"detail": reason})
        desk.fault = lambda request: answer if request.method == "POST" else None
        assert 'blocks "jane@example.com"' in await desk.refused("send_message", to=TO, subject="Hi", text="Hi")


@BOTH
async def test_a_blocked_recipient_is_named(generation: Generation) -> None:
    """So that the others can be written to."""
    async with inbox(generation) as desk:
        refused = await desk.refused("send_message", to=[*TO, "blocked@example.com"], subject="Hello", text="Hi")
        assert 'blocks "blocked@example.com". Leave it out' in refused
        assert await sent(desk) == []


@BOTH
async def test_without_an_answer_the_error_says_how_to_go_on(generation: Generation) -> None:
    """Under a key the same call is safe; without keys, sent messages show it."""
    async with inbox(generation, timeout=2) as desk:
        fail(desk, Fault("send_message", status=503, error="send_outcome_ambiguous", times=9))
        result = await desk.call("send_message", to=TO, subject="Hello", text="Hi")
        assert result.meta
        assert result.meta["code"] == "outcome_unknown"
        hint = 'idempotency_key "inkbox-mcp-' if generation == "identity" else 'direction "outbound"'
        assert hint in text(result)
        assert "may or may not have left" in text(result)


@GENERATIONS_ALIKE
async def test_files_of_the_folder_are_attached(generation: Generation, tmp_path: Path) -> None:
    """By the name in it, or by the path that get_attachment shows; what is attached is shown."""
    (tmp_path / "invoice.pdf").write_bytes(b"%PDF-1.7 ...")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_bytes(b"abc")
    async with inbox(generation, attachments_dir=tmp_path) as desk:
        files = ["invoice.pdf", str(tmp_path / "notes" / "a.txt")]
        result = await desk.ask("send_message", to=TO, subject="Hello", text="Hi", attachments=files)
        assert [(each["filename"], each["size"]) for each in result["attachments"]] == [
            ("invoice.pdf", 12),
            ("a.txt", 3),
        ]
        (message,) = await sent(desk)
        assert [each["filename"] for each in message["attachment_metadata"]] == ["invoice.pdf", "a.txt"]


@GENERATIONS_ALIKE
async def test_a_file_can_be_passed_in_the_call(generation: Generation) -> None:
    """Without a folder, such as over HTTP."""
    content = base64.b64encode(b"a,b\n1,2\n").decode()
    async with inbox(generation) as desk:
        files = [f"data:text/csv;name=report.csv;base64,{content}"]
        message_id = desk.deliver()
        result = await desk.ask("reply_to_message", message_id=message_id, text="Here.", attachments=files)
        assert result["attachments"] == [{"filename": "report.csv", "content_type": "text/csv", "size": 8}]
        refused = await desk.refused("send_message", to=TO, subject="Hello", text="Hi", attachments=["invoice.pdf"])
        assert "--attachments-dir" in refused
        assert len(await sent(desk)) == 1


@GENERATIONS_ALIKE
async def test_other_files_are_another_message(generation: Generation) -> None:
    """The same text with another file, or the same file under another name, is not a repetition."""
    async with inbox(generation) as desk:
        ids = set[str]()
        for name, content in (("a.txt", b"1"), ("a.txt", b"2"), ("b.txt", b"1")):
            file = f"data:text/plain;name={name};base64,{base64.b64encode(content).decode()}"
            result = await desk.ask("send_message", to=TO, subject="Hello", text="Hi", attachments=[file])
            ids.add(result["id"])
        assert len(ids) == 3


@BOTH
async def test_a_mailbox_or_message_that_does_not_exist_is_named(generation: Generation) -> None:
    """Before anything is sent."""
    missing = "00000000-0000-4000-8000-000000000000"
    async with inbox(generation) as desk:
        wrong = await desk.agent.refused("send_message", email_address="nobody", to=TO, subject="Hi", text="Hi")
        assert "No active mailbox has this address" in wrong
        assert "no such message" in await desk.refused("reply_to_message", message_id=missing, text="Hi")
        assert "no such message" in await desk.refused("forward_message", message_id=missing, to=TO)
