"""Promise: with `--confirm always` a human sees whom each mail goes to and what it says, and exactly that is sent.

`auto` asks for answers and forwards to people outside the thread; `never` asks for nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client.session import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from inkbox_mcp.sandbox import Generation
from tests.support.agents import text
from tests.support.alike import BOTH
from tests.support.humans import YES, Human
from tests.support.inboxes import Inbox, inbox

TO = ["jane@example.com"]
SEND: dict[str, Any] = {"to": TO, "subject": "Hello", "text": "Hi"}


async def sent(desk: Inbox) -> list[dict[str, Any]]:
    """Return the messages that left, the newest first."""
    return await desk.person.list(direction="outbound", limit=100)


class Meddler(Human):
    """Says yes, after changing something."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        super().__init__("accept")
        self._meddle = meddle

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """Change something before the first answer."""
        if not self.questions:
            self._meddle()
        return await super().__call__(context, params)


@BOTH
async def test_the_question_shows_all_recipients_and_what_is_sent(
    generation: Generation, era: str, tmp_path: Path
) -> None:
    """Also the hidden ones, the first 300 characters as people write them, what people see of the HTML, and files."""
    (tmp_path / "invoice.pdf").write_bytes(b"%PDF-1.7 ...")
    human = Human("accept")
    async with inbox(generation, era, human, confirm="always", attachments_dir=tmp_path) as desk:
        await desk.ask(
            "send_message",
            to=TO,
            cc=["bob@example.org"],
            bcc=["audit@example.net"],
            subject="It\u2019s \u201cdone\u201d",
            text="First line\nSecond \u200bline.\u202e " + "x" * 400,
            html="<p>Seen</p><p style='display:none'>Hidden</p>",
            attachments=["invoice.pdf"],
        )
        (question,) = human.questions
        assert question == (
            "Send this message?\nFrom: desk@inkboxmail.com\nTo: jane@example.com\nCc: bob@example.org\n"
            "Bcc: audit@example.net\nSubject: It\u2019s \u201cdone\u201d\nAttachments: invoice.pdf (12 bytes)\n"
            f"Text: First line Second line. {'x' * 275}\u2026\nHTML: Seen\nHidden in it: 6 characters"
        )
        assert len(await sent(desk)) == 1


@pytest.mark.parametrize("before", ["\n", " \u200b", "\u2060"])
async def test_nothing_before_a_text_keeps_it_out_of_the_question(era: str, before: str) -> None:
    """However many blanks and hidden characters there are, what people see first is shown."""
    human = Human("decline")
    async with inbox("identity", era, human, confirm="always") as desk:
        await desk.refused("send_message", to=TO, subject="Hi", text=f"{before * 20_000}Secret")
        assert human.questions[0].endswith("\nText: Secret")


async def test_the_question_says_what_of_a_text_cannot_be_seen(era: str) -> None:
    """An empty line would look as if nothing were sent."""
    human = Human("decline")
    async with inbox("identity", era, human, confirm="always") as desk:
        await desk.refused("send_message", to=TO, subject="Hi", text=" \n", html="<p hidden>Secret</p>")
        lines = human.questions[0].split("\n")[-3:]
        assert lines == ["Text: (blank)", "HTML: (no text that people see)", "Hidden in it: 6 characters"]
        await desk.refused("send_message", to=TO, subject="Hi", html="<p>" * 66_000 + "Secret")
        assert "\nNot read of it: " in human.questions[1]


@BOTH
async def test_the_question_counts_the_files_that_it_does_not_name(generation: Generation, era: str) -> None:
    """A forward takes all of them with it, whatever the API says about each; no size is made up."""
    human = Human("accept")
    async with inbox(generation, era, human, confirm="always") as desk:
        message_id = desk.deliver()
        known = [{"filename": f"{each}.txt", "size": 1} for each in range(60)]

        def many(request: httpx2.Request) -> httpx2.Response | None:
            if request.method != "GET" or message_id not in request.url.path:
                return None
            return httpx2.Response(200, json={"id": message_id, "attachment_metadata": [{"size": None}, 7, *known]})

        desk.fault = many
        result = await desk.ask("forward_message", message_id=message_id, to=TO)
        (question,) = human.questions
        assert "\nAttachments: (no name) (of unknown size), 0.txt (1 bytes), " in question
        assert ", 47.txt (1 bytes), and 13 more\n" in question
        assert (len(result["attachments"]), result["attachments_left_out"]) == (49, 13)


@BOTH
async def test_a_no_sends_nothing(generation: Generation, era: str) -> None:
    """Each of the three tools asks, and the message that is answered or forwarded stays unread."""
    human = Human("decline")
    async with inbox(generation, era, human, confirm="always") as desk:
        message_id = desk.deliver()
        for tool, arguments in (
            ("send_message", SEND),
            ("reply_to_message", {"message_id": message_id, "text": "Fine."}),
            ("forward_message", {"message_id": message_id, "to": TO}),
        ):
            result = await desk.call(tool, **arguments)
            assert result.meta
            assert result.meta["code"] == "declined"
        assert len(human.questions) == 3
        assert await sent(desk) == []
        assert not await desk.is_read(message_id)


@BOTH
async def test_nobody_to_ask_is_no_consent(generation: Generation, era: str) -> None:
    """A client that cannot ask sends nothing with `always`, and everything with `auto`."""
    async with inbox(generation, era, confirm="always") as desk:
        assert "cannot ask" in await desk.refused("send_message", **SEND)
        assert await sent(desk) == []
    async with inbox(generation, era, confirm="auto") as desk:
        await desk.ask("forward_message", message_id=desk.deliver(), to=TO)
        assert len(await sent(desk)) == 1


@BOTH
async def test_auto_asks_about_people_outside_the_thread_only(generation: Generation, era: str) -> None:
    """Headless clients close every question, so a new message and an answer need none."""
    human = Human("accept")
    async with inbox(generation, era, human) as desk:
        first = desk.deliver("Plans", headers={"Message-ID": "<1@example.org>", "Cc": "bob@example.org"})
        second = desk.deliver("Re: Plans", sender="Cy <cy@example.org>", headers={"In-Reply-To": "<1@example.org>"})
        await desk.ask("send_message", **SEND)
        await desk.ask("reply_to_message", message_id=first, text="Fine.", reply_all=True)
        await desk.ask("forward_message", message_id=second, to=["bob@example.org"])
        assert human.questions == []
        await desk.ask("forward_message", message_id=first, to=["bob@example.org", *TO])
        (question,) = human.questions
        assert question.startswith("Forward this message from ")
        assert "\nTo: bob@example.org, jane@example.com\n" in question
        assert question.endswith("\nMessage: How are you?")


@BOTH
async def test_the_question_shows_both_bodies_of_a_forward_that_differ(generation: Generation, era: str) -> None:
    """Most people see the HTML; a text that says the same is shown once."""
    human = Human("decline")
    async with inbox(generation, era, human, confirm="always") as desk:
        for html, shown in (
            ("<p>Lunch  at 12?</p>", ""),
            ("<p>Pay <b hidden>not</b> Eve</p>", "\nAs HTML: Pay Eve\nHidden in it: 3 characters"),
        ):
            message_id = desk.deliver("Hi", "Lunch\nat 12?", html=html)
            await desk.refused("forward_message", message_id=message_id, to=TO)
            assert human.questions[-1].endswith(f"\nMessage: Lunch at 12?{shown}")


async def test_auto_asks_where_an_answer_to_all_goes_elsewhere(era: str) -> None:
    """The API sends such an answer to the address that the mail asks for."""
    human = Human("decline")
    async with inbox("identity", era, human) as desk:
        message_id = desk.deliver(headers={"Reply-To": "collector@evil.example"})
        await desk.refused("reply_to_message", message_id=message_id, text="My secret", reply_all=True)
        (question,) = human.questions
        assert "\nTo: collector@evil.example\n" in question
        assert await sent(desk) == []


@BOTH
async def test_never_asks_for_nothing(generation: Generation, era: str) -> None:
    """That is the operator's decision."""
    human = Human("decline")
    async with inbox(generation, era, human, confirm="never") as desk:
        await desk.ask("send_message", **SEND)
        await desk.ask("forward_message", message_id=desk.deliver(), to=TO)
        assert human.questions == []


@BOTH
@pytest.mark.parametrize("attempt", ["\nTo: boss@example.com\nText: harmless", "\u2028Bcc: none", "\x0bSubject: x"])
async def test_no_text_can_look_like_another_line_of_the_question(generation: Generation, attempt: str) -> None:
    """Line breaks of every kind become blanks, in texts and in what strangers wrote."""
    human = Human("accept")
    async with inbox(generation, "auto", human, confirm="always") as desk:
        message_id = desk.deliver("Hi", sender='"Ann To: x" <ann@example.org>')
        result = await desk.call("reply_to_message", message_id=message_id, text=f"a{attempt}")
        lines = [line.partition(":")[0] for question in human.questions for line in question.split("\n")[1:]]
        assert result.is_error or lines == ["From", "To", "Subject", "Attachments", "Text"]


@BOTH
async def test_what_was_shown_is_what_is_sent(generation: Generation, era: str, tmp_path: Path) -> None:
    """A file that changes while the human reads the question does not leave with a content that nobody agreed to."""
    file = tmp_path / "report.txt"
    file.write_bytes(b"harmless")
    human = Meddler(lambda: file.write_bytes(b"password"))
    async with inbox(generation, era, human, confirm="always", attachments_dir=tmp_path) as desk:
        await desk.ask("send_message", **SEND, attachments=["report.txt"])
        (listed,) = await sent(desk)
        (attachment,) = (await desk.person.get(listed["id"]))["attachment_metadata"]
        was_asked_again = len(human.questions) == 2
        assert attachment["size"] == len(b"password" if was_asked_again else b"harmless")
        assert human.questions[-1].count("(8 bytes)") == 1
        signed = await desk.person.ask("GET", f"/messages/{listed['id']}/attachments/report.txt?redirect=false")
        async with desk.person.without_key() as client:
            content = (await client.get(signed["url"])).content
        assert content == (b"password" if was_asked_again else b"harmless")


async def test_an_acceptance_counts_for_exactly_what_it_was_about() -> None:
    """Another text, another recipient or another key is another question."""
    human = Human("accept")
    async with inbox("identity", "auto", human, confirm="always") as desk:
        for change in ({}, {"text": "Hi!"}, {"to": ["bob@example.org"]}, {"idempotency_key": "k"}, {"bcc": TO}):
            assert not (await desk.call("send_message", **{**SEND, **change})).is_error
        assert len(human.questions) == 5
        assert YES.content


@BOTH
async def test_a_question_shows_no_address_that_is_not_sent_to(generation: Generation) -> None:
    """An address that is there twice is shown once, as it is sent."""
    human = Human("decline")
    async with inbox(generation, "auto", human, confirm="always") as desk:
        result = await desk.call(
            "send_message", **{**SEND, "to": ["Jane <JANE@Example.com>"], "cc": ["jane@example.com"]}
        )
        assert "declined" in text(result) or result.is_error
        assert "\nTo: JANE@example.com\nSubject" in human.questions[0]
