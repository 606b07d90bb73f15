"""What the sending of messages remembers, compares, counts and looks up."""

from typing import Any

import httpx2
import pytest

from inkbox_mcp.api import attempts
from inkbox_mcp.api.attempts import Attempts
from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.generations import Generation
from inkbox_mcp.api.outgoing import Outgoing, SentMessage
from inkbox_mcp.api.paths import MAILBOXES, Path, path
from inkbox_mcp.calls import begin
from inkbox_mcp.errors import Forbidden, KeyReused, NotAllowed, OutcomeUnknown
from tests.support.alike import BOTH
from tests.support.outbox import (
    CUT_AFTER,
    CUT_BEFORE,
    FINE,
    Content,
    Fault,
    Outbox,
    answers,
    process,
    send,
)

REPORT = Content()


def message(**fields: Any) -> SentMessage:
    """Make a message as the API lists it."""
    shown = {"id": "1", "to_addresses": ["ann@example.com"], "subject": "Report", "cc_addresses": None}
    return SentMessage.model_validate({**shown, **fields})


def outgoing(mailbox: str = "sales", **fields: Any) -> Outgoing:
    """Make a message to be sent from a mailbox that has several names."""
    sent = path(MAILBOXES, mailbox, Path("messages"))
    given: dict[str, Any] = {"place": sent, "body": {"subject": "Report"}, "to": ["ann@example.com"]}
    given |= {"mailbox_id": "1", "subject": "Report", **fields}
    return Outgoing(operation="mail.send", sent=sent, **given)


LIKE: list[dict[str, Any]] = [
    {},
    {"to_addresses": ["ANN@Example.com"]},
    {"to_addresses": ["ann@example.com", "ann@example.com"]},
    {"subject": " Report\n"},
    {"cc_addresses": []},
    {"bcc_addresses": []},
    {"body_text": "The numbers.\n--\nSent with Inkbox"},
]
UNLIKE: list[dict[str, Any]] = [
    {"to_addresses": ["bob@example.com"]},
    {"to_addresses": ["ann@example.com", "bob@example.com"]},
    {"to_addresses": None},
    {"to_addresses": {"ann@example.com": 1}},
    {"to_addresses": "ann@example.com"},
    {"cc_addresses": ["ann@example.com"]},
    {"bcc_addresses": ["bob@example.com"]},
    {"subject": "Re: Report"},
    {"subject": None},
    {"subject": 5},
]


def test_messages_look_the_same_by_recipients_and_subject() -> None:
    """The API may write them a little differently; fields may have any shape."""
    assert [fields for fields in LIKE if not outgoing().is_like(message(**fields))] == []
    assert [fields for fields in UNLIKE if outgoing().is_like(message(**fields))] == []
    hidden = outgoing(bcc=["Bob@example.com"])
    assert hidden.is_like(message())  # lists do not show them
    assert hidden.is_like(message(bcc_addresses=["bob@example.com"]))
    assert not hidden.is_like(message(bcc_addresses=[]))


FILE = {"filename": "a.txt", "content_type": "text/plain", "content_base64": "YQ=="}


def test_a_message_is_told_by_all_that_is_posted() -> None:
    """The mailbox counts, whatever it is called; hashes stand for attachments."""
    one = outgoing().content
    assert outgoing("sales@inkboxmail.com").content == one
    assert outgoing("sales@inkboxmail.com").likeness == outgoing().likeness
    with_file = {"subject": "Report", "attachments": [FILE]}
    others = [
        outgoing(mailbox_id="2"),
        outgoing(body={"subject": "Report", "body_text": "x"}),
        outgoing(body=with_file, attachments=["1 a.txt"]),
        outgoing(body=with_file, attachments=["1 b.txt"]),
        outgoing(body=with_file),
        outgoing(body={**with_file, "attachments": [{**FILE, "content_base64": "Yg=="}]}),
        outgoing(body={"subject": "Report", "include_original_attachments": True}),
        outgoing(body={"subject": "Report", "include_original_attachments": False}),
        outgoing(place=path(MAILBOXES, "sales", Path("messages"), "7", Path("forward"))),
        outgoing(place=path(MAILBOXES, "sales", Path("messages"), "8", Path("forward"))),
    ]
    assert len({one, *(each.content for each in others)}) == len(others) + 1
    large = {**with_file, "attachments": [{**FILE, "content_base64": "Yg=="}]}
    assert outgoing(body=large, attachments=["1 a.txt"]).content == others[2].content


@pytest.mark.parametrize("created", [None, 5, "yesterday", "", [], "99999-01-01", "2026-13-01T00:00:00Z"])
def test_a_time_that_is_none_is_no_time(created: object) -> None:
    """The message counts neither as old nor as made at any time."""
    assert message(created_at=created).made is None
    assert not message(created_at=created).is_older(1e12)


async def test_a_message_without_a_time_is_not_sent_again_and_not_claimed() -> None:
    """It may be of today or of last year."""
    outbox = Outbox("spec", timed=False)
    api = process(outbox)
    await send(api, REPORT)
    assert (await send(process(outbox), REPORT)).replayed
    outbox.faults = [CUT_AFTER]
    with pytest.raises(OutcomeUnknown):
        await send(process(outbox), REPORT, "a")


def test_texts_are_not_remembered() -> None:
    """They may be large."""
    assert (
        message(body_text="x", body_html="y", snippet="z").model_dump().keys()
        == message(snippet="z").model_dump().keys()
    )
    with pytest.raises(ValueError, match="valid dictionary"):
        SentMessage.model_validate([])


async def test_a_process_remembers_a_limited_number() -> None:
    """The oldest ones are forgotten."""
    memory = Attempts()
    with begin(30):
        for number in range(attempts.REMEMBERED + 1):
            each = outgoing(subject=str(number))
            attempt = memory.begin(each, str(number))
            memory.remember(attempt, message(id=str(number)))
        assert memory.known(outgoing(), "0") is None
        assert memory.known(outgoing(), "1") is not None
        assert not memory.has_sent("0")
        assert memory.has_sent("1")


async def test_a_body_is_posted_in_ascii() -> None:
    """Large ones would hold up other calls for several times as long."""
    bodies: list[bytes] = []

    def keep(request: httpx2.Request) -> Fault:
        bodies.append(request.content)
        return FINE

    outbox, text = Outbox("identity", usual=keep), Content("Grüße, 世界 😀")
    await send(process(outbox), text)
    assert text.is_in(outbox.left[0])
    assert all(body.isascii() for body in bodies)
    assert b"".join(bodies).count(b"{") == 2  # requests without a body have none


class Counting(InkboxAPI):
    """Counts recipients, and refuses them when it is told so."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.counted = 0
        self.refuses = False

    async def count_recipients(self, number: int) -> None:
        """Count."""
        if self.refuses:
            raise NotAllowed("recipients", "none")
        self.counted += number


@BOTH
async def test_recipients_are_counted_when_a_message_may_leave(generation: Generation) -> None:
    """What is not sent is not counted; with keys, a repetition after a lost answer is the same message."""
    outbox = Outbox(generation, faults=[CUT_BEFORE] * 3)
    api = process(outbox, Counting)
    pair = Content(cc=("bob@example.com",))
    api.refuses = True
    with pytest.raises(NotAllowed):
        await send(api, pair)
    assert outbox.posts() == 0
    api.refuses = False
    with pytest.raises(OutcomeUnknown):
        await send(api, pair)
    assert api.counted == 2
    outbox.faults.clear()
    await send(api, pair)
    await send(api, pair)
    assert api.counted == (2 if generation == "identity" else 4)
    assert len(outbox.left) == 1


@BOTH
async def test_a_refused_message_is_forgotten(generation: Generation) -> None:
    """Nothing left, so its key may stand for another one."""
    outbox = Outbox(generation, faults=[Fault("403", None, answers(403, "recipient_blocked"))])
    api = process(outbox)
    with pytest.raises(Forbidden):
        await send(api, REPORT, "a")
    assert not (await send(api, Content("Other numbers."), "a")).replayed


@BOTH
async def test_what_may_have_left_is_not_forgotten_by_a_later_refusal(generation: Generation) -> None:
    """Its key keeps standing for it."""
    outbox = Outbox(generation, faults=[CUT_BEFORE] * 3 if generation == "identity" else [CUT_BEFORE])
    api = process(outbox)
    with pytest.raises(OutcomeUnknown):
        await send(api, REPORT, "a")
    outbox.faults = [Fault("403", None, answers(403))]
    with pytest.raises(Forbidden):
        await send(api, REPORT, "a")
    with pytest.raises(KeyReused):
        await send(api, Content("Other numbers."), "a")
